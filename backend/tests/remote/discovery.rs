//! Where the documents of an issuer are, and which of them are believed.

use countersign::{
    remote::{AddressError, FetchError, RemoteError, RemoteKeys},
    token::Algorithm,
};
use serde_json::json;

use crate::support::{Issuer, KEYS, Key, Reply, verdict};

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

fn key() -> Key {
    Key::new(Algorithm::Es256)
}

/// By the issuer alone.
fn of(issuer: &Issuer) -> RemoteKeys {
    issuer.common(RemoteKeys::of_issuer(issuer.url("")))
}

async fn refused(keys: RemoteKeys) -> FetchError {
    match keys.build().await.unwrap_err() {
        RemoteError::Fetch { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn keys_are_found_through_the_openid_document() {
    let known = key();
    let issuer = Issuer::start(&[&known]).await;
    let document = json!({ "issuer": issuer.url(""), "jwks_uri": issuer.url(KEYS), "more": 1 });
    issuer.reply(OPENID, Reply::json(&document));

    let verifier = of(&issuer).build().await.unwrap();

    let token = issuer.token_of(&issuer.url(""), &known);
    assert_eq!(verdict(&verifier, &token).await, Ok(()));
    assert_eq!(issuer.calls(OAUTH), 0);
}

#[tokio::test]
async fn document_of_rfc_8414_is_taken_where_there_is_no_other() {
    let known = key();
    let issuer = Issuer::start(&[&known]).await;
    let document = json!({ "issuer": issuer.url(""), "jwks_uri": issuer.url(KEYS) });
    issuer.reply(OAUTH, Reply::json(&document));

    let verifier = of(&issuer).build().await.unwrap();

    let token = issuer.token_of(&issuer.url(""), &known);
    assert_eq!(verdict(&verifier, &token).await, Ok(()));
    assert_eq!((issuer.calls(OPENID), issuer.calls(OAUTH)), (1, 1));
}

#[tokio::test]
async fn failure_of_the_first_document_is_no_reason_for_the_second() {
    let issuer = Issuer::start(&[&key()]).await;
    let document = json!({ "issuer": issuer.url(""), "jwks_uri": issuer.url(KEYS) });
    issuer.reply(OPENID, Reply::status("500 Internal Server Error"));
    issuer.reply(OAUTH, Reply::json(&document));

    let error = refused(of(&issuer)).await;

    assert!(matches!(error, FetchError::Status(500)), "{error:?}");
    assert_eq!(issuer.calls(OAUTH), 0);
}

#[tokio::test]
async fn document_of_another_issuer_is_refused() {
    let issuer = Issuer::start(&[&key()]).await;
    for named in [
        "https://issuer.test".to_owned(),
        issuer.url("/"),
        issuer.url("").to_uppercase(),
        String::new(),
    ] {
        let document = json!({ "issuer": named, "jwks_uri": issuer.url(KEYS) });
        issuer.reply(OPENID, Reply::json(&document));

        let error = refused(of(&issuer)).await;

        assert!(
            matches!(error, FetchError::OtherIssuer),
            "{named}: {error:?}"
        );
    }
    assert_eq!(issuer.calls(KEYS), 0);
}

#[tokio::test]
async fn document_that_leads_to_an_unsafe_address_is_refused() {
    let issuer = Issuer::start(&[&key()]).await;
    for (address, why) in [
        ("http://keys.example.com/jwks.json", AddressError::Insecure),
        ("file:///etc/passwd", AddressError::Malformed),
        ("/jwks.json", AddressError::Malformed),
    ] {
        let document = json!({ "issuer": issuer.url(""), "jwks_uri": address });
        issuer.reply(OPENID, Reply::json(&document));

        match refused(of(&issuer)).await {
            FetchError::Address(error) => assert_eq!(error, why, "{address}"),
            other => panic!("{address}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_discovery_document_is_refused() {
    let issuer = Issuer::start(&[&key()]).await;
    for document in [
        json!([]),
        json!({ "issuer": issuer.url("") }),
        json!({ "jwks_uri": issuer.url(KEYS) }),
        json!({ "issuer": issuer.url(""), "jwks_uri": [issuer.url(KEYS)] }),
    ] {
        issuer.reply(OPENID, Reply::json(&document));

        let error = refused(of(&issuer)).await;

        assert!(matches!(error, FetchError::NoDiscovery), "{document}");
    }
}

#[tokio::test]
async fn error_names_the_url_that_failed() {
    let issuer = Issuer::start(&[]).await;
    let failing = async || of(&issuer).build().await.unwrap_err().to_string();
    let from = |path| format!("the keys cannot be fetched from {}", issuer.url(path));

    assert_eq!(failing().await, from(OAUTH));
    issuer.reply(OPENID, Reply::status("500 Internal Server Error"));
    assert_eq!(failing().await, from(OPENID));
    let document = json!({ "issuer": issuer.url(""), "jwks_uri": issuer.url(KEYS) });
    issuer.reply(OPENID, Reply::json(&document));
    assert_eq!(failing().await, from(KEYS));
}
