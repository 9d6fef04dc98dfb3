//! Guards: extractors that let only the bearers of acceptable access tokens in.
//!
//! Knows no database and no session: what it asks is behind [`Accept`], which the server implements
//! by its sessions and [`Auth::of`] by signature and claims alone.

use std::{fmt, pin::Pin, sync::Arc};

use axum::{
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use countersign_types::{Problem, ProblemCode};
use http::{HeaderMap, header, request::Parts};
use serde::de::DeserializeOwned;

use crate::{
    answer::{Challenge, answer},
    clock::{Clock, SystemClock},
    token::{AnyClaims, Claims, Rejection, TokenClaims, Verified, Verifier},
};

/// How long to wait where it cannot be said whether a token is acceptable, in seconds.
const RETRY_AFTER: u64 = 2;

/// What a guard found, in time.
pub type Accepted<'a> = Pin<Box<dyn Future<Output = Result<Verified, GuardError>> + Send + 'a>>;

/// Says whether an access token is acceptable.
pub trait Accept: Send + Sync + 'static {
    /// A token that is genuine and holds now.
    fn accept<'a>(&'a self, token: &'a str) -> Accepted<'a>;
}

/// What guards ask; to be had from an application's state through `FromRef`. Cheap to clone.
///
/// ```
/// use axum::{Json, Router, routing::get};
/// use countersign::{Auth, Claims};
///
/// async fn notes(claims: Claims) -> Json<String> {
///     Json(format!("the notes of {}", claims.sub))
/// }
///
/// let router: Router<Auth> = Router::new().route("/notes", get(notes));
/// ```
#[derive(Clone)]
pub struct Auth(Arc<dyn Accept>);

impl Auth {
    /// Asks somebody.
    pub fn new(accept: Arc<dyn Accept>) -> Self {
        Self(accept)
    }

    /// Asks signature and claims alone, for a service that knows the keys and no session: a token
    /// is accepted until it expires, also after a sign-out.
    ///
    /// ```
    /// use countersign::{Auth, token::{Algorithm, PublicKeys, Verifier, VerifyingKey}};
    ///
    /// let secret = b"32 bytes at least, and not these";
    /// let keys = PublicKeys::new([VerifyingKey::from_secret(Algorithm::Hs256, secret)?])?;
    /// let auth = Auth::of(Verifier::new(
    ///     keys,
    ///     "https://auth.example.com",
    ///     "https://api.example.com",
    /// ));
    /// # Ok::<(), countersign::token::KeyError>(())
    /// ```
    pub fn of(verifier: Verifier) -> Self {
        Self(Arc::new(ByClaims {
            verifier,
            clock: SystemClock::new(),
        }))
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

struct ByClaims {
    verifier: Verifier,
    clock: SystemClock,
}

impl Accept for ByClaims {
    fn accept<'a>(&'a self, token: &'a str) -> Accepted<'a> {
        let accepted = self.verifier.verify(token, self.clock.now().as_secs());
        Box::pin(std::future::ready(accepted.map_err(GuardError::from)))
    }
}

/// Why nobody was let in.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// No token was presented.
    #[error("no token was presented")]
    Missing,
    /// More than one `Authorization` header, or one that is no text.
    #[error("malformed Authorization")]
    MalformedAuthorization,
    /// The token is not genuine, or its time is over.
    #[error(transparent)]
    Token(#[from] Rejection),
    /// The token is genuine, but its session is over.
    #[error("the session has ended")]
    Revoked,
    /// Nobody can say whether the token is acceptable, so it is not.
    #[error("it cannot be said whether the token is acceptable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl GuardError {
    pub(crate) fn problem(&self) -> (Problem, Challenge) {
        use ProblemCode as Code;

        let bad_token = |code, detail: &'static str, description| {
            (
                Problem::new(code, detail),
                Challenge::InvalidToken(description),
            )
        };
        match self {
            Self::Missing => (
                Problem::new(
                    Code::TokenMissing,
                    "Send an access token in the header «Authorization: Bearer …». \
                     POST /auth gives one.",
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
            Self::Token(Rejection::Expired) => bad_token(
                Code::TokenExpired,
                "This access token has expired. Refresh it, or sign in again.",
                "The access token expired",
            ),
            Self::Token(_) => bad_token(
                Code::TokenInvalid,
                "This is no access token that this server accepts. Sign in again.",
                "The access token is invalid",
            ),
            Self::Revoked => bad_token(
                Code::TokenRevoked,
                "The session of this access token has ended. Sign in again.",
                "The session has ended",
            ),
            Self::Unavailable(_) => (
                Problem {
                    retry_after: Some(RETRY_AFTER),
                    ..Problem::new(
                        Code::Unavailable,
                        "The database does not answer. Try again in a moment.",
                    )
                },
                Challenge::None,
            ),
        }
    }
}

impl IntoResponse for GuardError {
    fn into_response(self) -> Response {
        let (problem, challenge) = self.problem();
        answer(&self, problem, &challenge)
    }
}

macro_rules! guards {
    ($($claims:ident<$($custom:ident)?>),*) => {$(
        /// Guards a handler: without an acceptable access token the answer is 401 with its
        /// challenge.
        impl<S, $($custom)?> FromRequestParts<S> for $claims<$($custom)?>
        where
            S: Send + Sync,
            Auth: FromRef<S>,
            $($custom: DeserializeOwned)?
        {
            type Rejection = GuardError;

            async fn from_request_parts(
                parts: &mut Parts,
                state: &S,
            ) -> Result<Self, GuardError> {
                let token = authenticate(parts, state).await?.ok_or(GuardError::Missing)?;
                Ok(Self::read(&token)?)
            }
        }

        /// `None` where no credential, or one of another scheme, is presented; a bad token is
        /// refused all the same, since whoever sends one expects to be somebody.
        impl<S, $($custom)?> OptionalFromRequestParts<S> for $claims<$($custom)?>
        where
            S: Send + Sync,
            Auth: FromRef<S>,
            $($custom: DeserializeOwned)?
        {
            type Rejection = GuardError;

            async fn from_request_parts(
                parts: &mut Parts,
                state: &S,
            ) -> Result<Option<Self>, GuardError> {
                let token = authenticate(parts, state).await?;
                Ok(token.as_ref().map(Self::read).transpose()?)
            }
        }
    )*};
}

guards!(Claims<X>, AnyClaims<X>);

async fn authenticate<S>(parts: &Parts, state: &S) -> Result<Option<Verified>, GuardError>
where
    Auth: FromRef<S>,
{
    let Some(token) = bearer(&parts.headers)? else {
        return Ok(None);
    };
    let Auth(accept) = Auth::from_ref(state);
    accept.accept(token).await.map(Some)
}

/// The token of the `Authorization` header (RFC 6750 §2.1). The scheme is compared without regard
/// to case (RFC 9110 §11.1); other schemes are somebody else's.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, GuardError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(GuardError::MalformedAuthorization);
    }
    let value = value
        .to_str()
        .map_err(|_| GuardError::MalformedAuthorization)?
        .trim_matches(' ');
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Ok(None);
    }
    match token.trim_matches(' ') {
        "" => Err(Rejection::Malformed.into()),
        token => Ok(Some(token)),
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        body::{Body, to_bytes},
        extract::Request,
        routing::get,
    };
    use http::HeaderValue;
    use proptest::prelude::*;
    use tower::ServiceExt as _;
    use uuid::Uuid;

