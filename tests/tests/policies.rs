//! Each write policy does what DESIGN.md says of it, and the policy can be changed under load.

use interlay_tests::{Conn, Data, Interlay, Load, Pair, Rng, Server, eventually, mix, text};
use serde_json::json;

/// Ends the target, and waits until the interlay knows.
fn lose_target(pair: &mut Pair) {
    pair.target.kill();
    eventually("the target's loss is noticed", || pair.interlay.status()["target"]["connected"] == false);
}

/// Lets the server refuse every write that could need memory.
fn fill(server: &Server) {
    assert_eq!(server.call(["CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1"]), b"+OK\r\n");
    assert!(server.call(["SET", "k", "v"]).starts_with(b"-OOM"));
}

#[test]
fn both_required_write_succeeds_only_when_it_is_on_both() {
    let pair = Pair::start("both-required");
    let (mut conn, mut target) = (pair.interlay.conn(), pair.target.conn());
    for n in 0..500 {
        assert_eq!(conn.call(["SET", "k", &n.to_string()]), b"+OK\r\n");
        let there = target.call(["GET", "k"]);
        assert_eq!(text(&there), text(format!("${}\r\n{n}\r\n", n.to_string().len()).as_bytes()));
    }
    pair.assert_in_step();
}

#[test]
fn both_required_write_is_refused_before_the_source_sees_it_while_the_target_is_down() {
    let mut pair = Pair::with_warnings("both-required", &[]);
    lose_target(&mut pair);
    let mut conn = pair.interlay.conn();
    let refused = conn.call(["SET", "k", "v"]);
    assert!(refused.starts_with(b"-ERR interlay: target unavailable and the policy is both-required"), "{}", text(&refused));
    assert_eq!((pair.source.call(["EXISTS", "k"]), pair.source.calls_of("set")), (b":0\r\n".to_vec(), 0));
    assert_eq!((pair.interlay.number("counters.refused_writes"), pair.interlay.number("dirty_keys")), (1, 0));
    assert_eq!(conn.call(["GET", "k"]), b"$-1\r\n", "reads go on");
}

#[test]
fn both_required_write_that_the_target_refuses_gets_a_named_error_and_a_dirty_key() {
    let pair = Pair::start("both-required");
    fill(&pair.target);
    let mut conn = pair.interlay.conn();
    let failed = conn.call(["SET", "k", "v"]);
    assert!(failed.starts_with(b"-ERR interlay: the target refused a write that the source has applied"), "{}", text(&failed));
    assert_eq!(pair.source.call(["GET", "k"]), b"$1\r\nv\r\n");
    assert_eq!((pair.interlay.number("counters.failed_writes"), pair.interlay.number("dirty_keys")), (1, 1));

    // Its copy is refused as well. While no key can be copied for such a reason, the source does not get the next write.
    eventually("the next write is not tried", || {
        let refused = conn.call(["SET", "k", "w"]);
        let late = refused.starts_with(b"-ERR interlay: the target refused a write that the source has applied");
        assert!(late || refused.starts_with(b"-ERR interlay: a key of this write may differ on the target"), "{}", text(&refused));
        !late
    });
    assert_eq!(pair.target.call(["CONFIG", "SET", "maxmemory", "0"]), b"+OK\r\n");
    pair.assert_equal();
    assert_eq!(conn.call(["SET", "k", "x"]), b"+OK\r\n");
    assert_eq!(pair.target.call(["GET", "k"]), b"$1\r\nx\r\n");
}

/// A script that sets its key to its argument.
const SETS: &str = "return redis.call('SET', KEYS[1], ARGV[1])";

#[test]
fn both_required_write_that_cannot_be_repeated_is_on_both_when_it_is_answered() {
    let pair = Pair::start("both-required");
    let (mut conn, mut target) = (pair.interlay.conn(), pair.target.conn());
    for n in 0..100 {
        let (value, popped) = (format!("{n}"), format!("popped{n}"));
        assert_eq!(text(&conn.call(["SETEX", "brief", "1000", &value])), text(b"+OK\r\n"));
        assert_eq!(text(&conn.call(["EVAL", SETS, "1", "script", &value])), text(b"+OK\r\n"));
        conn.call(["SADD", &popped, "a", "b", "c"]);
        assert!(conn.call(["SPOP", &popped]).starts_with(b"$1\r\n"));
        for key in ["brief", "script"] {
            assert_eq!(text(&target.call(["GET", key])), text(format!("${}\r\n{value}\r\n", value.len()).as_bytes()), "{key}");
        }
        assert_eq!(target.call(["SCARD", &popped]), b":2\r\n");
    }
    pair.assert_in_step();
}

