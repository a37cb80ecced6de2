use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use interlay_routing::{Condition, Difference, Differs, ErrorKey, Finding, KeptKey, Phase, PhaseRefused, Policy, ShadowMismatch, Step};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::backfill::Progress;
use crate::control::{Order, Refusal, channel};
use crate::plane::Passed;
use crate::plane::{BackfillChange, BackfillOrder, VerifyOrder};
use crate::status::tests::mirroring;
use crate::verification::Report;

/// A data plane that obeys, but for shifting reads without force.
pub(crate) fn data_plane(status: Status) -> Control {
    let (control, mut mailbox) = channel();
    tokio::spawn(async move {
        let mut status = status;
        while let Some(order) = mailbox.recv().await {
            match order {
                Order::Status(reply) => drop(reply.send(status.clone())),
                Order::SetTraffic { force: false, reply, .. } => drop(reply.send(Err(Refusal("not proved; --force".into())))),
                Order::SetTraffic { percent, reply, .. } => {
                    status.target_read_percent = percent;
                    drop(reply.send(Ok(())));
                }
                Order::SetShadow { percent, reply, .. } => {
                    status.shadow_percent = percent;
                    drop(reply.send(Ok(())));
                }
                Order::ShadowMismatches(reply) => {
                    let key = b"\xff\0"[..].into();
                    let [source, target] = ["$1\\r\\na\\r\\n".to_owned(), "$-1\\r\\n".to_owned()];
                    drop(reply.send(vec![ShadowMismatch { at_unix_ms: 5, db: 3, command: "get".into(), key, source, target }]));
                }
                Order::SetPolicy { policy, reply, .. } => {
                    status.policy = policy;
                    drop(reply.send(Ok(passed(&status))));
                }
                Order::CutOver { force, reply } => {
                    (status.phase, status.authority) = (Phase::Cutover, Side::Target);
                    let overridden = if force { vec!["synced: never copied".to_owned()] } else { Vec::new() };
                    drop(reply.send(Ok(Passed { overridden, ..passed(&status) })));
                }
                Order::RollBack { reply, .. } => {
                    (status.phase, status.authority) = (Phase::RolledBack, Side::Source);
                    drop(reply.send(Ok(passed(&status))));
                }
                Order::Complete(reply) => {
                    let refused = PhaseRefused { phase: status.phase, step: Step::Complete };
                    drop(reply.send(Err(Refusal(refused.to_string()))));
                }
                Order::Conditions(reply) => {
                    let met = Finding { condition: Condition::Target, unmet: None };
                    let unmet = Finding { condition: Condition::Clean, unmet: Some("5000 keys are dirty".to_owned()) };
                    drop(reply.send((status.phase, vec![met, unmet])));
                }
                Order::Backfill(BackfillOrder::Progress(reply)) => drop(reply.send(Progress::default())),
                Order::Backfill(BackfillOrder::Change { change, reply }) => {
                    let begun = matches!(change, BackfillChange::Begin(_));
                    let answer = begun.then(Progress::default).ok_or_else(|| Refusal("no backfill is under way".into()));
                    drop(reply.send(answer));
                }
                Order::Backfill(BackfillOrder::Kept(reply)) => {
                    drop(reply.send(vec![KeptKey { db: 3, key: b"\xff\0"[..].into(), reason: "kept".into() }]));
                }
                Order::Backfill(BackfillOrder::Copy { reply, .. }) => drop(reply.send(Ok(()))),
                Order::Repair { all, reply } => {
                    // All but one key, which keeps failing.
                    (status.sweeping, status.dirty_keys, status.error_keys) = (all, 1, 1);
                    drop(reply.send(Ok(status.clone())));
                    status.sweeping = false;
                }
                Order::Verify(VerifyOrder::Begin { options, reply }) => {
                    let answer = if options.quick { Err(Refusal("a verification is under way".into())) } else { Ok(verified()) };
                    drop(reply.send(answer));
                }
                Order::Verify(VerifyOrder::Report(reply)) => drop(reply.send(Some(verified()))),
                Order::Verify(VerifyOrder::Cancel(reply)) => drop(reply.send(Ok(verified()))),
                Order::Verify(VerifyOrder::Differences { limit, reply }) => {
                    let differing = |key: &[u8], kind| Difference { db: 1, key: key.into(), kind, detail: "why".to_owned() };
                    let both = [differing(b"k", Differs::Value), differing(b"\xff", Differs::OnlyTarget)];
                    drop(reply.send(both.into_iter().take(limit).collect()));
                }
                Order::Errors { limit, reply } => {
                    let key = b"caf\xc3\xa9\n"[..].into();
                    let odd = ErrorKey { db: 3, key: b"\xff\0"[..].into(), reason: "ERR no".into(), attempts: 4 };
                    let errors = [ErrorKey { db: 0, key, ..odd.clone() }, odd];
                    drop(reply.send((errors.into_iter().take(limit).collect(), 2)));
                }
            }
        }
    });
    control
}

