//! Where somebody is signed in, and ending that.

use std::time::Duration;

use countersign_types::routes;
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::Value;

use crate::support::{Answer, PASSWORD, Pair, TestApp, backends, credentials};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

async fn sign_in_by(app: &TestApp, user_agent: &str) -> Pair {
    let body = credentials("ada@example.com", PASSWORD);
    let request = app
        .request(Method::POST, routes::SIGN_IN)
        .header("user-agent", user_agent);
    Answer::of(request.json(&body)).await.pair()
}

async fn list(app: &TestApp, pair: &Pair) -> Vec<Value> {
    let answer = app.get_as(routes::SESSIONS, &pair.access).await;
    answer.json()["sessions"].as_array().unwrap().clone()
}

fn current(list: &[Value]) -> String {
    let session = list
        .iter()
        .find(|session| session["current"] == true)
        .unwrap();
    session["id"].as_str().unwrap().to_owned()
}

backends! {
    async fn list_says_which_device_since_when_and_which_is_this(app: TestApp) {
        app.register_pair("ada@example.com").await;
        app.clock.advance(Duration::from_mins(1));
        let pair = sign_in_by(&app, FIREFOX).await;
        app.clock.advance(Duration::from_mins(1));
        let pair = app.refresh_pair(&pair.refresh).await;

        assert_snapshot!(app.get_as(routes::SESSIONS, &pair.access).await, @r#"
        200
        cache-control: no-store
        content-type: application/json

        {
          "sessions": [
            {
              "created_at": "2026-01-01T12:01:00Z",
              "current": true,
              "device": "Firefox on Linux",
              "id": "[id]",
              "last_used_at": "2026-01-01T12:02:00Z",
              "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
            },
            {
              "created_at": "2026-01-01T12:00:00Z",
              "current": false,
              "device": null,
              "id": "[id]",
              "last_used_at": "2026-01-01T12:00:00Z",
              "user_agent": null
            }
          ]
        }
        "#);
    }

    async fn ended_expired_and_foreign_sessions_are_not_listed(app: TestApp) {
        app.register_pair("eve@example.com").await;
        let ended = app.register_pair("ada@example.com").await;
        app.post_as(routes::LOGOUT, &ended.access).await;
        sign_in_by(&app, FIREFOX).await;
        app.clock.advance(Duration::from_hours(30 * 24));
        let pair = sign_in_by(&app, FIREFOX).await;

        assert_eq!(list(&app, &pair).await.len(), 1);
    }

    async fn one_session_is_ended_by_its_id_at_once(app: TestApp) {
        let other = app.register_pair("ada@example.com").await;
        let pair = sign_in_by(&app, FIREFOX).await;
        let id = current(&list(&app, &other).await);

        assert_snapshot!(app.delete_as(&routes::session(&id), &pair.access).await, @r"
        204
        cache-control: no-store
        ");

        assert_eq!(app.protected(&other.access).await, "401 application/problem+json token_revoked");
        assert_eq!(app.refresh(&other.refresh).await.status(), 401);
        assert_eq!(list(&app, &pair).await.len(), 1);
        assert_eq!(app.delete_as(&routes::session(&id), &pair.access).await.status(), 404);
    }

    async fn foreign_and_unknown_ids_are_the_same_404(app: TestApp) {
        let eve = app.register_pair("eve@example.com").await;
        let foreign = current(&list(&app, &eve).await);
        let pair = app.register_pair("ada@example.com").await;
        let mut answers = Vec::new();
        for id in [foreign.as_str(), "01a21387-0256-7f38-91f8-55d155c9fe3d", "x", "%00"] {
            answers.push(app.delete_as(&routes::session(id), &pair.access).await.to_string());
        }

        assert_snapshot!(answers[0], @r#"
        404
        cache-control: no-store
        content-type: application/problem+json

        {
          "code": "not_found",
          "detail": "Nothing is at this path.",
          "status": 404,
          "title": "Not found",
          "type": "urn:countersign:problem:not_found"
        }
        "#);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
        assert_eq!(app.get_as(routes::ME, &eve.access).await.status(), 200);
    }

    async fn all_others_are_ended_and_this_one_goes_on(app: TestApp) {
        let eve = app.register_pair("eve@example.com").await;
        let first = app.register_pair("ada@example.com").await;
        let second = sign_in_by(&app, FIREFOX).await;
        let pair = sign_in_by(&app, FIREFOX).await;

        assert_snapshot!(app.delete_as(routes::SESSIONS, &pair.access).await, @r"
        204
        cache-control: no-store
        ");

        for other in [&first, &second] {
            assert_eq!(app.get_as(routes::ME, &other.access).await.status(), 401);
            assert_eq!(app.refresh(&other.refresh).await.status(), 401);
        }
        for kept in [&eve, &pair] {
            assert_eq!(app.get_as(routes::ME, &kept.access).await.status(), 200);
        }
        assert_eq!(app.refresh(&pair.refresh).await.status(), 200);
    }

    async fn ended_session_stays_ended_after_a_restart(app: TestApp) {
        let mut app = app;
        let other = app.register_pair("ada@example.com").await;
        let pair = sign_in_by(&app, FIREFOX).await;
        app.delete_as(routes::SESSIONS, &pair.access).await;

        app.restart().await;

        assert_eq!(app.get_as(routes::ME, &other.access).await.status(), 401);
        assert_eq!(app.refresh(&other.refresh).await.status(), 401);
        assert_eq!(app.refresh(&pair.refresh).await.status(), 200);
    }
}

#[tokio::test]
async fn user_agent_is_kept_short_and_harmless() {
    let app = TestApp::with(&[]).await;
    app.register("ada@example.com").await;

    let pair = sign_in_by(&app, &"x".repeat(5000)).await;

    let list = list(&app, &pair).await;
    let longest = list
        .iter()
        .filter_map(|session| session["user_agent"].as_str())
        .map(str::len)
        .max();
    assert_eq!(longest, Some(256));
}

#[tokio::test]
async fn list_is_whole_also_after_the_maximum_was_lowered() {
    let mut app = TestApp::with(&[]).await;
    let pair = app.register_pair("ada@example.com").await;
    for _ in 0..4 {
        sign_in_by(&app, FIREFOX).await;
    }

    app.reconfigure(&[("SESSION__MAX_PER_ACCOUNT", "2")]).await;

    assert_eq!(list(&app, &pair).await.len(), 5);
}
