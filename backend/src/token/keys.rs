//! Private keys. Each is bound to one algorithm, so that no token can choose another.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
        RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Algorithm, VerifyingKey, known_secrets::is_known_secret};

/// What is wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// None of [`Algorithm::ALL`].
    #[error("unknown algorithm")]
    UnknownAlgorithm,
    /// A key for something else than signing, or for another algorithm than it is made for.
    #[error("the key is not meant for this")]
    WrongUse,
    /// A key that anybody can break, or that is known to be badly made.
    #[error("the key is too weak")]
    Weak,
    /// An RSA key that can be broken (RFC 7518 §3.3).
    #[error(
        "the RSA key has {bits} bits, and at least 2048 are needed: make one with \
         `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`"
    )]
    RsaTooShort {
        /// Bits it has.
        bits: usize,
    },
    /// There is no key at all.
    #[error("there is no key: it is empty")]
    Empty,
    /// Longer than any key.
    #[error("this is too long for a key: more than 16 KiB")]
    TooLong,
    /// No PEM, or none of its blocks is one.
    #[error(
        "not a key in PEM: from `-----BEGIN … KEY-----` to `-----END … KEY-----`, both lines included"
    )]
    NotPem,
    /// PEM of something else.
    #[error(
        "this PEM is none that is understood: `openssl pkey -in FILE` writes a private key as it is \
         needed, `ssh-keygen -p -m PKCS8` turns one of OpenSSH into that"
    )]
    UnknownPem,
    /// More than one key: which of them is meant, nobody knows.
    #[error("there is more than one key or certificate: leave the one key")]
    SeveralKeys,
    /// A private key under a passphrase.
    #[error("the key is encrypted: `openssl pkey -in FILE` writes it without its passphrase")]
    Encrypted,
    /// A certificate, which says more than a key and until when.
    #[error("this is a certificate: `openssl x509 -pubkey -noout -in FILE` writes its public key")]
    Certificate,
    /// A public key where a private one is needed.
    #[error("this is a public key, and only the private one signs")]
    PublicGiven,
    /// A private key where others are to read it.
    #[error(
        "this is a private key: give the public one alone, as `openssl pkey -pubout -in FILE` writes \
         it, and replace this one if others have seen it"
    )]
    PrivateGiven,
    /// No JWK, or members of it are missing.
    #[error("not a key as JWK (RFC 7517): its JSON is malformed, or a member is missing")]
    NotJwk,
    /// An RSA key that does not say which algorithm it is for.
    #[error("an RSA key needs an `alg`, such as `\"alg\":\"RS256\"`: ask its owner which one")]
    AlgorithmMissing,
    /// A set where one key is asked for.
    #[error("this is a set of keys: give one of its keys alone")]
    SetGiven,
    /// A key of one kind for an algorithm that needs another.
    #[error("{algorithm} needs {needs}, and this is {found}")]
    WrongKind {
        /// The algorithm that is wanted.
        algorithm: &'static str,
        /// What it needs.
        needs: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A key that says itself what it is for.
    #[error("the key is for {found} by its `alg`, and {algorithm} is wanted")]
    WrongAlgorithm {
        /// The algorithm that is wanted.
        algorithm: &'static str,
        /// What the key says.
        found: &'static str,
    },
    /// Two keys of one name: which of them a token means, nobody knows.
    #[error("two keys have the same `kid`")]
    RepeatedName,
    /// Secrets beside public keys: whoever has one of those could sign as somebody else.
    #[error("secrets and public keys must not be mixed")]
    MixedKinds,
    /// The bytes are no key of the algorithm.
    #[error("not a key of this algorithm")]
    Malformed,
    /// An HMAC secret shorter than its hash (RFC 7518 §3.2).
    #[error("the secret has {has} bytes, {needs} are needed: `openssl rand -base64 48` makes one")]
    SecretTooShort {
        /// Bytes it has.
        has: usize,
        /// Bytes it needs.
        needs: usize,
    },
    /// An HMAC secret that is in a manual, or one character again and again.
    #[error(
        "the secret is an example that everybody knows: `openssl rand -base64 48` makes one that \
         nobody does"
    )]
    SecretKnown,
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
        let pkcs8 = match Kind::of(algorithm) {
            Kind::Ecdsa(curve) => EcdsaKeyPair::generate_pkcs8(curve, &rng)
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Kind::Ed25519 => Ed25519KeyPair::generate_pkcs8(&rng)
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Kind::Rsa(_) => {
                // What RFC 7518 §3.3 asks for at least; twice as much signs four times as slowly.
                let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let pkcs8: Pkcs8V1Der<'static> = key.as_der().map_err(failed)?;
                pkcs8.as_ref().to_vec()
            }
            Kind::Hmac(_) => return Err(KeyError::UnknownAlgorithm),
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
        let held = match Kind::of(self.algorithm) {
            Kind::Ecdsa(curve) => EcdsaKeyPair::from_pkcs8(curve, bytes).map(Held::Ecdsa),
            Kind::Ed25519 => Ed25519KeyPair::from_pkcs8(bytes).map(Held::Ed25519),
            Kind::Rsa(encoding) => {
                RsaKeyPair::from_pkcs8(bytes).map(|key| Held::Rsa(key, encoding))
            }
            Kind::Hmac(_) => return Err(KeyError::Malformed),
        };
        SigningKey::new(self.algorithm, held.map_err(|_| KeyError::Malformed)?)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// What the crypto library calls an algorithm.
enum Kind {
    Ecdsa(&'static EcdsaSigningAlgorithm),
    Ed25519,
    Rsa(&'static dyn RsaEncoding),
    Hmac(hmac::Algorithm),
}

impl Kind {
    fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Es256 => Self::Ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => Self::Ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDsa => Self::Ed25519,
            Algorithm::Rs256 => Self::Rsa(&RSA_PKCS1_SHA256),
            Algorithm::Rs384 => Self::Rsa(&RSA_PKCS1_SHA384),
            Algorithm::Rs512 => Self::Rsa(&RSA_PKCS1_SHA512),
            Algorithm::Ps256 => Self::Rsa(&RSA_PSS_SHA256),
            Algorithm::Ps384 => Self::Rsa(&RSA_PSS_SHA384),
            Algorithm::Ps512 => Self::Rsa(&RSA_PSS_SHA512),
            Algorithm::Hs256 => Self::Hmac(hmac::HMAC_SHA256),
            Algorithm::Hs384 => Self::Hmac(hmac::HMAC_SHA384),
            Algorithm::Hs512 => Self::Hmac(hmac::HMAC_SHA512),
        }
    }
}

/// A private key, parsed once: jsonwebtoken parses it for every token, which makes signing 1.6 to
/// 2.9 times as slow.
#[expect(
    clippy::large_enum_variant,
    reason = "there are a few in a process, each behind an `Arc`"
)]
enum Held {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Hmac {
        key: hmac::Key,
        secret: Zeroizing<Vec<u8>>,
    },
}

