//! SQL of the stored keys.

use crate::{
    store::{StoreError, Timestamp, Tx, on},
    token::Algorithm,
};

#[derive(sqlx::FromRow)]
pub(super) struct StoredKey {
    pub(super) kid: String,
    pub(super) algorithm: String,
    pub(super) sealed: Vec<u8>,
    /// The algorithm again, while the key signs.
    pub(super) signs: Option<String>,
}

/// Every key, the oldest first.
pub(super) async fn list(tx: &mut Tx) -> Result<Vec<StoredKey>, StoreError> {
    const SQL: &str =
        "SELECT kid, algorithm, sealed, signs FROM countersign_keys ORDER BY created_at, kid";
    Ok(on!(tx, |conn| sqlx::query_as(SQL)
        .fetch_all(&mut **conn)
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
