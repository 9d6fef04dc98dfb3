//! Sign-in pages and session handling for Leptos (client-side rendering), and Countersign's own
//! single-page application made of them.
//!
//! To embed the session in an application of your own, provide it once and read it anywhere below:
//!
//! ```no_run
//! use countersign_leptos::session::SessionHandle;
//! use leptos::prelude::*;
//!
//! #[component]
//! fn Greeting() -> impl IntoView {
//!     let session = SessionHandle::provide();
//!     move || if session.is_known() { "welcome back" } else { "who is there?" }
//! }
//! ```
//!
//! The session then ends with its token. Where the server gives refresh tokens in its cookie, provide
//! a [`Refresher`](refresh::Refresher) for it too, and the tokens are replaced as long as somebody
//! stays signed in.
//!
//! - [`api`] calls the server: the only user of gloo-net, a function for each path.
//! - [`session`] knows who is signed in: the only user of gloo-storage.
//! - [`refresh`] keeps them signed in: it composes the two.
//! - [`components`] take props and give callbacks; they reach for no global.
//! - [`pages`] compose components with all of these.
//! - [`return_to`] and [`claims`] are pure.
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
pub mod claims;
pub mod components;
mod lock;
pub mod pages;
pub mod refresh;
pub mod return_to;
pub mod session;
pub mod settings;
mod strings;

pub use app::App;
