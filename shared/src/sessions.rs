//! Signing in and out, refreshing, and the list of sessions.

use serde::{Deserialize, Serialize};

use crate::secret::{Password, Token};

/// Who signs in, to `POST /auth`.
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
        schema(value_type = String, example = "violet tractor sings 47 lullabies")
    )]
    pub password: Password,
    /// How the refresh token is delivered.
    #[serde(default)]
    pub refresh: RefreshDelivery,
}

/// How a refresh token is delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefreshDelivery {
    /// In the answer's body: for clients that have a safe place of their own.
    #[default]
    Body,
    /// In a cookie that no script can read: for pages.
    Cookie,
    /// None is made: the session is over with its access token.
    None,
}

/// The answer to a sign-in, a registration or a refresh (RFC 6749 §5.1).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenResponse {
    /// A JWT (RFC 9068), to be sent as `Authorization: Bearer …`.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOi…"))]
    pub access_token: Token,
    /// Always `Bearer`.
    pub token_type: TokenType,
    /// Seconds until the access token expires.
    #[cfg_attr(feature = "openapi", schema(example = 900))]
    pub expires_in: u64,
    /// What the next access token is got with; only where it is delivered in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = "n0QhCkCEWRZtXjpq2zSZ4pDyHlsUqcPSqHyUDiaSO3k"))]
    pub refresh_token: Option<Token>,
    /// Seconds until the refresh token expires, unless it is used before.
    #[cfg_attr(feature = "openapi", schema(example = 2_592_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_expires_in: Option<u64>,
}

/// How the token is presented (RFC 6750).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TokenType {
    /// In the `Authorization` header.
    Bearer,
}

/// The token to swap, to `POST /auth/refresh`; without a body the cookie is taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// The refresh token of the last answer.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "n0QhCkCEWRZtXjpq2zSZ4pDyHlsUqcPSqHyUDiaSO3k"))]
    pub refresh_token: Token,
}

/// What ends, to `POST /auth/logout` and `POST /auth/logout-all`; the body is optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LogoutRequest {
    /// Names the session where no access token is presented, or none that still holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = "n0QhCkCEWRZtXjpq2zSZ4pDyHlsUqcPSqHyUDiaSO3k"))]
    pub refresh_token: Option<Token>,
}

/// The live sessions of an account, the last used first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionsResponse {
    /// The sessions.
    pub sessions: Vec<Session>,
}

/// A place where somebody is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// The session's id, the `sid` of its tokens.
    #[cfg_attr(feature = "openapi", schema(format = "uuid"))]
    pub id: String,
    /// When it began. RFC 3339, UTC.
    #[cfg_attr(
        feature = "openapi",
        schema(format = "date-time", example = "2026-01-01T12:00:00Z")
    )]
    pub created_at: String,
    /// When a token of it was last issued. RFC 3339, UTC.
    #[cfg_attr(
        feature = "openapi",
        schema(format = "date-time", example = "2026-01-02T09:30:00Z")
    )]
    pub last_used_at: String,
    /// The `User-Agent` that signed in, as far as it was kept.
    #[cfg_attr(
        feature = "openapi",
        schema(
            example = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0"
        )
    )]
    pub user_agent: Option<String>,
    /// The same in plain words, where it was understood.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(example = "Firefox on Windows"))]
    pub device: Option<String>,
    /// Whether it is the session of the presented token.
    pub current: bool,
}

/// A greeting.
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
            refresh_token: Some(Token::from("cmVm")),
            refresh_expires_in: Some(60),
        })
        .unwrap();

        assert_eq!(
            json,
            serde_json::json!({
                "access_token": "eyJ", "token_type": "Bearer", "expires_in": 900,
                "refresh_token": "cmVm", "refresh_expires_in": 60,
            })
        );
    }

    #[test]
    fn refresh_token_comes_in_the_body_where_nothing_else_is_asked_for() {
        let request: SignInRequest =
            serde_json::from_str(r#"{"email":"a@example.com","password":"x"}"#).unwrap();

        assert_eq!(request.refresh, RefreshDelivery::Body);
    }
}
