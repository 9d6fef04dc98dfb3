//! The task that keeps the keys fresh, and how requests wait for it.

use std::{
    error::Error,
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore, watch},
    task::AbortHandle,
    time,
};

use super::{
    FetchError,
    key_set::{Judged, LeftOut},
    schedule::{Asked, Reason, Schedule},
};
use crate::{
    answer::Chain,
    clock::Clock,
    rng,
    token::{PublicKeys, SharedKeys},
};

/// How many requests wait for one fetch; more are answered by what is known.
const MAX_WAITING: usize = 256;

/// A set that was fetched, from where, and how long it holds by the word of its server.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) judged: Judged,
    pub(super) lifetime: Option<Duration>,
    pub(super) url: String,
}

/// A fetch that brought nothing, and which URL did not answer as it should.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) url: String,
    pub(super) error: FetchError,
}

/// What went wrong is no server's fault.
#[derive(Debug, thiserror::Error)]
#[error("the fetch panicked, which is a bug")]
struct Panicked;

impl Fetched {
    /// The same, unless nothing of it can be used. Such a set is an accident, an empty answer of a
    /// proxy for instance, and no withdrawal: whoever withdraws a key publishes another one.
    pub(super) fn usable(self) -> Result<Self, Failed> {
        if self.judged.keys.iter().next().is_none() {
            return Err(Failed {
                url: self.url,
                error: FetchError::NoUsableKey,
            });
        }
        Ok(self)
    }
}

/// Keys that a task keeps fresh until this is dropped.
pub(super) struct Refresh {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    issuer: String,
    keys: SharedKeys,
    clock: Arc<dyn Clock>,
    schedule: Mutex<Schedule>,
    /// Wakes the task before a fetch is due.
    wanted: Notify,
    /// Changes whenever a fetch is over.
    over: watch::Sender<()>,
    waiting: Semaphore,
    /// The longest wait of a request.
    patience: Duration,
}

impl Refresh {
    /// Starts the task, with what the first fetch brought, of which everything is told already, or
    /// without anything.
    pub(super) fn start<F>(
        issuer: String,
        clock: Arc<dyn Clock>,
        mut schedule: Schedule,
        patience: Duration,
        first: Option<Fetched>,
        fetch: impl Fn(Reason) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Fetched, Failed>> + Send + 'static,
    {
        let keys = SharedKeys::default();
        let mut left_out = Vec::new();
        if let Some(first) = first {
            schedule.succeeded(clock.monotonic(), first.lifetime, jitter());
            left_out = first.judged.left_out;
            keys.replace(first.judged.keys);
        }
        let shared = Arc::new(Shared {
            issuer,
            keys,
            clock,
            schedule: Mutex::new(schedule),
            wanted: Notify::new(),
            over: watch::Sender::new(()),
            waiting: Semaphore::new(MAX_WAITING),
            patience,
        });
        let task = tokio::spawn(Arc::clone(&shared).run(fetch, left_out)).abort_handle();
        Self { shared, task }
    }

    /// The keys, whether they may be used or not.
    pub(super) fn keys(&self) -> &SharedKeys {
        &self.shared.keys
    }

    /// Whether the keys may be used.
    pub(super) fn is_usable(&self) -> bool {
        let now = self.shared.clock.monotonic();
        self.shared.schedule().is_usable(now)
    }

    /// Whether there are other keys than those that a token was judged by: already, since a fetch
    /// may have ended meanwhile, or after waiting for one.
    pub(super) async fn are_renewed(&self, seen: &Arc<PublicKeys>) -> bool {
        let is_other = || !Arc::ptr_eq(seen, &self.shared.keys.load());
        if !is_other() {
            self.wait().await;
        }
        is_other()
    }

    /// Waits for a fetch, where one is under way or may be started and not too many wait already.
    pub(super) async fn wait(&self) {
        let shared = &*self.shared;
        let Ok(_place) = shared.waiting.try_acquire() else {
            return;
        };
        let mut over = {
            let mut schedule = shared.schedule();
            match schedule.ask(shared.clock.monotonic()) {
                Asked::TooSoon => return,
                Asked::Starts => shared.wanted.notify_one(),
                Asked::UnderWay => {}
            }
            // Under the lock, as every end of a fetch is: none can slip between.
            shared.over.subscribe()
        };
        // Whether it ended or patience did: what counts is which keys there are now.
        drop(time::timeout(shared.patience, over.changed()).await);
    }
}

impl Drop for Refresh {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh")
            .field("keys", &self.shared.keys)
            .finish_non_exhaustive()
    }
}

impl Shared {
    async fn run<F>(self: Arc<Self>, fetch: impl Fn(Reason) -> F, mut left_out: Vec<LeftOut>)
    where
        F: Future<Output = Result<Fetched, Failed>>,
    {
        loop {
            let now = self.clock.monotonic();
            if self.schedule().has_ended(now) {
                tracing::error!(
                    issuer = self.issuer,
                    "keys could not be fetched for too long: no token is accepted until they can"
                );
            }
            let begins = self.schedule().begin(now);
            let reason = match begins {
                Ok(reason) => reason,
                Err(pause) => {
                    // Whichever comes first; both mean that the schedule is to be asked again.
                    drop(time::timeout(pause, self.wanted.notified()).await);
                    continue;
                }
            };
            match unless_it_panics(fetch(reason)).await {
                Ok(Ok(fetched)) => self.replace(fetched, &mut left_out),
                Ok(Err(failed)) => self.keep(Some(&failed.url), &failed.error),
                Err(panicked) => self.keep(None, &panicked),
            }
        }
    }

    fn replace(&self, fetched: Fetched, left_out: &mut Vec<LeftOut>) {
        // Said once, not with every fetch.
        if *left_out != fetched.judged.left_out {
            report(&self.issuer, &fetched.judged.left_out);
            left_out.clone_from(&fetched.judged.left_out);
        }
        let fetched = match fetched.usable() {
            Ok(fetched) => fetched,
            Err(failed) => return self.keep(Some(&failed.url), &failed.error),
        };
        self.keys.replace(fetched.judged.keys);
        let mut schedule = self.schedule();
        if schedule.is_failing() {
            tracing::info!(issuer = self.issuer, "keys can be fetched again");
        }
        schedule.succeeded(self.clock.monotonic(), fetched.lifetime, jitter());
        self.over.send_replace(());
    }

    fn keep(&self, url: Option<&str>, error: &(dyn Error + 'static)) {
        let mut schedule = self.schedule();
        if schedule.failed(self.clock.monotonic(), jitter()) {
            tracing::warn!(
                issuer = self.issuer,
                url,
                error = %Chain(error),
                "keys cannot be fetched; those that are held go on for a while"
            );
        }
        self.over.send_replace(());
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says which keys are not used, by their place: what they are called is somebody else's text.
pub(super) fn report(issuer: &str, left_out: &[LeftOut]) {
    for LeftOut { place, why } in left_out {
        if why.is_fault() {
            tracing::warn!(issuer, place, %why, "a key of the JWK set is not used");
        } else {
            tracing::debug!(issuer, place, %why, "a key of the JWK set is not used");
        }
    }
}

/// A panic is one more failure: it must not end the task, for which requests would wait for ever.
async fn unless_it_panics<F: Future>(fetch: F) -> Result<F::Output, Panicked> {
    let mut fetch = pin!(fetch);
    // After a panic it is not polled again, so nobody sees what it left half done.
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| fetch.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        },
    )
    .await
}

fn jitter() -> u8 {
    let [jitter] = rng::bytes();
    jitter
}

#[cfg(test)]
mod tests;
