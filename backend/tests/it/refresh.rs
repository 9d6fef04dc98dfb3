//! Refresh tokens: rotation, the grace for a repeat, and what a second use does.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use countersign::{sessions, store::Timestamp};
use countersign_types::routes;
use insta::assert_snapshot;
use reqwest::{Method, header::HeaderValue};
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;

use crate::support::{Answer, PASSWORD, TestApp, backends, credentials};

const COOKIE: &str = "countersign_refresh";

backends! {
    async fn rotation_gives_a_new_pair_every_time(app: TestApp) {
        let first = app.register_pair("ada@example.com").await;

        let answer = app.refresh(&first.refresh).await;

        assert_snapshot!(answer, @r#"
        200
        cache-control: no-store
        content-type: application/json

        {
          "access_token": "[access_token]",
          "expires_in": 900,
          "refresh_expires_in": 2592000,
          "refresh_token": "[refresh_token]",
          "token_type": "Bearer"
        }
        "#);
        // Three in a row: the token that a refresh gives has to be good for the next.
        let second = answer.pair();
        let third = app.refresh_pair(&second.refresh).await;
        let fourth = app.refresh_pair(&third.refresh).await;
        let mut seen = [&first, &second, &third, &fourth].map(|pair| &pair.refresh);
        seen.sort_unstable();
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]));
        // Every access token lives as long as it says; refreshing ends none.
        for pair in [first, second, third, fourth] {
            assert_eq!(app.protected(&pair.access).await,
                "200 application/json welcome ada@example.com");
        }
    }

    async fn repeat_inside_the_grace_gets_the_same_successor(app: TestApp) {
        let first = app.register_pair("ada@example.com").await;
        let second = app.refresh_pair(&first.refresh).await;

        app.clock.advance(Duration::from_secs(10));
        let repeat = app.refresh_pair(&first.refresh).await;

        assert_eq!(repeat.refresh, second.refresh);
        assert_ne!(repeat.access, second.access);
        assert_eq!(app.refresh(&second.refresh).await.status(), 200);
    }

    async fn repeat_after_the_grace_ends_the_session(app: TestApp) {
        let first = app.register_pair("ada@example.com").await;
        let other = app.sign_in_pair("ada@example.com").await;
        let second = app.refresh_pair(&first.refresh).await;

        app.clock.advance(Duration::from_secs(11));

        assert_snapshot!(app.refresh(&first.refresh).await, @r#"
        401
        cache-control: no-store
        content-type: application/problem+json
        www-authenticate: Bearer realm="countersign"

        {
          "code": "refresh_token_reused",
          "detail": "This refresh token was used before, so somebody may hold a copy of it. The session was ended. Sign in again.",
          "status": 401,
          "title": "Refresh token used twice",
          "type": "urn:countersign:problem:refresh_token_reused"
        }
        "#);
        assert_eq!(app.refresh(&second.refresh).await.summary(),
            "401 application/problem+json refresh_token_invalid");
        for access in [&first.access, &second.access] {
            assert_eq!(app.protected(access).await, "401 application/problem+json token_revoked");
        }
        assert_eq!(app.refresh(&other.refresh).await.status(), 200, "another session goes on");
    }

    async fn repeat_after_the_successor_was_used_ends_the_session_also_inside_the_grace(app: TestApp) {
        let first = app.register_pair("ada@example.com").await;
        let second = app.refresh_pair(&first.refresh).await;
        let third = app.refresh_pair(&second.refresh).await;

        assert_eq!(app.refresh(&first.refresh).await.summary(),
            "401 application/problem+json refresh_token_reused");
        assert_eq!(app.refresh(&third.refresh).await.status(), 401);
        assert_eq!(app.get_as(routes::ME, &third.access).await.status(), 401);
    }

    async fn grace_and_reuse_outlive_a_restart(app: TestApp) {
        let mut app = app;
        let first = app.register_pair("ada@example.com").await;
        let second = app.refresh_pair(&first.refresh).await;

        app.restart().await;
        assert_eq!(app.refresh_pair(&first.refresh).await.refresh, second.refresh);
        let third = app.refresh_pair(&second.refresh).await;
        app.restart().await;
        assert_eq!(app.refresh(&first.refresh).await.summary(),
            "401 application/problem+json refresh_token_reused");

        app.restart().await;
        assert_eq!(app.refresh(&third.refresh).await.status(), 401);
        assert_eq!(app.get_as(routes::ME, &third.access).await.status(), 401);
    }

    async fn one_token_sent_many_times_at_once_never_leaves_two_live_successors(app: TestApp) {
        for clients in [2, 50] {
            let first = app.register_pair(&format!("ada{clients}@example.com")).await;
            let body = json!({ "refresh_token": first.refresh });
            let mut attempts = tokio::task::JoinSet::new();
            for _ in 0..clients {
                attempts.spawn(Answer::of(app.request(Method::POST, routes::REFRESH).json(&body)));
            }
            let answers = attempts.join_all().await;

            assert!(answers.iter().all(|answer| answer.status() == 200));
            let mut successors: Vec<_> =
                answers.iter().map(|answer| answer.pair().refresh).collect();
            successors.dedup();
            assert_eq!(successors.len(), 1, "{clients} clients");
            assert_eq!(app.refresh(&successors[0]).await.status(), 200);
        }
    }

    async fn refresh_against_logout_never_leaves_a_live_token(app: TestApp) {
        for round in 0..10 {
            let pair = app.register_pair(&format!("ada{round}@example.com")).await;

            let (refreshed, ended) =
                tokio::join!(app.refresh(&pair.refresh), app.post_as(routes::LOGOUT, &pair.access));

            assert_eq!(ended.status(), 204);
            assert!([200, 401].contains(&refreshed.status()), "{refreshed}");
            assert_eq!(app.refresh(&pair.refresh).await.status(), 401);
            if refreshed.status() == 200 {
                let new = refreshed.pair();
                assert_eq!(app.refresh(&new.refresh).await.status(), 401);
                assert_eq!(app.get_as(routes::ME, &new.access).await.status(), 401);
            }
        }
    }

    async fn clock_that_is_set_back_ends_no_session_and_revives_none(app: TestApp) {
        let start = Timestamp::from_secs(1_767_268_800);
        let first = app.register_pair("ada@example.com").await;
        let ended = app.sign_in_pair("ada@example.com").await;
        app.post_as(routes::LOGOUT, &ended.access).await;
        let second = app.refresh_pair(&first.refresh).await;

        app.clock.step_to(start.minus(Duration::from_hours(1)));

        assert_eq!(app.refresh_pair(&first.refresh).await.refresh, second.refresh);
        let third = app.refresh_pair(&second.refresh).await;
        assert_eq!(app.refresh(&ended.refresh).await.status(), 401);
        app.clock.step_to(start.plus(Duration::from_secs(1)));
        assert_eq!(app.refresh(&third.refresh).await.status(), 200);
        assert_eq!(app.refresh(&ended.refresh).await.status(), 401);
    }

    async fn session_ends_when_idle_and_at_the_latest_when_old(app: TestApp) {
        let idle = app.register_pair("ada@example.com").await;
        app.clock.advance(Duration::from_hours(30 * 24));
        assert_eq!(app.refresh(&idle.refresh).await.summary(),
            "401 application/problem+json refresh_token_invalid");

        let mut kept = app.sign_in_pair("ada@example.com").await;
        for _ in 0..9 {
            app.clock.advance(Duration::from_hours(20 * 24 - 1));
            kept = app.refresh_pair(&kept.refresh).await;
        }
        // 180 days but for 9 hours.
        app.clock.advance(Duration::from_hours(9));
        assert_eq!(app.refresh(&kept.refresh).await.status(), 401);
    }

    async fn second_use_is_noticed_as_late_as_the_session_lives(app: TestApp) {
        let first = app.register_pair("ada@example.com").await;
        let mut last = app.refresh_pair(&first.refresh).await;
        for _ in 0..8 {
            app.clock.advance(Duration::from_hours(20 * 24));
            last = app.refresh_pair(&last.refresh).await;
            sessions::sweep(&app.app).await.unwrap();
        }

        assert_eq!(app.refresh(&first.refresh).await.summary(),
            "401 application/problem+json refresh_token_reused");
        assert_eq!(app.refresh(&last.refresh).await.status(), 401);
    }

    async fn what_is_over_is_forgotten_and_what_lives_is_kept(app: TestApp) {
        let live = app.register_pair("ada@example.com").await;
        let ended = app.sign_in_pair("ada@example.com").await;
        app.post_as(routes::LOGOUT, &ended.access).await;
        let mut body = credentials("ada@example.com", PASSWORD);
        body["refresh"] = json!("none");
        app.post(routes::SIGN_IN, &body).await;
        let next = app.refresh_pair(&live.refresh).await;

        app.clock.advance(Duration::from_hours(25));
        sessions::sweep(&app.app).await.unwrap();

        assert_eq!(rows(&app, "countersign_sessions").await, 1);
        assert_eq!(rows(&app, "countersign_refresh_tokens").await, 2);
        assert_eq!(rows(&app, "countersign_refresh_tokens WHERE successor IS NOT NULL").await, 0);
        app.refresh_pair(&next.refresh).await;

        app.clock.advance(Duration::from_hours(24 * 32));
        sessions::sweep(&app.app).await.unwrap();
        assert_eq!(rows(&app, "countersign_sessions").await, 0);
        assert_eq!(rows(&app, "countersign_refresh_tokens").await, 0);
        assert_eq!(rows(&app, "countersign_accounts").await, 1);
    }

    async fn database_holds_no_token_that_could_be_used(app: TestApp) {
        let first = app.register_pair("ada@example.com").await;
        let second = app.refresh_pair(&first.refresh).await;

        for pair in [&first, &second] {
            for secret in [&pair.access, &pair.refresh] {
                let raw = base64::Engine::decode(
                    &base64::engine::general_purpose::URL_SAFE_NO_PAD,
                    pair.refresh.as_bytes(),
                ).unwrap();
                assert_eq!(holding(&app, secret.as_bytes()).await, 0);
                assert_eq!(holding(&app, &raw).await, 0);
            }
        }
    }

    async fn oldest_session_ends_beyond_the_most_an_account_may_have(app: TestApp) {
        let first = app.register_pair("ada@example.com").await;
        let mut later = Vec::new();
        for _ in 0..50 {
            app.clock.advance(Duration::from_secs(1));
            later.push(app.sign_in_pair("ada@example.com").await);
        }

        assert_eq!(app.refresh(&first.refresh).await.status(), 401);
        assert_eq!(app.get_as(routes::ME, &first.access).await.status(), 401);
        assert_eq!(app.refresh(&later[0].refresh).await.status(), 200);
        let list = app.get_as(routes::SESSIONS, &later[0].access).await.json();
        assert_eq!(list["sessions"].as_array().unwrap().len(), 50);
    }
}

