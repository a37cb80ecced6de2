//! Two servers that are compared also in what no digest shows: expiry times, groups, pending entries.

use interlay_tests::{Conn, Pair, Server, assert_equal, digest, is_error, text};

/// How far expiry times may be apart.
const APART_MS: i64 = 1000;

/// A connection through an interlay, in a version of the protocol.
pub(crate) fn conn(pair: &Pair, proto: &str) -> Conn {
    let mut conn = pair.interlay.conn();
    assert!(!is_error(&conn.call(["HELLO", proto])));
    conn
}

/// Every write so far went to the other side, was answered there as here, and both hold the same.
pub(crate) fn assert_exact(pair: &Pair) {
    pair.settled();
    for counter in ["mismatches", "counters.effects_repaired", "counters.skipped_unrepeatable", "dirty_keys"] {
        assert_eq!(pair.interlay.number(counter), 0, "{counter}: {:#}", pair.interlay.status());
    }
    if digest(&pair.source) != digest(&pair.target) {
        assert_equal(&pair.source, &pair.target);
    }
    let (mut source, mut target) = (pair.source.conn(), pair.target.conn());
    for key in keys(&pair.source) {
        let [here, there] = [&mut source, &mut target].map(|server| number(&server.call(["PEXPIRETIME", &key])));
        assert!(here.min(there) == here.max(there) || (here > 0 && there > 0 && (here - there).abs() < APART_MS), "{key}: {here} {there}");
        let [here, there] = [&mut source, &mut target].map(|server| without_times(&server.call(["XINFO", "STREAM", &key, "FULL"])));
        assert_eq!(here, there, "{key}");
    }
}

fn keys(server: &Server) -> Vec<String> {
    redis::cmd("KEYS").arg("*").query(&mut server.client()).expect("the keys")
}

/// A reply's lines without those that are times since 1970 in milliseconds.
fn without_times(reply: &[u8]) -> Vec<String> {
    let lines = reply.split(|byte| *byte == b'\n').map(text);
    lines.map(|line| if line.starts_with(':') && line.len() > 14 { ":time".to_owned() } else { line }).collect()
}

fn number(reply: &[u8]) -> i64 {
    text(&reply[1..reply.len() - 2]).parse().expect("a number")
}
