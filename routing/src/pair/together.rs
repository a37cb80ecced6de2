//! Transactions, and what clients do on connections of their own: changes that reach the secondary together.

use interlay_resp::requests;

use super::obstacle::{Obstacle, Outlook};
use super::waiting::moves;
use super::{Clients, Executed, LanePair, REPLY_AGE_MS};
use crate::answer::Answer;
use crate::effect::{Effect, Why};
use crate::keys::{Keys, Place};
use crate::lane::{Asked, Entry, Expect, Held, Job, NO_CLIENT, Session, Ticket};
use crate::policy::Policy;
use crate::rewrite::{Outcome, carries_deadline, outcome};
use crate::transaction::{Part, Repeat, parts};

/// What became of changes that were to reach the secondary.
pub(super) enum Mirrored {
    /// They are on its lane.
    Queued,
    /// There were none.
    Nothing,
    /// Not all of them can go there, and the keys of the rest are dirty. The effect of this number is all the same.
    Short(Option<u64>),
}

impl LanePair {
    /// The authority has answered the EXEC of its front request, a whole transaction.
    pub(super) fn transacted(&mut self, asked: Asked, confirms: bool, reply: &[u8], clients: &mut impl Clients) {
        if !self.has_target {
            return clients.reply(asked.ticket, reply, true);
        }
        let entry = self.lanes[self.authority].log.front(asked.len).to_vec();
        let (parts, _) = parts(&self.keys.catalog, asked.session.db, requests(&entry), reply, &self.limits.resp);
        self.changed(asked.ticket, asked.session, &parts, confirms, reply, clients);
    }

    /// What a client's own connection has done on the authority while the lane was [`LanePair::is_exclusive`]: puts its
    /// effect onto the secondary's lane, and then answers the client. Gives the database that is left behind.
    pub fn executed(&mut self, executed: Executed<'_>, clients: &mut impl Clients) -> u32 {
        let Executed { ticket, session, requests: entry, transaction, ordered, reply } = executed;
        let array;
        // A request that was carried out alone is seen as the only one of a transaction.
        let replies = if transaction {
            reply
        } else {
            array = [b"*1\r\n", reply].concat();
            &array
        };
        let (parts, db) = parts(&self.keys.catalog, session.db, requests(entry), replies, &self.limits.resp);
        if self.has_target && ordered {
            self.changed(ticket, session, &parts, self.confirms(), reply, clients);
            self.try_parked(clients);
            return db;
        }
        for part in &parts {
            self.executed_somewhere(Session { db: part.db, ..session }, part.request.bytes());
        }
        clients.reply(ticket, reply, true);
        db
    }

    /// What was done on the authority by a connection whose place in the order nobody knows, or whose outcome: the keys
    /// may differ.
    pub fn executed_somewhere(&mut self, session: Session, entry: &[u8]) {
        if !self.has_target {
            return;
        }
        if self.policy == Policy::BestEffort {
            self.counters.forgotten += 1;
        } else {
            self.keys.mark_written(&mut self.dirty, session.db, entry, Place::Unknown);
        }
    }

    /// The authority carries out nothing but a script: answers the reads on the lane with what it says of that, except those
    /// of the client whose script it is. Reads ahead of the script are no better off: their replies leave with its own.
    pub fn answer_busy(&mut self, reply: &[u8], clients: &mut impl Clients) {
        let lane = &mut self.lanes[self.authority];
        let is_script = |entry: &&Entry| matches!(entry.job, Job::Write { effect: Effect::Unrepeatable(Why::Script), .. });
        let running = lane.awaiting.iter().find(is_script).or_else(|| lane.awaiting.front()).map(|entry| entry.asked.ticket.client);
        let begun = usize::from(lane.streaming);
        for Entry { asked, job, .. } in lane.awaiting.iter_mut().skip(begun) {
            let is_others = Some(asked.ticket.client) != running && asked.ticket != NO_CLIENT;
            if is_others && matches!(job, Job::Pass { read: true, .. }) {
                clients.reply(asked.ticket, reply, true);
                asked.ticket = NO_CLIENT;
            }
        }
    }

