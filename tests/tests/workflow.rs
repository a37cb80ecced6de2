//! The guided workflow: a whole move under load, with the words that it needs; what blocks it; and what outlives the process.

use interlay_tests::{Interlay, Load, Pair, Rng, eventually, mix};
use serde_json::{Value, json};

fn view(interlay: &Interlay) -> Value {
    interlay.get("/api/v1/workflow").json()
}

/// Waits until the run is at a step, and waits there for somebody.
fn waits_at(interlay: &Interlay, step: &str) {
    eventually(&format!("the run waits at {step}"), || {
        let view = view(interlay);
        // On a busy machine the target may answer late, so that a shift steps back: it is tried again, as an operator would.
        if view["stuck"].as_str().is_some_and(|why| why.contains("stepped back")) {
            say(interlay, "advance");
            return false;
        }
        view["step"] == step && (view["waits_for"].is_string() || view["over"] == true)
    });
}

fn say(interlay: &Interlay, word: &str) {
    let said = interlay.cli(&["workflow", word, "--note", "as agreed"]);
    assert_eq!(said.code, 0, "{word}: {said:?}");
}

fn begin(interlay: &Interlay) {
    let said = interlay.cli(&["workflow", "start", "--soak-s", "0", "--steps", "10,100", "--dwell-s", "0", "--shadow", "50"]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn a_whole_move_under_load() {
    let pair = Pair::start("source-authoritative");
    for n in 0..500 {
        pair.source.call(["SET", &format!("before{n}"), "v"]);
    }
    assert_eq!(pair.interlay.cli(&["workflow", "show"]).code, 1, "there is none yet");
    let load = Load::start(pair.interlay.port(), 1, &Rng::printed(), mix::read_or_write);
    begin(&pair.interlay);
    assert_eq!(pair.interlay.cli(&["workflow", "start"]).code, 1, "one at a time");
    waits_at(&pair.interlay, "review");
    assert_eq!(pair.interlay.cli(&["workflow", "accept"]).code, 1, "not yet");
    say(&pair.interlay, "approve");
    waits_at(&pair.interlay, "monitor");
    assert_eq!(pair.interlay.status()["phase"], "synced");
    say(&pair.interlay, "advance");
    waits_at(&pair.interlay, "cutover");
    assert_eq!(pair.interlay.status()["target_read_percent"], 100);
    say(&pair.interlay, "advance");
    waits_at(&pair.interlay, "accept");
    assert_eq!(pair.interlay.status()["authority"], "target");
    load.stop_without_errors();
    pair.assert_equal();
    say(&pair.interlay, "accept");
    waits_at(&pair.interlay, "completed");
    assert_eq!(pair.interlay.status()["phase"], "completed");
    let said = pair.interlay.cli(&["events", "--since", "0"]);
    for what in ["workflow  review: approved by", "as agreed", "workflow  verify: both sides are equal: OK:"] {
        assert!(said.stdout.contains(what), "{what} in {}", said.stdout);
    }
}

#[test]
fn a_run_that_keeps_what_the_target_has_goes_to_the_cutover_and_back() {
    let pair = Pair::start("source-authoritative");
    pair.source.call(["SET", "both", "source"]);
    pair.source.call(["SET", "only", "source"]);
    pair.target.call(["SET", "both", "target"]);
    let said = pair.interlay.cli(&["workflow", "start", "--conflict", "none"]);
    assert_eq!(said.code, 0, "{said:?}");
    for (step, word) in [("review", "approve"), ("cutover", "advance")] {
        waits_at(&pair.interlay, step);
        let said = pair.interlay.cli(&["check", "--acknowledge", "target-not-empty", "--note", "it stays"]);
        assert_eq!(said.code, 0, "{said:?}");
        say(&pair.interlay, word);
    }
    waits_at(&pair.interlay, "accept");
    assert_eq!(pair.interlay.status()["authority"], "target");
    let mut conn = pair.interlay.conn();
    assert_eq!((conn.call(["GET", "both"]), conn.call(["GET", "only"])), (b"$6\r\ntarget\r\n".to_vec(), b"$6\r\nsource\r\n".to_vec()));
    say(&pair.interlay, "rollback");
    waits_at(&pair.interlay, "rolled-back");
    assert_eq!(pair.interlay.status()["authority"], "source");
    assert_eq!(conn.call(["GET", "both"]), b"$6\r\nsource\r\n");
}

#[test]
fn what_blocks_has_to_be_acknowledged_and_a_run_can_go_back() {
    let pair = Pair::start("source-authoritative");
    pair.target.call(["SET", "stranger", "v"]);
    begin(&pair.interlay);
    waits_at(&pair.interlay, "review");
    say(&pair.interlay, "approve");
    eventually("it is stuck", || view(&pair.interlay)["stuck"].is_string());
    assert!(view(&pair.interlay)["stuck"].as_str().is_some_and(|why| why.contains("--acknowledge")));
    let said = pair.interlay.cli(&["check", "--acknowledge", "target-not-empty", "--note", "it may go"]);
    assert_eq!(said.code, 0, "{said:?}");
    say(&pair.interlay, "advance");
    waits_at(&pair.interlay, "monitor");
    assert_eq!(pair.target.call(["EXISTS", "stranger"]), b":0\r\n");
    say(&pair.interlay, "rollback");
    waits_at(&pair.interlay, "rolled-back");
    assert_eq!(pair.interlay.status()["phase"], "rolled-back");

    begin(&pair.interlay);
    for (step, word) in [("review", "approve"), ("monitor", "advance"), ("cutover", "advance"), ("accept", "rollback")] {
        waits_at(&pair.interlay, step);
        say(&pair.interlay, word);
    }
    waits_at(&pair.interlay, "rolled-back");
    assert_eq!(pair.interlay.status()["authority"], "source");
}

#[test]
fn a_run_goes_on_in_the_next_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state").display().to_string();
    let mut pair = Pair::with_warnings("source-authoritative", &["--state-dir", &state]);
    pair.source.call(["SET", "before", "v"]);
    begin(&pair.interlay);
    let mut killed = 0;
    for (step, word) in [("review", "approve"), ("monitor", "advance"), ("cutover", "advance"), ("accept", "accept"), ("completed", "")] {
        waits_at(&pair.interlay, step);
        pair.interlay.kill();
        pair.interlay.restart();
        killed += 1;
        eventually("both sides are connected", || {
            let status = pair.interlay.status();
            status["target"]["connected"] == true && (status["source"]["connected"] == true || status["phase"] == "completed")
        });
        assert_eq!(view(&pair.interlay)["step"], step);
        if !word.is_empty() {
            say(&pair.interlay, word);
        }
    }
    assert_eq!((killed, &pair.interlay.status()["phase"]), (5, &json!("completed")));
    assert_eq!(pair.target.call(["GET", "before"]), b"$1\r\nv\r\n");
}

#[test]
fn a_setup_that_makes_no_sense_is_told_everything_at_once() {
    let pair = Pair::start("source-authoritative");
    let answer = pair.interlay.put("/api/v1/workflow", &json!({"policy": "best-effort", "steps": [50, 10]}));
    let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
    assert!(answer.code == 400 && error.contains("policy") && error.contains("steps"), "{answer:?}");
}
