//! Refresh tokens: opaque, 256 random bits, kept as a hash only, and the seal under which a spent
//! one keeps its successor.

use std::fmt;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_types::Token;
use zeroize::Zeroizing;

use crate::{rng, seal::SealingKey};

const BYTES: usize = 32;

/// A refresh token. Overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(Zeroizing<[u8; BYTES]>);

/// SHA-256 of a refresh token: what is stored. A fast hash is enough for 256 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RefreshTokenHash([u8; BYTES]);

impl RefreshTokenHash {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl RefreshToken {
    /// A new token.
    pub(super) fn generate() -> Self {
        Self(Zeroizing::new(rng::bytes()))
    }

    /// Reads what a client presents; `None` where that is no refresh token, in its one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        // Checked first: what is read is bounded by what is sent, and that by much more than this.
        if text.len() != BYTES.div_ceil(3) * 4 - 1 {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    /// What a client is given.
    pub fn to_token(&self) -> Token {
        URL_SAFE_NO_PAD.encode(self.0.as_slice()).into()
    }

    /// What is stored.
    pub fn hash(&self) -> RefreshTokenHash {
        let hash = digest::digest(&digest::SHA256, self.0.as_slice());
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(hash.as_ref());
        RefreshTokenHash(bytes)
    }

    /// Seals the token that replaces this one, so that only who holds this one can open it: the
    /// database, which has but a hash of either, cannot.
    pub(super) fn seal(&self, successor: &Self) -> Vec<u8> {
        self.key().seal(b"", successor.0.as_slice())
    }

    /// Opens what [`RefreshToken::seal`] sealed; `None` where it was another token's.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Self> {
        let opened = self.key().open(b"", sealed)?;
        Some(Self(Zeroizing::new(opened.as_slice().try_into().ok()?)))
    }

    /// Derived, since the token itself has another use.
    fn key(&self) -> SealingKey {
        SealingKey::derive(self.0.as_slice(), "countersign refresh successor v1")
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(***)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn token_reads_back_as_itself_and_has_one_spelling() {
        let token = RefreshToken::generate();
        let text = token.to_token();
        let text = text.expose();

        assert_eq!(RefreshToken::parse(text), Some(token));
        let (rest, last) = text.split_at(text.len() - 1);
        let accepted: Vec<_> = ('A'..='Z')
            .chain('a'..='z')
            .chain('0'..='9')
            .chain(['-', '_', '=', '+', '/'])
            .filter(|c| RefreshToken::parse(&format!("{rest}{c}")).is_some())
            .map(String::from)
            .collect();
        assert!(accepted.contains(&last.to_owned()));
        // 32 bytes end on a character with two spare bits, which must be zero.
        assert_eq!(accepted.len(), 16, "{accepted:?}");
        for text in [&format!("{text}="), &format!(" {text}"), rest, ""] {
            assert_eq!(RefreshToken::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_the_spent_token_opens_its_successor() {
        let (spent, successor, other) = (
            RefreshToken::generate(),
            RefreshToken::generate(),
            RefreshToken::generate(),
        );
        let sealed = spent.seal(&successor);

        assert_eq!(spent.open(&sealed), Some(successor.clone()));
        assert_eq!(other.open(&sealed), None);
        assert_eq!(successor.open(&sealed), None);
    }

    #[test]
    fn debug_form_hides_the_token() {
        assert_eq!(
            format!("{:?}", RefreshToken::generate()),
            "RefreshToken(***)"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,60}") {
            drop(RefreshToken::parse(&text));
        }

        #[test]
        fn any_bytes_are_opened_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(RefreshToken::generate().open(&bytes), None);
        }
    }
}
