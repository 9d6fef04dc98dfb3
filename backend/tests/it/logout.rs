//! Signing out, in all its forms.

use std::time::Duration;

use countersign_types::routes;
use insta::assert_snapshot;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::{
    refresh::cookie_of,
    support::{Answer, Pair, TestApp, backends},
    tokens::segment,
};

const COOKIE: &str = "countersign_refresh";

/// Whether each of these can still be refreshed, without refreshing it: by its access token.
async fn live(app: &TestApp, pairs: &[&Pair]) -> Vec<bool> {
    let mut live = Vec::new();
    for pair in pairs {
        live.push(app.get_as(routes::ME, &pair.access).await.status() == 200);
    }
    live
}

fn with_cookie(app: &TestApp, path: &str, cookie: &str) -> RequestBuilder {
    app.request(Method::POST, path)
        .header("cookie", format!("{COOKIE}={cookie}"))
        .header("sec-fetch-site", "same-origin")
}

backends! {
    async fn refresh_token_signs_out_where_the_access_token_has_expired(app: TestApp) {
        let pair = app.register_pair("ada@example.com").await;
        let other = app.sign_in_pair("ada@example.com").await;
        app.clock.advance(Duration::from_mins(20));

        let body = json!({ "refresh_token": pair.refresh });
        let request = app.request(Method::POST, routes::LOGOUT).bearer_auth(&pair.access).json(&body);

        assert_snapshot!(Answer::of(request).await, @r"
        204
        cache-control: no-store
        set-cookie: countersign_refresh=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0
        ");
        assert_eq!(app.refresh(&pair.refresh).await.status(), 401);
        assert_eq!(app.refresh(&other.refresh).await.status(), 200);
    }

    async fn access_token_goes_before_the_refresh_token_of_another_session(app: TestApp) {
        let one = app.register_pair("ada@example.com").await;
        let other = app.sign_in_pair("ada@example.com").await;

        let body = json!({ "refresh_token": other.refresh });
        let request = app.request(Method::POST, routes::LOGOUT).bearer_auth(&one.access).json(&body);

        assert_eq!(Answer::of(request).await.status(), 204);
        assert_eq!(live(&app, &[&one, &other]).await, [false, true]);
    }

    async fn signing_out_everywhere_ends_every_session_of_this_account_alone(app: TestApp) {
        let stranger = app.register_pair("eve@example.com").await;
        let one = app.register_pair("ada@example.com").await;
        let other = app.sign_in_pair("ada@example.com").await;
        let third = app.sign_in_pair("ada@example.com").await;
        let pairs = [&stranger, &one, &other, &third];

        assert_snapshot!(app.post_as(routes::LOGOUT_ALL, &one.access).await, @r"
        204
        cache-control: no-store
        set-cookie: countersign_refresh=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0
        ");

        assert_eq!(live(&app, &pairs).await, [true, false, false, false]);
        for pair in [&one, &other, &third] {
            assert_eq!(app.refresh(&pair.refresh).await.status(), 401);
        }
        assert_eq!(app.refresh(&stranger.refresh).await.status(), 200);
    }

    async fn refresh_token_signs_out_everywhere_only_while_it_could_be_refreshed(app: TestApp) {
        let one = app.register_pair("ada@example.com").await;
        let other = app.sign_in_pair("ada@example.com").await;
        let everywhere = async |token: &str| {
            app.post(routes::LOGOUT_ALL, &json!({ "refresh_token": token })).await
        };
        let next = app.refresh_pair(&one.refresh).await;
        app.clock.advance(Duration::from_secs(11));

        // Spent: whoever has it may have found it, so it ends what it is of, and nothing else.
        assert_eq!(everywhere(&one.refresh).await.summary(),
            "401 application/problem+json refresh_token_reused");
        assert_eq!(live(&app, &[&next, &other]).await, [false, true]);
        let next = app.sign_in_pair("ada@example.com").await;
        assert_eq!(everywhere(&next.refresh).await.status(), 204);
        assert_eq!(live(&app, &[&next, &other]).await, [false, false]);

        let third = app.sign_in_pair("ada@example.com").await;
        assert_eq!(everywhere(&next.refresh).await.status(), 401, "its session is over");
        assert_eq!(live(&app, &[&third]).await, [true]);
    }

    async fn spent_refresh_token_signs_its_own_session_out(app: TestApp) {
        let one = app.register_pair("ada@example.com").await;
        let next = app.refresh_pair(&one.refresh).await;
        app.clock.advance(Duration::from_secs(11));

        let answer = app.post(routes::LOGOUT, &json!({ "refresh_token": one.refresh })).await;

        assert_eq!(answer.status(), 204, "{answer}");
        assert_eq!(live(&app, &[&next]).await, [false]);
        let again = app.post(routes::LOGOUT, &json!({ "refresh_token": one.refresh })).await;
        assert_eq!(again.status(), 204, "what is over is over");
    }
}

#[tokio::test]
async fn cookie_signs_out_and_is_taken_back() {
    let app = TestApp::with(&[]).await;
    let cookie = cookie_of(&app, "ada@example.com").await;

    assert_snapshot!(Answer::of(with_cookie(&app, routes::LOGOUT, &cookie)).await, @r"
    204
    cache-control: no-store
    set-cookie: countersign_refresh=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0
    ");

    let refresh = Answer::of(with_cookie(&app, routes::REFRESH, &cookie)).await;
    assert_eq!(
        refresh.summary(),
        "401 application/problem+json refresh_token_invalid"
    );
}

#[tokio::test]
async fn cookie_signs_nobody_out_for_pages_from_elsewhere() {
    let app = TestApp::with(&[]).await;
    let cookie = cookie_of(&app, "ada@example.com").await;
    for path in [routes::LOGOUT, routes::LOGOUT_ALL] {
        let request = app
            .request(Method::POST, path)
            .header("cookie", format!("{COOKIE}={cookie}"))
            .header("sec-fetch-site", "cross-site");
        let answer = Answer::of(request).await;
        assert_eq!(answer.summary(), "403 application/problem+json csrf_failed");
        assert!(answer.set_cookie(COOKIE).is_none(), "{answer}");

        // Nor can such a page take the cookie away.
        let request = app
            .request(Method::POST, path)
            .header("sec-fetch-site", "cross-site");
        let answer = Answer::of(request).await;
        assert_eq!(
            answer.summary(),
            "401 application/problem+json token_missing"
        );
        assert!(answer.set_cookie(COOKIE).is_none(), "{answer}");
    }

    let refresh = Answer::of(with_cookie(&app, routes::REFRESH, &cookie)).await;
    assert_eq!(refresh.status(), 200);
}

#[tokio::test]
async fn signing_out_without_anything_is_401_with_what_is_missing() {
    let app = TestApp::with(&[]).await;
    let pair = app.register_pair("ada@example.com").await;
    app.clock.advance(Duration::from_mins(20));
    let mut answers = String::new();
    for (what, request) in [
        ("nothing", app.request(Method::POST, routes::LOGOUT)),
        (
            "an expired access token alone",
            app.request(Method::POST, routes::LOGOUT)
                .bearer_auth(&pair.access),
        ),
        (
            "no access token",
            app.request(Method::POST, routes::LOGOUT).bearer_auth("x"),
        ),
        (
            "an unknown refresh token",
            app.request(Method::POST, routes::LOGOUT)
                .json(&json!({ "refresh_token": "A".repeat(43) })),
        ),
        (
            "no refresh token",
            app.request(Method::POST, routes::LOGOUT)
                .json(&json!({ "refresh_token": "x" })),
        ),
        (
            "an unknown member",
            app.request(Method::POST, routes::LOGOUT)
                .json(&json!({ "all": true })),
        ),
    ] {
        answers += &format!("{what}: {}\n", Answer::of(request).await.summary());
    }

    assert_snapshot!(answers, @r"
    nothing: 401 application/problem+json token_missing
    an expired access token alone: 401 application/problem+json token_expired
    no access token: 401 application/problem+json token_invalid
    an unknown refresh token: 401 application/problem+json refresh_token_invalid
    no refresh token: 401 application/problem+json refresh_token_invalid
    an unknown member: 422 application/problem+json validation_failed
    ");
}

#[tokio::test]
async fn browser_forgets_its_cookie_also_where_the_server_could_not_end_the_session() {
    let app = TestApp::with(&[]).await;
    let cookie = cookie_of(&app, "ada@example.com").await;
    app.app.db.close().await;

    let answer = Answer::of(with_cookie(&app, routes::LOGOUT, &cookie)).await;

    assert_eq!(answer.status(), 503, "{answer}");
    assert!(answer.set_cookie(COOKIE).is_some(), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlock_that_the_database_resolves_is_nothing_that_anybody_notices() {
    const TOUCH: &str = "UPDATE countersign_sessions SET last_used_at = last_used_at WHERE id = $1";

    let Some(database) = crate::support::Database::postgres().await else {
        return;
    };
    let app = TestApp::start(database).await;
    let (first, second) = (
        app.register_pair("ada@example.com").await,
        app.sign_in_pair("ada@example.com").await,
    );
    let id = |pair: &Pair| -> uuid::Uuid {
        segment(&pair.access, 1)["sid"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    let countersign::store::Db::Postgres(pool) = &app.app.db else {
        unreachable!()
    };
    let mut other = pool.begin().await.unwrap();
    // So that it is not this one that the database ends.
    sqlx::query("SET LOCAL deadlock_timeout = '60s'")
        .execute(&mut *other)
        .await
        .unwrap();
    sqlx::query(TOUCH)
        .bind(id(&second))
        .execute(&mut *other)
        .await
        .unwrap();

    let (answer, ()) = tokio::join!(app.post_as(routes::LOGOUT_ALL, &first.access), async {
        // Until the server waits for the second session, holding the first.
        loop {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock'",
            )
            .fetch_one(pool)
            .await
            .unwrap();
            if waiting > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sqlx::query(TOUCH)
            .bind(id(&first))
            .execute(&mut *other)
            .await
            .unwrap();
        other.commit().await.unwrap();
    });

    assert_eq!(answer.status(), 204, "{answer}");
    assert_eq!(live(&app, &[&first, &second]).await, [false, false]);
}
