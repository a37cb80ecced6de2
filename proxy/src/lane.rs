//! The task of one lane: connects, reads and writes, and connects again when the connection is lost.

use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::Duration;

use interlay_routing::Side;
use interlay_routing::command::CommandTable;

use crate::dial::{Connection, DialError, Greeting};
use crate::endpoint::Endpoint;
use crate::plane::{LaneEnd, Shared};
use crate::socket::Socket;
use crate::tls::SideTls;

/// The first wait before another attempt to connect; each further one is twice as long, up to the configured bound.
const FIRST_WAIT: Duration = Duration::from_millis(20);

/// What a lane's task needs to know.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Whose lane it is.
    pub(crate) side: Side,
    /// Where that side is.
    pub(crate) endpoint: Endpoint,
    /// Its TLS.
    pub(crate) tls: Option<SideTls>,
    /// Time for one attempt to connect, handshake included.
    pub(crate) connect_timeout: Duration,
    /// Longest wait between two attempts.
    pub(crate) backoff_max: Duration,
    /// Time without an answer after which the secondary counts as lost.
    pub(crate) effect_timeout: Option<Duration>,
}

impl Lane {
    /// Keeps the lane connected until its side is let go. To be dropped when the process ends.
    pub(crate) async fn keep(self, plane: Shared) {
        let mut wait = FIRST_WAIT;
        let mut last = None;
        while !plane.borrow().has_let_go(self.side) {
            let teaches = plane.borrow().learns_from(self.side);
            match self.connect(last.as_ref(), teaches).await {
                Ok((_, greeting, _)) if plane.borrow_mut().is_one_too_many(self.side, &greeting) => {
                    self.note(&plane, &format!("this server is the {} too: writes would be applied twice", !self.side));
                }
                Ok(_) if plane.borrow().has_let_go(self.side) => return,
                Ok((socket, greeting, table)) => {
                    wait = FIRST_WAIT;
                    plane.borrow_mut().learn(self.side, table);
                    plane.borrow_mut().lane_up(self.side, &greeting);
                    last = Some(greeting);
                    let end = self.run(&plane, &socket).await;
                    plane.borrow_mut().lane_down(self.side, &end);
                }
                Err(error) => self.note(&plane, &error.to_string()),
            }
            tokio::time::sleep(jittered(wait)).await;
            wait = (wait * 2).min(self.backoff_max);
        }
    }

    async fn connect(&self, last: Option<&Greeting>, teaches: bool) -> Result<(Rc<Socket>, Greeting, Option<CommandTable>), DialError> {
        let connect = async {
            let mut connection = Connection::open(&self.endpoint, self.tls.as_ref()).await?;
            let name = format!("interlay-{}-lane", self.side);
            let greeting = connection.greet(&self.endpoint, &name, last).await?;
            let table = connection.command_table(teaches).await?;
            Ok((connection.into_socket(), greeting, table))
        };
        let timed_out = || DialError::Io(std::io::ErrorKind::TimedOut.into());
        tokio::time::timeout(self.connect_timeout, connect).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// Says once, not at every attempt, why the lane cannot be connected.
    fn note(&self, plane: &Shared, error: &str) {
        let mut plane = plane.borrow_mut();
        let last = &mut plane.lanes[self.side].status.last_error;
        if last.as_deref() != Some(error) {
            tracing::warn!(side = %self.side, error, "lane not connected");
            *last = Some(error.to_owned());
        }
    }

    /// Moves bytes until the connection is lost.
    async fn run(&self, plane: &Shared, socket: &Socket) -> LaneEnd {
        let (kick, cut) = {
            let desk = &plane.borrow().lanes[self.side];
            (Rc::clone(&desk.kick), Rc::clone(&desk.cut))
        };
        loop {
            let all_written = match plane.borrow_mut().write_lane(self.side, socket) {
                Ok(all_written) => all_written,
                Err(end) => return end,
            };
            tokio::select! {
                biased; // replies first: they free what new requests wait for
                readable = socket.readable() => {
                    let read = readable.map_err(LaneEnd::Io).and_then(|()| plane.borrow_mut().read_lane(self.side, socket));
                    if let Err(end) = read {
                        return end;
                    }
                }
                // One more look at the sockets first: what else is ready goes out with the same system call.
                () = kick.notified() => tokio::task::yield_now().await,
                writable = socket.writable(), if !all_written => {
                    if let Err(error) = writable {
                        return LaneEnd::Io(error);
                    }
                }
                () = cut.notified() => return LaneEnd::Stalled(self.effect_timeout.unwrap_or_default()),
            }
        }
    }
}

/// Between half of `wait` and all of it, so that many lanes do not come back at the same moment.
fn jittered(wait: Duration) -> Duration {
    let chance = RandomState::new().hash_one(wait) % 1000;
    wait.mul_f64(0.5 + chance as f64 / 2000.0)
}
