//! Creating an account, and asking about it.

use std::time::Duration;

use countersign_types::routes;
use insta::assert_snapshot;
use serde_json::json;

use crate::support::{PASSWORD, TestApp, backends, credentials};

backends! {
    async fn registration_creates_an_account_and_signs_it_in(app: TestApp) {
        let answer = app.post(routes::REGISTER, &credentials(" Ada@Example.com ", PASSWORD)).await;

        assert_snapshot!(answer, @r#"
        201
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
        assert_snapshot!(app.get_as(routes::ME, &token).await, @r#"
        200
        cache-control: no-store
        content-type: application/json

        {
          "created_at": "2026-01-01T12:00:00Z",
          "email": "Ada@Example.com",
          "email_verified": false,
          "id": "[id]"
        }
        "#);
        assert_snapshot!(app.protected(&token).await, @"200 application/json welcome Ada@Example.com");
    }

    async fn taken_address_is_refused_in_any_case(app: TestApp) {
        app.register("ada@example.com").await;

        let answer = app.post(routes::REGISTER, &credentials("ADA@example.COM", PASSWORD)).await;

        assert_snapshot!(answer, @r#"
        409
        cache-control: no-store
        content-type: application/problem+json

        {
          "code": "email_taken",
          "detail": "This address has an account already. Sign in instead.",
          "errors": [
            {
              "code": "email_taken",
              "detail": "This address has an account already. Sign in instead.",
              "pointer": "/email"
            }
          ],
          "status": 409,
          "title": "E-mail is taken",
          "type": "urn:countersign:problem:email_taken"
        }
        "#);
    }

    async fn one_address_registered_many_times_at_once_makes_one_account(app: TestApp) {
        let body = credentials("ada@example.com", PASSWORD);
        let (a, b, c, d) = tokio::join!(
            app.post(routes::REGISTER, &body),
            app.post(routes::REGISTER, &body),
            app.post(routes::REGISTER, &body),
            app.post(routes::REGISTER, &body),
        );

        let mut statuses = [a.status(), b.status(), c.status(), d.status()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409]);
    }

    async fn account_is_asked_about_with_its_token_only(app: TestApp) {
        assert_snapshot!(app.get(routes::ME).await.summary(), @"401 application/problem+json token_missing");
    }
}

#[tokio::test]
async fn short_password_is_refused_with_the_numbers() {
    let app = TestApp::with(&[]).await;

    let answer = app
        .post(
            routes::REGISTER,
            &credentials("ada@example.com", "violet t"),
        )
        .await;

    assert_snapshot!(answer, @r#"
    422
    cache-control: no-store
    content-type: application/problem+json

    {
      "code": "validation_failed",
      "detail": "This has 8 characters; 15 are needed.",
      "errors": [
        {
          "code": "password_too_short",
          "detail": "This has 8 characters; 15 are needed.",
          "pointer": "/password"
        }
      ],
      "status": 422,
      "title": "Some fields need attention",
      "type": "urn:countersign:problem:validation_failed"
    }
    "#);
}

#[tokio::test]
async fn every_field_that_does_not_hold_is_named_at_once() {
    let app = TestApp::with(&[]).await;

    let answer = app.post(routes::REGISTER, &credentials("ada", "")).await;

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
        },
        {
          "code": "password_missing",
          "detail": "Enter a password.",
          "pointer": "/password"
        }
      ],
      "status": 422,
      "title": "Some fields need attention",
      "type": "urn:countersign:problem:validation_failed"
    }
    "#);
}

