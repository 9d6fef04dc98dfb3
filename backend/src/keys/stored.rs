//! The keys in the database: what time makes due, and what operators ask for.
//!
//! Every change is one transaction that begins by counting itself (`store::begin_change`), so that all
//! changes of all replicas queue there, and each decides by what the one before it left.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use zeroize::Zeroizing;

use super::{
    KeyRules, KeysError, MasterKey,
    master::Master,
    states::{self, Key, State, Step},
    store::{self, StoredKey},
};
use crate::{
    clock::Clock,
    store::{Db, StoreError, Timestamp, Tx, retrying},
    token::{Algorithm, KeyError, PrivateKey, SigningKey},
};

/// How long it is remembered that a key was there.
const REMEMBERED: Duration = Duration::from_hours(365 * 24);

/// The keys in a database. Cheap to clone.
#[derive(Clone)]
pub struct StoredKeys(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Arc<dyn Clock>,
    master: Master,
    rules: KeyRules,
}

/// How the next key comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Published first, and signing once everybody knows it.
    Published,
    /// Signing at once. A service that has read the public keys a moment ago refuses its tokens until
    /// it reads them again.
    AtOnce,
}

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The next key.
    pub kid: String,
    /// What it signs with: what the one before did, whatever is configured here. `None` where this
    /// version does not know it.
    pub algorithm: Option<Algorithm>,
    /// From when on it signs.
    pub signs_at: Timestamp,
    /// The key that signs until then.
    pub before: Option<String>,
    /// Until when that one verifies.
    pub before_verifies_until: Timestamp,
}

/// What a revocation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The key that nothing accepts any more.
    pub kid: String,
    /// What it was.
    pub was: State,
    /// The key that signs now.
    pub signs: String,
    /// What that one signs with; `None` where this version does not know it.
    pub algorithm: Option<Algorithm>,
}

/// What replacing the master key did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrapped {
    /// How many keys are sealed with the new one.
    pub keys: usize,
    /// Whether the old one came from the configuration, where the new one has to be put.
    pub is_configured: bool,
    /// Where the old one is kept, where it came from a file.
    pub old: Option<PathBuf>,
}

/// What was read at one moment.
pub(super) struct Snapshot {
    pub(super) version: i64,
    pub(super) rows: Vec<StoredKey>,
    pub(super) keys: Vec<Key>,
}

/// What to do, and what to say of it once it is done.
struct Decision<T> {
    steps: Vec<Step>,
    said: T,
}

/// What became of an attempt to change something.
enum Attempt<T> {
    Done(Changed<T>),
    /// A key has to be made first: that takes a while with RSA, during which nobody should wait for
    /// the transaction.
    NeedsKey(Algorithm),
}

/// What was decided, and what it led to.
struct Changed<T> {
    said: T,
    /// Whether anything was changed at all.
    is_change: bool,
    /// The key that was made.
    made: Option<Key>,
    now: Timestamp,
}

impl StoredKeys {
    /// Those of a database. `configured` is the master key from the configuration; without one it is
    /// the file in `folder`, which is made together with the first key.
    pub fn new(
        db: Db,
        clock: Arc<dyn Clock>,
        configured: Option<MasterKey>,
        folder: &Path,
        rules: KeyRules,
    ) -> Self {
        Self(Arc::new(Inner {
            db,
            clock,
            master: Master::new(configured, folder),
            rules,
        }))
    }

