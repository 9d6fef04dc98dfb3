//! Issuing access tokens.

use std::time::Duration;

use countersign_types::Token;
use jsonwebtoken::Header;
use uuid::Uuid;

use super::{ACCESS_TOKEN_TYPE, Claims, SigningKey};

/// Signs access tokens of one issuer for one audience.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The key.
    pub key: SigningKey,
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// How long a token lives.
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

/// The crypto library could not sign.
#[derive(Debug, thiserror::Error)]
#[error("the token could not be signed")]
pub struct SignError(#[source] jsonwebtoken::errors::Error);

impl Signer {
    /// An access token with the given id, issued `now` (seconds since 1970).
    ///
    /// # Errors
    ///
    /// [`SignError`] where the crypto library fails.
    pub fn sign(&self, subject: Subject<'_>, jti: Uuid, now: i64) -> Result<Token, SignError> {
        self.sign_claims(&Claims {
            iss: self.issuer.clone(),
            sub: subject.account,
            aud: self.audience.clone(),
            exp: now.saturating_add(i64::try_from(self.access_ttl.as_secs()).unwrap_or(i64::MAX)),
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

    pub(super) fn sign_claims(&self, claims: &Claims) -> Result<Token, SignError> {
        let header = Header {
            typ: Some(ACCESS_TOKEN_TYPE.to_owned()),
            kid: Some(self.key.kid.clone()),
            ..Header::new(self.key.algorithm.to_jwt())
        };
        jsonwebtoken::encode(&header, claims, &self.key.key)
            .map(Token::from)
            .map_err(SignError)
    }
}
