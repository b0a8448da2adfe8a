//! The composition root: builds the parts, starts the listeners, and sees to an orderly end.

pub mod explain;
mod overseer;
mod report;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::config::Config;
use crate::edge;
use crate::edge::listener::Listener;
use crate::observe::Metrics;
use crate::services::Services;
use crate::transport::Acceptor;

/// How many shards the numbers are kept in; more than there are workers, so that two rarely meet.
const METRIC_SHARDS: usize = 32;

/// Runs the proxy until SIGTERM or SIGINT, then drains it.
///
/// # Errors
/// When a port cannot be listened on.
pub async fn run(config: Config) -> io::Result<()> {
    let mut clients = Listener::new(listen(config.listen, "clients").await?);
    if let Some(directory) = &config.listen_unix {
        clients = clients.with_unix(directory, config.listen_unix_mode)?;
    }
    let admin = match config.admin {
        Some(address) => Some(listen(address, "the admin port").await?),
        None => None,
    };
    let acceptor = Arc::new(Acceptor::new(&config.tls)?);
    let metrics = Metrics::new(METRIC_SHARDS);
    let services = Services::new(config, Arc::clone(&metrics))?;
    services.users.check()?;
    let stop = CancellationToken::new();
    let admin = admin.map(|listener| {
        let source = Arc::new(report::Report::new(Arc::clone(&services)));
        let stopped = stop.clone().cancelled_owned();
        let longest = services.config.cache.statement_max_bytes;
        tokio::spawn(admin::serve(listener, metrics, source, longest, stopped))
    });
    tokio::spawn(overseer::oversee(Arc::clone(&services)));
    if let Some(shared) = &services.shared {
        shared.start();
    }
    announce(&services.config);
    tokio::spawn(reload_on_hangup(Arc::clone(&acceptor)));
    let accepting = tokio::spawn(edge::accept(clients, acceptor, Arc::clone(&services)));

    wait_for_signal().await?;
    // From here on `/health` says so, before the port is closed.
    services.clients.begin_to_drain();
    accepting.abort();
    // The ports are closed and the socket removed before the clients are waited for.
    let _ = accepting.await;
    drain(&services).await;
    if let Some(shared) = &services.shared {
        shared.leave().await;
    }
    stop.cancel();
    if let Some(admin) = admin {
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), admin).await;
    }
    Ok(())
}

async fn listen(address: SocketAddr, whom: &str) -> io::Result<TcpListener> {
    let failed = |error| {
        let text = format!(
            "cannot listen on {address} for {whom}: {error}; choose another address or port"
        );
        io::Error::other(text)
    };
    TcpListener::bind(address).await.map_err(failed)
}

fn announce(config: &Config) {
    let upstream = config.upstream.masked();
    let admin = config
        .admin
        .map_or_else(|| "off".to_owned(), |address| address.to_string());
    tracing::info!(listen = %config.listen, admin, upstream, "pgkeel {} is ready", env!("CARGO_PKG_VERSION"));
    if config.cache.enabled {
        tracing::info!("freshness: {}", report::COVERAGE);
    }
}

/// SIGHUP, as for PostgreSQL: certificates that were replaced are read now, and not only with the next client.
async fn reload_on_hangup(acceptor: Arc<Acceptor>) {
    match signal(SignalKind::hangup()) {
        Ok(mut hangup) => {
            while hangup.recv().await.is_some() {
                acceptor.reload();
            }
        }
        Err(error) => tracing::warn!("SIGHUP cannot be listened for: {error}"),
    }
}

async fn wait_for_signal() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Lets running transactions finish, for as long as the configuration allows.
async fn drain(services: &Services) {
    let limit = services.config.drain_timeout;
    tracing::info!(
        clients = services.clients.connected(),
        "draining: running transactions may finish"
    );
    if tokio::time::timeout(limit, services.clients.all_gone())
        .await
        .is_err()
    {
        let left = services.clients.connected();
        tracing::warn!(
            clients = left,
            "drain_timeout is over; the clients that are left are cut off"
        );
    }
}
