//! When keys are fetched, and how long they may be used: the rules, without any clock.
//!
//! Times are those since some fixed moment, as [`Clock::monotonic`](crate::clock::Clock::monotonic)
//! has them.

use std::{mem, time::Duration};

/// How long a set is used where its server does not say.
const LIFETIME: Duration = Duration::from_mins(10);
/// The shortest lifetime that is honoured: a server that says 0 would be asked all the time.
const SHORTEST: Duration = Duration::from_secs(30);
/// The longest: what is longer would keep a withdrawn key alive.
const LONGEST: Duration = Duration::from_hours(24);
/// How long to wait after the first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// When the next fetch is due, whether a token may ask for one, and whether the keys still count.
#[derive(Debug)]
pub(super) struct Schedule {
    /// How far apart fetches that tokens ask for are at least.
    interval: Duration,
    /// How long keys are used after their lifetime is over and nothing newer could be fetched.
    stale_for: Duration,
    /// When the lifetime of the keys is over; nothing before there are any.
    fresh_until: Option<Duration>,
    due: Duration,
    failures: u32,
    /// When a token last asked for a fetch.
    asked: Option<Duration>,
    /// Whether one is under way, or asked for and about to start.
    is_fetching: bool,
    /// Whether a token asked for the one that is about to start.
    is_wanted: bool,
    /// Whether the end of the keys was told.
    is_end_told: bool,
}

impl Schedule {
    /// There are no keys yet, and fetching is due at once.
    pub(super) const fn new(interval: Duration, stale_for: Duration) -> Self {
        Self {
            interval,
            stale_for,
            fresh_until: None,
            due: Duration::ZERO,
            failures: 0,
            asked: None,
            is_fetching: false,
            is_wanted: false,
            is_end_told: false,
        }
    }

    /// Begins the fetch that is due, and says why it is.
    ///
    /// # Errors
    ///
    /// How long it is until one is, or until the keys end, whichever is sooner.
    pub(super) fn begin(&mut self, now: Duration) -> Result<Reason, Duration> {
        match self.due.checked_sub(now) {
            Some(pause) if !pause.is_zero() => Err(match self.rest(now) {
                Some(rest) if !rest.is_zero() => pause.min(rest),
                _ => pause,
            }),
            _ => {
                self.is_fetching = true;
                Ok(if mem::take(&mut self.is_wanted) {
                    Reason::Token
                } else {
                    Reason::Time
                })
            }
        }
    }

    /// Whether the keys have ended since this was last asked: said once for each time.
    pub(super) fn has_ended(&mut self, now: Duration) -> bool {
        let is_over = self.rest(now).is_some_and(|rest| rest.is_zero());
        is_over && !mem::replace(&mut self.is_end_told, true)
    }

    /// How much longer the keys may be used; nothing before there are any.
    fn rest(&self, now: Duration) -> Option<Duration> {
        let end = self.fresh_until?.saturating_add(self.stale_for);
        Some(end.saturating_sub(now))
    }

    /// Whether the keys may be used: fresh, or stale for a bounded time.
    pub(super) fn is_usable(&self, now: Duration) -> bool {
        self.rest(now).is_some_and(|rest| !rest.is_zero())
    }

    /// A token cannot be judged by the keys there are. Whether that is worth waiting for a fetch:
    /// one is under way, or starts now because the last one that was asked for is long enough ago.
    pub(super) fn ask(&mut self, now: Duration) -> Asked {
        if self.is_fetching {
            return Asked::UnderWay;
        }
        let next = self.asked.map(|asked| asked.saturating_add(self.interval));
        if next.is_some_and(|next| now < next) {
            return Asked::TooSoon;
        }
        self.asked = Some(now);
        self.due = now;
        self.is_fetching = true;
        self.is_wanted = true;
        Asked::Starts
    }

    /// New keys are there, with the lifetime that their server gave them. `jitter` spreads many
    /// services that were started together.
    pub(super) fn succeeded(&mut self, now: Duration, lifetime: Option<Duration>, jitter: u8) {
        let lifetime = lifetime.unwrap_or(LIFETIME).clamp(SHORTEST, LONGEST);
        self.is_fetching = false;
        self.failures = 0;
        self.is_end_told = false;
        self.fresh_until = Some(now.saturating_add(lifetime));
        // After 70 to 90 % of it: in time, and with room for a second attempt.
        self.due = now.saturating_add(part(lifetime, 70, 20, jitter));
    }

    /// There are no new keys. Says whether this is the first failure since the last success.
    pub(super) fn failed(&mut self, now: Duration, jitter: u8) -> bool {
        self.is_fetching = false;
        let pause = FIRST_PAUSE
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.due = now.saturating_add(part(pause, 50, 50, jitter));
        self.failures == 1
    }

    /// Whether the last attempt failed.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

/// Why there is a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// There are no keys yet, or their time is nearly over.
    Time,
    /// A token names a key that the set there is has not: a cache would answer the same set.
    Token,
}

/// What becomes of a token's wish for newer keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// A fetch has to be started.
    Starts,
    /// One is under way already.
    UnderWay,
    /// The last one was not long ago.
    TooSoon,
}

