//! Servers that answer too slowly, too much, or something else; keys that must not be used; and
//! settings that cannot be meant.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::{
    remote::{AddressError, FetchError, RemoteError, RemoteKeys},
    token::{Algorithm, Grant, Profile, Rejection, Signer, SigningKey, Subject},
};
use serde_json::json;
use uuid::Uuid;

use crate::support::{AUDIENCE, ISSUER, Issuer, KEYS, Key, Refused, Reply, UNKNOWN, verdict};

fn key() -> Key {
    Key::new(Algorithm::Es256)
}

async fn refused_for(reply: Reply) -> FetchError {
    let issuer = Issuer::start(&[]).await;
    issuer.reply(KEYS, reply);
    match issuer.keys().build().await.unwrap_err() {
        RemoteError::Fetch { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn slow_answer_is_given_up_in_time() {
    for begin in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"keys\":",
    ] {
        let issuer = Issuer::start(&[]).await;
        issuer.reply(KEYS, Reply::Hang(begin.into()));
        let keys = issuer.keys().timeout(Duration::from_millis(500));
        let start = Instant::now();

        let refused = keys.build().await.unwrap_err();

        assert!(
            matches!(
                refused,
                RemoteError::Fetch {
                    error: FetchError::Timeout,
                    ..
                }
            ),
            "{begin}: {refused:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test]
async fn huge_answer_is_refused_before_it_is_read() {
    let spaces = " ".repeat(256 * 1024);
    let body = format!("{{\"keys\":[]}}{spaces}");
    let error = refused_for(Reply::with("200 OK", "", &body)).await;
    assert!(matches!(error, FetchError::TooLong), "{error:?}");

    // Whose length nobody says, and which never ends.
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    let chunks = chunk.repeat(9);
    let endless = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let error = refused_for(Reply::Hang(endless.into())).await;
    assert!(matches!(error, FetchError::TooLong), "{error:?}");
}

#[tokio::test]
async fn compressed_answer_is_neither_asked_for_nor_taken() {
    let issuer = Issuer::start(&[&key()]).await;
    issuer.keys().build().await.unwrap();
    assert!(!issuer.last_request().contains("accept-encoding"));

    let headers = "Content-Encoding: gzip\r\n";
    let error = refused_for(Reply::with("200 OK", headers, "{\"keys\":[]}")).await;
    assert!(matches!(error, FetchError::Compressed), "{error:?}");
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let issuer = Issuer::start(&[&key()]).await;
    let location = format!("Location: {}\r\n", issuer.url("/elsewhere"));
    issuer.reply(KEYS, Reply::with("302 Found", &location, ""));

    let refused = issuer.keys().build().await.unwrap_err();

    assert!(
        matches!(
            refused,
            RemoteError::Fetch {
                error: FetchError::Status(302),
                ..
            }
        ),
        "{refused:?}"
    );
    assert_eq!(issuer.calls("/elsewhere"), 0);
}

#[tokio::test]
async fn what_is_no_http_or_no_key_set_is_refused() {
    let error = refused_for(Reply::Bytes(b"SSH-2.0-OpenSSH\r\n".to_vec())).await;
    assert!(matches!(error, FetchError::Connection(_)), "{error:?}");
    let error = refused_for(Reply::with("200 OK", "", "<!doctype html>")).await;
    assert!(matches!(error, FetchError::NoKeySet), "{error:?}");
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"keys\":[";
    let error = refused_for(Reply::Bytes(cut.into())).await;
    assert!(matches!(error, FetchError::Connection(_)), "{error:?}");
}

#[tokio::test]
async fn published_secret_verifies_nothing() {
    let secret = b"0123456789abcdef0123456789abcdef";
    let known = key();
    let issuer = Issuer::start(&[]).await;
    let encoded = URL_SAFE_NO_PAD.encode(secret);
    let oct = json!({ "kty": "oct", "k": encoded, "alg": "HS256", "kid": "secret" });
    issuer.reply(KEYS, Reply::json(&json!({ "keys": [oct, known.jwk()] })));
    let verifier = issuer.keys().build().await.unwrap();
    let forged = Signer::new(
        SigningKey::from_secret(Algorithm::Hs256, secret).unwrap(),
        ISSUER,
        AUDIENCE,
    );
    let forged = forged.sign(
        &Subject::new(Uuid::from_u128(1)),
        &Grant::new(),
        Uuid::from_u128(2),
        1_767_268_800,
    );

    let verdict_of_forged = verdict(&verifier, forged.unwrap().expose()).await;

    assert_eq!(verdict_of_forged, UNKNOWN);
    assert_eq!(verifier.keys().iter().count(), 1);
    assert_eq!(verdict(&verifier, &issuer.token(&known)).await, Ok(()));
}

#[tokio::test]
async fn key_outside_the_pinned_algorithms_verifies_nothing() {
    let [pinned, other] = [Algorithm::Es256, Algorithm::EdDsa].map(Key::new);
    let issuer = Issuer::start(&[&pinned, &other]).await;
    let keys = issuer.keys().algorithms([Algorithm::Es256]);
    let verifier = keys.build().await.unwrap();

    assert_eq!(verdict(&verifier, &issuer.token(&pinned)).await, Ok(()));
    assert_eq!(verdict(&verifier, &issuer.token(&other)).await, UNKNOWN);
}

#[tokio::test]
async fn token_for_another_audience_is_refused() {
    let known = key();
    let issuer = Issuer::start(&[&known]).await;
    let keys = RemoteKeys::of_jwks(issuer.url(KEYS), ISSUER)
        .audience("https://other.test")
        .clock(issuer.clock.clone());
    let verifier = keys.build().await.unwrap();

    let wrong = Err(Refused::Token(Rejection::WrongAudience));
    assert_eq!(verdict(&verifier, &issuer.token(&known)).await, wrong);
}

#[tokio::test]
async fn set_without_any_usable_key_stops_the_start() {
    let error = refused_for(Reply::with("200 OK", "", "{\"keys\":[]}")).await;
    assert!(matches!(error, FetchError::NoUsableKey), "{error:?}");
}

#[tokio::test]
async fn settings_that_cannot_be_meant_are_refused_without_a_fetch() {
    let issuer = Issuer::start(&[&key()]).await;

    let error = RemoteKeys::of_jwks(issuer.url(KEYS), ISSUER).build().await;
    assert!(matches!(error, Err(RemoteError::NoAudience)));
    for algorithms in [vec![], vec![Algorithm::Es256, Algorithm::Hs256]] {
        let error = issuer.keys().algorithms(algorithms).build_lazily().await;
        assert!(matches!(error, Err(RemoteError::Algorithms)));
    }
    let insecure = RemoteKeys::of_countersign("http://auth.example.com");
    assert!(matches!(
        insecure.build_lazily().await,
        Err(RemoteError::Address(AddressError::Insecure))
    ));
    for (given, form) in [
        ("https://Auth.example.com", "https://auth.example.com"),
        ("https://auth.example.com:443", "https://auth.example.com"),
        ("https://auth.example.com/auth", "https://auth.example.com"),
        ("http://127.0.0.1:03000", "http://127.0.0.1:3000"),
    ] {
        let refused = RemoteKeys::of_countersign(given).build_lazily().await;
        let error = refused.unwrap_err();
        assert!(error.to_string().contains(&format!("`{form}`")), "{error}");
        assert!(matches!(error, RemoteError::NotOrigin { .. }), "{error:?}");
    }
    let error = issuer.keys().trust("no PEM").build().await;
    assert!(matches!(error, Err(RemoteError::Certificate)));

    assert_eq!(issuer.calls(KEYS), 0);
}

#[tokio::test]
async fn profile_decides_what_a_token_has_to_look_like() {
    let known = key();
    let issuer = Issuer::start(&[&known]).await;
    let keys = issuer.keys().profile(Profile::FlaskJwtExtended);
    let verifier = keys.build().await.unwrap();

    // It is an `at+jwt`, which flask-jwt-extended knows nothing of.
    let wrong = Err(Refused::Token(Rejection::WrongType));
    assert_eq!(verdict(&verifier, &issuer.token(&known)).await, wrong);
}
