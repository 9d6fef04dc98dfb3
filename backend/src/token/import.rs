//! Keys as people have them: PEM files, JWKs, JWK sets.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{KeyPairComponents, PublicKeyComponents},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Algorithm, KeyError, PrivateKey, PublicKeys, VerifyingKey,
    pem::{self, Kind, MAX_KEY_BYTES, Pem},
    verifying::check_length,
};

/// The longest text of a JWK set that is looked at, in bytes.
pub const MAX_JWKS_BYTES: usize = 256 * 1024;

/// Members of a JWK that only a private key or a secret has (RFC 7518 §6).
pub(crate) const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl PrivateKey {
    /// A key in PEM or as JWK, whichever it is.
    ///
    /// # Errors
    ///
    /// As [`PrivateKey::from_pem`] and [`PrivateKey::from_jwk`].
    pub fn parse(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        if text.trim_start().starts_with('{') {
            Self::from_jwk(algorithm, text)
        } else {
            Self::from_pem(algorithm, text)
        }
    }

    /// A key as `openssl` writes it: PKCS #8 (`PRIVATE KEY`), or the older forms of EC (SEC 1,
    /// `EC PRIVATE KEY`) and RSA (PKCS #1, `RSA PRIVATE KEY`).
    ///
    /// ```
    /// use countersign::token::{Algorithm, KeyError, PrivateKey};
    ///
    /// let pem = "-----BEGIN PRIVATE KEY-----
    /// MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
    /// -----END PRIVATE KEY-----";
    ///
    /// let key = PrivateKey::from_pem(Algorithm::EdDsa, pem)?.signing_key()?;
    /// assert_eq!(key.algorithm(), Algorithm::EdDsa);
    ///
    /// let refused = PrivateKey::from_pem(Algorithm::Rs256, pem).unwrap_err();
    /// assert_eq!(refused.to_string(), "RS256 needs an RSA key, and this is an Ed25519 key");
    /// # Ok::<(), KeyError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`KeyError`] says what it is instead of a private key for the algorithm.
    pub fn from_pem(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        let Pem { label, der } = Pem::parse(text)?;
        let pkcs8 = match label {
            "PRIVATE KEY" => {
                let (kind, key) = pem::of_pkcs8(&der).ok_or(KeyError::Malformed)?;
                kind.must_fit(algorithm)?;
                if kind == Kind::Rsa {
                    check_length(pem::rsa_modulus(key).ok_or(KeyError::Malformed)?)?;
                }
                der
            }
            "EC PRIVATE KEY" => {
                if let Some(kind) = pem::of_sec1(&der) {
                    kind.must_fit(algorithm)?;
                }
                let curve = curve(algorithm).ok_or_else(|| wrong_kind(algorithm, "an EC key"))?;
                EcdsaKeyPair::from_private_key_der(curve, &der)
                    .map_err(|_| KeyError::Malformed)
                    .and_then(|key| pkcs8_of_ec(&key))?
            }
            "RSA PRIVATE KEY" => {
                Kind::Rsa.must_fit(algorithm)?;
                check_length(pem::rsa_modulus(&der).ok_or(KeyError::Malformed)?)?;
                RsaKeyPair::from_der(&der)
                    .map_err(|_| KeyError::Malformed)
                    .and_then(|key| pkcs8_of_rsa(&key))?
            }
            "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => return Err(KeyError::PublicGiven),
            _ => return Err(KeyError::UnknownPem),
        };
        Self::checked(algorithm, pkcs8)
    }

    /// A private key as JWK (RFC 7517): one of EC or Ed25519 with `d`, one of RSA with all its
    /// numbers.
    ///
    /// ```
    /// use countersign::token::{Algorithm, KeyError, PrivateKey};
    ///
    /// // RFC 8037, Appendix A.1.
    /// let jwk = r#"{"kty":"OKP","crv":"Ed25519",
    ///     "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    ///     "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    ///
    /// let key = PrivateKey::from_jwk(Algorithm::EdDsa, jwk)?.signing_key()?;
    /// assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    /// # Ok::<(), KeyError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`KeyError`] says what it is instead of a private key for the algorithm.
    pub fn from_jwk(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        let jwk = PrivateJwk::parse(text)?;
        if let Some(named) = &jwk.alg {
            let named: Algorithm = named.parse()?;
            if named != algorithm {
                return Err(KeyError::WrongAlgorithm {
                    algorithm: algorithm.as_str(),
                    found: named.as_str(),
                });
            }
        }
        if jwk
            .purpose
            .as_deref()
            .is_some_and(|purpose| purpose != "sig")
        {
            return Err(KeyError::WrongUse);
        }
        let kind = jwk.kind();
        kind.must_fit(algorithm)?;
        let d = jwk.d.as_ref().ok_or(KeyError::PublicGiven)?.bytes()?;
        let pkcs8 = match kind {
            Kind::P256 | Kind::P384 => {
                let curve = curve(algorithm).ok_or(KeyError::Malformed)?;
                // SEC 1 §2.3.3: a byte that says «uncompressed», then both coordinates.
                let mut point = vec![4];
                point.extend_from_slice(&bytes(jwk.x.as_deref())?);
                point.extend_from_slice(&bytes(jwk.y.as_deref())?);
                EcdsaKeyPair::from_private_key_and_public_key(curve, &d, &point)
                    .map_err(|_| KeyError::Malformed)
                    .and_then(|key| pkcs8_of_ec(&key))?
            }
            Kind::Ed25519 => {
                Ed25519KeyPair::from_seed_and_public_key(&d, &bytes(jwk.x.as_deref())?)
                    .map_err(|_| KeyError::Malformed)
                    .and_then(|key| pkcs8_of_ed(&key))?
            }
            Kind::Rsa => jwk.rsa(&d)?,
            Kind::Other(_) => return Err(KeyError::Malformed),
        };
        Self::checked(algorithm, pkcs8)
    }

    /// Whether both halves are good, the public one by all that a stranger's has to be.
    fn checked(algorithm: Algorithm, pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        let key = Self::from_pkcs8(algorithm, pkcs8);
        key.signing_key()?.verifying_key()?;
        Ok(key)
    }
}