impl Held {
    /// The key as RFC 7518 §6 and RFC 8037 §2 write it: the public members, or the secret itself
    /// of a symmetric key, which only its thumbprint is made of.
    fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ecdsa(key) => {
                // SEC 1 §2.3.3: a byte that says «uncompressed», then both coordinates.
                let point = key.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": text(x), "y": text(y) })
            }
            Self::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(key.public_key().as_ref()) })
            }
            Self::Rsa(key, _) => {
                let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
                json!({
                    "kty": "RSA",
                    "n": text(n.big_endian_without_leading_zero()),
                    "e": text(e.big_endian_without_leading_zero()),
                })
            }
            Self::Hmac { secret, .. } => json!({ "kty": "oct", "k": text(secret) }),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let failed = |_| KeyError::Sign;
        let rng = SystemRandom::new();
        Ok(match self {
            Self::Ecdsa(key) => key.sign(&rng, message).map_err(failed)?.as_ref().to_vec(),
            Self::Ed25519(key) => key.try_sign(message).map_err(failed)?.as_ref().to_vec(),
            Self::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &rng, message, &mut signature)
                    .map_err(failed)?;
                signature
            }
            Self::Hmac { key, .. } => hmac::sign(key, message).as_ref().to_vec(),
        })
    }
}

/// A key that signs, with its `kid`. Cheap to clone.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    algorithm: Algorithm,
    held: Arc<Held>,
    /// What may be published: never there for a secret.
    jwk: Option<Jwk>,
}

impl SigningKey {
    fn new(algorithm: Algorithm, held: Held) -> Result<Self, KeyError> {
        let mut jwk: Jwk = serde_json::from_value(held.jwk()).map_err(|_| KeyError::Malformed)?;
        // RFC 7638: the same key has the same name everywhere, and no two keys share one.
        let kid = jwk
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(|_| KeyError::Malformed)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_algorithm = Some(algorithm.to_jwk());
        Ok(Self {
            kid,
            algorithm,
            held: Arc::new(held),
            jwk: (!algorithm.is_symmetric()).then_some(jwk),
        })
    }

