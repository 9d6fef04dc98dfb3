//! Argon2id on threads of its own, with a bounded queue.
//!
//! One thread a core, each with its own 19 MiB that it uses again and again: as many hashes at once
//! as there are sign-ins would take the processor from everything else and memory without bound.
//! When the queue is full the answer is «later» at once; guarded requests never wait here.

use std::{
    fmt,
    num::NonZero,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use countersign_types::text::nfc;
use password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt};
use subtle::ConstantTimeEq as _;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::rng;

/// OWASP's minimum: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH_BYTES: usize = 32;
/// The most memory that a stored hash may ask for: 1 GiB. More means a damaged row.
const MAX_MEMORY_KIB: u32 = 1 << 20;
/// How many may wait for each thread: some two seconds' worth.
const QUEUE_PER_THREAD: usize = 64;

/// A hash as it is kept: a PHC string.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// As it was kept.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text to keep.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it was made with other parameters than today's, so that the next sign-in should
    /// make it anew.
    pub fn is_outdated(&self) -> bool {
        let today = format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$");
        !self.0.starts_with(&today)
    }
}

/// A hash is worth an offline attack, so it does not show either.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

/// Why nothing was hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The queue is full.
    #[error("too many passwords are being checked")]
    Overloaded,
    /// The stored hash cannot be read: a damaged row.
    #[error("a stored password hash is malformed")]
    Malformed,
    /// The threads are gone; only at shutdown.
    #[error("the hashing threads have stopped")]
    Stopped,
}

enum Job {
    Hash(
        Zeroizing<String>,
        oneshot::Sender<Result<PasswordHash, HashError>>,
    ),
    Verify(
        Zeroizing<String>,
        PasswordHash,
        oneshot::Sender<Result<bool, HashError>>,
    ),
}

/// Hashes and verifies passwords.
#[derive(Clone)]
pub struct Hasher {
    queue: SyncSender<Job>,
    dummy: Arc<PasswordHash>,
    counts: Arc<Counts>,
}

/// How much is going on.
#[derive(Debug, Default)]
struct Counts {
    threads: usize,
    waiting: AtomicUsize,
    running: AtomicUsize,
    refused: AtomicU64,
}

/// How much is going on at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// How many passwords can be hashed at once.
    pub threads: usize,
    /// How many can wait.
    pub queue: usize,
    /// How many are hashed.
    pub running: usize,
    /// How many wait.
    pub waiting: usize,
    /// How many were refused so far, since too many waited.
    pub refused: u64,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

impl Hasher {
    /// Starts a thread a core. They end when the last clone of the hasher is dropped.
    ///
    /// # Errors
    ///
    /// The operating system's where it refuses a thread.
    pub fn start() -> std::io::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let (queue, jobs) = sync_channel(threads * QUEUE_PER_THREAD);
        let jobs = Arc::new(Mutex::new(jobs));
        let counts = Arc::new(Counts {
            threads,
            ..Counts::default()
        });
        for number in 0..threads {
            let (jobs, counts) = (Arc::clone(&jobs), Arc::clone(&counts));
            thread::Builder::new()
                .name(format!("argon2-{number}"))
                .spawn(move || work(&jobs, &counts))?;
        }
        // Made from today's parameters and bytes that nobody knows: checking against it takes as
        // long as against a real one, and never succeeds.
        let params = today();
        let dummy = phc(&params, &rng::bytes(), &rng::bytes::<HASH_BYTES>());
        Ok(Self {
            queue,
            dummy: Arc::new(dummy),
            counts,
        })
    }

    /// How much is going on now.
    pub fn load(&self) -> Load {
        let counts = &self.counts;
        Load {
            threads: counts.threads,
            queue: counts.threads * QUEUE_PER_THREAD,
            running: counts.running.load(Ordering::Relaxed),
            waiting: counts.waiting.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
        }
    }

    /// What to verify against where there is no account, so that the answer takes as long.
    pub fn dummy(&self) -> PasswordHash {
        self.dummy.as_ref().clone()
    }

    /// Hashes a new password with a fresh salt.
    ///
    /// # Errors
    ///
    /// [`HashError::Overloaded`] at once when the queue is full.
    pub async fn hash(&self, password: &str) -> Result<PasswordHash, HashError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Job::Hash(normalised(password), sender))?;
        receiver.await.map_err(|_| HashError::Stopped)?
    }

    /// Whether the password is the one that was hashed.
    ///
    /// # Errors
    ///
    /// [`HashError::Overloaded`] at once when the queue is full; [`HashError::Malformed`] where the
    /// stored hash cannot be read.
    pub async fn verify(&self, password: &str, hash: PasswordHash) -> Result<bool, HashError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Job::Verify(normalised(password), hash, sender))?;
        receiver.await.map_err(|_| HashError::Stopped)?
    }

    fn send(&self, job: Job) -> Result<(), HashError> {
        // Before it is sent, so that nobody takes it away first.
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send(job).map_err(|error| {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => {
                    self.counts.refused.fetch_add(1, Ordering::Relaxed);
                    HashError::Overloaded
                }
                TrySendError::Disconnected(_) => HashError::Stopped,
            }
        })
    }
}

