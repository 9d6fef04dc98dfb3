//! Mounting: accounts and sessions inside an application of somebody's own, in its own database.
//!
//! Reads neither environment nor files but the master key's, owns no process and listens nowhere.

use std::{fmt, path::Path, sync::Arc};

use crate::{
    accounts::Account,
    answer::Chain,
    app::{App, StartError},
    clock::SystemClock,
    config::{Config, ConfigErrors},
    guard::BoxError,
    sessions::Grants,
    store::{Db, Pool},
    token::Grant,
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
///     Json(format!("the notes of {}", claims.sub))
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
#[must_use = "nothing is there before `build`"]
pub struct Builder {
    values: Vec<(String, String)>,
    pool: Option<Pool>,
    port: u16,
    grants: Option<Arc<Grants>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the values, among which a secret may be.
        f.debug_struct("Builder")
            .field("pool", &self.pool)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            pool: None,
            port: 3000,
            grants: None,
        }
    }
}

/// Why there is no [`App`].
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A key is unknown, or a value does not hold.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The parts could not be put together.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// What it says and why: `main` shows an error by its debug form.
impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Chain(self))
    }
}

impl Builder {
    /// Keeps everything in the application's own database, in tables that begin with
    /// `countersign_`: an `SqlitePool` or a `PgPool` of sqlx 0.9. Without it, in what `database.url` says, else in a file of the data folder.
    pub fn database(mut self, pool: impl Into<Pool>) -> Self {
        self.pool = Some(pool.into());
        self
    }

    /// The address that people use; its presence means production, as it does for the binary.
    /// Registration is then closed, unless `.set("registration", "open")` says otherwise.
    pub fn public_url(self, url: impl Into<String>) -> Self {
        self.set("public_url", url)
    }

    /// Where the master key is kept, `./data` by default; never touched where `master_key` is set,
    /// `token.secret` or `token.private_key`.
    pub fn data_dir(self, folder: impl AsRef<Path>) -> Self {
        self.set("data_dir", folder.as_ref().to_string_lossy())
    }

    /// Sets any key of the configuration, by its name and in the form that a variable would have:
    /// `("token.access_ttl", "5m")`, `("server.trusted_proxies", "[\"10.0.0.0/8\"]")`.
    /// [`config::keys_help`](crate::config::keys_help) lists them, and so does `countersign serve
    /// --help`. Keys of the listener and of the log (`server.listen`, `metrics.listen`, `log.…`) do
    /// nothing here: both are the application's.
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

    /// What every access token of an account says beside the usual: claims of the application's own,
    /// scopes, roles. Asked at every sign-in and refresh; where it fails, nobody gets a token and the
    /// answer is 503. A lifetime that is granted can only be shorter than the configured one.
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use countersign::{Countersign, token::Grant};
    ///
    /// let builder = Countersign::builder().grants(async |account| {
    ///     let is_ours = account.email.ends_with("@example.com");
    ///     let roles = is_ours.then_some("staff");
    ///     Ok::<_, Infallible>(Grant::new().roles(roles))
    /// });
    /// ```
    pub fn grants<F, Answer, E>(mut self, grants: F) -> Self
    where
        F: Fn(Account) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<Grant, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.grants = Some(Arc::new(move |account| {
            let grant = grants(account);
            Box::pin(async move { grant.await.map_err(Into::into) })
        }));
        self
    }

    /// Migrates the tables, loads or makes the keys and starts the hashing threads. To be called
    /// inside a tokio runtime, in which what is over is forgotten every minute and keys are rotated.
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
        let db = match self.pool {
            Some(pool) => Db::of_pool(pool).await.map_err(StartError::from)?,
            None => App::open_database(&config).await?,
        };
        let app = App::assemble(db, &config, clock, self.port, self.grants).await?;
        app.keys
            .turn_to_algorithm()
            .await
            .map_err(StartError::from)?;
        app.keep_swept();
        app.keep_keys();
        Ok(app)
    }
}
