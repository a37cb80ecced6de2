//! The routes of backfills and of keys to be copied, and their bodies, which the CLI shares.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use interlay_routing::KeptKey;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::api::read;
use super::error::ApiError;
use crate::backfill::{DBS_MAX, Limits, PATTERN_BYTES_MAX, Progress, Wanted};
use crate::plane::BackfillChange as Change;

/// A key as text, or base64, with its database: a line of a list that is given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyLine {
    /// Its database.
    pub(crate) db: u32,
    /// The key, if it is text.
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// The key, whatever it is.
    #[serde(default)]
    pub(crate) key_base64: Option<String>,
    /// What there is to say of it.
    #[serde(default)]
    pub(crate) reason: String,
}

impl KeyLine {
    /// The key's bytes; base64 goes first.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        match (&self.key_base64, &self.key) {
            (Some(base64), _) => STANDARD.decode(base64).ok(),
            (None, key) => key.clone().map(String::into_bytes),
        }
    }
}

impl From<KeptKey> for KeyLine {
    fn from(KeptKey { db, key, reason }: KeptKey) -> Self {
        let key_base64 = Some(STANDARD.encode(&key));
        Self { db, key: String::from_utf8(key.into()).ok(), key_base64, reason }
    }
}

/// Keys to be copied.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Copy {
    /// At most a few at once: what a body holds.
    pub(crate) keys: Vec<KeyLine>,
}

pub(super) async fn progress(State(admin): State<Admin>) -> Result<Json<Progress>, ApiError> {
    Ok(Json(admin.control.backfill().await?))
}

pub(super) async fn begin(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<Progress>, ApiError> {
    const EXPECTED: &str = r#"expected {"match": a glob, "type": a type, "dbs": [numbers], "conflict": "replace", "none" or "merge", "keys_per_s": a number, "bytes_per_s": a number, "no_auto_limit": true or false}, all being optional"#;
    let wanted: Wanted = read(body, EXPECTED)?;
    let long = wanted.pattern.as_ref().is_some_and(|pattern| pattern.len() > PATTERN_BYTES_MAX);
    if long || wanted.dbs.len() > DBS_MAX || wanted.kind.as_ref().is_some_and(|kind| kind.len() > PATTERN_BYTES_MAX) {
        let error = format!("a pattern or type has {PATTERN_BYTES_MAX} bytes at most, and {DBS_MAX} databases can be named");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, error, EXPECTED));
    }
    change(&admin, Change::Begin(wanted.into())).await
}

pub(super) async fn pause(State(admin): State<Admin>) -> Result<Json<Progress>, ApiError> {
    change(&admin, Change::Pause).await
}

pub(super) async fn resume(State(admin): State<Admin>) -> Result<Json<Progress>, ApiError> {
    change(&admin, Change::Resume).await
}

pub(super) async fn cancel(State(admin): State<Admin>) -> Result<Json<Progress>, ApiError> {
    change(&admin, Change::Cancel).await
}

pub(super) async fn limit(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<Progress>, ApiError> {
    const EXPECTED: &str =
        r#"expected {"keys_per_s": a number, "bytes_per_s": a number, "no_auto_limit": true or false}, all being optional; 0 is no limit"#;
    let limits: Limits = read(body, EXPECTED)?;
    change(&admin, Change::Limit(limits.into())).await
}

async fn change(admin: &Admin, change: Change) -> Result<Json<Progress>, ApiError> {
    Ok(Json(admin.control.change_backfill(change).await?))
}

/// JSON Lines.
pub(super) async fn kept(State(admin): State<Admin>) -> Result<impl IntoResponse, ApiError> {
    let kept = admin.control.kept_keys().await?;
    let lines: String =
        kept.into_iter().filter_map(|key| serde_json::to_string(&KeyLine::from(key)).ok()).map(|line| line + "\n").collect();
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], lines))
}

pub(super) async fn copy(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<u64>, ApiError> {
    const EXPECTED: &str = r#"expected {"keys": [{"db": a number, "key": text}, or "key_base64" instead of "key"]}"#;
    let Copy { keys } = read(body, EXPECTED)?;
    let bytes: Option<Vec<_>> = keys.iter().map(|line| Some((line.db, line.bytes()?))).collect();
    let bytes = bytes.ok_or_else(|| ApiError::new(StatusCode::BAD_REQUEST, "a key without a name, or no base64", EXPECTED))?;
    admin.control.copy(bytes).await?;
    Ok(Json(keys.len() as u64))
}
