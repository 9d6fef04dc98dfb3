//! What an access token says.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The claims of an access token (RFC 9068 §2.2). Every one of them is required, since a claim
/// that may be absent is a check that may be skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// The account's id. Applications key on this, never on the address.
    pub sub: Uuid,
    /// Whom it is for.
    pub aud: String,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
    /// When it starts to hold, in seconds since 1970.
    pub nbf: i64,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// Its own id.
    pub jti: Uuid,
    /// The session's id: ending the session ends the token.
    pub sid: Uuid,
    /// When the person last proved presence, in seconds since 1970.
    pub auth_time: i64,
    /// How (RFC 8176), such as `pwd`.
    pub amr: Vec<String>,
    /// The account's address when the token was issued.
    pub email: String,
    /// Whether that address was confirmed.
    pub email_verified: bool,
}
