//! The frame around every page: skip link, header, navigation, footer.

use countersign_types::routes::{self, pages};
use leptos::{html, prelude::*};
use leptos_router::components::A;

use crate::strings;

/// What the header offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameLinks {
    /// To sign in.
    SignIn,
    /// To sign in or to create an account.
    SignInOrUp,
    /// To the list of sessions, and to sign out.
    Account,
}

/// The frame around every page.
#[component]
pub fn Frame(
    /// What the header offers.
    #[prop(into)]
    links: Signal<FrameLinks>,
    /// What everybody should know, whatever the page.
    #[prop(into)]
    notice: Signal<Option<&'static str>>,
    /// Somebody wants to sign out.
    on_sign_out: Callback<()>,
    /// The page.
    children: Children,
) -> impl IntoView {
    let main = NodeRef::<html::Main>::new();
    let links = Memo::new(move |_| links.get());
    let notice = Memo::new(move |_| notice.get());
    view! {
        <a
            class="skip"
            href="#content"
            // The router would take it for a navigation.
            rel="external"
            on:click=move |event| {
                event.prevent_default();
                if let Some(main) = main.get() {
                    drop(main.focus());
                }
            }
        >
            {strings::SKIP}
        </a>
        <header class="top">
            <A href=pages::HOME attr:class="brand">
                <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true" focusable="false">
                    <path class="brand-ring" d="M21.5 11.2a7.4 7.4 0 1 0 0 9.6" />
                    <path class="brand-tick" d="m13.5 16.2 3.4 3.4 8.6-9.4" />
                </svg>
                {strings::PRODUCT}
            </A>
            <nav aria-label=strings::ACCOUNT_NAV>
                {move || match links.get() {
                    FrameLinks::Account => {
                        view! {
                            <A href=pages::SESSIONS>{strings::SESSIONS}</A>
                            <button
                                type="button"
                                class="quiet"
                                on:click=move |_| on_sign_out.run(())
                            >
                                {strings::SIGN_OUT}
                            </button>
                        }
                            .into_any()
                    }
                    FrameLinks::SignIn => {
                        view! { <A href=pages::SIGN_IN>{strings::SIGN_IN}</A> }.into_any()
                    }
                    FrameLinks::SignInOrUp => {
                        view! {
                            <A href=pages::SIGN_IN>{strings::SIGN_IN}</A>
                            <A href=pages::SIGN_UP>{strings::CREATE_ACCOUNT}</A>
                        }
                            .into_any()
                    }
                }}
            </nav>
        </header>
        <main id="content" tabindex="-1" node_ref=main>
            <div class="news" role="status">
                {move || notice.get().map(|text| view! { <p class="notice">{text}</p> })}
            </div>
            {children()}
        </main>
        <footer class="bottom">
            <p>{strings::TAGLINE}</p>
            <p>
                <a href=routes::JWKS rel="external">
                    {strings::KEYS}
                </a>
                <a href=routes::DOCS rel="external">
                    {strings::API}
                </a>
            </p>
        </footer>
    }
}
