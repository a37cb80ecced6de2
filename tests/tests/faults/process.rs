//! The interlay itself is ended, gently or not.

use interlay_tests::{Conn, Pair, Rng, digest, is_error, mix};
use std::thread;

use super::checks::write;

#[test]
fn killed_interlay_leaves_both_servers_usable_and_serves_again_at_once() {
    let mut pair = Pair::start("source-authoritative");
    let (port, rng) = (pair.interlay.port(), Rng::printed());
    let writers: Vec<_> = (0..10)
        .map(|writer| {
            let mut rng = rng.fork(writer);
            let mut conn = Conn::to(port);
            // Until the connection ends; no answer of Interlay's own comes before that.
            thread::spawn(move || {
                let mut replies = 0_u64;
                while conn.try_send(Conn::encode(mix::write(&mut rng))).is_ok() {
                    let Ok(reply) = conn.try_reply() else { break };
                    assert!(!is_error(&reply) || !reply.windows(8).any(|word| word == b"interlay"));
                    replies += 1;
                }
                replies
            })
        })
        .collect();
    interlay_tests::eventually("the load runs", || pair.interlay.number("counters.writes") > 2_000);
    pair.interlay.kill();
    let replies: u64 = writers.into_iter().map(|writer| writer.join().expect("no answer of its own")).sum();
    assert!(replies > 1_000);
    for server in [&pair.source, &pair.target] {
        assert_eq!(server.call(["FLUSHALL"]), b"+OK\r\n");
    }
    pair.interlay.restart();
    write(&mut pair.interlay.conn(), "k", "v", 100);
    pair.assert_in_step();
    assert_ne!(digest(&pair.source), "0".repeat(40));
}

#[test]
fn told_to_stop_it_does_not_wait_for_a_frozen_target_for_ever() {
    let mut pair = Pair::with_warnings("source-authoritative", &["--effect-timeout-ms", "0", "--shutdown-timeout-ms", "300"]);
    pair.target.freeze();
    write(&mut pair.interlay.conn(), "k", "v", 100);
    pair.interlay.ask_to_stop();
    assert!(pair.interlay.ended().success());
    assert!(pair.interlay.log().contains("stopped while the sides differ"), "{}", pair.interlay.log());
}

#[test]
fn told_to_stop_it_does_not_wait_for_a_client_that_does_not_read() {
    let mut pair = Pair::with_args("source-authoritative", &["--shutdown-timeout-ms", "300"]);
    let mut conn = pair.interlay.conn();
    assert_eq!(conn.call(["SET", "k", &"x".repeat(1 << 20)]), b"+OK\r\n");
    let before = pair.interlay.number("counters.requests");
    conn.send(Conn::encode(["GET", "k"]).repeat(50));
    interlay_tests::eventually("the reads are on the lane", || pair.interlay.number("counters.requests") == before + 50);
    pair.interlay.ask_to_stop();
    assert!(pair.interlay.ended().success());
}

#[test]
fn told_to_stop_it_lets_effects_under_way_reach_the_target() {
    let mut pair = Pair::start("source-authoritative");
    pair.target.freeze();
    let mut conn = pair.interlay.conn();
    write(&mut conn, "k", "v", 1_000);
    pair.interlay.ask_to_stop();
    pair.target.thaw();
    assert!(pair.interlay.ended().success());
    assert_eq!(digest(&pair.source), digest(&pair.target));
}

#[test]
fn told_to_stop_it_does_not_wait_for_half_a_request_to_the_admin_port() {
    let mut pair = Pair::start("source-authoritative");
    let mut operator = Conn::to(pair.interlay.admin_port());
    operator.send("GET /api/v1/sta");
    let _ = pair.interlay.status(); // the half request came before this one
    pair.interlay.ask_to_stop();
    assert!(pair.interlay.ended().success());
}

#[test]
fn told_to_stop_it_still_gives_its_status_while_it_waits_for_the_target() {
    let mut pair = Pair::with_args("source-authoritative", &["--effect-timeout-ms", "0"]);
    pair.target.freeze();
    let mut conn = pair.interlay.conn();
    write(&mut conn, "k", "v", 100);
    pair.interlay.ask_to_stop();
    assert_eq!(conn.rest(), b"", "the drain has begun");
    assert!(pair.interlay.number("lag_effects") == 100, "{:#}", pair.interlay.status());
    pair.target.thaw();
    assert!(pair.interlay.ended().success());
    assert_eq!(digest(&pair.source), digest(&pair.target));
}
