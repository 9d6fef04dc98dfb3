//! The keys of a running instance: what signs and what verifies in memory, following the database
//! without a restart.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

use super::{
    Key, KeysError, Revoked, Rotated, Rotation, State, StoredKeys,
    states::{self},
    stored::Snapshot,
};
use crate::{
    app::to_the_end,
    token::{PublicKeys, SharedKeys, SigningKey, SigningKeys, Unverified, VerifyingKey},
};

/// How often the database is asked whether keys were changed: a revoked key must be refused by every
/// instance within a second.
const CHECK: Duration = Duration::from_millis(500);
/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often tokens of unknown keys may have the database asked: they cost nothing to make.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
/// How long others may remember public keys that never change.
const MAX_AGE: Duration = Duration::from_mins(5);
/// How many removed keys are known by name, so that their tokens ask for nothing. The newest ones,
/// since only their tokens may still be about.
const REMEMBERED: usize = 1000;
/// The length of a thumbprint in base64url (RFC 7638): no other name is one of our keys'.
const THUMBPRINT: usize = 43;

/// The keys that sign and verify now. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Ring(Arc<Inner>);

struct Inner {
    signing: Arc<ArcSwapOption<SigningKey>>,
    verifying: SharedKeys,
    /// Keys of others, which verify whatever ours do.
    others: Vec<VerifyingKey>,
    source: Source,
    /// Whether a stored key verifies that could not be opened here, so that `verifying` lacks it.
    is_incomplete: AtomicBool,
}

enum Source {
    /// From the configuration, for as long as the process lives.
    Fixed,
    Stored {
        keys: StoredKeys,
        /// Held while the database is asked, so that one asks for all.
        known: Mutex<Known>,
    },
}

/// What was read of the database last.
#[derive(Default)]
struct Known {
    /// Of what was read whole; `None` makes the next check read again.
    version: Option<i64>,
    keys: Vec<Key>,
    opened: HashMap<String, Opened>,
    removed: HashSet<String>,
    /// When a token of an unknown key last had the database asked.
    asked: Option<Duration>,
}

struct Opened {
    signing: SigningKey,
    verifying: VerifyingKey,
}

impl Ring {
    /// One key from the configuration, and keys of others.
    ///
    /// # Errors
    ///
    /// [`KeysError`] where they do not go together.
    pub fn fixed(key: SigningKey, others: Vec<VerifyingKey>) -> Result<Self, KeysError> {
        let ring = Self::new(others, Source::Fixed);
        let verifying = key.verifying_key()?;
        ring.publish([verifying].into_iter(), &[])?;
        ring.0.signing.store(Some(Arc::new(key)));
        Ok(ring)
    }

    /// The keys of a database; the first one is made where there is none. Whether it was.
    ///
    /// # Errors
    ///
    /// [`KeysError`] where keys exist that cannot be opened, or none can be made.
    pub async fn open(
        keys: StoredKeys,
        others: Vec<VerifyingKey>,
    ) -> Result<(Self, bool), KeysError> {
        // Before anything is changed: a master key that does not fit must not add keys of its own.
        keys.check_master().await?;
        let created = keys.begin().await?;
        let known = Mutex::default();
        let ring = Self::new(others, Source::Stored { keys, known });
        if let Source::Stored { keys, known } = &ring.0.source {
            ring.reload(keys, &mut *known.lock().await).await?;
        }
        Ok((ring, created))
    }

    fn new(others: Vec<VerifyingKey>, source: Source) -> Self {
        Self(Arc::new(Inner {
            signing: Arc::default(),
            verifying: SharedKeys::default(),
            others,
            source,
            is_incomplete: AtomicBool::new(false),
        }))
    }

    /// What a signer signs with.
    pub fn signing(&self) -> SigningKeys {
        let signing = Arc::clone(&self.0.signing);
        SigningKeys::ask(move |_| signing.load().as_deref().cloned())
    }

    /// What a verifier verifies with.
    pub fn verifying(&self) -> SharedKeys {
        self.0.verifying.clone()
    }

