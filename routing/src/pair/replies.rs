//! Replies: what each of them means for the client, for the other side, and for the dirty set.

use bytes::Bytes;
use interlay_resp::{ReplyKind, ReplyScan};

use super::follow::Follow;
use super::obstacle::{Obstacle, Outlook};
use super::together::Mirrored;
use super::{Clients, LaneError, LanePair, REPLY_AGE_MS};
use crate::answer::Answer;
use crate::effect::Effect;
use crate::keys::{Keys, Place, view};
use crate::lane::{Asked, Entry, Expect, Held, Job, Session, Ticket};
use crate::policy::Policy;
use crate::reply::elements;
use crate::rewrite::{Outcome, carries_deadline, outcome};
use crate::side::Side;
use crate::transaction::Repeat;

impl LanePair {
    /// Takes bytes that a side's server has sent.
    ///
    /// # Errors
    ///
    /// [`LaneError`] when the lane cannot go on; what came before has been dealt with.
    pub fn receive(&mut self, side: Side, mut bytes: &[u8], clients: &mut impl Clients) -> Result<(), LaneError> {
        self.lanes[side].moved += bytes.len() as u64;
        while !bytes.is_empty() {
            let lane = &mut self.lanes[side];
            match lane.scanner.scan(bytes, &self.limits.resp).map_err(|cause| LaneError::Protocol { side, cause })? {
                ReplyScan::NeedMore => {
                    self.begun(side, bytes, clients);
                    return Ok(());
                }
                ReplyScan::Complete { len, kind } => {
                    let (piece, rest) = bytes.split_at(len);
                    bytes = rest;
                    let mut partial = std::mem::take(&mut lane.partial);
                    if partial.is_empty() {
                        self.answered(side, piece, kind, clients)?;
                    } else {
                        partial.extend_from_slice(piece);
                        self.answered(side, &partial, kind, clients)?;
                    }
                }
            }
        }
        self.change_if_drained();
        if self.promises.secondary() == Some(self.authority) {
            self.break_all_promises(clients);
        }
        Ok(())
    }

    /// A reply has begun: passes it on as it comes if it needs no look, or keeps it.
    fn begun(&mut self, side: Side, bytes: &[u8], clients: &mut impl Clients) {
        let (doubted, settling) = (self.doubts, self.is_settling());
        let lane = &mut self.lanes[side];
        let passes = match lane.awaiting.front() {
            Some(Entry { job: Job::Pass { doubts, .. }, asked: Asked { len, ticket, session }, .. })
                if lane.scanner.kind().is_some_and(|kind| kind != ReplyKind::Push) =>
            {
                // Effects ahead of this read have been answered, so what the dirty set says of it now is final.
                let final_here = side == self.authority || lane.streaming || *doubts == doubted;
                let mut clean = || !self.keys.any_doubtful(&self.dirty, self.counters.effects_answered(), lane.log.front(*len));
                (final_here || (!settling && clean())).then_some(*ticket)
            }
            _ => None,
        };
        match passes {
            Some(ticket) => {
                let kept = std::mem::take(&mut lane.partial);
                lane.streaming = true;
                if !kept.is_empty() {
                    clients.reply(ticket, &kept, false);
                }
                clients.reply(ticket, bytes, false);
            }
            None => lane.partial.extend_from_slice(bytes),
        }
    }

