//! The two databases behind one face, and one SQL text for both (docs/adr/0001).
//!
//! Knows nothing of features: their SQL is in their own `store.rs`, written with `$1`
//! placeholders, `RETURNING` and `ON CONFLICT`, without `now()`, arrays, enums or triggers.

mod migrate;
mod types;

use std::{
    error::Error,
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use sqlx::{
    PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{
        SqliteConnectOptions, SqliteError, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
    },
};

pub use self::{
    migrate::MigrateError,
    types::{AccountId, SessionId},
};
use crate::metrics::DatabaseFault;
pub use crate::timestamp::Timestamp;

/// How long to wait for a connection before answering 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `SQLite` waits for another process' lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 16;

/// An open database.
#[derive(Debug, Clone)]
pub enum Db {
    /// One file. `write` has one connection, since `SQLite` has one writer: waiting for it in the
    /// pool's queue is fair, waiting for it inside `SQLite` is polling.
    Sqlite {
        /// Readers, which never wait for the writer (WAL).
        read: SqlitePool,
        /// The writer.
        write: SqlitePool,
    },
    /// A server, perhaps with other replicas of ours on it.
    Postgres(PgPool),
}

/// An open transaction; rolled back when dropped.
#[derive(Debug)]
pub enum Tx {
    /// On `SQLite`.
    Sqlite(Transaction<'static, Sqlite>),
    /// On `PostgreSQL`.
    Postgres(Transaction<'static, Postgres>),
}

/// A pool of connections that an application has already.
#[derive(Debug, Clone)]
pub enum Pool {
    /// To a file. Only where it is and how it is opened is taken from it: we read and write by
    /// connections of our own, which differ (see [`Db::Sqlite`]).
    Sqlite(SqlitePool),
    /// To a server; shared with the application.
    Postgres(PgPool),
}

impl From<SqlitePool> for Pool {
    fn from(pool: SqlitePool) -> Self {
        Self::Sqlite(pool)
    }
}

impl From<PgPool> for Pool {
    fn from(pool: PgPool) -> Self {
        Self::Postgres(pool)
    }
}

/// The connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Which of ours.
    pub name: &'static str,
    /// Open and unused.
    pub idle: u32,
    /// Open and in use.
    pub busy: u32,
    /// How many there may be.
    pub max: u32,
}

impl Connections {
    fn of<DB: sqlx::Database>(name: &'static str, pool: &sqlx::Pool<DB>) -> Self {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        Self {
            name,
            idle,
            busy: pool.size().saturating_sub(idle),
            max: pool.options().get_max_connections(),
        }
    }
}

/// Runs one expression on whichever database the transaction is on.
macro_rules! on {
    ($tx:expr, |$conn:ident| $body:expr) => {
        match $tx {
            $crate::store::Tx::Sqlite($conn) => $body,
            $crate::store::Tx::Postgres($conn) => $body,
        }
    };
}
pub(crate) use on;

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away, busy or full: the same request may succeed later.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// It refused what we asked: a fault of ours.
    #[error("the database refused a statement")]
    Internal(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_unavailable(&error) {
            Self::Unavailable(error)
        } else {
            Self::Internal(error)
        }
    }
}

impl From<&StoreError> for DatabaseFault {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable,
            StoreError::Internal(_) => Self::Internal,
        }
    }
}

