//! The calls of the server: the only user of gloo-net, one function for each path.
//!
//! It knows neither the session nor any page. Every call ends: after [`TIMEOUT`] it is aborted, a
//! refresh when its caller says.

use std::time::Duration;

use countersign_types::{
    Password, Problem, ProblemCode, Token,
    accounts::{AuthConfig, RegisterRequest},
    routes,
    sessions::{Message, RefreshDelivery, SessionsResponse, SignInRequest, TokenResponse},
};
use gloo_net::http::{Method, Request, RequestBuilder};
use leptos::prelude::set_timeout_with_handle;
use serde::Serialize;
use wasm_bindgen::JsValue;
use web_sys::{AbortController, RequestInit, RequestMode};

use crate::{
    fetch::{self, Response},
    strings,
};

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
        self.is_problem(401)
    }

    /// Whether there is no such thing, or no longer.
    pub fn is_not_found(&self) -> bool {
        self.is_problem(404)
    }

    /// Whether the server has clearly refused to go on with a session. A gateway's own page, a limit
    /// or a fault is no such word.
    pub fn is_refusal(&self) -> bool {
        self.is_problem(401) || self.is_problem(403)
    }

    /// Whether the server's answer never came, so that nobody can say what the call has done there.
    pub fn is_lost(&self) -> bool {
        !matches!(self, Self::Problem(_))
    }

    /// Seconds that the server wants us to wait.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Problem(problem) => problem.retry_after,
            _ => None,
        }
    }

    fn is_problem(&self, status: u16) -> bool {
        matches!(self, Self::Problem(problem) if problem.status == status)
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
    send(Call::new(Method::GET, routes::CONFIG)).await?.read()
}

/// `POST /auth`: signs in. The refresh token comes in a cookie that no script can read.
///
/// # Errors
///
/// [`ApiError`] says why there is no token.
pub async fn sign_in(email: String, password: Password) -> Result<TokenResponse, ApiError> {
    let body = SignInRequest {
        email,
        password,
        refresh: RefreshDelivery::Cookie,
    };
    send(Call::new(Method::POST, routes::SIGN_IN).json(&body))
        .await?
        .read()
}

/// `POST /auth/register`: creates an account and signs in, as [`sign_in`] does.
///
/// # Errors
///
/// [`ApiError`] says why there is no account.
pub async fn register(email: String, password: Password) -> Result<TokenResponse, ApiError> {
    let body = RegisterRequest {
        email,
        password,
        refresh: RefreshDelivery::Cookie,
    };
    send(Call::new(Method::POST, routes::REGISTER).json(&body))
        .await?
        .read()
}

/// `POST /auth/refresh`: swaps the refresh token, which is in the cookie, for a new pair, and gives up
/// after `limit`.
///
/// A page that is closed or reloaded at this moment must not lose the answer's cookie: the token that
/// it replaces is spent, and its second use would end the session. So the call outlives the page.
///
/// # Errors
///
/// [`ApiError`] says why there is no new token; [`ApiError::is_refusal`], whether there will be none.
pub async fn refresh(limit: Duration) -> Result<TokenResponse, ApiError> {
    let call = Call::new(Method::POST, routes::REFRESH).within(limit);
    send(call.outliving_the_page()).await?.read()
}

/// `POST /auth/logout`: ends the token's session; where that is over or there is none, the cookie's.
/// Who signs out may close the page at once, so the call outlives it.
///
/// # Errors
///
/// [`ApiError`] says why the server may not know of it.
pub async fn logout(token: Option<&Token>) -> Result<(), ApiError> {
    let mut call = Call::new(Method::POST, routes::LOGOUT);
    if let Some(token) = token {
        call = call.bearer(token);
    }
    send(call.outliving_the_page()).await.map(drop)
}

/// `POST /auth/logout-all`: ends every session of the account. It outlives the page, as [`logout`]
/// does.
///
/// # Errors
///
/// [`ApiError`] says why they may go on.
pub async fn logout_all(token: &Token) -> Result<(), ApiError> {
    let call = Call::new(Method::POST, routes::LOGOUT_ALL).bearer(token);
    send(call.outliving_the_page()).await.map(drop)
}

/// `GET /auth/sessions`: where the account is signed in.
///
/// # Errors
///
/// [`ApiError`] says why there is no list.
pub async fn sessions(token: &Token) -> Result<SessionsResponse, ApiError> {
    send(Call::new(Method::GET, routes::SESSIONS).bearer(token))
        .await?
        .read()
}

/// `DELETE /auth/sessions/{id}`: ends one session of the account.
///
/// # Errors
///
/// [`ApiError`] says why it may go on; [`ApiError::is_not_found`], that there is none.
pub async fn end_session(token: &Token, id: &str) -> Result<(), ApiError> {
    send(Call::new(Method::DELETE, &routes::session(id)).bearer(token))
        .await
        .map(drop)
}

/// `DELETE /auth/sessions`: ends every session of the account but the token's.
///
/// # Errors
///
/// [`ApiError`] says why they may go on.
pub async fn end_other_sessions(token: &Token) -> Result<(), ApiError> {
    send(Call::new(Method::DELETE, routes::SESSIONS).bearer(token))
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
    let Message { message } = answer.read()?;
    Ok(Exchange {
        status: answer.status,
        body: answer.body,
        message,
    })
}

