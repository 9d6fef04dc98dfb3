//! What is wrong with a configuration, in words that name the place and the way out.

use std::{fmt, io, net::SocketAddr, path::PathBuf, time::Duration};

use super::{PublicUrl, sources::Origin};
use crate::token::{JwksError, KeyError};

/// Everything that is wrong, at once, so that nobody mends a file line by line.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors(pub(super) Vec<ConfigError>);

impl ConfigErrors {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            let between = if number == 0 { "" } else { "\n\n" };
            write!(f, "{between}{error}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong. No message holds the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file has a key that does not exist.
    #[error("unknown key `{key}`{origin}")]
    UnknownKey {
        /// As it is written, with its section.
        key: String,
        /// Where.
        origin: Origin,
    },
    /// The file is not TOML.
    #[error("{message}{origin}")]
    Syntax {
        /// What the parser says.
        message: String,
        /// Where.
        origin: Origin,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {cause}{origin}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Who named it.
        origin: Origin,
        /// Why.
        cause: io::Error,
    },
    /// A secret is in a variable and in a file.
    #[error("{variable} and {variable}_FILE are both set: keep one")]
    GivenTwice {
        /// The variable.
        variable: String,
    },
    /// A variable is not text.
    #[error("{variable} is not UTF-8")]
    NotText {
        /// The variable.
        variable: String,
    },
    /// A value has the wrong type or is out of range.
    #[error("`{key}`: expected {expected}{}{origin}", but_found(found.as_deref()))]
    Invalid {
        /// The key.
        key: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What was there; not of a secret.
        found: Option<String>,
        /// Where.
        origin: Origin,
    },
    /// HMAC without a key.
    #[error(
        "`token.algorithm` is {algorithm}, which needs `token.secret`\n  \
         make one with `openssl rand -base64 48` and keep it in a file that \
         COUNTERSIGN_TOKEN__SECRET_FILE names{origin}"
    )]
    SecretMissing {
        /// The algorithm.
        algorithm: &'static str,
        /// Who chose it.
        origin: Origin,
    },
    /// A key that nothing would use.
    #[error(
        "`token.secret` is set, but {algorithm} signs with a key of its own\n  \
         remove it, or set `token.algorithm` to HS256{origin}"
    )]
    SecretUnused {
        /// The algorithm.
        algorithm: &'static str,
        /// Where the secret is.
        origin: Origin,
    },
    /// A key that can be guessed by trying all (RFC 7518 §3.2).
    #[error(
        "`token.secret` has {has} bytes; {algorithm} needs at least {needs}\n  \
         make one with `openssl rand -base64 48`{origin}"
    )]
    SecretTooShort {
        /// Bytes it has.
        has: usize,
        /// Bytes it needs.
        needs: usize,
        /// The algorithm.
        algorithm: &'static str,
        /// Where it is.
        origin: Origin,
    },
    /// A key that is in a manual.
    #[error(
        "`token.secret` is a known example, and whoever knows it can sign in as anybody\n  \
         make one with `openssl rand -base64 48`{origin}"
    )]
    SecretKnown {
        /// Where it is.
        origin: Origin,
    },
    /// A private key that signs nothing.
    #[error(
        "`token.private_key` is set, but {algorithm} signs with `token.secret`\n  \
         remove it, or set `token.algorithm` to what the key is for{origin}"
    )]
    PrivateKeyUnused {
        /// The algorithm.
        algorithm: &'static str,
        /// Where the key is.
        origin: Origin,
    },
    /// A private key that is none, or not one for the algorithm.
    #[error(
        "`token.private_key` cannot be used for {algorithm} (`token.algorithm`): {cause}{origin}"
    )]
    PrivateKeyRefused {
        /// The algorithm.
        algorithm: &'static str,
        /// What is wrong.
        cause: KeyError,
        /// Where the key is.
        origin: Origin,
    },
    /// Public keys beside a secret.
    #[error(
        "`token.verification_keys` are public keys, but {algorithm} signs with a secret: the two do \
         not go together\n  \
         remove them, or set `token.algorithm` to one with a public key, such as ES256{origin}"
    )]
    VerificationKeysMixed {
        /// The algorithm.
        algorithm: &'static str,
        /// Who named the file.
        origin: Origin,
    },
    /// A file of public keys with something wrong in it.
    #[error("`token.verification_keys`: {} cannot be used: {cause}{origin}", path.display())]
    VerificationKeysRefused {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        cause: JwksError,
        /// Who named it.
        origin: Origin,
    },
    /// A key would have to sign before everybody knows it.
    #[error(
        "`keys.rotate_every` is {} s, but a key is published for {} s before it signs\n  \
         set it to twice `keys.pending_for` at least{origin}",
        every.as_secs(), pending_for.as_secs()
    )]
    RotationTooFast {
        /// How long a key is to sign.
        every: Duration,
        /// How long it is published before.
        pending_for: Duration,
        /// Who chose it.
        origin: Origin,
    },
    /// More keys at once than a service would want to read.
    #[error(
        "`keys.rotate_every` is {} s, and every key verifies for {} s after it signed: that would be \
         more than {limit} keys at a time\n  \
         set it to {} s at least, or `token.access_ttl` to less{origin}",
        every.as_secs(), verifies_for.as_secs(), verifies_for.as_secs().div_ceil(u64::from(*limit))
    )]
    TooManyKeys {
        /// How long a key is to sign.
        every: Duration,
        /// How long it verifies afterwards.
        verifies_for: Duration,
        /// How many keys there may be.
        limit: u32,
        /// Who chose it.
        origin: Origin,
    },
    /// Development, open to others.
    #[error(
        "`server.listen` is {listen}, which other machines can reach, but `public_url` is not set\n  \
         without it this is development: anybody may create an account, and cookies are not Secure\n  \
         set it to the address people use (`--public-url https://auth.example.com`), or listen on \
         127.0.0.1{origin}"
    )]
    Exposed {
        /// The address.
        listen: SocketAddr,
        /// Who chose it.
        origin: Origin,
    },
    /// Metrics where everybody is served.
    #[error(
        "`metrics.listen` is where `server.listen` is ({listen}); what is counted is never served \
         there\n  choose another port, such as 9464{origin}"
    )]
    MetricsNotApart {
        /// The address of the server.
        listen: SocketAddr,
        /// Who chose that of the metrics.
        origin: Origin,
    },
}

