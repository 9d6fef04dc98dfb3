//! The application: what is provided to all, the frame around every page, and the routes.

use countersign_types::routes::pages as paths;
use leptos::prelude::*;
use leptos_router::{
    NavigateOptions,
    components::{FlatRoutes, Route, Router},
    hooks::use_navigate,
    path,
};

use crate::{
    auth::{AuthProvider, use_session},
    components::{Frame, FrameLinks, provide_page_focus},
    pages::{HomePage, NotFoundPage, SessionsPage, SignInPage, SignUpPage},
    settings::Settings,
    strings,
};

/// Countersign's single-page application.
#[component]
pub fn App() -> impl IntoView {
    provide_page_focus();
    view! {
        <AuthProvider>
            <Router>
                <Shell />
            </Router>
        </AuthProvider>
    }
}

#[component]
fn Shell() -> impl IntoView {
    let session = use_session();
    let settings = Settings::expect();
    settings.ask();
    let navigate = use_navigate();
    let sign_out = Callback::new(move |()| {
        session.sign_out();
        navigate(paths::HOME, NavigateOptions::default());
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
        session.is_waiting().then(|| {
            if is_online() {
                strings::WAITING_SERVER
            } else {
                strings::WAITING_OFFLINE
            }
        })
    });
    view! {
        <Frame links=links notice=notice on_sign_out=sign_out>
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
