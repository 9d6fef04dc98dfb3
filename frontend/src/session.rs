//! Who is signed in: one signal, kept in step with `localStorage`, with the token's expiry and with
//! the other tabs; or with nothing but this page, where [`TokenStorage::Memory`] is asked for. The
//! only user of gloo-storage; it calls no server.
//!
//! # Security
//!
//! Any script of this origin can read `localStorage`. The strict content security policy that the
//! server sends with the pages is what keeps foreign scripts out.

use countersign_types::{ProblemCode, Token, routes::STORAGE_KEY, sessions::TokenResponse};
use gloo_storage::{LocalStorage, Storage as _};
use js_sys::Number;
use leptos::{ev, prelude::*};
use std::time::Duration;

use crate::claims::Claims;

/// How far this browser's clock is ahead of the server's, in milliseconds, as measured at the last
/// token. Beside the token, because `exp` is by the server's clock: a tab that only finds a token
/// could not tell when it is over, and two tabs on a computer whose clock is fast would replace each
/// other's tokens without end.
const CLOCK_KEY: &str = "jwt_clock";
/// There while a page that keeps its token in memory has signed out and the server may not have heard
/// of it: else the cookie would bring the session back with the next reload.
const LEAVING_KEY: &str = "jwt_signed_out";

/// Where an access token is kept.
///
/// The refresh token is in a cookie that no script reads, whatever is chosen here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenStorage {
    /// In `localStorage`, under `jwt`: a reload asks nobody, all tabs share one token, and any script
    /// of this origin can find it.
    #[default]
    Local,
    /// In this page alone: a script that looks through the storage finds no token. After a reload the server is asked for the next token by the cookie, also where
    /// nobody is signed in, since a page cannot see whether there is one. A tab hears of a sign-out
    /// in another one when it asks the server the next time.
    ///
    /// Countersign's own pages use [`TokenStorage::Local`] whatever an application around them does,
    /// and ask for a sign-in of their own: an application that wants this one has forms of its own.
    Memory,
}

/// Who is signed in, as far as this tab knows.
#[derive(Debug, Clone, PartialEq)]
pub enum Session {
    /// Nobody can say yet: the server is being asked, see [`TokenStorage::Memory`].
    Unknown,
    /// Nobody, and how that came about.
    Anonymous(Farewell),
    /// Somebody.
    Known(Known),
}

/// How it came about that nobody is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// Nobody was.
    Never,
    /// By the button here; whether the server heard of it.
    SignedOut {
        /// The server has ended the session, or is being told to.
        is_told: bool,
    },
    /// In another tab.
    Elsewhere,
    /// The token's time was over.
    Expired,
    /// The server no longer accepts the token.
    Ended,
}

impl Farewell {
    /// Whether it came unasked, so that signing in again should lead back.
    pub fn is_unasked(self) -> bool {
        matches!(self, Self::Expired | Self::Ended)
    }
}

/// Somebody with a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The token.
    pub token: Token,
    /// What it says, unverified.
    pub claims: Claims,
    /// When it expires by this browser's clock, in milliseconds since 1970.
    pub ends_at: Option<f64>,
    /// How long it lives in all, in milliseconds.
    pub lifetime: Option<f64>,
    /// Whether it survives a reload.
    pub is_stored: bool,
}

impl Known {
    /// Whether the token's time is over.
    pub fn is_over(&self, now: f64) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }
}

/// The session and what may be done to it. Cheap to copy; get it with [`SessionHandle::expect`].
#[derive(Debug, Clone, Copy)]
pub struct SessionHandle {
    storage: TokenStorage,
    state: RwSignal<Session>,
    now: RwSignal<f64>,
    is_renewable: StoredValue<bool>,
    /// The session that ended here last. It does not come back, whatever another tab stores that
    /// was refreshing it at that moment.
    ended: StoredValue<Option<String>>,
}