#[test]
fn both_required_refuses_a_script_that_does_not_say_its_keys() {
    let pair = Pair::start("both-required");
    let refused = pair.interlay.conn().call(["EVAL", "return redis.call('SET', 'k', 'v')", "0"]);
    assert!(refused.starts_with(b"-ERR interlay: this write cannot be repeated exactly on the target"), "{}", text(&refused));
    assert_eq!(pair.source.call(["EXISTS", "k"]), b":0\r\n");
}

#[test]
fn best_effort_failures_are_counted_and_forgotten() {
    let mut pair = Pair::with_warnings("best-effort", &[]);
    fill(&pair.target);
    let mut conn = pair.interlay.conn();
    assert_eq!(conn.call(["SET", "k", "v"]), b"+OK\r\n");
    pair.settled();
    assert_eq!((pair.interlay.number("counters.forgotten"), pair.interlay.number("dirty_keys")), (1, 0));

    lose_target(&mut pair);
    assert_eq!(conn.call(["SET", "k", "w"]), b"+OK\r\n");
    assert_eq!((pair.interlay.number("counters.forgotten"), pair.interlay.number("dirty_keys")), (2, 0));
    assert_eq!(pair.source.call(["GET", "k"]), b"$1\r\nw\r\n");
}

#[test]
fn source_authoritative_clients_do_not_notice_that_the_target_is_down() {
    let rng = Rng::printed();
    let mut pair = Pair::with_warnings("source-authoritative", &[]);
    let load = Load::start(pair.interlay.port(), 20, &rng, mix::read_or_write);
    load.go_on_for(5_000);
    lose_target(&mut pair);
    load.go_on_for(20_000);
    load.stop_without_errors();
    assert!(pair.interlay.number("dirty_keys") > 0 && pair.interlay.number("counters.skipped_down") > 0);
    pair.target.restart(Data::Lost);
    eventually("the target is back", || pair.interlay.status()["target"]["connected"] == true);
    pair.assert_equal();
}

#[test]
fn target_authoritative_reply_is_the_target_s() {
    let pair = Pair::start("target-authoritative");
    pair.source.call(["MSET", "k", "on the source", "n", "1"]);
    pair.target.call(["MSET", "k", "on the target", "n", "41"]);
    let mut conn = pair.interlay.conn();
    assert_eq!(conn.call(["GET", "k"]), b"$13\r\non the target\r\n");
    assert_eq!(conn.call(["INCR", "n"]), b":42\r\n");
    pair.settled();
    // The source has said 2: the key differed, and was copied.
    assert_eq!((pair.interlay.number("mismatches"), pair.interlay.number("repairs")), (1, 1));
    assert_eq!(pair.source.call(["GET", "n"]), b"$2\r\n42\r\n");
}

#[test]
fn policies_change_under_load_without_an_error_to_any_client() {
    let rng = Rng::printed();
    let pair = Pair::start("source-authoritative");
    let load = Load::start(pair.interlay.port(), 20, &rng, mix::read_or_write);
    let policies = ["both-required", "target-authoritative", "best-effort", "source-authoritative"];
    for round in 0..4 {
        let there_and_back = policies.iter().chain(policies.iter().rev().skip(1));
        for (step, policy) in there_and_back.enumerate() {
            load.go_on_for(1_000);
            if (round + step) % 2 == 0 {
                pair.interlay.policy(policy);
            } else {
                let said = pair.interlay.cli(&["policy", policy]);
                assert_eq!((said.code, said.stdout.trim_end()), (0, &*format!("the policy is {policy}")), "{said:?}");
            }
            assert_eq!(pair.interlay.status()["policy"], *policy);
        }
        pair.interlay.policy("source-authoritative");
    }
    load.go_on_for(1_000);
    load.stop_without_errors();
    assert!(pair.interlay.status()["last_pause_ms"].is_u64());
    pair.assert_in_step();
}

