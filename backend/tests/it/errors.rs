//! Every error is a problem, and every answer has its headers.

use std::time::Duration;

use countersign_types::routes;
use insta::assert_snapshot;
use reqwest::{Method, RequestBuilder};
use sqlx::Executor as _;
use uuid::Uuid;

use crate::support::{Answer, PASSWORD, TestApp, backends, credentials};

backends! {
    async fn database_that_is_away_is_503_with_a_time_to_come_back(app: TestApp) {
        let token = app.register("ada@example.com").await;
        assert_snapshot!(app.get(routes::READYZ).await.body(), @r#"{"status":"ready"}"#);

        app.app.db.close().await;

        let sign_in = credentials("ada@example.com", PASSWORD);
        assert_snapshot!(app.post(routes::SIGN_IN, &sign_in).await, @r#"
        503
        cache-control: no-store
        content-type: application/problem+json
        retry-after: 2

        {
          "code": "unavailable",
          "detail": "The database does not answer. Try again in a moment.",
          "retry_after": 2,
          "status": 503,
          "title": "Temporarily unavailable",
          "type": "urn:countersign:problem:unavailable"
        }
        "#);
        assert_snapshot!(app.get(routes::READYZ).await.summary(), @"503 application/problem+json unavailable");
        assert_snapshot!(app.get_as(routes::ME, &token).await.summary(), @"503 application/problem+json unavailable");
        assert_snapshot!(app.get(routes::HEALTHZ).await.body(), @r#"{"status":"ok"}"#);
    }
}

#[tokio::test]
async fn wrong_requests_are_problems() {
    let app = TestApp::with(&[]).await;
    let json = |request: RequestBuilder, body: String| {
        request
            .header("content-type", "application/json")
            .body(body)
    };
    let sign_in = || app.request(Method::POST, routes::SIGN_IN);
    let mut answers = String::new();
    for (what, request) in [
        ("unknown path", app.request(Method::GET, "/auth/nowhere")),
        (
            "unknown path, by POST",
            app.request(Method::POST, "/nowhere"),
        ),
        ("GET of sign-in", app.request(Method::GET, routes::SIGN_IN)),
        (
            "DELETE of the example",
            app.request(Method::DELETE, routes::PROTECTED),
        ),
        ("POST to a page", app.request(Method::POST, "/sign-in")),
        ("no body", sign_in()),
        (
            "a form",
            sign_in()
                .header("content-type", "application/x-www-form-urlencoded")
                .body("email=a"),
        ),
        ("no JSON", json(sign_in(), "{\n  \"email\": }".to_owned())),
        (
            "too large",
            json(
                sign_in(),
                format!("{{\"email\":\"{}\"}}", "x".repeat(20_000)),
            ),
        ),
        (
            "long path",
            app.request(Method::GET, &format!("/{}", "x".repeat(9000))),
        ),
    ] {
        let answer = Answer::of(request).await;
        let allow = answer.header("allow");
        let allow = if allow.is_empty() {
            String::new()
        } else {
            format!(" Allow: {allow}")
        };
        let detail = answer.json()["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        answers += &format!("{what}: {}{allow} «{detail}»\n", answer.summary());
    }

    assert_snapshot!(answers, @r"
    unknown path: 404 application/problem+json not_found «Nothing is at this path.»
    unknown path, by POST: 404 application/problem+json not_found «Nothing is at this path.»
    GET of sign-in: 405 application/problem+json method_not_allowed Allow: POST «This path does not take this method. The Allow header lists those it takes.»
    DELETE of the example: 405 application/problem+json method_not_allowed Allow: GET,HEAD,POST «This path does not take this method. The Allow header lists those it takes.»
    POST to a page: 405 application/problem+json method_not_allowed Allow: GET,HEAD «This path does not take this method. The Allow header lists those it takes.»
    no body: 415 application/problem+json unsupported_media_type «Send JSON, with the header «Content-Type: application/json».»
    a form: 415 application/problem+json unsupported_media_type «Send JSON, with the header «Content-Type: application/json».»
    no JSON: 400 application/problem+json malformed_json «This is no JSON: look at line 2, column 12.»
    too large: 413 application/problem+json body_too_large «A body may have at most 16384 bytes.»
    long path: 414 application/problem+json uri_too_long «Path and query may have at most 8192 bytes.»
    ");
}

#[tokio::test]
async fn every_answer_has_an_id_and_the_same_guarding_headers() {
    let app = TestApp::with(&[]).await;
    let token = app.register("ada@example.com").await;
    let mut ids = Vec::new();
    for answer in [
        app.get(routes::HEALTHZ).await,
        app.get(routes::JWKS).await,
        app.get(routes::OPENAPI).await,
        app.get_as(routes::ME, &token).await,
        app.get("/auth/nowhere").await,
        app.get(routes::SIGN_IN).await,
        app.post(routes::SIGN_IN, &serde_json::Value::Null).await,
        app.post_as(routes::LOGOUT, &token).await,
    ] {
        let headers = [
            "content-security-policy",
            "cross-origin-opener-policy",
            "cross-origin-resource-policy",
            "permissions-policy",
            "referrer-policy",
            "x-content-type-options",
        ]
        .map(|name| format!("{name}: {}", answer.header(name)))
        .join("\n");
        insta::allow_duplicates! { assert_snapshot!(headers, @r"
        content-security-policy: default-src 'none'; frame-ancestors 'none'
        cross-origin-opener-policy: same-origin
        cross-origin-resource-policy: same-origin
        permissions-policy: accelerometer=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()
        referrer-policy: no-referrer
        x-content-type-options: nosniff
        "); }
        ids.push(answer.header("x-request-id").parse::<Uuid>().unwrap());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 8);
}

#[tokio::test]
async fn request_id_of_a_stranger_is_not_taken_over() {
    let ask = async |app: &TestApp, id: &str| {
        let request = app
            .request(Method::GET, routes::HEALTHZ)
            .header("x-request-id", id);
        Answer::of(request).await.header("x-request-id").to_owned()
    };

    let app = TestApp::with(&[]).await;
    assert_ne!(ask(&app, "mine").await, "mine");

    let app = TestApp::with(&[("SERVER__TRUSTED_PROXIES", "[\"127.0.0.0/8\"]")]).await;
    assert_eq!(ask(&app, "Proxy-1.2_3").await, "Proxy-1.2_3");
    assert_ne!(ask(&app, "log\" forged").await, "log\" forged");
    assert_ne!(ask(&app, &"x".repeat(65)).await, "x".repeat(65));
}

#[tokio::test]
async fn fault_of_ours_says_its_request_id_and_nothing_else() {
    let app = TestApp::with(&[]).await;
    app.register("ada@example.com").await;
    let countersign::store::Db::Sqlite { write, .. } = &app.app.db else {
        unreachable!()
    };
    write
        .execute("ALTER TABLE countersign_accounts RENAME TO gone")
        .await
        .unwrap();

    let answer = app
        .post(routes::SIGN_IN, &credentials("ada@example.com", PASSWORD))
        .await;

    assert_snapshot!(answer, @r#"
    500
    cache-control: no-store
    content-type: application/problem+json

    {
      "code": "internal_error",
      "detail": "Something went wrong here. The log has it under the request id.",
      "request_id": "[request_id]",
      "status": 500,
      "title": "Internal error",
      "type": "urn:countersign:problem:internal_error"
    }
    "#);
    assert_eq!(answer.json()["request_id"], answer.header("x-request-id"));
}

#[tokio::test]
async fn request_needs_exactly_one_host() {
    let app = TestApp::with(&[]).await;
    let mut answers = String::new();
    for hosts in ["", "Host: a\r\nHost: b\r\n", "Host: \r\n", "Host: a b\r\n"] {
        let request = format!("GET /healthz HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let answer = app.raw(&request).await;
        answers += answer.lines().next().unwrap_or("closed");
        answers += "\n";
    }

    assert_snapshot!(answers, @r"
    HTTP/1.1 400 Bad Request
    HTTP/1.1 400 Bad Request
    HTTP/1.1 400 Bad Request
    HTTP/1.1 400 Bad Request
    ");
}

#[tokio::test]
async fn body_that_stops_coming_is_given_up_on() {
    let app = TestApp::with(&[]).await;
    let request = "POST /auth HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                   Connection: close\r\nContent-Length: 100\r\n\r\n{";

    // Never a hang: the answer comes before the reader's own patience of 15 s is over.
    let answer = tokio::time::timeout(Duration::from_secs(15), app.raw(request))
        .await
        .unwrap();

    assert_snapshot!(answer.lines().next().unwrap(), @"HTTP/1.1 408 Request Timeout");
}
