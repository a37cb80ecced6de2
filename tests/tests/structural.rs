//! A key copied by what is in it is the same key: from 7.0 onto another 7.0, and onto 6.2, which refuses 7.0's DUMP payloads.

use interlay_routing::copy::{CopyError, Destination, Kind, Position, reads, rebuild, refusal};
use interlay_tests::{Conn, Rng, Server, is_error, text};
use redis::Value;

const NEW: Destination = Destination { stream_counters: true, clock_ahead_ms: 0 };
const OLD: Destination = Destination { stream_counters: false, clock_ahead_ms: 0 };
/// In the year 2100. Unit: milliseconds since 1970.
const DEADLINE_MS: u64 = 4_102_444_800_000;

/// A server with keys of every type and encoding, and awkward names and contents.
struct Keys {
    server: Server,
    conn: Conn,
    rng: Rng,
}

impl Keys {
    fn filled() -> Self {
        let server = Server::start();
        let conn = server.conn();
        let mut keys = Self { server, conn, rng: Rng::printed() };
        keys.strings();
        keys.lists();
        keys.sets();
        keys.hashes();
        keys.sorted_sets();
        keys.streams();
        keys
    }

    fn make(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let reply = self.conn.call(args);
        assert!(!is_error(&reply), "{}: {}", text(args[0]), text(&reply));
        reply
    }

    /// A request in words.
    fn say(&mut self, line: &str) {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.make(&args);
    }

    /// A request with many arguments.
    fn many(&mut self, start: &[&[u8]], args: &[Vec<u8>]) {
        let args: Vec<&[u8]> = start.iter().copied().chain(args.iter().map(Vec::as_slice)).collect();
        self.make(&args);
    }

    /// A few bytes, or many, or none.
    fn noise(&mut self) -> Vec<u8> {
        let len = *self.rng.pick(&[0, 1, 7, 64, 65, 3000]);
        (0..len).map(|_| self.rng.below(256) as u8).collect()
    }

    fn noises(&mut self, n: usize) -> Vec<Vec<u8>> {
        (0..n).map(|_| self.noise()).collect()
    }

    fn strings(&mut self) {
        let all: Vec<u8> = (0..=255).collect();
        self.make(&[b"SET", b"", b"a key without a name"]);
        self.make(&[b"SET", b"string\r\n\0\xff", &all]);
        self.make(&[b"SET", b"string of nothing", b""]);
        self.make(&[b"SET", b"string of a megabyte or three", &all.repeat(12_000)]);
        self.say("SET int -9223372036854775808");
        self.say("SET expires v PXAT 4102444800000");
        self.say("PFADD hyperloglog a b c");
        self.say("SETBIT bits 10000 1");
    }

    fn lists(&mut self) {
        self.make(&[b"RPUSH", b"list", b"b", b"a", b"", b"a", b"\r\n", b"12"]);
        let numbers: Vec<Vec<u8>> = (0..10_000).map(|n: u32| n.to_string().into_bytes()).collect();
        self.many(&[b"RPUSH", b"long list"], &numbers);
        let noises = self.noises(2_000);
        self.many(&[b"RPUSH", b"list of noise"], &noises);
        let huge = vec![vec![b'x'; 700_000], vec![0; 1_500_000], vec![b'y'; 700_000]];
        self.many(&[b"RPUSH", b"list of huge elements"], &huge);
    }

    fn sets(&mut self) {
        self.say("SADD intset 3 -1 9223372036854775807");
        self.make(&[b"SADD", b"set", b"", b"a", b"\xff\0", b"1"]);
        let numbers: Vec<Vec<u8>> = (0..10_000).map(|n: u32| format!("{n}").into_bytes()).collect();
        self.many(&[b"SADD", b"long set"], &numbers);
        let noises = self.noises(2_000);
        self.many(&[b"SADD", b"set of noise"], &noises);
    }

    fn hashes(&mut self) {
        self.make(&[b"HSET", b"hash", b"", b"", b"f", b"1", b"\r\n", b"\xff"]);
        let numbers: Vec<Vec<u8>> = (0..20_000).map(|n: u32| n.to_string().into_bytes()).collect();
        self.many(&[b"HSET", b"long hash"], &numbers);
        let noises = self.noises(4_000);
        self.many(&[b"HSET", b"hash of noise"], &noises);
        self.say("HSET hash-expires f v");
        self.say("PEXPIREAT hash-expires 4102444800000");
    }