/// A private key as it is written, its secret members overwritten when dropped.
#[derive(Deserialize)]
struct PrivateJwk {
    kty: Option<String>,
    crv: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    keys: Option<Value>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<Hidden>,
    p: Option<Hidden>,
    q: Option<Hidden>,
    dp: Option<Hidden>,
    dq: Option<Hidden>,
    qi: Option<Hidden>,
}

#[derive(Deserialize)]
#[serde(from = "String")]
struct Hidden(Zeroizing<String>);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl Hidden {
    fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        URL_SAFE_NO_PAD
            .decode(self.0.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| KeyError::NotJwk)
    }
}

impl PrivateJwk {
    fn parse(text: &str) -> Result<Self, KeyError> {
        if text.trim().is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > MAX_KEY_BYTES {
            return Err(KeyError::TooLong);
        }
        let jwk: Self = serde_json::from_str(text).map_err(|_| KeyError::NotJwk)?;
        if jwk.keys.is_some() {
            return Err(KeyError::SetGiven);
        }
        if jwk.kty.is_none() {
            return Err(KeyError::NotJwk);
        }
        Ok(jwk)
    }

    fn kind(&self) -> Kind {
        match (self.kty.as_deref(), self.crv.as_deref()) {
            (Some("RSA"), _) => Kind::Rsa,
            (Some("EC"), Some("P-256")) => Kind::P256,
            (Some("EC"), Some("P-384")) => Kind::P384,
            (Some("EC"), _) => Kind::Other("an EC key on another curve"),
            (Some("OKP"), Some("Ed25519")) => Kind::Ed25519,
            (Some("oct"), _) => Kind::Other("a secret"),
            _ => Kind::Other("a key of another kind"),
        }
    }

