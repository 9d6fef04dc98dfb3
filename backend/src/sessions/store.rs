//! SQL of sessions and refresh tokens.
//!
//! Whatever changes a session's tokens changes its row first, so that two of them wait for each
//! other there and never the other way round.

use super::{
    Listed, RefreshTokenHash, Session,
    device::UserAgent,
    refresh::{Presented, Spent},
};
use crate::{
    accounts::Account,
    store::{AccountId, SessionId, StoreError, Timestamp, Tx, on},
};

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: SessionId,
    account_id: AccountId,
    created_at: Timestamp,
    auth_time: Timestamp,
    last_used_at: Timestamp,
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
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
            ended_at: row.ended_at,
        }
    }
}

#[derive(sqlx::FromRow)]
struct ListedRow {
    #[sqlx(flatten)]
    session: SessionRow,
    user_agent: Option<String>,
}

/// A refresh token with its session and account.
#[derive(sqlx::FromRow)]
struct PresentedRow {
    used_at: Option<Timestamp>,
    successor: Option<Vec<u8>>,
    session_id: SessionId,
    session_created_at: Timestamp,
    account_id: AccountId,
    email: String,
    email_verified_at: Option<Timestamp>,
    account_created_at: Timestamp,
}

impl From<PresentedRow> for Presented {
    fn from(row: PresentedRow) -> Self {
        Self {
            session_id: row.session_id,
            session_created_at: row.session_created_at,
            account: Account {
                id: row.account_id,
                email: row.email,
                email_verified_at: row.email_verified_at,
                created_at: row.account_created_at,
            },
            spent: row.used_at.map(|used_at| Spent {
                used_at,
                successor: row.successor,
            }),
        }
    }
}