    fn sorted_sets(&mut self) {
        self.make(&[b"ZADD", b"zset", b"inf", b"", b"-inf", b"a", b"0.1", b"b", b"1e300", b"c", b"-0.0", b"d", b"5e-324", b"\xff"]);
        let scored: Vec<Vec<u8>> = (0..10_000_u32)
            .flat_map(|n| {
                // Any finite number has to survive, to its last bit.
                let score = f64::from_bits(self.rng.next_u64());
                let score = if score.is_finite() { score } else { 0.5 };
                [format!("{score:e}").into_bytes(), n.to_string().into_bytes()]
            })
            .collect();
        self.many(&[b"ZADD", b"long zset"], &scored);
        self.say("GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania");
    }

    fn streams(&mut self) {
        self.make(&[b"XADD", b"stream", b"1-1", b"", b"", b"f", b"\r\n\xff", b"f", b"again"]);
        self.say("XADD stream 18446744073709551615-18446744073709551615 f v");
        self.say("XGROUP CREATE never-filled g 0 MKSTREAM");
        self.say("XGROUP CREATE bare g 0 MKSTREAM");
        self.say("XGROUP DESTROY bare g");
        self.say("XADD emptied 5-5 f v");
        self.say("XADD emptied 6-6 f v");
        self.say("XDEL emptied 5-5 6-6");
        self.say("XADD only-last-id 5-5 f v");
        self.say("XSETID only-last-id 77-7 ENTRIESADDED 12 MAXDELETEDID 70-3");
        for n in 1..=3_000 {
            self.say(&format!("XADD groups {n}-{} n {n} twice {}", n % 3, n * 2));
        }
        self.say("XGROUP CREATE groups all 0");
        self.say("XGROUP CREATE groups some 100-1");
        self.say("XGROUP CREATE groups counted 2000-0 ENTRIESREAD 1500");
        self.say("XGROUP CREATE groups untouched $");
        for (consumer, count) in [("a", 700), ("b", 1), ("a", 3), ("b", 650), ("gone", 5), ("a", 200)] {
            self.say(&format!("XREADGROUP GROUP all {consumer} COUNT {count} STREAMS groups >"));
        }
        self.say("XREADGROUP GROUP some c COUNT 1200 STREAMS groups >");
        self.say("XGROUP CREATECONSUMER groups all idle");
        self.say("XGROUP DELCONSUMER groups all gone");
        self.make(&[b"XGROUP", b"CREATECONSUMER", b"groups", b"some", b"\r\n\0"]);
        for n in (1..600).step_by(7) {
            self.say(&format!("XACK groups all {n}-{}", n % 3));
            self.say(&format!("XCLAIM groups some other 0 {}-{} TIME {} RETRYCOUNT {n}", n + 200, (n + 200) % 3, 1_000_000 + n));
        }
        self.say("COPY groups groups-trimmed");
        self.say("COPY groups pending");
        // Pending entries that are gone: at the beginning, in between, at the end, and all.
        for n in [1, 2, 50, 51, 53, 1_200, 3_000] {
            self.say(&format!("XDEL groups {n}-{}", n % 3));
        }
        self.say("XTRIM groups-trimmed MAXLEN 1500");
        self.say("COPY groups groups-emptied");
        self.say("XTRIM groups-emptied MAXLEN 0");
    }

    /// The names of all keys, with their types.
    fn all(&mut self) -> Vec<(Vec<u8>, Kind)> {
        let names: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut self.server.client()).expect("KEYS");
        let kind = |name: Vec<u8>| {
            let kind = Kind::of(&self.conn.call([b"TYPE", name.as_slice()])).expect("a type");
            (name, kind)
        };
        names.into_iter().map(kind).collect()
    }

    fn deadline_ms(&mut self, name: &[u8]) -> u64 {
        let reply = self.conn.call([b"PEXPIRETIME", name]);
        String::from_utf8_lossy(&reply).trim_matches([':', '\r', '\n']).parse().unwrap_or_default()
    }
}

