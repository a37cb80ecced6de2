//! One copy, from the size of the value to the secondary's answer: the way that `repair.rs` shows.

use interlay_resp::ReplyKind;

use super::promises::keep;
use super::repair::Errand;
use super::{Clients, EXPIRY_WINDOW_MS, LanePair};
use crate::answer::Answer;
use crate::copy::{self, CopyError, Destination, Kind, Position};
use crate::keys::view;
use crate::lane::Asked;
use crate::promise::Bearer;
use crate::repairs::{Era, Flight, Piece, Step};
use crate::reply::{bulk, elements, first_error, is_error, is_nil, number};
use crate::side::Side;

/// Most bytes of a piece, as far as they can be foretold, and most elements.
const PIECE_BYTES_MAX: u64 = 1 << 20;
const PIECE_ELEMENTS_MAX: u64 = 512;

/// Errors that are about the server and not about the key.
pub(super) const OF_THE_SERVER: &[&[u8]] =
    &[b"-OOM", b"-READONLY", b"-MISCONF", b"-NOREPLICAS", b"-LOADING", b"-MASTERDOWN", b"-CLUSTERDOWN", b"-BUSY ", b"-NOAUTH"];

/// What a server says of a payload that it cannot read.
const PAYLOAD_REFUSED: &[&[u8]] = &[b"-ERR DUMP payload version or checksum", b"-ERR Bad data format"];

impl LanePair {
    pub(super) fn era(&self) -> Era {
        Era { connections: self.repairs.connections, names: self.dirty.names_lost() }
    }

    /// The authority has answered a step of a copy.
    pub(super) fn copy_goes_on(&mut self, flight: u32, collected: &[u8], reply: &[u8], clients: &mut impl Clients) {
        let now_ms = self.clock.now().mono_ms;
        let era = self.era();
        let Some(copy) = self.repairs.get(flight) else { return };
        let (db, step, asked_ms) = (copy.db, copy.step, copy.asked_ms);
        if copy.era != era {
            // The key may be dirty for what has come since, or be another one.
            return self.give_up(flight);
        }
        let merges = copy.merges;
        match step {
            Step::Size => {
                self.repairs.pace.answered(asked_ms, now_ms);
                if is_nil(reply) {
                    return if merges { self.merged(flight, None) } else { self.put_removal(flight) };
                }
                // A server that does not tell is taken to have a small value.
                let bytes = number(reply).unwrap_or(0);
                let (chunk_from, piece_bytes) = (self.limits.chunk_from_bytes, self.piece_bytes());
                let in_pieces = merges || (bytes >= chunk_from && !self.repairs.goes_whole(flight));
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
            Step::Type if merges => self.merge_type(flight, reply),
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
                if merges && number(reply).is_none_or(|length| length == 0) {
                    return self.merged(flight, None);
                }
                let Some(length) = number(reply).filter(|length| *length > 0) else { return self.give_up(flight) };
                let bytes = self.piece_bytes();
                let Some(copy) = self.repairs.get(flight) else { return };
                let elements = (bytes / (copy.bytes_in_all / length).max(1)).clamp(1, PIECE_ELEMENTS_MAX);
                let count = if kind == Kind::String { bytes } else { elements } as u32;
                self.ask_piece(flight, Piece { at: Position::start(kind), count });
            }
            Step::Piece(piece) if merges => self.merge_piece(flight, piece, &[collected, reply].concat()),
            Step::Piece(piece) => self.add_piece(flight, piece, &[collected, reply].concat(), clients),
            Step::Sized | Step::Next(_) | Step::Added(_) | Step::Restore => {}
        }
    }

    // === In pieces ===

    /// About how many bytes a piece has.
    pub(super) fn piece_bytes(&self) -> u64 {
        self.limits.chunk_from_bytes.clamp(1, PIECE_BYTES_MAX)
    }

    pub(super) fn ask_piece(&mut self, flight: u32, piece: Piece) {
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
        self.count_copied_bytes();
        self.ask(!self.authority, db, written, Errand::Restore(flight));
    }

