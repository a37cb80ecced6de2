//! A model server: bytes of requests in, bytes of replies out, one connection at a time.
//!
//! Every request of a client ends in a *tag*, `#` and its number, which the server drops before it executes it. So
//! the checker knows which request was executed, on which side, how often and in which order.

use std::collections::BTreeSet;

use interlay_resp::{Limits, Proto, Request, RequestScanner, Scan};
use interlay_routing::{Abilities, Session};

use super::agenda::Instant;
use super::command;
use super::reply::Reply;
use super::rng::Rng;
use super::store::{Key, Store};

/// Names a client's request, from its submission to its last execution.
pub(crate) type Tag = usize;

/// A server that breaks the protocol does it in one of these ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malice {
    /// Bytes that are no reply, in the place of one.
    Garbage,
    /// An error in answer to the lane's own SELECT or HELLO.
    RefuseSetup,
}

/// One executed request.
#[derive(Debug)]
pub(crate) struct Executed {
    /// None for the lane's own SELECT and HELLO.
    pub(crate) tag: Option<Tag>,
    /// Of the connection, before the request.
    pub(crate) session: Session,
    /// Without the tag.
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) reply: Vec<u8>,
    pub(crate) failed: bool,
    pub(crate) touched: BTreeSet<(u32, Key)>,
    /// The bytes that were sent instead of the reply.
    pub(crate) broke_protocol: Option<Malice>,
}

pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) abilities: Abilities,
    /// How many writes of 100 are refused for want of memory.
    pub(crate) refuses_percent: u64,
    /// How it is about to break the protocol.
    pub(crate) malice: Option<Malice>,
    /// Nothing is executed before this instant.
    pub(crate) stalled_until: Instant,
    rng: Rng,
    session: Session,
    inbox: Vec<u8>,
    scanner: RequestScanner,
}

impl Server {
    pub(crate) fn new(abilities: Abilities, rng: Rng) -> Self {
        let store = Store::new(abilities.databases);
        Self {
            store,
            abilities,
            refuses_percent: 0,
            malice: None,
            stalled_until: 0,
            rng,
            session: Session::default(),
            inbox: Vec::new(),
            scanner: RequestScanner::default(),
        }
    }

    /// A new connection, in database 0 and RESP2. What the former one had not executed is gone.
    pub(crate) fn accept(&mut self) {
        self.session = Session::default();
        self.inbox.clear();
        self.scanner = RequestScanner::default();
        self.malice = None;
    }

    /// Another process, without the data.
    pub(crate) fn restart(&mut self) {
        self.store = Store::new(self.abilities.databases);
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// Executes the next request, if it is there, and appends what the server sends to `out`.
    ///
    /// # Panics
    ///
    /// If the bytes are no canonical request: nothing else may ever reach a server.
    pub(crate) fn step(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Executed> {
        let scan = self.scanner.scan(&self.inbox, &Limits::default(), true).expect("a lane carries requests only");
        let Scan::Found { len, argc, .. } = scan else { return None };
        let bytes: Vec<u8> = self.inbox.drain(..len).collect();
        let mut args: Vec<Vec<u8>> = Request::new(&bytes, argc).args().map(<[u8]>::to_vec).collect();
        let tag = args.last().and_then(|arg| std::str::from_utf8(arg).ok()?.strip_prefix('#')?.parse().ok());
        args.truncate(argc - usize::from(tag.is_some()));
        let session = self.session;
        self.store.set_now(now);
        let reply = self.execute(&args);
        let failed = matches!(reply, Reply::Error(_));
        let reply = reply.encode(self.session.proto);
        let broke_protocol = self.malice.take_if(|malice| *malice == Malice::Garbage || tag.is_none());
        match broke_protocol {
            Some(Malice::Garbage) => out.extend_from_slice(b"?what?\r\n"),
            Some(Malice::RefuseSetup) => out.extend_from_slice(b"-NOPERM not today\r\n"),
            None => {
                // Out of band: says nothing about any request.
                if session.proto == Proto::Resp3 && self.rng.chance(3) {
                    out.extend_from_slice(b">2\r\n$6\r\nserver\r\n$5\r\ncould\r\n");
                }
                out.extend_from_slice(&reply);
            }
        }
        Some(Executed { tag, session, args, reply, failed, touched: self.store.take_touched(), broke_protocol })
    }

    fn execute(&mut self, args: &[Vec<u8>]) -> Reply {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let number = |arg: &[u8]| std::str::from_utf8(arg).ok().and_then(|text| text.parse().ok());
        match args.as_slice() {
            [b"SELECT", db] => match number(db) {
                Some(db) if self.store.has_db(db) => {
                    self.session.db = db;
                    Reply::Ok
                }
                _ => Reply::NO_DB,
            },
            [b"HELLO", version] if self.abilities.resp3 => {
                self.session.proto = match *version {
                    b"2" => Proto::Resp2,
                    b"3" => Proto::Resp3,
                    _ => return Reply::Error("NOPROTO unsupported protocol version"),
                };
                Reply::Map(vec![(Reply::Bulk(b"server".to_vec()), Reply::Bulk(b"model".to_vec()))])
            }
            [name, ..] if command::needs_memory(name) && self.rng.chance(self.refuses_percent) => {
                Reply::Error("OOM command not allowed when used memory > 'maxmemory'.")
            }
            args => command::execute(&mut self.store, self.session.db, args, &mut self.rng),
        }
    }
}
