//! Swapping a refresh token for a new pair.
//!
//! Every use spends the token and makes its successor, in one transaction. A token that comes a
//! second time means that somebody holds a copy, and nobody can tell which of the two is the owner:
//! so the whole session ends (RFC 9700 §4.14.2). But a second use is also what two tabs do that
//! wake at once, and what a client does whose answer was lost on the way. So for a grace of some
//! seconds, and only until the successor was used, a repeat gets that same successor: there is
//! never more than one live token of a session.

use std::time::Duration;

use super::{
    GateError, IssueError, Issued, Opened, Owner, RefreshToken, end_then, gate, grant, issue, store,
};
use crate::{
    accounts::Account,
    app::{App, to_the_end},
    limits::Limited,
    metrics::{RefreshOutcome, SessionEnd},
    store::{SessionId, StoreError, Timestamp, Tx, retrying},
    token::Grant,
};

/// How sessions live and end.
#[derive(Debug, Clone, Copy)]
pub struct SessionRules {
    /// How long a session lives without being refreshed.
    pub idle_ttl: Duration,
    /// How long it lives at all.
    pub absolute_ttl: Duration,
    /// How long a repeat of a spent refresh token gets its successor again.
    pub refresh_grace: Duration,
    /// How many live sessions an account may have; the oldest ends.
    pub max_per_account: u32,
}

impl SessionRules {
    /// When a session that began `created_at` and is used `now` is over by itself.
    pub(super) fn expiry(&self, created_at: Timestamp, now: Timestamp) -> Timestamp {
        now.plus(self.idle_ttl)
            .min(created_at.plus(self.absolute_ttl))
    }
}

/// A refresh token that is known, and whose it is.
#[derive(Debug, Clone)]
pub(super) struct Presented {
    pub(super) session_id: SessionId,
    pub(super) session_created_at: Timestamp,
    pub(super) account: Account,
    pub(super) spent: Option<Spent>,
}

impl Presented {
    /// Whether the token could be refreshed, if its session lives: unspent, or in the grace.
    fn is_current(&self, app: &App, token: &RefreshToken) -> bool {
        let (grace, now) = (app.session_rules.refresh_grace, app.clock.now());
        self.spent
            .as_ref()
            .is_none_or(|spent| spent.within_grace(token, grace, now).is_some())
    }

    /// Says so, once: where the session lived, and only when its end is written down.
    fn report_reuse(&self, app: &App) {
        app.metrics.sessions_ended(SessionEnd::Reuse, 1);
        tracing::warn!(
            account.id = %self.account.id,
            session.id = %self.session_id,
            "a refresh token was used a second time; its session is ended"
        );
    }

    fn owner(&self) -> Owner {
        Owner {
            session: Some(self.session_id),
            account: self.account.id,
        }
    }
}

/// That a token was used.
#[derive(Debug, Clone)]
pub(super) struct Spent {
    pub(super) used_at: Timestamp,
    pub(super) successor: Option<Vec<u8>>,
}

impl Spent {
    /// The successor, as long as a repeat may still get it.
    ///
    /// A clock that was set back lengthens the grace rather than ending every session whose tabs
    /// wake at that moment; a successor that was used is erased whatever the clock says.
    pub(super) fn within_grace(
        &self,
        token: &RefreshToken,
        grace: Duration,
        now: Timestamp,
    ) -> Option<RefreshToken> {
        (now <= self.used_at.plus(grace))
            .then_some(self.successor.as_deref())
            .flatten()
            .and_then(|sealed| token.open(sealed))
    }
}

/// Why there is no new pair.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// Unknown, or its session is over.
    #[error("the refresh token is not known, or its session is over")]
    Invalid,
    /// It was used before, so its session was ended.
    #[error("the refresh token was used before")]
    Reused,
    /// The account was refreshed too often.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No access token could be issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// What became of a presented token. A value and no error, because the end of a session has to be
