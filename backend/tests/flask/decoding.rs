//! `test_decode_tokens.py`: what is read in a token, and what is written into it.

use std::time::Duration;

use axum::routing::any;
use countersign::token::{
    Algorithm, AnyClaims, Grant, KeySource, Signer, SigningKey, SigningKeys, Subject, Unverified,
    Verifier, VerifyingKey,
};
use serde_json::{Value, json};

use crate::support::{App, NOW, encode, keys, page, plain, signing_key};

fn of_verifier(change: impl FnOnce(Verifier) -> Verifier) -> App {
    App::of(
        Signer::flask(signing_key()),
        change(Verifier::flask(keys())),
    )
}

#[tokio::test]
async fn absent_type_freshness_and_id_are_read_as_access_stale_and_none() {
    let app = App::new();
    let token = encode(&json!({ "type": null, "fresh": null, "jti": null }));
    let router = page(any(async |claims: AnyClaims| format!("{:?}", claims.jti)));

    assert_eq!(app.bear(&router, &token).await, "200 None");
    let fresh = plain().route_layer(app.auth().guard().fresh());
    assert_eq!(app.bear(&fresh, &token).await, "401 Fresh token required");
}

#[test]
fn token_of_another_type_than_refresh_is_read() {
    let claims = App::new().decode(&encode(&json!({ "type": "app" })));

    assert_eq!(claims.unwrap()["type"], "app");
}

#[test]
fn audience_that_is_written_must_be_the_one_that_is_asked_for() {
    let app = |written: Option<&str>, asked: Option<&str>| {
        let signer = Signer::flask(signing_key());
        let verifier = Verifier::flask(keys());
        App::of(
            match written {
                Some(audience) => signer.audience(audience),
                None => signer,
            },
            match asked {
                Some(audience) => verifier.audience(audience),
                None => verifier,
            },
        )
    };
    let read = |app: &App| {
        let claims = app.decode(&app.token())?;
        Ok::<_, String>(claims.get("aud").cloned().unwrap_or_default())
    };

    assert_eq!(read(&app(None, None)), Ok(Value::Null));
    assert_eq!(read(&app(Some("foo"), Some("foo"))), Ok(json!("foo")));
    assert_eq!(
        read(&app(Some("foo"), Some("bar"))),
        Err("the token is for another audience".to_owned())
    );
    assert_eq!(
        read(&app(None, Some("foo"))),
        Err("the claim `aud` is missing".to_owned())
    );
    assert_eq!(read(&app(Some("foo"), None)), Ok(json!("foo")));
}

#[test]
fn token_is_over_after_its_lifetime() {
    let app = App::new();
    let token = app.granted(Grant::new().lifetime(Duration::from_mins(5)));

    assert!(app.decode(&token).is_ok());
    app.clock.advance(Duration::from_mins(10));
    assert_eq!(app.decode(&token), Err("the token has expired".to_owned()));
}

#[test]
fn expired_token_is_read_as_of_an_earlier_time() {
    let app = App::new();
    let token = app.granted(Grant::new().lifetime(Duration::from_mins(5)));
    app.clock.advance(Duration::from_hours(1));
    assert!(app.decode(&token).is_err());

    // The time is an argument: that of the token's own issue.
    let issued_at = Unverified::read(&token).unwrap().claims["iat"].as_i64();
    let verified = app.verifier.verify(&token, issued_at.unwrap()).unwrap();
    assert_eq!(verified.sub(), "username");
    assert_eq!(verified.exp(), NOW + 300);
}

#[test]
fn token_that_never_expires_is_refused() {
    let app = App::new();

    assert_eq!(
        app.decode(&encode(&json!({ "exp": null }))),
        Err("the claim `exp` is missing".to_owned())
    );
    assert_eq!(
        app.decode(&encode(&json!({ "exp": NOW + 25 * 3600 }))),
        Err("the token lives longer than ours do".to_owned())
    );
    let patient = of_verifier(|verifier| verifier.longest_life(Duration::from_hours(48)));
    assert!(
        patient
            .decode(&encode(&json!({ "exp": NOW + 25 * 3600 })))
            .is_ok()
    );
}

#[test]
fn token_of_the_future_is_read_only_within_the_leeway() {
    let strict = of_verifier(|verifier| verifier.leeway(Duration::ZERO));
    let lenient = of_verifier(|verifier| verifier.leeway(Duration::from_secs(30)));
    let token = encode(&json!({ "nbf": NOW + 30 }));

    assert_eq!(
        strict.decode(&token),
        Err("the token is not yet valid".to_owned())
    );
    assert!(lenient.decode(&token).is_ok());
}

#[test]
fn id_is_read_in_a_verified_token() {
    let app = App::new();
    let token = encode(&json!({ "jti": "1234" }));

    let verified = app.verifier.verify(&token, NOW).unwrap();
    assert_eq!(verified.jti(), Some("1234"));
}

#[test]
fn repetition_is_read_in_a_verified_token() {
    let app = App::new();
    let issued = app.cookie_token();

    let verified = app.verifier.verify(issued.token.expose(), NOW).unwrap();
    assert_eq!(verified.csrf(), Some(issued.csrf.expose()));
    // Only what goes into a cookie has one.
    let verified = app.verifier.verify(&app.token(), NOW).unwrap();
    assert_eq!(verified.csrf(), None);
}