/// How many rows there are.
async fn rows(app: &TestApp, table: &str) -> i64 {
    use countersign::store::Db;

    let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    match &app.app.db {
        Db::Sqlite { read, .. } => sqlx::query_scalar(sql).fetch_one(read).await.unwrap(),
        Db::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
    }
}

/// In how many refresh tokens' rows these bytes are.
async fn holding(app: &TestApp, bytes: &[u8]) -> i64 {
    use countersign::store::Db;

    match &app.app.db {
        Db::Sqlite { read, .. } => sqlx::query_scalar(
            "SELECT count(*) FROM countersign_refresh_tokens \
             WHERE instr(hash, $1) > 0 OR instr(successor, $1) > 0",
        )
        .bind(bytes)
        .fetch_one(read)
        .await
        .unwrap(),
        Db::Postgres(pool) => sqlx::query_scalar(
            "SELECT count(*) FROM countersign_refresh_tokens \
             WHERE position($1 in hash) > 0 OR position($1 in successor) > 0",
        )
        .bind(bytes)
        .fetch_one(pool)
        .await
        .unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_instance_gives_the_same_successor_and_notices_a_second_use() {
    let Some(database) = crate::support::Database::postgres().await else {
        return;
    };
    let app = TestApp::start(database).await;
    let beside = app.beside().await;
    let first = app.register_pair("ada@example.com").await;

    let second = app.refresh_pair(&first.refresh).await;
    let repeat = beside.refresh_pair(&first.refresh).await;

    assert_eq!(repeat.refresh, second.refresh);
    let third = beside.refresh_pair(&second.refresh).await;
    assert_eq!(
        app.refresh(&first.refresh).await.summary(),
        "401 application/problem+json refresh_token_reused"
    );
    assert_eq!(beside.refresh(&third.refresh).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_instances_at_once_agree_on_one_successor() {
    let Some(database) = crate::support::Database::postgres().await else {
        return;
    };
    let app = TestApp::start(database).await;
    let beside = app.beside().await;
    let mut pair = app.register_pair("ada@example.com").await;
    for round in 0..40 {
        let (one, other) = tokio::join!(app.refresh(&pair.refresh), beside.refresh(&pair.refresh));

        assert_eq!(one.pair().refresh, other.pair().refresh, "round {round}");
        pair = other.pair();
    }
}

#[tokio::test]
async fn clock_that_jumps_ahead_for_an_hour_ends_no_session() {
    let start = Timestamp::from_secs(1_767_268_800);
    let app = TestApp::with(&[("SESSION__IDLE_TTL", "30m")]).await;
    let first = app.register_pair("ada@example.com").await;

    app.clock.step_to(start.plus(Duration::from_hours(1)));
    assert_eq!(app.refresh(&first.refresh).await.status(), 401);
    sessions::sweep(&app.app).await.unwrap();
    app.clock.step_to(start);

    assert_eq!(app.refresh(&first.refresh).await.status(), 200);
    assert_eq!(app.get_as(routes::ME, &first.access).await.status(), 200);
}

#[tokio::test]
async fn account_that_is_refreshed_without_end_has_to_wait_and_loses_nothing() {
    // Scaled down, since what a second use does must not depend on how many there were before.
    let app = TestApp::with(&[("LIMITS__SCALE", "0.1")]).await;
    let first = app.register_pair("ada@example.com").await;
    let mut pair = first.clone();
    for _ in 0..60 {
        pair = app.refresh_pair(&pair.refresh).await;
    }

    let answer = app.refresh(&pair.refresh).await;

    assert_eq!(
        answer.summary(),
        "429 application/problem+json rate_limited"
    );
    assert_eq!(answer.header("retry-after"), "90");
    app.clock.advance(Duration::from_secs(90));
    let last = app.refresh_pair(&pair.refresh).await;
    // A thief who used the limit up would otherwise keep the owner from being heard.
    assert_eq!(
        app.refresh(&first.refresh).await.summary(),
        "401 application/problem+json refresh_token_reused"
    );
    assert_eq!(app.get_as(routes::ME, &last.access).await.status(), 401);
}

#[tokio::test]
async fn lowered_lifetime_ends_an_older_session_as_one_that_is_over() {
    let mut app = TestApp::with(&[]).await;
    let pair = app.register_pair("ada@example.com").await;
    app.clock.advance(Duration::from_hours(10 * 24));
    let pair = app.refresh_pair(&pair.refresh).await;

    app.reconfigure(&[("SESSION__ABSOLUTE_TTL", "7d")]).await;

    for _ in 0..2 {
        assert_eq!(
            app.refresh(&pair.refresh).await.summary(),
            "401 application/problem+json refresh_token_invalid"
        );
    }
}

#[tokio::test]
async fn new_session_is_not_the_one_that_ends_whatever_the_clock_says() {
    let start = Timestamp::from_secs(1_767_268_800);
    let app = TestApp::with(&[("SESSION__MAX_PER_ACCOUNT", "1")]).await;
    let first = app.register_pair("ada@example.com").await;

    app.clock.step_to(start.minus(Duration::from_mins(1)));
    let second = app.sign_in_pair("ada@example.com").await;

    assert_eq!(app.get_as(routes::ME, &second.access).await.status(), 200);
    assert_eq!(app.refresh(&first.refresh).await.status(), 401);
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused_alike() {
    let app = TestApp::with(&[]).await;
    let pair = app.register_pair("ada@example.com").await;
    let unknown = "A".repeat(43);
    let mut answers = Vec::new();
    for token in [
        &unknown,
        "",
        "x",
        &pair.access,
        &format!("{}=", pair.refresh),
    ] {
        answers.push(app.refresh(token).await.to_string());
    }
    answers.push(
        Answer::of(app.request(Method::POST, routes::REFRESH))
            .await
            .body()
            .to_owned(),
    );

    assert_snapshot!(answers[0], @r#"
    401
    cache-control: no-store
    content-type: application/problem+json
    www-authenticate: Bearer realm="countersign"

    {
      "code": "refresh_token_invalid",
      "detail": "There is no refresh token here that holds: it is missing, unknown, or its session is over. Sign in again.",
      "status": 401,
      "title": "Invalid refresh token",
      "type": "urn:countersign:problem:refresh_token_invalid"
    }
    "#);
    let body =
        |text: &str| -> Value { serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap() };
    assert!(
        answers
            .iter()
            .all(|answer| body(answer) == body(&answers[0]))
    );
    assert_eq!(app.refresh(&pair.refresh).await.status(), 200);
}

#[tokio::test]
async fn refresh_token_is_no_access_token() {
    let app = TestApp::with(&[]).await;
    let pair = app.register_pair("ada@example.com").await;

    assert_eq!(
        app.protected(&pair.refresh).await,
        "401 application/problem+json token_invalid"
    );
}

#[tokio::test]
async fn delivery_is_body_cookie_or_none() {
    let app = TestApp::with(&[]).await;
    app.register("ada@example.com").await;
    let sign_in = async |refresh: &str| {
        let mut body = credentials("ada@example.com", PASSWORD);
        body["refresh"] = json!(refresh);
        app.post(routes::SIGN_IN, &body).await
    };

    assert_snapshot!(sign_in("body").await, @r#"
    200
    cache-control: no-store
    content-type: application/json

    {
      "access_token": "[access_token]",
      "expires_in": 900,
      "refresh_expires_in": 2592000,
      "refresh_token": "[refresh_token]",
      "token_type": "Bearer"
    }
    "#);
    assert_snapshot!(sign_in("cookie").await, @r#"
    200
    cache-control: no-store
    content-type: application/json
    set-cookie: countersign_refresh=[refresh_token]; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000

    {
      "access_token": "[access_token]",
      "expires_in": 900,
      "token_type": "Bearer"
    }
    "#);
    assert_snapshot!(sign_in("none").await, @r#"
    200
    cache-control: no-store
    content-type: application/json

    {
      "access_token": "[access_token]",
      "expires_in": 900,
      "token_type": "Bearer"
    }
    "#);
}

#[tokio::test]
async fn session_without_a_refresh_token_is_over_with_its_access_token() {
    let app = TestApp::with(&[]).await;
    let kept = app.register_pair("ada@example.com").await;
    let mut body = credentials("ada@example.com", PASSWORD);
    body["refresh"] = json!("none");
    app.post(routes::SIGN_IN, &body).await;

    app.clock.advance(Duration::from_mins(16));

    let kept = app.refresh_pair(&kept.refresh).await;
    let list = app.get_as(routes::SESSIONS, &kept.access).await.json();
    assert_eq!(list["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn access_token_never_outlives_its_session() {
    let app = TestApp::with(&[("SESSION__IDLE_TTL", "90s"), ("TOKEN__LEEWAY", "0s")]).await;
    let answer = app
        .post(routes::REGISTER, &credentials("ada@example.com", PASSWORD))
        .await;

    assert_eq!(answer.json()["expires_in"], 90);
    assert_eq!(answer.json()["refresh_expires_in"], 90);
    app.clock.advance(Duration::from_secs(89));
    assert_eq!(
        app.get_as(routes::ME, &answer.access_token())
            .await
            .status(),
        200
    );
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(
        app.get_as(routes::ME, &answer.access_token())
            .await
            .status(),
        401
    );
}

#[tokio::test]
async fn cookie_refreshes_itself_for_our_own_pages_only() {
    let app = TestApp::with(&[("DEV__EXTRA_ORIGINS", "[\"http://localhost:8080\"]")]).await;
    let cookie = cookie_of(&app, "ada@example.com").await;
    let own = format!("http://127.0.0.1:{}", app.address.port());
    let localhost = format!("http://localhost:{}", app.address.port());
    let mut answers = String::new();
    for (what, headers) in [
        ("no word of where from", vec![]),
        ("another site", vec![("sec-fetch-site", "cross-site")]),
        ("a sibling", vec![("sec-fetch-site", "same-site")]),
        ("typed", vec![("sec-fetch-site", "none")]),
        (
            "another site that lies in Origin",
            vec![("sec-fetch-site", "cross-site"), ("origin", &own)],
        ),
        ("no origin", vec![("origin", "null")]),
        (
            "an origin of somebody",
            vec![("origin", "http://evil.example")],
        ),
        ("our pages", vec![("sec-fetch-site", "same-origin")]),
        ("our origin", vec![("origin", &own)]),
        ("our origin by its name", vec![("origin", &localhost)]),
        ("trunk's origin", vec![("origin", "http://localhost:8080")]),
    ] {
        let mut request = app
            .request(Method::POST, routes::REFRESH)
            .header("cookie", format!("other=1; {COOKIE}={cookie}"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = Answer::of(request).await;
        let cookie = if answer.set_cookie(COOKIE).is_some() {
            " and a cookie"
        } else {
            ""
        };
        answers += &format!("{what}: {}{cookie}\n", answer.summary());
    }

    assert_snapshot!(answers, @r"
    no word of where from: 403 application/problem+json csrf_failed
    another site: 403 application/problem+json csrf_failed
    a sibling: 403 application/problem+json csrf_failed
    typed: 403 application/problem+json csrf_failed
    another site that lies in Origin: 403 application/problem+json csrf_failed
    no origin: 403 application/problem+json csrf_failed
    an origin of somebody: 403 application/problem+json csrf_failed
    our pages: 200 application/json and a cookie
    our origin: 200 application/json and a cookie
    our origin by its name: 200 application/json and a cookie
    trunk's origin: 200 application/json and a cookie
    ");
}

#[tokio::test]
async fn cookie_that_is_good_for_nothing_is_taken_back() {
    let app = TestApp::with(&[]).await;
    let cookie = cookie_of(&app, "ada@example.com").await;
    let refresh = async |cookies: &str| {
        let request = app
            .request(Method::POST, routes::REFRESH)
            .header("sec-fetch-site", "same-origin")
            .header("cookie", cookies);
        Answer::of(request).await
    };

    let unknown = format!("{COOKIE}={}", "A".repeat(43));
    assert_snapshot!(refresh(&unknown).await, @r#"
    401
    cache-control: no-store
    content-type: application/problem+json
    set-cookie: countersign_refresh=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0
    www-authenticate: Bearer realm="countersign"

    {
      "code": "refresh_token_invalid",
      "detail": "There is no refresh token here that holds: it is missing, unknown, or its session is over. Sign in again.",
      "status": 401,
      "title": "Invalid refresh token",
      "type": "urn:countersign:problem:refresh_token_invalid"
    }
    "#);
    let two = format!("{COOKIE}={cookie}; {COOKIE}={}", "A".repeat(43));
    assert_eq!(
        refresh(&two).await.summary(),
        "401 application/problem+json refresh_token_invalid"
    );
    assert_eq!(refresh(&format!("{COOKIE}={cookie}")).await.status(), 200);
}

#[tokio::test]
async fn page_from_elsewhere_cannot_take_the_cookie_away() {
    let app = TestApp::with(&[]).await;
    // No cookie comes along, since it is SameSite=Strict; but a navigation may set one.
    for site in [None, Some("cross-site"), Some("same-site")] {
        let mut request = app.request(Method::POST, routes::REFRESH);
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        let answer = Answer::of(request).await;
        assert_eq!(answer.status(), 401, "{answer}");
        assert!(answer.set_cookie(COOKIE).is_none(), "{site:?}: {answer}");
    }
}

#[tokio::test]
async fn cookies_of_others_do_not_hide_ours() {
    let app = TestApp::with(&[]).await;
    let cookie = cookie_of(&app, "ada@example.com").await;
    let others = format!("other=\u{e4}; broken; {COOKIE}={cookie}; \u{1f980}=1");
    let request = app
        .request(Method::POST, routes::REFRESH)
        .header("sec-fetch-site", "same-origin")
        .header(
            "cookie",
            HeaderValue::from_bytes(others.as_bytes()).unwrap(),
        );

    let answer = Answer::of(request).await;

    assert_eq!(answer.status(), 200, "{answer}");
}

#[tokio::test]
async fn cookie_in_production_is_bound_to_its_host_and_to_https() {
    let app = TestApp::with(&[
        ("PUBLIC_URL", "https://auth.example.com"),
        ("REGISTRATION", "open"),
    ])
    .await;
    let mut body = credentials("ada@example.com", PASSWORD);
    body["refresh"] = json!("cookie");
    let answer = app.post(routes::REGISTER, &body).await;
    let (cookie, header) = answer.set_cookie("__Host-countersign_refresh").unwrap();

    assert_eq!(
        header.replace(&cookie, "…"),
        "__Host-countersign_refresh=…; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=2592000"
    );
    let refresh = async |name: &str, origin: &'static str| {
        let request = app
            .request(Method::POST, routes::REFRESH)
            .header("origin", origin)
            .header("cookie", format!("{name}={cookie}"));
        Answer::of(request).await.status()
    };
    assert_eq!(
        refresh("__Host-countersign_refresh", "http://localhost:3000").await,
        403
    );
    assert_eq!(
        refresh("countersign_refresh", "https://auth.example.com").await,
        401
    );
    assert_eq!(
        refresh("__Host-countersign_refresh", "https://auth.example.com").await,
        200
    );
}

#[tokio::test]
async fn token_in_the_body_goes_before_the_cookie_and_needs_no_origin() {
    let app = TestApp::with(&[]).await;
    let cookie = cookie_of(&app, "ada@example.com").await;
    let pair = app.sign_in_pair("ada@example.com").await;
    let request = app
        .request(Method::POST, routes::REFRESH)
        .header("cookie", format!("{COOKIE}={cookie}"))
        .json(&json!({ "refresh_token": pair.refresh }));

    let answer = Answer::of(request).await;

    assert_eq!(answer.status(), 200, "{answer}");
    assert!(answer.set_cookie(COOKIE).is_none());
    assert_ne!(answer.pair().refresh, pair.refresh);
}

/// The refresh cookie of a new account.
pub(crate) async fn cookie_of(app: &TestApp, email: &str) -> String {
    let mut body = credentials(email, PASSWORD);
    body["refresh"] = json!("cookie");
    let answer = app.post(routes::REGISTER, &body).await;
    answer.set_cookie(COOKIE).unwrap().0
}

/// What is logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// What this thread logs, as long as the guard is kept.
    pub(crate) fn begin() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn count(&self, words: &str) -> usize {
        let bytes = self.0.lock().unwrap();
        String::from_utf8_lossy(&bytes).matches(words).count()
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// On one thread, so that the server logs to where this test reads.
#[tokio::test]
async fn second_use_is_logged_once_and_only_where_it_ended_the_session() {
    let app = TestApp::with(&[("SESSION__REFRESH_GRACE", "0s")]).await;
    let (log, _guard) = Log::begin();
    let times = || log.count("used a second time");
    let mut spent = Vec::new();
    for _ in 0..3 {
        let pair = app
            .register_pair(&format!("ada{}@example.com", spent.len()))
            .await;
        app.refresh_pair(&pair.refresh).await;
        spent.push(json!({ "refresh_token": pair.refresh }));
    }
    app.clock.advance(Duration::from_secs(1));

    let paths = [routes::REFRESH, routes::LOGOUT, routes::LOGOUT_ALL];
    for (number, (path, body)) in paths.iter().zip(&spent).enumerate() {
        app.post(path, body).await;
        assert_eq!(times(), number + 1, "{path}");
        for again in paths {
            app.post(again, body).await;
        }
        assert_eq!(times(), number + 1, "{path}, and then again");
    }
}
