//! The only place where the parts meet.

use std::{fmt, ops::Deref, path::Path, sync::Arc, time::Duration};

use axum::{Router, extract::FromRef};
use countersign_types::PasswordRules;
use ipnet::IpNet;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    accounts::{self, Account, Registration},
    answer::Chain,
    assets::Assets,
    builder::Builder,
    clock::Clock,
    config::{Config, PublicUrl},
    guard::{AccessCookies, Auth, Settings, UserLookup},
    keys::{KeysError, Ring, StoredKeys},
    limits::Limits,
    metrics::Metrics,
    password::Hasher,
    router,
    same_origin::OwnOrigins,
    sessions::{self, Grants, Identity, Liveness, SessionRules},
    store::{AccountId, Db, OpenError, SessionId, Timestamp},
    token::{Claims, KeyError, Profile, Signer, SigningKey, TokenClaims as _, Verified, Verifier},
};

/// How often what is over is forgotten.
const SWEEP: Duration = Duration::from_mins(1);
/// The longest life of a token of flask-jwt-extended that is accepted, unless ours live longer.
const LONGEST_FLASK_LIFE: Duration = Duration::from_hours(24);
/// The database's file name in the data folder.
pub const DATABASE_FILE: &str = "countersign.db";

/// Everything a request may need. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What [`App`] shares.
pub struct Parts {
    /// The database.
    pub db: Db,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Hashes and verifies passwords.
    pub hasher: Hasher,
    /// How often somebody may try.
    pub limits: Arc<Limits>,
    /// What happened how often.
    pub metrics: Arc<Metrics>,
    /// The keys that sign and verify.
    pub keys: Ring,
    /// Issues tokens.
    pub signer: Signer,
    /// Accepts tokens.
    pub verifier: Verifier,
    /// The longest that any token issued so far can still be accepted.
    pub longest_token_life: Duration,
    /// How guards look for tokens.
    pub(crate) guards: Arc<Settings>,
    /// What tokens look like.
    pub profile: Profile,
    /// What names the account in `sub`.
    pub identity: Identity,
    /// Whether tokens name the account's address.
    pub include_email: bool,
    /// What tokens say beside the usual.
    pub grants: Option<Arc<Grants>>,
    /// The longest that a token issued from here on can be accepted.
    pub own_token_life: Duration,
    /// Which sessions are known to live or to have ended.
    pub liveness: Liveness,
    /// How sessions live and end.
    pub session_rules: SessionRules,
    /// How long a password must and may be.
    pub password_rules: PasswordRules,
    /// Who may make an account.
    pub registration: Registration,
    /// The pages.
    pub assets: Assets,
    /// Peers whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Whose requests a cookie may act for.
    pub own_origins: OwnOrigins,
    /// Whether the outside speaks `https`.
    pub https: bool,
    /// Whether this start made the signing key.
    pub key_created: bool,
}

