//! A client's own connection to the authority: the state that the server keeps of it, and what each reply means.
//!
//! In: the client's requests, and the replies in the order in which the server sends them. Out: whether a reply is the
//! answer to a request, out of band, or something that the lanes must know. Invariant: a request that changes the state is
//! answered before the next one is submitted, so the state is known whenever a request comes.

use std::collections::VecDeque;

use interlay_resp::{Proto, ReplyKind, Request};

use crate::conduct::{Catalog, Conduct, Own, SessionCommand, Topic, Work};
use crate::effect::Effect;
use crate::lane::{NO_CLIENT, Session, Ticket};
use crate::transaction::selected;

/// What the server keeps of a connection, as CLIENT LIST tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Channels, patterns and shard channels subscribed to.
    pub subscriptions: [u32; 3],
    /// Requests queued since MULTI; none outside of a transaction.
    pub queued: Option<u32>,
    /// Keys are watched.
    pub watching: bool,
    /// Keys are tracked.
    pub tracking: bool,
    /// Every command is shown.
    pub monitoring: bool,
    /// The keys' age is left alone.
    pub untouching: bool,
}

impl Standing {
    /// Subscriptions of every kind.
    #[must_use]
    pub fn subscribed(&self) -> u32 {
        self.subscriptions.iter().sum()
    }
}

/// A client's own connection.
#[derive(Debug)]
pub struct Pin {
    session: Session,
    standing: Standing,
    /// The requests queued since MULTI, back to back.
    queued: Vec<u8>,
    /// Those of them that Interlay answers itself, by their number: for the server another request stands in their place.
    stand_ins: Vec<(u32, Vec<u8>)>,
    awaiting: VecDeque<Awaited>,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Awaited {
    ticket: Ticket,
    session: Session,
    what: What,
    /// Replies still to come.
    replies: u32,
    /// The request, if it is needed again.
    request: Vec<u8>,
}

/// What the answer to a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Interlay's own affair.
    Swallow,
    /// What has to succeed before a client's request.
    Enter,
    /// Nothing but for the client, and it changes nothing.
    Read,
    /// Nothing but for the client.
    Pass,
    /// The state changes if it is no error; for what can be turned on and off, to this.
    State(Own, bool),
    Select(u32),
    Hello(Proto),
    /// Queued by a transaction, if the server says so.
    Queued,
    /// The same of a request that Interlay answers itself.
    StandIn,
    /// It writes, or may.
    Write,
    Exec,
}

/// A request whose answer was lost.
#[derive(Debug)]
pub struct Lost {
    /// The request.
    pub ticket: Ticket,
    /// The client's database and protocol.
    pub session: Session,
    /// The requests that may have written keys, back to back.
    pub requests: Vec<u8>,
    /// Whether it may have changed anything.
    pub may_have_changed: bool,
}

/// What a reply is.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Out of band, for the client.
    Push,
    /// Bytes of the answer to a request, the last ones if `whole`.
    Reply {
        /// The request.
        ticket: Ticket,
        /// Whether the answer is complete.
        whole: bool,
    },
    /// The answer to something that may have changed data, for the lanes to know.
    Executed {
        /// The request.
        ticket: Ticket,
        /// The client's database and protocol.
        session: Session,
        /// The request, or those of its transaction.
        requests: Vec<u8>,
        /// Whether it was a transaction.
        transaction: bool,
    },
    /// For nobody.
    Swallowed,
    /// The answer to nothing that was asked, or not the one that had to be: the connection cannot go on.
    Unasked,
}

impl Pin {
    /// A connection in this database and protocol, and no other state.
    #[must_use]
    pub fn new(session: Session) -> Self {
        Self { session, standing: Standing::default(), queued: Vec::new(), stand_ins: Vec::new(), awaiting: VecDeque::new() }
    }

    /// What the server keeps of it.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether it has no state but database and protocol, so that the client's requests may go onto the lane.
    #[must_use]
    pub fn is_neutral(&self) -> bool {
        let queued = self.standing.queued;
        queued.is_none() && Standing { queued, ..Standing::default() } == self.standing
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.awaiting.is_empty()
    }

    /// Whether a request is under way that may change data.
    #[must_use]
    pub fn owes_a_write(&self) -> bool {
        self.awaiting.iter().any(|awaited| matches!(awaited.what, What::Write | What::Exec))
    }

