//! The master key: what everything sealed in the database depends on.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::seal::SealingKey;

/// 32 secret bytes that everything sealed in the database depends on.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// From its base64 text; `None` where that is not 32 bytes.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    /// Seals a private key. Its name is bound in, so that a row cannot be passed off as another.
    pub(super) fn seal(&self, kid: &str, plain: &[u8]) -> Vec<u8> {
        self.key().seal(kid.as_bytes(), plain)
    }

    /// Opens what `seal` sealed; `None` where key, name or bytes differ.
    pub(super) fn open(&self, kid: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.key().open(kid.as_bytes(), sealed)
    }

    fn key(&self) -> SealingKey {
        SealingKey::derive(self.0.as_slice(), "countersign signing keys v1")
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_sealed_by_master_key_and_name() {
        let master = |byte| MasterKey::from_base64(&STANDARD.encode([byte; 32])).unwrap();
        let sealed = master(1).seal("kid", b"private");

        let opened = master(1).open("kid", &sealed);
        assert_eq!(opened.unwrap().as_slice(), b"private");
        assert!(master(2).open("kid", &sealed).is_none());
        assert!(master(1).open("other", &sealed).is_none());
    }

    #[test]
    fn debug_form_hides_the_key() {
        let master = MasterKey::from_base64(&STANDARD.encode([1; 32])).unwrap();

        assert_eq!(format!("{master:?}"), "MasterKey(***)");
    }
}
