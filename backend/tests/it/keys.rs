//! How keys come and go: while the server runs, on several instances at once, and through crashes.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use countersign::{
    App,
    keys::{KeyRules, KeysError, MasterKey, Rotation, Schedule, State, StoredKeys},
    store::Db,
    token::Algorithm,
};
use countersign_types::routes;
use insta::assert_snapshot;
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    refresh::Log,
    support::{Answer, Binary, Database, PASSWORD, TestApp, backends, countersign, credentials},
    tokens::segment,
};

/// How long a key is published before it signs, by default.
const PENDING: Duration = Duration::from_mins(10);
/// How long it verifies after it signed: the life of a token, the leeway, a second, and `PENDING`; less
/// a second.
const VERIFIES_BUT_A_SECOND: Duration = Duration::from_secs(15 * 60 + 10 + 10 * 60);
/// How long a key signs before its successor is published; less a second.
const SCHEDULE_BUT_A_SECOND: Duration = Duration::from_secs(90 * 24 * 60 * 60 - 10 * 60 - 1);
const SECOND: Duration = Duration::from_secs(1);

fn kid(token: &str) -> String {
    segment(token, 0)["kid"].as_str().unwrap().to_owned()
}

/// The names of the published keys, in their order.
async fn published(app: &TestApp) -> Vec<String> {
    let keys: JwkSet = serde_json::from_str(app.get(routes::JWKS).await.body()).unwrap();
    let kid = |key: jsonwebtoken::jwk::Jwk| key.common.key_id.unwrap();
    keys.keys.into_iter().map(kid).collect()
}

async fn check(app: &App) {
    app.keys.check().await.unwrap();
}

async fn status(app: &TestApp, token: &str) -> u16 {
    app.get_as(routes::ME, token).await.status()
}

