//! Refusals as flask-jwt-extended answers them, for clients that are written for it.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde_json::json;

use super::GuardError;
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
pub fn flask_answer(refused: &GuardError) -> Option<Response> {
    let (status, text) = match refused {
        GuardError::Missing(places) if places.contains(" or ") => {
            (401, format!("Missing JWT in {places}"))
        }
        GuardError::Missing(places) if places.starts_with("the header «Authorization") => {
            (401, "Missing Authorization Header".to_owned())
        }
        GuardError::Missing(places) => (
            401,
            format!("Missing {}", places.trim_start_matches("the ")),
        ),
        GuardError::MalformedAuthorization | GuardError::Repeated => (
            422,
            "Bad Authorization header. Expected 'Authorization: Bearer <JWT>'".to_owned(),
        ),
        GuardError::CsrfMissing(_) => (401, "Missing CSRF token".to_owned()),
        GuardError::CsrfMismatch(_) => (401, "CSRF double submit tokens do not match".to_owned()),
        GuardError::NotFresh => (401, "Fresh token required".to_owned()),
        GuardError::Revoked => (401, "Token has been revoked".to_owned()),
        GuardError::UnknownUser => (401, "Error loading the user".to_owned()),
        GuardError::Token(rejection) => token(*rejection),
        GuardError::MissingScope(_)
        | GuardError::MissingRole(_)
        | GuardError::EmailUnverified
        | GuardError::BodyTooLarge
        | GuardError::BodyBrokeOff
        | GuardError::BodyNotRead
        | GuardError::Unavailable(_) => return None,
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::UNAUTHORIZED);
    Some((status, Json(json!({ "msg": text }))).into_response())
}

fn token(rejection: Rejection) -> (u16, String) {
    let (status, text) = match rejection {
        Rejection::Expired => (401, "Token has expired"),
        Rejection::Unfit => (400, "User claims verification failed"),
        Rejection::Malformed | Rejection::TooLong => (422, "Not enough segments"),
        Rejection::BadSignature | Rejection::UnknownKey => (422, "Signature verification failed"),
        Rejection::NotYetValid => (422, "The token is not yet valid (nbf)"),
        Rejection::WrongAudience => (422, "Audience doesn't match"),
        Rejection::WrongIssuer => (422, "Invalid issuer"),
        Rejection::WrongType => (422, "Only non-refresh tokens are allowed"),
        Rejection::MalformedClaims | Rejection::LivesTooLong => (422, "Invalid claims"),
    };
    (status, text.to_owned())
}
