//! What a token says, for display only: nothing here verifies a token, and nothing may trust it.

use serde_json::{Map, Value};

/// The order in which claims are shown; others follow by name.
const ORDER: [&str; 14] = [
    "sub",
    "email",
    "email_verified",
    "iss",
    "aud",
    "iat",
    "nbf",
    "exp",
    "auth_time",
    "amr",
    "sid",
    "jti",
    "roles",
    "scope",
];

/// The unverified claims of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads a JWT's second part; `None` where the text is no JWT.
    pub fn decode(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (Some(_), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let json = String::from_utf8(base64url(payload)?).ok()?;
        serde_json::from_str(&json).ok().map(Self)
    }

    /// Who the token names: the address where it is there, else the account's id.
    pub fn name(&self) -> Option<&str> {
        self.text("email").or_else(|| self.text("sub"))
    }

    /// Whose token it is: the account's id.
    pub fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// The id of the session that the token belongs to.
    pub fn session(&self) -> Option<&str> {
        self.text("sid")
    }

    /// When the token expires, in seconds since 1970 by the server's clock.
    pub fn expires_at(&self) -> Option<f64> {
        self.0.get("exp").and_then(Value::as_f64)
    }

    /// When the token was issued, in seconds since 1970 by the server's clock.
    pub fn issued_at(&self) -> Option<f64> {
        self.0.get("iat").and_then(Value::as_f64)
    }

    /// Every claim as text, in the order in which they are worth reading.
    pub fn rows(&self) -> Vec<(String, String)> {
        let known = ORDER.iter().filter_map(|name| self.0.get_key_value(*name));
        let others = self
            .0
            .iter()
            .filter(|(name, _)| !ORDER.contains(&name.as_str()));
        known
            .chain(others)
            .map(|(name, value)| {
                let value = match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                (name.clone(), value)
            })
            .collect()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }
}

/// A token short enough to be read, and too short to be used: the beginning and the end.
pub fn shorten(token: &str) -> String {
    const HEAD: usize = 12;
    const TAIL: usize = 6;
    let length = token.chars().count();
    if length <= 2 * (HEAD + TAIL) {
        // Of a short text nothing is shown, since little would be left to guess.
        return "…".to_owned();
    }
    let head: String = token.chars().take(HEAD).collect();
    let tail: String = token.chars().skip(length - TAIL).collect();
    format!("{head}…{tail}")
}

/// base64url without padding (RFC 4648 §5), by hand: a crate for thirty lines would have to be
/// downloaded by everyone who signs in.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut buffer, mut bits) = (0_u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        buffer = buffer << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xFF).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // {"exp":1700000900,"sub":"42","email":"ada@example.com","z":[1]}
    const TOKEN: &str = "eyJ.eyJleHAiOjE3MDAwMDA5MDAsInN1YiI6IjQyIiwiZW1haWwiOiJhZGFAZXhhbXBsZS5jb20iLCJ6IjpbMV19.sig";

    #[test]
    fn claims_are_read_and_shown_in_order() {
        let claims = Claims::decode(TOKEN).unwrap();

        assert_eq!(claims.name(), Some("ada@example.com"));
        assert_eq!(claims.expires_at(), Some(1_700_000_900.0));
        let rows = claims.rows();
        let names: Vec<_> = rows.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["sub", "email", "exp", "z"]);
    }

    #[test]
    fn what_is_no_token_has_no_claims() {
        for text in ["", "a.b", "a.b.c", "a.e30.c.d", "a.e3?.c", "\"quoted\""] {
            assert_eq!(Claims::decode(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_shortened_token_cannot_be_used() {
        assert_eq!(
            shorten("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"),
            "eyJhbGciOiJF…F0dXJl"
        );
        assert_eq!(shorten("short"), "…");
    }

    proptest! {
        #[test]
        fn no_text_makes_decoding_panic(text in ".{0,200}") {
            let _claims = Claims::decode(&text);
            prop_assert!(shorten(&text).chars().count() <= 19);
        }
    }
}
