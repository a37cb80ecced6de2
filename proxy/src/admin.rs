//! The admin port: HTTP/1 on a loopback address.
//!
//! In: requests of people, of the CLI, of Prometheus and of orchestrators. Out: what the data plane answers through its
//! [`Control`]. Nothing here holds state of its own, and nothing here can block the data plane. An error is always
//! `{"error", "hint"}` with the code of whose fault it is.

pub(crate) mod api;
mod error;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, put};
use interlay_routing::Side;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::error::ApiError;
use crate::control::Control;
use crate::metrics::Metrics;
use crate::status::Status;

/// Bytes of a request's body: ten times the longest one that makes sense.
const BODY_BYTES_MAX: usize = 1024;

/// The description of this API. A test holds it to [`routes`].
const OPENAPI: &str = include_str!("admin/openapi.json");

/// What every route works with.
#[derive(Clone)]
struct Admin {
    control: Control,
    metrics: Arc<Metrics>,
}

/// Serves the admin port until `shutdown`; then requests under way are still answered.
pub(crate) async fn serve(listener: TcpListener, control: Control, shutdown: CancellationToken) {
    let served = axum::serve(listener, router(control)).with_graceful_shutdown(shutdown.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "admin port ended");
    }
}

fn routes() -> [(&'static str, MethodRouter<Admin>); 9] {
    [
        ("/healthz", get(healthz)),
        ("/readyz", get(readyz)),
        ("/metrics", get(metrics)),
        ("/api/v1/openapi.json", get(openapi)),
        ("/api/v1/status", get(api::status)),
        ("/api/v1/traffic", get(api::traffic).put(api::set_traffic)),
        ("/api/v1/policy", get(api::policy).put(api::set_policy)),
        ("/api/v1/repair", put(api::repair)),
        ("/api/v1/errors", get(api::errors)),
    ]
}

fn router(control: Control) -> Router {
    let admin = Admin { control, metrics: Arc::new(Metrics::new()) };
    let routes = routes().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    routes
        .fallback(|uri: Uri| async move { ApiError::no_such_path(uri.path()) })
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move { ApiError::no_such_method(&method, uri.path()) })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(admin)
}

/// The process lives. Does not ask the data plane: whether that can serve is what `/readyz` says.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Clients can be served.
async fn readyz(State(admin): State<Admin>) -> Result<&'static str, ApiError> {
    let status = admin.control.status().await?;
    match unready(&status) {
        None => Ok("ready\n"),
        Some(reason) => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, reason, "the lane is connected again by itself")),
    }
}

/// Why clients cannot be served; none if they can.
fn unready(status: &Status) -> Option<String> {
    let side: Side = status.authority;
    let lane = status.side(side).filter(|lane| !lane.connected)?;
    let cause = lane.last_error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
    Some(format!("the {side} {} is in charge and not connected{cause}", lane.address))
}

async fn metrics(State(admin): State<Admin>) -> Result<impl IntoResponse, ApiError> {
    let status = admin.control.status().await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.metrics.render(&status)))
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

#[cfg(test)]
pub(crate) mod tests;
