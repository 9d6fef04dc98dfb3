//! Forgetting what is over, a few rows at a time.

use std::time::Duration;

use super::store;
use crate::{
    app::App,
    store::{StoreError, Timestamp},
};

/// How many rows a transaction touches: on `SQLite` everybody who writes waits for it.
const BATCH: u32 = 200;
/// How many transactions a sweep has at most, for each kind of row; the rest is the next one's.
const BATCHES: u32 = 50;
/// How long sessions are kept that are over. Unknown is as dead as ended, so nothing depends on
/// it; but a clock that jumps ahead by an hour must not delete sessions that are live once it is
/// set right again.
const KEPT: Duration = Duration::from_hours(24);

/// Forgets sessions that are over, refresh tokens that were spent long ago, and the successors
/// that nobody can get any more. Safe to run on several replicas at once.
///
/// # Errors
///
/// [`StoreError`] where the database fails; what was swept before stays swept.
pub async fn sweep(app: &App) -> Result<(), StoreError> {
    let now = app.clock.now();
    let rules = &app.session_rules;
    app.liveness.sweep(now);
    let over = now.minus(KEPT);
    for kind in [
        // A second more, since the grace includes its last one.
        Kind::Successors(now.minus(rules.refresh_grace + Duration::from_secs(1))),
        // What is presented after so long is refused as unknown, as an idle session's token is.
        Kind::Spent(now.minus(rules.idle_ttl.max(KEPT))),
        Kind::Ended(over),
        Kind::Expired(over),
    ] {
        for _ in 0..BATCHES {
            if batch(app, kind).await? < u64::from(BATCH) {
                break;
            }
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Successors(Timestamp),
    Spent(Timestamp),
    Ended(Timestamp),
    Expired(Timestamp),
}

async fn batch(app: &App, kind: Kind) -> Result<u64, StoreError> {
    let mut tx = app.db.write().await?;
    let swept = match kind {
        Kind::Successors(before) => store::sweep_successors(&mut tx, before, BATCH).await?,
        Kind::Spent(before) => store::sweep_spent(&mut tx, before, BATCH).await?,
        Kind::Ended(before) => store::sweep_ended(&mut tx, before, BATCH).await?,
        Kind::Expired(before) => store::sweep_expired(&mut tx, before, BATCH).await?,
    };
    tx.commit().await?;
    Ok(swept)
}