impl SessionHandle {
    /// Reads the stored token and watches expiry and other tabs for as long as the current owner
    /// lives. Puts itself into the context.
    pub fn provide(storage: TokenStorage) -> Self {
        let now = js_sys::Date::now();
        let session = Self {
            storage,
            state: RwSignal::new(storage.read(now)),
            now: RwSignal::new(now),
            is_renewable: StoredValue::new(false),
            ended: StoredValue::new(None),
        };
        session.watch_expiry();
        let listener = window_event_listener(ev::storage, move |event| {
            // Without a key, everything was removed.
            if event.key().is_none_or(|key| key == STORAGE_KEY) {
                session.follow();
            }
        });
        on_cleanup(move || listener.remove());
        provide_context(session);
        session
    }

    /// The handle in the context.
    ///
    /// # Panics
    ///
    /// Where no component above called [`SessionHandle::provide`].
    pub fn expect() -> Self {
        expect_context()
    }

    /// The session; reading it subscribes.
    pub fn get(self) -> Session {
        self.state.get()
    }

    /// The token; reading it subscribes.
    pub fn token(self) -> Option<Token> {
        self.state.with(|state| match state {
            Session::Known(known) => Some(known.token.clone()),
            Session::Unknown | Session::Anonymous(_) => None,
        })
    }

    /// Who is signed in, without subscribing.
    pub fn known_untracked(self) -> Option<Known> {
        self.state.with_untracked(|state| match state {
            Session::Known(known) => Some(known.clone()),
            Session::Unknown | Session::Anonymous(_) => None,
        })
    }

    /// Whether somebody is signed in; reading it subscribes.
    pub fn is_known(self) -> bool {
        self.state.with(|state| matches!(state, Session::Known(_)))
    }

    /// Whether nobody can say yet who is signed in; reading it subscribes.
    pub fn is_unknown(self) -> bool {
        self.state.with(|state| matches!(state, Session::Unknown))
    }

    /// The id of the session, which stays when its token is replaced; reading it subscribes.
    pub fn id(self) -> Option<String> {
        self.state.with(|state| match state {
            Session::Known(known) => known.claims.session().map(ToOwned::to_owned),
            Session::Unknown | Session::Anonymous(_) => None,
        })
    }

    /// The id of the session, without subscribing.
    pub fn id_untracked(self) -> Option<String> {
        untrack(|| self.id())
    }

    /// This browser's time when it was last looked at, in milliseconds since 1970: each second
    /// while somebody is signed in. Reading it subscribes.
    pub fn now(self) -> f64 {
        self.now.get()
    }

    /// Whether somebody is signed in with a token whose time is over; reading it subscribes.
    pub fn is_over(self) -> bool {
        let now = self.now.get();
        self.state
            .with(|state| matches!(state, Session::Known(known) if known.is_over(now)))
    }

    /// Seconds until the token expires, counting down; reading it subscribes.
    pub fn seconds_left(self) -> Option<u64> {
        let now = self.now.get();
        self.state.with(|state| match state {
            Session::Known(known) => known.ends_at.map(|end| whole_seconds(end - now)),
            Session::Unknown | Session::Anonymous(_) => None,
        })
    }

    /// Somebody else renews the tokens, so that an expired one does not end the session, and one
    /// that is kept nowhere may still come.
    pub fn leave_expiry_to_renewal(self) {
        self.is_renewable.set_value(true);
        if self.storage == TokenStorage::Memory {
            self.state.set(Session::Unknown);
        }
    }

    /// Begins a session with what the server answered.
    pub fn begin(self, answer: &TokenResponse) {
        self.note_told();
        self.take(answer);
    }

    /// Goes on with the successor of `old`, unless somebody signed out or in meanwhile, here or in
    /// another tab: then theirs counts, and this one is dropped. Returns whether it was taken.
    pub fn renew(self, old: &Token, answer: &TokenResponse) -> bool {
        self.follow();
        let is_current = self
            .state
            .with_untracked(|state| matches!(state, Session::Known(known) if known.token == *old));
        is_current && self.take(answer)
    }

    /// Goes on with a session that only the server knew of, unless somebody signed in meanwhile.
    /// Returns whether it was taken.
    pub fn resume(self, answer: &TokenResponse) -> bool {
        untrack(|| self.is_unknown()) && self.take(answer)
    }

