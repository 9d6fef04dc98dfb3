//! Tokens that a program revokes by itself, where no sessions of ours do it.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
};

use crate::token::Verified;

/// An error of the program's.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Says whether a token that is genuine and holds was revoked: by its session (`sid`), its id
/// (`jti`), or whose it is and when it was issued. Asked at every request.
///
/// ```
/// use std::{collections::HashSet, pin::Pin, sync::RwLock};
///
/// use countersign::{guard::{BoxError, Revocation}, token::Verified};
///
/// /// Who was shut out, as a table in memory has it.
/// struct ShutOut(RwLock<HashSet<String>>);
///
/// impl Revocation for ShutOut {
///     fn is_revoked<'a>(
///         &'a self,
///         token: &'a Verified,
///     ) -> Pin<Box<dyn Future<Output = Result<bool, BoxError>> + Send + 'a>> {
///         Box::pin(async move {
///             let shut_out = self.0.read().map_err(|_| "the table is broken")?;
///             Ok(shut_out.contains(token.sub()))
///         })
///     }
/// }
/// ```
///
/// # Errors
///
/// Where it cannot be said the answer is 503: not to know is no.
pub trait Revocation: Send + Sync + 'static {
    /// Whether it was.
    fn is_revoked<'a>(
        &'a self,
        token: &'a Verified,
    ) -> Pin<Box<dyn Future<Output = Result<bool, BoxError>> + Send + 'a>>;
}

/// Revoked tokens by their id (`jti`), in this process's memory, each until it expires. For one
/// process that may forget at a restart, and for tokens that are issued one at a time: a sign-in
/// with cookies issues two. Cheap to clone: all clones are one.
///
/// ```
/// use countersign::{Auth, guard::RevokedTokens, token::Verified};
///
/// # fn guarded(auth: Auth) -> Auth {
/// let revoked = RevokedTokens::default();
/// let sign_out = {
///     let revoked = revoked.clone();
///     async move |token: Verified| revoked.revoke(&token)
/// };
/// auth.revocation(revoked)
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct RevokedTokens(Arc<RwLock<HashMap<String, i64>>>);

impl RevokedTokens {
    /// Revokes a token; whether it has an id to be revoked by.
    pub fn revoke(&self, token: &Verified) -> bool {
        let Some(jti) = token.jti() else {
            return false;
        };
        let mut revoked = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // What expired well before this one's own issue cannot be presented any more.
        if let Some(now) = token.iat() {
            // A minute each that the clocks of issuer and verifier may be off.
            const LEEWAY: i64 = 120;
            revoked.retain(|_, exp| exp.saturating_add(LEEWAY) > now);
        }
        revoked.insert(jti.to_owned(), token.exp());
        true
    }
}

impl Revocation for RevokedTokens {
    fn is_revoked<'a>(
        &'a self,
        token: &'a Verified,
    ) -> Pin<Box<dyn Future<Output = Result<bool, BoxError>> + Send + 'a>> {
        let revoked = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_revoked = token.jti().is_some_and(|jti| revoked.contains_key(jti));
        Box::pin(std::future::ready(Ok(is_revoked)))
    }
}
