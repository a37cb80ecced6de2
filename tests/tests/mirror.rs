//! Whatever many connections write at the same time, both servers end up with the same; what cannot be mirrored is
//! known as dirty, and copied.

use interlay_tests::{Load, Mix, Pair, Rng, assert_equal, digest, eventually, is_error, mix, text};

/// 50 connections write with `mix` until `requests` are answered; then both servers hold the same.
fn stays_in_step(policy: &str, mix: Mix, requests: u64) {
    let rng = Rng::printed();
    let pair = Pair::start(policy);
    let load = Load::start(pair.interlay.port(), 50, &rng, mix);
    load.go_on_for(requests);
    load.stop_without_errors();
    pair.assert_in_step();
    // On a busy machine replies come late, so that writes of deadlines are copied instead.
    let mirrored = pair.interlay.number("counters.effects") + pair.interlay.number("counters.skipped_dirty");
    assert!(mirrored > requests / 10, "{:#}", pair.interlay.status());
}

#[test]
fn source_authoritative_writes_leave_both_servers_equal() {
    stays_in_step("source-authoritative", mix::write, 200_000);
}

#[test]
fn target_authoritative_writes_leave_both_servers_equal() {
    stays_in_step("target-authoritative", mix::write, 200_000);
}

#[test]
fn both_required_writes_leave_both_servers_equal() {
    stays_in_step("both-required", mix::write, 200_000);
}

#[test]
fn best_effort_writes_leave_both_servers_equal() {
    stays_in_step("best-effort", mix::write, 200_000);
}

#[test]
fn flushed_swapped_and_moved_keys_leave_both_servers_equal() {
    stays_in_step("source-authoritative", mix::write_or_flush, 200_000);
}

#[test]
fn writes_of_every_type_are_mirrored() {
    let pair = Pair::start("source-authoritative");
    let mut conn = pair.interlay.conn();
    for line in [
        "SET string v PXAT 4102444800000",
        "RPUSH list a b c",
        "SADD set a b c",
        "HSET hash f v",
        "ZADD zset 1 a 2 b",
        "XADD stream 1-1 f v",
        "PFADD hyperloglog a",
        "GEOADD geo 13.4 52.5 berlin",
        "SETBIT bits 7 1",
    ] {
        let reply = conn.call(line.split(' '));
        assert!(reply.starts_with(b"+OK") || reply.starts_with(b":") || reply.starts_with(b"$"), "{line}: {}", text(&reply));
    }
    pair.assert_in_step();
    assert_eq!(pair.target.call(["DBSIZE"]), b":9\r\n");
}

#[test]
fn writes_that_depend_on_chance_or_the_clock_are_mirrored() {
    let pair = Pair::start("source-authoritative");
    let mut conn = pair.interlay.conn();
    assert_eq!(conn.call(["SADD", "popped", "a", "b", "c"]), b":3\r\n");
    for line in ["SPOP popped", "SETEX expiring 1000 v", "EXPIRE popped 1000", "XADD stream * f v", "XADD stream * f w"] {
        let reply = conn.call(line.split(' '));
        assert!(!is_error(&reply), "{line}: {}", text(&reply));
    }
    // Deadlines may be a millisecond apart; of those the digest says nothing.
    pair.settled();
    assert_eq!((pair.interlay.number("mismatches"), digest(&pair.source)), (0, digest(&pair.target)));
    assert_eq!(pair.target.call(["DBSIZE"]), b":3\r\n");
}

#[test]
fn script_makes_its_keys_dirty_and_no_other_until_they_are_copied() {
    let pair = Pair::start("source-authoritative");
    pair.refuse_copies();
    let mut conn = pair.interlay.conn();
    let keys = ["script1", "script2", "clean1", "clean2"];
    conn.call(["EVAL", "return redis.call('MSET', KEYS[1], 1, KEYS[2], 2)", "2", "script1", "script2"]);
    conn.call(["MSET", "clean1", "v", "clean2", "v"]);
    eventually("both keys cannot be copied", || pair.interlay.number("error_keys") == 2);
    assert_eq!((pair.interlay.number("dirty_keys"), pair.interlay.number("counters.skipped_unrepeatable")), (2, 1));

    pair.interlay.split(100);
    let mut read_on_target = || {
        keys.map(|key| {
            let before = pair.target.calls_of("type");
            conn.call(["TYPE", key]);
            pair.target.calls_of("type") > before
        })
    };
    assert_eq!(read_on_target(), [false, false, true, true], "only clean keys are read on the target");
    pair.take_copies();
    assert_eq!(read_on_target(), [true; 4]);
    assert!(pair.interlay.number("repairs") >= 2);
    pair.assert_in_step();
}

#[test]
fn comparison_finds_a_write_made_around_the_interlay() {
    let pair = Pair::start("source-authoritative");
    pair.interlay.conn().call(["SET", "k", "v", "PXAT", "4102444800000"]);
    pair.assert_in_step();
    pair.target.call(["PEXPIREAT", "k", "4102444800001"]);
    assert_eq!(digest(&pair.source), digest(&pair.target), "the digest says nothing of when a key expires");
    let report = std::panic::catch_unwind(|| assert_equal(&pair.source, &pair.target)).unwrap_err();
    let report = report.downcast::<String>().unwrap();
    assert!(report.contains("differ in 1 keys") && report.contains("source string, expires 4102444800000, v"), "{report}");
}