    /// Somebody signs out here. Where the cookie alone could bring the session back, that is noted
    /// until the server has [heard of it](Self::note_told).
    pub fn note_leaving(self) {
        if self.storage == TokenStorage::Memory
            && let Some(storage) = TokenStorage::Local.open()
        {
            // Where nothing can be stored, the server's own word is all there is.
            drop(storage.set_item(LEAVING_KEY, "1"));
        }
    }

    /// The server has heard of the sign-out.
    pub fn note_told(self) {
        if self.storage == TokenStorage::Memory
            && let Some(storage) = TokenStorage::Local.open()
        {
            drop(storage.remove_item(LEAVING_KEY));
        }
    }

    /// Whether somebody signed out here and the server may not have heard of it.
    pub fn is_leaving(self) -> bool {
        self.storage == TokenStorage::Memory && TokenStorage::Local.item(LEAVING_KEY).is_some()
    }

    /// The server knows of no session that could go on here.
    pub fn settle_nobody(self) {
        if untrack(|| self.is_unknown()) {
            self.state.set(Session::Anonymous(Farewell::Never));
        }
    }

    fn take(self, answer: &TokenResponse) -> bool {
        let now = js_sys::Date::now();
        let token = answer.access_token.clone();
        // By the lifetime and not by `exp`: this browser's clock may be wrong.
        let lifetime = Duration::from_secs(answer.expires_in).as_secs_f64() * 1000.0;
        let ends_at = now + lifetime;
        let Some(claims) = Claims::decode(token.expose()) else {
            self.state.set(Session::Anonymous(Farewell::Ended));
            return false;
        };
        let ahead = claims.expires_at().map(|end| ends_at - end * 1000.0);
        let is_stored = self.storage.store(&token, ahead);
        self.now.set(now);
        self.state.set(Session::Known(Known {
            token,
            claims,
            ends_at: Some(ends_at),
            lifetime: Some(lifetime),
            is_stored,
        }));
        true
    }

    /// Ends the session here and in the other tabs.
    pub fn end(self, farewell: Farewell) {
        self.note_end();
        self.storage.forget();
        self.state.set(Session::Anonymous(farewell));
    }

    fn note_end(self) {
        if let Some(id) = self.id_untracked() {
            self.ended.set_value(Some(id));
        }
    }

    /// The server could not be told that the session of this id was signed out of. Says so, unless
    /// something else has happened here since.
    pub fn note_untold(self, id: Option<&str>) {
        if self.ended.get_value().as_deref() != id {
            return;
        }
        self.state.update(|state| {
            if let Session::Anonymous(Farewell::SignedOut { is_told }) = state {
                *is_told = false;
            }
        });
    }

    /// The server refused this token. Ends the session, unless it has another token by now, here or
    /// from another tab.
    pub fn refuse(self, token: &Token, code: ProblemCode) {
        self.follow();
        let is_current = self.state.with_untracked(
            |state| matches!(state, Session::Known(known) if known.token == *token),
        );
        if is_current {
            self.end(if code == ProblemCode::TokenExpired {
                Farewell::Expired
            } else {
                Farewell::Ended
            });
        }
    }

    /// Does what another tab did: after an event, and where one may have been missed.
    pub fn follow(self) {
        self.now.set(js_sys::Date::now());
        let known = self.known_untracked();
        if known.as_ref().is_some_and(|known| !known.is_stored) {
            // What this browser does not store, no other tab knows of.
            return;
        }
        let was_known = known.is_some();
        match self.storage.read(self.now.get_untracked()) {
            Session::Known(known)
                if known.claims.session().is_some()
                    && self.ended.get_value().as_deref() == known.claims.session() =>
            {
                self.storage.forget();
                if was_known {
                    self.state.set(Session::Anonymous(Farewell::Elsewhere));
                }
            }
            Session::Known(known) => {
                let is_news = self.state.with_untracked(
                    |state| !matches!(state, Session::Known(old) if old.token == known.token),
                );
                if is_news {
                    self.state.set(Session::Known(known));
                }
            }
            Session::Unknown | Session::Anonymous(_) => {
                if was_known {
                    self.note_end();
                    self.state.set(Session::Anonymous(Farewell::Elsewhere));
                }
            }
        }
    }

