//! Why a migration did not happen: each error is one line that says what to do about it.
//!
//! Owns the translation of sqlx's errors. No text here ever holds a password: only host, port, database and
//! user of the URL are shown.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration};
use sqlx::postgres::PgConnectOptions;

use super::steps;

/// What is left of a step that runs outside a transaction, and what to do about it.
const HALF_DONE: &str = " and is half done (`up` carries on, `down` undoes it)";

/// Why `pgkeel migrate` stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A migration that is in place is not the one this program holds.
    #[error("migration {0} was changed after it was applied: restore it, or write a new one")]
    Changed(String),
    /// The server could not be reached, or did not let us in.
    #[error("cannot connect to {target}: {reason}")]
    Connect {
        /// Host, port, database and user.
        target: String,
        /// What the network or the server said.
        reason: String,
    },
    /// The server refused a statement of our own.
    #[error("{0}")]
    Database(String),
    /// A step is unfinished that pgkeel can neither finish nor undo: another tool began it.
    #[error(
        "migration {0} is half done: repair it by hand, then delete its row from _sqlx_migrations"
    )]
    HalfDone(i64),
    /// Neither the flag nor the environment names a database.
    #[error("no database: give --upstream URL or set DATABASE_URL")]
    NoDatabase,
    /// `--to` names a version that does not exist.
    #[error("there is no migration {asked}: the newest is {newest}")]
    NoSuchVersion {
        /// The version asked for.
        asked: i64,
        /// The newest one there is.
        newest: i64,
    },
    /// The progress could not be written.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    /// The role may not do what a step needs (SQLSTATE 42501).
    #[error("{reason}: the role needs to own the tables and to have CREATE on the schema")]
    Permission {
        /// What the server said.
        reason: String,
    },
    /// A step failed.
    #[error("migration {label} failed{state}: {reason}")]
    Step {
        /// Number and name of the step.
        label: String,
        /// What is left of it.
        state: &'static str,
        /// What the server said.
        reason: String,
    },
    /// The database holds a migration that this program does not know.
    #[error("the database has migration {0}, which this pgkeel does not know: use a newer one")]
    UnknownVersion(i64),
    /// The URL cannot be read.
    #[error("bad database URL: {0}")]
    Url(String),
}

impl Error {
    pub(super) fn from_url(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Configuration(reason) => Self::Url(one_line(&reason.to_string())),
            other => Self::Url(one_line(&other.to_string())),
        }
    }

    pub(super) fn from_connect(options: &PgConnectOptions, error: &sqlx::Error) -> Self {
        let reason = match error {
            sqlx::Error::Io(error) => one_line(&error.to_string()),
            other => describe(other),
        };
        Self::Connect {
            target: target(options),
            reason,
        }
    }

    pub(super) fn timed_out(options: &PgConnectOptions, limit: Duration) -> Self {
        Self::Connect {
            target: target(options),
            reason: format!("no answer within {} s", limit.as_secs()),
        }
    }

    pub(super) fn from_step(migration: &Migration, error: MigrateError) -> Self {
        let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error
        else {
            return error.into();
        };
        if sqlstate(&error).as_deref() == Some("42501") {
            return error.into();
        }
        Self::Step {
            label: steps::label(migration),
            state: " and was rolled back",
            reason: describe(&error),
        }
    }

    /// A statement of a step that runs outside a transaction failed.
    pub(super) fn from_statement(migration: &Migration, error: sqlx::Error) -> Self {
        if sqlstate(&error).as_deref() == Some("42501") {
            return error.into();
        }
        Self::Step {
            label: steps::label(migration),
            state: HALF_DONE,
            reason: describe(&error),
        }
    }

    /// The grammar does not understand a step that would have to be cut into statements.
    pub(super) fn unreadable(migration: &Migration, reason: &str) -> Self {
        Self::Step {
            label: steps::label(migration),
            state: " before it began",
            reason: one_line(reason),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match sqlstate(&error).as_deref() {
            Some("42501") => Self::Permission {
                reason: describe(&error),
            },
            _ => Self::Database(describe(&error)),
        }
    }
}

fn target(options: &PgConnectOptions) -> String {
    let host = options
        .get_socket()
        .map_or_else(|| options.get_host().into(), |path| path.to_string_lossy());
    let user = options.get_username();
    format!(
        "{host}:{}/{} as {user}",
        options.get_port(),
        options.get_database().unwrap_or(user)
    )
}

fn describe(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(error) => match error.code() {
            Some(code) => format!("{} (SQLSTATE {code})", one_line(error.message())),
            None => one_line(error.message()),
        },
        None => one_line(&error.to_string()),
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()?
        .code()
        .map(|code| code.into_owned())
}

/// A message of several lines as one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
