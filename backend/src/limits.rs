//! How often somebody may try: token buckets on the account and on the address prefix.
//!
//! A bucket is charged before any hashing and refunded where the attempt was no failure, so that
//! two hundred wrong passwords sent at once get no more tries than two hundred sent in a row.
//! Unknown accounts have buckets like known ones. Nobody is locked out for good: every bucket
//! drains, also while it is being knocked on.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use countersign_types::Email;

use crate::{clock::Clock, store::AccountId};

/// Beyond this many buckets of one kind the emptiest are forgotten. 100 000 take some 15 MB.
const MAX_BUCKETS: usize = 100_000;

/// What adding up fractions may be off by; without it a wait could come out as no time at all.
const ROUNDING: f64 = 1e-9;

/// So many at once, then one every so often.
#[derive(Debug, Clone, Copy)]
struct Quota {
    burst: f64,
    every: Duration,
}

const SIGN_IN_PER_ACCOUNT: Quota = Quota {
    burst: 10.0,
    every: Duration::from_mins(1),
};
const SIGN_IN_PER_ADDRESS: Quota = Quota {
    burst: 30.0,
    every: Duration::from_secs(10),
};
const REGISTER_PER_ADDRESS: Quota = Quota {
    burst: 10.0,
    every: Duration::from_mins(1),
};
const REGISTER_PER_MAILBOX: Quota = Quota {
    burst: 5.0,
    every: Duration::from_mins(10),
};

/// How many refreshes of an account at once. Each leaves a row behind by which a second use is
/// noticed, so somebody who is signed in could otherwise fill the disk.
const REFRESH_PER_ACCOUNT: f64 = 600.0;
/// And how many more in the life of an access token: one is enough for a client that waits for the
/// old one to run out, and an account may have many.
const REFRESHES_PER_ACCESS_TOKEN: u32 = 100;

/// A limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts")]
pub struct Limited {
    /// When the next attempt will be let through.
    pub retry_after: Duration,
}

/// Where a request comes from, as far as limits care: one IPv4 address or one IPv6 /64, which is
/// what one customer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressPrefix(IpAddr);

impl From<IpAddr> for AddressPrefix {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        })
    }
}

/// Every limit there is.
#[derive(Debug)]
pub struct Limits {
    clock: Arc<dyn Clock>,
    sign_in_account: Buckets<String>,
    sign_in_address: Buckets<AddressPrefix>,
    register_address: Buckets<AddressPrefix>,
    register_mailbox: Buckets<String>,
    refresh_account: Buckets<AccountId>,
}

/// A charged attempt to sign in. Dropped, it stays charged: a failure, or a client that hung up
/// while its password was checked.
#[derive(Debug)]
#[must_use = "an attempt that was no failure has to be refunded"]
pub struct SignInAttempt<'a> {
    limits: &'a Limits,
    account: String,
    address: AddressPrefix,
}

impl SignInAttempt<'_> {
    /// Takes the charge back: the password was right, or was not checked at all.
    pub fn refund(self) {
        self.limits.sign_in_account.give_back(&self.account);
        self.limits.sign_in_address.give_back(&self.address);
    }
}

impl Limits {
    /// Limits with every rate multiplied by `scale`: both how many at once and how soon again.
    /// How often an account may be refreshed follows `access_ttl`.
    pub fn new(clock: Arc<dyn Clock>, scale: f64, access_ttl: Duration) -> Self {
        let refresh = Quota {
            burst: REFRESH_PER_ACCOUNT,
            every: access_ttl / REFRESHES_PER_ACCESS_TOKEN,
        };
        Self {
            refresh_account: Buckets::new(refresh, scale),
            clock,
            sign_in_account: Buckets::new(SIGN_IN_PER_ACCOUNT, scale),
            sign_in_address: Buckets::new(SIGN_IN_PER_ADDRESS, scale),
            register_address: Buckets::new(REGISTER_PER_ADDRESS, scale),
            register_mailbox: Buckets::new(REGISTER_PER_MAILBOX, scale),
        }
    }

