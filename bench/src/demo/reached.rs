//! How many statements reached PostgreSQL, by PostgreSQL's own count.

use std::time::Duration;

use anyhow::Context as _;
use tokio_postgres::Client;

use crate::sandbox::{Postgres, connect};

/// PostgreSQL's processes report to `pg_stat_database` at least once a second when they are busy,
/// and when they end (PostgreSQL, 28.2 "The Cumulative Statistics System").
const SETTLE: Duration = Duration::from_millis(1500);

/// A look at the server's own counters, from a database where nobody else works.
#[derive(Debug)]
pub(super) struct Reached {
    client: Client,
    source: Source,
}

/// Where the count comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    /// `pg_stat_statements`: exact, by statement.
    Statements,
    /// `pg_stat_database`: transactions, when that extension is not installed.
    Transactions,
}

impl Reached {
    pub(super) async fn open(postgres: &Postgres) -> anyhow::Result<Self> {
        let client = connect(&postgres.url_for("keel", "keel", "postgres")).await?;
        let installed = client
            .batch_execute("CREATE EXTENSION pg_stat_statements")
            .await;
        let source = installed.map_or(Source::Transactions, |()| Source::Statements);
        Ok(Self { client, source })
    }

    /// What is counted, in words.
    pub(super) fn unit(&self) -> &'static str {
        match self.source {
            Source::Statements => "statements",
            Source::Transactions => "transactions",
        }
    }

    /// The count of the application's database so far.
    pub(super) async fn count(&self) -> anyhow::Result<u64> {
        let sql = match self.source {
            Source::Statements => {
                "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements(false) s \
                 JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = 'app'"
            }
            Source::Transactions => {
                tokio::time::sleep(SETTLE).await;
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'app'"
            }
        };
        let row = self.client.query_one(sql, &[]).await?;
        u64::try_from(row.try_get::<_, i64>(0)?).context("a count is never negative")
    }
}
