//! Staying signed in: an access token is replaced before it expires, and when the server refuses it.
//! Composes [`api`] and [`session`](crate::session).
//!
//! What makes a new token is a refresh token in a cookie that no script reads and that each use
//! replaces. Its second use ends the session, as a theft would look like that; so only one tab
//! refreshes at a time, and whoever waited takes what the other one got.
//!
//! Only the server's clear refusal ends a session. No network, a slow server or a fault do not: the
//! refresh is tried again, and the person stays signed in meanwhile.
//!
//! An answer may be lost after the server has spent the old token, and for ten seconds only a repeat
//! gets the same successor. So whatever is lost is repeated at once, however long the pauses have
//! become, and both tries together are over before another tab stops waiting for the lock.

use std::{future::Future, rc::Rc, time::Duration};

use countersign_types::{ProblemCode, Token};
use leptos::{ev, prelude::*, task::spawn_local};

use crate::{
    api::{self, ApiError},
    claims::Claims,
    lock::{self, Held, Later},
    session::{Farewell, Known, SessionHandle},
};

const LOCK: &str = "countersign-refresh";
/// How long before its end a token is replaced: this share of its life, within these bounds.
const LEAD: f64 = 0.3;
const SHORTEST_LEAD_MS: f64 = 1_000.0;
const LONGEST_LEAD_MS: f64 = 60_000.0;
/// How much earlier a tab may be than another, so that not all of them wake at once.
const JITTER: f64 = 0.2;
/// How long a refresh may take, and its repeat, whose connection is there already.
const TRY_LIMIT: Duration = Duration::from_secs(4);
const REPEAT_LIMIT: Duration = Duration::from_secs(2);
/// How long after a lost answer the refresh is repeated.
const REPEAT_AFTER: Duration = Duration::from_secs(1);
const FIRST_PAUSE_MS: f64 = 1_000.0;
const LONGEST_PAUSE_MS: f64 = 30_000.0;
/// The longest that the server can make us wait: what asks for more is a mistake of somebody between.
const LONGEST_ASKED_MS: f64 = 300_000.0;
/// How long the lock is held on after a token was stored.
const SETTLING: Duration = Duration::from_millis(250);
/// How many tokens a guarded call tries after a refused one: what another tab may have stored, and
/// the one that a refresh of our own brings.
pub(crate) const RENEWALS: usize = 2;

/// What became of an attempt to replace a token.
#[derive(Debug, Clone)]
enum Outcome {
    /// There is another token.
    Renewed(Known),
    /// There is none any more: signed out meanwhile.
    Gone,
    /// The server will give none.
    Refused,
    /// Nobody can say yet.
    Unreached(ApiError),
}

/// When to try again.
#[derive(Debug, Clone, Default)]
struct Patience {
    failures: u32,
    retry_at: f64,
    /// The answer in which the server itself said how long, so that nothing else shortens it.
    asked: Option<ApiError>,
}

/// Replaces the session's tokens. Cheap to copy; get it with [`Refresher::expect`].
#[derive(Debug, Clone, Copy)]
pub struct Refresher {
    session: SessionHandle,
    flight: StoredValue<Option<Later<Outcome>>, LocalStorage>,
    patience: StoredValue<Patience>,
    /// A token that the server gives no successor for. It may still be good for what remains of it.
    refused: StoredValue<Option<Token>>,
    is_unreached: RwSignal<bool>,
    jitter: f64,
}

impl Refresher {
    /// Watches over the session's token for as long as the current owner lives. Puts itself into the
    /// context.
    pub fn provide(session: SessionHandle) -> Self {
        let refresher = Self {
            session,
            flight: StoredValue::new_local(None),
            patience: StoredValue::new(Patience::default()),
            refused: StoredValue::new(None),
            is_unreached: RwSignal::new(false),
            jitter: js_sys::Math::random() * JITTER,
        };
        session.leave_expiry_to_renewal();
        Effect::new(move |_| {
            session.now();
            session.token();
            refresher.look();
        });
        let handles = [
            window_event_listener(ev::visibilitychange, move |_| {
                if !document().hidden() {
                    refresher.wake();
                }
            }),
            window_event_listener(ev::focus, move |_| refresher.wake()),
            window_event_listener(ev::online, move |_| refresher.wake()),
            window_event_listener(ev::pageshow, move |_| refresher.wake()),
        ];
        on_cleanup(move || handles.into_iter().for_each(WindowListenerHandle::remove));
        provide_context(refresher);
        refresher
    }

