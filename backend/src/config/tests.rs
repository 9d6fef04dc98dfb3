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
    assert_eq!(config.password.min_length, 15);
    assert_eq!(config.registration, Registration::Open);
    assert!((config.limits.scale - 1.0).abs() < f64::EPSILON);
    assert_eq!(config.log.level.to_string(), "info");
    assert!(config.public_url.is_none() && config.master_key.is_none());
    assert!(config.database_url.is_none() && config.token.secret.is_none());
    assert!(config.server.trusted_proxies.is_empty() && config.log.format.is_none());
    assert_eq!(config.issuer(4000), "http://127.0.0.1:4000");
    assert_eq!(config.audience(4000), "http://127.0.0.1:4000");
}

#[test]
fn every_default_in_the_table_holds() {
    // `get` and `list` give up on a name that is not in the table, or a default that is refused.
    Operator::new().config();

    for key in &keys::ALL {
        let given = matches!(key.fallback, keys::Fallback::Value(_));
        assert!(given || key.kind != keys::Kind::Number, "{}", key.name);
    }
}

#[test]
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

            [password]
            min_length = 8

            [limits]
            scale = 1000

            [log]
            format = "json"
            level = "warn,countersign=debug"
            "#
        ))
        .config();

    insta::assert_debug_snapshot!(config, @"");
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

    assert_snapshot!(errors, @"");
}

#[test]
fn only_secrets_have_files() {
    let warnings = Operator::new()
        .sets("COUNTERSIGN_DATA_DIR_FILE", "x")
        .warnings();

    assert_snapshot!(warnings.join("\n"), @"");
}

#[test]
fn unknown_key_names_its_place_and_the_nearest() {
    let errors = Operator::new()
        .file("[token]\nalgorithm = \"ES256\"\n\nacces_ttl = \"15m\" # short\n")
        .errors();

    assert_snapshot!(errors, @"");
}

#[test]
fn unknown_section_is_named_once() {
    let errors = Operator::new()
        .file("[tokn]\nsecret = \"hunter2\"\naccess_ttl = \"15m\"\n")
        .errors();

    assert_snapshot!(errors, @"");
}

#[test]
fn unknown_key_far_from_all_others_gets_no_guess() {
    let errors = Operator::new().file("colour = 'hunter2'\n").errors();

    assert_snapshot!(errors, @"");
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

    assert_snapshot!(warnings.join("\n"), @"");
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

    assert_snapshot!(errors, @"");
}

#[test]
fn value_that_does_not_hold_names_where_it_came_from() {
    let errors = Operator::new()
        .file("[token]\naccess_ttl = \"15 minutes\"\nalgorithm = \"RS256\"\n")
        .sets("COUNTERSIGN_PASSWORD__MIN_LENGTH", "7")
        .sets("COUNTERSIGN_TOKEN__LEEWAY", "2m")
        .flags(Flags {
            public_url: Some("https://auth.example.com/login".to_owned()),
            listen: Some("localhost".to_owned()),
            ..Flags::default()
        })
        .errors();

    assert_snapshot!(errors, @"");
}

#[test]
fn every_key_refuses_an_empty_value() {
    for key in &keys::ALL {
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
    assert_snapshot!(Operator::new().file("[token\n").errors(), @"");
    assert_snapshot!(
        Operator::new().file("[token]\nsecret = hunter2\n").errors(),
        @""
    );
    assert_snapshot!(
        Operator::new().file("data_dir = \"a\"\ndata_dir = \"b\"\n").errors(),
        @""
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

    assert_snapshot!(operator.errors(), @"");
}

#[test]
fn named_file_must_exist() {
    let errors = Operator::new()
        .flags(Flags {
            config: Some("gone.toml".into()),
            ..Flags::default()
        })
        .errors();

    assert_snapshot!(errors, @"");
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

    assert_snapshot!(operator.errors(), @"");
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

    assert_snapshot!(hmac().errors(), @"");
    assert_snapshot!(Operator::new().sets("COUNTERSIGN_TOKEN__SECRET", SECRET).errors(), @"");
    assert_snapshot!(hmac().sets("COUNTERSIGN_TOKEN__SECRET", "äther").errors(), @"");
    assert_snapshot!(hmac().sets("COUNTERSIGN_TOKEN__SECRET", "super-secret-key").errors(), @"");
    let shortest = "0123456789abcdef0123456789abcdef";
    assert_eq!(shortest.len(), HS256_BYTES);
    hmac().sets("COUNTERSIGN_TOKEN__SECRET", shortest).config();
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
    assert_snapshot!(Operator::new().flags(flags).errors(), @"");
}

#[test]
fn plain_http_is_one_loud_warning() {
    let warnings = Operator::new()
        .sets("COUNTERSIGN_PUBLIC_URL", "http://auth.example.com")
        .warnings();

    assert_snapshot!(warnings.join("\n"), @"");
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
    assert_snapshot!(keys_help(), @"");
}
