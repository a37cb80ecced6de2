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
    let [limit] = numbers(&uri, ["limit"])?;
    let limit = limit.map_or(ERRORS_LIMIT, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let (errors, error_keys) = admin.control.errors(limit).await?;
    Ok(Json(Errors { error_keys: error_keys as u64, errors: errors.into_iter().map(KeyError::from).collect() }))
}

/// The numbers in a query that may have them under these names, and nothing else.
pub(super) fn numbers<const N: usize>(uri: &Uri, names: [&str; N]) -> Result<[Option<u64>; N], ApiError> {
    let mut numbers = [None; N];
    for pair in uri.query().into_iter().flat_map(|query| query.split('&')) {
        let place =
            pair.split_once('=').and_then(|(name, value)| Some((names.iter().position(|known| *known == name)?, value.parse().ok()?)));
        let Some((at, number)) = place else {
            let expected = names.map(|name| format!("{name}=NUMBER")).join("&");
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "no such query", format!("expected ?{expected}, or less of it")));
        };
        numbers[at] = Some(number);
    }
    Ok(numbers)
}

/// Reads a JSON body, whatever its content type says: people send it with plain `curl -d`.
pub(super) fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>, expected: &str) -> Result<T, ApiError> {
    let body = body.map_err(|rejection| ApiError::new(rejection.status(), rejection.body_text(), expected))?;
    let bad = |error: String| ApiError::new(StatusCode::BAD_REQUEST, error, expected);
    // An array would be read as the fields in their order.
    match serde_json::from_slice(&body) {
        Ok(object @ serde_json::Value::Object(_)) => serde_json::from_value(object).map_err(|error| bad(error.to_string())),
        Ok(_) => Err(bad("the body is no JSON object".to_owned())),
        Err(error) => Err(bad(error.to_string())),
    }
}
