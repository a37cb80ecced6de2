//! A scan of both sides that names keys: those of folded buckets, or all there are.
//!
//! In: how far the servers' cursors have come. Out: what to ask next. First the authority's databases are scanned, and every
//! key wanted is marked; then the secondary's, where only keys are of interest that the authority does not have, or that it
//! may not have had when it was scanned.
//!
//! A backfill can name fewer: those that match, or are not the secondary's own already. To know the latter, it has the
//! secondary's databases scanned first, and leaves out what only the secondary has.
//!
//! SCAN returns every key that is there from its beginning to its end. What comes, goes or moves meanwhile is written
//! through Interlay, and marked by name where it is written; or, in a sweep of everything, where the secondary is scanned: an
//! effect may have met a key there that the authority did not have. That can only be where the authority's scan has missed the
//! key, hence where it was made since; so a write that leaves nothing of what was there, or whose reply tells that there was
//! something, needs no note: the key is the same on both sides behind it, or dirty.

use std::collections::VecDeque;
use std::sync::Arc;

use interlay_resp::Request;

use crate::backfill::{BackfillOptions, Conflict, Place, PositionStore};
use crate::dirty::{BUCKETS, Buckets, bucket_of};
use crate::effect::Effect;
use crate::keys::Keys;

/// Keys that a server looks at for one reply.
pub(crate) const COUNT: &str = "512";

/// The same of keys of which only their being there is asked, where clients may feel it: the lanes stand idle meanwhile.
pub(crate) const GREEDY_COUNT: &str = "4096";

/// Whose keys are being scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// The secondary's own, which are to be kept.
    Own,
    /// The authority's.
    Authority,
    /// The secondary's.
    Secondary,
}

/// One scan of both sides.
#[derive(Debug)]
pub(crate) struct Sweep {
    /// Tells the answers to what it has asked from those to an earlier sweep.
    pub(crate) number: u32,
    /// Every key is wanted, not only those of the buckets being scanned.
    pub(crate) everything: bool,
    /// Of every key, those that a backfill is to copy; all of them without it.
    pub(crate) chosen: Option<Arc<BackfillOptions>>,
    /// Whether keys that only the secondary has are of interest.
    strangers_go: bool,
    pub(crate) half: Half,
    pub(crate) db: u32,
    /// As the server gave it.
    pub(crate) cursor: Vec<u8>,
    /// A reply is awaited.
    pub(crate) asked: bool,
    /// Strings among the keys that were found last, and their database: they are copied in batches.
    pub(crate) strings: VecDeque<Box<[u8]>>,
    pub(crate) strings_db: u32,
    /// Scans whose strings are not all copied, by number: where each has begun, and how many strings there are still.
    unfinished: VecDeque<(u32, Place, usize)>,
    /// The number of the last of them.
    pub(crate) scan: u32,
    /// Every key is named, or on its way in a batch.
    pub(crate) over: bool,
    /// The secondary's keys of which the authority is being asked.
    pub(crate) strangers: Vec<Box<[u8]>>,
    /// Buckets of keys that were written since it began without getting dirty, in a sweep of everything.
    pub(crate) written: Buckets,
    /// The cursor behind them.
    pub(crate) then: Vec<u8>,
    /// What `best-effort` had forgotten when it began.
    pub(crate) forgotten_before: u64,
    databases: u32,
}

impl Sweep {
    /// A sweep of databases 0 to `databases`. With `strangers_go`, keys that only the secondary has are looked for too.
    pub(crate) fn new(number: u32, everything: bool, databases: u32, forgotten_before: u64, strangers_go: bool) -> Self {
        Self {
            number,
            everything,
            chosen: None,
            strangers_go,
            half: Half::Authority,
            db: 0,
            cursor: b"0".to_vec(),
            asked: false,
            strings: VecDeque::new(),
            strings_db: 0,
            unfinished: VecDeque::new(),
            scan: 0,
            over: false,
            strangers: Vec::new(),
            written: Buckets::default(),
            then: Vec::new(),
            forgotten_before,
            databases,
        }
    }

