//! The task of one client: reads its requests, and ends when it ends.
//!
//! Its replies are written by whoever has them, mostly the task of a lane; this one writes only what a full socket has
//! left over. A client that is not read from costs a wake-up, not a poll.

use std::io::ErrorKind;
use std::rc::Rc;

use bytes::BytesMut;
use interlay_resp::{Frame, RequestScanner};
use interlay_routing::{BySide, Session, Side};
use tokio::sync::Notify;

use crate::auth::{Authenticator, OwnUser};
use crate::clients::Login;
use crate::dial::Dialer;
use crate::pinned::{self, PinDesk};
use crate::plane::{Next, Plane, Shared};
use crate::session::{Credentials, error_reply};
use crate::socket::Socket;

/// The ways to the servers that a client may need for itself.
#[derive(Debug)]
pub(crate) struct Doors {
    /// Checks credentials.
    pub(crate) authenticator: Authenticator,
    /// Opens connections of the client's own.
    pub(crate) own: BySide<Option<Dialer>>,
}

/// The smallest and largest step in which the buffer of an unfinished request grows. What is announced is not
/// believed beyond the step, so that an announced length alone costs no memory.
const STEP_BYTES: std::ops::RangeInclusive<usize> = 16 * 1024..=256 * 1024;

/// A client's place in the plane, given back when its task ends, however it ends.
struct Place {
    plane: Shared,
    at: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.plane.borrow_mut().client_left(self.at);
    }
}

/// Serves one client until it leaves, breaks the protocol, or is told to end.
pub(crate) async fn serve(plane: Shared, socket: Socket, doors: Rc<Doors>) {
    let socket = Rc::new(socket);
    let wake = Rc::new(Notify::new());
    let at = plane.borrow_mut().clients.enter(Rc::clone(&socket), Rc::clone(&wake));
    let place = Place { plane, at };
    let mut input = Input { scanner: RequestScanner::default(), rest: BytesMut::new(), ended: false, gave_up: false };
    let mut next = Next::Read { missing: 0 };
    loop {
        if let Next::Authenticate(credentials) = next {
            // Rare and large: it has no room in the state that every idle client keeps.
            Box::pin(place.authenticate(credentials, &doors, &wake)).await;
            next = place.resume(&mut input);
            continue;
        }
        if let Next::Connect(whom) = next {
            Box::pin(place.connect(whom, &doors)).await;
            next = place.resume(&mut input);
            continue;
        }
        // What has arrived before a stop is still taken.
        while place.is_stopping() && matches!(next, Next::Read { .. }) && !input.ended {
            next = place.read(&socket, &mut input, next);
        }
        // While it waits for something to come, its leaving has to be noticed.
        let watch = matches!(next, Next::Wait) && !input.ended && input.rest.len() < *STEP_BYTES.end() && place.is_blocked();
        if input.ended && place.is_blocked() && !input.gave_up {
            // Nobody is there to get what may come; what has come still goes out.
            input.gave_up = true;
            if !place.plane.borrow_mut().give_up(at) {
                return;
            }
        }
        let Some(has_output) = place.prepare(matches!(next, Next::Wait) || input.ended) else { return };
        tokio::select! {
            biased; // a client that shall end, or owes us its reading, comes before its next request
            () = wake.notified() => next = place.resume(&mut input),
            _ = socket.writable(), if has_output => {
                place.plane.borrow_mut().clients.flush_one(at);
                if matches!(next, Next::Wait) {
                    next = place.resume(&mut input); // it may have waited for just this
                }
            }
            _ = socket.readable(), if matches!(next, Next::Read { .. }) && !input.ended => next = place.read(&socket, &mut input, next),
            _ = socket.readable(), if watch => input.keep(&socket),
        }
    }
}

/// What a client has sent and the plane has not taken.
struct Input {
    scanner: RequestScanner,
    rest: BytesMut,
    /// It will send no more: its replies still go out.
    ended: bool,
    /// It was taken out of its waiting because of that.
    gave_up: bool,
}

impl Place {
    /// Whether output waits for the socket; none when the client's task shall end.
    fn prepare(&self, paused: bool) -> Option<bool> {
        let mut plane = self.plane.borrow_mut();
        let client = plane.clients.get_mut(self.at)?;
        client.paused = paused;
        if client.is_broken() || ((client.closing) && client.is_done()) {
            return None;
        }
        Some(client.has_output())
    }

