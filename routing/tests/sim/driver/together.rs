//! Transactions that clients send whole, and what clients do on connections of their own while the lane is held.

use interlay_resp::{Request, encode_request};
use interlay_routing::{Admission, Conduct, Executed, Session, Submission, Ticket, Work};

use super::{Driver, Event};
use crate::sim::check::{Role, shown};
use crate::sim::client::Pending;
use crate::sim::reply::Reply;
use crate::sim::server::{Done, Tag};
use crate::sim::workload::Args;

/// Something to be carried out on a client's own connection.
pub(super) struct Section {
    place: usize,
    ticket: Ticket,
    tag: Tag,
    /// As they go over the connection.
    requests: Vec<Args>,
    transaction: bool,
    stage: Stage,
}

enum Stage {
    /// For its turn, or for the lane to be empty.
    Waits,
    /// Its request is on its way.
    Sent,
    /// The reply is on its way, with the database and protocol that it was asked in and what is left behind.
    Executed { session: Session, reply: Vec<u8>, db: u32 },
}

impl Driver {
    /// Enters a transaction with its parts into the records. Gives its tag, and what goes over the connection.
    fn enter_whole(&mut self, place: usize, epoch: u32, requests: &[Args]) -> Result<(Tag, Vec<Args>), String> {
        let (tag, client) = (self.checker.next_tag(), (place, epoch));
        let (authority, session) = (self.pair.authority(), self.crowd.clients[place].session);
        // SELECT takes no tag beside its number.
        let is_part = |args: &&Args| args[0] != b"SELECT";
        let parts = tag + 1..tag + 1 + requests.iter().filter(is_part).count();
        let replies = requests.len() as u32 + 2;
        let work = Work::Transaction { replies };
        self.checker.submitted(client, session, vec![b"EXEC".to_vec()], work, Role::Whole(parts), authority);
        let mut sent = vec![vec![b"MULTI".to_vec()]];
        for args in requests {
            if !is_part(&args) {
                sent.push(args.clone());
                continue;
            }
            let part = self.checker.next_tag();
            let work = self.work(args)?;
            self.checker.submitted(client, session, args.clone(), work, Role::Part(tag), authority);
            sent.push(args.iter().cloned().chain([format!("#{part}").into_bytes()]).collect());
        }
        sent.push(vec![b"EXEC".to_vec()]);
        Ok((tag, sent))
    }

    /// What a request does where it stands in a transaction.
    fn work(&self, args: &Args) -> Result<Work, String> {
        let tagged = args.iter().cloned().chain([b"0".to_vec()]).collect();
        match (self.conduct(args), self.conduct(&tagged)) {
            (_, Conduct::Waits(effect, _)) => Ok(Work::Write(effect)),
            (Conduct::Lane(work), _) => Ok(work),
            (Conduct::Session(_), _) => Ok(Work::Other),
            (other, _) => Err(format!("{} is {other:?}", shown(args))),
        }
    }

    pub(super) fn submit_together(&mut self, place: usize, requests: &[Args]) -> Result<(), String> {
        let ticket = self.ticket(place);
        let (tag, sent) = self.enter_whole(place, ticket.epoch, requests)?;
        let bytes = encoded(&sent);
        self.longest_request = self.longest_request.max(bytes.len());
        let authority = self.pair.authority();
        let client = &mut self.crowd.clients[place];
        let pending = |tag, opening| Pending { tag, opening, alone: false, side: Some(authority), then: None };
        client.pending.extend((tag..tag + 1 + requests.len()).map(|tag| pending(tag, true)));
        client.pending.push_back(pending(tag, false));
        client.wrote = Some(ticket.seq);
        let session = client.session;
        let work = Work::Transaction { replies: sent.len() as u32 };
        let shared = self.rng.chance(10).then(|| bytes.clone().into());
        let submission =
            Submission { ticket, session, request: Request::new(&bytes, 1), shared, work, may_split: false, changes_session: false };
        let admission = self.pair.submit(submission, &mut self.crowd);
        let lines: Vec<String> = sent.iter().map(|args| shown(args)).collect();
        self.say(|_| format!("client {place}.{} db {} sends #{tag} {}: {admission:?}", ticket.epoch, session.db, lines.join("; ")));
        match admission {
            Admission::Queued(side) if side == authority => Ok(()),
            Admission::Answered => Ok(()),
            other => Err(format!("#{tag} is {other:?}")),
        }
    }

