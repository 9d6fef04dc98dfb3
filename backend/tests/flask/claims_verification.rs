//! `test_claims_verification.py`: claims that the program judges.

use axum::{Router, http::StatusCode, response::IntoResponse as _, routing::any};
use countersign::{
    Auth,
    guard::GuardError,
    token::{AnyClaims, Rejection, Verified},
};

use crate::support::{App, State, page, plain};

/// Required, fresh and optional.
fn routers(auth: &Auth) -> [Router<State>; 3] {
    [
        plain().route_layer(auth.guard()),
        plain().route_layer(auth.guard().fresh()),
        page(any(async |_: Option<AnyClaims>| "let in")),
    ]
}

fn judged(verdict: bool) -> impl FnOnce(Auth) -> Auth {
    move |auth| {
        auth.check_claims(move |token: &Verified| {
            assert_eq!(token.header()["alg"], "HS256");
            assert_eq!(token.sub(), "username");
            verdict
        })
    }
}

#[tokio::test]
async fn claims_that_the_program_accepts_pass() {
    let app = App::new().with(judged(true));

    for router in routers(app.auth()) {
        assert_eq!(app.bear(&router, &app.fresh_token()).await, "200 let in");
    }
}

#[tokio::test]
async fn claims_that_the_program_refuses_do_not_pass() {
    let app = App::new().with(judged(false));

    for router in routers(app.auth()) {
        assert_eq!(
            app.bear(&router, &app.fresh_token()).await,
            "400 User claims verification failed"
        );
    }
}

#[tokio::test]
async fn own_answer_to_claims_that_are_refused_sees_them() {
    let app = App::new().with(judged(false)).with(|auth| {
        auth.answer_refusals(|refused| {
            assert!(matches!(
                refused.error(),
                GuardError::Token(Rejection::Unfit)
            ));
            let token = refused.token()?;
            assert_eq!(token.header["alg"], "HS256");
            let text = format!("claims failed for {}", token.claims["sub"].as_str()?);
            Some((StatusCode::NOT_FOUND, text).into_response())
        })
    });

    for router in routers(app.auth()) {
        assert_eq!(
            app.bear(&router, &app.fresh_token()).await,
            "404 claims failed for username"
        );
    }
}
