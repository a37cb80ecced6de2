//! The clients of an interlay: who they are, and their replies on the way to them.
//!
//! In: replies, in whatever order the lanes give them. Out: bytes on the clients' sockets, in the order of their
//! requests. Invariant: bytes that wait for a client never exceed `output_bytes_max` plus one reply's piece; past it
//! the client is closed.

use std::collections::VecDeque;
use std::fmt;
use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use interlay_resp::Proto;
use interlay_routing::command::CommandId;
use interlay_routing::{Clients, ReplyOrder, Seq, Session, Ticket, Work};
use slab::Slab;
use tokio::sync::Notify;

use crate::pinned::PinId;
use crate::roster::ReplyMode;
use crate::session::Barrier;
use crate::socket::Socket;

/// Output buffers above this are given back once empty, so that one large reply does not stay in memory.
const OUTPUT_KEEP_BYTES: usize = 16 * 1024;

/// Bounds of one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientLimits {
    /// Bytes that wait to be read by the client, above which it is closed.
    pub(crate) output_bytes_max: usize,
    /// Bytes that wait to be read by the client, above which it is not read from.
    pub(crate) output_pause_bytes: usize,
}

/// Requests one client may have unanswered before it is not read from. An entry is about 100 bytes, so this is a bound
/// of 1 MB a client.
const UNANSWERED_MAX: u32 = 10_000;

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its id as CLIENT ID tells it: never used again.
    pub(crate) id: u64,
    epoch: u32,
    socket: Rc<Socket>,
    order: ReplyOrder,
    out: Vec<u8>,
    /// Bytes of `out` that are written.
    out_at: usize,
    /// Wakes the client's task: there is output that waits for the socket, or it may read again, or it shall end.
    wake: Rc<Notify>,
    /// Its task has stopped reading and waits to be woken.
    pub(crate) paused: bool,
    /// CLIENT PAUSE holds its next request back.
    pub(crate) held_back: bool,
    /// It gets its last replies and no new ones.
    pub(crate) closing: bool,
    broken: bool,
    touched: bool,
    /// Its last request on the authority's lane, and its last write.
    on_authority: Option<Seq>,
    last_write: Option<Seq>,
    /// The request whose reply has to be seen before the next one is read.
    pub(crate) barrier: Option<Barrier>,
    pub(crate) session: Session,
    /// Its own credentials were accepted.
    pub(crate) authenticated: bool,
    /// The request that it waits in, on its own connection or parked, and since when.
    blocked: Option<(Seq, Instant)>,
    /// Its own connection, and whether its last request went there.
    pub(crate) pin: Option<PinId>,
    pub(crate) on_pin: bool,
    /// Why it could not get one: the answer to the request that wants it.
    pub(crate) no_pin: Option<Vec<u8>>,
    replies: ReplyMode,
    /// Requests whose replies it does not want.
    muted: VecDeque<Seq>,
    /// Pushes that came amid a reply, to follow it.
    pushed: Vec<u8>,
    pub(crate) about: About,
}

/// The credentials of another user than the lane's, with which a connection can be had again when the authority has changed.
pub(crate) struct Login {
    pub(crate) user: Vec<u8>,
    pub(crate) password: Vec<u8>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What CLIENT LIST tells of a client and nothing else needs.
#[derive(Debug)]
pub(crate) struct About {
    /// Its end of the connection, Interlay's end, and the file's number.
    pub(crate) ends: (SocketAddr, SocketAddr, i32),
    pub(crate) since: Instant,
    /// When its last requests came, as exact as the plane's tick.
    pub(crate) active: Instant,
    pub(crate) command: Option<CommandId>,
    /// None is the lane's.
    pub(crate) user: Option<Login>,
    pub(crate) name: Vec<u8>,
    pub(crate) library: [Vec<u8>; 2],
    /// The client that its invalidations go to, and its id on the server.
    pub(crate) redirect: Option<(u64, u64)>,
    pub(crate) broadcast: bool,
    pub(crate) no_evict: bool,
}

impl Client {
    /// Takes a number for the client's next request.
    pub(crate) fn issue(&mut self) -> Seq {
        let seq = self.order.issue();
        if self.replies != ReplyMode::On {
            self.muted.push_back(seq);
            if self.replies == ReplyMode::Skip {
                self.replies = ReplyMode::On;
            }
        }
        seq
    }