backends! {
    async fn next_key_is_published_before_it_signs_and_no_live_token_is_refused(app: TestApp) {
        let first = app.register_pair("ada@example.com").await;
        let old = kid(&first.access);

        let rotated = app.app.keys.rotate(Rotation::Published).await.unwrap();

        assert_eq!(rotated.before.as_deref(), Some(&*old));
        let mut both = vec![old.clone(), rotated.kid.clone()];
        both.sort();
        assert_eq!(published(&app).await, both);
        app.clock.advance(Duration::from_secs(10 * 60 - 1));
        check(&app.app).await;
        let second = app.refresh_pair(&first.refresh).await;
        assert_eq!(kid(&second.access), old);

        app.clock.advance(SECOND);
        check(&app.app).await;

        let third = app.refresh_pair(&second.refresh).await;
        assert_eq!(kid(&third.access), rotated.kid);
        for token in [&first.access, &second.access, &third.access] {
            assert_eq!(status(&app, token).await, 200);
        }
        assert_eq!(published(&app).await, both);
    }

    async fn old_key_leaves_the_published_ones_when_its_last_token_is_over(app: TestApp) {
        let old = kid(&app.register("ada@example.com").await);
        let rotated = app.app.keys.rotate(Rotation::Published).await.unwrap();
        app.clock.advance(PENDING);
        check(&app.app).await;

        app.clock.advance(VERIFIES_BUT_A_SECOND);
        check(&app.app).await;
        assert!(published(&app).await.contains(&old));
        app.clock.advance(SECOND);
        check(&app.app).await;

        assert_eq!(published(&app).await, [rotated.kid]);
        // A restart does not bring it back.
        let beside = app.beside().await;
        assert!(!published(&beside).await.contains(&old));
    }

    async fn instances_that_rotate_at_once_agree_on_one_key(app: TestApp) {
        let beside = app.beside().await;
        let [here, there] = [&app.app.keys, &beside.app.keys];

        let rotated = tokio::join!(
            here.rotate(Rotation::Published),
            there.rotate(Rotation::Published),
        );

        let made = match rotated {
            (Ok(made), Err(KeysError::AlreadyPending { kid, .. }))
            | (Err(KeysError::AlreadyPending { kid, .. }), Ok(made)) => {
                assert_eq!(made.kid, kid);
                kid
            }
            other => panic!("{other:?}"),
        };
        for instance in [&app, &beside] {
            check(&instance.app).await;
            assert!(published(instance).await.contains(&made));
        }
        app.clock.advance(PENDING);
        tokio::join!(check(&app.app), check(&beside.app));
        check(&app.app).await;
        app.register("ada@example.com").await;
        for instance in [&app, &beside] {
            assert_eq!(kid(&instance.sign_in("ada@example.com").await), made);
        }
    }

    async fn schedule_makes_the_next_key_in_time_and_once(app: TestApp) {
        let beside = app.beside().await;
        let first = published(&app).await;
        app.clock.advance(SCHEDULE_BUT_A_SECOND);
        check(&app.app).await;
        assert_eq!(published(&app).await, first);

        app.clock.advance(SECOND);
        tokio::join!(check(&app.app), check(&beside.app));

        check(&app.app).await;
        let both = published(&app).await;
        assert_eq!(both.len(), 2);
        assert_eq!(published(&beside).await, both);
        app.clock.advance(PENDING);
        check(&app.app).await;
        assert_ne!(kid(&app.register("ada@example.com").await), first[0]);
    }

    async fn token_of_a_key_that_another_instance_just_made_is_accepted_at_once(app: TestApp) {
        let beside = app.beside().await;
        app.register("ada@example.com").await;
        app.app.keys.rotate(Rotation::AtOnce).await.unwrap();

        let token = app.sign_in("ada@example.com").await;

        assert_eq!(status(&beside, &token).await, 200);
        assert!(published(&beside).await.contains(&kid(&token)));
    }

    async fn revoked_key_is_refused_here_at_once_and_elsewhere_with_the_next_check(app: TestApp) {
        let beside = app.beside().await;
        let stolen = app.register_pair("ada@example.com").await;
        assert_eq!(status(&beside, &stolen.access).await, 200);

        let revoked = app.app.keys.revoke(&kid(&stolen.access)[..8]).await.unwrap();

        assert_eq!(revoked.was, State::Active);
        let refused = app.protected(&stolen.access).await;
        assert_snapshot!(refused, @"401 application/problem+json token_invalid");
        check(&beside.app).await;
        assert_eq!(status(&beside, &stolen.access).await, 401);
        assert_eq!(published(&beside).await, [&*revoked.signs]);
        // The session lives.
        let new = app.refresh_pair(&stolen.refresh).await;
        assert_eq!(kid(&new.access), revoked.signs);
        assert_eq!(status(&beside, &new.access).await, 200);
        // It is gone for good.
        let again = beside.app.keys.revoke(&revoked.kid).await.unwrap_err();
        assert!(matches!(again, KeysError::AlreadyRemoved(_)), "{again}");
        let restarted = app.beside().await;
        assert_eq!(status(&restarted, &stolen.access).await, 401);
    }

    async fn pending_key_takes_over_where_the_active_one_is_revoked(app: TestApp) {
        let token = app.register("ada@example.com").await;
        let next = app.app.keys.rotate(Rotation::Published).await.unwrap();

        let revoked = app.app.keys.revoke(&kid(&token)).await.unwrap();

        assert_eq!(revoked.signs, next.kid);
        assert_eq!(kid(&app.sign_in("ada@example.com").await), next.kid);
    }

    async fn keys_of_a_version_without_states_sign_on_after_the_upgrade(app: TestApp) {
        let mut app = app;
        let old = app.register_pair("ada@example.com").await;
        // What the version before left behind: this migration undone.
        for statement in [
            "ALTER TABLE countersign_keys DROP COLUMN removed_at",
            "ALTER TABLE countersign_keys DROP COLUMN retired_at",
            "ALTER TABLE countersign_keys DROP COLUMN activated_at",
            "ALTER TABLE countersign_keys RENAME COLUMN slot TO signs",
            "UPDATE countersign_keys SET signs = algorithm",
            "DROP TABLE countersign_key_changes",
            "DELETE FROM countersign_migrations WHERE version = 4",
        ] {
            match &app.app.db {
                Db::Sqlite { write, .. } => drop(sqlx::query(statement).execute(write).await.unwrap()),
                Db::Postgres(pool) => drop(sqlx::query(statement).execute(pool).await.unwrap()),
            }
        }

        app.restart().await;

        assert_eq!(published(&app).await, [kid(&old.access)]);
        let new = app.refresh_pair(&old.refresh).await;
        assert_eq!(kid(&new.access), kid(&old.access));
        assert_eq!(status(&app, &old.access).await, 200);
        app.app.keys.rotate(Rotation::Published).await.unwrap();
        assert_eq!(published(&app).await.len(), 2);
    }

    async fn command_that_opens_the_database_leaves_the_schedule_to_the_servers(app: TestApp) {
        let first = published(&app).await;
        app.clock.advance(Duration::from_hours(90 * 24));

        let beside = app.beside().await;

        assert_eq!(published(&beside).await, first);
        check(&app.app).await;
        check(&beside.app).await;
        assert_eq!(published(&beside).await.len(), 2);
    }

    async fn revoked_key_is_refused_beside_a_key_of_an_unknown_algorithm(app: TestApp) {
        let beside = app.beside().await;
        let token = app.register("ada@example.com").await;
        let next = beside.app.keys.rotate(Rotation::Published).await.unwrap().kid;
        let statement = format!("UPDATE countersign_keys SET algorithm = 'ES1024' WHERE kid = '{next}'");
        match &app.app.db {
            Db::Sqlite { write, .. } => drop(sqlx::query(sqlx::AssertSqlSafe(statement)).execute(write).await.unwrap()),
            Db::Postgres(pool) => drop(sqlx::query(sqlx::AssertSqlSafe(statement)).execute(pool).await.unwrap()),
        }

        beside.app.keys.revoke(&kid(&token)).await.unwrap();

        let failed = app.app.keys.check().await.unwrap_err();
        assert_eq!(
            failed.to_string(),
            format!(
                "the key {next} cannot be opened: it is for ES1024, which this version does not know. \
                 Use the newer version, or remove that key: countersign keys revoke {next}"
            )
        );
        assert_eq!(status(&app, &token).await, 401);
        app.app.keys.revoke(&next).await.unwrap();
        check(&app.app).await;
        assert_eq!(status(&app, &app.sign_in("ada@example.com").await).await, 200);
    }

    async fn rotation_at_once_signs_at_once_and_keeps_what_was_signed(app: TestApp) {
        let old = app.register("ada@example.com").await;

        let rotated = app.app.keys.rotate(Rotation::AtOnce).await.unwrap();

        let new = app.sign_in("ada@example.com").await;
        assert_eq!(kid(&new), rotated.kid);
        for token in [&old, &new] {
            assert_eq!(status(&app, token).await, 200);
        }
    }
}

