//! The one gate: whether a session may have a token issued or accepted.
//!
//! Every path that issues or accepts a token asks [`usable`], so that no path can forget one of
//! its questions. Unknown is dead.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use countersign_types::Email;
use quick_cache::sync::Cache;
use uuid::Uuid;

use super::{Session, store};
use crate::{
    accounts::{self, Standing},
    app::Parts,
    guard::{Accept, Accepted, Ask, GuardError},
    keys::KeysError,
    metrics::TokenCheck,
    store::{AccountId, SessionId, StoreError, Timestamp},
    token::{Finding, Profile, Rejection, Verified},
};

/// How many live sessions are remembered; a forgotten one costs a look-up. Some 10 MB when full.
const REMEMBERED: usize = 100_000;

/// What names the account in a token's `sub`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Its id.
    Id,
    /// Its address, for applications that had it so.
    Email,
}

/// How long it is believed how an account stands.
const STANDING_LIFE: Duration = Duration::from_secs(1);

/// Why a session may have no token.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// Ended, over, unknown, or not of that account.
    #[error("the session has ended")]
    Ended,
    /// The database failed, and without it nobody is let in.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a session exists, is of that account, and lives.
pub(super) fn usable(
    session: Option<&Session>,
    account: AccountId,
    now: Timestamp,
) -> Result<(), GateError> {
    match session {
        Some(session)
            if session.account_id == account
                && session.ended_at.is_none()
                && now < session.expires_at =>
        {
            Ok(())
        }
        _ => Err(GateError::Ended),
    }
}

/// What this process knows of sessions without asking the database.
#[derive(Debug)]
pub struct Liveness {
    /// Sessions that were seen alive.
    live: Cache<SessionId, Session>,
    /// Sessions that were ended here, until their last token is over. Asked before `live`, so that
    /// a look-up that read the row just before it was ended cannot bring it back.
    ended: RwLock<HashMap<SessionId, Timestamp>>,
    /// Accounts by what names them in tokens that hang on no session, or by their address.
    standings: Cache<String, Known>,
    /// From when on such tokens hold, of accounts that ended theirs here, until the last is over.
    floors: RwLock<HashMap<AccountId, Floor>>,
}

/// How an account was found to stand, and when by the clock that never goes back.
#[derive(Debug, Clone)]
struct Known {
    standing: Standing,
    seen: Duration,
}

/// That an account's tokens without a session were ended.
#[derive(Debug, Clone, Copy)]
struct Floor {
    valid_from: Timestamp,
    until: Timestamp,
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            live: Cache::new(REMEMBERED),
            ended: RwLock::default(),
            standings: Cache::new(REMEMBERED),
            floors: RwLock::default(),
        }
    }
}

impl Liveness {
    /// Remembers that a session was ended, `until` no token of it can be live any more.
    pub fn end(&self, id: SessionId, until: Timestamp) {
        self.ended
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(id)
            .and_modify(|known| *known = until.max(*known))
            .or_insert(until);
        self.live.remove(&id);
    }

    /// Remembers that an account's tokens without a session hold only from `now` on, `until` none of
    /// those before can be live any more.
    pub fn end_account_tokens(&self, id: AccountId, now: Timestamp, until: Timestamp) {
        self.floors
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(id)
            .and_modify(|known| {
                known.valid_from = now.max(known.valid_from);
                known.until = until.max(known.until);
            })
            .or_insert(Floor {
                valid_from: now,
                until,
            });
    }

    /// How an account stands that was looked up a moment ago. Not longer: another instance may end
    /// its tokens, and nobody tells us.
    fn standing(&self, named: &str, now: Duration) -> Option<Standing> {
        let known = self.standings.get(named)?;
        (now.saturating_sub(known.seen) < STANDING_LIFE).then_some(known.standing)
    }

    fn learn(&self, named: String, standing: Standing, seen: Duration) {
        self.standings.insert(named, Known { standing, seen });
    }

    fn floor(&self, id: AccountId) -> Option<Timestamp> {
        self.floors
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .map(|floor| floor.valid_from)
    }

