//! A scan of both sides that names keys: those of folded buckets, or all there are.
//!
//! In: how far the servers' cursors have come. Out: what to ask next. First the authority's databases are scanned, and every
//! key wanted is marked; then the secondary's, where only keys are of interest that the authority does not have, or that it
//! may not have had when it was scanned.
//!
//! SCAN returns every key that is there from its beginning to its end. What comes, goes or moves meanwhile is written
//! through Interlay, and marked by name where it is written; or, in a sweep of everything, where the secondary is scanned: an
//! effect may have met a key there that the authority did not have.

use interlay_resp::Request;

use crate::dirty::{Buckets, bucket_of};
use crate::effect::Effect;
use crate::keys::Keys;

/// Keys that a server looks at for one reply.
pub(crate) const COUNT: &str = "512";

/// Whose keys are being scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
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
    pub(crate) half: Half,
    pub(crate) db: u32,
    /// As the server gave it.
    pub(crate) cursor: Vec<u8>,
    /// A reply is awaited.
    pub(crate) asked: bool,
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
    /// A sweep of databases 0 to `databases`.
    pub(crate) fn new(number: u32, everything: bool, databases: u32, forgotten_before: u64) -> Self {
        Self {
            number,
            everything,
            half: Half::Authority,
            db: 0,
            cursor: b"0".to_vec(),
            asked: false,
            strangers: Vec::new(),
            written: Buckets::default(),
            then: Vec::new(),
            forgotten_before,
            databases,
        }
    }

    /// A write goes onto the secondary's lane without making its keys dirty.
    pub(crate) fn sees(&mut self, keys: &mut Keys, request: Request<'_>, effect: Effect) {
        // In a sweep of buckets what is written is marked by name; and of what is emptied there is nothing.
        if !self.everything || effect.settles() || effect == Effect::Broadcast {
            return;
        }
        if !keys.each_written(request, |key| self.written.insert(bucket_of(key))) {
            self.written.fill();
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
        std::mem::replace(&mut self.half, Half::Secondary) == Half::Authority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_scanned_database_by_database() {
        let mut sweep = Sweep::new(1, true, 2, 0);
        let mut seen = vec![(sweep.half, sweep.db)];
        for cursor in ["7", "0", "0", "0"] {
            assert!(sweep.advance(cursor.as_bytes()));
            seen.push((sweep.half, sweep.db));
        }
        use Half::{Authority, Secondary};
        assert_eq!(seen, [(Authority, 0), (Authority, 0), (Authority, 1), (Secondary, 0), (Secondary, 1)]);
        assert!(!sweep.advance(b"0"));
    }
}
