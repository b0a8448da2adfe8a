//! Connections of the proxy's own, through tokio-postgres: it reads catalogs, verifiers and the state of servers.

use std::io;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config};

use crate::config::{Host, Upstream};
use crate::transport;

/// How long opening one may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Why there is no such connection, or no answer on it.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The files that the upstream's URL names cannot be used.
    #[error("{0}")]
    Tls(#[from] io::Error),
    /// What the server or the way to it says.
    #[error("{}", whole(.0))]
    Postgres(#[from] tokio_postgres::Error),
}

/// The whole of an error, with what the server said.
fn whole(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Logs in to a database of a server, with the role of its URL. The task ends with the client.
///
/// # Errors
/// [`ControlError`].
pub async fn connect(
    upstream: &Upstream,
    database: &str,
) -> Result<(Client, JoinHandle<Result<(), tokio_postgres::Error>>), ControlError> {
    let mut config = Config::new();
    match &upstream.host {
        Host::Tcp(host) => config.host(host),
        Host::UnixSocket(path) => config.host_path(path),
    };
    config
        .port(upstream.port)
        .user(&upstream.user)
        .dbname(database)
        .application_name("pgkeel")
        .connect_timeout(CONNECT_LIMIT);
    if let Some(password) = &upstream.password {
        config.password(password.expose());
    }
    let connector = transport::control(upstream, &mut config)?;
    let (client, connection) = config.connect(connector).await?;
    Ok((client, tokio::spawn(connection)))
}
