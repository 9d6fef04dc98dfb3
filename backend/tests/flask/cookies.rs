//! `test_cookies.py`: tokens in cookies, and the double submit.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Router,
    http::{HeaderMap, HeaderName, Method, header, request::Builder},
    routing::{any, get as on_get},
};
use cookie::SameSite;
use countersign::{
    guard::{AccessCookies, CookieToken, Location, Locations},
    token::AnyClaims,
};

use crate::support::{App, State, encode, get, method, page, plain};

/// The life that the extension gives to cookies that outlive the browser.
const YEAR: Duration = Duration::from_secs(31_540_000);

fn app(cookies: AccessCookies) -> (App, Router<State>) {
    let locations = Locations::new([Location::Cookies]).unwrap();
    let app = App::at(locations.cookies(cookies));
    let router = plain().route_layer(app.auth().guard());
    (app, router)
}

fn with(request: Builder, token: &CookieToken) -> Builder {
    let cookie = format!("access_token_cookie={}", token.token.expose());
    request.header(header::COOKIE, cookie)
}

/// What is set by these, each by its name.
async fn set(app: &App, cookies: AccessCookies, life: Duration) -> BTreeMap<String, String> {
    let token = app.cookie_token();
    let router = page(on_get(async move || {
        let mut headers = HeaderMap::new();
        cookies.set(&mut headers, &token, life);
        headers
    }));
    let request = get().body(axum::body::Body::empty()).unwrap();
    app.send(router, request).await.cookies()
}

fn expected(cookies: &[(&str, &str)]) -> BTreeMap<String, String> {
    let cookies = cookies
        .iter()
        .map(|(name, attributes)| (*name, *attributes));
    cookies
        .map(|(name, attributes)| (name.to_owned(), attributes.to_owned()))
        .collect()
}

#[tokio::test]
async fn cookie_lets_in_until_it_is_unset() {
    let cookies = AccessCookies::plain();
    let (app, router) = app(cookies.clone());
    let missing = "401 Missing cookie \"access_token_cookie\"";
    assert_eq!(app.ask(&router, get()).await, missing);

    let token = app.cookie_token();
    assert_eq!(app.ask(&router, with(get(), &token)).await, "200 let in");
    let mut headers = HeaderMap::new();
    cookies.unset(&mut headers);
    let unset = headers.get(header::SET_COOKIE).unwrap().to_str().unwrap();
    assert_eq!(
        unset,
        "access_token_cookie=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"
    );
    let request = get().header(header::COOKIE, unset.split(';').next().unwrap());
    assert_eq!(app.ask(&router, request).await, missing);
}

#[tokio::test]
async fn request_that_changes_something_repeats_what_the_token_says() {
    let (app, router) = app(AccessCookies::plain());
    let token = app.cookie_token();
    let post = || with(method(&Method::POST), &token);

    assert_eq!(app.ask(&router, post()).await, "401 Missing CSRF token");
    let repeated = post().header("X-CSRF-TOKEN", token.csrf.expose());
    assert_eq!(app.ask(&router, repeated).await, "200 let in");
}

#[tokio::test]
async fn other_value_than_the_tokens_is_refused() {
    let (app, router) = app(AccessCookies::plain());
    let token = app.cookie_token();

    let request = with(method(&Method::POST), &token).header("X-CSRF-TOKEN", "totally_wrong_token");
    assert_eq!(
        app.ask(&router, request).await,
        "401 CSRF double submit tokens do not match"
    );
}

#[tokio::test]
async fn protection_can_be_switched_off() {
    let (app, router) = app(AccessCookies::plain().without_csrf_protection());

    let request = with(method(&Method::POST), &app.cookie_token());
    assert_eq!(app.ask(&router, request).await, "200 let in");
}

#[tokio::test]
async fn header_of_the_repetition_may_have_another_name() {
    let name = HeaderName::from_static("foo");
    let (app, router) = app(AccessCookies::plain().csrf_header(name));
    let token = app.cookie_token();
    let post =
        |header: &str| with(method(&Method::POST), &token).header(header, token.csrf.expose());

    assert_eq!(app.ask(&router, post("FOO")).await, "200 let in");
    assert_eq!(
        app.ask(&router, post("X-CSRF-TOKEN")).await,
        "401 Missing CSRF token"
    );
}

#[tokio::test]
async fn every_method_but_the_safe_ones_needs_the_repetition() {
    let (app, router) = app(AccessCookies::plain());
    let token = app.cookie_token();

    for safe in [Method::GET, Method::HEAD, Method::OPTIONS] {
        let answer = app.ask(&router, with(method(&safe), &token)).await;
        assert!(answer.starts_with("200"), "{safe}: {answer}");
    }
    let purge = Method::from_bytes(b"PURGE").unwrap();
    for unsafe_one in [
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        purge,
    ] {
        let request = with(method(&unsafe_one), &token);
        assert_eq!(app.ask(&router, request).await, "401 Missing CSRF token");
    }
}

