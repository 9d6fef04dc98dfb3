//! Whether a request comes from pages of our own: what stands between a cookie, which a browser
//! sends along whoever asks it to, and what the cookie may do.

use std::collections::BTreeSet;

use axum::extract::{FromRef, FromRequestParts};
use http::{HeaderMap, HeaderName, header, request::Parts};

use crate::{app::App, config::Config, error::Error};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The origins that are ours (RFC 6454 §6.2).
#[derive(Debug, Clone, Default)]
pub struct OwnOrigins(BTreeSet<String>);

impl OwnOrigins {
    /// The outside origin; in development this machine's at `port`, by each of its names, and what
    /// the configuration adds.
    pub fn of(config: &Config, port: u16) -> Self {
        Self(match &config.public_url {
            Some(url) => BTreeSet::from([url.as_str().to_owned()]),
            None => ["localhost", "127.0.0.1", "[::1]"]
                .map(|host| format!("http://{host}:{port}"))
                .into_iter()
                .chain(config.dev.extra_origins.iter().map(ToString::to_string))
                .collect(),
        })
    }

    /// Whether a request with these headers comes from one of them. `Sec-Fetch-Site`, which no page
    /// can set, decides where it is sent; else `Origin` does. Without either nobody knows, and not
    /// to know is no.
    fn has_sent(&self, headers: &HeaderMap) -> SameOrigin {
        let judged = |is_own| {
            if is_own {
                SameOrigin::Own
            } else {
                SameOrigin::Foreign
            }
        };
        let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
        match (sites.next(), sites.next()) {
            (Some(site), None) => return judged(site == "same-origin"),
            (Some(_), Some(_)) => return SameOrigin::Foreign,
            (None, _) => {}
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            // `null` is the origin of whoever has none, and none of ours.
            (Some(origin), None) => {
                judged(origin.to_str().is_ok_and(|origin| self.0.contains(origin)))
            }
            (Some(_), Some(_)) => SameOrigin::Foreign,
            (None, _) => SameOrigin::Unknown,
        }
    }
}

/// Whether the request comes from pages of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SameOrigin {
    /// It does.
    Own,
    /// It comes from another page.
    Foreign,
    /// Nobody knows: no browser sent it, or an old one.
    Unknown,
}

impl SameOrigin {
    pub(crate) fn holds(self) -> bool {
        self == Self::Own
    }

    pub(crate) fn is_foreign(self) -> bool {
        self == Self::Foreign
    }

    /// # Errors
    ///
    /// [`Error::CrossOrigin`] where it does not, or nobody knows.
    pub(crate) fn require(self) -> Result<(), Error> {
        if self.holds() {
            Ok(())
        } else {
            Err(Error::CrossOrigin)
        }
    }
}

impl<S> FromRequestParts<S> for SameOrigin
where
    S: Send + Sync,
    App: FromRef<S>,
{
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        Ok(App::from_ref(state).own_origins.has_sent(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn sent(headers: &[(&'static str, &'static str)]) -> bool {
        let origins = OwnOrigins(BTreeSet::from(["https://auth.example.com".to_owned()]));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        origins.has_sent(&map).holds()
    }

    #[test]
    fn what_the_browser_says_of_the_site_decides_where_it_is_sent() {
        const OWN: (&str, &str) = ("origin", "https://auth.example.com");
        for (site, expected) in [
            ("same-origin", true),
            ("same-site", false),
            ("cross-site", false),
            ("none", false),
            ("Same-Origin", false),
            ("", false),
        ] {
            let site = ("sec-fetch-site", site);
            assert_eq!(sent(&[site, OWN]), expected, "{site:?}");
            assert_eq!(sent(&[site]), expected, "{site:?}");
        }
        assert!(sent(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "http://localhost:8080")
        ]));
        assert!(!sent(&[
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "same-origin")
        ]));
    }

    #[test]
    fn without_it_the_origin_must_be_exactly_ours() {
        for (origin, expected) in [
            ("https://auth.example.com", true),
            ("https://auth.example.com:443", false),
            ("https://auth.example.com.evil.example", false),
            ("http://auth.example.com", false),
            ("https://evil.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(sent(&[("origin", origin)]), expected, "{origin}");
        }
        assert!(!sent(&[]));
        assert!(!sent(&[
            ("origin", "https://auth.example.com"),
            ("origin", "https://auth.example.com")
        ]));
    }
}
