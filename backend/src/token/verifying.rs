//! Public keys, and secrets as far as they verify: where they come from and which are refused.

use std::{collections::HashMap, fmt, sync::Arc};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    DecodingKey,
    jwk::{
        AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm,
        KeyOperations, PublicKeyUse, RSAKeyParameters, ThumbprintHash,
    },
};

use serde_json::Value;

use super::{
    Algorithm, KeyError,
    keys::{check_own_secret, check_secret},
    pem::without_zeros,
};

/// A key that verifies. Bound to one algorithm: a token can agree with it and choose nothing. Cheap
/// to clone.
#[derive(Clone)]
pub struct VerifyingKey(Arc<Held>);

struct Held {
    kid: String,
    algorithm: Algorithm,
    key: DecodingKey,
    /// Whether the key calls its algorithm by the full name.
    is_fully_named: bool,
    /// What may be published: never there for a secret.
    jwk: Option<Jwk>,
}

impl VerifyingKey {
    /// A secret that verifies, under its thumbprint (RFC 7638).
    ///
    /// # Errors
    ///
    /// [`KeyError`] where it is too short or in a manual, or the algorithm takes no secret.
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        check_own_secret(algorithm, secret)?;
        let oct = serde_json::json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret) });
        let jwk: Jwk = serde_json::from_value(oct).map_err(|_| KeyError::Malformed)?;
        Ok(Self(Arc::new(Held {
            kid: thumbprint(&jwk)?,
            algorithm,
            key: DecodingKey::from_secret(secret),
            is_fully_named: false,
            jwk: None,
        })))
    }

    /// A key as others publish it (RFC 7517). Its `alg` decides the algorithm; where it has none,
    /// the curve does, and an RSA key, which could be meant for six, is refused.
    ///
    /// ```
    /// use countersign::token::{Algorithm, PrivateKey, VerifyingKey};
    ///
    /// let ours = PrivateKey::generate(Algorithm::EdDsa)?.signing_key()?;
    /// let published = serde_json::to_string(&ours.verifying_key()?.jwk()).expect("a JWK is JSON");
    ///
    /// let theirs = VerifyingKey::from_jwk(&serde_json::from_str(&published).expect("as written"))?;
    /// assert_eq!(theirs.kid(), ours.kid());
    /// # Ok::<(), countersign::token::KeyError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`KeyError`] where the key is malformed, too weak, or not meant to verify signatures.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        Self::from_named(jwk, false)
    }

    fn from_named(jwk: &Jwk, is_fully_named: bool) -> Result<Self, KeyError> {
        let algorithm = algorithm_of(jwk)?;
        check_use(&jwk.common)?;
        check_strength(algorithm, &jwk.algorithm)?;
        let kid = match &jwk.common.key_id {
            Some(kid) => kid.clone(),
            None => thumbprint(jwk)?,
        };
        let key = DecodingKey::from_jwk(jwk).map_err(|_| KeyError::Malformed)?;
        // What the key did not say itself is said when it is published.
        let mut published = jwk.clone();
        published.common.key_id = Some(kid.clone());
        published.common.public_key_use = Some(PublicKeyUse::Signature);
        published.common.key_algorithm = Some(algorithm.to_jwk());
        Ok(Self(Arc::new(Held {
            kid,
            algorithm,
            key,
            is_fully_named,
            jwk: (!algorithm.is_symmetric()).then_some(published),
        })))
    }

    /// The same from JSON, where `alg` may be a full name too ([`Algorithm::full_name`]).
    ///
    /// # Errors
    ///
    /// The outer one where this is no JWK at all.
    pub(crate) fn from_value(mut jwk: Value) -> Result<Result<Self, KeyError>, serde_json::Error> {
        let algorithm = jwk["alg"].as_str().and_then(Algorithm::of_full_name);
        if let Some(algorithm) = algorithm {
            jwk["alg"] = algorithm.as_str().into();
        }
        let jwk: Jwk = serde_json::from_value(jwk)?;
        Ok(Self::from_named(&jwk, algorithm.is_some()))
    }

    /// Whether this is what a token may call the algorithm: by its name in RFC 7518, or by the full
    /// name where the key has that too.
    pub(super) fn is_named_by(&self, alg: Option<&str>) -> bool {
        let algorithm = self.algorithm();
        alg.is_some_and(|alg| {
            alg == algorithm.as_str() || self.0.is_fully_named && algorithm.full_name() == Some(alg)
        })
    }

    /// The name by which tokens ask for it.
    pub fn kid(&self) -> &str {
        &self.0.kid
    }

    /// Which algorithm it verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// The key as it may be published; `None` for a secret.
    pub fn jwk(&self) -> Option<&Jwk> {
        self.0.jwk.as_ref()
    }

    /// What it is called by its own parts alone (RFC 7638), whatever its owner calls it; `None` for a
    /// secret.
    pub fn thumbprint(&self) -> Option<String> {
        self.jwk().and_then(|jwk| thumbprint(jwk).ok())
    }

    pub(super) fn decoding_key(&self) -> &DecodingKey {
        &self.0.key
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("kid", &self.0.kid)
            .field("algorithm", &self.0.algorithm)
            .finish_non_exhaustive()
    }
}