    /// Forgets ended sessions whose last token is over.
    pub fn sweep(&self, now: Timestamp) {
        self.floors
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, floor| floor.until > now);
        self.ended
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, until| *until > now);
    }

    pub(super) fn is_ended(&self, id: SessionId) -> bool {
        self.ended
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&id)
    }
}

impl From<GateError> for GuardError {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Ended => Self::Revoked,
            GateError::Store(error) => Self::Unavailable(error.into()),
        }
    }
}

impl From<KeysError> for GuardError {
    fn from(error: KeysError) -> Self {
        Self::Unavailable(error.into())
    }
}

/// An access token that is genuine, holds now, and whose session or account lives: the only way in
/// for any token. [`Ask::TokenAlone`] does not ask for the latter.
///
/// # Errors
///
/// [`GuardError`] says why not.
pub async fn accept(app: &Parts, token: &str, ask: Ask) -> Result<Verified, GuardError> {
    let now = app.clock.now().as_secs();
    let token = match app.verifier.verify(token, now) {
        // Another instance may have made the key a moment ago.
        Err(Rejection::UnknownKey) if app.keys.learn(token).await? => {
            app.verifier.verify(token, now)?
        }
        verified => verified?,
    };
    let standing = match (app.identity, token.sid()) {
        // What names the account is its id, so nothing needs to be looked up for it.
        (Identity::Id, Some(_)) => None,
        _ => Some(standing(app, token.sub()).await?),
    };
    let account = if let Some(standing) = &standing {
        standing.account.id
    } else {
        let id: Result<Uuid, _> = token.sub().parse();
        id.map_err(|_| Rejection::MalformedClaims)?.into()
    };
    if ask == Ask::Everything {
        match (token.sid(), &standing) {
            (Some(sid), _) => session_gate(app, sid.into(), account).await?,
            (None, Some(standing)) => {
                account_gate(app, standing, &token)?;
            }
            (None, None) => return Err(GateError::Ended.into()),
        }
    }
    Ok(match standing {
        Some(standing) => {
            let account = standing.account;
            let is_verified = account.email_verified_at.is_some();
            token.of_account(account.id.as_uuid(), account.email, is_verified)
        }
        None => token,
    })
}

impl Accept for Parts {
    fn accept<'a>(&'a self, token: &'a str, ask: Ask) -> Accepted<'a> {
        Box::pin(async move {
            let accepted = accept(self, token, ask).await;
            self.metrics.token_check(match &accepted {
                Ok(_) => TokenCheck::Accepted,
                Err(GuardError::Token(Rejection::Expired)) => TokenCheck::Expired,
                Err(GuardError::Revoked) => TokenCheck::Revoked,
                Err(GuardError::Unavailable(_)) => TokenCheck::Unavailable,
                Err(_) => TokenCheck::Invalid,
            });
            if let Err(error) = &accepted
                && let Some(fault) = crate::store::fault(error)
            {
                self.metrics.database_error(fault);
            }
            accepted
        })
    }
}

/// What of a token is not as it should be, for people who run the server.
pub fn explain(app: &Parts, token: &str) -> Vec<Finding> {
    app.verifier.explain(token, app.clock.now().as_secs())
}

/// The address of an account whose token does not name it.
///
/// # Errors
///
/// [`GateError`] where the account is not there, or the database cannot say.
pub async fn address_of(app: &Parts, account: AccountId) -> Result<String, GateError> {
    let (named, now) = (account.to_string(), app.clock.monotonic());
    if let Some(known) = app.liveness.standing(&named, now) {
        return Ok(known.account.email);
    }
    let mut tx = app.db.read().await?;
    let found = accounts::find_standing(&mut tx, account).await?;
    drop(tx);
    let standing = found.ok_or(GateError::Ended)?;
    app.liveness.learn(named, standing.clone(), now);
    Ok(standing.account.email)
}

