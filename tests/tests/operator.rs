//! What an operator sees and does: configuration, the admin port, the CLI, logs, and a stop that loses nothing.

use std::fs;

use interlay_tests::{Conn, Data, Interlay, Launch, Pair, Said, Server, assert_equal, eventually, free_port, text};
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
        ("dirty_keys", json!(0)),
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
        (pair.interlay.put("/api/v1/policy", &json!({"policy": "x".repeat(2000)})), 413),
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