/// committed like everything else.
enum Rotation {
    /// The session goes on.
    Live(Opened),
    /// The same, with the successor that there is already.
    Repeated(Opened),
    /// The token was used before.
    Reused,
    /// The session is over.
    Over,
}

/// Swaps a refresh token for a new pair.
///
/// # Errors
///
/// [`RefreshError`] says why not. After [`RefreshError::Reused`] the session has ended.
pub async fn refresh(app: &App, token: &RefreshToken) -> Result<Issued, RefreshError> {
    let refreshed = try_refresh(app, token).await;
    app.metrics.refresh(match &refreshed {
        Ok((_, outcome)) => *outcome,
        Err(RefreshError::Invalid) => RefreshOutcome::Invalid,
        Err(RefreshError::Reused) => RefreshOutcome::Reused,
        Err(RefreshError::Limited(_)) => RefreshOutcome::Limited,
        Err(RefreshError::Store(_) | RefreshError::Issue(_)) => RefreshOutcome::Failed,
    });
    refreshed.map(|(issued, _)| issued)
}

async fn try_refresh(
    app: &App,
    token: &RefreshToken,
) -> Result<(Issued, RefreshOutcome), RefreshError> {
    let presented = get_presented(app, token).await?;
    // A second use is no refresh, so no limit keeps it from being noticed; it ends the session,
    // which limits itself.
    let own = if presented.is_current(app, token) {
        app.limits.refresh(presented.account.id)?;
        // Before the token is spent: where the application cannot say it, it is still good.
        grant(app, &presented.account).await?
    } else {
        Grant::new()
    };
    let (opened, outcome) = match rotate_to_the_end(app, token, &presented).await? {
        Rotation::Live(opened) => (opened, RefreshOutcome::Rotated),
        Rotation::Repeated(opened) => (opened, RefreshOutcome::Repeated),
        Rotation::Over => return Err(RefreshError::Invalid),
        Rotation::Reused => return Err(RefreshError::Reused),
    };
    match issue(app, &presented.account, &opened, own) {
        Ok(issued) => Ok((issued, outcome)),
        // Ended while it was refreshed.
        Err(IssueError::Gate(GateError::Ended)) => Err(RefreshError::Invalid),
        Err(error) => Err(error.into()),
    }
}

/// Ends the session that a refresh token is of, for signing out: of a spent one too, and of a session
/// that is over. Who holds it may end that session and nothing else.
///
/// # Errors
///
/// [`RefreshError::Invalid`] where it is not known; [`RefreshError::Store`] as [`super::end`] has it.
pub async fn end_by_token(app: &App, token: &RefreshToken) -> Result<(), RefreshError> {
    let presented = get_presented(app, token).await?;
    let is_reuse = !presented.is_current(app, token);
    end_then(app, presented.session_id, move |app| {
        if is_reuse {
            presented.report_reuse(app);
        } else {
            app.metrics.sessions_ended(SessionEnd::SignOut, 1);
        }
    })
    .await?;
    Ok(())
}

/// Whose a refresh token is that could be refreshed now: of a live session, and not spent but for
/// the grace. Who holds it may do what an access token may.
///
/// # Errors
///
/// [`RefreshError`] where it could not be refreshed. After [`RefreshError::Reused`] its session has
/// ended.
pub async fn get_live_owner(app: &App, token: &RefreshToken) -> Result<Owner, RefreshError> {
    let presented = get_presented(app, token).await?;
    let mut tx = app.db.read().await?;
    let session = store::find(&mut tx, presented.session_id).await?;
    drop(tx);
    if gate::usable(session.as_ref(), presented.account.id, app.clock.now()).is_err() {
        return Err(RefreshError::Invalid);
    }
    if !presented.is_current(app, token) {
        end_then(app, presented.session_id, move |app| {
            presented.report_reuse(app);
        })
        .await?;
        return Err(RefreshError::Reused);
    }
    Ok(presented.owner())
}

