//! Client-side caching: whoever caches what it has read learns of every write, however that was made.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use interlay_tests::{Conn, Rng, is_error, text};

use super::scene::{EndsWith, id, line, ok, patient, say, words};

/// A RESP3 connection with tracking turned on.
fn tracking(mut conn: Conn, options: &str) -> Conn {
    assert_eq!(conn.call(["HELLO", "3"]).first(), Some(&b'%'));
    ok(&mut conn, &format!("CLIENT TRACKING ON{options}"));
    conn
}

/// The push that tells that these keys were written.
fn invalidation(keys: &[&str]) -> String {
    let keys: String = keys.iter().map(|key| format!(r"${}\r\n{key}\r\n", key.len())).collect();
    format!(r">2\r\n$10\r\ninvalidate\r\n*{}\r\n{keys}", keys.matches('$').count())
}

#[test]
fn invalidations_come_for_own_writes_others_and_those_around_the_interlay() {
    for policy in ["source-authoritative", "both-required"] {
        let pair = patient(policy);
        let mut cached = tracking(pair.interlay.conn(), "");
        let (mut other, mut around) = (pair.interlay.conn(), pair.source.conn());
        ok(&mut other, "MSET a 1 b 1 c 1 unread 1");
        for key in ["a", "b", "c"] {
            assert_eq!(say(&mut cached, &format!("GET {key}")), r"$1\r\n1\r\n");
        }
        ok(&mut cached, "SET a 2");
        assert_eq!(text(&cached.reply()), invalidation(&["a"]), "its own");
        ok(&mut other, "MSET b 2 unread 2");
        assert_eq!(text(&cached.reply()), invalidation(&["b"]), "another's");
        ok(&mut around, "SET c 2");
        assert_eq!(text(&cached.reply()), invalidation(&["c"]), "around the interlay");

        // Once told, it is not told again before it has read again.
        ok(&mut other, "MSET a 3 b 3 c 3");
        assert_eq!(say(&mut cached, "ECHO x"), r"$1\r\nx\r\n");
        assert_eq!(say(&mut cached, "MGET a b"), r"*2\r\n$1\r\n3\r\n$1\r\n3\r\n");
        other.pipeline(&["MULTI", "INCR a", "DEL b", "EXEC"].map(line));
        let mut told = [cached.reply(), cached.reply()].map(|push| text(&push));
        told.sort();
        assert_eq!(told, [invalidation(&["a"]), invalidation(&["b"])], "in a transaction");
        ok(&mut cached, "CLIENT TRACKING OFF");
        ok(&mut other, "MSET a 4 b 4");
        assert_eq!(say(&mut cached, "GET a"), r"$1\r\n4\r\n");
        pair.settled();
    }
}

#[test]
fn flushes_invalidate_everything() {
    let pair = patient("source-authoritative");
    let mut cached = tracking(pair.interlay.conn(), "");
    say(&mut cached, "GET k");
    ok(&mut pair.interlay.conn(), "FLUSHALL");
    assert_eq!(text(&cached.reply()), r">2\r\n$10\r\ninvalidate\r\n_\r\n");
}

#[test]
fn invalidations_go_where_they_are_redirected() {
    let pair = patient("source-authoritative");
    let (mut cached, mut told) = (pair.interlay.conn(), pair.interlay.conn());
    let to = id(&mut told);
    assert!(say(&mut told, "SUBSCRIBE __redis__:invalidate").ends_with(r":1\r\n"));
    ok(&mut cached, &format!("CLIENT TRACKING ON REDIRECT {to}"));
    assert_eq!(say(&mut cached, "CLIENT GETREDIR"), format!(r":{to}\r\n"));
    for (n, mut writer) in [pair.interlay.conn(), pair.source.conn()].into_iter().enumerate() {
        say(&mut cached, "GET k");
        ok(&mut writer, &format!("SET k {n}"));
        assert_eq!(words(&told.reply()), ["message", "__redis__:invalidate", "k"]);
    }
    say(&mut cached, "GET k");
    ok(&mut cached, "SET k own");
    assert_eq!(words(&told.reply()), ["message", "__redis__:invalidate", "k"]);
    assert_eq!(say(&mut cached, "ECHO x"), r"$1\r\nx\r\n", "nothing comes to who has redirected it");
}

