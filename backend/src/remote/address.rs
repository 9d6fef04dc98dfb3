//! Where keys may be fetched from.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not `https://HOST…`, or with credentials or a fragment.
    #[error("not an absolute https URL without credentials and fragment")]
    Malformed,
    /// An issuer with a query (RFC 8414 §2).
    #[error("an issuer has no query")]
    Query,
    /// Whoever is on the way could put own keys into the answer.
    #[error("http is for this machine only; keys from elsewhere need https")]
    Insecure,
}

/// An absolute URL to fetch from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    uri: Uri,
    is_https: bool,
}

impl Address {
    /// Reads one. Without `may_be_plain`, `http` is taken for the loopback interface only.
    pub(super) fn parse(text: &str, may_be_plain: bool) -> Result<Self, AddressError> {
        // `Uri` drops a fragment without a word.
        if text.contains('#') {
            return Err(AddressError::Malformed);
        }
        let uri: Uri = text.parse().map_err(|_| AddressError::Malformed)?;
        let authority = uri.authority().ok_or(AddressError::Malformed)?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(AddressError::Malformed);
        }
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if may_be_plain || is_loopback(authority.host()) => false,
            Some("http") => return Err(AddressError::Insecure),
            _ => return Err(AddressError::Malformed),
        };
        Ok(Self { uri, is_https })
    }

    /// Where an issuer's OpenID document is (OpenID Connect Discovery §4), and where else it may be
    /// (RFC 8414 §3.1, which puts the well-known part before the issuer's path).
    pub(super) fn discovery(issuer: &str, may_be_plain: bool) -> Result<[Self; 2], AddressError> {
        let issuer = Self::issuer(issuer, may_be_plain)?;
        let authority = issuer.uri.authority().map_or("", |it| it.as_str());
        let scheme = issuer.uri.scheme_str().unwrap_or_default();
        let path = issuer.uri.path().trim_end_matches('/');
        let origin = format!("{scheme}://{authority}");
        Ok([
            Self::parse(
                &format!("{origin}{path}/.well-known/openid-configuration"),
                may_be_plain,
            )?,
            Self::parse(
                &format!("{origin}/.well-known/oauth-authorization-server{path}"),
                may_be_plain,
            )?,
        ])
    }

    /// An issuer's own address, beneath which its documents lie.
    pub(super) fn issuer(text: &str, may_be_plain: bool) -> Result<Self, AddressError> {
        let issuer = Self::parse(text, may_be_plain)?;
        if issuer.uri.query().is_some() {
            return Err(AddressError::Query);
        }
        Ok(issuer)
    }

    /// Scheme, host and port, in the one form in which a Countersign has them in `iss` (RFC 6454
    /// §6.2).
    pub(super) fn origin(&self) -> String {
        let (scheme, own_port) = if self.is_https {
            ("https", 443)
        } else {
            ("http", 80)
        };
        let host = self.uri.host().unwrap_or_default().to_ascii_lowercase();
        match self.uri.port_u16() {
            Some(port) if port != own_port => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        }
    }

    /// For people: without the query, where some servers take a secret.
    pub(super) fn shown(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        let authority = self.uri.authority().map_or("", |it| it.as_str());
        format!("{scheme}://{authority}{}", self.uri.path())
    }

    /// For the client.
    pub(super) const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether what comes from there is authentic.
    pub(super) const fn is_https(&self) -> bool {
        self.is_https
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback())
        || bare.parse().is_ok_and(|ip: Ipv6Addr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> AddressError {
        Address::parse(text, false).unwrap_err()
    }

    #[test]
    fn http_is_taken_for_this_machine_only() {
        for text in [
            "http://localhost:3000",
            "http://127.0.0.1/jwks.json",
            "http://127.9.9.9",
            "http://[::1]:3000",
        ] {
            assert!(!Address::parse(text, false).unwrap().is_https(), "{text}");
        }
        for text in [
            "http://auth.example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1",
            "http://[::2]",
        ] {
            assert_eq!(refused(text), AddressError::Insecure, "{text}");
            assert!(Address::parse(text, true).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_plain_absolute_url_is_refused() {
        for text in [
            "",
            "auth.example.com",
            "/jwks.json",
            "ftp://example.com",
            "file:///etc/passwd",
            "https://",
            "https://user@example.com",
            "https://user:password@example.com",
            "https://example.com/#keys",
            "https://exam ple.com",
        ] {
            assert_eq!(refused(text), AddressError::Malformed, "{text}");
        }
        assert_eq!(
            Address::issuer("https://example.com/?tenant=1", false),
            Err(AddressError::Query)
        );
    }

    #[test]
    fn origin_has_one_form() {
        for (text, origin) in [
            ("https://auth.example.com", "https://auth.example.com"),
            ("https://Auth.Example.COM:443/", "https://auth.example.com"),
            (
                "https://auth.example.com:8443",
                "https://auth.example.com:8443",
            ),
            ("https://auth.example.com/a?b", "https://auth.example.com"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://[::1]:3000", "http://[::1]:3000"),
        ] {
            assert_eq!(Address::parse(text, false).unwrap().origin(), origin);
        }
    }

    #[test]
    fn query_is_not_shown() {
        let address = Address::parse("https://example.com:8443/keys?secret=1", false).unwrap();

        assert_eq!(address.shown(), "https://example.com:8443/keys");
    }

    #[test]
    fn documents_lie_where_their_standards_say() {
        let places = |issuer| {
            Address::discovery(issuer, false)
                .unwrap()
                .map(|address| address.uri().to_string())
        };

        let expected = [
            "https://example.com/.well-known/openid-configuration",
            "https://example.com/.well-known/oauth-authorization-server",
        ];
        assert_eq!(places("https://example.com"), expected);
        assert_eq!(places("https://example.com/"), expected);
        assert_eq!(
            places("https://example.com:8443/realms/one"),
            [
                "https://example.com:8443/realms/one/.well-known/openid-configuration",
                "https://example.com:8443/.well-known/oauth-authorization-server/realms/one",
            ]
        );
    }
}