#[tokio::test]
async fn unknown_names_have_the_database_asked_once_a_second() {
    let app = TestApp::with(&[]).await;
    let beside = app.beside().await;
    let token = app.register("ada@example.com").await;
    let body = token.split_once('.').unwrap().1;
    // Signed by nobody, under a name that could be a key's.
    let header =
        r#"{"alg":"ES256","kid":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","typ":"at+jwt"}"#;
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header);
    let made_up = format!("{encoded}.{body}");

    assert_eq!(status(&beside, &made_up).await, 401);
    app.app.keys.rotate(Rotation::AtOnce).await.unwrap();
    let new = app.sign_in("ada@example.com").await;
    assert_eq!(status(&beside, &new).await, 401);
    beside.clock.advance(SECOND);
    assert_eq!(status(&beside, &new).await, 200);
}

#[tokio::test]
async fn nobody_is_told_no_while_the_database_cannot_say() {
    let app = TestApp::with(&[]).await;
    let beside = app.beside().await;
    app.register("ada@example.com").await;
    app.app.keys.rotate(Rotation::AtOnce).await.unwrap();
    let token = app.sign_in("ada@example.com").await;

    beside.app.db.close().await;

    for _ in 0..2 {
        let answer = beside.get_as(routes::ME, &token).await;
        assert_eq!(answer.json()["code"], "unavailable", "{answer}");
        assert_eq!(answer.status(), 503);
    }
}

