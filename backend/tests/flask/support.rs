//! A program with guards, as a Flask application with the extension is one.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use aws_lc_rs::hmac;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::FromRef,
    http::{HeaderMap, Method, Request, header, request::Builder},
    routing::{MethodRouter, any},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::{
    Auth, Issuer,
    clock::{Clock as _, ManualClock},
    guard::{AccessCookies, CookieToken, Location, Locations, UserLookup, flask_answer},
    timestamp::Timestamp,
    token::{Algorithm, Grant, PublicKeys, Signer, SigningKey, Subject, Verifier, VerifyingKey},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// 2026-01-01, noon.
pub(crate) const NOW: i64 = 1_767_268_800;

/// The program's own user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
}

#[derive(Clone, FromRef)]
pub(crate) struct State {
    pub(crate) auth: Auth,
    pub(crate) users: UserLookup<User>,
}

/// Guards, what issues their tokens, and a clock to move.
pub(crate) struct App {
    pub(crate) clock: ManualClock,
    pub(crate) verifier: Verifier,
    pub(crate) issuer: Issuer,
    auth: Auth,
    users: UserLookup<User>,
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// The secret as a key that signs.
pub(crate) fn signing_key() -> SigningKey {
    SigningKey::from_secret(Algorithm::Hs256, SECRET).unwrap()
}

/// The secret as the one key that verifies.
pub(crate) fn keys() -> PublicKeys {
    PublicKeys::new([VerifyingKey::from_secret(Algorithm::Hs256, SECRET).unwrap()]).unwrap()
}

/// Places to look at, under the names that have no prefix of browsers.
pub(crate) fn places(order: &[Location]) -> Locations {
    let places = Locations::new(order.iter().copied()).unwrap();
    places.cookies(AccessCookies::plain())
}

impl App {
    /// Everything as the extension has it unless it is configured, its answers included.
    pub(crate) fn new() -> Self {
        Self::of(Signer::flask(signing_key()), Verifier::flask(keys()))
    }

    pub(crate) fn of(signer: Signer, verifier: Verifier) -> Self {
        let clock = ManualClock::at(Timestamp::from_secs(NOW));
        let auth = Auth::with_clock(verifier.clone(), Arc::new(clock.clone()));
        Self {
            issuer: Issuer::new(signer).clock(Arc::new(clock.clone())),
            auth: auth.answer_refusals(flask_answer),
            users: UserLookup::new(async |token: Arc<_>| {
                let token: &countersign::token::Verified = &token;
                let name = token.sub().to_owned();
                Ok::<_, Infallible>((name == "username").then_some(User { name }))
            }),
            clock,
            verifier,
        }
    }

    pub(crate) fn at(locations: Locations) -> Self {
        Self::new().with(|auth| auth.locations(locations))
    }

    pub(crate) fn with(mut self, change: impl FnOnce(Auth) -> Auth) -> Self {
        self.auth = change(self.auth);
        self
    }

    pub(crate) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// A token as `create_access_token("username")` makes it.
    pub(crate) fn token(&self) -> String {
        self.granted(Grant::new())
    }

    pub(crate) fn granted(&self, grant: Grant) -> String {
        let token = self.issuer.issue(&Subject::new("username"), grant);
        token.unwrap().expose().to_owned()
    }

    /// A token as `create_access_token("username", fresh=…)` makes it.
    pub(crate) fn fresh_token(&self) -> String {
        let subject = Subject::new("username");
        let token = self.issuer.issue_fresh(&subject, &["pwd"], Grant::new());
        token.unwrap().expose().to_owned()
    }

    pub(crate) fn cookie_token(&self) -> CookieToken {
        let subject = Subject::new("username");
        self.issuer
            .issue_for_cookies(&subject, Grant::new())
            .unwrap()
    }

    /// What the verifier reads in a token, or why it does not.
    pub(crate) fn decode(&self, token: &str) -> Result<Value, String> {
        let verified = self.verifier.verify(token, self.clock.now().as_secs());
        let verified = verified.map_err(|why| why.to_string())?;
        Ok(verified.custom().unwrap())
    }

    pub(crate) async fn send(&self, router: Router<State>, request: Request<Body>) -> Answer {
        let state = State {
            auth: self.auth.clone(),
            users: self.users.clone(),
        };
        let response = router.with_state(state).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 100_000).await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// Status and text that a token in `Authorization` gets.
    pub(crate) async fn bear(&self, router: &Router<State>, token: &str) -> String {
        let authorization = format!("Bearer {token}");
        self.ask(router, get().header(header::AUTHORIZATION, authorization))
            .await
    }

    /// Status and text that a request without a body gets.
    pub(crate) async fn ask(&self, router: &Router<State>, request: Builder) -> String {
        let request = request.body(Body::empty()).unwrap();
        self.send(router.clone(), request).await.summary()
    }
}

impl Answer {
    /// `401 Token has expired`.
    pub(crate) fn summary(&self) -> String {
        let json: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let text = ["msg", "code"].iter().find_map(|name| json[name].as_str());
        format!("{} {}", self.status, text.unwrap_or(&self.body))
    }

    /// The attributes of the cookies that are set, by their names.
    pub(crate) fn cookies(&self) -> BTreeMap<String, String> {
        let values = self.headers.get_all(header::SET_COOKIE).iter();
        let values = values.map(|value| value.to_str().unwrap());
        values
            .map(|value| {
                let (pair, attributes) = value.split_once("; ").unwrap();
                let (name, _) = pair.split_once('=').unwrap();
                (name.to_owned(), attributes.to_owned())
            })
            .collect()
    }
}

/// A `GET` of the only route.
pub(crate) fn get() -> Builder {
    Request::get("/")
}

pub(crate) fn method(method: &Method) -> Builder {
    Request::builder().method(method).uri("/")
}

/// A `POST` of a JSON body.
pub(crate) fn post_json(body: &Value) -> Request<Body> {
    let request = Request::post("/").header(header::CONTENT_TYPE, "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

/// A router with one route, which answers every method.
pub(crate) fn page(handler: MethodRouter<State>) -> Router<State> {
    Router::new().route("/", handler)
}

/// A route whose handler asks for nothing.
pub(crate) fn plain() -> Router<State> {
    page(any(async || "let in"))
}

/// A token of any header and claims, rightly signed by the secret: what `PyJWT` would make of them.
pub(crate) fn signed(header: &Value, claims: &Value) -> String {
    let input = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let input = input.join(".");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// A token as the extension makes it, with some claims otherwise; `null` takes one away.
pub(crate) fn encode(changes: &Value) -> String {
    let mut claims = json!({
        "fresh": false,
        "iat": NOW,
        "jti": "5ad7e6a6-38c7-4cd9-a2a4-e9ed0d9a6d06",
        "type": "access",
        "sub": "username",
        "nbf": NOW,
        "csrf": "5c5b2f2c-2bd6-4a8b-9fdc-3d36c1b8f3f8",
        "exp": NOW + 900,
    });
    let all = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        all.insert(name.clone(), value.clone());
    }
    all.retain(|_, value| !value.is_null());
    signed(&json!({ "alg": "HS256", "typ": "JWT" }), &claims)
}
