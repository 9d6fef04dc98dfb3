//! The only place where an error becomes HTTP: its problem, its challenge, one line in the log.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use countersign_types::{FieldProblem, Problem, ProblemCode, problem::CONTENT_TYPE};

use crate::{
    accounts::RegisterError,
    answer::{Challenge, answer},
    extract::BodyError,
    guard::GuardError,
    health::NotReady,
    limits::Limited,
    password::HashError,
    sessions::{GateError, IssueError, RefreshError, SignInError},
    store::{self, StoreError},
};

/// How long to wait where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What every path that reads a body may answer, for the OpenAPI document.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "the document is made of the types alone")]
pub(crate) enum BodyProblems {
    #[response(status = 400, description = "Not JSON: `malformed_json`", content_type = CONTENT_TYPE)]
    Malformed(Problem),
    #[response(status = 413, description = "More than 16 KiB: `body_too_large`", content_type = CONTENT_TYPE)]
    TooLarge(Problem),
    #[response(status = 415, description = "Not `application/json`: `unsupported_media_type`", content_type = CONTENT_TYPE)]
    MediaType(Problem),
    #[response(status = 422, description = "Some members do not hold: `validation_failed`, and each of them in `errors`", content_type = CONTENT_TYPE)]
    Fields(Problem),
}

/// What every path that reads the database may answer.
#[derive(utoipa::IntoResponses)]
#[response(status = 503, description = "`overloaded`, or the database is away: `unavailable`", content_type = CONTENT_TYPE)]
#[expect(dead_code, reason = "the document is made of the types alone")]
pub(crate) struct Unavailable(Problem);

/// What every path may answer that wants an access token.
#[derive(utoipa::IntoResponses)]
#[response(status = 401, description = "No acceptable token: `token_missing`, `token_invalid`, `token_expired` or `token_revoked`", content_type = CONTENT_TYPE)]
#[expect(dead_code, reason = "the document is made of the types alone")]
pub(crate) struct Unauthorized(Problem);

/// Everything that can go wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The guard let nobody in.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// What a token names is not there any more.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Nobody was signed in.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// A refresh token gave no new pair.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    /// A cookie came with a request that is not known to be from our own pages.
    #[error("a cookie with a request from elsewhere")]
    CrossOrigin,
    /// No account was made.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The body could not be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Fields that parse but do not hold.
    #[error("some fields do not hold")]
    Fields(Vec<FieldProblem>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Requests cannot be served yet, or not any more.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// Public keys are missing that tokens may name.
    #[error("not every key can be opened, so the public keys are not all there are")]
    KeysIncomplete,
    /// Nothing is at this path.
    #[error("nothing is at this path")]
    NotFound,
    /// The path exists, the method does not.
    #[error("the method is not allowed")]
    MethodNotAllowed,
    /// `Host` is missing, repeated, or empty.
    #[error("no single Host")]
    MalformedHost,
    /// The path and query are too long.
    #[error("the address is too long")]
    UriTooLong,
    /// The request took longer than any should.
    #[error("the request took too long")]
    TimedOut,
    /// The router is served without the peers' addresses.
    #[error(
        "no peer address, by which limits go: serve with \
         `router.into_make_service_with_connect_info::<SocketAddr>()`"
    )]
    NoClientAddress,
    /// A handler panicked.
    #[error("a handler panicked")]
    Panicked,
}

