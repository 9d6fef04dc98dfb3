//! The token layer: claims, keys, signing, verifying, JWKS.
//!
//! Pure: no axum, no sqlx, no tokio, no clock. The time is an argument, and nothing here asks
//! whether a session still lives; that is the gate's matter (`sessions/gate.rs`).

mod algorithm;
mod claims;
mod explain;
mod import;
mod jws;
mod keys;
mod known_secrets;
mod pem;
mod profile;
mod sign;
mod sources;
#[cfg(test)]
mod tests;
mod verify;
mod verifying;
#[cfg(test)]
mod wycheproof;

use std::time::Duration;

#[cfg(feature = "remote-jwks")]
pub(crate) use self::import::PRIVATE_MEMBERS;
#[cfg(feature = "server")]
pub(crate) use self::known_secrets::is_known_secret;
pub use self::{
    algorithm::Algorithm,
    claims::{AnyClaims, Audience, Claims, NoCustomClaims, Scope, TokenClaims, Verified},
    explain::{Finding, Unverified},
    import::{JwksError, MAX_JWKS_BYTES},
    keys::{KeyError, PrivateKey, SigningKey},
    profile::{Profile, UnknownProfile},
    sign::{Grant, SignError, Signer, Subject},
    sources::{KeySource, SharedKeys, SigningKeys},
    verify::{Rejection, Verifier},
    verifying::{PublicKeys, VerifyingKey},
};

/// The `typ` of access tokens (RFC 9068 §2.1): no other kind of token carries it, so none can be
/// mistaken for one.
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Whole seconds, as claims have them.
fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
