//! Layers: guards around routes, and the reading of tokens in JSON bodies.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::IgnoredAny;
use serde_json::Value;
use tower::{Layer, Service};

use super::{
    Ask, Auth, GuardError, Location, Locations, Presented, Refused, RouteRules,
    locations::JsonToken,
};
use crate::token::Rejection;

/// The largest body in which a token is looked for, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// How long a client may take to send one.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A layer that lets only the bearers of acceptable tokens through, and asks for whatever else the
/// routes inside need. Made by [`Auth::guard`].
///
/// By `Router::route_layer`: with `layer` unknown paths are 401 too instead of 404.
///
/// What is needed adds up: `.scope("a").scope("b")` needs both, and a guard within a guard needs
/// what both need. Extractors inside see the same token, which is judged once, and follow the
/// innermost guard where it says something of places, windows or revocation.
///
/// Every method is guarded alike, OPTIONS too. What answers preflights, and what lets a request have
/// another method than it came with, belongs outside of the guard.
#[derive(Debug, Clone)]
#[must_use = "a guard guards nothing before it is a layer"]
pub struct Guard {
    auth: Auth,
    needs: Vec<Need>,
    locations: Option<Arc<Locations>>,
    fresh_for: Option<Duration>,
    ask: Option<Ask>,
}

#[derive(Debug, Clone)]
enum Need {
    AnyScope(Vec<String>),
    AnyRole(Vec<String>),
    Fresh(Duration),
    VerifiedEmail,
}

impl Guard {
    pub(super) const fn new(auth: Auth) -> Self {
        Self {
            auth,
            needs: Vec::new(),
            locations: None,
            fresh_for: None,
            ask: None,
        }
    }

    fn need(mut self, need: Need) -> Self {
        self.needs.push(need);
        self
    }

    /// The token must have this scope; otherwise the answer is 403 `insufficient_scope`.
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.any_scope([scope])
    }

    /// The token must have one of these scopes; of none, nobody has one.
    pub fn any_scope<T: Into<String>>(self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.need(Need::AnyScope(scopes.into_iter().map(Into::into).collect()))
    }

    /// The account must have this role; otherwise the answer is 403 `insufficient_scope`.
    pub fn role(self, role: impl Into<String>) -> Self {
        self.any_role([role])
    }

    /// The account must have one of these roles; of none, nobody has one.
    pub fn any_role<T: Into<String>>(self, roles: impl IntoIterator<Item = T>) -> Self {
        self.need(Need::AnyRole(roles.into_iter().map(Into::into).collect()))
    }

    /// The person must have proved presence a short while ago; otherwise the answer is 403
    /// `fresh_token_required`. How short is said by [`Auth::fresh_for`].
    pub fn fresh(self) -> Self {
        let window = self.auth.settings.fresh_for;
        self.need(Need::Fresh(window))
    }

    /// The same within this window, which [`Fresh`](super::Fresh) inside follows too.
    pub fn fresh_within(mut self, window: Duration) -> Self {
        self.fresh_for = Some(window);
        self.need(Need::Fresh(window))
    }

    /// The account's address must be confirmed; otherwise the answer is 403 `email_unverified`. Tokens
    /// say so unless `token.include_email` is off: then nobody passes.
    pub fn verified_email(self) -> Self {
        self.need(Need::VerifiedEmail)
    }

    /// These routes look for tokens elsewhere than the rest. Where a guard outside looks in other
    /// places than one inside, a request may have a token for each, and each judges its own.
    pub fn locations(mut self, locations: Locations) -> Self {
        self.locations = Some(Arc::new(locations));
        self
    }

    /// These routes take tokens that were revoked, or whose session has ended, until they expire.
    ///
    /// # Security
    ///
    /// For what may be asked after a sign-out, such as signing out once more, and for nothing that
    /// shows or changes anything.
    pub const fn skip_revocation(mut self) -> Self {
        self.ask = Some(Ask::TokenAlone);
        self
    }

    async fn enforce(&self, request: Request) -> Result<Request, Refused> {
        let (mut parts, body) = request.into_parts();
        let outer = self.auth.route(&parts).cloned().unwrap_or_default();
        let rules = RouteRules {
            by: Some(self.auth.clone()),
            locations: self.locations.clone().or(outer.locations),
            fresh_for: self.fresh_for.or(outer.fresh_for),
            // Laxer only where this guard itself is.
            ask: self.ask.unwrap_or(Ask::Everything),
        };
        let locations = rules
            .locations
            .clone()
            .unwrap_or_else(|| Arc::new(self.auth.token_locations().clone()));
        parts.extensions.insert(rules);
        let read = read_token(&locations, Request::from_parts(parts, body)).await;
        let request = read.map_err(|error| self.auth.refuse_unread(error))?;
        let (mut parts, body) = request.into_parts();
        match self.check(&mut parts).await {
            Ok(()) => Ok(Request::from_parts(parts, body)),
            Err(error) => Err(self.auth.refuse(error, &parts)),
        }
    }

    async fn check(&self, parts: &mut http::request::Parts) -> Result<(), GuardError> {
        let presented = self.auth.require(parts).await?;
        self.needs
            .iter()
            .try_for_each(|need| need.check(&presented))
    }
}

impl Need {
    fn check(&self, presented: &Presented) -> Result<(), GuardError> {
        let token = &presented.token;
        match self {
            Self::AnyScope(scopes) => {
                if scopes.iter().any(|scope| token.scope().contains(scope)) {
                    Ok(())
                } else {
                    Err(GuardError::MissingScope(scopes.clone()))
                }
            }
            Self::AnyRole(roles) => {
                if roles.iter().any(|role| token.roles().contains(role)) {
                    Ok(())
                } else {
                    Err(GuardError::MissingRole(roles.clone()))
                }
            }
            Self::Fresh(window) => presented.require_fresh(*window),
            Self::VerifiedEmail => presented.require_verified_email(),
        }
    }
}