    /// The refresher in the context.
    ///
    /// # Panics
    ///
    /// Where no component above called [`Refresher::provide`].
    pub fn expect() -> Self {
        expect_context()
    }

    /// Whether somebody is signed in with an expired token, or may be, because the server could not
    /// be asked for another yet; reading it subscribes.
    pub fn is_waiting(self) -> bool {
        self.is_unreached.get() && (self.session.is_over() || self.session.is_unknown())
    }

    /// Makes a guarded call. Where the token is over or refused, it is replaced and the call
    /// repeated. `None` where there is nobody to answer to: the session has ended.
    pub async fn call<T, F, A>(self, ask: F) -> Option<Result<T, ApiError>>
    where
        F: Fn(Token) -> A,
        A: Future<Output = Result<T, ApiError>>,
    {
        let mut known = match self.session.known_untracked() {
            Some(known) => known,
            None if untrack(|| self.session.is_unknown()) => match self.renew(None).await {
                Outcome::Renewed(known) => known,
                Outcome::Unreached(error) => return Some(Err(error)),
                Outcome::Gone | Outcome::Refused => return None,
            },
            None => return None,
        };
        let subject = known.claims.subject().map(ToOwned::to_owned);
        let mut renewals = 0..RENEWALS;
        loop {
            let code = if known.is_over(js_sys::Date::now()) {
                // To send it would only cost time.
                ProblemCode::TokenExpired
            } else {
                match ask(known.token.clone()).await {
                    Err(ApiError::Problem(problem)) if problem.status == 401 => problem.code,
                    answer => return Some(answer),
                }
            };
            let outcome = match renewals.next() {
                Some(_) => self.renew(Some(&known.token)).await,
                None => Outcome::Refused,
            };
            match outcome {
                Outcome::Renewed(new) => known = new,
                Outcome::Gone => return None,
                Outcome::Refused => {
                    self.session.refuse(&known.token, code);
                    return None;
                }
                Outcome::Unreached(error) => return Some(Err(error)),
            }
            if known.claims.subject() != subject.as_deref() {
                // Somebody else signed in meanwhile, and it was not they who asked.
                return None;
            }
        }
    }

    /// Signs out: here and in the other tabs at once, and at the server as soon as it hears of it.
    pub fn sign_out(self) {
        let Some(known) = self.session.known_untracked() else {
            return;
        };
        self.session.note_leaving();
        self.session.end(Farewell::SignedOut { is_told: true });
        let told = Later::new();
        let answer = told.clone();
        spawn_local(async move {
            // The answer takes the cookie away, so who signs in meanwhile has to wait for it. The call
            // itself waits for nobody.
            alone(answer).await;
        });
        spawn_local(async move {
            if is_heard(&api::logout(Some(&known.token)).await) {
                // Somebody may be signed in again by now, and leave in their turn.
                if self.session.known_untracked().is_none() {
                    self.session.note_told();
                }
            } else {
                self.session.note_untold(known.claims.session());
            }
            told.settle(());
        });
    }

    /// Looks whether it is time. What happened in other tabs may have been missed while this one
    /// slept, and after that there is no reason to wait on.
    fn wake(self) {
        self.session.follow();
        self.patience.update_value(|patience| {
            if patience.asked.is_none() {
                patience.retry_at = 0.0;
            }
        });
        self.look();
    }

