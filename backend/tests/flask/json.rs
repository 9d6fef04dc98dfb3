//! `test_json.py`: tokens in a JSON body.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
    response::IntoResponse as _,
};
use countersign::guard::{GuardError, Location};
use serde_json::json;

use crate::support::{App, places, plain, post_json};

fn post(content_type: &str, body: String) -> Request<Body> {
    let request = Request::post("/").header(header::CONTENT_TYPE, content_type);
    request.body(Body::from(body)).unwrap()
}

#[tokio::test]
async fn body_of_another_type_holds_no_token() {
    let app = App::at(places(&[Location::Json]));
    let router = plain().route_layer(app.auth().guard());
    let token = app.token();
    let refused = "401 Invalid content-type. Must be application/json.";

    let form = post(
        "application/x-www-form-urlencoded",
        format!("access_token={token}"),
    );
    assert_eq!(app.send(router.clone(), form).await.summary(), refused);
    let typeless = Request::post("/").body(Body::from(format!(r#"{{"access_token":"{token}"}}"#)));
    let answer = app.send(router, typeless.unwrap()).await;
    assert_eq!(answer.summary(), refused);
}

#[tokio::test]
async fn member_may_have_another_name() {
    let app = App::at(places(&[Location::Json]).json("Foo").unwrap());
    let router = plain().route_layer(app.auth().guard());
    let token = app.token();

    let usual = post_json(&json!({ "access_token": token }));
    assert_eq!(
        app.send(router.clone(), usual).await.summary(),
        "401 Missing \"Foo\" key in json data."
    );
    let own = post_json(&json!({ "Foo": token }));
    assert_eq!(app.send(router, own).await.summary(), "200 let in");
}

#[tokio::test]
async fn missing_member_is_refused_by_the_usual_or_the_programs_own_answer() {
    let app = App::at(places(&[Location::Json]));
    let router = plain().route_layer(app.auth().guard());
    let missing = "401 Missing \"access_token\" key in json data.";

    for body in ["", "{}", "[]", "no JSON", r#"{"access_token":""}"#] {
        let answer = app
            .send(router.clone(), post("application/json", body.to_owned()))
            .await;
        assert_eq!(answer.summary(), missing, "{body}");
    }

    let own = app.with(|auth| {
        auth.answer_refusals(|refused| match refused.error() {
            GuardError::Missing(_) => Some((StatusCode::CREATED, "bar").into_response()),
            _ => None,
        })
    });
    let router = plain().route_layer(own.auth().guard());
    let answer = own.send(router, post_json(&json!({}))).await;
    assert_eq!(answer.summary(), "201 bar");
}

#[tokio::test]
async fn token_may_be_a_member_of_the_body() {
    let app = App::at(places(&[Location::Json]));
    let router = plain().route_layer(app.auth().guard());

    let request = post_json(&json!({ "access_token": app.token() }));
    assert_eq!(app.send(router, request).await.summary(), "200 let in");
}

#[tokio::test]
async fn content_type_may_have_a_parameter() {
    let app = App::at(places(&[Location::Json]));
    let router = plain().route_layer(app.auth().guard());

    let body = json!({ "access_token": app.token() }).to_string();
    let request = post("application/json;charset=UTF-8", body);
    assert_eq!(app.send(router, request).await.summary(), "200 let in");
}
