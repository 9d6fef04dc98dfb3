//! The pages: components, composed with the calls of the server and the session.

pub mod home;
pub mod not_found;
pub mod sessions;
pub mod sign_in;
pub mod sign_up;

use countersign_types::{accounts::Home, routes::pages as paths};
use leptos::prelude::*;
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_query_map},
    params::ParamsMap,
};

use crate::{return_to, session::SessionHandle, settings::Settings};

pub use home::HomePage;
pub use not_found::NotFoundPage;
pub use sessions::SessionsPage;
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

/// Leaves for the sign-in page, which then leads back here.
fn lead_to_sign_in() -> impl Fn() + Clone {
    let navigate = use_navigate();
    let path = use_location().pathname;
    move || {
        let page = return_to::link(paths::SIGN_IN, Some(&path.get_untracked()));
        let options = NavigateOptions {
            replace: true,
            ..Default::default()
        };
        navigate(&page, options);
    }
}

/// Whether this place belongs to the application in which these pages are mounted; `None` while that
/// is not known. Then it is left for the application's own page, as a browser goes anywhere.
fn leave_for_application() -> Memo<Option<bool>> {
    let settings = Settings::expect();
    let place = use_location();
    let is_theirs = Memo::new(move |_| settings.home().map(|home| home != Home::Pages));
    Effect::new(move |_| {
        if is_theirs.get() != Some(true) {
            return;
        }
        let location = window().location();
        let mut here = place.pathname.get_untracked();
        // The router may have put the new address there already, and then going to it would be no
        // more than a jump to its fragment. Nothing is to be done where a browser refuses to leave.
        if location.pathname().is_ok_and(|there| there == here) {
            drop(location.reload());
            return;
        }
        here.push_str(&place.query.with_untracked(ParamsMap::to_query_string));
        here.push_str(&place.hash.get_untracked());
        drop(location.replace(&here));
    });
    is_theirs
}

/// Leaves for [`target`] as soon as somebody is signed in, and it is known whose page that is.
fn leave_when_known(session: SessionHandle, target: Memo<String>) {
    let navigate = use_navigate();
    let settings = Settings::expect();
    let is_known = Memo::new(move |_| session.is_known());
    let knows_home = Memo::new(move |_| settings.home().is_some());
    Effect::new(move |last: Option<(bool, bool)>| {
        let (saw_form, has_left) = last.unwrap_or_default();
        if !is_known.get() {
            return (true, false);
        }
        if has_left || !knows_home.get() {
            return (saw_form, has_left);
        }
        let options = NavigateOptions {
            // Password managers look for a navigation after the form; who never saw the form needs
            // no way back to it.
            replace: !saw_form,
            ..Default::default()
        };
        navigate(&target.get_untracked(), options);
        (saw_form, true)
    });
}