/// Some percent of a time, and some more by chance.
fn part(of: Duration, percent: u32, more: u32, jitter: u8) -> Duration {
    let chance = of * more / 100 * u32::from(jitter) / 255;
    of * percent / 100 + chance
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);
    const STALE_FOR: Duration = Duration::from_hours(1);

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn schedule() -> Schedule {
        Schedule::new(INTERVAL, STALE_FOR)
    }

    #[test]
    fn keys_are_fetched_anew_before_their_lifetime_is_over() {
        for jitter in [0, 128, 255] {
            let mut schedule = schedule();
            schedule.succeeded(at(1000), Some(at(100)), jitter);

            let pause = schedule.begin(at(1000)).unwrap_err();
            assert!((at(70)..=at(90)).contains(&pause), "{jitter}");
            assert_eq!(schedule.begin(at(1000) + pause), Ok(Reason::Time));
        }
    }

    #[test]
    fn lifetime_is_kept_between_floor_and_ceiling() {
        for (said, taken) in [
            (None, LIFETIME),
            (Some(Duration::ZERO), SHORTEST),
            (Some(at(300)), at(300)),
            (Some(Duration::MAX), LONGEST),
        ] {
            let mut schedule = schedule();
            schedule.succeeded(at(5), said, 0);

            let end = at(5) + taken + STALE_FOR;
            assert!(schedule.is_usable(end.saturating_sub(at(1))), "{said:?}");
            assert!(!schedule.is_usable(end), "{said:?}");
        }
    }

    #[test]
    fn there_is_nothing_to_use_before_the_first_success() {
        let mut schedule = schedule();
        assert!(!schedule.is_usable(at(0)));
        schedule.failed(at(0), 0);

        assert!(!schedule.is_usable(at(1)));
    }

    #[test]
    fn failures_are_further_and_further_apart_and_end_with_a_success() {
        let mut schedule = schedule();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            schedule.failed(at(0), 255);
            pauses.push(schedule.begin(at(0)).unwrap_err().as_secs());
        }

        assert_eq!(
            pauses,
            [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300],
            "and no overflow after many"
        );
        for _ in 0..100 {
            schedule.failed(at(0), 0);
        }
        assert_eq!(schedule.begin(at(0)), Err(LONGEST_PAUSE / 2));
        schedule.succeeded(at(0), None, 0);
        assert!(!schedule.is_failing());
        assert!(schedule.failed(at(0), 255));
        assert_eq!(schedule.begin(at(0)), Err(at(1)));
    }

    #[test]
    fn only_the_first_failure_of_an_outage_is_news() {
        let mut schedule = schedule();

        assert!(schedule.failed(at(0), 0));
        assert!(!schedule.failed(at(1), 0));
        schedule.succeeded(at(2), None, 0);
        assert!(schedule.failed(at(3), 0));
    }

    #[test]
    fn failure_leaves_the_keys_their_time() {
        let mut schedule = schedule();
        schedule.succeeded(at(0), Some(at(100)), 0);
        schedule.failed(at(90), 0);

        assert!(schedule.is_usable(at(99) + STALE_FOR));
        assert!(!schedule.is_usable(at(100) + STALE_FOR));
    }

    #[test]
    fn end_of_the_keys_is_woken_for_and_told_once() {
        let mut schedule = schedule();
        assert!(!schedule.has_ended(at(0)), "of what there never was");
        schedule.succeeded(at(0), Some(at(100)), 0);
        let end = at(100) + STALE_FOR;
        for _ in 0..20 {
            schedule.failed(end.saturating_sub(at(7)), 0);
        }

        let pause = schedule.begin(end.saturating_sub(at(7)));
        assert_eq!(pause, Err(at(7)));
        assert!(!schedule.has_ended(end.saturating_sub(at(1))));
        assert!(schedule.has_ended(end));
        assert!(!schedule.has_ended(end + at(1)));
        assert!(schedule.begin(end).unwrap_err() > at(7));

        schedule.succeeded(end, Some(at(100)), 0);
        assert!(!schedule.has_ended(end));
        assert!(schedule.has_ended(end + end));
    }

    #[test]
    fn tokens_start_one_fetch_at_a_time_and_one_an_interval() {
        let mut schedule = schedule();
        schedule.succeeded(at(0), None, 0);

        assert_eq!(schedule.ask(at(0)), Asked::Starts);
        assert_eq!(schedule.begin(at(0)), Ok(Reason::Token));
        assert_eq!(schedule.ask(at(1)), Asked::UnderWay);
        schedule.succeeded(at(2), None, 0);
        assert_eq!(schedule.ask(at(9)), Asked::TooSoon);
        assert_eq!(schedule.ask(at(10)), Asked::Starts);
        schedule.failed(at(11), 0);
        assert_eq!(schedule.ask(at(19)), Asked::TooSoon);
    }

    #[test]
    fn token_waits_for_a_fetch_that_was_due_anyway() {
        let mut schedule = schedule();
        assert_eq!(schedule.begin(at(0)), Ok(Reason::Time));

        assert_eq!(schedule.ask(at(0)), Asked::UnderWay);
        schedule.succeeded(at(1), None, 0);
        assert_eq!(schedule.ask(at(1)), Asked::Starts);
    }
}