    /// Whether the client waits for something to come.
    fn is_blocked(&self) -> bool {
        self.plane.borrow_mut().clients.get_mut(self.at).is_some_and(|client| client.is_blocked())
    }

    /// Opens a connection of its own for the client at place `whom`. If it cannot be had, the request that wants it is
    /// answered with the reason.
    async fn connect(&self, whom: usize, doors: &Doors) {
        let wanted = {
            let mut plane = self.plane.borrow_mut();
            let side = plane.pair.authority();
            let owner = plane.clients.ticket(whom, 0);
            let is_busy = plane.is_busy();
            plane.clients.get_mut(whom).map(|client| {
                // A busy server refuses SELECT; what has to be in the client's database is not sent then.
                let db = if is_busy { 0 } else { client.session.db };
                let login = client.about.user.as_ref().map(|login| (login.user.clone(), login.password.clone()));
                (side, owner, Session { db, ..client.session }, client.about.name.clone(), login)
            })
        };
        let Some((side, owner, session, name, login)) = wanted else { return };
        let dialled = match (&doors.own[side], &login) {
            (Some(dialer), Some((user, password))) => match dialer.log_in(Some(user), password, session).await {
                Ok((Frame::SimpleError { data, .. }, ..)) => Err(data),
                Ok((_, connection, id)) => Ok((connection.into_socket(), id)),
                Err(error) => Err(error.to_string()),
            },
            (Some(dialer), None) => dialer.own(session, &name).await.map_err(|error| error.to_string()),
            (None, _) => Err("there is no such side".to_owned()),
        };
        let mut plane = self.plane.borrow_mut();
        match dialled {
            // It is of no use any more, or not needed: the request is looked at again.
            Ok(_) if side != plane.pair.authority() => {}
            Ok(_) if plane.clients.get_mut(whom).is_some_and(|client| client.pin.is_some()) => {}
            Ok((socket, id)) => {
                let mut desk = PinDesk::new(socket, owner, side, session, id);
                desk.own_user = login.is_some();
                if plane.clients.place(owner) == Some(whom)
                    && let Some(id) = plane.attach_pin(whom, desk)
                {
                    tokio::task::spawn_local(pinned::serve(Rc::clone(&self.plane), id));
                }
            }
            Err(error) => {
                let text =
                    format!("ERR interlay: no connection to the {side} for this client alone: {error}; nothing was applied, try again");
                if let Some(client) = plane.clients.get_mut(self.at) {
                    client.no_pin = Some(error_reply(&text));
                }
            }
        }
    }

    /// Takes the requests that are there already.
    fn resume(&self, input: &mut Input) -> Next {
        let next = self.plane.borrow_mut().take_requests(self.at, &mut input.scanner, &mut input.rest);
        input.trim();
        self.end_if_over(input, &next);
        next
    }

