//! Access tokens in cookies, for pages that want no script near them: own users, own sign-in, no
//! database of ours.
//!
//! ```sh
//! cargo run --example cookies --no-default-features --features verify
//! # In a second terminal:
//! curl -c jar -X POST http://127.0.0.1:4001/sign-in -d 'name=ada'
//! curl -b jar http://127.0.0.1:4001/notes
//! # What changes something repeats what the second cookie says:
//! curl -b jar -X DELETE http://127.0.0.1:4001/notes -H "X-CSRF-TOKEN: $(awk '/csrf/ { print $7 }' jar)"
//! ```

use std::error::Error;

use axum::{
    Router,
    extract::{FromRef, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use countersign::{
    Auth, Issuer,
    guard::{AccessCookies, Location, Locations},
    token::{Algorithm, AnyClaims, Grant, PrivateKey, PublicKeys, Signer, Subject, Verifier},
};

const ORIGIN: &str = "http://127.0.0.1:4001";

#[derive(Clone, FromRef)]
struct Application {
    auth: Auth,
    issuer: Issuer,
}

/// Sets both cookies. Who somebody is would be checked here; this is about what comes after.
async fn sign_in(
    State(app): State<Application>,
    form: String,
) -> Result<(StatusCode, HeaderMap), StatusCode> {
    let name = form.strip_prefix("name=").ok_or(StatusCode::BAD_REQUEST)?;
    let token = app
        .issuer
        .issue_for_cookies(&Subject::new(name), Grant::new())
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let mut headers = HeaderMap::new();
    let cookies = app.auth.token_locations().access_cookies();
    cookies.set(&mut headers, &token, app.issuer.lifetime());
    Ok((StatusCode::NO_CONTENT, headers))
}

async fn sign_out(State(app): State<Application>, _: AnyClaims) -> (StatusCode, HeaderMap) {
    let mut headers = HeaderMap::new();
    app.auth
        .token_locations()
        .access_cookies()
        .unset(&mut headers);
    (StatusCode::NO_CONTENT, headers)
}

async fn notes(claims: AnyClaims) -> String {
    format!("the notes of {}", claims.sub)
}

async fn delete_notes(claims: AnyClaims) -> String {
    format!("the notes of {} are gone", claims.sub)
}

/// The application.
pub(crate) fn router() -> Result<Router, Box<dyn Error>> {
    // A new key at each start signs everybody out; keep yours.
    let key = PrivateKey::generate(Algorithm::Es256)?.signing_key()?;
    let keys = PublicKeys::new([key.verifying_key()?])?;
    // `AccessCookies::secure()` where the outside speaks https.
    let locations = Locations::new([Location::Cookies])?.cookies(AccessCookies::plain());
    let app = Application {
        auth: Auth::of(Verifier::new(keys, ORIGIN, ORIGIN)).locations(locations),
        issuer: Issuer::new(Signer::new(key, ORIGIN, ORIGIN)),
    };
    Ok(Router::new()
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/notes", get(notes).delete(delete_notes))
        .with_state(app))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4001").await?;
    Ok(axum::serve(listener, router()?).await?)
}
