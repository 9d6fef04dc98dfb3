//! How a problem becomes an answer: its body, its challenge, one line in the log.

use std::error::Error;

use axum::response::{IntoResponse, Response};
use countersign_types::{Problem, problem::CONTENT_TYPE};
use http::{HeaderValue, StatusCode, header};

/// Who challenges, in every `WWW-Authenticate` (RFC 9110 §11.5).
const REALM: &str = "countersign";

/// What goes into `WWW-Authenticate`.
pub(crate) enum Challenge {
    None,
    /// No token, or credentials of another kind: no error code (RFC 6750 §3.1).
    Bare,
    /// A token was sent that is not acceptable.
    InvalidToken(&'static str),
    /// The request itself is wrong.
    InvalidRequest(&'static str),
    /// The token is good, but not for this (RFC 6750 §3.1); the scopes that would be, if any.
    InsufficientScope(String),
}

/// The answer to an error: what its problem says, its challenge, and a line in the log where the
/// fault is ours.
pub(crate) fn answer(error: &dyn Error, problem: Problem, challenge: &Challenge) -> Response {
    if problem.status >= 500 {
        tracing::error!(
            problem.code = problem.code.as_str(),
            error = %Chain(error),
            "request failed"
        );
    } else {
        // For who wonders why: the answer tells no more than it may.
        tracing::debug!(
            problem.code = problem.code.as_str(),
            error = %Chain(error),
            "request refused"
        );
    }
    let mut response = problem_response(problem);
    let challenge = match challenge {
        Challenge::None => return response,
        Challenge::Bare => format!("Bearer realm=\"{REALM}\""),
        Challenge::InvalidToken(description) => format!(
            "Bearer realm=\"{REALM}\", error=\"invalid_token\", \
             error_description=\"{description}\""
        ),
        Challenge::InvalidRequest(description) => format!(
            "Bearer realm=\"{REALM}\", error=\"invalid_request\", \
             error_description=\"{description}\""
        ),
        Challenge::InsufficientScope(scopes) if scopes.is_empty() => {
            format!("Bearer realm=\"{REALM}\", error=\"insufficient_scope\"")
        }
        Challenge::InsufficientScope(scopes) => {
            format!("Bearer realm=\"{REALM}\", error=\"insufficient_scope\", scope=\"{scopes}\"")
        }
    };
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A problem as an answer. It goes along as an extension, so that a fault of ours can be given its
/// request id on the way out.
pub(crate) fn problem_response(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = (
        status,
        [
            (header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ],
        body,
    )
        .into_response();
    if let Some(seconds) = problem.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response.extensions_mut().insert(problem);
    response
}

/// An error with everything that caused it, for the log.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            // A transparent error repeats its source's words.
            if text != last {
                write!(f, ": {text}")?;
            }
            last = text;
            source = error.source();
        }
        Ok(())
    }
}
