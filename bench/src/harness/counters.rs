//! What a slice of time cost: PostgreSQL by its own count, and the CPU time of all who took part.

use anyhow::{Context as _, ensure};
use tokio_postgres::Client;

use super::target::{CacheCounts, Target};
use crate::sandbox::{Postgres, connect};

/// Reads the private server's `pg_stat_statements`, from a database where nobody works.
pub(super) struct Counters {
    client: Client,
}

/// Everything that counts up, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    pub(super) statements: Option<Statements>,
    /// CPU time in microseconds.
    pub(super) postgres_cpu: u64,
    pub(super) target_cpu: Option<u64>,
    pub(super) cache: Option<CacheCounts>,
}

/// What PostgreSQL executed in one database.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Statements {
    pub(super) calls: u64,
    /// Execution time in microseconds.
    pub(super) micros: u64,
}

impl Counters {
    pub(super) async fn open(postgres: &Postgres) -> anyhow::Result<Self> {
        let client = connect(&postgres.url_for("keel", "keel", "postgres")).await?;
        client
            .batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            .await
            .context("PostgreSQL's load is measured with pg_stat_statements, which is not installed (scripts/setup)")?;
        Ok(Self { client })
    }

    pub(super) async fn read(
        &self,
        postgres: &Postgres,
        target: &Target,
    ) -> anyhow::Result<Reading> {
        let statements = match &target.database {
            Some(database) => Some(self.statements(database).await?),
            None => None,
        };
        Ok(Reading {
            statements,
            postgres_cpu: postgres.cpu_micros()?,
            target_cpu: target.cpu_micros()?,
            cache: target.cache_counts().await?,
        })
    }

    async fn statements(&self, database: &str) -> anyhow::Result<Statements> {
        let sql = "SELECT coalesce(sum(calls), 0)::bigint, coalesce(sum(total_exec_time) * 1000, 0)::bigint \
                   FROM pg_stat_statements(false) s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = $1";
        let row = self.client.query_one(sql, &[&database]).await?;
        let count = |index: usize| -> anyhow::Result<u64> {
            let value: i64 = row.try_get(index)?;
            ensure!(value >= 0, "a count of pg_stat_statements is negative");
            Ok(value.unsigned_abs())
        };
        Ok(Statements {
            calls: count(0)?,
            micros: count(1)?,
        })
    }
}

impl Reading {
    /// What was counted between an earlier reading and this one.
    pub(super) fn since(&self, before: &Self) -> Self {
        let both = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        let cache = |now: CacheCounts, then: CacheCounts| CacheCounts {
            served: now.served.saturating_sub(then.served),
            misses: now.misses.saturating_sub(then.misses),
            bypasses: now.bypasses.saturating_sub(then.bypasses),
        };
        let statements = |now: Statements, then: Statements| Statements {
            calls: now.calls.saturating_sub(then.calls),
            micros: now.micros.saturating_sub(then.micros),
        };
        Self {
            statements: self
                .statements
                .zip(before.statements)
                .map(|(now, then)| statements(now, then)),
            postgres_cpu: self.postgres_cpu.saturating_sub(before.postgres_cpu),
            target_cpu: both(self.target_cpu, before.target_cpu),
            cache: self
                .cache
                .zip(before.cache)
                .map(|(now, then)| cache(now, then)),
        }
    }
}
