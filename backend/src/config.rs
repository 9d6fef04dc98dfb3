//! Configuration: flags, environment, file and defaults become one [`Config`].
//!
//! The only reader of the environment. Knows nothing of HTTP, databases or commands; what a value
//! means is decided where it is used.

mod error;
mod excerpt;
mod keys;
mod public_url;
mod sources;
mod values;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use tracing_subscriber::filter::Targets;

use self::sources::Settings;
pub use self::{
    error::{ConfigError, ConfigErrors, Warning},
    excerpt::Excerpt,
    public_url::PublicUrl,
    sources::{Flags, Origin, Sources},
    values::{LogFormat, Secret},
};
use crate::{
    accounts::Registration,
    guard::{AccessCookies, Location, Locations},
    keys::{KeyRules, MasterKey, Schedule},
    sessions::{Identity, SessionRules},
    token::{
        Algorithm, MAX_JWKS_BYTES, PrivateKey, Profile, PublicKeys, SigningKey, VerifyingKey,
        is_known_secret,
    },
};

/// How many keys there may be at a time.
const MAX_KEYS: u32 = 20;

/// Everything an operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// The outside origin. Its presence means production.
    pub public_url: Option<PublicUrl>,
    /// Where all that is local is kept.
    pub data_dir: PathBuf,
    /// What opens the signing keys; without it, a file in `data_dir`.
    pub master_key: Option<MasterKey>,
    /// `database.url`; without it, `SQLite` in `data_dir`.
    pub database_url: Option<Secret>,
    /// Where to listen, and whom to believe.
    pub server: Server,
    /// What access tokens are like.
    pub token: Token,
    /// How keys come and go.
    pub keys: Keys,
    /// How sessions live and end.
    pub session: SessionRules,
    /// What is allowed in development only.
    pub dev: Dev,
    /// What passwords must be like.
    pub password: Password,
    /// Who may make an account.
    pub registration: Registration,
    /// How often somebody may try.
    pub limits: Limits,
    /// Where what happens is counted.
    pub metrics: Metrics,
    /// What the log looks like.
    pub log: Log,
}

/// `server.…`
#[derive(Debug, Clone)]
pub struct Server {
    /// The address to bind; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Peers whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
}

/// `token.…`
#[derive(Debug, Clone)]
pub struct Token {
    /// What signs.
    pub algorithm: Algorithm,
    /// The key of HMAC; there exactly where the algorithm needs one.
    pub secret: Option<Secret>,
    /// The key that signs instead of those in the database.
    pub private_key: Option<SigningKey>,
    /// Keys of others that verify too.
    pub verification_keys: Vec<VerifyingKey>,
    /// `iss`, where it is not derived.
    pub issuer: Option<String>,
    /// `aud`, where it is not derived.
    pub audience: Option<String>,
    /// How long an access token lives.
    pub access_ttl: Duration,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// How long after a proof of presence a token is fresh.
    pub fresh_for: Duration,
    /// Where access tokens are looked for.
    pub locations: Locations,
    /// Whether tokens name the account's address.
    pub include_email: bool,
    /// What tokens look like.
    pub profile: Profile,
    /// What names the account in `sub`.
    pub identity: Identity,
}

/// `keys.…`
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// When the next key signs.
    pub rotate_every: Schedule,
    /// How long a key is published before it signs.
    pub pending_for: Duration,
}

/// `dev.…`
#[derive(Debug, Clone)]
pub struct Dev {
    /// Origins beside this server's own whose pages are ours, such as that of `trunk serve`.
    pub extra_origins: Vec<PublicUrl>,
}

/// `password.…`
#[derive(Debug, Clone, Copy)]
pub struct Password {
    /// The fewest characters of a new password.
    pub min_length: usize,
}

/// `limits.…`
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Multiplies every rate.
    pub scale: f64,
}

/// `metrics.…`
#[derive(Debug, Clone, Copy)]
pub struct Metrics {
    /// The address to bind for them alone; without it, nobody can read them.
    pub listen: Option<SocketAddr>,
}

