use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use interlay_routing::{ErrorKey, Policy};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::control::{Order, Refusal, channel};
use crate::status::tests::mirroring;

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
                Order::SetPolicy { policy, reply, .. } => {
                    status.policy = policy;
                    drop(reply.send(Ok(())));
                }
                Order::Repair { all, reply } => {
                    // All but one key, which keeps failing.
                    (status.sweeping, status.dirty_keys, status.error_keys) = (all, 1, 1);
                    drop(reply.send(Ok(status.clone())));
                    status.sweeping = false;
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

/// The admin routes in front of a data plane that obeys.
fn admin(status: Status) -> Router {
    router(data_plane(status))
}

/// The admin routes in front of a data plane that has ended.
fn abandoned() -> Router {
    router(channel().0)
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
        ("/api/v1/traffic", json!({"target_read_percent": 100, "force": true}), json!({"target_read_percent": 100})),
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
async fn wrong_bodies_are_told_what_was_expected() {
    let admin = admin(mirroring());
    for (path, body) in [
        ("traffic", ""),
        ("traffic", "25"),
        ("traffic", r#"{"target_read_percent": 101}"#),
        ("traffic", r#"{"target_read_percent": 300}"#),
        ("traffic", r#"{"target_read_percent": -1}"#),
        ("traffic", r#"{"target_read_percent": 2.5}"#),
        ("traffic", r#"{"target_read_percent": 1, "forced": true}"#),
        ("traffic", r#"{"force": true}"#),
        ("policy", r#"{"policy": "both"}"#),
        ("policy", r#"{"policy": "best-effort"} trailing"#),
        ("policy", r#"{"policy": "best-effort", "force": 1}"#),
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
