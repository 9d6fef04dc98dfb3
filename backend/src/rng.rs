//! The only caller of randomness.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
#[cfg(feature = "server")]
use uuid::Uuid;

#[cfg(feature = "server")]
use crate::timestamp::Timestamp;

/// Random bytes from the operating system's generator.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("a machine without a random generator cannot run an authentication server");
    bytes
}

/// A time-ordered id (`UUIDv7`, RFC 9562 §5.7): 74 random bits behind the time, unique but no secret.
/// Ordered, because rows with random keys touch a page of the database each.
#[cfg(feature = "server")]
pub(crate) fn id(now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.as_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &bytes()).into_uuid()
}
