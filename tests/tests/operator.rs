//! What an operator sees and does: configuration, the admin port, the CLI, logs, and a stop that loses nothing.

use std::fs;

use interlay_tests::{Conn, Data, Interlay, Launch, Pair, Said, Server, assert_equal, digest, eventually, free_port, text};
use serde_json::{Value, json};

#[test]
fn status_has_the_fields_that_users_build_upon() {
    let pair = Pair::start("source-authoritative");
    let _client = pair.interlay.client();
    let status = pair.interlay.status();
    for (field, value) in [
        ("phase", json!("mirroring")),
        ("authority", json!("source")),
        ("policy", json!("source-authoritative")),
        ("target_read_percent", json!(0)),
        ("clients", json!(1)),
        ("lag_effects", json!(0)),
        ("lag_ms", json!(0)),
        ("on_lag", json!("fold")),
        ("behind", Value::Null),
        ("dirty_keys", json!(0)),
        ("sweeping", json!(false)),
        ("repair_paused_for", Value::Null),
        ("copies_under_way", json!(0)),
        ("mismatches", json!(0)),
        ("repairs", json!(0)),
        ("error_keys", json!(0)),
        ("last_pause_ms", Value::Null),
    ] {
        assert_eq!(status.get(field), Some(&value), "{field} in {status:#}");
    }
    let said = pair.interlay.cli(&["status", "--json"]);
    let by_cli: Value = serde_json::from_str(&said.stdout).unwrap();
    let fields = |status: &Value| status.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!((said.code, fields(&by_cli)), (0, fields(&status)));
}

#[test]
fn readiness_follows_the_authority_and_liveness_does_not() {
    let (mut source, target) = (Server::start(), Server::start());
    let interlay = Interlay::mirroring(&source, &target).expect_warnings().start();
    assert_eq!((interlay.get("/healthz").code, interlay.get("/readyz").code), (200, 200));
    source.kill();
    eventually("the source's loss is noticed", || interlay.get("/readyz").code == 503);
    let unready = interlay.get("/readyz");
    assert!(unready.body.contains("the source") && unready.body.contains("not connected"), "{unready:?}");
    assert_eq!(interlay.get("/healthz").code, 200);
    source.restart(Data::Lost);
    eventually("the source is back", || interlay.get("/readyz").code == 200);
}

#[test]
fn metrics_are_prometheus_text() {
    let pair = Pair::start("source-authoritative");
    for n in 0..10 {
        pair.interlay.conn().call(["SET", "k", &n.to_string()]);
    }
    pair.settled();
    let metrics = pair.interlay.get("/metrics");
    assert!(
        metrics.code == 200 && metrics.head.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4"),
        "{}",
        metrics.head
    );
    let mut samples = Vec::new();
    for line in metrics.body.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        value.parse::<f64>().unwrap_or_else(|_| panic!("no number: {line}"));
        let name = series.split('{').next().unwrap();
        for kind in ["HELP", "TYPE"] {
            assert!(metrics.body.contains(&format!("# {kind} {name} ")), "no {kind} for {name}");
        }
        samples.push((series, value));
    }
    for sample in [
        ("interlay_writes_total", "10"),
        ("interlay_effects_agreed_total", "10"),
        ("interlay_dirty_keys", "0"),
        ("interlay_lag_effects", "0"),
        ("interlay_lag_seconds", "0"),
        ("interlay_error_keys", "0"),
        ("interlay_writes_by_effect_total{kind=\"verbatim\"}", "10"),
        ("interlay_lane_connected{side=\"source\"}", "1"),
        ("interlay_lane_connected{side=\"target\"}", "1"),
        ("interlay_authority{side=\"source\"}", "1"),
        ("interlay_policy{policy=\"source-authoritative\"}", "1"),
    ] {
        assert!(samples.contains(&sample), "{sample:?} in\n{}", metrics.body);
    }
}

#[test]
fn admin_port_says_what_is_wrong_with_a_request() {
    let pair = Pair::start("source-authoritative");
    let answers = [
        (pair.interlay.put("/api/v1/traffic", &json!({"target_read_percent": 101})), 400),
        (pair.interlay.put("/api/v1/traffic", &json!({"percent": 5})), 400),
        (pair.interlay.put("/api/v1/policy", &json!({"policy": "both"})), 400),
        (pair.interlay.put("/api/v1/policy", &json!({"policy": "x".repeat(2_000_000)})), 413),
        (pair.interlay.put("/api/v1/repair", &json!({"everything": true})), 400),
        (pair.interlay.get("/api/v1/errors?limit=some"), 400),
        (pair.interlay.put("/api/v1/status", &json!({})), 405),
        (pair.interlay.get("/api/v1/nothing"), 404),
    ];
    for (answer, code) in answers {
        let body = answer.json();
        assert!(answer.code == code && body["error"].is_string() && body["hint"].is_string(), "{code}: {answer:?}");
    }
    let api = pair.interlay.get("/api/v1/openapi.json").json();
    assert!(api["paths"]["/api/v1/traffic"]["put"].is_object());
}

