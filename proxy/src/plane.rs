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
use interlay_routing::command::{CommandTable, Flags};
use interlay_routing::{
    Admission, BySide, Catalog, Conduct, Effect, LaneError, LanePair, Own, Phase, Policy, SHARE_FROM_BYTES, SessionCommand, Side,
    Submission, Ticket, TimeoutAt, Watch, Work,
};
use tokio::sync::Notify;

use crate::clients::ClientTable;
use crate::events::Events;
use crate::pinned::{PinDesk, PinId, Pins};
use crate::session::{self, Ask, Barrier, Credentials, Decides, Hello, Outcome, error_reply};
use crate::socket::Socket;
use crate::status::SideStatus;

mod about;
mod backfill;
mod control;
mod gate;
mod phases;
mod pins;
mod remember;
mod roads;
mod sections;
mod spare;
mod verify;

pub(crate) use backfill::{Change as BackfillChange, Order as BackfillOrder};
pub(crate) use gate::{Change, Passed, Verdict};
pub(crate) use verify::Order as VerifyOrder;

use about::About;
use roads::{Known, Road, Turn};

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
    /// Has a connection of its own opened for the client at this place.
    Connect(usize),
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
    /// The clients' own connections.
    pub(crate) pins: Pins,
    turns: sections::Turns,
    paused: Option<about::Paused>,
    /// A connection for the next client that wants its own. Until then it asks how the authority is while that answers
    /// nothing; and what it says if a script keeps it busy.
    spare: Option<PinId>,
    busy: Option<Vec<u8>>,
    memory: Option<remember::Memory>,
    /// Pushes for clients whose last request is about to be answered, which comes first.
    delayed: Vec<(Ticket, Option<Ticket>, Vec<u8>)>,
    /// How far the authority had come at the last tick.
    stamp: (u64, Option<PinId>),
    /// The user whose rights the lanes have.
    lane_user: String,
    /// The time, as exact as the tick.
    now: Instant,
    /// The system's time at a moment of [`Instant`]'s.
    epoch: (Instant, Duration),
    polled: Instant,
    catalog: Arc<Catalog>,
    /// What the side that does not teach knows, if it tells.
    other_commands: Option<CommandTable>,
    limits: Limits,
    /// A change of the authority that waits for the lanes to run empty.
    change: Option<Change>,
    max_pause: Duration,
    phase: Phase,
    /// What a rollback goes back to.
    former_policy: Policy,
    events: Arc<Events>,
    last_pause: Option<Duration>,
    /// Told when another side becomes the authority.
    pub(crate) authority_moved: Rc<Notify>,
    /// What the log has last said of the watch.
    watch_said: Watch,
    started: Instant,
    /// Where sockets are read into; out on loan during a turn.
    scratch: Vec<u8>,
    /// Where a request that is not canonical is written anew.
    rewritten: Vec<u8>,
}

