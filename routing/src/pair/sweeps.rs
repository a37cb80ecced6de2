//! Sweeps on the lanes: what [`Sweep`] wants to be asked next, and what the answers mark.

use super::LanePair;
use super::batches::strings_and_others;
use super::repair::Errand;
use crate::backfill::{BackfillState, Conflict};
use crate::dirty::bucket_of;
use crate::intent::INTENT_WORDS;
use crate::reply::{bulk, elements, is_error, number};
use crate::side::Side;
use crate::sweep::{Half, Sweep};
use crate::verify::DbKeys;

/// Keys that wait to be copied above which a sweep names no more.
const NAMED_AHEAD: usize = 4096;

/// About how many keys a server has looked at for one reply that names only some of them: what SCAN is told.
const SCANNED_AT_ONCE: u64 = 512;

impl LanePair {
    /// Asks for the next keys, if a sweep is wanted and those that it has named are nearly done with.
    pub(super) fn sweep(&mut self) {
        if self.dirty.is_half_full() {
            return;
        }
        if self.sweep.is_none() {
            self.begin_sweep();
        }
        let paused = self.backfill.is_paused() && self.sweep.as_ref().is_some_and(|sweep| self.is_backfill(sweep));
        if paused {
            return;
        }
        self.ask_batches();
        let merges = self.backfill.merges > 0 || !self.backfill.merging.is_empty();
        let waits = self.dirty.waiting() >= NAMED_AHEAD || merges;
        let Some(sweep) = self.sweep.as_mut().filter(|sweep| !waits && !sweep.asked && sweep.strings.is_empty()) else { return };
        if sweep.over {
            return self.end_sweep();
        }
        loop {
            let side = if sweep.half == Half::Authority { self.authority } else { !self.authority };
            if self.lanes[side].has_db(sweep.db) && sweep.wants_db() {
                sweep.asked = true;
                let (db, number) = (sweep.db, sweep.number);
                self.scratch.clear();
                let strings = self.repairs.allows_batches && sweep.tells_strings();
                sweep.ask(self.repairs.pace.is_greedy(), strings, &mut self.scratch);
                if sweep.everything {
                    self.save_place();
                }
                return self.ask(side, db, 1 + u32::from(strings), Errand::Scan(number));
            }
            let was_own = sweep.half == Half::Own;
            let goes_on = sweep.next_db();
            if was_own && sweep.half != Half::Own {
                self.backfill.know_own_keys();
            }
            if !goes_on {
                return self.end_sweep();
            }
        }
    }

    fn begin_sweep(&mut self) {
        let needs_scan = self.dirty.needs_scan();
        // A sweep that is gone on with has passed keys of folded buckets already: these come first.
        let everything = self.wants_sweep && !(needs_scan && self.backfill.resume.is_some());
        let chosen = !everything && !needs_scan && self.backfill.wants_own_sweep();
        if !everything && !needs_scan && !chosen {
            return;
        }
        let databases = Side::BOTH.map(|side| self.lanes[side].databases()).into_iter().max().unwrap_or(0);
        self.sweeps = self.sweeps.wrapping_add(1);
        let mut sweep = Sweep::new(self.sweeps, everything || chosen, databases, self.counters.forgotten, !self.backfill.keeps());
        if chosen {
            sweep = sweep.of(&self.backfill.options);
        }
        let resume = if everything || chosen { self.backfill.resume.take() } else { None };
        match &resume {
            Some((place, written)) => sweep = sweep.from(place, written),
            None if chosen => self.backfill.forget_own_keys(),
            None => self.dirty.begin_scan(),
        }
        if sweep.everything {
            if resume.is_none()
                && let Some(store) = &mut self.backfill.store
            {
                (0..INTENT_WORDS).for_each(|n| store.set_written(n, 0));
            }
            if !self.backfill.keeps() {
                self.dirty.mark_functions();
            }
        }
        if resume.is_none() && sweep.everything && sweep.wants_strangers() {
            self.scratch.clear();
            interlay_resp::encode_request(["INFO", "keyspace"], &mut self.scratch);
            let db = self.lanes[!self.authority].db().unwrap_or(0);
            self.ask(!self.authority, db, 1, Errand::Strangers(sweep.number));
        }
        self.sweep = Some(sweep);
    }

