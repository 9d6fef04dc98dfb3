//! Sign-in for Leptos (client-side rendering): who is signed in, the forms, and an authorised fetch.
//! And Countersign's own single-page application, which is made of the same parts.
//!
//! Put [`AuthProvider`] around your application, and what only somebody signed in may see into
//! [`RequireSession`]:
//!
//! ```no_run
//! use countersign_leptos::{AuthProvider, Request, RequireSession, SignInForm, use_session};
//! use leptos::prelude::*;
//!
//! #[component]
//! fn App() -> impl IntoView {
//!     view! {
//!         <AuthProvider>
//!             <RequireSession fallback=|| view! { <SignInForm /> }>
//!                 <Notes />
//!             </RequireSession>
//!         </AuthProvider>
//!     }
//! }
//!
//! #[component]
//! fn Notes() -> impl IntoView {
//!     let session = use_session();
//!     // With the token of whoever is signed in; one that is over is replaced first.
//!     let notes = LocalResource::new(move || session.fetch(Request::get("/notes")));
//!     view! {
//!         <p>"The notes of " {move || session.name()}</p>
//!         <pre>{move || notes.get().map(|answer| answer.map_or_else(|error| error.to_string(), |answer| answer.body))}</pre>
//!         <button on:click=move |_| session.sign_out()>"Sign out"</button>
//!     }
//! }
//! ```
//!
//! The server is an axum application of the same origin that has merged the router of the crate
//! `countersign`; its example `notes` is a whole application of both.
//!
//! | what | is |
//! |---|---|
//! | [`AuthProvider`] | keeps who is signed in, for all below |
//! | [`use_session`] | who is signed in, signing out, and the authorised [`fetch`](CurrentSession::fetch) |
//! | [`RequireSession`] | shows its children to whoever is signed in |
//! | [`SignInForm`], [`SignUpForm`] | the forms, complete |
//! | [`TokenStorage`] | where the access token is kept: `localStorage`, or memory |
//! | [`App`] | Countersign's own pages |
//!
//! Below these:
//!
//! - [`api`] calls the server: the only user of gloo-net, a function for each path.
//! - [`session`] knows who is signed in: the only user of gloo-storage.
//! - [`refresh`] keeps them signed in: it composes the two.
//! - [`components`] take props and give callbacks; they reach for no global.
//! - [`auth`], [`forms`] and [`pages`] compose components with all of these.
//! - [`fetch`], [`return_to`] and [`claims`] are pure.
//!
//! Texts are in one private module, so that a translation finds them all.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a component owns its properties, whether it consumes them or not"
)]
#![expect(
    clippy::too_many_lines,
    reason = "a view is one expression, and reads best where nothing of it is elsewhere"
)]

pub mod api;
pub mod app;
pub mod auth;
pub mod claims;
pub mod components;
pub mod fetch;
pub mod forms;
mod lock;
pub mod pages;
pub mod refresh;
pub mod return_to;
pub mod session;
pub mod settings;
mod strings;

pub use app::App;
pub use auth::{AuthProvider, CurrentSession, RequireSession, use_session};
pub use fetch::{FetchError, Request, Response};
pub use forms::{SignInForm, SignUpForm};
pub use session::TokenStorage;
