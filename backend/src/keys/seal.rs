//! Sealing under the master key: AES-256-GCM with a key derived for this purpose alone.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

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
        let mut bytes = plain.to_vec();
        let nonce = self
            .key()
            .seal_in_place_append_tag(Aad::from(kid.as_bytes()), &mut bytes)
            .expect("sealing fails only beyond 64 GiB");
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut bytes);
        sealed
    }

    /// Opens what `seal` sealed; `None` where key, name or bytes differ.
    pub(super) fn open(&self, kid: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let length = self
            .key()
            .open_in_place(nonce, Aad::from(kid.as_bytes()), &mut bytes)
            .ok()?
            .len();
        bytes.truncate(length);
        Some(bytes)
    }

    /// Derived, so that later uses of the master key get keys of their own (RFC 5869).
    fn key(&self) -> RandomizedNonceKey {
        let mut key = Zeroizing::new([0; 32]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
            .extract(self.0.as_slice())
            .expand(&[b"countersign signing keys v1"], hkdf::HKDF_SHA256)
            .and_then(|derived| derived.fill(key.as_mut_slice()))
            .expect("32 bytes are what HKDF-SHA256 gives");
        RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()).expect("AES-256 takes 32 bytes")
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

    fn master(byte: u8) -> MasterKey {
        MasterKey::from_base64(&STANDARD.encode([byte; 32])).unwrap()
    }

    #[test]
    fn only_the_same_key_name_and_bytes_open_a_seal() {
        let sealed = master(1).seal("kid", b"private");

        assert_eq!(
            master(1).open("kid", &sealed).unwrap().as_slice(),
            b"private"
        );
        assert!(master(2).open("kid", &sealed).is_none());
        assert!(master(1).open("other", &sealed).is_none());
        for position in 0..sealed.len() {
            let mut spoiled = sealed.clone();
            spoiled[position] ^= 1;
            assert!(master(1).open("kid", &spoiled).is_none(), "byte {position}");
        }
        assert!(master(1).open("kid", b"short").is_none());
    }

    #[test]
    fn sealing_twice_gives_different_bytes() {
        assert_ne!(
            master(1).seal("kid", b"private"),
            master(1).seal("kid", b"private")
        );
    }

    #[test]
    fn debug_form_hides_the_key() {
        assert_eq!(format!("{:?}", master(1)), "MasterKey(***)");
    }
}
