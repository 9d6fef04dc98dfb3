//! Issuing access tokens.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_types::Token;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    ACCESS_TOKEN_TYPE, Audience, KeyError, MAX_TOKEN_BYTES, Profile, SigningKeys, seconds,
};

/// Claims that are ours to write: a program that could say them could lend a token to somebody else.
const RESERVED_CLAIMS: [&str; 17] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "auth_time",
    "amr",
    "email",
    "email_verified",
    "roles",
    "scope",
    "csrf",
    "type",
    "fresh",
];

/// Members of the header that decide how the token is read.
const RESERVED_HEADERS: [&str; 13] = [
    "alg", "kid", "typ", "cty", "crit", "b64", "jwk", "jku", "x5u", "x5c", "x5t", "zip", "enc",
];

/// Signs access tokens of one issuer.
///
/// Knows neither time nor chance: both are arguments. [`Issuer`](crate::Issuer) brings them.
#[derive(Debug, Clone)]
pub struct Signer {
    keys: SigningKeys,
    profile: Profile,
    issuer: Option<String>,
    audience: Audience,
    lifetime: Duration,
    fresh_for: Duration,
}

/// Whom a token is for.
///
/// A program that has users of its own makes one of them:
///
/// ```
/// use countersign::token::Subject;
///
/// struct User {
///     id: u64,
/// }
///
/// impl From<&User> for Subject {
///     fn from(user: &User) -> Self {
///         Self::new(user.id)
///     }
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// `sub`: the account.
    pub id: String,
    /// `email`, and whether it was confirmed.
    pub email: Option<(String, bool)>,
    /// `sid`: the session that the token hangs on.
    pub session: Option<Uuid>,
    /// `auth_time`: when the person last proved presence, in seconds since 1970. Without it the
    /// token is never fresh.
    pub auth_time: Option<i64>,
    /// `amr`: how they did (RFC 8176).
    pub amr: Vec<String>,
}

impl Subject {
    /// Somebody, by their id.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a number or an id is given as it is, without a `&`"
    )]
    pub fn new(id: impl ToString) -> Self {
        Self {
            id: id.to_string(),
            ..Self::default()
        }
    }

    /// With their address, and whether it was confirmed.
    #[must_use]
    pub fn email(mut self, address: impl Into<String>, is_verified: bool) -> Self {
        self.email = Some((address.into(), is_verified));
        self
    }

    /// With the session that the token hangs on.
    #[must_use]
    pub const fn session(mut self, id: Uuid) -> Self {
        self.session = Some(id);
        self
    }

    /// Who proved presence at this time, in seconds since 1970, by these methods (RFC 8176).
    #[must_use]
    pub fn authenticated<M: Into<String>>(
        mut self,
        at: i64,
        methods: impl IntoIterator<Item = M>,
    ) -> Self {
        self.auth_time = Some(at);
        self.amr = methods.into_iter().map(Into::into).collect();
        self
    }
}

/// What a token is to say beyond whom it is for. Empty, it says what the issuer is configured to.
///
/// ```
/// use std::time::Duration;
///
/// use countersign::token::Grant;
///
/// let grant = Grant::new()
///     .lifetime(Duration::from_mins(5))
///     .audience("https://api.example.com")
///     .scopes(["notes:read"])
///     .claim("tenant", 7)?;
/// # Ok::<(), countersign::token::SignError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a grant does nothing before a token is issued by it"]
pub struct Grant {
    lifetime: Option<Duration>,
    audience: Option<Audience>,
    scopes: Vec<String>,
    roles: Vec<String>,
    csrf: Option<Token>,
    claims: Map<String, Value>,
    header: Map<String, Value>,
}

