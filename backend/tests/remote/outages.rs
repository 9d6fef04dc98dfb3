//! The issuer is away: before the first fetch, for a while, for too long.

use std::time::Duration;

use axum::{Router, routing::get};
use countersign::{
    Auth, Claims,
    remote::{FetchError, RemoteError},
    token::Algorithm,
};
use countersign_types::{Problem, ProblemCode};

use crate::support::{Issuer, KEYS, Key, Refused, Reply, UNKNOWN, verdict};

const HOUR: Duration = Duration::from_hours(1);

fn key() -> Key {
    Key::new(Algorithm::Es256)
}

#[tokio::test]
async fn keys_go_on_while_the_issuer_is_gone_and_end_after_their_time() {
    let known = key();
    let mut issuer = Issuer::start(&[&known]).await;
    let keys = issuer.keys().stale_for(HOUR);
    let verifier = keys.build().await.unwrap();
    let token = issuer.token(&known);
    issuer.stop().await;

    // Ten minutes are what keys hold where their server does not say.
    issuer.clock.advance(HOUR + Duration::from_mins(9));
    assert_eq!(verdict(&verifier, &token).await, Ok(()));
    assert_eq!(verdict(&verifier, &issuer.token(&key())).await, UNKNOWN);

    issuer.clock.advance(Duration::from_mins(1));
    let unavailable = Err(Refused::Unavailable);
    assert_eq!(verdict(&verifier, &token).await, unavailable);
}

#[tokio::test]
async fn keys_come_back_with_the_issuer() {
    let known = key();
    let issuer = Issuer::start(&[&known]).await;
    let verifier = issuer.keys().stale_for(HOUR).build().await.unwrap();
    let token = issuer.token(&known);
    issuer.reply(KEYS, Reply::status("500 Internal Server Error"));
    issuer.clock.advance(HOUR * 2);
    let unavailable = Err(Refused::Unavailable);
    assert_eq!(verdict(&verifier, &token).await, unavailable);

    issuer.publish(&[&known]);
    issuer.clock.advance(Duration::from_secs(10));

    assert_eq!(verdict(&verifier, &token).await, Ok(()));
}

#[tokio::test]
async fn lifetime_that_the_server_says_is_honoured() {
    let known = key();
    let mut issuer = Issuer::start(&[]).await;
    let set = serde_json::json!({ "keys": [known.jwk()] }).to_string();
    let headers = "Cache-Control: public, max-age=7200\r\n";
    issuer.reply(KEYS, Reply::with("200 OK", headers, &set));
    let keys = issuer.keys().stale_for(Duration::ZERO);
    let verifier = keys.build().await.unwrap();
    let token = issuer.token(&known);
    issuer.stop().await;

    issuer.clock.advance(Duration::from_secs(7199));
    assert_eq!(verdict(&verifier, &token).await, Ok(()));
    issuer.clock.advance(Duration::from_secs(1));
    let unavailable = Err(Refused::Unavailable);
    assert_eq!(verdict(&verifier, &token).await, unavailable);
}

#[tokio::test]
async fn service_whose_issuer_is_away_does_not_start() {
    let mut issuer = Issuer::start(&[]).await;
    issuer.stop().await;

    let refused = issuer.keys().build().await.unwrap_err();

    assert!(
        matches!(
            refused,
            RemoteError::Fetch {
                error: FetchError::Connection(_),
                ..
            }
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn lazy_service_is_503_until_its_issuer_is_there() {
    let known = key();
    let issuer = Issuer::start(&[]).await;
    issuer.reply(KEYS, Reply::status("503 Service Unavailable"));
    let verifier = issuer.keys().build_lazily().await.unwrap();
    let router = Router::new()
        .route("/", get(async |claims: Claims| claims.sub.to_string()))
        .with_state(Auth::remote(verifier));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let ask = async |token: &str| {
        let request = reqwest::Client::new().get(&url).bearer_auth(token);
        request.send().await.unwrap()
    };
    let token = issuer.token(&known);

    let answer = ask(&token).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "2");
    let problem: Problem = answer.json().await.unwrap();
    assert_eq!(problem.code, ProblemCode::Unavailable);

    issuer.publish(&[&known]);
    issuer.clock.advance(Duration::from_secs(10));
    assert_eq!(ask(&token).await.status(), 200);
}