    /// A copy in pieces is in vain, because of what was written meanwhile; or no such copy can be made.
    pub(super) fn undone(&mut self, flight: u32, never: bool) {
        if let Some(Flight { db, key, .. }) = self.repairs.end(flight) {
            self.dirty.not_copied(db, &key);
            self.repairs.undone((db, key), never);
        }
    }

    /// Asks for a key's value whose size is known; false if there is no room for it yet.
    pub(super) fn ask_value(&mut self, flight: u32) -> bool {
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
    pub(super) fn destination(&self) -> Destination {
        let secondary = !self.authority;
        Destination {
            stream_counters: self.is_since_7_0(secondary),
            clock_ahead_ms: self.clock.offset_ms(secondary) - self.clock.offset_ms(self.authority),
        }
    }

    /// When a key expires on the secondary, by what the authority has told of it; 0 if it does not. None if that is an error.
    pub(super) fn deadline(&self, told: &[u8]) -> Option<u64> {
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
    pub(super) fn expiry_command(&self) -> &'static [u8] {
        if self.is_since_7_0(self.authority) { b"PEXPIRETIME" } else { b"PTTL" }
    }

    pub(super) fn is_since_7_0(&self, side: Side) -> bool {
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

    pub(super) fn note_deadline(&mut self, side: Side, asked: Asked, asked_mono_ms: u64, reply: &[u8]) {
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

    pub(super) fn put_removal(&mut self, flight: u32) {
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
        self.count_copied_bytes();
        self.ask(!self.authority, db, replies, Errand::Restore(flight));
    }

    /// What is in `scratch` goes onto the secondary's lane as a copy, or a piece of one.
    pub(super) fn count_copied_bytes(&mut self) {
        let bytes = self.scratch.len() as u64;
        self.counters.repair_bytes += bytes;
        if self.backfill.is_under_way() {
            self.backfill.progress.bytes_copied += bytes;
        }
    }

    /// The secondary has answered a copy.
    pub(super) fn restored(&mut self, flight: u32, collected: &[u8], reply: &[u8], clients: &mut impl Clients) {
        if self.repairs.get(flight).is_some_and(|copy| copy.merges) {
            return self.merge_answered(flight, collected, reply);
        }
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
            self.backfill.copied(db, &key);
            self.repairs.succeeded();
            // Marked since, and then left alone because an earlier copy had failed.
            self.dirty.retry(db, &key);
            self.repairs.recovered(&(db, key));
            let due = self.promises.confirmed(Bearer::Copy(flight));
            return keep(due, clients);
        };
        self.counters.repairs_failed += 1;
        self.copy_in_doubt(db, &key);
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

    /// The secondary has refused a copy: what was put onto the lane behind it has met another value.
    pub(super) fn copy_in_doubt(&mut self, db: u32, key: &[u8]) {
        self.dirty.doubt(db, key, self.counters.effects);
        self.doubts += 1;
        if self.counters.effects_answered() < self.crossing_until {
            self.dirty.mark_in_every_db(key); // it may have been moved since, behind the copy
        }
    }

    /// A copy cannot be made: the authority refuses, or nobody understands what it says.
    pub(super) fn copy_failed(&mut self, flight: u32, error: &[u8], clients: &mut impl Clients) {
        if self.repairs.get(flight).is_some_and(|copy| copy.merges) {
            return self.merged(flight, Some(error));
        }
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
    pub(super) fn give_up(&mut self, flight: u32) {
        match self.repairs.end(flight) {
            Some(Flight { db, key, merges: true, .. }) => self.merge_again(db, key),
            Some(Flight { db, key, .. }) => self.dirty.not_copied(db, &key),
            None => {}
        }
    }
}

/// The command that counts the elements of such a value, or the bytes of a string.
pub(super) fn length_of(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::String => b"STRLEN",
        Kind::List => b"LLEN",
        Kind::Set => b"SCARD",
        Kind::Hash => b"HLEN",
        Kind::Zset => b"ZCARD",
        Kind::Stream => b"XLEN",
    }
}