/// The replies to requests, back to back.
fn replies(conn: &mut Conn, requests: &[u8], count: u32) -> Vec<u8> {
    conn.send(requests);
    (0..count).flat_map(|_| conn.reply()).collect()
}

fn copy_whole(source: &mut Conn, target: &mut Conn, kind: Kind, key: &[u8], deadline_ms: u64, destination: &Destination) {
    let mut requests = Vec::new();
    let count = reads(kind, key, &mut requests);
    let found = replies(source, &requests, count);
    requests.clear();
    let count = rebuild(kind, key, deadline_ms, &found, destination, &mut requests).expect("a copy");
    target.send(requests);
    for _ in 1..count {
        let reply = target.reply();
        assert!(!is_error(&reply), "{}: {}", text(key), text(&reply));
    }
    assert_eq!(refusal(&target.reply()), None, "{}", text(key));
}

/// Copies in pieces of `piece` elements; `meanwhile` runs after each.
fn copy_in_pieces(
    source: &mut Conn,
    target: &mut Conn,
    kind: Kind,
    key: &[u8],
    piece: u32,
    mut meanwhile: impl FnMut(&mut Conn, &mut Conn),
) -> Result<u32, CopyError> {
    let mut next = Some(Position::start(kind));
    let mut pieces = 0;
    while let Some(position) = next {
        let mut requests = Vec::new();
        let count = position.read(key, piece, &mut requests);
        let found = replies(source, &requests, count);
        requests.clear();
        let (count, behind) = position.apply(key, piece, &found, &NEW, &mut requests)?;
        target.send(requests);
        for _ in 0..count {
            let reply = target.reply();
            assert!(!is_error(&reply), "{}: {}", text(key), text(&reply));
        }
        next = behind;
        pieces += 1;
        meanwhile(source, target);
    }
    Ok(pieces)
}

/// What XINFO says of a stream, a line each, without what no command can set, and `without` what the other server has not.
fn info(server: &Server, key: &[u8], without: &[&str]) -> Vec<String> {
    let mut client = server.client();
    let reply: Value = redis::cmd("XINFO").arg("STREAM").arg(key).arg("FULL").arg("COUNT").arg(0).query(&mut client).expect("XINFO");
    let mut lines = Vec::new();
    list("", &reply, &[&["radix-tree-keys", "radix-tree-nodes", "seen-time", "active-time"], without].concat(), &mut lines);
    lines
}

fn list(place: &str, value: &Value, hidden: &[&str], lines: &mut Vec<String>) {
    let shown = |value: &Value| if let Value::BulkString(bytes) = value { text(bytes) } else { format!("{value:?}") };
    let Value::Array(parts) = value else { return lines.push(format!("{place} {}", shown(value))) };
    // Maps begin with one of these.
    if parts.first().is_some_and(|first| ["name", "length"].contains(&shown(first).as_str())) {
        for field in parts.chunks(2).filter(|field| !hidden.contains(&shown(&field[0]).as_str())) {
            list(&format!("{place}/{}", shown(&field[0])), &field[1], hidden, lines);
        }
    } else {
        parts.iter().enumerate().for_each(|(at, part)| list(&format!("{place}/{at}"), part, hidden, lines));
    }
}

fn digest(conn: &mut Conn, key: &[u8]) -> String {
    text(&conn.call([b"DEBUG".as_slice(), b"DIGEST-VALUE", key]))
}

fn assert_same(source: &Server, target: &Server, key: &[u8], kind: Kind, without: &[&str]) {
    let (left, right) = (digest(&mut source.conn(), key), digest(&mut target.conn(), key));
    assert_eq!(left, right, "{}", text(key));
    if kind == Kind::Stream {
        let (left, right) = (info(source, key, without), info(target, key, without));
        assert_eq!(left.len(), right.len(), "{}", text(key));
        for (left, right) in left.iter().zip(&right) {
            assert_eq!(left, right, "{}", text(key));
        }
    }
    for read in ["LRANGE", "ZRANGE"] {
        if (read, kind) == ("LRANGE", Kind::List) || (read, kind) == ("ZRANGE", Kind::Zset) {
            let mut args = vec![read.as_bytes(), key, b"0", b"-1"];
            args.extend((kind == Kind::Zset).then_some(b"WITHSCORES".as_slice()));
            assert!(source.call(&args) == target.call(&args), "{}", text(key));
        }
    }
}

