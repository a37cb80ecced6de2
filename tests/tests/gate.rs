//! The gate: the authority changes under load and nobody notices; what stands in the way is told; and there is a way back.

use interlay_tests::{Conn, Interlay, Load, Pair, Rng, eventually, mix, text};
use serde_json::{Value, json};

/// Copies every key, and waits until the phase says so.
fn sync(pair: &Pair) {
    assert_eq!(pair.interlay.put("/api/v1/repair", &json!({"all": true})).code, 200);
    eventually("every key is copied", || pair.interlay.status()["phase"] == "synced");
}

/// A pair with a few keys, every one copied.
fn synced(args: &[&str]) -> Pair {
    let pair = Pair::with_args("source-authoritative", args);
    pair.source.call(["MSET", "before", "1", "too", "2"]);
    sync(&pair);
    pair
}

/// Asks for a change and expects it to come to pass.
fn change(interlay: &Interlay, what: &str) -> Value {
    let answer = interlay.put(&format!("/api/v1/{what}"), &json!({}));
    assert_eq!(answer.code, 200, "{what}: {answer:?}");
    answer.json()
}

fn refused(interlay: &Interlay, what: &str) -> String {
    let answer = interlay.put(&format!("/api/v1/{what}"), &json!({}));
    assert_eq!(answer.code, 409, "{what}: {answer:?}");
    answer.json()["error"].as_str().expect("an error").to_owned()
}

#[test]
fn authority_changes_back_and_forth_under_load_and_no_request_fails() {
    let pair = synced(&[]);
    let rng = Rng::printed();
    let load = Load::start(pair.interlay.port(), 50, &rng, mix::read_or_write);
    load.go_on_for(5_000);
    for (what, phase, authority) in [
        ("cutover", "cutover", "target"),
        ("rollback", "rolled-back", "source"),
        ("cutover", "cutover", "target"),
        ("rollback", "rolled-back", "source"),
        ("cutover", "cutover", "target"),
    ] {
        let changed = change(&pair.interlay, what);
        assert_eq!((&changed["phase"], &changed["authority"]), (&json!(phase), &json!(authority)));
        assert!(changed["pause_us"].as_u64().is_some_and(|pause| pause > 0), "{changed}");
        load.go_on_for(5_000);
    }
    change(&pair.interlay, "complete");
    let left_behind = pair.source.calls_of("set");
    load.go_on_for(5_000);
    load.stop_without_errors();
    assert_eq!(pair.source.calls_of("set"), left_behind, "the source gets nothing any more");
    assert_eq!(pair.interlay.number("dirty_keys"), 0);
    assert!(refused(&pair.interlay, "rollback").contains("no way back"));
}

#[test]
fn sides_are_equal_on_either_side_of_the_gate() {
    let pair = synced(&[]);
    let rng = Rng::printed();
    for (n, what) in ["cutover", "rollback", "cutover"].into_iter().enumerate() {
        let load = Load::start(pair.interlay.port(), 20, &rng.fork(n as u64), mix::write_or_flush);
        load.go_on_for(3_000);
        change(&pair.interlay, what);
        load.go_on_for(3_000);
        load.stop_without_errors();
        pair.assert_equal();
    }
}