fn thumbprint(jwk: &Jwk) -> Result<String, KeyError> {
    jwk.thumbprint(ThumbprintHash::SHA256)
        .map_err(|_| KeyError::Malformed)
}

/// The one algorithm of a key, which has to be one of its kind.
fn algorithm_of(jwk: &Jwk) -> Result<Algorithm, KeyError> {
    let by_kind = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            Some(Algorithm::Es256)
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => {
            Some(Algorithm::Es384)
        }
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            Some(Algorithm::EdDsa)
        }
        AlgorithmParameters::RSA(_) | AlgorithmParameters::OctetKey(_) => None,
        _ => return Err(KeyError::UnknownAlgorithm),
    };
    let named = jwk.common.key_algorithm.map(named).transpose()?;
    match (named, by_kind) {
        (Some(named), Some(by_kind)) if named != by_kind => Err(KeyError::WrongUse),
        (Some(named), None) => {
            let is_secret = matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
            if named.is_symmetric() == is_secret && !is_curve(named) {
                Ok(named)
            } else {
                Err(KeyError::WrongUse)
            }
        }
        (_, Some(by_kind)) => Ok(by_kind),
        (None, None) => Err(KeyError::UnknownAlgorithm),
    }
}

const fn is_curve(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa
    )
}

fn named(name: KeyAlgorithm) -> Result<Algorithm, KeyError> {
    Algorithm::ALL
        .iter()
        .copied()
        .find(|algorithm| algorithm.to_jwk() == name)
        .ok_or(KeyError::WrongUse)
}

/// RFC 7517 §4.2 and §4.3: a key that says what it is for is for nothing else.
fn check_use(common: &CommonParameters) -> Result<(), KeyError> {
    let signs = common
        .public_key_use
        .as_ref()
        .is_none_or(|r#use| *r#use == PublicKeyUse::Signature);
    let verifies = common
        .key_operations
        .as_ref()
        .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if signs && verifies {
        Ok(())
    } else {
        Err(KeyError::WrongUse)
    }
}

fn check_strength(algorithm: Algorithm, key: &AlgorithmParameters) -> Result<(), KeyError> {
    let decode = |text: &str| {
        URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| KeyError::Malformed)
    };
    match key {
        AlgorithmParameters::OctetKey(oct) => check_secret(algorithm, &decode(&oct.value)?),
        AlgorithmParameters::RSA(RSAKeyParameters { n, e, .. }) => {
            // An exponent of one signs whatever is signed.
            let modulus = decode(n)?;
            let modulus = without_zeros(&modulus);
            check_length(modulus)?;
            let exponent = decode(e)?;
            let is_one = exponent.iter().rev().skip(1).all(|byte| *byte == 0)
                && exponent.last().is_none_or(|byte| *byte <= 1);
            if is_one || has_roca_fingerprint(modulus) {
                return Err(KeyError::Weak);
            }
            Ok(())
        }
        // What is no point is taken without a word by the library, and verifies nothing.
        AlgorithmParameters::EllipticCurve(ec) => {
            let (curve, bytes): (&'static dyn VerificationAlgorithm, usize) = match algorithm {
                Algorithm::Es256 => (&ECDSA_P256_SHA256_FIXED, 32),
                Algorithm::Es384 => (&ECDSA_P384_SHA384_FIXED, 48),
                _ => return Err(KeyError::Malformed),
            };
            let (x, y) = (decode(&ec.x)?, decode(&ec.y)?);
            // RFC 7518 §6.2.1.2: leading zeros are written.
            if x.len() != bytes || y.len() != bytes {
                return Err(KeyError::Malformed);
            }
            // SEC 1 §2.3.3: 4 is a point with both of its coordinates.
            must_be_point(curve, &[&[4], &*x, &*y].concat())
        }
        AlgorithmParameters::OctetKeyPair(okp) => must_be_point(&ED25519, &decode(&okp.x)?),
        _ => Err(KeyError::UnknownAlgorithm),
    }
}

