//! What several of these tests need: replies taken apart, and waiting on what an interlay says of its clients.

use std::sync::atomic::{AtomicBool, Ordering};

use interlay_tests::{Conn, Interlay, Pair, eventually, is_error, text};

/// All policies.
pub(crate) const POLICIES: [&str; 4] = ["source-authoritative", "target-authoritative", "both-required", "best-effort"];

/// The bulk strings of a reply, in order, however deep; numbers and everything else left out.
pub(crate) fn words(reply: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = reply;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let (line, behind) = (&rest[..end], &rest[end + 2..]);
        rest = behind;
        if let Some(len) = line.strip_prefix(b"$").and_then(|len| std::str::from_utf8(len).ok()?.parse::<usize>().ok()) {
            words.push(String::from_utf8_lossy(&behind[..len]).into_owned());
            rest = &behind[len + 2..];
        }
    }
    words
}

/// The number that a reply is.
pub(crate) fn number(reply: &[u8]) -> i64 {
    let digits = reply.strip_prefix(b":").and_then(|digits| digits.strip_suffix(b"\r\n"));
    let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    number.unwrap_or_else(|| panic!("not a number: {}", text(reply)))
}

/// One request from its words.
pub(crate) fn line(line: &str) -> Vec<u8> {
    Conn::encode(line.split(' '))
}

/// Sends a request of these words and returns its reply as text, to be compared with what a server says.
pub(crate) fn say(conn: &mut Conn, line: &str) -> String {
    text(&conn.call(line.split(' ')))
}

/// Sends a request that has to be answered with OK.
pub(crate) fn ok(conn: &mut Conn, line: &str) {
    assert_eq!(say(conn, line), r"+OK\r\n", "{line}");
}

/// The id of a connection.
pub(crate) fn id(conn: &mut Conn) -> String {
    number(&conn.call(["CLIENT", "ID"])).to_string()
}

/// Waits until so many clients of the interlay wait for a key.
pub(crate) fn blocked(interlay: &Interlay, clients: usize) {
    let mut conn = interlay.conn();
    let field = format!("blocked_clients:{clients}\r\n");
    eventually(&format!("{clients} clients wait"), || words(&conn.call(["INFO", "clients"])).concat().contains(&field));
}

/// Starts a pair and raises what would mark keys dirty for slowness alone: the machine may be busy.
pub(crate) fn patient(policy: &str) -> Pair {
    Pair::with_args(policy, &["--effect-timeout-ms", "0", "--max-pause-ms", "10000"])
}

/// The same, where the test brings about warnings.
pub(crate) fn warned(policy: &str) -> Pair {
    Pair::with_warnings(policy, &["--effect-timeout-ms", "0", "--max-pause-ms", "10000"])
}

/// Sets a flag when it goes, also when a test fails: what runs until then ends, and the failure is told.
pub(crate) struct EndsWith<'a>(pub(crate) &'a AtomicBool);

impl Drop for EndsWith<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether a reply is an error that names Interlay.
pub(crate) fn is_own_error(reply: &[u8]) -> bool {
    is_error(reply) && reply.starts_with(b"-ERR interlay: ")
}
