//! Steps that run outside a transaction: one statement after the other, and again after an interruption.
//!
//! Invariant: from before the first statement until after the last one, the step's row says that it is half
//! done (`success` is false), and whoever comes next may carry it out again, or undo it. What an interrupted
//! CREATE INDEX CONCURRENTLY leaves behind is an index that is not valid: it is dropped and built anew. Every
//! other statement must bear to be run twice.

use std::time::{Duration, Instant};

use sqlx::Executor;
use sqlx::migrate::Migration;
use sqlx::postgres::PgConnection;

use super::Error;
use super::script::{self, Index, Statement};

/// What is known of the step before it is carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Start {
    /// Nothing of it is in place.
    Fresh,
    /// Some of it may be.
    HalfDone,
}

/// Applies a step, or what is left of it.
///
/// # Errors
/// [`Error::Step`] and others; the step is then half done.
pub(super) async fn apply(
    connection: &mut PgConnection,
    migration: &Migration,
    start: Start,
) -> Result<Duration, Error> {
    let started = Instant::now();
    let statements = read(migration)?;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES ($1, $2, false, $3, -1) ON CONFLICT (version) DO NOTHING",
    )
    .bind(migration.version)
    .bind(&*migration.description)
    .bind(&*migration.checksum)
    .execute(&mut *connection)
    .await?;
    run(connection, &statements, start)
        .await
        .map_err(|error| Error::from_statement(migration, error))?;
    let took = started.elapsed();
    sqlx::query(
        "UPDATE _sqlx_migrations SET success = true, installed_on = now(), execution_time = $2 \
         WHERE version = $1",
    )
    .bind(migration.version)
    .bind(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok(took)
}

/// Undoes a step, or what there is of it.
///
/// # Errors
/// As [`apply`].
pub(super) async fn revert(
    connection: &mut PgConnection,
    migration: &Migration,
    start: Start,
) -> Result<Duration, Error> {
    let started = Instant::now();
    let statements = read(migration)?;
    sqlx::query("UPDATE _sqlx_migrations SET success = false WHERE version = $1")
        .bind(migration.version)
        .execute(&mut *connection)
        .await?;
    run(connection, &statements, start)
        .await
        .map_err(|error| Error::from_statement(migration, error))?;
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = $1")
        .bind(migration.version)
        .execute(connection)
        .await?;
    Ok(started.elapsed())
}

fn read(migration: &Migration) -> Result<Vec<Statement<'_>>, Error> {
    script::statements(&migration.sql).map_err(|reason| Error::unreadable(migration, &reason))
}

async fn run(
    connection: &mut PgConnection,
    statements: &[Statement<'_>],
    start: Start,
) -> Result<(), sqlx::Error> {
    for statement in statements {
        if let Some(index) = &statement.builds
            && is_built(connection, index, start).await?
        {
            continue;
        }
        connection.execute(statement.text).await?;
    }
    Ok(())
}

/// Whether an earlier attempt has built the index. What one has left invalid is dropped.
async fn is_built(
    connection: &mut PgConnection,
    index: &Index,
    start: Start,
) -> Result<bool, sqlx::Error> {
    let found: Option<(String, bool)> = sqlx::query_as(
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index \
         JOIN pg_class ON pg_class.oid = indexrelid \
         WHERE indrelid = to_regclass($1) AND relname = $2",
    )
    .bind(&index.table)
    .bind(&index.name)
    .fetch_optional(&mut *connection)
    .await?;
    match found {
        Some((name, false)) => {
            let drop = format!("DROP INDEX CONCURRENTLY {name}");
            connection.execute(drop.as_str()).await?;
            Ok(false)
        }
        // Unless we were here before, it is somebody else's, and the server will say so.
        Some((_, true)) => Ok(start == Start::HalfDone),
        None => Ok(false),
    }
}
