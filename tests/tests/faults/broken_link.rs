//! A breakable connection to a server.
//!
//! In: an interlay's connections on a port of its own. Out: the same bytes to and from a server, until a test has a
//! connection cut after so many bytes, held back, or fed bytes that the server never sent.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use interlay_tests::Server;

/// No cut is due.
const NEVER: i64 = i64::MAX;

/// Listens in front of a server, and passes on what comes.
pub(crate) struct BrokenLink {
    port: u16,
    state: Arc<State>,
}

struct State {
    server: u16,
    /// Bytes that still pass, of all connections and both directions; the connection on which they run out is cut.
    budget: AtomicI64,
    links: Mutex<Vec<Arc<Link>>>,
    over: AtomicBool,
}

/// One connection: two sockets.
struct Link {
    interlay: TcpStream,
    server: TcpStream,
    held: Mutex<bool>,
    released: Condvar,
}

impl BrokenLink {
    /// A link to `server` that is whole so far.
    pub(crate) fn to(server: &Server) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = State { server: server.port(), budget: NEVER.into(), links: Mutex::default(), over: false.into() };
        let state = Arc::new(state);
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for interlay in listener.incoming().map_while(Result::ok) {
                if accepting.over.load(Ordering::SeqCst) {
                    return;
                }
                // A server that is down is a connection that ends at once.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", accepting.server)) {
                    accepting.join(interlay, server);
                }
            }
        });
        Self { port, state }
    }

    /// `redis://127.0.0.1:port` of the link.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Has the connection cut on which byte `bytes` passes, counted over all connections and both directions.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.state.budget.store(i64::try_from(bytes).expect("few bytes"), Ordering::SeqCst);
    }

    /// Whether the last cut asked for has happened.
    pub(crate) fn is_cut(&self) -> bool {
        self.state.budget.load(Ordering::SeqCst) == NEVER
    }

    /// Lets the present connections pass nothing to the server any more; later ones are free.
    pub(crate) fn hold(&self) {
        self.state.links().iter().for_each(|link| *link.held.lock().unwrap_or_else(PoisonError::into_inner) = true);
    }

    /// Cuts the present connections between the interlay and here; what is held for the server stays held.
    pub(crate) fn hang_up(&self) {
        self.state.links().iter().for_each(|link| drop(link.interlay.shutdown(Shutdown::Both)));
    }

    /// Passes on what was held.
    pub(crate) fn release(&self) {
        for link in self.state.links().iter() {
            *link.held.lock().unwrap_or_else(PoisonError::into_inner) = false;
            link.released.notify_all();
        }
    }

    /// Sends the interlay bytes, on every connection, that the server has not sent.
    pub(crate) fn say(&self, bytes: &[u8]) {
        // The ended ones take nothing any more.
        self.state.links().iter().for_each(|link| drop((&link.interlay).write_all(bytes)));
    }
}

impl Drop for BrokenLink {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        self.release();
        self.state.links().iter().for_each(|link| link.cut());
        // The accepting thread looks up and ends.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

impl State {
    fn links(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(self: &Arc<Self>, interlay: TcpStream, server: TcpStream) {
        for socket in [&interlay, &server] {
            socket.set_nodelay(true).expect("a socket option");
        }
        let link = Arc::new(Link { interlay, server, held: Mutex::new(false), released: Condvar::new() });
        self.links().push(Arc::clone(&link));
        for to_server in [true, false] {
            let (state, link) = (Arc::clone(self), Arc::clone(&link));
            thread::spawn(move || state.pass_on(&link, to_server));
        }
    }

    /// Moves bytes in one direction until a socket ends or the cut is due.
    fn pass_on(&self, link: &Link, to_server: bool) {
        let (mut from, mut to) = if to_server { (&link.interlay, &link.server) } else { (&link.server, &link.interlay) };
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            if to_server {
                link.wait_while_held();
            }
            let (passing, cut) = self.spend(n);
            if to.write_all(&bytes[..passing]).is_err() || cut {
                return link.cut();
            }
        }
        if to_server {
            link.wait_while_held();
        }
        to.shutdown(Shutdown::Write).ok();
    }

    /// How many of `n` bytes pass, and whether the connection is cut behind them.
    fn spend(&self, n: usize) -> (usize, bool) {
        let before = self.budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
            NEVER => None,
            left if left > n as i64 => Some(left - n as i64),
            _ => Some(NEVER),
        });
        match before {
            Ok(left) if left <= n as i64 => (left as usize, true),
            _ => (n, false),
        }
    }
}

impl Link {
    fn wait_while_held(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.released.wait_while(held, |held| *held));
    }

    fn cut(&self) {
        self.interlay.shutdown(Shutdown::Both).ok();
        self.server.shutdown(Shutdown::Both).ok();
    }
}
