//! The routes of verifications.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, Uri, header};
use axum::response::IntoResponse;

use super::Admin;
use super::api::read;
use super::error::ApiError;
use crate::verification::{DifferingKey, Report, Wanted};

pub(super) async fn begin(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<Report>, ApiError> {
    const EXPECTED: &str =
        r#"expected {"sample": a number from 1 to 100, "quick": true or false, "repair": true or false}, all being optional"#;
    let wanted: Wanted = read(body, EXPECTED)?;
    if !(1..=100).contains(&wanted.sample) {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, format!("{} is not a share to sample", wanted.sample), EXPECTED));
    }
    Ok(Json(admin.control.verify(wanted.into()).await?))
}

pub(super) async fn report(State(admin): State<Admin>) -> Result<Json<Report>, ApiError> {
    let none = || ApiError::new(StatusCode::NOT_FOUND, "nothing was verified since the start", "PUT /api/v1/verify begins it");
    admin.control.verification().await?.map(Json).ok_or_else(none)
}

pub(super) async fn cancel(State(admin): State<Admin>) -> Result<Json<Report>, ApiError> {
    Ok(Json(admin.control.cancel_verification().await?))
}

/// JSON Lines.
pub(super) async fn differences(State(admin): State<Admin>, uri: Uri) -> Result<impl IntoResponse, ApiError> {
    let limit = match uri.query() {
        None => Some(usize::MAX),
        Some(query) => query.strip_prefix("limit=").and_then(|limit| limit.parse().ok()),
    };
    let malformed = || ApiError::new(StatusCode::BAD_REQUEST, "no such query", "expected ?limit= and a number, or nothing");
    let differences = admin.control.differences(limit.ok_or_else(malformed)?).await?;
    let lines: String =
        differences.into_iter().filter_map(|key| serde_json::to_string(&DifferingKey::from(key)).ok()).map(|line| line + "\n").collect();
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], lines))
}
