//! The backfill: every key is copied once, as the operator wants it. What it is to do, and how far it has come.
//!
//! There is no mechanism of its own behind it: a sweep ([`crate::sweep`]) names the keys, and they are copied as dirty keys are.
//!
//! | conflict | a key that both sides have | a key that only the secondary has |
//! |---|---|---|
//! | `replace` | gets the authority's value | is removed |
//! | `none` | is kept as it is | is kept |
//! | `merge` | hashes, sets, sorted sets: the authority's elements are put on top; others are kept | is kept |
//!
//! *Has* means: when the backfill began. For `none` and `merge` the secondary is scanned first. What is mirrored meanwhile may
//! bring keys there, so the secondary is asked for them right ahead of each effect: what it has then is its own.
//!
//! A key that is kept is mirrored as any other from then on. If the secondary answers an effect otherwise than the authority,
//! as it may where the values differ, the key becomes dirty, and is copied over.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::repairs::KeyAt;
use crate::split::key_hash;

/// Kept keys that are listed; more are counted.
const KEPT_LISTED: usize = 10_000;

/// Keys of the secondary's own that `none` and `merge` can remember. 8 bytes each.
const OWN_KEYS_MAX: usize = 8 << 20;

/// What becomes of keys that the secondary has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflict {
    /// The authority wins.
    #[default]
    Replace,
    /// The secondary's are kept.
    None,
    /// The authority's elements are put on top of the secondary's.
    Merge,
}

impl Conflict {
    /// Each with its name.
    pub const ALL: [(Self, &'static str); 3] = [(Self::Replace, "replace"), (Self::None, "none"), (Self::Merge, "merge")];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::None => "none",
            Self::Merge => "merge",
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Conflict {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|(_, known)| *known == name);
        found.map(|(conflict, _)| conflict).ok_or("a conflict policy is one of replace, none, merge")
    }
}

/// Bounds of a backfill's speed; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackfillLimits {
    /// Keys copied in a second.
    pub keys_per_s: u64,
    /// Bytes of values copied in a second, as the authority tells their size.
    pub bytes_per_s: u64,
    /// Whether as many keys are copied at once as there is room for, however long the authority takes to answer.
    pub greedy: bool,
}

/// What a backfill is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackfillOptions {
    /// Only keys that match this glob, as SCAN understands it.
    pub pattern: Option<Box<[u8]>>,
    /// Only keys of this type, as TYPE names it.
    pub kind: Option<Box<str>>,
    /// Only these databases; all if there are none.
    pub dbs: Vec<u32>,
    /// What becomes of keys that the secondary has already.
    pub conflict: Conflict,
    /// How fast.
    pub limits: BackfillLimits,
}

impl BackfillOptions {
    /// Whether the sides are the same behind it: nothing is left out, nothing is kept.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.conflict == Conflict::Replace && !self.is_filtered()
    }

    /// Whether keys are left out.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        self.pattern.is_some() || self.kind.is_some() || !self.dbs.is_empty()
    }
}

/// How a backfill is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackfillState {
    /// There was none.
    #[default]
    None,
    /// It names and copies keys.
    Running,
    /// It names no more keys.
    Paused,
    /// Every key was copied, but for those that are kept and error keys.
    Ended,
    /// The operator has ended it.
    Cancelled,
    /// It could not go on.
    Failed,
}

impl BackfillState {
    /// Each with its name.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::None, "none"),
        (Self::Running, "running"),
        (Self::Paused, "paused"),
        (Self::Ended, "ended"),
        (Self::Cancelled, "cancelled"),
        (Self::Failed, "failed"),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(state, _)| *state == self).map_or("none", |(_, name)| name)
    }

    /// Whether there is something left to do.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// How far a backfill has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackfillProgress {
    /// How it is doing.
    pub state: BackfillState,
    /// What it is to do.
    pub options: BackfillOptions,
    /// About how many keys there are to look at, by the authority's count of its databases.
    pub keys_expected: u64,
    /// About how many of these it has looked at.
    pub keys_seen: u64,
    /// Keys that it has found to copy.
    pub keys_named: u64,
    /// Keys copied since it began, the same one perhaps more than once.
    pub keys_copied: u64,
    /// Bytes of the requests that have copied them.
    pub bytes_copied: u64,
    /// Keys that the secondary had already, and that are kept.
    pub keys_kept: u64,
    /// Keys of which the authority's elements were put on top of the secondary's.
    pub keys_merged: u64,
    /// Keys removed because only the secondary had them.
    pub keys_removed: u64,
    /// Keys that keep failing to be copied.
    pub errors: u64,
    /// Every key is named.
    pub swept: bool,
    /// Whether it looks for keys that only the secondary has by now.
    pub looks_for_strangers: bool,
    /// How often it went on in another process.
    pub resumed: u64,
    /// Unit: milliseconds since 1970.
    pub started_ms: u64,
    /// The same; none while it is under way.
    pub ended_ms: Option<u64>,
    /// Why it could not go on.
    pub reason: Option<String>,
}