impl Error {
    #[expect(
        clippy::too_many_lines,
        reason = "one arm an error, so that none can be forgotten"
    )]
    fn problem(&self) -> (Problem, Challenge) {
        use ProblemCode as Code;

        let plain = |code, detail: &str| (Problem::new(code, detail), Challenge::None);
        match self {
            Self::Guard(error) => error.problem(),
            Self::Gate(GateError::Ended)
            | Self::SignIn(SignInError::Issue(IssueError::Gate(GateError::Ended)))
            | Self::Refresh(RefreshError::Issue(IssueError::Gate(GateError::Ended)))
            | Self::Register(RegisterError::Issue(IssueError::Gate(GateError::Ended))) => {
                GuardError::Revoked.problem()
            }
            Self::SignIn(SignInError::InvalidCredentials) => (
                Problem::new(
                    Code::InvalidCredentials,
                    "E-mail and password do not fit. Check both and try again.",
                ),
                Challenge::Bare,
            ),
            Self::Refresh(RefreshError::Invalid) => (
                Problem::new(
                    Code::RefreshTokenInvalid,
                    "There is no refresh token here that holds: it is missing, unknown, or its \
                     session is over. Sign in again.",
                ),
                Challenge::Bare,
            ),
            Self::Refresh(RefreshError::Reused) => (
                Problem::new(
                    Code::RefreshTokenReused,
                    "This refresh token was used before, so somebody may hold a copy of it. The \
                     session was ended. Sign in again.",
                ),
                Challenge::Bare,
            ),
            Self::CrossOrigin => plain(
                Code::CsrfFailed,
                "A cookie counts only in requests from this site's own pages. Send the refresh \
                 token in the body instead.",
            ),
            Self::Register(RegisterError::Closed) => plain(
                Code::RegistrationClosed,
                "Nobody can create an account here by themselves. Ask the operator for one.",
            ),
            Self::Register(RegisterError::EmailTaken) => {
                let detail = "This address has an account already. Sign in instead.";
                let mut problem = Problem::new(Code::EmailTaken, detail);
                problem
                    .errors
                    .push(FieldProblem::new("/email", "email_taken", detail));
                (problem, Challenge::None)
            }
            Self::SignIn(SignInError::Limited(limited))
            | Self::Refresh(RefreshError::Limited(limited))
            | Self::Register(RegisterError::Limited(limited)) => {
                (limits(*limited), Challenge::None)
            }
            Self::SignIn(SignInError::Hash(error)) | Self::Register(RegisterError::Hash(error)) => {
                (hashing(error), Challenge::None)
            }
            Self::NotReady(NotReady::Slow) => (unavailable(), Challenge::None),
            Self::NotReady(NotReady::NoKey) => (
                not_now("There is no key to sign with. The server's log says why."),
                Challenge::None,
            ),
            Self::KeysIncomplete => (
                not_now("This server cannot read all of its keys. Its log says why."),
                Challenge::None,
            ),
            Self::Store(error)
            | Self::NotReady(NotReady::Store(error))
            | Self::Gate(GateError::Store(error))
            | Self::SignIn(
                SignInError::Store(error)
                | SignInError::Issue(IssueError::Gate(GateError::Store(error))),
            )
            | Self::Refresh(
                RefreshError::Store(error)
                | RefreshError::Issue(IssueError::Gate(GateError::Store(error))),
            )
            | Self::Register(
                RegisterError::Store(error)
                | RegisterError::Issue(IssueError::Gate(GateError::Store(error))),
            ) => (storage(error), Challenge::None),
            Self::SignIn(SignInError::Issue(IssueError::Grant(_)))
            | Self::Refresh(RefreshError::Issue(IssueError::Grant(_)))
            | Self::Register(RegisterError::Issue(IssueError::Grant(_))) => {
                (unavailable(), Challenge::None)
            }
            Self::SignIn(SignInError::Issue(IssueError::Sign(_)))
            | Self::Refresh(RefreshError::Issue(IssueError::Sign(_)))
            | Self::Register(RegisterError::Issue(IssueError::Sign(_)))
            | Self::NoClientAddress
            | Self::Panicked => (internal(), Challenge::None),
            Self::Body(error) => (error.problem(), Challenge::None),
            Self::Fields(errors) => (Problem::fields(errors.clone()), Challenge::None),
            Self::NotFound => plain(Code::NotFound, "Nothing is at this path."),
            Self::MethodNotAllowed => plain(
                Code::MethodNotAllowed,
                "This path does not take this method. The Allow header lists those it takes.",
            ),
            Self::MalformedHost => plain(
                Code::InvalidRequest,
                "Send exactly one Host header (RFC 9112 §3.2).",
            ),
            Self::UriTooLong => plain(
                Code::UriTooLong,
                "Path and query may have at most 8192 bytes.",
            ),
            Self::TimedOut => (
                Problem {
                    retry_after: Some(RETRY_AFTER.as_secs()),
                    ..Problem::new(
                        Code::Unavailable,
                        "This took too long. Try again in a moment.",
                    )
                },
                Challenge::None,
            ),
        }
    }
}

fn limits(limited: Limited) -> Problem {
    let seconds = whole_seconds(limited.retry_after);
    let unit = if seconds == 1 { "second" } else { "seconds" };
    Problem {
        retry_after: Some(seconds),
        ..Problem::new(
            ProblemCode::RateLimited,
            format!("These were too many attempts. Try again in {seconds} {unit}."),
        )
    }
}

/// Rounded up, since `Retry-After: 0` invites the next refusal.
fn whole_seconds(duration: Duration) -> u64 {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() > 0 {
        seconds.saturating_add(1)
    } else {
        seconds.max(1)
    }
}

fn hashing(error: &HashError) -> Problem {
    match error {
        HashError::Overloaded | HashError::Stopped => Problem {
            retry_after: Some(RETRY_AFTER.as_secs()),
            ..Problem::new(
                ProblemCode::Overloaded,
                "More people are signing in than can be checked at once. Try again in a moment.",
            )
        },
        HashError::Malformed => internal(),
    }
}

fn storage(error: &StoreError) -> Problem {
    match error {
        StoreError::Unavailable(_) => unavailable(),
        StoreError::Internal(_) => internal(),
    }
}

fn unavailable() -> Problem {
    not_now("The database does not answer. Try again in a moment.")
}

fn not_now(detail: &str) -> Problem {
    Problem {
        retry_after: Some(RETRY_AFTER.as_secs()),
        ..Problem::new(ProblemCode::Unavailable, detail)
    }
}

fn internal() -> Problem {
    Problem::new(
        ProblemCode::InternalError,
        "Something went wrong here. The log has it under the request id.",
    )
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (problem, challenge) = self.problem();
        let mut response = answer(&self, problem, &challenge);
        // To be counted on the way out. What a guard met is counted where it asked.
        if !matches!(self, Self::Guard(_))
            && let Some(fault) = store::fault(&self)
        {
            response.extensions_mut().insert(fault);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_time_is_rounded_up_and_never_zero() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(60)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(61)), 61);
    }
}