fn passed(status: &Status) -> Passed {
    Passed { phase: status.phase, authority: status.authority, pause: Duration::from_micros(1500), overridden: Vec::new() }
}

/// How a verification has ended that has found one key to differ.
fn verified() -> Report {
    let json = json!({
        "state": "done", "reason": null, "waits_for": null, "equal": false, "line": "OK:9 V:1 >:0 <:0 T:0", "ok": 9, "value": 1,
        "only_source": 0, "only_target": 0, "ttl": 0, "unknown": 0, "expired": 0, "dirty": 0, "repaired": 0, "keys": 10,
        "keys_expected": 10, "waiting": 0, "elapsed_ms": 5, "wanted": {"sample": 100, "quick": false, "repair": false},
        "source": null, "target": null,
    });
    serde_json::from_value(json).expect("a report")
}

/// Checks that nobody makes.
pub(crate) fn unasked() -> Checks {
    crate::check::desk(interlay_routing::BySide { source: None, target: None }, None).0
}

fn admin_of(control: Control) -> Router {
    let (plans, events) = (Plans::default(), Arc::<Events>::default());
    let workflow = Workflow::new(control.clone(), unasked(), plans.clone(), Arc::clone(&events), None);
    router(Admin { control, checks: unasked(), metrics: Arc::new(Metrics::new()), events, plans, workflow })
}

/// The admin routes in front of a data plane that obeys.
fn admin(status: Status) -> Router {
    admin_of(data_plane(status))
}

/// The admin routes in front of a data plane that has ended.
fn abandoned() -> Router {
    admin_of(channel().0)
}

/// Code and body of the answer; a body that is not JSON comes as a string.
async fn call(router: &Router, method: &str, path: &str, body: impl Into<Body>) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    (code, serde_json::from_slice(&body).unwrap_or_else(|_| text()))
}

#[tokio::test]
async fn status_is_what_the_data_plane_says() {
    let (code, body) = call(&admin(mirroring()), "GET", "/api/v1/status", "").await;
    assert_eq!((code, body), (200, serde_json::to_value(mirroring()).unwrap()));
}

#[tokio::test]
async fn changes_are_answered_with_what_holds_now_and_read_back() {
    let admin = admin(mirroring());
    for (path, change, now) in [
        (
            "/api/v1/traffic",
            json!({"target_read_percent": 100, "shadow_percent": 7, "force": true}),
            json!({"target_read_percent": 100, "shadow_percent": 7}),
        ),
        ("/api/v1/policy", json!({"policy": "both-required"}), json!({"policy": Policy::BothRequired.name()})),
    ] {
        assert_eq!(call(&admin, "PUT", path, change.to_string()).await, (200, now.clone()));
        assert_eq!(call(&admin, "GET", path, "").await, (200, now));
    }
}

