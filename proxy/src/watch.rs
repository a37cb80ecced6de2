//! The task of the watch: a connection to the authority that gets reports of keys that others than Interlay have changed.
//!
//! The lane asks for them (see `routing`), so this one only listens. It speaks RESP3, where reports come by themselves.

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use interlay_resp::{Limits, Proto, ReplyKind, ReplyScan, ReplyScanner};
use interlay_routing::{Session, Side};

use crate::client::Doors;
use crate::pinned::senseless;
use crate::plane::Shared;
use crate::socket::Socket;

/// The wait between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(200);

/// Bytes read from the socket at once.
const READ_BYTES: usize = 64 * 1024;

/// Keeps the watch connected to whichever side is the authority, for ever. To be dropped when the process ends.
pub(crate) async fn keep(plane: Shared, doors: Rc<Doors>) {
    plane.borrow_mut().pair.report_to_nobody(None);
    let moved = Rc::clone(&plane.borrow().authority_moved);
    loop {
        let side = plane.borrow().pair.authority();
        let Some(dialer) = &doors.own[side] else { return };
        match dialer.own(Session { db: 0, proto: Proto::Resp3 }, b"interlay-watch").await {
            Ok((socket, Some(id))) if plane.borrow().pair.authority() == side => {
                plane.borrow_mut().pair.report_to(id);
                let lost = tokio::select! {
                    error = listen(&plane, side, &socket) => Some(error),
                    () = left(&plane, side) => None,
                };
                if let Some(error) = lost {
                    tracing::debug!(%side, %error, "the watch was lost");
                    plane.borrow_mut().pair.report_to_nobody(None);
                }
            }
            Ok((_, Some(_))) => {} // another authority meanwhile
            Ok((_, None)) => plane.borrow_mut().pair.report_to_nobody(Some("the server does not tell the connection's id")),
            Err(error) => plane.borrow_mut().pair.report_to_nobody(Some(&error.to_string())),
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = moved.notified() => {}
        }
    }
}

/// Waits until `side` is not the authority.
async fn left(plane: &Shared, side: Side) {
    let moved = Rc::clone(&plane.borrow().authority_moved);
    while plane.borrow().pair.authority() == side {
        moved.notified().await;
    }
}

/// Hands reports on until the connection is lost, and says why it was.
async fn listen(plane: &Shared, side: Side, socket: &Socket) -> io::Error {
    let limits = Limits::of_replies();
    let (mut buf, mut push, mut scanner) = (vec![0; READ_BYTES], Vec::new(), ReplyScanner::default());
    loop {
        let n = match socket.read(&mut buf) {
            Ok(0) => return ErrorKind::UnexpectedEof.into(),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => match socket.readable().await {
                Ok(()) => continue,
                Err(error) => return error,
            },
            Err(error) => return error,
        };
        let mut unread = buf.get(..n).unwrap_or_default();
        while !unread.is_empty() {
            let (len, kind) = match scanner.scan(unread, &limits) {
                Ok(ReplyScan::Complete { len, kind }) => (len, Some(kind)),
                Ok(ReplyScan::NeedMore) => (unread.len(), None),
                Err(error) => return senseless(error),
            };
            let (bytes, rest) = unread.split_at(len);
            push.extend_from_slice(bytes);
            unread = rest;
            if let Some(kind) = kind {
                let mut plane = plane.borrow_mut();
                if kind == ReplyKind::Push && plane.pair.authority() == side {
                    plane.pair.reported(&push);
                }
                push.clear();
            }
        }
        // However many reports there are: others have their turn.
        tokio::task::yield_now().await;
    }
}
