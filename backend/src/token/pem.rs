//! Keys in PEM (RFC 7468): the text, and as much of the DER inside as says what kind of key it is.
//!
//! The crypto library reads the key itself; what is read here decides what a refusal says.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{Algorithm, KeyError};

/// The longest text of a key that is looked at, in bytes; one of RSA with 8192 bits has some 6,400.
pub(super) const MAX_KEY_BYTES: usize = 16 * 1024;

/// One block: `-----BEGIN label-----`, base64, `-----END label-----`.
pub(super) struct Pem<'a> {
    pub(super) label: &'a str,
    pub(super) der: Zeroizing<Vec<u8>>,
}

impl<'a> Pem<'a> {
    /// The one key of a text.
    pub(super) fn parse(text: &'a str) -> Result<Self, KeyError> {
        if text.trim().is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > MAX_KEY_BYTES {
            return Err(KeyError::TooLong);
        }
        let mut found = None;
        let mut rest = text;
        while let Some((label, body, after)) = block(rest) {
            rest = after;
            // What `openssl ecparam -genkey` writes before the key; the key says it again.
            if label == "EC PARAMETERS" {
                continue;
            }
            if found.replace((label, body)).is_some() {
                return Err(KeyError::SeveralKeys);
            }
        }
        let (label, body) = found.ok_or(KeyError::NotPem)?;
        // Headers (RFC 1421) are there only where the key is encrypted.
        if body.contains("ENCRYPTED") || label == "ENCRYPTED PRIVATE KEY" {
            return Err(KeyError::Encrypted);
        }
        let mut base64 = Zeroizing::new(String::with_capacity(body.len()));
        base64.extend(body.split_ascii_whitespace());
        let der = STANDARD
            .decode(base64.as_bytes())
            .map_err(|_| KeyError::NotPem)?;
        Ok(Self {
            label,
            der: Zeroizing::new(der),
        })
    }
}

/// The first block: its label, what is in it, what follows.
fn block(text: &str) -> Option<(&str, &str, &str)> {
    const DASHES: &str = "-----";
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once(DASHES)?;
    let (body, rest) = rest.split_once("-----END ")?;
    let rest = rest.strip_prefix(label)?.strip_prefix(DASHES)?;
    Some((label, body, rest))
}

/// What kind of key there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
    /// One that signs with none of our algorithms, in words.
    Other(&'static str),
}

impl Kind {
    /// What an algorithm needs; `None` where that is a secret.
    pub(super) const fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::Es256 => Some(Self::P256),
            Algorithm::Es384 => Some(Self::P384),
            Algorithm::EdDsa => Some(Self::Ed25519),
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => Some(Self::Rsa),
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => None,
        }
    }

    /// Completes «needs …» and «this is …».
    pub(super) const fn in_words(self) -> &'static str {
        match self {
            Self::Rsa => "an RSA key",
            Self::P256 => "an EC key on P-256",
            Self::P384 => "an EC key on P-384",
            Self::Ed25519 => "an Ed25519 key",
            Self::Other(words) => words,
        }
    }

    /// Whether a key of this kind is one for an algorithm.
    pub(super) fn must_fit(self, algorithm: Algorithm) -> Result<(), KeyError> {
        let needs = Self::of(algorithm);
        if needs == Some(self) {
            return Ok(());
        }
        Err(KeyError::WrongKind {
            algorithm: algorithm.as_str(),
            needs: needs.map_or("a secret", Self::in_words),
            found: self.in_words(),
        })
    }

    /// By the names that `AlgorithmIdentifier` has (RFC 3279, RFC 5480, RFC 8410).
    fn of_names(algorithm: &[u8], curve: Option<&[u8]>) -> Self {
        const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
        const RSA_PSS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
        const EC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
        const ED25519: &[u8] = b"\x2b\x65\x70";
        match algorithm {
            RSA => Self::Rsa,
            // Bound to parameters of its own, which the crypto library does not take.
            RSA_PSS => Self::Other("an RSA key bound to PSS by `-algorithm RSA-PSS`"),
            EC => curve.map_or(
                Self::Other("an EC key without a named curve"),
                Self::of_curve,
            ),
            ED25519 => Self::Ed25519,
            _ => Self::Other("a key of another kind"),
        }
    }

    fn of_curve(name: &[u8]) -> Self {
        match name {
            b"\x2a\x86\x48\xce\x3d\x03\x01\x07" => Self::P256,
            b"\x2b\x81\x04\x00\x22" => Self::P384,
            b"\x2b\x81\x04\x00\x23" => Self::Other("an EC key on P-521"),
            b"\x2b\x81\x04\x00\x0a" => Self::Other("an EC key on secp256k1"),
            _ => Self::Other("an EC key on another curve"),
        }
    }
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const NAME: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed.
const TAGGED_0: u8 = 0xa0;

/// Takes the first value off, which must have this tag: its content and what follows.
fn take(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        // More than 16 KiB is no key.
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if !(1..=2).contains(&bytes.len()) {
            return None;
        }
        let length = bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    (*found == tag).then_some((content, rest))
}

