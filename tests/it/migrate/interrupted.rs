//! Steps outside a transaction that fail, are killed or meet another migration: the next run repairs them.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use pgkeel::migrate::{Action, Step};
use pgkeel_bench::sandbox::Postgres;
use sqlx::Connection as _;
use sqlx::migrate::Migrate as _;
use tokio_postgres::Client;

use super::{UP, migrate, migrate_with};
use crate::scene::SOON;
use crate::support::{BINARY, eventually};

const DOWN: Action = Action::Down { to: None };

/// The second index cannot be built while a value is there twice, and PostgreSQL leaves it behind, not valid.
fn indexes_of_t() -> [Step; 2] {
    [
        Step::new(1, "table", "CREATE TABLE t (n int, m int)", "DROP TABLE t"),
        Step::new(
            2,
            "indexes",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY t_m ON t (m);\n\
             CREATE UNIQUE INDEX CONCURRENTLY t_n ON t (n); -- fails\n\
             CREATE INDEX CONCURRENTLY t_n_m ON t (n, m);",
            "-- no-transaction\nDROP INDEX CONCURRENTLY IF EXISTS t_n_m;\n\
             DROP INDEX CONCURRENTLY IF EXISTS t_n;\nDROP INDEX CONCURRENTLY IF EXISTS t_m;",
        ),
    ]
}

/// Applies what can be applied of [`indexes_of_t`].
async fn half_done(url: &str, client: &Client) -> [Step; 2] {
    let steps = indexes_of_t();
    migrate_with(url, &steps, Action::Up { to: Some(1) })
        .await
        .unwrap();
    let sql = "INSERT INTO t VALUES (1, 1), (1, 2)";
    client.batch_execute(sql).await.unwrap();
    let error = migrate_with(url, &steps, UP).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "migration 0002 indexes failed and is half done (`up` carries on, `down` undoes it): \
         could not create unique index \"t_n\" (SQLSTATE 23505)"
    );
    assert_eq!(
        indexes(client, "t").await,
        [("t_m", true), ("t_n", false)].map(named)
    );
    steps
}

fn named((name, valid): (&str, bool)) -> (String, bool) {
    (name.to_owned(), valid)
}

