//! Signing in.

use countersign_types::routes::pages as paths;
use leptos::prelude::*;
use leptos_router::components::A;

use crate::{
    components::{FormError, Page},
    forms::SignInForm,
    return_to,
    session::{Farewell, Session, SessionHandle},
    settings::Settings,
    strings,
};

/// The sign-in form.
#[component]
pub fn SignInPage() -> impl IntoView {
    let session = SessionHandle::expect();
    let settings = Settings::expect();
    let target = super::target();
    super::leave_when_known(session, target);

    let error = RwSignal::new(None::<FormError>);
    let notice = move || match session.get() {
        Session::Anonymous(Farewell::Expired) => Some(strings::EXPIRED),
        Session::Anonymous(Farewell::Ended) => Some(strings::ENDED),
        Session::Anonymous(Farewell::Elsewhere) => Some(strings::SIGNED_OUT_ELSEWHERE),
        _ => None,
    };
    view! {
        <Page
            title=strings::SIGN_IN.to_owned()
            has_error=Signal::derive(move || error.with(Option::is_some))
            class="narrow"
        >
            <p class="lead">{strings::SIGN_IN_LEAD}</p>
            <div role="status">
                {move || notice().map(|text| view! { <p class="notice">{text}</p> })}
            </div>
            <SignInForm error=error />
            {move || {
                (!settings.is_registration_closed())
                    .then(|| {
                        view! {
                            <p class="aside">
                                {strings::NO_ACCOUNT} " "
                                <A href=move || return_to::link(
                                    paths::SIGN_UP,
                                    Some(&target.get()),
                                )>{strings::CREATE_ACCOUNT}</A>
                            </p>
                        }
                    })
            }}
        </Page>
    }
}
