//! Signing in.

use countersign_types::routes::pages as paths;
use leptos::{prelude::*, task::spawn_local};
use leptos_router::components::A;

use crate::{
    api,
    components::{Credentials, CredentialsForm, FormError, Page, Purpose},
    refresh, return_to,
    session::{Farewell, Session, SessionHandle},
    settings::Settings,
    strings,
};

/// The sign-in form.
#[component]
pub fn SignInPage() -> impl IntoView {
    let session = SessionHandle::expect();
    let settings = Settings::expect();
    settings.ask();
    let target = super::target();
    super::leave_when_known(session, target);

    let is_pending = RwSignal::new(false);
    let error = RwSignal::new(None::<FormError>);
    let submit = Callback::new(move |typed: Credentials| {
        error.set(FormError::check(
            Purpose::SignIn,
            &typed,
            settings.password_rules(),
        ));
        if error.with_untracked(Option::is_some) {
            return;
        }
        is_pending.set(true);
        spawn_local(async move {
            let answer = refresh::alone(api::sign_in(typed.email, typed.password)).await;
            // Somebody may have left the page meanwhile, and then its signals are gone.
            let is_still_here = is_pending.try_set(false).is_none();
            match answer {
                Ok(answer) => session.begin(&answer),
                Err(found) if is_still_here => error.set(Some(super::form_error(&found))),
                Err(_) => {}
            }
        });
    });
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
            <CredentialsForm purpose=Purpose::SignIn is_pending=is_pending error=error on_submit=submit />
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
