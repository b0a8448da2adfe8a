//! Connections that are not shared and not looked into: replication.
//!
//! The client gets a server connection of its own, and every byte goes through as it is, the server's cancel
//! key included.

use std::io;

use tokio::io::AsyncWriteExt;

use super::Newcomer;
use super::login::{self, Failure};
use crate::clients::Admission;
use crate::protocol::backend;
use crate::protocol::frontend;
use crate::protocol::startup::Startup;
use crate::services::Services;
use crate::upstream::login::Greeter;

/// Serves a connection from its start-up message to its end.
pub(super) async fn run(
    mut newcomer: Newcomer,
    startup: Startup,
    services: &Services,
    _admission: Admission,
) -> io::Result<()> {
    let mut greeter = match open(&mut newcomer, &startup, services).await {
        Ok(greeter) => greeter,
        Err(Failure::Client(error)) => return Err(error),
        Err(Failure::Server(error)) => return login::refuse(&mut newcomer, &error, services).await,
    };
    let mut welcome = Vec::new();
    frontend::write(&mut welcome, backend::AUTHENTICATION, &[&[0; 4]]);
    newcomer.socket.write_all(&welcome).await?;
    if !newcomer.inbox.is_empty() {
        let ahead = newcomer.inbox.split();
        greeter.send(&ahead).await.map_err(io::Error::other)?;
    }
    let (mut server, ahead) = greeter.into_parts();
    newcomer.socket.write_all(&ahead).await?;
    tokio::io::copy_bidirectional(&mut newcomer.socket, &mut server)
        .await
        .map(drop)
}

async fn open(
    newcomer: &mut Newcomer,
    startup: &Startup,
    services: &Services,
) -> Result<Greeter, Failure> {
    let limit = services.config.pool.connect_timeout;
    let mut greeter = Greeter::start(&services.config.upstream, startup, limit).await?;
    login::relay_challenges(newcomer, &mut greeter).await?;
    Ok(greeter)
}
