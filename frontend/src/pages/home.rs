//! Home: a welcome, or who is signed in and how the server knows.

use countersign_types::{ProblemCode, routes::pages as paths};
use leptos::{prelude::*, task::spawn_local};
use leptos_router::{
    NavigateOptions,
    components::A,
    hooks::{use_location, use_navigate},
};

use crate::{
    api::{self, ApiError, Exchange},
    components::{Lesson, Page},
    return_to,
    session::{Farewell, Session, SessionHandle},
    settings::Settings,
    strings,
};

/// A welcome, or who is signed in and how the server knows.
#[component]
pub fn HomePage() -> impl IntoView {
    let session = SessionHandle::expect();
    let exchange = RwSignal::new(None::<Result<Exchange, ApiError>>);
    let attempt = RwSignal::new(0_u32);
    ask(session, exchange, attempt);
    lead_to_sign_in(session);

    let is_known = Memo::new(move |_| session.is_known());
    let title = Signal::derive(move || match (is_known.get(), exchange.get()) {
        (false, _) => strings::WELCOME.to_owned(),
        (true, Some(Ok(exchange))) => exchange.message,
        (true, Some(Err(_))) => strings::FAILED.to_owned(),
        (true, None) => strings::ASKING.to_owned(),
    });
    view! {
        <Page title=title class="wide">
            {move || {
                if is_known.get() {
                    view! { <SignedIn session=session exchange=exchange attempt=attempt /> }.into_any()
                } else {
                    view! { <Welcome session=session /> }.into_any()
                }
            }}
        </Page>
    }
}

/// Calls what only a valid token gets, for each token and each attempt.
fn ask(
    session: SessionHandle,
    exchange: RwSignal<Option<Result<Exchange, ApiError>>>,
    attempt: RwSignal<u32>,
) {
    let token = Memo::new(move |_| session.token());
    Effect::new(move |_| {
        attempt.track();
        exchange.set(None);
        let Some(token) = token.get() else { return };
        spawn_local(async move {
            let answer = api::protected(&token).await;
            if let Err(ApiError::Problem(problem)) = &answer
                && problem.status == ProblemCode::TokenInvalid.status()
            {
                session.refuse(&token, problem.code);
                return;
            }
            // An answer for a token that was replaced meanwhile is no news.
            if session.token_untracked().as_ref() == Some(&token) {
                drop(exchange.try_set(Some(answer)));
            }
        });
    });
}

/// Whose session ended unasked is led to sign in, and back here afterwards.
fn lead_to_sign_in(session: SessionHandle) {
    let navigate = use_navigate();
    let path = use_location().pathname;
    Effect::new(move |_| {
        if let Session::Anonymous(farewell) = session.get()
            && farewell.is_unasked()
        {
            let page = return_to::link(paths::SIGN_IN, Some(&path.get_untracked()));
            let options = NavigateOptions {
                replace: true,
                ..Default::default()
            };
            navigate(&page, options);
        }
    });
}

#[component]
fn Welcome(session: SessionHandle) -> impl IntoView {
    let settings = Settings::expect();
    let path = use_location().pathname;
    let notice = move || match session.get() {
        Session::Anonymous(Farewell::SignedOut { is_told: true }) => Some(strings::SIGNED_OUT),
        Session::Anonymous(Farewell::SignedOut { is_told: false }) => {
            Some(strings::SIGNED_OUT_UNTOLD)
        }
        Session::Anonymous(Farewell::Elsewhere) => Some(strings::SIGNED_OUT_ELSEWHERE),
        _ => None,
    };
    view! {
        <div role="status">
            {move || notice().map(|text| view! { <p class="notice">{text}</p> })}
        </div>
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
    exchange: RwSignal<Option<Result<Exchange, ApiError>>>,
    attempt: RwSignal<u32>,
) -> impl IntoView {
    let known = move || match session.get() {
        Session::Known(known) => Some(known),
        _ => None,
    };
    let name = move || known().and_then(|known| known.claims.name().map(ToOwned::to_owned));
    let is_stored = move || known().is_none_or(|known| known.is_stored);
    view! {
        <p class="lead">
            {strings::SIGNED_IN_AS} " " <strong class="who">{name}</strong>
        </p>
        <div role="status">
            {move || (!is_stored()).then(|| view! { <p class="notice">{strings::NOT_STORED}</p> })}
        </div>
        {move || match (exchange.get(), known()) {
            (Some(Ok(exchange)), Some(known)) => {
                view! {
                    <Lesson
                        token=known.token
                        claims=known.claims
                        status=exchange.status
                        body=exchange.body
                        seconds_left=Signal::derive(move || session.seconds_left())
                    />
                }
                    .into_any()
            }
            (Some(Err(error)), _) => {
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
            _ => ().into_any(),
        }}
    }
}
