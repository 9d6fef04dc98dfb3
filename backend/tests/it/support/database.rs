//! A database of its own for every test.

use std::{
    env,
    io::Write as _,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{Connection as _, Executor as _, PgConnection};

/// Which database, and where.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    /// On PostgreSQL; on SQLite the file is in the test's folder.
    url: Option<String>,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        Self { url: None }
    }

    /// A new database on the server that `COUNTERSIGN_TEST_POSTGRES` names. Without one the test
    /// is skipped, and that is said past the harness, which would swallow it.
    pub(crate) async fn postgres() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);

        #[expect(
            clippy::disallowed_methods,
            reason = "the suite's own setting, no product's"
        )]
        let Ok(server) = env::var("COUNTERSIGN_TEST_POSTGRES") else {
            let said = NUMBER.fetch_add(1, Ordering::Relaxed);
            if said == 0 {
                // `eprintln!` would be held back until the test fails.
                drop(std::io::stderr().write_all(
                    b"skipped on PostgreSQL: `cargo xtask test` starts one, or set \
                      COUNTERSIGN_TEST_POSTGRES\n",
                ));
            }
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("countersign_test_{}_{number}", std::process::id());
        let mut connection = PgConnection::connect(&server).await.unwrap();
        // An earlier run with this process id may have left one.
        for statement in [
            format!("DROP DATABASE IF EXISTS {name}"),
            format!("CREATE DATABASE {name}"),
        ] {
            connection
                .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement)))
                .await
                .unwrap();
        }
        let (before, query) = match server.split_once('?') {
            Some((before, query)) => (before, format!("?{query}")),
            None => (server.as_str(), String::new()),
        };
        let host = before.rsplit_once('/').map_or(before, |(host, _)| host);
        Some(Self {
            url: Some(format!("{host}/{name}{query}")),
        })
    }

    pub(crate) fn url(&self) -> Option<String> {
        self.url.clone()
    }
}
