//! Access tokens in cookies, and what protects a request that carries one by itself.

use std::time::Duration;

use cookie::{Cookie, SameSite};
use countersign_types::Token;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use subtle::ConstantTimeEq as _;

use super::GuardError;
use crate::token::Verified;

/// How the cookies of an access token are named, set and unset.
///
/// Two belong together: one with the token, which no script can read, and one with a value that the
/// token holds as well, for the page's script to repeat in a header. A page elsewhere can make the
/// browser send the first, but it can read neither (double submit).
///
/// ```
/// use std::time::Duration;
///
/// use countersign::{Issuer, guard::AccessCookies, token::{Algorithm, Grant, Signer, SigningKey, Subject}};
/// use http::HeaderMap;
///
/// let key = SigningKey::from_secret(Algorithm::Hs256, b"32 bytes at least, and not these")?;
/// let issuer = Issuer::new(Signer::new(key, "https://app.example.com", "https://app.example.com"));
/// let cookies = AccessCookies::secure();
///
/// let token = issuer.issue_for_cookies(&Subject::new(7), Grant::new())?;
/// let mut headers = HeaderMap::new();
/// cookies.set(&mut headers, &token, Duration::from_mins(15));
/// assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessCookies {
    name: String,
    csrf_name: String,
    csrf_header: HeaderName,
    path: String,
    domain: Option<String>,
    same_site: SameSite,
    is_secure: bool,
    is_protected: bool,
}

/// An access token for a cookie, and what requests with it must repeat.
#[derive(Debug, Clone)]
pub struct CookieToken {
    /// The token.
    pub token: Token,
    /// What it says in `csrf`.
    pub csrf: Token,
}

impl AccessCookies {
    /// For `https`: `__Host-access_token_cookie` and `__Host-csrf_access_token`. The prefix makes
    /// browsers take them from nobody but this host (RFC 6265bis §4.1.3.2).
    pub fn secure() -> Self {
        Self {
            name: "__Host-access_token_cookie".to_owned(),
            csrf_name: "__Host-csrf_access_token".to_owned(),
            csrf_header: HeaderName::from_static("x-csrf-token"),
            path: "/".to_owned(),
            domain: None,
            same_site: SameSite::Strict,
            is_secure: true,
            is_protected: true,
        }
    }

    /// For plain `http`, as in development: `access_token_cookie` and `csrf_access_token`, without
    /// `Secure`.
    pub fn plain() -> Self {
        Self {
            is_secure: false,
            ..Self::secure().named("access_token_cookie", "csrf_access_token")
        }
    }

    /// Other names: of the cookie with the token, and of the one to be repeated.
    #[must_use]
    pub fn named(mut self, name: &str, csrf_name: &str) -> Self {
        name.clone_into(&mut self.name);
        csrf_name.clone_into(&mut self.csrf_name);
        self
    }

    /// Another header than `X-CSRF-TOKEN` for what is repeated.
    #[must_use]
    pub fn csrf_header(mut self, name: HeaderName) -> Self {
        self.csrf_header = name;
        self
    }

    /// Another path than `/`. Browsers refuse it under a name with `__Host-`.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// For this domain and what is below it, instead of this host alone. Browsers refuse it under a
    /// name with `__Host-`.
    #[must_use]
    pub fn domain(mut self, domain: &str) -> Self {
        self.domain = Some(domain.to_owned());
        self
    }

    /// Another rule than `Strict` for requests from other sites. `Lax` lets links from elsewhere
    /// arrive signed in.
    #[must_use]
    pub const fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Nothing needs to be repeated.
    ///
    /// # Security
    ///
    /// What then keeps other sites' pages from acting in somebody's name is `SameSite` alone, and
    /// sibling subdomains are the same site.
    #[must_use]
    pub const fn without_csrf_protection(mut self) -> Self {
        self.is_protected = false;
        self
    }

    /// The name of the cookie with the token.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets both cookies, for as long as the token lives.
    pub fn set(&self, headers: &mut HeaderMap, token: &CookieToken, life: Duration) {
        self.add(headers, &self.name, token.token.expose(), true, life);
        if self.is_protected {
            self.add(headers, &self.csrf_name, token.csrf.expose(), false, life);
        }
    }

