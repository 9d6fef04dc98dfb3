//! The origin that people type.

use std::fmt;

use http::Uri;

/// An origin (RFC 6454 §6.2): scheme, host and, where it is not the scheme's own, port.
///
/// In the form browsers send in `Origin`, so that the two can be compared as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    https: bool,
}

impl PublicUrl {
    /// Reads an origin; one slash at its end is forgiven. `None` where anything else follows, or
    /// where it has credentials.
    pub fn parse(text: &str) -> Option<Self> {
        // `Uri` drops a fragment without a word.
        if text.contains('#') {
            return None;
        }
        let uri: Uri = text.parse().ok()?;
        let (https, own_port) = match uri.scheme_str()? {
            "https" => (true, 443),
            "http" => (false, 80),
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || uri.path() != "/" || uri.query().is_some() {
            return None;
        }
        let host = authority.host().to_ascii_lowercase();
        // What follows the host must be a port: `Uri` lets `host:` and `host:99999` pass.
        let port = match authority.as_str().get(host.len()..)? {
            "" => None,
            rest => {
                let digits = rest.strip_prefix(':')?;
                // `parse` alone would take `+80`.
                if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                Some(digits.parse::<u16>().ok()?)
            }
        };
        if host.is_empty() || port == Some(0) {
            return None;
        }
        let scheme = if https { "https" } else { "http" };
        let origin = match port {
            Some(port) if port != own_port => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        };
        Some(Self { origin, https })
    }

    /// Scheme, host and port, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.origin
    }

    /// Whether what travels there is encrypted.
    pub const fn is_https(&self) -> bool {
        self.https
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_kept_as_browsers_send_it() {
        for (text, origin, https) in [
            ("https://auth.example.com", "https://auth.example.com", true),
            (
                "https://auth.example.com/",
                "https://auth.example.com",
                true,
            ),
            (
                "HTTPS://Auth.Example.com:443",
                "https://auth.example.com",
                true,
            ),
            (
                "https://auth.example.com:8443",
                "https://auth.example.com:8443",
                true,
            ),
            ("http://192.0.2.1:80/", "http://192.0.2.1", false),
            ("http://[::1]:3000", "http://[::1]:3000", false),
        ] {
            let url = PublicUrl::parse(text).unwrap();

            assert_eq!((url.as_str(), url.is_https()), (origin, https), "{text}");
        }
    }

    #[test]
    fn anything_but_an_origin_is_refused() {
        for text in [
            "",
            "/",
            "auth.example.com",
            "auth.example.com:443",
            "//auth.example.com",
            "ftp://auth.example.com",
            "https://",
            "https:///",
            "https://:443",
            "https://auth.example.com/sign-in",
            "https://auth.example.com//",
            "https://auth.example.com?a=b",
            "https://auth.example.com/?",
            "https://auth.example.com#top",
            "https://auth.example.com/#",
            "https://ada:secret@auth.example.com",
            "https://@auth.example.com",
            "https://auth.example.com:",
            "https://auth.example.com:0",
            "https://auth.example.com:65536",
            "https://auth.example.com:+80",
            "https://auth example.com",
            "https://bücher.example",
            " https://auth.example.com",
            "*",
        ] {
            assert_eq!(PublicUrl::parse(text), None, "{text:?}");
        }
    }
}