    /// An HMAC key.
    ///
    /// # Errors
    ///
    /// [`KeyError::SecretTooShort`] where it has fewer bytes than the hash (RFC 7518 §3.2),
    /// [`KeyError::SecretKnown`] where it is an example from a manual, [`KeyError::WrongUse`] where
    /// the algorithm takes no secret.
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        let Kind::Hmac(hash) = Kind::of(algorithm) else {
            return Err(KeyError::WrongUse);
        };
        check_own_secret(algorithm, secret)?;
        let held = Held::Hmac {
            key: hmac::Key::new(hash, secret),
            secret: Zeroizing::new(secret.to_vec()),
        };
        Self::new(algorithm, held)
    }

    /// The name of the key: its thumbprint (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Which algorithm it signs with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
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
        match (&*self.held, &self.jwk) {
            (Held::Hmac { secret, .. }, _) => VerifyingKey::from_secret(self.algorithm, secret),
            (_, Some(jwk)) => VerifyingKey::from_jwk(jwk),
            (_, None) => Err(KeyError::Malformed),
        }
    }
}

/// Whether a secret is long enough for its algorithm; an empty one is the shortest.
pub(super) fn check_secret(algorithm: Algorithm, secret: &[u8]) -> Result<(), KeyError> {
    let needs = algorithm.secret_bytes().ok_or(KeyError::WrongUse)?;
    let has = secret.len();
    if has < needs {
        return Err(KeyError::SecretTooShort { has, needs });
    }
    Ok(())
}

/// The same of a secret that somebody chose, which no manual may have.
pub(super) fn check_own_secret(algorithm: Algorithm, secret: &[u8]) -> Result<(), KeyError> {
    check_secret(algorithm, secret)?;
    if std::str::from_utf8(secret).is_ok_and(is_known_secret) {
        return Err(KeyError::SecretKnown);
    }
    Ok(())
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::PublicKeys;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    #[test]
    fn published_key_has_no_private_member() {
        for (algorithm, expected) in [
            (Algorithm::Es256, "alg crv kid kty use x y"),
            (Algorithm::Es384, "alg crv kid kty use x y"),
            (Algorithm::EdDsa, "alg crv kid kty use x"),
            (Algorithm::Rs256, "alg e kid kty n use"),
            (Algorithm::Ps512, "alg e kid kty n use"),
        ] {
            let key = PrivateKey::generate(algorithm)
                .unwrap()
                .signing_key()
                .unwrap();
            let jwks = PublicKeys::new([key.verifying_key().unwrap()])
                .unwrap()
                .jwks();

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
        let key = SigningKey::from_secret(Algorithm::Hs256, SECRET).unwrap();

        let jwks = PublicKeys::new([key.verifying_key().unwrap()])
            .unwrap()
            .jwks();

        assert_eq!(serde_json::to_string(&jwks).unwrap(), r#"{"keys":[]}"#);
    }

    #[test]
    fn kid_is_the_thumbprint_of_rfc_7638() {
        let key =
            SigningKey::from_secret(Algorithm::Hs256, b"0123456789abcdef0123456789abcdef").unwrap();

        // SHA-256 of {"k":"MDEy…ZWY","kty":"oct"}, computed with another tool.
        assert_eq!(key.kid(), "XOBEfwKZzZgziWfq7yZzhEKNQfihBMioCzRbNmqUH0Y");
    }

    #[test]
    fn short_secret_is_refused_with_the_numbers() {
        for (algorithm, needs) in [
            (Algorithm::Hs256, 32),
            (Algorithm::Hs384, 48),
            (Algorithm::Hs512, 64),
        ] {
            for has in [0, 6, needs - 1] {
                assert_eq!(
                    SigningKey::from_secret(algorithm, &vec![7; has]).unwrap_err(),
                    KeyError::SecretTooShort { has, needs }
                );
            }
            let secret = &SECRET.repeat(2)[..needs];
            SigningKey::from_secret(algorithm, secret).unwrap();
        }
        let refused = SigningKey::from_secret(Algorithm::Hs256, b"secret").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the secret has 6 bytes, 32 are needed: `openssl rand -base64 48` makes one"
        );
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
