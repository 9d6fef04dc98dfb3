//! SQL of the stored keys.

use super::states::{Key, State};
use crate::{
    store::{StoreError, Timestamp, Tx, on},
    token::Algorithm,
};

/// A key as it is stored.
#[derive(sqlx::FromRow)]
pub(super) struct StoredKey {
    pub(super) kid: String,
    pub(super) algorithm: String,
    /// Empty once the key is removed.
    pub(super) sealed: Vec<u8>,
    slot: Option<String>,
    created_at: Timestamp,
    activated_at: Option<Timestamp>,
    retired_at: Option<Timestamp>,
    removed_at: Option<Timestamp>,
}

const PENDING: &str = "pending";
const ACTIVE: &str = "active";

impl StoredKey {
    pub(super) fn is_removed(&self) -> bool {
        self.removed_at.is_some()
    }

    pub(super) fn key(&self) -> Key {
        let (state, since) = match (self.removed_at, self.slot.as_deref(), self.retired_at) {
            (Some(at), _, _) => (State::Removed, at),
            (None, Some(ACTIVE), _) => {
                (State::Active, self.activated_at.unwrap_or(self.created_at))
            }
            (None, Some(_), _) => (State::Pending, self.created_at),
            (None, None, Some(at)) => (State::Retiring, at),
            (None, None, None) => (State::Unplaced, self.created_at),
        };
        Key {
            kid: self.kid.clone(),
            // A newer version's: it cannot be opened here, and is no reason to follow no other.
            algorithm: self.algorithm.parse().ok(),
            state,
            since,
            created_at: self.created_at,
        }
    }
}

/// How often keys were changed.
pub(super) async fn version(tx: &mut Tx) -> Result<i64, StoreError> {
    const SQL: &str = "SELECT version FROM countersign_key_changes WHERE id = 1";
    Ok(on!(tx, |conn| sqlx::query_scalar(SQL)
        .fetch_one(&mut **conn)
        .await)?)
}

/// Counts a change, and so waits for every other one that is under way: what is read after this is so
/// until the end of the transaction.
pub(super) async fn begin_change(tx: &mut Tx) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE countersign_key_changes SET version = version + 1 WHERE id = 1";
    on!(tx, |conn| sqlx::query(SQL)
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}

/// Every key, the oldest first.
pub(super) async fn list(tx: &mut Tx) -> Result<Vec<StoredKey>, StoreError> {
    const SQL: &str = "SELECT kid, algorithm, sealed, slot, created_at, activated_at, retired_at, \
                       removed_at FROM countersign_keys ORDER BY created_at, kid";
    Ok(on!(tx, |conn| sqlx::query_as(SQL)
        .fetch_all(&mut **conn)
        .await)?)
}

/// A new key, pending or active. One key at a time can be either, by the column's uniqueness.
pub(super) async fn insert(
    tx: &mut Tx,
    key: &Key,
    algorithm: Algorithm,
    sealed: &[u8],
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO countersign_keys \
                       (kid, algorithm, sealed, slot, created_at, activated_at) \
                       VALUES ($1, $2, $3, $4, $5, $6)";
    let is_active = key.state == State::Active;
    on!(tx, |conn| sqlx::query(SQL)
        .bind(&key.kid)
        .bind(algorithm.as_str())
        .bind(sealed)
        .bind(if is_active { ACTIVE } else { PENDING })
        .bind(key.created_at)
        .bind(is_active.then_some(key.since))
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}

/// It signs from here on, unless it is on its way out.
pub(super) async fn activate(tx: &mut Tx, kid: &str, at: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE countersign_keys SET slot = 'active', activated_at = $2 \
                       WHERE kid = $1 AND retired_at IS NULL AND removed_at IS NULL";
    set(tx, SQL, kid, at).await
}

/// It signs no more.
pub(super) async fn retire(tx: &mut Tx, kid: &str, now: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE countersign_keys SET slot = NULL, retired_at = $2 \
                       WHERE kid = $1 AND retired_at IS NULL AND removed_at IS NULL";
    set(tx, SQL, kid, now).await
}

/// It is where it is since another time.
pub(super) async fn redate(
    tx: &mut Tx,
    kid: &str,
    state: State,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = match state {
        State::Pending => {
            "UPDATE countersign_keys SET created_at = $2 WHERE kid = $1 AND slot = 'pending'"
        }
        State::Active => {
            "UPDATE countersign_keys SET activated_at = $2 WHERE kid = $1 AND slot = 'active'"
        }
        State::Retiring => {
            "UPDATE countersign_keys SET retired_at = $2 WHERE kid = $1 AND removed_at IS NULL"
        }
        State::Unplaced | State::Removed => return Ok(()),
    };
    set(tx, sql, kid, at).await
}

/// It is gone; its private part too.
pub(super) async fn remove(tx: &mut Tx, kid: &str, now: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE countersign_keys SET slot = NULL, removed_at = $2, sealed = $3 \
                       WHERE kid = $1 AND removed_at IS NULL";
    let nothing: &[u8] = &[];
    on!(tx, |conn| sqlx::query(SQL)
        .bind(kid)
        .bind(now)
        .bind(nothing)
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}

async fn set(tx: &mut Tx, sql: &'static str, kid: &str, at: Timestamp) -> Result<(), StoreError> {
    on!(tx, |conn| sqlx::query(sql)
        .bind(kid)
        .bind(at)
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}

/// Its private part under another master key.
pub(super) async fn reseal(tx: &mut Tx, kid: &str, sealed: &[u8]) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE countersign_keys SET sealed = $2 \
                       WHERE kid = $1 AND removed_at IS NULL";
    on!(tx, |conn| sqlx::query(SQL)
        .bind(kid)
        .bind(sealed)
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}

/// Forgets that keys were there which went before a time.
pub(super) async fn forget(tx: &mut Tx, before: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM countersign_keys WHERE removed_at < $1";
    on!(tx, |conn| sqlx::query(SQL)
        .bind(before)
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}

/// As the migration to states leaves what was there before it.
#[cfg(test)]
pub(super) async fn unplace(tx: &mut Tx, kid: &str) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE countersign_keys SET slot = NULL, activated_at = NULL WHERE kid = $1";
    on!(tx, |conn| sqlx::query(SQL)
        .bind(kid)
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}
