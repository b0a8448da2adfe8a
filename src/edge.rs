//! Where clients come in: the first packet, the login, and the session that follows.

pub mod listener;
mod login;
mod opening;
mod passthrough;
mod proof;

use std::sync::Arc;
use std::time::Duration;

use listener::Listener;
use opening::Newcomer;
use tokio::io::AsyncWriteExt;

use crate::clients::{Admission, Refusal};
use crate::config::AuthMode;
use crate::observe::Counter;
use crate::protocol::startup::{CancelKey, Packet, Startup};
use crate::services::Services;
use crate::session::Session;
use crate::transport::Acceptor;
use crate::transport::Plain;

/// How long a client may take to say who it is.
const STARTUP_LIMIT: Duration = Duration::from_secs(60);

/// How long a login may take, the client's part in it included: it holds a place in its pool meanwhile.
const LOGIN_LIMIT: Duration = Duration::from_secs(60);

/// How long a cancel request may take to reach the server.
const CANCEL_LIMIT: Duration = Duration::from_secs(10);

/// Accepts clients for as long as the listener lives.
pub async fn accept(listener: Listener, acceptor: Arc<Acceptor>, services: Arc<Services>) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let (acceptor, services) = (Arc::clone(&acceptor), Arc::clone(&services));
                tokio::spawn(async move {
                    if let Err(error) = serve(socket, &acceptor, services).await {
                        tracing::debug!(%peer, "connection ended before a session began: {error}");
                    }
                });
            }
            Err(error) => {
                // Usually out of file descriptors: others have to go before another can come.
                tracing::error!("cannot accept a client: {error}; check the limit on open files");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(socket: Plain, acceptor: &Acceptor, services: Arc<Services>) -> std::io::Result<()> {
    let opening = Newcomer::new(socket).first_packet(acceptor);
    match tokio::time::timeout(STARTUP_LIMIT, opening).await?? {
        Some((newcomer, Packet::Startup(startup))) => greet(newcomer, startup, services).await,
        Some((_, Packet::Cancel(key))) => {
            pass_on_cancel(&key, &services).await;
            Ok(())
        }
        Some((_, Packet::SslRequest | Packet::GssEncRequest)) | None => Ok(()),
    }
}

async fn greet(
    mut newcomer: Newcomer,
    startup: Startup,
    services: Arc<Services>,
) -> std::io::Result<()> {
    if startup.user().is_none() {
        return newcomer
            .refuse(
                "28000",
                "no PostgreSQL user name specified in startup packet",
            )
            .await;
    }
    if let Some(objection) = newcomer.objection(&services.config.tls, &startup) {
        services.metrics.add(Counter::ClientsRejected, 1);
        return newcomer.refuse("28000", &objection).await;
    }
    let admission = match services.clients.admit() {
        Ok(admission) => admission,
        Err(refusal) => {
            services.metrics.add(Counter::ClientsRejected, 1);
            return match refusal {
                Refusal::TooMany => {
                    newcomer
                        .refuse("53300", "sorry, too many clients already")
                        .await
                }
                Refusal::Draining => {
                    newcomer
                        .refuse("57P03", "the database system is shutting down")
                        .await
                }
            };
        }
    };
    services.metrics.add(Counter::ClientsAccepted, 1);
    let route = services.servers.route(&startup);
    let startup = route.rename(startup);
    if startup.replication() {
        return passthrough::run(newcomer, startup, route, &services, admission).await;
    }
    let startup = match services.config.retry.isolation {
        Some(level) => startup.with_default("default_transaction_isolation", level.as_str()),
        None => startup,
    };
    let login = async {
        if services.config.auth.mode == AuthMode::Scram {
            return proof::log_in(&mut newcomer, &startup, route, &services).await;
        }
        let member = login::PoolMember::new(services.pools.join(route, &startup));
        let welcome = login::relay(&mut newcomer, member.pool(), &startup, &services).await?;
        Ok(welcome.map(|welcome| (welcome, member)))
    };
    match tokio::time::timeout(LOGIN_LIMIT, login).await?? {
        Some((welcome, member)) => {
            let services = Arc::clone(&services);
            enter(newcomer, welcome, member, services, admission).await
        }
        None => Ok(()),
    }
}

/// Tells the client that it is in, and runs its session.
async fn enter(
    mut newcomer: Newcomer,
    welcome: login::Welcome,
    member: login::PoolMember,
    services: Arc<Services>,
    admission: Admission,
) -> std::io::Result<()> {
    let login::Welcome {
        baseline,
        connection,
        pid,
        secret_bytes,
        messages,
    } = welcome;
    services
        .database(&baseline.database, member.pool().route())
        .first_load()
        .await;
    let membership = admission.enter(pid, secret_bytes);
    if let Some(connection) = connection {
        connection.release();
    }
    newcomer
        .socket
        .write_all(&messages.finish(&membership.key))
        .await?;
    let arrival = crate::session::Arrival {
        socket: newcomer.socket,
        inbox: newcomer.inbox,
        pool: member.stay(),
        baseline,
        membership,
        admission,
    };
    Session::new(services, arrival).run().await;
    Ok(())
}

/// Sends a cancel request on to whatever runs the client's query now, on its own server. Nobody has a key that is
/// not known here, and PostgreSQL ignores such a request without a word, too.
async fn pass_on_cancel(key: &CancelKey, services: &Services) {
    services.metrics.add(Counter::CancelRequests, 1);
    let Some(cancelling) = services.clients.find(key).and_then(|slot| slot.begin()) else {
        return;
    };
    if let Err(error) = cancelling.send(CANCEL_LIMIT).await {
        tracing::warn!("a cancel request could not be sent to the server: {error}");
    }
}
