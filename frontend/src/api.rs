//! The calls of the server: the only user of gloo-net, one function for each path.
//!
//! It knows neither the session nor any page. Every call ends: after [`TIMEOUT`] it is aborted.

use std::time::Duration;

use countersign_types::{
    Password, Problem, ProblemCode, Token,
    accounts::{AuthConfig, RegisterRequest},
    routes,
    sessions::{Message, SignInRequest, TokenResponse},
};
use gloo_net::http::{Method, Request, RequestBuilder, Response};
use leptos::prelude::set_timeout_with_handle;
use serde::{Serialize, de::DeserializeOwned};
use web_sys::AbortController;

use crate::strings;

/// How long a call may take. A password is hashed in a queue, so this is more than a moment.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Why a call gave no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// The server said why.
    Problem(Box<Problem>),
    /// There is no way to the server.
    Offline,
    /// No answer in time.
    TimedOut,
    /// An answer that is none of ours.
    Unexpected(u16),
}

impl ApiError {
    /// What happened and what to do, in plain words.
    pub fn text(&self) -> String {
        match self {
            Self::Offline | Self::Unexpected(502 | 504) => strings::OFFLINE.to_owned(),
            Self::TimedOut => strings::TIMED_OUT.to_owned(),
            Self::Unexpected(status) => strings::unexpected(*status),
            Self::Problem(problem) => match problem.code {
                ProblemCode::RateLimited => strings::rate_limited(problem.retry_after),
                ProblemCode::Overloaded | ProblemCode::Unavailable => {
                    strings::overloaded(problem.retry_after)
                }
                ProblemCode::InternalError => strings::internal(problem.request_id.as_deref()),
                _ if problem.detail.is_empty() => problem.title.clone(),
                _ => problem.detail.clone(),
            },
        }
    }

    /// Whether the server refused the token itself.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.status == 401)
    }
}

/// What went over the wire, to be shown as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The answer's status.
    pub status: u16,
    /// The answer's body, untouched.
    pub body: String,
    /// What the body says.
    pub message: String,
}

/// `GET /auth/config`: what is enabled.
///
/// # Errors
///
/// [`ApiError`] says why there is no answer.
pub async fn config() -> Result<AuthConfig, ApiError> {
    json(&send(Call::new(Method::GET, routes::CONFIG)).await?)
}

/// `POST /auth`: signs in.
///
/// # Errors
///
/// [`ApiError`] says why there is no token.
pub async fn sign_in(email: String, password: Password) -> Result<TokenResponse, ApiError> {
    let body = SignInRequest {
        email,
        password,
        refresh: None,
    };
    json(&send(Call::new(Method::POST, routes::SIGN_IN).json(&body)).await?)
}

/// `POST /auth/register`: creates an account and signs in.
///
/// # Errors
///
/// [`ApiError`] says why there is no account.
pub async fn register(email: String, password: Password) -> Result<TokenResponse, ApiError> {
    let body = RegisterRequest {
        email,
        password,
        refresh: None,
    };
    json(&send(Call::new(Method::POST, routes::REGISTER).json(&body)).await?)
}

/// `POST /auth/logout`: ends the token's session.
///
/// # Errors
///
/// [`ApiError`] says why the server may not know of it.
pub async fn logout(token: &Token) -> Result<(), ApiError> {
    send(Call::new(Method::POST, routes::LOGOUT).bearer(token))
        .await
        .map(drop)
}

/// `GET /protected`: what only a valid token gets.
///
/// # Errors
///
/// [`ApiError`] says why the server refused.
pub async fn protected(token: &Token) -> Result<Exchange, ApiError> {
    let answer = send(Call::new(Method::GET, routes::PROTECTED).bearer(token)).await?;
    let Message { message } = json(&answer)?;
    Ok(Exchange {
        status: answer.status,
        body: answer.body,
        message,
    })
}

struct Call {
    builder: RequestBuilder,
    body: Option<String>,
}

impl Call {
    fn new(method: Method, path: &str) -> Self {
        Self {
            builder: RequestBuilder::new(path)
                .method(method)
                .header("Accept", "application/json"),
            body: None,
        }
    }

    fn bearer(mut self, token: &Token) -> Self {
        let value = format!("Bearer {}", token.expose());
        self.builder = self.builder.header("Authorization", &value);
        self
    }

    fn json<T: Serialize>(mut self, body: &T) -> Self {
        self.builder = self.builder.header("Content-Type", "application/json");
        self.body = serde_json::to_string(body).ok();
        self
    }

    fn build(self) -> Result<Request, gloo_net::Error> {
        match self.body {
            Some(body) => self.builder.body(body),
            None => self.builder.build(),
        }
    }
}

struct Answer {
    status: u16,
    body: String,
}

async fn send(mut call: Call) -> Result<Answer, ApiError> {
    let abort = AbortController::new().ok();
    let signal = abort.as_ref().map(AbortController::signal);
    call.builder = call.builder.abort_signal(signal.as_ref());
    let timer =
        abort.and_then(|abort| set_timeout_with_handle(move || abort.abort(), TIMEOUT).ok());
    let result = receive(call).await;
    if let Some(timer) = timer {
        timer.clear();
    }
    let answer = result.map_err(|_| {
        // The reason that a browser gives is for developers, and differs from browser to browser.
        if signal.is_some_and(|signal| signal.aborted()) {
            ApiError::TimedOut
        } else {
            ApiError::Offline
        }
    })?;
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    match serde_json::from_str(&answer.body) {
        Ok(problem) => Err(ApiError::Problem(Box::new(problem))),
        Err(_) => Err(ApiError::Unexpected(answer.status)),
    }
}

async fn receive(call: Call) -> Result<Answer, gloo_net::Error> {
    let response: Response = call.build()?.send().await?;
    Ok(Answer {
        status: response.status(),
        // Inside the time limit too: a body may never end.
        body: response.text().await?,
    })
}

fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, ApiError> {
    serde_json::from_str(&answer.body).map_err(|_| ApiError::Unexpected(answer.status))
}
