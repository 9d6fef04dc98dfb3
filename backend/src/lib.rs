//! User authentication with JSON Web Tokens for axum: accounts, sign-in, and access tokens that any
//! service verifies through `/.well-known/jwks.json`.
//!
//! Run it as the binary `countersign`, or guard your own routes with [`Claims`]:
//!
//! ```
//! use axum::{Json, Router, extract::FromRef, routing::get};
//! use countersign::{Auth, Claims};
//!
//! /// The application's own state; Countersign's part is found through `FromRef`.
//! #[derive(Clone, FromRef)]
//! struct State {
//!     auth: Auth,
//! }
//!
//! /// Without an acceptable token the answer is 401 with its challenge, and this is never called.
//! async fn notes(claims: Claims) -> Json<String> {
//!     Json(format!("the notes of {}", claims.sub))
//! }
//!
//! let router: Router<State> = Router::new().route("/notes", get(notes));
//! ```
//!
//! # Features
//!
//! - `verify`: the token layer and the guards. No database, no command line, no password hashing;
//!   for services that check tokens which another process issues.
//! - `remote-jwks`: the same with keys that are fetched from a Countersign or an OpenID provider
//!   elsewhere, and kept fresh (`remote`).
//! - `server` (default): everything else, and the binary.
//! - `embed-ui`: the binary carries the pages.
//!
//! # Where things are
//!
//! A feature is a folder ([`accounts`], [`sessions`], …) with its rules in `mod.rs`, its handlers in
//! `http.rs` and its SQL in `store.rs`. [`token`] is pure: no HTTP, no database. [`App`] is where
//! the parts meet, [`router`] lists every route.

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
