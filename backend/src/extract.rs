//! What handlers take: a JSON body whose rejection is a problem, the client's address.

use std::{net::IpAddr, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request},
};
use countersign_types::{FieldProblem, Problem, ProblemCode};
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::{error::Error, guard, limits::AddressPrefix};

/// The largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 16 * 1024;
/// How long a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Not `application/json`.
    #[error("the body is not application/json")]
    ContentType,
    /// More than [`MAX_BODY_BYTES`].
    #[error("the body is too large")]
    TooLarge,
    /// The client was too slow.
    #[error("the body came too slowly")]
    TooSlow,
    /// The connection broke.
    #[error("the body broke off")]
    BrokeOff,
    /// Not JSON.
    #[error("the body is no JSON")]
    Malformed {
        /// In which line.
        line: usize,
        /// At which character of it.
        column: usize,
    },
    /// JSON of another shape.
    #[error("the body has another shape")]
    Shape(FieldProblem),
}

impl BodyError {
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::ContentType => Problem::new(
                ProblemCode::UnsupportedMediaType,
                "Send JSON, with the header «Content-Type: application/json».",
            ),
            Self::TooLarge => Problem::new(
                ProblemCode::BodyTooLarge,
                format!("A body may have at most {MAX_BODY_BYTES} bytes."),
            ),
            Self::TooSlow => Problem::new(
                ProblemCode::RequestTimeout,
                format!(
                    "The body has to arrive within {} seconds.",
                    BODY_TIMEOUT.as_secs()
                ),
            ),
            Self::BrokeOff => Problem::new(ProblemCode::MalformedJson, "The body broke off."),
            Self::Malformed { line, column } => Problem::new(
                ProblemCode::MalformedJson,
                format!("This is no JSON: look at line {line}, column {column}."),
            ),
            Self::Shape(field) => Problem::fields(vec![field.clone()]),
        }
    }
}

impl<S, T> FromRequest<S> for Json<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        if !is_json(request.headers()) {
            return Err(BodyError::ContentType.into());
        }
        let token_member = guard::token_member(request.extensions()).map(str::to_owned);
        let mut body = read(request.into_body()).await?;
        if let Some(member) = token_member {
            without(&mut body, &member);
        }
        parse(&body).map(Json).map_err(Error::from)
    }
}

/// `None` where there is no body at all; a body that is there has to be right.
impl<S, T> OptionalFromRequest<S> for Json<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Error> {
        use axum::body::HttpBody as _;

        if request.body().is_end_stream() {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state)
            .await
            .map(Some)
    }
}

/// `application/json`, with nothing but a charset of UTF-8 behind it.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let Ok(value) = value.to_str() else {
        return false;
    };
    let (media_type, parameter) = value.split_once(';').unwrap_or((value, ""));
    let parameter = parameter.trim();
    media_type.trim().eq_ignore_ascii_case("application/json")
        && (parameter.is_empty()
            || parameter.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("charset")
                    && value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            }))
}

async fn read(body: Body) -> Result<Vec<u8>, BodyError> {
    let collected = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(BODY_TIMEOUT, collected).await {
        Err(_) => Err(BodyError::TooSlow),
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(_)) => Err(BodyError::BrokeOff),
    }
}

/// Takes the access token out of a body, where a guard found it there: it is no member of any
/// request's own.
fn without(body: &mut Vec<u8>, member: &str) {
    let Ok(mut members) = serde_json::from_slice::<serde_json::Map<_, _>>(body) else {
        return;
    };
    if members.remove(member).is_some() {
        *body = serde_json::Value::Object(members).to_string().into_bytes();
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() {
            BodyError::Shape(shape(&path, &error))
        } else {
            malformed(&error)
        }
    })?;
    deserializer.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> BodyError {
    BodyError::Malformed {
        line: error.line(),
        column: error.column(),
    }
}

/// Says what does not fit, in our own words: serde's repeat the value, which may be a password.
fn shape(path: &str, error: &serde_json::Error) -> FieldProblem {
    let text = error.to_string();
    let named = |prefix: &str| {
        text.strip_prefix(prefix)
            .and_then(|rest| rest.split('`').next())
            .map(str::to_owned)
    };
    if let Some(name) = named("unknown field `") {
        return FieldProblem::new(
            pointer(&name),
            "unknown_field",
            "This member is not known here. Leave it out.",
        );
    }
    if let Some(name) = named("missing field `") {
        return FieldProblem::new(pointer(&name), "required", "This member is missing.");
    }
    if let Some(name) = named("duplicate field `") {
        return FieldProblem::new(pointer(&name), "repeated", "This member is there twice.");
    }
    let path = if path == "." {
        String::new()
    } else {
        pointer(path)
    };
    FieldProblem::new(
        path,
        "wrong_type",
        "This value has another type or form than is expected.",
    )
}

/// A JSON pointer to a member of the body (RFC 6901 §3).
fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Where a request comes from; put there by the router, which knows the trusted proxies.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// What limits go by.
    pub fn prefix(self) -> AddressPrefix {
        self.0.into()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        // Where clients cannot be told apart they would all share one limit: a fault that must
        // show.
        parts
            .extensions
            .get()
            .copied()
            .ok_or(Error::NoClientAddress)
    }
}

#[cfg(test)]
mod tests {
    use countersign_types::accounts::RegisterRequest;
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(name: &header::HeaderName, values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| {
                (
                    name.clone(),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn only_json_in_utf_8_is_json() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json; charset=latin1", false),
            ("application/json; a=b; charset=utf-8", false),
            ("application/jsonp", false),
            ("application/problem+json", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(
                is_json(&headers(&header::CONTENT_TYPE, &[value])),
                expected,
                "{value}"
            );
        }
        let twice = headers(
            &header::CONTENT_TYPE,
            &["application/json", "application/json"],
        );
        assert!(!is_json(&twice));
    }

    #[test]
    fn shape_errors_point_at_the_member_and_never_repeat_a_value() {
        for (body, pointer, code) in [
            (r#"{"email":"a@example.com"}"#, "/password", "required"),
            (
                r#"{"email":"a","password":"x","admin":true}"#,
                "/admin",
                "unknown_field",
            ),
            (
                r#"{"email":"a","password":987654321}"#,
                "/password",
                "wrong_type",
            ),
            (
                r#"{"email":"a","email":"b","password":"x"}"#,
                "/email",
                "repeated",
            ),
            (r#"{"email":null,"password":"x"}"#, "/email", "wrong_type"),
            (r"[]", "", "wrong_type"),
            (r#""text""#, "", "wrong_type"),
        ] {
            let error = parse::<RegisterRequest>(body.as_bytes()).unwrap_err();
            let problem = error.problem();

            assert_eq!(problem.status, 422, "{body}");
            assert_eq!(
                (&*problem.errors[0].pointer, &*problem.errors[0].code),
                (pointer, code)
            );
            assert!(
                !serde_json::to_string(&problem)
                    .unwrap()
                    .contains("987654321")
            );
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for body in [
            "",
            "{",
            "{\"email\":}",
            "{} {}",
            "\u{feff}{}",
            "{'email':1}",
        ] {
            let error = parse::<RegisterRequest>(body.as_bytes()).unwrap_err();
            assert!(
                matches!(error, BodyError::Malformed { .. }) || body == "{} {}",
                "{body}: {error:?}"
            );
        }
        assert_eq!(
            parse::<RegisterRequest>(b"{\"email\":\"\xff\"}")
                .unwrap_err()
                .problem()
                .status,
            400
        );
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(parse::<RegisterRequest>(&body));
        }
    }
}
