//! The data plane of one interlay: its lane pair, its clients, and the way from one to the other.
//!
//! One thread owns it. The clients' tasks bring requests, the lanes' tasks bring replies; each borrows the plane for one
//! turn, never across an await. At the end of a turn [`Plane::settle`] writes to clients what is due to them and tells
//! the lanes that there is something to write, so that what is ready goes out together.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use interlay_resp::{Form, Limits, Proto, Request, RequestScanner, Scan};
use interlay_routing::command::Flags;
use interlay_routing::{Admission, BySide, Catalog, Conduct, LaneError, LanePair, SHARE_FROM_BYTES, Side, Submission, Work};
use tokio::sync::Notify;

use crate::clients::ClientTable;
use crate::session::{self, Ask, Barrier, Credentials, Decides, Hello, Outcome};
use crate::socket::Socket;
use crate::status::SideStatus;

mod control;

pub(crate) use control::Change;

/// The plane as its tasks hold it.
pub(crate) type Shared = Rc<RefCell<Plane>>;

/// Bytes read from a socket at once: as many as a lane writes at once on the other end.
const READ_BYTES: usize = 64 * 1024;

/// Slices of one write to a lane: 16 chunks of 64 KiB are more than a socket takes.
const WRITE_SLICES: usize = 16;

/// One side's lane, as the plane sees it.
#[derive(Debug, Default)]
pub(crate) struct LaneDesk {
    /// Wakes the lane's task to write.
    pub(crate) kick: Rc<Notify>,
    kicked: bool,
    /// Tells the lane's task that its connection is stalled.
    pub(crate) cut: Rc<Notify>,
    /// Bytes the lane had moved when it was last seen to move, and when that was.
    progress: (u64, Option<Instant>),
    pub(crate) status: SideStatus,
}

/// What a client's task does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Reads: at least so many more bytes are needed for a whole request.
    Read { missing: usize },
    /// Waits to be woken; its bytes stay where they are.
    Wait,
    /// Has these credentials checked.
    Authenticate(Credentials),
}

/// Bytes of a client that were not taken yet.
pub(crate) trait Unread {
    /// All of them.
    fn bytes(&self) -> &[u8];
    /// The first `len` of them are done with.
    fn skip(&mut self, len: usize);
    /// Takes the first `len` of them as they are, if that is worth it.
    fn share(&mut self, len: usize) -> Option<Bytes>;
}

impl Unread for &[u8] {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn skip(&mut self, len: usize) {
        *self = self.get(len..).unwrap_or_default();
    }

    fn share(&mut self, _: usize) -> Option<Bytes> {
        None
    }
}

impl Unread for BytesMut {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn skip(&mut self, len: usize) {
        bytes::Buf::advance(self, len);
    }

    fn share(&mut self, len: usize) -> Option<Bytes> {
        (len >= SHARE_FROM_BYTES).then(|| self.split_to(len).freeze())
    }
}

/// The data plane of one interlay.
#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) pair: LanePair,
    pub(crate) clients: ClientTable,
    pub(crate) lanes: BySide<LaneDesk>,
    catalog: Arc<Catalog>,
    limits: Limits,
    /// A change of the authority that waits for the lanes to run empty.
    change: Option<Change>,
    max_pause: Duration,
    last_pause: Option<Duration>,
    started: Instant,
    /// Where sockets are read into; out on loan during a turn.
    scratch: Vec<u8>,
    /// Where a request that is not canonical is written anew.
    rewritten: Vec<u8>,
}

impl Plane {
    /// A plane without clients and connections.
    pub(crate) fn new(pair: LanePair, clients: ClientTable, addresses: BySide<String>, limits: Limits, max_pause: Duration) -> Self {
        let desk = |address| LaneDesk { status: SideStatus { address, ..SideStatus::default() }, ..LaneDesk::default() };
        Self {
            catalog: pair.catalog().clone(),
            pair,
            clients,
            lanes: BySide { source: desk(addresses.source), target: desk(addresses.target) },
            limits,
            change: None,
            max_pause,
            last_pause: None,
            started: Instant::now(),
            scratch: vec![0; READ_BYTES],
            rewritten: Vec::new(),
        }
    }

    // === From clients ===

