//! Who asked for what, and what came of it: a line among the events for each request that may change something.

use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::{Admin, BODY_BYTES_MAX};
use crate::events::Kind;

/// Names whoever asks; the CLI sets it. It is believed, since whoever reaches the admin port may do everything.
pub(crate) const WHO: &str = "x-interlay-who";

/// Bytes of a body that are shown.
const SHOWN: usize = 200;

/// Notes a request and its answer's code.
pub(super) async fn note(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let who = who(request.headers(), peer);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        let error = format!("the body is longer than {BODY_BYTES_MAX} bytes, or was cut short");
        return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error, "nothing has changed").into_response();
    };
    let shown = String::from_utf8_lossy(body.get(..SHOWN).unwrap_or(&body));
    let shown: String = shown.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect();
    let response = next.run(Request::from_parts(head, Body::from(body))).await;
    admin.events.note_of(Kind::Asked, Some(who), format!("{method} {path} {shown}: {}", response.status().as_u16()));
    response
}

fn who(headers: &HeaderMap, peer: Option<SocketAddr>) -> String {
    let name = headers.get(WHO).and_then(|value| value.to_str().ok()).unwrap_or("somebody");
    peer.map_or_else(|| name.to_owned(), |peer| format!("{name} from {peer}"))
}