#[tokio::test]
async fn published_keys_may_be_remembered_for_less_than_a_key_is_pending() {
    let app = TestApp::with(&[]).await;
    let answer = app.get(routes::JWKS).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let short = TestApp::with(&[("KEYS__PENDING_FOR", "20s")]).await;
    let short = short.get(routes::JWKS).await;
    assert_eq!(short.header("cache-control"), "public, max-age=10");

    let again = |etag: String| async {
        let request = app.request(Method::GET, routes::JWKS);
        Answer::of(request.header("if-none-match", etag)).await
    };
    let etag = answer.header("etag").to_owned();
    let known = again(etag.clone()).await;
    assert_eq!((known.status(), known.body()), (304, ""));
    assert_eq!(known.header("cache-control"), "public, max-age=300");
    assert_eq!(again(format!("\"x\", W/{etag}")).await.status(), 304);
    app.app.keys.rotate(Rotation::Published).await.unwrap();
    assert_eq!(again(etag).await.status(), 200);
}

#[tokio::test]
async fn what_somebody_else_did_to_keys_is_logged_by_every_server() {
    let app = TestApp::with(&[]).await;
    let beside = app.beside().await;
    let (log, _guard) = Log::begin();

    beside.app.keys.rotate(Rotation::Published).await.unwrap();
    check(&app.app).await;
    assert_eq!(log.count("a key was made, and is published"), 2);
    let rotated = beside.app.keys.rotate(Rotation::AtOnce).await.unwrap();
    check(&app.app).await;
    assert_eq!(log.count("a key signs from here on"), 2);
    assert_eq!(log.count("a key signs no more, and still verifies"), 2);
    beside.app.keys.revoke(&rotated.kid).await.unwrap();
    check(&app.app).await;
    assert_eq!(log.count("WARN"), 2);
    assert_eq!(log.count("a key was removed at once"), 2);
}

#[tokio::test]
async fn schedule_may_be_off() {
    let app = TestApp::with(&[("KEYS__ROTATE_EVERY", "off")]).await;
    let first = published(&app).await;

    app.clock.advance(Duration::from_hours(3650 * 24));
    check(&app.app).await;

    assert_eq!(published(&app).await, first);
}

const P256: &str = include_str!("../../src/token/testdata/p256.pem");

#[tokio::test]
async fn key_of_the_configuration_signs_and_none_is_stored() {
    let app = TestApp::with(&[("TOKEN__PRIVATE_KEY", P256)]).await;

    let token = app.register("ada@example.com").await;

    assert_eq!(published(&app).await, [kid(&token)]);
    assert_eq!(status(&app, &token).await, 200);
    check(&app.app).await;
    let refused = app.app.keys.rotate(Rotation::AtOnce).await.unwrap_err();
    assert!(matches!(refused, KeysError::Configured), "{refused}");
    assert!(!app.path("master.key").exists());
}

#[tokio::test]
async fn keys_of_a_system_before_this_one_verify_and_are_published() {
    let mut app = TestApp::with(&[]).await;
    let old = app.register_pair("ada@example.com").await;
    let jwks = app.get(routes::JWKS).await.body().to_owned();
    std::fs::write(app.path("jwks.json"), jwks).unwrap();

    let moved = [
        ("TOKEN__PRIVATE_KEY", P256),
        ("TOKEN__VERIFICATION_KEYS", "jwks.json"),
    ];
    app.reconfigure(&moved).await;

    let new = app.refresh_pair(&old.refresh).await;
    assert_ne!(kid(&new.access), kid(&old.access));
    for token in [&old.access, &new.access] {
        assert_eq!(status(&app, token).await, 200);
        assert!(published(&app).await.contains(&kid(token)));
    }
}

