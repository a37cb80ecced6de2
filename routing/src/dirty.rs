//! The keys that may differ between the sides, in bounded memory.
//!
//! In: keys whose effect failed, was lost or was never sent, and keys whose copy is on its way. Out: "may this key
//! differ?", and which key to copy next.
//!
//! Invariant: a key that was marked is dirty until its copy is put onto the secondary's lane, or what marked it is undone
//! by a flush of its database. Past the bounds keys fold into hash buckets, so that memory ends and the truth does not: a
//! folded bucket makes every key that hashes into it dirty, until a scan of both sides has named those that there are.
//! Buckets do not know databases, so that SWAPDB and MOVE need no care.

mod buckets;
mod doubts;

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;

use crate::intent::{Intent, IntentStore, Progress};
use doubts::Doubts;

pub(crate) use buckets::{BUCKETS, Buckets, bucket_of};

/// Up to so many databases a key is named in each of them, when nobody knows in which it is.
const NAMED_DBS: u32 = 64;

/// What one marked key costs beside its own bytes: its boxed slice and its place in a half-full table.
const KEY_OVERHEAD_BYTES: usize = 64;

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

/// What is being done about a dirty key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing yet.
    Waits,
    /// It is being copied.
    Copying,
    /// The same, but a change whose place in the order nobody knows came in between: the copy may be without it.
    CopyingInVain,
    /// It is being copied in pieces, by this copy, and the secondary has some of them; or the same in vain, because something
    /// was written since.
    InPieces { flight: u32, in_vain: bool },
    /// Its copy has failed; it is not tried again before it is [`DirtySet::retry`]ed.
    Failed,
}

/// Whether the functions may differ, which are no key and are copied all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Functions {
    /// They do not.
    Clean,
    /// They may.
    Dirty,
    /// They may, until their copy is confirmed.
    Copied,
}

type Named = IndexMap<Box<[u8]>, Stage>;

/// Copies of a key that are on the secondary's lane.
#[derive(Clone, Copy, Debug, Default)]
struct Unconfirmed {
    copies: u32,
    /// Effects ahead of the last of them.
    ahead: u64,
    /// The last of them is whole: whatever effects ahead of it have done to the key, it mends.
    mends: bool,
}

/// The set of dirty keys of an interlay.
#[derive(Debug)]
pub struct DirtySet {
    limits: DirtyLimits,
    /// How many there are on either side; 0 if that is not known.
    databases: u32,
    by_db: BTreeMap<u32, Named>,
    names_lost: u64,
    keys: usize,
    bytes: usize,
    /// Keys that wait to be copied.
    waiting: usize,
    /// Where the search for the next one goes on.
    cursor: (u32, usize),
    /// Copied, but the copy is not confirmed.
    unconfirmed: HashMap<u32, HashMap<Box<[u8]>, Unconfirmed>>,
    doubts: Doubts,
    /// Keys held by name in each bucket; empty until the first is marked.
    named: Box<[u32]>,
    folded: Buckets,
    /// Buckets whose keys a scan of both sides is naming.
    scanned: Buckets,
    /// The functions, which are no key.
    functions: Functions,
    /// What of all this outlives the process.
    intent: Option<Intent>,
}

impl DirtySet {
    /// An empty set.
    #[must_use]
    pub fn new(limits: DirtyLimits) -> Self {
        Self {
            limits,
            databases: 0,
            by_db: BTreeMap::new(),
            names_lost: 0,
            keys: 0,
            bytes: 0,
            waiting: 0,
            cursor: (0, 0),
            unconfirmed: HashMap::new(),
            doubts: Doubts::default(),
            named: Box::default(),
            folded: Buckets::default(),
            scanned: Buckets::default(),
            functions: Functions::Clean,
            intent: None,
        }
    }

    /// A side has so many databases.
    pub fn has_databases(&mut self, databases: u32) {
        self.databases = self.databases.max(databases);
    }

