//! A service that knows keys and no session, for tokens that the peers minted: the tests in this
//! folder start it.
//!
//! `peer_service JWKS_FILE [ISSUER AUDIENCE]` says where it listens, and ends with its standard input,
//! so that it does not outlive whoever started it. Without issuer and audience it accepts what
//! flask-jwt-extended issues.

use std::{
    env,
    error::Error,
    fs,
    io::{self, Write as _},
    process, thread,
    time::Duration,
};

use axum::{Router, routing::get};
use countersign::{
    Auth, Claims,
    token::{PublicKeys, Verifier},
};

async fn whose(claims: Claims) -> String {
    claims.sub.to_string()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let keys = |file| -> Result<PublicKeys, Box<dyn Error>> {
        let jwks = serde_json::from_str(&fs::read_to_string(file)?)?;
        Ok(PublicKeys::from_jwks(&jwks)?)
    };
    let verifier = match arguments.as_slice() {
        [jwks, issuer, audience] => Verifier::new(keys(jwks)?, issuer, audience),
        [jwks] => Verifier::flask(keys(jwks)?),
        _ => return Err("usage: peer_service JWKS_FILE [ISSUER AUDIENCE]".into()),
    };
    let auth = Auth::of(verifier.longest_life(Duration::from_mins(15)));
    let router = Router::new().route("/", get(whose)).with_state(auth);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "http://{}", listener.local_addr()?)?;
    thread::spawn(|| {
        let ended = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(i32::from(ended.is_err()));
    });
    Ok(axum::serve(listener, router).await?)
}
