//! The keys that may differ between the sides, in bounded memory.
//!
//! In: keys whose effect failed, was lost or was never sent. Out: "may this key differ?".
//! Invariant: a key that was marked is dirty until what marked it is undone by a flush of its database (later: by a
//! repair). Past the bounds keys fold into hash buckets, so that memory ends and the truth does not: a folded bucket
//! makes every key that hashes into it dirty. Buckets do not know databases, so that SWAPDB and MOVE need no care.

use std::collections::{HashMap, HashSet};

use crate::split::key_hash;

/// Buckets that keys fold into. 65,536 bits are 8 KiB; at a million keys a bucket is 15 of them.
const BUCKETS: usize = 1 << 16;

/// What one marked key costs beside its own bytes: its boxed slice and its place in a half-full table.
const KEY_OVERHEAD_BYTES: usize = 48;

/// Bounds of a [`DirtySet`].
#[derive(Clone, Copy, Debug)]
pub struct DirtyLimits {
    /// Keys held by name. Unit: keys. Default: 1,000,000.
    pub keys_max: usize,
    /// Memory of the keys held by name. Unit: bytes. Default: 128 MiB.
    pub bytes_max: usize,
}

impl Default for DirtyLimits {
    fn default() -> Self {
        Self { keys_max: 1_000_000, bytes_max: 128 * 1024 * 1024 }
    }
}

/// The set of dirty keys of an interlay.
#[derive(Debug)]
pub struct DirtySet {
    limits: DirtyLimits,
    by_db: HashMap<u32, HashSet<Box<[u8]>>>,
    keys: usize,
    bytes: usize,
    /// One bit a bucket; empty until the first key folds.
    folded: Box<[u64]>,
    buckets: usize,
}

impl DirtySet {
    /// An empty set.
    #[must_use]
    pub fn new(limits: DirtyLimits) -> Self {
        Self { limits, by_db: HashMap::new(), keys: 0, bytes: 0, folded: Box::default(), buckets: 0 }
    }

    /// Whether every key is clean. The hot path asks nothing else while it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys == 0 && self.buckets == 0
    }

    /// Keys held by name.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Folded buckets, each of which stands for at least one dirty key.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.buckets
    }

    /// Whether `key` of database `db` may differ.
    #[must_use]
    pub fn contains(&self, db: u32, key: &[u8]) -> bool {
        self.by_db.get(&db).is_some_and(|keys| keys.contains(key)) || (self.buckets > 0 && self.bucket_is_dirty(key))
    }

    /// Marks `key` of database `db`.
    pub fn mark(&mut self, db: u32, key: &[u8]) {
        if self.contains(db, key) {
            return;
        }
        let bytes = key.len() + KEY_OVERHEAD_BYTES;
        if self.keys >= self.limits.keys_max || self.bytes + bytes > self.limits.bytes_max {
            return self.mark_in_every_db(key);
        }
        self.by_db.entry(db).or_default().insert(key.into());
        self.keys += 1;
        self.bytes += bytes;
    }

    /// Marks `key` whatever its database: for commands that reach into another one.
    pub fn mark_in_every_db(&mut self, key: &[u8]) {
        let (word, bit) = bucket(key);
        if self.folded.is_empty() {
            self.folded = vec![0; BUCKETS / 64].into();
        }
        if let Some(word) = self.folded.get_mut(word).filter(|word| **word & bit == 0) {
            *word |= bit;
            self.buckets += 1;
        }
    }

    /// Marks every key there is or may be.
    pub fn mark_everything(&mut self) {
        self.forget_names();
        self.folded = vec![u64::MAX; BUCKETS / 64].into();
        self.buckets = BUCKETS;
    }

    /// Both sides have dropped all keys of `db`. Folded buckets stay: they may stand for keys of other databases.
    pub fn flushed_db(&mut self, db: u32) {
        let gone = self.by_db.remove(&db).unwrap_or_default();
        self.keys -= gone.len();
        self.bytes -= gone.iter().map(|key| key.len() + KEY_OVERHEAD_BYTES).sum::<usize>();
    }

    /// Both sides have dropped all keys.
    pub fn flushed_all(&mut self) {
        self.forget_names();
        self.folded = Box::default();
        self.buckets = 0;
    }

    /// Both sides have swapped databases `a` and `b`.
    pub fn swapped(&mut self, a: u32, b: u32) {
        let (of_a, of_b) = (self.by_db.remove(&a), self.by_db.remove(&b));
        self.by_db.extend(of_a.map(|keys| (b, keys)));
        self.by_db.extend(of_b.map(|keys| (a, keys)));
    }

    fn forget_names(&mut self) {
        self.by_db = HashMap::new();
        self.keys = 0;
        self.bytes = 0;
    }

    fn bucket_is_dirty(&self, key: &[u8]) -> bool {
        let (word, bit) = bucket(key);
        self.folded.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// The word and the bit in it of a key's bucket.
fn bucket(key: &[u8]) -> (usize, u64) {
    // Truncation is the point: the bucket is the hash's low 16 bits.
    let bucket = key_hash(key) as usize % BUCKETS;
    (bucket / 64, 1 << (bucket % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn past_its_bound_a_set_folds_and_forgets_nothing() {
        let mut dirty = DirtySet::new(DirtyLimits { keys_max: 10, bytes_max: 1 << 20 });
        for n in 0..1000_u32 {
            dirty.mark(0, &n.to_le_bytes());
        }
        assert_eq!(dirty.keys(), 10);
        assert!(dirty.buckets() > 900);
        assert!((0..1000_u32).all(|n| dirty.contains(0, &n.to_le_bytes())));
    }

    #[test]
    fn long_keys_fold_at_the_bound_in_bytes() {
        let mut dirty = DirtySet::new(DirtyLimits { keys_max: 1000, bytes_max: 1000 });
        dirty.mark(0, &[b'a'; 900]);
        dirty.mark(0, &[b'b'; 900]);
        assert_eq!((dirty.keys(), dirty.buckets()), (1, 1));
    }

    #[test]
    fn a_flush_cleans_its_database_alone_and_a_swap_follows_the_keys() {
        let mut dirty = DirtySet::new(DirtyLimits::default());
        dirty.mark(1, b"k");
        dirty.mark(2, b"k");
        dirty.swapped(2, 5);
        dirty.flushed_db(1);
        assert!(!dirty.contains(1, b"k") && !dirty.contains(2, b"k") && dirty.contains(5, b"k"));
        dirty.flushed_all();
        assert!(dirty.is_empty());
    }

    #[test]
    fn everything_is_dirty_in_every_database_until_all_is_flushed() {
        let mut dirty = DirtySet::new(DirtyLimits::default());
        dirty.mark_everything();
        assert!(dirty.contains(0, b"a") && dirty.contains(9, b"b"));
        dirty.flushed_db(0);
        assert!(dirty.contains(0, b"a"));
        dirty.flushed_all();
        assert!(dirty.is_empty());
    }

    proptest! {
        #[test]
        fn a_marked_key_is_dirty_whatever_the_bounds(keys in prop::collection::vec((0..3_u32, prop::collection::vec(any::<u8>(), 0..20)), 0..50), keys_max in 0..40_usize, bytes_max in 0..2000_usize) {
            let mut dirty = DirtySet::new(DirtyLimits { keys_max, bytes_max });
            for (db, key) in &keys {
                dirty.mark(*db, key);
            }
            prop_assert!(dirty.keys() <= keys_max);
            prop_assert!(keys.iter().all(|(db, key)| dirty.contains(*db, key)));
            prop_assert_eq!(dirty.is_empty(), keys.is_empty());
        }
    }
}
