//! Differences that no reply shows: the other side answers as the one in charge did, or is not asked at all. Each of these was one.

use std::time::{Duration, Instant};

use interlay_tests::{Conn, Interlay, Pair, Server, digest, eventually, is_error, text};
use tempfile::TempDir;

/// Waits until all is settled; then both servers hold the same, keys with a deadline or without.
fn same(pair: &Pair) {
    pair.settled();
    assert_eq!(digest(&pair.source), digest(&pair.target), "{:#}", pair.interlay.status());
}

/// Keeps the server busy for half a second, in which it answers nothing.
fn busy() -> Vec<u8> {
    let script = "local function now() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end \
                  local since = now() while now() - since < 500 do end return 1";
    Conn::encode(["EVAL", script, "1", "busy"])
}

#[test]
fn time_to_live_that_has_run_out_behind_a_slow_reply_is_the_authoritys() {
    for transaction in [false, true] {
        let pair = Pair::start("source-authoritative");
        let mut conn = pair.interlay.conn();
        conn.call(["SADD", "s", "old"]);
        let expire = Conn::encode(["PEXPIRE", "s", "300"]);
        let mut requests = vec![expire, busy()];
        if transaction {
            requests.insert(0, Conn::encode(["MULTI"]));
            requests.push(Conn::encode(["EXEC"]));
        }
        // The set has expired by now on the source, and not on a target that counts from when the reply came.
        requests.push(Conn::encode(["SADD", "s", "new"]));
        let replies = conn.pipeline(&requests);
        assert!(replies.iter().all(|reply| !is_error(reply)), "{:?}", replies.iter().map(|reply| text(reply)).collect::<Vec<_>>());
        // Longer than either server lets the old set live.
        let since = Instant::now();
        eventually("both would have expired it", || since.elapsed() > Duration::from_millis(600));
        same(&pair);
        assert_eq!(pair.target.call(["SMEMBERS", "s"]), b"*1\r\n$3\r\nnew\r\n");
    }
}

#[test]
fn functions_that_the_target_has_refused_are_copied() {
    let pair = Pair::start("source-authoritative");
    let mut conn = pair.interlay.conn();
    assert_eq!(pair.target.call(["ACL", "SETUSER", "default", "-function"]), b"+OK\r\n");
    let library = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    assert_eq!(conn.call(["FUNCTION", "LOAD", library]), b"$3\r\nlib\r\n");
    // The lane's user may have none there: what differs is not Interlay's to mend, and it says so by the mismatch.
    eventually("the target has answered", || pair.interlay.number("mismatches") == 1);
    assert_eq!(pair.target.call(["ACL", "SETUSER", "default", "+function"]), b"+OK\r\n");
    assert_eq!(pair.interlay.cli(&["repair", "--all"]).code, 0);
    assert_eq!(pair.target.call(["FCALL", "f", "0"]), b":1\r\n");
}

#[test]
fn functions_loaded_while_the_target_is_full_are_copied_when_it_is_not() {
    let pair = Pair::start("source-authoritative");
    let mut conn = pair.interlay.conn();
    assert_eq!(pair.target.call(["CONFIG", "SET", "maxmemory", "1"]), b"+OK\r\n");
    let library = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    assert_eq!(conn.call(["FUNCTION", "LOAD", library]), b"$3\r\nlib\r\n");
    eventually("they are known to differ", || pair.interlay.number("dirty_keys") == 1);
    assert_eq!(pair.target.call(["CONFIG", "SET", "maxmemory", "0"]), b"+OK\r\n");
    pair.settled();
    assert_eq!(pair.target.call(["FCALL", "f", "0"]), b":1\r\n");
}

#[test]
fn write_that_fails_after_it_has_changed_something_is_mirrored() {
    let pair = Pair::start("source-authoritative");
    let mut conn = pair.interlay.conn();
    let members: Vec<String> = (0..20).map(|n| format!("x{n}")).collect();
    for (key, transaction) in [("alone", false), ("together", true)] {
        conn.call(["PFADD", key, "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"]);
        let reply = text(&conn.call(["STRLEN", key]));
        let len: usize = reply.trim_start_matches(':').trim_end_matches("\\r\\n").parse().expect("a length");
        conn.call(["SETRANGE", key, &(len - 4).to_string(), "===="]);
        let before = pair.source.call(["GET", key]);
        let add = Conn::encode(["PFADD", key].into_iter().chain(members.iter().map(String::as_str)));
        let replies =
            if transaction { conn.pipeline(&[Conn::encode(["MULTI"]), add, Conn::encode(["EXEC"])]) } else { conn.pipeline(&[add]) };
        assert!(text(replies.last().expect("a reply")).contains("INVALIDOBJ"));
        assert_ne!(pair.source.call(["GET", key]), before, "it has changed the value all the same");
    }
    same(&pair);
}

#[test]
fn what_best_effort_has_forgotten_is_found_again_when_another_policy_is_set() {
    let pair = Pair::with_warnings("best-effort", &[]);
    let mut conn = pair.interlay.conn();
    assert_eq!(pair.target.call(["CONFIG", "SET", "maxmemory", "1"]), b"+OK\r\n");
    for n in 0..200 {
        assert_eq!(conn.call(["SADD", "s", &n.to_string()]), b":1\r\n");
    }
    eventually("they are forgotten", || pair.interlay.number("counters.forgotten") == 200);
    assert_eq!(pair.target.call(["CONFIG", "SET", "maxmemory", "0"]), b"+OK\r\n");
    pair.interlay.policy("source-authoritative");
    same(&pair);
    assert_eq!(pair.target.call(["SCARD", "s"]), b":200\r\n");
}

#[test]
fn repair_of_all_is_remembered_by_the_next_process() {
    let (source, target) = (Server::start(), Server::start());
    assert_eq!(source.call(["DEBUG", "POPULATE", "20000", "key"]), b"+OK\r\n");
    let state = TempDir::new().expect("a folder");
    let dir = state.path().join("state");
    let launch = Interlay::mirroring(&source, &target).args(["--state-dir", dir.to_str().expect("a path")]);
    let mut interlay = launch.expect_warnings().start();
    assert_eq!(interlay.cli(&["repair", "--all", "--detach"]).code, 0);
    interlay.restart();
    interlay.settled();
    assert_eq!(digest(&source), digest(&target));
}
