//! The admin port: HTTP/1 on a loopback address.
//!
//! In: requests of people, of the CLI, of Prometheus and of orchestrators. Out: what the data plane answers through its
//! [`Control`]. Nothing here holds state of its own, and nothing here can block the data plane. An error is always
//! `{"error", "hint"}` with the code of whose fault it is.

pub(crate) mod api;
pub(crate) mod audit;
pub(crate) mod backfill;
pub(crate) mod check;
mod error;
pub(crate) mod gate;
pub(crate) mod test_run;
pub(crate) mod traffic;
mod verify;
pub(crate) mod workflow;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, put};
use interlay_routing::Side;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::error::ApiError;
use crate::check::Checks;
use crate::control::Control;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::status::Status;
use crate::traffic::Plans;
use crate::workflow::Workflow;

/// Bytes of a request's body: a list of keys to be copied comes in several.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The description of this API. A test holds it to [`routes`].
const OPENAPI: &str = include_str!("admin/openapi.json");

/// What every route works with.
#[derive(Clone)]
struct Admin {
    control: Control,
    checks: Checks,
    metrics: Arc<Metrics>,
    events: Arc<Events>,
    plans: Plans,
    workflow: Workflow,
}

/// Serves the admin port until `shutdown`; then requests under way are still answered.
pub(crate) async fn serve(
    listener: TcpListener,
    control: Control,
    checks: Checks,
    events: Arc<Events>,
    state_dir: Option<PathBuf>,
    shutdown: CancellationToken,
) {
    let plans = Plans::default();
    let workflow = Workflow::new(control.clone(), checks.clone(), plans.clone(), Arc::clone(&events), state_dir);
    let admin = Admin { control, checks, metrics: Arc::new(Metrics::new()), events, plans, workflow: workflow.clone() };
    let service = router(admin).into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(shutdown.cancelled_owned());
    tokio::select! {
        served = served => {
            if let Err(error) = served {
                tracing::error!(%error, "admin port ended");
            }
        }
        () = workflow.keep() => {}
    }
}

fn routes() -> [(&'static str, MethodRouter<Admin>); 30] {
    [
        ("/healthz", get(healthz)),
        ("/readyz", get(readyz)),
        ("/metrics", get(metrics)),
        ("/api/v1/openapi.json", get(openapi)),
        ("/api/v1/status", get(api::status)),
        ("/api/v1/traffic", get(traffic::show).put(traffic::set)),
        ("/api/v1/traffic/plan", get(traffic::plan).put(traffic::begin_plan).delete(traffic::end_plan)),
        ("/api/v1/shadow", get(traffic::shadow)),
        ("/api/v1/policy", get(api::policy).put(api::set_policy)),
        ("/api/v1/repair", put(api::repair)),
        ("/api/v1/errors", get(api::errors)),
        ("/api/v1/check", get(check::last).put(check::run)),
        ("/api/v1/copy", put(backfill::copy)),
        ("/api/v1/backfill", get(backfill::progress).put(backfill::begin)),
        ("/api/v1/backfill/pause", put(backfill::pause)),
        ("/api/v1/backfill/resume", put(backfill::resume)),
        ("/api/v1/backfill/cancel", put(backfill::cancel)),
        ("/api/v1/backfill/limits", put(backfill::limit)),
        ("/api/v1/backfill/kept", get(backfill::kept)),
        ("/api/v1/backfill/survey", put(test_run::survey)),
        ("/api/v1/backfill/trial", put(test_run::trial)),
        ("/api/v1/verify", get(verify::report).put(verify::begin).delete(verify::cancel)),
        ("/api/v1/verify/differences", get(verify::differences)),
        ("/api/v1/gate", get(gate::conditions)),
        ("/api/v1/cutover", put(gate::cut_over)),
        ("/api/v1/rollback", put(gate::roll_back)),
        ("/api/v1/complete", put(gate::complete)),
        ("/api/v1/events", get(gate::events)),
        ("/api/v1/workflow", get(workflow::show).put(workflow::begin)),
        ("/api/v1/workflow/tell", put(workflow::tell)),
    ]
}

fn router(admin: Admin) -> Router {
    let routes = routes().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    routes
        .fallback(|uri: Uri| async move { ApiError::no_such_path(uri.path()) })
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move { ApiError::no_such_method(&method, uri.path()) })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(admin.clone(), audit::note))
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
