//! An answer, in forms that read well in a snapshot.

use std::fmt;

use reqwest::{RequestBuilder, header::HeaderMap};
use serde_json::Value;

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

/// An access token and its refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        Self::attempt(request).await.expect("an answer")
    }

    /// `None` where the server went away.
    pub(crate) async fn attempt(request: RequestBuilder) -> Option<Self> {
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.ok()?;
        Some(Self {
            status,
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn body(&self) -> &str {
        &self.body
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self}"))
    }

    pub(crate) fn access_token(&self) -> String {
        self.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn pair(&self) -> Pair {
        let refresh = self.json()["refresh_token"].as_str().unwrap().to_owned();
        Pair {
            access: self.access_token(),
            refresh,
        }
    }

    /// The value of a cookie that is set, and the whole header.
    pub(crate) fn set_cookie(&self, name: &str) -> Option<(String, String)> {
        self.headers.get_all("set-cookie").iter().find_map(|value| {
            let text = value.to_str().ok()?;
            let value = text
                .split(';')
                .next()?
                .strip_prefix(name)?
                .strip_prefix('=')?;
            Some((value.to_owned(), text.to_owned()))
        })
    }

    /// Status, media type, and the problem's code or the message: `401 application/problem+json
    /// token_missing`.
    pub(crate) fn summary(&self) -> String {
        let json: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let word = ["code", "message"]
            .into_iter()
            .find_map(|name| json[name].as_str());
        [
            &self.status.to_string(),
            self.header("content-type"),
            word.unwrap_or_default(),
        ]
        .join(" ")
        .trim()
        .to_owned()
    }
}

/// The whole answer, what differs from run to run hidden, the body as it is.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        let mut headers: Vec<_> = self
            .headers
            .iter()
            // On every answer and checked once, by a test of its own.
            .filter(|(name, _)| !SAME_ON_EVERY_ANSWER.contains(&name.as_str()))
            .map(|(name, value)| {
                let value = value.to_str().unwrap_or("?");
                // The cookie is random; what matters stands behind it.
                match value.split_once("refresh=") {
                    Some((before, after)) => {
                        let end = after.find(';').unwrap_or(after.len());
                        let shown = if end == 0 { "" } else { "[refresh_token]" };
                        format!("{name}: {before}refresh={shown}{}", &after[end..])
                    }
                    None => format!("{name}: {value}"),
                }
            })
            .collect();
        headers.sort();
        for header in headers {
            writeln!(f, "{header}")?;
        }
        if self.body.is_empty() {
            return Ok(());
        }
        match serde_json::from_str::<Value>(&self.body) {
            Ok(mut json) => {
                redact(&mut json);
                write!(
                    f,
                    "\n{}",
                    serde_json::to_string_pretty(&json).unwrap_or_default()
                )
            }
            Err(_) => write!(f, "\n{}", self.body),
        }
    }
}

/// Checked by `errors::every_answer_has_an_id_and_the_same_guarding_headers`.
pub(crate) const SAME_ON_EVERY_ANSWER: [&str; 9] = [
    "content-length",
    "content-security-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "date",
    "permissions-policy",
    "referrer-policy",
    "x-content-type-options",
    "x-request-id",
];

fn redact(json: &mut Value) {
    if let Value::Array(items) = json {
        items.iter_mut().for_each(redact);
    }
    let Value::Object(members) = json else { return };
    for (name, value) in members {
        match name.as_str() {
            "access_token" | "id" | "refresh_token" | "request_id" if value.is_string() => {
                *value = format!("[{name}]").into();
            }
            _ => redact(value),
        }
    }
}