/// The same password typed on two systems may be composed or decomposed.
fn normalised(password: &str) -> Zeroizing<String> {
    Zeroizing::new(nfc(password))
}

fn work(jobs: &Mutex<Receiver<Job>>, counts: &Counts) {
    let mut memory = Vec::new();
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        counts.running.fetch_add(1, Ordering::Relaxed);
        counts.waiting.fetch_sub(1, Ordering::Relaxed);
        // That nobody waits for an answer any more is no matter here, so `send` may fail.
        match job {
            Job::Hash(password, answer) => {
                let hashed = (!answer.is_closed()).then(|| hash(&mut memory, &password));
                counts.running.fetch_sub(1, Ordering::Relaxed);
                if let Some(hashed) = hashed {
                    drop(answer.send(hashed));
                }
            }
            Job::Verify(password, hash, answer) => {
                let verified = (!answer.is_closed()).then(|| verify(&mut memory, &password, &hash));
                counts.running.fetch_sub(1, Ordering::Relaxed);
                if let Some(verified) = verified {
                    drop(answer.send(verified));
                }
            }
        }
    }
}

fn today() -> Params {
    Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).expect("OWASP's minimum is valid")
}

fn hash(memory: &mut Vec<Block>, password: &str) -> Result<PasswordHash, HashError> {
    let params = today();
    let salt = rng::bytes::<16>();
    let mut output = Zeroizing::new([0; HASH_BYTES]);
    derive(memory, &params, password, &salt, output.as_mut_slice())?;
    Ok(phc(&params, &salt, output.as_slice()))
}

fn verify(memory: &mut Vec<Block>, password: &str, hash: &PasswordHash) -> Result<bool, HashError> {
    let phc = Phc::new(hash.as_str()).map_err(|_| HashError::Malformed)?;
    let params = Params::try_from(&phc).map_err(|_| HashError::Malformed)?;
    if phc.algorithm != Algorithm::Argon2id.ident()
        || phc.version != Some(Version::V0x13.into())
        || params.m_cost() > MAX_MEMORY_KIB
    {
        return Err(HashError::Malformed);
    }
    let (Some(salt), Some(expected)) = (phc.salt, phc.hash) else {
        return Err(HashError::Malformed);
    };
    let mut output = Zeroizing::new(vec![0; expected.len()]);
    derive(memory, &params, password, salt.as_ref(), &mut output)?;
    Ok(output.ct_eq(expected.as_bytes()).into())
}

fn derive(
    memory: &mut Vec<Block>,
    params: &Params,
    password: &str,
    salt: &[u8],
    output: &mut [u8],
) -> Result<(), HashError> {
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::new());
    }
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(
            password.as_bytes(),
            salt,
            output,
            &mut memory[..params.block_count()],
        )
        .map_err(|_| HashError::Malformed)
}

