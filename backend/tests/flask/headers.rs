//! `test_headers.py`: tokens in a header.

use axum::{Json, http::StatusCode, response::IntoResponse as _};
use countersign::guard::{GuardError, Locations, flask_message};
use serde_json::json;

use crate::support::{App, get, plain};

#[tokio::test]
async fn other_schemes_are_no_token_and_a_list_is_not_split() {
    let app = App::new();
    let router = plain().route_layer(app.auth().guard());
    let token = app.token();
    let other = "401 Missing 'Bearer' type in 'Authorization' header. \
                 Expected 'Authorization: Bearer <JWT>'";
    let bad = "422 Bad Authorization header. Expected 'Authorization: Bearer <JWT>'";

    for (value, expected) in [
        ("Basic basiccreds".to_owned(), other),
        (format!("Bearer {token}"), "200 let in"),
        // The scheme's case does not matter (RFC 9110 §11.1).
        (format!("bearer {token}"), "200 let in"),
        // One header, one credential (RFC 9110 §11.6.2): a list is two ways to be understood.
        (format!("Bearer {token}, Basic creds"), bad),
        (format!("Basic creds, Bearer {token}"), other),
    ] {
        let request = get().header("authorization", &value);
        assert_eq!(app.ask(&router, request).await, expected, "{value}");
    }
}

#[tokio::test]
async fn spaces_around_a_token_are_dropped_and_commas_are_not() {
    let app = App::new();
    let router = plain().route_layer(app.auth().guard());
    let token = app.token();

    let spaces = get().header("authorization", format!("Bearer   {token}   "));
    assert_eq!(app.ask(&router, spaces).await, "200 let in");
    let comma = get().header("authorization", format!("Bearer {token},   "));
    assert_eq!(
        app.ask(&router, comma).await,
        "422 Signature verification failed"
    );
}

#[tokio::test]
async fn header_may_have_another_name() {
    let app = App::at(Locations::default().header("Foo", "Bearer").unwrap());
    let router = plain().route_layer(app.auth().guard());
    let token = app.token();

    assert_eq!(app.bear(&router, &token).await, "401 Missing Foo Header");
    let request = get().header("foo", format!("Bearer {token}"));
    assert_eq!(app.ask(&router, request).await, "200 let in");
}

#[tokio::test]
async fn header_may_have_another_scheme_or_none() {
    let app = App::at(Locations::default().header("Authorization", "JWT").unwrap());
    let router = plain().route_layer(app.auth().guard());
    let token = app.token();

    assert_eq!(
        app.bear(&router, &token).await,
        "401 Missing 'JWT' type in 'Authorization' header. Expected 'Authorization: JWT <JWT>'"
    );
    let request = get().header("authorization", format!("JWT {token}"));
    assert_eq!(app.ask(&router, request).await, "200 let in");

    let app = App::at(Locations::default().header("Authorization", "").unwrap());
    let router = plain().route_layer(app.auth().guard());
    let request = get().header("authorization", &token);
    assert_eq!(app.ask(&router, request).await, "200 let in");
    assert_eq!(
        app.bear(&router, &token).await,
        "422 Bad Authorization header. Expected 'Authorization: <JWT>'"
    );
}

#[tokio::test]
async fn missing_header_is_refused_by_the_usual_or_the_programs_own_answer() {
    let app = App::new();
    let router = plain().route_layer(app.auth().guard());
    let own = App::new().with(|auth| {
        auth.answer_refusals(|refused| match refused.error() {
            GuardError::Missing(_) => {
                let body = Json(json!({ "msg": "bar" }));
                Some((StatusCode::CREATED, body).into_response())
            }
            _ => None,
        })
    });
    let own_router = plain().route_layer(own.auth().guard());

    assert_eq!(
        app.ask(&router, get()).await,
        "401 Missing Authorization Header"
    );
    assert_eq!(own.ask(&own_router, get()).await, "201 bar");
}

#[tokio::test]
async fn scheme_without_a_token_is_invalid() {
    let app = App::new();
    let router = plain().route_layer(app.auth().guard());

    assert_eq!(
        app.bear(&router, "").await,
        "422 Bad Authorization header. Expected 'Authorization: Bearer <JWT>'"
    );
}

#[tokio::test]
async fn text_of_a_refusal_may_be_under_another_key() {
    let app = App::new().with(|auth| {
        auth.answer_refusals(|refused| {
            let (status, text) = flask_message(refused)?;
            Some((status, Json(json!({ "message": text }))).into_response())
        })
    });
    let router = plain().route_layer(app.auth().guard());

    assert_eq!(
        app.ask(&router, get()).await,
        r#"401 {"message":"Missing Authorization Header"}"#
    );
}

#[tokio::test]
async fn two_headers_are_refused() {
    let app = App::new().with(|auth| auth.answer_refusals(|_| None));
    let router = plain().route_layer(app.auth().guard());
    let value = format!("Bearer {}", app.token());

    let request = get()
        .header("authorization", &value)
        .header("authorization", &value);
    assert_eq!(app.ask(&router, request).await, "400 invalid_request");
}
