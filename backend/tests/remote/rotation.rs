//! New keys, withdrawn keys, and tokens of keys that nobody has.

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::token::{Algorithm, Rejection};
use serde_json::json;

use crate::support::{AUDIENCE, ISSUER, Issuer, KEYS, Key, Refused, Reply, UNKNOWN, verdict};

const INTERVAL: Duration = Duration::from_secs(10);

fn key() -> Key {
    Key::new(Algorithm::Es256)
}

#[tokio::test]
async fn token_of_a_new_key_is_accepted_after_one_fetch() {
    let (old, new) = (key(), key());
    let issuer = Issuer::start(&[&old]).await;
    let verifier = issuer.keys().build().await.unwrap();
    assert_eq!(verdict(&verifier, &issuer.token(&old)).await, Ok(()));
    assert_eq!(issuer.calls(KEYS), 1);

    issuer.publish(&[&old, &new]);

    assert_eq!(verdict(&verifier, &issuer.token(&new)).await, Ok(()));
    assert_eq!(verdict(&verifier, &issuer.token(&old)).await, Ok(()));
    assert_eq!(issuer.calls(KEYS), 2);
}

#[tokio::test]
async fn withdrawn_key_is_refused_after_the_next_fetch() {
    let (old, new) = (key(), key());
    let issuer = Issuer::start(&[&old]).await;
    let verifier = issuer.keys().build().await.unwrap();
    let (before, after) = (issuer.token(&old), issuer.token(&new));

    issuer.publish(&[&new]);
    assert_eq!(verdict(&verifier, &before).await, Ok(()));
    assert_eq!(verdict(&verifier, &after).await, Ok(()));

    assert_eq!(verdict(&verifier, &before).await, UNKNOWN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_tokens_of_a_new_key_at_once_cause_one_fetch() {
    let (old, new) = (key(), key());
    let issuer = Issuer::start(&[&old]).await;
    let verifier = issuer.keys().build().await.unwrap();
    issuer.publish(&[&new]);
    issuer.close_doors();

    let token = issuer.token(&new);
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let (verifier, token) = (verifier.clone(), token.clone());
            tokio::spawn(async move { verdict(&verifier, &token).await })
        })
        .collect();
    while issuer.calls(KEYS) < 2 {
        tokio::task::yield_now().await;
    }
    issuer.open_doors();

    for request in requests {
        assert_eq!(request.await.unwrap(), Ok(()));
    }
    assert_eq!(issuer.calls(KEYS), 2);
}

#[tokio::test]
async fn flood_of_unknown_keys_causes_one_fetch_an_interval() {
    let known = key();
    let issuer = Issuer::start(&[&known]).await;
    let verifier = issuer.keys().build().await.unwrap();

    for _ in 0..100 {
        assert_eq!(verdict(&verifier, &issuer.token(&key())).await, UNKNOWN);
    }
    assert_eq!(issuer.calls(KEYS), 2);

    issuer.clock.advance(INTERVAL);
    for _ in 0..100 {
        assert_eq!(verdict(&verifier, &issuer.token(&key())).await, UNKNOWN);
    }
    assert_eq!(issuer.calls(KEYS), 3);
    assert_eq!(verdict(&verifier, &issuer.token(&known)).await, Ok(()));
}

#[tokio::test]
async fn known_keys_need_no_issuer_while_others_wait_for_it() {
    let known = key();
    let issuer = Issuer::start(&[&known]).await;
    let verifier = issuer.keys().build().await.unwrap();
    issuer.close_doors();
    let unknown = issuer.token(&key());
    let waiting = tokio::spawn({
        let verifier = verifier.clone();
        async move { verdict(&verifier, &unknown).await }
    });
    while issuer.calls(KEYS) < 2 {
        tokio::task::yield_now().await;
    }

    assert_eq!(verdict(&verifier, &issuer.token(&known)).await, Ok(()));

    assert!(!waiting.is_finished());
    issuer.open_doors();
    assert_eq!(waiting.await.unwrap(), UNKNOWN);
}

#[tokio::test]
async fn token_that_no_key_of_the_issuer_could_help_causes_no_fetch() {
    let known = key();
    let issuer = Issuer::start(&[&known]).await;
    let keys = issuer.keys().algorithms([Algorithm::Es256]);
    let verifier = keys.build().await.unwrap();

    let elsewhere = issuer.token_of("https://elsewhere.test", &key());
    assert_eq!(verdict(&verifier, &elsewhere).await, UNKNOWN);
    let other_algorithm = issuer.token(&Key::new(Algorithm::EdDsa));
    assert_eq!(verdict(&verifier, &other_algorithm).await, UNKNOWN);
    let malformed = Err(Refused::Token(Rejection::NotThreeParts));
    assert_eq!(verdict(&verifier, "no token").await, malformed);

    assert_eq!(issuer.calls(KEYS), 1);
}

