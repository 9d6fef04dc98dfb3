//! The examples do what they say: each is compiled in here and asked.

use std::net::SocketAddr;

use axum::Router;
use countersign_types::routes;
use reqwest::{Client, Method, RequestBuilder};
use sqlx::SqlitePool;
use tempfile::TempDir;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    support::{Answer, PASSWORD, credentials},
    tokens::segment,
};

macro_rules! examples {
    ($($name:ident at $path:literal)*) => {$(
        #[path = $path]
        #[expect(dead_code, reason = "its `main` is for people")]
        mod $name;
    )*};
}

examples! {
    cookies at "../../examples/cookies.rs"
    mount at "../../examples/mount.rs"
    own_users at "../../examples/own_users.rs"
    roles at "../../examples/roles.rs"
}

/// An example that listens.
struct Example(String);

impl Example {
    async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self(origin)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        Client::new().request(method, format!("{}{path}", self.0))
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).bearer_auth(token)).await
    }

    async fn token(&self, path: &str, email: &str) -> String {
        let request = self.request(Method::POST, path);
        Answer::of(request.json(&credentials(email, PASSWORD)))
            .await
            .access_token()
    }
}

async fn pool(folder: &TempDir) -> SqlitePool {
    let url = format!("sqlite:{}?mode=rwc", folder.path().join("app.db").display());
    SqlitePool::connect(&url).await.unwrap()
}

#[tokio::test]
async fn cookies_sign_in_change_something_and_sign_out() {
    let example = Example::start(cookies::router().unwrap()).await;
    let sign_in = example.request(Method::POST, "/sign-in").body("name=ada");
    let answer = Answer::of(sign_in).await;
    let (token, _) = answer.set_cookie("access_token_cookie").unwrap();
    let (csrf, _) = answer.set_cookie("csrf_access_token").unwrap();
    let notes = |method: Method| {
        example
            .request(method, "/notes")
            .header("cookie", format!("access_token_cookie={token}"))
    };

    assert_eq!(
        Answer::of(notes(Method::GET)).await.body(),
        "the notes of ada"
    );
    assert_eq!(Answer::of(notes(Method::DELETE)).await.status(), 403);
    let repeated = notes(Method::DELETE).header("X-CSRF-TOKEN", &csrf);
    assert_eq!(
        Answer::of(repeated).await.body(),
        "the notes of ada are gone"
    );
    let out = example
        .request(Method::POST, "/sign-out")
        .header("cookie", format!("access_token_cookie={token}"))
        .header("X-CSRF-TOKEN", &csrf);
    let (value, _) = Answer::of(out)
        .await
        .set_cookie("access_token_cookie")
        .unwrap();
    assert_eq!(value, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mounted_application_has_accounts() {
    let folder = tempfile::tempdir().unwrap();
    let router = mount::router(pool(&folder).await, folder.path().to_str().unwrap()).await;
    let example = Example::start(router.unwrap()).await;
    let token = example.token(routes::REGISTER, "ada@example.com").await;

    let sub = segment(&token, 1)["sub"].as_str().unwrap().to_owned();
    let answer = example.get("/notes", &token).await;
    assert_eq!(answer.body(), format!("the notes of {sub}"));
    let without = Answer::of(example.request(Method::GET, "/notes")).await;
    assert_eq!(
        without.summary(),
        "401 application/problem+json token_missing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn role_is_in_the_next_token_and_opens_its_routes() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool(&folder).await;
    let router = roles::router(pool.clone(), folder.path().to_str().unwrap()).await;
    let example = Example::start(router.unwrap()).await;
    let before = example.token(routes::REGISTER, "ada@example.com").await;
    let id: Uuid = segment(&before, 1)["sub"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let everything = async |token: &str| {
        let request = example.request(Method::DELETE, "/everything");
        Answer::of(request.bearer_auth(token)).await
    };
    assert_eq!(example.get("/notes", &before).await.status(), 200);
    let refused = everything(&before).await;
    assert_eq!(
        refused.summary(),
        "403 application/problem+json insufficient_scope"
    );

    sqlx::query("INSERT INTO roles (account, role) VALUES ($1, 'admin')")
        .bind(id)
        .execute(&pool)
        .await
        .unwrap();

    let after = example.token(routes::SIGN_IN, "ada@example.com").await;
    assert_eq!(segment(&after, 1)["roles"], serde_json::json!(["admin"]));
    assert_eq!(segment(&after, 1)["scope"], "read write");
    assert_eq!(everything(&after).await.body(), "all gone");
    assert_eq!(everything(&before).await.status(), 403);
}

#[tokio::test]
async fn own_users_have_tokens_with_claims_of_their_own() {
    let example = Example::start(own_users::router().unwrap()).await;
    let sign_in = async |name: &'static str| {
        Answer::of(example.request(Method::POST, "/sign-in").body(name)).await
    };
    assert_eq!(sign_in("eve").await.status(), 401);
    let answer = sign_in("ada").await;
    let token = answer.body();

    assert_eq!(example.get("/me", token).await.body(), "7 is ada");
    assert_eq!(example.get("/plan", token).await.body(), "all of it");
    let out = example
        .request(Method::POST, "/sign-out")
        .bearer_auth(token);
    assert_eq!(Answer::of(out).await.status(), 204);
    let refused = example.get("/plan", token).await;
    assert_eq!(
        refused.summary(),
        "401 application/problem+json token_revoked"
    );
}