    /// The requests queued since MULTI, back to back.
    #[must_use]
    pub fn queued(&self) -> &[u8] {
        &self.queued
    }

    /// Whether a request, or the transaction that it carries out, may change data.
    #[must_use]
    pub fn writes(&self, catalog: &Catalog, conduct: Conduct) -> bool {
        let in_transaction = self.standing.queued.is_some();
        match conduct {
            // The server refuses it.
            _ if self.session.proto == Proto::Resp2 && self.standing.subscribed() > 0 => false,
            Conduct::Own(Own::Exec) if in_transaction => {
                interlay_resp::requests(&self.queued).any(|request| catalog.effect(request) != Effect::Nothing)
            }
            Conduct::Lane(Work::Write(_) | Work::Unknown) | Conduct::Waits(..) => !in_transaction,
            _ => false,
        }
    }

    /// Whether the connection is in this database and protocol.
    #[must_use]
    pub fn is_in(&self, session: Session) -> bool {
        self.session == session
    }

    /// Appends to `out` what brings the connection to `session`, if it is not there.
    pub fn enter(&mut self, session: Session, out: &mut Vec<u8>) {
        let proto = if session.proto == Proto::Resp3 { "3" } else { "2" };
        let db = session.db.to_string();
        let steps = [(self.session.proto != session.proto, ["HELLO", proto]), (self.session.db != session.db, ["SELECT", &db])];
        for (_, args) in steps.iter().filter(|(needed, _)| *needed) {
            interlay_resp::encode_request(args, out);
            self.await_reply(NO_CLIENT, What::Enter, 1, &[]);
        }
        self.session = session;
    }

    /// Appends a request of Interlay's own to `out`.
    pub fn swallow(&mut self, args: &[&str], out: &mut Vec<u8>) {
        interlay_resp::encode_request(args, out);
        self.await_reply(NO_CLIENT, What::Swallow, 1, &[]);
    }

    /// Makes the server refuse the transaction's EXEC, because a request was refused that should be part of it.
    pub fn spoil(&mut self, out: &mut Vec<u8>) {
        // A wrong number of arguments is refused by every server.
        self.swallow(&["ECHO"], out);
    }

    /// Drops the transaction, instead of the EXEC that the client has sent.
    pub fn discard(&mut self, out: &mut Vec<u8>) {
        self.swallow(&["DISCARD"], out);
        self.end_transaction();
    }

    /// Queues a request that Interlay answers itself when the transaction is carried out.
    pub fn submit_stand_in(&mut self, ticket: Ticket, request: Request<'_>, out: &mut Vec<u8>) {
        interlay_resp::encode_request(["PING"], out);
        self.await_reply(ticket, What::StandIn, 1, request.bytes());
    }

    /// Takes the requests of the transaction being carried out that Interlay answers itself.
    pub fn take_stand_ins(&mut self) -> Vec<(u32, Vec<u8>)> {
        std::mem::take(&mut self.stand_ins)
    }

    /// Appends a client's request to `out`. True if the client's next one has to wait for its answer.
    pub fn submit(&mut self, ticket: Ticket, request: Request<'_>, conduct: Conduct, out: &mut Vec<u8>) -> bool {
        let number = |own: Own| self.replies(own, request);
        let turns_on = request.arg(2).is_some_and(|arg| arg.eq_ignore_ascii_case(b"on"));
        let (what, replies) = match conduct {
            Conduct::Own(Own::Exec) if self.standing.queued.is_some() => (What::Exec, 1),
            Conduct::Own(Own::Discard) if self.standing.queued.is_some() => (What::State(Own::Discard, false), 1),
            _ if self.standing.queued.is_some() => (What::Queued, 1),
            Conduct::Own(Own::Wait) => {
                // The server waits for what the connection's own last command has seen written: this one has seen all.
                self.swallow(&["PING"], out);
                (What::Read, 1)
            }
            Conduct::Lane(Work::Read) | Conduct::Own(Own::Read) => (What::Read, 1),
            Conduct::Own(Own::Plain | Own::Exec | Own::Discard | Own::Redirection) => (What::Pass, 1),
            Conduct::Own(own) => (What::State(own, turns_on), number(own)),
            Conduct::Session(SessionCommand::Select) => (selected(request).map_or(What::Pass, What::Select), 1),
            Conduct::Session(SessionCommand::Hello) => match request.arg(1) {
                Some(b"2") => (What::Hello(Proto::Resp2), 1),
                Some(b"3") => (What::Hello(Proto::Resp3), 1),
                _ => (What::Pass, 1),
            },
            Conduct::Lane(Work::Write(_) | Work::Unknown) | Conduct::Waits(..) => (What::Write, 1),
            _ => (What::Pass, 1),
        };
        let kept = if matches!(what, What::Write | What::Queued) { request.bytes() } else { &[] };
        self.await_reply(ticket, what, replies, kept);
        out.extend_from_slice(request.bytes());
        matches!(what, What::State(..) | What::Exec | What::Select(_) | What::Hello(_))
    }