    /// The same of what a backfill is to copy.
    #[must_use]
    pub(crate) fn of(mut self, options: &Arc<BackfillOptions>) -> Self {
        self.strangers_go = options.conflict == Conflict::Replace;
        self.half = if self.strangers_go { Half::Authority } else { Half::Own };
        self.chosen = Some(Arc::clone(options));
        self
    }

    /// The same from a place on where an earlier one was, with the buckets that were written until then.
    #[must_use]
    pub(crate) fn from(mut self, place: &Place, written: &[u64]) -> Self {
        self.half = if place.strangers { Half::Secondary } else { Half::Authority };
        self.db = place.db;
        self.cursor.clone_from(&place.cursor);
        self.written = Buckets::from_words(written);
        self
    }

    /// From where it can be gone on with: all that was found before is marked or copied. None if it cannot be.
    pub(crate) fn place(&self) -> Option<Place> {
        let unfinished = self.unfinished.front().map(|(_, place, _)| place.clone());
        (self.everything && self.half != Half::Own).then(|| unfinished.unwrap_or_else(|| self.here()))
    }

    fn here(&self) -> Place {
        Place { strangers: self.half == Half::Secondary, db: self.db, cursor: self.cursor.clone() }
    }

    /// The scan that began where it is now has found these strings.
    pub(crate) fn found_strings(&mut self, strings: Vec<&[u8]>) {
        if strings.is_empty() {
            return;
        }
        self.scan = self.scan.wrapping_add(1);
        self.unfinished.push_back((self.scan, self.here(), strings.len()));
        self.strings_db = self.db;
        self.strings.extend(strings.into_iter().map(Box::from));
    }

    /// So many strings of a scan are copied, or marked.
    pub(crate) fn finished(&mut self, scan: u32, strings: usize) {
        if let Some((.., left)) = self.unfinished.iter_mut().find(|(number, ..)| *number == scan) {
            *left = left.saturating_sub(strings);
        }
        while self.unfinished.pop_front_if(|(.., left)| *left == 0).is_some() {}
    }

    /// Whether strings are waiting or on their way.
    pub(crate) fn has_strings(&self) -> bool {
        !self.unfinished.is_empty()
    }

    /// Whether the strings among the keys that it finds now are told apart, to be copied in batches.
    pub(crate) fn tells_strings(&self) -> bool {
        let chosen = self.chosen.as_ref();
        let replaces = chosen.is_none_or(|options| options.conflict == Conflict::Replace && options.kind.is_none());
        self.everything && self.half == Half::Authority && replaces
    }

    /// The secondary has not had any key since it began: none of it is of interest.
    pub(crate) fn knows_no_strangers(&mut self) {
        if self.half == Half::Authority {
            self.strangers_go = false;
        }
    }

    /// Whether keys that only the secondary has are of interest.
    pub(crate) fn wants_strangers(&self) -> bool {
        self.strangers_go
    }

    /// Whether keys of the database that it is about are wanted.
    pub(crate) fn wants_db(&self) -> bool {
        self.chosen.as_ref().is_none_or(|options| options.dbs.is_empty() || options.dbs.contains(&self.db))
    }

    /// Appends the request for the next keys; and with `strings` another one, for the strings among them.
    pub(crate) fn ask(&self, is_greedy: bool, strings: bool, out: &mut Vec<u8>) {
        let count = if is_greedy && self.half == Half::Secondary { GREEDY_COUNT } else { COUNT };
        let mut args: Vec<&[u8]> = vec![b"SCAN", &self.cursor, b"COUNT", count.as_bytes()];
        if let Some(options) = &self.chosen {
            options.pattern.iter().for_each(|pattern| args.extend([&b"MATCH"[..], pattern]));
            options.kind.iter().for_each(|kind| args.extend([&b"TYPE"[..], kind.as_bytes()]));
        }
        interlay_resp::encode_request(&args, out);
        if strings {
            args.extend([&b"TYPE"[..], b"string"]);
            interlay_resp::encode_request(&args, out);
        }
    }

