//! Where a server takes access tokens, as it is configured: and that no place takes a bad one.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_types::routes;
use insta::assert_snapshot;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    support::{Answer, PASSWORD, Pair, TestApp, backends, credentials},
    tokens::segment,
};

const EVERYWHERE: (&str, &str) = (
    "TOKEN__LOCATIONS",
    r#"["headers", "cookies", "query_string", "json"]"#,
);
const COOKIES: (&str, &str) = ("TOKEN__LOCATIONS", r#"["cookies"]"#);
const PLACES: [&str; 4] = ["header", "cookie", "query", "json"];

/// A request with a token in one of the places.
fn bearing(app: &TestApp, place: &str, path: &str, token: &str) -> RequestBuilder {
    match place {
        "header" => app.request(Method::POST, path).bearer_auth(token),
        "cookie" => app
            .request(Method::GET, path)
            .header("cookie", format!("access_token_cookie={token}")),
        "query" => app.request(Method::POST, &format!("{path}?jwt={token}")),
        _ => app
            .request(Method::POST, path)
            .json(&json!({ "access_token": token })),
    }
}

/// The cookies of a sign-in, as a browser would keep them.
#[derive(Debug)]
struct Jar {
    token: String,
    csrf: String,
}

impl Jar {
    fn of(answer: &Answer) -> Self {
        let value = |name: &str| answer.set_cookie(name).unwrap_or_default().0;
        Self {
            token: value("access_token_cookie"),
            csrf: value("csrf_access_token"),
        }
    }

    fn request(&self, app: &TestApp, method: Method, path: &str) -> RequestBuilder {
        app.request(method, path)
            .header("cookie", format!("access_token_cookie={}", self.token))
    }
}

async fn sign_in(app: &TestApp) -> Answer {
    app.register("ada@example.com").await;
    app.post(routes::SIGN_IN, &credentials("ada@example.com", PASSWORD))
        .await
}

backends! {
    async fn sign_out_by_the_cookies_ends_the_session_and_takes_them_back(app: TestApp) {
        let mut app = app;
        app.reconfigure(&[COOKIES]).await;
        let jar = Jar::of(&sign_in(&app).await);
        let protected = async || {
            Answer::of(jar.request(&app, Method::GET, routes::PROTECTED)).await.summary()
        };
        assert_eq!(protected().await, "200 application/json welcome ada@example.com");

        // A page elsewhere can make the browser send the cookie, and cannot read what to repeat.
        let forged = Answer::of(jar.request(&app, Method::POST, routes::LOGOUT)).await;
        assert_eq!(forged.summary(), "403 application/problem+json csrf_failed");
        assert!(forged.set_cookie("access_token_cookie").is_none());
        let out = jar.request(&app, Method::POST, routes::LOGOUT).header("X-CSRF-TOKEN", &jar.csrf);
        let out = Answer::of(out).await;

        assert_eq!(out.status(), 204);
        for name in ["access_token_cookie", "csrf_access_token"] {
            let (value, line) = out.set_cookie(name).unwrap();
            assert!(value.is_empty() && line.contains("Max-Age=0"), "{line}");
        }
        assert_eq!(protected().await, "401 application/problem+json token_revoked");
    }
}

#[tokio::test]
async fn sign_in_sets_the_cookies_where_tokens_are_looked_for_in_them() {
    let app = TestApp::with(&[COOKIES]).await;
    let answer = sign_in(&app).await;

    let line = |name: &str| {
        let (value, line) = answer.set_cookie(name).unwrap();
        line.replace(&value, "[value]")
    };
    assert_snapshot!(line("access_token_cookie"), @"access_token_cookie=[value]; HttpOnly; SameSite=Strict; Path=/; Max-Age=900");
    assert_snapshot!(line("csrf_access_token"), @"csrf_access_token=[value]; SameSite=Strict; Path=/; Max-Age=900");
    let jar = Jar::of(&answer);
    // What is to be repeated is in the token of the cookie, and in no other.
    assert_eq!(segment(&jar.token, 1)["csrf"], *jar.csrf);
    assert!(segment(&answer.access_token(), 1).get("csrf").is_none());
    assert_eq!(URL_SAFE_NO_PAD.decode(&jar.csrf).unwrap().len(), 32);
}

#[tokio::test]
async fn cookies_of_https_are_taken_by_browsers_from_this_host_alone() {
    let app = TestApp::with(&[
        COOKIES,
        ("PUBLIC_URL", "https://auth.example.com"),
        ("REGISTRATION", "open"),
    ])
    .await;
    let answer = sign_in(&app).await;

    for name in ["__Host-access_token_cookie", "__Host-csrf_access_token"] {
        let (_, line) = answer.set_cookie(name).unwrap();
        assert!(line.contains("; Secure; Path=/;"), "{line}");
        assert!(!line.contains("Domain"), "{line}");
    }
}

#[tokio::test]
async fn without_the_cookies_place_none_is_set_or_looked_at() {
    let app = TestApp::with(&[]).await;
    let answer = sign_in(&app).await;

    assert!(answer.set_cookie("access_token_cookie").is_none());
    for place in ["cookie", "query", "json"] {
        let request = bearing(&app, place, routes::PROTECTED, &answer.access_token());
        assert_eq!(
            Answer::of(request).await.summary(),
            "401 application/problem+json token_missing",
            "{place}"
        );
    }
}

#[tokio::test]
async fn refresh_renews_the_cookies() {
    let app = TestApp::with(&[COOKIES]).await;
    let first = sign_in(&app).await;
    let (old, refresh) = (Jar::of(&first), first.pair().refresh);

    let new = Jar::of(&app.refresh(&refresh).await);

    assert!(new.token != old.token && new.csrf != old.csrf);
    let change = |jar: &Jar, csrf: &str| {
        jar.request(&app, Method::POST, routes::PROTECTED)
            .header("X-CSRF-TOKEN", csrf)
    };
    assert_eq!(Answer::of(change(&new, &new.csrf)).await.status(), 200);
    assert_eq!(Answer::of(change(&new, &old.csrf)).await.status(), 403);
}

#[tokio::test]
async fn token_of_the_body_does_nothing_in_a_cookie() {
    let app = TestApp::with(&[COOKIES]).await;
    let jar = Jar {
        token: sign_in(&app).await.access_token(),
        csrf: String::new(),
    };

    let request = jar
        .request(&app, Method::POST, routes::PROTECTED)
        .header("X-CSRF-TOKEN", "");
    assert_snapshot!(Answer::of(request).await, @r#"
    403
    cache-control: no-store
    content-type: application/problem+json

    {
      "code": "csrf_failed",
      "detail": "A token in a cookie counts only where the request repeats, in the header «X-CSRF-TOKEN», the value of the cookie that was set beside it.",
      "status": 403,
      "title": "Request from elsewhere",
      "type": "urn:countersign:problem:csrf_failed"
    }
    "#);
}

#[tokio::test]
async fn every_configured_place_takes_a_good_token() {
    let app = TestApp::with(&[EVERYWHERE]).await;
    let token = app.register("ada@example.com").await;

    for place in PLACES {
        let answer = Answer::of(bearing(&app, place, routes::PROTECTED, &token)).await;
        assert_eq!(
            answer.summary(),
            "200 application/json welcome ada@example.com",
            "{place}"
        );
    }
}

#[tokio::test]
async fn first_place_that_has_a_token_decides() {
    let app = TestApp::with(&[("TOKEN__LOCATIONS", r#"["query_string", "headers"]"#)]).await;
    let token = app.register("ada@example.com").await;
    let ask = async |query: &str, header: &str| {
        let path = format!("{}?jwt={query}", routes::PROTECTED);
        Answer::of(app.request(Method::GET, &path).bearer_auth(header))
            .await
            .status()
    };

    assert_eq!(ask(&token, "bad").await, 200);
    assert_eq!(ask("bad", &token).await, 401);
    assert_eq!(ask("", &token).await, 200);
}

#[tokio::test]
async fn header_and_scheme_are_configurable() {
    let app = TestApp::with(&[
        ("TOKEN__HEADER_NAME", "X-Access-Token"),
        ("TOKEN__HEADER_SCHEME", "JWT"),
    ])
    .await;
    let token = app.register("ada@example.com").await;
    let ask = async |name: &str, value: String| {
        let request = app.request(Method::GET, routes::PROTECTED);
        Answer::of(request.header(name, value)).await
    };

    assert_eq!(
        ask("x-access-token", format!("jwt {token}")).await.status(),
        200
    );
    assert_snapshot!(
        ask("authorization", format!("Bearer {token}")).await.json()["detail"].as_str().unwrap(),
        @"Send an access token in the header «X-Access-Token: JWT …». POST /auth gives one."
    );
}

#[tokio::test]
async fn sign_out_takes_the_token_of_the_body_where_it_is_looked_for_there() {
    let app = TestApp::with(&[("TOKEN__LOCATIONS", r#"["json"]"#)]).await;
    for path in [routes::LOGOUT, routes::LOGOUT_ALL] {
        let pair = sign_in_or_up(&app).await;

        let out = app
            .post(path, &json!({ "access_token": pair.access }))
            .await;
        assert_eq!(out.status(), 204, "{out}");
        let refused = app.refresh(&pair.refresh).await;
        assert_eq!(
            refused.summary(),
            "401 application/problem+json refresh_token_invalid"
        );
    }
}

async fn sign_in_or_up(app: &TestApp) -> Pair {
    let body = credentials("ada@example.com", PASSWORD);
    let answer = app.post(routes::REGISTER, &body).await;
    if answer.status() == 201 {
        return answer.pair();
    }
    app.sign_in_pair("ada@example.com").await
}

#[tokio::test]
async fn page_from_elsewhere_takes_no_cookie_away_by_a_token_of_its_own() {
    let app = TestApp::with(&[EVERYWHERE]).await;
    let token = app.register("eve@example.com").await;

    let path = format!("{}?jwt={token}", routes::LOGOUT);
    let out = app
        .request(Method::POST, &path)
        .header("origin", "https://evil.example")
        .header("sec-fetch-site", "cross-site");
    let out = Answer::of(out).await;

    assert_eq!(out.status(), 204);
    assert_eq!(out.header("set-cookie"), "");
}

#[tokio::test]
async fn body_with_a_token_that_is_too_large_is_413() {
    let app = TestApp::with(&[EVERYWHERE]).await;
    let body = json!({ "access_token": "a".repeat(17_000) });

    let answer = app.post(routes::PROTECTED, &body).await;
    assert_eq!(
        answer.summary(),
        "413 application/problem+json body_too_large"
    );
}

/// What an attacker would try who has one genuine token of their own.
fn forged(genuine: &str) -> Vec<(&'static str, String)> {
    let parts: Vec<&str> = genuine.split('.').collect();
    let with = |index: usize, member: &str, value: Value| {
        let mut segment = segment(genuine, index);
        segment[member] = value;
        let written = URL_SAFE_NO_PAD.encode(segment.to_string());
        let mut parts = parts.clone();
        parts[index] = &written;
        parts.join(".")
    };
    let (head, _) = genuine.rsplit_once('.').unwrap();
    let mut flipped = genuine.as_bytes().to_vec();
    let last = flipped.len() - 2;
    flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
    vec![
        ("another role", with(1, "roles", json!(["admin"]))),
        (
            "another account",
            with(1, "sub", json!("00000000-0000-0000-0000-000000000001")),
        ),
        ("a longer life", with(1, "exp", json!(9_999_999_999_i64))),
        ("no algorithm", with(0, "alg", json!("none"))),
        ("an HMAC", with(0, "alg", json!("HS256"))),
        ("another type", with(0, "typ", json!("JWT"))),
        ("another key", with(0, "kid", json!("other"))),
        (
            "a key of its own",
            with(0, "jwk", json!({ "kty": "oct", "k": "AA" })),
        ),
        (
            "a key from elsewhere",
            with(0, "jku", json!("http://127.0.0.1:1/jwks.json")),
        ),
        ("no signature", format!("{head}.")),
        ("two segments", head.to_owned()),
        ("a flipped bit", String::from_utf8(flipped).unwrap()),
        ("something behind it", format!("{genuine}A")),
        ("a long one", format!("{head}.{}", "A".repeat(7000))),
    ]
}

#[tokio::test]
async fn attack_table_is_refused_in_every_place() {
    let app = TestApp::with(&[EVERYWHERE]).await;
    let genuine = app.register("ada@example.com").await;
    let mut tried = 0;

    for place in PLACES {
        for (what, token) in forged(&genuine) {
            for path in [routes::PROTECTED, routes::ME] {
                let mut request = bearing(&app, place, path, &token);
                if path == routes::ME {
                    request = match place {
                        "header" => app.request(Method::GET, path).bearer_auth(&token),
                        "query" => app.request(Method::GET, &format!("{path}?jwt={token}")),
                        "json" => continue,
                        _ => request,
                    };
                }
                assert_eq!(
                    Answer::of(request).await.summary(),
                    "401 application/problem+json token_invalid",
                    "{what} in the {place} of {path}"
                );
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 7 * 14);
}
