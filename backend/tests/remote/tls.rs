//! Whom the client believes to be talking to.

use countersign::{
    remote::{AddressError, FetchError, RemoteError, RemoteKeys},
    token::Algorithm,
};
use serde_json::json;

use crate::support::{Issuer, KEYS, Key, Reply, verdict};

fn key() -> Key {
    Key::new(Algorithm::Es256)
}

#[tokio::test]
async fn keys_come_over_tls_from_a_server_that_a_trusted_authority_vouches_for() {
    let known = key();
    let (issuer, certificate) = Issuer::start_tls(&[&known], "127.0.0.1").await;

    let verifier = issuer.keys().trust(certificate).build().await.unwrap();

    assert_eq!(verdict(&verifier, &issuer.token(&known)).await, Ok(()));
}

#[tokio::test]
async fn server_that_nobody_vouches_for_is_not_asked() {
    let (issuer, _) = Issuer::start_tls(&[&key()], "127.0.0.1").await;
    let (_, unrelated) = Issuer::start_tls(&[], "127.0.0.1").await;

    let refused = issuer.keys().trust(unrelated).build().await;

    assert!(matches!(
        refused,
        Err(RemoteError::Fetch {
            error: FetchError::Connection(_),
            ..
        })
    ));
    assert_eq!(issuer.calls(KEYS), 0);
}

#[tokio::test]
async fn certificate_of_another_name_is_refused() {
    let (issuer, certificate) = Issuer::start_tls(&[&key()], "auth.example.com").await;

    let refused = issuer.keys().trust(certificate).build().await;

    assert!(matches!(
        refused,
        Err(RemoteError::Fetch {
            error: FetchError::Connection(_),
            ..
        })
    ));
    assert_eq!(issuer.calls(KEYS), 0);
}

#[tokio::test]
async fn document_that_came_over_tls_leads_to_no_plain_address() {
    let plain = Issuer::start(&[&key()]).await;
    let (issuer, certificate) = Issuer::start_tls(&[], "127.0.0.1").await;
    let document = json!({ "issuer": issuer.url(""), "jwks_uri": plain.url(KEYS) });
    issuer.reply("/.well-known/openid-configuration", Reply::json(&document));

    let keys = issuer.common(RemoteKeys::of_issuer(issuer.url("")));
    let refused = keys.trust(certificate).build().await;

    assert!(matches!(
        refused,
        Err(RemoteError::Fetch {
            error: FetchError::Address(AddressError::Insecure),
            ..
        })
    ));
    assert_eq!(plain.calls(KEYS), 0);
}
