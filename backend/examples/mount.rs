//! Accounts and sessions inside an application of your own: in its own SQLite file, beside its own
//! routes.
//!
//! ```sh
//! cargo run --example mount
//! # In a second terminal:
//! json='Content-Type: application/json'
//! ada='{"email":"ada@example.com","password":"violet tractor sings 47 lullabies"}'
//! answer=$(curl -s http://127.0.0.1:4002/auth/register -H "$json" -d "$ada")
//! token=$(expr "$answer" : '.*"access_token":"\([^"]*\)"')
//! curl http://127.0.0.1:4002/notes -H "Authorization: Bearer $token"
//! ```

use std::{error::Error, net::SocketAddr};

use axum::{Router, extract::FromRef, routing::get};
use countersign::{Auth, Claims, Countersign};
use sqlx::SqlitePool;

#[derive(Clone, FromRef)]
struct Application {
    auth: Auth,
}

async fn notes(claims: Claims) -> String {
    format!("the notes of {}", claims.sub)
}

/// The application, with sign-in in it.
pub(crate) async fn router(pool: SqlitePool, folder: &str) -> Result<Router, Box<dyn Error>> {
    let countersign = Countersign::builder()
        .database(pool)
        .data_dir(folder)
        .port(4002)
        .build()
        .await?;
    Ok(Router::new()
        .route("/notes", get(notes))
        .with_state(Application {
            auth: countersign.auth(),
        })
        .merge(countersign.api()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = SqlitePool::connect("sqlite:notes.db?mode=rwc").await?;
    let router = router(pool, "data/mount").await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4002").await?;
    // With the peers' addresses, since limits go by them.
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, service).await?)
}