/// Copies every key in RESP`proto`, over one of another type.
fn copies_are_the_same(proto: &str, target: &Server, destination: &Destination, without: &[&str]) {
    let mut keys = Keys::filled();
    let (mut from, mut to) = (keys.server.conn(), target.conn());
    from.call(["HELLO", proto]);
    to.call(["HELLO", proto]);
    let all = keys.all();
    assert!(all.len() > 25);
    for (key, kind) in all {
        target.call([b"SADD".as_slice(), &key, b"what was there before"]);
        let deadline_ms = keys.deadline_ms(&key);
        assert!([0, DEADLINE_MS].contains(&deadline_ms));
        copy_whole(&mut from, &mut to, kind, &key, deadline_ms, destination);
        assert_same(&keys.server, target, &key, kind, without);
        let expires = to.call([b"PTTL", key.as_slice()]) != b":-1\r\n";
        assert_eq!(expires, deadline_ms > 0);
        if *destination == NEW && expires {
            assert_eq!(to.call([b"PEXPIRETIME", key.as_slice()]), format!(":{DEADLINE_MS}\r\n").as_bytes());
        }
    }
}

#[test]
fn a_key_copied_by_what_is_in_it_is_the_same_on_a_server_of_the_same_version() {
    for proto in ["2", "3"] {
        copies_are_the_same(proto, &Server::start(), &NEW, &[]);
    }
}

#[test]
fn a_key_copied_by_what_is_in_it_is_the_same_on_an_older_server() {
    let lacks = ["max-deleted-entry-id", "entries-added", "recorded-first-entry-id", "entries-read", "lag"];
    for proto in ["2", "3"] {
        copies_are_the_same(proto, &Server::old(), &OLD, &lacks);
    }
}

#[test]
fn an_older_server_refuses_what_dump_says_for_every_type() {
    let mut keys = Keys::filled();
    let target = Server::old();
    for (key, _) in keys.all() {
        let mut client = keys.server.client();
        let payload: Vec<u8> = redis::cmd("DUMP").arg(&key).query(&mut client).expect("DUMP");
        let reply = target.call([b"RESTORE".as_slice(), &key, b"0", &payload]);
        assert_eq!(reply, b"-ERR DUMP payload version or checksum are wrong\r\n", "{}: {}", text(&key), text(&reply));
    }
}

#[test]
fn a_key_that_is_gone_or_of_another_type_is_not_copied() {
    let server = Server::start();
    let mut conn = server.conn();
    let kinds = [Kind::String, Kind::List, Kind::Set, Kind::Hash, Kind::Zset, Kind::Stream];
    for proto in ["2", "3"] {
        conn.call(["HELLO", proto]);
        server.call(["SET", "string", "v"]);
        server.call(["RPUSH", "list", "v"]);
        for kind in kinds {
            for key in ["nothing", if kind == Kind::String { "list" } else { "string" }] {
                let mut requests = Vec::new();
                let count = reads(kind, key.as_bytes(), &mut requests);
                let found = replies(&mut conn, &requests, count);
                let mut out = b"before".to_vec();
                let made = rebuild(kind, key.as_bytes(), 0, &found, &NEW, &mut out);
                assert_eq!((made, out.as_slice()), (Err(CopyError::Changed), b"before".as_slice()), "{kind:?} {key}");
                let mut target = server.conn();
                let piece = copy_in_pieces(&mut conn, &mut target, kind, key.as_bytes(), 10, |_, _| ());
                assert_eq!(piece, Err(CopyError::Changed), "{kind:?} {key}");
            }
        }
    }
}

