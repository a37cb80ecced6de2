//! A bad network between two programs of a test.
//!
//! In: connections on a port of its own. Out: the same bytes to and from another port, but cut off anywhere, held up,
//! chopped into pieces or slowed down, as [`Faults`] say at the time. The choices are seeded.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::rng::Rng;

/// Bytes taken from a socket at once.
const CHUNK: usize = 16 * 1024;

/// With a rate, bytes are passed on this often per second.
const TICKS_PER_SECOND: u64 = 50;

/// What goes wrong. The default: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// One byte in so many, on average, is the last of its connection. 0: none is.
    pub bytes_per_cut: u64,
    /// Bytes passed on with one system call at most. 0: as they come.
    pub piece_bytes_max: u64,
    /// One chunk in so many is held up. 0: none is.
    pub chunks_per_stall: u64,
    /// For how long at most, in ms.
    pub stall_ms_max: u64,
    /// Bytes passed on in a second, for each direction of each connection. 0: all.
    pub bytes_per_second: u64,
}

/// Listens in front of a loopback port, and passes on what comes. A port behind which nobody listens is a connection that
/// ends at once.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    behind: u16,
    faults: Mutex<Faults>,
    links: Mutex<Vec<Weak<Link>>>,
    over: AtomicBool,
}

/// One connection: its sockets in front and behind. The last of its two threads closes them.
#[derive(Debug)]
struct Link([TcpStream; 2]);

impl FaultProxy {
    /// A proxy in front of `port` that passes on everything so far.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    #[must_use]
    pub fn to(port: u16, rng: &Rng) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let own_port = listener.local_addr().expect("an address").port();
        let shared = Shared { behind: port, faults: Mutex::default(), links: Mutex::default(), over: false.into() };
        let shared = Arc::new(shared);
        let (accepting, rng) = (Arc::clone(&shared), rng.clone());
        thread::spawn(move || {
            for (number, front) in (0..).zip(listener.incoming().map_while(Result::ok)) {
                if accepting.over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(back) = TcpStream::connect(("127.0.0.1", accepting.behind)) {
                    accepting.join(Link([front, back]), &rng.fork(number));
                }
            }
        });
        Self { port: own_port, shared }
    }

    /// The proxy's own port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:port` of the proxy.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Lets go wrong, from now on and for present connections too, what `faults` say.
    pub fn set(&self, faults: Faults) {
        *self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Cuts every present connection.
    pub fn cut(&self) {
        let links = std::mem::take(&mut *self.shared.links.lock().unwrap_or_else(PoisonError::into_inner));
        links.iter().filter_map(Weak::upgrade).for_each(|link| link.cut());
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.set(Faults::default());
        // The accepting thread looks up and ends.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        self.cut();
    }
}

impl Shared {
    fn join(self: &Arc<Self>, link: Link, rng: &Rng) {
        let link = Arc::new(link);
        link.0.iter().for_each(|socket| drop(socket.set_nodelay(true)));
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        drop(links);
        for from in 0..2 {
            let (shared, link, rng) = (Arc::clone(self), Arc::clone(&link), rng.fork(from as u64));
            thread::spawn(move || {
                // The end of one direction is passed on by itself; a broken one ends the other too.
                if shared.pass_on(&link.0[from], &link.0[1 - from], rng).is_err() {
                    link.cut();
                }
            });
        }
    }

    /// Moves bytes in one direction until it ends.
    fn pass_on(&self, mut from: &TcpStream, mut to: &TcpStream, mut rng: Rng) -> std::io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let faults = *self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            let room = match faults.bytes_per_second {
                0 => CHUNK,
                rate => CHUNK.min((rate / TICKS_PER_SECOND) as usize).max(1),
            };
            let len = from.read(&mut chunk[..room])?;
            if len == 0 {
                return to.shutdown(Shutdown::Write);
            }
            // The bytes on their way are no better off than those that come after them.
            let faults = *self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            if faults.chunks_per_stall > 0 && rng.below(faults.chunks_per_stall) == 0 {
                thread::sleep(Duration::from_millis(1 + rng.below(faults.stall_ms_max.max(1))));
            }
            let last = match faults.bytes_per_cut {
                0 => None,
                bytes => Some(rng.below(bytes) as usize).filter(|at| *at < len),
            };
            let mut passing = &chunk[..last.unwrap_or(len)];
            while !passing.is_empty() {
                let piece = match faults.piece_bytes_max {
                    0 => passing.len(),
                    max => passing.len().min(1 + rng.below(max) as usize),
                };
                to.write_all(&passing[..piece])?;
                passing = &passing[piece..];
            }
            if last.is_some() {
                return Err(std::io::ErrorKind::ConnectionAborted.into());
            }
            if faults.bytes_per_second > 0 {
                thread::sleep(Duration::from_secs(1) / TICKS_PER_SECOND as u32);
            }
        }
    }
}

impl Link {
    fn cut(&self) {
        self.0.iter().for_each(|socket| drop(socket.shutdown(Shutdown::Both)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conn, Server};

    #[test]
    fn bytes_pass_in_pieces_until_the_connection_is_cut() {
        let server = Server::start();
        let proxy = FaultProxy::to(server.port(), &Rng::printed());
        let mut conn = Conn::to(proxy.port());
        let value = "v".repeat(100_000);
        assert_eq!(conn.call(["SET", "k", &value]), b"+OK\r\n");
        proxy.set(Faults { piece_bytes_max: 7, chunks_per_stall: 3, stall_ms_max: 2, ..Faults::default() });
        assert_eq!(conn.call(["GET", "k"]), format!("$100000\r\n{value}\r\n").as_bytes());
        proxy.set(Faults { bytes_per_cut: 1, ..Faults::default() });
        assert!(conn.try_send(Conn::encode(["PING"])).is_err() || conn.try_reply().is_err());
        proxy.set(Faults::default());
        assert_eq!(Conn::to(proxy.port()).call(["STRLEN", "k"]), b":100000\r\n");
    }
}
