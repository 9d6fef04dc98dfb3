//! The application: what is provided to all, the frame around every page, and the routes.

use countersign_types::routes::pages as paths;
use leptos::{prelude::*, task::spawn_local};
use leptos_router::{
    NavigateOptions,
    components::{FlatRoutes, Route, Router},
    hooks::use_navigate,
    path,
};

use crate::{
    api,
    components::{Frame, FrameLinks, provide_page_focus},
    pages::{HomePage, NotFoundPage, SessionsPage, SignInPage, SignUpPage},
    refresh::Refresher,
    session::{Farewell, SessionHandle},
    settings::Settings,
    strings,
};

/// Countersign's single-page application.
#[component]
pub fn App() -> impl IntoView {
    Refresher::provide(SessionHandle::provide());
    Settings::provide();
    provide_page_focus();
    view! {
        <Router>
            <Shell />
        </Router>
    }
}

#[component]
fn Shell() -> impl IntoView {
    let session = SessionHandle::expect();
    let settings = Settings::expect();
    let refresher = Refresher::expect();
    let navigate = use_navigate();
    let is_leaving = RwSignal::new(false);
    let sign_out = Callback::new(move |()| {
        let Some(token) = session.token_untracked() else {
            return;
        };
        if is_leaving.get_untracked() {
            return;
        }
        is_leaving.set(true);
        let navigate = navigate.clone();
        spawn_local(async move {
            let result = api::logout(&token).await;
            // A token that the server does not accept any more is as ended as can be.
            let is_told = match result {
                Ok(()) => true,
                Err(error) => error.is_unauthorized(),
            };
            session.end(Farewell::SignedOut { is_told });
            is_leaving.set(false);
            navigate(paths::HOME, NavigateOptions::default());
        });
    });
    let links = Signal::derive(move || {
        if session.is_known() {
            FrameLinks::Account
        } else if settings.is_registration_closed() {
            FrameLinks::SignIn
        } else {
            FrameLinks::SignInOrUp
        }
    });
    let notice = Signal::derive(move || {
        let is_online = || window().navigator().on_line();
        refresher.is_waiting().then(|| {
            if is_online() {
                strings::WAITING_SERVER
            } else {
                strings::WAITING_OFFLINE
            }
        })
    });
    view! {
        <Frame links=links is_leaving=is_leaving notice=notice on_sign_out=sign_out>
            <FlatRoutes fallback=|| view! { <NotFoundPage /> }>
                <Route path=path!("/") view=HomePage />
                <Route path=path!("/index") view=HomePage />
                <Route path=path!("/sign-in") view=SignInPage />
                <Route path=path!("/sign-up") view=SignUpPage />
                <Route path=path!("/sessions") view=SessionsPage />
            </FlatRoutes>
        </Frame>
    }
}