    use super::*;
    use crate::token::{Algorithm, Grant, PublicKeys, Signer, SigningKey, Subject, VerifyingKey};

    fn headers(values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                (header::AUTHORIZATION, value)
            })
            .collect()
    }

    fn authorization(values: &[&str]) -> Result<Option<String>, String> {
        bearer(&headers(values))
            .map(|token| token.map(str::to_owned))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn scheme_is_compared_without_regard_to_case() {
        for value in ["Bearer abc", "bearer abc", "BEARER  abc ", " BeArEr abc"] {
            assert_eq!(
                authorization(&[value]),
                Ok(Some("abc".to_owned())),
                "{value}"
            );
        }
    }

    #[test]
    fn other_schemes_are_no_credential_of_ours() {
        for values in [
            &[] as &[&str],
            &["Basic YTpi"],
            &["Bearerabc"],
            &[""],
            &["Negotiate"],
        ] {
            assert_eq!(authorization(values), Ok(None), "{values:?}");
        }
    }

    #[test]
    fn empty_bearer_and_two_headers_are_refused() {
        assert_eq!(
            authorization(&["Bearer"]),
            Err("the token is malformed".to_owned())
        );
        assert_eq!(
            authorization(&["Bearer   "]),
            Err("the token is malformed".to_owned())
        );
        assert_eq!(
            authorization(&["Bearer abc", "Bearer abc"]),
            Err("malformed Authorization".to_owned())
        );
        assert_eq!(
            authorization(&["Bearer ä"]),
            Err("malformed Authorization".to_owned())
        );
    }

    /// A service that knows one secret, what it answers to an `Authorization` header, and a token.
    async fn ask(header: Option<&str>) -> (u16, String) {
        let secret = [7; 32];
        let keys = PublicKeys::new([VerifyingKey::from_secret(Algorithm::Hs256, &secret).unwrap()]);
        let verifier = Verifier::new(keys.unwrap(), "issuer", "audience");
        let key = SigningKey::from_secret(Algorithm::Hs256, &secret).unwrap();
        let signer = Signer::new(key, "issuer", "audience");
        let now = SystemClock::new().now().as_secs();
        let subject = Subject::new(Uuid::from_u128(1));
        let token = signer
            .sign(&subject, &Grant::new(), Uuid::from_u128(3), now)
            .unwrap();
        let router = Router::new()
            .route("/", get(async |claims: Claims| claims.sub.to_string()))
            .route(
                "/maybe",
                get(async |claims: Option<Claims>| claims.is_some().to_string()),
            )
            .with_state(Auth::of(verifier));
        let (path, header) = match header {
            Some(header) => ("/", Some(header.replace("TOKEN", token.expose()))),
            None => ("/maybe", None),
        };
        let mut request = Request::get(path);
        if let Some(header) = header {
            request = request.header(header::AUTHORIZATION, header);
        }
        let response = router
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn keys_alone_guard_a_route() {
        assert_eq!(
            ask(Some("Bearer TOKEN")).await,
            (200, Uuid::from_u128(1).to_string())
        );
        let (status, body) = ask(Some("Bearer TOKENx")).await;
        assert_eq!(status, 401);
        assert!(body.contains("token_invalid"), "{body}");
        assert_eq!(ask(None).await, (200, "false".to_owned()));
    }

    proptest! {
        #[test]
        fn any_authorization_is_read_without_a_panic(value in "[ -~]{0,100}") {
            drop(authorization(&[&value]));
        }
    }
}
