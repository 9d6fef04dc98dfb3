//! A service of your own that takes the tokens of a Countersign elsewhere, of which it knows the
//! URL and nothing more: no database, no secret, no key file.
//!
//! ```sh
//! cargo run -- serve
//! cargo run --example resource_server --no-default-features --features remote-jwks -- http://127.0.0.1:3000
//! ```
//!
//! The URL is the one that the Countersign's tokens have as `iss`: `http://localhost:3000` is where
//! its keys are too, and still another issuer, of which no token comes.
//!
//! It accepts a token until that expires, also after a sign-out: whether a session lives is known to
//! the server that has it.

use std::{env, error::Error};

use axum::{Json, Router, routing::get};
use countersign::{
    Auth, Claims,
    remote::{RemoteError, RemoteKeys},
};
use tokio::net::TcpListener;

async fn notes(claims: Claims) -> Json<String> {
    Json(format!("the notes of {}", claims.sub))
}

/// Its routes, once the Countersign at this URL has answered with its keys.
pub(crate) async fn router(countersign: &str) -> Result<Router, RemoteError> {
    let keys = RemoteKeys::of_countersign(countersign).build().await?;
    Ok(Router::new()
        .route("/notes", get(notes))
        .with_state(Auth::remote(keys)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let countersign = env::args().nth(1).ok_or("usage: resource_server URL")?;
    let router = router(&countersign).await?;
    let listener = TcpListener::bind("127.0.0.1:4000").await?;
    Ok(axum::serve(listener, router).await?)
}
