//! The pages: components, composed with the calls of the server and the session.

pub mod home;
pub mod not_found;
pub mod sign_in;
pub mod sign_up;

use countersign_types::routes::pages as paths;
use leptos::prelude::*;
use leptos_router::hooks::{use_navigate, use_query_map};

use crate::{return_to, session::SessionHandle};

pub use home::HomePage;
pub use not_found::NotFoundPage;
pub use sign_in::SignInPage;
pub use sign_up::SignUpPage;

/// Where the address says to go after signing in, if that is safe; else home.
fn target() -> Memo<String> {
    let query = use_query_map();
    Memo::new(move |_| {
        let wanted = query.read().get("return_to");
        wanted
            .as_deref()
            .and_then(return_to::parse)
            .unwrap_or(paths::HOME)
            .to_owned()
    })
}

/// Leaves for [`target`] as soon as somebody is signed in.
fn leave_when_known(session: SessionHandle, target: Memo<String>) {
    let navigate = use_navigate();
    let is_known = Memo::new(move |_| session.is_known());
    Effect::new(move |was_known: Option<bool>| {
        let is_known = is_known.get();
        if is_known && was_known != Some(true) {
            let options = leptos_router::NavigateOptions {
                // Password managers look for a navigation after the form; who never saw the form
                // needs no way back to it.
                replace: was_known.is_none(),
                ..Default::default()
            };
            navigate(&target.get_untracked(), options);
        }
        is_known
    });
}
