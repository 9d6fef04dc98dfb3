//! `test_multiple_token_locations.py`: which of several places counts.

use axum::{
    Router,
    http::{Request, header, request::Builder},
    routing::any,
};
use countersign::guard::{Location, Location::*};
use serde_json::json;

use crate::support::{App, State, get, page, places, plain, post_json};

/// One that looks everywhere, and one that does so on the route alone.
fn everywhere() -> [(App, Router<State>); 2] {
    let all = places(&Location::ALL.map(|(_, location)| location));
    let told = || page(any(async |location: Location| location.as_str()));
    let whole = App::at(all.clone());
    let guarded = told().route_layer(whole.auth().guard());
    let one = App::new();
    let route = told().route_layer(one.auth().guard().locations(all));
    [(whole, guarded), (one, route)]
}

fn with_cookie(app: &App) -> Builder {
    let token = app.cookie_token().token;
    get().header(
        header::COOKIE,
        format!("access_token_cookie={}", token.expose()),
    )
}

#[tokio::test]
async fn of_four_places_the_header_suffices() {
    for (app, router) in everywhere() {
        assert_eq!(app.bear(&router, &app.token()).await, "200 headers");
    }
}

#[tokio::test]
async fn of_four_places_the_cookie_suffices() {
    for (app, router) in everywhere() {
        assert_eq!(app.ask(&router, with_cookie(&app)).await, "200 cookies");
    }
}

#[tokio::test]
async fn of_four_places_the_query_suffices() {
    for (app, router) in everywhere() {
        let request = Request::get(format!("/?jwt={}", app.token()));
        assert_eq!(app.ask(&router, request).await, "200 query_string");
    }
}

#[tokio::test]
async fn of_four_places_the_body_suffices() {
    for (app, router) in everywhere() {
        let request = post_json(&json!({ "access_token": app.token() }));
        assert_eq!(app.send(router, request).await.summary(), "200 json");
    }
}

#[tokio::test]
async fn without_a_token_every_place_is_named_with_its_reason() {
    for (order, expected) in [
        (
            &[Cookies, Headers] as &[Location],
            "401 Missing JWT in cookies or headers \
             (Missing cookie \"access_token_cookie\"; Missing Authorization Header)",
        ),
        (
            &[Json, QueryString],
            "401 Missing JWT in json or query_string \
             (Invalid content-type. Must be application/json.; Missing 'jwt' query paramater)",
        ),
        (
            &[Headers, Cookies, QueryString],
            "401 Missing JWT in headers, cookies or query_string (Missing Authorization Header; \
             Missing cookie \"access_token_cookie\"; Missing 'jwt' query paramater)",
        ),
    ] {
        let app = App::at(places(order));
        let router = plain().route_layer(app.auth().guard());

        assert_eq!(app.ask(&router, get()).await, expected);
    }
}

#[tokio::test]
async fn order_does_not_matter_where_one_place_has_a_token() {
    for order in [[Cookies, Headers], [Headers, Cookies]] {
        let app = App::at(places(&order));
        let router = page(any(async |location: Location| location.as_str()));

        assert_eq!(app.ask(&router, with_cookie(&app)).await, "200 cookies");
    }
}

#[tokio::test]
async fn first_place_with_a_token_decides_even_if_that_is_invalid() {
    let spoiled = |app: &App| format!("Bearer 000000{}", &app.token()[5..]);
    for (order, expected) in [
        ([Cookies, Headers], "200 cookies"),
        ([Headers, Cookies], "422 Invalid header padding"),
    ] {
        let app = App::at(places(&order));
        let router = page(any(async |location: Location| location.as_str()));

        let request = with_cookie(&app).header(header::AUTHORIZATION, spoiled(&app));
        assert_eq!(app.ask(&router, request).await, expected);
    }
}
