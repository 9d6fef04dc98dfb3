//! Whether the process lives, and whether it can serve.

use std::time::Duration;

use crate::{app::App, store::StoreError};

pub(crate) mod http;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why requests cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database did not answer in time.
    #[error("the database does not answer")]
    Slow,
    /// There is no key to sign with: it was replaced, and the new one cannot be opened.
    #[error("there is no key to sign with")]
    NoKey,
}

/// Whether the database answers and there is a key to sign with. Migrations are done once the process
/// listens.
///
/// # Errors
///
/// [`NotReady`] says what is missing.
pub async fn ready(app: &App) -> Result<(), NotReady> {
    tokio::time::timeout(PATIENCE, app.db.ping())
        .await
        .map_err(|_| NotReady::Slow)??;
    match app.keys.current() {
        Some(_) => Ok(()),
        None => Err(NotReady::NoKey),
    }
}