    /// A side has answered its oldest request.
    fn answered(&mut self, side: Side, reply: &[u8], kind: ReplyKind, clients: &mut impl Clients) -> Result<(), LaneError> {
        if kind == ReplyKind::Push {
            return Ok(()); // out of band, and nothing on a shared lane asks for it
        }
        let failed = kind == ReplyKind::Error;
        let lane = &mut self.lanes[side];
        if let Some(entry) = lane.answered_in_part() {
            // Rare: only transactions get more than one reply.
            match &mut entry.job {
                Job::Transaction { .. } => clients.reply(entry.asked.ticket, reply, false),
                Job::Errand(_) => lane.collected.extend_from_slice(reply),
                Job::Try { refused, .. } if failed && refused.is_none() => *refused = Some(reply.into()),
                _ => {}
            }
            return Ok(());
        }
        let Entry { asked, job, .. } = lane.next_answered().ok_or(LaneError::Unasked(side))?;
        let streamed = std::mem::take(&mut lane.streaming);
        let is_errand = matches!(job, Job::Errand(_));
        match job {
            Job::Setup if failed => {
                lane.log.pop(asked.len);
                lane.astray = true;
                let reply = String::from_utf8_lossy(reply).trim_end().to_owned();
                return Err(LaneError::Setup { side, reply });
            }
            Job::Setup => {}
            Job::Pass { read: true, doubts, .. } if side != self.authority && !streamed && doubts != self.doubts => {
                self.confirm_read(asked, reply, clients);
            }
            Job::Pass { shadow: true, .. } if side == self.authority => {
                self.shadow(asked, (!streamed).then_some(reply));
                clients.reply(asked.ticket, reply, true);
            }
            Job::Pass { .. } => clients.reply(asked.ticket, reply, true),
            Job::Shadow(shadow) => self.shadowed(asked, &shadow, reply),
            Job::Unknown if failed || !self.has_target => clients.reply(asked.ticket, reply, true),
            Job::Unknown => self.known_after_all(asked.ticket, reply, clients),
            Job::Write { effect, confirms } => {
                if failed && !effect.survives(reply) {
                    clients.reply(asked.ticket, reply, true);
                } else {
                    self.written(asked, effect, confirms, reply, clients);
                }
            }
            Job::Transaction { confirms } => self.transacted(asked, confirms, reply, clients),
            Job::Try { waiter, confirms, refused } => self.tried(asked, waiter, confirms, refused.as_deref(), reply, clients),
            Job::Errand(errand) => {
                let collected = std::mem::take(&mut lane.collected);
                self.errand_done(side, asked, errand, &collected, reply, clients);
            }
            Job::Effect { expect, held } => self.confirmed(asked, expect, held, reply, failed, clients),
        }
        self.lanes[side].log.pop(asked.len);
        if is_errand {
            self.pump();
            self.keep_promises(clients);
        }
        if !self.parked.is_empty() {
            self.try_parked(clients);
        }
        Ok(())
    }

    /// The authority has carried out a command that the table does not know: anything may have changed.
    fn known_after_all(&mut self, ticket: Ticket, reply: &[u8], clients: &mut impl Clients) {
        match self.policy {
            Policy::BestEffort => self.counters.forgotten += 1,
            _ => self.dirty.mark_everything(),
        }
        if self.policy == Policy::BothRequired {
            self.counters.failed_writes += 1;
            clients.reply(ticket, &Answer::SecondaryLost(!self.authority).to_reply(), true);
        } else {
            clients.reply(ticket, reply, true);
        }
    }

    /// The authority has applied a write: puts its effect onto the secondary's lane, and then answers the client.
    fn written(&mut self, asked: Asked, effect: Effect, confirms: bool, reply: &[u8], clients: &mut impl Clients) {
        self.counters.writes += 1;
        if !self.has_target {
            return clients.reply(asked.ticket, reply, true);
        }
        if !self.parked.is_empty() && effect.brings_what_is_not_foreseen() {
            let request = view(self.lanes[self.authority].log.front(asked.len));
            self.keys.touch(&mut self.parked, asked.session.db, request, effect);
        }
        let held = confirms.then(|| Held::from(reply));
        let mirrored = self.mirror(asked, effect, reply, held);
        if effect.settles() && !self.promises.is_empty() {
            let request = self.lanes[self.authority].log.front(asked.len).to_vec();
            let number = matches!(mirrored, Mirrored::Queued).then_some(self.counters.effects);
            self.promises_settled(effect, asked.session.db, view(&request), number);
        }
        match mirrored {
            Mirrored::Queued if confirms => {} // the client hears of it when the secondary has accepted it
            Mirrored::Short(_) if confirms && self.promises_written(asked, reply) => {}
            Mirrored::Short(_) if confirms => {
                self.counters.failed_writes += 1;
                clients.reply(asked.ticket, &Answer::SecondaryLost(!self.authority).to_reply(), true);
            }
            _ => clients.reply(asked.ticket, reply, true),
        }
    }

    /// Promises the reply to the authority's front request for when the keys that it has left dirty are copied.
    fn promises_written(&mut self, Asked { len, ticket, session }: Asked, reply: &[u8]) -> bool {
        let request = self.lanes[self.authority].log.front(len).to_vec();
        self.promise(ticket, [(session.db, &*request)], None, reply)
    }

