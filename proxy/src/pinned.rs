//! The task of one client's own connection: reads what the server says, and ends with the connection or its owner.
//!
//! Requests are written by the turn that has them; this one writes only what a full socket has left over.

use std::collections::HashMap;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use interlay_resp::ReplyScanner;
use interlay_routing::{NO_CLIENT, Pin, Session, Side, Standing, Ticket};
use tokio::sync::Notify;

use crate::client::Doors;
use crate::plane::Shared;
use crate::socket::Socket;

/// Names a client's own connection; never used again.
pub(crate) type PinId = u64;

/// Bytes that wait for the server, above which its client is not read from.
const OUTPUT_PAUSE_BYTES: usize = 256 * 1024;

/// A client's own connection, as the plane sees it.
#[derive(Debug)]
pub(crate) struct PinDesk {
    pub(crate) pin: Pin,
    /// Whose it is: a ticket of that client.
    pub(crate) owner: Ticket,
    /// Which server it goes to.
    pub(crate) side: Side,
    /// Its id there.
    pub(crate) server_id: Option<i64>,
    /// It is authenticated as another user than the lane is.
    pub(crate) own_user: bool,
    /// It gets another client's invalidations.
    pub(crate) is_redirected_to: bool,
    /// Its owner has left: it ends when what may change data is answered.
    pub(crate) orphaned: bool,
    /// Requests that may change data, sent in an exclusive section and not answered.
    pub(crate) in_flight: u32,
    /// The last of them: its answer may be held, and what the server says after it must not come before.
    pub(crate) last_executed: Option<Ticket>,
    pub(crate) out: Vec<u8>,
    pub(crate) scanner: ReplyScanner,
    /// The begun reply, unless it is passed on as it comes; then whose it is.
    pub(crate) partial: Vec<u8>,
    pub(crate) streaming: Option<Ticket>,
    socket: Rc<Socket>,
    wake: Rc<Notify>,
}

impl PinDesk {
    /// The desk of a new connection.
    pub(crate) fn new(socket: Rc<Socket>, owner: Ticket, side: Side, session: Session, server_id: Option<i64>) -> Self {
        Self {
            pin: Pin::new(session),
            owner,
            side,
            server_id,
            own_user: false,
            is_redirected_to: false,
            orphaned: false,
            in_flight: 0,
            last_executed: None,
            out: Vec::new(),
            scanner: ReplyScanner::default(),
            partial: Vec::new(),
            streaming: None,
            socket,
            wake: Rc::new(Notify::new()),
        }
    }

    /// Whether the client's requests have to come here.
    pub(crate) fn holds(&self) -> bool {
        self.own_user || self.is_redirected_to || !self.pin.is_neutral()
    }

    /// Whether a transaction is open, or prepared by watching keys.
    pub(crate) fn is_in_transaction(&self) -> bool {
        let standing = self.pin.standing();
        standing.queued.is_some() || standing.watching
    }

    /// Whether subscriptions are all the state that it has.
    pub(crate) fn only_subscribes(&self) -> bool {
        let Standing { subscriptions, .. } = self.pin.standing();
        !self.own_user
            && !self.is_redirected_to
            && self.pin.standing() == Standing { subscriptions, ..Standing::default() }
            && !self.pin.is_neutral()
    }

    /// Whether the server is so far behind that its client is not read from.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() > OUTPUT_PAUSE_BYTES
    }

    /// Writes what the socket takes. Never waits; an error is found again by the reader.
    pub(crate) fn flush(&mut self) {
        let mut at = 0;
        while at < self.out.len() || !self.socket.is_flushed() {
            let rest = self.out.get(at..).unwrap_or_default();
            let wrote = if rest.is_empty() { self.socket.flush().map(|()| 0) } else { self.socket.write(&[IoSlice::new(rest)]) };
            match wrote {
                Ok(n) => at += n,
                Err(error) => {
                    if error.kind() == ErrorKind::WouldBlock {
                        self.wake.notify_one();
                    }
                    break;
                }
            }
        }
        self.out.drain(..at);
    }

    fn has_output(&self) -> bool {
        !self.out.is_empty() || !self.socket.is_flushed()
    }
}

/// All own connections.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    desks: HashMap<PinId, PinDesk>,
    ids: PinId,
    /// Those with something to write.
    unwritten: Vec<PinId>,
}

impl Pins {
    /// Takes a new connection in.
    pub(crate) fn enter(&mut self, desk: PinDesk) -> PinId {
        self.ids += 1;
        self.desks.insert(self.ids, desk);
        self.ids
    }

    pub(crate) fn get(&self, id: PinId) -> Option<&PinDesk> {
        self.desks.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: PinId) -> Option<&mut PinDesk> {
        self.desks.get_mut(&id)
    }

    /// Takes a connection out; its task ends.
    pub(crate) fn leave(&mut self, id: PinId) -> Option<PinDesk> {
        self.desks.remove(&id).inspect(|desk| desk.wake.notify_one())
    }

    /// Whether a request is under way on one of them that may change data.
    pub(crate) fn owe_writes(&self) -> bool {
        self.desks.values().any(|desk| desk.pin.owes_a_write())
    }

    /// All of them, as they are.
    pub(crate) fn desks(&self) -> impl Iterator<Item = &PinDesk> {
        self.desks.values()
    }

    /// All of them.
    pub(crate) fn ids(&self) -> Vec<PinId> {
        self.desks.keys().copied().collect()
    }

    /// Notes that there is something to write.
    pub(crate) fn wrote(&mut self, id: PinId) {
        self.unwritten.push(id);
    }

    /// Writes what there is to write.
    pub(crate) fn flush(&mut self) {
        while let Some(id) = self.unwritten.pop() {
            if let Some(desk) = self.desks.get_mut(&id) {
                desk.flush();
            }
        }
    }
}

/// Serves a client's own connection until it breaks or is taken out.
pub(crate) async fn serve(plane: Shared, id: PinId) {
    let Some((socket, wake)) = plane.borrow().pins.get(id).map(|desk| (Rc::clone(&desk.socket), Rc::clone(&desk.wake))) else { return };
    loop {
        let Some(has_output) = plane.borrow().pins.get(id).map(PinDesk::has_output) else { return };
        tokio::select! {
            readable = socket.readable() => {
                let read = readable.and_then(|()| plane.borrow_mut().read_pin(id, &socket));
                if let Err(error) = read {
                    return plane.borrow_mut().lose_pin(id, &error);
                }
            }
            _ = socket.writable(), if has_output => plane.borrow_mut().flush_pin(id),
            () = wake.notified() => {}
        }
    }
}

/// Opens a connection for the next client that wants its own, and serves it.
pub(crate) async fn open_spare(plane: Shared, doors: Rc<Doors>) {
    let side = plane.borrow().pair.authority();
    let Some(dialer) = &doors.own[side] else { return };
    let Ok((socket, id)) = dialer.own(Session::default(), b"interlay-spare").await else { return };
    let spare = plane.borrow_mut().keep_spare(PinDesk::new(socket, NO_CLIENT, side, Session::default(), id));
    if let Some(id) = spare {
        tokio::task::spawn_local(serve(plane, id));
    }
}

/// A connection that cannot go on because of what the server says.
pub(crate) fn senseless(what: impl ToString) -> io::Error {
    io::Error::other(what.to_string())
}