    fn await_reply(&mut self, ticket: Ticket, what: What, replies: u32, request: &[u8]) {
        self.awaiting.push_back(Awaited { ticket, session: self.session, what, replies, request: request.to_vec() });
    }

    /// The replies to a command about the connection's state.
    fn replies(&self, own: Own, request: Request<'_>) -> u32 {
        let topics = u32::try_from(request.argc() - 1).unwrap_or(u32::MAX);
        match own {
            Own::Subscribe(_) => topics,
            Own::Unsubscribe(topic) if topics == 0 => self.standing.subscriptions[topic as usize].max(1),
            Own::Unsubscribe(_) => topics,
            _ => 1,
        }
    }

    /// Whether the reply that has begun may be passed on as it comes; to whom, then.
    #[must_use]
    pub fn streams(&self, kind: Option<ReplyKind>) -> Option<Ticket> {
        let in_band = kind.is_some_and(|kind| !matches!(kind, ReplyKind::Push | ReplyKind::Simple | ReplyKind::Error));
        let is_plain = in_band && self.standing.subscribed() == 0;
        self.awaiting.front().filter(|awaited| is_plain && matches!(awaited.what, What::Read | What::Pass)).map(|awaited| awaited.ticket)
    }

    /// Takes a whole reply.
    pub fn answered(&mut self, reply: &[u8], kind: ReplyKind) -> Said {
        let word = first_word(reply);
        let topic = CONFIRMATIONS.iter().find(|(confirmation, ..)| Some(*confirmation) == word);
        let confirms = match self.awaiting.front() {
            Some(Awaited { what: What::State(Own::Subscribe(_) | Own::Unsubscribe(_), _), .. }) => topic.is_some(),
            _ => false,
        };
        if self.is_out_of_band(reply, kind, word) && !confirms {
            // A transaction may have subscribed as well.
            topic.into_iter().for_each(|(_, topic)| self.count(*topic, reply));
            return Said::Push;
        }
        let Some(awaited) = self.awaiting.front_mut() else { return Said::Unasked };
        if confirms {
            awaited.replies -= 1;
            let (ticket, whole) = (awaited.ticket, awaited.replies == 0);
            topic.into_iter().for_each(|(_, topic)| self.count(*topic, reply));
            if whole {
                self.awaiting.pop_front();
            }
            return Said::Reply { ticket, whole };
        }
        let failed = kind == ReplyKind::Error;
        // Not empty: its front was just looked at.
        let Some(Awaited { ticket, session, what, request, .. }) = self.awaiting.pop_front() else { return Said::Unasked };
        match what {
            What::Enter if failed => return Said::Unasked,
            What::Swallow | What::Enter => return Said::Swallowed,
            What::State(own, on) if !failed => self.enter_state(own, on),
            What::Select(db) if !failed => self.session.db = db,
            What::Hello(proto) if !failed => self.session.proto = proto,
            What::Queued | What::StandIn if reply == b"+QUEUED\r\n" => {
                let number = self.standing.queued.unwrap_or_default();
                if what == What::Queued {
                    self.queued.extend_from_slice(&request);
                } else {
                    interlay_resp::encode_request(["PING"], &mut self.queued);
                    self.stand_ins.push((number, request));
                }
                self.standing.queued = Some(number + 1);
            }
            What::Write => return Said::Executed { ticket, session, requests: request, transaction: false },
            What::Exec => {
                let requests = std::mem::take(&mut self.queued);
                let stand_ins = std::mem::take(&mut self.stand_ins);
                self.end_transaction();
                self.stand_ins = stand_ins;
                return Said::Executed { ticket, session, requests, transaction: true };
            }
            What::Queued | What::StandIn | What::Read | What::Pass | What::State(..) | What::Select(_) | What::Hello(_) => {}
        }
        Said::Reply { ticket, whole: true }
    }

