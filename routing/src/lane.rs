//! One lane: a pipelined connection to one side, without the connection.
//!
//! In: requests, and the bytes that the server sends. Out: bytes to write, and exactly one answer per request, in the
//! order of the requests. Invariant: `awaiting` has one [`Entry`] for every request (a transaction is one) whose bytes
//! are in `log`, in the same order. What an answer means is the business of [`crate::LanePair`].

use std::collections::VecDeque;

use interlay_resp::{Limits, Proto, ReplyKind, ReplyScanner};

use crate::effect::Effect;
use crate::log::ByteLog;
use crate::order::Seq;
use crate::pair::Errand;
use crate::parked::Arrival;
use crate::print::Print;
use crate::reply::{elements, is_nil};
use crate::shadow::Shadow;

/// Names the request of a client that an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The client's place in its table. Places are used again.
    pub client: u32,
    /// Which of the clients that had this place.
    pub epoch: u32,
    /// The request's number among its client's.
    pub seq: Seq,
}

/// What of a connection's state decides what a request means and how its reply is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// The database.
    pub db: u32,
    /// The version of the protocol.
    pub proto: Proto,
}

/// What the handshake of a lane's connection found out about its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Databases 0..`databases` can be selected.
    pub databases: u32,
    /// Whether the server speaks RESP3.
    pub resp3: bool,
    /// Whether it is a Redis 7.0 or newer: it tells when a key expires, and its streams' counters can be set.
    pub since_7_0: bool,
}

/// What a queued request is to its lane.
#[derive(Debug)]
pub(crate) enum Job {
    /// The lane's own SELECT or HELLO, swallowed.
    Setup,
    /// A client's request without an effect. The reply is passed on as it comes.
    Pass {
        /// Whether it only reads, so that another lane may answer it instead.
        read: bool,
        /// How often an effect had been doubted when it was queued: a later doubt may be about an effect ahead of it.
        doubts: u64,
        /// Whether the secondary is to be asked the same, so that the answers can be compared.
        shadow: bool,
    },
    /// A request that nobody knows: if it is no error, anything may have happened.
    Unknown,
    /// A client's write on the authority.
    Write {
        effect: Effect,
        /// Its client hears of it only when the secondary has accepted it.
        confirms: bool,
    },
    /// A client's MULTI ... EXEC on the authority, whole.
    Transaction {
        /// As of a write.
        confirms: bool,
    },
    /// A waiting command between MULTI and EXEC, with the first error among the replies before EXEC's.
    Try { waiter: Arrival, confirms: bool, refused: Option<Box<[u8]>> },
    /// An effect on the secondary, with what is expected of it.
    Effect { expect: Expect, held: Option<Held> },
    /// A read that the authority has answered before, on the secondary to be compared.
    Shadow(Box<Shadow>),
    /// What Interlay itself asks.
    Errand(Errand),
}

/// What the secondary is expected to reply.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// The same as the authority.
    Same(Print),
    /// Nil, which every protocol writes in its own way.
    Nil,
    /// Anything but an error: the lanes speak different protocols, or the reply is each server's own affair.
    NoError,
    /// The same of a transaction: an array without an error in it.
    NoErrorAmong,
}

impl Expect {
    /// What the authority's `reply` leads to expect of the secondary, which may speak another protocol.
    pub(crate) fn of(reply: &[u8], same_proto: bool) -> Self {
        match reply {
            _ if is_nil(reply) => Self::Nil,
            // These are written alike in both protocols.
            [b'+' | b'-' | b':' | b'$', ..] => Self::Same(Print::of(reply)),
            _ if same_proto => Self::Same(Print::of(reply)),
            [b'*', ..] => Self::NoErrorAmong,
            _ => Self::NoError,
        }
    }

    /// Whether the secondary's reply is as expected.
    pub(crate) fn agrees(self, reply: &[u8], failed: bool) -> bool {
        match self {
            Self::Same(print) => Print::of(reply) == print,
            Self::Nil => is_nil(reply),
            Self::NoError => !failed,
            Self::NoErrorAmong => reply.starts_with(b"*") && elements(reply, &Limits::default()).all(|(_, kind)| kind != ReplyKind::Error),
        }
    }
}

/// The authority's reply to a write, held until the secondary has accepted it.
pub(crate) type Held = Box<[u8]>;

/// One request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) asked: Asked,
    /// Replies still to come; its meaning is in the last one.
    pub(crate) replies: u32,
    pub(crate) job: Job,
}

/// Who asked, where, and with how many bytes of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) len: usize,
    pub(crate) ticket: Ticket,
    pub(crate) session: Session,
}

impl Entry {
    /// An entry that gets one reply.
    pub(crate) fn new(asked: Asked, job: Job) -> Self {
        Self { asked, replies: 1, job }
    }
}

