//! `pgkeel migrate`: brings the sample application's schema to a version, and back.
//!
//! Invariant: only the holder of the database's migration lock changes anything, and a step's SQL and
//! its row in `_sqlx_migrations` are committed together unless the file opens with
//! `-- no-transaction`. Table, checksums and lock are those of sqlx, so `sqlx migrate` may be used on
//! the same database. Knows nothing of the proxy.

mod error;
mod steps;

use std::collections::BTreeMap;
use std::io::Write;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};

pub use error::Error;
pub use steps::{Step, embedded};

/// How long the server may take to answer a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one attempt at the lock may wait inside the server, see [`lock`].
const LOCK_ATTEMPT: &str = "SET lock_timeout = '200ms'";

/// The pause between two attempts at the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// The arguments of `pgkeel migrate`.
#[derive(clap::Args, Clone, Debug)]
pub struct MigrateArgs {
    /// The database, as postgres://user:password@host:port/name
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        global = true,
        value_name = "URL"
    )]
    pub upstream: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

impl MigrateArgs {
    /// The URL of the database.
    ///
    /// # Errors
    /// [`Error::NoDatabase`] if neither the flag nor the environment names one.
    pub fn url(&self) -> Result<&str, Error> {
        self.upstream.as_deref().ok_or(Error::NoDatabase)
    }
}

/// What to do with the schema.
#[derive(clap::Subcommand, Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Apply every pending migration, oldest first
    Up {
        /// The last version to apply
        #[arg(long, value_name = "VERSION")]
        to: Option<i64>,
    },
    /// Say which migrations are applied, change nothing
    Status,
    /// Undo the newest applied migration
    Down {
        /// Undo every migration newer than this version (0 undoes all)
        #[arg(long, value_name = "VERSION")]
        to: Option<i64>,
    },
}

/// Carries out `action` with the migrations in this program on the database at `url`, and writes one line
/// a step to `out`.
///
/// # Errors
/// [`Error`], in one line that says what to do. Steps that were finished before it stay.
pub async fn run(url: &str, action: Action, out: &mut impl Write) -> Result<(), Error> {
    run_steps(url, &embedded(), action, out).await
}

/// [`run`] with another list of steps, in ascending order of their versions.
///
/// # Errors
/// As [`run`].
pub async fn run_steps(
    url: &str,
    steps: &[Step],
    action: Action,
    out: &mut impl Write,
) -> Result<(), Error> {
    let mut connection = connect(url).await?;
    let result = match action {
        Action::Status => status(&mut connection, steps, out).await,
        Action::Up { .. } | Action::Down { .. } => {
            change(&mut connection, steps, action, out).await
        }
    };
    // The lock goes with the connection. What the server says to our goodbye changes nothing.
    let _ = connection.close().await;
    result
}

async fn connect(url: &str) -> Result<PgConnection, Error> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Error::Url("it must start with postgres://".to_owned()));
    }
    let options = PgConnectOptions::from_str(url)
        .map_err(Error::from_url)?
        .application_name("pgkeel migrate");
    match tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(Error::from_connect(&options, &error)),
        Err(_) => Err(Error::timed_out(&options, CONNECT_TIMEOUT)),
    }
}

/// Applies or undoes what `action` asks for, under the lock.
async fn change(
    connection: &mut PgConnection,
    steps: &[Step],
    action: Action,
    out: &mut impl Write,
) -> Result<(), Error> {
    lock(connection, out).await?;
    connection.ensure_migrations_table().await?;
    if let Some(version) = connection.dirty_version().await? {
        return Err(Error::HalfDone(version));
    }
    let applied = connection.list_applied_migrations().await?;
    let work = plan(action, steps, &applied)?;
    if work.is_empty() {
        writeln!(out, "nothing to do")?;
    }
    for one in work {
        let (verb, migration) = match one {
            Work::Apply(migration) => ("applied", migration),
            Work::Undo(migration) => ("undone", migration),
        };
        let done = match one {
            Work::Apply(_) => connection.apply(migration).await,
            Work::Undo(_) => connection.revert(migration).await,
        };
        let took = done.map_err(|error| Error::from_step(migration, error))?;
        writeln!(
            out,
            "{verb} {} in {} ms",
            steps::label(migration),
            took.as_millis()
        )?;
    }
    Ok(connection.unlock().await?)
}

