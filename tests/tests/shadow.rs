//! Shadow reads: both sides are asked, and a difference is found, told and repaired; where there is none, none is found.

use interlay_tests::{Conn, Interlay, Load, Pair, Rng, Server, eventually, mix, text};
use serde_json::{Value, json};

/// Has hashes and sets kept in hash tables from the second element on, so that each server has an order of its own.
const TABLES: [&str; 4] = ["--hash-max-ziplist-entries", "1", "--set-max-intset-entries", "0"];

fn compare(interlay: &Interlay, percent: u64) {
    let answer = interlay.put("/api/v1/traffic", &json!({"shadow_percent": percent, "force": true}));
    assert_eq!((answer.code, &answer.json()["shadow_percent"]), (200, &json!(percent)), "{answer:?}");
}

fn pair_with_tables() -> Pair {
    let (source, target) = (Server::with_args(&TABLES), Server::with_args(&TABLES));
    let interlay = Interlay::mirroring(&source, &target).start();
    Pair { interlay, source, target }
}

/// Waits until so many reads were compared or found to be beyond that.
fn compared(interlay: &Interlay, reads: u64) -> Value {
    eventually("reads are compared", || {
        let status = interlay.status();
        let count = |name: &str| status["counters"][name].as_u64().expect("a counter");
        count("shadow_reads") + count("shadow_skipped") >= reads && interlay.get("/api/v1/shadow").code == 200
    });
    interlay.get("/api/v1/shadow").json()
}

/// A write, or as often a read of all that a key holds.
fn reads_of_everything(rng: &mut Rng) -> Vec<Vec<u8>> {
    if rng.below(2) == 0 {
        return mix::write(rng);
    }
    let (one, other) = (rng.below(4), rng.below(4));
    let line = match rng.below(24) {
        0 => format!("MGET s{one} s{other}"),
        1 => format!("LRANGE l{one} 0 -1"),
        2 | 3 => format!("SMEMBERS u{one}"),
        4 => format!("SINTER u{one} u{other}"),
        5 => format!("SUNION u{one} u{other}"),
        6 => format!("SDIFF u{one} u{other}"),
        7 | 8 => format!("HGETALL h{one}"),
        9 => format!("HKEYS h{one}"),
        10 => format!("HVALS h{one}"),
        11 => format!("ZRANGE z{one} 0 -1 WITHSCORES"),
        12 => format!("ZSCORE z{one} m1"),
        13 => format!("XRANGE x{one} - +"),
        14 => format!("EXISTS s{one} h{other}"),
        15 => format!("TYPE u{one}"),
        16 => format!("PEXPIRETIME s{one}"),
        17 => format!("TTL s{one}"),
        18 => format!("SRANDMEMBER u{one} 2"),
        19 => format!("GET p{one}"),
        20 => format!("SET e{one} {other} PX 15"),
        21 => format!("GET e{one}"),
        22 => format!("XINFO STREAM x{one}"),
        _ => format!("GET s{one}"),
    };
    line.split(' ').map(|arg| arg.as_bytes().to_vec()).collect()
}

#[test]
fn nothing_is_found_while_twenty_clients_write_and_read() {
    let pair = pair_with_tables();
    compare(&pair.interlay, 100);
    let load = Load::start(pair.interlay.port(), 20, &Rng::printed(), reads_of_everything);
    load.go_on_for(10_000);
    for percent in [50, 100, 0] {
        pair.interlay.split(percent);
        load.go_on_for(2_000);
    }
    load.stop_without_errors();
    // A time to live begins when each server reads it, so that these keys may be gone on one side and not yet on the other.
    for (server, db) in [&pair.source, &pair.target].into_iter().flat_map(|server| ["0", "1", "2", "9"].map(|db| (server, db))) {
        let mut conn = server.conn();
        conn.call(["SELECT", db]);
        eventually("what expires has expired", || conn.call(["EXISTS", "e0", "e1", "e2", "e3"]) == b":0\r\n");
    }
    pair.assert_equal();
    let shadow = pair.interlay.get("/api/v1/shadow").json();
    assert_eq!((&shadow["shadow_mismatches"], &shadow["mismatches"]), (&json!(0), &json!([])), "{shadow:#}");
    assert!(shadow["shadow_reads"].as_u64() > Some(2_000), "{shadow:#}");
}

#[test]
fn sets_and_hashes_are_equal_whatever_their_order() {
    let pair = pair_with_tables();
    let mut conn = pair.interlay.conn();
    let numbers: Vec<String> = (0..300).map(|number| format!("m{number}")).collect();
    let with = |head: [&str; 2]| head.iter().map(ToString::to_string).chain(numbers.iter().cloned()).collect::<Vec<_>>();
    assert_eq!(conn.call(with(["SADD", "set"])), b":300\r\n");
    assert_eq!(conn.call(with(["SADD", "other"])), b":300\r\n");
    assert_eq!(conn.call(with(["HSET", "hash"])), b":150\r\n");
    pair.settled();
    let reads = [
        &["SMEMBERS", "set"][..],
        &["SINTER", "set", "other"],
        &["SUNION", "set", "other"],
        &["HGETALL", "hash"],
        &["HKEYS", "hash"],
        &["HVALS", "hash"],
    ];
    for read in reads {
        assert_ne!(text(&pair.source.call(read)), text(&pair.target.call(read)), "{read:?} shows an order of the server's own");
    }
    compare(&pair.interlay, 100);
    for proto in ["2", "3"] {
        conn.call(["HELLO", proto]);
        reads.iter().for_each(|read| drop(conn.call(*read)));
    }
    let shadow = compared(&pair.interlay, 12);
    assert_eq!((&shadow["shadow_reads"], &shadow["shadow_mismatches"]), (&json!(12), &json!(0)), "{shadow:#}");
    pair.assert_in_step();
}

