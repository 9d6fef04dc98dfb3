//! Where somebody is signed in, and signing out there.

use countersign_types::{routes::pages as paths, sessions};
use leptos::{html, prelude::*, task::spawn_local};
use leptos_router::{NavigateOptions, hooks::use_navigate};

use crate::{
    api::{self, ApiError},
    auth::RequireSession,
    components::{Ending, Page, SessionList, focus_soon},
    refresh::Refresher,
    session::{Farewell, Session, SessionHandle},
    strings,
};

/// What is known of the list.
type Listed = Option<Result<Vec<sessions::Session>, ApiError>>;

/// Where somebody is signed in, and signing out there.
#[component]
pub fn SessionsPage() -> impl IntoView {
    let session = SessionHandle::expect();
    let refresher = Refresher::expect();
    lead_away_when_nobody(session);

    let listed: RwSignal<Listed> = RwSignal::new(None);
    let ending = RwSignal::new(None::<Ending>);
    let news = RwSignal::new("");
    let failure = RwSignal::new(None::<ApiError>);
    let status = NodeRef::<html::Div>::new();

    let latest = StoredValue::new(0_u32);
    let load = move || {
        let number = latest.get_value().wrapping_add(1);
        latest.set_value(number);
        spawn_local(async move {
            let answer = refresher
                .call(|token| async move { api::sessions(&token).await })
                .await;
            // Somebody may have left the page, or asked again since.
            let is_latest = latest.try_get_value() == Some(number);
            if let Some(answer) = answer.filter(|_| is_latest) {
                drop(listed.try_set(Some(answer.map(|answer| answer.sessions))));
            }
        });
    };
    let clear = move || {
        listed.set(None);
        news.set("");
        failure.set(None);
    };
    let id = Memo::new(move |_| session.id());
    let token = Memo::new(move |_| session.token());
    Effect::new(move |last: Option<Option<String>>| {
        let current = id.get();
        let is_other = last.as_ref() != Some(&current);
        if is_other {
            clear();
        }
        // A new token is a sign that the server can be reached again.
        let is_missing = listed.with_untracked(|listed| !matches!(listed, Some(Ok(_))));
        if token.with(Option::is_some) && (is_other || is_missing) {
            load();
        }
        current
    });
    let try_again = move |_| {
        clear();
        load();
        // Its button is gone, and the focus would be lost with it.
        focus_soon(status);
    };

    let navigate = use_navigate();
    let end = Callback::new(move |what: Ending| {
        ending.set(Some(what.clone()));
        news.set("");
        failure.set(None);
        let id = session.id_untracked();
        let navigate = navigate.clone();
        spawn_local(async move {
            let answer = refresher
                .call(|token| {
                    let what = what.clone();
                    async move { end(&token, &what).await }
                })
                .await;
            let is_still_here = ending.try_set(None).is_none();
            if session.id_untracked() != id {
                // It was another session that asked.
                return;
            }
            match answer {
                Some(Ok(())) if what == Ending::Everywhere => {
                    session.end(Farewell::SignedOut { is_told: true });
                    navigate(paths::HOME, NavigateOptions::default());
                }
                Some(Ok(())) if is_still_here => {
                    news.set(match what {
                        Ending::One(_) => strings::SESSION_ENDED,
                        Ending::Others | Ending::Everywhere => strings::OTHERS_ENDED,
                    });
                    listed.update(|listed| remove(listed, &what));
                    load();
                    // Its button is gone, and the focus would be lost with it.
                    focus_soon(status);
                }
                Some(Err(error)) if is_still_here => failure.set(Some(error)),
                _ => {}
            }
        });
    });
    let sessions = Memo::new(move |_| {
        listed.with(|listed| match listed {
            Some(Ok(sessions)) => sessions.clone(),
            _ => Vec::new(),
        })
    });
    // Without the sessions themselves, so that the list is not built anew whenever one of them ends.
    let state = Memo::new(move |_| {
        listed.with(|listed| match listed {
            Some(Ok(_)) => Some(Ok(())),
            Some(Err(error)) => Some(Err(error.clone())),
            None => None,
        })
    });
    view! {
        <Page title=strings::SESSIONS.to_owned() class="wide">
            <p class="lead">{strings::SESSIONS_LEAD}</p>
            // The way to sign in is this page's own: by the router, which keeps what there is to say.
            <RequireSession fallback=|| () waiting=|| view! { <p class="lead">{strings::SESSIONS_LOADING}</p> }>
                <div role="status" tabindex="-1" class="status" node_ref=status>
                    {move || {
                        let text = news.get();
                        if !text.is_empty() {
                            Some(view! { <p class="notice">{text}</p> }.into_any())
                        } else if state.with(Option::is_none) {
                            Some(view! { <p class="lead">{strings::SESSIONS_LOADING}</p> }.into_any())
                        } else {
                            None
                        }
                    }}
                </div>
                {move || {
                    failure
                        .get()
                        .map(|error| view! { <div class="summary" role="alert"><p>{error.text()}</p></div> })
                }}
                {move || match state.get() {
                    Some(Ok(())) => {
                        view! { <SessionList sessions=sessions ending=ending on_end=end /> }.into_any()
                    }
                    Some(Err(error)) => {
                        view! {
                            <div class="summary" role="alert">
                                <p>{error.text()}</p>
                            </div>
                            <p>
                                <button type="button" class="button" on:click=try_again>
                                    {strings::TRY_AGAIN}
                                </button>
                            </p>
                        }
                            .into_any()
                    }
                    None => ().into_any(),
                }}
            </RequireSession>
        </Page>
    }
}