/// Takes sqlx's advisory lock.
///
/// Not by one long wait: a session that waits inside the server holds a snapshot, and CREATE INDEX
/// CONCURRENTLY in the migration it waits for would wait for that snapshot in turn, until PostgreSQL ends
/// one of the two as a deadlock. So the wait is made of short attempts.
/// <https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY>
async fn lock(connection: &mut PgConnection, out: &mut impl Write) -> Result<(), Error> {
    // "relation exists, skipping" is no news to anyone who runs migrations twice.
    connection
        .execute("SET client_min_messages = warning")
        .await?;
    connection.execute(LOCK_ATTEMPT).await?;
    let mut waiting = false;
    while let Err(error) = connection.lock().await {
        if !error::is_lock_timeout(&error) {
            return Err(error.into());
        }
        if !waiting {
            writeln!(out, "waiting for another migration of this database to end")?;
            out.flush()?;
            waiting = true;
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    connection.execute("RESET lock_timeout").await?;
    Ok(())
}

/// One thing to carry out.
#[derive(Clone, Copy, Debug)]
enum Work<'steps> {
    Apply(&'steps Migration),
    Undo(&'steps Migration),
}

/// What `action` means for a database where `applied` is in place.
fn plan<'steps>(
    action: Action,
    steps: &'steps [Step],
    applied: &[AppliedMigration],
) -> Result<Vec<Work<'steps>>, Error> {
    let by_version: BTreeMap<i64, &Step> =
        steps.iter().map(|step| (step.version(), step)).collect();
    for one in applied {
        let step = by_version
            .get(&one.version)
            .ok_or(Error::UnknownVersion(one.version))?;
        if step.up().checksum != one.checksum {
            return Err(Error::Changed(step.label()));
        }
    }
    let is_applied = |version: i64| applied.iter().any(|one| one.version == version);
    let (Action::Up { to } | Action::Down { to }) = action else {
        return Ok(Vec::new());
    };
    if let Some(version) = to.filter(|version| *version != 0 && !by_version.contains_key(version)) {
        return Err(Error::NoSuchVersion {
            asked: version,
            newest: by_version.keys().last().copied().unwrap_or(0),
        });
    }
    Ok(match action {
        Action::Status => Vec::new(),
        Action::Up { to } => steps
            .iter()
            .filter(|step| {
                !is_applied(step.version()) && to.is_none_or(|last| step.version() <= last)
            })
            .map(|step| Work::Apply(step.up()))
            .collect(),
        Action::Down { to } => steps
            .iter()
            .rev()
            .filter(|step| {
                is_applied(step.version()) && to.is_none_or(|last| step.version() > last)
            })
            .take(if to.is_none() { 1 } else { usize::MAX })
            .map(|step| Work::Undo(step.down()))
            .collect(),
    })
}

/// Lists the steps of this program and of the database. Takes no lock and creates no table.
async fn status(
    connection: &mut PgConnection,
    steps: &[Step],
    out: &mut impl Write,
) -> Result<(), Error> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    let rows: Vec<(i64, String, Vec<u8>, String)> = if exists {
        sqlx::query_as(
            "SELECT version, description, checksum, \
                    to_char(installed_on AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS \"UTC\"') \
             FROM _sqlx_migrations ORDER BY version",
        )
        .fetch_all(&mut *connection)
        .await?
    } else {
        Vec::new()
    };
    let mut pending = 0_usize;
    for step in steps {
        match rows.iter().find(|row| row.0 == step.version()) {
            None => {
                pending += 1;
                writeln!(out, "pending  {}", step.label())?;
            }
            Some(row) if row.2 != *step.up().checksum => {
                writeln!(
                    out,
                    "changed  {}  (applied {}, not what this program holds)",
                    step.label(),
                    row.3
                )?;
            }
            Some(row) => writeln!(out, "applied  {}  {}", step.label(), row.3)?,
        }
    }
    for row in rows
        .iter()
        .filter(|row| !steps.iter().any(|step| step.version() == row.0))
    {
        writeln!(out, "unknown  {:04} {}  {}", row.0, row.1, row.3)?;
    }
    writeln!(out, "{} applied, {pending} pending", rows.len())?;
    Ok(())
}