/// A kind of key by its `AlgorithmIdentifier`.
fn identified(der: &[u8]) -> Option<Kind> {
    let (algorithm, parameters) = take(NAME, der)?;
    let curve = take(NAME, parameters).map(|(name, _)| name);
    Some(Kind::of_names(algorithm, curve))
}

/// The kind of a private key in PKCS #8 (RFC 5958), and its own bytes.
pub(super) fn of_pkcs8(der: &[u8]) -> Option<(Kind, &[u8])> {
    let (info, _) = take(SEQUENCE, der)?;
    let (_version, rest) = take(INTEGER, info)?;
    let (identifier, rest) = take(SEQUENCE, rest)?;
    let (key, _) = take(OCTET_STRING, rest)?;
    Some((identified(identifier)?, key))
}

/// The kind of a private EC key in its own form (RFC 5915 §3).
pub(super) fn of_sec1(der: &[u8]) -> Option<Kind> {
    let (key, _) = take(SEQUENCE, der)?;
    let (_version, rest) = take(INTEGER, key)?;
    let (_private, rest) = take(OCTET_STRING, rest)?;
    let (parameters, _) = take(TAGGED_0, rest)?;
    let (curve, _) = take(NAME, parameters)?;
    Some(Kind::of_curve(curve))
}

/// The kind of a public key (RFC 5280 §4.1.2.7), and its own bytes.
pub(super) fn of_spki(der: &[u8]) -> Option<(Kind, &[u8])> {
    let (info, _) = take(SEQUENCE, der)?;
    let (identifier, rest) = take(SEQUENCE, info)?;
    let (bits, _) = take(BIT_STRING, rest)?;
    // How many bits of the last byte do not count: none do not.
    let (0, key) = bits.split_first()? else {
        return None;
    };
    Some((identified(identifier)?, key))
}

/// Modulus and exponent of a public RSA key (RFC 8017 §A.1.1).
pub(super) fn rsa_public(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, _) = take(SEQUENCE, der)?;
    let (modulus, rest) = take(INTEGER, key)?;
    let (exponent, _) = take(INTEGER, rest)?;
    Some((without_zeros(modulus), without_zeros(exponent)))
}

/// The modulus of a private RSA key (RFC 8017 §A.1.2).
pub(super) fn rsa_modulus(der: &[u8]) -> Option<&[u8]> {
    let (key, _) = take(SEQUENCE, der)?;
    let (_version, rest) = take(INTEGER, key)?;
    take(INTEGER, rest).map(|(modulus, _)| without_zeros(modulus))
}

pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|byte| *byte != 0);
    &number[start.unwrap_or(number.len())..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> KeyError {
        Pem::parse(text)
            .map(|pem| pem.label.to_owned())
            .unwrap_err()
    }

    #[test]
    fn parameters_before_the_key_are_passed_over() {
        let text = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n\
                    -----BEGIN EC PRIVATE KEY-----\nAQID\n-----END EC PRIVATE KEY-----\n";

        let pem = Pem::parse(text).unwrap();

        assert_eq!(
            (pem.label, pem.der.as_slice()),
            ("EC PRIVATE KEY", &[1, 2, 3][..])
        );
    }

    #[test]
    fn what_is_no_single_key_in_pem_is_told_apart() {
        let block = "-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n";
        assert_eq!(refused(""), KeyError::Empty);
        assert_eq!(refused(" \n"), KeyError::Empty);
        assert_eq!(refused("hello"), KeyError::NotPem);
        assert_eq!(refused(&block.replace("AQID", "?")), KeyError::NotPem);
        assert_eq!(
            refused(&block.replace("END PRIVATE", "END PUBLIC")),
            KeyError::NotPem
        );
        assert_eq!(refused(&block.repeat(2)), KeyError::SeveralKeys);
        assert_eq!(refused(&"a".repeat(MAX_KEY_BYTES + 1)), KeyError::TooLong);
        assert_eq!(
            refused(&block.replace("PRIVATE", "ENCRYPTED PRIVATE")),
            KeyError::Encrypted
        );
        let encrypted = block.replace("AQID", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nAQID");
        assert_eq!(refused(&encrypted), KeyError::Encrypted);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(der in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(of_pkcs8(&der).is_none_or(|(_, key)| key.len() < der.len()));
            prop_assert!(of_spki(&der).is_none_or(|(_, key)| key.len() < der.len()));
            prop_assert!(der.len() > 8 || of_sec1(&der).is_none());
            prop_assert!(rsa_public(&der).is_none_or(|(n, _)| n.len() < der.len()));
            prop_assert!(rsa_modulus(&der).is_none_or(|n| n.len() < der.len()));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "(-----(BEGIN|END) (PRIVATE KEY)?-----|[A-Za-z=\n-]){0,8}") {
            drop(Pem::parse(&text).map(|pem| pem.label.to_owned()));
        }
    }
}