#[test]
fn broadcast_tells_of_its_prefixes_only() {
    let pair = patient("source-authoritative");
    let mut cached = tracking(pair.interlay.conn(), " BCAST PREFIX user: PREFIX item:");
    let (mut other, mut around) = (pair.interlay.conn(), pair.source.conn());
    for (is_around, key) in [(false, "user:1"), (true, "item:1"), (false, "item:2")] {
        let conn = if is_around { &mut around } else { &mut other };
        ok(conn, &format!("SET else{key} v"));
        ok(conn, &format!("SET {key} v"));
        assert_eq!(text(&cached.reply()), invalidation(&[key]));
    }
    ok(&mut cached, "SET user:own v");
    assert_eq!(text(&cached.reply()), invalidation(&["user:own"]));

    let mut quiet = tracking(pair.interlay.conn(), " BCAST NOLOOP");
    ok(&mut quiet, "SET user:quiet v");
    assert_eq!(say(&mut quiet, "ECHO x"), r"$1\r\nx\r\n");
    assert_eq!(text(&cached.reply()), invalidation(&["user:quiet"]));
}

/// What a client keeps of what it has read.
struct Cache {
    conn: Conn,
    values: BTreeMap<String, String>,
}

impl Cache {
    /// Asks, and heeds the invalidations that come before the answer.
    fn ask(&mut self, request: &str) -> Vec<u8> {
        self.conn.send(line(request));
        loop {
            let reply = self.conn.reply();
            if reply.first() != Some(&b'>') {
                return reply;
            }
            words(&reply)[1..].iter().for_each(|key| _ = self.values.remove(key));
        }
    }
}

#[test]
fn caches_of_many_clients_are_right_once_writers_rest() {
    let rng = Rng::printed();
    let pair = patient("source-authoritative");
    let over = AtomicBool::new(false);
    let key = |rng: &mut Rng| format!("k{}", rng.below(6));
    let mut caches: Vec<Cache> = std::thread::scope(|scope| {
        let ends = EndsWith(&over);
        let caches: Vec<_> = (0..6)
            .map(|n| (n, rng.fork(n)))
            .map(|(n, mut rng)| {
                let conn = tracking(pair.interlay.conn(), ["", " NOLOOP", " BCAST"][n as usize % 3]);
                let mut cache = Cache { conn, values: BTreeMap::new() };
                let over = &over;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let key = key(&mut rng);
                        let value = words(&cache.ask(&format!("GET {key}"))).join("");
                        cache.values.insert(key, value);
                    }
                    cache
                })
            })
            .collect();
        let writers: Vec<_> = (0..4)
            .map(|n| (n, rng.fork(100 + n)))
            .map(|(n, mut rng)| {
                let mut conn = if n == 3 { pair.source.conn() } else { pair.interlay.conn() };
                scope.spawn(move || {
                    for _ in 0..300 {
                        let reply = conn.call(["INCR", &key(&mut rng)]);
                        assert!(!is_error(&reply), "{}", text(&reply));
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
        drop(ends);
        caches.into_iter().map(|cache| cache.join().expect("a cache")).collect()
    });
    let mut direct = pair.source.conn();
    for (n, cache) in caches.iter_mut().enumerate() {
        cache.ask("ECHO x");
        for (key, value) in &cache.values {
            assert_eq!(words(&direct.call(["GET", key])).join(""), *value, "cache {n}, {key}");
        }
    }
}

#[test]
fn write_behind_a_read_that_waits_holds_nobody_up() {
    let pair = patient("source-authoritative");
    let mut cached = tracking(pair.interlay.conn(), " BCAST PREFIX none:");
    let mut other = pair.interlay.conn();
    cached.send([line("XREAD BLOCK 0 STREAMS s $"), line("SET mine v")].concat());
    for n in 0..100 {
        ok(&mut other, &format!("SET other {n}"));
    }
    assert_eq!(say(&mut other, "EXISTS mine"), r":0\r\n", "what is behind waits");
    other.request(["XADD", "s", "1-1", "f", "v"]);
    assert!(text(&other.reply()).contains("1-1"));
    assert!(text(&cached.reply()).contains("1-1"));
    assert_eq!(text(&cached.reply()), r"+OK\r\n");
    pair.settled();
    assert_eq!((pair.interlay.number("dirty_keys"), pair.interlay.number("mismatches")), (0, 0));
}
