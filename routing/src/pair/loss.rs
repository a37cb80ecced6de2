//! A lane is lost: what becomes of everything that was on it.
//!
//! Nothing is sent again, except reads that the secondary owed. A request whose bytes were never written is known
//! not to be applied; of any other nobody knows.

use super::{Clients, LanePair};
use crate::answer::Answer;
use crate::conduct::{Conduct, Work};
use crate::keys::{Place, view};
use crate::lane::{Asked, Entry, Job, Session, Ticket};
use crate::policy::Policy;
use crate::side::Side;

impl LanePair {
    /// A side's connection is gone. Every request on its lane gets an answer or a dirty key, and the lane is empty.
    pub fn lost(&mut self, side: Side, clients: &mut impl Clients) {
        let mut lost = self.lanes[side].disconnect();
        if lost.abilities.is_some() {
            self.counters.lane_losses += 1;
        }
        self.lanes[side].moved = lost.moved;
        self.lanes[side].answered = lost.answered + lost.awaiting.len() as u64;
        self.stay();
        self.repairs.connections += 1;
        let mut streaming = lost.streaming;
        let mut sent = lost.log.written_len();
        if side != self.authority {
            self.break_all_promises(clients);
        }
        for Entry { asked: Asked { len, ticket, session }, replies, job } in lost.awaiting {
            // A request of which a single byte was written may have been read whole by the time the error came.
            let was_sent = sent > 0;
            sent = sent.saturating_sub(len);
            let request = lost.log.front(len);
            match job {
                Job::Setup => {}
                Job::Pass { .. } if std::mem::take(&mut streaming) => clients.abandon(ticket),
                Job::Pass { read: true, .. } if side != self.authority => self.reroute(ticket, session, request, clients),
                Job::Pass { .. } | Job::Unknown | Job::Write { .. } if !was_sent => {
                    self.counters.unsent_requests += 1;
                    clients.reply(ticket, &Answer::Unsent(side).to_reply(), true);
                }
                Job::Pass { read: true, .. } => clients.reply(ticket, &Answer::ReadLost(side).to_reply(), true),
                Job::Pass { read: false, .. } | Job::Unknown | Job::Write { .. } => {
                    self.outcome_unknown(side, ticket, session, request, lost.astray, clients)
                }
                Job::Transaction { .. } => {
                    let answer = if was_sent { Answer::OutcomeUnknown(side) } else { Answer::Unsent(side) };
                    self.note_lost(was_sent, session, request, lost.astray);
                    // Whatever was answered of it, each reply still owed says the same.
                    clients.reply(ticket, &answer.to_reply().repeat(replies as usize), true);
                }
                Job::Try { waiter, .. } if !was_sent => self.try_later(waiter, clients),
                Job::Try { waiter, .. } => {
                    self.cannot_be_served(waiter);
                    self.note_lost(was_sent, session, request, lost.astray);
                    clients.reply(ticket, &Answer::OutcomeUnknown(side).to_reply(), true);
                }
                Job::Shadow(_) => self.counters.shadow_skipped += 1,
                Job::Errand(errand) => self.errand_lost(side, errand, session.db, request, clients),
                Job::Effect { held, .. } => {
                    self.counters.effects_lost += 1;
                    let moved_on = lost.astray || self.counters.effects_answered() < self.crossing_until;
                    self.forget_or_mark(session, request, moved_on);
                    if held.is_some() {
                        self.counters.failed_writes += 1;
                        clients.reply(ticket, &Answer::SecondaryLost(side).to_reply(), true);
                    }
                }
            }
            lost.log.pop(len);
        }
    }

    /// Counts what became of requests that stand together, and marks what they may have written.
    fn note_lost(&mut self, was_sent: bool, session: Session, requests: &[u8], astray: bool) {
        if !was_sent {
            self.counters.unsent_requests += 1;
            return;
        }
        self.counters.unknown_outcomes += 1;
        if self.has_target {
            self.forget_or_mark(session, requests, astray);
        }
    }

    fn outcome_unknown(&mut self, side: Side, ticket: Ticket, session: Session, request: &[u8], astray: bool, clients: &mut impl Clients) {
        self.counters.unknown_outcomes += 1;
        if self.has_target {
            match self.keys.catalog.conduct(view(request)).1 {
                Conduct::Lane(Work::Write(_)) => self.forget_or_mark(session, request, astray),
                // The authority's own error was expected, and never came.
                Conduct::Lane(Work::Unknown) if self.policy == Policy::BestEffort => self.counters.forgotten += 1,
                Conduct::Lane(Work::Unknown) => self.dirty.mark_everything(),
                _ => {}
            }
        }
        clients.reply(ticket, &Answer::OutcomeUnknown(side).to_reply(), true);
    }

    fn forget_or_mark(&mut self, session: Session, request: &[u8], moved_on: bool) {
        if self.policy == Policy::BestEffort {
            self.counters.forgotten += 1;
        } else {
            self.keys.mark_written(&mut self.dirty, session.db, request, if moved_on { Place::MovedOn } else { Place::Unknown });
        }
    }
}
