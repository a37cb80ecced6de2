//! Repair: dirty keys are copied through the lanes.
//!
//! The authority is asked for a key's value on its lane, and **when that reply is processed** the copy is put onto the
//! secondary's: every earlier change is ahead of it there, every later one behind it. So the key is clean from that
//! moment on, without a lock or a pause.
//!
//! ```text
//!   dirty set -> MEMORY USAGE -> PEXPIRETIME, DUMP -------------------> RESTORE ABSTTL REPLACE, or UNLINK
//!                             \> TYPE -> PEXPIRETIME, its elements ----> MULTI, DEL, its elements, PEXPIREAT, EXEC
//!                                    \> STRLEN, LLEN, ... -> a piece --> DEL, elements -> the next piece -> ... PEXPIREAT
//! ```
//!
//! Short strings that a sweep names go another way: see `batches.rs`.
//!
//! The middle way is taken while the secondary refuses the authority's payloads, the lower one for big keys. A key of which
//! some pieces are copied is dirty until the last one is put onto the secondary's lane. Writes that `follow.rs` knows go onto
//! that lane between the pieces; whatever marks the key meanwhile makes the copy begin anew, because what was read before that
//! and what was read behind it do not belong together.

use super::batches::Found;
use super::{Clients, LanePair};
use crate::answer::Answer;
use crate::backfill::Before;
use crate::keys::view;
use crate::lane::{Asked, Entry, Job, NO_CLIENT, Session};
use crate::log::SHARE_FROM_BYTES;
use crate::promise::Bearer;
use crate::repairs::{ErrorKey, Flight, Step};
use crate::reply::{elements, number};
use crate::side::Side;
use crate::verify::Ask;

/// What Interlay itself asks a server, and what its reply is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Errand {
    /// A step of a copy, on the authority's lane.
    Copy(u32),
    /// A copy, on the secondary's lane.
    Restore(u32),
    /// Values of strings that a sweep has found, asked for on the authority's lane at this moment.
    Batch { of: Found, asked_ms: u64 },
    /// These, on the secondary's lane.
    Brought(Found),
    /// INFO keyspace on the secondary: whether it has any key that the sweep need look at.
    Strangers(u32),
    /// SCAN, for the sweep.
    Scan(u32),
    /// Which of the sweep's strangers the authority has.
    Exist(u32),
    /// PTTL of a key that has got its deadline from another one, asked at this moment.
    Deadline { asked_mono_ms: u64 },
    /// XRANGE - + COUNT 1 of a stream that the authority has trimmed.
    First,
    /// FUNCTION DUMP on the authority's lane: functions are no key, and no scan finds them.
    Functions,
    /// FUNCTION RESTORE on the secondary's.
    RestoreFunctions,
    /// Which keys the secondary has right ahead of an effect on them, for a backfill that keeps those.
    Own(u32),
    /// INFO keyspace on the authority, for the number of its keys.
    Count,
    /// TIME, asked at this moment.
    Time { sent_mono_ms: u64 },
    /// PING, sent at this moment, for how long a reply takes.
    Probe { sent_mono_ms: u64 },
    /// Which keys others change is to be reported to this connection.
    Track { connection: i64 },
    /// INFO keyspace, for keys reported without their databases.
    Databases,
    /// What this verification needs.
    Verify(u32, Ask),
}

/// How often a server is asked for its time.
const TIME_EVERY_MS: u64 = 10_000;

impl LanePair {
    // === What it is like ===

    /// Keys that keep failing to be copied.
    pub fn error_keys(&self) -> impl Iterator<Item = ErrorKey> {
        self.repairs.errors()
    }

    /// Why no key can be copied now, if that is so.
    #[must_use]
    pub fn repair_paused_for(&self) -> Option<&str> {
        self.repairs.paused_for.as_deref()
    }

