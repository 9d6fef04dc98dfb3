//! Sealing (AES-256-GCM) under a key that is derived for one purpose alone (HKDF, RFC 5869).

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf,
};
use zeroize::Zeroizing;

/// A key for one purpose.
pub(crate) struct SealingKey(RandomizedNonceKey);

impl SealingKey {
    /// Derives a key from a secret. Another purpose gives another key, so that none of them can be
    /// used for what another has sealed.
    pub(crate) fn derive(secret: &[u8], purpose: &'static str) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
            .extract(secret)
            .expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|derived| derived.fill(key.as_mut_slice()))
            .expect("32 bytes are what HKDF-SHA256 gives");
        Self(RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()).expect("AES-256 takes 32 bytes"))
    }

    /// Seals bytes; `name` is bound in and has to be said again to open them.
    pub(crate) fn seal(&self, name: &[u8], plain: &[u8]) -> Vec<u8> {
        // Room for the tag, so that growing leaves no copy of the plain bytes behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM.tag_len()));
        bytes.extend_from_slice(plain);
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(name), &mut *bytes)
            .expect("sealing fails only beyond 64 GiB");
        [nonce.as_ref(), bytes.as_slice()].concat()
    }

    /// Opens what [`SealingKey::seal`] sealed; `None` where key, name or bytes differ.
    pub(crate) fn open(&self, name: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let length = self
            .0
            .open_in_place(nonce, Aad::from(name), &mut bytes)
            .ok()?
            .len();
        bytes.truncate(length);
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: u8, purpose: &'static str) -> SealingKey {
        SealingKey::derive(&[secret; 32], purpose)
    }

    #[test]
    fn only_the_same_secret_purpose_name_and_bytes_open_a_seal() {
        let sealed = key(1, "keys").seal(b"name", b"private");

        let opened = key(1, "keys").open(b"name", &sealed);
        assert_eq!(opened.unwrap().as_slice(), b"private");
        assert!(key(2, "keys").open(b"name", &sealed).is_none());
        assert!(key(1, "else").open(b"name", &sealed).is_none());
        assert!(key(1, "keys").open(b"other", &sealed).is_none());
        for position in 0..sealed.len() {
            let mut spoiled = sealed.clone();
            spoiled[position] ^= 1;
            let opened = key(1, "keys").open(b"name", &spoiled);
            assert!(opened.is_none(), "byte {position}");
        }
        assert!(key(1, "keys").open(b"name", b"short").is_none());
    }

    #[test]
    fn sealing_twice_gives_different_bytes() {
        let key = key(1, "keys");

        assert_ne!(key.seal(b"name", b"private"), key.seal(b"name", b"private"));
    }
}
