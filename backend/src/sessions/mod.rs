//! Sessions: signing in, refreshing, signing out, and the one gate that every token passes.

mod device;
mod gate;
pub(crate) mod http;
mod refresh;
mod refresh_token;
mod store;
mod sweep;

use std::{pin::Pin, time::Duration};

use countersign_types::{Email, Password, Token};

pub use self::{
    device::UserAgent,
    gate::{GateError, Identity, Liveness, accept, address_of, explain},
    refresh::{RefreshError, SessionRules, end_by_token, get_live_owner, refresh},
    refresh_token::{RefreshToken, RefreshTokenHash},
    sweep::sweep,
};
use crate::{
    accounts::{self, Account},
    app::{App, to_the_end},
    guard::{BoxError, CookieToken, Location},
    issuer::csrf_value,
    limits::{AddressPrefix, Limited},
    metrics::{SessionEnd, SignInOutcome},
    password::HashError,
    rng,
    store::{AccountId, SessionId, StoreError, Timestamp, Tx, retrying},
    token::{Claims, Grant, SignError, Subject},
};

/// How many sessions a list has at most: as many as an account may be allowed. Not as many as it is
/// allowed now, since it may have had more before.
const LISTED: u32 = 1000;
/// How long the application may take to say what a token is to say.
const GRANT_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// When a token of it was last issued.
    pub last_used_at: Timestamp,
    /// When it is over by itself, unless it is refreshed before: no token of it is accepted after
    /// this.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
}

/// A session in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The session.
    pub session: Session,
    /// What signed in.
    pub user_agent: Option<UserAgent>,
}

/// How a session is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// What signs in.
    pub user_agent: Option<UserAgent>,
    /// Whether the session can be refreshed, or is over with its first token.
    pub is_refreshable: bool,
}

/// A session that a token may be issued of, with its newest refresh token.
///
/// Made only where that was just asked of the database, or written there.
#[derive(Debug)]
pub struct Opened {
    session: Session,
    refresh_token: Option<RefreshToken>,
    /// How many others ended for it.
    ended: usize,
}

/// Tokens that were just issued.
#[derive(Debug)]
pub struct Issued {
    /// The access token.
    pub access_token: Token,
    /// Another one for the cookie, where tokens are looked for there.
    pub cookie: Option<CookieToken>,
    /// How long it lives.
    pub expires_in: Duration,
    /// The refresh token, and how long it lives.
    pub refresh: Option<(RefreshToken, Duration)>,
}

/// What somebody who signs out has shown: enough to end a session, whatever else it is worth.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// The session; a token of flask-jwt-extended hangs on none.
    pub session: Option<SessionId>,
    /// The account.
    pub account: AccountId,
}

impl From<&Claims> for Owner {
    fn from(claims: &Claims) -> Self {
        Self {
            session: claims.sid.map(SessionId::from),
            account: claims.sub.into(),
        }
    }
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
    /// The application could not say what the token is to say.
    #[error("the application could not say what the token is to say")]
    Grant(#[source] BoxError),
}

/// Says what the tokens of an account are to say beside the usual: the application's own claims, its
/// scopes and roles.
pub type Grants =
    dyn Fn(Account) -> Pin<Box<dyn Future<Output = Result<Grant, BoxError>> + Send>> + Send + Sync;

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
    opening: &Opening,
) -> Result<Issued, SignInError> {
    let signed_in = try_sign_in(app, email, password, from, opening).await;
    app.metrics.sign_in(match &signed_in {
        Ok(_) => SignInOutcome::Success,
        Err(SignInError::InvalidCredentials) => SignInOutcome::InvalidCredentials,
        Err(SignInError::Limited(_)) => SignInOutcome::Limited,
        Err(SignInError::Hash(HashError::Overloaded)) => SignInOutcome::Overloaded,
        Err(SignInError::Hash(_) | SignInError::Store(_) | SignInError::Issue(_)) => {
            SignInOutcome::Failed
        }
    });
    signed_in
}