    /// Whether keys are missing among those that verify, since they cannot be opened: what there is
    /// must then not be remembered as all there is.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.0.is_incomplete.load(Ordering::Acquire)
    }

    /// The key that signs now.
    pub fn current(&self) -> Option<Arc<SigningKey>> {
        self.0.signing.load_full()
    }

    /// How long others may remember the public keys.
    pub fn max_age(&self) -> Duration {
        match &self.0.source {
            Source::Fixed => MAX_AGE,
            Source::Stored { keys, .. } => keys.rules().max_age(),
        }
    }

    /// How often to call [`Ring::check`]; `None` where nothing ever changes.
    pub(crate) fn interval(&self) -> Option<Duration> {
        match &self.0.source {
            Source::Fixed => None,
            Source::Stored { keys, .. } => Some(CHECK.min(keys.rules().pending_for / 4)),
        }
    }

    /// Where another algorithm signs than the configured one, makes a key for that one: it is published,
    /// and signs once everybody knows it.
    ///
    /// # Errors
    ///
    /// [`KeysError`] where the database fails.
    pub async fn turn_to_algorithm(&self) -> Result<(), KeysError> {
        let Source::Stored { keys, known } = &self.0.source else {
            return Ok(());
        };
        let mut known = lock(known).await?;
        if keys.turn_to_algorithm().await? {
            self.reload(keys, &mut known).await?;
        }
        Ok(())
    }

    /// Takes over what was changed in the database, and does what time has made due.
    ///
    /// # Errors
    ///
    /// [`KeysError`] where the database fails, or a new key cannot be opened; the keys that are known
    /// go on, but for those that were removed.
    pub async fn check(&self) -> Result<(), KeysError> {
        let Source::Stored { keys, known } = &self.0.source else {
            return Ok(());
        };
        let work = async {
            let mut known = lock(known).await?;
            if known.version != Some(keys.version().await?) {
                self.reload(keys, &mut known).await?;
            }
            if !states::due(&known.keys, keys.rules(), keys.now()).is_empty() {
                keys.settle().await?;
                self.reload(keys, &mut known).await?;
            }
            Ok(())
        };
        timeout(PATIENCE, work)
            .await
            .map_err(|_| KeysError::Unavailable)?
    }

    /// Asks the database for the key of a token that names none we know: another instance may have made
    /// it a moment ago. Whether it is known now.
    ///
    /// At most once a second, for all such tokens together, since anybody can make one; and never for a
    /// name that is none of a key, or that of one that was removed.
    ///
    /// # Errors
    ///
    /// [`KeysError`] where nobody can say whether there is such a key.
    pub async fn learn(&self, token: &str) -> Result<bool, KeysError> {
        let Some(kid) = kid_of(token) else {
            return Ok(false);
        };
        // To its end whoever hangs up: all others wait for what this one finds.
        let ring = self.clone();
        to_the_end(async move {
            timeout(PATIENCE, ring.ask(&kid))
                .await
                .map_err(|_| KeysError::Unavailable)?
        })
        .await
    }

    async fn ask(&self, kid: &str) -> Result<bool, KeysError> {
        let Source::Stored { keys, known } = &self.0.source else {
            return Ok(false);
        };
        let is_known = || self.0.verifying.load().get(kid).is_some();
        let mut known = lock(known).await?;
        // Whoever was here before may have asked for the same.
        if is_known() || known.removed.contains(kid) {
            return Ok(is_known());
        }
        let now = keys.monotonic();
        if known
            .asked
            .is_some_and(|asked| now.saturating_sub(asked) < ASKED_AGAIN)
        {
            // While nobody can say, nobody is told «no».
            return match known.version {
                Some(_) => Ok(false),
                None => Err(KeysError::Unavailable),
            };
        }
        known.asked = Some(now);
        self.reload(keys, &mut known).await?;
        Ok(is_known())
    }

    /// Makes the next key; see [`StoredKeys::rotate`].
    ///
    /// # Errors
    ///
    /// As there, and [`KeysError::Configured`].
    pub async fn rotate(&self, how: Rotation) -> Result<Rotated, KeysError> {
        let Source::Stored { keys, known } = &self.0.source else {
            return Err(KeysError::Configured);
        };
        let mut known = lock(known).await?;
        let rotated = keys.rotate(how).await?;
        self.reload(keys, &mut known).await?;
        Ok(rotated)
    }

    /// Removes a key at once; see [`StoredKeys::revoke`]. This instance refuses what it signed as soon
    /// as this returns, every other one within a second.
    ///
    /// # Errors
    ///
    /// As there, and [`KeysError::Configured`].
    pub async fn revoke(&self, name: &str) -> Result<Revoked, KeysError> {
        let Source::Stored { keys, known } = &self.0.source else {
            return Err(KeysError::Configured);
        };
        let mut known = lock(known).await?;
        let revoked = keys.revoke(name).await?;
        self.reload(keys, &mut known).await?;
        Ok(revoked)
    }

    /// Reads the database and takes over what it says. What cannot be opened is left out, and what is
    /// removed goes all the same.
    async fn reload(&self, keys: &StoredKeys, known: &mut Known) -> Result<(), KeysError> {
        known.version = None;
        let Snapshot {
            version,
            rows,
            keys: listed,
        } = keys.read().await?;
        let is_live = |kid: &str| {
            listed
                .iter()
                .any(|key| key.kid == kid && key.state != State::Removed)
        };
        known.opened.retain(|kid, _| is_live(kid));
        let mut opened = Ok(());
        for signing in keys.open(&rows, |kid| !known.opened.contains_key(kid)) {
            let one = signing.and_then(|signing| {
                let verifying = signing.verifying_key()?;
                let kid = signing.kid().to_owned();
                known.opened.insert(kid, Opened { signing, verifying });
                Ok(())
            });
            opened = opened.and(one);
        }
        if opened.is_err() {
            self.0.is_incomplete.store(true, Ordering::Release);
        }
        // Published before it signs, here as everywhere.
        let ours = known.opened.values().map(|key| key.verifying.clone());
        let published = self.publish(ours, &listed);
        let is_whole = opened.is_ok() && published.is_ok();
        self.0.is_incomplete.store(!is_whole, Ordering::Release);
        published?;
        self.sign_with(&listed, known);
        known.removed = listed
            .iter()
            .rev()
            .filter(|key| key.state == State::Removed)
            .take(REMEMBERED)
            .map(|key| key.kid.clone())
            .collect();
        log_changes(&known.keys, &listed);
        known.keys = listed;
        opened?;
        known.version = Some(version);
        Ok(())
    }

    /// Replaces what verifies: these, and those of others. What the database knows is none of
    /// others, whatever became of it and whatever name it has there: a revoked key would come back.
    fn publish(
        &self,
        ours: impl Iterator<Item = VerifyingKey>,
        stored: &[Key],
    ) -> Result<(), KeysError> {
        let mut keys: Vec<_> = ours.collect();
        let names = keys.iter().map(VerifyingKey::kid);
        let names: HashSet<_> = names.chain(stored.iter().map(|key| &*key.kid)).collect();
        let is_ours = |key: &VerifyingKey| {
            let thumbprint = key.thumbprint();
            let is_named = |name: &str| names.contains(name);
            is_named(key.kid()) || thumbprint.as_deref().is_some_and(is_named)
        };
        let others = self.0.others.iter().filter(|key| !is_ours(key)).cloned();
        let others: Vec<_> = others.collect();
        keys.extend(others);
        self.0.verifying.replace(PublicKeys::new(keys)?);
        Ok(())
    }

    /// The active key signs. Where it cannot be opened the one before goes on while it still verifies,
    /// and then none does: nobody would accept what it signs.
    fn sign_with(&self, listed: &[Key], known: &Known) {
        let active = states::of_state(listed, State::Active).map(|key| key.kid.clone());
        let before = self.current().map(|key| key.kid().to_owned());
        let signs = [active, before]
            .into_iter()
            .flatten()
            .find_map(|kid| known.opened.get(&kid));
        let signs = signs.map(|key| Arc::new(key.signing.clone()));
        self.0.signing.store(signs);
    }
}

