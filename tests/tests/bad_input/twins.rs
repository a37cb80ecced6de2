//! The same bytes to an interlay and to a server without one.
//!
//! In: what a client sends. Out: every place where what comes back differs. All that comes until the end of the
//! connection is compared, behind the bytes goes one more request, and then the client's end of the connection is
//! closed: so a connection that takes further requests differs from one that has been closed.

use std::net::Shutdown;

use interlay_tests::{Conn, Interlay, Launch, Server, text};

/// The password of [`Twins::with_password`].
pub(crate) const PASSWORD: &str = "sesame";

/// Larger inputs are not sent byte by byte but in pieces of this size.
const PIECE_BYTES: usize = 1000;

/// Inputs up to this size are sent byte by byte.
const BYTEWISE_MAX: usize = 1000;

/// An interlay with its two servers, and a server that stands alone.
pub(crate) struct Twins {
    interlay: Interlay,
    source: Server,
    target: Server,
    alone: Server,
    has_password: bool,
}

impl Twins {
    /// Starts all of them.
    pub(crate) fn start() -> Self {
        let (source, target, alone) = (Server::start(), Server::start(), Server::start());
        let interlay = Interlay::mirroring(&source, &target).start();
        Self { interlay, source, target, alone, has_password: false }
    }

    /// Starts all of them; the source and the server that stands alone want [`PASSWORD`].
    pub(crate) fn with_password() -> Self {
        let (source, target, alone) = (Server::start(), Server::start(), Server::start());
        for server in [&source, &alone] {
            assert_eq!(server.call(["CONFIG", "SET", "requirepass", PASSWORD]), b"+OK\r\n");
        }
        let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", source.port());
        let interlay = Launch::default().args(["--source", &url, "--target", &target.url()]).start();
        Self { interlay, source, target, alone, has_password: true }
    }

    /// The interlay.
    pub(crate) fn interlay(&self) -> &Interlay {
        &self.interlay
    }

    /// Asserts that each input brings back the same from the interlay, whole and byte by byte, as from the server.
    pub(crate) fn assert_same<B: AsRef<[u8]>>(&self, inputs: impl IntoIterator<Item = B>) {
        let mut differing = Vec::new();
        for input in inputs {
            let input = [input.as_ref(), b"*2\r\n$4\r\nECHO\r\n$5\r\nafter\r\n"].concat();
            let piece = if input.len() <= BYTEWISE_MAX { 1 } else { PIECE_BYTES };
            for (how, piece) in [("whole", usize::MAX), ("in pieces", piece)] {
                // Each time anew, so that both keep the same data.
                let expected = exchange(self.alone.port(), &input, usize::MAX);
                let got = exchange(self.interlay.port(), &input, piece);
                if got != expected {
                    differing.push(format!("{}\n  sent {how}\n  server   {}\n  interlay {}", shown(&input), shown(&expected), shown(&got)));
                }
            }
        }
        assert!(differing.is_empty(), "{} replies differ:\n{}", differing.len(), differing.join("\n"));
    }

    /// Asserts that both servers behind the interlay hold the same.
    pub(crate) fn assert_in_step(&self) {
        self.interlay.answered();
        if self.has_password {
            let mut conn = self.source.conn();
            conn.pipeline(&[Conn::encode(["AUTH", PASSWORD]), Conn::encode(["CONFIG", "SET", "requirepass", ""])]);
        }
        self.interlay.assert_equal(&self.source, &self.target);
    }
}

/// Sends `input` in pieces of `piece` bytes and takes everything that comes back.
fn exchange(port: u16, input: &[u8], piece: usize) -> Vec<u8> {
    let mut conn = Conn::to(port);
    for piece in input.chunks(piece) {
        if conn.try_send(piece).is_err() {
            break; // closed already: what came before that is compared
        }
    }
    conn.socket().shutdown(Shutdown::Write).ok();
    without_id(conn.rest())
}

/// HELLO's replies without the client's id, which is nobody else's.
fn without_id(reply: Vec<u8>) -> Vec<u8> {
    const FIELD: &[u8] = b"$2\r\nid\r\n:";
    let mut rest = &*reply;
    let mut without = Vec::new();
    while let Some(at) = rest.windows(FIELD.len()).position(|window| window == FIELD) {
        let (before, id) = rest.split_at(at + FIELD.len());
        without.extend_from_slice(before);
        rest = &id[id.iter().take_while(|byte| byte.is_ascii_digit()).count()..];
    }
    without.extend_from_slice(rest);
    without
}

fn shown(bytes: &[u8]) -> String {
    if bytes.len() > 400 { format!("{}... ({} bytes)", text(&bytes[..200]), bytes.len()) } else { text(bytes) }
}