    /// Puts the effect of the authority's front request onto the secondary's lane. If it cannot go there, its keys are left
    /// dirty.
    fn mirror(&mut self, asked: Asked, effect: Effect, reply: &[u8], held: Option<Held>) -> Mirrored {
        let Asked { len, session, ticket } = asked;
        let now_ms = if effect == Effect::Verbatim { None } else { self.secondary_now_ms() };
        let (authority, secondary) = self.lanes.both_mut(self.authority);
        let request = authority.log.front(len);
        let outcome = match effect {
            Effect::Verbatim => Outcome::Same,
            _ => outcome(effect, view(request), reply, now_ms, &mut self.substitute),
        };
        if outcome == Outcome::Nothing {
            self.counters.effects_none += 1;
            return Mirrored::Nothing;
        }
        let outlook = Outlook {
            secondary,
            dirty: &self.dirty,
            queue_max: self.limits.effect_queue_bytes_max,
            suspect: self.suspect || self.backfill.is_naming(),
        };
        let obstacle = outlook.obstacle(&mut self.keys, session.db, request, effect, outcome);
        // Who waits for the secondary's answer waits for a copy of all of it.
        let follow = if obstacle == Some(Obstacle::Dirty) && held.is_none() { self.follow_pieces(session.db, len) } else { None };
        if follow == Some(Follow::Read) {
            self.counters.skipped_dirty += 1;
            return Mirrored::Nothing;
        }
        if let Some(obstacle) = obstacle.filter(|_| follow.is_none()) {
            let request = self.lanes[self.authority].log.front(len).to_vec();
            self.leave_dirty(session.db, view(&request), effect, obstacle);
            return Mirrored::Short(None);
        }
        if self.looks_for_own() {
            let request = self.lanes[self.authority].log.front(len).to_vec();
            self.look_ahead(session.db, &request);
        }
        let (authority, secondary) = self.lanes.both_mut(self.authority);
        // In the protocol of the authority's reply, so that the two can be compared.
        let proto = authority.proto_for(session.proto);
        secondary.enter(Session { proto, ..session });
        let alike = secondary.proto_for(proto) == proto;
        let (len, replies, expect) = match outcome {
            Outcome::Substitute if self.substitute.requests == 1 => {
                secondary.log.push(&self.substitute.bytes);
                (self.substitute.bytes.len(), 1, Expect::of(&self.substitute.expected, alike))
            }
            Outcome::Substitute => {
                let mut repeat = Repeat::new(session.db);
                repeat.extend(&self.substitute);
                let whole = repeat.whole();
                secondary.log.push(&whole.bytes);
                (whole.bytes.len(), whole.replies, Expect::of(&whole.expected, alike))
            }
            _ => {
                authority.log.repeat_front(len, &mut secondary.log);
                (len, 1, if effect == Effect::Broadcast { Expect::NoError } else { Expect::of(reply, alike) })
            }
        };
        let expect = if follow.is_some() { Expect::NoError } else { expect };
        secondary.awaiting.push_back(Entry { asked: Asked { len, session, ticket }, replies, job: Job::Effect { expect, held } });
        self.counters.effects += 1;
        if effect == Effect::Verbatim && self.sweep.is_none() {
            self.counters.effects_verbatim += 1;
        } else {
            self.follow(asked, effect, outcome);
        }
        Mirrored::Queued
    }

    /// The effect of the authority's front request is on the secondary's lane: what else has to be known or done about it.
    fn follow(&mut self, Asked { len, session, .. }: Asked, effect: Effect, outcome: Outcome) {
        self.counters.of_kind(effect, outcome);
        let request = view(self.lanes[self.authority].log.front(len));
        if outcome == Outcome::Substitute {
            let (clock, side) = (&self.clock, !self.authority);
            let sets = self.keys.note_deadlines(&mut self.deadlines, &self.substitute.bytes, |unix_ms| clock.here(side, unix_ms));
            if sets && self.reply_age_ms > REPLY_AGE_MS {
                // When the authority has begun to count, only it can tell: the copy does.
                self.keys.mark_written(&mut self.dirty, session.db, request.bytes(), Place::Here);
            }
        }
        if effect.crosses_dbs() {
            self.crossing_until = self.counters.effects;
        }
        if effect.settles() && !self.dirty.is_empty() {
            self.settling_until = self.counters.effects;
            Keys::flush(&mut self.dirty, session.db, effect, request);
        }
        let trimmed = if effect.trims_later() { request.arg(1).map(<[u8]>::to_vec) } else { None };
        let carried = if self.deadlines.is_empty() { None } else { carries_deadline(request, session.db) };
        if let Some((db, from, to)) = carried.map(|(db, from, to)| (db, from.to_vec(), to.to_vec())) {
            self.ask_deadline(db, &from, &to);
        }
        if let Some(key) = trimmed {
            self.follow_trim(session.db, &key);
        }
        if effect == Effect::SwapDb {
            self.begin_sweep_anew();
        } else if effect.settles() && self.backfill.keeps() {
            self.backfill_flushed(session.db, effect);
        } else if let Some(sweep) = &mut self.sweep {
            let request = view(self.lanes[self.authority].log.front(len));
            // Overwritten keys are the same on both sides whatever the secondary had, or its reply tells, if that counts.
            if self.policy == Policy::BestEffort || !self.keys.catalog.overwrites(request) {
                sweep.sees(&mut self.keys, request, effect, &mut self.backfill.store);
            }
        }
    }