impl BackfillProgress {
    /// Whether both sides hold the same, as far as it has come to its end without errors: nothing was left out or kept.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.state == BackfillState::Ended && self.options.is_whole()
    }
}

/// A key that is kept as the secondary has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptKey {
    /// Its database.
    pub db: u32,
    /// The key.
    pub key: Box<[u8]>,
    /// Why.
    pub reason: String,
}

/// Why an order about a backfill is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackfillRefused {
    /// There is one side only.
    #[error("there is no target to copy to")]
    NoTarget,
    /// One is.
    #[error("a backfill is under way: cancel it first, or wait for its end")]
    UnderWay,
    /// None is.
    #[error("no backfill is under way")]
    NotUnderWay,
    /// A filter names what no side has.
    #[error("there is no database {0}")]
    NoDatabase(u32),
}

/// How far a sweep of every key has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// It is of the secondary's keys, those of the authority being named.
    pub strangers: bool,
    /// The database.
    pub db: u32,
    /// The server's cursor in it.
    pub cursor: Vec<u8>,
}

/// What outlives the process of a sweep of every key, and of a backfill.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// How far the backfill has come, if there was one.
    pub progress: Option<BackfillProgress>,
    /// How far the sweep has come, if there is one to go on with.
    pub place: Option<Place>,
    /// Buckets of keys that were written since the sweep began: 64 a word.
    pub written: Vec<u64>,
    /// By database, what is remembered of the keys that the secondary had when the backfill began.
    pub own_keys: Vec<(u32, Vec<u64>)>,
}

/// Where that is kept. What is saved must survive the process from the moment the call returns.
pub trait PositionStore: fmt::Debug {
    /// Keeps all but what the other two do.
    fn save(&mut self, progress: Option<&BackfillProgress>, place: Option<&Place>);

    /// Replaces the buckets `64 * n` and up, the lowest first.
    fn set_written(&mut self, n: usize, bits: u64);

    /// Keeps the secondary's own keys.
    fn save_own_keys(&mut self, own_keys: &BTreeMap<u32, Vec<u64>>);
}

/// How it stands with the keys when a backfill begins: what its cancelling leads back to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Before {
    /// Any key may differ.
    pub(crate) suspect: bool,
    /// Every key is being copied, or is to be.
    pub(crate) swept: bool,
    /// Every key was copied.
    pub(crate) in_sync: bool,
}

/// A backfill, if there is or was one; and where sweeps are remembered.
#[derive(Debug, Default)]
pub(crate) struct Backfill {
    pub(crate) progress: BackfillProgress,
    /// What the sweep is told to do.
    pub(crate) options: Arc<BackfillOptions>,
    /// Keys that were dirty when every key was named, and are not copied since. Others that become dirty are the mirror's affair.
    pub(crate) outstanding: Option<HashSet<KeyAt>>,
    /// When it is looked which of them are clean for another reason than a copy. Unit: milliseconds.
    pub(crate) look_due_ms: u64,
    /// When the authority is asked how many keys it has. Unit: milliseconds.
    pub(crate) count_due_ms: u64,
    pub(crate) kept: Vec<KeptKey>,
    /// How it stood before it began, or what has come of that since.
    pub(crate) before: Before,
    /// Fingerprints of keys that the secondary had before, sorted once all are known.
    pub(crate) own_keys: BTreeMap<u32, Vec<u64>>,
    own_count: usize,
    /// All of them are known.
    pub(crate) knows_own: bool,
    /// Those that it has got from the mirror while it was scanned.
    pub(crate) mirrored: HashSet<(u32, u64)>,
    /// Keys to be merged.
    pub(crate) merging: VecDeque<KeyAt>,
    /// How many of them are under way.
    pub(crate) merges: usize,
    pub(crate) store: Option<Box<dyn PositionStore>>,
    /// Where an earlier process has left off.
    pub(crate) resume: Option<(Place, Vec<u64>)>,
}

impl Backfill {
    pub(crate) fn is_paused(&self) -> bool {
        self.progress.state == BackfillState::Paused
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.progress.state.is_under_way()
    }

    /// Whether the secondary's own keys are to be left alone by every scan: until the operator has all copied.
    pub(crate) fn keeps(&self) -> bool {
        self.progress.state != BackfillState::None && self.progress.options.conflict != Conflict::Replace
    }

    /// Whether keys are still to be named, so that any may differ.
    pub(crate) fn is_naming(&self) -> bool {
        self.is_under_way() && !self.progress.swept
    }

