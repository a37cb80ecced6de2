//! The compatibility check between real servers: what it finds, what it leaves behind, and what is acknowledged.

use interlay_tests::{Interlay, Said, Server};
use serde_json::{Value, json};

/// `interlay check` of two servers that nothing serves.
fn check(source: &str, target: &str, more: &[&str]) -> Said {
    Interlay::command(&[&["check", "--source", source, "--target", target], more].concat())
}

/// The findings of a name, worst first, by severity; and all that was said.
fn severities(source: &str, target: &str, name: &str) -> (Vec<String>, i32, String) {
    let said = check(source, target, &["--json"]);
    let report: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let findings = report["findings"].as_array().expect("findings").iter().filter(|finding| finding["name"] == name);
    let severities = findings.map(|finding| finding["severity"].as_str().expect("a severity").to_owned()).collect();
    (severities, said.code, said.stdout)
}

#[track_caller]
fn blocks(source: &str, target: &str, name: &str) {
    let (severities, code, report) = severities(source, target, name);
    assert_eq!((severities.first().map(String::as_str), code), (Some("blocking"), 1), "{name}: {report}");
}

/// A server's URL with a user and its password, made with these rules.
fn limited(server: &Server, rules: &[&str]) -> String {
    assert_eq!(server.call([&["ACL", "SETUSER", "lane", "reset", "on", ">pw"], rules].concat()), b"+OK\r\n");
    format!("redis://lane:pw@127.0.0.1:{}", server.port())
}

#[test]
fn two_servers_that_fit_pass_and_nothing_is_left_behind() {
    let (source, target) = (Server::start(), Server::start());
    source.call(["SET", "k", "v"]);
    source.call(["ZADD", "z", "1", "a"]);
    let said = check(&source.url(), &target.url(), &[]);
    assert_eq!(said.code, 0, "{said:?}");
    let last = said.stdout.lines().last().expect("a line");
    assert!(last.starts_with("blocking: 0, warnings: 0, notes: "), "{said:?}");
    assert_eq!((source.call(["DBSIZE"]), target.call(["DBSIZE"])), (b":2\r\n".to_vec(), b":0\r\n".to_vec()));
    assert!(target.calls_of("restore") >= 15, "canaries were restored");
}

#[test]
fn each_obstacle_blocks_by_its_name() {
    let source = Server::start();
    source.call(["SET", "k", "v"]);

    blocks(&source.url(), &source.url(), "same-server");

    let full = Server::start();
    full.call(["SET", "there", "already"]);
    blocks(&source.url(), &full.url(), "target-not-empty");

    let few = Server::with_args(&["--databases", "2"]);
    let mut conn = source.conn();
    conn.call(["SELECT", "5"]);
    conn.call(["SET", "k", "v"]);
    blocks(&source.url(), &few.url(), "databases");

    let replica = Server::with_args(&["--replicaof", "127.0.0.1 1"]);
    blocks(&source.url(), &replica.url(), "replica");

    let cluster = Server::with_args(&["--cluster-enabled", "yes"]);
    blocks(&source.url(), &cluster.url(), "cluster-mode");

    let lonely = Server::with_args(&["--min-replicas-to-write", "1"]);
    blocks(&source.url(), &lonely.url(), "replicas-to-write");

    let renamed = Server::with_args(&["--rename-command", "RESTORE", ""]);
    blocks(&source.url(), &renamed.url(), "missing-commands");

    source.call(["SETRANGE", "big", "20000000", "x"]);
    let small = Server::with_args(&["--maxmemory", "10mb"]);
    blocks(&source.url(), &small.url(), "memory");

    assert_eq!(check(&source.url(), "redis://127.0.0.1:1", &[]).code, 3);
    assert_eq!(check(&source.url(), &few.url(), &["--acknowledge", "databases"]).code, 2);
    assert_eq!(check(&source.url(), &few.url(), &["--acknowledge", "nothing", "--note", "x"]).code, 2);
}

