//! How keys come and go: while the server runs, on several instances at once, and through crashes.

use std::time::Duration;

use countersign::{
    App,
    keys::{KeysError, Rotation, State},
};
use countersign_types::routes;
use insta::assert_snapshot;
use jsonwebtoken::jwk::JwkSet;
use reqwest::Method;

use crate::{
    support::{Answer, TestApp, backends},
    tokens::segment,
};

/// How long a key is published before it signs, by default.
const PENDING: Duration = Duration::from_mins(10);
/// How long it verifies after it signed: the life of a token, the leeway, a second, and `PENDING`.
const VERIFIES: Duration = Duration::from_secs(15 * 60 + 10 + 1 + 10 * 60);

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
        app.clock.advance(PENDING - Duration::from_secs(1));
        check(&app.app).await;
        let second = app.refresh_pair(&first.refresh).await;
        assert_eq!(kid(&second.access), old);

        app.clock.advance(Duration::from_secs(1));
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

        app.clock.advance(VERIFIES - Duration::from_secs(1));
        check(&app.app).await;
        assert!(published(&app).await.contains(&old));
        app.clock.advance(Duration::from_secs(1));
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
        app.clock.advance(Duration::from_hours(90 * 24) - PENDING - Duration::from_secs(1));
        check(&app.app).await;
        assert_eq!(published(&app).await, first);

        app.clock.advance(Duration::from_secs(1));
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
        assert_eq!(published(&beside).await, [revoked.signs.clone()]);
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
    beside.clock.advance(Duration::from_secs(1));
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