#[test]
fn exit_codes_say_how_a_command_went() {
    let pair = Pair::start("source-authoritative");
    let codes = |lines: &[&str]| lines.iter().map(|line| pair.interlay.cli(&line.split(' ').collect::<Vec<_>>()).code).collect::<Vec<_>>();
    assert_eq!(codes(&["status", "traffic", "policy", "traffic 30 --force", "policy both-required", "traffic 0"]), [0; 6]);
    assert_eq!(codes(&["traffic 30"]), [1]);
    assert_eq!(codes(&["traffic 101", "policy both", "traffic --force", "stats"]), [2; 4]);

    let nobody = format!("127.0.0.1:{}", free_port());
    let said = Interlay::command(&["status", "--admin", &nobody]);
    assert!(said.code == 3 && said.stderr.contains(&nobody) && said.stdout.is_empty(), "{said:?}");
}

#[test]
fn cli_shows_what_it_has_changed() {
    let pair = Pair::start("source-authoritative");
    let said = |line: &str| pair.interlay.cli(&line.split(' ').collect::<Vec<_>>()).stdout.trim_end().to_owned();
    assert_eq!(said("policy"), "the policy is source-authoritative");
    assert_eq!(said("policy best-effort --json"), r#"{"policy":"best-effort"}"#);
    assert_eq!(said("traffic 30 --force"), "30 % of the reads go to the target");
    let status = said("status");
    for line in ["policy                best-effort", "target reads          30 %", "phase                 mirroring"] {
        assert!(status.lines().any(|row| row == line), "{line:?} in\n{status}");
    }
}

// === Repair ===

/// Fills a server with keys of all types, some of which expire in a while.
fn fill(server: &Server, prefix: &str, keys: usize) {
    let mut pipeline = redis::pipe();
    for n in 0..keys {
        let key = format!("{prefix}:{n}");
        match n % 6 {
            0 => pipeline.cmd("SET").arg(&key).arg(n),
            1 => pipeline.cmd("RPUSH").arg(&key).arg(n).arg("b").arg("c"),
            2 => pipeline.cmd("SADD").arg(&key).arg(n).arg("b").arg("c"),
            3 => pipeline.cmd("HSET").arg(&key).arg(n).arg("b").arg("c").arg("d"),
            4 => pipeline.cmd("ZADD").arg(&key).arg(n).arg("b").arg(1.5).arg("c"),
            _ => pipeline.cmd("XADD").arg(&key).arg("1-1").arg("a").arg(n),
        };
        if n % 5 == 0 {
            pipeline.cmd("EXPIRE").arg(&key).arg(10_000);
        }
    }
    pipeline.exec(&mut server.client()).expect("keys of every type");
}

#[test]
fn repair_of_all_makes_the_sides_equal_whatever_was_there() {
    let (source, target) = (Server::start(), Server::start());
    fill(&source, "key", 2_000);
    // Some of the same name and another type, and some that the source does not have.
    fill(&target, "key", 5);
    target.call(["RENAME", "key:1", "key:2"]);
    fill(&target, "other", 700);
    assert_ne!(digest(&source), digest(&target));

    let interlay = Interlay::mirroring(&source, &target).start();
    let said = interlay.cli(&["repair", "--all"]);
    assert!(said.code == 0 && said.stdout.starts_with("no key is dirty; ") && said.stderr.is_empty(), "{said:?}");
    assert_eq!(digest(&source), digest(&target));
    let status = interlay.status();
    assert_eq!((&status["dirty_keys"], &status["sweeping"], &status["suspect"]), (&json!(0), &json!(false), &json!(false)), "{status:#}");
    assert!(interlay.number("repairs") >= 2_000);
}

#[test]
fn error_keys_are_listed_with_the_reason_until_they_can_be_copied() {
    let (source, target) = (Server::start(), Server::start());
    for key in [&b"counter"[..], b"\xff\0"] {
        source.call([&b"SET"[..], key, b"5"]);
    }
    target.call(["ACL", "SETUSER", "default", "-restore"]);
    let interlay = Interlay::mirroring(&source, &target).start();
    for key in [&b"counter"[..], b"\xff\0"] {
        // The target has no 5 to add to.
        assert_eq!(interlay.conn().call([&b"INCR"[..], key]), b":6\r\n");
    }
    let said = interlay.cli(&["repair"]);
    assert!(said.code == 1 && said.stderr.starts_with("2 keys cannot be copied") && said.stderr.contains("NOPERM"), "{said:?}");
    assert!(said.stderr.contains(r#"key "counter": "#) && said.stderr.contains(r#"key b"\xff\x00": "#), "{said:?}");

    let status = interlay.status();
    assert_eq!((&status["error_keys"], &status["dirty_keys"], &status["mismatches_by_command"]["incr"]), (&json!(2), &json!(2), &json!(2)));
    let listed = interlay.cli(&["errors", "--json"]);
    let lines: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let keys: Vec<_> = lines.iter().map(|line| (line["key"].as_str(), line["key_base64"].as_str())).collect();
    assert_eq!((listed.code, lines.len()), (0, 2), "{listed:?}");
    assert!(keys.contains(&(Some("counter"), Some("Y291bnRlcg=="))) && keys.contains(&(None, Some("/wA="))), "{keys:?}");
    assert!(lines.iter().all(|line| line["reason"].as_str().is_some_and(|reason| reason.starts_with("NOPERM"))), "{lines:?}");
    assert_eq!(interlay.cli(&["errors", "--limit", "1"]).stdout.lines().count(), 3, "a head, one key, and how many more");

    target.call(["ACL", "SETUSER", "default", "+restore"]);
    let said = interlay.cli(&["repair", "--json"]);
    let status: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, &status["dirty_keys"], &status["error_keys"]), (0, &json!(0), &json!(0)), "{status:#}");
    assert_eq!(
        interlay.cli(&["errors"]).stdout.trim_end(),
        "no key keeps failing; `interlay status` says whether copying waits as a whole"
    );
    assert_equal(&source, &target);
}

#[test]
fn repair_without_a_target_is_refused() {
    let source = Server::start();
    let interlay = Interlay::passthrough(&source).start();
    let said = interlay.cli(&["repair"]);
    assert!(said.code == 1 && said.stderr.contains("there is no target"), "{said:?}");
}

// === A target slower than the writes ===

/// Writes of one client, more than the target's queue takes.
const WRITES: usize = 2_000;

/// A pair with a small queue, whose target is frozen, and a client that has sent [`WRITES`].
fn slow_target(on_lag: &str) -> (Pair, Conn) {
    let args = ["--on-lag", on_lag, "--effect-queue-bytes-max", "64KiB", "--effect-timeout-ms", "0"];
    let pair = Pair::with_warnings("source-authoritative", &args);
    pair.target.freeze();
    let mut conn = pair.interlay.conn();
    let value = "v".repeat(500);
    conn.send((0..WRITES).flat_map(|n| Conn::encode(["SET", &n.to_string(), &value])).collect::<Vec<_>>());
    (pair, conn)
}

/// What the status says of a target that is behind.
fn behind(pair: &Pair) -> String {
    pair.interlay.status()["behind"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn throttled_clients_wait_for_a_slow_target_and_no_key_gets_dirty() {
    let (pair, mut conn) = slow_target("throttle");
    eventually("the status says that clients wait", || behind(&pair).ends_with("clients wait for it"));
    let replied = pair.interlay.number("counters.writes");
    assert!(replied > 0 && replied < 500, "{replied} writes got through");
    pair.target.thaw();
    assert!((0..WRITES).all(|_| conn.reply() == b"+OK\r\n"));
    pair.assert_in_step();
    assert_eq!((pair.interlay.number("counters.skipped_full"), pair.interlay.number("repairs")), (0, 0));
    assert_eq!(behind(&pair), "");
}

#[test]
fn throttled_clients_do_not_wait_for_a_target_that_is_lost() {
    let (mut pair, mut conn) = slow_target("throttle");
    eventually("the status says that clients wait", || behind(&pair).ends_with("clients wait for it"));
    pair.target.kill();
    assert!((0..WRITES).all(|_| conn.reply() == b"+OK\r\n"));
}

#[test]
fn effects_that_a_slow_target_cannot_take_become_dirty_keys_that_are_copied() {
    let (pair, mut conn) = slow_target("fold");
    assert!((0..WRITES).all(|_| conn.reply() == b"+OK\r\n"));
    eventually("the status says that keys got dirty", || behind(&pair).ends_with("became dirty keys"));
    assert!(pair.interlay.number("dirty_keys") > 1_000);
    pair.target.thaw();
    let said = pair.interlay.cli(&["repair"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_equal(&pair.source, &pair.target);
}

// === Configuration ===

#[test]
fn check_reports_every_problem_at_once() {
    let line = "serve --check-config --listen nowhere --admin 0.0.0.0:6381 --target http://x --policy both --max-clients 0";
    let Said { code, stderr, .. } = Interlay::command(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(code, 2, "{stderr}");
    for key in ["listen:", "admin:", "source:", "target:", "policy:", "max_clients:"] {
        assert!(stderr.contains(key), "{key} in\n{stderr}");
    }
    let said = Interlay::command(&["serve", "--check-config", "--source", "redis://127.0.0.1"]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn admin_port_that_others_could_reach_is_refused() {
    let said = Interlay::command(&["serve", "--source", "redis://127.0.0.1", "--admin", "0.0.0.0:6381"]);
    assert!(said.code == 2 && said.stderr.contains("can be reached from other machines"), "{said:?}");
}

#[test]
fn flag_wins_over_environment_and_environment_over_file() {
    let (source, target) = (Server::start(), Server::start());
    let file = source.folder().join("interlay.toml");
    let text = format!("source = {:?}\ntarget = {:?}\npolicy = \"best-effort\"\nlog_format = \"json\"\n", source.url(), target.url());
    fs::write(&file, text).unwrap();
    let file = || Launch::default().args(["--config", &file.display().to_string()]);
    let policy_of = |interlay: Interlay| interlay.status()["policy"].clone();
    assert_eq!(policy_of(file().start()), "best-effort");
    assert_eq!(policy_of(file().env("INTERLAY_POLICY", "both-required").start()), "both-required");
    let flag = ["--policy", "target-authoritative"];
    assert_eq!(policy_of(file().env("INTERLAY_POLICY", "both-required").args(flag).start()), "target-authoritative");
}

#[test]
fn logs_are_text_or_json() {
    let (source, target) = (Server::start(), Server::start());
    let text = Interlay::passthrough(&source).start();
    eventually("a line about the lane", || text.log().lines().any(|line| line.contains(" INFO ") && line.contains("lane connected")));

    let as_json = Interlay::mirroring(&source, &target).args(["--log-format", "json"]).start();
    let line = |message: &str| as_json.log().lines().find(|line| line.contains(message)).map(str::to_owned);
    eventually("a line about a lane", || line("lane connected").is_some());
    for line in as_json.log().lines() {
        let fields: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
        assert_eq!(fields["level"], "INFO");
    }
    let serves = line("interlay serves").unwrap();
    assert_eq!(serves.matches("\"target\":").count(), 1, "one field of a name: {serves}");
    let fields: Value = serde_json::from_str(&serves).unwrap();
    assert_eq!((&fields["source"], &fields["target"]), (&json!(source.url()), &json!(target.url())));
}

// === A stop ===

/// A client has sent `requests` INCRs, and has `replies` replies, when the interlay is told to stop: it gets as many
/// replies as the source has carried out, and the target has them too. Returns how many.
fn stopped_amid(requests: usize, replies: u64) -> u64 {
    let mut pair = Pair::start("source-authoritative");
    let _idle = pair.interlay.conn();
    let mut conn = pair.interlay.conn();
    assert_eq!(conn.call(["SET", "k", "0"]), b"+OK\r\n");
    conn.send(Conn::encode(["INCR", "k"]).repeat(requests));
    for _ in 0..replies {
        conn.reply();
    }
    pair.interlay.ask_to_stop();
    let answered = replies + conn.rest().iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(pair.interlay.ended().code(), Some(0));

    let carried_out = pair.source.call(["INCR", "k"]);
    assert_eq!(text(&carried_out), format!(":{}\\r\\n", answered + 1), "{answered} requests were answered");
    pair.target.call(["INCR", "k"]);
    assert_equal(&pair.source, &pair.target);
    answered
}

#[test]
fn stop_answers_every_request_that_was_sent() {
    // They fit into any socket's buffer, so all of them have arrived.
    assert_eq!(stopped_amid(1_000, 0), 1_000);
}

#[test]
fn stop_in_the_middle_of_a_long_pipeline_leaves_nothing_unanswered() {
    assert!(stopped_amid(100_000, 1) > 1);
}