    pub(super) fn submit_own(&mut self, place: usize, requests: &[Args], transaction: bool) -> Result<(), String> {
        let client = &mut self.crowd.clients[place];
        // What it has asked on the lane comes first.
        if !client.pending.is_empty() {
            return Ok(());
        }
        let ticket = self.ticket(place);
        let (tag, requests) = if transaction {
            self.enter_whole(place, ticket.epoch, requests)?
        } else {
            let (tag, args) = (self.checker.next_tag(), requests[0].clone());
            let (work, session) = (self.work(&args)?, self.crowd.clients[place].session);
            self.checker.submitted((place, ticket.epoch), session, args.clone(), work, Role::Alone, self.pair.authority());
            (tag, vec![args.into_iter().chain([format!("#{tag}").into_bytes()]).collect()])
        };
        // As an effect each of them may have a SELECT in front.
        self.longest_request = self.longest_request.max(encoded(&requests).len() + 30 * requests.len());
        self.crowd.clients[place].pending.push_back(Pending { tag, opening: false, alone: true, side: None, then: None });
        self.say(|_| format!("client {place}.{} waits for its turn with #{tag}", ticket.epoch));
        self.sections.push_back(Section { place, ticket, tag, requests, transaction, stage: Stage::Waits });
        Ok(())
    }

    /// Whose turn it is gets the lane held, and goes on when it is empty.
    pub(super) fn begin_section(&mut self) {
        let Some(section) = self.sections.front_mut().filter(|section| matches!(section.stage, Stage::Waits)) else { return };
        self.pair.hold(true, &mut self.crowd);
        if self.pair.is_exclusive() {
            section.stage = Stage::Sent;
            let at = self.agenda.now() + self.rng.between(0, 30);
            self.agenda.plan(at, Event::Own);
        }
    }

    pub(super) fn own(&mut self) -> Result<(), String> {
        let Some(mut section) = self.sections.pop_front() else { return Ok(()) };
        match std::mem::replace(&mut section.stage, Stage::Waits) {
            Stage::Waits => Err("a section was begun out of its turn".to_owned()),
            Stage::Sent => {
                // A client that has gone sends nothing any more.
                if self.crowd.clients[section.place].epoch != section.ticket.epoch {
                    return self.end_section();
                }
                self.carry_out(section)
            }
            Stage::Executed { session, reply, db } => {
                let bytes = encoded(&section.requests);
                if self.scenario.cuts && self.rng.chance(15) {
                    self.say(|_| format!("the own connection of client {} is lost", section.place));
                    self.pair.executed_somewhere(session, &bytes);
                    self.certain = false;
                    if self.crowd.clients[section.place].epoch == section.ticket.epoch {
                        self.crowd.replace(section.place);
                    }
                    return self.end_section();
                }
                let Section { ticket, transaction, tag, .. } = section;
                let executed = Executed { ticket, session, requests: &bytes, transaction, ordered: true, reply: &reply };
                let left = self.pair.executed(executed, &mut self.crowd);
                if left != db {
                    return Err(format!("#{tag} is said to leave database {left} behind, and it is {db}"));
                }
                self.end_section()
            }
        }
    }

    fn end_section(&mut self) -> Result<(), String> {
        self.pair.hold(false, &mut self.crowd);
        Ok(())
    }

    /// The authority gets what a client's own connection has sent.
    fn carry_out(&mut self, mut section: Section) -> Result<(), String> {
        let (now, authority) = (self.agenda.now(), self.pair.authority());
        let session = self.checker.record(section.tag).session;
        let bytes = encoded(&section.requests);
        if let Some(answer) = self.pair.refuses(session.db, &bytes) {
            use interlay_routing::Clients;
            self.crowd.reply(section.ticket, &answer.to_reply(), true);
            return self.end_section();
        }
        self.checker.sent(section.tag, authority);
        let server = &mut self.servers[authority];
        let proto = if server.abilities.resp3 { session.proto } else { interlay_resp::Proto::Resp2 };
        let session = Session { proto, ..session };
        if !server.store.has_db(session.db) {
            self.crowd.replace(section.place);
            return self.end_section();
        }
        // A key that it watches has changed.
        let (reply, db) = if section.transaction && self.rng.chance(15) {
            let reply = Reply::NilArray.encode(proto);
            self.summary.nils += 1;
            self.checker.came_to_nothing(section.tag, authority, now, &reply);
            (reply, session.db)
        } else {
            let clock = self.clock(authority);
            let (step, db) = self.servers[authority].own(clock, session, &section.requests);
            if let Done::Together { parts, .. } = &step.done {
                self.checker.runs_in(parts);
            }
            let reply = step.reply.clone();
            self.summary.sections += 1;
            self.check_step(authority, step)?;
            (reply, db)
        };
        section.stage = Stage::Executed { session, reply, db };
        self.sections.push_front(section);
        let at = now + self.rng.between(0, 30);
        self.agenda.plan(at, Event::Own);
        Ok(())
    }
}

fn encoded(requests: &[Args]) -> Vec<u8> {
    let mut bytes = Vec::new();
    requests.iter().for_each(|args| encode_request(args, &mut bytes));
    bytes
}
