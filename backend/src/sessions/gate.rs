//! The one gate: whether a session may have a token issued or accepted.
//!
//! Every path that issues or accepts a token asks [`usable`], so that no path can forget one of
//! its questions. Unknown is dead.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use quick_cache::sync::Cache;

use super::{Session, store};
use crate::{
    app::Parts,
    guard::{Accept, Accepted, GuardError},
    metrics::TokenCheck,
    store::{AccountId, SessionId, StoreError, Timestamp},
    token::{Claims, Finding, Rejection},
};

/// How many live sessions are remembered; a forgotten one costs a look-up. Some 10 MB when full.
const REMEMBERED: usize = 100_000;

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
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            live: Cache::new(REMEMBERED),
            ended: RwLock::default(),
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

    /// Forgets ended sessions whose last token is over.
    pub fn sweep(&self, now: Timestamp) {
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

/// The claims of an access token that is genuine, holds now, and whose session lives: the only way
/// in for any token.
///
/// # Errors
///
/// [`GuardError`] says why not.
pub async fn accept(app: &Parts, token: &str) -> Result<Claims, GuardError> {
    let claims = app.verifier.verify(token, app.clock.now().as_secs())?;
    gate(app, &claims).await?;
    Ok(claims)
}

impl Accept for Parts {
    fn accept<'a>(&'a self, token: &'a str) -> Accepted<'a> {
        Box::pin(async move {
            let accepted = accept(self, token).await;
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

/// Lets the claims of a verified token through, or not. The first token of a session costs one
/// look-up, later ones none.
///
/// # Errors
///
/// [`GateError`] where its session has ended, or the database cannot say.
async fn gate(app: &Parts, claims: &Claims) -> Result<(), GateError> {
    let id = SessionId::from(claims.sid);
    let account = AccountId::from(claims.sub);
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
    use uuid::Uuid;

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