/// `log.…`
#[derive(Debug, Clone)]
pub struct Log {
    /// How lines look; without it, by whether a terminal reads them.
    pub format: Option<LogFormat>,
    /// What is written.
    pub level: Targets,
}

/// The keys of the file, a line each with meaning and default, for the help text.
pub fn keys_help() -> String {
    keys::help()
}

impl Config {
    /// Reads every source; the stronger one holds: flag, variable, file, default.
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`] names everything that is wrong, and where.
    pub fn load(sources: &Sources) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        Self::read(Settings::gather(sources), sources.flags.port)
    }

    /// Takes what a program says, by the names of the keys; all else has its default. Neither file
    /// nor environment is read.
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`] names everything that is wrong.
    pub fn of_program(values: &[(String, String)]) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        let (config, mut warnings) = Self::read(Settings::of_program(values), None)?;
        if config.metrics.listen.is_some() {
            warnings.push(Warning::MetricsMounted);
        }
        Ok((config, warnings))
    }

    fn read(
        mut settings: Settings,
        port: Option<u16>,
    ) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        let public_url = settings.find("public_url", PublicUrl::parse);
        let private_key = settings.find("token.private_key", values::secret);
        let verification_keys = settings.find("token.verification_keys", values::text);
        let by_mode = if public_url.is_some() {
            Registration::Closed
        } else {
            Registration::Open
        };
        let mut config = Self {
            public_url: public_url.clone(),
            data_dir: settings.get("data_dir", values::text).into(),
            master_key: settings.find("master_key", MasterKey::from_base64),
            database_url: settings.find("database.url", values::database_url),
            server: Server {
                listen: settings.get("server.listen", |text| text.parse().ok()),
                trusted_proxies: settings.list("server.trusted_proxies", values::network),
            },
            token: Token {
                algorithm: settings.get("token.algorithm", |text| text.parse().ok()),
                secret: settings.find("token.secret", values::secret),
                private_key: None,
                verification_keys: Vec::new(),
                issuer: settings.find("token.issuer", values::text),
                audience: settings.find("token.audience", values::text),
                access_ttl: settings.get("token.access_ttl", values::access_ttl),
                leeway: settings.get("token.leeway", values::leeway),
                fresh_for: settings.get("token.fresh_for", values::access_ttl),
                locations: locations(&mut settings, public_url.as_ref()),
                include_email: settings.get("token.include_email", values::flag),
                profile: settings.get("token.profile", |text| text.parse().ok()),
                identity: settings.get("token.profile_identity", values::identity),
            },
            keys: Keys {
                rotate_every: settings.get("keys.rotate_every", values::rotate_every),
                pending_for: settings.get("keys.pending_for", values::pending_for),
            },
            session: SessionRules {
                idle_ttl: settings.get("session.idle_ttl", values::session_ttl),
                absolute_ttl: settings.get("session.absolute_ttl", values::session_ttl),
                refresh_grace: settings.get("session.refresh_grace", values::refresh_grace),
                max_per_account: settings.get("session.max_per_account", values::max_per_account),
            },
            dev: Dev {
                extra_origins: settings.list("dev.extra_origins", PublicUrl::parse),
            },
            password: Password {
                min_length: settings.get("password.min_length", values::min_length),
            },
            registration: settings
                .find("registration", values::registration)
                .unwrap_or(by_mode),
            limits: Limits {
                scale: settings.get("limits.scale", values::scale),
            },
            metrics: Metrics {
                listen: settings.find("metrics.listen", |text| text.parse().ok()),
            },
            log: Log {
                format: settings.find("log.format", values::log_format),
                level: settings.get("log.level", values::log_level),
            },
        };
        if let Some(port) = port {
            config.server.listen.set_port(port);
        }
        if settings.all_hold() {
            config.check(&mut settings);
            config.read_private_key(private_key.as_ref(), &mut settings);
            config.read_verification_keys(verification_keys.as_deref(), &mut settings);
        }
        if let Some(url) = config.public_url.clone().filter(|url| !url.is_https()) {
            settings.warnings.push(Warning::PlainHttp { url });
        }
        // Not refused, as `server.listen` is: there is nobody's data in them and nothing to do there,
        // and a Prometheus in another container has no other way.
        if let Some(listen) = config.metrics.listen.filter(|listen| is_exposed(*listen)) {
            settings.warnings.push(Warning::MetricsExposed { listen });
        }
        if !config.token.locations.suits_pages() {
            settings.warnings.push(Warning::PagesShutOut);
        }
        if config.public_url.is_some() && !config.dev.extra_origins.is_empty() {
            let key = "dev.extra_origins";
            settings.warnings.push(Warning::OfDevelopment { key });
        }
        if config.token.identity == Identity::Email && config.registration == Registration::Open {
            settings.warnings.push(Warning::UnprovenAddresses);
        }
        if settings.errors.is_empty() {
            Ok((config, settings.warnings))
        } else {
            Err(ConfigErrors(settings.errors))
        }
    }

    /// What no value can show alone.
    fn check(&self, settings: &mut Settings) {
        let algorithm = self.token.algorithm.as_str();
        let wrong_secret = match (&self.token.secret, self.token.algorithm.is_symmetric()) {
            (None, true) => Some(ConfigError::SecretMissing {
                algorithm,
                origin: settings.take_origin("token.algorithm"),
            }),
            (Some(_), false) => Some(ConfigError::SecretUnused {
                algorithm,
                origin: settings.take_origin("token.secret"),
            }),
            (Some(secret), true) if is_known_secret(secret.expose()) => {
                Some(ConfigError::SecretKnown {
                    origin: settings.take_origin("token.secret"),
                })
            }
            (Some(secret), true) => {
                let has = secret.expose().len();
                let needs = self.token.algorithm.secret_bytes().unwrap_or_default();
                (has < needs).then(|| ConfigError::SecretTooShort {
                    has,
                    needs,
                    algorithm,
                    origin: settings.take_origin("token.secret"),
                })
            }
            (None, false) => None,
        };
        settings.errors.extend(wrong_secret);

        if self.token.profile == Profile::Rfc9068 && self.token.identity == Identity::Email {
            // A `sub` that a person can change is a key to somebody else's data (RFC 9068 §5).
            settings.refuse("token.profile_identity", "email");
        }
        self.check_rotation(settings);

        let listen = self.server.listen;
        if self.metrics.listen.is_some_and(|own| collide(own, listen)) {
            let origin = settings.take_origin("metrics.listen");
            settings
                .errors
                .push(ConfigError::MetricsNotApart { listen, origin });
        }
        if self.public_url.is_none() && is_exposed(listen) {
            let origin = settings.take_origin("server.listen");
            settings
                .errors
                .push(ConfigError::Exposed { listen, origin });
        }
    }

    /// `iss` of every token; of flask-jwt-extended's only where it is configured.
    pub fn token_issuer(&self, port: u16) -> Option<String> {
        match self.token.profile {
            Profile::FlaskJwtExtended => self.token.issuer.clone(),
            Profile::Rfc9068 | Profile::Jwt => Some(self.issuer(port)),
        }
    }

    /// `aud` of every token, by the same rule as [`Config::token_issuer`].
    pub fn token_audience(&self, port: u16) -> Option<String> {
        match self.token.profile {
            Profile::FlaskJwtExtended => self.token.audience.clone(),
            Profile::Rfc9068 | Profile::Jwt => Some(self.audience(port)),
        }
    }

    fn check_rotation(&self, settings: &mut Settings) {
        let (pending_for, verifies_for) = (self.keys.pending_for, self.key_rules().verifies_for);
        let Schedule::Every(every) = self.keys.rotate_every else {
            return;
        };
        if every < pending_for * 2 {
            let origin = settings.take_origin("keys.rotate_every");
            settings.errors.push(ConfigError::RotationTooFast {
                every,
                pending_for,
                origin,
            });
        } else if verifies_for > every * MAX_KEYS {
            let origin = settings.take_origin("keys.rotate_every");
            settings.errors.push(ConfigError::TooManyKeys {
                every,
                verifies_for,
                limit: MAX_KEYS,
                origin,
            });
        }
    }

    fn read_private_key(&mut self, text: Option<&Secret>, settings: &mut Settings) {
        let Some(text) = text else { return };
        let algorithm = self.token.algorithm;
        let key = PrivateKey::parse(algorithm, text.expose()).and_then(|key| key.signing_key());
        let origin = settings.take_origin("token.private_key");
        let algorithm_name = algorithm.as_str();
        match key {
            _ if algorithm.is_symmetric() => settings.errors.push(ConfigError::PrivateKeyUnused {
                algorithm: algorithm_name,
                origin,
            }),
            Ok(key) => self.token.private_key = Some(key),
            Err(cause) => settings.errors.push(ConfigError::PrivateKeyRefused {
                algorithm: algorithm_name,
                cause,
                origin,
            }),
        }
    }

    fn read_verification_keys(&mut self, path: Option<&str>, settings: &mut Settings) {
        const KEY: &str = "token.verification_keys";

        let Some(path) = path else { return };
        if self.token.algorithm.is_symmetric() {
            let (algorithm, origin) = (self.token.algorithm.as_str(), settings.take_origin(KEY));
            settings
                .errors
                .push(ConfigError::VerificationKeysMixed { algorithm, origin });
            return;
        }
        let Some(text) = settings.read_named(KEY, path, MAX_JWKS_BYTES) else {
            return;
        };
        match PublicKeys::parse(&text) {
            Ok(keys) => self.token.verification_keys = keys.iter().cloned().collect(),
            Err(cause) => {
                let origin = settings.take_origin(KEY);
                settings.errors.push(ConfigError::VerificationKeysRefused {
                    path: path.into(),
                    cause,
                    origin,
                });
            }
        }
    }

    /// How the keys in the database come and go.
    pub fn key_rules(&self) -> KeyRules {
        KeyRules {
            algorithm: self.token.algorithm,
            schedule: self.keys.rotate_every,
            pending_for: self.keys.pending_for,
            // The last token that it signs, and the time for which others may remember what they
            // have read of it.
            verifies_for: self.token.access_ttl
                + self.token.leeway
                + Duration::from_secs(1)
                + self.keys.pending_for,
        }
    }

    /// `iss` of every token: configured, else the outside origin, else this machine at `port`.
    pub fn issuer(&self, port: u16) -> String {
        self.token
            .issuer
            .clone()
            .unwrap_or_else(|| self.origin(port))
    }

    /// `aud` of every token, by the same rule as [`Config::issuer`].
    pub fn audience(&self, port: u16) -> String {
        self.token
            .audience
            .clone()
            .unwrap_or_else(|| self.origin(port))
    }

    fn origin(&self, port: u16) -> String {
        match &self.public_url {
            Some(url) => url.as_str().to_owned(),
            None => format!("http://127.0.0.1:{port}"),
        }
    }
}

/// Where access tokens are looked for, under the names that the configuration gives.
fn locations(settings: &mut Settings, public_url: Option<&PublicUrl>) -> Locations {
    let cookies = if public_url.is_some_and(PublicUrl::is_https) {
        AccessCookies::secure()
    } else {
        AccessCookies::plain()
    };
    let name = settings.get("token.header_name", values::text);
    let scheme = settings.get("token.header_scheme", values::scheme);
    let order = settings.find_list("token.locations", |name| name.parse().ok());
    let order = order.unwrap_or_else(|| vec![Location::Headers]);
    let locations = Locations::new(order).unwrap_or_else(|error| {
        settings.refuse("token.locations", &format!("a list where {error}"));
        Locations::default()
    });
    let locations = locations.cookies(cookies);
    locations
        .clone()
        .header(&name, &scheme)
        .unwrap_or_else(|_| {
            settings.refuse("token.header_name", &name);
            locations
        })
}

/// Whether other machines can reach it.
fn is_exposed(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

/// Whether two addresses cannot both be listened on. Port 0 is any that is free.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port()
        && one.port() != 0
        && (ip == other_ip || ip.is_unspecified() || other_ip.is_unspecified())
}

#[cfg(test)]
mod tests;
