//! A request of an application's own, and its answer. Pure: [`api`](crate::api) sends it, with the
//! token of who is signed in.

use std::{error::Error, fmt};

use countersign_types::{Problem, ProblemCode};
use serde::{Serialize, de::DeserializeOwned};

use crate::{api::ApiError, return_to, strings};

/// A request to this origin, to be sent by [`CurrentSession::fetch`](crate::CurrentSession::fetch).
///
/// ```
/// use countersign_leptos::Request;
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct NewNote {
///     text: String,
/// }
///
/// let request = Request::post("/notes").json(&NewNote { text: "water the plants".to_owned() });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a request does nothing before it is sent"]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// JSON, where there is a body.
    pub(crate) body: Option<String>,
    is_sound: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Request {
    /// `GET`. The path begins with one `/`: the token goes to no other origin.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path.into())
    }

    /// `POST`, see [`Request::get`].
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::Post, path.into())
    }

    /// `PUT`, see [`Request::get`].
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::Put, path.into())
    }

    /// `PATCH`, see [`Request::get`].
    pub fn patch(path: impl Into<String>) -> Self {
        Self::new(Method::Patch, path.into())
    }

    /// `DELETE`, see [`Request::get`].
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::Delete, path.into())
    }

    fn new(method: Method, path: String) -> Self {
        Self {
            is_sound: return_to::parse(&path).is_some(),
            method,
            path,
            body: None,
        }
    }

    /// With a body.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        self.body = serde_json::to_string(body).ok();
        self.is_sound &= self.body.is_some();
        self
    }

    /// Refuses what must not be sent.
    pub(crate) fn check(&self) -> Result<(), FetchError> {
        if self.is_sound {
            Ok(())
        } else {
            Err(FetchError::Unsendable)
        }
    }
}

/// What came back, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

impl Response {
    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// This answer, where it is one of success.
    ///
    /// # Errors
    ///
    /// [`FetchError::Call`] has the problem that the server named, or the status.
    pub fn ok(self) -> Result<Self, FetchError> {
        self.accepted().map_err(FetchError::Call)
    }

    /// What the body says, where the answer is one of success.
    ///
    /// # Errors
    ///
    /// [`FetchError::Call`], as [`Response::ok`], and where the body is something else.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, FetchError> {
        self.accepted()
            .and_then(|answer| answer.read())
            .map_err(FetchError::Call)
    }

    pub(crate) fn accepted(self) -> Result<Self, ApiError> {
        if self.is_success() {
            return Ok(self);
        }
        Err(match self.problem() {
            Some(problem) => ApiError::Problem(Box::new(problem)),
            None => ApiError::Unexpected(self.status),
        })
    }

    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_str(&self.body).map_err(|_| ApiError::Unexpected(self.status))
    }

    fn problem(&self) -> Option<Problem> {
        serde_json::from_str(&self.body).ok()
    }

    /// Why the guard of a route did not take the token. Whatever else is a 401, as a gateway's page or
    /// a wrong password, is an answer like any other.
    pub(crate) fn refused_token(&self) -> Option<Problem> {
        if self.status != 401 {
            return None;
        }
        self.problem().filter(|problem| {
            problem.status == 401
                && matches!(
                    problem.code,
                    ProblemCode::TokenMissing
                        | ProblemCode::TokenInvalid
                        | ProblemCode::TokenExpired
                        | ProblemCode::TokenRevoked
                )
        })
    }
}

/// Why a request has no answer, or not the one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// Nobody is signed in, or no longer: there is nobody to answer to.
    SignedOut,
    /// It was not sent: its path leads to another origin, or its body cannot be written as JSON.
    Unsendable,
    /// The server gave no answer, or refused.
    Call(ApiError),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignedOut => f.write_str(strings::ENDED),
            Self::Unsendable => f.write_str(strings::UNSENDABLE),
            Self::Call(error) => f.write_str(&error.text()),
        }
    }
}

impl Error for FetchError {}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response {
        Response {
            status,
            body: body.to_owned(),
        }
    }

    fn problem(code: ProblemCode) -> String {
        serde_json::to_string(&Problem::new(code, "No.")).unwrap()
    }

    #[test]
    fn no_token_goes_to_another_origin() {
        for path in [
            "https://evil.example/notes",
            "//evil.example",
            "/\\evil.example",
            "notes",
            "",
        ] {
            assert_eq!(
                Request::get(path).check(),
                Err(FetchError::Unsendable),
                "{path:?}"
            );
        }
        assert_eq!(Request::get("/notes?done=true").check(), Ok(()));
    }

    #[test]
    fn a_body_that_is_no_json_is_not_sent() {
        let body = std::collections::HashMap::from([((1, 2), 3)]);

        let request = Request::post("/notes").json(&body);

        assert_eq!(request.check(), Err(FetchError::Unsendable));
    }

    #[test]
    fn only_a_guards_refusal_is_about_the_token() {
        let refused = answer(401, &problem(ProblemCode::TokenExpired));
        assert_eq!(
            refused.refused_token().map(|problem| problem.code),
            Some(ProblemCode::TokenExpired)
        );
        for other in [
            answer(401, "<h1>the gateway wants a password</h1>"),
            answer(401, &problem(ProblemCode::InvalidCredentials)),
            answer(403, &problem(ProblemCode::TokenExpired)),
            answer(401, ""),
        ] {
            assert_eq!(other.refused_token(), None, "{other:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_the_server_said() {
        let refused = answer(422, &problem(ProblemCode::ValidationFailed)).ok();

        assert_eq!(refused.unwrap_err().to_string(), "No.");
        let strange = answer(200, "<html>").json::<Vec<u8>>();
        assert_eq!(strange, Err(FetchError::Call(ApiError::Unexpected(200))));
        assert_eq!(answer(200, "[1,2]").json::<Vec<u8>>(), Ok(vec![1, 2]));
    }
}
