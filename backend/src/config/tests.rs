use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt as _};

use insta::assert_snapshot;
use tempfile::TempDir;

use super::*;

const SECRET: &str = "3q2+7wAb/8c1Zk0S9p5Y4vXhJtR6uQeLmNoPdWfGiKs=";

/// A folder with a file, an environment and flags.
struct Operator {
    folder: TempDir,
    sources: Sources,
}

impl Operator {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources {
            folder: folder.path().to_path_buf(),
            ..Sources::default()
        };
        Self { folder, sources }
    }

    fn writes(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    fn file(self, text: &str) -> Self {
        self.writes("countersign.toml", text)
    }

    fn sets(mut self, name: &str, value: &str) -> Self {
        self.sources.env.push((name.into(), value.into()));
        self
    }

    fn flags(mut self, flags: Flags) -> Self {
        self.sources.flags = flags;
        self
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|errors| panic!("{errors}")).0
    }

    fn warnings(&self) -> Vec<String> {
        let (_, warnings) = self.load().unwrap_or_else(|errors| panic!("{errors}"));
        warnings.iter().map(ToString::to_string).collect()
    }

    fn errors(&self) -> String {
        let errors = self.load().expect_err("nothing is refused");
        let folder = format!("{}/", self.folder.path().display());
        errors.to_string().replace(&folder, "")
    }

    fn load(&self) -> Result<(Config, Vec<Warning>), ConfigErrors> {
        Config::load(&self.sources)
    }
}

#[test]
fn nothing_at_all_is_a_development_configuration() {
    let operator = Operator::new();
    let config = operator.config();

    assert!(operator.warnings().is_empty());
    assert_eq!(config.data_dir, PathBuf::from("./data"));
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(config.token.algorithm, Algorithm::Es256);
    assert_eq!(config.token.access_ttl, Duration::from_mins(15));
    assert_eq!(config.token.leeway, Duration::from_secs(10));
    let ninety_days = Schedule::Every(Duration::from_hours(90 * 24));
    assert_eq!(config.keys.rotate_every, ninety_days);
    assert_eq!(config.keys.pending_for, Duration::from_mins(10));
    assert_eq!(config.session.idle_ttl, Duration::from_hours(30 * 24));
    assert_eq!(config.session.absolute_ttl, Duration::from_hours(180 * 24));
    assert_eq!(config.session.refresh_grace, Duration::from_secs(10));
    assert_eq!(config.session.max_per_account, 50);
    assert_eq!(config.password.min_length, 15);
    assert_eq!(config.registration, Registration::Open);
    assert!((config.limits.scale - 1.0).abs() < f64::EPSILON);
    assert_eq!(config.log.level.to_string(), "info");
    assert!(config.public_url.is_none() && config.master_key.is_none());
    assert!(config.database_url.is_none() && config.token.secret.is_none());
    assert!(config.server.trusted_proxies.is_empty() && config.log.format.is_none());
    assert!(config.metrics.listen.is_none());
    assert_eq!(config.issuer(4000), "http://127.0.0.1:4000");
    assert_eq!(config.audience(4000), "http://127.0.0.1:4000");
}

