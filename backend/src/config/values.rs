//! Values as somebody writes them.

use std::{fmt, net::IpAddr, time::Duration};

use countersign_types::PasswordRules;
use ipnet::IpNet;
use tracing_subscriber::filter::{LevelFilter, Targets};
use zeroize::Zeroizing;

use crate::{accounts::Registration, keys::Schedule, sessions::Identity};

/// Text that must not leak: redacted in `Debug`, without `Display`, overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text itself. Named so that every place that reads it stands out in review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people at a terminal.
    Pretty,
    /// For programs: a JSON object a line.
    Json,
}

pub(super) fn text(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

pub(super) fn flag(text: &str) -> Option<bool> {
    text.parse().ok()
}

pub(super) fn scheme(text: &str) -> Option<String> {
    let is_word = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
    is_word.then(|| text.to_owned())
}

pub(super) fn identity(text: &str) -> Option<Identity> {
    match text {
        "id" => Some(Identity::Id),
        "email" => Some(Identity::Email),
        _ => None,
    }
}

pub(super) fn secret(text: &str) -> Option<Secret> {
    (!text.trim().is_empty()).then(|| text.into())
}

/// Only the scheme: the rest is the driver's to read.
pub(super) fn database_url(text: &str) -> Option<Secret> {
    ["sqlite:", "postgres://", "postgresql://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
        .then(|| text.into())
}

/// A whole number and its unit: `90s`, `15m`, `12h`, `30d`. Without a unit nobody knows what was
/// meant, and with several there is more than one way to write the same.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    digits::<u64>(number)?
        .checked_mul(seconds)
        .map(Duration::from_secs)
}

/// `FromStr` of the numbers also takes `+1`, which in a file is a slip.
fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

/// Longer is no access token any more, but a password that cannot be changed.
const MAX_ACCESS_TTL: Duration = Duration::from_hours(30 * 24);

pub(super) fn access_ttl(text: &str) -> Option<Duration> {
    duration(text).filter(|ttl| (Duration::from_secs(1)..=MAX_ACCESS_TTL).contains(ttl))
}

/// More than a minute does not bridge a clock that is wrong, but a token that is over.
pub(super) fn leeway(text: &str) -> Option<Duration> {
    duration(text).filter(|leeway| *leeway <= Duration::from_mins(1))
}

/// Ten years: far enough for «for ever», and near enough for no sum of times to overflow.
const MAX_SESSION_TTL: Duration = Duration::from_hours(3650 * 24);

pub(super) fn session_ttl(text: &str) -> Option<Duration> {
    duration(text).filter(|ttl| (Duration::from_secs(1)..=MAX_SESSION_TTL).contains(ttl))
}

pub(super) fn rotate_every(text: &str) -> Option<Schedule> {
    if text == "off" {
        return Some(Schedule::Off);
    }
    session_ttl(text).map(Schedule::Every)
}

pub(super) fn pending_for(text: &str) -> Option<Duration> {
    access_ttl(text)
}

/// More than a minute is no repeat any more, but a second use.
pub(super) fn refresh_grace(text: &str) -> Option<Duration> {
    duration(text).filter(|grace| *grace <= Duration::from_mins(1))
}

pub(super) fn max_per_account(text: &str) -> Option<u32> {
    digits(text).filter(|number| (1..=1000).contains(number))
}

pub(super) fn min_length(text: &str) -> Option<usize> {
    let allowed = PasswordRules::LOWEST_MIN_LENGTH..=PasswordRules::MAX_LENGTH;
    digits(text).filter(|length| allowed.contains(length))
}

pub(super) fn scale(text: &str) -> Option<f64> {
    text.parse()
        .ok()
        .filter(|scale: &f64| scale.is_finite() && *scale > 0.0)
}

pub(super) fn registration(text: &str) -> Option<Registration> {
    match text {
        "open" => Some(Registration::Open),
        "closed" => Some(Registration::Closed),
        _ => None,
    }
}

/// A network, or one address for the network of itself alone.
pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

pub(super) fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "pretty" => Some(LogFormat::Pretty),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

/// `info`, or `warn,countersign=debug`. Checked here, because [`Targets`] takes a misspelt level
/// for a target and writes everything about it.
pub(super) fn log_level(text: &str) -> Option<Targets> {
    let mut targets = Targets::new();
    for directive in text.split(',').map(str::trim) {
        targets = match directive.split_once('=') {
            Some(("", _)) => return None,
            Some((target, level)) => targets.with_target(target, level_filter(level)?),
            None => targets.with_default(level_filter(directive)?),
        };
    }
    Some(targets)
}

/// The names only: `FromStr` also takes numbers.
fn level_filter(text: &str) -> Option<LevelFilter> {
    match text {
        "off" => Some(LevelFilter::OFF),
        "error" => Some(LevelFilter::ERROR),
        "warn" => Some(LevelFilter::WARN),
        "info" => Some(LevelFilter::INFO),
        "debug" => Some(LevelFilter::DEBUG),
        "trace" => Some(LevelFilter::TRACE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_a_whole_number_with_its_unit() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("15m", 900),
            ("12h", 43_200),
            ("30d", 2_592_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "s",
            "15",
            "15 m",
            "15M",
            "1.5h",
            "-1s",
            "+1s",
            "1h30m",
            "1w",
            "1µ",
            " 1s",
            "99999999999999999999s",
            "999999999999999999d",
        ] {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(access_ttl("0s").is_none() && access_ttl("31d").is_none());
        assert!(access_ttl("1s").is_some() && access_ttl("30d").is_some());
        assert!(leeway("61s").is_none() && leeway("1m").is_some() && leeway("0s").is_some());
        assert!(min_length("7").is_none() && min_length("257").is_none());
        assert!(min_length("8").is_some() && min_length("256").is_some());
        for text in ["0", "-1", "inf", "NaN", "1e999", "", "two"] {
            assert!(scale(text).is_none(), "{text}");
        }
        assert_eq!(scale("0.5"), Some(0.5));
    }

    #[test]
    fn network_may_be_one_address() {
        assert_eq!(network("10.0.0.0/8"), "10.0.0.0/8".parse().ok());
        assert_eq!(network("::1"), "::1/128".parse().ok());
        assert_eq!(network("10.0.0.0/33"), None);
        assert_eq!(network("proxy"), None);
    }

    #[test]
    fn misspelt_level_is_refused_rather_than_taken_for_a_target() {
        for text in [
            "",
            "infoo",
            "INFO",
            "3",
            "=info",
            "countersign",
            "countersign=",
            "info,",
        ] {
            assert!(log_level(text).is_none(), "{text:?}");
        }
        assert!(log_level("warn, countersign=debug").is_some());
    }

    #[test]
    fn debug_form_of_a_secret_hides_it() {
        assert_eq!(format!("{:?}", Secret::from("hunter2")), "Secret(***)");
    }
}
