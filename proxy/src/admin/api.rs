//! The routes under `/api/v1`, and their bodies, which the CLI shares.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use interlay_routing::{ErrorKey, Policy};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::error::ApiError;
pub(crate) use super::error::ErrorBody;
use crate::status::{Status, policy_name};

/// Which reads go to the target.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// Per cent of the reads, 0..=100.
    pub(crate) target_read_percent: u8,
}

/// The body of a change of [`Traffic`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetTraffic {
    /// Per cent of the reads, 0..=100.
    pub(crate) target_read_percent: u8,
    /// Whether to do it even though nothing has proved the target to be in sync.
    #[serde(default)]
    pub(crate) force: bool,
}

/// Which policy holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CurrentPolicy {
    /// The policy of the next write.
    #[serde(with = "policy_name")]
    pub(crate) policy: Policy,
}

/// The body of a change of [`CurrentPolicy`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetPolicy {
    /// The policy of the next write.
    #[serde(with = "policy_name")]
    pub(crate) policy: Policy,
    /// Whether to do it even though the sides may differ.
    #[serde(default)]
    pub(crate) force: bool,
}

/// The body of an order to copy keys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repair {
    /// Whether every key is to be copied, and not only the dirty ones.
    #[serde(default)]
    pub(crate) all: bool,
}

/// Keys that keep failing to be copied.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Errors {
    /// How many there are.
    pub(crate) error_keys: u64,
    /// As many of them as were asked for, and fit.
    pub(crate) errors: Vec<KeyError>,
}

/// A key that keeps failing to be copied.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyError {
    /// Its database.
    pub(crate) db: u32,
    /// The key, if it is text.
    pub(crate) key: Option<String>,
    /// The key, whatever it is.
    pub(crate) key_base64: String,
    /// What the server said the last time.
    pub(crate) reason: String,
    /// How often it was tried since it was asked for.
    pub(crate) attempts: u32,
}

impl From<ErrorKey> for KeyError {
    fn from(ErrorKey { db, key, reason, attempts }: ErrorKey) -> Self {
        let key_base64 = STANDARD.encode(&key);
        Self { db, key: String::from_utf8(key.into()).ok(), key_base64, reason, attempts }
    }
}

/// Error keys in one answer, unless told.
const ERRORS_LIMIT: usize = 1000;

pub(super) async fn status(State(admin): State<Admin>) -> Result<Json<Status>, ApiError> {
    Ok(Json(admin.control.status().await?))
}

pub(super) async fn traffic(State(admin): State<Admin>) -> Result<Json<Traffic>, ApiError> {
    let Status { target_read_percent, .. } = admin.control.status().await?;
    Ok(Json(Traffic { target_read_percent }))
}

pub(super) async fn set_traffic(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<Traffic>, ApiError> {
    const EXPECTED: &str = r#"expected {"target_read_percent": a number from 0 to 100, "force": true or false}, force being optional"#;
    let SetTraffic { target_read_percent, force } = read(body, EXPECTED)?;
    if target_read_percent > 100 {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, format!("{target_read_percent} is not a percentage"), EXPECTED));
    }
    admin.control.set_traffic(target_read_percent, force).await?;
    Ok(Json(Traffic { target_read_percent }))
}

pub(super) async fn policy(State(admin): State<Admin>) -> Result<Json<CurrentPolicy>, ApiError> {
    let Status { policy, .. } = admin.control.status().await?;
    Ok(Json(CurrentPolicy { policy }))
}

pub(super) async fn set_policy(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<CurrentPolicy>, ApiError> {
    const EXPECTED: &str = r#"expected {"policy": a policy's name, "force": true or false}, force being optional"#;
    let SetPolicy { policy, force } = read(body, EXPECTED)?;
    admin.control.set_policy(policy, force).await?;
    Ok(Json(CurrentPolicy { policy }))
}

pub(super) async fn repair(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<Status>, ApiError> {
    const EXPECTED: &str = r#"expected {"all": true or false}, all being optional"#;
    let Repair { all } = read(body, EXPECTED)?;
    Ok(Json(admin.control.repair(all).await?))
}

pub(super) async fn errors(State(admin): State<Admin>, uri: Uri) -> Result<Json<Errors>, ApiError> {
    let limit = match uri.query() {
        None => Some(ERRORS_LIMIT),
        Some(query) => query.strip_prefix("limit=").and_then(|limit| limit.parse().ok()),
    };
    let malformed = || ApiError::new(StatusCode::BAD_REQUEST, "no such query", "expected ?limit= and a number, or nothing");
    let limit = limit.ok_or_else(malformed)?;
    let (errors, error_keys) = admin.control.errors(limit).await?;
    Ok(Json(Errors { error_keys: error_keys as u64, errors: errors.into_iter().map(KeyError::from).collect() }))
}

/// Reads a JSON body, whatever its content type says: people send it with plain `curl -d`.
fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>, expected: &str) -> Result<T, ApiError> {
    let body = body.map_err(|rejection| ApiError::new(rejection.status(), rejection.body_text(), expected))?;
    serde_json::from_slice(&body).map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, error.to_string(), expected))
}
