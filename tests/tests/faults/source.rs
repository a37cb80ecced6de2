//! The source goes down, comes back, or stops for a while. It is the authority, so clients notice; but they are told
//! what happened, at once, and what may have been applied.

use interlay_tests::{Conn, Data, Interlay, Load, Pair, Rng, Server, eventually, mix, text};

use super::checks::{DOCUMENTED, UNKNOWN, connected, held, write};

#[test]
fn source_down_at_the_start_is_said_at_once_and_recovers_by_itself() {
    let (mut source, target) = (Server::start(), Server::start());
    source.kill();
    let interlay = Interlay::mirroring(&source, &target).expect_warnings().unready().start();
    let mut conn = interlay.conn();
    for request in [&["GET", "k"][..], &["SET", "k", "v"], &["PING"], &["SELECT", "1"], &["HELLO", "3"], &["NOSUCH"]] {
        assert_eq!(text(&conn.call(request)), text(DOCUMENTED[0].as_bytes()), "{request:?}");
    }
    assert_eq!(conn.call(["CLIENT", "SETNAME", "me"]), b"+OK\r\n", "what needs no server works");
    assert_eq!(interlay.get("/readyz").code, 503);
    source.restart(Data::Lost);
    connected(&interlay, "source", true);
    assert_eq!(conn.call(["SET", "k", "v"]), b"+OK\r\n");
    assert_eq!(interlay.get("/readyz").code, 200);
    interlay.settled();
    assert_eq!(target.call(["GET", "k"]), b"$1\r\nv\r\n");
}

#[test]
fn requests_under_way_at_a_kill_get_an_answer_that_says_what_may_have_happened() {
    let mut pair = Pair::with_warnings("source-authoritative", &[]);
    let before = pair.interlay.number("counters.requests");
    pair.source.freeze();
    let mut conn = pair.interlay.conn();
    conn.send([&["SET", "k", "v"][..], &["GET", "k"], &["INCR", "n"], &["PING"]].map(Conn::encode).concat());
    eventually("the requests are on the lane", || pair.interlay.number("counters.requests") == before + 4);
    pair.source.kill();
    let read_lost = DOCUMENTED[2];
    for expected in [UNKNOWN, read_lost, UNKNOWN, read_lost] {
        assert_eq!(text(&conn.reply()), text(expected.as_bytes()));
    }
    connected(&pair.interlay, "source", false);
    assert_eq!(text(&conn.call(["INCR", "n"])), text(DOCUMENTED[0].as_bytes()));
    assert_eq!(pair.interlay.number("dirty_keys"), 2, "both writes may have been applied");
    pair.source.restart(Data::Lost);
    connected(&pair.interlay, "source", true);
    assert_eq!(conn.call(["INCR", "n"]), b":1\r\n", "nothing was tried again");
    pair.assert_equal();
}

#[test]
fn requests_that_were_never_sent_are_told_so() {
    let mut pair = Pair::with_warnings("source-authoritative", &[]);
    pair.source.freeze();
    let mut conn = pair.interlay.conn();
    let large = "x".repeat(100_000);
    // 40 MB: more than the sockets on the way take, less than the backlog's bound.
    conn.send(Conn::encode(["SET", "k", &large]).repeat(400));
    eventually("the requests are on the lane", || pair.interlay.number("counters.requests") >= 400);
    pair.source.kill();
    let replies: Vec<_> = (0..400).map(|_| text(&conn.reply())).collect();
    let count = |answer: &str| replies.iter().filter(|reply| **reply == text(answer.as_bytes())).count();
    let (unknown, unsent) = (count(UNKNOWN), count(DOCUMENTED[1]));
    assert_eq!(unknown + unsent, 400, "{replies:#?}");
    assert!(unknown > 0 && unsent > 0, "{unknown} may have been applied, {unsent} were not");
    assert!(replies[..unknown].iter().all(|reply| *reply == text(UNKNOWN.as_bytes())), "what was sent was sent in order");
}

#[test]
fn clients_outlive_a_source_that_is_killed_under_load_and_comes_back() {
    let rng = Rng::printed();
    let mut pair = Pair::with_warnings("source-authoritative", &["--reconnect-backoff-max-ms", "50"]);
    let load = Load::start(pair.interlay.port(), 10, &rng, mix::read_or_write);
    for round in 1..=3 {
        load.go_on_for(2_000);
        pair.source.kill();
        load.go_on_for(1_000);
        pair.source.restart(Data::Lost);
        eventually("the lane was lost", || pair.interlay.number("counters.lane_losses") == round);
        connected(&pair.interlay, "source", true);
    }
    load.go_on_for(2_000);
    let mut errors = load.stop();
    errors.retain(|error, _| error.contains("interlay") && !DOCUMENTED.iter().any(|answer| *error == text(answer.as_bytes())));
    assert!(errors.is_empty(), "undocumented answers: {errors:#?}");
    write(&mut pair.interlay.conn(), "after", "v", 100);
    pair.assert_equal();
    assert_eq!([&pair.source, &pair.target].map(|server| held(server, "after", "v", 100)), [100, 100]);
}

#[test]
fn source_that_stops_for_a_while_delays_and_loses_nothing() {
    let rng = Rng::printed();
    let pair = Pair::start("source-authoritative");
    let load = Load::start(pair.interlay.port(), 10, &rng, mix::write);
    for _ in 0..3 {
        load.go_on_for(1_000);
        pair.source.freeze();
        eventually("every client waits", || pair.interlay.number("lag_effects") == 0);
        pair.source.thaw();
    }
    load.go_on_for(1_000);
    load.stop_without_errors();
    pair.assert_in_step();
}

#[test]
fn one_server_by_two_names_is_served_and_written_once() {
    let server = Server::start();
    let other_name = format!("redis://localhost:{}", server.port());
    let interlay = Interlay::passthrough(&server).args(["--target", &other_name]).expect_warnings().unready().start();
    eventually("one lane is refused, and the other is connected", || {
        let status = interlay.status();
        let connected = ["source", "target"].map(|side| status[side]["connected"] == true);
        connected == [true, false]
            && status["target"]["last_error"].as_str().is_some_and(|error| error.contains("this server is the source too"))
    });
    assert_eq!(interlay.conn().call(["INCR", "n"]), b":1\r\n");
    assert_eq!(server.call(["GET", "n"]), b"$1\r\n1\r\n");
}
