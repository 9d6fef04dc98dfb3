//! Whatever anybody sends as a token, in whatever place, is refused without a panic: for a fuzzer,
//! and for a second at each `cargo test`.
//!
//! ```sh
//! cargo install cargo-bolero
//! cargo bolero test --package countersign --test fuzz any_token
//! ```

use std::panic::AssertUnwindSafe;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, Uri, header},
    routing::any,
};
use bolero::check;
use countersign::{
    Auth,
    guard::{AccessCookies, Location, Locations},
    token::{
        Algorithm, AnyClaims, Claims, PublicKeys, SharedKeys, Unverified, Verifier, VerifyingKey,
    },
};
use tower::ServiceExt as _;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn keys() -> SharedKeys {
    let key = VerifyingKey::from_secret(Algorithm::Hs256, SECRET).expect("32 bytes are enough");
    SharedKeys::new(PublicKeys::new([key]).expect("it is the only one"))
}

#[test]
fn any_token_is_refused_without_a_panic() {
    let verifiers = AssertUnwindSafe([
        Verifier::new(keys(), "issuer", "audience"),
        Verifier::jwt(keys(), "issuer", "audience"),
        Verifier::flask(keys()),
    ]);

    check!().for_each(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        // As it is, and as three segments, which random bytes never are.
        let (one, rest) = bytes.split_at(bytes.len() / 3);
        let (two, three) = rest.split_at(rest.len() / 2);
        let segments = [one, two, three].map(encoded).join(".");
        for token in [&*text, &segments] {
            for verifier in verifiers.iter() {
                assert!(verifier.verify(token, 0).is_err());
            }
            drop(Unverified::read(token));
        }
    });
}

#[test]
fn any_authorization_cookie_query_and_body_lets_nobody_in() {
    let locations = Locations::new(Location::ALL.map(|(_, location)| location));
    let locations = locations.expect("each is there once");
    let auth = Auth::of(Verifier::new(keys(), "issuer", "audience"))
        .locations(locations.cookies(AccessCookies::plain()));
    let router: Router = Router::new()
        .route("/", any(async |_: Claims| "let in"))
        .route("/any", any(async |_: AnyClaims| "let in"))
        .route_layer(auth.guard())
        .with_state(auth);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime needs nothing");

    let program = AssertUnwindSafe((runtime, router));

    check!().for_each(|bytes: &[u8]| {
        let (runtime, router) = &*program;
        for request in requests(bytes) {
            let answer = runtime.block_on(router.clone().oneshot(request));
            let status = answer.map(|answer| answer.status().as_u16());
            assert!(
                matches!(status, Ok(400 | 401 | 403 | 408 | 413)),
                "{status:?}"
            );
        }
    });
}

/// These bytes in each place where a token may be.
fn requests(bytes: &[u8]) -> Vec<Request> {
    let mut requests = Vec::new();
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        let mut bearer = b"Bearer ".to_vec();
        bearer.extend_from_slice(bytes);
        let mut cookie = b"access_token_cookie=".to_vec();
        cookie.extend_from_slice(bytes);
        for (name, value) in [
            (header::AUTHORIZATION, Some(value.clone())),
            (header::AUTHORIZATION, HeaderValue::from_bytes(&bearer).ok()),
            (header::COOKIE, Some(value)),
            (header::COOKIE, HeaderValue::from_bytes(&cookie).ok()),
        ] {
            requests.extend(value.and_then(|value| {
                Request::post("/")
                    .header(name, value)
                    .body(Body::empty())
                    .ok()
            }));
        }
    }
    for query in ["?", "?jwt="] {
        let uri = format!("/any{query}{}", String::from_utf8_lossy(bytes));
        if let Ok(uri) = uri.parse::<Uri>() {
            requests.extend(Request::get(uri).body(Body::empty()).ok());
        }
    }
    requests.extend(
        Request::post("/any")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(bytes.to_vec()))
            .ok(),
    );
    requests
}

fn encoded(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    URL_SAFE_NO_PAD.encode(bytes)
}
