//! A model server: bytes of requests in, bytes of replies out, one lane's connection at a time.
//!
//! Every request of a client ends in a *tag*, `#` and its number, which the server drops before it executes it. So
//! the checker knows which request was executed, on which side, how often and in which order. MULTI and EXEC have no
//! tag, what is between them has.

use std::collections::BTreeSet;

use interlay_resp::{Limits, Proto, Request, RequestScanner, Scan};
use interlay_routing::{Abilities, Session};

use super::agenda::Instant;
use super::command;
use super::reply::Reply;
use super::rng::Rng;
use super::store::{Key, Store};
use super::workload::Args;

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

/// What a server did with a request.
#[derive(Debug)]
pub(crate) struct Step {
    /// Of the connection, before the request.
    pub(crate) session: Session,
    /// As it came.
    pub(crate) args: Args,
    pub(crate) reply: Vec<u8>,
    pub(crate) done: Done,
    pub(crate) touched: BTreeSet<(u32, Key)>,
    /// The bytes that were sent instead of the reply.
    pub(crate) broke_protocol: Option<Malice>,
}

#[derive(Debug)]
pub(crate) enum Done {
    /// SELECT, HELLO or MULTI, or queued, of no client's request.
    Frame,
    /// Taken, or refused, between MULTI and EXEC.
    Queued {
        tag: Tag,
        refused: bool,
    },
    Alone(Part),
    /// By EXEC: what was queued, and what of it was executed.
    Together {
        queued: Vec<Tag>,
        parts: Vec<Part>,
        failed: bool,
    },
}

/// One executed request.
#[derive(Debug)]
pub(crate) struct Part {
    /// None if no client has sent it in these words.
    pub(crate) tag: Option<Tag>,
    /// Of the connection, before the request.
    pub(crate) session: Session,
    /// Without the tag.
    pub(crate) args: Args,
    pub(crate) reply: Vec<u8>,
    pub(crate) failed: bool,
    /// It waits where it stands alone, and has found nothing.
    pub(crate) found_nothing: bool,
    /// The data is not what it was before.
    pub(crate) changed: bool,
}

/// What stands between MULTI and EXEC.
#[derive(Debug, Default)]
struct Queue {
    requests: Vec<(Option<Tag>, Args)>,
    refused: bool,
}

pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) abilities: Abilities,
    /// How many writes of 100 are refused for want of memory.
    pub(crate) refuses_percent: u64,
    /// RESTORE of this key fails.
    pub(crate) cursed: Option<Key>,
    /// The newest format of DUMP payloads that it knows.
    pub(crate) format: u8,
    /// Payloads given so far.
    dumps: u64,
    /// Bytes of the longest value that there was.
    pub(crate) dump_bytes_max: usize,
    /// The data of an earlier moment.
    saved: Store,
    /// How it is about to break the protocol.
    pub(crate) malice: Option<Malice>,
    /// Nothing is executed before this instant.
    pub(crate) stalled_until: Instant,
    rng: Rng,
    session: Session,
    queue: Option<Queue>,
    inbox: Vec<u8>,
    scanner: RequestScanner,
}

impl Server {
    pub(crate) fn new(abilities: Abilities, rng: Rng) -> Self {
        let store = Store::new(abilities.databases);
        Self {
            saved: store.clone(),
            store,
            abilities,
            cursed: None,
            format: 1,
            dumps: 0,
            dump_bytes_max: 0,
            refuses_percent: 0,
            malice: None,
            stalled_until: 0,
            rng,
            session: Session::default(),
            queue: None,
            inbox: Vec::new(),
            scanner: RequestScanner::default(),
        }
    }

    /// A new connection, in database 0 and RESP2. What the former one had not executed is gone.
    pub(crate) fn accept(&mut self) {
        self.session = Session::default();
        self.queue = None;
        self.inbox.clear();
        self.scanner = RequestScanner::default();
        self.malice = None;
    }

    /// The data goes to disk.
    pub(crate) fn save(&mut self) {
        self.saved = self.store.clone();
    }

