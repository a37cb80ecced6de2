//! How the admin port says no.

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::control::ControlError;

/// The body of every answer that is an error.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorBody {
    /// What is wrong.
    pub(crate) error: String,
    /// What to do about it.
    pub(crate) hint: String,
}

/// An error with its code.
#[derive(Debug)]
pub(super) struct ApiError {
    code: StatusCode,
    body: ErrorBody,
}

impl ApiError {
    pub(super) fn new(code: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, body: ErrorBody { error: error.into(), hint: hint.into() } }
    }

    pub(super) fn no_such_path(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no {path}"), "/api/v1/openapi.json lists every path")
    }

    pub(super) fn no_such_method(method: &Method, path: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not take {method}"), "/api/v1/openapi.json lists every method")
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        let (code, hint) = match &error {
            ControlError::Refused(_) => (StatusCode::CONFLICT, "nothing has changed"),
            ControlError::Gone => (StatusCode::SERVICE_UNAVAILABLE, "the process is ending; its log says why"),
            ControlError::Late => (StatusCode::SERVICE_UNAVAILABLE, "read it back before trying again: it may still happen"),
        };
        Self::new(code, error.to_string(), hint)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.code, Json(self.body)).into_response()
    }
}