#[test]
fn keys_may_be_chosen_by_the_subject_and_by_what_a_token_says() {
    const OTHER: &[u8] = b"another secret of thirty-two byte";
    let signing = SigningKeys::ask(|subject| {
        assert_eq!(subject.id, "username");
        SigningKey::from_secret(Algorithm::Hs256, OTHER).ok()
    });
    let verifying = KeySource::ask(|token| {
        assert_eq!(token.header["alg"], "HS256");
        assert_eq!(token.claims["sub"], "username");
        VerifyingKey::from_secret(Algorithm::Hs256, OTHER).ok()
    });

    let mismatched = App::of(Signer::flask(signing.clone()), Verifier::flask(keys()));
    assert!(mismatched.decode(&mismatched.token()).is_err());
    let matched = App::of(Signer::flask(signing), Verifier::flask(verifying));
    assert!(matched.decode(&matched.token()).is_ok());
}

#[test]
fn one_secret_signs_and_verifies_unless_keys_are_chosen() {
    let app = App::new();
    assert!(app.decode(&app.token()).is_ok());

    let none = App::of(
        Signer::flask(signing_key()),
        Verifier::flask(KeySource::ask(|_| None)),
    );
    assert_eq!(
        none.decode(&none.token()),
        Err("the token names no key of ours".to_owned())
    );
}

#[test]
fn one_audience_of_several_is_enough() {
    let app = of_verifier(|verifier| verifier.audience("foo").audience("bar"));

    for audience in [json!("foo"), json!(["bar"]), json!(["foo", "bar", "baz"])] {
        let claims = app.decode(&encode(&json!({ "aud": audience }))).unwrap();
        assert_eq!(claims["aud"], audience);
    }
}

#[test]
fn audiences_that_are_not_asked_for_are_refused() {
    let app = of_verifier(|verifier| verifier.audience("foo"));

    for audience in [json!("bar"), json!(["bar"]), json!(["bar", "baz"])] {
        assert_eq!(
            app.decode(&encode(&json!({ "aud": audience }))),
            Err("the token is for another audience".to_owned())
        );
    }
}

#[test]
fn audience_is_not_looked_at_where_none_is_asked_for() {
    let app = App::new();

    for audience in [json!("bar"), json!(["bar"]), json!(["bar", "baz"])] {
        let claims = app.decode(&encode(&json!({ "aud": audience }))).unwrap();
        assert_eq!(claims["aud"], audience);
    }
}

#[test]
fn subjects_that_are_no_text_are_refused() {
    let app = App::new();

    for subject in [json!(123), json!({}), json!([]), json!(false)] {
        assert_eq!(
            app.decode(&encode(&json!({ "sub": subject }))),
            Err("the claim `sub` is no text".to_owned())
        );
    }
}

#[test]
fn issuer_is_written_where_it_is_set() {
    let signer = Signer::flask(signing_key()).issuer("foobar");
    let app = App::of(signer, Verifier::flask(keys()));

    assert_eq!(app.decode(&app.token()).unwrap()["iss"], "foobar");
}

#[test]
fn issuer_that_is_written_must_be_the_one_that_is_asked_for() {
    let signer = Signer::flask(signing_key()).issuer("foobar");
    let app = App::of(signer, Verifier::flask(keys()).issuer("baz"));

    assert_eq!(
        app.decode(&app.token()),
        Err("the token is from another issuer".to_owned())
    );
}

#[test]
fn token_of_the_issuer_that_is_asked_for_is_read() {
    let app = of_verifier(|verifier| verifier.issuer("foobar"));

    let claims = app.decode(&encode(&json!({ "iss": "foobar" })));
    assert_eq!(claims.unwrap()["iss"], "foobar");
}

#[test]
fn token_of_another_issuer_is_refused() {
    let app = of_verifier(|verifier| verifier.issuer("baz"));

    assert_eq!(
        app.decode(&encode(&json!({ "iss": "foobar" }))),
        Err("the token is from another issuer".to_owned())
    );
}

#[test]
fn text_that_is_no_token_is_refused() {
    assert_eq!(
        App::new().decode("foobarbaz"),
        Err("this is no token: three parts with points between them are expected".to_owned())
    );
}

#[test]
fn header_is_read_without_verifying() {
    let app = App::new();
    let token = app.granted(Grant::new().header("foo", "bar").unwrap());
    let (unsigned, _) = token.rsplit_once('.').unwrap();

    let read = Unverified::read(&format!("{unsigned}.nothing")).unwrap();
    assert_eq!(read.header["foo"], "bar");
}

#[test]
fn token_expires_when_it_was_said_to() {
    let signer = Signer::flask(signing_key()).lifetime(Duration::from_hours(1));
    let app = App::of(signer, Verifier::flask(keys()));
    let expires = |token: &str| app.decode(token).unwrap()["exp"].clone();

    assert_eq!(expires(&app.token()), NOW + 3600);
    let shorter = app.granted(Grant::new().lifetime(Duration::from_mins(1)));
    assert_eq!(expires(&shorter), NOW + 60);
}

#[test]
fn token_says_from_when_on_it_holds() {
    let app = App::new();

    assert_eq!(app.decode(&app.fresh_token()).unwrap()["nbf"], NOW);
}

#[test]
fn token_has_the_claims_that_the_extension_reads_and_none_in_another_form() {
    let app = App::new();
    let token = app
        .issuer
        .issue_fresh(&Subject::new("username"), &[], Grant::new());
    let token = token.unwrap();

    let read = Unverified::read(token.expose()).unwrap();
    assert_eq!(read.header["typ"], "JWT");
    let mut claims = Value::Object(read.claims);
    assert!(
        claims["jti"]
            .take()
            .as_str()
            .is_some_and(|jti| jti.len() == 36)
    );
    assert_eq!(
        claims,
        json!({
            "auth_time": NOW,
            "exp": NOW + 900,
            "fresh": NOW + 600,
            "iat": NOW,
            "jti": null,
            "nbf": NOW,
            "sub": "username",
            "type": "access",
        })
    );
}