impl<S> Layer<S> for Guard {
    type Service = GuardService<S>;

    fn layer(&self, inner: S) -> GuardService<S> {
        GuardService {
            guard: Arc::new(self.clone()),
            inner,
        }
    }
}

/// What [`Guard`] puts around a route.
#[derive(Debug, Clone)]
pub struct GuardService<S> {
    guard: Arc<Guard>,
    inner: S,
}

type Answering<E> = Pin<Box<dyn Future<Output = Result<Response, E>> + Send>>;

impl<S> Service<Request> for GuardService<S>
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Answering<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let guard = Arc::clone(&self.guard);
        let mut inner = ready(&mut self.inner);
        Box::pin(async move {
            match guard.enforce(request).await {
                Ok(request) => inner.call(request).await,
                Err(refused) => Ok(refused.into_response()),
            }
        })
    }
}

/// The service that was asked whether it is ready; a clone, which was not, takes its place.
fn ready<S: Clone>(inner: &mut S) -> S {
    let clone = inner.clone();
    std::mem::replace(inner, clone)
}

/// A layer that reads the token of a JSON body. Made by [`Auth::json_tokens`].
#[derive(Debug, Clone)]
pub struct JsonTokens {
    auth: Auth,
}

impl JsonTokens {
    pub(super) const fn new(auth: Auth) -> Self {
        Self { auth }
    }
}

impl<S> Layer<S> for JsonTokens {
    type Service = JsonTokensService<S>;

    fn layer(&self, inner: S) -> JsonTokensService<S> {
        JsonTokensService {
            auth: self.auth.clone(),
            inner,
        }
    }
}

/// What [`JsonTokens`] puts around a route.
#[derive(Debug, Clone)]
pub struct JsonTokensService<S> {
    auth: Auth,
    inner: S,
}

impl<S> Service<Request> for JsonTokensService<S>
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Answering<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let auth = self.auth.clone();
        let mut inner = ready(&mut self.inner);
        Box::pin(async move {
            match read_token(auth.token_locations(), request).await {
                Ok(request) => inner.call(request).await,
                Err(error) => Ok(auth.refuse_unread(error).into_response()),
            }
        })
    }
}

/// Notes the token of the body, where one may be there; the body goes on as it came.
async fn read_token(locations: &Locations, request: Request) -> Result<Request, GuardError> {
    let name = locations.json_member();
    if !locations.contains(Location::Json) {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    // Neither read twice, nor where a place before it has the token.
    let is_read = JsonToken::find(&parts, name).is_some();
    if is_read || locations.is_found_before_json(&parts) {
        return Ok(Request::from_parts(parts, body));
    }
    if !is_json(&parts.headers) || body.is_end_stream() {
        parts.extensions.insert(JsonToken::new(name, None));
        return Ok(Request::from_parts(parts, body));
    }
    let body = read(body).await?;
    let token = member(&body, name)?;
    parts.extensions.insert(JsonToken::new(name, token));
    Ok(Request::from_parts(parts, Body::from(body)))
}

async fn read(body: Body) -> Result<Bytes, GuardError> {
    let collected = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(BODY_TIMEOUT, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(GuardError::BodyTooLarge),
        Ok(Err(_)) | Err(_) => Err(GuardError::BodyBrokeOff),
    }
}

/// `application/json`, whatever parameter is behind it.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"))
}

/// A member of a JSON object; two of one name are refused, and what is no text. A body that is no
/// such object holds no token: what else is wrong with it the handler says.
fn member(body: &[u8], name: &str) -> Result<Option<String>, GuardError> {
    struct Members<'n>(&'n str);

    impl<'de> serde::de::Visitor<'de> for Members<'_> {
        type Value = Result<Option<String>, GuardError>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut found = Vec::new();
            while let Some(name) = map.next_key::<String>()? {
                if name == self.0 {
                    found.push(map.next_value::<Value>()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(match (found.pop(), found.is_empty()) {
                (_, false) => Err(GuardError::Repeated),
                (None | Some(Value::Null), true) => Ok(None),
                (Some(Value::String(token)), true) => Ok(Some(token).filter(|it| !it.is_empty())),
                (Some(_), true) => Err(Rejection::Malformed.into()),
            })
        }
    }

    let mut json = serde_json::Deserializer::from_slice(body);
    serde::Deserializer::deserialize_map(&mut json, Members(name)).unwrap_or(Ok(None))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn token_is_a_member_of_the_object_and_only_once() {
        let found = |body: &str| member(body.as_bytes(), "access_token").ok();
        for (body, expected) in [
            (r#"{"access_token":"a.b.c"}"#, Some(Some("a.b.c"))),
            (
                r#"{"note":{"access_token":"x"},"access_token":"a"}"#,
                Some(Some("a")),
            ),
            (r#"{"access_token":""}"#, Some(None)),
            (r#"{"access_token":null}"#, Some(None)),
            (r#"{"access_token":7}"#, None),
            (r#"{"access_token":"a","access_token":7}"#, None),
            (r#"{"note":1}"#, Some(None)),
            (r#"["access_token"]"#, Some(None)),
            ("", Some(None)),
            (r#"{"access_token":"a","access_token":"b"}"#, None),
        ] {
            let expected = expected.map(|token| token.map(str::to_owned));
            assert_eq!(found(body), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(member(&body, "a"));
        }
    }
}
