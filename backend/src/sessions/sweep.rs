//! Forgetting what is over, a few rows at a time.

use std::time::Duration;

use super::store::{self, Sweep};
use crate::{
    app::App,
    store::{StoreError, retrying},
};

/// How many rows a transaction touches: on `SQLite` everybody who writes waits for it.
const BATCH: u32 = 200;
/// How many transactions a sweep has at most, for each kind of row; the rest is the next one's.
const BATCHES: u32 = 50;
/// How long sessions are kept that are over. Unknown is as dead as ended, so nothing depends on
/// it; but a clock that jumps ahead by an hour must not delete sessions that are live once it is
/// set right again.
const KEPT: Duration = Duration::from_hours(24);

/// Forgets sessions that are over, and the successors that nobody can get any more. Safe to run on
/// several replicas at once.
///
/// A spent token stays as long as its session: a second use is noticed however late it comes.
///
/// # Errors
///
/// [`StoreError`] of what failed first; the rest was swept all the same.
pub async fn sweep(app: &App) -> Result<(), StoreError> {
    app.liveness.sweep(app.clock.now());
    let mut outcome = Ok(());
    for what in Sweep::ALL {
        let swept = sweep_all(app, what).await;
        outcome = outcome.and(swept);
    }
    outcome
}

async fn sweep_all(app: &App, what: Sweep) -> Result<(), StoreError> {
    let now = app.clock.now();
    let before = match what {
        // A second more, since the grace includes its last one.
        Sweep::Successors => now.minus(app.session_rules.refresh_grace + Duration::from_secs(1)),
        _ => now.minus(KEPT),
    };
    for _ in 0..BATCHES {
        let swept = retrying(|| async {
            let mut tx = app.db.write().await?;
            let swept = store::sweep(&mut tx, what, before, BATCH).await?;
            tx.commit().await?;
            Ok(swept)
        })
        .await?;
        if swept < u64::from(BATCH) {
            break;
        }
    }
    Ok(())
}
