//! What every test needs: an application on a socket, a clock to move, answers to compare.

mod answer;
mod binary;
mod database;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use countersign::{
    App,
    clock::ManualClock,
    config::{Config, Flags, Sources},
    server,
    store::Timestamp,
};
use countersign_types::routes;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    answer::{Answer, Pair},
    binary::{Binary, countersign},
    database::Database,
};

/// Long enough, and nobody's.
pub(crate) const PASSWORD: &str = "violet tractor sings 47 lullabies";

/// Writes each test once and runs it on both databases, as `sqlite::…` and `postgres::…`.
macro_rules! backends {
    ($(async fn $name:ident($app:ident: TestApp) $body:block)*) => {
        mod sqlite {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let $app = TestApp::start($crate::support::Database::sqlite()).await;
                $body
            })*
        }

        mod postgres {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(database) = $crate::support::Database::postgres().await {
                    let $app = TestApp::start(database).await;
                    $body
                }
            })*
        }
    };
}
pub(crate) use backends;

/// An application that listens, as the binary would start it.
pub(crate) struct TestApp {
    pub(crate) app: App,
    pub(crate) clock: ManualClock,
    pub(crate) address: SocketAddr,
    pub(crate) database: Database,
    folder: Arc<TempDir>,
    settings: Vec<(&'static str, String)>,
    client: reqwest::Client,
    running: Running,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl TestApp {
    /// Starts with the defaults.
    pub(crate) async fn start(database: Database) -> Self {
        Self::start_with(database, &[]).await
    }

    /// Starts on SQLite with settings by their environment names, without the prefix.
    pub(crate) async fn with(settings: &[(&'static str, &str)]) -> Self {
        Self::start_with(Database::sqlite(), settings).await
    }

    pub(crate) async fn start_with(database: Database, settings: &[(&'static str, &str)]) -> Self {
        let settings = settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect::<Vec<_>>();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        // 2026-01-01, noon.
        let clock = ManualClock::at(Timestamp::from_secs(1_767_268_800));
        // Whoever follows redirects or pools connections hides what the server does.
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let (app, address, running) = listen(folder.path(), &database, &settings, &clock).await;
        Self {
            app,
            clock,
            address,
            database,
            folder,
            settings,
            client,
            running,
        }
    }

    /// Another instance on the same data and clock, as a replica would be.
    pub(crate) async fn beside(&self) -> Self {
        let (app, address, running) = listen(
            self.folder.path(),
            &self.database,
            &self.settings,
            &self.clock,
        )
        .await;
        Self {
            app,
            clock: self.clock.clone(),
            address,
            database: self.database.clone(),
            folder: Arc::clone(&self.folder),
            settings: self.settings.clone(),
            client: self.client.clone(),
            running,
        }
    }

    /// Stops, and starts again on the same data. The port is another one, so the issuer is kept.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let (app, address, running) = listen(
            self.folder.path(),
            &self.database,
            &self.settings,
            &self.clock,
        )
        .await;
        (self.app, self.address, self.running) = (app, address, running);
    }

    /// Restarts with other settings.
    pub(crate) async fn reconfigure(&mut self, settings: &[(&'static str, &str)]) {
        self.settings = settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        self.restart().await;
    }

    /// Ends it, with its connections.
    pub(crate) async fn stop(&mut self) {
        self.running.stop.cancel();
        (&mut self.running.task).await.unwrap();
        self.app.db.close().await;
    }

    /// A file of its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn get_as(&self, path: &str, token: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).bearer_auth(token)).await
    }

    pub(crate) async fn post_as(&self, path: &str, token: &str) -> Answer {
        Answer::of(self.request(Method::POST, path).bearer_auth(token)).await
    }

    pub(crate) async fn delete_as(&self, path: &str, token: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path).bearer_auth(token)).await
    }

    /// Creates an account and gives its access token.
    pub(crate) async fn register(&self, email: &str) -> String {
        self.register_pair(email).await.access
    }

    /// Creates an account and gives both of its tokens.
    pub(crate) async fn register_pair(&self, email: &str) -> Pair {
        let answer = self
            .post(routes::REGISTER, &credentials(email, PASSWORD))
            .await;
        assert_eq!(answer.status(), 201, "{answer}");
        answer.pair()
    }

    /// Signs in and gives the access token.
    pub(crate) async fn sign_in(&self, email: &str) -> String {
        self.sign_in_pair(email).await.access
    }

    /// Signs in and gives both tokens.
    pub(crate) async fn sign_in_pair(&self, email: &str) -> Pair {
        let answer = self
            .post(routes::SIGN_IN, &credentials(email, PASSWORD))
            .await;
        assert_eq!(answer.status(), 200, "{answer}");
        answer.pair()
    }

    /// What a refresh token gives.
    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.post(routes::REFRESH, &json!({ "refresh_token": token }))
            .await
    }

    /// What a refresh token gives that must give a new pair.
    pub(crate) async fn refresh_pair(&self, token: &str) -> Pair {
        let answer = self.refresh(token).await;
        assert_eq!(answer.status(), 200, "{answer}");
        answer.pair()
    }

    /// What the guarded example says to a token.
    pub(crate) async fn protected(&self, token: &str) -> String {
        self.get_as(routes::PROTECTED, token).await.summary()
    }

    /// Sends bytes as they are and gives the answer's bytes: for what no client would send.
    pub(crate) async fn raw(&self, request: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(15), read)
            .await
            .unwrap()
            .unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// What sign-in and registration take.
pub(crate) fn credentials(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": password })
}

async fn listen(
    folder: &Path,
    database: &Database,
    settings: &[(&'static str, String)],
    clock: &ManualClock,
) -> (App, SocketAddr, Running) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = config(folder, database, settings);
    let app = App::open(&config, Arc::new(clock.clone()), address.port())
        .await
        .unwrap();
    // As every start does.
    app.keys.turn_to_algorithm().await.unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn({
        let (service, stop) = (app.standalone(), stop.clone());
        async move {
            server::run(listener, service, stop, server::Limits::default()).await;
        }
    });
    (app, address, Running { stop, task })
}

fn config(folder: &Path, database: &Database, settings: &[(&'static str, String)]) -> Config {
    // A restart listens on another port, and its tokens must stay acceptable. Those of
    // flask-jwt-extended name neither.
    let names = [
        ("COUNTERSIGN_TOKEN__ISSUER", "http://issuer.test"),
        ("COUNTERSIGN_TOKEN__AUDIENCE", "http://audience.test"),
    ];
    let is_flask = |(name, _): &(&str, String)| *name == "TOKEN__PROFILE";
    let names = names.into_iter().filter(|_| !settings.iter().any(is_flask));
    let environment = settings
        .iter()
        .map(|(name, value)| (format!("COUNTERSIGN_{name}"), value.clone()))
        .chain(
            database
                .url()
                .map(|url| ("COUNTERSIGN_DATABASE__URL".to_owned(), url)),
        )
        .chain([(
            "COUNTERSIGN_DATA_DIR".to_owned(),
            folder.display().to_string(),
        )])
        .chain(names.map(|(name, value)| (name.to_owned(), value.to_owned())))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let sources = Sources {
        flags: Flags::default(),
        env: environment,
        folder: folder.to_path_buf(),
    };
    let (config, _warnings) = Config::load(&sources).unwrap();
    config
}
