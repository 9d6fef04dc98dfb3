//! `test_view_decorators.py`: which tokens a route takes.

use std::time::Duration;

use axum::{
    http::StatusCode,
    response::IntoResponse as _,
    routing::{any, get as on_get},
};
use countersign::{
    guard::{Fresh, GuardError, Location, Locations},
    token::{AnyClaims, Grant, Rejection, Signer, Subject, Verified, Verifier},
};
use serde_json::{Value, json};

use crate::support::{App, encode, get, keys, page, plain, post_json, signing_key};

#[tokio::test]
async fn route_takes_access_tokens_fresh_or_not_and_no_others() {
    let app = App::new();
    let refresh = encode(&json!({ "type": "refresh" }));

    for router in [
        plain().route_layer(app.auth().guard()),
        page(any(async |_: AnyClaims| "let in")),
    ] {
        assert_eq!(app.bear(&router, &app.token()).await, "200 let in");
        assert_eq!(app.bear(&router, &app.fresh_token()).await, "200 let in");
        assert_eq!(
            app.ask(&router, get()).await,
            "401 Missing Authorization Header"
        );
        assert_eq!(
            app.bear(&router, &refresh).await,
            "422 Only non-refresh tokens are allowed"
        );
    }
}

#[tokio::test]
async fn fresh_route_takes_fresh_tokens_alone() {
    let app = App::new();
    let router = page(any(async |_: Fresh<AnyClaims>| "let in"));
    let always = encode(&json!({ "fresh": true }));
    let until = |at: i64| encode(&json!({ "fresh": at }));
    let refresh = encode(&json!({ "type": "refresh" }));

    assert_eq!(app.bear(&router, &always).await, "200 let in");
    assert_eq!(app.bear(&router, &app.fresh_token()).await, "200 let in");
    let now = crate::support::NOW;
    assert_eq!(app.bear(&router, &until(now + 300)).await, "200 let in");
    for stale in [app.token(), until(now - 60)] {
        assert_eq!(app.bear(&router, &stale).await, "401 Fresh token required");
    }
    assert_eq!(
        app.ask(&router, get()).await,
        "401 Missing Authorization Header"
    );
    assert_eq!(
        app.bear(&router, &refresh).await,
        "422 Only non-refresh tokens are allowed"
    );
}

#[tokio::test]
async fn timed_freshness_of_a_token_of_ours_runs_out() {
    let signer = Signer::flask(signing_key()).fresh_for(Duration::from_mins(5));
    let app = App::of(signer, Verifier::flask(keys()));
    let router = plain().route_layer(app.auth().guard().fresh());
    let token = app.fresh_token();

    assert_eq!(app.bear(&router, &token).await, "200 let in");
    app.clock.advance(Duration::from_mins(5));
    assert_eq!(app.bear(&router, &token).await, "401 Fresh token required");
}

#[tokio::test]
async fn own_answer_to_a_token_that_is_not_fresh_sees_header_and_claims() {
    let app = App::new().with(|auth| {
        auth.answer_refusals(|refused| {
            let token = refused.token()?;
            assert_eq!(token.header["alg"], "HS256");
            assert_eq!(token.claims["sub"], "username");
            let is_stale = matches!(refused.error(), GuardError::NotFresh);
            is_stale.then(|| (StatusCode::CREATED, "foobar").into_response())
        })
    });
    let router = plain().route_layer(app.auth().guard().fresh());

    assert_eq!(app.bear(&router, &app.token()).await, "201 foobar");
}

#[tokio::test]
async fn optional_route_takes_good_tokens_and_refuses_bad_ones() {
    let app = App::new();
    let router = page(any(async |claims: Option<AnyClaims>| {
        claims.map_or_else(|| "nobody".to_owned(), |claims| claims.sub)
    }));
    let refresh = encode(&json!({ "type": "refresh" }));
    let token = app.token();

    assert_eq!(app.bear(&router, &app.fresh_token()).await, "200 username");
    assert_eq!(app.bear(&router, &token).await, "200 username");
    assert_eq!(
        app.bear(&router, &refresh).await,
        "422 Only non-refresh tokens are allowed"
    );
    app.clock.advance(Duration::from_hours(1));
    assert_eq!(app.bear(&router, &token).await, "401 Token has expired");
}

