//! Tokens of an issuer elsewhere, whose server is slow, wrong, huge, hostile or gone; over real
//! sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

mod countersign_elsewhere;
mod discovery;
mod hostile;
mod logs;
mod outages;
mod rotation;
mod tls;
