//! Sweeps on the lanes: what [`Sweep`] wants to be asked next, and what the answers mark.

use super::LanePair;
use super::repair::Errand;
use crate::dirty::bucket_of;
use crate::reply::{bulk, elements};
use crate::side::Side;
use crate::sweep::{COUNT, Half, Sweep};

/// Keys that wait to be copied above which a sweep names no more.
const NAMED_AHEAD: usize = 4096;

impl LanePair {
    /// Asks for the next keys, if a sweep is wanted and those that it has named are nearly done with.
    pub(super) fn sweep(&mut self) {
        if self.sweep.is_none() && (self.wants_sweep || self.dirty.needs_scan()) && !self.dirty.is_half_full() {
            let databases = Side::BOTH.map(|side| self.lanes[side].databases()).into_iter().max().unwrap_or(0);
            self.dirty.begin_scan();
            self.sweeps = self.sweeps.wrapping_add(1);
            self.sweep = Some(Sweep::new(self.sweeps, self.wants_sweep, databases, self.counters.forgotten));
            if self.wants_sweep {
                self.dirty.mark_functions();
            }
        }
        if self.dirty.waiting() >= NAMED_AHEAD || self.dirty.is_half_full() {
            return;
        }
        let Some(sweep) = self.sweep.as_mut().filter(|sweep| !sweep.asked) else { return };
        loop {
            let side = if sweep.half == Half::Authority { self.authority } else { !self.authority };
            if self.lanes[side].has_db(sweep.db) {
                sweep.asked = true;
                let db = sweep.db;
                self.scratch.clear();
                interlay_resp::encode_request([&b"SCAN"[..], &sweep.cursor, b"COUNT", COUNT.as_bytes()], &mut self.scratch);
                let number = sweep.number;
                return self.ask(side, db, 1, Errand::Scan(number));
            }
            if !sweep.next_db() {
                return self.end_sweep();
            }
        }
    }

    pub(super) fn is_sweep(&self, number: u32) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| sweep.number == number)
    }

    pub(super) fn scanned(&mut self, reply: &[u8]) {
        let Some(sweep) = self.sweep.as_mut() else { return };
        sweep.asked = false;
        let limits = self.limits.resp.clone();
        let mut parts = elements(reply, &limits).map(|(part, _)| part);
        let (Some(cursor), Some(keys)) = (parts.next().and_then(bulk), parts.next()) else {
            let reason = format!("SCAN: {}", String::from_utf8_lossy(reply).trim_end());
            return self.repairs.pause(&reason, self.clock.now().mono_ms);
        };
        let wanted = |key: &&[u8]| sweep.everything || self.dirty.is_scanned(key);
        let keys: Vec<&[u8]> = elements(keys, &limits).filter_map(|(key, _)| bulk(key)).filter(wanted).collect();
        self.counters.swept_keys += keys.len() as u64;
        let db = sweep.db;
        if sweep.half == Half::Authority || keys.is_empty() || !self.lanes[self.authority].has_db(db) {
            keys.into_iter().for_each(|key| self.dirty.mark(db, key));
            if !sweep.advance(cursor) {
                self.end_sweep();
            }
            return;
        }
        self.scratch.clear();
        keys.iter().for_each(|key| interlay_resp::encode_request([&b"EXISTS"[..], key], &mut self.scratch));
        let replies = keys.len() as u32;
        sweep.asked = true;
        sweep.strangers = keys.into_iter().map(Into::into).collect();
        sweep.then = cursor.to_vec();
        let number = sweep.number;
        self.ask(self.authority, db, replies, Errand::Exist(number));
    }

    /// The authority has said which of the secondary's keys it has. Those it does not have are removed by a copy of nothing.
    pub(super) fn found_strangers(&mut self, collected: &[u8], reply: &[u8]) {
        let Some(sweep) = self.sweep.as_mut() else { return };
        sweep.asked = false;
        let replies = [collected, reply].concat();
        let (strangers, then, db) = (std::mem::take(&mut sweep.strangers), std::mem::take(&mut sweep.then), sweep.db);
        let goes_on = sweep.advance(&then);
        let written = &sweep.written;
        for (key, answer) in strangers.iter().zip(replies.split(|byte| *byte == b'\n')) {
            if !answer.starts_with(b":1") || written.contains(bucket_of(key)) {
                self.dirty.mark(db, key);
            }
        }
        if !goes_on {
            self.end_sweep();
        }
    }

    fn end_sweep(&mut self) {
        let Some(sweep) = self.sweep.take() else { return };
        self.dirty.end_scan(true);
        self.promises.swept = true;
        if sweep.everything {
            self.suspect = false;
            self.wants_sweep = false;
            self.forgotten_before = sweep.forgotten_before;
            self.reports.swept(sweep.number);
        }
    }
}