/// The account that a token names. Costs a look-up a second and account, however many tokens come.
async fn standing(app: &Parts, sub: &str) -> Result<Standing, GateError> {
    let now = app.clock.monotonic();
    if let Some(known) = app.liveness.standing(sub, now) {
        return Ok(known);
    }
    let mut tx = app.db.read().await?;
    let found = match app.identity {
        Identity::Id => {
            let id: Uuid = sub.parse().map_err(|_| GateError::Ended)?;
            accounts::find_standing(&mut tx, id.into()).await?
        }
        Identity::Email => {
            let email = Email::parse(sub).map_err(|_| GateError::Ended)?;
            accounts::find_standing_by_email(&mut tx, &email).await?
        }
    };
    drop(tx);
    let standing = found.ok_or(GateError::Ended)?;
    app.liveness.learn(sub.to_owned(), standing.clone(), now);
    Ok(standing)
}

/// Lets a token without a session through, or not: where such tokens are not issued, none is.
fn account_gate(app: &Parts, standing: &Standing, token: &Verified) -> Result<(), GuardError> {
    if app.profile != Profile::FlaskJwtExtended {
        return Err(GateError::Ended.into());
    }
    // Without the leeway: one that says that it was issued later than now would outlive a sign-out
    // of now.
    if token.iat() > Some(app.clock.now().as_secs()) {
        return Err(Rejection::NotYetValid.into());
    }
    let valid_from = app
        .liveness
        .floor(standing.account.id)
        .max(Some(standing.tokens_valid_from));
    // Whole seconds: one that was issued earlier in the same second is over too.
    let issued_at = token.iat().map(Timestamp::from_secs);
    if issued_at >= valid_from {
        Ok(())
    } else {
        Err(GateError::Ended.into())
    }
}

/// Lets the token of a session through, or not. The first token of a session costs one look-up,
/// later ones none.
async fn session_gate(app: &Parts, id: SessionId, account: AccountId) -> Result<(), GateError> {
    if app.liveness.is_ended(id) {
        return Err(GateError::Ended);
    }
    // One that seems over is looked up again: another instance may have refreshed it.
    if let Some(session) = app.liveness.live.get(&id)
        && usable(Some(&session), account, app.clock.now()).is_ok()
    {
        return Ok(());
    }
    let mut tx = app.db.read().await?;
    let session = store::find(&mut tx, id).await?;
    drop(tx);
    usable(session.as_ref(), account, app.clock.now())?;
    if let Some(session) = session {
        app.liveness.live.insert(id, session);
        // Ended here while we were reading: `ended` knows, what was read does not.
        if app.liveness.is_ended(id) {
            app.liveness.live.remove(&id);
            return Err(GateError::Ended);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn session() -> Session {
        Session {
            id: Uuid::from_u128(1).into(),
            account_id: Uuid::from_u128(2).into(),
            auth_time: NOW,
            created_at: NOW,
            last_used_at: NOW,
            expires_at: Timestamp::from_secs(1900),
            ended_at: None,
        }
    }

    #[test]
    fn live_session_of_the_account_passes() {
        assert!(usable(Some(&session()), session().account_id, NOW).is_ok());
    }

    #[test]
    fn everything_else_is_dead() {
        let account = session().account_id;
        for (session, account, now) in [
            (None, account, NOW),
            (Some(session()), Uuid::from_u128(3).into(), NOW),
            (
                Some(Session {
                    ended_at: Some(NOW),
                    ..session()
                }),
                account,
                NOW,
            ),
            (Some(session()), account, Timestamp::from_secs(1900)),
        ] {
            assert!(
                usable(session.as_ref(), account, now).is_err(),
                "{session:?} {now}"
            );
        }
    }

    #[test]
    fn ended_sessions_are_forgotten_once_their_tokens_are_over() {
        let liveness = Liveness::default();
        liveness.end(session().id, Timestamp::from_secs(1900));

        liveness.sweep(Timestamp::from_secs(1899));
        assert!(liveness.is_ended(session().id));
        liveness.sweep(Timestamp::from_secs(1900));
        assert!(!liveness.is_ended(session().id));
    }
}
