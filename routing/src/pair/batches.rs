//! Short strings that a sweep finds are copied many at once: a key on its own costs the servers and Interlay some times as much.
//!
//! ```text
//!   SCAN, SCAN ... TYPE string -> PEXPIRETIME, GETRANGE 0 16383 of each string -> SET, or SET ... PXAT, of each
//! ```
//!
//! The second scan, from the same cursor, tells which of the keys are strings. Nothing is noted of a key in a batch, least of all
//! that it is dirty: as of every copy, its value is put onto the secondary's lane **when the reply is processed**, between the
//! effects of earlier and of later changes. A key that is dirty by then is left to [`super::repair`], and so is one that is no
//! short string any more, or whose copy fails: all that need be done about those is to mark them.

use super::LanePair;
use super::copies::OF_THE_SERVER;
use super::repair::Errand;
use crate::lane::Asked;
use crate::reply::{bulk, is_error, replies};
use crate::side::Side;

/// Keys of a batch.
const BATCH_KEYS: usize = 64;

/// Strings of this length and longer are copied one by one, with their size known before they are read. Unit: bytes.
const STRING_BYTES: u64 = 16 * 1024;

/// The last byte that is asked for.
const LAST_BYTE: &str = "16383";

/// The replies to each key of a batch on the authority.
const READS: usize = 2;

/// What has found the keys of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    sweep: u32,
    scan: u32,
}

impl LanePair {
    /// Asks for the values of strings that the sweep has found, as far as there is room for them.
    pub(super) fn ask_batches(&mut self) {
        let now_ms = self.clock.now().mono_ms;
        while let Some(sweep) = self.sweep.as_ref().filter(|sweep| !sweep.strings.is_empty()) {
            let keys = self.repairs.pace.batch(sweep.strings.len().min(BATCH_KEYS), now_ms);
            if keys == 0 || !self.repairs.pace.has_room_for(keys as u64 * STRING_BYTES) || !self.has_room() {
                return;
            }
            let expiry = self.expiry_command();
            let Some(sweep) = self.sweep.as_mut() else { return };
            self.scratch.clear();
            for key in sweep.strings.drain(..keys) {
                interlay_resp::encode_request([expiry, &key], &mut self.scratch);
                interlay_resp::encode_request([&b"GETRANGE"[..], &key, b"0", LAST_BYTE.as_bytes()], &mut self.scratch);
            }
            let (db, of) = (sweep.strings_db, Found { sweep: sweep.number, scan: sweep.scan });
            self.repairs.pace.batch_began(keys, STRING_BYTES);
            self.ask(self.authority, db, (READS * keys) as u32, Errand::Batch { of, asked_ms: now_ms });
        }
    }

    /// The authority has told the values of a batch.
    pub(super) fn batch_read(&mut self, side: Side, asked: Asked, of: Found, asked_ms: u64, collected: &[u8], reply: &[u8]) {
        let requests = self.lanes[side].log.front(asked.len).to_vec();
        let db = asked.session.db;
        let keys = || interlay_resp::requests(&requests).filter_map(|request| request.arg(1)).step_by(READS);
        self.repairs.pace.answered(asked_ms, self.clock.now().mono_ms);
        if side != self.authority || !self.is_sweep(of.sweep) {
            return self.batch_ends(of, keys().count());
        }
        let secondary = &self.lanes[!self.authority];
        let has_room = secondary.queued_bytes() < self.limits.effect_queue_bytes_max && secondary.has_db(db);
        let limits = self.limits.resp.clone();
        let mut told = replies(collected, &limits).chain(replies(reply, &limits)).map(|(reply, _)| reply);
        let (mut written, mut brought, mut passed, mut bytes) = (0, 0, 0, 0);
        self.scratch.clear();
        for key in keys() {
            let (ttl, value) = (told.next().unwrap_or_default(), told.next().unwrap_or_default());
            if [ttl, value].iter().any(|reply| is_error(reply) && !reply.starts_with(b"-WRONGTYPE")) {
                self.repairs.allows_batches = false; // perhaps its user may not
            }
            let value = bulk(value).filter(|value| (1..STRING_BYTES).contains(&(value.len() as u64)));
            bytes += value.map_or(0, |value| value.len() as u64);
            // -2: there was no such key a moment ago.
            let deadline_ms = self.deadline(ttl).filter(|_| ttl != b":-2\r\n");
            match (deadline_ms, value) {
                _ if self.dirty.contains(db, key) => passed += 1, // its own copy will have it
                (Some(deadline_ms), Some(value)) if has_room => {
                    written += self.put_string(key, value, deadline_ms);
                    brought += 1;
                }
                _ => {
                    self.dirty.mark(db, key);
                    passed += 1;
                }
            }
        }
        self.repairs.pace.batch_read(bytes);
        self.batch_ends(of, passed);
        if brought == 0 {
            return;
        }
        self.count_copied_bytes();
        self.ask(!self.authority, db, written, Errand::Brought(of));
    }