    /// Reads once, and takes the requests that have come.
    fn read(&self, socket: &Socket, input: &mut Input, before: Next) -> Next {
        let read = if input.rest.is_empty() {
            self.plane.borrow_mut().read_client(self.at, socket, &mut input.scanner, &mut input.rest)
        } else {
            let missing = if let Next::Read { missing } = before { missing } else { 0 };
            let filled = input.rest.len();
            input.rest.resize(filled + missing.clamp(*STEP_BYTES.start(), *STEP_BYTES.end()), 0);
            let read = socket.read(input.rest.get_mut(filled..).unwrap_or_default());
            input.rest.truncate(filled + read.as_ref().map_or(0, |n| *n));
            match read {
                Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => Ok(self.resume(input)),
                Err(error) => Err(error),
            }
        };
        match read {
            Ok(next) => next,
            Err(error) if error.kind() == ErrorKind::WouldBlock && !self.is_stopping() => before,
            Err(error) => {
                input.ended = true;
                // At an orderly end replies under way still go out; a half-sent request is nobody's.
                let next = Next::Read { missing: 0 };
                if !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::WouldBlock) {
                    input.rest.clear();
                }
                self.end_if_over(input, &next);
                next
            }
        }
    }

    /// Whether the pair takes no requests; the client is then woken when it does.
    fn waits_for_pair(&self) -> bool {
        let mut plane = self.plane.borrow_mut();
        let waits = !plane.pair.takes_requests();
        if waits {
            plane.clients.waits_for_pair();
        }
        if let Some(client) = plane.clients.get_mut(self.at) {
            client.paused = waits;
        }
        waits
    }

    /// Whether the interlay stops.
    fn is_stopping(&self) -> bool {
        self.plane.borrow().clients.stopping
    }

    /// A client that has ended is closed once every whole request of it was taken.
    fn end_if_over(&self, input: &Input, next: &Next) {
        if input.ended && matches!(next, Next::Read { .. }) {
            let mut plane = self.plane.borrow_mut();
            if let Some(client) = plane.clients.get_mut(self.at) {
                client.closing = true;
            }
        }
    }

    /// Has credentials checked, and goes on with the HELLO that carried them. The client's next request waits.
    async fn authenticate(&self, Credentials { user, password, hello }: Credentials, doors: &Doors, wake: &Notify) {
        let (session, side) = {
            let mut plane = self.plane.borrow_mut();
            let Some(client) = plane.clients.get_mut(self.at) else { return };
            let (session, pin) = (client.session, client.pin);
            if pin.and_then(|id| plane.pins.get(id)).is_some_and(|desk| !desk.pin.is_neutral()) {
                let text = "ERR interlay: AUTH is refused while keys are watched or tracked, channels subscribed or commands monitored; \
                            send it before, or RESET first";
                plane.clients.answer(self.at, &error_reply(text));
                return plane.settle();
            }
            (session, plane.pair.authority())
        };
        let asked = if self.plane.borrow().has_let_go(Side::Source) { Side::Target } else { Side::Source };
        // There is a way to every side that there is.
        let Some(checker) = &doors.own[asked] else { return };
        let authority = doors.own[side].as_ref().filter(|_| side != asked);
        let verdict = doors.authenticator.check(user.as_deref(), &password, session, checker, authority).await;
        // The HELLO goes onto the lane, which may not take requests just now.
        while self.waits_for_pair() {
            wake.notified().await;
        }
        let mut plane = self.plane.borrow_mut();
        let owner = plane.clients.ticket(self.at, 0);
        let changed = || error_reply("ERR interlay: the authority has changed meanwhile; the user was not changed, try again");
        let own = match verdict {
            Ok(None) => None,
            Ok(own) if side == plane.pair.authority() => own,
            Ok(_) => {
                plane.clients.answer(self.at, &changed());
                return plane.settle();
            }
            Err(reply) => {
                plane.clients.answer(self.at, &reply);
                return plane.settle();
            }
        };
        let Some(client) = plane.clients.get_mut(self.at) else { return };
        client.authenticated = true;
        client.about.user = own.as_ref().map(|own| Login { user: own.name.clone(), password });
        let before = client.pin;
        match own {
            Some(OwnUser { connection, id, .. }) => {
                let mut desk = PinDesk::new(connection.into_socket(), owner, side, session, id);
                desk.own_user = true;
                if let Some(id) = plane.attach_pin(self.at, desk) {
                    tokio::task::spawn_local(pinned::serve(Rc::clone(&self.plane), id));
                }
            }
            // Another user's connection is not the lane's user's.
            None if before.is_some_and(|id| plane.pins.get(id).is_some_and(|desk| desk.own_user)) => {
                client_without_pin(&mut plane, self.at);
            }
            None => {}
        }
        match hello {
            Some(hello) => plane.ask_hello(self.at, hello),
            None => plane.clients.answer(self.at, b"+OK\r\n"),
        }
        plane.settle();
    }
}

fn client_without_pin(plane: &mut Plane, place: usize) {
    let pin = plane.clients.get_mut(place).and_then(|client| client.pin.take());
    pin.into_iter().for_each(|id| plane.leave_pin(id));
}

impl Input {
    /// Reads what there is and keeps it: the client's requests are not taken now.
    fn keep(&mut self, socket: &Socket) {
        let filled = self.rest.len();
        self.rest.resize(filled + STEP_BYTES.start(), 0);
        let read = socket.read(self.rest.get_mut(filled..).unwrap_or_default());
        self.rest.truncate(filled + read.as_ref().map_or(0, |n| *n));
        self.ended = match read {
            Ok(n) => n == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
    }

    /// Gives memory back that large requests have left behind.
    fn trim(&mut self) {
        if self.rest.capacity() > *STEP_BYTES.start() && self.rest.len() < self.rest.capacity() / 2 {
            self.rest = BytesMut::from(&*self.rest);
        }
    }
}
