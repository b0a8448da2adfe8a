//! `pgkeel seed`: fills the sample application's tables with realistic data.
//!
//! Invariants: the same seed and scale give the same bytes; all of it is loaded or nothing; existing rows
//! are only ever deleted on request. Knows nothing of the proxy.

mod agents;
mod copy;
mod dialogue;
mod draw;
mod error;
mod outreach;
mod people;
mod phrases;
mod words;
mod world;

use std::io::Write;
use std::pin::pin;
use std::str::FromStr;
use std::time::{Duration, Instant};

use futures_util::SinkExt;
use tokio_postgres::{Client, Config, NoTls, Transaction};

pub use error::Error;
pub use world::{SCALE_MAX, SCALE_MIN, Table, World};

/// How long the server may take to answer a new connection, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How much is sent to the server at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// The arguments of `pgkeel seed`.
#[derive(clap::Args, Clone, Debug)]
pub struct SeedArgs {
    /// The database, as postgres://user:password@host:port/name
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub upstream: String,
    /// How much data: 1 is 10,000 leads and about 160,000 rows in all
    #[arg(long, default_value = "1.0", value_parser = parse_scale)]
    pub scale: f64,
    /// Same seed and scale, same data
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Delete what is in the tables first
    #[arg(long)]
    pub replace: bool,
}

impl SeedArgs {
    /// What [`run`] takes.
    #[must_use]
    pub fn options(&self) -> Options {
        let existing = if self.replace {
            Existing::Replace
        } else {
            Existing::Refuse
        };
        Options {
            seed: self.seed,
            scale: self.scale,
            existing,
        }
    }
}

/// What to generate and what to do with rows that are there already.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Chooses the data.
    pub seed: u64,
    /// How much of it, see [`World::new`].
    pub scale: f64,
    /// What happens to rows that are there already.
    pub existing: Existing,
}

/// What to do with rows that are there already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Existing {
    /// Change nothing.
    Refuse,
    /// Delete them, in the same transaction.
    Replace,
}

/// Loads the data set of `options` into the database at `url`, and writes one line a table to `out`.
///
/// # Errors
/// [`Error`], in one line that says what to do; the database is then as it was.
pub async fn run(url: &str, options: &Options, out: &mut impl Write) -> Result<(), Error> {
    let started = Instant::now();
    let mut client = connect(url).await?;
    let world = World::new(options.seed, options.scale);
    let transaction = client.transaction().await?;
    make_room(&transaction, options.existing).await?;
    let mut total = 0;
    for &table in Table::ALL {
        let rows = load(&transaction, &world, table).await?;
        total += rows;
        writeln!(out, "{:<20} {rows:>10} rows", table.name())?;
        out.flush()?;
    }
    transaction.commit().await?;
    // Now, and not whenever autovacuum gets to it: plans and timings should not change under the reader.
    client
        .batch_execute(&format!("VACUUM (ANALYZE) {}", table_list()))
        .await?;
    writeln!(
        out,
        "{:<20} {total:>10} rows in {:.1} s",
        "total",
        started.elapsed().as_secs_f64()
    )?;
    Ok(())
}

async fn connect(url: &str) -> Result<Client, Error> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Error::Url("it must start with postgres://".to_owned()));
    }
    let mut config = Config::from_str(url).map_err(|error| Error::from_url(&error))?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_application_name().is_none() {
        config.application_name("pgkeel seed");
    }
    let (client, connection) = config
        .connect(NoTls)
        .await
        .map_err(|error| Error::from_connect(&config, &error))?;
    // It ends with the client; what ends it early is the error of the statement that waits for it.
    tokio::spawn(connection);
    Ok(client)
}

/// Sees to it that the tables are empty and that nobody else fills them.
async fn make_room(transaction: &Transaction<'_>, existing: Existing) -> Result<(), Error> {
    match existing {
        Existing::Replace => {
            // RESTART IDENTITY also makes the new sequence values roll back if the load fails.
            let truncate = format!("TRUNCATE {} RESTART IDENTITY", table_list());
            transaction.batch_execute(&truncate).await?;
        }
        Existing::Refuse => {
            let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", table_list());
            transaction.batch_execute(&lock).await?;
            for &table in Table::ALL {
                let query = format!("SELECT 1 FROM {} LIMIT 1", table.name());
                if transaction.query_opt(&query, &[]).await?.is_some() {
                    return Err(Error::NotEmpty(table.name()));
                }
            }
        }
    }
    Ok(())
}

/// Copies one table and returns how many rows it has.
async fn load(transaction: &Transaction<'_>, world: &World, table: Table) -> Result<u64, Error> {
    let copy = format!(
        "COPY {} ({}) FROM STDIN",
        table.name(),
        table.columns().join(", ")
    );
    let mut sink = pin!(transaction.copy_in(&copy).await?);
    for chunk in world.chunks(table, CHUNK_BYTES) {
        sink.feed(bytes::Bytes::from(chunk)).await?;
    }
    let rows = sink.finish().await?;
    if let Some(column) = table.identity() {
        let name = table.name();
        let sequence =
            format!("SELECT setval(pg_get_serial_sequence('{name}', '{column}'), {rows})");
        transaction.batch_execute(&sequence).await?;
    }
    Ok(rows)
}

fn table_list() -> String {
    Table::ALL
        .iter()
        .map(|table| table.name())
        .collect::<Vec<_>>()
        .join(", ")
}

fn parse_scale(text: &str) -> Result<f64, String> {
    let scale = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (SCALE_MIN..=SCALE_MAX).contains(&scale) {
        Ok(scale)
    } else {
        Err(format!("it must be from {SCALE_MIN} to {SCALE_MAX}"))
    }
}

#[cfg(test)]
mod tests;