    fn rsa(&self, private_exponent: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let secret = |member: &Option<Hidden>| member.as_ref().ok_or(KeyError::NotJwk)?.bytes();
        let modulus = bytes(self.n.as_deref())?;
        let modulus = pem::without_zeros(&modulus);
        check_length(modulus)?;
        let exponent = bytes(self.e.as_deref())?;
        let primes = [secret(&self.p)?, secret(&self.q)?];
        let exponents = [secret(&self.dp)?, secret(&self.dq)?];
        let coefficient = secret(&self.qi)?;
        let components: KeyPairComponents<&[u8]> = KeyPairComponents {
            public_key: PublicKeyComponents {
                n: modulus,
                e: pem::without_zeros(&exponent),
            },
            d: private_exponent,
            p: &primes[0],
            q: &primes[1],
            dP: &exponents[0],
            dQ: &exponents[1],
            qInv: &coefficient,
        };
        RsaKeyPair::from_components(&components)
            .map_err(|_| KeyError::Malformed)
            .and_then(|key| pkcs8_of_rsa(&key))
    }
}

fn bytes(member: Option<&str>) -> Result<Vec<u8>, KeyError> {
    let text = member.ok_or(KeyError::NotJwk)?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyError::NotJwk)
}

fn curve(algorithm: Algorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        Algorithm::Es256 => Some(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => Some(&ECDSA_P384_SHA384_FIXED_SIGNING),
        _ => None,
    }
}

fn wrong_kind(algorithm: Algorithm, found: &'static str) -> KeyError {
    KeyError::WrongKind {
        algorithm: algorithm.as_str(),
        needs: Kind::of(algorithm).map_or("a secret", Kind::in_words),
        found,
    }
}

fn pkcs8_of_ec(key: &EcdsaKeyPair) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let pkcs8 = key.to_pkcs8v1().map_err(|_| KeyError::Malformed)?;
    Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
}

fn pkcs8_of_ed(key: &Ed25519KeyPair) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let pkcs8 = key.to_pkcs8v1().map_err(|_| KeyError::Malformed)?;
    Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
}

fn pkcs8_of_rsa(key: &RsaKeyPair) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let pkcs8: Pkcs8V1Der<'static> = key.as_der().map_err(|_| KeyError::Malformed)?;
    Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
}

impl VerifyingKey {
    /// A public key as `openssl pkey -pubout` writes it (`PUBLIC KEY`), or the older form of RSA
    /// (`RSA PUBLIC KEY`), under its thumbprint (RFC 7638).
    ///
    /// A certificate is refused: it says until when it holds and who vouches for it, and a verifier
    /// that reads the key alone would ask neither.
    ///
    /// ```
    /// use countersign::token::{Algorithm, KeyError, VerifyingKey};
    ///
    /// let pem = "-----BEGIN PUBLIC KEY-----
    /// MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
    /// -----END PUBLIC KEY-----";
    ///
    /// let key = VerifyingKey::from_pem(Algorithm::EdDsa, pem)?;
    /// assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    /// # Ok::<(), KeyError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`KeyError`] says what it is instead of a public key for the algorithm.
    pub fn from_pem(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        let Pem { label, der } = Pem::parse(text)?;
        let (kind, key) = match label {
            "PUBLIC KEY" => pem::of_spki(&der).ok_or(KeyError::Malformed)?,
            "RSA PUBLIC KEY" => (Kind::Rsa, der.as_slice()),
            "CERTIFICATE" => return Err(KeyError::Certificate),
            private if private.ends_with("PRIVATE KEY") => return Err(KeyError::PrivateGiven),
            _ => return Err(KeyError::UnknownPem),
        };
        kind.must_fit(algorithm)?;
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match kind {
            Kind::P256 | Kind::P384 => {
                let name = if kind == Kind::P256 { "P-256" } else { "P-384" };
                let Some((4, xy)) = key.split_first() else {
                    return Err(KeyError::Malformed);
                };
                let (x, y) = xy.split_at(xy.len() / 2);
                json!({ "kty": "EC", "crv": name, "x": text(x), "y": text(y) })
            }
            Kind::Ed25519 => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(key) })
            }
            Kind::Rsa => {
                let (n, e) = pem::rsa_public(key).ok_or(KeyError::Malformed)?;
                json!({ "kty": "RSA", "n": text(n), "e": text(e) })
            }
            Kind::Other(_) => return Err(KeyError::Malformed),
        };
        jwk["alg"] = json!(algorithm.as_str());
        Self::from_jwk(&serde_json::from_value(jwk).map_err(|_| KeyError::Malformed)?)
    }
}

