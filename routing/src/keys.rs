//! The keys of queued requests, asked for only when something may differ.

use std::sync::Arc;

use interlay_resp::{Request, requests};

use crate::command::{Access, KeyRef};
use crate::conduct::Catalog;
use crate::deadlines::Deadlines;
use crate::dirty::DirtySet;
use crate::effect::{Effect, Extent};
use crate::parked::Parked;
use crate::repairs::{KeyAt, Repairs};
use crate::rewrite::deadline_of;
use crate::transaction::selected;

/// Commands that bring at most as many things to take as they have arguments behind the key.
const PUSHES: [&[u8]; 5] = [b"lpush", b"rpush", b"lmove", b"rpoplpush", b"zadd"];

/// Where in the order a write stands that leaves its keys dirty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The authority has just answered it: copies that it has not answered will have the write.
    Here,
    /// The secondary has just answered it: copies on its lane come behind it, and mend what it has done to their keys.
    AheadOfCopies,
    /// The same, but its keys may be in other databases since.
    MovedOn,
    /// Nobody knows.
    Unknown,
}

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

    /// Whether a key is dirty in the other database that the request reaches.
    pub(crate) fn any_dirty_there(&mut self, dirty: &DirtySet, request: Request<'_>) -> bool {
        reaches_db(request).is_some_and(|db| self.any_dirty(dirty, db, request))
    }

    /// Whether any key of the requests of a queue's entry may have differed on the secondary when that carried them out, behind
    /// effect number `effect`.
    pub(crate) fn any_doubtful(&mut self, dirty: &DirtySet, effect: u64, entry: &[u8]) -> bool {
        !dirty.is_free_of_doubt()
            && requests(entry).any(|request| !self.find(request) || self.named(request).any(|(key, _)| dirty.is_doubtful(key, effect)))
    }

    /// Whether any key of the requests of a queue's entry has just expired, or is about to.
    pub(crate) fn any_near(&mut self, deadlines: &Deadlines, entry: &[u8]) -> bool {
        !deadlines.is_quiet()
            && requests(entry).any(|request| {
                !self.catalog.overwrites(request) && (!self.find(request) || self.named(request).any(|(key, _)| deadlines.is_near(key)))
            })
    }

    /// The requests of a queue's entry are about to be sent to the authority.
    pub(crate) fn intend(&mut self, dirty: &mut DirtySet, entry: &[u8]) {
        for request in requests(entry) {
            let effect = self.catalog.effect(request);
            if effect == Effect::Nothing {
                continue;
            }
            if effect.settles() || !self.find(request) {
                return dirty.intend_everything();
            }
            self.named(request).filter(|(_, access)| *access == Access::Write).for_each(|(key, _)| dirty.intend(key));
        }
    }

    /// Marks every key that the requests of a queue's entry write; in every database, if they may not have stayed in
    /// `db`.
    pub(crate) fn mark_written(&mut self, dirty: &mut DirtySet, db: u32, entry: &[u8], place: Place) {
        self.mark(dirty, db, entry, place, false);
    }

    /// Marks every key that the requests of an effect write which the secondary has just answered, and doubts what the effects
    /// behind it find there, of which the last is number `effects`. If it `agreed`, it has emptied and swapped as the authority
    /// did.
    pub(crate) fn doubt_written(&mut self, dirty: &mut DirtySet, db: u32, entry: &[u8], place: Place, agreed: bool, effects: u64) {
        for (db, request) in in_dbs(db, entry) {
            if self.catalog.effect(request) == Effect::Nothing {
                continue;
            }
            if !self.find(request) || (self.catalog.effect(request).settles() && !agreed) {
                dirty.doubt_everything(effects);
                break;
            }
            self.named(request).filter(|(_, access)| *access == Access::Write).for_each(|(key, _)| dirty.doubt(db, key, effects));
        }
        self.mark(dirty, db, entry, place, agreed);
    }

    fn mark(&mut self, dirty: &mut DirtySet, db: u32, entry: &[u8], place: Place, agreed: bool) {
        let mut moved_on = place == Place::MovedOn;
        for (db, request) in in_dbs(db, entry) {
            // Nobody has seen its reply: the number may be of no database.
            moved_on |= request.name().eq_ignore_ascii_case(b"select");
            let effect = self.catalog.effect(request);
            if effect == Effect::Nothing {
                continue;
            }
            if effect.settles() && agreed {
                continue;
            }
            if request.name().eq_ignore_ascii_case(b"function") {
                dirty.mark_functions();
            }
            if effect.settles() || !self.find(request) {
                return dirty.mark_everything();
            }
            let other_db = if effect.crosses_dbs() { reaches_db(request) } else { None };
            for (key, _) in self.named(request).filter(|(_, access)| *access == Access::Write) {
                if let Some(other) = other_db {
                    dirty.mark_anew(other, key);
                }
                match place {
                    _ if moved_on || (effect.crosses_dbs() && other_db.is_none()) => dirty.mark_in_every_db(key),
                    Place::Unknown => dirty.mark_anew(db, key),
                    Place::AheadOfCopies if dirty.is_mended(db, key) => {}
                    Place::Here | Place::AheadOfCopies | Place::MovedOn => dirty.mark(db, key),
                }
            }
        }
    }

    /// Adds the dirty keys that the requests of a queue's entry write to `named`, each with the database that its own has
    /// become; false if not all are held by name.
    pub(crate) fn named_dirty(
        &mut self,
        dirty: &DirtySet,
        db: u32,
        entry: &[u8],
        become_db: impl Fn(u32) -> u32,
        named: &mut Vec<KeyAt>,
    ) -> bool {
        for (db, request) in in_dbs(db, entry) {
            let effect = self.catalog.effect(request);
            if effect == Effect::Nothing {
                continue;
            }
            if !self.find(request) {
                return false;
            }
            let other_db = if effect.crosses_dbs() { reaches_db(request) } else { None };
            for (key, _) in self.named(request).filter(|(_, access)| *access == Access::Write) {
                for db in [Some(db), other_db].into_iter().flatten().map(&become_db) {
                    if dirty.is_named(db, key) {
                        named.push((db, key.into()));
                    } else if dirty.contains(db, key) {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Whether the request names more than one key, or it cannot be told.
    pub(crate) fn are_several(&mut self, request: Request<'_>) -> bool {
        !self.find(request) || self.refs.len() > 1
    }

    /// Notes when keys expire by what the requests of an effect say.
    /// True if there is any such.
    pub(crate) fn note_deadlines(&mut self, deadlines: &mut Deadlines, entry: &[u8], here: impl Fn(u64) -> u64) -> bool {
        let mut noted = false;
        for request in requests(entry) {
            if let Some(deadline) = deadline_of(request)
                && self.find(request)
            {
                self.named(request).for_each(|(key, _)| deadlines.note(key, here(deadline)));
                noted = true;
            }
        }
        noted
    }

    /// The request's keys are to be copied first.
    pub(crate) fn hurry(&mut self, repairs: &mut Repairs, db: u32, request: Request<'_>) {
        self.find(request);
        self.named(request).for_each(|(key, _)| repairs.hurry(db, key));
    }

    /// Calls `see` with each key that the request writes; false if they cannot be told, or there are none.
    pub(crate) fn each_written(&mut self, request: Request<'_>, see: impl FnMut(&[u8])) -> bool {
        if self.writes_none(request) {
            return false;
        }
        self.named(request).filter(|(_, access)| *access == Access::Write).map(|(key, _)| key).for_each(see);
        true
    }

    /// Whether it cannot be told which keys the request writes, or there are none.
    pub(crate) fn writes_none(&mut self, request: Request<'_>) -> bool {
        !self.find(request) || self.refs.iter().all(|key| key.access != Access::Write)
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
            let effect = self.catalog.effect(request);
            // What reaches other databases is rare enough to try everybody.
            if effect.settles() || effect.crosses_dbs() {
                parked.touch_everything();
            }
            if effect == Effect::Nothing || !self.find(request) {
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

/// The other database that MOVE or COPY reaches.
fn reaches_db(request: Request<'_>) -> Option<u32> {
    if request.name().eq_ignore_ascii_case(b"move") {
        return number(request.arg(2));
    }
    number(request.args().skip(3).skip_while(|arg| !arg.eq_ignore_ascii_case(b"db")).nth(1))
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