    /// Milliseconds since 1970 on the secondary, if it has told.
    pub(super) fn secondary_now_ms(&self) -> Option<u64> {
        let secondary = !self.authority;
        self.clock.is_known(secondary).then(|| self.clock.unix_ms_of(secondary))
    }

    /// The secondary has answered an effect: compares, and lets the client know if it waits for that.
    fn confirmed(&mut self, asked: Asked, expect: Expect, held: Option<Held>, reply: &[u8], failed: bool, clients: &mut impl Clients) {
        let agrees = expect.agrees(reply, failed);
        if agrees {
            self.counters.effects_agreed += 1;
        } else {
            self.counters.mismatches += 1;
            self.note_mismatch(asked.len);
        }
        if !agrees || !self.dirty.is_free_of_doubt() || !self.deadlines.is_quiet() {
            self.doubt(asked, agrees);
            self.dirty.end_doubts(self.counters.effects_answered());
        }
        let refused = !agrees && (failed || elements(reply, &self.limits.resp).any(|(_, kind)| kind == ReplyKind::Error));
        if !self.promises.is_empty() {
            self.effect_bears(refused, clients);
        }
        match held {
            Some(_) if refused => {
                self.counters.failed_writes += 1;
                clients.reply(asked.ticket, &Answer::SecondaryRefused(!self.authority).to_reply(), true);
            }
            Some(held) => clients.reply(asked.ticket, &held, true),
            None => {}
        }
    }

    /// The secondary's oldest effect may have left the sides different: because it was answered otherwise; because a key
    /// that an earlier one has left dirty has passed its difference on (RENAME, SMOVE), whatever the answer; or because a key has
    /// expired on one side and not on the other when the effect came.
    fn doubt(&mut self, Asked { len, session, .. }: Asked, agrees: bool) {
        if self.policy == Policy::BestEffort {
            self.counters.forgotten += u64::from(!agrees);
            self.doubts += u64::from(!agrees);
            return;
        }
        let requests = self.lanes[!self.authority].log.front(len);
        let doubtful = !agrees
            || self.keys.any_doubtful(&self.dirty, self.counters.effects_answered(), requests)
            || self.keys.any_near(&self.deadlines, requests);
        if doubtful {
            let moved_on = self.counters.effects_answered() < self.crossing_until;
            let place = if moved_on { Place::MovedOn } else { Place::AheadOfCopies };
            self.keys.doubt_written(&mut self.dirty, session.db, requests, place, agrees, self.counters.effects);
            self.doubts += 1;
        }
    }

    /// Whether an effect is under way that has already cleaned keys of the dirty set, so that what it says of a read
    /// ahead of that effect is too little.
    fn is_settling(&self) -> bool {
        self.counters.effects_answered() < self.settling_until
    }

    /// The secondary has answered a read: the answer holds if its keys are still clean.
    fn confirm_read(&mut self, Asked { len, ticket, session }: Asked, reply: &[u8], clients: &mut impl Clients) {
        let request = view(self.lanes[!self.authority].log.front(len));
        if self.is_settling() || self.keys.any_doubtful(&self.dirty, self.counters.effects_answered(), request.bytes()) {
            self.reroute(ticket, session, &Bytes::copy_from_slice(request.bytes()), clients);
        } else {
            clients.reply(ticket, reply, true);
        }
    }

    /// Puts a read that the secondary cannot answer onto the authority's lane, unless the client has written since.
    pub(super) fn reroute(&mut self, ticket: Ticket, session: Session, request: &[u8], clients: &mut impl Clients) {
        let lane = &mut self.lanes[self.authority];
        if !lane.has_db(session.db) || clients.wrote_since(ticket) {
            return clients.reply(ticket, &Answer::ReadUnanswered(!self.authority).to_reply(), true);
        }
        lane.enter(session);
        lane.log.push(request);
        let asked = Asked { len: request.len(), ticket, session };
        lane.awaiting.push_back(Entry::new(asked, Job::Pass { read: true, doubts: self.doubts, shadow: false }));
        self.counters.rerouted_reads += 1;
    }
}
