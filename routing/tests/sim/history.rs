//! What the authority's keys have held, state by state: the measure of staleness.

use std::collections::BTreeMap;

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

    /// Whether a state of `floor..ceiling` (the last that an execution before it has left counts for `floor`) would
    /// have answered a read at `now` like this. One state for all keys of the read: there are no torn ones.
    pub(crate) fn explains(
        &self,
        args: &[&[u8]],
        db: u32,
        now: Instant,
        floor: Index,
        ceiling: Index,
        is: impl Fn(&Reply) -> bool,
    ) -> bool {
        let keys = args.iter().skip(1).map(|key| (db, key.to_vec()));
        let later = keys.filter_map(|key| self.versions.get(&key)).flatten().map(|version| version.from);
        let states = later.filter(|index| (floor..ceiling).contains(index)).chain([floor]);
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
