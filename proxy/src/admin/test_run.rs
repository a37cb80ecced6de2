//! The routes of test runs of a backfill, and their bodies, which the CLI shares.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use interlay_migration::trial::{KEYS_MAX, Trial};
use interlay_migration::{Filter, TestRunError, survey};
use interlay_routing::Side;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::{Admin, api};
use crate::backfill::{DBS_MAX, PATTERN_BYTES_MAX};
use crate::test_run::{Failure, Surveyed};

/// The body of an order for a dry run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WantedSurvey {
    /// Only keys that match this glob, as SCAN understands it.
    #[serde(rename = "match")]
    pub(crate) pattern: Option<String>,
    /// Only keys of this type, as TYPE names it.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// Only these databases; all if there are none.
    pub(crate) dbs: Vec<u32>,
    /// About how many keys are asked about.
    pub(crate) sample: Option<u64>,
}

/// The body of an order for a trial.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedTrial {
    /// Only keys that match this glob, as SCAN understands it.
    #[serde(rename = "match", default)]
    pub(crate) pattern: Option<String>,
    /// Only keys of this type, as TYPE names it.
    #[serde(rename = "type", default)]
    pub(crate) kind: Option<String>,
    /// Only these databases; all if there are none.
    #[serde(default)]
    pub(crate) dbs: Vec<u32>,
    /// How many keys are tried.
    pub(crate) keys: u32,
}

pub(super) async fn survey(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<Surveyed>, ApiError> {
    const EXPECTED: &str =
        r#"expected {"match": a glob, "type": a type, "dbs": [numbers], "sample": a number above 0}, all being optional"#;
    let WantedSurvey { pattern, kind, dbs, sample } = api::read(body, EXPECTED)?;
    let filter = filter(pattern, kind, dbs, EXPECTED)?;
    let sample = sample.unwrap_or(survey::SAMPLE);
    if sample == 0 {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "a sample of no keys", EXPECTED));
    }
    Ok(Json(admin.checks.test_runs.survey(filter, sample).await?))
}

pub(super) async fn trial(State(admin): State<Admin>, body: Result<Bytes, BytesRejection>) -> Result<Json<Trial>, ApiError> {
    const EXPECTED: &str =
        r#"expected {"keys": a number from 1 to 10000, "match": a glob, "type": a type, "dbs": [numbers]}, all but keys being optional"#;
    let WantedTrial { pattern, kind, dbs, keys } = api::read(body, EXPECTED)?;
    let filter = filter(pattern, kind, dbs, EXPECTED)?;
    if !(1..=KEYS_MAX).contains(&keys) {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, format!("a trial is of 1 to {KEYS_MAX} keys"), EXPECTED));
    }
    if admin.control.status().await?.authority == Side::Target {
        // Its writes would be noticed, and mirrored to the source.
        let error = "the target is in charge, and a trial writes nothing to the authority";
        return Err(ApiError::new(StatusCode::CONFLICT, error, "`interlay rollback` makes the source the authority again"));
    }
    Ok(Json(admin.checks.test_runs.trial(filter, keys).await?))
}

fn filter(pattern: Option<String>, kind: Option<String>, dbs: Vec<u32>, expected: &str) -> Result<Filter, ApiError> {
    let long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > PATTERN_BYTES_MAX);
    if long(&pattern) || long(&kind) || dbs.len() > DBS_MAX {
        let error = format!("a pattern or type has {PATTERN_BYTES_MAX} bytes at most, and {DBS_MAX} databases can be named");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, error, expected));
    }
    Ok(Filter { pattern, kind, dbs })
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let (code, hint) = match &failure {
            Failure::NoTarget => (StatusCode::CONFLICT, "serve with a target"),
            Failure::Servers(TestRunError::Lost { .. }) => (StatusCode::SERVICE_UNAVAILABLE, "see that the server runs, and try again"),
            Failure::Servers(_) => (StatusCode::CONFLICT, "`interlay check` says what stands in the way"),
            Failure::Gone => (StatusCode::SERVICE_UNAVAILABLE, "one is made at a time; try again, unless the process is ending"),
        };
        Self::new(code, failure.to_string(), hint)
    }
}
