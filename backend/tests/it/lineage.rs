//! Sessions against a simple model of them, step by step, whatever the steps are: what is dead
//! stays dead, and a session has one live refresh token.

use std::time::Duration;

use countersign::{clock::Clock as _, sessions, store::Timestamp};
use countersign_types::routes;
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Database, PASSWORD, TestApp, credentials};

// Milliseconds, as in the database; what is in a token has whole seconds.
const SECOND: i64 = 1000;
const TTL: i64 = 60 * SECOND;
const GRACE: i64 = 10 * SECOND;
const IDLE: i64 = 3600 * SECOND;
const ABSOLUTE: i64 = 4 * IDLE;
const SETTINGS: [(&str, &str); 6] = [
    ("TOKEN__ACCESS_TTL", "60s"),
    ("TOKEN__LEEWAY", "0s"),
    ("SESSION__IDLE_TTL", "1h"),
    ("SESSION__ABSOLUTE_TTL", "4h"),
    ("SESSION__MAX_PER_ACCOUNT", "4"),
    ("LIMITS__SCALE", "1000000"),
];

#[derive(Debug, Clone)]
enum Step {
    SignIn,
    /// A refresh token, counted from the newest of all that were ever given.
    Refresh(usize),
    /// The same one twice at once.
    RefreshTwice(usize),
    /// By an access token.
    Logout(usize),
    LogoutByRefresh(usize),
    EndOthers(usize),
    LogoutAll(usize),
    Pass(i64),
    SetBack(i64),
    Restart,
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::SignIn),
        8 => prop::sample::select(vec![0, 0, 0, 1, 1, 2, 3, 5]).prop_map(Step::Refresh),
        3 => (0usize..8).prop_map(Step::RefreshTwice),
        2 => (0usize..8).prop_map(Step::Logout),
        1 => (0usize..8).prop_map(Step::LogoutByRefresh),
        1 => (0usize..8).prop_map(Step::EndOthers),
        1 => (0usize..8).prop_map(Step::LogoutAll),
        5 => prop::sample::select(vec![1, 5, 10, 11, 61, 1800, 3601]).prop_map(Step::Pass),
        1 => prop::sample::select(vec![1, 30, 600]).prop_map(Step::SetBack),
        1 => Just(Step::Restart),
        1 => Just(Step::Sweep),
    ]
}

#[derive(Debug)]
struct RefreshModel {
    text: String,
    session: usize,
    /// When it was spent, and which token came of it, as long as a repeat may get that.
    spent: Option<(i64, Option<usize>)>,
}

#[derive(Debug)]
struct AccessModel {
    text: String,
    session: usize,
    /// In whole seconds.
    issued: i64,
    expires: i64,
}

#[derive(Debug)]
struct SessionModel {
    created: i64,
    expires: i64,
    is_ended: bool,
}

#[derive(Debug, Default)]
struct Model {
    now: i64,
    sessions: Vec<SessionModel>,
    refreshes: Vec<RefreshModel>,
    accesses: Vec<AccessModel>,
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    New,
    Again(usize),
    Reused,
    Invalid,
}

impl Model {
    fn is_live(&self, session: usize) -> bool {
        let session = &self.sessions[session];
        !session.is_ended && self.now < session.expires
    }

    fn is_accepted(&self, access: &AccessModel) -> bool {
        let now = self.now / SECOND;
        self.is_live(access.session) && access.issued <= now && now < access.expires
    }

    fn begin(&mut self, access: String, refresh: String) {
        let expires = self.now + IDLE.min(ABSOLUTE);
        let session = self.sessions.len();
        self.sessions.push(SessionModel {
            created: self.now,
            expires,
            is_ended: false,
        });
        self.give(session, access);
        self.refreshes.push(RefreshModel {
            text: refresh,
            session,
            spent: None,
        });
        let mut live: Vec<_> = (0..self.sessions.len())
            .filter(|id| self.is_live(*id))
            .collect();
        live.sort_by_key(|id| (self.sessions[*id].created, *id));
        // The new one is kept, however old the clock says it is.
        live.retain(|id| *id != session);
        for id in live.iter().rev().skip(3) {
            self.sessions[*id].is_ended = true;
        }
    }

