//! The form with an address and a password, for signing in and for signing up.

use countersign_types::{Email, Password, PasswordRules, routes::pages};
use leptos::{ev::SubmitEvent, html, prelude::*};

use super::focus_soon;
use crate::strings;

/// What the form is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An account that exists.
    SignIn,
    /// A new account.
    SignUp,
}

/// What somebody typed.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The address.
    pub email: String,
    /// The password.
    pub password: Password,
}

/// What is wrong with what was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormError {
    /// What concerns no field, or several.
    pub summary: String,
    /// What is wrong with the address.
    pub email: Option<String>,
    /// What is wrong with the password.
    pub password: Option<String>,
    /// Whether the password is to be typed again.
    pub clears_password: bool,
}

impl FormError {
    /// What the form itself finds wrong, before the server is asked.
    pub fn check(purpose: Purpose, typed: &Credentials, rules: PasswordRules) -> Option<Self> {
        let email = Email::parse(&typed.email);
        let password = match purpose {
            Purpose::SignUp => rules.check(typed.password.expose(), email.as_ref().ok()),
            // An old password may break the rules of today; the server judges it.
            Purpose::SignIn if typed.password.expose().is_empty() => {
                Err(countersign_types::PasswordError::Empty)
            }
            Purpose::SignIn => Ok(()),
        };
        Self::of_fields(
            email.err().map(|error| error.to_string()),
            password.err().map(|error| error.to_string()),
        )
    }

    /// What is wrong with the fields; `None` where nothing is.
    pub fn of_fields(email: Option<String>, password: Option<String>) -> Option<Self> {
        let summary = match (&email, &password) {
            (None, None) => return None,
            (Some(_), Some(_)) => strings::several_fields(2),
            _ => String::new(),
        };
        Some(Self {
            summary,
            email,
            password,
            clears_password: false,
        })
    }
}