/// What was wrong with the database, where an error began there: whatever it was wrapped in.
pub(crate) fn fault(error: &(dyn Error + 'static)) -> Option<DatabaseFault> {
    std::iter::successors(Some(error), |&error| error.source())
        .find_map(|error| error.downcast_ref::<sqlx::Error>())
        .map(|error| {
            if is_unavailable(error) {
                DatabaseFault::Unavailable
            } else {
                DatabaseFault::Internal
            }
        })
}

/// How often a transaction is tried that the database asks to be tried again.
const ATTEMPTS: u32 = 4;

/// Runs a whole transaction, and again where the database ended it in favour of another one:
/// `PostgreSQL` by serialisation failure or deadlock, `SQLite` by a lock of another process. The
/// one place where that is done, so that no rule has to know.
pub(crate) async fn retrying<T, F>(mut transaction: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for _ in 1..ATTEMPTS {
        match transaction().await {
            Err(StoreError::Unavailable(error)) if is_lost_race(&error) => {}
            done => return done,
        }
    }
    transaction().await
}

/// Whether a transaction was ended in favour of another one.
fn is_lost_race(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<SqliteError>().is_some() {
        // BUSY and LOCKED, in the low byte of the extended code.
        code.parse::<u32>()
            .is_ok_and(|code| [5, 6].contains(&(code & 0xff)))
    } else {
        ["40001", "40P01"].contains(&&*code)
    }
}

fn is_unavailable(error: &sqlx::Error) -> bool {
    if is_lost_race(error) {
        return true;
    }
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            if error.try_downcast_ref::<SqliteError>().is_some() {
                // IOERR, FULL and CANTOPEN.
                code.parse::<u32>()
                    .is_ok_and(|code| [10, 13, 14].contains(&(code & 0xff)))
            } else {
                // Connection, resources, operator intervention, system error.
                ["08", "53", "57", "58"]
                    .iter()
                    .any(|class| code.starts_with(class))
            }
        }
        _ => false,
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Neither `sqlite:` nor `postgres://`.
    #[error("`database.url` must start with `sqlite:` or `postgres://`")]
    Scheme,
    /// A URL that the driver cannot read.
    #[error("`database.url` cannot be read")]
    Url(#[source] sqlx::Error),
    /// The database cannot be reached, or the file not be opened.
    #[error("cannot open the database at {place}")]
    Connect {
        /// Where, without a password.
        place: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Another Countersign's schema is newer, or a migration failed.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

/// The file that a URL names; `None` where it names no `SQLite`.
pub(crate) fn sqlite_file(url: &str) -> Option<PathBuf> {
    let url = url.starts_with("sqlite:").then_some(url)?;
    let options = SqliteConnectOptions::from_str(url).ok()?;
    Some(options.get_filename().to_path_buf())
}

impl Db {
    /// Opens the `SQLite` file at `path` and makes it where it is missing.
    ///
    /// # Errors
    ///
    /// [`OpenError`] where it cannot be opened or migrated.
    pub async fn open_sqlite(path: &Path) -> Result<Self, OpenError> {
        Self::connect_sqlite(SqliteConnectOptions::new().filename(path)).await
    }

    /// Opens what a URL names: `sqlite:…` or `postgres://…`, and migrates it.
    ///
    /// # Errors
    ///
    /// [`OpenError`] where it cannot be opened or migrated.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).map_err(OpenError::Url)?;
            return Self::connect_sqlite(options).await;
        }
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(OpenError::Scheme);
        }
        let options = PgConnectOptions::from_str(url).map_err(OpenError::Url)?;
        let place = format!(
            "postgres://{}:{}/{}",
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or_default()
        );
        let options = options.application_name("countersign").options([
            ("statement_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "30s"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await
            .map_err(|source| OpenError::Connect { place, source })?;
        let db = Self::Postgres(pool);
        migrate::run(&db).await?;
        Ok(db)
    }

    /// Uses the database of an application, and migrates our tables in it.
    ///
    /// # Errors
    ///
    /// [`OpenError`] where it cannot be opened or migrated.
    pub async fn of_pool(pool: Pool) -> Result<Self, OpenError> {
        match pool {
            Pool::Sqlite(pool) => {
                let options = SqliteConnectOptions::clone(&pool.connect_options());
                Self::connect_sqlite(options).await
            }
            Pool::Postgres(pool) => {
                let db = Self::Postgres(pool);
                migrate::run(&db).await?;
                Ok(db)
            }
        }
    }

    async fn connect_sqlite(options: SqliteConnectOptions) -> Result<Self, OpenError> {
        let place = options.get_filename().display().to_string();
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Acknowledged means durable: NORMAL may lose the last commits on a power cut, and a
            // lost logout is a session that comes back to life.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |max: u32, options: SqliteConnectOptions| {
            SqlitePoolOptions::new()
                .max_connections(max)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // A file needs no fresh connections, and while one is open the log stays, without
                // which a read-only connection could not be opened.
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_with(options)
        };
        let failed = |source| OpenError::Connect {
            place: place.clone(),
            source,
        };
        let write = pool(1, options.clone()).await.map_err(failed)?;
        let read = pool(SQLITE_READERS, options.read_only(true))
            .await
            .map_err(failed)?;
        let db = Self::Sqlite { read, write };
        migrate::run(&db).await?;
        Ok(db)
    }

    /// `SQLite` or `PostgreSQL`, for people.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }

    /// A transaction that only reads.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where no connection is to be had.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { read, .. } => Tx::Sqlite(read.begin().await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// A transaction that writes.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where no connection is to be had.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            // A deferred transaction that reads first and writes later fails at once when another
            // one wrote in between (BUSY_SNAPSHOT, which `busy_timeout` does not retry).
            Self::Sqlite { write, .. } => Tx::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut tx = self.read().await?;
        on!(&mut tx, |conn| sqlx::query("SELECT 1")
            .execute(&mut **conn)
            .await
            .map(|_| ()))?;
        Ok(())
    }

    /// How many connections there are now.
    pub fn connections(&self) -> Vec<Connections> {
        match self {
            Self::Sqlite { read, write } => vec![
                Connections::of("read", read),
                Connections::of("write", write),
            ],
            Self::Postgres(pool) => vec![Connections::of("all", pool)],
        }
    }

    /// Closes every connection after the work on it; `SQLite` then folds its log into the file.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Makes it durable. Nothing may be acknowledged before this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it is not known to be durable.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
        .map_err(StoreError::from)
    }
}
