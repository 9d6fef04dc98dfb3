//! User authentication with JSON Web Tokens for axum: accounts, sign-in, and access tokens that any
//! service verifies through `/.well-known/jwks.json`.
//!
//! Run it as the binary `countersign`, or build on it:
//!
//! - Mount accounts, sessions and pages in an application: [`Countersign::builder`].
//! - Guard routes: [`Claims`] as a handler's argument, [`Auth::guard`] as a layer, all of it in
//!   [`guard`].
//! - Check the tokens of a Countersign or an OpenID provider elsewhere: [`Auth::of`] with
//!   [`token::PublicKeys::parse`] for keys in a file, `remote` for keys that are fetched.
//! - Issue tokens for users of your own: [`Issuer`].
//!
//! ```
//! use axum::{Json, Router, routing::get};
//! use countersign::{Auth, Claims};
//!
//! /// Without an acceptable token the answer is 401 with its challenge, and this is never called.
//! async fn notes(claims: Claims) -> Json<String> {
//!     Json(format!("the notes of {}", claims.sub))
//! }
//!
//! /// `auth` comes from one of the above. In a state of your own it is a field, under
//! /// `#[derive(Clone, FromRef)]`.
//! fn router(auth: Auth) -> Router {
//!     Router::new().route("/notes", get(notes)).with_state(auth)
//! }
//! ```
//!
//! Without the feature `server` the first of these is not there. It logs by `tracing`: without a
//! subscriber nothing is written.
//!
//! # Features
//!
//! - `verify`: the token layer and the guards. No database, no command line, no password hashing;
//!   for services that check tokens which another process issues.
//! - `remote-jwks`: the same with keys that are fetched from a Countersign or an OpenID provider
//!   elsewhere, and kept fresh (`remote`).
//! - `server` (default): everything else, and the binary.
//! - `embed-ui`: the binary carries the pages.

mod answer;
pub mod clock;
pub mod guard;
mod issuer;
#[cfg(feature = "remote-jwks")]
pub mod remote;
mod rng;
pub mod timestamp;
pub mod token;

#[cfg(feature = "server")]
pub mod accounts;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod assets;
#[cfg(feature = "server")]
pub mod builder;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
mod docs;
#[cfg(feature = "server")]
pub mod error;
#[cfg(feature = "server")]
pub mod extract;
#[cfg(feature = "server")]
pub mod health;
#[cfg(feature = "server")]
pub mod keys;
#[cfg(feature = "server")]
pub mod limits;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
mod no_store;
#[cfg(feature = "server")]
pub mod password;
#[cfg(feature = "server")]
pub mod router;
#[cfg(feature = "server")]
pub mod same_origin;
#[cfg(feature = "server")]
mod seal;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod sessions;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
mod telemetry;
#[cfg(feature = "server")]
mod token_answer;

#[cfg(feature = "server")]
pub use app::App;
/// [`App`], by the name under which an application mounts it.
#[cfg(feature = "server")]
pub use app::App as Countersign;
pub use guard::Auth;
pub use issuer::Issuer;
pub use token::Claims;

/// The README's code compiles.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../../README.md")]
struct Readme;

/// So does that of the page for people who come from Flask.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../../docs/from-flask.md")]
struct FromFlask;