    /// Charges an attempt to sign in.
    ///
    /// # Errors
    ///
    /// [`Limited`] where the account or the address has failed too often.
    pub fn sign_in(
        &self,
        email: &Email,
        address: AddressPrefix,
    ) -> Result<SignInAttempt<'_>, Limited> {
        let now = self.clock.monotonic();
        let account = email.key();
        self.sign_in_address.take(&address, now)?;
        if let Err(limited) = self.sign_in_account.take(&account, now) {
            self.sign_in_address.give_back(&address);
            return Err(limited);
        }
        Ok(SignInAttempt {
            limits: self,
            account,
            address,
        })
    }

    /// Charges a registration.
    ///
    /// # Errors
    ///
    /// [`Limited`] where the address or the mailbox had too many.
    pub fn register(&self, email: &Email, address: AddressPrefix) -> Result<(), Limited> {
        let now = self.clock.monotonic();
        self.register_address.take(&address, now)?;
        self.register_mailbox.take(&email.key(), now)
    }

    /// Charges a refresh.
    ///
    /// # Errors
    ///
    /// [`Limited`] where the account had too many.
    pub fn refresh(&self, account: AccountId) -> Result<(), Limited> {
        self.refresh_account.take(&account, self.clock.monotonic())
    }

    /// How many attempts each limit has refused.
    pub fn refused(&self) -> [(&'static str, u64); 5] {
        [
            ("sign_in_account", self.sign_in_account.refused()),
            ("sign_in_address", self.sign_in_address.refused()),
            ("register_address", self.register_address.refused()),
            ("register_mailbox", self.register_mailbox.refused()),
            ("refresh_account", self.refresh_account.refused()),
        ]
    }
}

#[derive(Debug)]
struct Buckets<K> {
    quota: Quota,
    by_key: Mutex<HashMap<K, Bucket>>,
    refused: AtomicU64,
}

