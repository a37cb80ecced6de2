//! The harness of the tests with real servers: starts `redis-server` and the real `interlay` on free loopback ports,
//! speaks to them, and leaves nothing behind.
//!
//! A test owns everything that it starts:
//!
//! ```no_run
//! use interlay_tests::{Pair, assert_equal};
//!
//! let pair = Pair::start("source-authoritative");
//! assert_eq!(pair.interlay.conn().call(["SET", "k", "v"]), b"+OK\r\n");
//! pair.settled();
//! assert_equal(&pair.source, &pair.target);
//! ```
//!
//! Nothing sleeps for a guessed time: [`eventually()`] waits on a condition. A WARN or ERROR in an interlay's log fails
//! its test, unless the test has said [`Launch::expect_warnings`].

mod admin;
mod authority;
mod conn;
pub mod dataset;
mod equal;
mod eventually;
mod fault_proxy;
mod interlay;
mod load;
pub mod mix;
mod old_server;
mod pair;
mod port;
mod program;
mod rng;
mod server;

pub use admin::Answer;
pub use authority::CertificateAuthority;
pub use conn::{Conn, is_error, text};
pub use equal::{assert_equal, digest};
pub use eventually::eventually;
pub use fault_proxy::{FaultProxy, Faults};
pub use interlay::{Interlay, Launch, Said, binary};
pub use load::{Load, Mix};
pub use pair::Pair;
pub use port::free_port;
pub use program::output;
pub use rng::Rng;
pub use server::{Data, Server};

use std::time::Duration;

/// How long a test waits for anything before it fails: far longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
