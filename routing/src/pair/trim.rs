//! Streams that the authority trims as suits its layout: XADD with MAXLEN ~ or MINID ~.
//!
//! Which entries go only the authority knows, and its reply does not tell. So the secondary gets the entry without the
//! trimming, and the authority is asked for the stream's first id right behind it. **When that reply is processed**, every
//! earlier change is ahead of what is put onto the secondary's lane now, and every later one behind it: XTRIM MINID with that
//! id leaves both with the same entries. If the first id is what it was the last time, nothing has gone.

use std::collections::HashMap;

use super::LanePair;
use super::repair::Errand;
use crate::effect::Effect;
use crate::keys::view;
use crate::lane::{Asked, Entry, Expect, Job, NO_CLIENT, Session};
use crate::reply::{bulk, elements};
use crate::rewrite::Rule;

/// Streams whose first ids are remembered. Of others the secondary is told every time.
const REMEMBERED: usize = 1024;

/// What is known of streams that are trimmed so.
#[derive(Debug, Default)]
pub(super) struct Trims {
    by_db: HashMap<u32, HashMap<Box<[u8]>, Trim>>,
    streams: usize,
    /// Streams of which the authority is being asked.
    pending: usize,
}

#[derive(Debug, Default)]
struct Trim {
    /// The first id that both sides have had.
    first: Vec<u8>,
    asked: bool,
    /// There was another entry since.
    again: bool,
}

impl Trims {
    /// Whether the secondary may still have entries of `key` that the authority has trimmed.
    pub(super) fn is_pending(&self, db: u32, key: &[u8]) -> bool {
        self.pending > 0 && self.by_db.get(&db).and_then(|keys| keys.get(key)).is_some_and(|trim| trim.asked)
    }

    /// Whether the authority is to be asked about `key` now.
    fn begin(&mut self, db: u32, key: &[u8]) -> bool {
        let streams = self.by_db.entry(db).or_default();
        if !streams.contains_key(key) {
            streams.insert(key.into(), Trim::default());
            self.streams += 1;
        }
        let Some(trim) = streams.get_mut(key) else { return true };
        trim.again = trim.asked;
        self.pending += usize::from(!trim.asked);
        !std::mem::replace(&mut trim.asked, true)
    }

    /// The authority has told the first id of `key`: whether that is another one than before, and whether there was another
    /// entry since it was asked.
    fn end(&mut self, db: u32, key: &[u8], first: &[u8]) -> (bool, bool) {
        let Some(streams) = self.by_db.get_mut(&db) else { return (true, false) };
        let Some(trim) = streams.get_mut(key) else { return (true, false) };
        self.pending -= usize::from(std::mem::take(&mut trim.asked));
        // Of an empty stream that tells nothing: every entry may have come and gone.
        let is_new = first.is_empty() || trim.first != first;
        trim.first.clear();
        trim.first.extend_from_slice(first);
        let again = std::mem::take(&mut trim.again);
        // Those that the authority is being asked about are as many as its lane holds.
        if self.streams > REMEMBERED && !again {
            streams.remove(key);
            self.streams -= 1;
        }
        (is_new, again)
    }
}

impl LanePair {
    /// The authority has added an entry to the stream `key`, and trimmed it as suits its layout.
    pub(super) fn follow_trim(&mut self, db: u32, key: &[u8]) {
        // Its effect may be acknowledged before the trimming is known.
        self.dirty.intend(key);
        if self.trims.begin(db, key) {
            self.scratch.clear();
            interlay_resp::encode_request([&b"XRANGE"[..], key, b"-", b"+", b"COUNT", b"1"], &mut self.scratch);
            self.ask(self.authority, db, 1, Errand::First);
        }
    }

    /// The authority has told with which entry a stream begins.
    pub(super) fn trim(&mut self, asked: Asked, reply: &[u8]) {
        let Asked { len, session: Session { db, .. }, .. } = asked;
        let Some(key) = view(self.lanes[self.authority].log.front(len)).arg(1).map(<[u8]>::to_vec) else { return };
        let entry = elements(reply, &self.limits.resp).next().map(|(entry, _)| entry);
        let first = entry.and_then(|entry| elements(entry, &self.limits.resp).next()).and_then(|(id, _)| bulk(id));
        let first = first.unwrap_or_default();
        let (is_new, again) = self.trims.end(db, &key, first);
        let is_stream = reply.first() == Some(&b'*');
        if is_new && is_stream && !self.dirty.contains(db, &key) {
            let secondary = &self.lanes[!self.authority];
            if secondary.has_db(db) && secondary.queued_bytes() < self.limits.effect_queue_bytes_max {
                self.put_trim(db, &key, first);
            } else {
                self.dirty.mark(db, &key);
            }
        }
        if again {
            self.follow_trim(db, &key);
        }
    }

    fn put_trim(&mut self, db: u32, key: &[u8], first: &[u8]) {
        self.dirty.intend(key);
        self.scratch.clear();
        if first.is_empty() {
            interlay_resp::encode_request([&b"XTRIM"[..], key, b"MAXLEN", b"0"], &mut self.scratch);
        } else {
            interlay_resp::encode_request([&b"XTRIM"[..], key, b"MINID", first], &mut self.scratch);
        }
        let lane = &mut self.lanes[!self.authority];
        let session = Session { db, proto: lane.proto() };
        lane.enter(session);
        lane.log.push(&self.scratch);
        let asked = Asked { len: self.scratch.len(), ticket: NO_CLIENT, session };
        lane.awaiting.push_back(Entry::new(asked, Job::Effect { expect: Expect::NoError, held: None }));
        self.counters.effects += 1;
    }

    /// The lane was lost before the authority told with which entry a stream begins.
    pub(super) fn trim_lost(&mut self, db: u32, key: &[u8]) {
        self.trims.end(db, key, b"");
        self.dirty.mark_anew(db, key);
    }
}

impl Effect {
    /// Whether what the write trims is the authority's own affair.
    pub(super) fn trims_later(self) -> bool {
        self == Self::Rewritten(Rule::Untrimmed)
    }
}
