//! What an access token says.

use std::{borrow::Cow, fmt, time::Duration};

use countersign_types::Token;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IntoDeserializer as _},
};
use serde_json::{Map, Number, Value, json};
use uuid::Uuid;

use super::{Profile, Rejection};

/// The claims of an access token that a Countersign issued (RFC 9068 §2.2), the application's own
/// among them as `X`.
///
/// As an extractor it guards a handler. `sub` has to be an account of ours: a program with users of
/// its own takes [`AnyClaims`].
///
/// ```
/// use countersign::Claims;
/// use serde::Deserialize;
///
/// /// What this application has its tokens say beyond the usual.
/// #[derive(Debug, Clone, Deserialize)]
/// struct Tenant {
///     tenant: u32,
/// }
///
/// async fn notes(claims: Claims<Tenant>) -> String {
///     format!("the notes of {} in {}", claims.sub, claims.custom.tenant)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims<X = NoCustomClaims> {
    /// Who issued it; not said by flask-jwt-extended, unless configured.
    pub iss: Option<String>,
    /// The account's id. Applications key on this, never on the address.
    pub sub: Uuid,
    /// Whom it is for; empty with flask-jwt-extended, unless configured.
    pub aud: Audience,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// Its own id.
    pub jti: Option<String>,
    /// The session's id: ending the session ends the token. A token of flask-jwt-extended hangs on
    /// the account alone.
    pub sid: Option<Uuid>,
    /// When the person last proved presence, in seconds since 1970.
    pub auth_time: Option<i64>,
    /// How (RFC 8176), such as `pwd`.
    pub amr: Vec<String>,
    /// The account's address when the token was issued, unless `token.include_email` is off.
    pub email: Option<String>,
    /// Whether that address was confirmed.
    pub email_verified: bool,
    /// The account's roles (RFC 9068 §2.2.3.1).
    pub roles: Vec<String>,
    /// What the token may be used for (RFC 9068 §2.2.3).
    pub scope: Scope,
    /// The application's own.
    pub custom: X,
}

/// No claims beyond the usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoCustomClaims {}

/// The claims of a token of whoever issued it (RFC 7519 §4.1): an OpenID provider, a Flask
/// application, or a program's own issuer. `sub` is text, and only that and `exp` are always there.
///
/// ```
/// use countersign::token::AnyClaims;
///
/// async fn notes(claims: AnyClaims) -> String {
///     format!("the notes of {}", claims.sub)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnyClaims<X = NoCustomClaims> {
    /// Who issued it.
    pub iss: Option<String>,
    /// Whom it is about, as the issuer names them.
    pub sub: String,
    /// Whom it is for.
    pub aud: Audience,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
    /// When it was issued, in seconds since 1970.
    pub iat: Option<i64>,
    /// Its own id.
    pub jti: Option<String>,
    /// Its roles (RFC 9068 §2.2.3.1).
    pub roles: Vec<String>,
    /// What the token may be used for (RFC 9068 §2.2.3).
    pub scope: Scope,
    /// Whatever else it says.
    pub custom: X,
}

/// Claims that can be read from a token that holds.
pub trait TokenClaims: Sized {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// [`Rejection::MalformedClaims`] where one is missing or has another type.
    fn read(token: &Verified) -> Result<Self, Rejection>;
}

/// One or several texts: the form of `aud` (RFC 7519 §4.1.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audience(pub Vec<String>);

impl Audience {
    /// Whether one of them is this.
    pub fn contains(&self, audience: &str) -> bool {
        self.0.iter().any(|one| one == audience)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<String>> From<T> for Audience {
    fn from(audience: T) -> Self {
        Self(vec![audience.into()])
    }
}

impl Serialize for Audience {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        OneOrMany::deserialize(deserializer).map(|OneOrMany(several)| Self(several))
    }
}

/// Scopes: in a token one text, separated by spaces (RFC 6749 §3.3); some issuers write an array.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope(pub Vec<String>);

impl Scope {
    /// Whether this one is among them.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.iter().any(|one| one == scope)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let OneOrMany(texts) = OneOrMany::deserialize(deserializer)?;
        let scopes = texts.iter().flat_map(|text| text.split(' '));
        Ok(Self(
            scopes
                .filter(|scope| !scope.is_empty())
                .map(str::to_owned)
                .collect(),
        ))
    }
}

struct OneOrMany(Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            One(String),
            Many(Vec<String>),
        }

        Ok(Self(match Either::deserialize(deserializer)? {
            Either::One(one) => vec![one],
            Either::Many(many) => many,
        }))
    }
}

/// How `fresh` is written by flask-jwt-extended: at all, or until when in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Fresh {
    Always(bool),
    Until(#[serde(deserialize_with = "seconds")] i64),
}

