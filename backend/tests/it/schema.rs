//! The two schemas are one.

use std::collections::BTreeSet;

use countersign::store::Db;
use sqlx::Row as _;

use crate::support::{Database, TestApp};

/// `table.column type not null`, with the types of both databases under one name, and
/// `table unique (columns)`.
type Schema = BTreeSet<String>;

async fn sqlite(app: &TestApp) -> Schema {
    let Db::Sqlite { read, .. } = &app.app.db else {
        unreachable!()
    };
    let columns = sqlx::query(
        "SELECT t.name, c.name, c.type, c.\"notnull\" FROM sqlite_schema t, pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND t.name LIKE 'countersign\\_%' ESCAPE '\\' \
         AND t.name <> 'countersign_migrations'",
    )
    .fetch_all(read)
    .await
    .unwrap();
    let mut schema: Schema = columns
        .iter()
        .map(|row| {
            let (table, column, kind): (String, String, String) =
                (row.get(0), row.get(1), row.get(2));
            let null = if row.get::<bool, _>(3) {
                "not null"
            } else {
                "null"
            };
            format!("{table}.{column} {} {null}", kind.to_lowercase())
        })
        .collect();
    let keys = sqlx::query(
        "SELECT t.name, group_concat(c.name, ',') FROM sqlite_schema t, pragma_index_list(t.name) i, \
         pragma_index_info(i.name) c WHERE t.type = 'table' AND i.\"unique\" \
         AND t.name LIKE 'countersign\\_%' ESCAPE '\\' AND t.name <> 'countersign_migrations' \
         GROUP BY t.name, i.name",
    )
    .fetch_all(read)
    .await
    .unwrap();
    schema.extend(keys.iter().map(|row| {
        let (table, columns): (String, String) = (row.get(0), row.get(1));
        format!("{table} unique ({columns})")
    }));
    schema
}

async fn postgres(app: &TestApp) -> Schema {
    let Db::Postgres(pool) = &app.app.db else {
        unreachable!()
    };
    let columns = sqlx::query(
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES' \
         FROM information_schema.columns \
         WHERE table_name LIKE 'countersign\\_%' AND table_name <> 'countersign_migrations'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut schema: Schema = columns
        .iter()
        .map(|row| {
            let (table, column, kind): (String, String, String) =
                (row.get(0), row.get(1), row.get(2));
            let kind = match kind.as_str() {
                "bigint" | "boolean" => "integer",
                "uuid" | "bytea" => "blob",
                kind => kind,
            };
            let null = if row.get::<bool, _>(3) {
                "null"
            } else {
                "not null"
            };
            format!("{table}.{column} {kind} {null}")
        })
        .collect();
    let keys = sqlx::query(
        "SELECT t.relname::text, string_agg(a.attname::text, ',' ORDER BY k.place) \
         FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid, \
         unnest(i.indkey) WITH ORDINALITY k (number, place) \
         JOIN pg_attribute a ON a.attnum = k.number \
         WHERE i.indisunique AND a.attrelid = t.oid AND t.relname LIKE 'countersign\\_%' \
         AND t.relname <> 'countersign_migrations' GROUP BY t.relname, i.indexrelid",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    schema.extend(keys.iter().map(|row| {
        let (table, columns): (String, String) = (row.get(0), row.get(1));
        format!("{table} unique ({columns})")
    }));
    schema
}

#[tokio::test]
async fn both_databases_have_the_same_columns_nullability_and_unique_keys() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let (on_sqlite, on_postgres) = tokio::join!(TestApp::with(&[]), TestApp::start(database));

    let schema = sqlite(&on_sqlite).await;
    assert!(
        schema.contains("countersign_accounts unique (email_key)"),
        "{schema:#?}"
    );
    assert_eq!(schema, postgres(&on_postgres).await);
}
