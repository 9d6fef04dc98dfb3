//! Issuing tokens for a program's own users: a [`Signer`] with time and chance.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_types::Token;

use crate::{
    clock::{Clock, SystemClock},
    guard::CookieToken,
    rng,
    token::{Grant, SignError, Signer, Subject},
};

type Grants = dyn Fn(&Subject) -> Result<Grant, SignError> + Send + Sync;

/// Issues access tokens for a program's own users, without accounts and sessions of ours. Cheap to
/// clone.
///
/// ```
/// use countersign::{Issuer, token::{Algorithm, Grant, Signer, SigningKey, Subject}};
///
/// let key = SigningKey::from_secret(Algorithm::Hs256, b"32 bytes at least, and not these")?;
/// let issuer = Issuer::new(Signer::new(key, "https://app.example.com", "https://app.example.com"))
///     // What every token of this program says beside the usual.
///     .grants(|subject| Grant::new().claim("plan", format!("of {}", subject.id)));
///
/// let token = issuer.issue(&Subject::new(7), Grant::new().scopes(["notes:read"]))?;
/// assert_eq!(token.expose().split('.').count(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Security
///
/// Without sessions nothing ends such a token but its expiry, or a
/// [`Revocation`](crate::guard::Revocation) of the program's own. Keep them short-lived.
#[derive(Clone)]
pub struct Issuer {
    signer: Signer,
    clock: Arc<dyn Clock>,
    grants: Option<Arc<Grants>>,
}

impl Issuer {
    /// Issues by this signer.
    pub fn new(signer: Signer) -> Self {
        Self {
            signer,
            clock: Arc::new(SystemClock::new()),
            grants: None,
        }
    }

    /// By another clock, such as one that tests move.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What every token says beside the usual; what is granted with a call wins.
    #[must_use]
    pub fn grants(
        mut self,
        grants: impl Fn(&Subject) -> Result<Grant, SignError> + Send + Sync + 'static,
    ) -> Self {
        self.grants = Some(Arc::new(grants));
        self
    }

    /// A token for somebody; of a user of its own a program makes a subject by
    /// `impl From<&User> for Subject`.
    ///
    /// # Errors
    ///
    /// [`SignError`] where there is no key, a scope is none, or the token would be too long; and
    /// whatever [`Issuer::grants`] fails with.
    pub fn issue(&self, subject: &Subject, grant: Grant) -> Result<Token, SignError> {
        let grant = match &self.grants {
            Some(grants) => grants(subject)?.and(grant),
            None => grant,
        };
        let now = self.clock.now();
        self.signer
            .sign(subject, &grant, rng::id(now), now.as_secs())
    }

    /// A token that is fresh: its subject has just proved presence, by these methods (RFC 8176).
    ///
    /// # Errors
    ///
    /// As [`Issuer::issue`].
    pub fn issue_fresh(
        &self,
        subject: &Subject,
        methods: &[&str],
        grant: Grant,
    ) -> Result<Token, SignError> {
        let now = self.clock.now().as_secs();
        let subject = subject.clone().authenticated(now, methods.iter().copied());
        self.issue(&subject, grant)
    }

    /// A token for a cookie, with what requests must repeat that carry it
    /// ([`AccessCookies`](crate::guard::AccessCookies)).
    ///
    /// # Errors
    ///
    /// As [`Issuer::issue`].
    pub fn issue_for_cookies(
        &self,
        subject: &Subject,
        grant: Grant,
    ) -> Result<CookieToken, SignError> {
        let csrf = csrf_value();
        let token = self.issue(subject, grant.csrf(csrf.clone()))?;
        Ok(CookieToken { token, csrf })
    }

    /// How long its tokens live, where a grant says nothing else.
    pub const fn lifetime(&self) -> Duration {
        self.signer.default_lifetime()
    }
}

/// 256 random bits, which nobody guesses.
pub(crate) fn csrf_value() -> Token {
    Token::from(URL_SAFE_NO_PAD.encode(rng::bytes::<32>()))
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("signer", &self.signer)
            .finish_non_exhaustive()
    }
}