pub(super) async fn insert(
    tx: &mut Tx,
    session: &Session,
    user_agent: Option<&UserAgent>,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO countersign_sessions \
                       (id, account_id, created_at, auth_time, last_used_at, expires_at, \
                       ended_at, user_agent) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    on!(tx, |conn| sqlx::query(SQL)
        .bind(session.id)
        .bind(session.account_id)
        .bind(session.created_at)
        .bind(session.auth_time)
        .bind(session.last_used_at)
        .bind(session.expires_at)
        .bind(session.ended_at)
        .bind(user_agent.map(UserAgent::as_str))
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}

pub(super) async fn find(tx: &mut Tx, id: SessionId) -> Result<Option<Session>, StoreError> {
    const SQL: &str = "SELECT id, account_id, created_at, auth_time, last_used_at, expires_at, \
                       ended_at FROM countersign_sessions WHERE id = $1";
    let row: Option<SessionRow> = on!(tx, |conn| sqlx::query_as(SQL)
        .bind(id)
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(row.map(Session::from))
}

/// The live sessions of an account, the last used first.
pub(super) async fn list(
    tx: &mut Tx,
    account: AccountId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Listed>, StoreError> {
    const SQL: &str = "SELECT id, account_id, created_at, auth_time, last_used_at, expires_at, \
                       ended_at, user_agent FROM countersign_sessions \
                       WHERE account_id = $1 AND ended_at IS NULL AND expires_at > $2 \
                       ORDER BY last_used_at DESC, id DESC LIMIT $3";
    let rows: Vec<ListedRow> = on!(tx, |conn| sqlx::query_as(SQL)
        .bind(account)
        .bind(now)
        .bind(i64::from(limit))
        .fetch_all(&mut **conn)
        .await)?;
    Ok(rows
        .into_iter()
        .map(|row| Listed {
            session: row.session.into(),
            user_agent: row.user_agent.map(UserAgent::from_stored),
        })
        .collect())
}

/// Notes a use and moves the end, where the session lives; `None` where it does not.
pub(super) async fn prolong(
    tx: &mut Tx,
    id: SessionId,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<Option<Session>, StoreError> {
    const SQL: &str = "UPDATE countersign_sessions SET last_used_at = $2, expires_at = $3 \
                       WHERE id = $1 AND ended_at IS NULL AND expires_at > $2 AND $3 > $2 \
                       RETURNING id, account_id, created_at, auth_time, last_used_at, expires_at, \
                       ended_at";
    let row: Option<SessionRow> = on!(tx, |conn| sqlx::query_as(SQL)
        .bind(id)
        .bind(now)
        .bind(expires_at)
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(row.map(Session::from))
}

/// Ends a session; whether it lived until now. Ended stays ended at the first time.
pub(super) async fn end(tx: &mut Tx, id: SessionId, now: Timestamp) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE countersign_sessions SET ended_at = $2 \
                       WHERE id = $1 AND ended_at IS NULL RETURNING expires_at";
    let expires_at: Option<Timestamp> = on!(tx, |conn| sqlx::query_scalar(SQL)
        .bind(id)
        .bind(now)
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(expires_at.is_some_and(|expires_at| now < expires_at))
}

/// Ends a live session of this account; whether there was one.
pub(super) async fn end_own(
    tx: &mut Tx,
    account: AccountId,
    id: SessionId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE countersign_sessions SET ended_at = $3 \
                       WHERE id = $1 AND account_id = $2 AND ended_at IS NULL AND expires_at > $3 \
                       RETURNING id";
    let ended: Option<SessionId> = on!(tx, |conn| sqlx::query_scalar(SQL)
        .bind(id)
        .bind(account)
        .bind(now)
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(ended.is_some())
}

/// Ends every session of an account but `kept`; which these were.
pub(super) async fn end_all(
    tx: &mut Tx,
    account: AccountId,
    kept: Option<SessionId>,
    now: Timestamp,
) -> Result<Vec<SessionId>, StoreError> {
    const SQL: &str = "UPDATE countersign_sessions SET ended_at = $3 \
                       WHERE account_id = $1 AND ended_at IS NULL AND expires_at > $3 \
                       AND id <> $2 RETURNING id";
    Ok(on!(tx, |conn| sqlx::query_scalar(SQL)
        .bind(account)
        // No session has the id of all zeros.
        .bind(kept.unwrap_or_else(|| uuid::Uuid::nil().into()))
        .bind(now)
        .fetch_all(&mut **conn)
        .await)?)
}

/// Ends the oldest live sessions of an account, so that beside `new` there are at most `others`;
/// which these were.
pub(super) async fn end_oldest(
    tx: &mut Tx,
    account: AccountId,
    new: SessionId,
    others: u32,
    now: Timestamp,
) -> Result<Vec<SessionId>, StoreError> {
    const SQL: &str = "UPDATE countersign_sessions SET ended_at = $2 \
                       WHERE account_id = $1 AND ended_at IS NULL AND expires_at > $2 \
                       AND id <> $4 AND id NOT IN (SELECT id FROM countersign_sessions \
                       WHERE account_id = $1 AND ended_at IS NULL AND expires_at > $2 \
                       AND id <> $4 ORDER BY created_at DESC, id DESC LIMIT $3) RETURNING id";
    Ok(on!(tx, |conn| sqlx::query_scalar(SQL)
        .bind(account)
        .bind(now)
        .bind(i64::from(others))
        .bind(new)
        .fetch_all(&mut **conn)
        .await)?)
}

pub(super) async fn insert_token(
    tx: &mut Tx,
    hash: RefreshTokenHash,
    session: SessionId,
    now: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO countersign_refresh_tokens (hash, session_id, created_at) \
                       VALUES ($1, $2, $3)";
    on!(tx, |conn| sqlx::query(SQL)
        .bind(hash.as_bytes())
        .bind(session)
        .bind(now)
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}

pub(super) async fn find_presented(
    tx: &mut Tx,
    hash: RefreshTokenHash,
) -> Result<Option<Presented>, StoreError> {
    const SQL: &str = "SELECT t.used_at, t.successor, t.session_id, \
                       s.created_at AS session_created_at, s.account_id, a.email, \
                       a.email_verified_at, a.created_at AS account_created_at \
                       FROM countersign_refresh_tokens t \
                       JOIN countersign_sessions s ON s.id = t.session_id \
                       JOIN countersign_accounts a ON a.id = s.account_id WHERE t.hash = $1";
    let row: Option<PresentedRow> = on!(tx, |conn| sqlx::query_as(SQL)
        .bind(hash.as_bytes())
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(row.map(Presented::from))
}

/// Spends a token and keeps its sealed successor; whether it was not spent before. One statement,
/// so that of two who present it at once only one can win (RFC 9700 §4.14.2).
pub(super) async fn spend(
    tx: &mut Tx,
    hash: RefreshTokenHash,
    now: Timestamp,
    successor: &[u8],
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE countersign_refresh_tokens SET used_at = $2, successor = $3 \
                       WHERE hash = $1 AND used_at IS NULL RETURNING hash";
    let spent: Option<Vec<u8>> = on!(tx, |conn| sqlx::query_scalar(SQL)
        .bind(hash.as_bytes())
        .bind(now)
        .bind(successor)
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(spent.is_some())
}

/// Erases what the other tokens of a session have sealed: their successors were used.
pub(super) async fn erase_successors(
    tx: &mut Tx,
    session: SessionId,
    but_of: RefreshTokenHash,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE countersign_refresh_tokens SET successor = NULL \
                       WHERE session_id = $1 AND hash <> $2 AND successor IS NOT NULL";
    on!(tx, |conn| sqlx::query(SQL)
        .bind(session)
        .bind(but_of.as_bytes())
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}

/// What the sweep forgets, in the order in which it does: the tokens of a session before the
/// session, since a session that takes thousands of rows with it is no small step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sweep {
    /// Sealed successors of tokens that were spent before.
    Successors,
    /// Tokens of sessions that were ended before.
    TokensOfEnded,
    /// Sessions that were ended before, once they have no tokens.
    Ended,
    /// Tokens of sessions that were over by themselves before.
    TokensOfExpired,
    /// Sessions that were over by themselves before, once they have no tokens.
    Expired,
}

impl Sweep {
    pub(super) const ALL: [Self; 5] = [
        Self::Successors,
        Self::TokensOfEnded,
        Self::Ended,
        Self::TokensOfExpired,
        Self::Expired,
    ];

    /// `$1` is the time before which, `$2` how many rows at most.
    const fn sql(self) -> &'static str {
        match self {
            Self::Successors => {
                "UPDATE countersign_refresh_tokens SET successor = NULL WHERE hash IN \
                 (SELECT hash FROM countersign_refresh_tokens \
                 WHERE successor IS NOT NULL AND used_at < $1 LIMIT $2)"
            }
            Self::TokensOfEnded => {
                "DELETE FROM countersign_refresh_tokens WHERE hash IN \
                 (SELECT t.hash FROM countersign_sessions s \
                 JOIN countersign_refresh_tokens t ON t.session_id = s.id \
                 WHERE s.ended_at < $1 LIMIT $2)"
            }
            Self::Ended => {
                "DELETE FROM countersign_sessions WHERE id IN \
                 (SELECT s.id FROM countersign_sessions s WHERE s.ended_at < $1 \
                 AND NOT EXISTS (SELECT 1 FROM countersign_refresh_tokens t \
                 WHERE t.session_id = s.id) LIMIT $2)"
            }
            Self::TokensOfExpired => {
                "DELETE FROM countersign_refresh_tokens WHERE hash IN \
                 (SELECT t.hash FROM countersign_sessions s \
                 JOIN countersign_refresh_tokens t ON t.session_id = s.id \
                 WHERE s.expires_at < $1 LIMIT $2)"
            }
            Self::Expired => {
                "DELETE FROM countersign_sessions WHERE id IN \
                 (SELECT s.id FROM countersign_sessions s WHERE s.expires_at < $1 \
                 AND NOT EXISTS (SELECT 1 FROM countersign_refresh_tokens t \
                 WHERE t.session_id = s.id) LIMIT $2)"
            }
        }
    }
}

/// Forgets up to `batch` rows of what was over `before`; how many these were.
pub(super) async fn sweep(
    tx: &mut Tx,
    what: Sweep,
    before: Timestamp,
    batch: u32,
) -> Result<u64, StoreError> {
    Ok(on!(tx, |conn| sqlx::query(what.sql())
        .bind(before)
        .bind(i64::from(batch))
        .execute(&mut **conn)
        .await
        .map(|done| done.rows_affected()))?)
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;
    use crate::store::Db;

    /// A sweep runs every minute, and on `SQLite` nobody else writes meanwhile: none may read all
    /// rows to find that there is nothing to do.
    #[tokio::test]
    async fn no_sweep_scans_a_table() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(&folder.path().join("test.db"))
            .await
            .unwrap();
        let Db::Sqlite { read, .. } = &db else {
            unreachable!()
        };
        for what in Sweep::ALL {
            let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", what.sql()));
            let plan = sqlx::query(sql)
                .bind(0_i64)
                .bind(1_i64)
                .fetch_all(read)
                .await
                .unwrap();
            let steps: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();

            assert!(
                !steps.iter().any(|step| step.starts_with("SCAN ")),
                "{what:?}: {steps:#?}"
            );
            let wanted = match what {
                Sweep::Successors => "countersign_refresh_tokens_grace",
                Sweep::TokensOfEnded | Sweep::Ended => "countersign_sessions_ended",
                Sweep::TokensOfExpired | Sweep::Expired => "countersign_sessions_expires",
            };
            assert!(
                steps.iter().any(|step| step.contains(wanted)),
                "{what:?}: {steps:#?}"
            );
        }
    }
}