/// How full a bucket was, and when.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: f64,
    at: Duration,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    fn new(quota: Quota, scale: f64) -> Self {
        Self {
            quota: Quota {
                burst: (quota.burst * scale).max(1.0),
                every: Duration::try_from_secs_f64(quota.every.as_secs_f64() / scale)
                    .unwrap_or(Duration::MAX),
            },
            by_key: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn level(&self, bucket: Bucket, now: Duration) -> f64 {
        let passed = now.saturating_sub(bucket.at).as_secs_f64();
        let every = self.quota.every.as_secs_f64();
        if every == 0.0 {
            0.0
        } else {
            (bucket.level - passed / every).max(0.0)
        }
    }

    fn take(&self, key: &K, now: Duration) -> Result<(), Limited> {
        let mut buckets = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let level = buckets
            .get(key)
            .map_or(0.0, |bucket| self.level(*bucket, now));
        if level + 1.0 > self.quota.burst + ROUNDING {
            let wait = (level + 1.0 - self.quota.burst) * self.quota.every.as_secs_f64();
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Limited {
                retry_after: Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX),
            });
        }
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(key) {
            self.forget_some(&mut buckets, now);
        }
        buckets.insert(
            key.clone(),
            Bucket {
                level: level + 1.0,
                at: now,
            },
        );
        Ok(())
    }

    fn give_back(&self, key: &K) {
        let mut buckets = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(key) {
            bucket.level = (bucket.level - 1.0).max(0.0);
        }
    }

    /// Makes room: drained buckets first, then ever fuller ones. Whoever has failed most often is
    /// forgotten last, so nobody can flood a bucket away that stands against them.
    fn forget_some(&self, buckets: &mut HashMap<K, Bucket>, now: Duration) {
        let thresholds = [0.0, 0.25, 0.5, 0.75, 1.0];
        for threshold in thresholds {
            buckets.retain(|_, bucket| self.level(*bucket, now) > threshold * self.quota.burst);
            if buckets.len() < MAX_BUCKETS {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{clock::ManualClock, store::Timestamp};

    fn clock() -> ManualClock {
        ManualClock::at(Timestamp::from_secs(0))
    }

    fn limits(clock: &ManualClock, scale: f64) -> Limits {
        Limits::new(Arc::new(clock.clone()), scale, Duration::from_mins(15))
    }

    fn email(name: &str) -> Email {
        format!("{name}@example.com").parse().unwrap()
    }

    fn from(address: &str) -> AddressPrefix {
        address.parse::<IpAddr>().unwrap().into()
    }

    fn fail(limits: &Limits, name: &str, address: &str) -> Result<(), Limited> {
        limits.sign_in(&email(name), from(address)).map(drop)
    }

    #[test]
    fn ten_failures_at_once_and_then_one_a_minute() {
        let clock = clock();
        let limits = limits(&clock, 1.0);
        for _ in 0..10 {
            fail(&limits, "ada", "192.0.2.1").unwrap();
        }

        let refused = fail(&limits, "ADA", "192.0.2.2").unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_mins(1));

        clock.advance(Duration::from_secs(59));
        assert_eq!(
            fail(&limits, "ada", "192.0.2.1")
                .unwrap_err()
                .retry_after
                .as_secs(),
            1
        );
        clock.advance(Duration::from_secs(1));
        fail(&limits, "ada", "192.0.2.1").unwrap();
        assert!(fail(&limits, "ada", "192.0.2.1").is_err());
    }

    #[test]
    fn one_address_may_fail_thirty_times_over_all_accounts() {
        let limits = limits(&clock(), 1.0);
        for number in 0..30 {
            fail(&limits, &format!("user{number}"), "2001:db8::1").unwrap();
        }

        assert_eq!(
            fail(&limits, "another", "2001:db8::ffff")
                .unwrap_err()
                .retry_after,
            Duration::from_secs(10)
        );
        fail(&limits, "another", "2001:db8:0:1::1").unwrap();
    }

    #[test]
    fn refused_account_does_not_use_up_the_address() {
        let limits = limits(&clock(), 1.0);
        for _ in 0..100 {
            let _refused = fail(&limits, "ada", "192.0.2.1").is_err();
        }

        for number in 0..20 {
            fail(&limits, &format!("user{number}"), "192.0.2.1").unwrap();
        }
    }

    #[test]
    fn success_costs_nothing() {
        let limits = limits(&clock(), 1.0);
        for _ in 0..1000 {
            limits
                .sign_in(&email("ada"), from("192.0.2.1"))
                .unwrap()
                .refund();
        }

        fail(&limits, "ada", "192.0.2.1").unwrap();
    }

    #[test]
    fn registrations_are_limited_by_address_and_mailbox() {
        let limits = limits(&clock(), 1.0);
        for number in 0..10 {
            limits
                .register(&email(&format!("user{number}")), from("192.0.2.1"))
                .unwrap();
        }
        assert!(
            limits
                .register(&email("user11"), from("192.0.2.1"))
                .is_err()
        );

        for number in 0..5 {
            limits
                .register(&email("ada"), from(&format!("192.0.2.{}", 10 + number)))
                .unwrap();
        }
        assert_eq!(
            limits
                .register(&email("Ada"), from("192.0.2.99"))
                .unwrap_err()
                .retry_after,
            Duration::from_mins(10)
        );
    }

    #[test]
    fn account_is_refreshed_often_at_once_and_then_a_hundred_times_a_token() {
        let clock = clock();
        let limits = limits(&clock, 1.0);
        let account = |number| AccountId::from(uuid::Uuid::from_u128(number));
        for _ in 0..600 {
            limits.refresh(account(1)).unwrap();
        }

        let refused = limits.refresh(account(1)).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(9));
        limits.refresh(account(2)).unwrap();
        clock.advance(refused.retry_after);
        limits.refresh(account(1)).unwrap();
    }

    #[test]
    fn mapped_ipv4_address_is_the_ipv4_address() {
        assert_eq!(from("::ffff:192.0.2.1"), from("192.0.2.1"));
        assert_ne!(from("192.0.2.1"), from("192.0.2.2"));
    }

    #[test]
    fn scale_multiplies_the_rate() {
        let clock = clock();
        let limits = limits(&clock, 1000.0);
        for _ in 0..10_000 {
            fail(&limits, "ada", "192.0.2.1").unwrap();
        }

        assert_eq!(
            fail(&limits, "ada", "192.0.2.1").unwrap_err().retry_after,
            Duration::from_millis(60)
        );
    }

    #[test]
    fn flood_of_other_keys_does_not_wash_a_full_bucket_away() {
        let buckets = Buckets::new(SIGN_IN_PER_ACCOUNT, 1.0);
        for _ in 0..10 {
            buckets.take(&0, Duration::ZERO).unwrap();
        }
        for key in 1..=2 * MAX_BUCKETS {
            buckets.take(&key, Duration::ZERO).unwrap();
        }

        assert!(buckets.take(&0, Duration::ZERO).is_err());
        assert!(buckets.by_key.lock().unwrap().len() <= MAX_BUCKETS);
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate_allow(steps in prop::collection::vec(0u64..120, 1..200)) {
            let buckets = Buckets::new(SIGN_IN_PER_ACCOUNT, 1.0);
            let mut now = Duration::ZERO;
            let mut allowed = 0.0;
            for step in steps {
                now += Duration::from_secs(step);
                match buckets.take(&(), now) {
                    Ok(()) => allowed += 1.0,
                    Err(limited) => {
                        prop_assert!(limited.retry_after <= Duration::from_mins(1));
                        prop_assert!(limited.retry_after > Duration::ZERO);
                    }
                }
                prop_assert!(allowed <= 10.0 + now.as_secs_f64() / 60.0 + 1e-6);
            }
        }
    }
}