    /// Reads what a client has sent and takes the requests in it. What remains of it is appended to `rest`.
    ///
    /// # Errors
    /// As [`Socket::read`]; [`ErrorKind::UnexpectedEof`] at the end.
    pub(crate) fn read_client(
        &mut self,
        place: usize,
        socket: &Socket,
        scanner: &mut RequestScanner,
        rest: &mut BytesMut,
    ) -> io::Result<Next> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = match socket.read(&mut scratch) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                let mut unread = scratch.get(..n).unwrap_or_default();
                let next = self.take_requests(place, scanner, &mut unread);
                rest.extend_from_slice(unread);
                Ok(next)
            }
            Err(error) => Err(error),
        };
        self.scratch = scratch;
        result
    }

    /// Takes a client's requests until one is not whole or something has to happen first.
    pub(crate) fn take_requests(&mut self, place: usize, scanner: &mut RequestScanner, unread: &mut impl Unread) -> Next {
        let next = loop {
            if !self.pair.takes_requests() {
                self.clients.waits_for_pair();
                break Next::Wait;
            }
            if !self.clients.may_read(place) {
                break Next::Wait;
            }
            let Some((client, admitted)) = self.clients.admitted(place) else { break Next::Wait };
            let (len, argc, form) = match scanner.scan(unread.bytes(), &self.limits, admitted) {
                Ok(Scan::Found { len, argc, form }) => (len, argc, form),
                Ok(Scan::NeedMore { missing }) => break Next::Read { missing },
                Err(error) => {
                    client.closing = true;
                    self.clients.answer(place, &error.to_reply());
                    break Next::Wait;
                }
            };
            let wanted = match form {
                Form::Empty => {
                    unread.skip(len);
                    continue;
                }
                Form::Canonical => match unread.share(len) {
                    Some(shared) => self.request(place, Request::new(&shared, argc), Some(shared.clone())),
                    None => {
                        let wanted = self.request(place, Request::new(unread.bytes().get(..len).unwrap_or_default(), argc), None);
                        unread.skip(len);
                        wanted
                    }
                },
                Form::Loose | Form::Inline => {
                    let wanted = self.request_rewritten(place, unread.bytes().get(..len).unwrap_or_default(), form);
                    unread.skip(len);
                    wanted
                }
            };
            if let Some(credentials) = wanted {
                break Next::Authenticate(credentials);
            }
        };
        self.settle();
        next
    }

    fn request_rewritten(&mut self, place: usize, bytes: &[u8], form: Form) -> Option<Credentials> {
        let mut rewritten = std::mem::take(&mut self.rewritten);
        rewritten.clear();
        let wanted = match interlay_resp::canonical(bytes, form, &mut rewritten) {
            Ok(argc) => self.request(place, Request::new(&rewritten, argc), None),
            Err(error) => {
                if let Some(client) = self.clients.get_mut(place) {
                    client.closing = true;
                }
                self.clients.answer(place, &error.to_reply());
                None
            }
        };
        rewritten.shrink_to(READ_BYTES);
        self.rewritten = rewritten;
        wanted
    }

    /// Deals with one request. Credentials come back when they have to be checked before anything else happens.
    fn request(&mut self, place: usize, request: Request<'_>, shared: Option<Bytes>) -> Option<Credentials> {
        let (command, conduct) = self.catalog.conduct(request);
        let (client, admitted) = self.clients.admitted(place)?;
        if !admitted && !command.is_some_and(|command| command.flags.contains(Flags::NO_AUTH)) {
            let reply = session::before_authentication(self.catalog.table(), request);
            self.clients.answer(place, &reply);
            return None;
        }
        let outcome = match conduct {
            Conduct::Lane(work) => {
                self.submit(place, request, shared, work, None);
                return None;
            }
            Conduct::Refused(why) => Outcome::Reply(session::refusal(request, why)),
            Conduct::Session(what) => session::run(what, request, client, admitted),
        };
        match outcome {
            Outcome::Reply(reply) => self.clients.answer(place, &reply),
            Outcome::Last(reply) => {
                client.closing = true;
                self.clients.answer(place, &reply);
            }
            Outcome::Reset => {
                self.clients.reset(place);
                self.clients.answer(place, b"+RESET\r\n");
            }
            Outcome::Ask(Ask::Select(db)) => {
                self.submit(place, request, shared, Work::Other, Some(db.map_or(Decides::Nothing, Decides::Db)));
            }
            Outcome::Ask(Ask::Hello(hello)) => self.ask_hello(place, hello),
            Outcome::Authenticate(credentials) => return Some(credentials),
        }
        None
    }

    /// Puts a request onto the lanes. With `decides`, the client's next one waits for its reply.
    fn submit(&mut self, place: usize, request: Request<'_>, shared: Option<Bytes>, work: Work, decides: Option<Decides>) {
        let Some(client) = self.clients.get_mut(place) else { return };
        let seq = client.issue();
        let (session, may_split) = (client.session, client.waits_for_no_authority());
        let changes_session = decides.is_some();
        client.barrier = decides.map(|decides| Barrier { seq, reply: Vec::new(), decides });
        let ticket = self.clients.ticket(place, seq);
        let submission = Submission { ticket, session, request, shared, work, may_split, changes_session };
        let admission = self.pair.submit(submission, &mut self.clients);
        debug_assert!(admission != Admission::Held, "requests are taken only while the pair takes them");
        if let (Admission::Queued(side), Some(client)) = (admission, self.clients.get_mut(place)) {
            client.queued(seq, side == self.pair.authority(), work);
        }
    }

    /// Asks the authority for HELLO's reply, in the protocol asked for.
    pub(crate) fn ask_hello(&mut self, place: usize, hello: Hello) {
        let version = hello.proto.map(|proto| if proto == Proto::Resp3 { "3" } else { "2" });
        let args: Vec<&str> = ["HELLO"].into_iter().chain(version).collect();
        let mut request = Vec::new();
        interlay_resp::encode_request(&args, &mut request);
        let decides = Decides::Hello { proto: hello.proto, name: hello.name };
        self.submit(place, Request::new(&request, args.len()), None, Work::Other, Some(decides));
    }

    // === From lanes ===

    /// Reads what a lane's server has sent and deals with it.
    ///
    /// # Errors
    /// Why the lane has to end. Nothing being there is no error.
    pub(crate) fn read_lane(&mut self, side: Side, socket: &Socket) -> Result<(), LaneEnd> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = match socket.read(&mut scratch) {
            Ok(0) => Err(LaneEnd::Io(ErrorKind::UnexpectedEof.into())),
            Ok(n) => self.pair.receive(side, scratch.get(..n).unwrap_or_default(), &mut self.clients).map_err(LaneEnd::Lane),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(LaneEnd::Io(error)),
        };
        self.scratch = scratch;
        self.settle();
        result
    }

    /// Writes what waits for a lane. True if the socket took all of it.
    ///
    /// # Errors
    /// Why the lane has to end.
    pub(crate) fn write_lane(&mut self, side: Side, socket: &Socket) -> Result<bool, LaneEnd> {
        self.lanes[side].kicked = false;
        loop {
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
            let filled = self.pair.unwritten(side, &mut slices);
            let wrote = match filled {
                0 if socket.is_flushed() => return Ok(true),
                0 => socket.flush().map(|()| 0),
                _ => socket.write(slices.get(..filled).unwrap_or_default()),
            };
            match wrote {
                Ok(n) => self.pair.wrote(side, n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(LaneEnd::Io(error)),
            }
        }
    }

    /// Ends a turn: replies go to their clients, and lanes with something to write are told so.
    pub(crate) fn settle(&mut self) {
        self.clients.flush();
        for side in Side::BOTH {
            if self.pair.has_unwritten(side) && !self.lanes[side].kicked {
                self.lanes[side].kicked = true;
                self.lanes[side].kick.notify_one();
            }
        }
        self.finish_change();
    }
}

/// Why a lane's connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaneEnd {
    /// It broke, or the server closed it.
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    /// What the server sent makes no sense.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// The other side's URL turned out to be another name of this server.
    #[error("this server is the other side too: writes would be applied twice")]
    SameServer,
    /// It answered nothing for too long.
    #[error("no answer for {} ms", .0.as_millis())]
    Stalled(Duration),
}
