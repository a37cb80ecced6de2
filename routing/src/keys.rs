//! The keys of queued requests, asked for only when something may differ.

use std::sync::Arc;

use interlay_resp::Request;

use crate::command::{Access, KeyRef};
use crate::conduct::{Catalog, Conduct, Work};
use crate::dirty::DirtySet;
use crate::effect::{Effect, Extent};

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

    /// Marks every key that the request writes; in every database, if they may not have stayed in `db`.
    pub(crate) fn mark_written(&mut self, dirty: &mut DirtySet, db: u32, request: Request<'_>, moved_on: bool) {
        let effect = match self.catalog.conduct(request).1 {
            Conduct::Lane(Work::Write(effect)) => effect,
            _ => Effect::Nothing,
        };
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

/// The view of a queued request: it was scanned before it was queued, so its head is well formed.
pub(crate) fn view(bytes: &[u8]) -> Request<'_> {
    let head = bytes.split(|byte| *byte == b'\r').next().and_then(|head| head.strip_prefix(b"*"));
    Request::new(bytes, number(head).unwrap_or(0) as usize)
}
