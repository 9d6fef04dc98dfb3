//! Sign-in inside somebody's own application and database.

use std::net::SocketAddr;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::{get, post},
};
use countersign::{
    Auth, Claims, Countersign,
    accounts::Account,
    builder::BuildError,
    guard::{CurrentUser, UserLookup},
};
use countersign_types::routes;
use insta::assert_snapshot;
use reqwest::{Client, Method};
use serde_json::Value;
use sqlx::{PgPool, SqlitePool};
use tempfile::TempDir;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::support::{Answer, Database, PASSWORD, credentials};

/// A to-do list of an application: each account has its own, by a foreign key to our table.
#[derive(Clone)]
enum Notes {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Notes {
    async fn create(&self) {
        match self {
            Self::Sqlite(pool) => {
                sqlx::query("CREATE TABLE notes (owner BLOB NOT NULL REFERENCES countersign_accounts (id), text TEXT NOT NULL)")
                    .execute(pool).await.map(|_| ())
            }
            Self::Postgres(pool) => {
                sqlx::query("CREATE TABLE notes (owner UUID NOT NULL REFERENCES countersign_accounts (id), text TEXT NOT NULL)")
                    .execute(pool).await.map(|_| ())
            }
        }
        .unwrap();
    }

    async fn add(&self, owner: Uuid, text: &str) {
        const SQL: &str = "INSERT INTO notes (owner, text) VALUES ($1, $2)";
        match self {
            Self::Sqlite(pool) => sqlx::query(SQL)
                .bind(owner)
                .bind(text)
                .execute(pool)
                .await
                .map(|_| ()),
            Self::Postgres(pool) => sqlx::query(SQL)
                .bind(owner)
                .bind(text)
                .execute(pool)
                .await
                .map(|_| ()),
        }
        .unwrap();
    }