    /// Another process, with what was saved, or without data.
    pub(crate) fn restart(&mut self, loads: bool) {
        self.store = if loads { self.saved.clone() } else { Store::new(self.abilities.databases) };
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// Takes the next request, if it is there, and appends what the server sends to `out`.
    ///
    /// # Panics
    ///
    /// If the bytes are no canonical request: nothing else may ever reach a server.
    pub(crate) fn step(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Step> {
        let scan = self.scanner.scan(&self.inbox, &Limits::default(), true).expect("a lane carries requests only");
        let Scan::Found { len, argc, .. } = scan else { return None };
        let bytes: Vec<u8> = self.inbox.drain(..len).collect();
        let args: Args = Request::new(&bytes, argc).args().map(<[u8]>::to_vec).collect();
        let sets_up = matches!(&*args[0], b"SELECT" | b"HELLO") && split_tag(&args).0.is_none() && self.queue.is_none();
        let proto = self.session.proto;
        let mut step = self.take(now, args);
        step.broke_protocol = self.malice.take_if(|malice| *malice == Malice::Garbage || sets_up);
        match step.broke_protocol {
            Some(Malice::Garbage) => out.extend_from_slice(b"?what?\r\n"),
            Some(Malice::RefuseSetup) => out.extend_from_slice(b"-NOPERM not today\r\n"),
            None => {
                // Out of band: says nothing about any request.
                if proto == Proto::Resp3 && self.rng.chance(3) {
                    out.extend_from_slice(b">2\r\n$6\r\nserver\r\n$5\r\ncould\r\n");
                }
                out.extend_from_slice(&step.reply);
            }
        }
        Some(step)
    }

    /// What a connection of a client's own asks for: MULTI ... EXEC, or one request alone. The lane's connection stays
    /// as it is. Gives the last step, and the database that is left behind.
    pub(crate) fn own(&mut self, now: Instant, session: Session, requests: &[Args]) -> (Step, u32) {
        let lane = (self.session, self.queue.take());
        self.session = session;
        let last = requests.iter().map(|args| self.take(now, args.clone())).last();
        let db = self.session.db;
        (self.session, self.queue) = lane;
        (last.expect("a client asks for something"), db)
    }

    fn take(&mut self, now: Instant, args: Args) -> Step {
        self.store.set_now(now);
        let session = self.session;
        let (tag, bare) = split_tag(&args);
        let (done, reply) = match (&*args[0], &mut self.queue) {
            (b"MULTI", None) => {
                self.queue = Some(Queue::default());
                (Done::Frame, Reply::Ok)
            }
            (b"EXEC", queue @ Some(_)) => {
                let queue = queue.take().unwrap_or_default();
                self.carry_out(queue)
            }
            (_, None) => {
                let before = self.store.changes();
                let reply = self.refusal(&bare).unwrap_or_else(|| self.execute(&bare));
                let changed = self.store.changes() > before;
                let is_frame = tag.is_none() && matches!(&*bare[0], b"SELECT" | b"HELLO");
                let done = if is_frame { Done::Frame } else { Done::Alone(part(tag, session, bare, &reply, self.session.proto, changed)) };
                (done, reply)
            }
            (_, Some(_)) => {
                let refusal = self.refusal(&bare);
                let refused = refusal.is_some();
                if let Some(queue) = &mut self.queue {
                    queue.refused |= refused;
                    queue.requests.push((tag, bare));
                }
                (tag.map_or(Done::Frame, |tag| Done::Queued { tag, refused }), refusal.unwrap_or(Reply::Queued))
            }
        };
        let reply = reply.encode(self.session.proto);
        self.dump_bytes_max = self.dump_bytes_max.max(reply.len());
        Step { session, args, reply, done, touched: self.store.take_touched(), broke_protocol: None }
    }

    fn carry_out(&mut self, Queue { requests, refused }: Queue) -> (Done, Reply) {
        let queued = requests.iter().filter_map(|(tag, _)| *tag).collect();
        if refused {
            return (Done::Together { queued, parts: Vec::new(), failed: true }, Reply::ABORTED);
        }
        let (mut parts, mut replies) = (Vec::new(), Vec::new());
        for (tag, args) in requests {
            let (session, before) = (self.session, self.store.changes());
            let reply = self.execute(&args);
            if tag.is_some() || args[0] != b"SELECT" {
                parts.push(part(tag, session, args, &reply, self.session.proto, self.store.changes() > before));
            }
            replies.push(reply);
        }
        (Done::Together { queued, parts, failed: false }, Reply::Array(replies))
    }

    /// Why a request is not even queued.
    fn refusal(&mut self, args: &Args) -> Option<Reply> {
        if !command::is_known(&args[0]) {
            return Some(Reply::UNKNOWN);
        }
        (command::needs_memory(&args[0]) && self.rng.chance(self.refuses_percent)).then_some(Reply::NO_MEMORY)
    }

    fn execute(&mut self, args: &Args) -> Reply {
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
            [b"RESTORE", key, ..] if self.cursed.as_deref() == Some(*key) => Reply::Error("ERR the model does not like this key"),
            args => {
                self.dumps += u64::from(args[0] == b"DUMP");
                let db = self.session.db;
                command::errand(&mut self.store, db, args, self.format, self.dumps, &mut self.rng)
                    .unwrap_or_else(|| command::execute(&mut self.store, db, args, &mut self.rng))
            }
        }
    }
}

fn part(tag: Option<Tag>, session: Session, args: Args, reply: &Reply, proto: Proto, changed: bool) -> Part {
    let found_nothing = command::waits(&args[0]) && matches!(reply, Reply::Nil | Reply::NilArray);
    Part { tag, session, args, reply: reply.encode(proto), failed: matches!(reply, Reply::Error(_)), found_nothing, changed }
}

/// A request's tag, and the request without it.
fn split_tag(args: &Args) -> (Option<Tag>, Args) {
    // Where a client's request has any number of keys, its tag is one of them, and becomes dirty with the others.
    let is_copy = matches!(&*args[0], b"MEMORY" | b"PTTL" | b"DUMP" | b"TYPE" | b"UNLINK");
    let tag = args.last().filter(|_| !is_copy).and_then(|arg| std::str::from_utf8(arg).ok()?.strip_prefix('#')?.parse().ok());
    (tag, args[..args.len() - usize::from(tag.is_some())].to_vec())
}
