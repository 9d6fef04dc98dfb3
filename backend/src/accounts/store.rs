//! SQL of accounts.

use super::{Account, Credentials, Standing};
use crate::{
    password::PasswordHash,
    store::{AccountId, StoreError, Timestamp, Tx, on},
};

#[derive(sqlx::FromRow)]
struct AccountRow {
    id: AccountId,
    email: String,
    email_verified_at: Option<Timestamp>,
    created_at: Timestamp,
}

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Self {
        Self {
            id: row.id,
            email: row.email,
            email_verified_at: row.email_verified_at,
            created_at: row.created_at,
        }
    }
}

#[derive(sqlx::FromRow)]
struct CredentialsRow {
    #[sqlx(flatten)]
    account: AccountRow,
    password_hash: String,
}

#[derive(sqlx::FromRow)]
struct StandingRow {
    #[sqlx(flatten)]
    account: AccountRow,
    tokens_valid_from: Timestamp,
}

impl From<StandingRow> for Standing {
    fn from(row: StandingRow) -> Self {
        Self {
            account: row.account.into(),
            tokens_valid_from: row.tokens_valid_from,
        }
    }
}

/// Whether the account was inserted; not where the address is taken.
pub(super) async fn insert(
    tx: &mut Tx,
    account: &Account,
    email_key: &str,
    hash: &PasswordHash,
) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO countersign_accounts \
                       (id, email, email_key, email_verified_at, password_hash, created_at) \
                       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (email_key) DO NOTHING \
                       RETURNING id";
    let inserted: Option<AccountId> = on!(tx, |conn| sqlx::query_scalar(SQL)
        .bind(account.id)
        .bind(&account.email)
        .bind(email_key)
        .bind(account.email_verified_at)
        .bind(hash.as_str())
        .bind(account.created_at)
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(inserted.is_some())
}

pub(super) async fn find_credentials(
    tx: &mut Tx,
    email_key: &str,
) -> Result<Option<Credentials>, StoreError> {
    const SQL: &str = "SELECT id, email, email_verified_at, created_at, password_hash \
                       FROM countersign_accounts WHERE email_key = $1";
    let row: Option<CredentialsRow> = on!(tx, |conn| sqlx::query_as(SQL)
        .bind(email_key)
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(row.map(|row| Credentials {
        account: row.account.into(),
        password_hash: PasswordHash::from_stored(row.password_hash),
    }))
}

pub(super) async fn find(tx: &mut Tx, id: AccountId) -> Result<Option<Account>, StoreError> {
    const SQL: &str = "SELECT id, email, email_verified_at, created_at \
                       FROM countersign_accounts WHERE id = $1";
    let row: Option<AccountRow> = on!(tx, |conn| sqlx::query_as(SQL)
        .bind(id)
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(row.map(Account::from))
}

pub(super) async fn find_standing(
    tx: &mut Tx,
    id: AccountId,
) -> Result<Option<Standing>, StoreError> {
    const SQL: &str = "SELECT id, email, email_verified_at, created_at, tokens_valid_from \
                       FROM countersign_accounts WHERE id = $1";
    let row: Option<StandingRow> = on!(tx, |conn| sqlx::query_as(SQL)
        .bind(id)
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(row.map(Standing::from))
}

pub(super) async fn find_standing_by_email(
    tx: &mut Tx,
    email_key: &str,
) -> Result<Option<Standing>, StoreError> {
    const SQL: &str = "SELECT id, email, email_verified_at, created_at, tokens_valid_from \
                       FROM countersign_accounts WHERE email_key = $1";
    let row: Option<StandingRow> = on!(tx, |conn| sqlx::query_as(SQL)
        .bind(email_key)
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(row.map(Standing::from))
}

/// Never sets the time back, whatever the clock did.
pub(super) async fn end_tokens(
    tx: &mut Tx,
    id: AccountId,
    now: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE countersign_accounts SET tokens_valid_from = $2 \
                       WHERE id = $1 AND tokens_valid_from < $2";
    on!(tx, |conn| sqlx::query(SQL)
        .bind(id)
        .bind(now)
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}

pub(super) async fn replace_hash(
    tx: &mut Tx,
    id: AccountId,
    old: &PasswordHash,
    new: &PasswordHash,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE countersign_accounts SET password_hash = $3 \
                       WHERE id = $1 AND password_hash = $2";
    on!(tx, |conn| sqlx::query(SQL)
        .bind(id)
        .bind(old.as_str())
        .bind(new.as_str())
        .execute(&mut **conn)
        .await
        .map(|_| ()))?;
    Ok(())
}