/// A request of the application's own, with the token. Whatever the status, an answer is an answer.
///
/// # Errors
///
/// [`ApiError`] says why there is none.
pub async fn fetch(request: &fetch::Request, token: &Token) -> Result<Response, ApiError> {
    let method = match request.method {
        fetch::Method::Get => Method::GET,
        fetch::Method::Post => Method::POST,
        fetch::Method::Put => Method::PUT,
        fetch::Method::Patch => Method::PATCH,
        fetch::Method::Delete => Method::DELETE,
    };
    let mut call = Call::new(method, &request.path).bearer(token);
    if let Some(body) = &request.body {
        call = call.with_body(body.clone());
    }
    answer(call).await
}

struct Call {
    builder: RequestBuilder,
    body: Option<String>,
    outlives_page: bool,
    limit: Duration,
}

impl Call {
    fn new(method: Method, path: &str) -> Self {
        Self {
            builder: RequestBuilder::new(path)
                .method(method)
                // Not even a redirect takes a token, or a password, to another origin.
                .mode(RequestMode::SameOrigin)
                .header("Accept", "application/json"),
            body: None,
            outlives_page: false,
            limit: TIMEOUT,
        }
    }

    /// The browser goes on with the call when the page is closed or reloaded.
    fn outliving_the_page(mut self) -> Self {
        self.outlives_page = true;
        self
    }

    fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn bearer(mut self, token: &Token) -> Self {
        let value = format!("Bearer {}", token.expose());
        self.builder = self.builder.header("Authorization", &value);
        self
    }

    fn json<T: Serialize>(self, body: &T) -> Self {
        match serde_json::to_string(body) {
            Ok(body) => self.with_body(body),
            Err(_) => self,
        }
    }

    fn with_body(mut self, json: String) -> Self {
        self.builder = self.builder.header("Content-Type", "application/json");
        self.body = Some(json);
        self
    }

    fn build(self) -> Result<Request, gloo_net::Error> {
        let request = match self.body {
            Some(body) => self.builder.body(body)?,
            None => self.builder.build()?,
        };
        Ok(if self.outlives_page {
            kept_alive(request)
        } else {
            request
        })
    }
}

/// Neither gloo-net nor web-sys knows `keepalive` yet. A browser without it has the request as it was.
fn kept_alive(request: Request) -> Request {
    let request = web_sys::Request::from(request);
    let options = RequestInit::new();
    drop(js_sys::Reflect::set(
        &options,
        &JsValue::from_str("keepalive"),
        &JsValue::TRUE,
    ));
    match web_sys::Request::new_with_request_and_init(&request, &options) {
        Ok(kept) => Request::from(kept),
        Err(_) => Request::from(request),
    }
}

/// The answer, where it is one of success.
async fn send(call: Call) -> Result<Response, ApiError> {
    answer(call).await?.accepted()
}

async fn answer(mut call: Call) -> Result<Response, ApiError> {
    let abort = AbortController::new().ok();
    let signal = abort.as_ref().map(AbortController::signal);
    call.builder = call.builder.abort_signal(signal.as_ref());
    let limit = call.limit;
    let timer = abort.and_then(|abort| set_timeout_with_handle(move || abort.abort(), limit).ok());
    let result = receive(call).await;
    if let Some(timer) = timer {
        timer.clear();
    }
    result.map_err(|_| {
        // The reason that a browser gives is for developers, and differs from browser to browser.
        if signal.is_some_and(|signal| signal.aborted()) {
            ApiError::TimedOut
        } else {
            ApiError::Offline
        }
    })
}

async fn receive(call: Call) -> Result<Response, gloo_net::Error> {
    let response = call.build()?.send().await?;
    Ok(Response {
        status: response.status(),
        // Inside the time limit too: a body may never end.
        body: response.text().await?,
    })
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    fn problem(code: ProblemCode) -> ApiError {
        ApiError::Problem(Box::new(Problem::new(code, "x")))
    }

    #[test]
    fn only_the_servers_own_word_is_a_refusal() {
        assert!(problem(ProblemCode::RefreshTokenInvalid).is_refusal());
        assert!(problem(ProblemCode::RefreshTokenReused).is_refusal());
        assert!(problem(ProblemCode::CsrfFailed).is_refusal());
        for passing in [
            problem(ProblemCode::RateLimited),
            problem(ProblemCode::Unavailable),
            problem(ProblemCode::InternalError),
            ApiError::Unexpected(401),
            ApiError::Unexpected(502),
            ApiError::Offline,
            ApiError::TimedOut,
        ] {
            assert!(!passing.is_refusal(), "{passing:?}");
        }
    }

    #[test]
    fn an_answer_that_is_not_the_servers_own_is_lost() {
        assert!(!problem(ProblemCode::Unavailable).is_lost());
        for lost in [
            ApiError::Offline,
            ApiError::TimedOut,
            ApiError::Unexpected(504),
        ] {
            assert!(lost.is_lost(), "{lost:?}");
        }
    }
}
