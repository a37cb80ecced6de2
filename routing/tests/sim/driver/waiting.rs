//! Clients that wait for an element.

use std::time::Duration;

use interlay_resp::Request;
use interlay_routing::{Admission, Conduct, Over, Submission, Work};

use super::{Driver, Event, tagged};
use crate::sim::check::{Role, Wait, shown};
use crate::sim::client::Pending;
use crate::sim::command;
use crate::sim::server::Tag;
use crate::sim::workload::Args;

impl Driver {
    fn instant(&self, at: u64) -> std::time::Instant {
        self.began + Duration::from_millis(at)
    }

    pub(super) fn submit_waiting(&mut self, place: usize, args: Args, patience: Option<u64>) -> Result<(), String> {
        let tag = self.checker.next_tag();
        // The tag takes the place of the time limit.
        let bytes = tagged(&args, tag);
        let request = Request::new(&bytes, args.len() + 1);
        let limited = args.iter().cloned().chain([b"0".to_vec()]).collect();
        let Conduct::Waits(effect, _) = self.conduct(&limited) else { return Err(format!("{} does not wait", shown(&args))) };
        let until = patience.map(|patience| self.agenda.now() + patience);
        let (authority, session) = (self.pair.authority(), self.crowd.clients[place].session);
        let ticket = self.ticket(place);
        self.longest_request = self.longest_request.max(bytes.len() + 30);
        let client = &mut self.crowd.clients[place];
        client.wrote = Some(ticket.seq);
        client.pending.push_back(Pending { tag, opening: false, alone: true, side: None, then: None });
        let work = Work::Write(effect);
        self.checker.submitted((place, ticket.epoch), session, args.clone(), work, Role::Waiter(Wait::new(ticket, until)), authority);
        let submission = Submission { ticket, session, request, shared: None, work, may_split: false, changes_session: false };
        let end = until.map(|until| self.instant(until));
        // Before the pair may answer it.
        self.checker.parked(tag);
        let admission = self.pair.submit_waiting(submission, effect, end, true, &mut self.crowd);
        self.say(|_| {
            format!("client {place}.{} db {} waits {patience:?} #{tag} {}: {admission:?}", ticket.epoch, session.db, shown(&args))
        });
        match admission {
            Admission::Parked => {
                if let Some(until) = until {
                    self.agenda.plan(until, Event::Expire);
                }
                Ok(())
            }
            Admission::Answered => Ok(()),
            other => Err(format!("#{tag} is {other:?} although the pair takes requests")),
        }
    }

    pub(super) fn expire(&mut self) {
        self.pair.expire_waiting(self.instant(self.agenda.now()), &mut self.crowd);
    }

    /// The client of this place that waits, if one does.
    fn waiting_of(&self, place: usize) -> Option<Tag> {
        let is_its = |tag: &&Tag| self.checker.record(**tag).client.0 == place;
        self.checker.waiting().iter().rfind(is_its).copied()
    }

    fn end_waiting(&mut self, place: usize, over: Over) {
        let Some(tag) = self.waiting_of(place) else { return };
        let before = self.pair.waiting();
        let waited = self.pair.end_waiting(place as u32, over, &mut self.crowd);
        self.say(|_| format!("client {place} waits no longer for #{tag}: {over:?}"));
        // Who has left hears no answer.
        if waited || over == Over::Left {
            self.checker.ended(tag, over, self.pair.waiting() < before);
        }
    }

    pub(super) fn has_left(&mut self, place: usize) {
        self.end_waiting(place, Over::Left);
    }

    pub(super) fn unblock(&mut self) {
        let place = self.rng.index(self.scenario.clients);
        let over = self.rng.pick(&[Over::Unblocked, Over::UnblockedWithError]);
        self.end_waiting(place, over);
    }

    pub(super) fn note_answered(&mut self) {
        std::mem::take(&mut self.crowd.answered).into_iter().for_each(|ticket| self.checker.waits_no_longer(ticket));
    }

    pub(super) fn note_answer(&mut self, tag: Tag, reply: &[u8]) {
        match &self.checker.record(tag).role {
            Role::Waiter(_) => {
                let end = match reply {
                    b"*-1\r\n" | b"_\r\n" => 1,
                    _ if reply.starts_with(b"-UNBLOCKED") => 2,
                    [b'-', ..] => return,
                    _ => 0,
                };
                self.summary.waits[end] += 1;
            }
            Role::Whole(_) if reply.starts_with(b"*") => self.summary.transactions += 1,
            _ => {}
        }
    }

    /// Nobody asks for anything any more: nobody waits beside something to take, and then nobody waits at all.
    pub(super) fn let_go_of_waiting(&mut self) -> Result<(), String> {
        // A round that comes to the end tries nobody.
        for _ in 0..=self.pair.waiting() + 1 {
            self.pair.poll_waiting(2, &mut self.crowd);
            self.settle()?;
            self.until_quiet()?;
        }
        self.nobody_starves(true)?;
        for place in 0..self.scenario.clients {
            self.end_waiting(place, Over::Unblocked);
            self.settle()?;
            self.until_quiet()?;
        }
        Ok(())
    }

    /// While no answer was lost, everything that is written wakes who waits for it, without a poll: with an empty lane
    /// nobody waits beside something to take.
    pub(super) fn nobody_is_overlooked(&mut self) -> Result<(), String> {
        self.note_answered();
        let authority = self.pair.authority();
        if self.pair.unanswered(authority).0 > 0 {
            return Ok(());
        }
        self.checker.no_try_under_way();
        let certain = self.certain && self.pair.takes_requests() && self.pair.is_up(authority);
        if certain { self.nobody_starves(false) } else { Ok(()) }
    }

    /// `polled` if those have been tried too whose destination was of another type, and may not be any more.
    fn nobody_starves(&mut self, polled: bool) -> Result<(), String> {
        let now = self.clock(self.pair.authority());
        let store = &mut self.servers[self.pair.authority()].store;
        store.set_now(now);
        for tag in self.checker.waiting() {
            let record = self.checker.record(*tag);
            if (polled || !self.checker.was_refused(*tag)) && command::would_find(store, record.session.db, &record.args) {
                return Err(format!("#{tag} {} waits although there is something to take", shown(&record.args)));
            }
        }
        Ok(())
    }
}
