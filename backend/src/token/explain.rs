//! Why a token is refused, for people: what was expected, and what it says instead.
//!
//! For the command line of whoever runs the server. On the wire nobody is told more than
//! [`Rejection`] may tell.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{ACCESS_TOKEN_TYPE, Profile, Rejection, Verifier, VerifyingKey, jws::Jws};

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
        let expected = match self.profile {
            Profile::Rfc9068 => ACCESS_TOKEN_TYPE,
            Profile::FlaskJwtExtended => "JWT, or nothing",
            Profile::Jwt => "at+jwt or JWT, or nothing",
        };
        check(
            "typ",
            self.takes_type(typ.as_str(), !typ.is_null()),
            expected.to_owned(),
            shown(&typ),
        );
        let keys = self.keys.known();
        let kid = header("kid");
        let key = kid.as_str().and_then(|kid| keys.get(kid));
        if !(kid.is_null() && self.profile != Profile::Rfc9068) {
            let mut known: Vec<_> = keys.iter().map(VerifyingKey::kid).collect();
            known.sort_unstable();
            check("kid", key.is_some(), known.join(" or "), shown(&kid));
        }
        if let Some(key) = key {
            let alg = header("alg");
            let own = key.algorithm().as_str();
            check(
                "alg",
                key.is_named_by(alg.as_str()),
                own.to_owned(),
                shown(&alg),
            );
        }
        if self.profile == Profile::FlaskJwtExtended {
            let got = claim("type");
            check("type", got != "refresh", "access".to_owned(), shown(&got));
        }
        if let Some(issuer) = &self.issuer {
            let got = claim("iss");
            check("iss", got == issuer.as_str(), issuer.clone(), shown(&got));
        }
        if !self.audiences.is_empty() {
            let got = claim("aud");
            let own = |got: &Value| self.audiences.iter().any(|own| got == own.as_str());
            let holds = own(&got) || got.as_array().is_some_and(|got| got.iter().any(own));
            check("aud", holds, self.audiences.join(" or "), shown(&got));
        }
        let is_text = |claim: &Value| claim.as_str().is_some_and(|text| !text.is_empty());
        let sub = claim("sub");
        check("sub", is_text(&sub), "text".to_owned(), shown(&sub));
        if self.profile == Profile::Rfc9068 {
            let jti = claim("jti");
            check("jti", is_text(&jti), "text".to_owned(), shown(&jti));
        }
        let leeway = super::seconds(self.leeway);
        let latest = now.saturating_add(leeway);
        for what in ["nbf", "iat"] {
            let got = seconds(what);
            // Only `iat`, and only in tokens of ours, has to be there.
            let is_absent = claim(what).is_null();
            let may_be_absent = what == "nbf" || self.profile == Profile::Jwt;
            let holds = got.map_or(is_absent && may_be_absent, |at| at <= latest);
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
        let longest = super::seconds(self.longest);
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
