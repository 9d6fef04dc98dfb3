//! Problem details (RFC 9457): the one form of every error, on both sides of the wire.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The media type of every error.
pub const CONTENT_TYPE: &str = "application/problem+json";

macro_rules! problem_codes {
    ($($(#[$doc:meta])* $variant:ident = $status:literal, $code:literal, $title:literal;)*) => {
        /// What went wrong, in a word that stays stable; the closed list that both sides know.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ProblemCode {
            $($(#[$doc])* $variant,)*
            /// A code of a newer server than this reader.
            Unknown,
        }

        impl ProblemCode {
            /// Every code that this version can answer.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Unknown => "unknown",
                }
            }

            /// The title, fixed by the code.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                    Self::Unknown => "Unknown problem",
                }
            }

            /// The HTTP status that goes with the code.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                    Self::Unknown => 500,
                }
            }

            /// The code of a word; [`ProblemCode::Unknown`] where it is none of ours.
            pub fn parse(code: &str) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }
        }
    };
}

problem_codes! {
    /// The body is no JSON.
    MalformedJson = 400, "malformed_json", "Malformed JSON";
    /// The request contradicts itself, for instance by two `Authorization` headers (RFC 6750 §3.1).
    InvalidRequest = 400, "invalid_request", "Invalid request";
    /// No token was presented.
    TokenMissing = 401, "token_missing", "Sign-in required";
    /// A token was presented that is not acceptable.
    TokenInvalid = 401, "token_invalid", "Invalid token";
    /// A genuine token whose time is over.
    TokenExpired = 401, "token_expired", "Token expired";
    /// A genuine token whose session was ended.
    TokenRevoked = 401, "token_revoked", "Session ended";
    /// Unknown address or wrong password; which of the two is not told.
    InvalidCredentials = 401, "invalid_credentials", "Wrong e-mail or password";
    /// The refresh token is unknown, or its session is over.
    RefreshTokenInvalid = 401, "refresh_token_invalid", "Invalid refresh token";
    /// The refresh token was used before: somebody holds a copy, so its session was ended.
    RefreshTokenReused = 401, "refresh_token_reused", "Refresh token used twice";
    /// A cookie came with a request that is not known to be of our own pages.
    CsrfFailed = 403, "csrf_failed", "Request from elsewhere";
    /// The token lacks a scope, or its account a role.
    InsufficientScope = 403, "insufficient_scope", "Not allowed";
    /// The person has to prove presence again.
    FreshTokenRequired = 403, "fresh_token_required", "Recent sign-in required";
    /// The account's address has to be confirmed first.
    EmailUnverified = 403, "email_unverified", "E-mail is not confirmed";
    /// Nobody may create an account by themselves.
    RegistrationClosed = 403, "registration_closed", "Registration is closed";
    /// Nothing is at this path.
    NotFound = 404, "not_found", "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed = 405, "method_not_allowed", "Method not allowed";
    /// The client took too long to send its request.
    RequestTimeout = 408, "request_timeout", "Request took too long";
    /// The address has an account.
    EmailTaken = 409, "email_taken", "E-mail is taken";
    /// The body is larger than is read.
    BodyTooLarge = 413, "body_too_large", "Body too large";
    /// The path or query is longer than is read.
    UriTooLong = 414, "uri_too_long", "Address too long";
    /// The body is not `application/json`.
    UnsupportedMediaType = 415, "unsupported_media_type", "Unsupported media type";
    /// JSON that parses but does not hold; see [`Problem::errors`].
    ValidationFailed = 422, "validation_failed", "Some fields need attention";
    /// A limit is reached; see [`Problem::retry_after`].
    RateLimited = 429, "rate_limited", "Too many attempts";
    /// A fault of ours; the cause is in the log under [`Problem::request_id`].
    InternalError = 500, "internal_error", "Internal error";
    /// More work than can be done at once; see [`Problem::retry_after`].
    Overloaded = 503, "overloaded", "Overloaded";
    /// Something the server needs is away; see [`Problem::retry_after`].
    Unavailable = 503, "unavailable", "Temporarily unavailable";
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ProblemCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ProblemCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|code| Self::parse(&code))
    }
}

/// Problem details (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:countersign:problem:<code>`.
    #[serde(rename = "type")]
    #[cfg_attr(
        feature = "openapi",
        schema(example = "urn:countersign:problem:token_expired")
    )]
    pub kind: String,
    /// Short and fixed by the code.
    #[cfg_attr(feature = "openapi", schema(example = "Token expired"))]
    pub title: String,
    /// The HTTP status, repeated.
    #[cfg_attr(feature = "openapi", schema(example = 401))]
    pub status: u16,
    /// For people: what, why, and what to do.
    #[cfg_attr(
        feature = "openapi",
        schema(example = "This access token has expired. Refresh it, or sign in again.")
    )]
    pub detail: String,
    /// For programs: one of a closed list, to which a newer version may add.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "token_expired"))]
    pub code: ProblemCode,
    /// One entry a field that does not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// Seconds after which a repeat may succeed; the `Retry-After` header, repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// What to quote when reporting a fault; the `X-Request-Id` header, repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// A problem with its fixed title and status.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:countersign:problem:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            errors: Vec::new(),
            retry_after: None,
            request_id: None,
        }
    }

    /// [`ProblemCode::ValidationFailed`] for one or more fields. Its detail is the first field's.
    pub fn fields(errors: Vec<FieldProblem>) -> Self {
        let detail = errors
            .first()
            .map_or_else(String::new, |error| error.detail.clone());
        Self {
            errors,
            ..Self::new(ProblemCode::ValidationFailed, detail)
        }
    }

    /// The field problem at a JSON pointer such as `/password`.
    pub fn field(&self, pointer: &str) -> Option<&FieldProblem> {
        self.errors.iter().find(|error| error.pointer == pointer)
    }
}

/// A field that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldProblem {
    /// Where, as a JSON pointer (RFC 6901) into the request.
    #[cfg_attr(feature = "openapi", schema(example = "/password"))]
    pub pointer: String,
    /// For programs.
    #[cfg_attr(feature = "openapi", schema(example = "password_too_short"))]
    pub code: String,
    /// For people.
    #[cfg_attr(
        feature = "openapi",
        schema(example = "This has 8 characters; 15 are needed.")
    )]
    pub detail: String,
}

impl FieldProblem {
    /// A field problem.
    pub fn new(
        pointer: impl Into<String>,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            pointer: pointer.into(),
            code: code.into(),
            detail: detail.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn problem_has_the_members_of_rfc_9457() {
        let problem = Problem::new(ProblemCode::EmailTaken, "Sign in instead.");

        assert_eq!(
            serde_json::to_value(problem).unwrap(),
            serde_json::json!({
                "type": "urn:countersign:problem:email_taken",
                "title": "E-mail is taken",
                "status": 409,
                "detail": "Sign in instead.",
                "code": "email_taken",
            })
        );
    }

    #[test]
    fn unknown_code_of_a_newer_server_is_read() {
        let problem: Problem = serde_json::from_str(
            r#"{"type":"urn:x","title":"T","status":418,"detail":"D","code":"teapot","brew":true}"#,
        )
        .unwrap();

        assert_eq!(problem.code, ProblemCode::Unknown);
    }

    #[test]
    fn every_code_reads_back_as_itself() {
        for code in ProblemCode::ALL {
            assert_eq!(ProblemCode::parse(code.as_str()), *code);
        }
    }
}
