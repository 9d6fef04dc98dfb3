//! Every key there is: the one list from which variables, flags, defaults, error messages, «did you
//! mean» and the help text come.

use std::fmt::Write as _;

use Fallback::{Derived, Value};

/// A key and what its value must be.
#[derive(Debug)]
pub(super) struct Key {
    /// As in the file: `token.access_ttl`.
    pub(super) name: &'static str,
    /// How the value is written.
    pub(super) kind: Kind,
    /// Completes «expected …».
    pub(super) expected: &'static str,
    /// What holds where nobody says anything.
    pub(super) fallback: Fallback,
    /// The flag that sets it.
    pub(super) flag: Option<&'static str>,
    /// Completes the help text.
    pub(super) meaning: &'static str,
}

/// How a value is written in the file. In the environment everything is text, lists in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Never shown, and `…_FILE` may name a file with the value.
    Secret,
    Number,
    /// `true` or `false`.
    Flag,
    List,
}

/// What holds where nobody says anything.
#[derive(Debug)]
pub(super) enum Fallback {
    /// This value, as somebody would write it.
    Value(&'static str),
    /// Something else, in words.
    Derived(&'static str),
}

pub(super) const ALL: &[Key] = &[
    Key {
        name: "public_url",
        kind: Kind::Text,
        expected: "an origin such as `https://auth.example.com`, with nothing after host and port",
        fallback: Derived("none"),
        flag: Some("--public-url"),
        meaning: "the address people use; its presence means production",
    },
    Key {
        name: "data_dir",
        kind: Kind::Text,
        expected: "a folder",
        fallback: Value("./data"),
        flag: Some("--data-dir"),
        meaning: "database, master key, all that is local",
    },
    Key {
        name: "master_key",
        kind: Kind::Secret,
        expected: "32 bytes in base64, as `openssl rand -base64 32` makes them",
        fallback: Derived("file master.key in data_dir"),
        flag: None,
        meaning: "seals the signing keys; the same on every replica",
    },
    Key {
        name: "database.url",
        kind: Kind::Secret,
        expected: "`sqlite:…` or `postgres://…`",
        fallback: Derived("SQLite in data_dir"),
        flag: Some("--database-url"),
        meaning: "the database",
    },
    Key {
        name: "server.listen",
        kind: Kind::Text,
        expected: "an address and a port such as `127.0.0.1:3000` or `[::1]:3000`",
        fallback: Value("127.0.0.1:3000"),
        flag: Some("--listen"),
        meaning: "where to listen",
    },
    Key {
        name: "server.trusted_proxies",
        kind: Kind::List,
        expected: "a list of networks such as `[\"10.0.0.0/8\", \"::1\"]`",
        fallback: Value("[]"),
        flag: None,
        meaning: "proxies whose X-Forwarded-For is believed",
    },
    Key {
        name: "token.algorithm",
        kind: Kind::Text,
        expected: "`ES256`, `ES384`, `EdDSA`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, \
                   `HS256`, `HS384` or `HS512`",
        fallback: Value("ES256"),
        flag: None,
        meaning: "what signs",
    },
    Key {
        name: "token.secret",
        kind: Kind::Secret,
        expected: "text of at least 32 bytes (48 for HS384, 64 for HS512), as `openssl rand -base64 48` \
                   makes it",
        fallback: Derived("none"),
        flag: None,
        meaning: "the key of HS256, HS384 and HS512",
    },
    Key {
        name: "token.private_key",
        kind: Kind::Secret,
        expected: "a private key in PEM or as JWK",
        fallback: Derived("made and kept in the database"),
        flag: None,
        meaning: "the key that signs, instead of keys of our own that rotate",
    },
    Key {
        name: "token.verification_keys",
        kind: Kind::Text,
        expected: "the path of a file with a JWK set",
        fallback: Derived("none"),
        flag: None,
        meaning: "a file with public keys that verify too, such as those of a system before this one",
    },
    Key {
        name: "token.issuer",
        kind: Kind::Text,
        expected: "text",
        fallback: Derived("public_url, else http://127.0.0.1:PORT"),
        flag: None,
        meaning: "`iss` of every token",
    },
    Key {
        name: "token.audience",
        kind: Kind::Text,
        expected: "text",
        fallback: Derived("public_url, else http://127.0.0.1:PORT"),
        flag: None,
        meaning: "`aud` of every token",
    },
    Key {
        name: "token.access_ttl",
        kind: Kind::Text,
        expected: "a duration from `1s` to `30d`, such as `90s`, `15m` or `12h`",
        fallback: Value("15m"),
        flag: None,
        meaning: "how long an access token lives",
    },
    Key {
        name: "token.leeway",
        kind: Kind::Text,
        expected: "a duration from `0s` to `60s`",
        fallback: Value("10s"),
        flag: None,
        meaning: "how far clocks may differ",
    },
    Key {
        name: "token.fresh_for",
        kind: Kind::Text,
        expected: "a duration from `1s` to `30d`, such as `10m`",
        fallback: Value("10m"),
        flag: None,
        meaning: "how long after a proof of presence a token is fresh",
    },
    Key {
        name: "token.locations",
        kind: Kind::List,
        expected: "a list of `headers`, `cookies`, `query_string` and `json`, each at most once",
        fallback: Value("[\"headers\"]"),
        flag: None,
        meaning: "where access tokens are looked for, in this order",
    },
    Key {
        name: "token.header_name",
        kind: Kind::Text,
        expected: "the name of a header",
        fallback: Value("Authorization"),
        flag: None,
        meaning: "the header of access tokens",
    },
    Key {
        name: "token.header_scheme",
        kind: Kind::Text,
        expected: "a scheme such as `Bearer`, without spaces",
        fallback: Value("Bearer"),
        flag: None,
        meaning: "what stands before the token in that header",
    },
    Key {
        name: "token.include_email",
        kind: Kind::Flag,
        expected: "`true` or `false`",
        fallback: Value("true"),
        flag: None,
        meaning: "whether tokens name the account's address",
    },
    Key {
        name: "token.profile",
        kind: Kind::Text,
        expected: "`rfc9068` or `flask-jwt-extended`",
        fallback: Value("rfc9068"),
        flag: None,
        meaning: "what tokens look like",
    },
    Key {
        name: "token.profile_identity",
        kind: Kind::Text,
        expected: "`id` or `email`; the address only with `token.profile` `flask-jwt-extended`",
        fallback: Value("id"),
        flag: None,
        meaning: "what names the account in `sub`",
    },
    Key {
        name: "keys.rotate_every",
        kind: Kind::Text,
        expected: "a duration from `1s` to `3650d`, such as `90d`, or `off`",
        fallback: Value("90d"),
        flag: None,
        meaning: "how long a key signs before the next one does; `off` leaves it to `keys rotate`",
    },
    Key {
        name: "keys.pending_for",
        kind: Kind::Text,
        expected: "a duration from `1s` to `30d`, such as `10m` or `1h`",
        fallback: Value("10m"),
        flag: None,
        meaning: "how long a key is published before it signs; services may cache it half as long",
    },
    Key {
        name: "session.idle_ttl",
        kind: Kind::Text,
        expected: "a duration from `1s` to `3650d`, such as `12h` or `30d`",
        fallback: Value("30d"),
        flag: None,
        meaning: "how long a session lives without being refreshed",
    },
    Key {
        name: "session.absolute_ttl",
        kind: Kind::Text,
        expected: "a duration from `1s` to `3650d`, such as `12h` or `180d`",
        fallback: Value("180d"),
        flag: None,
        meaning: "how long a session lives at all",
    },
    Key {
        name: "session.refresh_grace",
        kind: Kind::Text,
        expected: "a duration from `0s` to `60s`",
        fallback: Value("10s"),
        flag: None,
        meaning: "how long a repeat of a refresh gets the same answer",
    },
    Key {
        name: "session.max_per_account",
        kind: Kind::Number,
        expected: "a whole number from 1 to 1000",
        fallback: Value("50"),
        flag: None,
        meaning: "how many sessions an account may have; the oldest ends",
    },
    Key {
        name: "dev.extra_origins",
        kind: Kind::List,
        expected: "a list of origins such as `[\"http://localhost:8080\"]`",
        fallback: Value("[]"),
        flag: None,
        meaning: "pages elsewhere that may use the refresh cookie; without public_url only",
    },
    Key {
        name: "password.min_length",
        kind: Kind::Number,
        expected: "a whole number from 8 to 256",
        fallback: Value("15"),
        flag: None,
        meaning: "the fewest characters of a new password",
    },
    Key {
        name: "registration",
        kind: Kind::Text,
        expected: "`open` or `closed`",
        fallback: Derived("open without public_url, closed with it"),
        flag: None,
        meaning: "who may create an account",
    },
    Key {
        name: "limits.scale",
        kind: Kind::Number,
        expected: "a number above 0",
        fallback: Value("1.0"),
        flag: None,
        meaning: "multiplies every rate limit",
    },
    Key {
        name: "metrics.listen",
        kind: Kind::Text,
        expected: "an address and a port such as `127.0.0.1:9464` or `[::1]:9464`",
        fallback: Derived("none"),
        flag: None,
        meaning: "where Prometheus reads /metrics, and nothing else is served",
    },
    Key {
        name: "log.format",
        kind: Kind::Text,
        expected: "`pretty` or `json`",
        fallback: Derived("pretty on a terminal, else json"),
        flag: None,
        meaning: "how log lines look",
    },
    Key {
        name: "log.level",
        kind: Kind::Text,
        expected: "a level such as `info`, or levels by target such as `warn,countersign=debug`",
        fallback: Value("info"),
        flag: None,
        meaning: "what is logged: off, error, warn, info, debug or trace",
    },
];

/// What every variable of ours starts with.
pub(super) const PREFIX: &str = "COUNTERSIGN_";

impl Key {
    /// `COUNTERSIGN_TOKEN__ACCESS_TTL`.
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "__").to_uppercase())
    }

    pub(super) fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }
}