#[test]
fn pause_is_reported_after_a_change_of_authority_only() {
    let pair = Pair::start("source-authoritative");
    pair.interlay.policy("both-required");
    assert!(pair.interlay.status()["last_pause_ms"].is_null());
    pair.interlay.policy("target-authoritative");
    let status = pair.interlay.status();
    assert!(status["last_pause_ms"].is_u64() && status["authority"] == "target", "{status:#}");
}

/// A change of authority is refused for this reason, by the API and by the CLI, and nothing changes.
fn assert_refused(interlay: &Interlay, reason: &str) {
    let answer = interlay.put("/api/v1/policy", &json!({"policy": "target-authoritative"}));
    let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
    assert!(answer.code == 409 && error.contains(reason), "{answer:?}");
    let said = interlay.cli(&["policy", "target-authoritative"]);
    assert!(said.code == 1 && said.stderr.contains(reason), "{said:?}");
    let status = interlay.status();
    assert_eq!((&status["policy"], &status["authority"]), (&json!("source-authoritative"), &json!("source")));
}

#[test]
fn change_of_authority_is_refused_while_keys_are_dirty() {
    let pair = Pair::start("source-authoritative");
    pair.refuse_copies();
    assert_eq!(pair.interlay.conn().call(["EVAL", SETS, "1", "k", "v"]), b"+OK\r\n");
    assert_refused(&pair.interlay, "keys are dirty");
    let said = pair.interlay.cli(&["policy", "target-authoritative", "--force"]);
    assert_eq!((said.code, pair.interlay.status()["authority"].as_str()), (0, Some("target")), "{said:?}");
}

#[test]
fn change_of_authority_is_refused_while_the_target_is_down() {
    let mut pair = Pair::with_warnings("source-authoritative", &[]);
    lose_target(&mut pair);
    assert_refused(&pair.interlay, "the target is not connected");
}

#[test]
fn policies_that_need_a_target_are_refused_without_one() {
    let source = Server::start();
    let interlay = Interlay::passthrough(&source).start();
    for policy in ["both-required", "target-authoritative"] {
        let answer = interlay.put("/api/v1/policy", &json!({"policy": policy}));
        assert!(answer.code == 409 && answer.body.contains("there is no target"), "{answer:?}");
    }
}

#[test]
fn change_of_authority_is_refused_after_the_target_has_restarted() {
    // The source cannot be scanned, or the target would have got all of it in no time.
    let (source, target) = (Server::start(), Server::start());
    assert_eq!(source.call(["ACL", "SETUSER", "default", "-scan"]), b"+OK\r\n");
    let interlay = Interlay::mirroring(&source, &target).expect_warnings().start();
    let mut pair = Pair { interlay, source, target };
    assert_eq!(pair.interlay.conn().call(["SET", "k", "v"]), b"+OK\r\n");
    pair.settled();
    lose_target(&mut pair);
    pair.target.restart(Data::Lost);
    eventually("the target is back", || pair.interlay.status()["target"]["connected"] == true);
    assert_refused(&pair.interlay, "restarted");
    let forced = pair.interlay.put("/api/v1/policy", &json!({"policy": "target-authoritative", "force": true}));
    assert_eq!((forced.code, pair.interlay.status()["authority"].as_str()), (200, Some("target")), "{forced:?}");
}

#[test]
fn hello_with_credentials_is_answered_after_a_change_of_authority_that_held_it_up() {
    let pair = Pair::with_warnings("source-authoritative", &["--max-pause-ms", "1500", "--effect-timeout-ms", "0"]);
    pair.target.freeze();
    let mut conn = pair.interlay.conn();
    assert_eq!(conn.call(["SET", "k", "v"]), b"+OK\r\n");
    std::thread::scope(|scope| {
        let change = scope.spawn(|| pair.interlay.put("/api/v1/policy", &json!({"policy": "target-authoritative"})));
        // What changes nothing is refused only while another change is under way.
        eventually("the change is under way", || {
            pair.interlay.put("/api/v1/policy", &json!({"policy": "source-authoritative"})).code == 409 || change.is_finished()
        });
        conn.send([&["HELLO", "3", "AUTH", "default", "pw"][..], &["PING"]].map(Conn::encode).concat());
        let hello = conn.reply();
        assert!(hello.starts_with(b"%"), "{}", text(&hello));
        assert_eq!(text(&conn.reply()), text(b"+PONG\r\n"));
        let change = change.join().expect("an answer");
        assert!(change.code == 409 && change.body.contains("could not be drained in time"), "{change:?}");
    });
    pair.target.thaw();
}
