//! Migrations: embedded, one folder a database, the same numbers and names in both.

use sqlx::migrate::MigrateError as Cause;

use super::Db;

/// Prefixed like every table of ours, so that it lives beside an application's own.
const TABLE: &str = "countersign_migrations";

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A newer Countersign was here.
    #[error(
        "the database has migration {found}, this binary knows {known}: start a newer Countersign"
    )]
    Newer {
        /// The migration in the database.
        found: i64,
        /// The last that this binary has.
        known: i64,
    },
    /// A migration that ran is not the one of this binary.
    #[error("migration {0} in the database differs from the one in this binary")]
    Changed(i64),
    /// A migration failed, or the database was lost.
    #[error("a migration failed")]
    Failed(#[source] Cause),
}

pub(super) async fn run(db: &Db) -> Result<(), MigrateError> {
    let mut migrator = match db {
        Db::Sqlite { .. } => sqlx::migrate!("migrations/sqlite"),
        Db::Postgres(_) => sqlx::migrate!("migrations/postgres"),
    };
    migrator.dangerous_set_table_name(TABLE);
    let known = migrator
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or_default();
    // PostgreSQL takes an advisory lock meanwhile, so that replicas starting at once wait.
    let done = match db {
        Db::Sqlite { write, .. } => migrator.run(write).await,
        Db::Postgres(pool) => migrator.run(pool).await,
    };
    done.map_err(|cause| match cause {
        Cause::VersionMissing(found) => MigrateError::Newer { found, known },
        Cause::VersionMismatch(version) => MigrateError::Changed(version),
        cause => MigrateError::Failed(cause),
    })
}

#[cfg(test)]
mod tests {
    use sqlx::migrate::Migrator;

    #[test]
    fn both_databases_have_the_same_migrations() {
        let list = |migrator: Migrator| -> Vec<_> {
            migrator
                .iter()
                .map(|m| (m.version, m.description.to_string()))
                .collect()
        };

        assert_eq!(
            list(sqlx::migrate!("migrations/sqlite")),
            list(sqlx::migrate!("migrations/postgres"))
        );
    }
}
