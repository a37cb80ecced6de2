//! The task of one client: reads its requests, and ends when it ends.
//!
//! Its replies are written by whoever has them, mostly the task of a lane; this one writes only what a full socket has
//! left over. A client that is not read from costs a wake-up, not a poll.

use std::io::ErrorKind;
use std::rc::Rc;

use bytes::BytesMut;
use interlay_resp::RequestScanner;
use tokio::sync::Notify;

use crate::auth::Authenticator;
use crate::plane::{Next, Shared};
use crate::session::Credentials;
use crate::socket::Socket;

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
        self.plane.borrow_mut().clients.leave(self.at);
    }
}

/// Serves one client until it leaves, breaks the protocol, or is told to end.
pub(crate) async fn serve(plane: Shared, socket: Socket, authenticator: Rc<Authenticator>) {
    let socket = Rc::new(socket);
    let wake = Rc::new(Notify::new());
    let at = plane.borrow_mut().clients.enter(Rc::clone(&socket), Rc::clone(&wake));
    let place = Place { plane, at };
    let mut input = Input { scanner: RequestScanner::default(), rest: BytesMut::new(), ended: false };
    let mut next = Next::Read { missing: 0 };
    loop {
        if let Next::Authenticate(credentials) = next {
            // Rare and large: it has no room in the state that every idle client keeps.
            Box::pin(place.authenticate(credentials, &authenticator, &wake)).await;
            next = place.resume(&mut input);
            continue;
        }
        // What has arrived before a stop is still taken.
        while place.is_stopping() && matches!(next, Next::Read { .. }) && !input.ended {
            next = place.read(&socket, &mut input, next);
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
        }
    }
}

/// What a client has sent and the plane has not taken.
struct Input {
    scanner: RequestScanner,
    rest: BytesMut,
    /// It will send no more: its replies still go out.
    ended: bool,
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
    async fn authenticate(&self, Credentials { user, password, hello }: Credentials, authenticator: &Authenticator, wake: &Notify) {
        let verdict = authenticator.check(user.as_deref(), &password).await;
        // The HELLO goes onto the lane, which may not take requests just now.
        while self.waits_for_pair() {
            wake.notified().await;
        }
        let mut plane = self.plane.borrow_mut();
        let Some(client) = plane.clients.get_mut(self.at) else { return };
        client.authenticated |= verdict.is_ok();
        match (verdict, hello) {
            (Ok(()), Some(hello)) => plane.ask_hello(self.at, hello),
            (Ok(()), None) => plane.clients.answer(self.at, b"+OK\r\n"),
            (Err(reply), _) => plane.clients.answer(self.at, &reply),
        }
        plane.settle();
    }
}

impl Input {
    /// Gives memory back that large requests have left behind.
    fn trim(&mut self) {
        if self.rest.capacity() > *STEP_BYTES.start() && self.rest.len() < self.rest.capacity() / 2 {
            self.rest = BytesMut::from(&*self.rest);
        }
    }
}
