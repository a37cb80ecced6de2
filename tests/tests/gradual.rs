//! Reads are shifted in steps, and back when something goes wrong.

use std::thread;

use interlay_tests::{Interlay, Pair, Said, eventually};
use serde_json::{Value, json};

const PLAN: &str = "/api/v1/traffic/plan";

/// Tests share their machine: what it is slow by is no trouble.
const PATIENT: &str = "60000";

fn begin(interlay: &Interlay, plan: &Value) {
    let answer = interlay.put(PLAN, plan);
    assert_eq!((answer.code, &answer.json()["state"]), (200, &json!("running")), "{answer:?}");
    eventually("the first step holds", || interlay.get(PLAN).json()["step"] == 1);
}

fn ended(interlay: &Interlay) -> Value {
    eventually("the plan ends", || interlay.get(PLAN).json()["state"] != "running");
    interlay.get(PLAN).json()
}

/// What the interlay has noted about reads, oldest first.
fn noted(interlay: &Interlay) -> String {
    let events = interlay.get("/api/v1/events?since=0").json();
    let texts = events["events"].as_array().expect("a list").iter().filter(|event| event["kind"] == "traffic");
    texts.map(|event| format!("{}\n", event["text"].as_str().expect("a text"))).collect()
}

#[test]
fn steps_are_gone_through_and_told() {
    let pair = Pair::start("source-authoritative");
    let args = ["traffic", "--gradual", "--steps", "10,50,100", "--dwell-s", "0.05", "--max-latency-ms", PATIENT, "--force"];
    let Said { code, stdout, stderr } = pair.interlay.cli(&args);
    let steps =
        ["step 1 of 3: 10 % of the reads", "step 2 of 3: 50 % of the reads", "step 3 of 3: 100 % of the reads", "all steps are done"];
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!((code, lines.len()), (0, steps.len()), "{stdout}{stderr}");
    assert!(lines.iter().zip(steps).all(|(line, step)| line.starts_with(step)), "{stdout}");
    assert_eq!(pair.interlay.number("target_read_percent"), 100);
    assert!(steps.iter().all(|step| noted(&pair.interlay).contains(step)), "{}", noted(&pair.interlay));

    assert_eq!(pair.interlay.cli(&["traffic", "0"]).code, 0);
    let toggled = pair.interlay.cli(&["traffic", "--toggle", "--dwell-s", "0", "--max-latency-ms", PATIENT, "--force"]);
    assert_eq!((toggled.code, toggled.stdout.lines().count()), (0, 2), "{toggled:?}");
    assert_eq!(pair.interlay.number("target_read_percent"), 100);
}

#[test]
fn a_plan_is_refused_while_nothing_proves_the_target_to_be_in_sync() {
    let pair = Pair::start("source-authoritative");
    let said = pair.interlay.cli(&["traffic", "--gradual"]);
    assert!(said.code == 1 && said.stderr.contains("refused: not every key was copied"), "{said:?}");
    assert_eq!(pair.interlay.number("target_read_percent"), 0);
}

#[test]
fn a_read_that_differs_steps_back() {
    let pair = Pair::start("source-authoritative");
    let mut conn = pair.interlay.conn();
    conn.call(["SET", "k", "v"]);
    pair.settled();
    pair.target.call(["SET", "k", "other"]);
    let shares = json!({"target_read_percent": 20, "shadow_percent": 100, "force": true});
    assert_eq!(pair.interlay.put("/api/v1/traffic", &shares).code, 200);
    let args = ["traffic", "--gradual", "--steps", "10,60", "--dwell-s", "600", "--max-latency-ms", PATIENT, "--force"];
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pair.interlay.cli(&args));
        eventually("the step holds", || pair.interlay.number("target_read_percent") == 60);
        assert_eq!(conn.call(["GET", "k"]), b"$1\r\nv\r\n", "what is compared is answered by the source");
        let said = waiting.join().expect("the command ends");
        let told = "trouble at step 1 of 1: 1 effects or shadow reads were answered otherwise by the target";
        assert!(said.code == 1 && said.stderr.starts_with(told) && said.stderr.contains("back to 20 %"), "{said:?}");
    });
    assert_eq!(pair.interlay.number("target_read_percent"), 20);
    assert!(noted(&pair.interlay).contains("trouble at step 1 of 1"), "{}", noted(&pair.interlay));
    pair.assert_equal();
}

#[test]
fn a_target_that_no_longer_answers_is_read_no_more() {
    let pair = Pair::with_warnings("source-authoritative", &[]);
    begin(&pair.interlay, &json!({"steps": [50], "dwell_ms": 600_000, "max_latency_ms": 50, "on_trouble": "zero", "force": true}));
    pair.target.freeze();
    let plan = ended(&pair.interlay);
    pair.target.thaw();
    assert_eq!(plan["state"], "trouble", "{plan:#}");
    assert_eq!(pair.interlay.number("target_read_percent"), 0);
}

#[test]
fn whoever_sets_the_share_or_the_authority_ends_the_plan() {
    let pair = Pair::start("source-authoritative");
    let plan = json!({"steps": [50], "dwell_ms": 600_000, "max_latency_ms": 60_000, "force": true});
    begin(&pair.interlay, &plan);
    let another = pair.interlay.put(PLAN, &plan);
    assert!(another.code == 409 && another.body.contains("another plan is under way"), "{another:?}");
    pair.interlay.split(30);
    assert_eq!(ended(&pair.interlay)["reason"], "the share was set by hand");
    assert_eq!(pair.interlay.number("target_read_percent"), 30);

    begin(&pair.interlay, &plan);
    let said = pair.interlay.cli(&["traffic", "--stop"]);
    assert!(said.code == 0 && said.stdout.contains("ended by hand"), "{said:?}");
    assert_eq!((pair.interlay.number("target_read_percent"), pair.interlay.cli(&["traffic", "--stop"]).code), (50, 1));

    assert_eq!(pair.interlay.cli(&["traffic", "0"]).code, 0);
    begin(&pair.interlay, &plan);
    let cutover = pair.interlay.cli(&["cutover", "--force"]);
    assert_eq!(cutover.code, 0, "{cutover:?}");
    let plan = ended(&pair.interlay);
    assert!(plan["state"] == "stopped" && plan["reason"].as_str().is_some_and(|why| why.contains("the target is in charge")), "{plan:#}");
}
