//! The real binary, killed at any moment: what was acknowledged is there afterwards.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use countersign_types::routes;
use insta::assert_snapshot;

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