/// A lane's requests and the state of its connection as the next request will find it.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) log: ByteLog,
    pub(crate) awaiting: VecDeque<Entry>,
    pub(crate) scanner: ReplyScanner,
    /// The begun reply, unless it is passed on as it comes.
    pub(crate) partial: Vec<u8>,
    /// The replies that an errand has got so far.
    pub(crate) collected: Vec<u8>,
    /// Whether the begun reply is passed on as it comes.
    pub(crate) streaming: bool,
    /// The server refused the lane's own SELECT or HELLO: what was sent behind it was executed elsewhere.
    pub(crate) astray: bool,
    /// None while the lane is not connected.
    pub(crate) abilities: Option<Abilities>,
    /// The database and protocol that the last queued request leaves behind; none if that is not known.
    db: Option<u32>,
    proto: Option<Proto>,
    /// Requests answered, or lost with their connection.
    pub(crate) answered: u64,
    /// Bytes moved in either direction: a lane that awaits answers and moves nothing is stalled.
    pub(crate) moved: u64,
}

/// Places in the queue that stay when it is empty: more than a busy lane needs from one reply to the next.
const ENTRIES_KEPT: usize = 4096;

/// Of requests whose answers nobody waits for.
pub const NO_CLIENT: Ticket = Ticket { client: u32::MAX, epoch: 0, seq: 0 };

impl Lane {
    pub(crate) fn is_up(&self) -> bool {
        self.abilities.is_some()
    }

    /// Memory that the queue takes, requests and what is noted of them.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.log.len() + self.awaiting.len() * size_of::<Entry>()
    }

    /// Notes a reply to the oldest request that is not its last one.
    pub(crate) fn answered_in_part(&mut self) -> Option<&mut Entry> {
        let entry = self.awaiting.front_mut().filter(|entry| entry.replies > 1)?;
        if self.log.written_len() == 0 {
            return None;
        }
        entry.replies -= 1;
        Some(entry)
    }

    /// Takes the oldest request off the queue, if all of it was written.
    pub(crate) fn next_answered(&mut self) -> Option<Entry> {
        let written = self.log.written_len();
        let entry = self.awaiting.pop_front_if(|entry| entry.asked.len <= written);
        self.answered += u64::from(entry.is_some());
        if self.awaiting.is_empty() {
            self.awaiting.shrink_to(ENTRIES_KEPT);
        }
        entry
    }

    /// Databases that can be selected here.
    pub(crate) fn databases(&self) -> u32 {
        self.abilities.map_or(0, |abilities| abilities.databases)
    }

    /// The database that the last queued request leaves behind, if that is known.
    pub(crate) fn db(&self) -> Option<u32> {
        self.db
    }

    /// The protocol that it leaves behind.
    pub(crate) fn proto(&self) -> Proto {
        self.proto.unwrap_or_default()
    }

    /// Whether database `db` can be selected here.
    pub(crate) fn has_db(&self, db: u32) -> bool {
        self.abilities.is_some_and(|abilities| db < abilities.databases)
    }

    /// The protocol that replies come in when `wanted` is asked for.
    pub(crate) fn proto_for(&self, wanted: Proto) -> Proto {
        if self.abilities.is_some_and(|abilities| abilities.resp3) { wanted } else { Proto::Resp2 }
    }

    /// Queues what brings the connection to `session`, if it is not there.
    pub(crate) fn enter(&mut self, session: Session) {
        let proto = self.proto_for(session.proto);
        if self.proto != Some(proto) {
            if self.abilities.is_some_and(|abilities| abilities.resp3) {
                self.set_up(&["HELLO", if proto == Proto::Resp3 { "3" } else { "2" }]);
            }
            self.proto = Some(proto);
        }
        if self.db != Some(session.db) {
            self.set_up(&["SELECT", &session.db.to_string()]);
            self.db = Some(session.db);
        }
    }

    /// The request just queued leaves a database behind that only its reply tells.
    pub(crate) fn db_unknown(&mut self) {
        self.db = None;
    }

    /// The request just queued changes the connection's state in a way that only its reply tells.
    pub(crate) fn session_unknown(&mut self) {
        self.db = None;
        self.proto = None;
    }

    fn set_up(&mut self, args: &[&str]) {
        let mut bytes = Vec::with_capacity(32);
        interlay_resp::encode_request(args, &mut bytes);
        self.log.push(&bytes);
        let asked = Asked { len: bytes.len(), ticket: NO_CLIENT, session: Session::default() };
        self.awaiting.push_back(Entry::new(asked, Job::Setup));
    }

    /// Forgets everything about the connection, and hands over what there was.
    pub(crate) fn disconnect(&mut self) -> Self {
        std::mem::take(self)
    }
}