#[tokio::test]
async fn optional_route_takes_whoever_has_no_credential_of_its_scheme() {
    let app = App::new();
    let router = page(any(async |claims: Option<AnyClaims>| {
        claims.map_or_else(|| "nobody".to_owned(), |claims| claims.sub)
    }));
    let bad = "422 Bad Authorization header. Expected 'Authorization: Bearer <JWT>'";

    assert_eq!(app.ask(&router, get()).await, "200 nobody");
    for (value, expected) in [
        ("basic creds", "200 nobody"),
        ("Bearer ", bad),
        ("Bearer", bad),
        ("Bearer a b", bad),
        ("Bearer xxx", "422 Not enough segments"),
        ("Foo 1, Bar 2, Baz, 3", "200 nobody"),
        // Ours does not look behind the comma.
        ("Foo 1, Bearer, Baz, 3", "200 nobody"),
        ("Foo 1, Bearer 2, Baz, 3", "200 nobody"),
    ] {
        let request = get().header("authorization", value);
        assert_eq!(app.ask(&router, request).await, expected, "{value}");
    }
}

#[tokio::test]
async fn route_may_look_elsewhere_than_the_rest_and_only_where_there_is_a_place() {
    let app = App::at(crate::support::places(&[Location::Cookies]));
    let elsewhere = plain().route_layer(app.auth().guard().locations(Locations::default()));
    let rest = plain().route_layer(app.auth().guard());
    let token = app.token();

    assert_eq!(app.bear(&elsewhere, &token).await, "200 let in");
    assert_eq!(
        app.bear(&rest, &token).await,
        "401 Missing cookie \"access_token_cookie\""
    );
    assert!("INVALID_LOCATION".parse::<Location>().is_err());
}

#[tokio::test]
async fn token_of_nonsense_is_invalid_by_the_usual_or_the_programs_own_answer() {
    let app = App::new();
    let router = plain().route_layer(app.auth().guard());
    let own = App::new().with(|auth| {
        auth.answer_refusals(|refused| match refused.error() {
            GuardError::Token(Rejection::Malformed) => {
                Some((StatusCode::CREATED, "foobar").into_response())
            }
            _ => None,
        })
    });
    let own_router = plain().route_layer(own.auth().guard());

    let nonsense = "aaaaa.bbbbb.ccccc";
    assert_eq!(
        app.bear(&router, nonsense).await,
        "422 Invalid header padding"
    );
    assert_eq!(own.bear(&own_router, nonsense).await, "201 foobar");
}

#[tokio::test]
async fn token_without_a_subject_is_invalid() {
    let app = App::new();
    let router = plain().route_layer(app.auth().guard());

    let token = encode(&json!({ "sub": null, "foo": "bar" }));
    assert_eq!(app.bear(&router, &token).await, "422 Missing claim: sub");
}

#[tokio::test]
async fn audience_is_asked_for_where_one_is_set() {
    let any = App::new();
    let verifier = Verifier::flask(keys()).audience("my_audience");
    let set = App::of(Signer::flask(signing_key()), verifier);
    let (without, other) = (
        encode(&json!({})),
        encode(&json!({ "aud": "different_audience" })),
    );

    let router = plain().route_layer(any.auth().guard());
    assert_eq!(any.bear(&router, &without).await, "200 let in");
    let router = plain().route_layer(set.auth().guard());
    assert_eq!(
        set.bear(&router, &without).await,
        "422 Token is missing the \"aud\" claim"
    );
    assert_eq!(
        set.bear(&router, &other).await,
        "422 Audience doesn't match"
    );
}

#[tokio::test]
async fn issuer_is_asked_for_where_one_is_set() {
    let any = App::new();
    let verifier = Verifier::flask(keys()).issuer("my_issuer");
    let set = App::of(Signer::flask(signing_key()), verifier);
    let (without, other) = (
        encode(&json!({})),
        encode(&json!({ "iss": "different_issuer" })),
    );

    let router = plain().route_layer(any.auth().guard());
    assert_eq!(any.bear(&router, &without).await, "200 let in");
    let router = plain().route_layer(set.auth().guard());
    assert_eq!(
        set.bear(&router, &without).await,
        "422 Token is missing the \"iss\" claim"
    );
    assert_eq!(set.bear(&router, &other).await, "422 Invalid issuer");
}

#[tokio::test]
async fn text_without_segments_is_invalid() {
    let app = App::new();
    let router = plain().route_layer(app.auth().guard());

    assert_eq!(
        app.bear(&router, "foobarbaz").await,
        "422 Not enough segments"
    );
}