    /// Whether both sides are being scanned for keys to copy: of folded buckets, or all.
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        self.sweep.is_some()
    }

    /// Whether such a scan is under way, or is to begin when there is room for it.
    #[must_use]
    pub fn wants_sweep(&self) -> bool {
        self.is_sweeping() || self.wants_sweep || self.dirty.needs_scan() || self.backfill.wants_own_sweep()
    }

    /// Copies under way that the authority has not answered, and copies that the secondary has not.
    #[must_use]
    pub fn copies_under_way(&self) -> usize {
        self.repairs.under_way()
    }

    // === The operator's wishes ===

    /// Tries every key that failed again now; with `everything`, copies every key that there is on either side.
    pub fn repair(&mut self, everything: bool) {
        self.repairs.retry_all();
        if everything && self.has_target {
            self.forget_backfill();
            self.suspect_everything();
            self.wants_sweep = true;
        }
        self.pump();
    }

    /// Every key may differ, whatever a sweep under way has found.
    pub(super) fn suspect_everything(&mut self) {
        self.suspect = true;
        self.in_sync = false;
        // Of a backfill under way: cancelling it does not end this.
        self.backfill.before = Before { suspect: true, swept: true, in_sync: false };
        self.begin_sweep_anew();
    }

    /// A sweep under way may have missed keys that went from one database to another.
    pub(super) fn begin_sweep_anew(&mut self) {
        self.sweep = None;
        self.dirty.end_scan(false);
        self.verify_anew();
        self.backfill_begins_anew();
    }

    /// Marks the keys of these buckets: an earlier process was about to write them.
    pub fn mark_buckets(&mut self, buckets: impl IntoIterator<Item = usize>) {
        buckets.into_iter().for_each(|bucket| self.dirty.mark_bucket(bucket));
    }

    // === What is to be done ===

    /// Asks for what repair needs next, as far as there is room for it.
    pub fn pump(&mut self) {
        let (authority, secondary) = (&self.lanes[self.authority], &self.lanes[!self.authority]);
        let both_up = authority.is_up() && secondary.is_up();
        if !self.has_target || !both_up || self.held || (self.is_changing() && !self.cleans_for_change()) {
            return;
        }
        if !self.is_changing() {
            self.ask_time();
            self.ask_probes();
        }
        if !Side::BOTH.iter().all(|side| self.clock.is_known(*side)) {
            return; // when keys expire there cannot be told yet
        }
        self.ask_functions();
        self.go_on_verifying();
        let idle = self.dirty.is_empty() && !self.wants_sweep() && self.repairs.sized.is_empty() && !self.backfill.is_under_way();
        let now_ms = self.clock.now().mono_ms;
        if idle || self.repairs.is_paused(now_ms) || !self.has_room() {
            return;
        }
        while let Some(place) = self.repairs.next_due(now_ms) {
            if !self.dirty.retry(place.0, &place.1) {
                self.repairs.recovered(&place);
            }
        }
        while let Some(flight) = self.repairs.sized.pop_front() {
            if !self.ask_value(flight) {
                break;
            }
        }
        while self.repairs.pace.has_room() && self.repairs.sized.is_empty() && self.has_room() {
            // Keys that are always in use do not keep the others waiting for ever.
            let urgent = if self.repairs.takes_urgent() || self.dirty.waiting() == 0 {
                std::iter::from_fn(|| self.repairs.urgent.pop_front()).find(|(db, key)| self.dirty.begin_copy(*db, key))
            } else {
                None
            };
            if urgent.is_none() && !self.repairs.pace.may_begin(now_ms) {
                break;
            }
            if urgent.is_none() && self.begin_merge(now_ms) {
                continue;
            }
            let Some((db, key)) = urgent.or_else(|| self.dirty.next_to_copy()) else { break };
            if !self.lanes[self.authority].has_db(db) || !self.lanes[!self.authority].has_db(db) {
                self.dirty.not_copied(db, &key);
                self.dirty.failed(db, &key);
                let place = (db, key);
                self.promises.doom(|doomed| *doomed == place);
                self.repairs.failed(place, "a side does not have this database", now_ms);
                continue;
            }
            self.scratch.clear();
            interlay_resp::encode_request([&b"MEMORY"[..], b"USAGE", &key], &mut self.scratch);
            let era = self.era();
            let flight = self.repairs.begin((db, key), Step::Size, now_ms, era);
            self.ask(self.authority, db, 1, Errand::Copy(flight));
        }
        if !self.is_changing() {
            self.sweep();
            self.tend_backfill();
        }
    }

    /// Whether the lanes have room beside what clients need.
    pub(super) fn has_room(&self) -> bool {
        self.lanes[self.authority].queued_bytes() * 4 < self.limits.authority_backlog_bytes_max
            && self.lanes[!self.authority].queued_bytes() * 4 < self.limits.effect_queue_bytes_max
    }

    /// Puts what is in `scratch`, which gets so many replies, onto a side's lane.
    pub(super) fn ask(&mut self, side: Side, db: u32, replies: u32, errand: Errand) {
        let lane = &mut self.lanes[side];
        let session = Session { db, proto: lane.proto() };
        lane.enter(session);
        let len = self.scratch.len();
        if len >= SHARE_FROM_BYTES {
            lane.log.push_shared(std::mem::take(&mut self.scratch).into());
        } else {
            lane.log.push(&self.scratch);
        }
        let asked = Asked { len, ticket: NO_CLIENT, session };
        lane.awaiting.push_back(Entry { asked, replies, job: Job::Errand(errand) });
    }

    /// Samples the servers' clocks.
    fn ask_time(&mut self) {
        let now_ms = self.clock.now().mono_ms;
        if now_ms < self.time_due_ms {
            return;
        }
        self.time_due_ms = now_ms + TIME_EVERY_MS;
        for side in Side::BOTH {
            self.scratch.clear();
            interlay_resp::encode_request(["TIME"], &mut self.scratch);
            let db = self.lanes[side].db().unwrap_or(0);
            self.ask(side, db, 1, Errand::Time { sent_mono_ms: now_ms });
        }
    }

    // === Answers ===

    /// A server has answered what Interlay asked: the replies but the last one are `collected`. What is to be asked for next is
    /// asked for when the request has left the lane, which has room for it then.
    pub(super) fn errand_done(
        &mut self,
        side: Side,
        asked: Asked,
        errand: Errand,
        collected: &[u8],
        reply: &[u8],
        clients: &mut impl Clients,
    ) {
        match errand {
            Errand::Copy(flight) => self.copy_goes_on(flight, collected, reply, clients),
            Errand::Restore(flight) => self.restored(flight, collected, reply, clients),
            Errand::Batch { of, asked_ms } => self.batch_read(side, asked, of, asked_ms, collected, reply),
            Errand::Brought(of) => self.batch_brought(side, asked, of, collected, reply),
            Errand::Strangers(sweep) if self.is_sweep(sweep) => self.counted_strangers(reply),
            Errand::Scan(sweep) if self.is_sweep(sweep) => self.scanned(collected, reply),
            Errand::Exist(sweep) if self.is_sweep(sweep) => self.found_strangers(collected, reply),
            Errand::Own(sweep) if self.is_sweep(sweep) => self.found_own(asked, collected, reply),
            Errand::Strangers(_) | Errand::Scan(_) | Errand::Exist(_) | Errand::Own(_) => {} // of a sweep that was begun anew
            Errand::Count => self.counted(reply),
            Errand::Functions => self.put_functions(reply),
            Errand::RestoreFunctions => self.functions_restored(reply),
            Errand::First => self.trim(asked, reply),
            Errand::Track { connection } => self.tracked(connection, reply),
            Errand::Databases => self.counted_databases(side, reply),
            Errand::Verify(verification, ask) => self.verify_answered(verification, ask, side, collected, reply),
            Errand::Probe { sent_mono_ms } => self.probed(side, sent_mono_ms),
            Errand::Deadline { asked_mono_ms } => self.note_deadline(side, asked, asked_mono_ms, reply),
            Errand::Time { sent_mono_ms } => {
                let mut parts = elements(reply, &self.limits.resp).map(|(part, _)| number(part));
                if let (Some(Some(seconds)), Some(Some(micros))) = (parts.next(), parts.next()) {
                    self.clock.sampled(side, seconds * 1000 + micros / 1000, sent_mono_ms);
                }
            }
        }
    }

    /// The lane was lost before the answer came.
    pub(super) fn errand_lost(&mut self, side: Side, errand: Errand, db: u32, request: &[u8], clients: &mut impl Clients) {
        match errand {
            Errand::Copy(flight) => self.give_up(flight),
            Errand::Restore(flight) if self.repairs.get(flight).is_some_and(|copy| copy.merges) => self.give_up(flight),
            Errand::Restore(flight) => {
                let Some(Flight { db, key, step, .. }) = self.repairs.end(flight) else { return };
                if step == Step::Restore {
                    self.dirty.confirmed(db, &key);
                } else {
                    self.dirty.not_copied(db, &key);
                }
                self.dirty.mark(db, &key);
                if self.counters.effects_answered() < self.crossing_until {
                    self.dirty.mark_in_every_db(&key);
                }
                self.doubts += 1;
                self.break_promises(Bearer::Copy(flight), Some(&(db, key)), Answer::SecondaryLost(!self.authority), clients);
            }
            Errand::Batch { of, .. } | Errand::Brought(of) => self.batch_lost(db, of, request),
            Errand::Scan(number) | Errand::Exist(number) => {
                if let Some(sweep) = self.sweep.as_mut().filter(|sweep| sweep.number == number) {
                    sweep.asked = false;
                    sweep.strangers.clear();
                }
            }
            Errand::First => {
                if let Some(key) = view(request).arg(1) {
                    self.trim_lost(db, key);
                }
            }
            Errand::Functions | Errand::RestoreFunctions => {
                self.dirty.mark_functions();
                self.functions_due_ms = 0;
            }
            // The keys that it was about are lost with the lane's requests, or expire on a side that is down.
            Errand::Deadline { .. } => {}
            Errand::Own(sweep) if self.is_sweep(sweep) => self.begin_sweep_anew(),
            Errand::Own(_) | Errand::Count | Errand::Strangers(_) => {}
            Errand::Probe { .. } => self.probe_lost(side),
            Errand::Time { .. } => self.time_due_ms = 0,
            Errand::Track { .. } => self.reports_end(),
            Errand::Databases => self.place_anywhere(),
            Errand::Verify(verification, ask) => self.verify_lost(verification, ask, side),
        }
    }
}