impl Plane {
    /// A plane without clients and connections.
    pub(crate) fn new(
        pair: LanePair,
        clients: ClientTable,
        addresses: BySide<String>,
        lane_user: String,
        limits: Limits,
        max_pause: Duration,
        events: Arc<Events>,
    ) -> Self {
        let desk = |address| LaneDesk { status: SideStatus { address, ..SideStatus::default() }, ..LaneDesk::default() };
        let phase = if addresses.target.is_empty() { Phase::Passthrough } else { Phase::Mirroring };
        let former_policy = if pair.authority() == Side::Source { pair.policy() } else { Policy::SourceAuthoritative };
        Self {
            catalog: pair.catalog().clone(),
            other_commands: None,
            pair,
            clients,
            lanes: BySide { source: desk(addresses.source), target: desk(addresses.target) },
            pins: Pins::default(),
            turns: sections::Turns::default(),
            paused: None,
            spare: None,
            busy: None,
            memory: None,
            delayed: Vec::new(),
            stamp: (0, None),
            lane_user,
            now: Instant::now(),
            epoch: control::epoch(),
            polled: Instant::now(),
            limits,
            change: None,
            max_pause,
            phase,
            former_policy,
            events,
            last_pause: None,
            authority_moved: Rc::default(),
            watch_said: Watch::Off,
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
            let bytes = unread.bytes().get(..len).unwrap_or_default();
            let turn = match form {
                Form::Empty => {
                    unread.skip(len);
                    continue;
                }
                Form::Canonical => {
                    let known = self.known(Request::new(bytes, argc));
                    let whole = if known.conduct == Conduct::Own(Own::Multi) { self.together(unread.bytes(), len) } else { None };
                    match self.turn(place, Request::new(bytes, argc), known, whole, admitted) {
                        Turn::Go(road) => {
                            let (len, shared) = match road {
                                Road::Together { len, .. } => (len, None),
                                _ => (len, unread.share(len)),
                            };
                            let bytes = shared.as_deref().unwrap_or_else(|| unread.bytes().get(..len).unwrap_or_default());
                            let wanted = self.request(place, Request::new(bytes, argc), shared.clone(), known, road, admitted);
                            if shared.is_none() {
                                unread.skip(len);
                            }
                            Ok(wanted)
                        }
                        turn => Err(turn),
                    }
                }
                Form::Loose | Form::Inline => {
                    let turn = self.request_rewritten(place, bytes, form, admitted);
                    if turn.is_ok() {
                        unread.skip(len);
                    }
                    turn
                }
            };
            match turn {
                Ok(None) => {}
                Ok(Some(credentials)) => break Next::Authenticate(credentials),
                Err(Turn::Connect(place)) => break Next::Connect(place),
                Err(_) => break Next::Wait,
            }
        };
        self.end_idle_turn(place);
        self.settle();
        next
    }

    fn request_rewritten(&mut self, place: usize, bytes: &[u8], form: Form, admitted: bool) -> Result<Option<Credentials>, Turn> {
        let mut rewritten = std::mem::take(&mut self.rewritten);
        rewritten.clear();
        let turn = match interlay_resp::canonical(bytes, form, &mut rewritten) {
            Ok(argc) => {
                let request = Request::new(&rewritten, argc);
                let known = self.known(request);
                match self.turn(place, request, known, None, admitted) {
                    Turn::Go(road) => Ok(self.request(place, request, None, known, road, admitted)),
                    turn => Err(turn),
                }
            }
            Err(error) => {
                if let Some(client) = self.clients.get_mut(place) {
                    client.closing = true;
                }
                self.clients.answer(place, &error.to_reply());
                Ok(None)
            }
        };
        rewritten.shrink_to(READ_BYTES);
        self.rewritten = rewritten;
        turn
    }

    /// Deals with one request. Credentials come back when they have to be checked before anything else happens.
    fn request(
        &mut self,
        place: usize,
        request: Request<'_>,
        shared: Option<Bytes>,
        known: Known,
        road: Road,
        admitted: bool,
    ) -> Option<Credentials> {
        if let Road::Own(id) = road
            && self.is_refused_inside(id, request, known.conduct)
        {
            self.refuse_inside(place, id, request);
            return None;
        }
        let now = self.now;
        let client = self.clients.get_mut(place)?;
        client.about.active = now;
        if let Some((id, _)) = known.command {
            client.about.command = Some(id);
        }
        if !admitted && !known.command.is_some_and(|(_, flags)| flags.contains(Flags::NO_AUTH)) {
            let reply = session::before_authentication(self.catalog.table(), request);
            self.clients.answer(place, &reply);
            return None;
        }
        let conduct = known.conduct;
        match (road, conduct) {
            (Road::Lane, Conduct::Lane(work)) => self.submit(place, request, shared, work, None),
            (Road::Lane, Conduct::Waits(effect, timeout)) => self.submit_waiting(place, request, effect, timeout),
            (Road::Lane, Conduct::Own(_)) => self.submit(place, request, shared, Work::Other, None),
            (Road::Together { replies, .. }, _) => self.submit(place, request, None, Work::Transaction { replies }, None),
            (Road::Nowhere, _) => {
                let reply = client.no_pin.take().unwrap_or_default();
                self.clients.answer(place, &reply);
            }
            (Road::Busy, _) => {
                let reply = self.busy.clone().unwrap_or_default();
                self.clients.answer(place, &reply);
            }
            (Road::Own(id), Conduct::Own(Own::Tracking)) => self.track(place, id, request, conduct),
            (Road::Own(id), Conduct::Own(Own::Redirection)) => {
                let decides = self.redirection(place);
                self.submit_pinned(place, id, request, conduct, decides);
            }
            (Road::Own(id), Conduct::Session(command)) => return self.session_pinned(place, id, request, command, conduct),
            (Road::Own(id), _) => self.submit_pinned(place, id, request, conduct, None),
            (_, Conduct::Refused(why)) => self.clients.answer(place, &session::refusal(request, why)),
            (_, Conduct::Session(command)) if roads::is_refused_to_user(client, command) => {
                let text = "ERR interlay: this command speaks of all clients, and whether this user has the right to it only the server knows; \
                            use the user of the URL";
                self.clients.answer(place, &error_reply(text));
            }
            (_, Conduct::Session(command)) => {
                let outcome = session::run(command, request, client, admitted);
                return self.session_outcome(place, request, command, outcome);
            }
            // Roads other than these are given to no such request.
            (Road::Session, _) => debug_assert!(false, "{conduct:?} has a road"),
        }
        None
    }