#[tokio::test]
async fn expired_token_is_refused_and_an_own_answer_sees_what_it_says() {
    let app = App::new();
    let own = App::new().with(|auth| {
        auth.answer_refusals(|refused| {
            let token = refused.token()?;
            let is_expired = matches!(refused.error(), GuardError::Token(Rejection::Expired));
            assert!(is_expired);
            assert_eq!(token.header["alg"], "HS256");
            assert_eq!(token.claims["type"], "access");
            let text = token.claims["sub"].as_str()?.to_owned();
            Some((StatusCode::CREATED, text).into_response())
        })
    });
    let token =
        encode(&json!({ "iat": crate::support::NOW - 900, "exp": crate::support::NOW - 60 }));

    let router = plain().route_layer(app.auth().guard());
    assert_eq!(app.bear(&router, &token).await, "401 Token has expired");
    let router = plain().route_layer(own.auth().guard());
    assert_eq!(own.bear(&router, &token).await, "201 username");
}

#[tokio::test]
async fn handler_that_decodes_an_expired_token_answers_401() {
    let app = App::new();
    let (verifier, token) = (app.verifier.clone(), app.token());
    let late = crate::support::NOW + 3600;
    let router = page(any(async move || {
        verifier.verify(&token, late)?;
        Ok::<_, GuardError>("baz")
    }));

    assert_eq!(app.ask(&router, get()).await, "401 token_expired");
}

#[tokio::test]
async fn no_token_is_refused_by_the_usual_or_the_programs_own_answer() {
    let app = App::new();
    let router = plain().route_layer(app.auth().guard());
    let own = App::new().with(|auth| {
        auth.answer_refusals(|refused| match refused.error() {
            GuardError::Missing(_) => Some((StatusCode::CREATED, "foobar").into_response()),
            _ => None,
        })
    });
    let own_router = plain().route_layer(own.auth().guard());

    assert_eq!(
        app.ask(&router, get()).await,
        "401 Missing Authorization Header"
    );
    assert_eq!(own.ask(&own_router, get()).await, "201 foobar");
}

#[tokio::test]
async fn other_algorithm_than_the_keys_is_refused() {
    use countersign::token::{Algorithm, PublicKeys, VerifyingKey};

    let secret = crate::support::SECRET.repeat(2);
    let key = VerifyingKey::from_secret(Algorithm::Hs512, &secret).unwrap();
    let verifier = Verifier::flask(PublicKeys::new([key]).unwrap());
    let app = App::of(Signer::flask(signing_key()), verifier);
    let router = plain().route_layer(app.auth().guard());

    let token = encode(&json!({}));
    assert_eq!(
        app.bear(&router, &token).await,
        "422 The specified alg value is not allowed"
    );
}

#[tokio::test]
async fn verified_token_gives_its_header_and_all_of_its_claims() {
    let app = App::new();
    let router = page(on_get(async |token: Verified| {
        let claims: Value = token.custom().unwrap();
        format!("{} {}", token.header()["alg"], claims["sub"])
    }));

    let expected = "200 \"HS256\" \"username\"";
    assert_eq!(app.bear(&router, &app.token()).await, expected);
}

#[tokio::test]
async fn subject_that_is_no_text_is_invalid() {
    let app = App::new();
    let router = plain().route_layer(app.auth().guard());

    let token = encode(&json!({ "sub": 1234 }));
    assert_eq!(
        app.bear(&router, &token).await,
        "422 Subject must be a string"
    );
    // Ours makes text of a number, so none such is issued.
    let token = app.issuer.issue(&Subject::new(1234), Grant::new());
    let claims = app.decode(token.unwrap().expose()).unwrap();
    assert_eq!(claims["sub"], "1234");
}

#[tokio::test]
async fn usual_answers_are_those_of_rfc_6750() {
    let app = App::new().with(|auth| auth.answer_refusals(|_| None));
    let router = plain().route_layer(app.auth().guard().fresh());
    let request = get().header("authorization", "Bearer foobarbaz");
    let request = request.body(axum::body::Body::empty()).unwrap();

    let answer = app.send(router.clone(), request).await;
    assert_eq!(answer.summary(), "401 token_invalid");
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    assert_eq!(
        app.bear(&router, &app.token()).await,
        "403 fresh_token_required"
    );
    let answer = app.send(router, post_json(&json!({}))).await;
    assert_eq!(answer.summary(), "401 token_missing");
}
