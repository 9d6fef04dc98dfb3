//! What an access token is, and what is not taken for one.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::{
    clock::Clock as _,
    token::{Grant, PrivateKey, Signer, Subject},
};
use countersign_types::routes;
use insta::{assert_json_snapshot, assert_snapshot};
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use reqwest::{Method, header::HeaderValue};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{Answer, TestApp, backends};

/// One segment of a token.
pub(crate) fn segment(token: &str, index: usize) -> Value {
    let segment = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap()
}

/// A genuine token of any account and session.
pub(crate) fn issued_by_hand(app: &TestApp, account: Uuid, session: Uuid) -> String {
    let now = app.clock.now().as_secs();
    let subject = Subject {
        email: Some(("ada@example.com".to_owned(), false)),
        session: Some(session),
        ..Subject::new(account).authenticated(now, ["pwd"])
    };
    let signer = &app.app.signer;
    let token = signer.sign(&subject, &Grant::new(), Uuid::from_u128(2), now);
    token.unwrap().expose().to_owned()
}

backends! {
    async fn token_of_a_session_that_is_not_there_is_dead(app: TestApp) {
        let genuine = segment(&app.register("ada@example.com").await, 1);
        let id = |claim: &str| genuine[claim].as_str().unwrap().parse::<Uuid>().unwrap();
        let stranger = Uuid::from_u128(1);
        let mut answers = String::new();
        for (account, session) in [
            (id("sub"), id("sid")),
            (id("sub"), stranger),
            (stranger, id("sid")),
            (stranger, stranger),
        ] {
            answers += &app.protected(&issued_by_hand(&app, account, session)).await;
            answers += "\n";
        }

        assert_snapshot!(answers, @r"
        200 application/json welcome ada@example.com
        401 application/problem+json token_revoked
        401 application/problem+json token_revoked
        401 application/problem+json token_revoked
        ");
    }
}

#[tokio::test]
async fn token_says_what_rfc_9068_asks_for() {
    let app = TestApp::with(&[]).await;
    let token = app.register("ada@example.com").await;

    assert_json_snapshot!(segment(&token, 0), { ".kid" => "[thumbprint]" }, @r#"
    {
      "alg": "ES256",
      "kid": "[thumbprint]",
      "typ": "at+jwt"
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
          "aud": "http://audience.test",
          "auth_time": 1767268800,
          "email": "ada@example.com",
          "email_verified": false,
          "exp": 1767269700,
          "iat": 1767268800,
          "iss": "http://issuer.test",
          "jti": "[id]",
          "nbf": 1767268800,
          "sid": "[id]",
          "sub": "[id]"
        }
        "#
    );
}

#[tokio::test]
async fn service_that_knows_only_the_jwks_verifies_a_token() {
    let app = TestApp::with(&[]).await;
    let token = app.register("ada@example.com").await;

    let answer = app.get(routes::JWKS).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let keys: JwkSet = serde_json::from_str(answer.body()).unwrap();
    let header = jsonwebtoken::decode_header(&token).unwrap();
    let key = keys.find(&header.kid.unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&["http://issuer.test"]);
    validation.set_audience(&["http://audience.test"]);
    // The token is of our clock, not of the machine's.
    validation.validate_exp = false;
    let claims =
        jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_jwk(key).unwrap(), &validation);

    assert_eq!(claims.unwrap().claims["email"], "ada@example.com");
}

#[tokio::test]
async fn every_algorithm_signs_what_the_jwks_verifies() {
    for (name, algorithm) in [
        ("ES256", jsonwebtoken::Algorithm::ES256),
        ("ES384", jsonwebtoken::Algorithm::ES384),
        ("EdDSA", jsonwebtoken::Algorithm::EdDSA),
        ("RS256", jsonwebtoken::Algorithm::RS256),
        ("PS512", jsonwebtoken::Algorithm::PS512),
    ] {
        let app = TestApp::with(&[("TOKEN__ALGORITHM", name)]).await;
        let token = app.register("ada@example.com").await;
        assert_eq!(
            app.protected(&token).await,
            "200 application/json welcome ada@example.com"
        );

        let keys: JwkSet = serde_json::from_str(app.get(routes::JWKS).await.body()).unwrap();
        let key = keys
            .find(segment(&token, 0)["kid"].as_str().unwrap())
            .unwrap();
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&["http://audience.test"]);
        validation.validate_exp = false;
        let key = DecodingKey::from_jwk(key).unwrap();
        let claims = jsonwebtoken::decode::<Value>(&token, &key, &validation);
        assert_eq!(claims.unwrap().claims["email"], "ada@example.com", "{name}");
    }
}