    /// A session command of a client with its own connection.
    fn session_pinned(
        &mut self,
        place: usize,
        id: PinId,
        request: Request<'_>,
        command: SessionCommand,
        conduct: Conduct,
    ) -> Option<Credentials> {
        let standing = self.pins.get(id)?.pin.standing();
        let is_servers = match command {
            SessionCommand::Select | SessionCommand::Info => true,
            SessionCommand::ClientKill => self.names_unknown_user(request),
            _ => false,
        };
        if standing.queued.is_some() && !is_servers {
            self.submit_stand_in(place, id, request);
            return None;
        }
        let client = self.clients.get_mut(place)?;
        if standing.queued.is_some() || (standing.subscribed() > 0 && client.session.proto == Proto::Resp2) {
            self.submit_pinned(place, id, request, conduct, None);
            return None;
        }
        match session::run(command, request, client, true) {
            Outcome::Ask(ask) => {
                let (bytes, decides) = self.asked(request, ask);
                self.submit_pinned(place, id, view(&bytes), conduct, Some(decides));
                None
            }
            outcome => self.session_outcome(place, request, command, outcome),
        }
    }

    fn session_outcome(&mut self, place: usize, request: Request<'_>, command: SessionCommand, outcome: Outcome) -> Option<Credentials> {
        match outcome {
            Outcome::Reply(reply) => self.clients.answer(place, &reply),
            Outcome::Last(reply) => {
                self.clients.answer(place, &reply);
                self.clients.kill(place, false);
            }
            Outcome::Silent => {}
            Outcome::Reset => {
                let pin = self.clients.get_mut(place).and_then(|client| client.pin.take());
                pin.into_iter().for_each(|id| self.leave_pin(id));
                self.clients.reset(place);
                self.clients.answer(place, b"+RESET\r\n");
            }
            Outcome::Ask(ask) => {
                let (bytes, decides) = self.asked(request, ask);
                self.submit(place, view(&bytes), None, Work::Other, Some(decides));
            }
            Outcome::Authenticate(credentials) => return Some(credentials),
            Outcome::Others => match self.others(place, command, request) {
                About::Reply(reply) => self.clients.answer(place, &reply),
                About::Ask(bytes) => {
                    self.submit(place, view(&bytes), None, Work::Other, None);
                }
            },
        }
        None
    }