#[tokio::test]
async fn refusal_comes_with_its_reason() {
    let (code, body) = call(&admin(mirroring()), "PUT", "/api/v1/traffic", r#"{"target_read_percent": 25}"#).await;
    assert_eq!((code, body["error"].as_str()), (409, Some("not proved; --force")));
}

#[tokio::test]
async fn reads_that_differ_are_listed_as_text_where_they_are_and_as_base64_always() {
    let (code, shadow) = call(&admin(mirroring()), "GET", "/api/v1/shadow", "").await;
    let odd = json!({"at_unix_ms": 5, "db": 3, "command": "get", "key": null, "key_base64": "/wA=", "source": "$1\\r\\na\\r\\n", "target": "$-1\\r\\n"});
    assert_eq!((code, &shadow["mismatches"], &shadow["shadow_mismatches"]), (200, &json!([odd]), &json!(0)));
}

#[tokio::test]
async fn there_is_one_plan_at_most_and_a_share_by_hand_ends_it() {
    let admin = admin(mirroring());
    let plan = "/api/v1/traffic/plan";
    assert_eq!(call(&admin, "GET", plan, "").await.1["state"], "none");
    assert_eq!(call(&admin, "DELETE", plan, "").await.0, 409);
    let begin = || call(&admin, "PUT", plan, r#"{"steps": [50], "force": true}"#);
    let (code, begun) = begin().await;
    assert_eq!((code, &begun["state"], &begun["steps"]), (200, &json!("running"), &json!(1)));
    assert_eq!(begin().await.0, 409);
    let (_, share) = call(&admin, "PUT", "/api/v1/traffic", r#"{"target_read_percent": 30, "force": true}"#).await;
    let (_, ended) = call(&admin, "GET", plan, "").await;
    assert_eq!((&share["target_read_percent"], &ended["state"]), (&json!(30), &json!("stopped")));
    assert_eq!(begin().await.0, 200);
    assert_eq!(call(&admin, "DELETE", plan, "").await.1["reason"], "ended by hand");
}

#[tokio::test]
async fn the_gate_is_told_of_and_gone_through() {
    let admin = admin(mirroring());
    let (code, gate) = call(&admin, "GET", "/api/v1/gate", "").await;
    assert_eq!((code, &gate["open"], &gate["conditions"][1]["name"]), (200, &json!(false), &json!("few-dirty-keys")));
    let (code, changed) = call(&admin, "PUT", "/api/v1/cutover", r#"{"force": true}"#).await;
    let now = json!({"phase": "cutover", "authority": "target", "pause_us": 1500, "overridden": ["synced: never copied"]});
    assert_eq!((code, changed), (200, now));
    assert_eq!(call(&admin, "PUT", "/api/v1/rollback", "{}").await.1["phase"], "rolled-back");
    let (code, refused) = call(&admin, "PUT", "/api/v1/complete", "").await;
    assert_eq!(code, 409);
    assert!(refused["error"].as_str().unwrap().contains("interlay cutover"), "{refused}");
}

#[tokio::test]
async fn whoever_asks_for_a_change_is_noted_and_whoever_looks_is_not() {
    let admin = admin(mirroring());
    call(&admin, "GET", "/api/v1/status", "").await;
    call(&admin, "PUT", "/api/v1/cutover", "{}").await;
    call(&admin, "PUT", "/api/v1/policy", "nonsense\n").await;
    let (code, happened) = call(&admin, "GET", "/api/v1/events", "").await;
    let texts: Vec<_> = happened["events"].as_array().unwrap().iter().map(|event| event["text"].as_str().unwrap()).collect();
    assert_eq!((code, texts), (200, vec!["PUT /api/v1/cutover {}: 200", "PUT /api/v1/policy nonsense\\n: 400"]));
    assert_eq!((&happened["next"], &happened["events"][0]["who"]), (&json!(2), &json!("somebody")));
    let (_, rest) = call(&admin, "GET", "/api/v1/events?since=1&limit=5", "").await;
    assert_eq!(rest["events"].as_array().unwrap().len(), 1);
    assert_eq!(call(&admin, "GET", "/api/v1/events?since=x", "").await.0, 400);
}

#[tokio::test]
async fn error_keys_are_shown_as_text_where_they_are_and_as_base64_always() {
    let admin = admin(mirroring());
    let (code, body) = call(&admin, "GET", "/api/v1/errors", "").await;
    assert_eq!((code, &body["error_keys"]), (200, &json!(2)));
    assert_eq!(body["errors"][0]["key"], "caf\u{e9}\n");
    let odd = json!({"db": 3, "key": null, "key_base64": "/wA=", "reason": "ERR no", "attempts": 4});
    assert_eq!(body["errors"][1], odd);
    let (_, first) = call(&admin, "GET", "/api/v1/errors?limit=1", "").await;
    assert_eq!((first["errors"].as_array().map(Vec::len), &first["error_keys"]), (Some(1), &json!(2)));
    for query in ["limit=", "limit=x", "limit=-1", "max=1"] {
        assert_eq!(call(&admin, "GET", &format!("/api/v1/errors?{query}"), "").await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn repair_is_answered_with_how_things_are() {
    let admin = admin(mirroring());
    for (order, sweeping) in [("{}", false), (r#"{"all": true}"#, true)] {
        let (code, body) = call(&admin, "PUT", "/api/v1/repair", order).await;
        assert_eq!((code, &body["sweeping"]), (200, &json!(sweeping)), "{order}");
    }
}

#[tokio::test]
async fn keys_that_were_kept_come_a_line_each_and_can_be_given_back() {
    let admin = admin(mirroring());
    let (code, line) = call(&admin, "GET", "/api/v1/backfill/kept", "").await;
    assert_eq!((code, &line), (200, &json!({"db": 3, "key": null, "key_base64": "/wA=", "reason": "kept"})));
    assert_eq!(call(&admin, "PUT", "/api/v1/copy", json!({"keys": [line]}).to_string()).await, (200, json!(1)));
}

#[tokio::test]
async fn a_verification_is_begun_told_of_and_ended() {
    let admin = admin(mirroring());
    for (method, body) in [("PUT", "{}"), ("PUT", r#"{"sample": 7, "repair": true}"#), ("GET", ""), ("DELETE", "")] {
        let (code, report) = call(&admin, method, "/api/v1/verify", body).await;
        assert_eq!((code, report), (200, serde_json::to_value(verified()).unwrap()), "{method} {body}");
    }
    assert_eq!(call(&admin, "PUT", "/api/v1/verify", r#"{"quick": true}"#).await.0, 409);
    let (code, line) = call(&admin, "GET", "/api/v1/verify/differences?limit=1", "").await;
    let differing = json!({"db": 1, "key": "k", "key_base64": "aw==", "kind": "value", "detail": "why"});
    assert_eq!((code, line), (200, differing));
    let (_, lines) = call(&admin, "GET", "/api/v1/verify/differences", "").await;
    assert!(lines.as_str().is_some_and(|lines| lines.lines().count() == 2 && lines.contains(r#""key":null,"key_base64":"/w==""#)));
    assert_eq!(call(&admin, "GET", "/api/v1/verify/differences?limit=x", "").await.0, 400);
}

#[tokio::test]
async fn wrong_bodies_are_told_what_was_expected() {
    let admin = admin(mirroring());
    for (path, body) in [
        ("traffic", ""),
        ("traffic", "25"),
        ("traffic", r#"{"target_read_percent": 101}"#),
        ("traffic", r#"{"target_read_percent": 300}"#),
        ("traffic", r#"{"target_read_percent": -1}"#),
        ("traffic", r#"{"shadow_percent": 101}"#),
        ("traffic/plan", r#"{"steps": [5, 5]}"#),
        ("traffic/plan", r#"{"on_trouble": "up"}"#),
        ("traffic", r#"{"target_read_percent": 2.5}"#),
        ("traffic", r#"{"target_read_percent": 1, "forced": true}"#),
        ("traffic", r#"{"force": true}"#),
        ("verify", ""),
        ("verify", r#"{"sample": 0}"#),
        ("verify", r#"{"sample": 101}"#),
        ("verify", r#"{"fast": true}"#),
        ("policy", r#"{"policy": "both"}"#),
        ("policy", r#"{"policy": "best-effort"} trailing"#),
        ("policy", r#"{"policy": "best-effort", "force": 1}"#),
        ("cutover", "[]"),
        ("traffic", "[50]"),
        ("backfill", ""),
        ("backfill", r#"{"conflict": "keep"}"#),
        ("backfill", r#"{"matches": "a*"}"#),
        ("backfill/limits", "5"),
        ("backfill/survey", r#"{"sample": 0}"#),
        ("backfill/trial", "{}"),
        ("backfill/trial", r#"{"keys": 0}"#),
        ("backfill/trial", r#"{"keys": 10001}"#),
        ("copy", "{}"),
        ("copy", r#"{"keys": [{"db": 0}]}"#),
        ("repair", ""),
        ("repair", r#"{"everything": true}"#),
    ] {
        let (code, answer) = call(&admin, "PUT", &format!("/api/v1/{path}"), body).await;
        assert_eq!(code, 400, "{body}");
        assert!(answer["hint"].as_str().is_some_and(|hint| hint.starts_with("expected {")), "{body}: {answer}");
    }
    let huge = " ".repeat(BODY_BYTES_MAX + 1);
    let (code, answer) = call(&admin, "PUT", "/api/v1/policy", huge).await;
    assert_eq!((code, answer["hint"].is_string()), (413, true));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_json_errors_too() {
    let admin = admin(mirroring());
    for (method, path, expected) in [("GET", "/", 404), ("GET", "/api/v1/nothing", 404), ("DELETE", "/api/v1/policy", 405)] {
        let (code, body) = call(&admin, method, path, "").await;
        assert_eq!((code, body["error"].is_string()), (expected, true), "{method} {path}");
    }
}

#[tokio::test]
async fn ready_means_that_the_authority_is_connected() {
    let mut status = mirroring();
    assert_eq!(call(&admin(status.clone()), "GET", "/readyz", "").await.0, 200);

    status.authority = Side::Target;
    let (code, body) = call(&admin(status.clone()), "GET", "/readyz", "").await;
    let reason = "the target 10.0.0.2:6379 is in charge and not connected: connection refused";
    assert_eq!((code, body["error"].as_str()), (503, Some(reason)));
}

#[tokio::test]
async fn process_without_its_data_plane_lives_but_is_not_ready() {
    let admin = abandoned();
    assert_eq!(call(&admin, "GET", "/healthz", "").await.0, 200);
    for path in ["/readyz", "/metrics", "/api/v1/status", "/api/v1/traffic", "/api/v1/policy", "/api/v1/errors"] {
        let (code, body) = call(&admin, "GET", path, "").await;
        assert_eq!((code, body["error"].is_string()), (503, true), "{path}");
    }
}

#[tokio::test]
async fn metrics_show_the_status() {
    let (code, body) = call(&admin(mirroring()), "GET", "/metrics", "").await;
    assert_eq!(code, 200);
    assert!(body.as_str().is_some_and(|text| text.contains("\ninterlay_dirty_keys 5\n")), "{body}");
}

#[tokio::test]
async fn openapi_has_every_path_with_exactly_its_methods() {
    let admin = admin(mirroring());
    let (_, document) = call(&admin, "GET", "/api/v1/openapi.json", "").await;
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<_> = paths.keys().map(String::as_str).collect();
    assert_eq!(described, routes().map(|(path, _)| path).into_iter().collect());

    for (path, methods) in paths {
        for method in ["get", "put", "post", "patch", "delete"] {
            let (code, _) = call(&admin, &method.to_uppercase(), path, "").await;
            assert_eq!(code != 405, methods.get(method).is_some(), "{method} {path} is {code}");
            let answers = methods.get(method).map(|operation| &operation["responses"]);
            assert!(answers.is_none_or(|answers| answers.get(code.to_string()).is_some()), "{method} {path}: {code} is not described");
        }
    }
}

#[tokio::test]
async fn openapi_describes_every_field_of_the_status() {
    let (_, document) = call(&admin(mirroring()), "GET", "/api/v1/openapi.json", "").await;
    let schemas = &document["components"]["schemas"];
    let names = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let status = serde_json::to_value(mirroring()).unwrap();
    assert_eq!(names(&schemas["Status"]["properties"]), names(&status));
    assert_eq!(names(&schemas["SideStatus"]["properties"]), names(&status["source"]));
    let policies: Vec<_> = Policy::ALL.map(|(_, name)| name).to_vec();
    assert_eq!(schemas["Policy"]["enum"], json!(policies));
}