/// Why a JWK set is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// The text is no set.
    #[error("not a JWK set (RFC 7517 §5): `{{\"keys\":[…]}}` is expected")]
    Malformed,
    /// More than 256 KiB.
    #[error("this is too long for a JWK set: more than 256 KiB")]
    TooLong,
    /// None of its keys verifies signatures by an algorithm of ours.
    #[error("none of its keys is one that verifies tokens")]
    Empty,
    /// One of its keys is refused.
    #[error("the key {name}: {cause}")]
    Key {
        /// Its `kid`, else its place.
        name: String,
        /// Why.
        cause: KeyError,
    },
    /// Its keys do not go together.
    #[error(transparent)]
    Set(#[from] KeyError),
}

impl PublicKeys {
    /// The keys of a JWK set as another server publishes it. What is for encryption, or of a kind
    /// that is not known here, is passed over (RFC 7517 §5); what is for signatures has to be good,
    /// and has to be public.
    ///
    /// ```
    /// use countersign::token::{JwksError, PublicKeys};
    ///
    /// let keys = PublicKeys::parse(
    ///     r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"old","use":"sig",
    ///         "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
    /// )?;
    /// assert!(keys.get("old").is_some());
    /// # Ok::<(), JwksError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`JwksError`] names the key and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, JwksError> {
        if text.len() > MAX_JWKS_BYTES {
            return Err(JwksError::TooLong);
        }
        let set: Value = serde_json::from_str(text).map_err(|_| JwksError::Malformed)?;
        let keys = set["keys"].as_array().ok_or(JwksError::Malformed)?;
        let mut found = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let refused = |cause| JwksError::Key {
                name: match key["kid"].as_str() {
                    Some(kid) => format!("`{kid}`"),
                    None => format!("at place {}", index + 1),
                },
                cause,
            };
            if key["kty"] == "oct" {
                return Err(refused(KeyError::MixedKinds));
            }
            if PRIVATE_MEMBERS
                .iter()
                .any(|member| key.get(member).is_some())
            {
                return Err(refused(KeyError::PrivateGiven));
            }
            if is_of_others(key) {
                continue;
            }
            must_be_whole(key).map_err(refused)?;
            let key = VerifyingKey::from_value(key.clone())
                .map_err(|_| refused(KeyError::NotJwk))?
                .map_err(refused)?;
            found.push(key);
        }
        if found.is_empty() {
            return Err(JwksError::Empty);
        }
        Ok(Self::new(found)?)
    }
}

/// Whether a key has all that its kind needs (RFC 7518 §6); without an algorithm one of RSA could be
/// meant for six.
fn must_be_whole(key: &Value) -> Result<(), KeyError> {
    let members: &[_] = match key["kty"].as_str() {
        Some("RSA") => &["n", "e"],
        Some("EC") => &["crv", "x", "y"],
        Some("OKP") => &["crv", "x"],
        _ => return Err(KeyError::NotJwk),
    };
    if !members.iter().all(|member| key[member].is_string()) {
        return Err(KeyError::NotJwk);
    }
    if key["kty"] == "RSA" && key["alg"].is_null() {
        return Err(KeyError::AlgorithmMissing);
    }
    Ok(())
}

/// Whether a key is for something that we do not do.
fn is_of_others(key: &Value) -> bool {
    let is_known = match (key["kty"].as_str(), key["crv"].as_str()) {
        // Malformed, which is worth an error.
        (None, _) | (Some("EC" | "OKP"), None) => return false,
        (Some("RSA"), _) | (Some("EC"), Some("P-256" | "P-384")) => true,
        (Some("OKP"), Some(curve)) => curve == "Ed25519",
        _ => false,
    };
    let is_ours = key["alg"].as_str().is_none_or(|name| {
        name.parse::<Algorithm>().is_ok() || Algorithm::of_full_name(name).is_some()
    });
    let signs = key["use"].as_str().is_none_or(|purpose| purpose == "sig");
    !(is_known && is_ours && signs)
}

#[cfg(test)]
mod tests;
