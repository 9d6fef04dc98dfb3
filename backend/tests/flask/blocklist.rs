//! `test_blocklist.py`: tokens that a program revoked.

use std::pin::Pin;

use axum::{http::StatusCode, response::IntoResponse as _};
use countersign::{
    guard::{BoxError, GuardError, Revocation, RevokedTokens},
    token::Verified,
};

use crate::support::{App, NOW, plain};

/// Says of every token whether it is revoked, and is asked about this subject alone.
struct Always(bool);

impl Revocation for Always {
    fn is_revoked<'a>(
        &'a self,
        token: &'a Verified,
    ) -> Pin<Box<dyn Future<Output = Result<bool, BoxError>> + Send + 'a>> {
        assert_eq!(token.header()["alg"], "HS256");
        assert_eq!(token.sub(), "username");
        Box::pin(std::future::ready(Ok(self.0)))
    }
}

#[tokio::test]
async fn revoked_token_passes_where_revocation_is_skipped() {
    let app = App::new().with(|auth| auth.revocation(Always(true)));
    let router = plain().route_layer(app.auth().guard().skip_revocation());

    assert_eq!(app.bear(&router, &app.token()).await, "200 let in");
}

#[tokio::test]
async fn revoked_token_is_refused() {
    let app = App::new().with(|auth| auth.revocation(Always(true)));
    let router = plain().route_layer(app.auth().guard());

    assert_eq!(
        app.bear(&router, &app.token()).await,
        "401 Token has been revoked"
    );
}

#[tokio::test]
async fn token_that_is_not_revoked_passes() {
    let app = App::new().with(|auth| auth.revocation(Always(false)));
    let router = plain().route_layer(app.auth().guard());

    assert_eq!(app.bear(&router, &app.token()).await, "200 let in");
}

#[tokio::test]
async fn token_is_revoked_by_its_id_and_no_other_with_it() {
    let revoked = RevokedTokens::default();
    let app = App::new().with(|auth| auth.revocation(revoked.clone()));
    let router = plain().route_layer(app.auth().guard());
    let (token, other) = (app.token(), app.token());

    revoked.revoke(&app.verifier.verify(&token, NOW).unwrap());
    assert_eq!(
        app.bear(&router, &token).await,
        "401 Token has been revoked"
    );
    assert_eq!(app.bear(&router, &other).await, "200 let in");
}

#[tokio::test]
async fn own_answer_to_a_revoked_token_sees_header_and_claims() {
    let app = App::new().with(|auth| {
        let auth = auth.revocation(Always(true));
        auth.answer_refusals(|refused| {
            let token = refused.token()?;
            assert_eq!(token.header["alg"], "HS256");
            assert_eq!(token.claims["sub"], "username");
            let is_revoked = matches!(refused.error(), GuardError::Revoked);
            is_revoked.then(|| (StatusCode::NOT_FOUND, "foo").into_response())
        })
    });
    let router = plain().route_layer(app.auth().guard());

    assert_eq!(app.bear(&router, &app.token()).await, "404 foo");
}
