//! SQL of sessions.

use super::Session;
use crate::store::{AccountId, SessionId, StoreError, Timestamp, Tx, on};

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: SessionId,
    account_id: AccountId,
    created_at: Timestamp,
    auth_time: Timestamp,
    expires_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        Self {
            id: row.id,
            account_id: row.account_id,
            auth_time: row.auth_time,
            created_at: row.created_at,
            expires_at: row.expires_at,
            ended_at: row.ended_at,
        }
    }
}

pub(super) async fn insert(tx: &mut Tx, session: &Session) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO countersign_sessions \
                       (id, account_id, created_at, auth_time, expires_at, ended_at) \
                       VALUES ($1, $2, $3, $4, $5, $6)";
    on!(tx, |conn| sqlx::query(SQL)
        .bind(session.id)
        .bind(session.account_id)
        .bind(session.created_at)
        .bind(session.auth_time)
        .bind(session.expires_at)
        .bind(session.ended_at)
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}

pub(super) async fn find(tx: &mut Tx, id: SessionId) -> Result<Option<Session>, StoreError> {
    const SQL: &str = "SELECT id, account_id, created_at, auth_time, expires_at, ended_at \
                       FROM countersign_sessions WHERE id = $1";
    let row: Option<SessionRow> = on!(tx, |conn| sqlx::query_as(SQL)
        .bind(id)
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(row.map(Session::from))
}

/// Ended stays ended at the first time.
pub(super) async fn end(tx: &mut Tx, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE countersign_sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";
    on!(tx, |conn| sqlx::query(SQL)
        .bind(id)
        .bind(now)
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}