#[tokio::test]
async fn password_that_anyone_would_guess_is_refused() {
    let app = TestApp::with(&[]).await;
    let mut answers = String::new();
    for password in [
        "passwordpassword",
        "Ada.Lovelace@example.com",
        &"x".repeat(257),
        "",
    ] {
        let body = credentials("ada.lovelace@example.com", password);
        let problem = app.post(routes::REGISTER, &body).await.json();
        let error = &problem["errors"][0];
        answers += &format!(
            "{} {} {}\n",
            error["pointer"], error["code"], error["detail"]
        );
    }

    assert_snapshot!(answers, @r#"
    "/password" "password_common" "This password is among the most common ones; anyone would try it. Choose something else."
    "/password" "password_is_email" "This is your e-mail address; anyone would try it first. Choose something else."
    "/password" "password_too_long" "This has 257 characters; at most 256 are allowed."
    "/password" "password_missing" "Enter a password."
    "#);
}

#[tokio::test]
async fn password_of_256_characters_of_any_script_is_taken() {
    let app = TestApp::with(&[]).await;
    let password = "密".repeat(255) + "🦀";

    let answer = app
        .post(routes::REGISTER, &credentials("ada@example.com", &password))
        .await;
    assert_eq!(answer.status(), 201, "{answer}");
    let answer = app
        .post(routes::SIGN_IN, &credentials("ada@example.com", &password))
        .await;
    assert_eq!(answer.status(), 200, "{answer}");
}

#[tokio::test]
async fn password_is_the_same_however_its_accents_are_encoded() {
    let app = TestApp::with(&[]).await;
    let (composed, decomposed) = ("caf\u{e9} au lait au lit", "cafe\u{301} au lait au lit");

    app.post(routes::REGISTER, &credentials("ada@example.com", composed))
        .await;
    let answer = app
        .post(routes::SIGN_IN, &credentials("ada@example.com", decomposed))
        .await;

    assert_eq!(answer.status(), 200, "{answer}");
}

#[tokio::test]
async fn shortest_password_follows_the_configuration() {
    let app = TestApp::with(&[("PASSWORD__MIN_LENGTH", "8")]).await;

    let answer = app
        .post(
            routes::REGISTER,
            &credentials("ada@example.com", "violet t"),
        )
        .await;

    assert_eq!(answer.status(), 201, "{answer}");
    assert_eq!(
        app.get(routes::CONFIG).await.json()["password"]["min_length"],
        8
    );
}

#[tokio::test]
async fn closed_registration_says_so_for_new_and_taken_addresses_alike() {
    let app = TestApp::with(&[("REGISTRATION", "closed")]).await;

    let answer = app
        .post(routes::REGISTER, &credentials("ada@example.com", PASSWORD))
        .await;

    assert_snapshot!(answer, @r#"
    403
    cache-control: no-store
    content-type: application/problem+json

    {
      "code": "registration_closed",
      "detail": "Nobody can create an account here by themselves. Ask the operator for one.",
      "status": 403,
      "title": "Registration is closed",
      "type": "urn:countersign:problem:registration_closed"
    }
    "#);
    assert_eq!(
        app.get(routes::CONFIG).await.json()["registration"],
        "closed"
    );
}

#[tokio::test]
async fn production_closes_registration_by_itself() {
    let app = TestApp::with(&[("PUBLIC_URL", "https://auth.example.com")]).await;

    let answer = app
        .post(routes::REGISTER, &credentials("ada@example.com", PASSWORD))
        .await;

    assert_eq!(answer.status(), 403, "{answer}");
    assert_eq!(
        answer.header("strict-transport-security"),
        "max-age=31536000"
    );
}

#[tokio::test]
async fn page_is_told_what_is_enabled() {
    let app = TestApp::with(&[]).await;

    assert_snapshot!(app.get(routes::CONFIG).await, @r#"
    200
    cache-control: no-store
    content-type: application/json

    {
      "email_verification": "off",
      "home": "pages",
      "mail": false,
      "methods": [
        "password"
      ],
      "password": {
        "max_length": 256,
        "min_length": 15
      },
      "registration": "open"
    }
    "#);
}

#[tokio::test]
async fn registrations_from_one_address_are_limited() {
    let app = TestApp::with(&[]).await;
    for number in 0..10 {
        // A refused registration costs as much as a good one: it asks whether an address is there.
        app.register(&format!("user{number}@example.com")).await;
    }

    let body = credentials("one-more@example.com", PASSWORD);
    assert_snapshot!(app.post(routes::REGISTER, &body).await, @r#"
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
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(app.post(routes::REGISTER, &body).await.status(), 201);
}

#[tokio::test]
async fn request_of_another_shape_is_refused_member_by_member() {
    let app = TestApp::with(&[]).await;
    let mut answers = String::new();
    for body in [
        json!({ "email": "ada@example.com" }),
        json!({ "email": "ada@example.com", "password": PASSWORD, "role": "admin" }),
        json!({ "email": "ada@example.com", "password": 15 }),
        json!({ "email": "ada@example.com", "password": PASSWORD, "refresh": "always" }),
        json!([]),
    ] {
        let answer = app.post(routes::REGISTER, &body).await;
        let error = &answer.json()["errors"][0];
        answers += &format!(
            "{} {} {}\n",
            answer.status(),
            error["pointer"],
            error["code"]
        );
    }

    assert_snapshot!(answers, @r#"
    422 "/password" "required"
    422 "/role" "unknown_field"
    422 "/password" "wrong_type"
    422 "/refresh" "wrong_type"
    422 "" "wrong_type"
    "#);
}
