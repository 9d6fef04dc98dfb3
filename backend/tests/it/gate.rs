//! One gate: no path takes or gives a token without asking whether its session and account live.
//!
//! These tests walk the document that the handlers make of themselves, so a new path that wants a
//! token, or answers one, is in them without anybody adding it, or fails them. That nothing else
//! in the code signs or verifies is a check of its own (`cargo xtask check`, who may call whom).

use countersign::store::Db;
use countersign_types::routes;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    contract::operations,
    support::{Answer, PASSWORD, TestApp, backends, credentials},
    tokens::{issued_by_hand, segment},
};

/// Removes an account as an operator could who knows SQL.
async fn delete_account(app: &TestApp, email: &str) {
    const SQL: &str = "DELETE FROM countersign_accounts WHERE email = $1";
    match &app.app.db {
        Db::Sqlite { write, .. } => {
            sqlx::query(SQL).bind(email).execute(write).await.unwrap();
        }
        Db::Postgres(pool) => {
            sqlx::query(SQL).bind(email).execute(pool).await.unwrap();
        }
    }
}

/// Whether an operation asks for an access token, and does not do without.
fn is_guarded(operation: &Value) -> bool {
    let optional = json!({});
    operation["security"]
        .as_array()
        .is_some_and(|ways| !ways.is_empty() && !ways.contains(&optional))
}

backends! {
    async fn no_guarded_path_takes_a_token_that_is_dead(app: TestApp) {
        let document = app.get(routes::OPENAPI).await.json();
        let ended = app.register("ada@example.com").await;
        app.post_as(routes::LOGOUT, &ended).await;
        let gone = app.register("gone@example.com").await;
        delete_account(&app, "gone@example.com").await;
        let (ada, eve) = (app.sign_in("ada@example.com").await, app.register("eve@example.com").await);
        let id = |token: &str, claim: &str| -> Uuid {
            segment(token, 1)[claim].as_str().unwrap().parse().unwrap()
        };
        let foreign = issued_by_hand(&app, id(&ada, "sub"), id(&eve, "sid"));
        let unknown = issued_by_hand(&app, id(&ada, "sub"), Uuid::from_u128(7));
        let mut asked = 0;
        for (path, method, operation) in operations(&document) {
            if !is_guarded(&operation) {
                continue;
            }
            let path = path.replace("{id}", &id(&ada, "sid").to_string());
            for (what, token) in
                [("ended", &ended), ("deleted", &gone), ("foreign", &foreign), ("unknown", &unknown)]
            {
                let request = app.request(method.parse().unwrap(), &path).bearer_auth(token);
                let answer = Answer::of(request).await;
                assert_eq!(answer.summary(), "401 application/problem+json token_revoked",
                    "{method} {path}, {what}");
                asked += 1;
            }
        }
        assert!(asked >= 4 * 6, "{asked}");
        // None of it ended the session whose id the paths named.
        assert_eq!(app.get_as(routes::ME, &ada).await.status(), 200);
    }

    async fn no_path_gives_a_token_for_a_session_or_account_that_is_dead(app: TestApp) {
        let document = app.get(routes::OPENAPI).await.json();
        let gives: Vec<_> = operations(&document)
            .into_iter()
            .filter(|(_, _, operation)| operation["responses"].to_string().contains("TokenResponse"))
            .map(|(path, method, _)| format!("{method} {path}"))
            .collect();
        // Whoever adds one adds its dead sessions and accounts below.
        assert_eq!(gives, ["POST /auth", "POST /auth/refresh", "POST /auth/register"]);

        let ended = app.register_pair("ada@example.com").await;
        app.post_as(routes::LOGOUT, &ended.access).await;
        let gone = app.register_pair("gone@example.com").await;
        delete_account(&app, "gone@example.com").await;

        for pair in [&ended, &gone] {
            assert_eq!(app.refresh(&pair.refresh).await.summary(),
                "401 application/problem+json refresh_token_invalid");
        }
        let sign_in = credentials("gone@example.com", PASSWORD);
        assert_eq!(app.post(routes::SIGN_IN, &sign_in).await.status(), 401);
        // The address is free again, and a new account is no old one.
        let new = app.register_pair("gone@example.com").await;
        assert_ne!(segment(&new.access, 1)["sub"], segment(&gone.access, 1)["sub"]);
        assert_eq!(app.refresh(&gone.refresh).await.status(), 401);
    }
}

#[tokio::test]
async fn path_that_does_without_a_token_takes_no_bad_one() {
    let app = TestApp::with(&[]).await;
    let request = app
        .request(Method::POST, routes::LOGOUT)
        .bearer_auth("not.a.token");

    assert_eq!(
        Answer::of(request).await.summary(),
        "401 application/problem+json token_invalid"
    );
}
