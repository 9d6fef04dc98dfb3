//! The wire contract of Countersign: every path, request, answer and problem, and the rules that
//! a form shows and the server enforces.
//!
//! Compiled for the browser (wasm32) and for the server, so it does no input or output and knows
//! no clock. It must not import anything else of ours.
//!
//! # Stability
//!
//! Answers may gain members in a minor version, so readers here ignore members they do not know
//! and meet an unknown [`ProblemCode`] as [`ProblemCode::Unknown`]. Requests with a member that is
//! not listed here are refused.

pub mod accounts;
pub mod problem;
pub mod routes;
pub mod rules;
pub mod secret;
pub mod sessions;
pub mod text;

pub use problem::{FieldProblem, Problem, ProblemCode};
pub use rules::{Email, EmailError, PasswordError, PasswordRules};
pub use secret::{Password, Token};
