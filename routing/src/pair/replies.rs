//! Replies: what each of them means for the client, for the other side, and for the dirty set.

use bytes::Bytes;
use interlay_resp::{ReplyKind, ReplyScan};

use super::{Clients, LaneError, LanePair};
use crate::answer::Answer;
use crate::effect::Effect;
use crate::keys::{Keys, view};
use crate::lane::{Asked, Entry, Expect, Held, Job, Session, Ticket};
use crate::policy::Policy;
use crate::side::Side;
use crate::transaction::elements;

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
                let mut clean = || !self.keys.any_dirty(&self.dirty, session.db, view(lane.log.front(*len)));
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
                Job::Try { refused, .. } if failed && refused.is_none() => *refused = Some(reply.into()),
                _ => {}
            }
            return Ok(());
        }
        let Entry { asked, job, .. } = lane.next_answered().ok_or(LaneError::Unasked(side))?;
        let streamed = std::mem::take(&mut lane.streaming);
        match job {
            Job::Setup if failed => {
                lane.log.pop(asked.len);
                lane.astray = true;
                let reply = String::from_utf8_lossy(reply).trim_end().to_owned();
                return Err(LaneError::Setup { side, reply });
            }
            Job::Setup => {}
            Job::Pass { read: true, doubts } if side != self.authority && !streamed && doubts != self.doubts => {
                self.confirm_read(asked, reply, clients);
            }
            Job::Pass { .. } => clients.reply(asked.ticket, reply, true),
            Job::Unknown if failed || !self.has_target => clients.reply(asked.ticket, reply, true),
            Job::Unknown => self.known_after_all(asked.ticket, reply, clients),
            Job::Write { effect, confirms } => {
                if failed && !effect.survives_an_error() {
                    clients.reply(asked.ticket, reply, true);
                } else {
                    self.written(asked, effect, confirms, reply, clients);
                }
            }
            Job::Transaction { confirms } => self.transacted(asked, confirms, reply, clients),
            Job::Try { waiter, confirms, refused } => self.tried(asked, waiter, confirms, refused.as_deref(), reply, clients),
            Job::Effect { expect, held } => self.confirmed(asked, expect, held, reply, failed, clients),
        }
        self.lanes[side].log.pop(asked.len);
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
        if self.mirror(asked, effect, reply, held) && confirms {
            return; // the client hears of it when the secondary has accepted it
        }
        if confirms {
            self.counters.failed_writes += 1;
            clients.reply(asked.ticket, &Answer::SecondaryLost(!self.authority).to_reply(), true);
        } else {
            clients.reply(asked.ticket, reply, true);
        }
    }

    /// Puts the effect of the authority's front request onto the secondary's lane; false if it cannot go there, which
    /// leaves its keys dirty.
    fn mirror(&mut self, asked: Asked, effect: Effect, reply: &[u8], held: Option<Held>) -> bool {
        let Asked { len, session, .. } = asked;
        let (authority, secondary) = self.lanes.both_mut(self.authority);
        let request = authority.log.front(len);
        let best_effort = self.policy == Policy::BestEffort;
        let obstacle = if !secondary.is_up() || !secondary.has_db(session.db) {
            Some(&mut self.counters.skipped_down)
        } else if secondary.queued_bytes() >= self.limits.effect_queue_bytes_max {
            Some(&mut self.counters.skipped_full)
        } else if matches!(effect, Effect::Unrepeatable(_)) {
            Some(&mut self.counters.skipped_unrepeatable)
        } else if !self.dirty.is_empty() && !effect.settles() && self.keys.any_dirty(&self.dirty, session.db, view(request)) {
            Some(&mut self.counters.skipped_dirty)
        } else {
            None
        };
        if let Some(count) = obstacle {
            *count += 1;
            if best_effort {
                self.counters.forgotten += 1;
            } else if effect != Effect::Broadcast {
                self.keys.mark_written(&mut self.dirty, session.db, request, false);
            }
            return false;
        }
        // In the protocol of the authority's reply, so that the two can be compared.
        let proto = authority.proto_for(session.proto);
        secondary.enter(Session { proto, ..session });
        authority.log.repeat_front(len, &mut secondary.log);
        let expect = match effect {
            Effect::Broadcast => Expect::NoError,
            _ => Expect::of(reply, secondary.proto_for(proto) == proto),
        };
        secondary.awaiting.push_back(Entry::new(asked, Job::Effect { expect, held }));
        self.counters.effects += 1;
        if effect.crosses_dbs() {
            self.crossing_until = self.counters.effects;
        }
        if effect.settles() && !self.dirty.is_empty() {
            self.settling_until = self.counters.effects;
            Keys::flush(&mut self.dirty, session.db, effect, view(request));
        }
        true
    }

    /// The secondary has answered an effect: compares, and lets the client know if it waits for that.
    fn confirmed(&mut self, asked: Asked, expect: Expect, held: Option<Held>, reply: &[u8], failed: bool, clients: &mut impl Clients) {
        let agrees = expect.agrees(reply, failed);
        if agrees {
            self.counters.effects_agreed += 1;
        } else {
            self.counters.mismatches += 1;
        }
        if !agrees || !self.dirty.is_empty() {
            self.doubt(asked, agrees);
        }
        match held {
            Some(_) if !agrees && (failed || elements(reply, &self.limits.resp).any(|(_, kind)| kind == ReplyKind::Error)) => {
                self.counters.failed_writes += 1;
                clients.reply(asked.ticket, &Answer::SecondaryRefused(!self.authority).to_reply(), true);
            }
            Some(held) => clients.reply(asked.ticket, &held, true),
            None => {}
        }
    }

    /// The secondary's oldest effect may have left the sides different: because it was answered otherwise, or because a key
    /// that an earlier one has left dirty has passed its difference on (RENAME, SMOVE), whatever the answer.
    fn doubt(&mut self, Asked { len, session, .. }: Asked, agrees: bool) {
        if self.policy == Policy::BestEffort {
            self.counters.forgotten += u64::from(!agrees);
            self.doubts += u64::from(!agrees);
            return;
        }
        let requests = self.lanes[!self.authority].log.front(len);
        if !agrees || self.keys.any_dirty_in(&self.dirty, session.db, requests) {
            let moved_on = self.counters.effects_answered() < self.crossing_until;
            self.keys.mark_written(&mut self.dirty, session.db, requests, moved_on);
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
        if self.is_settling() || self.keys.any_dirty(&self.dirty, session.db, request) {
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
        lane.awaiting.push_back(Entry::new(asked, Job::Pass { read: true, doubts: self.doubts }));
        self.counters.rerouted_reads += 1;
    }
}