#[test]
fn users_with_few_rights_are_told_which_are_missing() {
    let (source, target) = (Server::start(), Server::start());
    source.call(["SET", "k", "v"]);
    // Enough to pass.
    let all = limited(&source, &["allkeys", "allchannels", "+@all", "-@admin", "+config|get", "+module|list"]);
    assert_eq!(check(&all, &target.url(), &[]).code, 0, "{:?}", check(&all, &target.url(), &[]));

    let rules = ["allkeys", "+@all", "-restore", "-dump"];
    for (source, target, side) in [(limited(&source, &rules), target.url(), "source"), (source.url(), limited(&target, &rules), "target")] {
        let said = check(&source, &target, &[]);
        assert_eq!(said.code, 1, "{said:?}");
        let expected = format!("user lane may not run on the {side}: DUMP, RESTORE (for copying keys)");
        assert!(said.stdout.contains(&expected), "{said:?}");
    }

    // One that may only read: the source takes no canary, and its own keys are dumped instead.
    let reader = limited(&source, &["allkeys", "+@read", "+@connection", "+info", "+multi", "+discard"]);
    let said = check(&reader, &target.url(), &[]);
    assert!(said.stdout.contains("took no canaries") && said.stdout.contains("1 of its own keys"), "{said:?}");

    // One that may see some keys only, and hear nothing of the server.
    let narrow = limited(&target, &["~app:*", "+@all", "-info", "-config"]);
    let said = check(&source.url(), &narrow, &[]);
    assert!(said.stdout.contains("user lane has no right to all keys of the target"), "{said:?}");
    assert!(said.stdout.contains("not-checked (target: CONFIG)"), "{said:?}");
    assert_eq!((source.call(["DBSIZE"]), target.call(["DBSIZE"])), (b":1\r\n".to_vec(), b":0\r\n".to_vec()));
}

#[test]
fn older_target_is_told_how_keys_are_copied() {
    let (source, target) = (Server::start(), Server::old());
    source.call(["SET", "k", "v"]);
    let (format, code, report) = severities(&source.url(), &target.url(), "payload-format");
    assert_eq!((format.as_slice(), code), (["warning".to_owned()].as_slice(), 0), "{report}");
    assert_eq!(severities(&source.url(), &target.url(), "server-version").0, ["warning"]);

    source.call(["RPUSH", "l", "a"]);
    source.call(["LMPOP", "1", "l", "LEFT"]);
    let library = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    source.call(["FUNCTION", "LOAD", library]);
    blocks(&source.url(), &target.url(), "unknown-commands");
    blocks(&source.url(), &target.url(), "functions");
    assert_eq!((source.call(["DBSIZE"]), target.call(["DBSIZE"])), (b":1\r\n".to_vec(), b":0\r\n".to_vec()));
    // The other way round payloads fit.
    assert_eq!(severities(&target.url(), &source.url(), "payload-format").0, ["note"]);
}

#[test]
fn acknowledged_findings_stop_nothing_and_stay_acknowledged() {
    let (source, target) = (Server::start(), Server::start());
    target.call(["SET", "there", "already"]);
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let state = state.to_str().expect("a path");
    let mut interlay = Interlay::mirroring(&source, &target).args(["--state-dir", state]).start();
    assert_eq!(interlay.get("/api/v1/check").code, 404);
    let said = interlay.cli(&["check"]);
    assert!(said.code == 1 && said.stdout.contains("blocking target-not-empty (target: database 0)"), "{said:?}");

    assert_eq!(interlay.put("/api/v1/check", &json!({"acknowledge": [{"name": "nothing", "note": "x"}]})).code, 400);
    let said = interlay.cli(&["check", "--acknowledge", "target-not-empty", "--note", "an earlier copy"]);
    assert!(said.code == 0 && said.stdout.contains("acknowledged: an earlier copy"), "{said:?}");
    assert!(said.stdout.ends_with(", acknowledged: 1\n"), "{said:?}");
    let report = interlay.get("/api/v1/check").json();
    assert_eq!((&report["blocking"], &report["acknowledged"]), (&json!(0), &json!(1)));

    interlay.restart();
    let said = interlay.cli(&["check", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let report: Value = serde_json::from_str(&said.stdout).expect("a report");
    assert_eq!(report["findings"][0]["acknowledged"]["note"], "an earlier copy");
}

#[test]
fn without_a_target_there_is_nothing_to_check() {
    let source = Server::start();
    let interlay = Interlay::passthrough(&source).start();
    let answer = interlay.put("/api/v1/check", &json!({}));
    assert_eq!(answer.code, 409, "{}", answer.body);
    assert_eq!(interlay.cli(&["check"]).code, 1);
}