#[tokio::test]
async fn revoked_key_stays_refused_where_a_file_of_other_keys_has_it() {
    let mut app = TestApp::with(&[]).await;
    let stolen = app.register_pair("ada@example.com").await;
    let revoked = kid(&stolen.access);
    let jwks: Value = serde_json::from_str(app.get(routes::JWKS).await.body()).unwrap();
    // Under its own name, and under one that somebody gave it.
    let mut renamed = jwks["keys"][0].clone();
    renamed["kid"] = json!("renamed");
    let both = json!({ "keys": [jwks["keys"][0], renamed] });
    std::fs::write(app.path("jwks.json"), both.to_string()).unwrap();
    app.reconfigure(&[("TOKEN__VERIFICATION_KEYS", "jwks.json")])
        .await;
    assert_eq!(status(&app, &stolen.access).await, 200);

    let signs = app.app.keys.revoke(&revoked).await.unwrap().signs;

    assert_eq!(status(&app, &stolen.access).await, 401);
    assert_eq!(published(&app).await, [&*signs]);
    app.restart().await;
    assert_eq!(status(&app, &stolen.access).await, 401);
    assert_eq!(published(&app).await, [&*signs]);
}

#[tokio::test]
async fn revoking_says_where_a_file_still_has_the_key() {
    let mut app = TestApp::with(&[]).await;
    let jwks = app.get(routes::JWKS).await.body().to_owned();
    std::fs::write(app.path("jwks.json"), jwks).unwrap();
    let name = published(&app).await.remove(0);
    app.stop().await;
    let revoke = |name: &str| {
        let output = countersign()
            .args(["keys", "revoke", name, "--data-dir", "."])
            .current_dir(app.path(""))
            .env("COUNTERSIGN_TOKEN__VERIFICATION_KEYS", "jwks.json")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap())
    };

    let [said, warned] = revoke(&name);

    let expected =
        format!("warning: the file of `token.verification_keys` has the revoked key {name}");
    assert!(warned.starts_with(&expected), "{warned}");
    let next = said
        .lines()
        .find_map(|line| line.split_once(" (ES256) signs now"));
    let [_, warned] = revoke(next.unwrap().0);
    assert_eq!(warned, "");
}

#[tokio::test]
async fn command_with_another_algorithm_keeps_that_of_the_servers_and_says_so() {
    let mut app = TestApp::with(&[("TOKEN__ALGORITHM", "EdDSA")]).await;
    let first = published(&app).await.remove(0);
    app.stop().await;
    // As ES256 is the default.
    let run = |arguments: &[&str]| {
        let output = countersign()
            .args([&["keys"], arguments, &["--data-dir", "."]].concat())
            .current_dir(app.path(""))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap())
    };

    for (arguments, says) in [
        (&["revoke", &first] as &[_], " (EdDSA) signs now."),
        (&["rotate", "--now"], " (EdDSA) signs now."),
        (&["rotate"], " (EdDSA).\nIt is published now"),
    ] {
        let [said, warned] = run(arguments);

        assert!(said.contains(says), "{said}");
        let expected = "warning: `token.algorithm` is ES256 here, and the key is for EdDSA";
        assert!(warned.starts_with(expected), "{warned}");
    }
}

/// Runs `countersign keys …` beside a running server, on its database.
fn command(folder: &Path, database: &Database, arguments: &[&str]) -> (i32, String) {
    let mut command = countersign();
    command.arg("keys").args(arguments).current_dir(folder);
    if let Some(url) = database.url() {
        command.env("COUNTERSIGN_DATABASE__URL", url);
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code().unwrap(), text.concat())
}

/// What a command gives that must succeed.
fn said(folder: &Path, database: &Database, arguments: &[&str]) -> String {
    let (code, text) = command(folder, database, arguments);
    assert_eq!(code, 0, "{text}");
    text
}

/// Waits until a running server does what it should; it has seconds to follow.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < Duration::from_secs(10), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn names(server: &Binary) -> Vec<String> {
    let keys: JwkSet =
        serde_json::from_str(server.get(routes::JWKS).await.unwrap().body()).unwrap();
    let kid = |key: jsonwebtoken::jwk::Jwk| key.common.key_id.unwrap();
    keys.keys.into_iter().map(kid).collect()
}

