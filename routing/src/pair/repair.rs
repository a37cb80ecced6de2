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
//! The middle way is taken while the secondary refuses the authority's payloads, the lower one for big keys. A key of which
//! some pieces are copied is dirty until the last one is put onto the secondary's lane. Writes that `follow.rs` knows go onto
//! that lane between the pieces; whatever marks the key meanwhile makes the copy begin anew, because what was read before that
//! and what was read behind it do not belong together.

use interlay_resp::{ReplyKind, Request};

use super::{Clients, EXPIRY_WINDOW_MS, LanePair};
use crate::answer::Answer;
use crate::copy::{self, CopyError, Destination, Kind, Position};
use crate::dirty::{Functions, bucket_of};
use crate::effect::Effect;
use crate::keys::view;
use crate::lane::{Asked, Entry, Held, Job, NO_CLIENT, Session, Ticket};
use crate::log::SHARE_FROM_BYTES;
use crate::promise::{Bearer, behind_swap};
use crate::repairs::{Era, ErrorKey, Flight, KeyAt, Piece, Step};
use crate::side::Side;
use crate::sweep::{COUNT, Half, Sweep};
use crate::transaction::elements;

/// What Interlay itself asks a server, and what its reply is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Errand {
    /// A step of a copy, on the authority's lane.
    Copy(u32),
    /// A copy, on the secondary's lane.
    Restore(u32),
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
    /// TIME, asked at this moment.
    Time { sent_mono_ms: u64 },
    /// Which keys others change is to be reported to this connection.
    Track { connection: i64 },
    /// INFO keyspace, for keys reported without their databases.
    Databases,
}

/// Most bytes of a piece, as far as they can be foretold, and most elements.
const PIECE_BYTES_MAX: u64 = 1 << 20;
const PIECE_ELEMENTS_MAX: u64 = 512;

/// Keys that wait to be copied above which a sweep names no more.
const NAMED_AHEAD: usize = 4096;

/// Wait before functions that could not be copied are copied again.
const FUNCTIONS_AGAIN_MS: u64 = 1_000;

/// What a server says that knows no functions, or lets the lane's user have none.
const HAS_NO_FUNCTIONS: &[&[u8]] = &[b"-ERR unknown command", b"-ERR unknown subcommand", b"-NOPERM"];

/// How often a server is asked for its time.
const TIME_EVERY_MS: u64 = 10_000;

/// Errors that are about the server and not about the key.
const OF_THE_SERVER: &[&[u8]] =
    &[b"-OOM", b"-READONLY", b"-MISCONF", b"-NOREPLICAS", b"-LOADING", b"-MASTERDOWN", b"-CLUSTERDOWN", b"-BUSY ", b"-NOAUTH"];

