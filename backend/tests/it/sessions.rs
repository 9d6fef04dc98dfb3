//! Signing in and out.

use std::time::Duration;

use countersign_types::routes;
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, PASSWORD, TestApp, backends, credentials};

backends! {
    async fn sign_in_answers_a_token_that_opens_the_protected_page(app: TestApp) {
        app.register("ada@example.com").await;

        let answer = app.post(routes::SIGN_IN, &credentials("ada@example.com", PASSWORD)).await;

        assert_snapshot!(answer, @r#"
        200
        cache-control: no-store
        content-type: application/json

        {
          "access_token": "[access_token]",
          "expires_in": 900,
          "refresh_expires_in": 2592000,
          "refresh_token": "[refresh_token]",
          "token_type": "Bearer"
        }
        "#);
        let token = answer.access_token();
        assert_snapshot!(app.get_as(routes::PROTECTED, &token).await, @r#"
        200
        cache-control: no-store
        content-type: application/json

        {
          "message": "welcome ada@example.com"
        }
        "#);
        assert_snapshot!(app.post_as(routes::PROTECTED, &token).await, @r#"
        200
        cache-control: no-store
        content-type: application/json

        {
          "message": "welcome ada@example.com"
        }
        "#);
    }

    async fn address_is_found_in_any_case(app: TestApp) {
        app.register("Ada@Example.com").await;

        assert_eq!(app.protected(&app.sign_in(" ada@EXAMPLE.com").await).await,
            "200 application/json welcome Ada@Example.com");
    }

    async fn unknown_address_and_wrong_password_are_answered_alike(app: TestApp) {
        app.register("ada@example.com").await;

        let wrong = app.post(routes::SIGN_IN, &credentials("ada@example.com", "wrong")).await;
        let unknown = app.post(routes::SIGN_IN, &credentials("eve@example.com", "wrong")).await;

        assert_snapshot!(wrong, @r#"
        401
        cache-control: no-store
        content-type: application/problem+json
        www-authenticate: Bearer realm="countersign"

        {
          "code": "invalid_credentials",
          "detail": "E-mail and password do not fit. Check both and try again.",
          "status": 401,
          "title": "Wrong e-mail or password",
          "type": "urn:countersign:problem:invalid_credentials"
        }
        "#);
        assert_eq!(wrong.to_string(), unknown.to_string());
    }

    async fn ended_session_takes_its_token_with_it_and_no_other(app: TestApp) {
        let first = app.register("ada@example.com").await;
        let second = app.sign_in("ada@example.com").await;

        assert_snapshot!(app.post_as(routes::LOGOUT, &first).await, @r"
        204
        cache-control: no-store
        set-cookie: countersign_refresh=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0
        ");
        assert_snapshot!(app.get_as(routes::PROTECTED, &first).await, @r#"
        401
        cache-control: no-store
        content-type: application/problem+json
        www-authenticate: Bearer realm="countersign", error="invalid_token", error_description="The session has ended"

        {
          "code": "token_revoked",
          "detail": "The session of this access token has ended. Sign in again.",
          "status": 401,
          "title": "Session ended",
          "type": "urn:countersign:problem:token_revoked"
        }
        "#);
        assert_snapshot!(app.post_as(routes::LOGOUT, &first).await.summary(), @"401 application/problem+json token_revoked");
        assert_eq!(app.get_as(routes::PROTECTED, &second).await.status(), 200);
    }

    async fn token_used_while_its_session_ends_is_dead_afterwards(app: TestApp) {
        let token = app.register("ada@example.com").await;

        tokio::join!(
            app.get_as(routes::PROTECTED, &token),
            app.post_as(routes::LOGOUT, &token),
            app.get_as(routes::PROTECTED, &token),
            app.get_as(routes::ME, &token),
        );

        assert_eq!(app.get_as(routes::PROTECTED, &token).await.status(), 401);
        assert_eq!(app.get_as(routes::ME, &token).await.status(), 401);
    }

    async fn restart_keeps_accounts_sessions_logouts_and_keys(app: TestApp) {
        let mut app = app;
        let live = app.register("ada@example.com").await;
        let ended = app.sign_in("ada@example.com").await;
        app.post_as(routes::LOGOUT, &ended).await;
        let keys = app.get(routes::JWKS).await.body().to_owned();

        app.restart().await;

        assert_eq!(app.get(routes::JWKS).await.body(), keys);
        assert_eq!(app.get_as(routes::PROTECTED, &live).await.status(), 200);
        assert_snapshot!(app.protected(&ended).await, @"401 application/problem+json token_revoked");
        app.sign_in("ada@example.com").await;
    }

    async fn tenth_failure_is_the_last_for_a_minute_even_with_the_right_password(app: TestApp) {
        app.register("ada@example.com").await;
        for email in ["ada@example.com", "eve@example.com"] {
            for _ in 0..10 {
                let answer = app.post(routes::SIGN_IN, &credentials(email, "wrong")).await;
                assert_eq!(answer.status(), 401, "{answer}");
            }
        }

        let known = app.post(routes::SIGN_IN, &credentials("ada@example.com", PASSWORD)).await;
        let unknown = app.post(routes::SIGN_IN, &credentials("eve@example.com", PASSWORD)).await;
        assert_snapshot!(known, @r#"
        429
        cache-control: no-store
        content-type: application/problem+json
        retry-after: 60

        {
          "code": "rate_limited",
          "detail": "These were too many attempts. Try again in 60 seconds.",
          "retry_after": 60,
          "status": 429,
          "title": "Too many attempts",
          "type": "urn:countersign:problem:rate_limited"
        }
        "#);
        assert_eq!(known.to_string(), unknown.to_string());

        app.clock.advance(Duration::from_mins(1));
        app.sign_in("ada@example.com").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_sent_at_once_get_no_more_tries_than_failures_in_a_row() {
    let app = TestApp::with(&[]).await;
    app.register("ada@example.com").await;

    let body = credentials("ada@example.com", "wrong");
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..40 {
        attempts.spawn(Answer::of(
            app.request(Method::POST, routes::SIGN_IN).json(&body),
        ));
    }
    let answers = attempts.join_all().await;

    let checked = answers
        .iter()
        .filter(|answer| answer.status() == 401)
        .count();
    assert_eq!(checked, 10);
    assert!(
        answers
            .iter()
            .all(|answer| [401, 429].contains(&answer.status()))
    );
}

#[tokio::test]
async fn success_is_not_counted_as_a_failure() {
    let app = TestApp::with(&[]).await;
    app.register("ada@example.com").await;

    for _ in 0..12 {
        app.sign_in("ada@example.com").await;
    }
}

#[tokio::test]
async fn scale_raises_the_limits() {
    let app = TestApp::with(&[("LIMITS__SCALE", "2.0")]).await;
    app.register("ada@example.com").await;

    let mut statuses = Vec::new();
    for _ in 0..21 {
        let answer = app
            .post(routes::SIGN_IN, &credentials("ada@example.com", "wrong"))
            .await;
        statuses.push(answer.status());
    }

    assert_eq!(statuses[19..], [401, 429]);
}

#[tokio::test]
async fn limits_go_by_the_address_that_a_trusted_proxy_names() {
    let app = TestApp::with(&[("SERVER__TRUSTED_PROXIES", "[\"127.0.0.1\"]")]).await;
    let attempt = async |number: u32, from: &str| {
        let body = credentials(&format!("user{number}@example.com"), "wrong");
        let request = app.request(Method::POST, routes::SIGN_IN).json(&body);
        Answer::of(request.header("x-forwarded-for", from))
            .await
            .status()
    };
    for number in 0..30 {
        assert_eq!(attempt(number, "203.0.113.1, 198.51.100.7").await, 401);
    }

    assert_eq!(
        attempt(30, "203.0.113.2, 198.51.100.7").await,
        429,
        "the first is an invention"
    );
    assert_eq!(attempt(31, "198.51.100.8").await, 401);
}

#[tokio::test]
async fn password_of_any_length_is_checked_and_never_called_invalid() {
    let app = TestApp::with(&[]).await;
    app.register("ada@example.com").await;

    for password in ["", "x", &"x".repeat(15_000)] {
        let answer = app
            .post(routes::SIGN_IN, &credentials("ada@example.com", password))
            .await;
        assert_eq!(answer.status(), 401, "{answer}");
    }
}

#[tokio::test]
async fn text_that_is_no_address_is_pointed_out() {
    let app = TestApp::with(&[]).await;

    let answer = app
        .post(routes::SIGN_IN, &credentials("ada", PASSWORD))
        .await;

    assert_snapshot!(answer, @r#"
    422
    cache-control: no-store
    content-type: application/problem+json

    {
      "code": "validation_failed",
      "detail": "This is not an e-mail address. It should look like name@example.com.",
      "errors": [
        {
          "code": "email_malformed",
          "detail": "This is not an e-mail address. It should look like name@example.com.",
          "pointer": "/email"
        }
      ],
      "status": 422,
      "title": "Some fields need attention",
      "type": "urn:countersign:problem:validation_failed"
    }
    "#);
}

#[tokio::test]
async fn sign_in_can_ask_for_no_refresh_token_and_gets_none() {
    let app = TestApp::with(&[]).await;
    app.register("ada@example.com").await;
    let mut body = credentials("ada@example.com", PASSWORD);
    body["refresh"] = json!("none");

    let answer = app.post(routes::SIGN_IN, &body).await;

    assert_eq!(answer.status(), 200, "{answer}");
    assert!(answer.json().get("refresh_token").is_none());
}

#[tokio::test]
async fn logout_takes_an_empty_body_an_empty_object_or_none() {
    let app = TestApp::with(&[]).await;
    app.register("ada@example.com").await;

    for body in [None, Some("{}")] {
        let token = app.sign_in("ada@example.com").await;
        let mut request = app
            .request(Method::POST, routes::LOGOUT)
            .bearer_auth(&token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        let answer = Answer::of(request).await;
        assert_eq!(answer.status(), 204, "{body:?}: {answer}");
    }
}
