//! The routes of the gate and of the events, and their bodies, which the CLI shares.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::Uri;
use interlay_routing::{Finding, Phase, Side};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::api::{numbers, read};
use super::error::ApiError;
use crate::events::Event;
use crate::plane::Passed;
use crate::status::{SideName, phase_name};

/// Events in one answer, unless told.
const EVENTS_LIMIT: usize = 100;

/// The body of an order to change the authority.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// Whether to do it whatever conditions yield to that.
    #[serde(default)]
    pub(crate) force: bool,
}

/// A change that has come to pass.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changed {
    /// The phase that it has led to.
    #[serde(with = "phase_name")]
    pub(crate) phase: Phase,
    /// The side in charge.
    #[serde(with = "SideName")]
    pub(crate) authority: Side,
    /// How long requests were held back, in microseconds.
    pub(crate) pause_us: u64,
    /// The conditions that force has overridden, with what was the matter.
    pub(crate) overridden: Vec<String>,
}

impl From<Passed> for Changed {
    fn from(Passed { phase, authority, pause, overridden }: Passed) -> Self {
        Self { phase, authority, pause_us: u64::try_from(pause.as_micros()).unwrap_or(u64::MAX), overridden }
    }
}

/// What has to hold before the authority changes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conditions {
    /// The phase.
    #[serde(with = "phase_name")]
    pub(crate) phase: Phase,
    /// Whether a change would be made now.
    pub(crate) open: bool,
    /// One by one.
    pub(crate) conditions: Vec<Condition>,
}

/// One thing that has to hold.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// Its name.
    pub(crate) name: String,
    /// Whether it holds.
    pub(crate) met: bool,
    /// What is the matter, and what to do about it, if it does not hold.
    pub(crate) why: Option<String>,
    /// Whether force overrides it.
    pub(crate) yields_to_force: bool,
}

impl From<Finding> for Condition {
    fn from(Finding { condition, unmet }: Finding) -> Self {
        Self { name: condition.name().to_owned(), met: unmet.is_none(), why: unmet, yields_to_force: condition.yields_to_force() }
    }
}

/// What has happened, oldest first.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Happened {
    /// The events.
    pub(crate) events: Vec<Event>,
    /// The number to ask from the next time.
    pub(crate) next: u64,
}

const EXPECTED: &str = r#"expected {"force": true or false}, force being optional"#;

pub(super) async fn conditions(State(admin): State<Admin>) -> Result<Json<Conditions>, ApiError> {
    let (phase, findings) = admin.control.conditions().await?;
    let conditions: Vec<Condition> = findings.into_iter().map(Condition::from).collect();
    Ok(Json(Conditions { phase, open: conditions.iter().all(|condition| condition.met), conditions }))
}

pub(super) async fn cut_over(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<Changed>, ApiError> {
    let Change { force } = read(body, EXPECTED)?;
    Ok(Json(admin.control.cut_over(force).await?.into()))
}

pub(super) async fn roll_back(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<Changed>, ApiError> {
    let Change { force } = read(body, EXPECTED)?;
    Ok(Json(admin.control.roll_back(force).await?.into()))
}

pub(super) async fn complete(State(admin): State<Admin>) -> Result<Json<Changed>, ApiError> {
    Ok(Json(admin.control.complete().await?.into()))
}

pub(super) async fn events(State(admin): State<Admin>, uri: Uri) -> Result<Json<Happened>, ApiError> {
    let [since, limit] = numbers(&uri, ["since", "limit"])?;
    let limit = limit.map_or(EVENTS_LIMIT, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut events = admin.events.since(since.unwrap_or(0));
    if since.is_none() {
        events.drain(..events.len().saturating_sub(limit));
    }
    events.truncate(limit);
    let next = events.last().map_or_else(|| since.unwrap_or(0), |event| event.seq + 1);
    Ok(Json(Happened { events, next }))
}