    /// Which of its replies it wants from now on. Skipping means nothing to a client that wants none.
    pub(crate) fn want_replies(&mut self, mode: ReplyMode) {
        if mode != ReplyMode::Skip || self.replies == ReplyMode::On {
            self.replies = mode;
        }
    }

    /// Whether it wants the replies to its requests.
    pub(crate) fn wants_replies(&self) -> bool {
        self.replies == ReplyMode::On
    }

    /// Its last request is answered whichever replies it wants.
    pub(crate) fn unmute(&mut self, seq: Seq) {
        self.muted.pop_back_if(|muted| *muted == seq);
    }

    /// Its request `seq` waits for something to come.
    pub(crate) fn blocks(&mut self, seq: Seq) {
        self.blocked = Some((seq, Instant::now()));
    }

    /// Takes bytes of a reply.
    fn take(&mut self, seq: Seq, bytes: &[u8], whole: bool) {
        self.take_unless_muted(seq, bytes, whole);
        if !self.pushed.is_empty() && !self.order.is_amid_reply() {
            self.out.append(&mut self.pushed);
        }
    }

    fn take_unless_muted(&mut self, seq: Seq, bytes: &[u8], whole: bool) {
        if self.muted.is_empty() {
            return self.order.reply(seq, bytes, whole, &mut self.out);
        }
        let muted = self.muted.iter().position(|muted| *muted == seq);
        self.order.reply(seq, if muted.is_some() { &[] } else { bytes }, whole, &mut self.out);
        if whole && let Some(at) = muted {
            self.muted.remove(at);
        }
    }

    /// Whether its last request waits for something to come.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.is_some_and(|(seq, _)| !self.order.is_answered(seq))
    }

    /// Whether it has been waiting since before `then`.
    pub(crate) fn is_blocked_since(&self, then: Instant) -> bool {
        self.is_blocked() && self.blocked.is_some_and(|(_, since)| since < then)
    }

    /// Whether its request `seq` was answered.
    pub(crate) fn has_answer(&self, seq: Seq) -> bool {
        self.order.is_answered(seq)
    }

    /// Whether every request of it was answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.order.unanswered() == 0
    }

    /// Its request `seq` is on a lane.
    pub(crate) fn queued(&mut self, seq: Seq, on_authority: bool, work: Work) {
        if on_authority {
            self.on_authority = Some(seq);
        }
        if !matches!(work, Work::Read) {
            self.last_write = Some(seq);
        }
    }

    /// Whether it waits for nothing from the authority.
    pub(crate) fn waits_for_no_authority(&self) -> bool {
        self.on_authority.is_none_or(|seq| self.order.is_answered(seq))
    }

    /// Whether nothing of it is under way.
    pub(crate) fn is_done(&self) -> bool {
        self.broken || (self.order.unanswered() == 0 && !self.has_output())
    }

    /// Whether bytes wait for the socket.
    pub(crate) fn has_output(&self) -> bool {
        self.out_at < self.out.len() || !self.socket.is_flushed()
    }

    /// Whether its connection has failed or must end at once.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Bytes of replies that it has not read.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.out.len() - self.out_at + self.order.early_bytes() + self.pushed.len()
    }

    /// Writes what the socket takes. Never waits.
    fn flush(&mut self) {
        while !self.broken && self.has_output() {
            let rest = self.out.get(self.out_at..).unwrap_or_default();
            let wrote = if rest.is_empty() { self.socket.flush().map(|()| 0) } else { self.socket.write(&[IoSlice::new(rest)]) };
            match wrote {
                Ok(n) => self.out_at += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.broken = true,
            }
        }
        if self.out_at == self.out.len() {
            self.out.clear();
            self.out.shrink_to(OUTPUT_KEEP_BYTES);
            self.out_at = 0;
        } else if self.out_at > self.out.len() / 2 && self.out_at > OUTPUT_KEEP_BYTES {
            // What is written goes, at the price of moving less than was written.
            self.out.drain(..self.out_at);
            self.out_at = 0;
        }
    }
}

/// All clients by their places.
#[derive(Debug)]
pub(crate) struct ClientTable {
    places: Slab<Client>,
    /// Clients that got bytes since the last [`ClientTable::flush`].
    touched: Vec<usize>,
    /// Whether a client may wait for the pair to take requests again.
    some_wait: bool,
    limits: ClientLimits,
    ids: u64,
    epochs: u32,
    /// Connections that are not clients yet.
    pub(crate) arriving: usize,
    /// The interlay stops: what has arrived of each client is still taken, and then it is closed.
    pub(crate) stopping: bool,
    /// Whether a client has to authenticate first, as the source itself wants it.
    pub(crate) auth_required: bool,
    /// The database that a client starts in.
    first_db: u32,
}