    /// A write goes onto the secondary's lane without making its keys dirty.
    pub(crate) fn sees(&mut self, keys: &mut Keys, request: Request<'_>, effect: Effect, store: &mut Option<Box<dyn PositionStore>>) {
        // In a sweep of buckets what is written is marked by name; and of what is emptied there is nothing.
        if !self.everything || !self.strangers_go || effect.settles() || effect == Effect::Broadcast {
            return;
        }
        let written = &mut self.written;
        let known = keys.each_written(request, |key| {
            let bucket = bucket_of(key);
            if written.insert(bucket)
                && let Some(store) = store
            {
                store.set_written(bucket / 64, written.word(bucket / 64));
            }
        });
        if !known {
            written.fill();
            if let Some(store) = store {
                (0..BUCKETS / 64).for_each(|n| store.set_written(n, u64::MAX));
            }
        }
    }

    /// A server has answered with this cursor. False if that was the last answer wanted.
    pub(crate) fn advance(&mut self, cursor: &[u8]) -> bool {
        self.cursor.clear();
        self.cursor.extend_from_slice(cursor);
        cursor != b"0" || self.next_db()
    }

    /// This database is done with, or is none. False if it was the last one.
    pub(crate) fn next_db(&mut self) -> bool {
        self.cursor = b"0".to_vec();
        self.db += 1;
        if self.db < self.databases {
            return true;
        }
        self.db = 0;
        let next = match self.half {
            Half::Own => Half::Authority,
            Half::Authority if self.strangers_go => Half::Secondary,
            Half::Authority | Half::Secondary => return false,
        };
        self.half = next;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_scanned_database_by_database() {
        let mut sweep = Sweep::new(1, true, 2, 0, true);
        let mut seen = vec![(sweep.half, sweep.db)];
        for cursor in ["7", "0", "0", "0"] {
            assert!(sweep.advance(cursor.as_bytes()));
            seen.push((sweep.half, sweep.db));
        }
        use Half::{Authority, Secondary};
        assert_eq!(seen, [(Authority, 0), (Authority, 0), (Authority, 1), (Secondary, 0), (Secondary, 1)]);
        assert!(!sweep.advance(b"0"));
    }

    #[test]
    fn a_backfill_that_keeps_looks_at_the_secondary_first_and_asks_for_what_it_is_told_to() {
        let (pattern, kind) = (Some(b"user:*"[..].into()), Some("hash".into()));
        let options = Arc::new(BackfillOptions { pattern, kind, dbs: vec![1], conflict: Conflict::None, ..BackfillOptions::default() });
        let mut sweep = Sweep::new(1, true, 2, 0, true).of(&options);
        assert_eq!((sweep.half, sweep.place(), sweep.wants_db()), (Half::Own, None, false));
        assert!(sweep.advance(b"0") && sweep.wants_db() && sweep.advance(b"0"));
        assert_eq!((sweep.half, sweep.db), (Half::Authority, 0));
        assert!(sweep.advance(b"77"));
        let mut asked = Vec::new();
        sweep.ask(true, false, &mut asked);
        let words: Vec<_> = crate::keys::view(&asked).args().map(String::from_utf8_lossy).collect();
        assert_eq!(words.join(" "), "SCAN 77 COUNT 512 MATCH user:* TYPE hash");
        let place = sweep.place().expect("a place to go on from");
        let again = Sweep::new(2, true, 2, 0, true).of(&options).from(&place, &[]);
        assert_eq!((again.half, again.db, &*again.cursor), (Half::Authority, 0, &b"77"[..]));
        assert!(sweep.next_db() && !sweep.next_db());
    }

    #[test]
    fn it_is_gone_on_with_from_where_strings_are_still_on_their_way() {
        let mut sweep = Sweep::new(1, true, 1, 0, true);
        let place = |sweep: &Sweep| String::from_utf8(sweep.place().expect("a place").cursor).expect("digits");
        for (cursor, strings) in [("7", vec![&b"a"[..], b"b"]), ("9", vec![]), ("11", vec![b"c"])] {
            sweep.found_strings(strings);
            assert!(sweep.advance(cursor.as_bytes()));
        }
        assert_eq!((place(&sweep), sweep.strings.len(), sweep.scan), ("0".to_owned(), 3, 2));
        sweep.finished(2, 1);
        sweep.finished(1, 1);
        assert_eq!(place(&sweep), "0");
        sweep.finished(1, 1);
        assert_eq!((place(&sweep), sweep.has_strings()), ("11".to_owned(), false));
    }
}