    /// Starts a refresh where it is time, and ends a session that cannot be renewed with its token.
    fn look(self) {
        let now = js_sys::Date::now();
        let token = match self.session.known_untracked() {
            Some(known) if self.is_refused(&known.token) => {
                if known.is_over(now) {
                    self.session.refuse(&known.token, ProblemCode::TokenExpired);
                }
                return;
            }
            Some(known) if now < due_at(&known, self.jitter) => return,
            Some(known) => Some(known.token),
            None if untrack(|| self.session.is_unknown()) => None,
            None => {
                self.is_unreached.set(false);
                self.patience.set_value(Patience::default());
                return;
            }
        };
        if now >= self.patience.with_value(|patience| patience.retry_at) {
            self.fly(token);
        }
    }

    fn is_refused(self, token: &Token) -> bool {
        self.refused
            .with_value(|refused| refused.as_ref() == Some(token))
    }

    /// Replaces this token, or waits for whoever does it already. Without one, asks whether the
    /// cookie brings one.
    async fn renew(self, token: Option<&Token>) -> Outcome {
        if token.is_some_and(|token| self.is_refused(token)) {
            return Outcome::Refused;
        }
        let patience = self.patience.get_value();
        if let Some(error) = patience.asked
            && js_sys::Date::now() < patience.retry_at
        {
            return Outcome::Unreached(error);
        }
        self.fly(token.cloned()).await
    }

    /// One refresh at a time: the one under way, or a new one.
    fn fly(self, token: Option<Token>) -> Later<Outcome> {
        if let Some(flight) = self.flight.get_value() {
            return flight;
        }
        let flight = Later::new();
        self.flight.set_value(Some(flight.clone()));
        let landing = flight.clone();
        spawn_local(async move {
            let outcome = self.replace(token.as_ref()).await;
            self.flight.set_value(None);
            self.note(&outcome);
            landing.settle(outcome);
        });
        flight
    }

    async fn replace(self, token: Option<&Token>) -> Outcome {
        let lock = Rc::new(lock::hold(LOCK).await);
        match self.attempt(token, TRY_LIMIT, &lock).await {
            Outcome::Unreached(error) if error.is_lost() => {
                lock::pause(REPEAT_AFTER).await;
                self.attempt(token, REPEAT_LIMIT, &lock).await
            }
            outcome => outcome,
        }
    }

    async fn attempt(self, token: Option<&Token>, limit: Duration, lock: &Rc<Held>) -> Outcome {
        // Another tab may have been faster, or may have signed out.
        self.session.follow();
        let Some(known) = self.session.known_untracked() else {
            return self.attempt_to_resume(limit).await;
        };
        if Some(&known.token) != token && !known.is_over(js_sys::Date::now()) {
            return Outcome::Renewed(known);
        }
        let answer = match api::refresh(limit).await {
            Ok(answer) => answer,
            Err(error) if error.is_refusal() => {
                self.refused.set_value(Some(known.token));
                return Outcome::Refused;
            }
            Err(error) => return Outcome::Unreached(error),
        };
        let new = Claims::decode(answer.access_token.expose());
        if new.as_ref().and_then(Claims::subject) != known.claims.subject() {
            // The cookie is somebody else's by now. A page must never change by itself whose it is.
            self.refused.set_value(Some(known.token));
            return Outcome::Refused;
        }
        let is_taken = self.session.renew(&known.token, &answer);
        // The other tabs see what is stored a moment later than this one, and whoever is next would
        // refresh again.
        let lock = Rc::clone(lock);
        set_timeout(move || drop(lock), SETTLING);
        match self.session.known_untracked() {
            Some(current) if is_taken || current.token != known.token => Outcome::Renewed(current),
            _ => Outcome::Gone,
        }
    }