async fn end(token: &countersign_types::Token, what: &Ending) -> Result<(), ApiError> {
    match what {
        // What is gone already has ended too.
        Ending::One(id) => match api::end_session(token, id).await {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer,
        },
        Ending::Others => api::end_other_sessions(token).await,
        Ending::Everywhere => api::logout_all(token).await,
    }
}

/// Takes away what has ended, before the server's own list comes.
fn remove(listed: &mut Listed, what: &Ending) {
    if let Some(Ok(sessions)) = listed {
        sessions.retain(|session| match what {
            Ending::One(id) => session.id != *id,
            Ending::Others | Ending::Everywhere => session.current,
        });
    }
}

/// Whoever is not signed in is led to sign in and back; but not who has just signed out here, as
/// that leads home.
fn lead_away_when_nobody(session: SessionHandle) {
    let lead = super::lead_to_sign_in();
    Effect::new(move |was_known: Option<bool>| match session.get() {
        Session::Anonymous(farewell) => {
            let is_leaving = matches!(farewell, Farewell::SignedOut { .. });
            if !(is_leaving && was_known == Some(true)) {
                lead();
            }
            false
        }
        Session::Unknown => false,
        Session::Known(_) => true,
    });
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    fn session(id: &str, current: bool) -> sessions::Session {
        sessions::Session {
            id: id.to_owned(),
            created_at: "2026-01-01T00:00:00Z".to_owned(),
            last_used_at: "2026-01-01T00:00:00Z".to_owned(),
            user_agent: None,
            device: None,
            current,
        }
    }

    #[test]
    fn what_has_ended_is_taken_off_the_list() {
        let whole = Some(Ok(vec![
            session("a", true),
            session("b", false),
            session("c", false),
        ]));
        let ids = |what: &Ending| {
            let mut listed = whole.clone();
            remove(&mut listed, what);
            let sessions = listed.unwrap().unwrap();
            sessions
                .into_iter()
                .map(|session| session.id)
                .collect::<Vec<_>>()
        };

        assert_eq!(ids(&Ending::One("b".to_owned())), ["a", "c"]);
        assert_eq!(ids(&Ending::Others), ["a"]);
    }
}