/// What became of keys, a line each: whoever reads the log later wants to know which key signed when,
/// also where somebody else or the command line changed it.
fn log_changes(before: &[Key], now: &[Key]) {
    // At the start everything is new, and nothing has changed.
    if before.is_empty() {
        return;
    }
    let before: HashMap<_, _> = (before.iter()).map(|key| (&*key.kid, key.state)).collect();
    for key in now {
        let was = before.get(&*key.kid).copied();
        if was == Some(key.state) {
            continue;
        }
        let (id, was) = (&*key.kid, was.map(State::as_str));
        match key.state {
            State::Pending => tracing::info!(key.id = id, "a key was made, and is published"),
            State::Active => tracing::info!(key.id = id, key.was = was, "a key signs from here on"),
            State::Retiring => {
                tracing::info!(
                    key.id = id,
                    key.was = was,
                    "a key signs no more, and still verifies"
                );
            }
            // Of a key that still signed, or was to, this is no matter of time.
            State::Removed if was != Some(State::Retiring.as_str()) => {
                tracing::warn!(
                    key.id = id,
                    key.was = was,
                    "a key was removed at once: nothing accepts it"
                );
            }
            State::Removed => tracing::info!(key.id = id, key.was = was, "a key is removed"),
            State::Unplaced => {}
        }
    }
}

async fn lock(known: &Mutex<Known>) -> Result<MutexGuard<'_, Known>, KeysError> {
    timeout(PATIENCE, known.lock())
        .await
        .map_err(|_| KeysError::Unavailable)
}

/// The name of a token's key, where it could be that of one of ours.
fn kid_of(token: &str) -> Option<String> {
    let header = Unverified::read(token).ok()?.header;
    let kid = header.get("kid")?.as_str()?;
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (kid.len() == THUMBPRINT && kid.bytes().all(is_base64url)).then(|| kid.to_owned())
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("verifying", &self.0.verifying)
            .finish_non_exhaustive()
    }
}
