//! How a request fails: a status code, and a body that says what to do.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{ExplainError, NotReady, UnknownWorkload};

/// The body of every answer that is not 200.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The status code; it travels in the status line.
    #[serde(skip)]
    pub status: u16,
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Trouble {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, fix: Option<String>) -> Self {
        Self { status: status.as_u16(), error: error.into(), fix }
    }

    /// A query that means nothing.
    pub(super) fn query(error: &str, fix: Option<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, fix)
    }
}

impl From<UnknownWorkload> for Trouble {
    fn from(error: UnknownWorkload) -> Self {
        let fix = "`egret workloads` lists those it knows; they come from its workloads file";
        Self::new(StatusCode::NOT_FOUND, error.to_string(), Some(fix.to_owned()))
    }
}

impl From<ExplainError> for Trouble {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::UnknownWorkload(unknown) => unknown.into(),
            ExplainError::Unavailable(text) => Self::new(StatusCode::SERVICE_UNAVAILABLE, text, None),
        }
    }
}

impl From<NotReady> for Trouble {
    fn from(error: NotReady) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string(), None)
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self)).into_response()
    }
}