impl ClientTable {
    /// An empty table.
    pub(crate) fn new(limits: ClientLimits, first_db: u32, auth_required: bool) -> Self {
        Self {
            places: Slab::new(),
            touched: Vec::new(),
            some_wait: false,
            limits,
            ids: 0,
            epochs: 0,
            arriving: 0,
            stopping: false,
            auth_required,
            first_db,
        }
    }

    /// Whether a client waits for the pair to take requests again.
    pub(crate) fn some_wait(&self) -> bool {
        self.some_wait
    }

    /// Clients connected now.
    pub(crate) fn len(&self) -> usize {
        self.places.len() + self.arriving
    }

    /// Gives a new client a place.
    pub(crate) fn enter(&mut self, socket: Rc<Socket>, wake: Rc<Notify>) -> usize {
        self.ids += 1;
        let now = Instant::now();
        let about = About {
            ends: socket.ends(),
            since: now,
            active: now,
            command: None,
            user: None,
            name: Vec::new(),
            library: [Vec::new(), Vec::new()],
            redirect: None,
            broadcast: false,
            no_evict: false,
        };
        self.epochs = self.epochs.wrapping_add(1);
        self.places.insert(Client {
            id: self.ids,
            epoch: self.epochs,
            socket,
            order: ReplyOrder::default(),
            out: Vec::new(),
            out_at: 0,
            wake,
            paused: false,
            held_back: false,
            closing: false,
            broken: false,
            touched: false,
            on_authority: None,
            last_write: None,
            barrier: None,
            session: Session { db: self.first_db, proto: Proto::Resp2 },
            authenticated: false,
            blocked: None,
            pin: None,
            on_pin: false,
            no_pin: None,
            replies: ReplyMode::On,
            muted: VecDeque::new(),
            pushed: Vec::new(),
            about,
        })
    }

    /// Takes a client's place back. What is still under way for it goes nowhere.
    pub(crate) fn leave(&mut self, place: usize) -> Option<Client> {
        self.places.try_remove(place)
    }

