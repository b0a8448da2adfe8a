//! Why the sample data was not loaded: each error is one line that says what to do about it.
//!
//! No text here ever holds a password: only hosts, ports, database and user of the URL are shown.

use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;

/// Why `pgkeel seed` stopped. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server could not be reached, or did not let us in.
    #[error("cannot connect to {target}: {reason}")]
    Connect {
        /// Hosts, database and user.
        target: String,
        /// What the network or the server said.
        reason: String,
    },
    /// The server refused a statement.
    #[error("{0}")]
    Database(String),
    /// There is data already.
    #[error(
        "table {0} has rows already: use an empty database, or --replace to delete what is there"
    )]
    NotEmpty(&'static str),
    /// The tables are not there.
    #[error("{0}: run `pgkeel migrate up` first")]
    NotMigrated(String),
    /// The progress could not be written.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    /// The URL cannot be read.
    #[error("bad database URL: {0}")]
    Url(String),
}

impl Error {
    pub(super) fn from_url(error: &tokio_postgres::Error) -> Self {
        Self::Url(describe(error))
    }

    pub(super) fn from_connect(config: &Config, error: &tokio_postgres::Error) -> Self {
        Self::Connect {
            target: target(config),
            reason: describe(error),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN) => {
                Self::NotMigrated(describe(&error))
            }
            _ => Self::Database(describe(&error)),
        }
    }
}

fn target(config: &Config) -> String {
    let hosts = config.get_hosts().iter().enumerate().map(|(index, host)| {
        let name = match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let ports = config.get_ports();
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        format!("{name}:{port}")
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let user = config.get_user().unwrap_or("the operating system's user");
    format!("{hosts}/{} as {user}", config.get_dbname().unwrap_or(user))
}

/// The innermost cause in one line: the server's message, or what the network said.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        let message = error
            .message()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        return format!("{message} (SQLSTATE {})", error.code().code());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
