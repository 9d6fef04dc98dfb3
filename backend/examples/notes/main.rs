//! A to-do list, each person their own. Accounts, sessions and the pages `/sign-in`, `/sign-up` and
//! `/sessions` are Countersign's; the notes, their table and the page at `/` are the application's.
//!
//! ```sh
//! trunk build --release --config backend/examples/notes/page/Trunk.toml
//! cargo run --example notes
//! ```
//!
//! Then <http://localhost:3000> has it, or another port, given as argument. `page/` is the page, in
//! Leptos; `note.rs` is what both compile.

mod note;

use std::{env, error::Error, fs, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    Json, Router,
    extract::{FromRef, Path, Request, State},
    response::{IntoResponse, Response},
    routing::{get, patch},
};
use countersign::{Auth, Claims, Countersign, assets::Assets};
use http::StatusCode;
use note::{Change, LONGEST, NewNote, Note};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};
use tokio::net::TcpListener;
use tracing::Level;

/// Where the database is, and the key that Countersign makes at its first start.
const FOLDER: &str = "data/notes";
/// Where Trunk leaves the page.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/notes/page/dist");

/// An account's notes end with the account.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS notes (
    id INTEGER PRIMARY KEY,
    owner BLOB NOT NULL REFERENCES countersign_accounts (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    is_done INTEGER NOT NULL DEFAULT FALSE
) STRICT";

/// What the handlers need. The guard `Claims` finds its part of it by `FromRef`.
#[derive(Clone, FromRef)]
struct Application {
    auth: Auth,
    notes: SqlitePool,
    page: Arc<Assets>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_max_level(Level::INFO).init();
    let port = env::args().nth(1).map_or(Ok(3000), |port| port.parse())?;
    fs::create_dir_all(FOLDER)?;
    let file = SqliteConnectOptions::new()
        .filename(PathBuf::from(FOLDER).join("notes.db"))
        .create_if_missing(true);
    let pool = SqlitePool::connect_with(file).await?;

    let countersign = Countersign::builder()
        .database(pool.clone())
        .data_dir(FOLDER)
        .port(port)
        .build()
        .await?;
    // After it, since the table refers to one of Countersign's.
    sqlx::query(TABLE).execute(&pool).await?;

    let router = Router::new()
        .route("/", get(page))
        .route("/notes", get(list).post(add))
        .route("/notes/{id}", patch(change).delete(remove))
        .fallback(file_of_the_page)
        .with_state(Application {
            auth: countersign.auth(),
            notes: pool,
            page: Arc::new(Assets::folder(PathBuf::from(PAGE))),
        })
        .merge(countersign.router());
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    tracing::info!("http://{}", listener.local_addr()?);
    // With the address of whoever asks, since Countersign's limits go by it.
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, service).await?)
}

/// `GET /notes`: what the person of this token has to do.
async fn list(claims: Claims, State(notes): State<SqlitePool>) -> Result<Json<Vec<Note>>, Failed> {
    let rows: Vec<(i64, String, bool)> =
        sqlx::query_as("SELECT id, text, is_done FROM notes WHERE owner = $1 ORDER BY id")
            .bind(claims.sub)
            .fetch_all(&notes)
            .await?;
    let notes = rows
        .into_iter()
        .map(|(id, text, is_done)| Note { id, text, is_done });
    Ok(Json(notes.collect()))
}

/// `POST /notes`
async fn add(
    claims: Claims,
    State(notes): State<SqlitePool>,
    Json(new): Json<NewNote>,
) -> Result<StatusCode, Failed> {
    let text = new.text.trim();
    if text.is_empty() || text.chars().count() > LONGEST {
        return Ok(StatusCode::UNPROCESSABLE_ENTITY);
    }
    sqlx::query("INSERT INTO notes (owner, text) VALUES ($1, $2)")
        .bind(claims.sub)
        .bind(text)
        .execute(&notes)
        .await?;
    Ok(StatusCode::CREATED)
}

/// `PATCH /notes/{id}`: somebody else's note is as unknown as one that is not there.
async fn change(
    claims: Claims,
    State(notes): State<SqlitePool>,
    Path(id): Path<i64>,
    Json(change): Json<Change>,
) -> Result<StatusCode, Failed> {
    let changed = sqlx::query("UPDATE notes SET is_done = $3 WHERE id = $1 AND owner = $2")
        .bind(id)
        .bind(claims.sub)
        .bind(change.is_done)
        .execute(&notes)
        .await?;
    Ok(found(changed.rows_affected()))
}

/// `DELETE /notes/{id}`
async fn remove(
    claims: Claims,
    State(notes): State<SqlitePool>,
    Path(id): Path<i64>,
) -> Result<StatusCode, Failed> {
    let removed = sqlx::query("DELETE FROM notes WHERE id = $1 AND owner = $2")
        .bind(id)
        .bind(claims.sub)
        .execute(&notes)
        .await?;
    Ok(found(removed.rows_affected()))
}

const fn found(rows: u64) -> StatusCode {
    match rows {
        0 => StatusCode::NOT_FOUND,
        _ => StatusCode::NO_CONTENT,
    }
}

/// `GET /`
async fn page(State(page): State<Arc<Assets>>, request: Request) -> Response {
    page.page(StatusCode::OK, request.headers())
}

/// What the page loads.
async fn file_of_the_page(
    State(page): State<Arc<Assets>>,
    request: Request,
) -> Result<Response, StatusCode> {
    page.file(request.uri().path(), request.headers())
        .ok_or(StatusCode::NOT_FOUND)
}

/// The database did not do it; the log says why, and nobody else hears of it.
struct Failed;

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the database failed");
        Self
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