async fn try_sign_in(
    app: &App,
    email: &Email,
    password: &Password,
    from: AddressPrefix,
    opening: &Opening,
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
    // Before anything is written down: where the application cannot say it, nothing has happened.
    let own = grant(app, &account).await?;

    let (id, rehash) = (account.id, rehash.as_ref());
    let opened = retrying(|| async move {
        let mut tx = app.db.write().await?;
        if let Some((old, new)) = rehash {
            accounts::rehash(&mut tx, id, old, new).await?;
        }
        let opened = open(&mut tx, app, id, opening).await?;
        tx.commit().await?;
        Ok(opened)
    })
    .await?;
    Ok(issue(app, &account, &opened, own)?)
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

/// Writes down a new session, and ends the oldest where the account has too many. Nothing of it may
/// be given out before the transaction is committed.
///
/// # Errors
///
/// [`StoreError`] where the database fails.
pub async fn open(
    tx: &mut Tx,
    app: &App,
    account_id: AccountId,
    opening: &Opening,
) -> Result<Opened, StoreError> {
    let now = app.clock.now();
    let rules = &app.session_rules;
    let session = Session {
        id: rng::id(now).into(),
        account_id,
        auth_time: now,
        created_at: now,
        last_used_at: now,
        expires_at: if opening.is_refreshable {
            rules.expiry(now, now)
        } else {
            // As long as its only token, to the end of the leeway that the token is granted.
            now.plus(app.own_token_life)
        },
        ended_at: None,
    };
    store::insert(tx, &session, opening.user_agent.as_ref()).await?;
    let refresh_token = opening.is_refreshable.then(RefreshToken::generate);
    if let Some(token) = &refresh_token {
        store::insert_token(tx, token.hash(), session.id, now).await?;
    }
    let others = rules.max_per_account.saturating_sub(1);
    let ended = store::end_oldest(tx, account_id, session.id, others, now).await?;
    for id in &ended {
        app.mark_ended(*id);
    }
    Ok(Opened {
        session,
        refresh_token,
        ended: ended.len(),
    })
}

/// What the application has the tokens of an account say. To be asked before a session is written
/// down or its refresh token is spent, since the answer may fail or never come.
///
/// # Errors
///
/// [`IssueError`] where it does not come, or no token can say it.
pub async fn grant(app: &App, account: &Account) -> Result<Grant, IssueError> {
    let Some(grants) = &app.grants else {
        return Ok(Grant::new());
    };
    let answer = tokio::time::timeout(GRANT_TIMEOUT, grants(account.clone()));
    let own = match answer.await {
        Ok(own) => own.map_err(IssueError::Grant)?,
        Err(late) => return Err(IssueError::Grant(late.into())),
    };
    own.check()?;
    // Else this server would not accept its own tokens.
    Ok(own.also_for(app.signer.default_audience()))
}

/// Issues an access token of a session, if the gate lets it: the only caller of the signer.
///
/// # Errors
///
/// [`IssueError`] where the session may have no token, or signing fails.
pub fn issue(
    app: &App,
    account: &Account,
    opened: &Opened,
    own: Grant,
) -> Result<Issued, IssueError> {
    let now = app.clock.now();
    let session = &opened.session;
    // That is committed by now.
    app.metrics
        .sessions_ended(SessionEnd::TooMany, opened.ended);
    gate::usable(Some(session), account.id, now)?;
    let left = session.expires_at.since(now);
    let lifetime = own
        .requested_lifetime()
        .unwrap_or_else(|| app.signer.default_lifetime())
        .min(app.signer.default_lifetime())
        .min(left);
    let subject = Subject {
        id: match app.identity {
            Identity::Id => account.id.to_string(),
            Identity::Email => account.email.clone(),
        },
        email: app
            .include_email
            .then(|| (account.email.clone(), account.email_verified_at.is_some())),
        session: Some(session.id.as_uuid()),
        auth_time: Some(session.auth_time.as_secs()),
        amr: vec!["pwd".to_owned()],
    };
    let grant = own.lifetime(lifetime);
    let sign = |grant: &Grant| {
        app.signer
            .sign(&subject, grant, rng::id(now), now.as_secs())
    };
    let cookie = if app.guards.locations().contains(Location::Cookies) {
        let csrf = csrf_value();
        let grant = grant.clone().csrf(csrf.clone());
        let token = sign(&grant)?;
        Some(CookieToken { token, csrf })
    } else {
        None
    };
    let access_token = sign(&grant)?;
    app.metrics.token_issued();
    Ok(Issued {
        access_token,
        cookie,
        expires_in: lifetime,
        refresh: opened.refresh_token.clone().map(|token| (token, left)),
    })
}

/// The live sessions of an account, the last used first.
///
/// # Errors
///
/// [`StoreError`] where the database fails.
pub async fn list(app: &App, account: AccountId) -> Result<Vec<Listed>, StoreError> {
    let mut tx = app.db.read().await?;
    store::list(&mut tx, account, app.clock.now(), LISTED).await
}

/// Ends a session; where there is none, every token of the account that hangs on none. The tokens
/// are refused from here on, also after a restart.
///
/// # Errors
///
/// [`StoreError`] where that is not known to be written down. Then its access tokens are refused all
/// the same, until they are over or the process restarts; but the session may live on.
pub async fn end(app: &App, owner: Owner) -> Result<(), StoreError> {
    match owner.session {
        Some(id) => {
            end_then(app, id, |app| {
                app.metrics.sessions_ended(SessionEnd::SignOut, 1);
            })
            .await
        }
        // A token that hangs on the account alone ends with all others that do.
        None => end_account_tokens(app, owner.account).await,
    }
}

async fn end_account_tokens(app: &App, account: AccountId) -> Result<(), StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let app = &app;
        let now = app.clock.now();
        app.mark_tokens_ended(account, now);
        retrying(|| async {
            let mut tx = app.db.write().await?;
            accounts::end_tokens(&mut tx, account, now).await?;
            tx.commit().await
        })
        .await
    })
    .await
}