#[test]
fn a_key_copied_in_pieces_is_the_same() {
    let mut keys = Keys::filled();
    let target = Server::start();
    let (mut from, mut to) = (keys.server.conn(), target.conn());
    for proto in ["2", "3"] {
        from.call(["HELLO", proto]);
        for (key, kind) in keys.all() {
            if key == b"string of nothing" {
                continue; // copied whole
            }
            // Pending entries may be among the deleted ones.
            if key.starts_with(b"groups") {
                let refused = copy_in_pieces(&mut from, &mut to, kind, &key, 100, |_, _| ());
                assert_eq!(refused, Err(CopyError::Indivisible), "{}", text(&key));
                continue;
            }
            target.call([b"SADD".as_slice(), &key, b"what was there before"]);
            let piece = if kind == Kind::String { 100_000 } else { 100 };
            let pieces = copy_in_pieces(&mut from, &mut to, kind, &key, piece, |_, _| ()).expect("a copy");
            assert!(pieces > 20 || !key.starts_with(b"long"), "{pieces} pieces of {}", text(&key));
            if keys.deadline_ms(&key) > 0 {
                to.call([b"PEXPIREAT".as_slice(), &key, DEADLINE_MS.to_string().as_bytes()]);
            }
            assert_same(&keys.server, &target, &key, kind, &[]);
        }
    }
}

#[test]
fn pieces_are_exact_while_the_key_is_written() {
    let mut keys = Keys::filled();
    let target = Server::start();
    let table = [
        (Kind::String, "string of a megabyte or three", 100_000),
        (Kind::Set, "long set", 100),
        (Kind::Hash, "long hash", 100),
        (Kind::Zset, "long zset", 100),
    ];
    let (mut from, mut to) = (keys.server.conn(), target.conn());
    for (kind, key, piece) in table {
        let mut rng = Rng::printed();
        let write = |from: &mut Conn, to: &mut Conn| {
            for _ in 0..20 {
                let n = rng.below(20_000).to_string();
                let request: &[&str] = match (kind, rng.below(3)) {
                    (Kind::String, 0) => &["APPEND", key, &n],
                    (Kind::String, 1) => &["SETBIT", key, &format!("{n}77"), "1"],
                    (Kind::String, _) => &["SETRANGE", key, &format!("{n}0"), &n],
                    (Kind::Set, 0) => &["SREM", key, &n],
                    (Kind::Set, _) => &["SADD", key, &n],
                    (Kind::Hash, 0) => &["HDEL", key, &n],
                    (Kind::Hash, 1) => &["HINCRBY", key, &n, "3"],
                    (Kind::Hash, _) => &["HSET", key, &n, "-1"],
                    (_, 0) => &["ZREM", key, &n],
                    (_, 1) => &["ZINCRBY", key, "0.5", &n],
                    (_, _) => &["ZADD", key, "7", &n],
                };
                // The reply may differ, not what is left in the end.
                assert!(!is_error(&from.call(request)));
                to.call(request);
            }
        };
        copy_in_pieces(&mut from, &mut to, kind, key.as_bytes(), piece, write).expect("a copy");
        assert_same(&keys.server, &target, key.as_bytes(), kind, &[]);
    }
    // Of a stream only what goes: the rest comes with the last piece.
    let key = "stream of a thousand";
    (1..=1000).for_each(|n| keys.make(&[b"XADD", key.as_bytes(), format!("{n}-0").as_bytes(), b"f", b"v"]).clear());
    keys.make(&[b"XGROUP", b"CREATE", key.as_bytes(), b"g", b"500-0"]);
    let mut n = 1000;
    let write = |from: &mut Conn, to: &mut Conn| {
        n += 1;
        from.call(["XADD", key, &format!("{n}-0"), "f", "v"]);
        from.call(["XREADGROUP", "GROUP", "g", &format!("c{}", n % 3), "COUNT", "50", "STREAMS", key, ">"]);
        let delete = format!("{}-0", (n - 1000) * 20);
        from.call(["XACK", key, "g", &delete]);
        from.call(["XDEL", key, &delete]);
        to.call(["XDEL", key, &delete]);
    };
    let mut calls = 0;
    let mut write = write;
    let while_it_lasts = |from: &mut Conn, to: &mut Conn| {
        calls += 1;
        if calls <= 10 {
            write(from, to);
        }
    };
    copy_in_pieces(&mut from, &mut to, Kind::Stream, key.as_bytes(), 100, while_it_lasts).expect("a copy");
    assert_same(&keys.server, &target, key.as_bytes(), Kind::Stream, &[]);
}
