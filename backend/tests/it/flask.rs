//! Moving over from flask-jwt-extended: tokens that a Flask application makes with the shared secret
//! are accepted here, and those that are made here have what that library reads.
//!
//! The tokens are made by hand, as `PyJWT` writes them. `docs/from-flask.md` is the guide.

use std::time::Duration;

use aws_lc_rs::hmac;
use axum::{Router, body::Body, http::Request, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::{
    clock::Clock as _,
    token::{Grant, Subject},
};
use countersign_types::routes;
use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{
    support::{TestApp, backends},
    tokens::segment,
};

/// What both sides know.
const SECRET: &str = "a secret that both applications know";
const FLASK: [(&str, &str); 3] = [
    ("TOKEN__ALGORITHM", "HS256"),
    ("TOKEN__SECRET", SECRET),
    ("TOKEN__PROFILE", "flask-jwt-extended"),
];

async fn flask(app: TestApp) -> TestApp {
    with(app, &FLASK).await
}

async fn with(mut app: TestApp, settings: &[(&'static str, &str)]) -> TestApp {
    app.reconfigure(settings).await;
    app
}

fn signed(secret: &str, claims: &Value) -> String {
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let input = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let input = input.join(".");
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// What the extension writes now of somebody, with some claims otherwise; `null` takes one away.
fn claims(app: &TestApp, sub: &str, changes: &Value) -> Value {
    let now = app.clock.now().as_secs();
    let mut claims = json!({
        "fresh": false,
        "iat": now,
        "jti": "5ad7e6a6-38c7-4cd9-a2a4-e9ed0d9a6d06",
        "type": "access",
        "sub": sub,
        "nbf": now,
        "exp": now + 900,
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    claims
}

fn made(app: &TestApp, sub: &str) -> String {
    signed(SECRET, &claims(app, sub, &json!({})))
}

/// The account's id, by a token of ours.
fn account(token: &str) -> String {
    segment(token, 1)["sub"].as_str().unwrap().to_owned()
}

/// What a route that wants a fresh token says.
async fn fresh(app: &TestApp, token: &str) -> u16 {
    let router: Router = Router::new()
        .route("/", get(async || "let in"))
        .route_layer(app.app.auth().guard().fresh());
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    let answer = router.oneshot(request.body(Body::empty()).unwrap()).await;
    answer.unwrap().status().as_u16()
}

backends! {
    async fn token_that_flask_made_is_accepted_until_it_expires(app: TestApp) {
        let app = flask(app).await;
        let ada = account(&app.register("ada@example.com").await);
        let token = made(&app, &ada);

        let before = app.protected(&token).await;
        app.clock.advance(Duration::from_secs(911));
        let after = app.protected(&token).await;

        assert_eq!(before, "200 application/json welcome ada@example.com");
        assert_eq!(after, "401 application/problem+json token_expired");
    }

    async fn token_that_flask_did_not_make_for_this_is_refused(app: TestApp) {
        let app = flask(app).await;
        let ada = account(&app.register("ada@example.com").await);
        let with = |changes: Value| claims(&app, &ada, &changes);
        let mut answers = String::new();

        for (what, token) in [
            ("refresh", signed(SECRET, &with(json!({ "type": "refresh" })))),
            ("another secret", signed("a secret that is another one's, alas", &with(json!({})))),
            ("no time", signed(SECRET, &with(json!({ "exp": null })))),
            ("a week", signed(SECRET, &with(json!({ "exp": app.clock.now().as_secs() + 604_800 })))),
            ("unknown account", made(&app, "5ad7e6a6-38c7-4cd9-a2a4-e9ed0d9a6d06")),
            ("a name", made(&app, "ada")),
            ("a foreign session", signed(SECRET, &with(json!({
                "sid": "5ad7e6a6-38c7-4cd9-a2a4-e9ed0d9a6d06",
            })))),
        ] {
            answers += &format!("{what}: {}\n", app.protected(&token).await);
        }

        assert_snapshot!(answers, @r"
        refresh: 401 application/problem+json token_invalid
        another secret: 401 application/problem+json token_invalid
        no time: 401 application/problem+json token_invalid
        a week: 401 application/problem+json token_invalid
        unknown account: 401 application/problem+json token_revoked
        a name: 401 application/problem+json token_revoked
        a foreign session: 401 application/problem+json token_revoked
        ");
    }

    async fn tokens_of_flask_end_with_logout_all_and_later_ones_do_not(app: TestApp) {
        let mut app = flask(app).await;
        let ours = app.register("ada@example.com").await;
        let ada = account(&ours);
        app.clock.advance(Duration::from_secs(1));
        let before = made(&app, &ada);
        assert!(app.protected(&before).await.starts_with("200"));

        app.clock.advance(Duration::from_secs(1));
        let answer = app.post_as(routes::LOGOUT_ALL, &ours).await;
        assert_eq!(answer.status(), 204);
        app.clock.advance(Duration::from_secs(1));
        let after = made(&app, &ada);

        let ended = "401 application/problem+json token_revoked";
        assert_eq!(app.protected(&before).await, ended);
        assert_eq!(app.protected(&ours).await, ended);
        assert!(app.protected(&after).await.starts_with("200"));
        app.restart().await;
        assert_eq!(app.protected(&before).await, ended);
        assert!(app.protected(&after).await.starts_with("200"));
    }

    async fn signing_out_with_a_token_of_flask_ends_those_and_no_session(app: TestApp) {
        let app = flask(app).await;
        let ours = app.register("ada@example.com").await;
        app.clock.advance(Duration::from_secs(1));
        let token = made(&app, &account(&ours));
        app.clock.advance(Duration::from_secs(1));

        let answer = app.post_as(routes::LOGOUT, &token).await;

        assert_eq!(answer.status(), 204);
        assert_eq!(app.protected(&token).await, "401 application/problem+json token_revoked");
        assert!(app.protected(&ours).await.starts_with("200"));
    }

    async fn address_may_name_the_account_both_ways(app: TestApp) {
        let settings = [FLASK.as_slice(), &[("TOKEN__PROFILE_IDENTITY", "email")]].concat();
        let app = with(app, &settings).await;
        let ours = app.register("ada@example.com").await;
        let id = app.get_as(routes::ME, &ours).await.json()["id"].clone();

        assert_eq!(account(&ours), "ada@example.com");
        let welcome = "200 application/json welcome ada@example.com";
        assert_eq!(app.protected(&ours).await, welcome);
        assert_eq!(app.protected(&made(&app, "ada@example.com")).await, welcome);
        let ended = "401 application/problem+json token_revoked";
        assert_eq!(app.protected(&made(&app, "eve@example.com")).await, ended);
        assert_eq!(app.protected(&made(&app, id.as_str().unwrap())).await, ended);
    }

    async fn freshness_is_what_the_token_says_of_it(app: TestApp) {
        let app = flask(app).await;
        let ours = app.register("ada@example.com").await;
        let ada = account(&ours);
        let now = app.clock.now().as_secs();
        let with = |fresh: Value| signed(SECRET, &claims(&app, &ada, &json!({ "fresh": fresh })));

        assert_eq!(fresh(&app, &ours).await, 200);
        assert_eq!(fresh(&app, &with(json!(true))).await, 200);
        assert_eq!(fresh(&app, &with(json!(now + 60))).await, 200);
        // What Python's `timestamp()` gives.
        assert_eq!(fresh(&app, &with(json!(1_767_268_860.5))).await, 200);
        for stale in [json!(false), json!(now - 60), json!(now)] {
            assert_eq!(fresh(&app, &with(stale.clone())).await, 403, "{stale}");
        }
        app.clock.advance(Duration::from_mins(10));
        assert_eq!(fresh(&app, &ours).await, 403);
    }

    async fn genuine_token_without_a_session_is_dead_in_the_usual_profile(app: TestApp) {
        let subject = Subject::new(account(&app.register("ada@example.com").await));
        let now = app.clock.now().as_secs();
        let signer = &app.app.signer;

        let token = signer.sign(&subject, &Grant::new(), Uuid::from_u128(2), now).unwrap();

        let answer = app.protected(token.expose()).await;
        assert_eq!(answer, "401 application/problem+json token_revoked");
    }

    async fn usual_profile_refuses_whatever_flask_makes(app: TestApp) {
        let app = with(app, &FLASK[..2]).await;
        let ada = account(&app.register("ada@example.com").await);
        let full = json!({
            "iss": "http://issuer.test",
            "aud": "http://audience.test",
            "fresh": true,
        });

        for changes in [json!({}), full] {
            let token = signed(SECRET, &claims(&app, &ada, &changes));
            let answer = app.protected(&token).await;
            assert_eq!(answer, "401 application/problem+json token_invalid");
        }
    }
}

#[tokio::test]
async fn token_of_ours_has_what_flask_reads() {
    let app = flask(TestApp::with(&[]).await).await;
    let token = app.register("ada@example.com").await;

    assert_json_snapshot!(segment(&token, 0), { ".kid" => "[thumbprint]" }, @r#"
    {
      "alg": "HS256",
      "kid": "[thumbprint]",
      "typ": "JWT"
    }
    "#);
    assert_json_snapshot!(
        segment(&token, 1),
        { ".sub" => "[id]", ".sid" => "[id]", ".jti" => "[id]" },
        @r#"
    {
      "amr": [
        "pwd"
      ],
      "auth_time": 1767268800,
      "email": "ada@example.com",
      "email_verified": false,
      "exp": 1767269700,
      "fresh": 1767269400,
      "iat": 1767268800,
      "jti": "[id]",
      "nbf": 1767268800,
      "sid": "[id]",
      "sub": "[id]",
      "type": "access"
    }
    "#
    );
}

#[tokio::test]
async fn token_without_an_address_is_welcomed_by_that_of_the_account() {
    let settings = [FLASK.as_slice(), &[("TOKEN__INCLUDE_EMAIL", "false")]].concat();
    let app = with(TestApp::with(&[]).await, &settings).await;
    let token = app.register("ada@example.com").await;

    assert_eq!(segment(&token, 1)["email"], Value::Null);
    assert_eq!(
        app.protected(&token).await,
        "200 application/json welcome ada@example.com"
    );
}
