//! One GET for a JSON document, with nothing left unbounded: no redirects, no proxies, no
//! compression, at most so many bytes.

use std::{error::Error, fmt, io, sync::Arc, time::Duration};

use http::{
    HeaderMap, Request, StatusCode,
    header::{self, HeaderName},
};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_native_certs::CertificateResult;

use super::{
    RemoteError,
    address::{Address, AddressError},
    schedule::Reason,
};

/// The largest document that is read. The sets of large providers have some ten kilobytes.
const MAX_BYTES: usize = 256 * 1024;
/// The largest head of an answer.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The whole of it took too long.
    #[error("no complete answer came in time")]
    Timeout,
    /// No connection, no TLS with a certificate that is trusted, or a broken answer.
    #[error("the server cannot be talked to")]
    Connection(#[source] Box<dyn Error + Send + Sync>),
    /// An answer other than 200. Redirects are not followed: the address is to be the right one.
    #[error("the server answers {0}")]
    Status(u16),
    /// A compressed answer, for which nobody asked.
    #[error("the answer is compressed")]
    Compressed,
    /// More than 256 KiB.
    #[error("the answer is too long")]
    TooLong,
    /// Not the document of RFC 8414 or of OpenID Connect Discovery.
    #[error("the answer is no discovery document")]
    NoDiscovery,
    /// A discovery document that is about another issuer: its keys are not those of this one.
    #[error("the discovery document names another issuer")]
    OtherIssuer,
    /// The discovery document names an address that keys may not come from.
    #[error("the discovery document names an unacceptable jwks_uri")]
    Address(#[from] AddressError),
    /// Not a JWK set (RFC 7517 §5).
    #[error("the answer is no JWK set")]
    NoKeySet,
    /// More than 100 keys.
    #[error("the JWK set has too many keys")]
    TooManyKeys,
    /// Nothing in the set can be used: a Countersign that signs with HS256, for instance, publishes
    /// no key.
    #[error("the JWK set has no key that can be used")]
    NoUsableKey,
}

/// A document, and how long it holds by the word of its server.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) body: Bytes,
    pub(super) lifetime: Option<Duration>,
}

/// What fetches documents.
pub(super) struct Fetcher(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

impl Fetcher {
    /// Trusts the system's authorities, and some more in PEM.
    pub(super) fn new(
        system: CertificateResult,
        more: &[Vec<u8>],
        is_https: bool,
        connect_timeout: Duration,
    ) -> Result<Self, RemoteError> {
        let mut roots = RootCertStore::empty();
        // A certificate that cannot be read must not spoil the others.
        roots.add_parsable_certificates(system.certs);
        for pem in more {
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| RemoteError::Certificate)?;
                roots
                    .add(certificate)
                    .map_err(|_| RemoteError::Certificate)?;
            }
            if roots.len() == before {
                return Err(RemoteError::Certificate);
            }
        }
        if roots.is_empty() && is_https {
            // The first says as much as all of them.
            let cause = system.errors.into_iter().next();
            return Err(RemoteError::NoAuthorities(cause.map(Into::into)));
        }
        // Named, since an application may have a second provider among its crates.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| RemoteError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        // Which schemes are taken is decided by `Address`.
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            // One request in minutes: an idle connection is of no use to anybody.
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .build(connector);
        Ok(Self(client))
    }

    /// The document at an address. Whoever calls limits the time.
    pub(super) async fn get(
        &self,
        address: &Address,
        reason: Reason,
    ) -> Result<Document, FetchError> {
        let mut request = Request::get(address.uri())
            .header(header::ACCEPT, "application/json, application/jwk-set+json")
            .header(
                header::USER_AGENT,
                concat!("countersign/", env!("CARGO_PKG_VERSION")),
            );
        if reason == Reason::Token {
            // RFC 9111 §5.2.1.4: a cache on the way asks the server first.
            request = request.header(header::CACHE_CONTROL, "no-cache");
        }
        let request = request
            .body(Empty::new())
            .map_err(|error| FetchError::Connection(error.into()))?;
        let answer = self.0.request(request).await.map_err(|error| {
            if is_timeout(&error) {
                FetchError::Timeout
            } else {
                FetchError::Connection(error.into())
            }
        })?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        if values(answer.headers(), &header::CONTENT_ENCODING)
            .any(|coding| !coding.eq_ignore_ascii_case("identity"))
        {
            return Err(FetchError::Compressed);
        }
        let lifetime = lifetime(answer.headers());
        let body = Limited::new(answer.into_body(), MAX_BYTES)
            .collect()
            .await
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    FetchError::TooLong
                } else {
                    FetchError::Connection(error)
                }
            })?
            .to_bytes();
        Ok(Document { body, lifetime })
    }
}

/// Whether connecting took too long.
fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The members of a header that is a list (RFC 9110 §5.6.1).
fn values<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|value| value.trim_matches([' ', '\t']))
        .filter(|value| !value.is_empty())
}

/// How long an answer holds (RFC 9111 §4.2.1): `max-age` without the time that a cache on the way
/// has already had it.
fn lifetime(headers: &HeaderMap) -> Option<Duration> {
    let mut max_age = None;
    for directive in values(headers, &header::CACHE_CONTROL) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if ["no-cache", "no-store"]
            .iter()
            .any(|never| name.eq_ignore_ascii_case(never))
        {
            return Some(Duration::ZERO);
        }
        if name.eq_ignore_ascii_case("max-age") && max_age.is_none() {
            max_age = value.trim_matches('"').parse().ok();
        }
    }
    let age = values(headers, &header::AGE)
        .next()
        .and_then(|age| age.parse().ok())
        .unwrap_or(0);
    max_age.map(|max_age: u64| Duration::from_secs(max_age.saturating_sub(age)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustls_native_certs::load_certs_from_paths;

    use super::*;

    fn lifetime_of(headers: &[(&str, &str)]) -> Option<u64> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        lifetime(&headers).map(|lifetime| lifetime.as_secs())
    }

    #[test]
    fn system_whose_authorities_cannot_be_read_says_why() {
        let system = load_certs_from_paths(Some(Path::new("nowhere.pem")), None);

        let refused = Fetcher::new(system, &[], true, Duration::from_secs(1)).unwrap_err();

        assert!(matches!(refused, RemoteError::NoAuthorities(_)));
        let cause = refused.source().unwrap().to_string();
        assert!(cause.contains("nowhere.pem"), "{cause}");
    }

    #[test]
    fn lifetime_is_what_the_server_says_less_the_age() {
        for (headers, expected) in [
            (&[] as &[(&str, &str)], None),
            (&[("cache-control", "public, max-age=300")], Some(300)),
            (&[("cache-control", "Max-Age=\"60\"")], Some(60)),
            (
                &[("cache-control", "max-age=300"), ("age", "100")],
                Some(200),
            ),
            (
                &[("cache-control", "max-age=300"), ("age", "1000")],
                Some(0),
            ),
            (&[("cache-control", "max-age=300, no-cache")], Some(0)),
            (&[("cache-control", "no-store")], Some(0)),
            (
                &[("cache-control", "public"), ("cache-control", "max-age=5")],
                Some(5),
            ),
            (&[("cache-control", "max-age=-1")], None),
            (&[("cache-control", "max-age=soon")], None),
            (&[("cache-control", "s-maxage=10")], None),
        ] {
            assert_eq!(lifetime_of(headers), expected, "{headers:?}");
        }
    }
}
