//! Signature algorithms, and what each needs of its key.

use std::{fmt, str::FromStr};

use jsonwebtoken::jwk::KeyAlgorithm;

use super::KeyError;

macro_rules! algorithms {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $jwt:ident;)*) => {
        /// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Algorithm {
            $($(#[$doc])* $variant,)*
        }

        impl Algorithm {
            /// Every algorithm there is.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in `alg`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            pub(super) const fn to_jwt(self) -> jsonwebtoken::Algorithm {
                match self {
                    $(Self::$variant => jsonwebtoken::Algorithm::$jwt,)*
                }
            }

            pub(super) const fn to_jwk(self) -> KeyAlgorithm {
                match self {
                    $(Self::$variant => KeyAlgorithm::$jwt,)*
                }
            }
        }
    };
}

algorithms! {
    /// ECDSA on P-256 with SHA-256.
    Es256 = "ES256", ES256;
    /// ECDSA on P-384 with SHA-384.
    Es384 = "ES384", ES384;
    /// Ed25519.
    EdDsa = "EdDSA", EdDSA;
    /// RSASSA-PKCS1-v1_5 with SHA-256: for readers that know nothing newer. Signing is some fifteen
    /// times as slow as with the curves above.
    Rs256 = "RS256", RS256;
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384 = "RS384", RS384;
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512 = "RS512", RS512;
    /// RSASSA-PSS with SHA-256.
    Ps256 = "PS256", PS256;
    /// RSASSA-PSS with SHA-384.
    Ps384 = "PS384", PS384;
    /// RSASSA-PSS with SHA-512.
    Ps512 = "PS512", PS512;
    /// HMAC with SHA-256: whoever verifies can also issue.
    Hs256 = "HS256", HS256;
    /// HMAC with SHA-384.
    Hs384 = "HS384", HS384;
    /// HMAC with SHA-512.
    Hs512 = "HS512", HS512;
}

impl Algorithm {
    /// The name that says the curve too (RFC 9864 §2), of those that have two. Some issuers use it
    /// in keys and tokens.
    pub(crate) const fn full_name(self) -> Option<&'static str> {
        match self {
            Self::Es256 => Some("ESP256"),
            Self::Es384 => Some("ESP384"),
            Self::EdDsa => Some("Ed25519"),
            _ => None,
        }
    }

    /// The one of such a name.
    pub(super) fn of_full_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|algorithm| algorithm.full_name() == Some(name))
    }

    /// Whether one secret both signs and verifies.
    pub const fn is_symmetric(self) -> bool {
        self.secret_bytes().is_some()
    }

    /// How many bytes a secret needs at least: as many as the hash has (RFC 7518 §3.2). `None` where
    /// the key is no secret.
    ///
    /// ```
    /// use countersign::token::Algorithm;
    ///
    /// assert_eq!(Algorithm::Hs512.secret_bytes(), Some(64));
    /// assert_eq!(Algorithm::Es256.secret_bytes(), None);
    /// ```
    pub const fn secret_bytes(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            _ => None,
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
            .iter()
            .copied()
            .find(|algorithm| algorithm.as_str() == name)
            .ok_or(KeyError::UnknownAlgorithm)
    }
}
