//! What time and failures do to the keys, with paused time and without a network.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::time::{Instant, sleep};

use super::*;
use crate::{
    timestamp::Timestamp,
    token::{Algorithm, PrivateKey, PublicKeys, VerifyingKey},
};

const URL: &str = "https://auth.example.com/.well-known/jwks.json";
const INTERVAL: Duration = Duration::from_secs(10);
const STALE_FOR: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a fetch takes.
const SLOW: Duration = Duration::from_secs(1);
/// How long keys hold: they are fetched anew after 70 to 90 seconds.
const LIFETIME: Duration = Duration::from_secs(100);

/// Tokio's clock, which is paused.
#[derive(Debug)]
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(0)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A server of keys whose answers are written down beforehand; the last one is repeated.
#[derive(Clone)]
struct Server {
    answers: Arc<Mutex<VecDeque<Option<VerifyingKey>>>>,
    calls: Arc<AtomicUsize>,
}

impl Server {
    fn new(answers: impl IntoIterator<Item = Option<VerifyingKey>>) -> Self {
        Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            calls: Arc::default(),
        }
    }

    async fn answer(self) -> Result<Fetched, Failed> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let key = {
            let mut answers = self.answers.lock().unwrap();
            let key = answers.pop_front().unwrap();
            if answers.is_empty() {
                answers.push_back(key.clone());
            }
            key
        };
        sleep(SLOW).await;
        key.map(fetched).ok_or_else(|| Failed {
            url: URL.to_owned(),
            error: FetchError::Status(500),
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn start(&self, first: Option<VerifyingKey>) -> Refresh {
        let server = self.clone();
        Refresh::start(
            "https://auth.example.com".to_owned(),
            Arc::new(PausedClock(Instant::now())),
            Schedule::new(INTERVAL, STALE_FOR),
            PATIENCE,
            first.map(fetched),
            move |_| server.clone().answer(),
        )
    }
}

fn fetched(key: VerifyingKey) -> Fetched {
    Fetched {
        judged: Judged {
            keys: PublicKeys::new([key]).unwrap(),
            left_out: Vec::new(),
        },
        lifetime: Some(LIFETIME),
        url: URL.to_owned(),
    }
}

fn key() -> VerifyingKey {
    let key = PrivateKey::generate(Algorithm::EdDsa).unwrap();
    key.signing_key().unwrap().verifying_key().unwrap()
}

fn has(refresh: &Refresh, key: &VerifyingKey) -> bool {
    refresh.keys().load().get(key.kid()).is_some()
}

#[tokio::test(start_paused = true)]
async fn keys_are_replaced_in_the_background_before_their_time_is_over() {
    let (old, new) = (key(), key());
    let server = Server::new([Some(new.clone())]);
    let refresh = server.start(Some(old.clone()));

    sleep(LIFETIME * 69 / 100).await;
    assert_eq!((server.calls(), has(&refresh, &old)), (0, true));
    sleep(LIFETIME * 23 / 100).await;

    assert_eq!(server.calls(), 1);
    assert!(has(&refresh, &new));
    assert!(!has(&refresh, &old), "what the set no longer has is gone");
}

#[tokio::test(start_paused = true)]
async fn fifty_requests_at_once_make_one_fetch() {
    let (old, new) = (key(), key());
    let server = Server::new([Some(new.clone())]);
    let refresh = Arc::new(server.start(Some(old)));

    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let (refresh, new) = (Arc::clone(&refresh), new.clone());
            tokio::spawn(async move {
                refresh.wait().await;
                has(&refresh, &new)
            })
        })
        .collect();

    for waits in waiting {
        assert!(waits.await.unwrap());
    }
    assert_eq!(server.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn second_wish_inside_the_interval_is_answered_at_once() {
    let server = Server::new([Some(key())]);
    let refresh = server.start(Some(key()));
    refresh.wait().await;
    let begin = Instant::now();

    refresh.wait().await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    sleep(INTERVAL).await;
    refresh.wait().await;
    assert_eq!(server.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_that_came_since_a_token_was_judged_count_inside_the_interval_too() {
    let server = Server::new([Some(key())]);
    let refresh = server.start(Some(key()));
    let seen = refresh.keys().load();
    refresh.wait().await;

    assert!(refresh.are_renewed(&seen).await);
    assert!(!refresh.are_renewed(&refresh.keys().load()).await);
    assert_eq!(server.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn more_than_so_many_do_not_wait() {
    let server = Server::new([Some(key())]);
    let refresh = Arc::new(server.start(Some(key())));
    let waiting: Vec<_> = (0..MAX_WAITING)
        .map(|_| {
            let refresh = Arc::clone(&refresh);
            tokio::spawn(async move { refresh.wait().await })
        })
        .collect();
    while refresh.shared.waiting.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let begin = Instant::now();

    refresh.wait().await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    for waits in waiting {
        waits.await.unwrap();
    }
    assert_eq!(server.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn wait_ends_when_patience_does() {
    let refresh = Refresh::start(
        "https://auth.example.com".to_owned(),
        Arc::new(PausedClock(Instant::now())),
        Schedule::new(INTERVAL, STALE_FOR),
        PATIENCE,
        Some(fetched(key())),
        |_| std::future::pending(),
    );
    let begin = Instant::now();

    refresh.wait().await;
    assert_eq!(begin.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn keys_outlive_an_outage_for_a_bounded_time() {
    let old = key();
    let server = Server::new([None]);
    let refresh = server.start(Some(old.clone()));

    sleep((LIFETIME + STALE_FOR).saturating_sub(SLOW)).await;
    assert!(refresh.is_usable() && has(&refresh, &old));
    let tries = server.calls();
    assert!((10..40).contains(&tries), "{tries} attempts in an hour");

    sleep(SLOW * 2).await;
    assert!(!refresh.is_usable());
}

#[tokio::test(start_paused = true)]
async fn outage_ends_by_itself() {
    let new = key();
    let server = Server::new([None, None, None, Some(new.clone())]);
    let refresh = server.start(None);
    assert!(!refresh.is_usable());

    sleep(Duration::from_secs(20)).await;

    assert!(refresh.is_usable() && has(&refresh, &new));
    assert_eq!(server.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_fetch_is_one_more_failure() {
    let new = key();
    let server = Server::new([Some(new.clone())]);
    let calls = AtomicUsize::new(0);
    let refresh = Refresh::start(
        "https://auth.example.com".to_owned(),
        Arc::new(PausedClock(Instant::now())),
        Schedule::new(INTERVAL, STALE_FOR),
        PATIENCE,
        None,
        move |_| {
            let is_first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            let answer = server.clone().answer();
            async move {
                assert!(!is_first, "as a bug would");
                answer.await
            }
        },
    );

    refresh.wait().await;
    assert!(!refresh.is_usable());
    sleep(INTERVAL).await;

    assert!(refresh.is_usable() && has(&refresh, &new));
}

#[tokio::test(start_paused = true)]
async fn fetch_says_whether_a_token_asked_for_it() {
    let reasons: Arc<Mutex<Vec<Reason>>> = Arc::default();
    let refresh = Refresh::start(
        "https://auth.example.com".to_owned(),
        Arc::new(PausedClock(Instant::now())),
        Schedule::new(INTERVAL, STALE_FOR),
        PATIENCE,
        Some(fetched(key())),
        {
            let reasons = Arc::clone(&reasons);
            move |reason| {
                reasons.lock().unwrap().push(reason);
                async { Ok(fetched(key())) }
            }
        },
    );

    refresh.wait().await;
    sleep(LIFETIME).await;

    assert_eq!(*reasons.lock().unwrap(), [Reason::Token, Reason::Time]);
}

#[tokio::test(start_paused = true)]
async fn request_waits_for_the_first_fetch_of_a_lazy_start() {
    let server = Server::new([Some(key())]);
    let refresh = server.start(None);

    refresh.wait().await;
    assert!(refresh.is_usable());
    assert_eq!(server.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_after_the_last_handle_is_gone() {
    let server = Server::new([Some(key())]);
    let refresh = server.start(Some(key()));
    sleep(LIFETIME).await;
    let calls = server.calls();
    assert_eq!(calls, 1);

    drop(refresh);
    sleep(LIFETIME * 10).await;

    assert_eq!(server.calls(), calls);
    // The task held the only other clones.
    assert_eq!(Arc::strong_count(&server.calls), 1);
}