    /// Appends to `scratch` what writes a string, and how many replies that gets.
    fn put_string(&mut self, key: &[u8], value: &[u8], deadline_ms: u64) -> u32 {
        let out = &mut self.scratch;
        if deadline_ms == 0 {
            interlay_resp::encode_request([b"SET", key, value], out);
            return 1;
        }
        self.deadlines.note(key, self.clock.here(!self.authority, deadline_ms));
        let deadline = deadline_ms.to_string();
        if self.is_since_7_0(!self.authority) {
            interlay_resp::encode_request([b"SET", key, value, b"PXAT", deadline.as_bytes()], &mut self.scratch);
            return 1;
        }
        interlay_resp::encode_request([b"SET", key, value], &mut self.scratch);
        interlay_resp::encode_request([b"PEXPIREAT", key, deadline.as_bytes()], &mut self.scratch);
        2
    }

    /// The secondary has answered a batch.
    pub(super) fn batch_brought(&mut self, side: Side, asked: Asked, of: Found, collected: &[u8], reply: &[u8]) {
        let requests = self.lanes[side].log.front(asked.len).to_vec();
        let limits = self.limits.resp.clone();
        let told = replies(collected, &limits).chain(replies(reply, &limits));
        let (mut keys, mut failed, mut pause) = (0, 0, None);
        for (request, (reply, _)) in interlay_resp::requests(&requests).zip(told) {
            let is_set = request.arg(0) == Some(b"SET");
            keys += usize::from(is_set);
            if is_error(reply) {
                failed += u64::from(is_set);
                pause = pause.or_else(|| OF_THE_SERVER.iter().any(|start| reply.starts_with(start)).then_some(reply));
                self.not_brought(asked.session.db, request.arg(1).unwrap_or_default());
            }
        }
        self.counters.repairs_failed += failed;
        self.counters.repairs += keys as u64 - failed;
        if self.backfill.is_under_way() && self.is_sweep(of.sweep) {
            self.backfill.progress.keys_copied += keys as u64 - failed;
        }
        match pause {
            None => self.repairs.succeeded(),
            Some(error) => {
                let reason = String::from_utf8_lossy(error);
                self.repairs.pause(reason.trim_start_matches('-').trim_end(), self.clock.now().mono_ms);
            }
        }
        self.batch_ends(of, keys);
    }

    /// A batch was lost with a lane, the authority's or the secondary's.
    pub(super) fn batch_lost(&mut self, db: u32, of: Found, requests: &[u8]) {
        let mut keys = 0;
        for request in interlay_resp::requests(requests) {
            let key = request.arg(1).unwrap_or_default();
            match request.arg(0) {
                Some(b"GETRANGE") => self.dirty.mark(db, key),
                Some(b"SET") => self.not_brought(db, key),
                _ => continue,
            }
            keys += 1;
        }
        self.batch_ends(of, keys);
    }

    /// What was put onto the lane behind the copy has met another value.
    fn not_brought(&mut self, db: u32, key: &[u8]) {
        self.dirty.mark(db, key);
        self.copy_in_doubt(db, key);
    }

    /// So many keys of a batch are copied, or marked, or of no interest any more.
    fn batch_ends(&mut self, of: Found, keys: usize) {
        self.repairs.pace.batch_ended(keys, STRING_BYTES);
        if let Some(sweep) = self.sweep.as_mut().filter(|sweep| sweep.number == of.sweep) {
            sweep.finished(of.scan, keys);
        }
    }
}

/// Divides the keys that a scan has found into strings, which a second scan has found too, and others.
pub(super) fn strings_and_others<'a>(found: Vec<&'a [u8]>, mut strings: impl Iterator<Item = &'a [u8]>) -> (Vec<&'a [u8]>, Vec<&'a [u8]>) {
    // Both are in the order of the server's table.
    let mut next = strings.next();
    found.into_iter().partition(|key| {
        let is_string = next == Some(*key);
        if is_string {
            next = strings.next();
        }
        is_string
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_scans_have_found_is_a_string() {
        let found = |words: &'static str| words.split_whitespace().map(str::as_bytes);
        let parts = |all, strings| {
            let (strings, others) = strings_and_others(found(all).collect(), found(strings));
            [strings, others].map(|keys| String::from_utf8(keys.join(&b' ')).expect("words"))
        };
        assert_eq!(parts("a b c d", "b d"), ["b d", "a c"]);
        assert_eq!(parts("a b", "a b"), ["a b", ""]);
        assert_eq!(parts("", "a"), ["", ""]);
        // A key that was made or has gone between the scans costs only speed.
        assert_eq!(parts("a b c", "x b"), ["", "a b c"]);
        assert_eq!(parts("a b c", "a x c"), ["a", "b c"]);
    }

    #[test]
    fn as_much_is_asked_for_as_a_batch_may_bring() {
        assert_eq!(LAST_BYTE.parse(), Ok(STRING_BYTES - 1));
    }
}
