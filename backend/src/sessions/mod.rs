//! Sessions: signing in, signing out, and the one gate that every token passes.

mod gate;
pub mod http;
mod store;

use std::time::Duration;

use countersign_types::{Email, Password, Token};

pub use self::gate::{GateError, Liveness, gate};
use crate::{
    accounts::{self, Account},
    app::App,
    limits::{AddressPrefix, Limited},
    password::HashError,
    rng,
    store::{AccountId, SessionId, StoreError, Timestamp, Tx},
    token::{Claims, SignError, Subject},
};

/// A sign-in and all that follows from it, until it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Its id, the `sid` of its tokens.
    pub id: SessionId,
    /// Whose it is.
    pub account_id: AccountId,
    /// When the person last proved presence.
    pub auth_time: Timestamp,
    /// When it began.
    pub created_at: Timestamp,
    /// When it is over by itself: no token of it can be live after this.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
}

/// An access token that was just issued.
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub access_token: Token,
    /// How long it lives.
    pub expires_in: Duration,
}

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The gate refused.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The crypto library failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// Why somebody was not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Unknown address or wrong password; nobody is told which.
    #[error("wrong e-mail or password")]
    InvalidCredentials,
    /// Too many failures.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The password could not be checked now.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No token could be issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// Signs somebody in with a password.
///
/// # Errors
///
/// [`SignInError`] says why not.
///
/// # Security
///
/// An unknown address takes the same path as a wrong password: one look-up and one hash, against
/// a dummy of the same parameters, and the same answer.
pub async fn sign_in(
    app: &App,
    email: &Email,
    password: &Password,
    from: AddressPrefix,
) -> Result<Issued, SignInError> {
    let attempt = app.limits.sign_in(email, from)?;
    let checked = check_password(app, email, password).await;
    let (account, rehash) = match checked {
        Ok(Some(found)) => found,
        // Dropping the attempt leaves it charged.
        Ok(None) => return Err(SignInError::InvalidCredentials),
        Err(error) => {
            attempt.refund();
            return Err(error);
        }
    };
    attempt.refund();

    let mut tx = app.db.write().await?;
    if let Some((old, new)) = rehash {
        accounts::rehash(&mut tx, account.id, &old, &new).await?;
    }
    let session = start(&mut tx, app, account.id).await?;
    tx.commit().await?;
    Ok(issue(app, &account, &session)?)
}

type Rehash = Option<(crate::password::PasswordHash, crate::password::PasswordHash)>;

/// The account, where address and password fit, and the new hash where the old one is outdated.
async fn check_password(
    app: &App,
    email: &Email,
    password: &Password,
) -> Result<Option<(Account, Rehash)>, SignInError> {
    let mut tx = app.db.read().await?;
    let credentials = accounts::find_credentials(&mut tx, email).await?;
    // The connection goes back before the hash, which may wait in a queue.
    drop(tx);
    let hash = credentials
        .as_ref()
        .map_or_else(|| app.hasher.dummy(), |found| found.password_hash.clone());
    let matches = app.hasher.verify(password.expose(), hash).await?;
    let Some(credentials) = credentials.filter(|_| matches) else {
        return Ok(None);
    };
    let rehash = if credentials.password_hash.is_outdated() {
        let new = app.hasher.hash(password.expose()).await?;
        Some((credentials.password_hash, new))
    } else {
        None
    };
    Ok(Some((credentials.account, rehash)))
}

/// Writes down a new session. Nothing of it may be given out before the transaction is committed.
///
/// # Errors
///
/// [`StoreError`] where the database fails.
pub async fn start(tx: &mut Tx, app: &App, account_id: AccountId) -> Result<Session, StoreError> {
    let now = app.clock.now();
    let session = Session {
        id: rng::id(now).into(),
        account_id,
        auth_time: now,
        created_at: now,
        // Nothing prolongs a session yet, so it lasts as long as its only token, to the end of
        // the leeway that the token is granted.
        expires_at: now
            .plus(app.signer.access_ttl)
            .plus(app.verifier.leeway)
            .plus(Duration::from_secs(1)),
        ended_at: None,
    };
    store::insert(tx, &session).await?;
    Ok(session)
}

/// Issues an access token of a session, if the gate lets it.
///
/// # Errors
///
/// [`IssueError`] where the session may have no token, or signing fails.
pub fn issue(app: &App, account: &Account, session: &Session) -> Result<Issued, IssueError> {
    let now = app.clock.now();
    gate::usable(Some(session), account.id, now)?;
    let subject = Subject {
        account: account.id.as_uuid(),
        email: &account.email,
        email_verified: account.email_verified_at.is_some(),
        session: session.id.as_uuid(),
        auth_time: session.auth_time.as_secs(),
    };
    let access_token = app.signer.sign(subject, rng::id(now), now.as_secs())?;
    Ok(Issued {
        access_token,
        expires_in: app.signer.access_ttl,
    })
}

/// Ends the session of a token. Its tokens are refused from here on, also after a restart.
///
/// # Errors
///
/// [`StoreError`] where that is not known to be written down. The tokens are refused all the
/// same, until the process restarts.
pub async fn end(app: &App, claims: &Claims) -> Result<(), StoreError> {
    let id = SessionId::from(claims.sid);
    // Marked before it is written: whoever hangs up in between leaves a session that is refused
    // too early rather than one that lives on.
    app.liveness
        .end(id, app.clock.now().plus(app.longest_token_life()));
    let mut tx = app.db.write().await?;
    store::end(&mut tx, id, app.clock.now()).await?;
    tx.commit().await
}
