//! What the authority's keys have held, state by state: the measure of staleness.

use std::collections::BTreeMap;
use std::ops::Range;

use super::agenda::Instant;
use super::command;
use super::reply::Reply;
use super::store::{Item, Key, Store};

/// The place of an execution among all executions of both servers.
pub(crate) type Index = u64;

#[derive(Default)]
pub(crate) struct History {
    /// Of each key, oldest first.
    versions: BTreeMap<(u32, Key), Vec<Version>>,
    /// Deadlines that keys were given, even if they had passed on the authority by then.
    deadlines: BTreeMap<(u32, Key), Vec<Instant>>,
}

/// What a key held from an execution on.
struct Version {
    from: Index,
    item: Option<Item>,
}

impl History {
    /// A new authority, or one that lost its data: history begins again with what it holds.
    pub(crate) fn begin(&mut self, index: Index, store: &Store) {
        self.versions.clear();
        store.keys().map(|(db, key)| (db, key.clone())).for_each(|key| self.note(index, key, store));
    }

    /// The authority has written a key.
    pub(crate) fn note(&mut self, index: Index, key: (u32, Key), store: &Store) {
        let item = store.get(key.0, &key.1).cloned();
        self.versions.entry(key).or_default().push(Version { from: index, item });
    }

    /// A key was written with a deadline.
    pub(crate) fn gave_deadline(&mut self, key: (u32, Key), deadline: Instant) {
        self.deadlines.entry(key).or_default().push(deadline);
    }

    /// Whether a state of `within` (the last that an execution before it has left counts for its start) would
    /// have answered a read at `now` like this. One state for all keys of the read: there are no torn ones.
    pub(crate) fn explains(
        &self,
        args: &[&[u8]],
        db: u32,
        now: Instant,
        apart: Instant,
        within: Range<Index>,
        is: impl Fn(&Reply) -> bool,
    ) -> bool {
        let keys = || args.iter().skip(1).map(|key| (db, key.to_vec()));
        // What is about to expire, or has just done so, is there on one side and not on the other.
        let expires = |version: &&Version| {
            version.item.as_ref().and_then(|item| item.deadline).is_some_and(|deadline| deadline.abs_diff(now) <= apart)
        };
        let asks_when = args.first().is_some_and(|name| *name == b"PEXPIRETIME");
        let passed = keys().filter_map(|key| self.deadlines.get(&key)).flatten().any(|deadline| deadline.abs_diff(now) <= apart);
        if asks_when || passed || keys().filter_map(|key| self.versions.get(&key)).flatten().any(|version| expires(&version)) {
            return true;
        }
        let keys = keys();
        let later = keys.filter_map(|key| self.versions.get(&key)).flatten().map(|version| version.from);
        let states = later.filter(|index| within.contains(index)).chain([within.start]);
        let mut states: Vec<Index> = states.collect();
        states.dedup();
        states.into_iter().any(|index| command::read(args, |key| self.at(index, db, key, now)).is_some_and(|reply| is(&reply)))
    }

    fn at(&self, index: Index, db: u32, key: &[u8], now: Instant) -> Option<&Item> {
        let versions = self.versions.get(&(db, key.to_vec()))?;
        let version = versions.iter().rev().find(|version| version.from <= index)?;
        version.item.as_ref().filter(|item| item.lives_at(now))
    }
}
