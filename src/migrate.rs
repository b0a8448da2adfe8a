//! `pgkeel migrate`: brings the sample application's schema to a version, and back.
//!
//! Invariant: only the holder of the database's migration lock changes anything, and a step's SQL and
//! its row in `_sqlx_migrations` are committed together unless the file opens with
//! `-- no-transaction`: such a step can be resumed or undone when it was interrupted. Table, checksums and
//! lock are those of sqlx. Knows nothing of the proxy.

mod error;
mod history;
mod lock;
mod script;
mod status;
mod steps;
mod unbound;

use std::collections::BTreeMap;
use std::io::Write;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migration};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};

use history::Entry;
use unbound::Start;

pub use error::Error;
pub use steps::{Step, embedded};

/// How long the server may take to answer a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a migration's session sets first. "relation exists, skipping" is no news to anyone who runs migrations
/// twice, and a role's limits are made for queries: building an index may take longer.
const SESSION: &str =
    "SET client_min_messages = warning; SET statement_timeout = 0; SET lock_timeout = 0";

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
        Action::Status => status::show(&mut connection, steps, out).await,
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
    connection.execute(SESSION).await?;
    lock::take(connection, out).await?;
    connection.ensure_migrations_table().await?;
    let history = history::load(connection).await?;
    let work = plan(action, steps, &history)?;
    if work.is_empty() {
        writeln!(out, "nothing to do")?;
    }
    for one in work {
        let took = one.carry_out(connection).await?;
        let (verb, migration) = match one {
            Work::Apply(migration, Start::Fresh) => ("applied", migration),
            Work::Apply(migration, Start::HalfDone) => ("completed", migration),
            Work::Undo(migration, _) => ("undone", migration),
        };
        writeln!(
            out,
            "{verb} {} in {} ms",
            steps::label(migration),
            took.as_millis()
        )?;
        out.flush()?;
    }
    Ok(connection.unlock().await?)
}

/// One thing to carry out.
#[derive(Clone, Copy, Debug)]
enum Work<'steps> {
    Apply(&'steps Migration, Start),
    Undo(&'steps Migration, Start),
}

impl Work<'_> {
    async fn carry_out(self, connection: &mut PgConnection) -> Result<Duration, Error> {
        let (migration, done) = match self {
            Self::Apply(migration, start) if migration.no_tx => {
                return unbound::apply(connection, migration, start).await;
            }
            Self::Undo(migration, start) if migration.no_tx => {
                return unbound::revert(connection, migration, start).await;
            }
            Self::Apply(migration, _) => (migration, connection.apply(migration).await),
            Self::Undo(migration, _) => (migration, connection.revert(migration).await),
        };
        done.map_err(|error| Error::from_step(migration, error))
    }
}

/// What `action` means for a database with this history.
fn plan<'steps>(
    action: Action,
    steps: &'steps [Step],
    history: &[Entry],
) -> Result<Vec<Work<'steps>>, Error> {
    let by_version: BTreeMap<i64, &Step> =
        steps.iter().map(|step| (step.version(), step)).collect();
    for entry in history {
        let step = by_version
            .get(&entry.version)
            .ok_or(Error::UnknownVersion(entry.version))?;
        if *step.up().checksum != *entry.checksum {
            return Err(Error::Changed(step.label()));
        }
        if !entry.success && !step.can_resume(action) {
            return Err(Error::HalfDone(entry.version));
        }
    }
    let (Action::Up { to } | Action::Down { to }) = action else {
        return Ok(Vec::new());
    };
    if let Some(version) = to.filter(|version| *version != 0 && !by_version.contains_key(version)) {
        return Err(Error::NoSuchVersion {
            asked: version,
            newest: by_version.keys().last().copied().unwrap_or(0),
        });
    }
    let start = |step: &Step| match history.iter().find(|one| one.version == step.version()) {
        None => Some(Start::Fresh),
        Some(entry) if !entry.success => Some(Start::HalfDone),
        Some(_) => None,
    };
    let up = |step: &'steps Step| Some(Work::Apply(step.up(), start(step)?));
    let down = |step: &'steps Step| match start(step) {
        Some(Start::Fresh) => None,
        begun => Some(Work::Undo(step.down(), begun.unwrap_or(Start::Fresh))),
    };
    Ok(match action {
        Action::Status => Vec::new(),
        Action::Up { to } => steps
            .iter()
            .filter(|step| to.is_none_or(|last| step.version() <= last))
            .filter_map(up)
            .collect(),
        Action::Down { to } => steps
            .iter()
            .rev()
            .filter(|step| to.is_none_or(|last| step.version() > last))
            .filter_map(down)
            .take(if to.is_none() { 1 } else { usize::MAX })
            .collect(),
    })
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

    fn applied(steps: &[Step], versions: &[i64]) -> Vec<Entry> {
        steps
            .iter()
            .filter(|step| versions.contains(&step.version()))
            .map(|step| Entry {
                version: step.version(),
                description: String::new(),
                checksum: step.up().checksum.to_vec(),
                success: true,
                installed: String::new(),
            })
            .collect()
    }

    #[track_caller]
    fn check(action: Action, versions: &[i64], expected: &str) {
        let steps = steps();
        check_history(action, &steps, &applied(&steps, versions), expected);
    }

    #[track_caller]
    fn check_history(action: Action, steps: &[Step], history: &[Entry], expected: &str) {
        let start = |start: &Start| match start {
            Start::Fresh => "",
            Start::HalfDone => "?",
        };
        let work = plan(action, steps, history).map(|work| {
            let words: Vec<_> = work
                .iter()
                .map(|one| match one {
                    Work::Apply(step, from) => format!("+{}{}", step.version, start(from)),
                    Work::Undo(step, from) => format!("-{}{}", step.version, start(from)),
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
        changed[1].checksum = vec![0];
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

    #[test]
    fn a_step_that_was_interrupted_is_resumed_if_it_can_be() {
        let (up, down) = (Action::Up { to: None }, Action::Down { to: None });
        let half_done = |steps: &[Step]| {
            let mut history = applied(steps, &[1, 2]);
            history[1].success = false;
            history
        };
        let plain = "SELECT";
        let unbound = "-- no-transaction\nSELECT";
        let steps = |up, down| {
            let mut steps = steps();
            steps[1] = Step::new(2, "step 2", up, down);
            steps
        };
        let refused = Error::HalfDone(2).to_string();
        for (scripts, expected_up, expected_down) in [
            ((unbound, unbound), "+2? +3", "-2?"),
            ((unbound, plain), "+2? +3", "-2?"),
            ((plain, unbound), refused.as_str(), "-2?"),
            ((plain, plain), &refused, &refused),
        ] {
            let steps = steps(scripts.0, scripts.1);
            check_history(up, &steps, &half_done(&steps), expected_up);
            check_history(down, &steps, &half_done(&steps), expected_down);
        }
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
