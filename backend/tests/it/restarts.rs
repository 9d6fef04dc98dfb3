//! The real binary, killed at any moment: what was acknowledged is there afterwards.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use countersign_types::routes;
use insta::assert_snapshot;
use serde_json::json;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::support::{Binary, Database, PASSWORD, credentials};

async fn acknowledged_accounts_survive_kills(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    for round in 0..5 {
        let binary = Arc::new(Binary::serve(folder.path(), &database));
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..4 {
            let (binary, stop, acknowledged) = (
                Arc::clone(&binary),
                Arc::clone(&stop),
                Arc::clone(&acknowledged),
            );
            clients.spawn(async move {
                for attempt in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let email = format!("user-{round}-{client}-{attempt}@example.com");
                    let answer = binary
                        .post(routes::REGISTER, &credentials(&email, PASSWORD))
                        .await;
                    match answer {
                        Some(answer) if answer.status() == 201 => {
                            acknowledged
                                .lock()
                                .unwrap()
                                .push((email, answer.access_token()));
                        }
                        Some(answer) => panic!("{answer}"),
                        // Killed under it: nothing was promised.
                        None => break,
                    }
                }
            });
        }
        // Different moments of the write: between 120 and 400 ms.
        tokio::time::sleep(Duration::from_millis(120 + 70 * round)).await;
        binary.kill();
        stop.store(true, Ordering::Relaxed);
        clients.join_all().await;
    }

    let binary = Binary::serve(folder.path(), &database);
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(
        acknowledged.len() >= 5,
        "too few to prove anything: {}",
        acknowledged.len()
    );
    for (email, token) in acknowledged {
        let answer = binary.get_as(routes::ME, &token).await.unwrap();
        assert_eq!(answer.json()["email"], email, "{answer}");
    }
}

async fn acknowledged_logout_survives_a_kill(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let binary = Binary::serve(folder.path(), &database);
    let body = credentials("ada@example.com", PASSWORD);
    let token = binary
        .post(routes::REGISTER, &body)
        .await
        .unwrap()
        .access_token();
    let live = binary
        .post(routes::SIGN_IN, &body)
        .await
        .unwrap()
        .access_token();
    assert_eq!(
        binary
            .post_as(routes::LOGOUT, &token)
            .await
            .unwrap()
            .status(),
        204
    );
    binary.kill();

    let binary = Binary::serve(folder.path(), &database);

    let ended = binary.get_as(routes::PROTECTED, &token).await.unwrap();
    assert_snapshot!(ended.summary(), @"401 application/problem+json token_revoked");
    let live = binary.get_as(routes::PROTECTED, &live).await.unwrap();
    assert_eq!(live.status(), 200, "{live}");
}

/// Kills the server twenty times while sessions are refreshed without a pause. A client knows the
/// last token that it was given; what it asks again with after a kill may be spent already.
async fn refreshing_survives_kills(database: Database) {
    const CLIENTS: usize = 6;
    const KILLS: u64 = 20;

    let folder = tempfile::tempdir().unwrap();
    let binary = Binary::serve(folder.path(), &database);
    let mut tokens = Vec::new();
    for client in 0..CLIENTS {
        let body = credentials(&format!("user-{client}@example.com"), PASSWORD);
        let answer = binary.post(routes::REGISTER, &body).await.unwrap();
        tokens.push(answer.pair().refresh);
    }
    binary.kill();

    let mut acknowledged = 0;
    // More kills where the disk is slow, so that enough was acknowledged to prove something.
    for round in 0..3 * KILLS {
        if round >= KILLS && acknowledged >= 200 {
            break;
        }
        let binary = Arc::new(Binary::serve(folder.path(), &database));
        let mut clients = tokio::task::JoinSet::new();
        for (client, mut token) in tokens.drain(..).enumerate() {
            let binary = Arc::clone(&binary);
            clients.spawn(async move {
                for number in 0.. {
                    let body = json!({ "refresh_token": token });
                    match binary.post(routes::REFRESH, &body).await {
                        Some(answer) if answer.status() == 200 => token = answer.pair().refresh,
                        Some(answer) => panic!("client {client}, refresh {number}: {answer}"),
                        // Killed under it: the old token is all that the client has.
                        None => return (token, number),
                    }
                }
                unreachable!()
            });
        }
        // Different moments of a refresh.
        tokio::time::sleep(Duration::from_millis(40 + 17 * (round % 7))).await;
        binary.kill();
        for (token, number) in clients.join_all().await {
            tokens.push(token);
            acknowledged += number;
        }
    }
    assert!(
        acknowledged >= 200,
        "too few to prove anything: {acknowledged}"
    );

    let binary = Binary::serve(folder.path(), &database);
    let mut unspent = Vec::new();
    for token in &tokens {
        let answer = binary
            .post(routes::REFRESH, &json!({ "refresh_token": token }))
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{answer}");
        unspent.push(answer.pair().refresh);
    }
    // A fork would be a second unspent token of a session.
    assert_eq!(
        unspent_tokens(folder.path(), &database).await,
        vec![1; CLIENTS]
    );
    for token in &unspent {
        let body = json!({ "refresh_token": token });
        assert_eq!(
            binary.post(routes::REFRESH, &body).await.unwrap().status(),
            200
        );
    }
}

/// How many unspent refresh tokens each session has.
async fn unspent_tokens(folder: &Path, database: &Database) -> Vec<i64> {
    const SQL: &str = "SELECT count(*) FROM countersign_refresh_tokens WHERE used_at IS NULL \
                       GROUP BY session_id";
    if let Some(url) = database.url() {
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        sqlx::query_scalar(SQL).fetch_all(&mut connection).await
    } else {
        let file = folder.join("data/countersign.db");
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query_scalar(SQL).fetch_all(&mut connection).await
    }
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_acknowledged_accounts_through_kills() {
    acknowledged_accounts_survive_kills(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_acknowledged_accounts_through_kills() {
    if let Some(database) = Database::postgres().await {
        acknowledged_accounts_survive_kills(database).await;
    }
}

#[tokio::test]
async fn sqlite_keeps_an_acknowledged_logout_through_a_kill() {
    acknowledged_logout_survives_a_kill(Database::sqlite()).await;
}

#[tokio::test]
async fn postgres_keeps_an_acknowledged_logout_through_a_kill() {
    if let Some(database) = Database::postgres().await {
        acknowledged_logout_survives_a_kill(database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_neither_forks_nor_loses_a_session_through_kills() {
    refreshing_survives_kills(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_neither_forks_nor_loses_a_session_through_kills() {
    if let Some(database) = Database::postgres().await {
        refreshing_survives_kills(database).await;
    }
}