pub(super) fn find(name: &str) -> Option<&'static Key> {
    ALL.iter().find(|key| key.name == name)
}

/// Whether keys are below this name: `token`.
pub(super) fn is_section(name: &str) -> bool {
    sections().any(|section| section == name)
}

fn sections() -> impl Iterator<Item = &'static str> {
    ALL.iter()
        .filter_map(|key| key.name.split_once('.'))
        .map(|(section, _)| section)
}

/// The key or section that somebody may have meant.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    // Less alike is a guess that sends people the wrong way.
    const ALIKE: f64 = 0.5;
    // The right name in the wrong section is nearly right.
    const OTHER_SECTION: f64 = 0.9;

    let last = |name: &'_ str| {
        name.rsplit('.')
            .next()
            .map(str::to_owned)
            .unwrap_or_default()
    };
    let likeness = |known: &str| {
        let whole = strsim::normalized_damerau_levenshtein(name, known);
        let end = strsim::normalized_damerau_levenshtein(&last(name), &last(known));
        whole.max(end * OTHER_SECTION)
    };
    ALL.iter()
        .map(|key| key.name)
        .chain(sections())
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// The list for the help text, a line a key.
pub(super) fn help() -> String {
    let mut text = String::new();
    for key in ALL {
        let fallback = match key.fallback {
            Value(text) | Derived(text) => text,
        };
        // Writing to a `String` cannot fail.
        writeln!(text, "  {:<23} {} [{fallback}]", key.name, key.meaning).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_is_named_after_its_key() {
        let names: Vec<_> = ["public_url", "token.access_ttl", "server.trusted_proxies"]
            .map(|name| find(name).unwrap().variable())
            .into();

        assert_eq!(
            names,
            [
                "COUNTERSIGN_PUBLIC_URL",
                "COUNTERSIGN_TOKEN__ACCESS_TTL",
                "COUNTERSIGN_SERVER__TRUSTED_PROXIES",
            ]
        );
    }

    #[test]
    fn nearest_key_is_the_one_meant() {
        for (written, meant) in [
            ("token.acces_ttl", Some("token.access_ttl")),
            ("token.ttl", Some("token.access_ttl")),
            ("access_ttl", Some("token.access_ttl")),
            ("secret", Some("token.secret")),
            ("database_url", Some("database.url")),
            ("publicurl", Some("public_url")),
            ("tokn", Some("token")),
            ("auth.leeway", Some("token.leeway")),
            ("server.listne", Some("server.listen")),
            ("colour", None),
            ("x.y", None),
        ] {
            assert_eq!(nearest(written), meant, "{written}");
        }
    }
}