/// The form with an address and a password.
///
/// The fields keep what was typed themselves, so that a password manager may fill them at any time.
#[component]
pub fn CredentialsForm(
    /// What the form is for.
    purpose: Purpose,
    /// What to know about the password before typing.
    #[prop(optional, into)]
    hint: Signal<Option<String>>,
    /// Whether an answer is awaited.
    #[prop(into)]
    is_pending: Signal<bool>,
    /// What was wrong with the last attempt.
    #[prop(into)]
    error: Signal<Option<FormError>>,
    /// Somebody sent the form; not called while an answer is awaited.
    on_submit: Callback<Credentials>,
) -> impl IntoView {
    let (action, label, pending, autocomplete, scene) = match purpose {
        Purpose::SignIn => (
            pages::SIGN_IN,
            strings::SIGN_IN,
            strings::SIGNING_IN,
            "current-password",
            "sign-in",
        ),
        Purpose::SignUp => (
            pages::SIGN_UP,
            strings::CREATE_ACCOUNT,
            strings::CREATING,
            "new-password",
            "sign-up",
        ),
    };
    let email = NodeRef::<html::Input>::new();
    let password = NodeRef::<html::Input>::new();
    let summary = NodeRef::<html::Div>::new();
    let is_shown = RwSignal::new(false);
    // Nothing is announced before somebody pressed the button.
    let was_toggled = RwSignal::new(false);

    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let (Some(email), Some(password)) = (email.get_untracked(), password.get_untracked())
        else {
            return;
        };
        if is_pending.get_untracked() {
            return;
        }
        // A shown password is hidden again, so that managers and histories take it for what it is.
        is_shown.set(false);
        was_toggled.set(false);
        on_submit.run(Credentials {
            email: email.value(),
            password: Password::from(password.value()),
        });
    };
    Effect::new(move |_| {
        let Some(found) = error.get() else { return };
        if found.clears_password
            && let Some(password) = password.get_untracked()
        {
            password.set_value("");
        }
        // After the summary has its text: a reader reads what it finds at the focus.
        focus_soon(summary);
    });
    // The typed views of Leptos do not know this attribute yet.
    Effect::new(move |_| {
        for input in [email.get(), password.get()].into_iter().flatten() {
            drop(input.set_attribute("autocorrect", "off"));
        }
    });
    let email_error = Memo::new(move |_| error.get().and_then(|error| error.email));
    let password_error = Memo::new(move |_| error.get().and_then(|error| error.password));
    let described = move |error: Memo<Option<String>>,
                          error_id: &'static str,
                          hint_id: Option<&'static str>| {
        let ids: Vec<_> = [error.get().is_some().then_some(error_id), hint_id]
            .into_iter()
            .flatten()
            .collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    };
    let invalid = move |error: Memo<Option<String>>| error.get().is_some().then_some("true");
    let has_hint = Memo::new(move |_| hint.get().is_some());

    view! {
        <form
            class="card"
            id=scene
            name=scene
            method="post"
            action=action
            novalidate
            on:submit=submit
            aria-busy=move || is_pending.get().to_string()
        >
            {move || {
                error.get().map(|found| view! {
                    <div class="summary" role="alert" tabindex="-1" node_ref=summary>
                        {(!found.summary.is_empty()).then(|| view! { <p>{found.summary.clone()}</p> })}
                        <ul>
                            {found.email.clone().map(|text| view! { <FieldLink field=email id="email" text=text /> })}
                            {found.password.clone().map(|text| view! { <FieldLink field=password id="password" text=text /> })}
                        </ul>
                    </div>
                })
            }}
            <div class="field">
                <label for="email">{strings::EMAIL}</label>
                <input
                    id="email"
                    name="email"
                    type="email"
                    inputmode="email"
                    autocomplete="username"
                    autocapitalize="none"
                    spellcheck="false"
                    required
                    node_ref=email
                    aria-invalid=move || invalid(email_error)
                    aria-describedby=move || described(email_error, "email-error", None)
                />
                {move || email_error.get().map(|text| view! { <p class="error" id="email-error">{text}</p> })}
            </div>
            <div class="field">
                <label for="password">{strings::PASSWORD}</label>
                <div class="with-button">
                    <input
                        id="password"
                        name="password"
                        type=move || if is_shown.get() { "text" } else { "password" }
                        autocomplete=autocomplete
                        autocapitalize="none"
                        spellcheck="false"
                        required
                        node_ref=password
                        aria-invalid=move || invalid(password_error)
                        aria-describedby=move || described(
                            password_error,
                            "password-error",
                            has_hint.get().then_some("password-hint"),
                        )
                    />
                    <button
                        type="button"
                        class="reveal"
                        aria-controls="password"
                        aria-label=move || if is_shown.get() { strings::HIDE_PASSWORD } else { strings::SHOW_PASSWORD }
                        on:click=move |_| {
                            is_shown.update(|shown| *shown = !*shown);
                            was_toggled.set(true);
                        }
                    >
                        {move || if is_shown.get() { strings::HIDE } else { strings::SHOW }}
                    </button>
                </div>
                {move || password_error.get().map(|text| view! { <p class="error" id="password-error">{text}</p> })}
                {move || hint.get().map(|text| view! { <p class="hint" id="password-hint">{text}</p> })}
                <p class="unseen" role="status">
                    {move || match (was_toggled.get(), is_shown.get()) {
                        (false, _) => "",
                        (true, true) => strings::PASSWORD_SHOWN,
                        (true, false) => strings::PASSWORD_HIDDEN,
                    }}
                </p>
            </div>
            // Not `disabled`, which would take the focus away from who pressed it.
            <button
                type="submit"
                class="button"
                aria-disabled=move || is_pending.get().to_string()
            >
                {move || if is_pending.get() { pending } else { label }}
            </button>
        </form>
    }
}

/// A line of the summary that leads to its field.
#[component]
fn FieldLink(field: NodeRef<html::Input>, id: &'static str, text: String) -> impl IntoView {
    view! {
        <li>
            <a
                href=format!("#{id}")
                rel="external"
                on:click=move |event| {
                    event.prevent_default();
                    if let Some(field) = field.get_untracked() {
                        drop(field.focus());
                    }
                }
            >
                {text}
            </a>
        </li>
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    fn typed(email: &str, password: &str) -> Credentials {
        Credentials {
            email: email.to_owned(),
            password: Password::from(password),
        }
    }

    #[test]
    fn both_fields_are_checked_at_once() {
        let error = FormError::check(
            Purpose::SignUp,
            &typed("ada", "short"),
            PasswordRules::default(),
        )
        .unwrap();

        assert_eq!(error.summary, "2 fields need attention.");
        assert!(error.email.unwrap().contains("name@example.com"));
        assert_eq!(
            error.password.unwrap(),
            "This has 5 characters; 15 are needed."
        );
    }

    #[test]
    fn an_old_short_password_may_sign_in() {
        let typed = typed("ada@example.com", "short");

        assert_eq!(
            FormError::check(Purpose::SignIn, &typed, PasswordRules::default()),
            None
        );
    }
}
