//! Keys. Each is bound to one algorithm, so that no token can choose another.

use std::{collections::HashMap, fmt, str::FromStr};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use jsonwebtoken::{
    DecodingKey, EncodingKey,
    jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};
use zeroize::Zeroizing;

/// A signature algorithm (RFC 7518 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// HMAC with SHA-256: whoever verifies can also issue.
    Hs256,
}

impl Algorithm {
    /// Every algorithm there is, by name.
    pub const ALL: [Self; 2] = [Self::Es256, Self::Hs256];

    /// The name in `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
        }
    }

    /// Whether one secret both signs and verifies.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256)
    }

    pub(super) const fn to_jwt(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = KeyError;

    /// Exactly the names of RFC 7518: they are case-sensitive there.
    fn from_str(name: &str) -> Result<Self, KeyError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
            .ok_or(KeyError::UnknownAlgorithm)
    }
}

/// What is wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// None of [`Algorithm::ALL`].
    #[error("unknown algorithm; known are ES256 and HS256")]
    UnknownAlgorithm,
    /// The bytes are no key of the algorithm.
    #[error("not a key of this algorithm")]
    Malformed,
    /// An HMAC secret shorter than its hash (RFC 7518 §3.2).
    #[error("the secret has {has} bytes, {needs} are needed")]
    SecretTooShort {
        /// Bytes it has.
        has: usize,
        /// Bytes it needs.
        needs: usize,
    },
    /// The crypto library failed.
    #[error("the key could not be made")]
    Generate,
}

/// A private key as it is kept: PKCS #8 in DER. Overwritten when dropped.
pub struct PrivateKey {
    algorithm: Algorithm,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl PrivateKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// [`KeyError::UnknownAlgorithm`] for HMAC, whose secrets are configured and never made;
    /// [`KeyError::Generate`] where the crypto library fails.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let pkcs8 = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                    .map_err(|_| KeyError::Generate)?
                    .as_ref()
                    .to_vec()
            }
            Algorithm::Hs256 => return Err(KeyError::UnknownAlgorithm),
        };
        Ok(Self {
            algorithm,
            pkcs8: Zeroizing::new(pkcs8),
        })
    }

    /// A key as it was kept.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: Zeroizing<Vec<u8>>) -> Self {
        Self { algorithm, pkcs8 }
    }

    /// The bytes to keep.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Which algorithm it signs with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key in the form that signs.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] where the bytes are no key of the algorithm.
    pub fn signing_key(&self) -> Result<SigningKey, KeyError> {
        match self.algorithm {
            Algorithm::Es256 => {
                // jsonwebtoken parses the key only when it signs; a bad one has to fail here.
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8)
                    .map_err(|_| KeyError::Malformed)?;
                SigningKey::new(self.algorithm, EncodingKey::from_ec_der(&self.pkcs8))
            }
            Algorithm::Hs256 => Err(KeyError::Malformed),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// A key that signs, with its `kid`.
#[derive(Clone)]
pub struct SigningKey {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) key: EncodingKey,
    jwk: Jwk,
}

