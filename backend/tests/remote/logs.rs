//! What whoever runs such a service finds in its log.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use countersign::{
    remote::RemoteKeys,
    token::{Algorithm, Rejection},
};
use serde_json::json;
use tracing::{Level, subscriber::DefaultGuard};

use crate::support::{AUDIENCE, ISSUER, Issuer, KEYS, Key, Refused, Reply, UNKNOWN, verdict};

const INTERVAL: Duration = Duration::from_secs(10);

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// What this thread logs, as long as the guard is kept.
    fn begin() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The lines of a level that are ours.
    fn lines(&self, level: &str) -> Vec<String> {
        let bytes = self.0.lock().unwrap();
        String::from_utf8_lossy(&bytes)
            .lines()
            .filter(|line| line.contains(&format!("{level} countersign::")))
            .map(str::to_owned)
            .collect()
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn key() -> Key {
    Key::new(Algorithm::Es256)
}

// On one thread, so that the task that fetches logs to where this test reads.
#[tokio::test]
async fn outage_is_told_when_it_begins_when_the_keys_end_and_when_it_is_over() {
    let (log, _guard) = Log::begin();
    let known = key();
    let issuer = Issuer::start(&[&known]).await;
    let keys = issuer.keys().stale_for(Duration::from_hours(1));
    let verifier = keys.build().await.unwrap();
    let token = issuer.token(&known);
    let unavailable = || Err(Refused::Unavailable);

    issuer.publish(&[]);
    for _ in 0..3 {
        issuer.clock.advance(INTERVAL);
        assert_eq!(verdict(&verifier, &issuer.token(&key())).await, UNKNOWN);
    }
    let warnings = log.lines(" WARN");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains(&issuer.url(KEYS)), "{warnings:?}");
    assert!(
        warnings[0].contains("no key that can be used"),
        "{warnings:?}"
    );

    assert!(log.lines("ERROR").is_empty());
    issuer.clock.advance(Duration::from_mins(70));
    for _ in 0..3 {
        issuer.clock.advance(INTERVAL);
        assert_eq!(verdict(&verifier, &token).await, unavailable());
    }
    let errors = log.lines("ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("no token is accepted"), "{errors:?}");

    issuer.publish(&[&known]);
    issuer.clock.advance(INTERVAL);
    assert_eq!(verdict(&verifier, &token).await, Ok(()));
    assert_eq!(log.lines(" INFO").len(), 1);
    assert_eq!(log.lines(" WARN").len(), 1);
}

#[tokio::test]
async fn token_of_another_issuer_under_the_same_key_is_told_with_both_names() {
    let (log, _guard) = Log::begin();
    let known = key();
    let issuer = Issuer::start(&[&known]).await;
    let verifier = issuer.keys().build().await.unwrap();

    let token = issuer.token_of("https://other.test", &known);
    let refused = verdict(&verifier, &token).await;

    assert_eq!(refused, Err(Refused::Token(Rejection::WrongIssuer)));
    let lines = log.lines("DEBUG");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["claim=\"iss\"", ISSUER, "https://other.test"] {
        assert!(lines[0].contains(part), "{lines:?}");
    }
    assert!(!lines[0].contains(&token) && !lines[0].contains(AUDIENCE));
}

#[tokio::test]
async fn start_that_fails_for_want_of_a_good_key_tells_which_are_bad() {
    let (log, _guard) = Log::begin();
    let issuer = Issuer::start(&[]).await;
    let secret = json!({ "kty": "oct", "k": "A".repeat(86), "alg": "HS256", "kid": "1" });
    issuer.reply(KEYS, Reply::json(&json!({ "keys": [secret] })));
    let keys = RemoteKeys::of_jwks(issuer.url(KEYS), ISSUER).audience(AUDIENCE);

    keys.build().await.unwrap_err();

    let warnings = log.lines(" WARN");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("place=1"), "{warnings:?}");
}
