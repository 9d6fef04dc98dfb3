//! A service of your own that guards a route and knows nothing of a Countersign but its public keys:
//! no database, no secret.
//!
//! ```sh
//! curl -s http://127.0.0.1:3000/.well-known/jwks.json > jwks.json
//! cargo run --example guard_your_routes --no-default-features --features verify -- jwks.json http://127.0.0.1:3000
//! ```
//!
//! It accepts a token until that expires, also after a sign-out: whether a session lives is known to
//! the server that has it.

use std::{env, error::Error, fs};

use axum::{Json, Router, routing::get};
use countersign::{
    Auth, Claims,
    token::{PublicKeys, Verifier},
};

async fn notes(claims: Claims) -> Json<String> {
    Json(format!("the notes of {}", claims.sub))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [jwks, issuer] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: guard_your_routes JWKS_FILE ISSUER")?;
    let keys = PublicKeys::parse(&fs::read_to_string(jwks)?)?;
    let auth = Auth::of(Verifier::new(keys, &*issuer, &*issuer));
    let router = Router::new().route("/notes", get(notes)).with_state(auth);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4000").await?;
    Ok(axum::serve(listener, router).await?)
}
