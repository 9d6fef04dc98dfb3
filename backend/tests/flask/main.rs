//! What flask-jwt-extended 4.7.1 does and its own tests check, asked of our guards and issuers: what
//! `docs/from-flask.md` calls the same, and how it differs where it does.
//!
//! By the public interface alone, without a server. What needs accounts is in `it/flask.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

mod blocklist;
mod claims_and_headers;
mod claims_verification;
mod config;
mod cookies;
mod decoding;
mod document;
mod headers;
mod json;
mod keys;
mod locations;
mod options_method;
mod query_string;
mod user_lookup;
mod view_decorators;
