//! `test_additional_claims_loader.py` and `test_jwt_header_loader.py`: what tokens say beside the
//! usual.

use std::collections::HashMap;

use axum::routing::any;
use countersign::{
    Issuer,
    token::{AnyClaims, Grant, SignError, Subject, Verified},
};
use serde::Deserialize;
use serde_json::Value;

use crate::support::{App, page};

/// Claims that no JSON can say: its names are texts.
fn unspeakable() -> HashMap<(u8, u8), u8> {
    HashMap::from([((1, 2), 3)])
}

fn issued(issuer: &Issuer, subject: &Subject, grant: Grant) -> String {
    issuer.issue(subject, grant).unwrap().expose().to_owned()
}

#[tokio::test]
async fn claims_of_every_token_are_in_each() {
    #[derive(Debug, Clone, Deserialize)]
    struct Own {
        foo: String,
    }
    let app = App::new();
    let issuer = app.issuer.clone().grants(|subject| {
        assert_eq!(subject.id, "username");
        Grant::new().claim("foo", "bar")
    });
    let router = page(any(async |claims: AnyClaims<Own>| claims.custom.foo));

    let token = issued(&issuer, &Subject::new("username"), Grant::new());
    assert_eq!(app.bear(&router, &token).await, "200 bar");
}

#[test]
fn claims_without_json_are_an_error() {
    let refused = Grant::new().claim("foo", unspeakable()).unwrap_err();

    assert!(matches!(refused, SignError::Claims(_)), "{refused}");
    let app = App::new();
    let issuer = app
        .issuer
        .grants(|_| Grant::new().claim("foo", unspeakable()));
    let refused = issuer.issue(&Subject::new("username"), Grant::new());
    assert!(matches!(refused, Err(SignError::Claims(_))));
}

#[test]
fn user_of_the_program_is_made_a_subject_with_claims() {
    struct Account {
        username: &'static str,
        plan: &'static str,
    }
    impl From<&Account> for Subject {
        fn from(account: &Account) -> Self {
            Self::new(account.username)
        }
    }
    let app = App::new();
    let account = Account {
        username: "username",
        plan: "free",
    };

    let grant = Grant::new().claim("plan", account.plan).unwrap();
    let claims = app
        .decode(&issued(&app.issuer, &Subject::from(&account), grant))
        .unwrap();
    assert_eq!(claims["sub"], "username");
    assert_eq!(claims["plan"], "free");
}

#[test]
fn claims_of_one_token_are_in_that_one() {
    let app = App::new();

    let with = app.granted(Grant::new().claim("foo", "bar").unwrap());
    assert_eq!(app.decode(&with).unwrap()["foo"], "bar");
    assert_eq!(app.decode(&app.token()).unwrap()["foo"], Value::Null);
}

#[test]
fn claims_of_every_token_and_of_one_are_merged() {
    let app = App::new();
    let issuer = app
        .issuer
        .clone()
        .grants(|_| Grant::new().claim("default", "value"));

    let grant = Grant::new().claim("foo", "bar").unwrap();
    let token = issued(&issuer, &Subject::new("username"), grant);
    let claims = app.decode(&token).unwrap();
    assert_eq!(
        (&claims["default"], &claims["foo"]),
        (&"value".into(), &"bar".into())
    );
}

#[test]
fn claim_of_one_token_wins_over_that_of_every_token() {
    let app = App::new();
    let issuer = app
        .issuer
        .clone()
        .grants(|_| Grant::new().claim("default", "value"));

    let grant = Grant::new().claim("default", "foo").unwrap();
    let token = issued(&issuer, &Subject::new("username"), grant);
    assert_eq!(app.decode(&token).unwrap()["default"], "foo");
}

#[test]
fn claims_that_are_ours_to_write_are_refused() {
    for name in ["sub", "exp", "nbf", "iat", "jti", "type", "fresh", "csrf"] {
        let refused = Grant::new().claim(name, 1).unwrap_err();

        assert!(matches!(refused, SignError::Reserved(_)), "{name}");
    }
    for name in ["alg", "kid", "typ", "jku"] {
        let refused = Grant::new().header(name, "x").unwrap_err();

        assert!(matches!(refused, SignError::Reserved(_)), "{name}");
    }
}

#[tokio::test]
async fn header_of_every_token_is_in_each() {
    let app = App::new();
    let issuer = app
        .issuer
        .clone()
        .grants(|_| Grant::new().header("foo", "bar"));
    let router = page(any(async |token: Verified| {
        token.header()["foo"].as_str().unwrap().to_owned()
    }));

    let token = issued(&issuer, &Subject::new("username"), Grant::new());
    assert_eq!(app.bear(&router, &token).await, "200 bar");
}

#[test]
fn header_without_json_is_an_error() {
    let refused = Grant::new().header("foo", unspeakable()).unwrap_err();

    assert!(matches!(refused, SignError::Claims(_)), "{refused}");
}

#[tokio::test]
async fn header_of_one_token_is_in_that_one() {
    let app = App::new();
    let router = page(any(async |token: Verified| {
        Value::Object(token.header().clone()).to_string()
    }));

    let with = app.granted(Grant::new().header("foo", "bar").unwrap());
    assert!(app.bear(&router, &with).await.contains(r#""foo":"bar""#));
    assert!(!app.bear(&router, &app.token()).await.contains("foo"));
}

#[tokio::test]
async fn header_of_one_token_is_there_beside_that_of_every_token() {
    let app = App::new();
    let issuer = app
        .issuer
        .clone()
        .grants(|_| Grant::new().header("ping", "pong"));
    let router = page(any(async |token: Verified| {
        Value::Object(token.header().clone()).to_string()
    }));

    let grant = Grant::new().header("foo", "bar").unwrap();
    let token = issued(&issuer, &Subject::new("username"), grant);
    let header = app.bear(&router, &token).await;
    assert!(header.contains(r#""foo":"bar""#), "{header}");
    assert!(header.contains(r#""ping":"pong""#), "{header}");
}