    fn give(&mut self, session: usize, text: String) {
        let left = self.sessions[session].expires - self.now;
        let issued = self.now / SECOND;
        let expires = issued + TTL.min(left) / SECOND;
        self.accesses.push(AccessModel {
            text,
            session,
            issued,
            expires,
        });
    }

    /// What a refresh must answer, and what it does to the session.
    fn refresh(&mut self, token: usize) -> Expected {
        let session = self.refreshes[token].session;
        if !self.is_live(session) {
            return Expected::Invalid;
        }
        let outcome = match self.refreshes[token].spent {
            None => Expected::New,
            Some((spent, Some(successor))) if self.now <= spent + GRACE => {
                Expected::Again(successor)
            }
            Some(_) => Expected::Reused,
        };
        let state = &mut self.sessions[session];
        if outcome == Expected::Reused {
            state.is_ended = true;
        } else {
            state.expires = (self.now + IDLE).min(state.created + ABSOLUTE);
        }
        outcome
    }

    fn spend(&mut self, token: usize, successor: String) {
        let session = self.refreshes[token].session;
        for other in &mut self.refreshes {
            if other.session == session
                && let Some((_, kept)) = &mut other.spent
            {
                *kept = None;
            }
        }
        let new = self.refreshes.len();
        self.refreshes.push(RefreshModel {
            text: successor,
            session,
            spent: None,
        });
        self.refreshes[token].spent = Some((self.now, Some(new)));
    }

    /// What is kept sealed is erased by the sweep once the grace is over.
    fn sweep(&mut self) {
        for token in &mut self.refreshes {
            if let Some((spent, kept)) = &mut token.spent
                && *spent < self.now - GRACE - SECOND
            {
                *kept = None;
            }
        }
    }
}

struct Run {
    app: TestApp,
    model: Model,
}

impl Run {
    async fn step(&mut self, step: &Step) {
        let newest = |count: usize, back: usize| count.checked_sub(1 + back % count.max(1));
        match step {
            Step::SignIn => {
                // No two sessions begin in the same millisecond, so that one is the oldest.
                self.app.clock.advance(Duration::from_millis(1001));
                self.model.now += 1001;
                let pair = self.app.sign_in_pair("ada@example.com").await;
                self.model.begin(pair.access, pair.refresh);
            }
            Step::Refresh(back) => {
                if let Some(token) = newest(self.model.refreshes.len(), *back) {
                    self.refresh(token).await;
                }
            }
            Step::RefreshTwice(back) => {
                if let Some(token) = newest(self.model.refreshes.len(), *back) {
                    self.refresh_twice(token).await;
                }
            }
            Step::Logout(back) | Step::EndOthers(back) | Step::LogoutAll(back) => {
                if let Some(access) = newest(self.model.accesses.len(), *back) {
                    self.end(step, access).await;
                }
            }
            Step::LogoutByRefresh(back) => {
                if let Some(token) = newest(self.model.refreshes.len(), *back) {
                    let body = json!({ "refresh_token": self.model.refreshes[token].text });
                    let answer = self.app.post(routes::LOGOUT, &body).await;
                    assert_eq!(answer.status(), 204, "{answer}");
                    let session = self.model.refreshes[token].session;
                    self.model.sessions[session].is_ended = true;
                }
            }
            Step::Pass(seconds) => {
                self.app
                    .clock
                    .advance(Duration::from_secs(seconds.unsigned_abs()));
                self.model.now += seconds * SECOND;
            }
            Step::SetBack(seconds) => {
                self.model.now -= seconds * SECOND;
                self.app
                    .clock
                    .step_to(Timestamp::from_millis(self.model.now));
            }
            Step::Restart => self.app.restart().await,
            Step::Sweep => {
                sessions::sweep(&self.app.app).await.unwrap();
                self.model.sweep();
            }
        }
        self.check().await;
    }

    async fn refresh(&mut self, token: usize) {
        let expected = self.model.refresh(token);
        let answer = self.app.refresh(&self.model.refreshes[token].text).await;
        match expected {
            Expected::New => {
                let pair = answer.pair();
                self.model.spend(token, pair.refresh);
                self.model
                    .give(self.model.refreshes[token].session, pair.access);
            }
            Expected::Again(successor) => {
                let pair = answer.pair();
                assert_eq!(pair.refresh, self.model.refreshes[successor].text);
                self.model
                    .give(self.model.refreshes[token].session, pair.access);
            }
            Expected::Reused => assert!(
                answer.summary().ends_with("refresh_token_reused"),
                "{answer}"
            ),
            Expected::Invalid => {
                assert!(
                    answer.summary().ends_with("refresh_token_invalid"),
                    "{answer}"
                );
            }
        }
    }

