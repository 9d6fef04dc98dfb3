//! `test_query_string.py`: tokens in the query.

use axum::{
    http::{Request, StatusCode, request::Builder},
    response::IntoResponse as _,
};
use countersign::guard::{GuardError, Location};

use crate::support::{App, get, places, plain};

fn query(query: &str) -> Builder {
    Request::get(format!("/?{query}"))
}

#[tokio::test]
async fn token_may_be_a_query_parameter() {
    let app = App::at(places(&[Location::QueryString]));
    let router = plain().route_layer(app.auth().guard());

    let request = query(&format!("jwt={}", app.token()));
    assert_eq!(app.ask(&router, request).await, "200 let in");
}

#[tokio::test]
async fn parameter_has_its_prefix_or_is_invalid() {
    let app = App::at(places(&[Location::QueryString]).query_prefix("bearer "));
    let router = plain().route_layer(app.auth().guard());
    let token = app.token();

    let request = query(&format!("jwt=bearer%20{token}"));
    assert_eq!(app.ask(&router, request).await, "200 let in");
    let request = query(&format!("jwt={token}"));
    assert_eq!(
        app.ask(&router, request).await,
        "422 Invalid value for query parameter 'jwt'. Expected the value to start with 'bearer '"
    );
}

#[tokio::test]
async fn parameter_may_have_another_name() {
    let app = App::at(places(&[Location::QueryString]).query("foo").unwrap());
    let router = plain().route_layer(app.auth().guard());
    let token = app.token();

    let request = query(&format!("jwt={token}"));
    assert_eq!(
        app.ask(&router, request).await,
        "401 Missing 'foo' query paramater"
    );
    let request = query(&format!("foo={token}"));
    assert_eq!(app.ask(&router, request).await, "200 let in");
}

#[tokio::test]
async fn missing_parameter_is_refused_by_the_usual_or_the_programs_own_answer() {
    let app = App::at(places(&[Location::QueryString]));
    let router = plain().route_layer(app.auth().guard());
    let missing = "401 Missing 'jwt' query paramater";

    assert_eq!(app.ask(&router, get()).await, missing);
    assert_eq!(app.ask(&router, query("jwt=")).await, missing);
    assert_eq!(app.bear(&router, &app.token()).await, missing);

    let own = app.with(|auth| {
        auth.answer_refusals(|refused| match refused.error() {
            GuardError::Missing(_) => Some((StatusCode::CREATED, "bar").into_response()),
            _ => None,
        })
    });
    let router = plain().route_layer(own.auth().guard());
    assert_eq!(own.ask(&router, get()).await, "201 bar");
}
