//! The routes of shifting reads: the share, the sample that is compared, and plans.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use interlay_routing::ShadowMismatch;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::api::read;
use super::error::ApiError;
use crate::status::Status;
use crate::traffic::{Progress, State as PlanState, Wanted};

/// Which reads go to the target, and which are compared.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// Per cent of the reads, 0..=100.
    pub(crate) target_read_percent: u8,
    /// Per cent of the reads that both sides answer, to be compared.
    pub(crate) shadow_percent: u8,
}

/// The body of a change of [`Traffic`]: what is not given stays.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetTraffic {
    /// Per cent of the reads, 0..=100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target_read_percent: Option<u8>,
    /// Per cent of the reads, 0..=100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shadow_percent: Option<u8>,
    /// Whether to do it even though nothing has proved the target to be in sync.
    #[serde(default)]
    pub(crate) force: bool,
}

/// The reads that both sides were asked, and the last ones that they have answered differently.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shadow {
    /// Per cent of the reads that are compared.
    pub(crate) shadow_percent: u8,
    /// Reads put onto the secondary's lane to be compared, since the start.
    pub(crate) shadow_reads: u64,
    /// Those that it answered otherwise.
    pub(crate) shadow_mismatches: u64,
    /// Reads of the sample that were not compared.
    pub(crate) shadow_skipped: u64,
    /// The last mismatches, oldest first.
    pub(crate) mismatches: Vec<Mismatch>,
}

/// A read that the sides have answered differently.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mismatch {
    /// When, in ms since 1970.
    pub(crate) at_unix_ms: u64,
    /// Its database.
    pub(crate) db: u32,
    /// Its command.
    pub(crate) command: String,
    /// Its first key, if it is text.
    pub(crate) key: Option<String>,
    /// The key, whatever it is.
    pub(crate) key_base64: String,
    /// The source's reply as it was sent, escaped and shortened.
    pub(crate) source: String,
    /// The target's.
    pub(crate) target: String,
}

impl From<ShadowMismatch> for Mismatch {
    fn from(ShadowMismatch { at_unix_ms, db, command, key, source, target }: ShadowMismatch) -> Self {
        let key_base64 = STANDARD.encode(&key);
        Self { at_unix_ms, db, command: command.into(), key: String::from_utf8(key.into()).ok(), key_base64, source, target }
    }
}

impl From<&Status> for Traffic {
    fn from(status: &Status) -> Self {
        Self { target_read_percent: status.target_read_percent, shadow_percent: status.shadow_percent }
    }
}

pub(super) async fn show(State(admin): State<Admin>) -> Result<Json<Traffic>, ApiError> {
    Ok(Json((&admin.control.status().await?).into()))
}

pub(super) async fn set(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<Traffic>, ApiError> {
    const EXPECTED: &str = r#"expected {"target_read_percent": a number from 0 to 100, "shadow_percent": the same, "force": true or false}, one of the numbers and force being optional"#;
    let SetTraffic { target_read_percent, shadow_percent, force } = read(body, EXPECTED)?;
    let malformed = |error: String| Err(ApiError::new(StatusCode::BAD_REQUEST, error, EXPECTED));
    if let Some(percent) = [target_read_percent, shadow_percent].into_iter().flatten().find(|percent| *percent > 100) {
        return malformed(format!("{percent} is not a percentage"));
    }
    if target_read_percent.or(shadow_percent).is_none() {
        return malformed("neither number is given".to_owned());
    }
    if let Some(percent) = target_read_percent {
        admin.plans.end("the share was set by hand").await;
        admin.control.set_traffic(percent, force).await?;
    }
    if let Some(percent) = shadow_percent {
        admin.control.set_shadow(percent, force).await?;
    }
    show(State(admin)).await
}

pub(super) async fn shadow(State(admin): State<Admin>) -> Result<Json<Shadow>, ApiError> {
    let mismatches = admin.control.shadow_mismatches().await?.into_iter().map(Mismatch::from).collect();
    let status = admin.control.status().await?;
    let counter = |name: &str| status.counters.get(name).copied().unwrap_or(0);
    Ok(Json(Shadow {
        shadow_percent: status.shadow_percent,
        shadow_reads: counter("shadow_reads"),
        shadow_mismatches: counter("shadow_mismatches"),
        shadow_skipped: counter("shadow_skipped"),
        mismatches,
    }))
}

pub(super) async fn plan(State(admin): State<Admin>) -> Json<Progress> {
    Json(admin.plans.progress())
}

pub(super) async fn begin_plan(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<Progress>, ApiError> {
    const EXPECTED: &str = r#"expected {"steps": [growing numbers from 1 to 100], "dwell_ms": a number, "on_trouble": "back", "zero" or "stop", "max_mismatches", "max_rerouted_reads", "max_dirty_keys", "max_latency_ms": numbers, "force": true or false}, all being optional"#;
    let wanted: Wanted = read(body, EXPECTED)?;
    if let Some(problem) = wanted.problem() {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, problem, EXPECTED));
    }
    let status = admin.control.status().await?;
    let begun = admin.plans.begin(wanted, &status, admin.control.clone(), admin.events.clone());
    let another = || ApiError::new(StatusCode::CONFLICT, "another plan is under way", "`interlay traffic --stop` ends it");
    begun.map(Json).ok_or_else(another)
}

pub(super) async fn end_plan(State(admin): State<Admin>) -> Result<Json<Progress>, ApiError> {
    if !admin.plans.end("ended by hand").await {
        return Err(ApiError::new(StatusCode::CONFLICT, "no plan is under way", "nothing has changed"));
    }
    Ok(Json(admin.plans.progress()))
}

/// Whether a plan has come to its end.
pub(crate) fn is_over(progress: &Progress) -> bool {
    progress.state != PlanState::Running
}