/// The same; `then` is called once that is written down, and only where the session lived until
/// then.
async fn end_then(
    app: &App,
    id: SessionId,
    then: impl FnOnce(&App) + Send + 'static,
) -> Result<(), StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let app = &app;
        app.mark_ended(id);
        let has_lived = retrying(|| async {
            let mut tx = app.db.write().await?;
            let has_lived = store::end(&mut tx, id, app.clock.now()).await?;
            tx.commit().await?;
            Ok(has_lived)
        })
        .await?;
        if has_lived {
            then(app);
        }
        Ok(())
    })
    .await
}

/// Ends one session of an account; whether it had a live one of that id. A foreign id and an
/// unknown one are the same.
///
/// # Errors
///
/// [`StoreError`] where the database fails.
pub async fn end_own(app: &App, account: AccountId, id: SessionId) -> Result<bool, StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let app = &app;
        let ended = retrying(|| async {
            let mut tx = app.db.write().await?;
            let ended = store::end_own(&mut tx, account, id, app.clock.now()).await?;
            if ended {
                app.mark_ended(id);
            }
            tx.commit().await?;
            Ok(ended)
        })
        .await?;
        app.metrics
            .sessions_ended(SessionEnd::SignOutElsewhere, usize::from(ended));
        Ok(ended)
    })
    .await
}

/// Ends every session of an account but `kept`, and every token of it that hangs on none.
///
/// # Errors
///
/// [`StoreError`] where the database fails.
pub async fn end_all(
    app: &App,
    account: AccountId,
    kept: Option<SessionId>,
) -> Result<(), StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let app = &app;
        let now = app.clock.now();
        app.mark_tokens_ended(account, now);
        let number = retrying(|| async {
            let mut tx = app.db.write().await?;
            let ended = store::end_all(&mut tx, account, kept, now).await?;
            for id in &ended {
                app.mark_ended(*id);
            }
            accounts::end_tokens(&mut tx, account, now).await?;
            tx.commit().await?;
            Ok(ended.len())
        })
        .await?;
        app.metrics
            .sessions_ended(SessionEnd::SignOutElsewhere, number);
        Ok(())
    })
    .await
}
