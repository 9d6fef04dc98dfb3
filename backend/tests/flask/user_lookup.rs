//! `test_user_lookup.py`, `test_get_methods_in_optional_endpoint.py` and
//! `test_add_context_processor.py`: the program's own user.

use axum::{http::StatusCode, response::IntoResponse as _, routing::any};
use countersign::{
    guard::{CurrentUser, GuardError, Location},
    token::{AnyClaims, Verified},
};
use serde_json::json;

use crate::support::{App, User, encode, get, page};

#[tokio::test]
async fn user_is_found_by_the_token() {
    let app = App::new();
    let router = page(any(async |CurrentUser(user): CurrentUser<User>| user.name));

    assert_eq!(app.bear(&router, &app.token()).await, "200 username");
}

#[tokio::test]
async fn token_of_a_user_who_is_not_there_is_refused() {
    let app = App::new();
    let router = page(any(async |CurrentUser(user): CurrentUser<User>| user.name));

    let token = encode(&json!({ "sub": "nobody" }));
    assert_eq!(
        app.bear(&router, &token).await,
        "401 Error loading the user nobody"
    );
}

#[tokio::test]
async fn own_answer_to_an_unknown_user_sees_header_and_claims() {
    let app = App::new().with(|auth| {
        auth.answer_refusals(|refused| {
            let token = refused.token()?;
            assert_eq!(token.header["alg"], "HS256");
            assert_eq!(token.claims["sub"], "nobody");
            let is_unknown = matches!(refused.error(), GuardError::UnknownUser);
            is_unknown.then(|| (StatusCode::CREATED, "bar").into_response())
        })
    });
    let router = page(any(async |CurrentUser(user): CurrentUser<User>| user.name));

    let token = encode(&json!({ "sub": "nobody" }));
    assert_eq!(app.bear(&router, &token).await, "201 bar");
}

#[tokio::test]
async fn optional_route_without_a_token_has_no_claims_no_user_and_no_place() {
    let app = App::new();
    let router = page(any(
        async |token: Option<Verified>,
               claims: Option<AnyClaims>,
               user: Option<CurrentUser<User>>,
               place: Option<Location>| {
            let is_nobody =
                token.is_none() && claims.is_none() && user.is_none() && place.is_none();
            is_nobody.to_string()
        },
    ));

    assert_eq!(app.ask(&router, get()).await, "200 true");
}
