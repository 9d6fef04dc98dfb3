//! What an application has our tokens say, and what becomes of people while it cannot say it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use countersign::{App, Countersign, token::Grant};
use countersign_types::routes;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{
    support::{Answer, PASSWORD, credentials},
    tokens::segment,
};

/// An application that says what tokens say, as long as it is not away.
struct Application {
    origin: String,
    app: App,
    is_away: Arc<AtomicBool>,
    _folder: TempDir,
}

impl Application {
    async fn start(settings: &[(&str, &str)], grant: fn() -> Grant) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_away = Arc::new(AtomicBool::new(false));
        let mut builder = Countersign::builder()
            .data_dir(folder.path())
            .port(address.port())
            .grants({
                let is_away = Arc::clone(&is_away);
                move |_| {
                    let answer = if is_away.load(Ordering::SeqCst) {
                        Err("the roles are away")
                    } else {
                        Ok(grant())
                    };
                    async { answer }
                }
            });
        for (key, value) in settings {
            builder = builder.set(*key, *value);
        }
        let app = builder.build().await.unwrap();
        let router = app
            .api()
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            origin: format!("http://{address}"),
            app,
            is_away,
            _folder: folder,
        }
    }

    fn leaves(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = Client::new().request(Method::POST, format!("{}{path}", self.origin));
        Answer::of(request.json(body)).await
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        let request = Client::new().request(Method::GET, format!("{}{path}", self.origin));
        Answer::of(request.bearer_auth(token)).await
    }

    async fn sign_in(&self) -> Answer {
        self.post(routes::SIGN_IN, &credentials("ada@example.com", PASSWORD))
            .await
    }

    async fn register(&self) -> Answer {
        self.post(routes::REGISTER, &credentials("ada@example.com", PASSWORD))
            .await
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.post(routes::REFRESH, &json!({ "refresh_token": token }))
            .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_token_is_not_spent_while_the_application_is_away() {
    let app = Application::start(&[("session.refresh_grace", "0s")], Grant::new).await;
    let pair = app.register().await.pair();

    app.leaves(true);
    for _ in 0..3 {
        let refused = app.refresh(&pair.refresh).await;
        assert_eq!(
            refused.summary(),
            "503 application/problem+json unavailable"
        );
    }
    app.leaves(false);

    assert_eq!(app.refresh(&pair.refresh).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_use_is_noticed_while_the_application_is_away() {
    let app = Application::start(&[("session.refresh_grace", "0s")], Grant::new).await;
    let pair = app.register().await.pair();
    let next = app.refresh(&pair.refresh).await.pair();
    // The grace has whole seconds; the successor's use ends it.
    app.refresh(&next.refresh).await;

    app.leaves(true);

    let reused = app.refresh(&pair.refresh).await;
    assert_eq!(
        reused.summary(),
        "401 application/problem+json refresh_token_reused"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_sign_in_or_registration_that_the_application_missed() {
    let app = Application::start(&[("session.max_per_account", "2")], Grant::new).await;
    app.leaves(true);
    let refused = app.register().await;
    assert_eq!(
        refused.summary(),
        "503 application/problem+json unavailable"
    );
    app.leaves(false);
    let first = app.register().await;
    assert_eq!(first.status(), 201);

    app.leaves(true);
    for _ in 0..3 {
        assert_eq!(app.sign_in().await.status(), 503);
    }

    // None of them took the place of the session that there was.
    assert_eq!(
        app.get(routes::ME, &first.access_token()).await.status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_for_another_audience_is_still_one_for_this_server() {
    let app = Application::start(&[], || Grant::new().audience("https://api.example.com")).await;
    let token = app.register().await.access_token();

    assert_eq!(
        segment(&token, 1)["aud"],
        json!(["https://api.example.com", app.origin])
    );
    assert_eq!(app.get(routes::PROTECTED, &token).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn life_that_is_granted_can_only_be_shorter() {
    for (minutes, expected) in [(5, 300), (60, 900)] {
        let grant: fn() -> Grant = match minutes {
            5 => || Grant::new().lifetime(std::time::Duration::from_mins(5)),
            _ => || Grant::new().lifetime(std::time::Duration::from_hours(1)),
        };
        let app = Application::start(&[], grant).await;

        assert_eq!(app.register().await.json()["expires_in"], expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grant_that_no_token_can_say_is_a_fault_that_leaves_nothing_behind() {
    let app = Application::start(&[], || Grant::new().scopes(["two words"])).await;

    let refused = app.register().await;

    assert_eq!(
        refused.summary(),
        "500 application/problem+json internal_error"
    );
    let mut tx = app.app.db.read().await.unwrap();
    let email = countersign_types::Email::parse("ada@example.com").unwrap();
    let found = countersign::accounts::find_credentials(&mut tx, &email).await;
    assert!(found.unwrap().is_none());
}
