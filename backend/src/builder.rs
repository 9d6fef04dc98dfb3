//! Mounting: accounts and sessions inside an application of somebody's own, in its own database.
//!
//! Reads neither environment nor files but the master key's, owns no process and listens nowhere.

use std::{path::Path, sync::Arc};

use crate::{
    app::{App, StartError},
    clock::SystemClock,
    config::{Config, ConfigErrors},
    store::{Db, Pool},
};

/// Puts an [`App`] together.
///
/// ```
/// use axum::{Json, Router, extract::FromRef, routing::get};
/// use countersign::{Auth, Claims, Countersign};
///
/// #[derive(Clone, FromRef)]
/// struct State {
///     auth: Auth,
/// }
///
/// async fn notes(claims: Claims) -> Json<String> {
///     Json(format!("the notes of {}", claims.email))
/// }
///
/// # async fn mount(pool: sqlx::SqlitePool) -> Result<Router, Box<dyn std::error::Error>> {
/// let countersign = Countersign::builder()
///     .database(pool)
///     .public_url("https://notes.example.com")
///     .set("registration", "open")
///     .build()
///     .await?;
/// let router = Router::new()
///     .route("/notes", get(notes))
///     .with_state(State { auth: countersign.auth() })
///     .merge(countersign.router());
/// # Ok(router)
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is there before `build`"]
pub struct Builder {
    values: Vec<(String, String)>,
    pool: Option<Pool>,
    port: u16,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            pool: None,
            port: 3000,
        }
    }
}

/// Why there is no [`App`].
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A key is unknown, or a value does not hold.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The parts could not be put together.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Builder {
    /// Keeps everything in the application's own database, in tables that begin with
    /// `countersign_`. Without it, in what `database.url` says, else in a file of the data folder.
    pub fn database(mut self, pool: impl Into<Pool>) -> Self {
        self.pool = Some(pool.into());
        self
    }

    /// The address that people use; its presence means production, as it does for the binary.
    pub fn public_url(self, url: impl Into<String>) -> Self {
        self.set("public_url", url)
    }

    /// Where the master key is kept, `./data` by default; never touched where `master_key` is set,
    /// or `token.secret`.
    pub fn data_dir(self, folder: impl AsRef<Path>) -> Self {
        self.set("data_dir", folder.as_ref().to_string_lossy())
    }

    /// Sets any key of the configuration, by its name and in the form that a variable would have:
    /// `("token.access_ttl", "5m")`, `("server.trusted_proxies", "[\"10.0.0.0/8\"]")`.
    /// `countersign serve --help` lists them.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.values.push((key.into(), value.into()));
        self
    }

    /// The port that the application listens on in development, 3000 by default: without a public
    /// address tokens name this machine at it, and pages of it may use the refresh cookie.
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Migrates the tables, loads or makes the keys and starts the hashing threads. To be called
    /// inside a tokio runtime, in which what is over is forgotten every minute.
    ///
    /// # Errors
    ///
    /// [`BuildError`] says what is wrong or missing.
    pub async fn build(self) -> Result<App, BuildError> {
        let (config, warnings) = Config::of_program(&self.values)?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let clock = Arc::new(SystemClock::new());
        let app = match self.pool {
            Some(pool) => {
                let db = Db::of_pool(pool).await.map_err(StartError::from)?;
                App::assemble(db, &config, clock, self.port).await?
            }
            None => App::open(&config, clock, self.port).await?,
        };
        app.keep_swept();
        Ok(app)
    }
}