    /// What the server is asked for a session command, and what its reply decides.
    fn asked(&self, request: Request<'_>, ask: Ask) -> (Vec<u8>, Decides) {
        match ask {
            Ask::Select(db) => (request.bytes().to_vec(), db.map_or(Decides::Nothing, Decides::Db)),
            Ask::Info => (request.bytes().to_vec(), Decides::Info(self.info_numbers(request))),
            Ask::Hello(Hello { proto, name }) => {
                let version = proto.map(|proto| if proto == Proto::Resp3 { "3" } else { "2" });
                let args: Vec<&str> = ["HELLO"].into_iter().chain(version).collect();
                let mut bytes = Vec::new();
                interlay_resp::encode_request(&args, &mut bytes);
                (bytes, Decides::Hello { proto, name })
            }
        }
    }

    /// A command that waits for its keys, on the lane.
    fn submit_waiting(&mut self, place: usize, request: Request<'_>, effect: Effect, timeout: TimeoutAt) {
        let Some(client) = self.clients.get_mut(place) else { return };
        let seq = client.issue();
        let session = client.session;
        client.queued(seq, true, Work::Write(effect));
        client.blocks(seq);
        // A client that waits has no further request carried out.
        client.barrier = Some(Barrier { seq, reply: Vec::new(), decides: Decides::Nothing });
        let ticket = self.clients.ticket(place, seq);
        let until = timeout.of(request).and_then(|timeout| Instant::now().checked_add(timeout));
        let work = Work::Write(effect);
        let submission = Submission { ticket, session, request, shared: None, work, may_split: false, changes_session: false };
        let admission = self.pair.submit_waiting(submission, effect, until, timeout.is_valid(request), &mut self.clients);
        debug_assert!(admission != Admission::Held, "requests are taken only while the pair takes them");
    }

    /// Puts a request onto the lanes. With `decides`, the client's next one waits for its reply.
    fn submit(&mut self, place: usize, request: Request<'_>, shared: Option<Bytes>, work: Work, decides: Option<Decides>) {
        let Some(client) = self.clients.get_mut(place) else { return };
        let seq = client.issue();
        let (session, may_split) = (client.session, client.waits_for_no_authority());
        let changes_session = matches!(decides, Some(Decides::Db(_) | Decides::Hello { .. } | Decides::Nothing));
        client.barrier = decides.map(|decides| Barrier { seq, reply: Vec::new(), decides });
        let ticket = self.clients.ticket(place, seq);
        let submission = Submission { ticket, session, request, shared, work, may_split, changes_session };
        let admission = self.pair.submit(submission, &mut self.clients);
        debug_assert!(admission != Admission::Held, "requests are taken only while the pair takes them");
        if let (Admission::Queued(side), Some(client)) = (admission, self.clients.get_mut(place)) {
            client.queued(seq, side == self.pair.authority(), work);
        }
    }

    /// Goes on with the HELLO that has carried credentials.
    pub(crate) fn ask_hello(&mut self, place: usize, hello: Hello) {
        let (bytes, decides) = self.asked(Request::new(&[], 0), Ask::Hello(hello));
        let request = view(&bytes);
        let pin = self.clients.get_mut(place).and_then(|client| client.pin);
        match pin.filter(|id| self.pins.get(*id).is_some_and(PinDesk::holds)) {
            Some(id) => self.submit_pinned(place, id, request, Conduct::Session(SessionCommand::Hello), Some(decides)),
            None => self.submit(place, request, None, Work::Other, Some(decides)),
        }
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
            Ok(n) => {
                if side == self.pair.authority() {
                    self.busy = None;
                }
                self.tell_time(Instant::now());
                self.pair.receive(side, scratch.get(..n).unwrap_or_default(), &mut self.clients).map_err(LaneEnd::Lane)
            }
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
        self.pins.flush();
        if !self.delayed.is_empty() {
            self.push_delayed();
        }
        self.clients.flush();
        for side in Side::BOTH {
            if self.pair.has_unwritten(side) && !self.lanes[side].kicked {
                self.lanes[side].kicked = true;
                self.lanes[side].kick.notify_one();
            }
        }
        self.give_turn();
        self.go_through_gate();
        self.let_clients_go_on();
    }
}

/// The view of a request that was just written.
fn view(bytes: &[u8]) -> Request<'_> {
    interlay_resp::requests(bytes).next().unwrap_or_else(|| Request::new(bytes, 0))
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