#[test]
fn every_default_in_the_table_holds() {
    // `get` and `list` give up on a name that is not in the table, or a default that is refused.
    Operator::new().config();

    for key in keys::ALL {
        let given = matches!(key.fallback, keys::Fallback::Value(_));
        assert!(given || key.kind != keys::Kind::Number, "{}", key.name);
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "every key, once in the file and once in what is read"
)]
fn file_can_say_everything() {
    let config = Operator::new()
        .file(&format!(
            r#"
            public_url = "https://auth.example.com/"
            data_dir = "/var/lib/countersign"
            master_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
            registration = "open"
            database.url = "postgres://localhost/countersign"

            [server]
            listen = "[::]:443"
            trusted_proxies = ["10.0.0.0/8", "::1"]

            [token]
            algorithm = "HS256"
            secret = "{SECRET}"
            issuer = "issuer"
            audience = "audience"
            access_ttl = "12h"
            leeway = "0s"
            fresh_for = "5m"
            locations = ["cookies", "headers"]
            header_name = "X-Access-Token"
            header_scheme = "JWT"
            include_email = false
            profile = "flask-jwt-extended"
            profile_identity = "email"

            [keys]
            rotate_every = "off"
            pending_for = "1h"

            [session]
            idle_ttl = "7d"
            absolute_ttl = "30d"
            refresh_grace = "0s"
            max_per_account = 3

            [dev]
            extra_origins = ["http://localhost:8080"]

            [password]
            min_length = 8

            [limits]
            scale = 1000

            [metrics]
            listen = "[::1]:9464"

            [log]
            format = "json"
            level = "warn,countersign=debug"
            "#
        ))
        .config();

    insta::assert_debug_snapshot!(config, @r#"
    Config {
        public_url: Some(
            PublicUrl {
                origin: "https://auth.example.com",
                https: true,
            },
        ),
        data_dir: "/var/lib/countersign",
        master_key: Some(
            MasterKey(***),
        ),
        database_url: Some(
            Secret(***),
        ),
        server: Server {
            listen: [::]:443,
            trusted_proxies: [
                10.0.0.0/8,
                ::1/128,
            ],
        },
        token: Token {
            algorithm: Hs256,
            secret: Some(
                Secret(***),
            ),
            private_key: None,
            verification_keys: [],
            issuer: Some(
                "issuer",
            ),
            audience: Some(
                "audience",
            ),
            access_ttl: 43200s,
            leeway: 0ns,
            fresh_for: 300s,
            locations: Locations {
                order: [
                    Cookies,
                    Headers,
                ],
                header: "x-access-token",
                header_text: "X-Access-Token",
                scheme: "JWT",
                cookies: AccessCookies {
                    name: "__Host-access_token_cookie",
                    csrf_name: "__Host-csrf_access_token",
                    csrf_header: "x-csrf-token",
                    path: "/",
                    csrf_path: "/",
                    domain: None,
                    same_site: Strict,
                    is_secure: true,
                    csrf: InCookie,
                    is_kept: true,
                },
                query: "jwt",
                query_prefix: "",
                json: "access_token",
            },
            include_email: false,
            profile: FlaskJwtExtended,
            identity: Email,
        },
        keys: Keys {
            rotate_every: Off,
            pending_for: 3600s,
        },
        session: SessionRules {
            idle_ttl: 604800s,
            absolute_ttl: 2592000s,
            refresh_grace: 0ns,
            max_per_account: 3,
        },
        dev: Dev {
            extra_origins: [
                PublicUrl {
                    origin: "http://localhost:8080",
                    https: false,
                },
            ],
        },
        password: Password {
            min_length: 8,
        },
        registration: Open,
        limits: Limits {
            scale: 1000.0,
        },
        metrics: Metrics {
            listen: Some(
                [::1]:9464,
            ),
        },
        log: Log {
            format: Some(
                Json,
            ),
            level: Targets(
                DirectiveSet {
                    directives: [
                        StaticDirective {
                            target: Some(
                                "countersign",
                            ),
                            field_names: [],
                            level: LevelFilter::DEBUG,
                        },
                        StaticDirective {
                            target: None,
                            field_names: [],
                            level: LevelFilter::WARN,
                        },
                    ],
                    max_level: LevelFilter::DEBUG,
                },
            ),
        },
    }
    "#);
}

#[test]
fn token_locations_are_known_places_each_once() {
    let refused = |list: &str| {
        Operator::new()
            .sets("COUNTERSIGN_TOKEN__LOCATIONS", list)
            .errors()
    };

    for list in [
        "[]",
        "[\"headers\", \"headers\"]",
        "[\"form\"]",
        "headers",
        "[\"headers\", 1]",
    ] {
        assert!(refused(list).contains("`token.locations`"), "{list}");
    }
}

#[test]
fn pages_that_would_be_shut_out_are_warned_of() {
    for (list, is_warned) in [
        (r#"["headers"]"#, false),
        (r#"["headers", "cookies"]"#, false),
        (r#"["query_string", "headers"]"#, false),
        (r#"["cookies", "headers"]"#, true),
        (r#"["cookies"]"#, true),
        (r#"["json"]"#, true),
    ] {
        let warnings = Operator::new()
            .sets("COUNTERSIGN_TOKEN__LOCATIONS", list)
            .warnings();
        assert_eq!(!warnings.is_empty(), is_warned, "{list}");
    }
}

#[test]
fn address_names_the_account_only_with_flask_jwt_extended() {
    let errors = Operator::new()
        .file("[token]\nprofile_identity = \"email\"")
        .errors();

    insta::assert_snapshot!(errors, @r#"
    `token.profile_identity`: expected `id` or `email`; the address only with `token.profile` `flask-jwt-extended`, found `email`
     --> countersign.toml:2:20
      |
    2 | profile_identity = "email"
      |                    ^^^^^^^
    "#);
}

#[test]
fn flag_wins_over_variable_over_file_over_default() {
    let ttl = |config: &Config| config.token.access_ttl.as_secs();
    let file = "[token]\naccess_ttl = \"2s\"\n[server]\nlisten = \"127.0.0.1:2\"";

    let operator = Operator::new();
    assert_eq!(ttl(&operator.config()), 900);
    let operator = operator.file(file);
    assert_eq!(ttl(&operator.config()), 2);
    let operator = operator
        .sets("COUNTERSIGN_TOKEN__ACCESS_TTL", "3s")
        .sets("COUNTERSIGN_SERVER__LISTEN", "127.0.0.1:3");
    assert_eq!(ttl(&operator.config()), 3);
    assert_eq!(operator.config().server.listen.port(), 3);
    let operator = operator.flags(Flags {
        listen: Some("127.0.0.1:4".to_owned()),
        ..Flags::default()
    });
    assert_eq!(operator.config().server.listen.port(), 4);
}

#[test]
fn port_keeps_the_configured_address() {
    let config = Operator::new()
        .sets("COUNTERSIGN_SERVER__LISTEN", "127.0.0.2:3000")
        .flags(Flags {
            port: Some(0),
            ..Flags::default()
        })
        .config();

    assert_eq!(config.server.listen.to_string(), "127.0.0.2:0");
}

#[test]
fn public_url_closes_registration_and_names_the_issuer() {
    let config = Operator::new()
        .sets("COUNTERSIGN_PUBLIC_URL", "https://auth.example.com")
        .sets("COUNTERSIGN_TOKEN__AUDIENCE", "api")
        .sets("COUNTERSIGN_SERVER__LISTEN", "0.0.0.0:3000")
        .config();

    assert_eq!(config.registration, Registration::Closed);
    assert_eq!(config.issuer(3000), "https://auth.example.com");
    assert_eq!(config.audience(3000), "api");
}

#[test]
fn list_in_a_variable_is_a_toml_array() {
    let config = Operator::new()
        .sets("COUNTERSIGN_SERVER__TRUSTED_PROXIES", r#"["10.0.0.0/8"]"#)
        .config();
    assert_eq!(config.server.trusted_proxies.len(), 1);

    for text in ["10.0.0.0/8", "[10]", "", "[\"10.0.0.0/8\"", "[\"proxy\"]"] {
        let errors = Operator::new()
            .sets("COUNTERSIGN_SERVER__TRUSTED_PROXIES", text)
            .errors();
        assert!(
            errors.starts_with("`server.trusted_proxies`: expected a list of networks"),
            "{errors}"
        );
    }
}

#[test]
fn secret_may_be_in_a_file() {
    let config = Operator::new()
        .writes("secret", &format!("{SECRET}\n"))
        .sets("COUNTERSIGN_TOKEN__ALGORITHM", "HS256")
        .sets("COUNTERSIGN_TOKEN__SECRET_FILE", "secret")
        .config();

    assert_eq!(config.token.secret.unwrap().expose(), SECRET);
}

#[test]
fn secret_in_a_file_and_in_a_variable_is_one_too_many() {
    let errors = Operator::new()
        .sets("COUNTERSIGN_MASTER_KEY", "a")
        .sets("COUNTERSIGN_MASTER_KEY_FILE", "b")
        .errors();

    assert!(
        errors.contains(
            "COUNTERSIGN_MASTER_KEY and COUNTERSIGN_MASTER_KEY_FILE are both set: keep one"
        ),
        "{errors}"
    );
}

#[test]
fn missing_secret_file_names_the_variable() {
    let errors = Operator::new()
        .sets("COUNTERSIGN_MASTER_KEY_FILE", "gone")
        .errors();

    assert_snapshot!(errors, @r"
    cannot read gone: No such file or directory (os error 2)
     --> the variable COUNTERSIGN_MASTER_KEY_FILE
    ");
}

#[test]
fn only_secrets_have_files() {
    let warnings = Operator::new()
        .sets("COUNTERSIGN_DATA_DIR_FILE", "x")
        .warnings();

    assert_snapshot!(warnings.join("\n"), @"unknown variable COUNTERSIGN_DATA_DIR_FILE; did you mean COUNTERSIGN_DATA_DIR?");
}

#[test]
fn unknown_key_names_its_place_and_the_nearest() {
    let errors = Operator::new()
        .file("[token]\nalgorithm = \"ES256\"\n\nacces_ttl = \"15m\" # short\n")
        .errors();

    assert_snapshot!(errors, @r"
    unknown key `token.acces_ttl`
     --> countersign.toml:4:1
      |
    4 | acces_ttl = …
      | ^^^^^^^^^ did you mean `token.access_ttl`?
    ");
}

#[test]
fn unknown_section_is_named_once() {
    let errors = Operator::new()
        .file("[tokn]\nsecret = \"hunter2\"\naccess_ttl = \"15m\"\n")
        .errors();

    assert_snapshot!(errors, @r"
    unknown key `tokn`
     --> countersign.toml:1:2
      |
    1 | [tokn]
      |  ^^^^ did you mean `token`?
    ");
}

#[test]
fn unknown_key_far_from_all_others_gets_no_guess() {
    let errors = Operator::new().file("colour = 'hunter2'\n").errors();

    assert_snapshot!(errors, @r"
    unknown key `colour`
     --> countersign.toml:1:1
      |
    1 | colour = …
      | ^^^^^^
    ");
}

#[test]
fn unknown_variable_is_a_warning_with_the_nearest() {
    let warnings = Operator::new()
        .sets("COUNTERSIGN_TOKEN__ACCES_TTL", "1m")
        .sets("COUNTERSIGN_TOKEN_SECRET", "hunter2")
        .sets("COUNTERSIGN_COLOUR", "blue")
        .sets("COUNTERSIGN_TEST_POSTGRES", "x")
        .sets("COUNTERSIGN_XTASK_X", "x")
        .sets("COUNTERSIGN_PAGES", "x")
        .sets("COUNTERSIGN_BIN", "x")
        .sets("COLORTERM", "x")
        .warnings();

    assert_snapshot!(warnings.join("\n"), @r"
    unknown variable COUNTERSIGN_TOKEN__ACCES_TTL; did you mean COUNTERSIGN_TOKEN__ACCESS_TTL?
    unknown variable COUNTERSIGN_TOKEN_SECRET; did you mean COUNTERSIGN_TOKEN__SECRET?
    unknown variable COUNTERSIGN_COLOUR
    ");
}

#[test]
fn value_of_the_wrong_kind_names_its_place() {
    let errors = Operator::new()
        .file(
            "data_dir = 7\n\
             registration = true\n\
             token = \"ES256\"\n\
             server.listen = { port = 3000 }\n\
             server.trusted_proxies = \"10.0.0.0/8\"\n\
             [password]\n\
             min_length = \"15\"\n\
             [limits]\n\
             scale = inf\n\
             [public_url]\n",
        )
        .errors();

    assert_snapshot!(errors, @r#"
    `data_dir`: expected a folder, found an integer
     --> countersign.toml:1:12
      |
    1 | data_dir = 7
      |            ^

    `registration`: expected `open` or `closed`, found a boolean
     --> countersign.toml:2:16
      |
    2 | registration = true
      |                ^^^^

    unknown key `token`
     --> countersign.toml:3:1
      |
    3 | token = …
      | ^^^^^

    `server.listen`: expected an address and a port such as `127.0.0.1:3000` or `[::1]:3000`, found an inline table
     --> countersign.toml:4:17
      |
    4 | server.listen = { port = 3000 }
      |                 ^^^^^^^^^^^^^^^

    `server.trusted_proxies`: expected a list of networks such as `["10.0.0.0/8", "::1"]`, found a string
     --> countersign.toml:5:26
      |
    5 | server.trusted_proxies = "10.0.0.0/8"
      |                          ^^^^^^^^^^^^

    `password.min_length`: expected a whole number from 8 to 256, found a string
     --> countersign.toml:7:14
      |
    7 | min_length = "15"
      |              ^^^^

    `public_url`: expected an origin such as `https://auth.example.com`, with nothing after host and port, found a table
      --> countersign.toml:10:1
       |
    10 | [public_url]
       | ^^^^^^^^^^^^

    `limits.scale`: expected a number above 0, found `inf`
     --> countersign.toml:9:9
      |
    9 | scale = inf
      |         ^^^
    "#);
}

#[test]
fn value_that_does_not_hold_names_where_it_came_from() {
    let errors = Operator::new()
        .file("[token]\naccess_ttl = \"15 minutes\"\nalgorithm = \"RS257\"\n")
        .sets("COUNTERSIGN_PASSWORD__MIN_LENGTH", "7")
        .sets("COUNTERSIGN_TOKEN__LEEWAY", "2m")
        .flags(Flags {
            public_url: Some("https://auth.example.com/login".to_owned()),
            listen: Some("localhost".to_owned()),
            ..Flags::default()
        })
        .errors();

    assert_snapshot!(errors, @r#"
    `public_url`: expected an origin such as `https://auth.example.com`, with nothing after host and port, found `https://auth.example.com/login`
     --> the flag --public-url

    `server.listen`: expected an address and a port such as `127.0.0.1:3000` or `[::1]:3000`, found `localhost`
     --> the flag --listen

    `token.algorithm`: expected `ES256`, `ES384`, `EdDSA`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `HS256`, `HS384` or `HS512`, found `RS257`
     --> countersign.toml:3:13
      |
    3 | algorithm = "RS257"
      |             ^^^^^^^

    `token.access_ttl`: expected a duration from `1s` to `30d`, such as `90s`, `15m` or `12h`, found `15 minutes`
     --> countersign.toml:2:14
      |
    2 | access_ttl = "15 minutes"
      |              ^^^^^^^^^^^^

    `token.leeway`: expected a duration from `0s` to `60s`, found `2m`
     --> the variable COUNTERSIGN_TOKEN__LEEWAY

    `password.min_length`: expected a whole number from 8 to 256, found `7`
     --> the variable COUNTERSIGN_PASSWORD__MIN_LENGTH
    "#);
}

#[test]
fn every_key_refuses_an_empty_value() {
    for key in keys::ALL {
        let operator = Operator::new().sets(&key.variable(), "");

        let errors = operator.errors();

        assert!(
            errors.starts_with(&format!("`{}`: expected ", key.name)),
            "{errors}"
        );
    }
}

#[test]
fn file_that_is_no_toml_names_the_place() {
    assert_snapshot!(Operator::new().file("[token\n").errors(), @r"
    unclosed table, expected `]`
     --> countersign.toml:1:7
    ");
    assert_snapshot!(
        Operator::new().file("[token]\nsecret = hunter2\n").errors(),
        @r"
        string values must be quoted, expected literal string
         --> countersign.toml:2:10
        "
    );
    assert_snapshot!(
        Operator::new().file("data_dir = \"a\"\ndata_dir = \"b\"\n").errors(),
        @r"
        duplicate key
         --> countersign.toml:2:1
        "
    );
}

#[test]
fn file_that_is_no_text_is_refused() {
    let operator = Operator::new();
    fs::write(
        operator.folder.path().join("countersign.toml"),
        [0xff, 0xfe],
    )
    .unwrap();

    assert_snapshot!(operator.errors(), @"cannot read countersign.toml: stream did not contain valid UTF-8");
}

#[test]
fn named_file_must_exist() {
    let errors = Operator::new()
        .flags(Flags {
            config: Some("gone.toml".into()),
            ..Flags::default()
        })
        .errors();

    assert_snapshot!(errors, @r"
    cannot read gone.toml: No such file or directory (os error 2)
     --> the flag --config
    ");
}

#[test]
fn named_file_is_read_instead_of_the_usual_one() {
    let operator = Operator::new()
        .file("data_dir = \"usual\"")
        .writes("other.toml", "data_dir = \"other\"")
        .sets("COUNTERSIGN_CONFIG", "other.toml");

    assert_eq!(operator.config().data_dir, PathBuf::from("other"));
}

#[test]
fn variable_that_is_no_text_is_refused() {
    let mut operator = Operator::new();
    let value = OsString::from_vec(vec![0xff]);
    operator
        .sources
        .env
        .push(("COUNTERSIGN_DATA_DIR".into(), value));

    assert_snapshot!(operator.errors(), @"COUNTERSIGN_DATA_DIR is not UTF-8");
}

#[test]
fn no_message_shows_a_secret() {
    const CANARY: &str = "hunter2";
    let files = [
        "token.secret = \"hunter2\"",
        "[token]\nalgorithm = \"HS256\"\nsecret = \"hunter2\"",
        "token = { secret = \"hunter2\", leway = \"5s\" }",
        "token = { secret = 'hunter2', leeway = 5 }",
        "token = { algorithm = 5, secret = 'hunter2' }",
        "token.secrt = \"hunter2\"",
        "secret = \"hunter2\"",
        "tokn = { secret = \"hunter2\" }",
        "token.secret = [\"hunter2\"]",
        "token.secret = { value = \"hunter2\" }",
        "token.secret = \"hunter2",
        "token.secret = hunter2",
        "token.secret = \"\"\"\nhunter2",
        "token.secret = \"\"\"\nhunter2\n\"\"\" x",
        "master_key = \"hunter2\"",
        "database.url = \"hunter2://localhost\"",
        "database.url = \"hunter2\"\ndatabase.url = \"hunter2\"",
    ];
    for file in files {
        let errors = Operator::new().file(file).errors();
        assert!(!errors.contains(CANARY), "{file}\n{errors}");
    }
    for name in [
        "COUNTERSIGN_TOKEN__SECRET",
        "COUNTERSIGN_MASTER_KEY",
        "COUNTERSIGN_DATABASE__URL",
    ] {
        let errors = Operator::new().sets(name, CANARY).errors();
        assert!(!errors.contains(CANARY), "{name}\n{errors}");
        let file = Operator::new()
            .writes("file", CANARY)
            .sets(&format!("{name}_FILE"), "file");
        assert!(!file.errors().contains(CANARY), "{name}");
    }
    let flags = Flags {
        database_url: Some(CANARY.into()),
        ..Flags::default()
    };
    assert!(!format!("{flags:?}").contains(CANARY));
    assert!(!Operator::new().flags(flags).errors().contains(CANARY));
}

#[test]
fn hmac_needs_a_secret_and_only_hmac() {
    let hmac = || Operator::new().sets("COUNTERSIGN_TOKEN__ALGORITHM", "HS256");

    assert_snapshot!(hmac().errors(), @r"
    `token.algorithm` is HS256, which needs `token.secret`
      make one with `openssl rand -base64 48` and keep it in a file that COUNTERSIGN_TOKEN__SECRET_FILE names
     --> the variable COUNTERSIGN_TOKEN__ALGORITHM
    ");
    assert_snapshot!(Operator::new().sets("COUNTERSIGN_TOKEN__SECRET", SECRET).errors(), @r"
    `token.secret` is set, but ES256 signs with a key of its own
      remove it, or set `token.algorithm` to HS256
     --> the variable COUNTERSIGN_TOKEN__SECRET
    ");
    assert_snapshot!(hmac().sets("COUNTERSIGN_TOKEN__SECRET", "äther").errors(), @r"
    `token.secret` has 6 bytes; HS256 needs at least 32
      make one with `openssl rand -base64 48`
     --> the variable COUNTERSIGN_TOKEN__SECRET
    ");
    assert_snapshot!(hmac().sets("COUNTERSIGN_TOKEN__SECRET", "super-secret-key").errors(), @r"
    `token.secret` is a known example, and whoever knows it can sign in as anybody
      make one with `openssl rand -base64 48`
     --> the variable COUNTERSIGN_TOKEN__SECRET
    ");
    let shortest = "0123456789abcdef0123456789abcdef";
    assert_eq!(shortest.len(), 32);
    hmac().sets("COUNTERSIGN_TOKEN__SECRET", shortest).config();
}

#[test]
fn wider_hmac_needs_a_longer_secret() {
    for (algorithm, needs) in [("HS384", 48), ("HS512", 64)] {
        let with = |length: usize| {
            Operator::new()
                .sets("COUNTERSIGN_TOKEN__ALGORITHM", algorithm)
                .sets("COUNTERSIGN_TOKEN__SECRET", &"7a".repeat(length)[..length])
        };

        let expected = format!(
            "has {} bytes; {algorithm} needs at least {needs}",
            needs - 1
        );
        assert!(with(needs - 1).errors().contains(&expected), "{algorithm}");
        with(needs).config();
    }
}

const P256: &str = include_str!("../token/testdata/p256.pem");
const RSA: &str = include_str!("../token/testdata/rsa2048.pem");

#[test]
fn private_key_that_is_given_signs() {
    let operator = Operator::new()
        .writes("key.pem", P256)
        .sets("COUNTERSIGN_TOKEN__PRIVATE_KEY_FILE", "key.pem");
    let key = operator.config().token.private_key.unwrap();
    assert_eq!(key.algorithm(), Algorithm::Es256);

    let jwk = include_str!("../token/testdata/rsa2048.jwk");
    let operator = Operator::new()
        .sets("COUNTERSIGN_TOKEN__ALGORITHM", "RS256")
        .sets("COUNTERSIGN_TOKEN__PRIVATE_KEY", jwk);
    let key = operator.config().token.private_key.unwrap();
    assert_eq!(key.algorithm(), Algorithm::Rs256);
}

#[test]
fn private_key_that_does_not_fit_names_the_algorithm_and_the_place() {
    let with = |text: &str| Operator::new().sets("COUNTERSIGN_TOKEN__PRIVATE_KEY", text);

    assert_snapshot!(with(RSA).errors(), @r"
    `token.private_key` cannot be used for ES256 (`token.algorithm`): ES256 needs an EC key on P-256, and this is an RSA key
     --> the variable COUNTERSIGN_TOKEN__PRIVATE_KEY
    ");
    assert_snapshot!(with("hello").errors(), @r"
    `token.private_key` cannot be used for ES256 (`token.algorithm`): not a key in PEM: from `-----BEGIN … KEY-----` to `-----END … KEY-----`, both lines included
     --> the variable COUNTERSIGN_TOKEN__PRIVATE_KEY
    ");
    let hmac = with(P256)
        .sets("COUNTERSIGN_TOKEN__ALGORITHM", "HS256")
        .sets("COUNTERSIGN_TOKEN__SECRET", SECRET);
    assert_snapshot!(hmac.errors(), @r"
    `token.private_key` is set, but HS256 signs with `token.secret`
      remove it, or set `token.algorithm` to what the key is for
     --> the variable COUNTERSIGN_TOKEN__PRIVATE_KEY
    ");
}

#[test]
fn keys_of_others_are_read_from_their_file() {
    let public = VerifyingKey::from_pem(
        Algorithm::EdDsa,
        include_str!("../token/testdata/ed25519.pub.pem"),
    )
    .unwrap();
    let jwks = serde_json::json!({ "keys": [public.jwk()] }).to_string();
    let with = |text: &str| {
        Operator::new()
            .writes("jwks.json", text)
            .sets("COUNTERSIGN_TOKEN__VERIFICATION_KEYS", "jwks.json")
    };

    let keys = with(&jwks).config().token.verification_keys;
    assert_eq!(keys[0].kid(), public.kid());
    assert_snapshot!(with("{}").errors(), @r#"
    `token.verification_keys`: jwks.json cannot be used: not a JWK set (RFC 7517 §5): `{"keys":[…]}` is expected
     --> the variable COUNTERSIGN_TOKEN__VERIFICATION_KEYS
    "#);
    let hmac = with(&jwks)
        .sets("COUNTERSIGN_TOKEN__ALGORITHM", "HS256")
        .sets("COUNTERSIGN_TOKEN__SECRET", SECRET);
    assert_snapshot!(hmac.errors(), @r"
    `token.verification_keys` are public keys, but HS256 signs with a secret: the two do not go together
      remove them, or set `token.algorithm` to one with a public key, such as ES256
     --> the variable COUNTERSIGN_TOKEN__VERIFICATION_KEYS
    ");
    let missing = Operator::new().sets("COUNTERSIGN_TOKEN__VERIFICATION_KEYS", "none.json");
    assert_snapshot!(missing.errors(), @r"
    cannot read none.json: No such file or directory (os error 2)
     --> the variable COUNTERSIGN_TOKEN__VERIFICATION_KEYS
    ");
}

#[test]
fn rotation_leaves_time_to_publish_and_keeps_few_keys() {
    let with = |every: &str| Operator::new().sets("COUNTERSIGN_KEYS__ROTATE_EVERY", every);

    assert_snapshot!(with("19m").errors(), @r"
    `keys.rotate_every` is 1140 s, but a key is published for 600 s before it signs
      set it to twice `keys.pending_for` at least
     --> the variable COUNTERSIGN_KEYS__ROTATE_EVERY
    ");
    let many = with("20m").sets("COUNTERSIGN_TOKEN__ACCESS_TTL", "7d");
    assert_snapshot!(many.errors(), @r"
    `keys.rotate_every` is 1200 s, and every key verifies for 605411 s after it signed: that would be more than 20 keys at a time
      set it to 30271 s at least, or `token.access_ttl` to less
     --> the variable COUNTERSIGN_KEYS__ROTATE_EVERY
    ");
    with("20m").config();
    let off = with("off").sets("COUNTERSIGN_TOKEN__ACCESS_TTL", "30d");
    assert_eq!(off.config().keys.rotate_every, Schedule::Off);
}

#[test]
fn address_that_others_reach_needs_a_public_url() {
    for listen in [
        "0.0.0.0:3000",
        "[::]:3000",
        "192.0.2.1:0",
        "[::ffff:192.0.2.1]:3000",
    ] {
        let errors = Operator::new()
            .sets("COUNTERSIGN_SERVER__LISTEN", listen)
            .errors();
        assert!(
            errors.contains("which other machines can reach"),
            "{errors}"
        );
    }
    for listen in [
        "127.0.0.1:3000",
        "127.1.2.3:0",
        "[::1]:3000",
        "[::ffff:127.0.0.1]:3000",
    ] {
        Operator::new()
            .sets("COUNTERSIGN_SERVER__LISTEN", listen)
            .config();
    }
    let flags = Flags {
        listen: Some("0.0.0.0:3000".to_owned()),
        ..Flags::default()
    };
    assert_snapshot!(Operator::new().flags(flags).errors(), @r"
    `server.listen` is 0.0.0.0:3000, which other machines can reach, but `public_url` is not set
      without it this is development: anybody may create an account, and cookies are not Secure
      set it to the address people use (`--public-url https://auth.example.com`), or listen on 127.0.0.1
     --> the flag --listen
    ");
}

#[test]
fn metrics_that_others_reach_are_a_warning_and_no_error() {
    for (listen, count) in [
        ("127.0.0.1:9464", 0),
        ("[::1]:9464", 0),
        ("0.0.0.0:9464", 1),
        ("[::ffff:192.0.2.1]:9464", 1),
    ] {
        let warnings = Operator::new()
            .sets("COUNTERSIGN_METRICS__LISTEN", listen)
            .warnings();
        assert_eq!(warnings.len(), count, "{listen}");
    }
    let warnings = Operator::new()
        .sets("COUNTERSIGN_METRICS__LISTEN", "0.0.0.0:9464")
        .warnings();
    assert_snapshot!(warnings.join("\n"), @"metrics.listen is 0.0.0.0:9464, which other machines can reach: whoever does can read how many people sign in and what fails. Let only your monitoring get there");
}

#[test]
fn program_is_told_that_it_serves_the_metrics_itself() {
    let values = [("metrics.listen".to_owned(), "127.0.0.1:9464".to_owned())];

    let (_, warnings) = Config::of_program(&values).unwrap();

    assert_eq!(warnings, [Warning::MetricsMounted]);
}

#[test]
fn metrics_are_never_where_everybody_is_served() {
    let with = |metrics: &str, server: &str| {
        Operator::new()
            .sets("COUNTERSIGN_METRICS__LISTEN", metrics)
            .sets("COUNTERSIGN_SERVER__LISTEN", server)
    };
    for (metrics, server) in [
        ("127.0.0.1:3000", "127.0.0.1:3000"),
        ("0.0.0.0:3000", "127.0.0.1:3000"),
        ("[::ffff:127.0.0.1]:3000", "127.0.0.1:3000"),
    ] {
        let errors = with(metrics, server).errors();
        assert!(errors.starts_with("`metrics.listen` is where"), "{errors}");
    }
    with("127.0.0.1:0", "127.0.0.1:0").config();
    with("127.0.0.2:3000", "127.0.0.1:3000").config();
    assert_snapshot!(with("127.0.0.1:3000", "127.0.0.1:3000").errors(), @r"
    `metrics.listen` is where `server.listen` is (127.0.0.1:3000); what is counted is never served there
      choose another port, such as 9464
     --> the variable COUNTERSIGN_METRICS__LISTEN
    ");
}

#[test]
fn key_of_development_is_told_to_do_nothing_in_production() {
    let origins = (
        "COUNTERSIGN_DEV__EXTRA_ORIGINS",
        "[\"http://localhost:8080\"]",
    );
    let development = Operator::new().sets(origins.0, origins.1);
    let production = Operator::new()
        .sets(origins.0, origins.1)
        .sets("COUNTERSIGN_PUBLIC_URL", "https://auth.example.com");

    assert_eq!(development.warnings(), Vec::<String>::new());
    assert_eq!(
        production.warnings(),
        ["dev.extra_origins is for development and does nothing beside public_url"]
    );
}

#[test]
fn open_registration_beside_tokens_that_name_addresses_is_a_warning() {
    let operator = |registration: &str| {
        let file = format!(
            "registration = \"{registration}\"\n[token]\nprofile = \"flask-jwt-extended\"\n\
             profile_identity = \"email\""
        );
        Operator::new().file(&file).warnings()
    };

    assert_eq!(operator("closed"), Vec::<String>::new());
    assert_snapshot!(operator("open").join("\n"), @"token.profile_identity is `email` and registration is open: whoever registers the address of somebody else gets tokens that the Flask application takes for theirs. Close registration until everybody of there has an account here");
}

#[test]
fn plain_http_is_one_loud_warning() {
    let warnings = Operator::new()
        .sets("COUNTERSIGN_PUBLIC_URL", "http://auth.example.com")
        .warnings();

    assert_snapshot!(warnings.join("\n"), @"public_url is http://auth.example.com: passwords and tokens travel in clear, and everybody on the way can read them. Use https for anything but a trial");
}

#[test]
fn everything_wrong_is_said_at_once() {
    let errors = Operator::new()
        .file("colour = 1\n[token]\nleeway = \"1h\"\n")
        .sets("COUNTERSIGN_REGISTRATION", "ajar")
        .load()
        .unwrap_err();

    assert_eq!(errors.iter().count(), 3, "{errors}");
}

#[test]
fn help_lists_every_key() {
    assert_snapshot!(keys_help(), @r#"
    public_url              the address people use; its presence means production [none]
    data_dir                database, master key, all that is local [./data]
    master_key              seals the signing keys; the same on every replica [file master.key in data_dir]
    database.url            the database [SQLite in data_dir]
    server.listen           where to listen [127.0.0.1:3000]
    server.trusted_proxies  proxies whose X-Forwarded-For is believed [[]]
    token.algorithm         what signs [ES256]
    token.secret            the key of HS256, HS384 and HS512 [none]
    token.private_key       the key that signs, instead of keys of our own that rotate [made and kept in the database]
    token.verification_keys a file with public keys that verify too, such as those of a system before this one [none]
    token.issuer            `iss` of every token [public_url, else http://127.0.0.1:PORT]
    token.audience          `aud` of every token [public_url, else http://127.0.0.1:PORT]
    token.access_ttl        how long an access token lives [15m]
    token.leeway            how far clocks may differ [10s]
    token.fresh_for         how long after a proof of presence a token is fresh [10m]
    token.locations         where access tokens are looked for, in this order [["headers"]]
    token.header_name       the header of access tokens [Authorization]
    token.header_scheme     what stands before the token in that header [Bearer]
    token.include_email     whether tokens name the account's address [true]
    token.profile           what tokens look like [rfc9068]
    token.profile_identity  what names the account in `sub` [id]
    keys.rotate_every       how long a key signs before the next one does; `off` leaves it to `keys rotate` [90d]
    keys.pending_for        how long a key is published before it signs; services may cache it half as long [10m]
    session.idle_ttl        how long a session lives without being refreshed [30d]
    session.absolute_ttl    how long a session lives at all [180d]
    session.refresh_grace   how long a repeat of a refresh gets the same answer [10s]
    session.max_per_account how many sessions an account may have; the oldest ends [50]
    dev.extra_origins       pages elsewhere that may use the refresh cookie; without public_url only [[]]
    password.min_length     the fewest characters of a new password [15]
    registration            who may create an account [open without public_url, closed with it]
    limits.scale            multiplies every rate limit [1.0]
    metrics.listen          where Prometheus reads /metrics, and nothing else is served [none]
    log.format              how log lines look [pretty on a terminal, else json]
    log.level               what is logged: off, error, warn, info, debug or trace [info]
    "#);
}