#[test]
fn what_was_changed_on_the_target_alone_is_found_told_and_repaired() {
    let pair = Pair::start("source-authoritative");
    let mut conn = pair.interlay.conn();
    for write in [
        &["SET", "text", "v"][..],
        &["HSET", "hash", "f", "v"],
        &["SADD", "set", "a", "b"],
        &["ZADD", "zset", "1", "m"],
        &["SET", "gone", "v"],
    ] {
        conn.call(write);
    }
    pair.settled();
    for change in
        [&["SET", "text", "other"][..], &["HSET", "hash", "f", "w"], &["SADD", "set", "c"], &["ZADD", "zset", "2", "m"], &["DEL", "gone"]]
    {
        pair.target.call(change);
    }
    compare(&pair.interlay, 100);
    let reads = [
        (&["GET", "text"][..], "get"),
        (&["HGETALL", "hash"], "hgetall"),
        (&["SMEMBERS", "set"], "smembers"),
        (&["ZRANGE", "zset", "0", "-1", "WITHSCORES"], "zrange"),
        (&["MGET", "gone"], "mget"),
    ];
    for (read, _) in reads {
        assert_eq!(conn.call(read), pair.source.call(read), "the client gets the source's answer");
    }
    eventually("each difference is found", || pair.interlay.number("counters.shadow_mismatches") == reads.len() as u64);
    let shadow = pair.interlay.get("/api/v1/shadow").json();
    let listed = shadow["mismatches"].as_array().expect("a list");
    for ((read, name), found) in reads.iter().zip(listed) {
        assert_eq!((&found["command"], &found["key"], &found["db"]), (&json!(name), &json!(read[1]), &json!(0)), "{shadow:#}");
    }
    assert_eq!((&listed[0]["source"], &listed[0]["target"]), (&json!(r"$1\r\nv\r\n"), &json!(r"$5\r\nother\r\n")));
    pair.assert_equal();
    assert_eq!(pair.target.call(["GET", "text"]), b"$1\r\nv\r\n");
    reads.iter().for_each(|(read, _)| drop(conn.call(*read)));
    compared(&pair.interlay, 2 * reads.len() as u64);
    assert_eq!(pair.interlay.number("counters.shadow_mismatches"), reads.len() as u64, "once repaired there is no difference");
    assert_eq!(pair.interlay.number("shadow_mismatches_by_command.get"), 1);
}

#[test]
fn dirty_keys_and_reads_left_to_chance_are_not_compared() {
    let pair = Pair::start("source-authoritative");
    pair.refuse_copies();
    let mut conn = pair.interlay.conn();
    conn.call(["EVAL", "return redis.call('SET', KEYS[1], 'v')", "1", "dirty"]);
    conn.call(["SADD", "set", "a", "b", "c"]);
    compare(&pair.interlay, 100);
    for read in
        [&["GET", "dirty"][..], &["MGET", "clean", "dirty"], &["SRANDMEMBER", "set"], &["TTL", "set"], &["OBJECT", "ENCODING", "set"]]
    {
        conn.call(read);
    }
    // A read behind a copy that is then refused is sent, and not compared.
    eventually("none is compared", || pair.interlay.number("counters.shadow_skipped") == 5);
    assert_eq!(pair.interlay.number("counters.shadow_mismatches"), 0);
    pair.take_copies();
    pair.assert_in_step();
}

#[test]
fn a_part_of_the_reads_is_compared_and_none_by_itself() {
    let pair = Pair::start("source-authoritative");
    let mut conn = pair.interlay.conn();
    conn.call(["SET", "k", "v"]);
    let refused = pair.interlay.cli(&["traffic", "--shadow", "10"]);
    assert!(refused.code == 1 && refused.stderr.contains("not every key was copied"), "{refused:?}");
    let gets = vec![Conn::encode(["GET", "k"]); 1000];
    conn.pipeline(&gets);
    assert_eq!(pair.target.calls_of("get"), 0);
    let said = pair.interlay.cli(&["traffic", "--shadow", "10", "--force"]);
    assert_eq!((said.code, said.stdout.trim_end()), (0, "0 % of the reads go to the target; 10 % are answered by both sides and compared"));
    conn.pipeline(&gets);
    pair.settled();
    let status = pair.interlay.status();
    let taken = ["shadow_reads", "shadow_skipped"].map(|name| status["counters"][name].as_u64().expect("a counter")).iter().sum::<u64>();
    assert!((50..200).contains(&taken), "{status:#}");
    assert_eq!(status["counters"]["shadow_mismatches"], 0);
}