/// The claims that are judged, read in one go. A claim may be absent; one that is there, `null`
/// included, must have its type: else a check would be skipped (CVE-2026-25537).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Registered {
    #[serde(deserialize_with = "present")]
    pub(super) iss: Option<String>,
    #[serde(deserialize_with = "present")]
    pub(super) sub: Option<String>,
    pub(super) aud: Audience,
    #[serde(deserialize_with = "present_seconds")]
    pub(super) exp: Option<i64>,
    #[serde(deserialize_with = "present_seconds")]
    pub(super) nbf: Option<i64>,
    #[serde(deserialize_with = "present_seconds")]
    pub(super) iat: Option<i64>,
    #[serde(deserialize_with = "present")]
    pub(super) jti: Option<String>,
    #[serde(deserialize_with = "present")]
    pub(super) sid: Option<Uuid>,
    #[serde(deserialize_with = "present_seconds")]
    pub(super) auth_time: Option<i64>,
    pub(super) amr: Vec<String>,
    #[serde(deserialize_with = "present")]
    pub(super) email: Option<String>,
    #[serde(deserialize_with = "present")]
    pub(super) email_verified: Option<bool>,
    pub(super) roles: Vec<String>,
    pub(super) scope: Scope,
    #[serde(deserialize_with = "present")]
    pub(super) csrf: Option<Token>,
    /// Of flask-jwt-extended.
    #[serde(rename = "type", deserialize_with = "present")]
    pub(super) kind: Option<String>,
    /// Of flask-jwt-extended.
    #[serde(deserialize_with = "present")]
    pub(super) fresh: Option<Fresh>,
}

/// Claims of ours that mean something else, or are written otherwise, in the tokens of others.
const OURS: [&str; 8] = [
    "auth_time",
    "amr",
    "email",
    "email_verified",
    "roles",
    "scope",
    "jti",
    "csrf",
];
/// Claims that flask-jwt-extended and we understand alike.
const OURS_AND_FLASKS: [&str; 3] = ["sid", "type", "fresh"];

impl Registered {
    /// Reads them. What decides must have its type in every profile; of what other issuers may have
    /// another use for, that which does not fit counts as absent: no role, no scope, not fresh.
    pub(super) fn read(all: &Map<String, Value>, profile: Profile) -> Result<Self, Rejection> {
        let mut claims = Cow::Borrowed(all);
        let others: &[&[&str]] = match profile {
            Profile::Rfc9068 => &[],
            Profile::FlaskJwtExtended => &[&OURS],
            Profile::Jwt => &[&OURS, &OURS_AND_FLASKS],
        };
        for name in others.iter().copied().flatten() {
            let alone = all.get(*name).map(|value| json!({ *name: value }));
            if alone.is_some_and(|alone| Self::deserialize(alone).is_err()) {
                claims.to_mut().remove(*name);
            }
        }
        Self::deserialize(claims.into_owned().into_deserializer()).map_err(
            |_: serde_json::Error| match all.get("sub") {
                Some(sub) if !sub.is_string() => Rejection::SubjectNotText,
                _ => Rejection::MalformedClaims,
            },
        )
    }
}

fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A `NumericDate` (RFC 7519 §2), which may have a fraction; what is beyond whole seconds is dropped.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = Number::deserialize(deserializer)?;
    number
        .as_i64()
        .or_else(|| {
            // Nobody's token lives in a year that a whole number of 53 bits does not reach.
            const LARGEST: f64 = 9_007_199_254_740_992.0;

            let number = number.as_f64().filter(|number| number.abs() < LARGEST)?;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "its size was just looked at"
            )]
            let whole = number.floor() as i64;
            Some(whole)
        })
        .ok_or_else(|| serde::de::Error::custom("no time"))
}

fn present_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    seconds(deserializer).map(Some)
}

/// A token that is genuine and holds: what guards let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Verified {
    profile: Profile,
    header: Map<String, Value>,
    /// An object.
    all: Value,
    claims: Registered,
    account: Option<Whose>,
}

/// Whose a token is that does not say all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Whose {
    account: Uuid,
    email: String,
    is_email_verified: bool,
}

impl Verified {
    pub(super) const fn new(
        profile: Profile,
        header: Map<String, Value>,
        all: Value,
        claims: Registered,
    ) -> Self {
        Self {
            profile,
            header,
            all,
            claims,
            account: None,
        }
    }

    /// The members of its header.
    pub const fn header(&self) -> &Map<String, Value> {
        &self.header
    }