fn must_be_point(curve: &'static dyn VerificationAlgorithm, point: &[u8]) -> Result<(), KeyError> {
    UnparsedPublicKey::new(curve, point)
        .parse()
        .map(drop)
        .map_err(|_| KeyError::Malformed)
}

/// Whether a modulus without leading zeros is long enough (RFC 7518 §3.3). The highest bits may be
/// zero, so what counts is its bytes.
pub(super) fn check_length(modulus: &[u8]) -> Result<(), KeyError> {
    const BYTES: usize = 2048 / 8;

    if modulus.len() < BYTES {
        let bits = modulus.len() * 8;
        return Err(KeyError::RsaTooShort { bits });
    }
    Ok(())
}

/// CVE-2017-15361: a family of smart cards made moduli that are powers of 65537 modulo every small
/// prime, by which their factors can be found. One key in 2^150 looks so by chance.
fn has_roca_fingerprint(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|prime| {
        let rest = modulus
            .iter()
            .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        (0..*prime).any(|_| {
            power = power * 65537 % prime;
            power == rest
        })
    })
}

/// The keys that may verify, in the order in which they were given.
#[derive(Debug, Clone, Default)]
pub struct PublicKeys {
    keys: Vec<VerifyingKey>,
    /// Where each is, by its `kid`.
    named: HashMap<String, usize>,
}