    /// Looks every second while somebody is signed in, or may be. A timer set to the end would be late after
    /// a computer's sleep, and cannot be set to more than 24 days.
    fn watch_expiry(self) {
        let may_be_known = Memo::new(move |_| self.is_known() || self.is_unknown());
        Effect::new(move |_| {
            if !may_be_known.get() {
                return;
            }
            let tick = move || {
                let now = js_sys::Date::now();
                self.now.set(now);
                let is_over = self
                    .known_untracked()
                    .is_some_and(|known| known.is_over(now));
                if is_over && !self.is_renewable.get_value() {
                    self.end(Farewell::Expired);
                }
            };
            if let Ok(timer) = set_interval_with_handle(tick, Duration::from_secs(1)) {
                on_cleanup(move || timer.clear());
            }
        });
    }
}

impl TokenStorage {
    /// gloo's raw handle, because its own methods would quote the token as JSON. The look before it
    /// is needed: gloo panics where a browser blocks storage.
    fn open(self) -> Option<web_sys::Storage> {
        if self == Self::Memory {
            return None;
        }
        window().local_storage().ok().flatten()?;
        Some(LocalStorage::raw())
    }

    /// What is stored at this time.
    fn read(self, now: f64) -> Session {
        let Some(token) = self.item(STORAGE_KEY) else {
            return Session::Anonymous(Farewell::Never);
        };
        let Some(claims) = Claims::decode(&token) else {
            self.forget();
            return Session::Anonymous(Farewell::Never);
        };
        let lifetime = claims
            .expires_at()
            .zip(claims.issued_at())
            .map(|(end, start)| (end - start) * 1000.0)
            .filter(|lifetime| *lifetime > 0.0);
        let ends_at = claims
            .expires_at()
            .map(|seconds| seconds * 1000.0 + self.clock_ahead())
            // No token lives longer from now on than from its issue; a clock may have been set back.
            .map(|end| lifetime.map_or(end, |lifetime| end.min(now + lifetime)));
        Session::Known(Known {
            token: Token::from(token),
            claims,
            ends_at,
            lifetime,
            is_stored: true,
        })
    }

    fn item(self, key: &str) -> Option<String> {
        self.open()?.get_item(key).ok().flatten()
    }

    fn clock_ahead(self) -> f64 {
        self.item(CLOCK_KEY)
            // JavaScript's own, because Rust's reading and writing of such numbers would have to be
            // downloaded.
            .map(|text| Number::parse_float(&text))
            .filter(|ahead| ahead.is_finite())
            .unwrap_or(0.0)
    }

    /// Returns whether the token survives a reload.
    fn store(self, token: &Token, ahead: Option<f64>) -> bool {
        let Some(storage) = self.open() else {
            return false;
        };
        let ahead = ahead.and_then(|ahead| Number::from(ahead).to_string_with_radix(10).ok());
        if let Some(ahead) = ahead {
            // First, because the other tabs read it when the token changes. Without it they go by
            // their own clock.
            drop(storage.set_item(CLOCK_KEY, &String::from(ahead)));
        }
        storage.set_item(STORAGE_KEY, token.expose()).is_ok()
    }

    fn forget(self) {
        if let Some(storage) = self.open() {
            // It can only fail where it is blocked, and then there is nothing to remove.
            drop(storage.remove_item(STORAGE_KEY));
            drop(storage.remove_item(CLOCK_KEY));
        }
    }
}

/// Whole seconds of a time in milliseconds, rounded up.
fn whole_seconds(milliseconds: f64) -> u64 {
    Duration::try_from_secs_f64((milliseconds / 1000.0).ceil()).map_or(0, |left| left.as_secs())
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    #[test]
    fn a_begun_second_counts_and_a_past_end_is_zero() {
        assert_eq!(whole_seconds(900_000.0), 900);
        assert_eq!(whole_seconds(1.0), 1);
        assert_eq!(whole_seconds(-5_000.0), 0);
    }

    #[test]
    fn only_an_end_that_came_unasked_leads_back() {
        assert!(Farewell::Expired.is_unasked());
        assert!(Farewell::Ended.is_unasked());
        assert!(!Farewell::SignedOut { is_told: true }.is_unasked());
        assert!(!Farewell::Elsewhere.is_unasked());
    }
}