    /// How they come and go.
    pub fn rules(&self) -> &KeyRules {
        &self.0.rules
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(super) fn monotonic(&self) -> Duration {
        self.0.clock.monotonic()
    }

    /// Every key, the removed ones too, the oldest first. Those from before there were states as what
    /// the next change makes of them.
    ///
    /// # Errors
    ///
    /// [`KeysError`] where the database fails.
    pub async fn list(&self) -> Result<Vec<Key>, KeysError> {
        let keys = self.read().await?.keys;
        Ok(states::placed(&keys, &self.0.rules, self.now()).1)
    }

    pub(super) async fn read(&self) -> Result<Snapshot, KeysError> {
        let mut tx = self.0.db.read().await?;
        // The version first: what was changed in between is then read once more, not missed.
        let version = store::version(&mut tx).await?;
        let rows = store::list(&mut tx).await?;
        let keys = keys_of(&rows);
        Ok(Snapshot {
            version,
            rows,
            keys,
        })
    }

    pub(super) async fn version(&self) -> Result<i64, StoreError> {
        store::version(&mut self.0.db.read().await?).await
    }

    /// Whether the master key is there and opens what is stored; nothing is made or changed where it
    /// does not.
    pub(super) async fn check_master(&self) -> Result<(), KeysError> {
        let rows = self.read().await?.rows;
        if rows.iter().all(StoredKey::is_removed) {
            return Ok(());
        }
        let master = self.0.master.find(&rows)?;
        if self.0.master.is_unfinished(&master)? {
            self.finish_master(&master).await?;
        }
        Ok(())
    }

    /// Finishes what replacing the master key left to do, while nobody else can change keys: its files
    /// have the names that another one would use. Where the last one is kept.
    async fn finish_master(&self, fitting: &MasterKey) -> Result<Option<PathBuf>, KeysError> {
        let (_tx, rows) = self.lock().await?;
        if fitting.opens(&rows) {
            self.0.master.finish(fitting)
        } else {
            // Replaced once more in between.
            Ok(None)
        }
    }

    /// Waits for every other change, with what is stored then.
    async fn lock(&self) -> Result<(Tx, Vec<StoredKey>), KeysError> {
        attempts(|| async {
            let mut tx = self.0.db.write().await?;
            store::begin_change(&mut tx).await?;
            let rows = store::list(&mut tx).await?;
            Ok((tx, rows))
        })
        .await
    }

    /// Opens what is stored: each one, or why it cannot be opened.
    pub(super) fn open(
        &self,
        rows: &[StoredKey],
        wanted: impl Fn(&str) -> bool,
    ) -> Vec<Result<SigningKey, KeysError>> {
        let wanted = |row: &&StoredKey| !row.is_removed() && wanted(&row.kid);
        if !rows.iter().any(|row| wanted(&row)) {
            return Vec::new();
        }
        match self.0.master.find_best(rows) {
            Ok((master, _)) => {
                let rows = rows.iter().filter(wanted);
                rows.map(|row| open(&master, row)).collect()
            }
            Err(error) => vec![Err(error)],
        }
    }

    /// Sees to it that a key signs; whether it made one.
    ///
    /// Nothing more, since this is also done by a command that is run once, perhaps with another
    /// configuration than the servers have: what time makes due is theirs to do.
    pub(super) async fn begin(&self) -> Result<bool, KeysError> {
        let changed = self
            .change(|keys, now| {
                let signs = states::of_state(keys, State::Active).is_some();
                Ok(Decision {
                    steps: if signs {
                        Vec::new()
                    } else {
                        states::due(keys, &self.0.rules, now)
                    },
                    said: (),
                })
            })
            .await?;
        Ok(changed.made.is_some())
    }

    /// Does what time has made due.
    pub(super) async fn settle(&self) -> Result<(), KeysError> {
        self.change(|keys, now| {
            Ok(Decision {
                steps: states::due(keys, &self.0.rules, now),
                said: (),
            })
        })
        .await?;
        Ok(())
    }

    /// Begins the way to the configured algorithm, where another one signs; whether it did.
    pub(super) async fn turn_to_algorithm(&self) -> Result<bool, KeysError> {
        let changed = self
            .change(|keys, _| {
                Ok(Decision {
                    steps: states::towards_algorithm(keys, &self.0.rules),
                    said: (),
                })
            })
            .await?;
        Ok(changed.is_change)
    }

    /// Makes the next key.
    ///
    /// # Errors
    ///
    /// [`KeysError::AlreadyPending`] where it is there already and is not to sign at once; others where
    /// the master key does not fit, or the database fails.
    pub async fn rotate(&self, how: Rotation) -> Result<Rotated, KeysError> {
        let rules = &self.0.rules;
        let changed = self
            .change(|keys, now| {
                let (placing, keys) = states::placed(keys, rules, now);
                let pending = states::of_state(&keys, State::Pending);
                let active = states::of_state(&keys, State::Active);
                let first = Step::Make {
                    state: State::Active,
                    algorithm: rules.algorithm,
                };
                let steps = match (how, pending, active) {
                    (Rotation::Published, Some(key), _) => {
                        return Err(KeysError::AlreadyPending {
                            kid: key.kid.clone(),
                            signs_at: key.since.plus(rules.pending_for),
                        });
                    }
                    (Rotation::Published, None, Some(active)) => {
                        vec![Step::succeed(active, State::Pending, rules)]
                    }
                    // Nothing signs, so there is nothing to wait for.
                    (Rotation::Published, None, None) => vec![first],
                    (Rotation::AtOnce, pending, active) => active
                        .map(Step::retire)
                        .into_iter()
                        .chain([match pending {
                            Some(key) => Step::activate(key, now),
                            None => {
                                active.map_or(first, |key| Step::succeed(key, State::Active, rules))
                            }
                        }])
                        .collect(),
                };
                Ok(Decision {
                    steps: [placing, steps].concat(),
                    said: (active.map(|key| key.kid.clone()), pending.cloned()),
                })
            })
            .await?;
        let (before, pending) = changed.said;
        let is_pending = (changed.made.as_ref()).is_some_and(|key| key.state == State::Pending);
        let signs_at = if is_pending {
            changed.now.plus(rules.pending_for)
        } else {
            changed.now
        };
        // One of the two is there: what was decided makes a key or takes the pending one.
        let next = changed.made.or(pending).ok_or(KeysError::Unavailable)?;
        Ok(Rotated {
            kid: next.kid,
            algorithm: next.algorithm,
            signs_at,
            before,
            before_verifies_until: signs_at.plus(rules.verifies_for),
        })
    }

    /// Removes a key at once, whatever it was: what it signed is refused from here on. Where it signed,
    /// the next one does, which is made where there is none. `name` is the key's `kid`, or a beginning
    /// of it that no other has.
    ///
    /// # Errors
    ///
    /// [`KeysError`] where no key, or more than one, has that name.
    pub async fn revoke(&self, name: &str) -> Result<Revoked, KeysError> {
        let rules = &self.0.rules;
        let changed = self
            .change(|keys, now| {
                let (mut steps, keys) = states::placed(keys, rules, now);
                let key = named(&keys, name)?;
                let active = states::of_state(&keys, State::Active).filter(|active| *active != key);
                let pending = states::of_state(&keys, State::Pending).filter(|next| *next != key);
                steps.push(Step::remove(key));
                let signs = match (active, pending) {
                    (Some(active), _) => Some(active.clone()),
                    (None, Some(next)) => {
                        steps.push(Step::activate(next, now));
                        Some(next.clone())
                    }
                    (None, None) => {
                        steps.push(Step::succeed(key, State::Active, rules));
                        None
                    }
                };
                Ok(Decision {
                    steps,
                    said: (key.clone(), signs),
                })
            })
            .await?;
        let (key, signs) = changed.said;
        // One of the two is there: where nothing else signs a key was made.
        let signs = signs.or(changed.made).ok_or(KeysError::Unavailable)?;
        Ok(Revoked {
            kid: key.kid,
            was: key.state,
            signs: signs.kid,
            algorithm: signs.algorithm,
        })
    }

    /// Seals every private key with another master key, all at once, and puts that in the old one's
    /// place: `wanted`, or a new one.
    ///
    /// # Errors
    ///
    /// [`KeysError`] where the old one does not fit, or the new one cannot be kept. Whatever happens,
    /// the next start finds the one that fits.
    pub async fn rewrap(&self, wanted: Option<MasterKey>) -> Result<Rewrapped, KeysError> {
        let master = &self.0.master;
        let is_configured = master.is_configured();
        if is_configured && wanted.is_none() {
            return Err(KeysError::NewMasterKeyNeeded);
        }
        self.check_master().await?;
        let (mut tx, rows) = self.lock().await?;
        let old = master.find(&rows)?;
        // What a crash left is finished first, or the next one of then would be taken for that of now.
        master.finish(&old)?;
        let new = match wanted {
            Some(wanted) if is_configured || wanted == old => wanted,
            wanted => master.prepare(wanted)?,
        };
        // Given by mistake, or somebody else replaced it between the two steps above.
        if new == old {
            return Err(KeysError::SameMasterKey);
        }
        let mut keys = 0;
        for row in rows.iter().filter(|row| !row.is_removed()) {
            let plain = open_sealed(&old, row)?;
            store::reseal(&mut tx, &row.kid, &new.seal(&row.kid, &plain)).await?;
            keys += 1;
        }
        tx.commit().await?;
        let old = self.finish_master(&new).await?;
        Ok(Rewrapped {
            keys,
            is_configured,
            old,
        })
    }

    /// Decides by what is stored and does it, in one transaction that nobody else's overlaps.
    async fn change<T>(
        &self,
        decide: impl Fn(&[Key], Timestamp) -> Result<Decision<T>, KeysError>,
    ) -> Result<Changed<T>, KeysError> {
        let mut spare = None;
        loop {
            match attempts(|| self.attempt(&decide, spare.as_ref())).await? {
                Attempt::Done(changed) => return Ok(changed),
                Attempt::NeedsKey(algorithm) => spare = Some(generate(algorithm).await?),
            }
        }
    }

    async fn attempt<T>(
        &self,
        decide: &impl Fn(&[Key], Timestamp) -> Result<Decision<T>, KeysError>,
        spare: Option<&(PrivateKey, SigningKey)>,
    ) -> Result<Attempt<T>, KeysError> {
        let now = self.now();
        let mut tx = self.0.db.write().await?;
        store::begin_change(&mut tx).await?;
        let rows = store::list(&mut tx).await?;
        let Decision { steps, said } = decide(&keys_of(&rows), now)?;
        // What goes need not be opened: it may be going because it cannot be.
        let goes = |row: &StoredKey| {
            let kid = &row.kid;
            (steps.iter()).any(|step| matches!(step, Step::Remove { kid: gone } if gone == kid))
        };
        let staying: Vec<_> = rows.into_iter().filter(|row| !goes(row)).collect();
        let is_change = !steps.is_empty();
        let mut made = None;
        for step in &steps {
            match step {
                Step::Activate { kid, at } => store::activate(&mut tx, kid, *at).await?,
                Step::Retire { kid } => store::retire(&mut tx, kid, now).await?,
                Step::Remove { kid } => store::remove(&mut tx, kid, now).await?,
                Step::Redate { kid, state } => store::redate(&mut tx, kid, *state, now).await?,
                Step::Make { state, algorithm } => {
                    let fits =
                        |spare: &&(PrivateKey, SigningKey)| spare.1.algorithm() == *algorithm;
                    let Some(spare) = spare.filter(fits) else {
                        return Ok(Attempt::NeedsKey(*algorithm));
                    };
                    made = Some(self.insert(&mut tx, &staying, spare, *state, now).await?);
                }
            }
        }
        if is_change {
            store::forget(&mut tx, now.minus(REMEMBERED)).await?;
            tx.commit().await?;
        }
        // Where nothing was to be done the transaction is dropped, and nobody reads anything anew.
        log(&steps);
        Ok(Attempt::Done(Changed {
            said,
            is_change,
            made,
            now,
        }))
    }

    async fn insert(
        &self,
        tx: &mut Tx,
        staying: &[StoredKey],
        (private, key): &(PrivateKey, SigningKey),
        state: State,
        now: Timestamp,
    ) -> Result<Key, KeysError> {
        // The one that opens what is there: another would add keys that nobody can open with it. It
        // need not open all: a damaged key is no reason to make none.
        let (master, _) = self.0.master.find_best(staying)?;
        let made = Key {
            kid: key.kid().to_owned(),
            algorithm: Some(key.algorithm()),
            state,
            since: now,
            created_at: now,
        };
        let sealed = master.seal(&made.kid, private.pkcs8());
        store::insert(tx, &made, key.algorithm(), &sealed).await?;
        Ok(made)
    }
}

impl fmt::Debug for StoredKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKeys")
            .field("rules", &self.0.rules)
            .finish_non_exhaustive()
    }
}

