//! A user type of your own: the token layer issues and checks tokens, and who the users are and
//! where they are kept is yours.
//!
//! ```sh
//! cargo run --example own_users --no-default-features --features verify
//! # In a second terminal:
//! token=$(curl -X POST http://127.0.0.1:4004/sign-in -d ada)
//! curl http://127.0.0.1:4004/me -H "Authorization: Bearer $token"
//! ```

use std::{collections::HashMap, convert::Infallible, error::Error, sync::Arc};

use axum::{
    Router,
    extract::{FromRef, State},
    http::StatusCode,
    routing::{get, post},
};
use countersign::{
    Auth, Issuer,
    guard::{CurrentUser, RevokedTokens, UserLookup},
    token::{
        Algorithm, AnyClaims, Grant, PrivateKey, PublicKeys, Signer, Subject, Verified, Verifier,
    },
};
use serde::{Deserialize, Serialize};

const ORIGIN: &str = "http://127.0.0.1:4004";

/// A user as this application knows them.
#[derive(Debug, Clone)]
struct User {
    id: u64,
    name: String,
    plan: Plan,
}

/// What this application's tokens say beyond the usual.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Plan {
    plan: String,
}

/// Whom a token of theirs is for.
impl From<&User> for Subject {
    fn from(user: &User) -> Self {
        Self::new(user.id)
    }
}

#[derive(Clone, FromRef)]
struct Application {
    auth: Auth,
    issuer: Issuer,
    users: UserLookup<User>,
    table: Arc<HashMap<u64, User>>,
    revoked: RevokedTokens,
}

/// Who somebody is would be checked here; this is about what comes after.
async fn sign_in(State(app): State<Application>, name: String) -> Result<String, StatusCode> {
    let user = app.table.values().find(|user| user.name == name);
    let user = user.ok_or(StatusCode::UNAUTHORIZED)?;
    Grant::new()
        .claims(&user.plan)
        .and_then(|grant| app.issuer.issue(&user.into(), grant))
        .map(|token| token.expose().to_owned())
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn me(CurrentUser(user): CurrentUser<User>) -> String {
    format!("{} is {}", user.id, user.name)
}

/// Without a look-up: the token says it.
async fn plan(claims: AnyClaims<Plan>) -> String {
    claims.custom.plan
}

async fn sign_out(State(revoked): State<RevokedTokens>, token: Verified) -> StatusCode {
    revoked.revoke(&token);
    StatusCode::NO_CONTENT
}

/// The application.
pub(crate) fn router() -> Result<Router, Box<dyn Error>> {
    let ada = User {
        id: 7,
        name: "ada".to_owned(),
        plan: Plan {
            plan: "all of it".to_owned(),
        },
    };
    let table = Arc::new(HashMap::from([(ada.id, ada)]));
    let users = UserLookup::new({
        let table = Arc::clone(&table);
        move |token: Arc<Verified>| {
            let user = token
                .sub()
                .parse()
                .ok()
                .and_then(|id| table.get(&id))
                .cloned();
            async { Ok::<_, Infallible>(user) }
        }
    });
    // A new key at each start signs everybody out; keep yours.
    let key = PrivateKey::generate(Algorithm::Es256)?.signing_key()?;
    let keys = PublicKeys::new([key.verifying_key()?])?;
    let revoked = RevokedTokens::default();
    let app = Application {
        auth: Auth::of(Verifier::new(keys, ORIGIN, ORIGIN)).revocation(revoked.clone()),
        issuer: Issuer::new(Signer::new(key, ORIGIN, ORIGIN)),
        users,
        table,
        revoked,
    };
    Ok(Router::new()
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/me", get(me))
        .route("/plan", get(plan))
        .with_state(app))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4004").await?;
    Ok(axum::serve(listener, router()?).await?)
}
