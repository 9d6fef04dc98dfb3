//! Keys. Each is bound to one algorithm, so that no token can choose another.

use std::{collections::HashMap, fmt, str::FromStr, sync::Arc};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    DecodingKey,
    jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse, ThumbprintHash},
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256 and 2048 bits: for readers that know nothing newer. Signing
    /// is some fifteen times as slow as with the two above.
    Rs256,
    /// HMAC with SHA-256: whoever verifies can also issue.
    Hs256,
}

impl Algorithm {
    /// Every algorithm there is, by name.
    pub const ALL: [Self; 4] = [Self::Es256, Self::EdDsa, Self::Rs256, Self::Hs256];

    /// The name in `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
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
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
        }
    }

    const fn to_jwk(self) -> KeyAlgorithm {
        match self {
            Self::Es256 => KeyAlgorithm::ES256,
            Self::EdDsa => KeyAlgorithm::EdDSA,
            Self::Rs256 => KeyAlgorithm::RS256,
            Self::Hs256 => KeyAlgorithm::HS256,
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
    #[error("unknown algorithm; known are ES256, EdDSA, RS256 and HS256")]
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
    /// The crypto library failed.
    #[error("the key could not sign")]
    Sign,
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
        let rng = SystemRandom::new();
        let failed = |_| KeyError::Generate;
        let pkcs8 = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng)
                    .map_err(failed)?
                    .as_ref()
                    .to_vec()
            }
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&rng)
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Algorithm::Rs256 => {
                let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let pkcs8: Pkcs8V1Der<'static> = key.as_der().map_err(failed)?;
                pkcs8.as_ref().to_vec()
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
        let bytes = self.pkcs8.as_slice();
        let held = match self.algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes).map(Held::Es256)
            }
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(bytes).map(Held::EdDsa),
            Algorithm::Rs256 => RsaKeyPair::from_pkcs8(bytes).map(Held::Rs256),
            Algorithm::Hs256 => return Err(KeyError::Malformed),
        };
        SigningKey::new(held.map_err(|_| KeyError::Malformed)?)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// A private key, parsed once: jsonwebtoken parses it for every token, which makes signing 1.6 to
/// 2.9 times as slow.
enum Held {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
    Hs256 {
        key: hmac::Key,
        secret: Zeroizing<Vec<u8>>,
    },
}

impl Held {
    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Es256(_) => Algorithm::Es256,
            Self::EdDsa(_) => Algorithm::EdDsa,
            Self::Rs256(_) => Algorithm::Rs256,
            Self::Hs256 { .. } => Algorithm::Hs256,
        }
    }

    /// The key as RFC 7518 §6 and RFC 8037 §2 write it: the public members, or the secret itself
    /// of a symmetric key, which only its thumbprint is made of.
    fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Es256(key) => {
                // SEC 1 §2.3.3: a byte that says «uncompressed», then both coordinates.
                let point = key.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
            }
            Self::EdDsa(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(key.public_key().as_ref()) })
            }
            Self::Rs256(key) => {
                let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
                json!({
                    "kty": "RSA",
                    "n": text(n.big_endian_without_leading_zero()),
                    "e": text(e.big_endian_without_leading_zero()),
                })
            }
            Self::Hs256 { secret, .. } => json!({ "kty": "oct", "k": text(secret) }),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let failed = |_| KeyError::Sign;
        let rng = SystemRandom::new();
        Ok(match self {
            Self::Es256(key) => key.sign(&rng, message).map_err(failed)?.as_ref().to_vec(),
            Self::EdDsa(key) => key.try_sign(message).map_err(failed)?.as_ref().to_vec(),
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature)
                    .map_err(failed)?;
                signature
            }
            Self::Hs256 { key, .. } => hmac::sign(key, message).as_ref().to_vec(),
        })
    }
}

/// A key that signs, with its `kid`. Cheap to clone.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    held: Arc<Held>,
    jwk: Jwk,
}

impl SigningKey {
    fn new(held: Held) -> Result<Self, KeyError> {
        let mut jwk: Jwk = serde_json::from_value(held.jwk()).map_err(|_| KeyError::Malformed)?;
        // RFC 7638: the same key has the same name everywhere, and no two keys share one.
        let kid = jwk
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(|_| KeyError::Malformed)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_algorithm = Some(held.algorithm().to_jwk());
        Ok(Self {
            kid,
            held: Arc::new(held),
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
        Self::new(Held::Hs256 {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            secret: Zeroizing::new(secret.to_vec()),
        })
    }

    /// The name of the key: its thumbprint (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Which algorithm it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.held.algorithm()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.held.sign(message)
    }

    /// The key that verifies what this one signs.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] where the public part cannot be read.
    pub fn verifying_key(&self) -> Result<VerifyingKey, KeyError> {
        let (key, jwk) = match &*self.held {
            // A symmetric key must never be published.
            Held::Hs256 { secret, .. } => (DecodingKey::from_secret(secret), None),
            _ => (
                DecodingKey::from_jwk(&self.jwk).map_err(|_| KeyError::Malformed)?,
                Some(self.jwk.clone()),
            ),
        };
        Ok(VerifyingKey {
            kid: self.kid.clone(),
            algorithm: self.algorithm(),
            key,
            jwk,
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm())
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
        for (algorithm, expected) in [
            (Algorithm::Es256, "alg crv kid kty use x y"),
            (Algorithm::EdDsa, "alg crv kid kty use x"),
            (Algorithm::Rs256, "alg e kid kty n use"),
        ] {
            let key = PrivateKey::generate(algorithm)
                .unwrap()
                .signing_key()
                .unwrap();
            let jwks = PublicKeys::from_iter([key.verifying_key().unwrap()]).jwks();

            let json = serde_json::to_value(jwks).unwrap();

            let members: Vec<_> = json["keys"][0]
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(members.join(" "), expected);
            assert_eq!(json["keys"][0]["kid"], key.kid());
            assert_eq!(json["keys"][0]["alg"], algorithm.as_str());
        }
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
        let ed = PrivateKey::generate(Algorithm::EdDsa).unwrap();
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
            let key = PrivateKey::from_pkcs8(algorithm, Zeroizing::new(vec![1, 2, 3]));
            assert_eq!(key.signing_key().unwrap_err(), KeyError::Malformed);
        }
        // A key of another algorithm is none of this one.
        for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
            let key = PrivateKey::from_pkcs8(algorithm, Zeroizing::new(ed.pkcs8().to_vec()));
            assert_eq!(key.signing_key().unwrap_err(), KeyError::Malformed);
        }
    }
}
