//! `pgkeel migrate` on a real server: up, down, status, two at once, and what it says when it cannot.

mod interrupted;

use pgkeel::migrate::{self, Action, Error, Step};
use pgkeel_bench::sandbox::Postgres;
use tokio_postgres::Client;

const UP: Action = Action::Up { to: None };

/// Runs pgkeel's own migrations and returns what was said.
async fn migrate(url: &str, action: Action) -> Result<String, Error> {
    migrate_with(url, &migrate::embedded(), action).await
}

async fn migrate_with(url: &str, steps: &[Step], action: Action) -> Result<String, Error> {
    let mut out = Vec::new();
    migrate::run_steps(url, steps, action, &mut out).await?;
    Ok(String::from_utf8(out).expect("it writes UTF-8"))
}

/// The application's tables, sorted.
async fn tables(client: &Client) -> Vec<String> {
    let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' \
               AND tablename <> '_sqlx_migrations' ORDER BY 1";
    client
        .query(sql, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// Tables, columns, constraints and indexes in one text, to compare schemas by.
async fn schema(client: &Client) -> Vec<String> {
    let sql = "SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable \
                 FROM information_schema.columns WHERE table_schema = 'public' \
               UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint \
                 WHERE connamespace = 'public'::regnamespace \
               UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1";
    client
        .query(sql, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

#[tokio::test]
async fn up_makes_the_schema_and_a_second_time_does_nothing() {
    let postgres = Postgres::start().await.unwrap();
    let client = postgres.connect().await.unwrap();
    let said = migrate(&postgres.url(), UP).await.unwrap();
    assert_eq!(said.lines().count(), migrate::embedded().len(), "{said}");
    assert!(said.starts_with("applied 0001 users in "), "{said}");
    assert_eq!(tables(&client).await.len(), 12);
    assert_eq!(
        migrate(&postgres.url(), UP).await.unwrap(),
        "nothing to do\n"
    );
}

#[tokio::test]
async fn two_at_once_apply_every_step_once() {
    let postgres = Postgres::start().await.unwrap();
    let url = postgres.url();
    let (one, two) = tokio::join!(migrate(&url, UP), migrate(&url, UP));
    let said = one.unwrap() + &two.unwrap();
    let applied = said
        .lines()
        .filter(|line| line.starts_with("applied "))
        .count();
    assert_eq!(applied, migrate::embedded().len(), "{said}");
    assert!(said.contains("nothing to do"), "{said}");
}

#[tokio::test]
async fn down_undoes_what_up_did() {
    let postgres = Postgres::start().await.unwrap();
    let (url, client) = (postgres.url(), postgres.connect().await.unwrap());
    migrate(&url, UP).await.unwrap();
    let (before, newest) = (schema(&client).await, migrate::embedded().len());

    let said = migrate(&url, Action::Down { to: None }).await.unwrap();
    assert!(
        said.starts_with(&format!("undone {newest:04} ")) && said.lines().count() == 1,
        "{said}"
    );
    migrate(&url, Action::Down { to: Some(2) }).await.unwrap();
    assert_eq!(
        tables(&client).await,
        ["campaign_steps", "campaigns", "users"]
    );
    migrate(&url, Action::Down { to: Some(0) }).await.unwrap();
    assert!(tables(&client).await.is_empty());
    assert_eq!(
        migrate(&url, Action::Down { to: None }).await.unwrap(),
        "nothing to do\n"
    );

    migrate(&url, Action::Up { to: Some(1) }).await.unwrap();
    assert_eq!(tables(&client).await, ["users"]);
    migrate(&url, UP).await.unwrap();
    assert_eq!(schema(&client).await, before);
}

#[tokio::test]
async fn status_tells_and_changes_nothing() {
    let postgres = Postgres::start().await.unwrap();
    let (url, client) = (postgres.url(), postgres.connect().await.unwrap());
    let said = migrate(&url, Action::Status).await.unwrap();
    assert!(said.starts_with("pending  0001 users\n"), "{said}");
    let bookkeeping = client
        .query_one("SELECT to_regclass('_sqlx_migrations') IS NULL", &[])
        .await;
    assert!(
        bookkeeping.unwrap().get::<_, bool>(0),
        "status creates no table"
    );

    migrate(&url, Action::Up { to: Some(2) }).await.unwrap();
    client
        .batch_execute(
            "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 2; \
             INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (99, 'later', true, '', 0)",
        )
        .await
        .unwrap();
    let said = migrate(&url, Action::Status).await.unwrap();
    let states: Vec<_> = said
        .lines()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(states[..3], ["applied", "changed", "pending"], "{said}");
    assert_eq!(
        said.lines().rev().nth(1).unwrap().split("  ").next(),
        Some("unknown"),
        "{said}"
    );
}

#[tokio::test]
async fn a_database_that_went_another_way_is_left_alone() {
    let postgres = Postgres::start().await.unwrap();
    let (url, client) = (postgres.url(), postgres.connect().await.unwrap());
    migrate(&url, Action::Up { to: Some(2) }).await.unwrap();
    client
        .batch_execute("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 2")
        .await
        .unwrap();
    for action in [UP, Action::Down { to: None }] {
        let error = migrate(&url, action).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "migration 0002 campaigns was changed after it was applied: restore it, or write a new one"
        );
    }
    assert_eq!(tables(&client).await.len(), 3);
}

#[tokio::test]
async fn a_step_that_fails_leaves_nothing_behind() {
    let postgres = Postgres::start().await.unwrap();
    let (url, client) = (postgres.url(), postgres.connect().await.unwrap());
    let steps = [
        Step::new(1, "good", "CREATE TABLE good ()", "DROP TABLE good"),
        Step::new(
            2,
            "bad",
            "CREATE TABLE bad (); CREATE TABLE good ()",
            "DROP TABLE bad",
        ),
    ];
    let error = migrate_with(&url, &steps, UP).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "migration 0002 bad failed and was rolled back: relation \"good\" already exists (SQLSTATE 42P07)"
    );
    assert_eq!(tables(&client).await, ["good"]);
    // The lock has gone with the failure.
    assert_eq!(
        migrate_with(&url, &steps[..1], UP).await.unwrap(),
        "nothing to do\n"
    );
}

/// Whoever waits for the lock must not stop CREATE INDEX CONCURRENTLY, which waits for every old snapshot.
#[tokio::test]
async fn two_at_once_can_create_an_index_concurrently() {
    let postgres = Postgres::start().await.unwrap();
    let (url, client) = (postgres.url(), postgres.connect().await.unwrap());
    let steps = [
        Step::new(
            1,
            "table",
            "CREATE TABLE t (n int); SELECT pg_sleep(0.5)",
            "DROP TABLE t",
        ),
        Step::new(
            2,
            "index",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY t_n ON t (n)",
            "-- no-transaction\nDROP INDEX CONCURRENTLY t_n",
        ),
    ];
    let (one, two) = tokio::join!(
        migrate_with(&url, &steps, UP),
        migrate_with(&url, &steps, UP)
    );
    let said = one.unwrap() + &two.unwrap();
    assert!(said.contains("waiting for another migration"), "{said}");
    let valid = client.query_one(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 't_n'::regclass",
        &[],
    );
    assert!(valid.await.unwrap().get::<_, bool>(0));
    migrate_with(&url, &steps, Action::Down { to: Some(0) })
        .await
        .unwrap();
    assert!(tables(&client).await.is_empty());
}

#[tokio::test]
async fn a_role_without_rights_is_told_what_it_needs() {
    let postgres = Postgres::start().await.unwrap();
    let client = postgres.connect().await.unwrap();
    client
        .batch_execute(
            "CREATE ROLE guest LOGIN PASSWORD 'guest'; REVOKE CREATE ON SCHEMA public FROM public",
        )
        .await
        .unwrap();
    let error = migrate(&postgres.url_for("guest", "guest", "app"), UP)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("permission denied for schema public"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_named() {
    let postgres = Postgres::start().await.unwrap();
    let url = postgres.url_for("keel", "keel", "nowhere");
    let error = migrate(&url, UP).await.unwrap_err().to_string();
    let port = postgres.port();
    assert!(
        error.starts_with("cannot connect to ")
            && error.contains(&format!(":{port}/nowhere as keel")),
        "{error}"
    );
    assert!(
        error.ends_with("database \"nowhere\" does not exist (SQLSTATE 3D000)"),
        "{error}"
    );
}
