//! Transactions while the target is lost.

use interlay_tests::{Data, Interlay, Load, Pair, Rng, eventually, mix, text};

use super::scene::{line, ok, say, warned};

/// Whole transactions and interactive ones until `count` of both were answered without any error.
fn transactions(interlay: &Interlay, key: &str, count: usize) {
    let mut conn = interlay.conn();
    for n in 0..count {
        let replies =
            conn.pipeline(&["MULTI".to_owned(), format!("INCR {key}"), format!("RPUSH {key}s {n}"), "EXEC".to_owned()].map(|r| line(&r)));
        let last = text(&replies[3]);
        assert!(last.starts_with(r"*2\r\n:"), "{last}");
        ok(&mut conn, &format!("WATCH {key}"));
        ok(&mut conn, "MULTI");
        assert_eq!(say(&mut conn, &format!("INCR {key}")), r"+QUEUED\r\n");
        let last = say(&mut conn, "EXEC");
        assert!(last.starts_with(r"*1\r\n:") || last == r"*-1\r\n", "{last}");
    }
}

#[test]
fn source_authoritative_clients_do_not_notice_that_the_target_is_killed() {
    let rng = Rng::printed();
    let mut pair = warned("source-authoritative");
    let load = Load::start(pair.interlay.port(), 4, &rng, mix::read_or_write);
    let Pair { interlay, target, .. } = &mut pair;
    let interlay = &*interlay;
    std::thread::scope(|scope| {
        for n in 0..6 {
            scope.spawn(move || transactions(interlay, ["a", "b"][n % 2], 60));
        }
        load.go_on_for(500);
        target.kill();
        eventually("the target's loss is noticed", || interlay.status()["target"]["connected"] == false);
    });
    load.go_on_for(500);
    transactions(interlay, "c", 1);
    assert!(interlay.number("dirty_keys") >= 2, "{:#}", interlay.status());
    target.restart(Data::Lost);
    eventually("the target is back", || interlay.status()["target"]["connected"] == true);
    transactions(interlay, "d", 3);
    load.stop_without_errors();
    pair.assert_equal();
    assert_eq!(pair.target.call(["LLEN", "ds"]), b":3\r\n");
    assert_eq!(pair.target.call(["GET", "d"]), b"$1\r\n6\r\n");
}

#[test]
fn both_required_exec_is_refused_before_the_source_sees_it_while_the_target_is_down() {
    let mut pair = warned("both-required");
    let mut conn = pair.interlay.conn();
    ok(&mut conn, "SET k v");
    let mut early = pair.interlay.conn();
    ok(&mut early, "WATCH k");
    ok(&mut early, "MULTI");
    assert_eq!(say(&mut early, "SET k early"), r"+QUEUED\r\n");
    pair.target.kill();
    eventually("the target's loss is noticed", || pair.interlay.status()["target"]["connected"] == false);
    let refusal = "-ERR interlay: target unavailable and the policy is both-required; nothing was applied, try again";

    let refused = say(&mut early, "EXEC");
    assert!(refused.starts_with(refusal), "{refused}");
    assert_eq!(say(&mut early, "GET k"), r"$1\r\nv\r\n", "the transaction is over");
    ok(&mut early, "MULTI");
    assert_eq!(say(&mut early, "GET k"), r"+QUEUED\r\n");
    assert_eq!(say(&mut early, "EXEC"), r"*1\r\n$1\r\nv\r\n", "what only reads is carried out");

    let replies = conn.pipeline(&["MULTI", "SET k late", "EXEC", "GET k"].map(line));
    assert!(text(&replies[2]).starts_with(refusal), "{:?}", replies.iter().map(|reply| text(reply)).collect::<Vec<_>>());
    assert_eq!(text(&replies[3]), r"$1\r\nv\r\n");
    assert_eq!((pair.source.calls_of("set"), pair.interlay.number("dirty_keys")), (1, 0));

    pair.target.restart(Data::Lost);
    eventually("the target is back", || pair.interlay.status()["target"]["connected"] == true);
    for conn in [&mut early, &mut conn] {
        let replies = conn.pipeline(&["MULTI", "SET other v", "EXEC"].map(line));
        assert_eq!(text(&replies[2]), r"*1\r\n+OK\r\n");
    }
    assert_eq!(pair.target.call(["GET", "other"]), b"$1\r\nv\r\n");
    pair.assert_equal();
}
