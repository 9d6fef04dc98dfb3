//! Signing in and out.

use serde::{Deserialize, Serialize};

use crate::secret::{Password, Token};

/// `POST /auth`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignInRequest {
    /// The account's address.
    #[cfg_attr(feature = "openapi", schema(example = "ada@example.com"))]
    pub email: String,
    /// Its password; any length is checked.
    #[cfg_attr(
        feature = "openapi",
        schema(example = "violet tractor sings 47 lullabies")
    )]
    pub password: Password,
    /// How a refresh token is to be delivered; none is made where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshDelivery>,
}

/// How a refresh token is to be delivered. This version makes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefreshDelivery {
    /// No refresh token.
    None,
}

/// The answer to a sign-in or registration (RFC 6749 §5.1).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenResponse {
    /// A JWT (RFC 9068), to be sent as `Authorization: Bearer …`.
    pub access_token: Token,
    /// Always `Bearer`.
    pub token_type: TokenType,
    /// Seconds until the access token expires.
    pub expires_in: u64,
}

/// How the token is presented (RFC 6750).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TokenType {
    /// In the `Authorization` header.
    Bearer,
}

/// `POST /auth/logout`; the body is optional and has no members yet.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LogoutRequest {}

/// `GET /protected` and `POST /protected`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    /// `welcome <email>`.
    #[cfg_attr(feature = "openapi", schema(example = "welcome ada@example.com"))]
    pub message: String,
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn token_response_has_the_members_of_rfc_6749() {
        let json = serde_json::to_value(TokenResponse {
            access_token: Token::from("eyJ"),
            token_type: TokenType::Bearer,
            expires_in: 900,
        })
        .unwrap();

        assert_eq!(
            json,
            serde_json::json!({"access_token": "eyJ", "token_type": "Bearer", "expires_in": 900})
        );
    }
}