    /// Takes both back, by the attributes that set them.
    pub fn unset(&self, headers: &mut HeaderMap) {
        self.add(headers, &self.name, "", true, Duration::ZERO);
        if self.is_protected {
            self.add(headers, &self.csrf_name, "", false, Duration::ZERO);
        }
    }

    fn add(
        &self,
        headers: &mut HeaderMap,
        name: &str,
        value: &str,
        is_http_only: bool,
        life: Duration,
    ) {
        let mut cookie = Cookie::build((name, value))
            .http_only(is_http_only)
            .secure(self.is_secure)
            .same_site(self.same_site)
            .path(&*self.path)
            .max_age(cookie::time::Duration::seconds(
                i64::try_from(life.as_secs()).unwrap_or(i64::MAX),
            ));
        if let Some(domain) = &self.domain {
            cookie = cookie.domain(&**domain);
        }
        match HeaderValue::from_str(&cookie.build().to_string()) {
            Ok(value) => {
                headers.append(header::SET_COOKIE, value);
            }
            // A name, path or domain of the program's that no header can have.
            Err(error) => tracing::error!(%error, cookie = name, "a cookie could not be written"),
        }
    }

    /// Whether a request that carries the token in its cookie may do what it wants. A method that
    /// changes nothing may (RFC 9110 §9.2.1).
    pub(super) fn check(
        &self,
        method: &Method,
        headers: &HeaderMap,
        token: &Verified,
    ) -> Result<(), GuardError> {
        if !self.is_protected || method.is_safe() {
            return Ok(());
        }
        // A token that was not issued for a cookie has nothing to repeat, so it does nothing there.
        let header = || self.csrf_header.as_str().to_uppercase();
        let missing = || GuardError::CsrfMissing(header());
        let expected = token.csrf().ok_or_else(missing)?;
        let mut values = headers.get_all(&self.csrf_header).iter();
        let (Some(repeated), None) = (values.next(), values.next()) else {
            return Err(missing());
        };
        if bool::from(repeated.as_bytes().ct_eq(expected.as_bytes())) && !expected.is_empty() {
            Ok(())
        } else {
            Err(GuardError::CsrfMismatch(header()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(headers: &HeaderMap) -> Vec<&str> {
        headers
            .get_all(header::SET_COOKIE)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect()
    }

    fn token() -> CookieToken {
        CookieToken {
            token: "a.b.c".into(),
            csrf: "once".into(),
        }
    }

    #[test]
    fn token_is_out_of_reach_of_scripts_and_what_is_repeated_is_not() {
        let mut headers = HeaderMap::new();

        AccessCookies::secure().set(&mut headers, &token(), Duration::from_mins(15));

        assert_eq!(
            lines(&headers),
            [
                "__Host-access_token_cookie=a.b.c; HttpOnly; SameSite=Strict; Secure; Path=/; \
                 Max-Age=900",
                "__Host-csrf_access_token=once; SameSite=Strict; Secure; Path=/; Max-Age=900",
            ]
        );
    }

    #[test]
    fn unset_has_the_attributes_of_set() {
        let cookies = AccessCookies::plain()
            .named("a", "b")
            .path("/app")
            .domain("example.com")
            .same_site(SameSite::Lax);
        let mut headers = HeaderMap::new();

        cookies.unset(&mut headers);

        assert_eq!(
            lines(&headers),
            [
                "a=; HttpOnly; SameSite=Lax; Path=/app; Domain=example.com; Max-Age=0",
                "b=; SameSite=Lax; Path=/app; Domain=example.com; Max-Age=0",
            ]
        );
    }

    #[test]
    fn without_protection_there_is_one_cookie() {
        let mut headers = HeaderMap::new();

        let cookies = AccessCookies::plain().without_csrf_protection();
        cookies.set(&mut headers, &token(), Duration::from_mins(15));

        assert_eq!(lines(&headers).len(), 1);
    }
}