fn but_found(found: Option<&str>) -> String {
    found
        .map(|found| format!(", found {found}"))
        .unwrap_or_default()
}

/// What is allowed and still worth a word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A variable that looks like ours and is not: perhaps misspelt, perhaps of another version.
    #[error("unknown variable {name}{}", did_you_mean(nearest.as_deref()))]
    UnknownVariable {
        /// Its name.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// Production without encryption.
    #[error(
        "public_url is {url}: passwords and tokens travel in clear, and everybody on the way can \
         read them. Use https for anything but a trial"
    )]
    PlainHttp {
        /// The origin.
        url: PublicUrl,
    },
    /// Metrics for everybody.
    #[error(
        "metrics.listen is {listen}, which other machines can reach: whoever does can read how many \
         people sign in and what fails. Let only your monitoring get there"
    )]
    MetricsExposed {
        /// The address.
        listen: SocketAddr,
    },
    /// Metrics of an application, which opens its listeners itself.
    #[error(
        "metrics.listen does nothing in an application that mounts Countersign: serve \
         `Countersign::metrics()` where your monitoring reaches it"
    )]
    MetricsMounted,
    /// The places of tokens are not those of the pages.
    #[error(
        "the pages of this server send access tokens as `Authorization: Bearer …`, which \
         token.locations, token.header_name and token.header_scheme do not look at first: they \
         will be refused. Put \"headers\" before \"cookies\" to use them"
    )]
    PagesShutOut,
    /// Tokens name accounts by addresses that nobody proved to be theirs.
    #[error(
        "token.profile_identity is `email` and registration is open: whoever registers the address \
         of somebody else gets tokens that the Flask application takes for theirs. Close \
         registration until everybody of there has an account here"
    )]
    UnprovenAddresses,
    /// A key of development in production.
    #[error("{key} is for development and does nothing beside public_url")]
    OfDevelopment {
        /// Which key.
        key: &'static str,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest
        .map(|nearest| format!("; did you mean {nearest}?"))
        .unwrap_or_default()
}
