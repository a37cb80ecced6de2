//! The keys of queued requests, asked for only when something may differ.

use std::sync::Arc;

use interlay_resp::{Request, requests};

use crate::command::{Access, KeyRef};
use crate::conduct::Catalog;
use crate::dirty::DirtySet;
use crate::effect::{Effect, Extent};
use crate::parked::Parked;
use crate::transaction::selected;

/// Commands that bring at most as many things to take as they have arguments behind the key.
const PUSHES: [&[u8]; 5] = [b"lpush", b"rpush", b"lmove", b"rpoplpush", b"zadd"];

/// Finds the keys of requests and what the dirty set says of them.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) catalog: Arc<Catalog>,
    /// Used again from one request to the next.
    refs: Vec<KeyRef>,
}

impl Keys {
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, refs: Vec::new() }
    }

    /// Whether `wanted` holds for every key, of which there is at least one.
    pub(crate) fn all(&mut self, request: Request<'_>, wanted: impl Fn(&[u8]) -> bool) -> bool {
        self.find(request) && !self.refs.is_empty() && self.named(request).all(|(key, _)| wanted(key))
    }

    /// Whether any key is dirty. A request whose keys cannot be told counts as one with a dirty key.
    pub(crate) fn any_dirty(&mut self, dirty: &DirtySet, db: u32, request: Request<'_>) -> bool {
        !dirty.is_empty() && (!self.find(request) || self.named(request).any(|(key, _)| dirty.contains(db, key)))
    }

    /// As [`Keys::any_dirty`], of the requests of a queue's entry.
    pub(crate) fn any_dirty_in(&mut self, dirty: &DirtySet, db: u32, entry: &[u8]) -> bool {
        !dirty.is_empty() && in_dbs(db, entry).any(|(db, request)| self.any_dirty(dirty, db, request))
    }

    /// Marks every key that the requests of a queue's entry write; in every database, if they may not have stayed in
    /// `db`.
    pub(crate) fn mark_written(&mut self, dirty: &mut DirtySet, db: u32, entry: &[u8], mut moved_on: bool) {
        for (db, request) in in_dbs(db, entry) {
            // Nobody has seen its reply: the number may be of no database.
            moved_on |= request.name().eq_ignore_ascii_case(b"select");
            let effect = self.catalog.effect(request);
            if effect == Effect::Nothing {
                continue;
            }
            if effect.settles() || !self.find(request) {
                return dirty.mark_everything();
            }
            for (key, _) in self.named(request).filter(|(_, access)| *access == Access::Write) {
                if moved_on || effect.crosses_dbs() {
                    dirty.mark_in_every_db(key);
                } else {
                    dirty.mark(db, key);
                }
            }
        }
    }

    /// The request's keys, copied.
    pub(crate) fn copied(&mut self, request: Request<'_>) -> Vec<Box<[u8]>> {
        self.find(request);
        self.named(request).map(|(key, _)| key.into()).collect()
    }

    /// Lets those who wait for a key that `request` has written be tried.
    pub(crate) fn touch(&mut self, parked: &mut Parked, db: u32, request: Request<'_>, effect: Effect) {
        // What reaches other databases, or cannot be told, is rare enough to try everybody.
        if effect.settles() || effect.crosses_dbs() || !self.find(request) {
            return parked.touch_everything();
        }
        self.named(request).filter(|(_, access)| *access == Access::Write).for_each(|(key, _)| parked.touch(db, key));
    }

    /// Lets those who wait for a key that the requests of a queue's entry are about to write be tried behind them.
    pub(crate) fn foresee(&mut self, parked: &mut Parked, db: u32, entry: &[u8]) {
        for (db, request) in in_dbs(db, entry) {
            if self.catalog.effect(request) == Effect::Nothing || !self.find(request) {
                continue;
            }
            // A push brings as many things as it has arguments; what may bring more is followed up.
            let count = request.argc().saturating_sub(2).max(1);
            let exact = PUSHES.iter().any(|name| request.name().eq_ignore_ascii_case(name));
            self.named(request).filter(|(_, access)| *access == Access::Write).for_each(|(key, _)| parked.foresee(db, key, count, exact));
        }
    }

    /// What a flush or swap that is on its way to the secondary does to the dirty set by itself.
    pub(crate) fn flush(dirty: &mut DirtySet, db: u32, effect: Effect, request: Request<'_>) {
        match effect {
            Effect::Flush(Extent::All) => dirty.flushed_all(),
            Effect::Flush(Extent::Db) => dirty.flushed_db(db),
            Effect::SwapDb => match (number(request.arg(1)), number(request.arg(2))) {
                (Some(a), Some(b)) => dirty.swapped(a, b),
                _ => dirty.mark_everything(),
            },
            _ => {}
        }
    }

    /// Fills `refs`, in the order of the arguments; false if the keys cannot be told.
    fn find(&mut self, request: Request<'_>) -> bool {
        self.refs.clear();
        let found = self.catalog.table().lookup(request).is_some_and(|command| command.keys(request, &mut self.refs).is_ok());
        self.refs.sort_unstable_by_key(|key| key.arg);
        found
    }

    /// The keys that `refs` has found in `request`, in one walk over its arguments.
    fn named<'a>(&self, request: Request<'a>) -> impl Iterator<Item = (&'a [u8], Access)> {
        let mut args = request.args().enumerate();
        let mut at: Option<(usize, &'a [u8])> = None;
        self.refs.iter().map_while(move |key| {
            // The same argument may be two keys.
            if at.is_none_or(|(index, _)| index != key.arg) {
                at = args.find(|(index, _)| *index == key.arg);
            }
            at.map(|(_, arg)| (arg, key.access))
        })
    }
}

fn number(arg: Option<&[u8]>) -> Option<u32> {
    std::str::from_utf8(arg?).ok()?.parse().ok()
}

/// The requests of a queue's entry, each with the database it is carried out in.
fn in_dbs(mut db: u32, entry: &[u8]) -> impl Iterator<Item = (u32, Request<'_>)> {
    requests(entry).map(move |request| {
        if request.name().eq_ignore_ascii_case(b"select") {
            db = selected(request).unwrap_or(db);
        }
        (db, request)
    })
}

/// The view of a queued request: it was scanned before it was queued, so its head is well formed.
pub(crate) fn view(bytes: &[u8]) -> Request<'_> {
    let head = bytes.split(|byte| *byte == b'\r').next().and_then(|head| head.strip_prefix(b"*"));
    Request::new(bytes, number(head).unwrap_or(0) as usize)
}
