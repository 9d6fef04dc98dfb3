//! Why somebody was not let in, and what is answered.

use std::{fmt, sync::Arc};

use axum::response::{IntoResponse, Response};
use countersign_types::{Problem, ProblemCode};

use super::{Answer, BoxError, Missing, TokenForm};
use crate::{
    answer::{Challenge, answer},
    token::{Rejection, Unverified},
};

/// How long to wait where it cannot be said whether a token is acceptable, in seconds.
const RETRY_AFTER: u64 = 2;

/// Why nobody was let in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// No token was presented; where it was looked for.
    #[error("no token was presented in {0}")]
    Missing(Missing),
    /// There is something where a token belongs, in another form than a token has there: a scheme
    /// with nothing behind it, say.
    #[error("there is something else than a token in its place")]
    NotAToken(TokenForm),
    /// More than one `Authorization` header, or one that is no text.
    #[error("malformed Authorization")]
    MalformedAuthorization,
    /// Two query parameters, cookies or members of one name.
    #[error("a token in two of the same")]
    Repeated,
    /// A body with the token in it is larger than is read.
    #[error("the body is too large")]
    BodyTooLarge,
    /// The body did not arrive.
    #[error("the body broke off or came too slowly")]
    BodyBrokeOff,
    /// A fault of the program's: tokens may be in JSON bodies, and nothing reads those.
    #[error("tokens may be in JSON bodies: add the layer `Auth::json_tokens` or `Auth::guard`")]
    BodyNotRead,
    /// The token is not genuine, or its time is over.
    #[error(transparent)]
    Token(#[from] Rejection),
    /// The token is genuine, but its session is over.
    #[error("the session has ended")]
    Revoked,
    /// A cookie with nothing repeated, and in which header it is looked for.
    #[error("nothing in the request repeats what the token in the cookie says")]
    CsrfMissing(String),
    /// A cookie whose token was not issued for a cookie, so that nothing can repeat what it says;
    /// and the header that was looked at.
    #[error("the token in the cookie was not issued for a cookie")]
    CsrfUnclaimed(String),
    /// A cookie with something else repeated.
    #[error("the request repeats something else than the token in the cookie says")]
    CsrfMismatch(String),
    /// The person did not prove presence recently.
    #[error("the token is not fresh")]
    NotFresh,
    /// The token may not be used for this.
    #[error("one of these scopes is needed: {}", .0.join(" "))]
    MissingScope(Vec<String>),
    /// The account is not what is needed.
    #[error("one of these roles is needed: {}", .0.join(", "))]
    MissingRole(Vec<String>),
    /// The account's address is not confirmed.
    #[error("the address is not confirmed")]
    EmailUnverified,
    /// The program knows no such user.
    #[error("there is no such user")]
    UnknownUser,
    /// Nobody can say whether the token is acceptable, so it is not.
    #[error("it cannot be said whether the token is acceptable")]
    Unavailable(#[source] BoxError),
}

impl GuardError {
    /// Whether the token was found to be genuine before this was found.
    pub(super) const fn is_after_the_signature(&self) -> bool {
        match self {
            Self::Token(rejection) => matches!(rejection, Rejection::Expired | Rejection::Unfit),
            Self::Revoked
            | Self::NotFresh
            | Self::MissingScope(_)
            | Self::MissingRole(_)
            | Self::EmailUnverified
            | Self::UnknownUser
            | Self::CsrfMissing(_)
            | Self::CsrfUnclaimed(_)
            | Self::CsrfMismatch(_) => true,
            Self::Missing(_)
            | Self::NotAToken(_)
            | Self::MalformedAuthorization
            | Self::Repeated
            | Self::BodyTooLarge
            | Self::BodyBrokeOff
            | Self::BodyNotRead
            | Self::Unavailable(_) => false,
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm an error, so that none can be forgotten"
    )]
    pub(crate) fn problem(&self) -> (Problem, Challenge) {
        use ProblemCode as Code;

        let bad_token = |code, detail: &'static str, description| {
            (
                Problem::new(code, detail),
                Challenge::InvalidToken(description),
            )
        };
        let plain = |code, detail: &str| (Problem::new(code, detail), Challenge::None);
        match self {
            Self::Missing(missing) => (
                Problem::new(
                    Code::TokenMissing,
                    format!("Send an access token in {missing}. {}", missing.hint()).trim_end(),
                ),
                Challenge::Bare,
            ),
            Self::MalformedAuthorization => (
                Problem::new(
                    Code::InvalidRequest,
                    "Send exactly one Authorization header, in ASCII.",
                ),
                Challenge::InvalidRequest("More than one way of presenting a token"),
            ),
            Self::Repeated => (
                Problem::new(
                    Code::InvalidRequest,
                    "Send the access token once: it is there twice, and nobody can tell which \
                     is meant.",
                ),
                Challenge::InvalidRequest("More than one way of presenting a token"),
            ),
            Self::BodyTooLarge => plain(
                Code::BodyTooLarge,
                "The body is larger than is read where a token may be in it.",
            ),
            Self::BodyBrokeOff => plain(
                Code::RequestTimeout,
                "The body broke off, or did not arrive within 10 seconds.",
            ),
            Self::BodyNotRead => plain(
                Code::InternalError,
                "Something went wrong here. The log has it under the request id.",
            ),
            Self::Token(Rejection::Expired) => bad_token(
                Code::TokenExpired,
                "This access token has expired. Refresh it, or sign in again.",
                "The access token expired",
            ),
            Self::Token(_) | Self::NotAToken(_) => bad_token(
                Code::TokenInvalid,
                "This is no access token that this server accepts. Sign in again.",
                "The access token is invalid",
            ),
            Self::Revoked => bad_token(
                Code::TokenRevoked,
                "The session of this access token has ended. Sign in again.",
                "The session has ended",
            ),
            Self::UnknownUser => bad_token(
                Code::TokenRevoked,
                "The account of this access token is not there any more. Sign in again.",
                "The account is gone",
            ),
            Self::CsrfMissing(header) | Self::CsrfUnclaimed(header) => plain(
                Code::CsrfFailed,
                &format!(
                    "A token in a cookie counts only where the request repeats, in the header \
                     «{header}», the value of the cookie that was set beside it."
                ),
            ),
            Self::CsrfMismatch(header) => plain(
                Code::CsrfFailed,
                &format!(
                    "The header «{header}» has another value than the cookie that was set beside \
                     the token. Read it anew for each request."
                ),
            ),
            Self::NotFresh => plain(
                Code::FreshTokenRequired,
                "This needs a recent proof that it is you. Enter your password again.",
            ),
            Self::MissingScope(needed) => (
                Problem::new(
                    Code::InsufficientScope,
                    format!(
                        "This access token lacks the scope for this: {}.",
                        one_of(needed)
                    ),
                ),
                // Of several any one would do, which the challenge has no words for.
                Challenge::InsufficientScope(match needed.as_slice() {
                    [one] => one.clone(),
                    _ => String::new(),
                }),
            ),
            Self::MissingRole(needed) => (
                Problem::new(
                    Code::InsufficientScope,
                    format!("This account lacks the role for this: {}.", one_of(needed)),
                ),
                Challenge::InsufficientScope(String::new()),
            ),
            Self::EmailUnverified => plain(
                Code::EmailUnverified,
                "This needs a confirmed e-mail address. Open the link in the mail that was sent, \
                 then sign in again.",
            ),
            Self::Unavailable(_) => (
                Problem {
                    retry_after: Some(RETRY_AFTER),
                    ..Problem::new(
                        Code::Unavailable,
                        "It cannot be said now whether this token holds. Try again in a moment.",
                    )
                },
                Challenge::None,
            ),
        }
    }
}