impl Grant {
    /// Nothing beyond what is configured.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the token lives, instead of what is configured.
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Whom it is for (RFC 7519 §4.1.3), instead of what is configured.
    pub fn audience(mut self, audience: impl Into<Audience>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// What it may be used for, in addition (RFC 6749 §3.3).
    pub fn scopes<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Roles of the account, in addition (RFC 9068 §2.2.3.1).
    pub fn roles<T: Into<String>>(mut self, roles: impl IntoIterator<Item = T>) -> Self {
        self.roles.extend(roles.into_iter().map(Into::into));
        self
    }

    /// A claim of the application's own; a later one of the same name wins.
    ///
    /// # Errors
    ///
    /// [`SignError::Reserved`] where the name is ours, [`SignError::Claims`] where the value has no
    /// JSON.
    pub fn claim(
        mut self,
        name: impl Into<String>,
        value: impl Serialize,
    ) -> Result<Self, SignError> {
        let name = name.into();
        if RESERVED_CLAIMS.contains(&&*name) {
            return Err(SignError::Reserved(name));
        }
        self.claims.insert(name, serde_json::to_value(value)?);
        Ok(self)
    }

    /// Claims of the application's own, by a type that has a member for each: the `X` of
    /// [`Claims`](super::Claims).
    ///
    /// # Errors
    ///
    /// As [`Grant::claim`]; [`SignError::NoObject`] where the type has no members.
    pub fn claims(self, claims: impl Serialize) -> Result<Self, SignError> {
        let Value::Object(claims) = serde_json::to_value(claims)? else {
            return Err(SignError::NoObject);
        };
        claims
            .into_iter()
            .try_fold(self, |grant, (name, value)| grant.claim(name, value))
    }

    /// A member of the header; a later one of the same name wins.
    ///
    /// # Errors
    ///
    /// As [`Grant::claim`].
    pub fn header(
        mut self,
        name: impl Into<String>,
        value: impl Serialize,
    ) -> Result<Self, SignError> {
        let name = name.into();
        if RESERVED_HEADERS.contains(&&*name) || name.starts_with("x5") {
            return Err(SignError::Reserved(name));
        }
        self.header.insert(name, serde_json::to_value(value)?);
        Ok(self)
    }

    /// Both; where they contradict each other, the other one wins.
    pub fn and(mut self, other: Self) -> Self {
        self.lifetime = other.lifetime.or(self.lifetime);
        self.audience = other.audience.or(self.audience);
        self.csrf = other.csrf.or(self.csrf);
        self.scopes.extend(other.scopes);
        self.roles.extend(other.roles);
        self.claims.extend(other.claims);
        self.header.extend(other.header);
        self
    }

    /// How long the token lives, where that was said.
    pub const fn requested_lifetime(&self) -> Option<Duration> {
        self.lifetime
    }

    /// Whom the token is for too, where that was said.
    #[cfg(feature = "server")]
    pub(crate) fn also_for(mut self, audience: &Audience) -> Self {
        if let Some(Audience(granted)) = &mut self.audience {
            for own in &audience.0 {
                if !granted.contains(own) {
                    granted.push(own.clone());
                }
            }
        }
        self
    }

    /// Whether a token can say all of this.
    ///
    /// # Errors
    ///
    /// [`SignError::Scope`] and [`SignError::TooLong`] where it cannot.
    pub fn check(&self) -> Result<(), SignError> {
        // Beside it: what is ours to say, in base64, and a signature.
        const OURS: usize = 2 * 1024;

        if let Some(scope) = self.scopes.iter().find(|scope| !is_scope(scope)) {
            return Err(SignError::Scope(scope.clone()));
        }
        let said = json!([
            self.scopes,
            self.roles,
            self.claims,
            self.header,
            self.audience
        ]);
        let size = said.to_string().len() * 4 / 3;
        if size > MAX_TOKEN_BYTES - OURS {
            return Err(SignError::TooLong(size + OURS));
        }
        Ok(())
    }

    /// What requests must repeat that carry the token in a cookie.
    pub(crate) fn csrf(mut self, value: Token) -> Self {
        self.csrf = Some(value);
        self
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The crypto library failed.
    #[error("the token could not be signed")]
    Key(#[from] KeyError),
    /// There is no key for this subject.
    #[error("there is no key to sign with")]
    NoKey,
    /// The claims have no JSON.
    #[error("the claims could not be written")]
    Claims(#[from] serde_json::Error),
    /// The name of a claim or a member of the header that is not the program's to write.
    #[error("`{0}` is not the application's to write")]
    Reserved(String),
    /// Claims without names.
    #[error("claims are an object with a member for each")]
    NoObject,
    /// What is no scope (RFC 6749 §3.3): with a space in it, it would be read as two.
    #[error("`{0}` is no scope: it has characters that a scope cannot have")]
    Scope(String),
    /// Nobody would read it: more than [`MAX_TOKEN_BYTES`].
    #[error("the token would have {0} bytes, more than anybody reads: say less in it")]
    TooLong(usize),
}

/// Printable ASCII without space, quote and backslash (RFC 6749 §3.3).
fn is_scope(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

impl Signer {
    /// Signs tokens as in RFC 9068: from an issuer, for an audience, for 15 minutes.
    pub fn new(
        keys: impl Into<SigningKeys>,
        issuer: impl Into<String>,
        audience: impl Into<Audience>,
    ) -> Self {
        Self::of_profile(Profile::Rfc9068, keys)
            .issuer(issuer)
            .audience(audience)
    }

    /// Signs tokens as flask-jwt-extended writes them: for 15 minutes, without issuer and audience.
    pub fn flask(keys: impl Into<SigningKeys>) -> Self {
        Self::of_profile(Profile::FlaskJwtExtended, keys)
    }

    pub(crate) fn of_profile(profile: Profile, keys: impl Into<SigningKeys>) -> Self {
        Self {
            keys: keys.into(),
            profile,
            issuer: None,
            audience: Audience::default(),
            lifetime: Duration::from_mins(15),
            fresh_for: Duration::from_mins(10),
        }
    }

    /// Writes this `iss`; it replaces the one before.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Writes this `aud`; it replaces the one before.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<Audience>) -> Self {
        self.audience = audience.into();
        self
    }

    /// How long a token lives, where a [`Grant`] says nothing else.
    #[must_use]
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// How long after `auth_time` a token counts as fresh: what `fresh` says in the profile of
    /// flask-jwt-extended; elsewhere who accepts the token decides.
    #[must_use]
    pub const fn fresh_for(mut self, window: Duration) -> Self {
        self.fresh_for = window;
        self
    }

    /// Whom a token is for, where a [`Grant`] says nothing else.
    #[cfg(feature = "server")]
    pub(crate) const fn default_audience(&self) -> &Audience {
        &self.audience
    }

    /// How long a token lives, where a [`Grant`] says nothing else.
    pub const fn default_lifetime(&self) -> Duration {
        self.lifetime
    }

    /// An access token with the given id, issued `now` (seconds since 1970).
    ///
    /// # Errors
    ///
    /// [`SignError`] where there is no key, the token would be too long, or the crypto library fails.
    pub fn sign(
        &self,
        subject: &Subject,
        grant: &Grant,
        jti: Uuid,
        now: i64,
    ) -> Result<Token, SignError> {
        grant.check()?;
        let lifetime = grant.lifetime.unwrap_or(self.lifetime);
        let audience = grant.audience.as_ref().unwrap_or(&self.audience);
        let mut claims = grant.claims.clone();
        let mut say = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        say("sub", json!(subject.id));
        say("iat", json!(now));
        say("nbf", json!(now));
        say("exp", json!(now.saturating_add(seconds(lifetime))));
        say("jti", json!(jti));
        if let Some(issuer) = &self.issuer {
            say("iss", json!(issuer));
        }
        if !audience.is_empty() {
            say("aud", json!(audience));
        }
        if let Some(session) = subject.session {
            say("sid", json!(session));
        }
        if let Some(at) = subject.auth_time {
            say("auth_time", json!(at));
        }
        if !subject.amr.is_empty() {
            say("amr", json!(subject.amr));
        }
        if let Some((email, is_verified)) = &subject.email {
            say("email", json!(email));
            say("email_verified", json!(is_verified));
        }
        if !grant.roles.is_empty() {
            say("roles", json!(grant.roles));
        }
        if !grant.scopes.is_empty() {
            say("scope", json!(grant.scopes.join(" ")));
        }
        if let Some(csrf) = &grant.csrf {
            say("csrf", json!(csrf.expose()));
        }
        let typ = match self.profile {
            Profile::Rfc9068 => ACCESS_TOKEN_TYPE,
            Profile::FlaskJwtExtended | Profile::Jwt => "JWT",
        };
        if self.profile == Profile::FlaskJwtExtended {
            say("type", json!("access"));
            // Until when, so that the other side needs no window of its own.
            let until = subject
                .auth_time
                .map(|at| at.saturating_add(seconds(self.fresh_for)));
            say("fresh", until.map_or(json!(false), |until| json!(until)));
        }
        self.compact(subject, &grant.header, typ, &claims)
    }

    /// The compact serialisation (RFC 7515 §7.1).
    pub(super) fn compact(
        &self,
        subject: &Subject,
        header: &Map<String, Value>,
        typ: &str,
        claims: &impl Serialize,
    ) -> Result<Token, SignError> {
        let key = self.keys.find(subject).ok_or(SignError::NoKey)?;
        let mut header = header.clone();
        header.insert("alg".to_owned(), json!(key.algorithm().as_str()));
        header.insert("kid".to_owned(), json!(key.kid()));
        header.insert("typ".to_owned(), json!(typ));
        let mut token = URL_SAFE_NO_PAD.encode(Value::Object(header).to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims)?, &mut token);
        let signature = key.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        if token.len() > MAX_TOKEN_BYTES {
            return Err(SignError::TooLong(token.len()));
        }
        Ok(token.into())
    }
}
