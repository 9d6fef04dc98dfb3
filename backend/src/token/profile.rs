//! Which kinds of access token there are.

use std::str::FromStr;

/// What an access token must look like, and what is asked of it beside its signature and its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// Ours: `typ` is `at+jwt`, and what RFC 9068 §2.2 asks for is there.
    #[default]
    Rfc9068,
    /// As flask-jwt-extended writes and reads them: `type` is not `refresh`, `fresh` says until when
    /// the token counts as fresh, and the key need not be named.
    FlaskJwtExtended,
    /// A JWT (RFC 7519) of another issuer, such as an OpenID provider: `typ` is `at+jwt`, `JWT` or
    /// absent.
    Jwt,
}

impl Profile {
    /// Profiles that tokens can be issued in, by the names of the configuration.
    pub const ISSUED: [(&'static str, Self); 2] = [
        ("rfc9068", Self::Rfc9068),
        ("flask-jwt-extended", Self::FlaskJwtExtended),
    ];
}

/// A name that is none of [`Profile::ISSUED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown profile")]
pub struct UnknownProfile;

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        Self::ISSUED
            .into_iter()
            .find_map(|(known, profile)| (known == name).then_some(profile))
            .ok_or(UnknownProfile)
    }
}