#[tokio::test]
async fn cookies_by_default_are_secure_and_strict() {
    let (app, _) = app(AccessCookies::plain());
    let minute = Duration::from_mins(1);

    assert_eq!(
        set(&app, AccessCookies::secure(), minute).await,
        expected(&[
            (
                "__Host-access_token_cookie",
                "HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=60"
            ),
            (
                "__Host-csrf_access_token",
                "SameSite=Strict; Secure; Path=/; Max-Age=60"
            ),
        ])
    );
    assert_eq!(
        set(&app, AccessCookies::plain(), minute).await,
        expected(&[
            (
                "access_token_cookie",
                "HttpOnly; SameSite=Strict; Path=/; Max-Age=60"
            ),
            ("csrf_access_token", "SameSite=Strict; Path=/; Max-Age=60"),
        ])
    );
}

#[tokio::test]
async fn cookies_have_the_attributes_that_are_set() {
    let (app, _) = app(AccessCookies::plain());
    let cookies = AccessCookies::secure()
        .named("access_token_cookie", "csrf_access_token")
        .domain("test.com")
        .same_site(SameSite::Lax);

    assert_eq!(
        set(&app, cookies.clone(), YEAR).await,
        expected(&[
            (
                "access_token_cookie",
                "HttpOnly; SameSite=Lax; Secure; Path=/; Domain=test.com; Max-Age=31540000"
            ),
            (
                "csrf_access_token",
                "SameSite=Lax; Secure; Path=/; Domain=test.com; Max-Age=31540000"
            ),
        ])
    );
    assert_eq!(
        set(&app, cookies.until_the_browser_closes(), YEAR).await["csrf_access_token"],
        "SameSite=Lax; Secure; Path=/; Domain=test.com"
    );
}

#[tokio::test]
async fn cookies_may_have_other_names_and_paths() {
    let (app, _) = app(AccessCookies::plain());
    let cookies = AccessCookies::plain()
        .named("access_foo", "access_foo_csrf")
        .path("/protected")
        .csrf_path("/pages");

    assert_eq!(
        set(&app, cookies, Duration::from_mins(1)).await,
        expected(&[
            (
                "access_foo",
                "HttpOnly; SameSite=Strict; Path=/protected; Max-Age=60"
            ),
            (
                "access_foo_csrf",
                "SameSite=Strict; Path=/pages; Max-Age=60"
            ),
        ])
    );
}

#[tokio::test]
async fn what_is_repeated_need_not_be_in_a_cookie() {
    let cookies = AccessCookies::plain().without_csrf_cookie();
    let (app, router) = app(cookies.clone());
    let set = set(&app, cookies, Duration::from_mins(1)).await;
    assert_eq!(set.keys().collect::<Vec<_>>(), ["access_token_cookie"]);

    let token = app.cookie_token();
    let post = || with(method(&Method::POST), &token);
    assert_eq!(app.ask(&router, post()).await, "401 Missing CSRF token");
    let repeated = post().header("X-CSRF-TOKEN", token.csrf.expose());
    assert_eq!(app.ask(&router, repeated).await, "200 let in");
}

#[tokio::test]
async fn without_protection_there_is_one_cookie() {
    let cookies = AccessCookies::plain().without_csrf_protection();
    let (app, _) = app(cookies.clone());

    let set = set(&app, cookies, Duration::from_mins(1)).await;
    assert_eq!(set.keys().collect::<Vec<_>>(), ["access_token_cookie"]);
}

#[tokio::test]
async fn optional_route_asks_for_the_repetition_where_there_is_a_token() {
    let (app, _) = app(AccessCookies::plain());
    let router = page(any(async |_: Option<AnyClaims>| "let in"));

    let without = method(&Method::POST);
    assert_eq!(app.ask(&router, without).await, "200 let in");
    let request = with(method(&Method::POST), &app.cookie_token());
    assert_eq!(app.ask(&router, request).await, "401 Missing CSRF token");
}

#[tokio::test]
async fn domain_may_be_another_for_one_answer() {
    let (app, _) = app(AccessCookies::plain());
    let usual = AccessCookies::plain().domain("test.com");
    let other = usual.clone().domain("yolo.com");

    for attributes in set(&app, other.clone(), YEAR).await.values() {
        assert!(attributes.contains("Domain=yolo.com"), "{attributes}");
    }
    let mut headers = HeaderMap::new();
    other.unset(&mut headers);
    let mut count = 0;
    for value in headers.get_all(header::SET_COOKIE) {
        assert!(value.to_str().unwrap().contains("Domain=yolo.com"));
        count += 1;
    }
    assert_eq!(count, 2);
}

#[tokio::test]
async fn token_for_no_cookie_has_nothing_to_repeat() {
    let (app, router) = app(AccessCookies::plain());
    let token = encode(&serde_json::json!({ "csrf": null }));

    let request = method(&Method::POST)
        .header(header::COOKIE, format!("access_token_cookie={token}"))
        .header("X-CSRF-TOKEN", "abcd");
    assert_eq!(app.ask(&router, request).await, "422 Missing claim: csrf");
}