/// Runs a transaction with errors of ours as often as the database asks for.
async fn attempts<T, F>(mut transaction: impl FnMut() -> F) -> Result<T, KeysError>
where
    F: Future<Output = Result<T, KeysError>>,
{
    retrying(|| {
        let attempt = transaction();
        async move {
            match attempt.await {
                Err(KeysError::Store(error)) => Err(error),
                done => Ok(done),
            }
        }
    })
    .await?
}

async fn generate(algorithm: Algorithm) -> Result<(PrivateKey, SigningKey), KeysError> {
    let make = move || {
        let private = PrivateKey::generate(algorithm)?;
        let key = private.signing_key()?;
        Ok((private, key))
    };
    // RSA takes long enough to hold up requests.
    tokio::task::spawn_blocking(make)
        .await
        .unwrap_or(Err(KeyError::Generate))
        .map_err(KeysError::from)
}

fn keys_of(rows: &[StoredKey]) -> Vec<Key> {
    rows.iter().map(StoredKey::key).collect()
}

fn named<'a>(keys: &'a [Key], name: &str) -> Result<&'a Key, KeysError> {
    let is_meant = |key: &&Key| !name.is_empty() && key.kid.starts_with(name);
    let (removed, found): (Vec<_>, Vec<_>) = keys
        .iter()
        .filter(is_meant)
        .partition(|key| key.state == State::Removed);
    match (found.as_slice(), removed.first()) {
        ([key], _) => Ok(key),
        ([], Some(key)) => Err(KeysError::AlreadyRemoved(key.kid.clone())),
        ([], None) => Err(KeysError::UnknownKid(name.to_owned())),
        (several, _) => Err(KeysError::AmbiguousKid {
            prefix: name.to_owned(),
            kids: several.iter().map(|key| key.kid.clone()).collect(),
        }),
    }
}