    /// A transaction has left the connection in this database.
    pub fn left_in(&mut self, db: u32) {
        self.session.db = db;
    }

    /// The connection is lost: what was under way, in order.
    pub fn lost(&mut self) -> Vec<Lost> {
        let queued = std::mem::take(&mut self.queued);
        let lost = self.awaiting.drain(..).filter(|awaited| !matches!(awaited.what, What::Swallow | What::Enter));
        lost.map(|Awaited { ticket, session, what, request, .. }| Lost {
            ticket,
            session,
            requests: match what {
                What::Exec => queued.clone(),
                What::Write => request,
                _ => Vec::new(),
            },
            may_have_changed: matches!(what, What::Exec | What::Write | What::Pass),
        })
        .collect()
    }

    fn is_out_of_band(&self, reply: &[u8], kind: ReplyKind, word: Option<&[u8]>) -> bool {
        match kind {
            ReplyKind::Push => true,
            ReplyKind::Array => self.standing.subscribed() > 0 && self.session.proto == Proto::Resp2 && word.is_some_and(is_message),
            ReplyKind::Simple => self.standing.monitoring && reply.get(1).is_some_and(u8::is_ascii_digit),
            _ => false,
        }
    }

    fn enter_state(&mut self, own: Own, on: bool) {
        match own {
            Own::Multi => self.standing.queued = Some(0),
            Own::Discard => self.end_transaction(),
            Own::Watch => self.standing.watching = true,
            Own::Unwatch => self.standing.watching = false,
            Own::Monitor => self.standing.monitoring = true,
            Own::Tracking => self.standing.tracking = on,
            Own::NoTouch => self.standing.untouching = on,
            Own::Exec | Own::Subscribe(_) | Own::Unsubscribe(_) | Own::Redirection | Own::Plain | Own::Read | Own::Wait => {}
        }
    }

    fn end_transaction(&mut self) {
        self.queued = Vec::new();
        self.stand_ins = Vec::new();
        self.standing.queued = None;
        self.standing.watching = false;
    }

    /// Takes the number at the end of a confirmation: channels and patterns are counted together.
    fn count(&mut self, topic: Topic, confirmation: &[u8]) {
        let digits = confirmation.strip_suffix(b"\r\n").and_then(|line| line.rsplit(|byte| *byte == b':').next());
        let Some(total) = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u32>().ok()) else { return };
        let [channels, patterns, shards] = &mut self.standing.subscriptions;
        match topic {
            Topic::Channel => *channels = total.saturating_sub(*patterns),
            Topic::Pattern => *patterns = total.saturating_sub(*channels),
            Topic::Shard => *shards = total,
        }
    }
}

/// The first word of each confirmation, and what it is about.
static CONFIRMATIONS: &[(&[u8], Topic)] = &[
    (b"subscribe", Topic::Channel),
    (b"unsubscribe", Topic::Channel),
    (b"psubscribe", Topic::Pattern),
    (b"punsubscribe", Topic::Pattern),
    (b"ssubscribe", Topic::Shard),
    (b"sunsubscribe", Topic::Shard),
];

fn is_message(word: &[u8]) -> bool {
    matches!(word, b"message" | b"pmessage" | b"smessage")
}

