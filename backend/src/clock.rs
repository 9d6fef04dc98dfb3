//! What time it is, and a clock that tests move.
//!
//! The only caller of the system's clocks, which clippy's `disallowed-methods` enforces.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::timestamp::Timestamp;

/// What time it is.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time of day, for what is written down: claims and rows.
    fn now(&self) -> Timestamp;

    /// Time passed since some fixed moment, for durations. Never goes back, whatever an operator
    /// or NTP does to the time of day.
    fn monotonic(&self) -> Duration;
}

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
        let now = SystemTime::now();
        let millis = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still until it is told to move; for tests of what time does.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Manual>);

#[derive(Debug)]
struct Manual {
    now: AtomicI64,
    monotonic: Mutex<Duration>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(Manual {
            now: AtomicI64::new(now.as_millis()),
            monotonic: Mutex::new(Duration::ZERO),
        }))
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.now.fetch_add(millis, Ordering::SeqCst);
        *self
            .0
            .monotonic
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// Sets the time of day, forward or back, without any time passing.
    pub fn step_to(&self, now: Timestamp) {
        self.0.now.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.now.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        *self
            .0
            .monotonic
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