    /// All clients, with their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Client)> {
        self.places.iter()
    }

    /// The place of the client with this id.
    pub(crate) fn place_of(&self, id: i64) -> Option<usize> {
        self.places.iter().find(|(_, client)| i128::from(client.id) == i128::from(id)).map(|(place, _)| place)
    }

    /// The place of the client that this ticket is of, if it is still there.
    pub(crate) fn place(&self, ticket: Ticket) -> Option<usize> {
        let place = ticket.client as usize;
        self.places.get(place).is_some_and(|client| client.epoch == ticket.epoch).then_some(place)
    }

    /// Ends a client's connection: at once, or, if it is the one that asks for it, when it has its replies.
    pub(crate) fn kill(&mut self, place: usize, at_once: bool) {
        if let Some(client) = self.places.get_mut(place) {
            client.closing = true;
            client.broken |= at_once;
            client.wake.notify_one();
        }
    }

    /// Lets a client's task look at its next request again.
    pub(crate) fn wake(&self, place: usize) {
        if let Some(client) = self.places.get(place) {
            client.wake.notify_one();
        }
    }

    /// Lets every client's task that has stopped reading look at its next request again.
    pub(crate) fn wake_paused(&self) {
        self.places.iter().filter(|(_, client)| client.paused).for_each(|(_, client)| client.wake.notify_one());
    }

    /// Sends bytes that answer no request.
    pub(crate) fn push(&mut self, place: usize, bytes: &[u8]) {
        let Some(client) = self.places.get_mut(place).filter(|client| !client.broken) else { return };
        if client.order.is_amid_reply() {
            client.pushed.extend_from_slice(bytes);
        } else {
            client.out.extend_from_slice(bytes);
        }
        if !client.touched {
            client.touched = true;
            self.touched.push(place);
        }
    }

    /// The client at a place, if there is one.
    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut Client> {
        self.places.get_mut(place)
    }

    /// A client's state as RESET leaves it.
    pub(crate) fn reset(&mut self, place: usize) {
        if let Some(client) = self.places.get_mut(place) {
            client.authenticated = false;
            client.session = Session { db: self.first_db, proto: Proto::Resp2 };
            client.replies = ReplyMode::On;
            let About { user, name, redirect, broadcast, no_evict, .. } = &mut client.about;
            name.clear();
            (*user, *redirect, *broadcast, *no_evict) = (None, None, false, false);
        }
    }

    /// The client at a place, and whether it may do more than authenticate.
    pub(crate) fn admitted(&mut self, place: usize) -> Option<(&mut Client, bool)> {
        let open = !self.auth_required;
        self.places.get_mut(place).map(|client| {
            let admitted = open || client.authenticated;
            (client, admitted)
        })
    }

    /// Names request `seq` of the client at `place`.
    pub(crate) fn ticket(&self, place: usize, seq: Seq) -> Ticket {
        let epoch = self.places.get(place).map_or(0, |client| client.epoch);
        // Places are counted by connections, of which there are far fewer than 2^32.
        Ticket { client: u32::try_from(place).unwrap_or(u32::MAX), epoch, seq }
    }

    /// Whether the client may have another request read, as far as it alone decides.
    pub(crate) fn may_read(&self, place: usize) -> bool {
        self.places.get(place).is_some_and(|client| {
            !client.closing
                && !client.broken
                && client.barrier.is_none()
                && client.order.unanswered() < UNANSWERED_MAX
                && client.waiting_bytes() <= self.limits.output_pause_bytes
        })
    }

    /// Answers one of the client's requests with bytes of Interlay's own.
    pub(crate) fn answer(&mut self, place: usize, reply: &[u8]) {
        let Some(client) = self.places.get_mut(place) else { return };
        let seq = client.issue();
        let ticket = self.ticket(place, seq);
        self.reply(ticket, reply, true);
    }

    /// Writes what the clients got since the last time, and wakes those whose task has something to do about it.
    pub(crate) fn flush(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for place in touched.drain(..) {
            let Some(client) = self.places.get_mut(place) else { continue };
            client.touched = false;
            client.flush();
            if client.waiting_bytes() > self.limits.output_bytes_max && !client.broken {
                tracing::warn!(client = client.id, bytes = client.waiting_bytes(), "client closed: it does not read its replies");
                client.broken = true;
            }
            if client.paused || client.closing || client.has_output() || client.broken {
                client.wake.notify_one();
            }
        }
        self.touched = touched;
    }

    /// Writes what waits for one client, whose socket takes bytes again.
    pub(crate) fn flush_one(&mut self, place: usize) {
        if let Some(client) = self.places.get_mut(place) {
            client.flush();
        }
    }

    /// The pair did not take a client's request: it is to be woken when the pair does.
    pub(crate) fn waits_for_pair(&mut self) {
        self.some_wait = true;
    }

    /// Wakes the clients that wait for the pair, if there are any.
    pub(crate) fn wake_if_waiting(&mut self) {
        if std::mem::take(&mut self.some_wait) {
            self.wake_paused();
        }
    }

    /// Lets every client end once it has the replies to what has arrived of it.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
        self.places.iter().for_each(|(_, client)| client.wake.notify_one());
    }

    fn of(&mut self, ticket: Ticket) -> Option<(usize, &mut Client)> {
        let place = ticket.client as usize;
        self.places.get_mut(place).filter(|client| client.epoch == ticket.epoch).map(|client| (place, client))
    }
}

impl Clients for ClientTable {
    fn reply(&mut self, ticket: Ticket, bytes: &[u8], whole: bool) {
        let Some((place, client)) = self.of(ticket).filter(|(_, client)| !client.broken) else { return };
        match client.barrier.take_if(|barrier| barrier.seq == ticket.seq) {
            Some(mut barrier) => {
                let (bytes, whole) = barrier.pass(bytes, whole, client);
                client.take(ticket.seq, &bytes, whole);
                if !whole {
                    client.barrier = Some(barrier);
                }
            }
            None => client.take(ticket.seq, bytes, whole),
        }
        if !client.touched {
            client.touched = true;
            self.touched.push(place);
        }
    }

    fn abandon(&mut self, ticket: Ticket) {
        let Some((_, client)) = self.of(ticket) else { return };
        client.broken = true;
        client.wake.notify_one();
    }

    fn wrote_since(&self, ticket: Ticket) -> bool {
        let client = self.places.get(ticket.client as usize).filter(|client| client.epoch == ticket.epoch);
        // A write after the read is one that is numbered higher, within half the range of numbers.
        client.and_then(|client| client.last_write).is_some_and(|write| write.wrapping_sub(ticket.seq) < Seq::MAX / 2)
    }
}