/// The first element of an aggregate, if it is a bulk string.
fn first_word(reply: &[u8]) -> Option<&[u8]> {
    if !matches!(reply.first(), Some(b'*' | b'>')) {
        return None;
    }
    let mut lines = reply.split(|byte| *byte == b'\n').skip(1);
    lines.next()?.strip_prefix(b"$")?;
    lines.next()?.strip_suffix(b"\r")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::CommandTable;

    struct Bench {
        catalog: Catalog,
        pin: Pin,
        seq: u32,
    }

    impl Bench {
        fn new(proto: Proto) -> Self {
            Self { catalog: Catalog::new(CommandTable::builtin()), pin: Pin::new(Session { db: 0, proto }), seq: 0 }
        }

        /// Submits a request; true if the next one has to wait for its answer.
        fn ask(&mut self, line: &str) -> bool {
            let args: Vec<&str> = line.split(' ').collect();
            let mut bytes = Vec::new();
            interlay_resp::encode_request(&args, &mut bytes);
            let request = Request::new(&bytes, args.len());
            self.seq += 1;
            let ticket = Ticket { seq: self.seq, ..NO_CLIENT };
            self.pin.submit(ticket, request, self.catalog.conduct(request).1, &mut Vec::new())
        }

        fn says(&mut self, reply: &str) -> Said {
            let kind = match reply.as_bytes().first() {
                Some(b'*') => ReplyKind::Array,
                Some(b'>') => ReplyKind::Push,
                Some(b'-') => ReplyKind::Error,
                _ => ReplyKind::Simple,
            };
            self.pin.answered(reply.as_bytes(), kind)
        }

        fn whole(&self) -> Said {
            Said::Reply { ticket: Ticket { seq: self.seq, ..NO_CLIENT }, whole: true }
        }
    }

    #[test]
    fn transactions_are_kept_until_they_are_carried_out() {
        let mut bench = Bench::new(Proto::Resp2);
        assert!(bench.ask("MULTI"));
        assert_eq!(bench.says("+OK\r\n"), bench.whole());
        for (line, reply) in [("SET k v", "+QUEUED\r\n"), ("NOSUCH", "-ERR unknown\r\n"), ("GET k", "+QUEUED\r\n")] {
            assert!(!bench.ask(line));
            assert_eq!(bench.says(reply), bench.whole());
        }
        assert_eq!(bench.pin.standing().queued, Some(2));
        assert!(bench.pin.writes(&bench.catalog, Conduct::Own(Own::Exec)));
        assert!(bench.ask("EXEC"));
        let Said::Executed { requests, transaction: true, .. } = bench.says("*2\r\n+OK\r\n$1\r\nv\r\n") else { panic!("executed") };
        assert_eq!(interlay_resp::requests(&requests).count(), 2);
        assert!(bench.pin.is_neutral() && bench.pin.is_idle());
    }

    #[test]
    fn watched_keys_keep_the_connection_pinned_until_the_transaction_ends() {
        let mut bench = Bench::new(Proto::Resp2);
        bench.ask("WATCH k");
        bench.says("+OK\r\n");
        assert!(!bench.pin.is_neutral());
        for end in ["UNWATCH", "DISCARD"] {
            if end == "DISCARD" {
                for line in ["WATCH k", "MULTI"] {
                    bench.ask(line);
                    bench.says("+OK\r\n");
                }
            }
            bench.ask(end);
            bench.says("+OK\r\n");
            assert!(bench.pin.is_neutral(), "{end}");
        }
    }

    #[test]
    fn messages_are_told_from_answers() {
        for (proto, sigil) in [(Proto::Resp2, '*'), (Proto::Resp3, '>')] {
            let mut bench = Bench::new(proto);
            let message = format!("{sigil}3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n");
            let confirms = |kind: &str, count: u32| format!("{sigil}3\r\n${}\r\n{kind}\r\n$1\r\na\r\n:{count}\r\n", kind.len());
            assert!(bench.ask("SUBSCRIBE a b"));
            let ticket = Ticket { seq: 1, ..NO_CLIENT };
            assert_eq!(bench.says(&confirms("subscribe", 1)), Said::Reply { ticket, whole: false });
            assert_eq!(bench.says(&message), Said::Push);
            assert_eq!(bench.says(&confirms("subscribe", 2)), bench.whole());
            bench.ask("PSUBSCRIBE p");
            bench.says(&confirms("psubscribe", 3));
            assert_eq!(bench.pin.standing().subscriptions, [2, 1, 0]);
            assert_eq!(bench.says(&message), Said::Push);
            bench.ask("UNSUBSCRIBE");
            bench.says(&confirms("unsubscribe", 2));
            assert_eq!(bench.says(&confirms("unsubscribe", 1)), bench.whole());
            bench.ask("PUNSUBSCRIBE");
            assert_eq!(bench.says(&confirms("punsubscribe", 0)), bench.whole());
            assert!(bench.pin.is_neutral());
        }
    }

    #[test]
    fn a_reply_to_nothing_is_told() {
        let mut bench = Bench::new(Proto::Resp2);
        assert_eq!(bench.says("+OK\r\n"), Said::Unasked);
        bench.ask("MONITOR");
        bench.says("+OK\r\n");
        assert_eq!(bench.says("+1700000000.1 [0 lua] \"get\" \"k\"\r\n"), Said::Push);
    }
}
