//! The forms, complete: they call the server, show what it says and begin the session.
//!
//! They bring no style. Their elements have the classes `card` (the form), `summary` (what is wrong,
//! above the fields), `field`, `with-button`, `reveal`, `hint`, `error` and `button`, to be styled as
//! the application likes; `unseen` is for screen readers alone. A page shows one form at a time: the
//! fields have fixed ids, which password managers go by.

use leptos::{prelude::*, task::spawn_local};

use crate::{
    api::{self, ApiError},
    components::{Credentials, CredentialsForm, FormError, Purpose},
    refresh,
    session::SessionHandle,
    settings::Settings,
    strings,
};

/// What was wrong with a form's last attempt.
pub type FormFailure = RwSignal<Option<FormError>>;

/// Signs in. The session begins by itself; `on_success` is for what an application does besides.
///
/// ```no_run
/// use countersign_leptos::SignInForm;
/// use leptos::prelude::*;
///
/// # #[component]
/// # fn Page() -> impl IntoView {
/// view! {
///     <h1>"Sign in"</h1>
///     <SignInForm on_success=|()| document().set_title("Welcome back") />
/// }
/// # }
/// ```
///
/// # Panics
///
/// Where there is no [`AuthProvider`](crate::AuthProvider) above.
#[component]
pub fn SignInForm(
    /// Called once somebody is signed in.
    #[prop(optional, into)]
    on_success: Option<Callback<()>>,
    /// Where the form says what is wrong, for a page that shows it elsewhere too.
    #[prop(optional)]
    error: FormFailure,
) -> impl IntoView {
    view! { <AccountForm purpose=Purpose::SignIn on_success=on_success error=error /> }
}

/// Creates an account and signs in, by the rules that the server has. Where nobody may create one,
/// it says so instead.
///
/// ```no_run
/// use countersign_leptos::SignUpForm;
/// use leptos::prelude::*;
///
/// # #[component]
/// # fn Page() -> impl IntoView {
/// view! {
///     <h1>"Create account"</h1>
///     <SignUpForm on_success=|()| document().set_title("Welcome") />
/// }
/// # }
/// ```
///
/// # Panics
///
/// Where there is no [`AuthProvider`](crate::AuthProvider) above.
#[component]
pub fn SignUpForm(
    /// Called once the account is there and signed in.
    #[prop(optional, into)]
    on_success: Option<Callback<()>>,
    /// Where the form says what is wrong, for a page that shows it elsewhere too.
    #[prop(optional)]
    error: FormFailure,
) -> impl IntoView {
    let settings = Settings::expect();
    let is_closed = Memo::new(move |_| settings.is_registration_closed());
    move || {
        if is_closed.get() {
            view! { <p class="lead">{strings::CLOSED_LEAD}</p> }.into_any()
        } else {
            view! { <AccountForm purpose=Purpose::SignUp on_success=on_success error=error /> }
                .into_any()
        }
    }
}

#[component]
fn AccountForm(
    purpose: Purpose,
    on_success: Option<Callback<()>>,
    error: FormFailure,
) -> impl IntoView {
    let session = SessionHandle::expect();
    let settings = Settings::expect();
    settings.ask();

    let is_pending = RwSignal::new(false);
    let submit = Callback::new(move |typed: Credentials| {
        error.set(FormError::check(purpose, &typed, settings.password_rules()));
        if error.with_untracked(Option::is_some) {
            return;
        }
        is_pending.set(true);
        spawn_local(async move {
            let Credentials { email, password } = typed;
            let call = async {
                match purpose {
                    Purpose::SignIn => api::sign_in(email, password).await,
                    Purpose::SignUp => api::register(email, password).await,
                }
            };
            let answer = refresh::alone(call).await;
            // Somebody may have left the page meanwhile, and then its signals are gone.
            let is_still_here = is_pending.try_set(false).is_none();
            match answer {
                Ok(answer) => {
                    session.begin(&answer);
                    if let Some(on_success) = on_success.filter(|_| is_still_here) {
                        on_success.run(());
                    }
                }
                Err(found) if is_still_here => error.set(Some(form_error(&found))),
                Err(_) => {}
            }
        });
    });
    let hint = Signal::derive(move || {
        (purpose == Purpose::SignUp).then(|| settings.password_rules().hint())
    });
    view! {
        <CredentialsForm purpose=purpose hint=hint is_pending=is_pending error=error on_submit=submit />
    }
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