/// What a server says of a payload that it cannot read.
const PAYLOAD_REFUSED: &[&[u8]] = &[b"-ERR DUMP payload version or checksum", b"-ERR Bad data format"];

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
        self.is_sweeping() || self.wants_sweep || self.dirty.needs_scan()
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
            self.suspect_everything();
            self.wants_sweep = true;
        }
        self.pump();
    }

    /// Every key may differ, whatever a sweep under way has found.
    pub(super) fn suspect_everything(&mut self) {
        self.suspect = true;
        self.begin_sweep_anew();
    }

    /// A sweep under way may have missed keys that went from one database to another.
    pub(super) fn begin_sweep_anew(&mut self) {
        self.sweep = None;
        self.dirty.end_scan(false);
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
        if !self.has_target || !both_up || self.held || self.next_policy.is_some() {
            return;
        }
        self.ask_time();
        if !Side::BOTH.iter().all(|side| self.clock.is_known(*side)) {
            return; // when keys expire there cannot be told yet
        }
        self.ask_functions();
        let idle = self.dirty.is_empty() && self.sweep.is_none() && !self.wants_sweep && self.repairs.sized.is_empty();
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
            let urgent = std::iter::from_fn(|| self.repairs.urgent.pop_front()).find(|(db, key)| self.dirty.begin_copy(*db, key));
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
        self.sweep();
    }

    /// Whether the lanes have room beside what clients need.
    fn has_room(&self) -> bool {
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

    /// A server has answered what Interlay asked: the replies but the last one are `collected`.
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
            Errand::Scan(sweep) if self.is_sweep(sweep) => self.scanned(reply),
            Errand::Exist(sweep) if self.is_sweep(sweep) => self.found_strangers(collected, reply),
            Errand::Scan(_) | Errand::Exist(_) => {} // of a sweep that was begun anew
            Errand::Functions => self.put_functions(reply),
            Errand::RestoreFunctions => self.functions_restored(reply),
            Errand::First => self.trim(asked, reply),
            Errand::Track { connection } => self.tracked(connection, reply),
            Errand::Databases => self.counted_databases(side, reply),
            Errand::Deadline { asked_mono_ms } => self.note_deadline(side, asked, asked_mono_ms, reply),
            Errand::Time { sent_mono_ms } => {
                let mut parts = elements(reply, &self.limits.resp).map(|(part, _)| number(part));
                if let (Some(Some(seconds)), Some(Some(micros))) = (parts.next(), parts.next()) {
                    self.clock.sampled(side, seconds * 1000 + micros / 1000, sent_mono_ms);
                }
            }
        }
        self.pump();
        self.keep_promises(clients);
    }

    /// The lane was lost before the answer came.
    pub(super) fn errand_lost(&mut self, errand: Errand, db: u32, request: &[u8], clients: &mut impl Clients) {
        match errand {
            Errand::Copy(flight) => self.give_up(flight),
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
            Errand::Time { .. } => self.time_due_ms = 0,
            Errand::Track { .. } => self.reports_end(),
            Errand::Databases => self.place_anywhere(),
        }
    }

    fn era(&self) -> Era {
        Era { connections: self.repairs.connections, names: self.dirty.names_lost() }
    }

    /// The authority has answered a step of a copy.
    fn copy_goes_on(&mut self, flight: u32, collected: &[u8], reply: &[u8], clients: &mut impl Clients) {
        let now_ms = self.clock.now().mono_ms;
        let era = self.era();
        let Some(copy) = self.repairs.get(flight) else { return };
        let (db, step, asked_ms) = (copy.db, copy.step, copy.asked_ms);
        if copy.era != era {
            // The key may be dirty for what has come since, or be another one.
            return self.give_up(flight);
        }
        match step {
            Step::Size => {
                self.repairs.pace.answered(asked_ms, now_ms);
                if is_nil(reply) {
                    return self.put_removal(flight);
                }
                // A server that does not tell is taken to have a small value.
                let bytes = number(reply).unwrap_or(0);
                let (chunk_from, piece_bytes) = (self.limits.chunk_from_bytes, self.piece_bytes());
                let in_pieces = bytes >= chunk_from && !self.repairs.goes_whole(flight);
                if let Some(copy) = self.repairs.get(flight) {
                    copy.in_pieces = in_pieces;
                    copy.bytes_in_all = bytes;
                    copy.bytes = if in_pieces { piece_bytes } else { bytes };
                    copy.step = Step::Sized;
                }
                self.repairs.sized.push_back(flight);
            }
            Step::Dump if is_nil(reply) => self.put_removal(flight),
            Step::Dump if is_error(reply) => self.copy_failed(flight, reply, clients),
            Step::Dump => {
                let Some(deadline_ms) = self.deadline(collected) else { return self.copy_failed(flight, collected, clients) };
                let Some(payload) = bulk(reply) else { return self.copy_failed(flight, b"-ERR DUMP gave no payload", clients) };
                let Some(copy) = self.repairs.get(flight) else { return };
                self.scratch.clear();
                let deadline = deadline_ms.to_string();
                let request: [&[u8]; 6] = [b"RESTORE", &*copy.key, deadline.as_bytes(), payload, b"REPLACE", b"ABSTTL"];
                interlay_resp::encode_request(request, &mut self.scratch);
                self.put(flight, 1, deadline_ms);
            }
            Step::Type => match Kind::of(reply) {
                // Fields may expire, which no scan tells.
                Some(Kind::Hash) if copy.in_pieces && self.keys.catalog.table().by_name("hpexpire").is_some() => self.undone(flight, true),
                Some(kind) if copy.in_pieces => {
                    copy.step = Step::Length(kind);
                    self.scratch.clear();
                    interlay_resp::encode_request([length_of(kind), &copy.key], &mut self.scratch);
                    self.ask(self.authority, db, 1, Errand::Copy(flight));
                }
                Some(kind) => {
                    let expiry = self.expiry_command();
                    let Some(copy) = self.repairs.get(flight) else { return };
                    copy.step = Step::Elements(kind);
                    self.scratch.clear();
                    interlay_resp::encode_request([expiry, &copy.key], &mut self.scratch);
                    let replies = 1 + copy::reads(kind, &copy.key, &mut self.scratch);
                    self.ask(self.authority, db, replies, Errand::Copy(flight));
                }
                None if reply == b"+none\r\n" => self.put_removal(flight),
                None if copy.in_pieces => self.undone(flight, true),
                None => self.copy_failed(flight, b"-ERR the secondary refuses the payload, and a module's type has no other copy", clients),
            },
            Step::Elements(kind) => {
                let replies = [collected, reply].concat();
                let ttl = replies.iter().position(|byte| *byte == b'\n').map_or(replies.len(), |end| end + 1);
                let (ttl, replies) = replies.split_at(ttl);
                let Some(deadline_ms) = self.deadline(ttl) else { return self.copy_failed(flight, ttl, clients) };
                let destination = self.destination();
                let Some(copy) = self.repairs.get(flight) else { return };
                self.scratch.clear();
                match copy::rebuild(kind, &copy.key, deadline_ms, replies, &destination, &mut self.scratch) {
                    Ok(replies) => self.put(flight, replies, deadline_ms),
                    Err(CopyError::Changed) => self.give_up(flight),
                    Err(error) => self.copy_failed(flight, format!("-ERR {error}").as_bytes(), clients),
                }
            }
            Step::Length(kind) => {
                // Of another type by now, or none.
                let Some(length) = number(reply).filter(|length| *length > 0) else { return self.give_up(flight) };
                let bytes = self.piece_bytes();
                let Some(copy) = self.repairs.get(flight) else { return };
                let elements = (bytes / (copy.bytes_in_all / length).max(1)).clamp(1, PIECE_ELEMENTS_MAX);
                let count = if kind == Kind::String { bytes } else { elements } as u32;
                self.ask_piece(flight, Piece { at: Position::start(kind), count });
            }
            Step::Piece(piece) => self.add_piece(flight, piece, &[collected, reply].concat(), clients),
            Step::Sized | Step::Next(_) | Step::Added(_) | Step::Restore => {}
        }
    }

    // === In pieces ===

    /// About how many bytes a piece has.
    fn piece_bytes(&self) -> u64 {
        self.limits.chunk_from_bytes.clamp(1, PIECE_BYTES_MAX)
    }

    fn ask_piece(&mut self, flight: u32, piece: Piece) {
        let expiry = self.expiry_command();
        let Some(copy) = self.repairs.get(flight) else { return };
        copy.step = Step::Piece(piece);
        let db = copy.db;
        self.scratch.clear();
        interlay_resp::encode_request([expiry, &copy.key], &mut self.scratch);
        let replies = 1 + piece.at.read(&copy.key, piece.count, &mut self.scratch);
        self.ask(self.authority, db, replies, Errand::Copy(flight));
    }

    /// The authority has told how long a key has to live, and what a piece of it holds.
    fn add_piece(&mut self, flight: u32, piece: Piece, replies: &[u8], clients: &mut impl Clients) {
        let ttl = replies.iter().position(|byte| *byte == b'\n').map_or(replies.len(), |end| end + 1);
        let (ttl, replies) = replies.split_at(ttl);
        let Some(deadline_ms) = self.deadline(ttl) else { return self.copy_failed(flight, ttl, clients) };
        let destination = self.destination();
        let Some(copy) = self.repairs.get(flight) else { return };
        let (db, is_first) = (copy.db, piece.at.is_start());
        match self.dirty.may_go_on(db, &copy.key, flight) {
            Some(true) => {}
            Some(false) => return self.undone(flight, false),
            None if is_first => {}
            None => return self.give_up(flight),
        }
        self.scratch.clear();
        let (written, next) = match piece.at.apply(&copy.key, piece.count, replies, &destination, &mut self.scratch) {
            // It has expired, perhaps after some pieces of it were read.
            _ if ttl == b":-2\r\n" => {
                self.dirty.end_pieces(db, &copy.key);
                return self.put_removal(flight);
            }
            Ok(applied) => applied,
            Err(CopyError::Changed) => return self.give_up(flight),
            Err(CopyError::Indivisible) => return self.undone(flight, true),
            Err(error) => return self.copy_failed(flight, format!("-ERR {error}").as_bytes(), clients),
        };
        let secondary = &self.lanes[!self.authority];
        let is_full = secondary.queued_bytes() >= self.limits.effect_queue_bytes_max;
        if is_full || !secondary.has_db(db) || (is_first && !self.dirty.begin_pieces(db, &copy.key, flight)) {
            return self.give_up(flight);
        }
        self.counters.repair_pieces += u64::from(written > 0);
        let Some(at) = next else {
            let deadline = deadline_ms.to_string();
            let expiry: &[&[u8]] = if deadline_ms > 0 { &[b"PEXPIREAT", &copy.key, deadline.as_bytes()] } else { &[b"PERSIST", &copy.key] };
            interlay_resp::encode_request(expiry, &mut self.scratch);
            self.dirty.end_pieces(db, &copy.key);
            return self.put(flight, written + 1, deadline_ms);
        };
        let next = Piece { at, ..piece };
        if written == 0 {
            return self.repairs.go_on(flight, next);
        }
        copy.step = Step::Added(next);
        self.ask(!self.authority, db, written, Errand::Restore(flight));
    }

    /// A copy in pieces is in vain, because of what was written meanwhile; or no such copy can be made.
    fn undone(&mut self, flight: u32, never: bool) {
        if let Some(Flight { db, key, .. }) = self.repairs.end(flight) {
            self.dirty.not_copied(db, &key);
            self.repairs.undone((db, key), never);
        }
    }

    /// Asks for a key's value whose size is known; false if there is no room for it yet.
    fn ask_value(&mut self, flight: u32) -> bool {
        let expiry = self.expiry_command();
        let now_ms = self.clock.now().mono_ms;
        let by_type = self.repairs.by_type;
        let Some(copy) = self.repairs.get(flight) else { return true };
        let (db, bytes, step) = (copy.db, copy.bytes, copy.step);
        if !self.repairs.pace.has_room_for(bytes) {
            self.repairs.sized.push_front(flight);
            return false;
        }
        self.repairs.pace.asked(bytes);
        let Some(copy) = self.repairs.get(flight) else { return true };
        copy.asked_ms = now_ms;
        if let Step::Next(piece) = step {
            self.ask_piece(flight, piece);
            return true;
        }
        self.scratch.clear();
        let replies = if by_type || copy.in_pieces {
            copy.step = Step::Type;
            interlay_resp::encode_request([&b"TYPE"[..], &copy.key], &mut self.scratch);
            1
        } else {
            copy.step = Step::Dump;
            interlay_resp::encode_request([expiry, &copy.key], &mut self.scratch);
            interlay_resp::encode_request([&b"DUMP"[..], &copy.key], &mut self.scratch);
            2
        };
        self.ask(self.authority, db, replies, Errand::Copy(flight));
        true
    }

    /// The secondary, as a copy by type has to know it.
    fn destination(&self) -> Destination {
        let secondary = !self.authority;
        Destination {
            stream_counters: self.is_since_7_0(secondary),
            clock_ahead_ms: self.clock.offset_ms(secondary) - self.clock.offset_ms(self.authority),
        }
    }

    /// When a key expires on the secondary, by what the authority has told of it; 0 if it does not. None if that is an error.
    fn deadline(&self, told: &[u8]) -> Option<u64> {
        match number(told) {
            Some(at_ms) if self.is_since_7_0(self.authority) => {
                let here_ms = self.clock.here(self.authority, at_ms);
                Some(self.clock.there(!self.authority, here_ms).max(1))
            }
            Some(ttl_ms) => Some(self.clock.unix_ms_of(!self.authority).saturating_add(ttl_ms).max(1)),
            // -1: it has no deadline; -2: it is gone, as the next reply will say.
            None => told.starts_with(b":-").then_some(0),
        }
    }

    /// What tells when a key expires: exactly, if the authority has a command for that.
    fn expiry_command(&self) -> &'static [u8] {
        if self.is_since_7_0(self.authority) { b"PEXPIRETIME" } else { b"PTTL" }
    }

    fn is_since_7_0(&self, side: Side) -> bool {
        self.lanes[side].abilities.is_some_and(|abilities| abilities.since_7_0)
    }

    /// RENAME and COPY take a deadline along from key `from` to `to`: asks the authority for it, behind them. If it may be up
    /// before that is answered, nobody can tell, and the key is copied.
    pub(super) fn ask_deadline(&mut self, db: u32, from: &[u8], to: &[u8]) {
        if self.deadlines.is_near(from) {
            return self.dirty.mark(db, to);
        }
        self.scratch.clear();
        interlay_resp::encode_request([&b"PTTL"[..], to], &mut self.scratch);
        let asked_mono_ms = self.clock.now().mono_ms;
        self.ask(self.authority, db, 1, Errand::Deadline { asked_mono_ms });
    }

    fn note_deadline(&mut self, side: Side, asked: Asked, asked_mono_ms: u64, reply: &[u8]) {
        let Asked { len, session, .. } = asked;
        let now = self.clock.now();
        let request = view(self.lanes[side].log.front(len));
        let Some(key) = request.arg(1) else { return };
        match number(reply) {
            Some(ttl_ms) => self.deadlines.note(key, now.unix_ms.saturating_add(ttl_ms)),
            // No deadline, or no key: since it was not near when this was asked, it was not up either, unless that is long ago.
            None if now.mono_ms.saturating_sub(asked_mono_ms) < EXPIRY_WINDOW_MS => {}
            None => self.dirty.mark(session.db, key),
        }
    }

    // === Onto the secondary's lane ===

    fn put_removal(&mut self, flight: u32) {
        let Some(copy) = self.repairs.get(flight) else { return };
        copy.step = Step::Dump;
        self.scratch.clear();
        interlay_resp::encode_request([&b"UNLINK"[..], &copy.key], &mut self.scratch);
        self.put(flight, 1, 0);
    }

    /// Puts the copy in `scratch` onto the secondary's lane: from here on the key is clean.
    fn put(&mut self, flight: u32, replies: u32, deadline_ms: u64) {
        let secondary = &self.lanes[!self.authority];
        let is_full = secondary.queued_bytes() >= self.limits.effect_queue_bytes_max;
        let Some(copy) = self.repairs.get(flight) else { return };
        let db = copy.db;
        if is_full || !secondary.has_db(db) {
            return self.give_up(flight);
        }
        // The last piece of several makes good only what is in it.
        let is_whole = !matches!(std::mem::replace(&mut copy.step, Step::Restore), Step::Piece(_));
        let place = (db, copy.key.clone());
        self.dirty.copied(db, &place.1, self.counters.effects, is_whole);
        if !self.promises.is_empty() {
            self.promises.copied(&place, flight);
        }
        if deadline_ms > 0 {
            self.deadlines.note(&place.1, self.clock.here(!self.authority, deadline_ms));
        }
        self.ask(!self.authority, db, replies, Errand::Restore(flight));
    }

    /// The secondary has answered a copy.
    fn restored(&mut self, flight: u32, collected: &[u8], reply: &[u8], clients: &mut impl Clients) {
        let Some(Flight { db, key, step, in_pieces, .. }) = self.repairs.get(flight) else { return };
        let (db, key, step, in_pieces) = (*db, key.clone(), *step, *in_pieces);
        let error = if is_error(reply) {
            Some(first_error(collected, &self.limits.resp).unwrap_or(reply))
        } else {
            elements(reply, &self.limits.resp).find(|(_, kind)| *kind == ReplyKind::Error).map(|(error, _)| error)
        };
        // Requests that no transaction holds together fail one by one.
        let error = error.or_else(|| first_error(collected, &self.limits.resp).filter(|_| in_pieces));
        if let (Step::Added(next), None) = (step, error) {
            return self.repairs.go_on(flight, next);
        }
        self.repairs.end(flight);
        if step == Step::Restore {
            self.dirty.confirmed(db, &key);
        } else {
            self.dirty.not_copied(db, &key);
        }
        let Some(error) = error else {
            self.counters.repairs += 1;
            self.repairs.succeeded();
            // Marked since, and then left alone because an earlier copy had failed.
            self.dirty.retry(db, &key);
            self.repairs.recovered(&(db, key));
            let due = self.promises.confirmed(Bearer::Copy(flight));
            return keep(due, clients);
        };
        self.counters.repairs_failed += 1;
        // What was put onto the lane behind the copy has met another value.
        self.dirty.doubt(db, &key, self.counters.effects);
        self.doubts += 1;
        if self.counters.effects_answered() < self.crossing_until {
            self.dirty.mark_in_every_db(&key); // it may have been moved since, behind the copy
        }
        let now_ms = self.clock.now().mono_ms;
        if PAYLOAD_REFUSED.iter().any(|start| error.starts_with(start)) && !self.repairs.by_type {
            self.repairs.by_type = true;
            self.dirty.mark(db, &key);
        } else if PAYLOAD_REFUSED.iter().any(|start| error.starts_with(start)) {
            // Asked for before that was known.
            self.dirty.mark(db, &key);
        } else {
            self.note_failure(db, key.clone(), error, now_ms);
        }
        self.break_promises(Bearer::Copy(flight), Some(&(db, key)), Answer::SecondaryRefused(!self.authority), clients);
    }

    /// Promises the reply to writes, which stand together and leave keys dirty, for when these are copied, and the effect of
    /// that number, which goes along, is confirmed; false if nobody knows when that is.
    pub(super) fn promise<'a>(
        &mut self,
        ticket: Ticket,
        writes: impl IntoIterator<Item = (u32, &'a [u8]), IntoIter: DoubleEndedIterator>,
        effect: Option<u64>,
        reply: &[u8],
    ) -> bool {
        let mut keys = Vec::new();
        // Those behind a write, oldest last.
        let mut swaps = Vec::new();
        let are_named = writes.into_iter().rev().all(|(db, write)| {
            let swap = if self.keys.catalog.effect(view(write)) == Effect::SwapDb { swapped(view(write)) } else { None };
            swaps.extend(swap);
            let become_db = |db| swaps.iter().rev().copied().fold(db, behind_swap);
            self.keys.named_dirty(&self.dirty, db, write, become_db, &mut keys)
        });
        let is_paused = self.repairs.is_paused(self.clock.now().mono_ms);
        let both_up = Side::BOTH.iter().all(|side| self.lanes[*side].is_up());
        if !are_named || (keys.is_empty() && effect.is_none()) || is_paused || !both_up {
            return false;
        }
        keys.sort_unstable();
        keys.dedup();
        // They come first: a client waits for them.
        keys.iter().for_each(|(db, key)| self.repairs.hurry(*db, key));
        self.promises.make(!self.authority, ticket, reply.into(), keys, effect);
        true
    }

    /// A side is lost, or no longer what it was: nobody knows any more when promises would be kept.
    pub(super) fn break_all_promises(&mut self, clients: &mut impl Clients) {
        let secondary = self.promises.secondary().unwrap_or(!self.authority);
        let writes = self.promises.take_all().into_iter().map(|(ticket, _)| ticket).collect();
        self.failed_after_all(writes, Answer::SecondaryLost(secondary), clients);
    }

    /// Keeps the promises about keys that are clean although no copy of theirs was confirmed, because they had lost their names;
    /// and breaks those about keys of which there will be none.
    fn keep_promises(&mut self, clients: &mut impl Clients) {
        if self.promises.is_empty() {
            return;
        }
        self.break_doomed(clients);
        if std::mem::take(&mut self.promises.swept) {
            let due = self.promises.cleaned(|(db, key)| !self.dirty.contains(*db, key));
            keep(due, clients);
        }
        if self.dirty.is_settled() && self.sweep.is_none() && !self.suspect && self.lag() == 0 {
            keep(self.promises.take_all(), clients);
        }
    }

    /// The secondary has answered an effect.
    pub(super) fn effect_bears(&mut self, refused: bool, clients: &mut impl Clients) {
        let bearer = Bearer::Effect(self.counters.effects_answered());
        if refused {
            self.break_promises(bearer, None, Answer::SecondaryRefused(!self.authority), clients);
        } else {
            keep(self.promises.confirmed(bearer), clients);
        }
        self.break_doomed(clients);
    }

    fn break_doomed(&mut self, clients: &mut impl Clients) {
        let doomed = self.promises.take_doomed();
        self.failed_after_all(doomed, Answer::SecondaryRefused(!self.authority), clients);
    }

    /// The authority has emptied or swapped databases; the effect of this number, if there is one, will do so on the secondary.
    pub(super) fn promises_settled(&mut self, effect: Effect, db: u32, request: Request<'_>, number: Option<u64>) {
        let swapped = if effect == Effect::SwapDb { swapped(request) } else { None };
        self.promises.settled(effect, db, swapped, number);
        let secondary = &self.lanes[!self.authority];
        self.promises.doom(|(db, _)| !secondary.has_db(*db));
    }

    fn break_promises(&mut self, bearer: Bearer, place: Option<&KeyAt>, answer: Answer, clients: &mut impl Clients) {
        let refused = self.promises.refused(bearer, place);
        self.failed_after_all(refused, answer, clients);
    }

    /// These writes' clients hear that the secondary does not have them.
    fn failed_after_all(&mut self, writes: Vec<Ticket>, answer: Answer, clients: &mut impl Clients) {
        for ticket in writes {
            self.counters.failed_writes += 1;
            clients.reply(ticket, &answer.to_reply(), true);
        }
    }

    /// A copy cannot be made: the authority refuses, or nobody understands what it says.
    fn copy_failed(&mut self, flight: u32, error: &[u8], clients: &mut impl Clients) {
        let Some(Flight { db, key, .. }) = self.repairs.end(flight) else { return };
        self.counters.repairs_failed += 1;
        self.dirty.not_copied(db, &key);
        self.note_failure(db, key.clone(), error, self.clock.now().mono_ms);
        self.break_promises(Bearer::Copy(flight), Some(&(db, key)), Answer::SecondaryRefused(!self.authority), clients);
    }

    fn note_failure(&mut self, db: u32, key: Box<[u8]>, error: &[u8], now_ms: u64) {
        let reason = String::from_utf8_lossy(error);
        let reason = reason.trim_start_matches('-').trim_end();
        if OF_THE_SERVER.iter().any(|start| error.starts_with(start)) {
            self.dirty.mark(db, &key);
            return self.repairs.pause(reason, now_ms);
        }
        if self.repairs.failed((db, key.clone()), reason, now_ms) {
            self.dirty.failed(db, &key);
        } else {
            self.dirty.mark(db, &key);
        }
    }

    /// A copy comes to nothing, and is made anew when there is room.
    fn give_up(&mut self, flight: u32) {
        if let Some(Flight { db, key, .. }) = self.repairs.end(flight) {
            self.dirty.not_copied(db, &key);
        }
    }

    // === Sweeps ===

    /// Asks for the next keys, if a sweep is wanted and those that it has named are nearly done with.
    fn sweep(&mut self) {
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

    /// Asks for the authority's functions, if they may differ. What fails is tried again after a while.
    fn ask_functions(&mut self) {
        let now_ms = self.clock.now().mono_ms;
        if self.dirty.functions() != Functions::Dirty || now_ms < self.functions_due_ms {
            return;
        }
        self.functions_due_ms = now_ms + FUNCTIONS_AGAIN_MS;
        self.scratch.clear();
        interlay_resp::encode_request(["FUNCTION", "DUMP"], &mut self.scratch);
        let db = self.lanes[self.authority].db().unwrap_or(0);
        self.ask(self.authority, db, 1, Errand::Functions);
    }

    fn put_functions(&mut self, reply: &[u8]) {
        let has_none = HAS_NO_FUNCTIONS.iter().any(|start| reply.starts_with(start));
        if !has_none && (bulk(reply).is_none() || !self.lanes[!self.authority].is_up()) {
            return;
        }
        self.dirty.functions_copied();
        let Some(payload) = bulk(reply) else { return self.dirty.functions_confirmed() };
        self.scratch.clear();
        interlay_resp::encode_request([&b"FUNCTION"[..], b"RESTORE", payload, b"FLUSH"], &mut self.scratch);
        let db = self.lanes[!self.authority].db().unwrap_or(0);
        self.ask(!self.authority, db, 1, Errand::RestoreFunctions);
    }

    fn functions_restored(&mut self, reply: &[u8]) {
        if is_error(reply) && !HAS_NO_FUNCTIONS.iter().any(|start| reply.starts_with(start)) {
            self.counters.repairs_failed += 1;
            self.dirty.mark_functions();
        } else {
            self.dirty.functions_confirmed();
        }
    }

    fn is_sweep(&self, number: u32) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| sweep.number == number)
    }

    fn scanned(&mut self, reply: &[u8]) {
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
    fn found_strangers(&mut self, collected: &[u8], reply: &[u8]) {
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

/// The databases that SWAPDB swaps.
fn swapped(request: Request<'_>) -> Option<(u32, u32)> {
    let database = |at| std::str::from_utf8(request.arg(at)?).ok()?.parse().ok();
    database(1).zip(database(2))
}

/// The command that counts the elements of such a value, or the bytes of a string.
fn length_of(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::String => b"STRLEN",
        Kind::List => b"LLEN",
        Kind::Set => b"SCARD",
        Kind::Hash => b"HLEN",
        Kind::Zset => b"ZCARD",
        Kind::Stream => b"XLEN",
    }
}

/// Replies that are due by now.
fn keep(due: Vec<(Ticket, Held)>, clients: &mut impl Clients) {
    due.into_iter().for_each(|(ticket, reply)| clients.reply(ticket, &reply, true));
}

fn is_nil(reply: &[u8]) -> bool {
    matches!(reply, b"_\r\n" | b"$-1\r\n" | b"*-1\r\n")
}

fn is_error(reply: &[u8]) -> bool {
    matches!(reply.first(), Some(b'-' | b'!'))
}

fn first_error<'a>(replies: &'a [u8], limits: &interlay_resp::Limits) -> Option<&'a [u8]> {
    crate::transaction::replies(replies, limits).find(|(_, kind)| *kind == ReplyKind::Error).map(|(reply, _)| reply)
}

/// The bytes of a bulk string.
pub(super) fn bulk(reply: &[u8]) -> Option<&[u8]> {
    let head = reply.iter().position(|byte| *byte == b'\n')? + 1;
    reply.strip_prefix(b"$")?;
    reply.get(head..reply.len().checked_sub(2)?)
}

/// A number that is not negative, as an integer or in a string.
fn number(reply: &[u8]) -> Option<u64> {
    let digits = if reply.first() == Some(&b'$') { bulk(reply)? } else { reply.strip_prefix(b":")?.strip_suffix(b"\r\n")? };
    std::str::from_utf8(digits).ok()?.parse().ok()
}
