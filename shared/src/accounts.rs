//! Creating an account, and what an account or a page may ask about it.

use serde::{Deserialize, Serialize};

use crate::{PasswordRules, secret::Password, sessions::RefreshDelivery};

/// Who registers, to `POST /auth/register`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// The address that names the account.
    #[cfg_attr(feature = "openapi", schema(example = "ada@example.com"))]
    pub email: String,
    /// Its password, by the rules that `GET /auth/config` tells.
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = String, example = "violet tractor sings 47 lullabies")
    )]
    pub password: Password,
    /// How the refresh token is delivered.
    #[serde(default)]
    pub refresh: RefreshDelivery,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Account {
    /// The account's id, the `sub` of its tokens.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub id: String,
    /// The address as it was typed.
    #[cfg_attr(feature = "openapi", schema(example = "ada@example.com"))]
    pub email: String,
    /// Whether the address was confirmed.
    pub email_verified: bool,
    /// When it was made. RFC 3339, UTC.
    #[cfg_attr(
        feature = "openapi",
        schema(format = "date-time", example = "2026-01-01T12:00:00Z")
    )]
    pub created_at: String,
}

/// What a page needs to know before anyone signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthConfig {
    /// Whether anybody may create an account.
    pub registration: Registration,
    /// How long a password must and may be.
    pub password: PasswordRules,
    /// Whether an address has to be confirmed.
    pub email_verification: EmailVerification,
    /// Whether mail can be sent.
    pub mail: bool,
    /// Ways to sign in.
    pub methods: Vec<SignInMethod>,
    /// Whose page is at `/`.
    #[serde(default)]
    pub home: Home,
}

/// Whose page is at `/`, where signing in and out lead to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Home {
    /// One of Countersign's own pages.
    #[default]
    Pages,
    /// A page of the application in which Countersign is mounted.
    Application,
    /// Somebody's whom this version does not know.
    #[serde(other)]
    Unknown,
}

/// Who may create an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Anybody.
    Open,
    /// Only the operator, with `countersign user create`.
    Closed,
    /// A policy that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Whether an address has to be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EmailVerification {
    /// Never.
    Off,
    /// A policy that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A way to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignInMethod {
    /// E-mail and password.
    Password,
    /// A way that this version does not know.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn reader_survives_what_a_later_server_adds() {
        let config: AuthConfig = serde_json::from_str(
            r#"{"registration":"by_moonlight","password":{"min_length":12,"max_length":99,"x":1},
                "email_verification":"required","mail":true,"methods":["password","telepathy"],"new":{}}"#,
        )
        .unwrap();

        assert_eq!(config.registration, Registration::Unknown);
        assert_eq!(
            config.methods,
            [SignInMethod::Password, SignInMethod::Unknown]
        );
        assert_eq!(config.password.min_length, 12);
        assert_eq!(
            config.home,
            Home::Pages,
            "an earlier server has no word on it"
        );
    }

    #[test]
    fn request_with_an_unknown_member_is_refused() {
        let refused = serde_json::from_str::<RegisterRequest>(
            r#"{"email":"a@example.com","password":"x","role":"admin"}"#,
        );

        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("unknown field `role`")
        );
    }
}