#[test]
fn transactions_on_connections_of_their_own_end_before_the_gate_and_none_fails() {
    let pair = synced(&[]);
    let port = pair.interlay.port();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let committed = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (stop, committed) = (&stop, &committed);
            scope.spawn(move || {
                let mut conn = Conn::to(port);
                let own = format!("own{number}");
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    assert_eq!(text(&conn.call(["WATCH", &own])), text(b"+OK\r\n"));
                    assert!(!conn.call(["GET", &own]).starts_with(b"-"));
                    assert_eq!(text(&conn.call(["MULTI"])), text(b"+OK\r\n"));
                    assert_eq!(text(&conn.call(["INCR", &own])), text(b"+QUEUED\r\n"));
                    assert_eq!(text(&conn.call(["INCR", "shared"])), text(b"+QUEUED\r\n"));
                    let done = conn.call(["EXEC"]);
                    assert!(done.starts_with(b"*2\r\n"), "{}", text(&done));
                    committed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
        let go_on = || {
            let until = committed.load(std::sync::atomic::Ordering::Relaxed) + 50;
            eventually("transactions go on", || committed.load(std::sync::atomic::Ordering::Relaxed) >= until);
        };
        go_on();
        for what in ["cutover", "rollback", "cutover"] {
            change(&pair.interlay, what);
            go_on();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let shared = committed.load(std::sync::atomic::Ordering::Relaxed).to_string();
    assert_eq!(text(&pair.interlay.conn().call(["GET", "shared"])), text(format!("${}\r\n{shared}\r\n", shared.len()).as_bytes()));
    pair.assert_equal();
}

#[test]
fn those_who_wait_are_served_by_the_other_side() {
    let pair = synced(&[]);
    let (mut popper, mut reader, mut subscriber) = (pair.interlay.conn(), pair.interlay.conn(), pair.interlay.conn());
    subscriber.call(["SUBSCRIBE", "news"]);
    popper.request(["BLPOP", "queue", "0"]);
    reader.request(["XREAD", "BLOCK", "0", "STREAMS", "stream", "$"]);
    eventually("both wait", || text(&pair.interlay.conn().call(["INFO", "clients"])).contains("blocked_clients:2"));
    change(&pair.interlay, "cutover");
    // A server tells so when somebody ends the waiting; readers ask again.
    assert_eq!(text(&reader.reply()), text(b"*-1\r\n"));
    let mut conn = pair.interlay.conn();
    assert_eq!(conn.call(["RPUSH", "queue", "element"]), b":1\r\n");
    assert_eq!(text(&popper.reply()), text(b"*2\r\n$5\r\nqueue\r\n$7\r\nelement\r\n"));
    conn.call(["PUBLISH", "news", "hello"]);
    assert!(text(&subscriber.reply()).contains("hello"));
    pair.assert_equal();
}

#[test]
fn client_with_a_user_of_its_own_goes_on_as_that_user() {
    let pair = synced(&[]);
    for server in [&pair.source, &pair.target] {
        assert_eq!(server.call(["ACL", "SETUSER", "app", "on", ">secret", "~app:*", "+@all"]), b"+OK\r\n");
    }
    let (mut conn, mut popper) = (pair.interlay.conn(), pair.interlay.conn());
    for conn in [&mut conn, &mut popper] {
        assert_eq!(conn.call(["AUTH", "app", "secret"]), b"+OK\r\n");
    }
    assert_eq!(conn.call(["SET", "app:k", "v"]), b"+OK\r\n");
    popper.request(["BLPOP", "app:queue", "0"]);
    eventually("it waits", || text(&pair.interlay.conn().call(["INFO", "clients"])).contains("blocked_clients:1"));
    for what in ["cutover", "rollback", "cutover"] {
        change(&pair.interlay, what);
        assert_eq!(text(&conn.call(["GET", "app:k"])), text(b"$1\r\nv\r\n"));
        assert_eq!(text(&conn.call(["ACL", "WHOAMI"])), text(b"$3\r\napp\r\n"));
        assert!(conn.call(["SET", "others", "v"]).starts_with(b"-NOPERM"));
        assert!(conn.call(["INCR", "app:n"]).starts_with(b":"));
    }
    assert_eq!(text(&popper.reply()), text(b"*-1\r\n"), "as if its time was up");
    pair.assert_equal();
}

#[test]
fn a_client_that_keeps_a_transaction_open_does_not_keep_the_gate_open() {
    let pair = Pair::with_args("source-authoritative", &["--max-pause-ms", "200"]);
    sync(&pair);
    let mut idle = pair.interlay.conn();
    idle.call(["MULTI"]);
    idle.call(["SET", "k", "never"]);
    change(&pair.interlay, "cutover");
    assert!(idle.try_reply().is_err(), "it is closed, and nothing of it was carried out");
    assert_eq!(pair.interlay.conn().call(["EXISTS", "k"]), b":0\r\n");
}

#[test]
fn gate_that_cannot_drain_in_time_leaves_everything_as_it_was() {
    let pair = Pair::with_args("source-authoritative", &["--max-pause-ms", "100", "--effect-timeout-ms", "60000"]);
    sync(&pair);
    pair.target.freeze();
    let mut conn = pair.interlay.conn();
    assert_eq!(conn.call(["SET", "k", "v"]), b"+OK\r\n");
    let why = refused(&pair.interlay, "cutover");
    assert!(why.contains("could not be drained in time") && why.contains("as it was"), "{why}");
    assert_eq!(conn.call(["SET", "k", "w"]), b"+OK\r\n");
    assert_eq!((&pair.interlay.status()["phase"], &pair.interlay.status()["authority"]), (&json!("synced"), &json!("source")));
    pair.target.thaw();
    change(&pair.interlay, "cutover");
    assert_eq!(conn.call(["GET", "k"]), b"$1\r\nw\r\n");
    pair.assert_equal();
}

#[test]
fn conditions_are_told_one_by_one_and_force_names_what_it_overrides() {
    let pair = Pair::start("source-authoritative");
    pair.source.call(["SET", "before", "1"]);
    let said = pair.interlay.cli(&["cutover", "--dry-run"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains("NO  synced: ") && said.stdout.contains("ok  few-dirty-keys"), "{said:?}");
    assert!(said.stdout.contains("interlay backfill") && said.stdout.ends_with("the gate is closed\n"), "{said:?}");
    let said = pair.interlay.cli(&["cutover"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.starts_with("synced: ") && said.stderr.contains("--force"), "{said:?}");
    let said = pair.interlay.cli(&["cutover", "--force"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains("the target is in charge") && said.stdout.contains("forced: synced: "), "{said:?}");
    assert_eq!(pair.interlay.conn().call(["GET", "before"]), b"$-1\r\n");
}

/// A script that sets its key to its argument: its key is dirty until it is copied.
const SETS: &str = "return redis.call('SET', KEYS[1], ARGV[1])";

#[test]
fn a_forced_change_copies_dirty_keys_and_names_those_that_it_cannot() {
    let pair = Pair::with_args("source-authoritative", &["--max-pause-ms", "3000"]);
    sync(&pair);
    let mut conn = pair.interlay.conn();
    let force = |what: &str| {
        let forced = pair.interlay.put(&format!("/api/v1/{what}"), &json!({"force": true}));
        assert_eq!(forced.code, 200, "{what}: {forced:?}");
        forced.json()["overridden"].to_string()
    };
    pair.refuse_copies();
    for n in 0..50 {
        assert_eq!(conn.call(["EVAL", SETS, "1", &format!("k{n}"), "newest"]), b"+OK\r\n");
    }
    eventually("none can be copied", || pair.interlay.number("counters.repairs_failed") >= 50);
    assert_eq!(pair.target.call(["ACL", "SETUSER", "default", "+restore"]), b"+OK\r\n");
    let overridden = force("cutover");
    assert!(!overridden.contains("could not be copied in time"), "{overridden}");
    for n in 0..50 {
        assert_eq!(conn.call(["GET", &format!("k{n}")]), b"$6\r\nnewest\r\n");
    }
    pair.assert_equal();

    assert_eq!(pair.source.call(["ACL", "SETUSER", "default", "-restore"]), b"+OK\r\n");
    assert_eq!(conn.call(["EVAL", SETS, "1", "left", "behind"]), b"+OK\r\n");
    let overridden = force("rollback");
    assert!(overridden.contains("dirty keys: 1 could not be copied in time"), "{overridden}");
    assert_eq!(conn.call(["GET", "left"]), b"$-1\r\n");
}

#[test]
fn target_that_dies_after_the_cutover_is_left_by_force() {
    let mut pair = Pair::with_warnings("source-authoritative", &[]);
    sync(&pair);
    change(&pair.interlay, "cutover");
    let mut conn = pair.interlay.conn();
    assert_eq!(conn.call(["SET", "k", "v"]), b"+OK\r\n");
    pair.settled();
    pair.target.kill();
    eventually("the loss is noticed", || pair.interlay.status()["target"]["connected"] == false);
    assert!(refused(&pair.interlay, "rollback").starts_with("authority-connected: "));
    let forced = pair.interlay.put("/api/v1/rollback", &json!({"force": true}));
    assert_eq!(forced.code, 200, "{forced:?}");
    assert_eq!(forced.json()["overridden"].as_array().map(Vec::len), Some(1), "{forced:?}");
    assert_eq!(pair.interlay.conn().call(["GET", "k"]), b"$1\r\nv\r\n");
    assert_eq!(pair.interlay.conn().call(["SET", "k", "w"]), b"+OK\r\n");
}

#[test]
fn phase_outlives_the_process_and_a_completed_move_needs_no_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state").display().to_string();
    let mut pair = Pair::with_warnings("both-required", &["--state-dir", &state]);
    sync(&pair);
    assert_eq!(pair.interlay.put("/api/v1/traffic", &json!({"target_read_percent": 30})).code, 200);
    pair.interlay.kill();
    pair.interlay.restart();
    let status = pair.interlay.status();
    assert_eq!((&status["phase"], &status["target_read_percent"]), (&json!("shifting"), &json!(30)), "{status:#}");
    eventually("both sides are connected", || pair.interlay.status()["target"]["connected"] == true);
    pair.settled();
    change(&pair.interlay, "cutover");
    pair.interlay.kill();
    pair.interlay.restart();
    eventually("both sides are connected", || pair.interlay.status()["source"]["connected"] == true);
    assert_eq!(pair.interlay.status()["phase"], "cutover");
    pair.settled();
    let back = change(&pair.interlay, "rollback");
    assert_eq!((&back["phase"], &pair.interlay.status()["policy"]), (&json!("rolled-back"), &json!("both-required")));
    change(&pair.interlay, "cutover");
    change(&pair.interlay, "complete");
    pair.interlay.kill();
    pair.source.kill();
    pair.interlay.restart();
    let mut conn = pair.interlay.conn();
    eventually("the target serves alone", || conn.call(["SET", "k", "v"]) == b"+OK\r\n");
    assert_eq!(pair.target.call(["GET", "k"]), b"$1\r\nv\r\n");
    assert_eq!(pair.interlay.status()["phase"], "completed");

    let said = pair.interlay.cli(&["events", "--since", "0"]);
    let at = |what: &str| said.stdout.find(what).unwrap_or_else(|| panic!("{what} in {}", said.stdout));
    let steps = [
        "mirroring -> backfilling",
        "backfilling -> synced",
        "synced -> shifting",
        "shifting -> cutover",
        "cutover -> rolled-back",
        "cutover -> completed",
    ];
    assert!(steps.map(at).is_sorted(), "{}", said.stdout);
    assert!(
        said.stdout.contains("PUT /api/v1/cutover") && said.stdout.contains("the target is in charge; requests waited for"),
        "{}",
        said.stdout
    );
}

#[test]
fn what_an_earlier_process_left_dirty_is_found_before_requests_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state").display().to_string();
    let mut pair = Pair::with_warnings("source-authoritative", &["--state-dir", &state]);
    for server in [&pair.source, &pair.target] {
        assert_eq!(server.call(["DEBUG", "POPULATE", "30000"]), b"+OK\r\n");
    }
    sync(&pair);
    pair.settled();
    let mut conn = pair.interlay.conn();
    (0..50).for_each(|n| assert_eq!(conn.call(["SET", &format!("k{n}"), "v"]), b"+OK\r\n"));
    pair.interlay.kill();
    pair.interlay.restart();
    // It takes a scan of both sides, while which clients go on.
    let changed = change(&pair.interlay, "cutover");
    assert_eq!((&changed["authority"], &changed["overridden"]), (&json!("target"), &json!([])));
    assert_eq!(pair.interlay.conn().call(["GET", "k49"]), b"$1\r\nv\r\n");
    pair.assert_equal();
}

#[test]
fn steps_that_do_not_follow_are_refused_with_the_reason() {
    let pair = Pair::start("source-authoritative");
    assert!(refused(&pair.interlay, "complete").contains("the target has to be the authority first"));
    let answer = pair.interlay.put("/api/v1/traffic", &json!({"target_read_percent": 10}));
    assert!(answer.code == 409 && answer.json()["error"].as_str().is_some_and(|why| why.contains("interlay backfill")), "{answer:?}");
    sync(&pair);
    assert_eq!(pair.interlay.put("/api/v1/traffic", &json!({"target_read_percent": 10})).code, 200);
    assert_eq!(change(&pair.interlay, "rollback")["phase"], "rolled-back");
    assert_eq!(pair.interlay.status()["target_read_percent"], 0);
    change(&pair.interlay, "cutover");
    assert!(refused(&pair.interlay, "cutover").contains("already"));
}
