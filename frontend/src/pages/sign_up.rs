//! Creating an account.

use countersign_types::routes::pages as paths;
use leptos::{prelude::*, task::spawn_local};
use leptos_router::components::A;

use crate::{
    api,
    components::{Credentials, CredentialsForm, FormError, Page, Purpose},
    refresh, return_to,
    session::SessionHandle,
    settings::Settings,
    strings,
};

/// The form that creates an account, or the news that nobody may.
#[component]
pub fn SignUpPage() -> impl IntoView {
    let session = SessionHandle::expect();
    let settings = Settings::expect();
    settings.ask();
    let target = super::target();
    super::leave_when_known(session, target);

    let is_pending = RwSignal::new(false);
    let error = RwSignal::new(None::<FormError>);
    let submit = Callback::new(move |typed: Credentials| {
        error.set(FormError::check(
            Purpose::SignUp,
            &typed,
            settings.password_rules(),
        ));
        if error.with_untracked(Option::is_some) {
            return;
        }
        is_pending.set(true);
        spawn_local(async move {
            let answer = refresh::alone(api::register(typed.email, typed.password)).await;
            // Somebody may have left the page meanwhile, and then its signals are gone.
            let is_still_here = is_pending.try_set(false).is_none();
            match answer {
                Ok(answer) => session.begin(&answer),
                Err(found) if is_still_here => error.set(Some(super::form_error(&found))),
                Err(_) => {}
            }
        });
    });
    let is_closed = Memo::new(move |_| settings.is_registration_closed());
    let title = Signal::derive(move || {
        let title = if is_closed.get() {
            strings::CLOSED
        } else {
            strings::CREATE_ACCOUNT
        };
        title.to_owned()
    });
    let sign_in = move || return_to::link(paths::SIGN_IN, Some(&target.get()));
    view! {
        <Page title=title has_error=Signal::derive(move || error.with(Option::is_some)) class="narrow">
            {move || {
                if is_closed.get() {
                    view! {
                        <p class="lead">{strings::CLOSED_LEAD}</p>
                        <p>
                            <A href=sign_in attr:class="button">
                                {strings::SIGN_IN}
                            </A>
                        </p>
                    }
                        .into_any()
                } else {
                    view! {
                        <p class="lead">{strings::SIGN_UP_LEAD}</p>
                        <CredentialsForm
                            purpose=Purpose::SignUp
                            hint=Signal::derive(move || Some(settings.password_rules().hint()))
                            is_pending=is_pending
                            error=error
                            on_submit=submit
                        />
                        <p class="aside">
                            {strings::HAVE_ACCOUNT} " " <A href=sign_in>{strings::SIGN_IN}</A>
                        </p>
                    }
                        .into_any()
                }
            }}
        </Page>
    }
}
