//! Where signer and verifier find their keys: fixed ones, ones that are replaced while they are
//! used, or whatever a program answers.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;

use super::{PublicKeys, Rejection, SigningKey, Subject, Unverified, VerifyingKey, jws::Jws};

/// How many keys are tried for a token that names none. Each costs a verification, so a large set
/// must not make every such token expensive.
const TRIED: usize = 8;

/// Public keys that may be replaced at any time; whoever verifies sees the new ones from the next
/// token on. Cheap to clone: all clones are one.
///
/// ```
/// use countersign::token::{Algorithm, PrivateKey, PublicKeys, SharedKeys};
///
/// let keys = SharedKeys::new(PublicKeys::default());
/// let seen = keys.clone();
///
/// let key = PrivateKey::generate(Algorithm::Es256)?.signing_key()?.verifying_key()?;
/// keys.replace(PublicKeys::new([key.clone()])?);
/// assert!(seen.load().get(key.kid()).is_some());
/// # Ok::<(), countersign::token::KeyError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SharedKeys(Arc<ArcSwap<PublicKeys>>);

impl SharedKeys {
    /// Starts with these.
    pub fn new(keys: PublicKeys) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(keys)))
    }

    /// From here on, these.
    pub fn replace(&self, keys: PublicKeys) {
        self.0.store(Arc::new(keys));
    }

    /// Those of now.
    pub fn load(&self) -> Arc<PublicKeys> {
        self.0.load_full()
    }
}

/// Where a [`Verifier`](super::Verifier) finds the key of a token.
#[derive(Clone)]
pub struct KeySource(Source);

type FindKey = dyn Fn(&Unverified) -> Option<VerifyingKey> + Send + Sync;
type FindSigningKey = dyn Fn(&Subject) -> Option<SigningKey> + Send + Sync;

#[derive(Clone)]
enum Source {
    Shared(SharedKeys),
    Asked(Arc<FindKey>),
}

impl From<PublicKeys> for KeySource {
    fn from(keys: PublicKeys) -> Self {
        SharedKeys::new(keys).into()
    }
}

impl From<SharedKeys> for KeySource {
    fn from(keys: SharedKeys) -> Self {
        Self(Source::Shared(keys))
    }
}

impl KeySource {
    /// A program says which key a token is to be verified with, by what the token says of itself:
    /// one key a tenant, for instance.
    ///
    /// # Security
    ///
    /// Nothing of what the program sees is verified yet. It may choose among keys that are trusted;
    /// it must fetch none from an address that the token names (RFC 8725 §3.10). One that chooses by
    /// a claim, a tenant's say, has to look at that claim again afterwards: whoever holds one of the
    /// keys can write any claim.
    pub fn ask(find: impl Fn(&Unverified) -> Option<VerifyingKey> + Send + Sync + 'static) -> Self {
        Self(Source::Asked(Arc::new(find)))
    }

    /// What may be published of the keys that are known now; nothing where a program is asked.
    pub fn known(&self) -> Arc<PublicKeys> {
        match &self.0 {
            Source::Shared(keys) => keys.load(),
            Source::Asked(_) => Arc::default(),
        }
    }

    /// The payload, if a key of ours signed it: the one that the token names, or, where a token
    /// need not name one, any of its algorithm.
    pub(super) fn verify(
        &self,
        jws: &Jws<'_>,
        token: &str,
        is_named: bool,
    ) -> Result<Vec<u8>, Rejection> {
        let keys = match &self.0 {
            Source::Shared(keys) => keys.load(),
            Source::Asked(find) => {
                let token = Unverified::read(token)?;
                return jws.verify(&find(&token).ok_or(Rejection::UnknownKey)?);
            }
        };
        if let Some(kid) = jws.header("kid") {
            return jws.verify(keys.get(kid).ok_or(Rejection::UnknownKey)?);
        }
        if is_named || jws.has_header("kid") {
            return Err(Rejection::UnknownKey);
        }
        let alg = jws.header("alg");
        let mut refused = Rejection::WrongAlgorithm;
        let fitting = keys.iter().filter(|key| key.is_named_by(alg));
        for key in fitting.take(TRIED) {
            match jws.verify(key) {
                Ok(payload) => return Ok(payload),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Shared(keys) => keys.fmt(f),
            Source::Asked(_) => f.write_str("KeySource::ask(…)"),
        }
    }
}

/// Where a [`Signer`](super::Signer) finds the key to sign with.
#[derive(Clone)]
pub struct SigningKeys(Signing);

#[derive(Clone)]
enum Signing {
    Shared(Arc<ArcSwap<SigningKey>>),
    Asked(Arc<FindSigningKey>),
}

impl From<SigningKey> for SigningKeys {
    fn from(key: SigningKey) -> Self {
        Self(Signing::Shared(Arc::new(ArcSwap::from_pointee(key))))
    }
}

impl SigningKeys {
    /// A program says which key signs for whom; where it says none, there is no token.
    pub fn ask(find: impl Fn(&Subject) -> Option<SigningKey> + Send + Sync + 'static) -> Self {
        Self(Signing::Asked(Arc::new(find)))
    }

    /// From the next token on, this one signs. Has no effect where a program is asked.
    pub fn replace(&self, key: SigningKey) {
        if let Signing::Shared(current) = &self.0 {
            current.store(Arc::new(key));
        }
    }

    /// The key that signs for somebody.
    pub(super) fn find(&self, subject: &Subject) -> Option<Arc<SigningKey>> {
        match &self.0 {
            Signing::Shared(key) => Some(key.load_full()),
            Signing::Asked(find) => find(subject).map(Arc::new),
        }
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Signing::Shared(key) => key.load().fmt(f),
            Signing::Asked(_) => f.write_str("SigningKeys::ask(…)"),
        }
    }
}