/// Why the parts could not be put together. Every one of these stops the start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be made or entered.
    #[error("cannot use the data folder {folder}: choose another with --data-dir")]
    DataDir {
        /// Which folder.
        folder: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// There is no key to sign with.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The configured secret is no key, or the stored keys do not go together.
    #[error("the signing keys cannot be used")]
    Key(#[from] KeyError),
    /// The hashing threads did not start.
    #[error("the hashing threads could not be started")]
    Threads(#[source] std::io::Error),
}

impl App {
    /// Opens the database, migrates it, loads or makes the keys and starts the hashing threads.
    ///
    /// `port` is the one that was bound; issuer and audience follow it where neither they nor
    /// `public_url` are configured.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what is missing.
    pub async fn open(
        config: &Config,
        clock: Arc<dyn Clock>,
        port: u16,
    ) -> Result<Self, StartError> {
        let db = Self::open_database(config).await?;
        Self::assemble(db, config, clock, port, None).await
    }

    /// The database that the configuration names, else the one in the data folder.
    pub(crate) async fn open_database(config: &Config) -> Result<Db, StartError> {
        if let Some(url) = &config.database_url {
            return Ok(Db::open(url.expose()).await?);
        }
        make_private_folder(&config.data_dir)?;
        Ok(Db::open_sqlite(&config.data_dir.join(DATABASE_FILE)).await?)
    }

    /// The same on a database that is open already.
    pub(crate) async fn assemble(
        db: Db,
        config: &Config,
        clock: Arc<dyn Clock>,
        port: u16,
        grants: Option<Arc<Grants>>,
    ) -> Result<Self, StartError> {
        let token = &config.token;
        let others = token.verification_keys.clone();
        let (keys, key_created) = match (&token.secret, &token.private_key) {
            // One secret and no other key: whoever verifies with it could sign, so nothing else of
            // ours may be verified beside it.
            (Some(secret), _) if token.algorithm.is_symmetric() => {
                let secret = secret.expose().as_bytes();
                let key = SigningKey::from_secret(token.algorithm, secret)?;
                (Ring::fixed(key, others)?, false)
            }
            (_, Some(key)) => (Ring::fixed(key.clone(), others)?, false),
            (_, None) => {
                if config.master_key.is_none() {
                    // Where its file is.
                    make_private_folder(&config.data_dir)?;
                }
                Ring::open(stored_keys(&db, &clock, config), others).await?
            }
        };
        let access_ttl = config.token.access_ttl;
        let leeway = config.token.leeway;
        // What the other side of flask-jwt-extended issues has a lifetime of its own.
        let longest_life = match config.token.profile {
            Profile::FlaskJwtExtended => access_ttl.max(LONGEST_FLASK_LIFE),
            Profile::Rfc9068 | Profile::Jwt => access_ttl,
        };
        let mut verifier = Verifier::of_profile(config.token.profile, keys.verifying().into())
            .leeway(leeway)
            .longest_life(longest_life);
        let mut signer = Signer::of_profile(config.token.profile, keys.signing())
            .lifetime(access_ttl)
            .fresh_for(config.token.fresh_for);
        if let Some(issuer) = config.token_issuer(port) {
            verifier = verifier.issuer(&*issuer);
            signer = signer.issuer(issuer);
        }
        if let Some(audience) = config.token_audience(port) {
            verifier = verifier.audience(&*audience);
            signer = signer.audience(audience);
        }
        let hasher = Hasher::start().map_err(StartError::Threads)?;
        let limits = Limits::new(Arc::clone(&clock), config.limits.scale, access_ttl);
        let limits = Arc::new(limits);
        Ok(Self(Arc::new(Parts {
            guards: Arc::new(
                Settings::new(Arc::clone(&clock))
                    .look_in(config.token.locations.clone(), config.token.fresh_for),
            ),
            metrics: Metrics::new(hasher.clone(), Arc::clone(&limits), db.clone()).into(),
            limits,
            db,
            clock,
            hasher,
            verifier,
            signer,
            keys,
            longest_token_life: longest_life + leeway + Duration::from_secs(1),
            own_token_life: access_ttl + leeway + Duration::from_secs(1),
            profile: config.token.profile,
            identity: config.token.identity,
            include_email: config.token.include_email,
            grants,
            liveness: Liveness::default(),
            session_rules: config.session,
            password_rules: PasswordRules {
                min_length: config.password.min_length,
                max_length: PasswordRules::MAX_LENGTH,
            },
            registration: config.registration,
            assets: Assets::load(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            own_origins: OwnOrigins::of(config, port),
            https: config.public_url.as_ref().is_some_and(PublicUrl::is_https),
            key_created,
        })))
    }
}

impl Parts {
    /// How the cookies of access tokens are set.
    pub(crate) fn access_cookies(&self) -> AccessCookies {
        self.guards.locations().access_cookies().clone()
    }

    /// Refuses the tokens of an account that hang on no session, where they were issued before now.
    pub(crate) fn mark_tokens_ended(&self, account: AccountId, now: Timestamp) {
        let until = now.plus(self.longest_token_life);
        self.liveness.end_account_tokens(account, now, until);
    }

    /// Refuses a session's access tokens from here on, before that is written down.
    pub(crate) fn mark_ended(&self, session: SessionId) {
        let until = self.clock.now().plus(self.longest_token_life);
        self.liveness.end(session, until);
    }
}

impl App {
    /// Puts one together inside an application of your own.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The API, the pages `/sign-in`, `/sign-up` and `/sessions` and what these load, to be merged
    /// into a router of your own; `/` and unknown paths are that router's. After signing in or out
    /// the pages lead to `/`, or to where `return_to` in their address says.
    ///
    /// Serve it with the peers' addresses
    /// (`into_make_service_with_connect_info::<SocketAddr>()`), since limits go by them. Merge it at
    /// the root: its paths are `/auth` and below, `/sign-in`, `/sign-up`, `/sessions`, `/protected`,
    /// `/docs`, `/openapi.json`, `/.well-known/jwks.json`, `/healthz`, `/readyz` and `/countersign-…`,
    /// and a second handler for one of them panics when they meet.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use countersign::{Claims, Countersign};
    ///
    /// # fn router(countersign: &Countersign) -> Router {
    /// Router::new()
    ///     .route("/", get(async || "the application's own"))
    ///     .route("/notes", get(async |claims: Claims| claims.sub.to_string()))
    ///     .with_state(countersign.auth())
    ///     .merge(countersign.router())
    /// # }
    /// ```
    ///
    /// The pages come with the feature `embed-ui`, which takes them from the folder that
    /// `COUNTERSIGN_PAGES` names when it is compiled; without it they are read from the sources'
    /// `frontend/dist`.
    pub fn router(&self) -> Router {
        router::mounted(self.clone())
    }

    /// Everything that the binary serves: as [`App::router`], with a page at `/` and an answer to
    /// unknown paths.
    pub fn standalone(&self) -> Router {
        router::standalone(self.clone())
    }

    /// The API without pages, to be merged into a router that has all pages itself; unknown paths
    /// are that router's. To be served with the peers' addresses, as [`App::router`].
    pub fn api(&self) -> Router {
        router::api_router(self.clone())
    }

    /// What happened how often, at `/metrics`, in Prometheus' text format. It names no account, but
    /// says how many sign in and what fails: to be served on a listener that only your monitoring
    /// reaches, never beside the rest. For the binary `metrics.listen` is that listener.
    pub fn metrics(&self) -> Router {
        router::metrics_router(self.clone())
    }

    /// Forgets what is over, every minute, for as long as anybody has this `App`.
    pub(crate) fn keep_swept(&self) {
        let parts = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let mut ticks = interval(SWEEP);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(parts) = parts.upgrade() else { return };
                // The next one does what this one could not.
                let app = Self(parts);
                if let Err(error) = sessions::sweep(&app).await {
                    app.metrics.database_error((&error).into());
                    tracing::warn!(error = %Chain(&error), "what is over could not be forgotten");
                }
            }
        });
    }

    /// Follows the keys in the database, and does what time makes due of them, for as long as anybody
    /// has this `App`.
    pub(crate) fn keep_keys(&self) {
        let Some(interval) = self.keys.interval() else {
            return;
        };
        let parts = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut said = None;
            loop {
                ticks.tick().await;
                let Some(parts) = parts.upgrade() else { return };
                // The next one does what this one could not; said once, since it is twice a second. In a
                // task of its own: a panic must not be the end of following.
                let keys = parts.keys.clone();
                drop(parts);
                let text = match tokio::spawn(async move { keys.check().await }).await {
                    Ok(checked) => checked.err().map(|error| Chain(&error).to_string()),
                    Err(error) => Some(Chain(&error).to_string()),
                };
                if text.is_some() && text != said {
                    tracing::warn!(error = text, "the keys could not be followed");
                }
                said = text;
            }
        });
    }

    /// What guards ask, for an application's own state.
    pub fn auth(&self) -> Auth {
        Auth::with(self.0.clone(), Arc::clone(&self.0.guards))
    }
}

