//! Refusals as flask-jwt-extended answers them, for clients that are written for it.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde_json::json;

use super::{
    GuardError, Refused, TokenForm,
    locations::{Absence, Missing},
};
use crate::token::Rejection;

/// A refusal with the status and the `msg` of flask-jwt-extended: for
/// [`Auth::answer_refusals`](super::Auth::answer_refusals), while clients move over.
///
/// ```
/// use countersign::{Auth, guard::flask_answer};
///
/// # fn compatible(auth: Auth) -> Auth {
/// auth.answer_refusals(flask_answer)
/// # }
/// ```
///
/// Statuses are its own: 422 for a token that is malformed, 401 for what is missing, expired,
/// revoked or not fresh, 400 for claims that the program refuses. There is no `WWW-Authenticate` and
/// no code; both are what RFC 6750 asks for, so this is for as long as it is needed.
pub fn flask_answer(refused: &Refused) -> Option<Response> {
    let (status, text) = flask_message(refused)?;
    Some((status, Json(json!({ "msg": text }))).into_response())
}

/// Status and text of [`flask_answer`], for programs that put them into another body; `None` where
/// that library has no such refusal.
///
/// ```
/// use axum::{Json, response::IntoResponse};
/// use countersign::{Auth, guard::flask_message};
/// use serde_json::json;
///
/// # fn compatible(auth: Auth) -> Auth {
/// // What JWT_ERROR_MESSAGE_KEY = "message" did.
/// auth.answer_refusals(|refused| {
///     let (status, text) = flask_message(refused)?;
///     Some((status, Json(json!({ "message": text }))).into_response())
/// })
/// # }
/// ```
pub fn flask_message(refused: &Refused) -> Option<(StatusCode, String)> {
    const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
    const INVALID: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

    let (status, text) = match refused.error() {
        GuardError::Missing(missing) => (UNAUTHORIZED, in_all(missing)),
        GuardError::NotAToken(form) => (INVALID, expected(form)),
        GuardError::MalformedAuthorization => (
            INVALID,
            "Bad Authorization header. Expected 'Authorization: Bearer <JWT>'".to_owned(),
        ),
        // It takes the first of two; to be understood, the answer says what is the matter.
        GuardError::Repeated => (INVALID, "More than one JWT in the request".to_owned()),
        GuardError::CsrfMissing(_) => (UNAUTHORIZED, "Missing CSRF token".to_owned()),
        GuardError::CsrfUnclaimed(_) => (INVALID, "Missing claim: csrf".to_owned()),
        GuardError::CsrfMismatch(_) => (
            UNAUTHORIZED,
            "CSRF double submit tokens do not match".to_owned(),
        ),
        GuardError::NotFresh => (UNAUTHORIZED, "Fresh token required".to_owned()),
        GuardError::Revoked => (UNAUTHORIZED, "Token has been revoked".to_owned()),
        GuardError::UnknownUser => {
            let sub = refused.token().and_then(|token| token.claims.get("sub"));
            let sub = sub.and_then(|sub| sub.as_str()).unwrap_or_default();
            let text = format!("Error loading the user {sub}");
            (UNAUTHORIZED, text.trim_end().to_owned())
        }
        GuardError::Token(Rejection::Expired) => (UNAUTHORIZED, "Token has expired".to_owned()),
        GuardError::Token(Rejection::Unfit) => (
            StatusCode::BAD_REQUEST,
            "User claims verification failed".to_owned(),
        ),
        GuardError::Token(rejection) => (INVALID, reason(*rejection)),
        GuardError::MissingScope(_)
        | GuardError::MissingRole(_)
        | GuardError::EmailUnverified
        | GuardError::BodyTooLarge
        | GuardError::BodyBrokeOff
        | GuardError::BodyNotRead
        | GuardError::Unavailable(_) => return None,
    };
    Some((status, text))
}

/// What it says where there is no token in any place.
fn in_all(missing: &Missing) -> String {
    let mut reasons = missing.absences.iter().map(in_one);
    match missing.absences.as_slice() {
        [_] => reasons.next().unwrap_or_default(),
        several => {
            let names: Vec<_> = several
                .iter()
                .map(|absence| absence.location().as_str())
                .collect();
            let (last, others) = names.split_last().unwrap_or((&"", &[]));
            let reasons: Vec<_> = reasons.collect();
            format!(
                "Missing JWT in {} or {last} ({})",
                others.join(", "),
                reasons.join("; ")
            )
        }
    }
}

/// What it says where there is no token in one place, its spelling included.
fn in_one(absence: &Absence) -> String {
    match absence {
        Absence::Header {
            name,
            scheme,
            is_there: true,
        } if !scheme.is_empty() => {
            format!("Missing '{scheme}' type in '{name}' header. Expected '{name}: {scheme} <JWT>'")
        }
        Absence::Header { name, .. } => format!("Missing {name} Header"),
        Absence::Cookie(name) => format!("Missing cookie \"{name}\""),
        Absence::Query(name) => format!("Missing '{name}' query paramater"),
        Absence::Json { is_json: false, .. } => {
            "Invalid content-type. Must be application/json.".to_owned()
        }
        Absence::Json { name, .. } => format!("Missing \"{name}\" key in json data."),
    }
}

fn expected(form: &TokenForm) -> String {
    match form {
        TokenForm::Header { name, scheme } => {
            let space = if scheme.is_empty() { "" } else { " " };
            format!("Bad {name} header. Expected '{name}: {scheme}{space}<JWT>'")
        }
        TokenForm::Query { name, prefix } => format!(
            "Invalid value for query parameter '{name}'. Expected the value to start with '{prefix}'"
        ),
    }
}

fn reason(rejection: Rejection) -> String {
    let text = match rejection {
        Rejection::MissingClaim(name @ "sub") => return format!("Missing claim: {name}"),
        Rejection::MissingClaim(name) => return format!("Token is missing the \"{name}\" claim"),
        Rejection::NotThreeParts => "Not enough segments",
        Rejection::Malformed => "Invalid header padding",
        Rejection::WrongAlgorithm => "The specified alg value is not allowed",
        Rejection::BadSignature | Rejection::UnknownKey => "Signature verification failed",
        Rejection::NotYetValid => "The token is not yet valid (nbf)",
        Rejection::WrongAudience => "Audience doesn't match",
        Rejection::WrongIssuer => "Invalid issuer",
        Rejection::WrongType => "Only non-refresh tokens are allowed",
        Rejection::SubjectNotText => "Subject must be a string",
        Rejection::TooLong => "The token is too long",
        Rejection::LivesTooLong => "The token lives too long",
        Rejection::MalformedClaims => "Invalid claims",
        // Answered with a status of their own.
        Rejection::Expired => "Token has expired",
        Rejection::Unfit => "User claims verification failed",
    };
    text.to_owned()
}
