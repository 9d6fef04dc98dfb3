//! How tokens leave and refresh tokens come back: in the body, or in a cookie that no script reads.

use std::time::Duration;

use axum::{
    extract::{FromRef, FromRequestParts},
    response::{IntoResponse, Response},
};
use cookie::{Cookie, SameSite};
use countersign_types::{
    Token,
    sessions::{RefreshDelivery, TokenResponse, TokenType},
};
use http::{HeaderValue, StatusCode, header, request::Parts};

use crate::{
    app::App,
    guard::AccessCookies,
    no_store::NoStore,
    sessions::{Issued, RefreshToken},
};

/// Tokens as an answer.
#[derive(Debug)]
pub(crate) struct TokenAnswer {
    pub(crate) status: StatusCode,
    pub(crate) issued: Issued,
    pub(crate) delivery: RefreshDelivery,
    /// Whether the outside speaks `https`.
    pub(crate) https: bool,
    /// How the access token's cookies are set, where it has any.
    pub(crate) cookies: AccessCookies,
}

impl IntoResponse for TokenAnswer {
    fn into_response(self) -> Response {
        let Issued {
            access_token,
            cookie,
            expires_in,
            refresh,
        } = self.issued;
        let (in_body, in_cookie) = match self.delivery {
            RefreshDelivery::Cookie => (None, refresh),
            RefreshDelivery::Body | RefreshDelivery::None => (refresh, None),
        };
        let body = TokenResponse {
            access_token,
            token_type: TokenType::Bearer,
            expires_in: expires_in.as_secs(),
            refresh_expires_in: in_body.as_ref().map(|(_, life)| life.as_secs()),
            refresh_token: in_body.map(|(token, _)| token.to_token()),
        };
        let mut response = (self.status, NoStore(body)).into_response();
        if let Some((token, life)) = in_cookie {
            set_cookie(&mut response, self.https, &token.to_token(), life);
        }
        if let Some(token) = cookie {
            self.cookies.set(response.headers_mut(), &token, expires_in);
        }
        response
    }
}

/// The name of the refresh cookie. The prefix makes browsers take it from nobody but this host, and
/// only over `https` (RFC 6265bis §4.1.3.2).
const fn cookie_name(https: bool) -> &'static str {
    if https {
        "__Host-countersign_refresh"
    } else {
        "countersign_refresh"
    }
}

fn set_cookie(response: &mut Response, https: bool, token: &Token, life: Duration) {
    let cookie = Cookie::build((cookie_name(https), token.expose()))
        .http_only(true)
        .secure(https)
        .same_site(SameSite::Strict)
        .path("/")
        // A cookie's time has whole seconds; what does not fit into it is longer than any browser keeps.
        .max_age(cookie::time::Duration::seconds(
            i64::try_from(life.as_secs()).unwrap_or(i64::MAX),
        ))
        .build();
    // A header's value from parts of ours and base64url.
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// Takes the refresh cookie back, by the same attributes that set it.
pub(crate) fn clear_cookie(response: &mut Response, https: bool) {
    set_cookie(response, https, &Token::from(""), Duration::ZERO);
}

/// The refresh token in the request's cookie. Nothing may be done by it before [`SameOrigin`] holds.
///
/// [`SameOrigin`]: crate::same_origin::SameOrigin
#[derive(Debug)]
pub(crate) enum RefreshCookie {
    /// There is none.
    Absent,
    /// What is there is no refresh token, or there are several: another host's page may have added
    /// one, and nobody can tell which.
    Malformed,
    /// There is one.
    Token(RefreshToken),
}

impl<S> FromRequestParts<S> for RefreshCookie
where
    S: Send + Sync,
    App: FromRef<S>,
{
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let name = cookie_name(App::from_ref(state).https);
        // Another cookie of this host may hold anything; its bytes must not hide ours.
        let headers: Vec<_> = parts
            .headers
            .get_all(header::COOKIE)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        let mut values = headers
            .iter()
            .flat_map(|value| Cookie::split_parse(&**value))
            .filter_map(Result::ok)
            .filter(|cookie| cookie.name() == name);
        Ok(match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(cookie), None) => {
                RefreshToken::parse(cookie.value()).map_or(Self::Malformed, Self::Token)
            }
            (Some(_), Some(_)) => Self::Malformed,
        })
    }
}