    /// The secondary has said, ahead of all that the sweep brings, how many keys its databases have: only those that have any have a
    /// line. What is there later is there by effects and copies.
    pub(super) fn counted_strangers(&mut self, reply: &[u8]) {
        let is_empty = matches!(reply.first(), Some(b'$' | b'=')) && DbKeys::told(reply).next().is_none();
        if let Some(sweep) = self.sweep.as_mut().filter(|_| is_empty) {
            sweep.knows_no_strangers();
        }
    }

    pub(super) fn is_sweep(&self, number: u32) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| sweep.number == number)
    }

    /// A server has told the next keys; or if it has told something before, these, and then the strings among them.
    pub(super) fn scanned(&mut self, told_before: &[u8], reply: &[u8]) {
        let Some(sweep) = self.sweep.as_mut() else { return };
        sweep.asked = false;
        let limits = self.limits.resp.clone();
        let (reply, strings) = if told_before.is_empty() { (reply, &b""[..]) } else { (told_before, reply) };
        if is_error(strings) {
            self.repairs.allows_batches = false; // a server before 6.0 knows no TYPE
        }
        let mut parts = elements(reply, &limits).map(|(part, _)| part);
        let (Some(cursor), Some(keys)) = (parts.next().and_then(bulk), parts.next()) else {
            let reason = format!("SCAN: {}", String::from_utf8_lossy(reply).trim_end());
            if sweep.chosen.as_ref().is_some_and(|options| options.is_filtered()) && reply.starts_with(b"-ERR") {
                // A server before 6.0 knows no TYPE.
                return self.end_backfill(BackfillState::Failed, Some(format!("a server does not filter so: {reason}")));
            }
            return self.repairs.pause(&reason, self.clock.now().mono_ms);
        };
        let wanted = |key: &&[u8]| sweep.everything || self.dirty.is_scanned(key);
        let keys: Vec<&[u8]> = elements(keys, &limits).filter_map(|(key, _)| bulk(key)).filter(wanted).collect();
        self.counters.swept_keys += keys.len() as u64;
        let (db, half) = (sweep.db, sweep.half);
        match half {
            Half::Own => return self.scanned_own(db, &keys, cursor),
            Half::Authority => {
                let strings = elements(strings, &limits).nth(1).map_or(&b""[..], |(strings, _)| strings);
                let strings = elements(strings, &limits).filter_map(|(key, _)| bulk(key)).filter(|key| !self.dirty.contains(db, key));
                let (strings, others) = strings_and_others(keys, strings);
                let found = (strings.len() + others.len()) as u64;
                let Some(sweep) = self.sweep.as_mut() else { return };
                sweep.found_strings(strings);
                let goes_on = sweep.advance(cursor);
                let strangers = sweep.half == Half::Secondary;
                self.name(db, found, &others);
                if self.sweep.as_ref().is_some_and(|sweep| self.is_backfill(sweep)) {
                    self.backfill.progress.looks_for_strangers = strangers;
                }
                if !goes_on {
                    self.end_sweep();
                }
                return;
            }
            Half::Secondary if keys.is_empty() || !self.lanes[self.authority].has_db(db) => {
                keys.into_iter().for_each(|key| self.dirty.mark(db, key));
                if !sweep.advance(cursor) {
                    self.end_sweep();
                }
                return;
            }
            Half::Secondary => {}
        }
        sweep.strangers = keys.into_iter().map(Into::into).collect();
        sweep.then = cursor.to_vec();
        self.ask_about_strangers(false);
    }

    /// Asks the authority how many of the secondary's keys it has; or which, one by one.
    fn ask_about_strangers(&mut self, one_by_one: bool) {
        let Some(sweep) = self.sweep.as_mut() else { return };
        let strangers = &sweep.strangers;
        self.scratch.clear();
        for keys in strangers.chunks(if one_by_one { 1 } else { strangers.len().max(1) }) {
            let args: Vec<&[u8]> = std::iter::once(&b"EXISTS"[..]).chain(keys.iter().map(AsRef::as_ref)).collect();
            interlay_resp::encode_request(args, &mut self.scratch);
        }
        sweep.asked = true;
        let (db, number, replies) = (sweep.db, sweep.number, if one_by_one { strangers.len() as u32 } else { 1 });
        self.ask(self.authority, db, replies, Errand::Exist(number));
    }

    /// Keys that the secondary has before any is copied.
    fn scanned_own(&mut self, db: u32, keys: &[&[u8]], cursor: &[u8]) {
        if !keys.iter().all(|key| self.backfill.note_own(db, key)) {
            let reason = "the target has more keys than can be remembered: leave some out, or let the source win (--conflict replace)";
            return self.end_backfill(BackfillState::Failed, Some(reason.to_owned()));
        }
        let Some(sweep) = self.sweep.as_mut() else { return };
        sweep.advance(cursor);
        if sweep.half != Half::Own {
            self.backfill.know_own_keys();
        }
    }

    /// The authority has these keys, among so many `found`: they are to be copied, unless a backfill says otherwise.
    fn name(&mut self, db: u32, found: u64, keys: &[&[u8]]) {
        let Some(sweep) = self.sweep.as_ref() else { return };
        let conflict = sweep.chosen.as_ref().map_or(Conflict::Replace, |options| options.conflict);
        if self.is_backfill(sweep) {
            let progress = &mut self.backfill.progress;
            let is_seen_in_part = progress.options.pattern.is_some() || progress.options.kind.is_some();
            progress.keys_named += found;
            progress.keys_seen += if is_seen_in_part { SCANNED_AT_ONCE } else { found };
            if is_seen_in_part {
                progress.keys_seen = progress.keys_seen.min(progress.keys_expected).max(progress.keys_named);
            }
        }
        for key in keys {
            if conflict == Conflict::Replace || !self.backfill.is_own(db, key) {
                self.dirty.mark(db, key);
            } else if conflict == Conflict::Merge {
                self.backfill.merging.push_back((db, (*key).into()));
            } else {
                self.backfill.keep(db, key, "the target had it before");
            }
        }
    }

    /// The authority has said how many of the secondary's keys it has, or which. Those it does not have are removed by a copy of
    /// nothing.
    pub(super) fn found_strangers(&mut self, collected: &[u8], reply: &[u8]) {
        let Some(sweep) = self.sweep.as_mut() else { return };
        sweep.asked = false;
        let is_count = collected.is_empty() && sweep.strangers.len() > 1;
        let has_all = is_count && number(reply) == Some(sweep.strangers.len() as u64);
        if is_count && !has_all {
            return self.ask_about_strangers(true);
        }
        let replies = [collected, reply].concat();
        let (strangers, then, db) = (std::mem::take(&mut sweep.strangers), std::mem::take(&mut sweep.then), sweep.db);
        let goes_on = sweep.advance(&then);
        let written = &sweep.written;
        let mut removed = 0;
        let mut answers = replies.split(|byte| *byte == b'\n');
        for key in &strangers {
            let is_there = has_all || answers.next().is_some_and(|answer| answer.starts_with(b":1"));
            removed += u64::from(!is_there);
            if !is_there || written.contains(bucket_of(key)) {
                self.dirty.mark(db, key);
            }
        }
        if self.sweep.as_ref().is_some_and(|sweep| self.is_backfill(sweep)) {
            self.backfill.progress.keys_removed += removed;
        }
        if !goes_on {
            self.end_sweep();
        }
    }

    fn end_sweep(&mut self) {
        if let Some(sweep) = self.sweep.as_mut().filter(|sweep| sweep.has_strings()) {
            sweep.over = true;
            return;
        }
        let Some(sweep) = self.sweep.take() else { return };
        self.dirty.end_scan(true);
        self.promises.swept = true;
        if self.is_backfill(&sweep) {
            self.backfill.progress.swept = true;
            self.backfill.progress.looks_for_strangers = false;
        }
        if sweep.everything {
            self.backfill.save(None);
        }
        if sweep.everything && sweep.chosen.is_none() {
            self.suspect = false;
            self.in_sync = true;
            self.wants_sweep = false;
            self.forgotten_before = sweep.forgotten_before;
            self.reports.swept(sweep.number);
        }
    }
}
