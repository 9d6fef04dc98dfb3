//! SQL of the stored keys.

use crate::{
    store::{StoreError, Timestamp, Tx, on},
    token::Algorithm,
};

#[derive(sqlx::FromRow)]
pub(super) struct StoredKey {
    pub(super) kid: String,
    pub(super) sealed: Vec<u8>,
}

pub(super) async fn any(tx: &mut Tx) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT kid FROM countersign_keys LIMIT 1";
    let kid: Option<String> = on!(tx, |conn| sqlx::query_scalar(SQL)
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(kid.is_some())
}

pub(super) async fn find_signing(
    tx: &mut Tx,
    algorithm: Algorithm,
) -> Result<Option<StoredKey>, StoreError> {
    const SQL: &str = "SELECT kid, sealed FROM countersign_keys WHERE signs = $1";
    Ok(on!(tx, |conn| sqlx::query_as(SQL)
        .bind(algorithm.as_str())
        .fetch_optional(&mut **conn)
        .await)?)
}

/// Whether the row was inserted; not where another signing key of the algorithm is there.
pub(super) async fn insert_signing(
    tx: &mut Tx,
    kid: &str,
    algorithm: Algorithm,
    sealed: &[u8],
    now: Timestamp,
) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO countersign_keys (kid, algorithm, sealed, signs, created_at) \
                       VALUES ($1, $2, $3, $2, $4) ON CONFLICT (signs) DO NOTHING RETURNING kid";
    let inserted: Option<String> = on!(tx, |conn| sqlx::query_scalar(SQL)
        .bind(kid)
        .bind(algorithm.as_str())
        .bind(sealed)
        .bind(now)
        .fetch_optional(&mut **conn)
        .await)?;
    Ok(inserted.is_some())
}