impl App {
    /// How [`CurrentUser<Account>`](crate::guard::CurrentUser) finds our accounts, for an
    /// application's own state. Costs a look-up a request.
    ///
    /// ```
    /// use axum::{Router, extract::FromRef, routing::get};
    /// use countersign::{Auth, Countersign, accounts::Account, guard::{CurrentUser, UserLookup}};
    ///
    /// #[derive(Clone, FromRef)]
    /// struct State {
    ///     auth: Auth,
    ///     accounts: UserLookup<Account>,
    /// }
    ///
    /// async fn since(CurrentUser(account): CurrentUser<Account>) -> String {
    ///     format!("{} is here since {}", account.email, account.created_at)
    /// }
    ///
    /// # fn router(countersign: &Countersign) -> Router {
    /// let state = State { auth: countersign.auth(), accounts: countersign.accounts() };
    /// Router::new().route("/since", get(since)).with_state(state)
    /// # }
    /// ```
    pub fn accounts(&self) -> UserLookup<Account> {
        let app = self.clone();
        UserLookup::new(move |token: Arc<Verified>| {
            let app = app.clone();
            async move {
                // An id of ours, or else of nobody here.
                let Ok(claims) = <Claims>::read(&token) else {
                    return Ok(None);
                };
                let mut tx = app.db.read().await?;
                accounts::find(&mut tx, claims.sub.into()).await
            }
        })
    }
}