/// What is known of a token. Looked for outside of any writing transaction, so that made-up tokens
/// keep no writer waiting.
async fn get_presented(app: &App, token: &RefreshToken) -> Result<Presented, RefreshError> {
    let mut tx = app.db.read().await?;
    let presented = store::find_presented(&mut tx, token.hash()).await?;
    presented.ok_or(RefreshError::Invalid)
}

async fn rotate_to_the_end(
    app: &App,
    token: &RefreshToken,
    presented: &Presented,
) -> Result<Rotation, StoreError> {
    let (app, token, presented) = (app.clone(), token.clone(), presented.clone());
    to_the_end(async move {
        let (app, token, presented) = (&app, &token, &presented);
        let rotation = retrying(|| async {
            let mut tx = app.db.write().await?;
            let rotation = rotate(&mut tx, app, token, presented).await?;
            tx.commit().await?;
            Ok(rotation)
        })
        .await?;
        if matches!(rotation, Rotation::Reused) {
            presented.report_reuse(app);
        }
        Ok(rotation)
    })
    .await
}

async fn rotate(
    tx: &mut Tx,
    app: &App,
    token: &RefreshToken,
    presented: &Presented,
) -> Result<Rotation, StoreError> {
    let now = app.clock.now();
    let id = presented.session_id;
    if app.liveness.is_ended(id) {
        // Ended here, and perhaps the database could not be told.
        store::end(tx, id, now).await?;
        return Ok(Rotation::Over);
    }
    let expires_at = app.session_rules.expiry(presented.session_created_at, now);
    // First the session: its row is what everybody waits at who would change its tokens.
    let Some(session) = store::prolong(tx, id, now, expires_at).await? else {
        return Ok(Rotation::Over);
    };
    let opened = |token| Opened {
        session,
        refresh_token: Some(token),
        ended: 0,
    };
    let successor = RefreshToken::generate();
    if store::spend(tx, token.hash(), now, &token.seal(&successor)).await? {
        store::insert_token(tx, successor.hash(), id, now).await?;
        // This token was itself a successor, and has been used now.
        store::erase_successors(tx, id, token.hash()).await?;
        return Ok(Rotation::Live(opened(successor)));
    }
    // Spent. Read again, since what was read before may be older than the wait for the session.
    let spent = store::find_presented(tx, token.hash())
        .await?
        .and_then(|presented| presented.spent);
    let grace = app.session_rules.refresh_grace;
    if let Some(successor) = spent.and_then(|spent| spent.within_grace(token, grace, now)) {
        return Ok(Rotation::Repeated(opened(successor)));
    }
    app.mark_ended(id);
    store::end(tx, id, now).await?;
    Ok(Rotation::Reused)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    #[test]
    fn successor_is_given_again_within_the_grace_only_and_while_it_is_kept() {
        let (token, successor) = (RefreshToken::generate(), RefreshToken::generate());
        let used_at = Timestamp::from_secs(1000);
        let spent = Spent {
            used_at,
            successor: Some(token.seal(&successor)),
        };
        let at = |seconds| spent.within_grace(&token, GRACE, Timestamp::from_secs(seconds));

        assert_eq!(at(1000), Some(successor.clone()));
        assert_eq!(at(1010), Some(successor.clone()));
        assert_eq!(at(1011), None);
        assert_eq!(at(100), Some(successor), "a clock that was set back");
        let erased = Spent {
            used_at,
            successor: None,
        };
        assert_eq!(erased.within_grace(&token, GRACE, used_at), None);
    }

    #[test]
    fn session_is_over_when_idle_and_at_the_latest_when_old() {
        let rules = SessionRules {
            idle_ttl: Duration::from_secs(30),
            absolute_ttl: Duration::from_secs(100),
            refresh_grace: GRACE,
            max_per_account: 1,
        };
        let began = Timestamp::from_secs(1000);

        assert_eq!(rules.expiry(began, began), Timestamp::from_secs(1030));
        assert_eq!(
            rules.expiry(began, Timestamp::from_secs(1080)),
            Timestamp::from_secs(1100)
        );
    }
}