    /// A key's copy is confirmed.
    pub(crate) fn copied(&mut self, db: u32, key: &[u8]) {
        if self.is_under_way() {
            self.progress.keys_copied += 1;
            if let Some(outstanding) = &mut self.outstanding {
                outstanding.remove(&(db, Box::from(key)));
            }
        }
    }

    /// Whether a sweep of its own is wanted, because the one that ends a suspicion would do more than it is told.
    pub(crate) fn wants_own_sweep(&self) -> bool {
        self.is_under_way() && !self.progress.swept && !self.options.is_whole()
    }

    /// Whether it is done but for the copies that are being made.
    pub(crate) fn is_named(&self) -> bool {
        self.is_under_way() && self.progress.swept && self.merging.is_empty() && self.merges == 0
    }

    pub(crate) fn end(&mut self, state: BackfillState, reason: Option<String>, now_unix_ms: u64) {
        self.progress.state = state;
        self.progress.reason = reason;
        self.progress.ended_ms = Some(now_unix_ms);
        self.progress.looks_for_strangers = false;
        (self.resume, self.outstanding) = (None, None);
        self.forget_own_keys();
        self.merging.clear();
        self.save(None);
    }

    /// Begins to scan the secondary for its own keys.
    pub(crate) fn forget_own_keys(&mut self) {
        self.own_keys.clear();
        (self.own_count, self.knows_own) = (0, false);
        self.mirrored.clear();
    }

    /// The secondary has `key`; false if no more can be remembered.
    pub(crate) fn note_own(&mut self, db: u32, key: &[u8]) -> bool {
        let print = key_hash(key);
        if !self.mirrored.contains(&(db, print)) {
            self.own_keys.entry(db).or_default().push(print);
            self.own_count += 1;
        }
        self.own_count < OWN_KEYS_MAX
    }

    /// The mirror is about to bring `key` to the secondary, which does not have it.
    pub(crate) fn note_mirrored(&mut self, db: u32, key: &[u8]) {
        self.mirrored.insert((db, key_hash(key)));
    }

    /// Every key of the secondary was seen.
    pub(crate) fn know_own_keys(&mut self) {
        for (db, prints) in &mut self.own_keys {
            prints.retain(|print| !self.mirrored.contains(&(*db, *print)));
            prints.sort_unstable();
            prints.dedup();
            prints.shrink_to_fit();
        }
        self.mirrored = HashSet::new();
        self.knows_own = true;
        if let Some(store) = &mut self.store {
            store.save_own_keys(&self.own_keys);
        }
    }

    pub(crate) fn is_own(&self, db: u32, key: &[u8]) -> bool {
        self.own_keys.get(&db).is_some_and(|prints| prints.binary_search(&key_hash(key)).is_ok())
    }

    pub(crate) fn keep(&mut self, db: u32, key: &[u8], reason: &str) {
        self.progress.keys_kept += 1;
        if self.kept.len() < KEPT_LISTED {
            self.kept.push(KeptKey { db, key: key.into(), reason: reason.to_owned() });
        }
    }

    /// Keeps what outlives the process.
    pub(crate) fn save(&mut self, place: Option<&Place>) {
        if let Some(store) = &mut self.store {
            let progress = Some(&self.progress).filter(|progress| progress.state != BackfillState::None);
            store.save(progress, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for (conflict, name) in Conflict::ALL {
            assert_eq!((conflict.name(), name.parse()), (name, Ok(conflict)));
        }
        assert!("keep".parse::<Conflict>().is_err());
        assert!(BackfillState::ALL.into_iter().all(|(state, name)| state.name() == name));
    }

    #[test]
    fn what_the_mirror_brings_is_not_the_secondarys_own_whenever_it_is_seen() {
        let mut backfill = Backfill::default();
        assert!(backfill.note_own(0, b"before"));
        assert!(backfill.note_own(0, b"gone and mirrored since"));
        backfill.note_mirrored(0, b"gone and mirrored since");
        backfill.note_mirrored(0, b"mirrored");
        assert!(backfill.note_own(0, b"mirrored") && backfill.note_own(1, b"mirrored"));
        backfill.know_own_keys();
        let own = |db, key: &str| backfill.is_own(db, key.as_bytes());
        assert!(own(0, "before") && own(1, "mirrored"));
        assert!(!own(0, "gone and mirrored since") && !own(0, "mirrored") && !own(1, "before"));
    }

    #[test]
    fn a_backfill_is_whole_if_nothing_is_left_out_or_kept() {
        let whole = BackfillOptions::default();
        assert!(whole.is_whole());
        assert!(!BackfillOptions { dbs: vec![0], ..whole.clone() }.is_whole());
        assert!(!BackfillOptions { pattern: Some(b"*"[..].into()), ..whole.clone() }.is_whole());
        assert!(!BackfillOptions { kind: Some("hash".into()), ..whole.clone() }.is_whole());
        assert!(!BackfillOptions { conflict: Conflict::Merge, ..whole }.is_whole());
    }
}