impl PublicKeys {
    /// Keys of which no two share a name, and which are all public or all secret.
    ///
    /// # Errors
    ///
    /// [`KeyError::RepeatedName`] and [`KeyError::MixedKinds`] where that does not hold.
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>) -> Result<Self, KeyError> {
        let keys: Vec<VerifyingKey> = keys.into_iter().collect();
        let mut named = HashMap::new();
        let mut kinds = [false, false];
        for (index, key) in keys.iter().enumerate() {
            kinds[usize::from(key.algorithm().is_symmetric())] = true;
            if named.insert(key.kid().to_owned(), index).is_some() {
                return Err(KeyError::RepeatedName);
            }
        }
        if kinds == [true, true] {
            return Err(KeyError::MixedKinds);
        }
        Ok(Self { keys, named })
    }

    /// The keys of a JWK set (RFC 7517 §5), every one of which has to be good.
    ///
    /// # Errors
    ///
    /// [`KeyError`] of the first key that is not, or of the set.
    pub fn from_jwks(set: &JwkSet) -> Result<Self, KeyError> {
        let keys: Vec<_> = set
            .keys
            .iter()
            .map(VerifyingKey::from_jwk)
            .collect::<Result<_, _>>()?;
        Self::new(keys)
    }

    /// All keys, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter()
    }

    /// The key of a name.
    pub fn get(&self, kid: &str) -> Option<&VerifyingKey> {
        self.named.get(kid).map(|index| &self.keys[*index])
    }

    /// What `/.well-known/jwks.json` answers (RFC 7517 §5): public members only, so empty under
    /// HMAC.
    pub fn jwks(&self) -> JwkSet {
        let mut keys: Vec<_> = self.iter().filter_map(|key| key.jwk().cloned()).collect();
        keys.sort_by(|a, b| a.common.key_id.cmp(&b.common.key_id));
        JwkSet { keys }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::token::PrivateKey;

    fn jwk(algorithm: Algorithm) -> Value {
        let key = PrivateKey::generate(algorithm)
            .unwrap()
            .signing_key()
            .unwrap();
        serde_json::to_value(key.verifying_key().unwrap().jwk()).unwrap()
    }

    fn refused(jwk: Value) -> KeyError {
        VerifyingKey::from_jwk(&serde_json::from_value(jwk).unwrap()).unwrap_err()
    }

    #[test]
    fn key_without_alg_has_the_algorithm_of_its_curve() {
        for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
            let mut jwk = jwk(algorithm);
            jwk.as_object_mut().unwrap().remove("alg");

            let key = VerifyingKey::from_jwk(&serde_json::from_value(jwk).unwrap()).unwrap();
            assert_eq!(key.algorithm(), algorithm);
        }
        let mut rsa = jwk(Algorithm::Rs256);
        rsa.as_object_mut().unwrap().remove("alg");
        assert_eq!(refused(rsa), KeyError::UnknownAlgorithm);
    }

    #[test]
    fn key_of_another_use_or_kind_is_refused() {
        let ec = jwk(Algorithm::Es256);
        for (member, value) in [
            ("use", json!("enc")),
            ("key_ops", json!(["sign"])),
            ("alg", json!("ES384")),
            ("alg", json!("RS256")),
            ("alg", json!("HS256")),
            ("alg", json!("RSA-OAEP")),
        ] {
            let mut jwk = ec.clone();
            jwk[member] = value;
            assert_eq!(refused(jwk), KeyError::WrongUse, "{member}");
        }
        let mut rsa = jwk(Algorithm::Rs256);
        rsa["alg"] = json!("ES256");
        assert_eq!(refused(rsa), KeyError::WrongUse);
        let secret = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 64]), "alg": "RS256" });
        assert_eq!(refused(secret), KeyError::WrongUse);
    }

    #[test]
    fn full_name_of_an_algorithm_is_one_where_the_key_says_it() {
        for (algorithm, name) in [
            (Algorithm::Es256, "ESP256"),
            (Algorithm::Es384, "ESP384"),
            (Algorithm::EdDsa, "Ed25519"),
        ] {
            let jwk = jwk(algorithm);
            let old = VerifyingKey::from_value(jwk.clone()).unwrap().unwrap();
            let mut full = jwk.clone();
            full["alg"] = json!(name);
            let full = VerifyingKey::from_value(full).unwrap().unwrap();

            assert_eq!(full.algorithm(), algorithm);
            assert!(full.is_named_by(Some(name)) && full.is_named_by(Some(algorithm.as_str())));
            assert!(!old.is_named_by(Some(name)) && old.is_named_by(Some(algorithm.as_str())));
            for other in ["ESP512", "Ed448", "HS256", "none", "RS256"] {
                assert!(!full.is_named_by(Some(other)), "{other}");
            }
            assert!(!full.is_named_by(None));
        }
        for (algorithm, name) in [
            (Algorithm::Es256, "ESP384"),
            (Algorithm::Es256, "Ed25519"),
            (Algorithm::Rs256, "ESP256"),
        ] {
            let mut jwk = jwk(algorithm);
            jwk["alg"] = json!(name);
            let refused = VerifyingKey::from_value(jwk).unwrap().unwrap_err();
            assert_eq!(refused, KeyError::WrongUse, "{name}");
        }
    }

    #[test]
    fn key_that_is_no_point_of_its_curve_is_refused() {
        let ec = jwk(Algorithm::Es256);
        for (member, value) in [
            ("x", ec["y"].clone()),
            ("y", json!(URL_SAFE_NO_PAD.encode([0; 32]))),
            ("y", json!(URL_SAFE_NO_PAD.encode([1; 31]))),
            ("y", json!("")),
        ] {
            let mut jwk = ec.clone();
            jwk[member] = value;
            assert_eq!(refused(jwk), KeyError::Malformed, "{member}");
        }
        let mut okp = jwk(Algorithm::EdDsa);
        okp["x"] = json!(URL_SAFE_NO_PAD.encode([1; 31]));
        assert_eq!(refused(okp), KeyError::Malformed);
    }

    #[test]
    fn set_with_two_keys_of_one_name_or_of_both_kinds_is_refused() {
        let secret =
            VerifyingKey::from_secret(Algorithm::Hs256, b"0123456789abcdef0123456789abcdef")
                .unwrap();
        let public =
            VerifyingKey::from_jwk(&serde_json::from_value(jwk(Algorithm::EdDsa)).unwrap())
                .unwrap();

        assert_eq!(
            PublicKeys::new([public.clone(), public.clone()]).unwrap_err(),
            KeyError::RepeatedName
        );
        assert_eq!(
            PublicKeys::new([public.clone(), secret]).unwrap_err(),
            KeyError::MixedKinds
        );
        assert!(PublicKeys::new([public]).is_ok());
    }

    #[test]
    fn ordinary_modulus_has_no_fingerprint() {
        let rsa = jwk(Algorithm::Rs256);
        let modulus = URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap();

        assert!(!has_roca_fingerprint(&modulus));
        // A power of 65537 has it, being what the fingerprint means.
        assert!(has_roca_fingerprint(&65537_u32.to_be_bytes()));
    }
}