    /// The authority has carried out `parts`: lets the secondary and those who wait know, and then the client.
    pub(super) fn changed(
        &mut self,
        ticket: Ticket,
        session: Session,
        parts: &[Part<'_>],
        confirms: bool,
        reply: &[u8],
        clients: &mut impl Clients,
    ) {
        self.counters.writes += parts.len() as u64;
        if !self.parked.is_empty() {
            for part in parts {
                match part.waits {
                    false => self.keys.touch(&mut self.parked, part.db, part.request, part.effect),
                    // What takes brings nothing, but to where it moves what it has taken.
                    true if moves(part.request) => self.parked.touch(part.db, part.request.arg(2).unwrap_or_default()),
                    true => {}
                }
            }
        }
        let held = confirms.then(|| Held::from(reply));
        match self.mirror_together(ticket, session, parts, held) {
            Mirrored::Queued if confirms => {} // the client hears of it when the secondary has accepted it
            Mirrored::Short(number)
                if confirms && self.promise(ticket, parts.iter().map(|part| (part.db, part.request.bytes())), number, reply) => {}
            Mirrored::Short(_) if confirms => {
                self.counters.failed_writes += 1;
                clients.reply(ticket, &Answer::SecondaryLost(!self.authority).to_reply(), true);
            }
            _ => clients.reply(ticket, reply, true),
        }
    }

    /// What becomes of a part, and what keeps it from the secondary's lane.
    fn part_obstacle(&mut self, part: &Part<'_>, now_ms: Option<u64>) -> (Outcome, Option<Obstacle>) {
        let outcome = outcome(part.effect, part.request, part.reply, now_ms, &mut self.substitute);
        if outcome == Outcome::Nothing {
            return (outcome, None);
        }
        let outlook = Outlook {
            secondary: &self.lanes[!self.authority],
            dirty: &self.dirty,
            queue_max: self.limits.effect_queue_bytes_max,
            suspect: self.suspect || self.backfill.is_naming(),
        };
        (outcome, outlook.obstacle(&mut self.keys, part.db, part.request.bytes(), part.effect, outcome))
    }

    /// Puts changes onto the secondary's lane, several of them as one transaction. Those that cannot go there leave their
    /// keys dirty.
    fn mirror_together(&mut self, ticket: Ticket, session: Session, parts: &[Part<'_>], held: Option<Held>) -> Mirrored {
        let now_ms = self.secondary_now_ms();
        let mut going = Vec::with_capacity(parts.len());
        let mut repeat: Option<Repeat> = None;
        let (mut settles, mut short) = (false, false);
        // A client that waits for all of it is told by copies of all of it, if one part cannot go there; but of what has no copy.
        let has_copy = |part: &Part<'_>| !part.effect.settles() && part.effect != Effect::Broadcast;
        let all_short = held.is_some() && parts.iter().any(|part| self.part_obstacle(part, now_ms).1.is_some());
        for part in parts {
            let (outcome, obstacle) = self.part_obstacle(part, now_ms);
            match obstacle.or_else(|| (all_short && has_copy(part)).then_some(Obstacle::Dirty)) {
                _ if outcome == Outcome::Nothing => self.counters.effects_none += 1,
                Some(obstacle) => {
                    short = true;
                    self.leave_dirty(part.db, part.request, part.effect, obstacle);
                    self.promises_settled(part.effect, part.db, part.request, None);
                }
                None => {
                    self.promises_settled(part.effect, part.db, part.request, Some(self.counters.effects + 1));
                    // At once: what is marked behind a flush stays so.
                    if part.effect.settles() && !self.dirty.is_empty() {
                        settles = true;
                        Keys::flush(&mut self.dirty, part.db, part.effect, part.request);
                    }
                    self.counters.of_kind(part.effect, outcome);
                    repeat.get_or_insert_with(|| Repeat::new(part.db)).push(part, outcome, &self.substitute);
                    going.push(*part);
                }
            }
        }
        let (Some(first), Some(repeat)) = (going.first(), repeat) else {
            return if short { Mirrored::Short(None) } else { Mirrored::Nothing };
        };
        going.iter().for_each(|part| self.look_ahead(part.db, part.request.bytes()));
        let selects = repeat.selects;
        let whole = repeat.whole();
        let (authority, secondary) = self.lanes.both_mut(self.authority);
        let proto = authority.proto_for(session.proto);
        let session = Session { db: first.db, proto };
        secondary.enter(session);
        secondary.log.push(&whole.bytes);
        let (clock, side) = (&self.clock, !self.authority);
        let sets = self.keys.note_deadlines(&mut self.deadlines, &whole.bytes, |unix_ms| clock.here(side, unix_ms));
        if sets && self.reply_age_ms > REPLY_AGE_MS {
            // A flush among them sets none, and would have to be taken for one that is lost.
            for part in going.iter().filter(|part| !part.effect.settles()) {
                self.keys.mark_written(&mut self.dirty, part.db, part.request.bytes(), Place::Here);
            }
        }
        if selects {
            // If the transaction is refused, so is the SELECT in it.
            secondary.db_unknown();
        }
        let expect = match first.effect {
            Effect::Broadcast if going.len() == 1 => Expect::NoError,
            _ if going.iter().any(|part| part.effect == Effect::Broadcast) => Expect::NoErrorAmong,
            _ => Expect::of(&whole.expected, secondary.proto_for(proto) == proto),
        };
        let asked = Asked { len: whole.bytes.len(), ticket, session };
        let job = Job::Effect { expect, held: if short { None } else { held } };
        secondary.awaiting.push_back(Entry { asked, replies: whole.replies, job });
        self.counters.effects += 1;
        if !self.deadlines.is_empty() {
            for (db, from, to) in going.iter().filter_map(|part| carries_deadline(part.request, part.db)) {
                self.ask_deadline(db, from, to);
            }
        }
        for part in going.iter().filter(|part| part.effect.trims_later()) {
            self.follow_trim(part.db, part.request.arg(1).unwrap_or_default());
        }
        for part in &going {
            if part.effect == Effect::SwapDb {
                self.begin_sweep_anew();
            } else if part.effect.settles() && self.backfill.keeps() {
                self.backfill_flushed(part.db, part.effect);
            } else if let Some(sweep) = &mut self.sweep {
                sweep.sees(&mut self.keys, part.request, part.effect, &mut self.backfill.store);
            }
        }
        if going.iter().any(|part| part.effect.crosses_dbs()) {
            self.crossing_until = self.counters.effects;
        }
        if settles {
            self.settling_until = self.counters.effects;
        }
        if short { Mirrored::Short(Some(self.counters.effects)) } else { Mirrored::Queued }
    }
}