    /// Whether every key is clean. The hot path asks nothing else while it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys == 0 && self.buckets() == 0
    }

    /// Whether every key is clean, and every copy confirmed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_empty() && self.unconfirmed.is_empty() && self.functions == Functions::Clean
    }

    /// Keys held by name.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Keys whose copy is not confirmed.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.unconfirmed.values().map(HashMap::len).sum()
    }

    /// Folded buckets, each of which stands for at least one dirty key.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.folded.count() + self.scanned.count()
    }

    /// How often keys have lost their names, or got another database.
    #[must_use]
    pub fn names_lost(&self) -> u64 {
        self.names_lost
    }

    /// Whether `key` of database `db` may differ.
    #[must_use]
    pub fn contains(&self, db: u32, key: &[u8]) -> bool {
        self.by_db.get(&db).is_some_and(|keys| keys.contains_key(key)) || self.is_folded(key)
    }

    /// Every key that is held by name, and those whose copies are not confirmed.
    pub fn names(&self) -> impl Iterator<Item = (u32, Box<[u8]>)> {
        let dirty = self.by_db.iter().flat_map(|(db, keys)| keys.keys().map(|key| (*db, key.clone())));
        dirty.chain(self.unconfirmed.iter().flat_map(|(db, keys)| keys.keys().map(|key| (*db, key.clone()))))
    }

    /// Whether `key` of database `db` is dirty, and held by name.
    #[must_use]
    pub fn is_named(&self, db: u32, key: &[u8]) -> bool {
        self.by_db.get(&db).is_some_and(|keys| keys.contains_key(key))
    }

    /// Whether the secondary's answers so far leave no doubt about those to come.
    #[must_use]
    pub fn is_free_of_doubt(&self) -> bool {
        self.doubts.by_key.is_empty() && self.doubts.everything_until == 0
    }

    /// Whether `key` may have differed on the secondary when it carried out the effect that is number `effect` of all.
    #[must_use]
    pub fn is_doubtful(&self, key: &[u8], effect: u64) -> bool {
        effect <= self.doubts.everything_until || self.doubts.by_key.get(key).is_some_and(|until| effect <= *until)
    }

    /// `key` may differ for the effects that are on the secondary's lane, of which the last one is number `effects` of all; or
    /// for those of them that are ahead of its copy.
    pub fn doubt(&mut self, db: u32, key: &[u8], effects: u64) {
        let copied = self.unconfirmed.get(&db).and_then(|keys| keys.get(key));
        self.doubts.add(key, copied.filter(|copied| copied.mends).map_or(effects, |copied| copied.ahead));
    }

    /// The same of every key.
    pub fn doubt_everything(&mut self, effects: u64) {
        self.doubts.everything_until = effects;
    }

    /// The secondary has answered so many effects. Reads right behind the last of them are still in doubt.
    pub fn end_doubts(&mut self, answered: u64) {
        self.doubts.end(answered);
    }

    /// Whether a copy of `key` is on the secondary's lane.
    #[must_use]
    pub fn is_unconfirmed(&self, db: u32, key: &[u8]) -> bool {
        self.unconfirmed.get(&db).is_some_and(|keys| keys.contains_key(key))
    }

    /// Whether a copy of `key` is on the secondary's lane that makes good what effects ahead of it have done.
    #[must_use]
    pub fn is_mended(&self, db: u32, key: &[u8]) -> bool {
        self.unconfirmed.get(&db).and_then(|keys| keys.get(key)).is_some_and(|copied| copied.mends)
    }

    // === Marks ===

    /// Marks `key` of database `db` for a change whose place in the order is known: a copy that is not answered yet will have
    /// it; of one in pieces, all of them have to be.
    pub fn mark(&mut self, db: u32, key: &[u8]) {
        let bucket = bucket_of(key);
        if let Some(stage) = self.stage(db, key) {
            if let Stage::InPieces { in_vain, .. } = stage {
                *in_vain = true;
            }
            return;
        }
        // A bucket that is being scanned is done with at the end of that; then the name counts.
        if self.folded.contains(bucket) {
            return;
        }
        let bytes = key.len() + KEY_OVERHEAD_BYTES;
        if self.keys >= self.limits.keys_max || self.bytes + bytes > self.limits.bytes_max {
            return self.fold(bucket);
        }
        if let Some(intent) = &mut self.intent {
            intent.mark(bucket);
        }
        if self.named.is_empty() {
            self.named = vec![0; BUCKETS].into();
        }
        if let Some(named) = self.named.get_mut(bucket) {
            *named += 1;
        }
        self.by_db.entry(db).or_default().insert(key.into(), Stage::Waits);
        self.keys += 1;
        self.waiting += 1;
        self.bytes += bytes;
    }

    /// Marks `key` for a change whose place in the order is not known: a copy under way may be without it.
    pub fn mark_anew(&mut self, db: u32, key: &[u8]) {
        self.mark(db, key);
        if let Some(stage) = self.stage(db, key).filter(|stage| **stage == Stage::Copying) {
            *stage = Stage::CopyingInVain;
        }
    }

    /// What is known of the functions.
    #[must_use]
    pub fn functions(&self) -> Functions {
        self.functions
    }

    /// The functions may differ.
    pub fn mark_functions(&mut self) {
        self.functions = Functions::Dirty;
    }

    /// A copy of the functions is put onto the secondary's lane now.
    pub fn functions_copied(&mut self) {
        self.functions = Functions::Copied;
    }

    /// The secondary has confirmed that copy: it counts if they were not marked since.
    pub fn functions_confirmed(&mut self) {
        if self.functions == Functions::Copied {
            self.functions = Functions::Clean;
        }
    }

    /// Marks `key` whatever its database: for commands that reach into another one.
    pub fn mark_in_every_db(&mut self, key: &[u8]) {
        if (1..=NAMED_DBS).contains(&self.databases) {
            return (0..self.databases).for_each(|db| self.mark_anew(db, key));
        }
        self.fold(bucket_of(key));
    }

    /// Marks every key of a bucket.
    pub fn mark_bucket(&mut self, bucket: usize) {
        self.fold(bucket % BUCKETS);
    }

    /// Marks every key there is or may be.
    pub fn mark_everything(&mut self) {
        self.forget_names();
        self.folded.fill();
        if let Some(intent) = &mut self.intent {
            intent.mark_everything();
        }
    }

    /// Both sides have dropped all keys of `db`. Folded buckets stay: they may stand for keys of other databases.
    pub fn flushed_db(&mut self, db: u32) {
        self.names_lost += 1;
        let gone = self.by_db.remove(&db).unwrap_or_default();
        self.keys -= gone.len();
        self.waiting -= gone.values().filter(|stage| **stage == Stage::Waits).count();
        for key in gone.keys() {
            self.bytes -= key.len() + KEY_OVERHEAD_BYTES;
            self.unname(key);
        }
    }

    /// Both sides have dropped all keys.
    pub fn flushed_all(&mut self) {
        self.forget_names();
        self.folded = Buckets::default();
        self.scanned = Buckets::default();
    }

    /// Both sides have swapped databases `a` and `b`. Copies under way are of what was there before.
    pub fn swapped(&mut self, a: u32, b: u32) {
        self.names_lost += 1;
        let (mut of_a, mut of_b) = (self.by_db.remove(&a), self.by_db.remove(&b));
        for stage in of_a.iter_mut().chain(&mut of_b).flat_map(|keys| keys.values_mut()) {
            if *stage != Stage::Waits {
                *stage = Stage::Waits;
                self.waiting += 1;
            }
        }
        self.by_db.extend(of_a.map(|keys| (b, keys)));
        self.by_db.extend(of_b.map(|keys| (a, keys)));
        // What is folded and has no database needs no care, but a scan that goes from database to database does.
        self.end_scan(false);
    }

    fn forget_names(&mut self) {
        self.names_lost += 1;
        self.by_db = BTreeMap::new();
        self.named.fill(0);
        self.keys = 0;
        self.waiting = 0;
        self.bytes = 0;
    }

    // === Copies ===

    /// Keys that wait to be copied.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether no more keys can be held by name than twice as many as there are.
    #[must_use]
    pub fn is_half_full(&self) -> bool {
        self.keys * 2 >= self.limits.keys_max || self.bytes * 2 >= self.limits.bytes_max
    }

    /// The next key to copy, which counts as being copied from now on.
    pub fn next_to_copy(&mut self) -> Option<(u32, Box<[u8]>)> {
        while self.waiting > 0 {
            let (db, at) = self.cursor;
            let keys = self.by_db.range_mut(db..).next();
            let Some((&found, keys)) = keys else {
                self.cursor = (0, 0);
                continue;
            };
            let at = if found == db { at } else { 0 };
            let Some(next) = (at..keys.len()).find(|at| keys.get_index(*at).is_some_and(|(_, stage)| *stage == Stage::Waits)) else {
                self.cursor = (found.wrapping_add(1), 0);
                continue;
            };
            self.cursor = (found, next + 1);
            let (key, stage) = keys.get_index_mut(next)?;
            *stage = Stage::Copying;
            self.waiting -= 1;
            return Some((found, key.clone()));
        }
        None
    }

    /// A key is to be copied next; false if it does not wait for that.
    pub fn begin_copy(&mut self, db: u32, key: &[u8]) -> bool {
        match self.stage(db, key) {
            Some(stage @ Stage::Waits) => {
                *stage = Stage::Copying;
                self.waiting -= 1;
                true
            }
            _ => false,
        }
    }

    /// A key's copy, or the last piece of it, is put onto the secondary's lane now, behind all that it has and ahead of all that
    /// it has not. So many effects have been put there before.
    pub fn copied(&mut self, db: u32, key: &[u8], effects: u64, whole: bool) {
        match self.stage(db, key) {
            Some(Stage::Copying) => self.remove(db, key),
            Some(stage @ (Stage::CopyingInVain | Stage::InPieces { .. })) => {
                *stage = Stage::Waits;
                self.waiting += 1;
            }
            _ => {}
        }
        let unconfirmed = self.unconfirmed.entry(db).or_default().entry(key.into()).or_default();
        *unconfirmed = Unconfirmed { copies: unconfirmed.copies + 1, ahead: effects, mends: whole };
    }

    /// The first piece of a key's copy is put onto the secondary's lane now; false if the copy is in vain already.
    pub fn begin_pieces(&mut self, db: u32, key: &[u8], flight: u32) -> bool {
        let stage = self.stage(db, key).filter(|stage| **stage == Stage::Copying);
        stage.is_some_and(|stage| {
            *stage = Stage::InPieces { flight, in_vain: false };
            true
        })
    }

    /// Whether this copy in pieces may go on: not if it is in vain. None if it is not what the key is waiting for any more.
    #[must_use]
    pub fn may_go_on(&self, db: u32, key: &[u8], flight: u32) -> Option<bool> {
        match self.by_db.get(&db)?.get(key)? {
            Stage::InPieces { flight: own, in_vain } if *own == flight => Some(!in_vain),
            _ => None,
        }
    }

    /// Whether the secondary has some pieces of `key`, and the copy is not in vain.
    #[must_use]
    pub fn is_in_pieces(&self, db: u32, key: &[u8]) -> bool {
        matches!(self.by_db.get(&db).and_then(|keys| keys.get(key)), Some(Stage::InPieces { in_vain: false, .. }))
    }

    /// The last piece of a copy that may go on comes next, or what ends it otherwise: [`DirtySet::copied`] says when it is there.
    pub fn end_pieces(&mut self, db: u32, key: &[u8]) {
        if let Some(stage @ Stage::InPieces { in_vain: false, .. }) = self.stage(db, key) {
            *stage = Stage::Copying;
        }
    }

    /// The secondary has answered a key's copy, or never will.
    pub fn confirmed(&mut self, db: u32, key: &[u8]) {
        let Some(keys) = self.unconfirmed.get_mut(&db) else { return };
        if let Some(unconfirmed) = keys.get_mut(key) {
            unconfirmed.copies -= 1;
            if unconfirmed.copies == 0 {
                keys.remove(key);
            }
        }
        if keys.is_empty() {
            self.unconfirmed.remove(&db);
        }
    }

    /// A key's copy has come to nothing, and waits to be made anew.
    pub fn not_copied(&mut self, db: u32, key: &[u8]) {
        if let Some(stage @ (Stage::Copying | Stage::CopyingInVain | Stage::InPieces { .. })) = self.stage(db, key) {
            *stage = Stage::Waits;
            self.waiting += 1;
        }
    }

    /// A key is found to be the same on both sides.
    pub fn equal(&mut self, db: u32, key: &[u8]) {
        match self.stage(db, key) {
            Some(Stage::Copying) => self.remove(db, key),
            _ => self.not_copied(db, key),
        }
    }

    /// A key's copy has failed: it stays dirty, and is left alone until it is [`DirtySet::retry`]ed; but for another copy of it
    /// that is under way already.
    pub fn failed(&mut self, db: u32, key: &[u8]) {
        self.mark(db, key);
        if let Some(stage) = self.stage(db, key).filter(|stage| **stage == Stage::Waits) {
            *stage = Stage::Failed;
            self.waiting -= 1;
        }
    }

    /// A key whose copy has failed waits to be copied again; false if it is clean by now.
    pub fn retry(&mut self, db: u32, key: &[u8]) -> bool {
        match self.stage(db, key) {
            Some(stage @ Stage::Failed) => {
                *stage = Stage::Waits;
                self.waiting += 1;
                true
            }
            stage => stage.is_some(),
        }
    }

    fn stage(&mut self, db: u32, key: &[u8]) -> Option<&mut Stage> {
        self.by_db.get_mut(&db)?.get_mut(key)
    }

    fn remove(&mut self, db: u32, key: &[u8]) {
        let Some(keys) = self.by_db.get_mut(&db) else { return };
        if keys.swap_remove(key).is_some() {
            let is_last = keys.is_empty();
            self.keys -= 1;
            self.bytes -= key.len() + KEY_OVERHEAD_BYTES;
            self.unname(key);
            if is_last {
                self.by_db.remove(&db);
            }
        }
    }

    // === Buckets ===

    /// Whether there are folded buckets that no scan is about.
    #[must_use]
    pub fn needs_scan(&self) -> bool {
        self.folded.count() > 0
    }

    /// A scan of both sides begins, that will [`DirtySet::mark`] every key of the folded buckets. Until its end what is written
    /// there is marked by name.
    pub fn begin_scan(&mut self) {
        debug_assert!(self.scanned.count() == 0, "one scan at a time");
        self.scanned = std::mem::take(&mut self.folded);
    }

    /// Whether the scan under way is about `key`.
    #[must_use]
    pub fn is_scanned(&self, key: &[u8]) -> bool {
        self.scanned.contains(bucket_of(key))
    }

    /// The scan is at its end; if it is not `whole`, its buckets are as they were before.
    pub fn end_scan(&mut self, whole: bool) {
        let scanned = std::mem::take(&mut self.scanned);
        if !whole && scanned.count() > 0 {
            (0..BUCKETS).filter(|bucket| scanned.contains(*bucket)).for_each(|bucket| _ = self.folded.insert(bucket));
        }
    }

    // === What outlives the process ===

    /// Keeps the buckets of keys that are dirty, or may become so, in `store` from now on.
    pub fn remember(&mut self, store: Box<dyn IntentStore>) {
        self.intent = Some(Intent::new(store));
    }

    /// Whether it does.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        self.intent.is_some()
    }

    /// `key` is about to be written.
    pub fn intend(&mut self, key: &[u8]) {
        if let Some(intent) = &mut self.intent {
            intent.intend(key);
        }
    }

    /// Any key is about to be written.
    pub fn intend_everything(&mut self) {
        if let Some(intent) = &mut self.intent {
            intent.mark_everything();
        }
    }

    /// Forgets what is settled, as far as the lanes have come.
    pub fn settle_intent(&mut self, progress: Progress) {
        let (named, folded, scanned) = (&self.named, &self.folded, &self.scanned);
        if let Some(intent) = &mut self.intent {
            let is_dirty =
                |bucket: usize| named.get(bucket).is_some_and(|named| *named > 0) || folded.contains(bucket) || scanned.contains(bucket);
            intent.rotate(progress, is_dirty);
        }
    }

    /// Buckets that a process that comes after this one would have to repair.
    #[must_use]
    pub fn intended_buckets(&self) -> usize {
        self.intent.as_ref().map_or(0, Intent::marked)
    }

    fn fold(&mut self, bucket: usize) {
        self.folded.insert(bucket);
        if let Some(intent) = &mut self.intent {
            intent.mark(bucket);
        }
    }

    fn unname(&mut self, key: &[u8]) {
        if let Some(named) = self.named.get_mut(bucket_of(key)) {
            *named -= 1;
        }
    }

    fn is_folded(&self, key: &[u8]) -> bool {
        if self.buckets() == 0 {
            return false;
        }
        let bucket = bucket_of(key);
        self.folded.contains(bucket) || self.scanned.contains(bucket)
    }
}

#[cfg(test)]
mod tests;