    async fn list(&self, owner: Uuid) -> Vec<String> {
        const SQL: &str = "SELECT text FROM notes WHERE owner = $1";
        match self {
            Self::Sqlite(pool) => sqlx::query_scalar(SQL).bind(owner).fetch_all(pool).await,
            Self::Postgres(pool) => sqlx::query_scalar(SQL).bind(owner).fetch_all(pool).await,
        }
        .unwrap()
    }
}

#[derive(Clone, FromRef)]
struct Application {
    auth: Auth,
    accounts: UserLookup<Account>,
    notes: Notes,
}

async fn own_address(CurrentUser(account): CurrentUser<Account>) -> String {
    account.email
}

async fn add(claims: Claims, State(notes): State<Notes>, text: String) {
    notes.add(claims.sub, &text).await;
}

async fn list(claims: Claims, State(notes): State<Notes>) -> Json<Vec<String>> {
    Json(notes.list(claims.sub).await)
}

/// The application with sign-in in it, listening.
async fn serve(notes: Notes, folder: &TempDir) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let builder = Countersign::builder()
        .data_dir(folder.path())
        .port(address.port());
    let builder = match &notes {
        Notes::Sqlite(pool) => builder.database(pool.clone()),
        Notes::Postgres(pool) => builder.database(pool.clone()),
    };
    let countersign = builder.build().await.unwrap();
    notes.create().await;
    let router = Router::new()
        .route("/", get(async || "the application's own page"))
        .route("/notes", post(add).get(list))
        .route("/address", get(own_address))
        .fallback(async || "the application's own answer")
        .with_state(Application {
            auth: countersign.auth(),
            accounts: countersign.accounts(),
            notes,
        })
        .merge(countersign.router())
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn register(origin: &str, email: &str) -> String {
    let request = Client::new()
        .post(format!("{origin}{}", routes::REGISTER))
        .json(&credentials(email, PASSWORD));
    Answer::of(request).await.access_token()
}

async fn each_person_has_their_own_notes(notes: Notes) {
    let folder = tempfile::tempdir().unwrap();
    let origin = serve(notes, &folder).await;
    let (ada, eve) = (
        register(&origin, "ada@example.com").await,
        register(&origin, "eve@example.com").await,
    );
    let notes = |method: Method, token: &str| {
        let request = Client::new().request(method, format!("{origin}/notes"));
        request.bearer_auth(token)
    };

    Answer::of(notes(Method::POST, &ada).body("water the plants")).await;

    let of = async |token: &str| -> Value { Answer::of(notes(Method::GET, token)).await.json() };
    assert_eq!(of(&ada).await, serde_json::json!(["water the plants"]));
    assert_eq!(of(&eve).await, serde_json::json!([]));
    let own = Client::new().get(format!("{origin}/address"));
    let own = Answer::of(own.bearer_auth(&ada)).await;
    assert_eq!(own.body(), "ada@example.com");
    let out = Client::new()
        .post(format!("{origin}{}", routes::LOGOUT))
        .bearer_auth(&ada);
    assert_eq!(Answer::of(out).await.status(), 204);
    let answer = Answer::of(notes(Method::GET, &ada)).await;
    assert_eq!(
        answer.summary(),
        "401 application/problem+json token_revoked"
    );
    for (path, text) in [("/", "page"), ("/nowhere", "answer")] {
        let answer = Answer::of(Client::new().get(format!("{origin}{path}"))).await;
        assert_eq!(answer.body(), format!("the application's own {text}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_application_has_sign_in_in_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", folder.path().join("app.db").display());

    each_person_has_their_own_notes(Notes::Sqlite(SqlitePool::connect(&url).await.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_application_has_sign_in_in_its_own_database() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let pool = PgPool::connect(&database.url().unwrap()).await.unwrap();

    each_person_has_their_own_notes(Notes::Postgres(pool)).await;
}

/// This application, with sign-in mounted in it, listening.
async fn origin_of(application: Router, folder: &TempDir) -> String {
    let countersign = Countersign::builder()
        .data_dir(folder.path())
        .build()
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = application
        .merge(countersign.router())
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn application_with_every_page() -> Router {
    Router::new()
        .route("/", get(async || "home"))
        .route("/index", get(async || "index"))
        .route("/{page}", get(async || "page"))
        .fallback(async || "fallback")
}

#[tokio::test]
async fn mounted_pages_leave_every_other_path_to_the_application() {
    let folder = tempfile::tempdir().unwrap();
    let origin = origin_of(application_with_every_page(), &folder).await;
    let get = async |path: &str| Answer::of(Client::new().get(format!("{origin}{path}"))).await;

    for (path, text) in [
        ("/", "home"),
        ("/index", "index"),
        ("/about", "page"),
        ("/countersign", "page"),
        ("/favicon.ico", "page"),
        ("/a/b", "fallback"),
        ("/auth/nowhere", "fallback"),
    ] {
        assert_eq!(get(path).await.body(), text, "{path}");
    }
    for path in routes::pages::MOUNTED {
        let page = get(path).await;
        assert_eq!(page.status(), 200, "{path}");
        assert!(page.body().contains("<title>Countersign"), "{path}: {page}");
    }
    let config: Value = get(routes::CONFIG).await.json();
    assert_eq!(config["home"], "application");
}

#[tokio::test]
async fn mounted_pages_fit_beside_a_route_that_takes_every_path() {
    let folder = tempfile::tempdir().unwrap();
    let application = Router::new().route("/{*path}", get(async || "all"));
    let origin = origin_of(application, &folder).await;
    let get = async |path: &str| Answer::of(Client::new().get(format!("{origin}{path}"))).await;

    assert_eq!(get("/about/us").await.body(), "all");
    assert!(get("/sign-up").await.body().contains("<title>Countersign"));
    let missing = get("/countersign-0123456789abcdef.js").await;
    assert_eq!(missing.summary(), "404 application/problem+json not_found");
}

#[tokio::test]
async fn mounted_pages_find_all_that_they_load() {
    let folder = tempfile::tempdir().unwrap();
    let origin = origin_of(application_with_every_page(), &folder).await;
    let get = async |path: &str| Answer::of(Client::new().get(format!("{origin}{path}"))).await;

    let page = get(routes::pages::SIGN_IN).await;
    // Every path in it, whether its attribute has quotes or not, or a script names it.
    let named: Vec<&str> = page
        .body()
        .split(['=', '"', '\'', ' ', '>', '<'])
        .filter(|word| word.starts_with('/') && word.contains('.'))
        .collect();

    // Without pages there is one that says so, and loads nothing.
    let is_built = !page.body().contains("The pages are not built");
    assert_eq!(named.is_empty(), !is_built, "{page}");
    for path in named {
        let file = get(path).await;
        assert_eq!(file.status(), 200, "{path}");
        assert_ne!(file.body(), "page", "{path} is the application's");
    }
    let missing = get("/countersign-0123456789abcdef.js").await;
    assert_eq!(missing.summary(), "404 application/problem+json not_found");
}

#[tokio::test]
async fn builder_says_everything_that_is_wrong() {
    let refused = Countersign::builder()
        .public_url("notes.example.com")
        .set("token.acces_ttl", "5m")
        .set("token.leeway", "2h")
        .set("token.secret", "hunter2")
        .build()
        .await
        .unwrap_err();

    let BuildError::Config(errors) = refused else {
        panic!("{refused}");
    };
    assert_snapshot!(errors, @r"
    unknown key `token.acces_ttl`
     --> the builder; did you mean `token.access_ttl`?

    `public_url`: expected an origin such as `https://auth.example.com`, with nothing after host and port, found `notes.example.com`
     --> the builder

    `token.leeway`: expected a duration from `0s` to `60s`, found `2h`
     --> the builder
    ");
}

#[tokio::test]
async fn builder_needs_nothing_but_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let app = Countersign::builder()
        .data_dir(folder.path())
        .build()
        .await
        .unwrap();

    assert_eq!(app.password_rules.min_length, 15);
    assert!(!app.https);
    let names: Vec<_> = folder
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        names.contains(&"countersign.db".into()) && names.contains(&"master.key".into()),
        "{names:?}"
    );
}
