//! The clients: what they have asked, what they have read, and in which order.
//!
//! A client has a place in the crowd. When it goes, another one takes the place with a new epoch, and whatever still
//! comes for the former one must not reach it.

use std::collections::VecDeque;

use interlay_resp::{Limits, ReplyKind, ReplyScan, ReplyScanner};
use interlay_routing::{Clients, ReplyOrder, Seq, Session, Side, Ticket};

use super::server::Tag;
use super::workload::Ask;

/// A reply on its way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) tag: Tag,
    /// It says only that the request was taken, MULTI for a whole transaction; not what it came to.
    pub(crate) opening: bool,
    /// The client sends nothing behind it until it has come.
    pub(crate) alone: bool,
    /// The lane it was put onto, none while it may still be answered by Interlay itself.
    pub(crate) side: Option<Side>,
    /// The client's session once the server has agreed.
    pub(crate) then: Option<Session>,
}

#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) epoch: u32,
    pub(crate) order: ReplyOrder,
    pub(crate) session: Session,
    /// Oldest first.
    pub(crate) pending: VecDeque<Pending>,
    /// A request that the pair would not take yet.
    pub(crate) held: Option<Ask>,
    /// Its last request that was no read.
    pub(crate) wrote: Option<Seq>,
    /// The requests whose replies have begun to come: at most one a lane.
    begun: Vec<Seq>,
    scanner: ReplyScanner,
    partial: Vec<u8>,
}

impl Client {
    /// Whether it waits for an answer before it goes on: to a SELECT or HELLO, to what waits for an element, or from a
    /// connection of its own.
    pub(crate) fn stands_still(&self) -> bool {
        self.pending.iter().any(|pending| pending.then.is_some() || pending.alone)
    }

    /// Whether it waits for nothing from the authority.
    pub(crate) fn may_split(&self, secondary: Side) -> bool {
        self.pending.iter().all(|pending| pending.side == Some(secondary))
    }

    /// Reads what has come for it: replies, each with the request that it answers by its place.
    fn read(&mut self, mut bytes: &[u8], answers: &mut Vec<Answer>) -> Result<(), String> {
        while !bytes.is_empty() {
            match self.scanner.scan(bytes, &Limits::default()).map_err(|error| format!("a client reads garbage: {error}"))? {
                ReplyScan::NeedMore => {
                    self.partial.extend_from_slice(bytes);
                    return Ok(());
                }
                ReplyScan::Complete { len, kind } => {
                    let (rest, after) = bytes.split_at(len);
                    bytes = after;
                    self.partial.extend_from_slice(rest);
                    let reply = std::mem::take(&mut self.partial);
                    let Pending { tag, opening, then, .. } = self.pending.pop_front().ok_or("a client reads a reply to no request")?;
                    self.session = then.filter(|_| kind != ReplyKind::Error).unwrap_or(self.session);
                    answers.push(Answer { tag, opening, reply });
                }
            }
        }
        Ok(())
    }
}

/// A reply that a client has read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) tag: Tag,
    pub(crate) opening: bool,
    pub(crate) reply: Vec<u8>,
}

/// All clients, by place.
#[derive(Default)]
pub(crate) struct Crowd {
    pub(crate) clients: Vec<Client>,
    /// What clients have read since the checker looked.
    pub(crate) answers: Vec<Answer>,
    /// Requests that were answered, whether or not their clients can read it yet.
    pub(crate) answered: Vec<Ticket>,
    /// Places whose clients have gone since the driver looked.
    pub(crate) gone: Vec<usize>,
    /// Clients whose connection had to end.
    pub(crate) abandoned: u64,
    pub(crate) violation: Option<String>,
}

impl Crowd {
    pub(crate) fn new(clients: usize) -> Self {
        Self { clients: (0..clients).map(|_| Client::default()).collect(), ..Self::default() }
    }

    /// The client goes, and another one comes.
    pub(crate) fn replace(&mut self, place: usize) {
        let epoch = self.clients[place].epoch + 1;
        self.gone.push(place);
        self.clients[place] = Client { epoch, ..Client::default() };
    }

    fn client(&mut self, ticket: Ticket) -> Option<&mut Client> {
        self.clients.get_mut(ticket.client as usize).filter(|client| client.epoch == ticket.epoch)
    }
}

impl Clients for Crowd {
    fn reply(&mut self, ticket: Ticket, bytes: &[u8], whole: bool) {
        self.answered.extend(whole.then_some(ticket));
        let mut answers = std::mem::take(&mut self.answers);
        if let Some(client) = self.client(ticket) {
            let mut out = Vec::new();
            let twice = client.order.is_answered(ticket.seq);
            client.begun.retain(|seq| *seq != ticket.seq);
            client.begun.extend((!whole).then_some(ticket.seq));
            client.order.reply(ticket.seq, bytes, whole, &mut out);
            let read = client.read(&out, &mut answers);
            if twice {
                self.violation = Some(format!("{ticket:?} is answered twice"));
            } else if let Err(error) = read {
                self.violation = Some(error);
            }
        }
        self.answers = answers;
    }

    fn abandon(&mut self, ticket: Ticket) {
        let Some(client) = self.client(ticket) else { return };
        if !client.begun.contains(&ticket.seq) {
            self.violation = Some(format!("{ticket:?} is abandoned although its reply has not begun"));
        }
        self.abandoned += 1;
        self.replace(ticket.client as usize);
    }

    fn wrote_since(&self, ticket: Ticket) -> bool {
        let client = self.clients.get(ticket.client as usize).filter(|client| client.epoch == ticket.epoch);
        client.and_then(|client| client.wrote).is_some_and(|wrote| wrote > ticket.seq)
    }
}
