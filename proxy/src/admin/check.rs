//! The route of the compatibility check, and its bodies.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use interlay_migration::check::Report;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::{Admin, api};
use crate::check::CheckError;

/// The body of an order to check.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunCheck {
    /// What is acknowledged from now on.
    #[serde(default)]
    pub(crate) acknowledge: Vec<Note>,
}

/// That blocking findings of a name are to stop nothing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    /// The findings' name.
    pub(crate) name: String,
    /// Why.
    pub(crate) note: String,
}

/// What a body has to be.
const EXPECTED: &str = r#"expected {"acknowledge": [{"name": a check's name, "note": why}, ...]}, acknowledge being optional"#;

pub(super) async fn last(State(admin): State<Admin>) -> Result<Json<Report>, ApiError> {
    let none = || ApiError::new(StatusCode::NOT_FOUND, "nothing was checked since the start", "PUT {} to this path, or `interlay check`");
    admin.checks.last().map(Json).ok_or_else(none)
}

pub(super) async fn run(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<Report>, ApiError> {
    let RunCheck { acknowledge } = api::read(body, EXPECTED)?;
    let notes = acknowledge.into_iter().map(|Note { name, note }| (name, note)).collect();
    Ok(Json(admin.checks.run(notes).await?))
}

impl From<CheckError> for ApiError {
    fn from(error: CheckError) -> Self {
        let (code, hint) = match &error {
            CheckError::NoTarget => (StatusCode::CONFLICT, "serve with a target"),
            CheckError::NoSuchName(_) => (StatusCode::BAD_REQUEST, EXPECTED),
            CheckError::Unkept(_) => (StatusCode::SERVICE_UNAVAILABLE, "see to the state directory, and try again"),
            CheckError::Gone => (StatusCode::SERVICE_UNAVAILABLE, "try again, unless the process is ending"),
        };
        Self::new(code, error.to_string(), hint)
    }
}
