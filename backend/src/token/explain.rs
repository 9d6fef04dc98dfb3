//! Why a token is refused, for people: what was expected, and what it says instead.
//!
//! For the command line of whoever runs the server. On the wire nobody is told more than
//! [`Rejection`] may tell.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{ACCESS_TOKEN_TYPE, Rejection, Verifier, jws::Jws};

/// What a token says, whoever signed it. For display only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    /// The header's members.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// One thing that a token says otherwise than it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub what: &'static str,
    /// What would be accepted.
    pub expected: String,
    /// What is there.
    pub got: String,
}

impl Unverified {
    /// Takes a token apart without asking who signed it.
    ///
    /// ```
    /// use countersign::token::Unverified;
    ///
    /// let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.";
    /// assert_eq!(Unverified::read(token)?.claims["sub"], "ada");
    /// # Ok::<(), countersign::token::Rejection>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Rejection`] where it is no token at all.
    pub fn read(token: &str) -> Result<Self, Rejection> {
        let jws = Jws::parse(token)?;
        let claims = URL_SAFE_NO_PAD
            .decode(jws.payload())
            .map_err(|_| Rejection::Malformed)?;
        Ok(Self {
            header: jws.into_header(),
            claims: serde_json::from_slice(&claims).map_err(|_| Rejection::MalformedClaims)?,
        })
    }
}

impl Verifier {
    /// What of a token is not as it should be `now` (seconds since 1970), the signature apart;
    /// nothing where it is no token at all.
    pub fn explain(&self, token: &str, now: i64) -> Vec<Finding> {
        let Ok(token) = Unverified::read(token) else {
            return Vec::new();
        };
        let header = |name: &str| token.header.get(name).cloned().unwrap_or_default();
        let claim = |name: &str| token.claims.get(name).cloned().unwrap_or_default();
        let seconds = |name: &str| claim(name).as_i64();
        let mut findings = Vec::new();
        let mut check = |what, holds: bool, expected: String, got: String| {
            if !holds {
                findings.push(Finding {
                    what,
                    expected,
                    got,
                });
            }
        };

        let typ = header("typ");
        check(
            "typ",
            typ.as_str()
                .is_some_and(super::verify::is_access_token_type),
            ACCESS_TOKEN_TYPE.to_owned(),
            shown(&typ),
        );
        let kid = header("kid");
        let key = kid.as_str().and_then(|kid| self.keys.get(kid));
        let known = self.keys.names().collect::<Vec<_>>().join(" or ");
        check("kid", key.is_some(), known, shown(&kid));
        if let Some(key) = key {
            let alg = header("alg");
            let own = key.algorithm().as_str();
            check("alg", alg == own, own.to_owned(), shown(&alg));
        }
        for (what, expected) in [("iss", &self.issuer), ("aud", &self.audience)] {
            let got = claim(what);
            check(
                what,
                got == expected.as_str(),
                expected.clone(),
                shown(&got),
            );
        }
        let leeway = i64::try_from(self.leeway.as_secs()).unwrap_or(i64::MAX);
        let latest = now.saturating_add(leeway);
        for what in ["nbf", "iat"] {
            let got = seconds(what);
            let holds = got.is_some_and(|at| at <= latest);
            let expected = format!("no later than {}", time(latest));
            check(what, holds, expected, at(got, &claim(what)));
        }
        let exp = seconds("exp");
        check(
            "exp",
            exp.is_some_and(|at| at > now.saturating_sub(leeway)),
            format!("later than {}", time(now.saturating_sub(leeway))),
            at(exp, &claim("exp")),
        );
        let longest = i64::try_from(self.access_ttl.as_secs()).unwrap_or(i64::MAX);
        if let (Some(exp), Some(iat)) = (exp, seconds("iat")) {
            let life = exp.saturating_sub(iat);
            check(
                "exp - iat",
                life <= longest,
                format!("at most {longest} s"),
                format!("{life} s"),
            );
        }
        findings
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn at(seconds: Option<i64>, value: &Value) -> String {
    seconds.map_or_else(|| shown(value), time)
}

/// RFC 3339, UTC.
fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| format!("{seconds} s"), |time| time.to_string())
}
