//! Roles and scopes: who is what is the application's to say, in its own table; tokens carry it, and
//! routes ask for it.
//!
//! ```sh
//! cargo run --example roles
//! # In a second terminal; without a role, reading is all that anybody may do.
//! json='Content-Type: application/json'
//! ada='{"email":"ada@example.com","password":"violet tractor sings 47 lullabies"}'
//! curl http://127.0.0.1:4005/auth/register -H "$json" -d "$ada"
//! sqlite3 roles.db "INSERT INTO roles SELECT id, 'admin' FROM countersign_accounts"
//! answer=$(curl -s http://127.0.0.1:4005/auth -H "$json" -d "$ada")
//! token=$(expr "$answer" : '.*"access_token":"\([^"]*\)"')
//! curl -X DELETE http://127.0.0.1:4005/everything -H "Authorization: Bearer $token"
//! ```
//!
//! A role that is given or taken away is in the account's next token, so at the latest after the
//! life of the one that there is.

use std::{error::Error, net::SocketAddr};

use axum::{
    Router,
    extract::FromRef,
    routing::{delete, get},
};
use countersign::{Auth, Claims, Countersign, token::Grant};
use sqlx::SqlitePool;

#[derive(Clone, FromRef)]
struct Application {
    auth: Auth,
}

async fn read(claims: Claims) -> String {
    format!("{} may read", claims.sub)
}

/// The application, with its own table of roles.
pub(crate) async fn router(pool: SqlitePool, folder: &str) -> Result<Router, Box<dyn Error>> {
    let roles = pool.clone();
    let countersign = Countersign::builder()
        .database(pool.clone())
        .data_dir(folder)
        .port(4005)
        // Asked at every sign-in and refresh.
        .grants(move |account| {
            let roles = roles.clone();
            async move {
                let found: Vec<String> =
                    sqlx::query_scalar("SELECT role FROM roles WHERE account = $1")
                        .bind(account.id.as_uuid())
                        .fetch_all(&roles)
                        .await?;
                let scopes = if found.is_empty() {
                    "read"
                } else {
                    "read write"
                };
                Ok::<_, sqlx::Error>(Grant::new().roles(found).scopes(scopes.split(' ')))
            }
        })
        .build()
        .await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS roles \
         (account BLOB NOT NULL REFERENCES countersign_accounts (id), role TEXT NOT NULL)",
    )
    .execute(&pool)
    .await?;
    let auth = countersign.auth();
    Ok(Router::new()
        .route("/notes", get(read))
        // For every route above it: whoever has no token of this scope gets 403 with its challenge.
        .route_layer(auth.guard().scope("read"))
        .merge(
            Router::new()
                .route("/everything", delete(async || "all gone"))
                .route_layer(auth.guard().role("admin").scope("write").fresh()),
        )
        .with_state(Application { auth })
        .merge(countersign.api()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = SqlitePool::connect("sqlite:roles.db?mode=rwc").await?;
    let router = router(pool, "data/roles").await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4005").await?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, service).await?)
}
