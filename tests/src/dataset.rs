//! Keys of every type, in every database, with awkward names and deadlines, for any server from 6.2 on.

use crate::conn::{is_error, text};
use crate::server::Server;

/// Keys of each of the sixteen databases.
pub const KEYS_OF_A_DATABASE: u64 = 15;

/// Puts them there.
///
/// # Panics
///
/// If the server refuses one.
pub fn fill(server: &Server) {
    let mut conn = server.conn();
    let mut make = |args: &[&[u8]]| {
        let reply = conn.call(args);
        assert!(!is_error(&reply), "{}: {}", text(args[0]), text(&reply));
    };
    for db in 0..16_u64 {
        make(&[b"SELECT", db.to_string().as_bytes()]);
        let far = (4_102_444_800_000 + db).to_string();
        for name in [&b""[..], b"plain", b"\r\n", b"\"quoted\" 'twice'", b"\xff\0\xfe", b"*", b"a b"] {
            make(&[b"SET", name, name]);
        }
        make(&[b"SET", b"expires", b"v", b"PXAT", far.as_bytes()]);
        make(&[b"RPUSH", b"list", b"b", b"a", b"", b"a", b"\xff"]);
        make(&[b"SADD", b"set", b"1", b"x", b""]);
        make(&[b"SADD", b"intset", b"1", b"2", b"-3"]);
        make(&[b"HSET", b"hash", b"", b"", b"f", b"\r\n"]);
        make(&[b"ZADD", b"zset", b"inf", b"a", b"0.1", b"b", b"-0.0", b"c"]);
        make(&[b"XADD", b"stream", b"5-1", b"f", b"v"]);
        make(&[b"XGROUP", b"CREATE", b"stream", b"g", b"0"]);
        make(&[b"XREADGROUP", b"GROUP", b"g", b"c", b"STREAMS", b"stream", b">"]);
        make(&[b"PFADD", b"hyperloglog", b"a", b"b"]);
        for key in [&b"hash"[..], b"stream", b"list"] {
            make(&[b"PEXPIREAT", key, far.as_bytes()]);
        }
    }
}
