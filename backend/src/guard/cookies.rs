//! Access tokens in cookies, and what protects a request that carries one by itself.

use std::time::Duration;

pub use cookie::SameSite;
use cookie::{Cookie, CookieBuilder};
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
    csrf_path: String,
    domain: Option<String>,
    same_site: SameSite,
    is_secure: bool,
    csrf: Csrf,
    /// Whether the browser keeps the cookies when it is closed.
    is_kept: bool,
}

/// What a request has to repeat, and where the page has it from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Csrf {
    /// Nothing.
    Unprotected,
    /// What the token says, which the program gives to its page.
    Given,
    /// What the token says, which is in a cookie too.
    InCookie,
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
            csrf_path: "/".to_owned(),
            domain: None,
            same_site: SameSite::Strict,
            is_secure: true,
            csrf: Csrf::InCookie,
            is_kept: true,
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

    /// Another path than `/`, for both; the names lose their `__Host-`, under which browsers refuse it.
    #[must_use]
    pub fn path(self, path: &str) -> Self {
        let path = path.to_owned();
        Self {
            csrf_path: path.clone(),
            path,
            ..self.without_prefix()
        }
    }

    /// A name with `__Host-` is good for one host and the path `/` alone (RFC 6265bis §4.1.3.2).
    fn without_prefix(mut self) -> Self {
        for name in [&mut self.name, &mut self.csrf_name] {
            if let Some(plain) = name.strip_prefix("__Host-") {
                *name = plain.to_owned();
            }
        }
        self
    }

    /// Another path for the cookie to be repeated: that of the pages whose script reads it.
    #[must_use]
    pub fn csrf_path(self, path: &str) -> Self {
        Self {
            csrf_path: path.to_owned(),
            ..self.without_prefix()
        }
    }

    /// For this domain and what is below it, instead of this host alone; the names lose their
    /// `__Host-`, under which browsers refuse it.
    #[must_use]
    pub fn domain(self, domain: &str) -> Self {
        Self {
            domain: Some(domain.to_owned()),
            ..self.without_prefix()
        }
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
        self.csrf = Csrf::Unprotected;
        self
    }

    /// What is to be repeated is set in no cookie: the program gives it to its page by itself, as
    /// [`CookieToken::csrf`] or [`Verified::csrf`] has it.
    #[must_use]
    pub const fn without_csrf_cookie(mut self) -> Self {
        self.csrf = match self.csrf {
            Csrf::Unprotected => Csrf::Unprotected,
            Csrf::Given | Csrf::InCookie => Csrf::Given,
        };
        self
    }

    /// The browser forgets the cookies when it is closed, instead of when the token is over.
    #[must_use]
    pub const fn until_the_browser_closes(mut self) -> Self {
        self.is_kept = false;
        self
    }

    /// The name of the cookie with the token.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets both cookies, for as long as the token lives. Under a name, path or domain that no header
    /// can have nothing is set, and that is logged.
    pub fn set(&self, headers: &mut HeaderMap, token: &CookieToken, life: Duration) {
        let life = self.is_kept.then_some(life);
        self.add(headers, token.token.expose(), token.csrf.expose(), life);
    }

    /// Takes both back, by the attributes that set them.
    pub fn unset(&self, headers: &mut HeaderMap) {
        self.add(headers, "", "", Some(Duration::ZERO));
    }

    fn add(&self, headers: &mut HeaderMap, token: &str, csrf: &str, life: Option<Duration>) {
        let cookie = Cookie::build((&*self.name, token))
            .http_only(true)
            .path(&*self.path);
        self.write(headers, cookie, life);
        if self.csrf == Csrf::InCookie {
            let cookie = Cookie::build((&*self.csrf_name, csrf)).path(&*self.csrf_path);
            self.write(headers, cookie, life);
        }
    }

    fn write(&self, headers: &mut HeaderMap, cookie: CookieBuilder<'_>, life: Option<Duration>) {
        let mut cookie = cookie.secure(self.is_secure).same_site(self.same_site);
        if let Some(life) = life {
            cookie = cookie.max_age(cookie::time::Duration::seconds(
                i64::try_from(life.as_secs()).unwrap_or(i64::MAX),
            ));
        }
        if let Some(domain) = &self.domain {
            cookie = cookie.domain(&**domain);
        }
        let cookie = cookie.build();
        match HeaderValue::from_str(&cookie.to_string()) {
            Ok(value) => {
                headers.append(header::SET_COOKIE, value);
            }
            // A name, path or domain of the program's that no header can have.
            Err(error) => {
                let name = cookie.name();
                tracing::error!(%error, cookie = name, "a cookie could not be written");
            }
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
        if self.csrf == Csrf::Unprotected || method.is_safe() {
            return Ok(());
        }
        let header = || self.csrf_header.as_str().to_uppercase();
        let missing = || GuardError::CsrfMissing(header());
        let mut values = headers.get_all(&self.csrf_header).iter();
        let (Some(repeated), None) = (values.next(), values.next()) else {
            return Err(missing());
        };
        // A token that was not issued for a cookie has nothing to repeat, so it does nothing there.
        let Some(expected) = token.csrf() else {
            return Err(GuardError::CsrfUnclaimed(header()));
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
    fn cookie_to_be_repeated_may_have_a_path_of_its_own_or_not_be_there() {
        let cookies = AccessCookies::plain().path("/api").csrf_path("/app");
        let (mut both, mut one) = (HeaderMap::new(), HeaderMap::new());

        cookies.unset(&mut both);
        cookies.without_csrf_cookie().unset(&mut one);

        let expected = [
            "access_token_cookie=; HttpOnly; SameSite=Strict; Path=/api; Max-Age=0",
            "csrf_access_token=; SameSite=Strict; Path=/app; Max-Age=0",
        ];
        assert_eq!(lines(&both), expected);
        assert_eq!(lines(&one), &expected[..1]);
    }

    #[test]
    fn cookies_that_a_closed_browser_forgets_have_no_age_but_are_taken_back_at_once() {
        let cookies = AccessCookies::plain().until_the_browser_closes();
        let (mut set, mut unset) = (HeaderMap::new(), HeaderMap::new());

        cookies.set(&mut set, &token(), Duration::from_mins(15));
        cookies.unset(&mut unset);

        assert!(lines(&set).iter().all(|line| !line.contains("Max-Age")));
        assert!(lines(&unset).iter().all(|line| line.contains("Max-Age=0")));
    }

    #[test]
    fn without_protection_there_is_one_cookie() {
        let mut headers = HeaderMap::new();

        let cookies = AccessCookies::plain().without_csrf_protection();
        cookies.set(&mut headers, &token(), Duration::from_mins(15));

        assert_eq!(lines(&headers).len(), 1);
    }
}