    async fn refresh_twice(&mut self, token: usize) {
        let text = self.model.refreshes[token].text.clone();
        let first = self.model.refresh(token);
        if first != Expected::New {
            // The same as one after the other: nothing is spent.
            let (one, other) = tokio::join!(self.app.refresh(&text), self.app.refresh(&text));
            let statuses = [one.status(), other.status()];
            match first {
                Expected::Again(successor) => {
                    for pair in [one.pair(), other.pair()] {
                        assert_eq!(pair.refresh, self.model.refreshes[successor].text);
                        self.model
                            .give(self.model.refreshes[token].session, pair.access);
                    }
                }
                _ => assert_eq!(statuses, [401, 401]),
            }
            return;
        }
        let (one, other) = tokio::join!(self.app.refresh(&text), self.app.refresh(&text));
        let (one, other) = (one.pair(), other.pair());
        assert_eq!(one.refresh, other.refresh, "two successors");
        self.model.spend(token, one.refresh);
        for access in [one.access, other.access] {
            self.model.give(self.model.refreshes[token].session, access);
        }
    }

    async fn end(&mut self, step: &Step, access: usize) {
        let access = &self.model.accesses[access];
        let is_accepted = self.model.is_accepted(access);
        let session = access.session;
        let answer = match step {
            Step::Logout(_) => self.app.post_as(routes::LOGOUT, &access.text).await,
            Step::EndOthers(_) => self.app.delete_as(routes::SESSIONS, &access.text).await,
            _ => self.app.post_as(routes::LOGOUT_ALL, &access.text).await,
        };
        assert_eq!(
            answer.status(),
            if is_accepted { 204 } else { 401 },
            "{answer}"
        );
        if is_accepted {
            for (id, state) in self.model.sessions.iter_mut().enumerate() {
                state.is_ended |= match step {
                    Step::Logout(_) => id == session,
                    Step::EndOthers(_) => id != session,
                    _ => true,
                };
            }
        }
    }

    /// Every access token there ever was is accepted exactly where the model says so.
    async fn check(&self) {
        assert_eq!(self.app.app.clock.now().as_millis(), self.model.now);
        // The newest say most; all of them would take minutes.
        for access in self.model.accesses.iter().rev().take(12) {
            let answer = self.app.get_as(routes::PROTECTED, &access.text).await;
            let expected = if self.model.is_accepted(access) {
                200
            } else {
                401
            };
            assert_eq!(answer.status(), expected, "{access:?}: {answer}");
        }
    }
}

fn obeys_the_model(database: impl AsyncFn() -> Option<Database>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig {
        cases: 24,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = prop::test_runner::TestRunner::new(config);
    let outcome = runner.run(&prop::collection::vec(step(), 1..40), |steps| {
        let ran = runtime.block_on(async {
            let Some(database) = database().await else {
                return Ok(());
            };
            let app = TestApp::start_with(database, &SETTINGS).await;
            let model = Model {
                now: app.clock.now().as_millis(),
                ..Model::default()
            };
            let mut run = Run { app, model };
            let body = credentials("ada@example.com", PASSWORD);
            let pair = run.app.post(routes::REGISTER, &body).await.pair();
            run.model.begin(pair.access, pair.refresh);
            // A failed assertion is a panic; caught, so that the steps can be made fewer.
            tokio::spawn(async move {
                for step in &steps {
                    run.step(step).await;
                }
                // Its connections and threads would stay until the last case is over.
                run.app.stop().await;
            })
            .await
        });
        ran.map_err(|panic| TestCaseError::fail(panic.to_string()))
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn sqlite_sessions_obey_the_model_whatever_happens() {
    obeys_the_model(async || Some(Database::sqlite()));
}

#[test]
fn postgres_sessions_obey_the_model_whatever_happens() {
    obeys_the_model(Database::postgres);
}
