//! Free ports.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that the system gives to outgoing connections. Of those, one that a test's server has just left
/// could be taken by any client, and a client that tries a port of its own range again and again, as a lane does,
/// may at last reach itself.
const RANGE: std::ops::Range<u32> = 12_000..32_000;

/// How many ports were handed out by this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A loopback port that nothing listens on, and that this process hands out once.
///
/// Another process may still take it before it is used: whoever starts a server there tries again with another one.
///
/// # Panics
///
/// If no port is free.
#[must_use]
pub fn free_port() -> u16 {
    let start = std::process::id().wrapping_mul(97);
    (0..RANGE.end - RANGE.start)
        .map(|_| RANGE.start + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % (RANGE.end - RANGE.start))
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("one of 20000 ports is free")
}