    /// The claims as `T` has them: any of them, of any type.
    ///
    /// # Errors
    ///
    /// [`Rejection::MalformedClaims`] where one is missing or has another type.
    pub fn custom<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        T::deserialize(&self.all).map_err(|_| Rejection::MalformedClaims)
    }

    /// Whom it is about, as the issuer names them.
    pub fn sub(&self) -> &str {
        self.claims.sub.as_deref().unwrap_or_default()
    }

    /// Its own id.
    pub fn jti(&self) -> Option<&str> {
        self.claims.jti.as_deref()
    }

    /// The session's id.
    pub const fn sid(&self) -> Option<Uuid> {
        self.claims.sid
    }

    /// When it was issued, in seconds since 1970.
    pub const fn iat(&self) -> Option<i64> {
        self.claims.iat
    }

    /// When it expires, in seconds since 1970.
    pub fn exp(&self) -> i64 {
        // The verifier lets no token through without one.
        self.claims.exp.unwrap_or_default()
    }

    /// What the token may be used for.
    pub const fn scope(&self) -> &Scope {
        &self.claims.scope
    }

    /// The account's roles.
    pub fn roles(&self) -> &[String] {
        &self.claims.roles
    }

    /// Whether the account's address was confirmed.
    pub fn is_email_verified(&self) -> bool {
        let of_account = || self.account.as_ref().map(|whose| whose.is_email_verified);
        self.claims.email_verified.or_else(of_account) == Some(true)
    }

    /// What a request with this token in a cookie must repeat.
    pub fn csrf(&self) -> Option<&str> {
        self.claims.csrf.as_ref().map(Token::expose)
    }

    /// Whether the person proved presence at most `window` ago. A token of flask-jwt-extended has to
    /// be `fresh`, and where it says when that was, as those that we issue do, within the window too.
    /// `now` is in seconds since 1970.
    pub fn is_fresh(&self, now: i64, window: Duration) -> bool {
        let is_recent = self
            .claims
            .auth_time
            .map(|at| now.saturating_sub(at) <= super::seconds(window));
        match (self.profile, self.claims.fresh) {
            (Profile::FlaskJwtExtended, Some(Fresh::Always(fresh))) => {
                fresh && is_recent != Some(false)
            }
            (Profile::FlaskJwtExtended, Some(Fresh::Until(until))) => {
                now < until && is_recent != Some(false)
            }
            (Profile::FlaskJwtExtended, None) => false,
            (Profile::Rfc9068 | Profile::Jwt, _) => is_recent == Some(true),
        }
    }

    /// Whose it is, where the token names them otherwise, or no address of theirs.
    #[cfg(feature = "server")]
    pub(crate) fn of_account(mut self, id: Uuid, email: String, is_email_verified: bool) -> Self {
        self.account = Some(Whose {
            account: id,
            email,
            is_email_verified,
        });
        self
    }
}

impl fmt::Debug for Verified {
    /// Without the address, and without what a request with the token must repeat.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("profile", &self.profile)
            .field("sub", &self.claims.sub)
            .field("sid", &self.claims.sid)
            .field("jti", &self.claims.jti)
            .field("exp", &self.claims.exp)
            .finish_non_exhaustive()
    }
}

impl TokenClaims for Verified {
    fn read(token: &Verified) -> Result<Self, Rejection> {
        Ok(token.clone())
    }
}

impl<X: DeserializeOwned> TokenClaims for Claims<X> {
    fn read(token: &Verified) -> Result<Self, Rejection> {
        let claims = token.claims.clone();
        let sub = match &token.account {
            Some(whose) => whose.account,
            None => token
                .sub()
                .parse()
                .map_err(|_| Rejection::MalformedClaims)?,
        };
        let address = || token.account.as_ref().map(|whose| whose.email.clone());
        Ok(Self {
            iss: claims.iss,
            sub,
            aud: claims.aud,
            exp: token.exp(),
            iat: claims.iat.ok_or(Rejection::MalformedClaims)?,
            jti: claims.jti,
            sid: claims.sid,
            auth_time: claims.auth_time,
            amr: claims.amr,
            email: claims.email.or_else(address),
            email_verified: token.is_email_verified(),
            roles: claims.roles,
            scope: claims.scope,
            custom: token.custom()?,
        })
    }
}

impl<X: DeserializeOwned> TokenClaims for AnyClaims<X> {
    fn read(token: &Verified) -> Result<Self, Rejection> {
        let claims = token.claims.clone();
        Ok(Self {
            iss: claims.iss,
            sub: token.sub().to_owned(),
            aud: claims.aud,
            exp: token.exp(),
            iat: claims.iat,
            jti: claims.jti,
            roles: claims.roles,
            scope: claims.scope,
            custom: token.custom()?,
        })
    }
}