async fn running_server_follows_the_command_line(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = Binary::serve(folder, &database);
    let body = credentials("ada@example.com", PASSWORD);
    let registered = server.post(routes::REGISTER, &body).await.unwrap().pair();
    let first = kid(&registered.access);
    let list = said(folder, &database, &["list"]);
    assert!(
        list.contains(&format!("{first}  ES256      active")),
        "{list}"
    );

    // Published, and not signing.
    let rotated = said(folder, &database, &["rotate"]);
    assert!(rotated.starts_with("The next key is "), "{rotated}");
    until("the next key is published", async || {
        names(&server).await.len() == 2
    })
    .await;
    let (code, again) = command(folder, &database, &["rotate"]);
    assert_eq!(code, 1);
    assert!(again.contains("the next key is there already"), "{again}");
    assert!(
        again.contains("Z; `countersign keys rotate --now` makes it"),
        "{again}"
    );
    assert!(!again.contains('.'), "no part of a second: {again}");
    let sign_in = async || {
        kid(&server
            .post(routes::SIGN_IN, &body)
            .await
            .unwrap()
            .access_token())
    };
    assert_eq!(sign_in().await, first);

    // Signing at once.
    let now = said(folder, &database, &["rotate", "--now"]);
    assert!(now.contains(" signs now.\nServices that keep"), "{now}");
    until("the next key signs", async || sign_in().await != first).await;
    let me = async |token: &str| server.get_as(routes::ME, token).await.unwrap().status();
    assert_eq!(me(&registered.access).await, 200);

    // Under another master key.
    let rewrapped = said(folder, &database, &["rewrap"]);
    assert!(
        rewrapped.starts_with("2 keys are sealed with a new"),
        "{rewrapped}"
    );
    assert_eq!(me(&registered.access).await, 200);

    // Gone.
    let revoked = said(folder, &database, &["revoke", &first[..10]]);
    assert!(
        revoked.starts_with(&format!("Removed {first}, which was retiring")),
        "{revoked}"
    );
    let asked = Instant::now();
    until("the revoked key is refused", async || {
        me(&registered.access).await == 401
    })
    .await;
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    let second = sign_in().await;
    let revoked = said(folder, &database, &["revoke", &second]);
    assert!(revoked.contains(" signs now. Pages get"), "{revoked}");
    until("a new key signs", async || sign_in().await != second).await;
    let refresh = json!({ "refresh_token": registered.refresh });
    let refreshed = server.post(routes::REFRESH, &refresh).await.unwrap();
    assert_eq!(me(&refreshed.access_token()).await, 200);
    let (code, gone) = command(folder, &database, &["revoke", &second]);
    assert_eq!(code, 1);
    assert!(gone.contains("is removed already"), "{gone}");
    let list: Value =
        serde_json::from_str(&said(folder, &database, &["list", "--json", "--all"])).unwrap();
    let states: Vec<_> = list["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["removed", "removed", "active"]);

    // And all of it is so after a restart.
    server.kill();
    let server = Binary::serve(folder, &database);
    assert_eq!(names(&server).await.len(), 1);
}

#[tokio::test]
async fn sqlite_server_follows_the_command_line() {
    running_server_follows_the_command_line(Database::sqlite()).await;
}

#[tokio::test]
async fn postgres_server_follows_the_command_line() {
    if let Some(database) = Database::postgres().await {
        running_server_follows_the_command_line(database).await;
    }
}

#[tokio::test]
async fn stored_keys_are_listed_revoked_and_rewrapped_beside_a_key_of_the_configuration() {
    let mut app = TestApp::with(&[]).await;
    let jwks = app.get(routes::JWKS).await.body().to_owned();
    std::fs::write(app.path("jwks.json"), jwks).unwrap();
    let stored = published(&app).await.remove(0);
    app.stop().await;
    let run = |arguments: &[&str]| {
        let output = countersign()
            .args([&["keys"], arguments, &["--data-dir", "."]].concat())
            .current_dir(app.path(""))
            .env("COUNTERSIGN_TOKEN__PRIVATE_KEY", P256)
            .env("COUNTERSIGN_TOKEN__VERIFICATION_KEYS", "jwks.json")
            .output()
            .unwrap();
        let [said, warned] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(output.status.code(), Some(0), "{warned}");
        let note = "note: the key that signs is `token.private_key` of the configuration";
        assert!(warned.starts_with(note), "{warned}");
        (said, warned)
    };

    assert!(run(&["list"]).0.contains(&stored));
    assert!(run(&["rewrap"]).0.starts_with("1 key is sealed"));
    let (said, warned) = run(&["revoke", &stored]);
    assert!(
        said.starts_with("Removed") && !said.contains("signs now"),
        "{said}"
    );
    assert!(
        warned.contains("Until then, and a restart, servers accept it"),
        "{warned}"
    );
}

#[test]
fn keys_of_the_configuration_are_none_of_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = |settings: &[(&str, &str)]| {
        let output = countersign()
            .args(["keys", "rotate"])
            .current_dir(folder.path())
            .envs(settings.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };

    assert_snapshot!(run(&[("COUNTERSIGN_TOKEN__PRIVATE_KEY", P256)]), @r"
    error: the key that signs is `token.private_key` of the configuration, none in the database
      change it there and restart; put the old one's public half into `token.verification_keys` until its last token is over
    ");
    let secret = "an HMAC key of 32 bytes at least, for the test";
    let hmac = [
        ("COUNTERSIGN_TOKEN__ALGORITHM", "HS256"),
        ("COUNTERSIGN_TOKEN__SECRET", secret),
    ];
    assert_snapshot!(run(&hmac), @r"
    error: the key that signs is `token.secret` of the configuration, none in the database
      change it there and restart: every token of the old one is refused then, and pages get new ones by their refresh tokens
    ");
    assert_snapshot!(run(&[]), @r"
    error: there is no database at ./data/countersign.db: run this where the server runs, or name its folder with --data-dir
    ");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn command_makes_no_database_where_its_url_names_none() {
    let folder = tempfile::tempdir().unwrap();
    let output = countersign()
        .args(["keys", "rotate", "--database-url", "sqlite:counetrsign.db"])
        .current_dir(folder.path())
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(
        String::from_utf8(output.stderr).unwrap(),
        @"error: there is no database at counetrsign.db: `database.url` has to name the one of the servers, and this makes none"
    );
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

/// How long keys rotate every two seconds under load.
fn soak() -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "the suite's own setting, no product's"
    )]
    let seconds = std::env::var("COUNTERSIGN_SOAK_SECONDS").ok();
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(6_u64).min(60))
}

/// What a client saw.
#[derive(Debug, Default)]
struct Seen {
    issued: usize,
    accepted: usize,
    kids: BTreeSet<String>,
}

/// Two instances whose keys rotate every two seconds. Each client reads what one publishes, gets a token
/// from the other, verifies it with what it has read, and uses it at both.
async fn rotation_under_load_refuses_nothing(database: Database) {
    const CLIENTS: usize = 4;
    // A little less than half of what a key is pending.
    const REMEMBERED: Duration = Duration::from_millis(450);
    const SETTINGS: [(&str, &str); 4] = [
        ("COUNTERSIGN_KEYS__ROTATE_EVERY", "2s"),
        ("COUNTERSIGN_KEYS__PENDING_FOR", "1s"),
        ("COUNTERSIGN_TOKEN__ACCESS_TTL", "4s"),
        ("COUNTERSIGN_TOKEN__LEEWAY", "0s"),
    ];

    let folder = tempfile::tempdir().unwrap();
    let serve = || Arc::new(Binary::serve_with(folder.path(), &database, &SETTINGS).0);
    let servers = [serve(), serve()];
    let end = Instant::now() + soak();
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let (here, there) = (
            Arc::clone(&servers[client % 2]),
            Arc::clone(&servers[(client + 1) % 2]),
        );
        clients.spawn(async move {
            let mut seen = Seen::default();
            let email = format!("user-{client}@example.com");
            let body = credentials(&email, PASSWORD);
            let mut pair = here.post(routes::REGISTER, &body).await.unwrap().pair();
            while Instant::now() < end {
                let asked = Instant::now();
                let mut keys = there.get(routes::JWKS).await.unwrap();
                let refresh = json!({ "refresh_token": pair.refresh });
                let answer = here.post(routes::REFRESH, &refresh).await.unwrap();
                assert_eq!(answer.status(), 200, "{answer}");
                pair = answer.pair();
                let issued = Instant::now();
                // A slow machine took longer than anybody may remember the keys.
                if asked.elapsed() > REMEMBERED {
                    keys = there.get(routes::JWKS).await.unwrap();
                }
                verify_with(&pair.access, keys.body());
                seen.issued += 1;
                seen.kids.insert(kid(&pair.access));
                // To the last second of its life but one, since both ends count whole seconds.
                while issued.elapsed() < Duration::from_secs(2) && Instant::now() < end {
                    for server in [&here, &there] {
                        let answer = server
                            .get_as(routes::PROTECTED, &pair.access)
                            .await
                            .unwrap();
                        assert_eq!(answer.status(), 200, "{answer}");
                        seen.accepted += 1;
                    }
                    if client == 0 {
                        break;
                    }
                }
            }
            seen
        });
    }
    let mut all = Seen::default();
    for seen in clients.join_all().await {
        all.issued += seen.issued;
        all.accepted += seen.accepted;
        all.kids.extend(seen.kids);
    }

    let said = format!(
        "{} s: {} tokens issued, {} uses accepted, {} keys signed\n",
        soak().as_secs(),
        all.issued,
        all.accepted,
        all.kids.len()
    );
    drop(std::io::stderr().write_all(said.as_bytes()));
    // Each state begins when a server looks: a little late, twice a turn.
    let expected = usize::try_from(soak().as_secs() / 3).unwrap();
    assert!(all.kids.len() >= expected, "{} keys", all.kids.len());
    assert!(all.accepted > 50, "{}", all.accepted);
}

