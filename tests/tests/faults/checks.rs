//! What holds after every fault, and what clients may be told during one.

use std::collections::BTreeMap;

use interlay_tests::{Conn, Interlay, Server, eventually, text};

/// All that clients may be told because of a fault, `source-authoritative`.
pub(crate) const DOCUMENTED: [&str; 4] = [
    "-ERR interlay: source unavailable; nothing was applied, try again\r\n",
    "-ERR interlay: connection to the source lost before the request was sent; nothing was applied, try again\r\n",
    "-ERR interlay: connection to the source lost; the request changes nothing, try again\r\n",
    UNKNOWN,
];

/// What a client is told of a write that may have been applied.
pub(crate) const UNKNOWN: &str =
    "-ERR interlay: connection to the source lost; the request may or may not have been applied, check before trying again\r\n";

/// Waits until the lane of `side` is connected, or is not.
pub(crate) fn connected(interlay: &Interlay, side: &str, is: bool) {
    eventually(&format!("the {side} is connected: {is}"), || interlay.status()[side]["connected"] == is);
}

/// Writes `count` strings named `prefix` and a number; every one is acknowledged.
pub(crate) fn write(conn: &mut Conn, prefix: &str, value: &str, count: usize) {
    let requests: Vec<_> = (0..count).map(|n| Conn::encode(["SET", &format!("{prefix}{n}"), value])).collect();
    for reply in conn.pipeline(&requests) {
        assert_eq!(text(&reply), text(b"+OK\r\n"));
    }
}

/// How many of the strings that [`write`] named hold `value` on a server.
pub(crate) fn held(server: &Server, prefix: &str, value: &str, count: usize) -> usize {
    let requests: Vec<_> = (0..count).map(|n| Conn::encode(["GET", &format!("{prefix}{n}")])).collect();
    let expected = format!("${}\r\n{value}\r\n", value.len());
    server.conn().pipeline(&requests).iter().filter(|reply| **reply == expected.as_bytes()).count()
}

/// Asserts that no key differs that is not dirty.
///
/// With all reads shifted to the target, the interlay reads a clean key there and a dirty one on the source. So each
/// key that it does not give as the source has it differs, and is taken for clean. To be called while nobody writes.
pub(crate) fn assert_differing_keys_are_dirty(interlay: &Interlay, source: &Server, target: &Server) {
    interlay.split(100);
    let mut through = interlay.conn();
    let mut direct = source.conn();
    let mut wrong = BTreeMap::new();
    let mut compared = 0;
    for db in ["0", "1"] {
        for conn in [&mut through, &mut direct] {
            assert_eq!(conn.call(["SELECT", db]), b"+OK\r\n");
        }
        let mut keys = keys(source, db);
        keys.extend(self::keys(target, db));
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let kind = direct.call([b"TYPE", &*key]);
            let read: &[&str] = match &*kind {
                b"+string\r\n" | b"+none\r\n" => &["GET"],
                b"+list\r\n" => &["LRANGE", "0", "-1"],
                b"+hash\r\n" => &["HGETALL"],
                b"+set\r\n" => &["SMEMBERS"],
                b"+zset\r\n" => &["ZRANGE", "0", "-1", "WITHSCORES"],
                _ => &["XRANGE", "-", "+"],
            };
            let request: Vec<&[u8]> = [read[0].as_bytes(), &key].into_iter().chain(read[1..].iter().map(|arg| arg.as_bytes())).collect();
            let [on_source, seen] = [&mut direct, &mut through].map(|conn| sorted(&conn.call(&request)));
            compared += 1;
            if on_source != seen {
                wrong.insert(format!("db {db} {}", text(&key)), (on_source, seen));
            }
        }
    }
    interlay.split(0);
    let status = interlay.status();
    assert!(wrong.is_empty(), "{} of {compared} keys differ and are taken for clean: {wrong:#?}\n{status:#}", wrong.len());
    let clean_reads = &status["counters"]["target_reads"];
    eprintln!("{compared} keys, dirty {}, read on the target {clean_reads}", status["dirty_keys"]);
}

/// The lines of a reply, sorted: sets and hashes have no order.
fn sorted(reply: &[u8]) -> Vec<String> {
    let mut lines: Vec<_> = reply.split(|byte| *byte == b'\n').map(text).collect();
    lines.sort_unstable();
    lines
}

/// The names of every key in a database of a server.
fn keys(server: &Server, db: &str) -> Vec<Vec<u8>> {
    let mut client = server.client();
    redis::cmd("SELECT").arg(db).exec(&mut client).expect("SELECT");
    redis::cmd("KEYS").arg("*").query(&mut client).expect("KEYS")
}
