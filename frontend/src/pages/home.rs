//! Home: a welcome, or who is signed in and how the server knows; or the page that an application
//! has there.

use countersign_types::{Token, routes::pages as paths};
use leptos::{html, prelude::*, task::spawn_local};
use leptos_router::{components::A, hooks::use_location};

use crate::{
    api::{self, ApiError, Exchange},
    auth::use_session,
    claims::Claims,
    components::{Lesson, Page, focus_soon},
    refresh::Refresher,
    return_to,
    session::{Farewell, Session, SessionHandle},
    settings::Settings,
    strings,
};

/// A welcome, or who is signed in and how the server knows. Where these pages are mounted in an
/// application, that one's own page.
#[component]
pub fn HomePage() -> impl IntoView {
    let is_theirs = super::leave_for_application();
    let is_theirs = Memo::new(move |_| is_theirs.get() == Some(true));
    move || (!is_theirs.get()).then(|| view! { <OwnHome /> }.into_any())
}

#[component]
fn OwnHome() -> impl IntoView {
    let session = SessionHandle::expect();
    let asked = RwSignal::new(None::<Asked>);
    let attempt = RwSignal::new(0_u32);
    ask(session, asked, attempt);
    lead_away_when_ended(session);

    let is_known = Memo::new(move |_| session.is_known());
    let heading = NodeRef::<html::H1>::new();
    Effect::new(move |last: Option<(bool, u32)>| {
        let current = (is_known.get(), attempt.get());
        if last.is_some_and(|last| last != current) {
            // The button that was pressed is gone, and the focus would be lost with it.
            focus_soon(heading);
        }
        current
    });
    let notice = move || match session.get() {
        Session::Known(known) => (!known.is_stored).then_some(strings::NOT_STORED),
        Session::Anonymous(Farewell::SignedOut { is_told: true }) => Some(strings::SIGNED_OUT),
        Session::Anonymous(Farewell::SignedOut { is_told: false }) => {
            Some(strings::SIGNED_OUT_UNTOLD)
        }
        Session::Anonymous(Farewell::Elsewhere) => Some(strings::SIGNED_OUT_ELSEWHERE),
        Session::Unknown | Session::Anonymous(_) => None,
    };
    let notice = Memo::new(move |_| notice());
    let title = Signal::derive(move || match (is_known.get(), asked.get()) {
        (false, _) => strings::WELCOME.to_owned(),
        (true, Some(Ok((_, exchange)))) => exchange.message,
        (true, Some(Err(_))) => strings::FAILED.to_owned(),
        (true, None) => strings::ASKING.to_owned(),
    });
    view! {
        <Page title=title heading=heading class="wide">
            // Outside of what changes with the session: readers announce only what changes in a place
            // that was there before.
            <div role="status">
                {move || notice.get().map(|text| view! { <p class="notice">{text}</p> })}
            </div>
            {move || {
                if is_known.get() {
                    view! { <SignedIn session=session asked=asked attempt=attempt /> }.into_any()
                } else {
                    view! { <Welcome /> }.into_any()
                }
            }}
        </Page>
    }
}

/// The answer, and the token that got it.
type Asked = Result<(Token, Exchange), ApiError>;

/// Calls what only a valid token gets, for each token and each attempt. As long as it is the same
/// session, what is shown stays until there is something newer.
fn ask(session: SessionHandle, asked: RwSignal<Option<Asked>>, attempt: RwSignal<u32>) {
    let refresher = Refresher::expect();
    let token = Memo::new(move |_| session.token());
    let id = Memo::new(move |_| session.id());
    let latest = StoredValue::new(0_u32);
    Effect::new(move |last: Option<(u32, Option<String>)>| {
        let current = (attempt.get(), id.get());
        if last.as_ref() != Some(&current) {
            asked.set(None);
        }
        let number = latest.get_value().wrapping_add(1);
        latest.set_value(number);
        if token.with(Option::is_some) {
            spawn_local(async move {
                let answer = refresher
                    .call(|token| async move {
                        let exchange = api::protected(&token).await?;
                        Ok((token, exchange))
                    })
                    .await;
                // Somebody may have left the page, or another token may have been asked with since.
                let is_latest = latest.try_get_value() == Some(number);
                if let Some(answer) = answer.filter(|_| is_latest) {
                    drop(asked.try_set(Some(answer)));
                }
            });
        }
        current
    });
}

/// Whose session ended unasked while this page was shown is led to sign in, and back here afterwards.
/// Who comes here later shall stay.
fn lead_away_when_ended(session: SessionHandle) {
    let lead = super::lead_to_sign_in();
    Effect::new(move |was_known: Option<bool>| match session.get() {
        Session::Known(_) => true,
        Session::Anonymous(farewell) => {
            if was_known == Some(true) && farewell.is_unasked() {
                lead();
            }
            false
        }
        Session::Unknown => false,
    });
}

#[component]
fn Welcome() -> impl IntoView {
    let settings = Settings::expect();
    let path = use_location().pathname;
    view! {
        <p class="lead">{strings::WELCOME_LEAD}</p>
        <p class="actions">
            <A href=move || return_to::link(paths::SIGN_IN, Some(&path.get())) attr:class="button">
                {strings::SIGN_IN}
            </A>
            {move || {
                (!settings.is_registration_closed())
                    .then(|| {
                        view! {
                            <A href=paths::SIGN_UP attr:class="button second">
                                {strings::CREATE_ACCOUNT}
                            </A>
                        }
                    })
            }}
        </p>
    }
}

#[component]
fn SignedIn(
    session: SessionHandle,
    asked: RwSignal<Option<Asked>>,
    attempt: RwSignal<u32>,
) -> impl IntoView {
    let current = use_session();
    view! {
        <p class="lead">
            {strings::SIGNED_IN_AS} " " <strong class="who">{move || current.name()}</strong>
        </p>
        {move || match asked.get() {
            Some(Ok((token, exchange))) => {
                Claims::decode(token.expose())
                    .map(|claims| {
                        view! {
                            <Lesson
                                token=token
                                claims=claims
                                status=exchange.status
                                body=exchange.body
                                seconds_left=Signal::derive(move || session.seconds_left())
                            />
                        }
                    })
                    .into_any()
            }
            Some(Err(error)) => {
                view! {
                    <div class="summary" role="alert">
                        <p>{error.text()}</p>
                    </div>
                    <p>
                        <button type="button" class="button" on:click=move |_| attempt.update(|count| *count += 1)>
                            {strings::TRY_AGAIN}
                        </button>
                    </p>
                }
                    .into_any()
            }
            None => ().into_any(),
        }}
    }
}
