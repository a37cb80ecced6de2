//! The routes of the guided workflow, and their bodies, which the CLI shares.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use interlay_migration::workflow::{Setup, Word};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::api::read;
use super::audit::WHO;
use super::error::ApiError;
use crate::workflow::{View, WorkflowError};

/// What a person says to the run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tell {
    /// The word.
    pub(crate) word: Word,
    /// Why, for the record.
    #[serde(default)]
    pub(crate) note: String,
}

pub(super) async fn show(State(admin): State<Admin>) -> Result<Json<View>, ApiError> {
    Ok(Json(admin.workflow.view()?))
}

pub(super) async fn begin(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<View>, ApiError> {
    const EXPECTED: &str = "expected the setup of a run as /api/v1/openapi.json has it; {} for the defaults";
    let setup: Setup = read(body, EXPECTED)?;
    Ok(Json(admin.workflow.begin(setup, who(&headers)).await?))
}

pub(super) async fn tell(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<View>, ApiError> {
    const EXPECTED: &str = r#"expected {"word": approve, advance, accept, roll-back or abort, "note": why}, note being optional"#;
    let Tell { word, note } = read(body, EXPECTED)?;
    Ok(Json(admin.workflow.tell(word, who(&headers), &note).await?))
}

fn who(headers: &HeaderMap) -> &str {
    headers.get(WHO).and_then(|value| value.to_str().ok()).unwrap_or("somebody")
}

impl From<WorkflowError> for ApiError {
    fn from(error: WorkflowError) -> Self {
        let (code, hint) = match error {
            WorkflowError::Control(error) => return error.into(),
            WorkflowError::None => (StatusCode::NOT_FOUND, "PUT a setup to this path, {} for the defaults"),
            WorkflowError::Setup(_) => (StatusCode::BAD_REQUEST, "nothing has begun"),
            WorkflowError::UnderWay(_) | WorkflowError::NotNow(_) => (StatusCode::CONFLICT, "nothing has changed"),
            WorkflowError::Unkept(_) => (StatusCode::SERVICE_UNAVAILABLE, "look at the state directory"),
        };
        Self::new(code, error.to_string(), hint)
    }
}
