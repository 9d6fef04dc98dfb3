//! Creating an account.

use countersign_types::routes::pages as paths;
use leptos::prelude::*;
use leptos_router::components::A;

use crate::{
    components::{FormError, Page},
    forms::SignUpForm,
    return_to,
    session::SessionHandle,
    settings::Settings,
    strings,
};

/// The form that creates an account, or the news that nobody may.
#[component]
pub fn SignUpPage() -> impl IntoView {
    let session = SessionHandle::expect();
    let settings = Settings::expect();
    let target = super::target();
    super::leave_when_known(session, target);

    let error = RwSignal::new(None::<FormError>);
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
            {move || (!is_closed.get()).then(|| view! { <p class="lead">{strings::SIGN_UP_LEAD}</p> })}
            <SignUpForm error=error />
            {move || {
                if is_closed.get() {
                    view! {
                        <p>
                            <A href=sign_in attr:class="button">
                                {strings::SIGN_IN}
                            </A>
                        </p>
                    }
                        .into_any()
                } else {
                    view! {
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