/// Name and validity of the indexes of `table`, or of every table of the application if that is `%`.
async fn indexes(client: &Client, table: &str) -> Vec<(String, bool)> {
    let sql = "SELECT relname::text, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid \
               WHERE relnamespace = 'public'::regnamespace AND indrelid::regclass::text LIKE $1 ORDER BY 1";
    let rows = client.query(sql, &[&table]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn up_repairs_what_a_failure_left_invalid() {
    let postgres = Postgres::start().await.unwrap();
    let (url, client) = (postgres.url(), postgres.connect().await.unwrap());
    let steps = half_done(&url, &client).await;
    let said = migrate_with(&url, &steps, Action::Status).await.unwrap();
    let states: Vec<_> = said.lines().filter_map(|line| line.get(..8)).collect();
    assert_eq!(states[..2], ["applied ", "dirty   "], "{said}");
    assert!(said.ends_with("1 applied, 0 pending, 1 dirty\n"), "{said}");

    // The cause is still there: the same failure, and nothing worse.
    migrate_with(&url, &steps, UP).await.unwrap_err();
    let kept: u32 = oid(&client, "t_m").await;
    let sql = "DELETE FROM t WHERE m = 2";
    client.batch_execute(sql).await.unwrap();
    let said = migrate_with(&url, &steps, UP).await.unwrap();
    assert!(said.starts_with("completed 0002 indexes in "), "{said}");
    let all = [("t_m", true), ("t_n", true), ("t_n_m", true)].map(named);
    assert_eq!(indexes(&client, "t").await, all);
    assert_eq!(oid(&client, "t_m").await, kept, "what was built is kept");
    assert_eq!(
        migrate_with(&url, &steps, UP).await.unwrap(),
        "nothing to do\n"
    );
    let said = migrate_with(&url, &steps, Action::Status).await.unwrap();
    assert!(said.ends_with("2 applied, 0 pending\n"), "{said}");
}

async fn oid(client: &Client, index: &str) -> u32 {
    let sql = "SELECT to_regclass($1)::oid";
    client.query_one(sql, &[&index]).await.unwrap().get(0)
}

#[tokio::test]
async fn down_undoes_what_a_failure_left() {
    let postgres = Postgres::start().await.unwrap();
    let (url, client) = (postgres.url(), postgres.connect().await.unwrap());
    let steps = half_done(&url, &client).await;
    let said = migrate_with(&url, &steps, DOWN).await.unwrap();
    assert!(said.starts_with("undone 0002 indexes in "), "{said}");
    assert_eq!(indexes(&client, "t").await, []);
    let said = migrate_with(&url, &steps, Action::Status).await.unwrap();
    assert!(said.ends_with("1 applied, 1 pending\n"), "{said}");
}

/// An index of that name which this migration did not build may be anything.
#[tokio::test]
async fn an_index_of_somebody_else_is_not_taken_for_ours() {
    let postgres = Postgres::start().await.unwrap();
    let (url, client) = (postgres.url(), postgres.connect().await.unwrap());
    let steps = indexes_of_t();
    migrate_with(&url, &steps, Action::Up { to: Some(1) })
        .await
        .unwrap();
    let sql = "CREATE INDEX t_m ON t (n)";
    client.batch_execute(sql).await.unwrap();
    let error = migrate_with(&url, &steps, UP)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("relation \"t_m\" already exists (SQLSTATE 42P07)"),
        "{error}"
    );
}

#[tokio::test]
async fn a_half_done_step_of_another_tool_is_left_alone() {
    let postgres = Postgres::start().await.unwrap();
    let (url, client) = (postgres.url(), postgres.connect().await.unwrap());
    migrate(&url, Action::Up { to: Some(2) }).await.unwrap();
    let sql = "UPDATE _sqlx_migrations SET success = false WHERE version = 2";
    client.batch_execute(sql).await.unwrap();
    for action in [UP, DOWN] {
        let error = migrate(&url, action).await.unwrap_err().to_string();
        assert!(
            error.starts_with("migration 2 is half done: repair it by hand"),
            "{error}"
        );
    }
    let said = migrate(&url, Action::Status).await.unwrap();
    assert!(said.contains("dirty    0002 campaigns"), "{said}");
}

/// A transaction with an old snapshot holds up the first index, so that the program can be killed while it builds.
#[tokio::test]
async fn after_a_kill_the_next_up_completes() {
    let postgres = Postgres::start().await.unwrap();
    let (url, client) = (postgres.url(), postgres.connect().await.unwrap());
    migrate(&url, Action::Up { to: Some(7) }).await.unwrap();
    let before = indexes(&client, "%").await.len();
    let snapshot = postgres.connect().await.unwrap();
    let sql = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM users";
    snapshot.batch_execute(sql).await.unwrap();

    let mut program = Command::new(BINARY)
        .args(["migrate", "up", "--upstream", &url])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let is_invalid = |(_, valid): &(String, bool)| !valid;
    eventually(SOON, async || {
        indexes(&client, "%").await.iter().any(is_invalid)
    })
    .await;
    program.kill().unwrap();
    program.wait().unwrap();
    // Left alone, the server would finish the index. It does not get that far either.
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE application_name = 'pgkeel migrate'";
    client.batch_execute(sql).await.unwrap();
    snapshot.batch_execute("COMMIT").await.unwrap();

    let said = migrate(&url, UP).await.unwrap();
    assert!(said.contains("completed 0008 indexes in "), "{said}");
    let after = indexes(&client, "%").await;
    assert!(!after.iter().any(is_invalid), "{after:?}");
    // The bookkeeping has its primary key from the start.
    assert_eq!(after.len(), before + 58);
}

/// What a run says, to be read while it runs.
#[derive(Clone, Debug, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_lock_is_that_of_sqlx() {
    let postgres = Postgres::start().await.unwrap();
    let url = postgres.url();
    let mut other = sqlx::postgres::PgConnection::connect(&url).await.unwrap();
    other.lock().await.unwrap();
    let said = Said::default();
    let run = tokio::spawn({
        let (url, mut said) = (url.clone(), said.clone());
        async move { migrate::run(&url, Action::Up { to: Some(1) }, &mut said).await }
    });
    eventually(SOON, async || {
        String::from_utf8_lossy(&said.0.lock().unwrap())
            .starts_with("waiting for another migration")
    })
    .await;
    other.unlock().await.unwrap();
    run.await.unwrap().unwrap();
}
