//! The bytes of RESP: where a request or a reply ends, and what is in it.
//!
//! - [`RequestScanner`] and [`ReplyScanner`] find boundaries. They build no frames, look at every byte at
//!   most once and jump over the payloads of bulk strings, so a byte that is only passed on costs next to
//!   nothing.
//! - [`Request`] walks the arguments of one request in place; [`canonical`] gives an inline or sloppy request
//!   the one form that every server reads alike; [`encode_request`] writes a new one.
//! - [`decode_reply`] gives a [`Frame`] of what Interlay itself must understand; [`error`] writes an error reply.
//! - [`Limits`] bounds all of it; lengths are checked before anything waits for their bytes.
//!
//! Out of scope: sockets and buffers (callers own them), what a command means, and streamed strings and
//! aggregates (`$?`, `*?`), which no Redis-compatible server sends.

mod decimal;
mod frame;
mod inline;
mod limits;
mod reply;
mod request;
mod request_scanner;

pub use frame::{Frame, Proto, decode_reply, error};
pub use limits::Limits;
pub use reply::{ReplyError, ReplyKind, ReplyScan, ReplyScanner};
pub use request::{Args, Request, canonical, encode_request, requests};
pub use request_scanner::{Form, RequestError, RequestScanner, Scan};
