//! The pages: components, composed with the calls of the server and the session.

pub mod home;
pub mod not_found;
pub mod sessions;
pub mod sign_in;
pub mod sign_up;

use countersign_types::routes::pages as paths;
use leptos::prelude::*;
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_query_map},
};

use crate::{api::ApiError, components::FormError, return_to, session::SessionHandle, strings};

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

/// Leaves for [`target`] as soon as somebody is signed in.
fn leave_when_known(session: SessionHandle, target: Memo<String>) {
    let navigate = use_navigate();
    let is_known = Memo::new(move |_| session.is_known());
    Effect::new(move |was_known: Option<bool>| {
        let is_known = is_known.get();
        if is_known && was_known != Some(true) {
            let options = NavigateOptions {
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

/// What the server found wrong, beside the fields that it names.
fn form_error(error: &ApiError) -> FormError {
    let fields = match error {
        ApiError::Problem(problem) => {
            let detail = |pointer| problem.field(pointer).map(|field| field.detail.clone());
            FormError::of_fields(detail("/email"), detail("/password"))
        }
        _ => None,
    };
    fields.unwrap_or_else(|| FormError {
        summary: if error.is_lost() {
            strings::form_unanswered(&error.text())
        } else {
            error.text()
        },
        clears_password: error.is_unauthorized(),
        ..FormError::default()
    })
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use countersign_types::{FieldProblem, Problem, ProblemCode};

    use super::*;

    #[test]
    fn the_servers_pointers_lead_to_their_fields() {
        let problem = Problem::fields(vec![FieldProblem::new(
            "/password",
            "password_common",
            "Too common.",
        )]);

        let error = form_error(&ApiError::Problem(Box::new(problem)));

        assert_eq!(error.password.as_deref(), Some("Too common."));
        assert_eq!(error.email, None);
    }

    #[test]
    fn a_wrong_password_is_typed_again_and_no_other_loss_is_caused() {
        let problem = Problem::new(ProblemCode::InvalidCredentials, "Wrong.");

        assert!(form_error(&ApiError::Problem(Box::new(problem))).clears_password);
        let error = form_error(&ApiError::Offline);
        assert!(!error.clears_password);
        assert!(error.summary.ends_with("What you typed is still here."));
    }

    #[test]
    fn a_reached_limit_says_how_long_to_wait() {
        let problem = Problem {
            retry_after: Some(150),
            ..Problem::new(ProblemCode::RateLimited, "x")
        };

        let error = form_error(&ApiError::Problem(Box::new(problem)));

        assert_eq!(error.summary, "Too many attempts. Try again in 3 minutes.");
    }
}