// An empty 200 is what a proxy or a server that is just starting answers, not a withdrawal: whoever
// replaces a key publishes another one. `build()` takes it for a failure too.
#[tokio::test]
async fn set_without_a_usable_key_withdraws_none_before_its_time() {
    let known = key();
    let mut issuer = Issuer::start(&[&known]).await;
    let keys = issuer.keys().stale_for(Duration::from_hours(1));
    let verifier = keys.build().await.unwrap();
    let token = issuer.token(&known);

    let secret = json!({ "kty": "oct", "k": "A".repeat(86), "alg": "HS256", "kid": "1" });
    for set in [json!([]), json!([secret])] {
        let calls = issuer.calls(KEYS);
        issuer.reply(KEYS, Reply::json(&json!({ "keys": set })));
        issuer.clock.advance(INTERVAL);
        assert_eq!(verdict(&verifier, &issuer.token(&key())).await, UNKNOWN);
        assert!(issuer.calls(KEYS) > calls);
        assert_eq!(verdict(&verifier, &token).await, Ok(()));
    }
    issuer.stop().await;
    issuer.clock.advance(Duration::from_mins(70));

    let unavailable = Err(Refused::Unavailable);
    assert_eq!(verdict(&verifier, &token).await, unavailable);
}

#[tokio::test]
async fn caches_on_the_way_are_passed_by_for_an_unknown_key_alone() {
    let (old, new) = (key(), key());
    let issuer = Issuer::start(&[&old]).await;
    let verifier = issuer.keys().build().await.unwrap();
    assert!(!issuer.last_request().contains("cache-control"));

    issuer.publish(&[&old, &new]);
    assert_eq!(verdict(&verifier, &issuer.token(&new)).await, Ok(()));

    let request = issuer.last_request();
    assert!(request.contains("cache-control: no-cache\r\n"), "{request}");
}

#[tokio::test]
async fn keys_without_names_serve_tokens_without_names() {
    let (old, new) = (key(), key());
    let issuer = Issuer::start(&[&old]).await;
    let nameless = |key: &Key| {
        let mut jwk = key.jwk();
        jwk.as_object_mut().unwrap().remove("kid");
        Reply::json(&json!({ "keys": [jwk] }))
    };
    issuer.reply(KEYS, nameless(&old));
    let verifier = issuer.keys().build().await.unwrap();
    let token = |key: &Key| {
        let claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "ada",
            "exp": 1_767_268_800 + 60,
        });
        let [header, claims] = [r#"{"alg":"ES256"}"#.to_owned(), claims.to_string()]
            .map(|part| URL_SAFE_NO_PAD.encode(part));
        let message = format!("{header}.{claims}");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.0.pkcs8());
        let signature = key
            .unwrap()
            .sign(&SystemRandom::new(), message.as_bytes())
            .unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    assert_eq!(verdict(&verifier, &token(&old)).await, Ok(()));

    issuer.reply(KEYS, nameless(&new));

    assert_eq!(verdict(&verifier, &token(&new)).await, Ok(()));
    assert_eq!(issuer.calls(KEYS), 2);
}

#[tokio::test]
async fn full_name_of_an_algorithm_is_taken_from_the_tokens_of_keys_that_say_it() {
    let (old, new) = (Key::new(Algorithm::EdDsa), Key::new(Algorithm::EdDsa));
    let issuer = Issuer::start(&[&old]).await;
    let verifier = issuer.keys().build().await.unwrap();
    let token = |key: &Key| {
        let kid = key.jwk()["kid"].clone();
        let claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "ada",
            "exp": 1_767_268_800 + 60,
        });
        let [header, claims] = [json!({ "alg": "Ed25519", "kid": kid }), claims]
            .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let pair = Ed25519KeyPair::from_pkcs8(key.0.pkcs8()).unwrap();
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    };
    let wrong = Err(Refused::Token(Rejection::WrongAlgorithm));
    assert_eq!(verdict(&verifier, &token(&old)).await, wrong);

    let mut published = new.jwk();
    published["alg"] = json!("Ed25519");
    issuer.reply(KEYS, Reply::json(&json!({ "keys": [published] })));

    assert_eq!(verdict(&verifier, &token(&new)).await, Ok(()));
    assert_eq!(verdict(&verifier, &issuer.token(&new)).await, Ok(()));
}