#[tokio::test]
async fn change_of_the_algorithm_refuses_no_live_token() {
    let mut app = TestApp::with(&[]).await;
    let old = app.register_pair("ada@example.com").await;
    let kid = |token: &str| segment(token, 0)["kid"].as_str().unwrap().to_owned();

    app.reconfigure(&[("TOKEN__ALGORITHM", "EdDSA")]).await;

    // The new key is published, and the old one signs until everybody knows it.
    let keys: JwkSet = serde_json::from_str(app.get(routes::JWKS).await.body()).unwrap();
    assert_eq!(keys.keys.len(), 2);
    let between = app.refresh_pair(&old.refresh).await;
    assert_eq!(kid(&between.access), kid(&old.access));
    app.clock.advance(Duration::from_mins(10));
    app.app.keys.check().await.unwrap();
    let new = app.refresh_pair(&between.refresh).await;
    assert_eq!(segment(&new.access, 0)["alg"], "EdDSA");
    assert!(keys.find(&kid(&new.access)).is_some());
    for token in [&old.access, &between.access, &new.access] {
        assert_eq!(app.get_as(routes::ME, token).await.status(), 200);
    }
}

#[tokio::test]
async fn shared_secret_is_never_published() {
    let secret = "an HMAC key of 32 bytes at least, for the test";
    let app = TestApp::with(&[("TOKEN__ALGORITHM", "HS256"), ("TOKEN__SECRET", secret)]).await;
    let token = app.register("ada@example.com").await;

    assert_eq!(segment(&token, 0)["alg"], "HS256");
    assert_eq!(
        app.protected(&token).await,
        "200 application/json welcome ada@example.com"
    );
    assert_eq!(app.get(routes::JWKS).await.body(), r#"{"keys":[]}"#);
}

#[tokio::test]
async fn token_lives_as_long_as_it_says_and_the_leeway() {
    let app = TestApp::with(&[]).await;
    let token = app.register("ada@example.com").await;

    app.clock.advance(Duration::from_secs(15 * 60 + 9));
    assert_eq!(app.get_as(routes::PROTECTED, &token).await.status(), 200);
    app.clock.advance(Duration::from_secs(1));
    assert_snapshot!(app.get_as(routes::PROTECTED, &token).await, @r#"
    401
    cache-control: no-store
    content-type: application/problem+json
    www-authenticate: Bearer realm="countersign", error="invalid_token", error_description="The access token expired"

    {
      "code": "token_expired",
      "detail": "This access token has expired. Refresh it, or sign in again.",
      "status": 401,
      "title": "Token expired",
      "type": "urn:countersign:problem:token_expired"
    }
    "#);
}

#[tokio::test]
async fn lifetime_follows_the_configuration() {
    let app = TestApp::with(&[("TOKEN__ACCESS_TTL", "5s"), ("TOKEN__LEEWAY", "0s")]).await;
    let token = app.register("ada@example.com").await;

    app.clock.advance(Duration::from_secs(4));
    assert_eq!(app.get_as(routes::PROTECTED, &token).await.status(), 200);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(app.get_as(routes::PROTECTED, &token).await.status(), 401);
}

#[tokio::test]
async fn token_of_another_countersign_is_refused() {
    let (app, other) = tokio::join!(TestApp::with(&[]), TestApp::with(&[]));
    app.register("ada@example.com").await;
    let token = other.register("ada@example.com").await;

    assert_snapshot!(app.get_as(routes::PROTECTED, &token).await, @r#"
    401
    cache-control: no-store
    content-type: application/problem+json
    www-authenticate: Bearer realm="countersign", error="invalid_token", error_description="The access token is invalid"

    {
      "code": "token_invalid",
      "detail": "This is no access token that this server accepts. Sign in again.",
      "status": 401,
      "title": "Invalid token",
      "type": "urn:countersign:problem:token_invalid"
    }
    "#);
}

#[tokio::test]
async fn key_that_is_not_ours_signs_nothing_of_ours_even_under_our_kid() {
    let app = TestApp::with(&[]).await;
    let genuine = app.register("ada@example.com").await;
    let claims = segment(&genuine, 1);
    let id = |claim: &str| claims[claim].as_str().unwrap().parse::<Uuid>().unwrap();
    let key = PrivateKey::generate(countersign::token::Algorithm::Es256).unwrap();
    let signer = Signer::new(
        key.signing_key().unwrap(),
        "http://issuer.test",
        "http://audience.test",
    );
    let subject = Subject {
        session: Some(id("sid")),
        ..Subject::new(id("sub")).authenticated(1_767_268_800, ["pwd"])
    };
    let forged = signer
        .sign(&subject, &Grant::new(), Uuid::from_u128(1), 1_767_268_800)
        .unwrap();
    let body = forged.expose().split_once('.').unwrap().1;
    let header = genuine.split_once('.').unwrap().0;

    assert_eq!(
        app.protected(&format!("{header}.{body}")).await,
        "401 application/problem+json token_invalid"
    );
}

#[tokio::test]
async fn presenting_a_token_has_one_way() {
    let app = TestApp::with(&[]).await;
    let token = app.register("ada@example.com").await;
    let bearer = format!("Bearer {token}");
    let mut answers = String::new();
    for (what, values) in [
        ("no header", vec![]),
        ("as it should be", vec![bearer.clone()]),
        ("scheme in lower case", vec![format!("bearer {token}")]),
        ("two headers", vec![bearer.clone(), bearer.clone()]),
        ("two schemes", vec!["Basic YTpi".to_owned(), bearer.clone()]),
        ("another scheme", vec!["Basic YTpi".to_owned()]),
        ("an empty token", vec!["Bearer ".to_owned()]),
        ("no token", vec![bearer[..30].to_owned()]),
        ("two tokens", vec![format!("{bearer} {token}")]),
        ("a token and a comma", vec![format!("{bearer}, {bearer}")]),
        (
            "JSON quotes, as some storages add",
            vec![format!("Bearer \"{token}\"")],
        ),
        ("a long one", vec![format!("Bearer {}", "a".repeat(9000))]),
    ] {
        let mut request = app.request(Method::GET, routes::PROTECTED);
        for value in values {
            request = request.header("authorization", HeaderValue::from_str(&value).unwrap());
        }
        let answer = Answer::of(request).await;
        let code = answer.json()["code"]
            .as_str()
            .unwrap_or("welcome")
            .to_owned();
        answers += &format!(
            "{what}: {} {code} {}\n",
            answer.status(),
            answer.header("www-authenticate")
        );
    }
    let in_query = app.get(&format!("{}?jwt={token}", routes::PROTECTED)).await;
    answers += &format!("in the query: {}\n", in_query.summary());

    assert_snapshot!(answers, @r#"
    no header: 401 token_missing Bearer realm="countersign"
    as it should be: 200 welcome 
    scheme in lower case: 200 welcome 
    two headers: 400 invalid_request Bearer realm="countersign", error="invalid_request", error_description="More than one way of presenting a token"
    two schemes: 400 invalid_request Bearer realm="countersign", error="invalid_request", error_description="More than one way of presenting a token"
    another scheme: 401 token_missing Bearer realm="countersign"
    an empty token: 401 token_invalid Bearer realm="countersign", error="invalid_token", error_description="The access token is invalid"
    no token: 401 token_invalid Bearer realm="countersign", error="invalid_token", error_description="The access token is invalid"
    two tokens: 401 token_invalid Bearer realm="countersign", error="invalid_token", error_description="The access token is invalid"
    a token and a comma: 401 token_invalid Bearer realm="countersign", error="invalid_token", error_description="The access token is invalid"
    JSON quotes, as some storages add: 401 token_invalid Bearer realm="countersign", error="invalid_token", error_description="The access token is invalid"
    a long one: 401 token_invalid Bearer realm="countersign", error="invalid_token", error_description="The access token is invalid"
    in the query: 401 application/problem+json token_missing
    "#);
}