fn one_of(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("«{name}»"))
        .collect::<Vec<_>>()
        .join(" or ")
}

impl IntoResponse for GuardError {
    fn into_response(self) -> Response {
        let (problem, challenge) = self.problem();
        answer(&self, problem, &challenge)
    }
}

/// What a guard answers instead of the handler: the error, by the program's own answer to it or by
/// the usual problem.
pub struct Refused {
    error: GuardError,
    token: Option<Unverified>,
    answer: Option<Arc<Answer>>,
}

impl Refused {
    pub(super) const fn new(
        error: GuardError,
        token: Option<Unverified>,
        answer: Option<Arc<Answer>>,
    ) -> Self {
        Self {
            error,
            token,
            answer,
        }
    }

    /// Why.
    pub const fn error(&self) -> &GuardError {
        &self.error
    }

    /// What the token says that is refused. There for the answers of
    /// [`Auth::answer_refusals`](super::Auth::answer_refusals), and only where the signature was
    /// found to be good: where the token has expired, was revoked, is not fresh and the like.
    pub const fn token(&self) -> Option<&Unverified> {
        self.token.as_ref()
    }

    /// Why.
    pub fn into_error(self) -> GuardError {
        self.error
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let own = self.answer.as_ref().and_then(|answer| answer(&self));
        own.unwrap_or_else(|| self.error.into_response())
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}