impl SigningKey {
    fn new(algorithm: Algorithm, key: EncodingKey) -> Result<Self, KeyError> {
        let mut jwk =
            Jwk::from_encoding_key(&key, algorithm.to_jwt()).map_err(|_| KeyError::Malformed)?;
        // RFC 7638: the same key has the same name everywhere, and no two keys share one.
        let kid = jwk
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(|_| KeyError::Malformed)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self {
            kid,
            algorithm,
            key,
            jwk,
        })
    }

    /// An HMAC key.
    ///
    /// # Errors
    ///
    /// [`KeyError::SecretTooShort`] under 32 bytes (RFC 7518 §3.2).
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        const NEEDED: usize = 32;
        if secret.len() < NEEDED {
            return Err(KeyError::SecretTooShort {
                has: secret.len(),
                needs: NEEDED,
            });
        }
        Self::new(Algorithm::Hs256, EncodingKey::from_secret(secret))
    }

    /// The name of the key: its thumbprint (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Which algorithm it signs with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key that verifies what this one signs.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] where the public part cannot be read.
    pub fn verifying_key(&self) -> Result<VerifyingKey, KeyError> {
        let key = if self.algorithm.is_symmetric() {
            DecodingKey::from_secret(self.key.as_bytes())
        } else {
            DecodingKey::from_jwk(&self.jwk).map_err(|_| KeyError::Malformed)?
        };
        Ok(VerifyingKey {
            kid: self.kid.clone(),
            algorithm: self.algorithm,
            key,
            // A symmetric key must never be published.
            jwk: (!self.algorithm.is_symmetric()).then(|| self.jwk.clone()),
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// A key that verifies.
#[derive(Clone)]
pub struct VerifyingKey {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
    jwk: Option<Jwk>,
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The keys that may verify, by `kid`.
#[derive(Debug, Clone, Default)]
pub struct PublicKeys(HashMap<String, VerifyingKey>);

impl PublicKeys {
    pub(super) fn get(&self, kid: &str) -> Option<&VerifyingKey> {
        self.0.get(kid)
    }

    /// What `/.well-known/jwks.json` answers (RFC 7517 §5): public members only, so empty under
    /// HMAC.
    pub fn jwks(&self) -> JwkSet {
        let mut keys: Vec<_> = self.0.values().filter_map(|key| key.jwk.clone()).collect();
        keys.sort_by(|a, b| a.common.key_id.cmp(&b.common.key_id));
        JwkSet { keys }
    }
}

impl FromIterator<VerifyingKey> for PublicKeys {
    fn from_iter<I: IntoIterator<Item = VerifyingKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.kid.clone(), key)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_key_has_no_private_member() {
        let key = PrivateKey::generate(Algorithm::Es256)
            .unwrap()
            .signing_key()
            .unwrap();
        let jwks = PublicKeys::from_iter([key.verifying_key().unwrap()]).jwks();

        let json = serde_json::to_value(jwks).unwrap();

        let members: Vec<_> = json["keys"][0]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
        assert_eq!(json["keys"][0]["kid"], key.kid());
    }

    #[test]
    fn symmetric_key_is_never_published() {
        let key = SigningKey::from_secret(&[7; 32]).unwrap();

        let jwks = PublicKeys::from_iter([key.verifying_key().unwrap()]).jwks();

        assert_eq!(serde_json::to_string(&jwks).unwrap(), r#"{"keys":[]}"#);
    }

    #[test]
    fn kid_is_the_thumbprint_of_rfc_7638() {
        let key = SigningKey::from_secret(b"0123456789abcdef0123456789abcdef").unwrap();

        // SHA-256 of {"k":"MDEy…ZWY","kty":"oct"}, computed with another tool.
        assert_eq!(key.kid(), "XOBEfwKZzZgziWfq7yZzhEKNQfihBMioCzRbNmqUH0Y");
    }

    #[test]
    fn short_secret_is_refused_with_the_numbers() {
        let refused = SigningKey::from_secret(b"secret").unwrap_err();

        assert_eq!(refused.to_string(), "the secret has 6 bytes, 32 are needed");
    }

    #[test]
    fn debug_form_of_a_key_hides_it() {
        let key = PrivateKey::generate(Algorithm::Es256).unwrap();
        let text = format!("{key:?} {:?}", key.signing_key().unwrap());

        assert!(!text.contains("key:") && !text.contains('['), "{text}");
    }

    #[test]
    fn bytes_that_are_no_key_are_refused() {
        let key = PrivateKey::from_pkcs8(Algorithm::Es256, Zeroizing::new(vec![1, 2, 3]));

        assert_eq!(key.signing_key().unwrap_err(), KeyError::Malformed);
    }
}
