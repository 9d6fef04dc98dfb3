//! Passwords: which are refused, and how they are hashed.

mod common;
mod hasher;

use countersign_types::{Email, PasswordError, PasswordRules};

pub use self::hasher::{HashError, Hasher, PasswordHash};

/// Checks everything the server can check of a new password.
///
/// # Errors
///
/// [`PasswordError`] says which rule does not hold.
pub fn check_new(
    rules: &PasswordRules,
    password: &str,
    email: Option<&Email>,
) -> Result<(), PasswordError> {
    rules.check(password, email)?;
    if common::is_common(password) {
        return Err(PasswordError::Common);
    }
    Ok(())
}