fn open(master: &MasterKey, row: &StoredKey) -> Result<SigningKey, KeysError> {
    let algorithm = row.algorithm.parse();
    let algorithm = algorithm.map_err(|_: KeyError| KeysError::UnknownAlgorithm {
        kid: row.kid.clone(),
        algorithm: row.algorithm.clone(),
    })?;
    let damaged = || KeysError::Damaged {
        kid: row.kid.clone(),
    };
    let pkcs8 = open_sealed(master, row)?;
    let key = PrivateKey::from_pkcs8(algorithm, pkcs8).signing_key();
    // The row's name is bound into the seal and is the key's own thumbprint.
    key.ok()
        .filter(|key| key.kid() == row.kid)
        .ok_or_else(damaged)
}

fn open_sealed(master: &MasterKey, row: &StoredKey) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    master
        .open(&row.kid, &row.sealed)
        .ok_or_else(|| KeysError::Damaged {
            kid: row.kid.clone(),
        })
}

/// What no state shows: the rest is logged by every instance that follows it, whoever did it.
fn log(steps: &[Step]) {
    for step in steps {
        if let Step::Redate { kid, state } = step {
            tracing::warn!(
                key.id = kid,
                key.state = state.as_str(),
                "a key's time was later than now, and counts from now: some server's clock is wrong"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str, state: State) -> Key {
        Key {
            kid: kid.to_owned(),
            algorithm: Some(Algorithm::Es256),
            state,
            since: Timestamp::from_secs(0),
            created_at: Timestamp::from_secs(0),
        }
    }

    #[test]
    fn key_may_be_named_by_its_beginning() {
        let keys = [
            key("abc1", State::Active),
            key("abd2", State::Retiring),
            key("abx3", State::Removed),
        ];
        let said =
            |name| named(&keys, name).map_or_else(|error| error.to_string(), |key| key.kid.clone());

        assert_eq!(said("abc1"), "abc1");
        assert_eq!(said("abd"), "abd2");
        assert_eq!(
            said("ab"),
            "`ab` is the beginning of abc1 and of abd2: write more of it"
        );
        assert_eq!(
            said("abx"),
            "the key abx3 is removed already, and nothing accepts it"
        );
        for unknown in ["", "z"] {
            assert!(said(unknown).starts_with("there is no key `"), "{unknown}");
        }
    }

    /// A folder with a database of one key, and what is in it.
    async fn with_key(configured: Option<&MasterKey>) -> (tempfile::TempDir, StoredKeys) {
        let folder = tempfile::tempdir().unwrap();
        let keys = reopened(&folder, configured).await;
        assert!(keys.begin().await.unwrap());
        (folder, keys)
    }

    /// The same after a restart.
    async fn reopened(folder: &tempfile::TempDir, configured: Option<&MasterKey>) -> StoredKeys {
        let db = Db::open_sqlite(&folder.path().join("test.db"))
            .await
            .unwrap();
        let clock = Arc::new(crate::clock::ManualClock::at(Timestamp::from_secs(0)));
        let rules = KeyRules {
            algorithm: Algorithm::Es256,
            schedule: states::Schedule::Off,
            pending_for: Duration::from_secs(10),
            verifies_for: Duration::from_secs(10),
        };
        StoredKeys::new(db, clock, configured.cloned(), folder.path(), rules)
    }

    /// Whether a start finds a master key that fits, and what is stored can be opened.
    async fn starts(folder: &tempfile::TempDir) -> bool {
        let keys = reopened(folder, None).await;
        keys.check_master().await.is_ok() && opens(&keys).await
    }

    async fn opens(keys: &StoredKeys) -> bool {
        let rows = keys.read().await.unwrap().rows;
        let opened = keys.open(&rows, |_| true);
        opened.len() == 1 && opened.iter().all(Result::is_ok)
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let mut names: Vec<_> = folder
            .path()
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("master"))
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn replaced_master_key_opens_and_the_old_one_does_not() {
        let (folder, keys) = with_key(None).await;
        let path = folder.path().join("master.key");
        let old = MasterKey::read(&path).unwrap().unwrap();

        let rewrapped = keys.rewrap(None).await.unwrap();

        assert_eq!(rewrapped.keys, 1);
        let new = MasterKey::read(&path).unwrap().unwrap();
        let rows = keys.read().await.unwrap().rows;
        assert!(new.opens(&rows) && !old.opens(&rows));
        assert_eq!(names(&folder), ["master.key", "master.key.old"]);
        let kept = MasterKey::read(&rewrapped.old.unwrap()).unwrap().unwrap();
        assert_eq!(kept, old);
        // And again, beside what the ones before left.
        for _ in 0..2 {
            keys.rewrap(None).await.unwrap();
        }
        assert!(starts(&folder).await);
        let kept = ["master.key.old", "master.key.old.2", "master.key.old.3"];
        assert_eq!(names(&folder)[1..], kept);
        let kept = kept.map(|name| MasterKey::read(&folder.path().join(name)).unwrap().unwrap());
        assert!(kept[0] == old && kept[1] == new && kept[2] != new);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn master_key_that_two_replace_at_once_opens_and_none_is_lost() {
        let (folder, keys) = with_key(None).await;
        let beside = reopened(&folder, None).await;

        let (here, there) = tokio::join!(keys.rewrap(None), beside.rewrap(None));

        assert!(here.is_ok() && there.is_ok(), "{here:?} {there:?}");
        assert!(starts(&folder).await);
        let kept = ["master.key", "master.key.old", "master.key.old.2"];
        assert_eq!(names(&folder), kept);
    }

    #[tokio::test]
    async fn running_instance_finds_the_new_master_key_by_itself() {
        let (folder, running) = with_key(None).await;
        let beside = reopened(&folder, None).await;

        beside.rewrap(None).await.unwrap();

        assert!(opens(&running).await);
        running.rotate(Rotation::Published).await.unwrap();
        let rows = beside.read().await.unwrap().rows;
        let opened = beside.open(&rows, |_| true);
        assert_eq!(opened.iter().filter(|key| key.is_ok()).count(), 2);
    }

    #[tokio::test]
    async fn start_after_a_crash_finds_the_master_key_that_fits() {
        // Before the database was sealed anew: the next one is there and unused.
        let (folder, keys) = with_key(None).await;
        let prepared = keys.0.master.prepare(None).unwrap();
        assert!(starts(&folder).await);
        assert_eq!(names(&folder), ["master.key", "master.key.new"]);
        // The command, run again, takes it and comes to its end.
        keys.rewrap(None).await.unwrap();
        let path = folder.path().join("master.key");
        assert_eq!(MasterKey::read(&path).unwrap().unwrap(), prepared);
        assert!(starts(&folder).await);

        std::fs::remove_file(folder.path().join("master.key.old")).unwrap();

        // After the database was sealed anew, before the files changed places.
        let old = prepared;
        let new = keys.0.master.prepare(None).unwrap();
        let mut tx = keys.0.db.write().await.unwrap();
        for row in store::list(&mut tx).await.unwrap() {
            let plain = open_sealed(&old, &row).unwrap();
            let sealed = new.seal(&row.kid, &plain);
            store::reseal(&mut tx, &row.kid, &sealed).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert!(opens(&keys).await, "a running instance finds it as well");
        assert!(starts(&folder).await);
        assert_eq!(MasterKey::read(&path).unwrap().unwrap(), new);
        assert_eq!(names(&folder), ["master.key", "master.key.old"]);

        // Before the file was removed that has served.
        std::fs::hard_link(&path, folder.path().join("master.key.new")).unwrap();
        assert!(starts(&folder).await);
        assert_eq!(names(&folder), ["master.key", "master.key.old"]);
        let kept = MasterKey::read(&folder.path().join("master.key.old")).unwrap();
        assert_eq!(kept.unwrap(), old);
    }

    #[tokio::test]
    async fn master_key_that_does_not_fit_changes_nothing() {
        let (folder, keys) = with_key(None).await;
        let other = MasterKey::generate();
        let wrong = reopened(&folder, Some(&other)).await;

        let refused = [
            wrong.check_master().await.unwrap_err(),
            wrong.rotate(Rotation::Published).await.unwrap_err(),
            wrong.rewrap(Some(MasterKey::generate())).await.unwrap_err(),
        ];

        for refused in refused {
            assert!(matches!(refused, KeysError::WrongMasterKey), "{refused}");
        }
        assert_eq!(keys.list().await.unwrap().len(), 1);
        assert!(starts(&folder).await);
    }

    /// As a disk, or somebody at the database, damages a key.
    async fn damage(keys: &StoredKeys, kid: &str) {
        let mut tx = keys.0.db.write().await.unwrap();
        store::reseal(&mut tx, kid, b"not what it was")
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn damaged_key_is_named_and_the_others_are_opened() {
        let (_folder, keys) = with_key(None).await;
        let next = keys.rotate(Rotation::Published).await.unwrap().kid;
        damage(&keys, &next).await;

        let named = keys.check_master().await.unwrap_err().to_string();
        assert!(
            named.starts_with(&format!("the key {next} cannot be opened")),
            "{named}"
        );
        let rows = keys.read().await.unwrap().rows;
        let opened = keys.open(&rows, |_| true);
        assert_eq!(opened.iter().filter(|key| key.is_ok()).count(), 1);

        keys.revoke(&next).await.unwrap();
        assert!(keys.check_master().await.is_ok() && opens(&keys).await);
    }

    #[tokio::test]
    async fn only_key_is_revoked_though_it_is_damaged() {
        let (folder, keys) = with_key(None).await;
        let kid = keys.list().await.unwrap().remove(0).kid;
        damage(&keys, &kid).await;

        let signs = keys.revoke(&kid).await.unwrap().signs;

        assert_ne!(signs, kid);
        assert!(starts(&folder).await);
    }

    #[tokio::test]
    async fn lost_master_key_is_no_matter_once_every_key_is_revoked() {
        let (folder, keys) = with_key(None).await;
        keys.rotate(Rotation::Published).await.unwrap();
        std::fs::remove_file(folder.path().join("master.key")).unwrap();
        let keys_there = reopened(&folder, None).await;
        let missing = keys_there.check_master().await.unwrap_err();
        assert!(
            matches!(missing, KeysError::MasterKeyMissing { .. }),
            "{missing}"
        );

        for key in keys.list().await.unwrap() {
            keys_there.revoke(&key.kid).await.unwrap();
        }

        assert!(starts(&folder).await);
    }

    #[tokio::test]
    async fn configured_master_key_is_replaced_by_one_that_is_given() {
        let old = MasterKey::generate();
        let new = MasterKey::generate();
        let (folder, keys) = with_key(Some(&old)).await;

        let needed = keys.rewrap(None).await.unwrap_err();
        assert!(matches!(needed, KeysError::NewMasterKeyNeeded), "{needed}");
        let same = keys.rewrap(Some(old.clone())).await.unwrap_err();
        assert!(matches!(same, KeysError::SameMasterKey), "{same}");
        keys.rewrap(Some(new.clone())).await.unwrap();

        assert!(opens(&reopened(&folder, Some(&new)).await).await);
        assert!(!opens(&keys).await);
        assert!(names(&folder).is_empty());
    }

    #[tokio::test]
    async fn keys_from_before_states_are_put_in_their_place() {
        let (folder, keys) = with_key(None).await;
        keys.rotate(Rotation::Published).await.unwrap();
        let mut tx = keys.0.db.write().await.unwrap();
        // As the migration leaves them.
        let rows = store::list(&mut tx).await.unwrap();
        for row in &rows {
            store::unplace(&mut tx, &row.kid).await.unwrap();
        }
        tx.commit().await.unwrap();

        keys.begin().await.unwrap();

        let states = reopened(&folder, None).await.read().await.unwrap().keys;
        assert_eq!(in_words(&states), ["active", "retiring"]);
    }

    fn in_words(keys: &[Key]) -> Vec<&'static str> {
        let mut states: Vec<_> = keys.iter().map(|key| key.state.as_str()).collect();
        states.sort_unstable();
        states
    }

    /// A database with one key from before there were states.
    async fn with_unplaced() -> (tempfile::TempDir, StoredKeys, String) {
        let (folder, keys) = with_key(None).await;
        let kid = keys.list().await.unwrap().remove(0).kid;
        let mut tx = keys.0.db.write().await.unwrap();
        store::unplace(&mut tx, &kid).await.unwrap();
        tx.commit().await.unwrap();
        (folder, keys, kid)
    }

    #[tokio::test]
    async fn rotation_before_the_first_start_after_the_upgrade_publishes_and_does_not_sign() {
        let (_folder, keys, old) = with_unplaced().await;
        assert_eq!(in_words(&keys.list().await.unwrap()), ["active"]);

        let rotated = keys.rotate(Rotation::Published).await.unwrap();

        assert_eq!(rotated.before, Some(old));
        let states = keys.read().await.unwrap().keys;
        assert_eq!(in_words(&states), ["active", "pending"]);
    }

    #[tokio::test]
    async fn rotation_at_once_keeps_what_a_key_signed_from_before_states() {
        let (_folder, keys, old) = with_unplaced().await;

        let rotated = keys.rotate(Rotation::AtOnce).await.unwrap();

        assert_eq!(rotated.before, Some(old));
        let states = keys.read().await.unwrap().keys;
        assert_eq!(in_words(&states), ["active", "retiring"]);
    }

    #[tokio::test]
    async fn key_from_before_states_is_revoked_as_the_one_that_signs() {
        let (_folder, keys, old) = with_unplaced().await;

        let revoked = keys.revoke(&old).await.unwrap();

        assert_eq!(revoked.was, State::Active);
        let states = keys.read().await.unwrap().keys;
        assert_eq!(in_words(&states), ["active", "removed"]);
    }

    #[tokio::test]
    async fn key_that_a_clock_wrote_which_was_ahead_signs_after_its_time() {
        let (_folder, keys) = with_key(None).await;
        let next = keys.rotate(Rotation::Published).await.unwrap().kid;
        let mut tx = keys.0.db.write().await.unwrap();
        let ahead = keys.now().plus(REMEMBERED);
        store::redate(&mut tx, &next, State::Pending, ahead)
            .await
            .unwrap();
        tx.commit().await.unwrap();

        keys.settle().await.unwrap();

        let read = keys.read().await.unwrap().keys;
        let next = read.iter().find(|key| key.kid == next).unwrap();
        assert_eq!((next.state, next.since), (State::Pending, keys.now()));
    }
}