/// As a service would that knows the published keys and nothing else.
fn verify_with(token: &str, jwks: &str) {
    let keys: JwkSet = serde_json::from_str(jwks).unwrap();
    let key = keys.find(&kid(token));
    let key = key.unwrap_or_else(|| panic!("{} is not published: {jwks}", kid(token)));
    let mut validation = Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&["http://audience.test"]);
    let key = DecodingKey::from_jwk(key).unwrap();
    jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_refuses_nothing_while_keys_rotate_under_load() {
    rotation_under_load_refuses_nothing(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_refuses_nothing_while_keys_rotate_under_load() {
    if let Some(database) = Database::postgres().await {
        rotation_under_load_refuses_nothing(database).await;
    }
}

#[tokio::test]
async fn instance_that_cannot_open_the_new_key_signs_on_until_nobody_accepts_it() {
    const OLD: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    const NEW: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=";
    let app = TestApp::with(&[("MASTER_KEY", OLD)]).await;
    let token = app.register("ada@example.com").await;
    let keys = |master| {
        let rules = KeyRules {
            algorithm: Algorithm::Es256,
            schedule: Schedule::Off,
            pending_for: PENDING,
            verifies_for: PENDING,
        };
        let (db, clock) = (app.app.db.clone(), Arc::new(app.clock.clone()));
        StoredKeys::new(
            db,
            clock,
            MasterKey::from_base64(master),
            &app.path(""),
            rules,
        )
    };
    // Replaced, and this instance not told.
    let new = MasterKey::from_base64(NEW);
    keys(OLD).rewrap(new).await.unwrap();
    let elsewhere = keys(NEW);

    elsewhere.rotate(Rotation::AtOnce).await.unwrap();
    let refused = app.app.keys.check().await.unwrap_err();
    assert!(matches!(refused, KeysError::WrongMasterKey), "{refused}");
    assert_eq!(kid(&app.sign_in("ada@example.com").await), kid(&token));
    assert_eq!(app.get(routes::READYZ).await.status(), 200);
    // Whoever remembered these keys would lack the one that signs elsewhere.
    let published = app.get(routes::JWKS).await;
    assert_snapshot!(published.summary(), @"503 application/problem+json unavailable");
    assert_eq!(published.header("cache-control"), "no-store");

    elsewhere.revoke(&kid(&token)).await.unwrap();
    app.app.keys.check().await.unwrap_err();
    assert_eq!(status(&app, &token).await, 401);
    let ready = app.get(routes::READYZ).await;
    assert_eq!(ready.status(), 503);
    let detail = "There is no key to sign with. The server's log says why.";
    assert_eq!(ready.json()["detail"], detail);
    let answer = app
        .post(routes::SIGN_IN, &credentials("ada@example.com", PASSWORD))
        .await;
    assert_eq!(answer.status(), 500, "{answer}");
}
