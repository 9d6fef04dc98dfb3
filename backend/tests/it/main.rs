//! Countersign from outside: its HTTP surface over a real socket, on SQLite and on PostgreSQL, and
//! the real binary.
//!
//! PostgreSQL is tested where `COUNTERSIGN_TEST_POSTGRES` names a server on which databases may be
//! made (`cargo xtask test` starts one); each test makes its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "the texts of tests are short, and read more often than built"
)]

mod support;

mod accounts;
mod cli;
mod contract;
mod docs;
mod errors;
mod examples;
mod flask;
mod gate;
mod grants;
mod keys;
mod lineage;
mod locations;
mod logout;
mod metrics;
mod mount;
mod pages;
mod refresh;
mod restarts;
mod schema;
mod session_list;
mod sessions;
mod tokens;