impl FromRef<App> for Auth {
    fn from_ref(app: &App) -> Self {
        app.auth()
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Runs work to its end also when the client hangs up in the middle, which drops the handler: what
/// memory knows and what the database knows must not come apart.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only the end of the runtime cancels it, and then nobody is there to be answered.
            Err(_) => std::future::pending().await,
        },
    }
}

/// The keys in a database, by a configuration.
pub(crate) fn stored_keys(db: &Db, clock: &Arc<dyn Clock>, config: &Config) -> StoredKeys {
    StoredKeys::new(
        db.clone(),
        Arc::clone(clock),
        config.master_key.clone(),
        &config.data_dir,
        config.key_rules(),
    )
}

/// Accounts and keys are nobody else's business: 0700 where the folder is ours to make.
fn make_private_folder(folder: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt as _;

    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| StartError::DataDir {
            folder: folder.display().to_string(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::{
        clock::ManualClock,
        config::{Flags, Sources},
        keys::Rotation,
    };

    /// A clock that panics once it is told to.
    #[derive(Debug)]
    struct Failing {
        clock: ManualClock,
        fails: AtomicBool,
    }

    impl Clock for Failing {
        fn now(&self) -> Timestamp {
            assert!(!self.fails.swap(false, Ordering::SeqCst), "as it was told");
            self.clock.now()
        }

        fn monotonic(&self) -> Duration {
            self.clock.monotonic()
        }
    }

    async fn until(is_so: impl Fn() -> bool) {
        let poll = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), poll)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn panic_is_not_the_end_of_following_the_keys() {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources {
            flags: Flags::default(),
            env: vec![("COUNTERSIGN_DATA_DIR".into(), folder.path().into())],
            folder: folder.path().to_path_buf(),
        };
        let (config, _) = Config::load(&sources).unwrap();
        let clock = ManualClock::at(Timestamp::from_secs(0));
        let failing = Arc::new(Failing {
            clock: clock.clone(),
            fails: AtomicBool::new(false),
        });
        let app = App::open(&config, Arc::clone(&failing) as _, 3000)
            .await
            .unwrap();
        let beside = App::open(&config, Arc::new(clock), 3000).await.unwrap();
        app.keep_keys();

        failing.fails.store(true, Ordering::SeqCst);
        until(|| !failing.fails.load(Ordering::SeqCst)).await;

        let next = beside.keys.rotate(Rotation::Published).await.unwrap().kid;
        until(|| app.keys.verifying().load().get(&next).is_some()).await;
    }
}
