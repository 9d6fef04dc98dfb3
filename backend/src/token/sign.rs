//! Issuing access tokens.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_types::Token;
use serde_json::json;
use uuid::Uuid;

use super::{ACCESS_TOKEN_TYPE, Claims, KeyError, SigningKey};

/// Signs access tokens of one issuer for one audience.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The key.
    pub key: SigningKey,
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// How long a token lives, if its session does.
    pub access_ttl: Duration,
}

/// Whom a token is for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The account.
    pub account: Uuid,
    /// Its address.
    pub email: &'a str,
    /// Whether that was confirmed.
    pub email_verified: bool,
    /// The session that the token hangs on.
    pub session: Uuid,
    /// When the person last proved presence, in seconds since 1970.
    pub auth_time: i64,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The crypto library failed.
    #[error("the token could not be signed")]
    Key(#[from] KeyError),
    /// The claims have no JSON.
    #[error("the claims could not be written")]
    Claims(#[from] serde_json::Error),
}

impl Signer {
    /// An access token with the given id, issued `now` (seconds since 1970), that expires after
    /// `lifetime`.
    ///
    /// # Errors
    ///
    /// [`SignError`] where the crypto library fails.
    pub fn sign(
        &self,
        subject: Subject<'_>,
        jti: Uuid,
        now: i64,
        lifetime: Duration,
    ) -> Result<Token, SignError> {
        self.sign_claims(&Claims {
            iss: self.issuer.clone(),
            sub: subject.account,
            aud: self.audience.clone(),
            exp: now.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)),
            nbf: now,
            iat: now,
            jti,
            sid: subject.session,
            auth_time: subject.auth_time,
            amr: vec!["pwd".to_owned()],
            email: subject.email.to_owned(),
            email_verified: subject.email_verified,
        })
    }

    /// The compact serialisation (RFC 7515 §7.1).
    pub(super) fn sign_claims(&self, claims: &Claims) -> Result<Token, SignError> {
        let header = json!({
            "alg": self.key.algorithm().as_str(),
            "kid": self.key.kid(),
            "typ": ACCESS_TOKEN_TYPE,
        });
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims)?, &mut token);
        let signature = self.key.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token.into())
    }
}