    /// A page that keeps its token in memory has none when it is loaded; the cookie may bring one.
    async fn attempt_to_resume(self, limit: Duration) -> Outcome {
        if !untrack(|| self.session.is_unknown()) {
            return Outcome::Gone;
        }
        if self.session.is_leaving() {
            // They signed out, and shall not be back because the server was away at that moment.
            if is_heard(&api::logout(None).await) {
                self.session.note_told();
            }
            self.session.settle_nobody();
            return Outcome::Gone;
        }
        match api::refresh(limit).await {
            Ok(answer) => {
                self.session.resume(&answer);
            }
            Err(error) if error.is_refusal() => {
                self.session.settle_nobody();
                return Outcome::Refused;
            }
            Err(error) => return Outcome::Unreached(error),
        }
        self.session
            .known_untracked()
            .map_or(Outcome::Gone, Outcome::Renewed)
    }

    fn note(self, outcome: &Outcome) {
        let Outcome::Unreached(error) = outcome else {
            self.is_unreached.set(false);
            self.patience.set_value(Patience::default());
            return;
        };
        let asked = error
            .retry_after()
            .map(|seconds| Duration::from_secs(seconds).as_secs_f64() * 1000.0)
            .map(|pause| pause.min(LONGEST_ASKED_MS));
        self.patience.update_value(|patience| {
            let pause = pause(patience.failures).max(asked.unwrap_or(0.0));
            patience.retry_at = js_sys::Date::now() + pause;
            patience.failures += 1;
            patience.asked = asked.map(|_| error.clone());
        });
        self.is_unreached.set(true);
    }
}

/// Whether the server knows that somebody has signed out. A token that it does not accept any more is
/// as ended as can be.
fn is_heard(answer: &Result<(), ApiError>) -> bool {
    answer
        .as_ref()
        .map_or_else(ApiError::is_unauthorized, |()| true)
}

/// Makes a call that brings a new cookie, after those under way that change it: else a late answer of
/// theirs could replace the new one.
pub async fn alone<T>(call: impl Future<Output = T>) -> T {
    let _lock = lock::hold(LOCK).await;
    call.await
}

/// When a token is to be replaced; never where it has no end.
fn due_at(known: &Known, jitter: f64) -> f64 {
    known.ends_at.map_or(f64::INFINITY, |end| {
        end - known.lifetime.map_or(SHORTEST_LEAD_MS, lead) * (1.0 + jitter)
    })
}

/// How long before its end a token of this lifetime is replaced, in milliseconds.
fn lead(lifetime: f64) -> f64 {
    (lifetime * LEAD)
        .clamp(SHORTEST_LEAD_MS, LONGEST_LEAD_MS)
        // Else a token of a second would be over due from the first moment on.
        .min(lifetime / 2.0)
}

/// How long to wait after so many failures before this one, in milliseconds.
fn pause(failures: u32) -> f64 {
    (FIRST_PAUSE_MS * f64::from(1_u32 << failures.min(10))).min(LONGEST_PAUSE_MS)
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    fn is(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-6
    }

    #[test]
    fn a_token_is_replaced_before_its_end_and_not_much_before() {
        assert!(is(lead(900_000.0), 60_000.0));
        assert!(is(lead(60_000.0), 18_000.0));
        assert!(is(lead(2_000.0), 1_000.0));
        assert!(is(lead(1_000.0), 500.0));
    }

    #[test]
    fn repeats_become_rarer_and_never_stop() {
        let pauses: Vec<_> = (0..7).map(pause).collect();

        assert_eq!(
            pauses,
            [1e3, 2e3, 4e3, 8e3, 16e3, 30e3, 30e3],
            "in milliseconds"
        );
        assert!(is(pause(u32::MAX), LONGEST_PAUSE_MS));
    }

    #[test]
    fn a_lost_answer_is_repeated_while_the_server_repeats_its_own() {
        // The server's default.
        const GRACE: Duration = Duration::from_secs(10);
        const TICK: Duration = Duration::from_secs(1);
        let both = TRY_LIMIT + REPEAT_AFTER + REPEAT_LIMIT;

        assert!(both + SETTLING < lock::PATIENCE, "{both:?}");
        assert!(lock::PATIENCE < GRACE);
        // So that at first even two lost answers in turn do no harm.
        let third = both + Duration::from_secs_f64(pause(0) / 1000.0) + TICK;
        assert!(third < GRACE, "{third:?}");
    }
}