fn phc(params: &Params, salt: &[u8; 16], output: &[u8]) -> PasswordHash {
    let phc = Phc {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).expect("three numbers fit"),
        salt: Some(Salt::new(salt).expect("16 bytes are a salt")),
        hash: Some(Output::new(output).expect("32 bytes are a hash")),
    };
    PasswordHash(phc.to_string())
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;

    #[tokio::test]
    async fn only_the_same_password_verifies() {
        let hasher = Hasher::start().unwrap();
        let hash = hasher.hash("violet tractor sings").await.unwrap();

        assert!(
            hasher
                .verify("violet tractor sings", hash.clone())
                .await
                .unwrap()
        );
        assert!(
            !hasher
                .verify("violet tractor sing", hash.clone())
                .await
                .unwrap()
        );
        assert!(!hasher.verify("", hash.clone()).await.unwrap());
        assert!(
            hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            hash.as_str()
        );
        assert!(!hash.is_outdated());
    }

    #[tokio::test]
    async fn composed_and_decomposed_spelling_are_one_password_but_ligatures_are_another() {
        let hasher = Hasher::start().unwrap();
        let hash = hasher.hash("caf\u{e9} \u{fb00}").await.unwrap();

        assert!(
            hasher
                .verify("cafe\u{301} \u{fb00}", hash.clone())
                .await
                .unwrap()
        );
        assert!(!hasher.verify("caf\u{e9} ff", hash).await.unwrap());
    }

    #[tokio::test]
    async fn dummy_never_verifies() {
        let hasher = Hasher::start().unwrap();

        assert!(!hasher.verify("", hasher.dummy()).await.unwrap());
    }

    #[tokio::test]
    async fn hash_of_another_program_and_other_parameters_verifies_and_is_outdated() {
        let hasher = Hasher::start().unwrap();
        // argon2-cffi: PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("password")
        let params = Params::new(64, 1, 1, Some(32)).unwrap();
        let mut output = [0; 32];
        derive(
            &mut Vec::new(),
            &params,
            "password",
            b"0123456789abcdef",
            &mut output,
        )
        .unwrap();
        let weak = phc(&params, b"0123456789abcdef", &output);

        assert!(weak.is_outdated());
        assert!(hasher.verify("password", weak).await.unwrap());
    }

    #[test]
    fn test_vector_of_rfc_9106_holds() {
        // RFC 9106 §5.3 needs a secret and associated data, which nothing here uses; this one is
        // from the reference implementation (`echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1`).
        let params = Params::new(65_536, 2, 1, Some(32)).unwrap();
        let mut output = [0; 32];
        derive(
            &mut Vec::new(),
            &params,
            "password",
            b"somesalt",
            &mut output,
        )
        .unwrap();

        // 09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7
        assert_eq!(
            STANDARD.encode(output),
            "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc="
        );
    }

    #[tokio::test]
    async fn damaged_hash_is_an_error_and_not_a_mismatch() {
        let hasher = Hasher::start().unwrap();
        for text in [
            "",
            "plain",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA",
            "$argon2d$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=4294967295,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            let result = hasher
                .verify("x", PasswordHash::from_stored(text.to_owned()))
                .await;
            assert!(matches!(result, Err(HashError::Malformed)), "{text}");
        }
    }

    #[tokio::test]
    async fn load_is_what_waits_and_runs_and_nothing_once_it_is_done() {
        let hasher = Hasher::start().unwrap();
        let hash = hasher.hash("violet tractor sings").await.unwrap();
        hasher.verify("violet tractor sings", hash).await.unwrap();

        let load = hasher.load();

        assert_eq!((load.waiting, load.running, load.refused), (0, 0, 0));
        assert!(load.threads > 0 && load.queue >= load.threads, "{load:?}");
    }

    #[tokio::test]
    async fn full_queue_is_refused_at_once() {
        let (queue, _jobs) = sync_channel(1);
        let hasher = Hasher {
            queue,
            dummy: Arc::new(PasswordHash(String::new())),
            counts: Arc::default(),
        };
        let waiting = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.hash("first").await }
        });
        tokio::task::yield_now().await;

        assert!(matches!(
            hasher.hash("second").await,
            Err(HashError::Overloaded)
        ));
        let load = hasher.load();
        assert_eq!((load.waiting, load.running, load.refused), (1, 0, 1));
        waiting.abort();
    }
}