impl From<MigrateError> for Error {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => error.into(),
            other => Self::Database(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> Vec<Step> {
        (1..=3)
            .map(|version| {
                Step::new(
                    version,
                    format!("step {version}"),
                    format!("up {version}"),
                    "down",
                )
            })
            .collect()
    }

    fn applied(steps: &[Step], versions: &[i64]) -> Vec<AppliedMigration> {
        steps
            .iter()
            .filter(|step| versions.contains(&step.version()))
            .map(|step| AppliedMigration {
                version: step.version(),
                checksum: step.up().checksum.clone(),
            })
            .collect()
    }

    #[track_caller]
    fn check(action: Action, versions: &[i64], expected: &str) {
        let steps = steps();
        let work = plan(action, &steps, &applied(&steps, versions)).map(|work| {
            let words: Vec<_> = work
                .iter()
                .map(|one| match one {
                    Work::Apply(migration) => format!("+{}", migration.version),
                    Work::Undo(migration) => format!("-{}", migration.version),
                })
                .collect();
            words.join(" ")
        });
        assert_eq!(work.unwrap_or_else(|error| error.to_string()), expected);
    }

    #[test]
    fn plans_follow_the_action_and_what_is_applied() {
        let (up, down) = (|to| Action::Up { to }, |to| Action::Down { to });
        check(up(None), &[], "+1 +2 +3");
        check(up(None), &[1, 3], "+2");
        check(up(None), &[1, 2, 3], "");
        check(up(Some(2)), &[], "+1 +2");
        check(up(Some(0)), &[], "");
        check(down(None), &[1, 2], "-2");
        check(down(None), &[], "");
        check(down(Some(1)), &[1, 2, 3], "-3 -2");
        check(down(Some(0)), &[1, 2, 3], "-3 -2 -1");
        check(Action::Status, &[1], "");
        check(up(Some(9)), &[], "there is no migration 9: the newest is 3");
    }

    #[test]
    fn a_database_that_went_another_way_is_left_alone() {
        let steps = steps();
        let mut changed = applied(&steps, &[1, 2]);
        changed[1].checksum = vec![0].into();
        assert!(matches!(
            plan(Action::Up { to: None }, &steps, &changed),
            Err(Error::Changed(_))
        ));
        assert!(matches!(
            plan(Action::Down { to: None }, &steps, &changed),
            Err(Error::Changed(_))
        ));
        let unknown = applied(&steps, &[1, 2, 3]);
        assert!(matches!(
            plan(Action::Up { to: None }, &steps[..2], &unknown),
            Err(Error::UnknownVersion(3))
        ));
    }

    #[tokio::test]
    async fn errors_are_one_line_and_keep_the_password() {
        let mut out = Vec::new();
        for (url, expected) in [
            (
                "mysql://u:secret@h/d",
                "bad database URL: it must start with postgres://",
            ),
            (
                "postgres://u:secret@h:99999/d",
                "bad database URL: invalid port number",
            ),
            (
                "postgres://u:secret@127.0.0.1:1/d",
                "cannot connect to 127.0.0.1:1/d as u: Connection refused (os error 111)",
            ),
        ] {
            let error = run(url, Action::Status, &mut out).await.expect_err(url);
            assert_eq!(error.to_string(), expected);
        }
        assert!(out.is_empty());
    }
}
