//! User authentication with JSON Web Tokens for axum: accounts, sign-in, and access tokens that any
//! service verifies through `/.well-known/jwks.json`.
//!
//! Run it as the binary `countersign`, or guard your own routes with [`Claims`]:
//!
//! ```
//! use axum::{Json, Router, extract::FromRef, routing::get};
//! use countersign::{App, Claims};
//!
//! /// The application's own state; Countersign's part is found through `FromRef`.
//! #[derive(Clone, FromRef)]
//! struct State {
//!     countersign: App,
//! }
//!
//! /// Without an acceptable token the answer is 401 with its challenge, and this is never called.
//! async fn notes(claims: Claims) -> Json<String> {
//!     Json(format!("the notes of {}", claims.email))
//! }
//!
//! let router: Router<State> = Router::new().route("/notes", get(notes));
//! ```
//!
//! # Where things are
//!
//! A feature is a folder ([`accounts`], [`sessions`], …) with its rules in `mod.rs`, its handlers in
//! `http.rs` and its SQL in `store.rs`. [`token`] is pure: no HTTP, no database. [`App`] is where
//! the parts meet, [`router`] lists every route.

pub mod accounts;
pub mod app;
pub mod assets;
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod extract;
pub mod health;
pub mod keys;
pub mod limits;
mod no_store;
pub mod password;
mod rng;
pub mod router;
pub mod same_origin;
mod seal;
pub mod server;
pub mod sessions;
pub mod store;
mod telemetry;
pub mod token;
mod token_answer;

pub use app::App;
pub use token::Claims;
