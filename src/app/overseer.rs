//! What has to be looked after while nobody asks: pools, the server's health, windows without an outcome.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::freshness::window::{Backend, Orphans};
use crate::services::Services;
use crate::upstream::control::{self, ControlError};
use crate::upstream::pool::MAINTENANCE_INTERVAL;
use crate::upstream::server::Server;
use crate::upstream::socket::Socket;
use tokio::task::JoinSet;

/// How long the server may take to answer a question of the proxy's own.
const CONTROL_LIMIT: Duration = Duration::from_secs(10);

/// Runs for as long as the proxy does.
pub(super) async fn oversee(services: Arc<Services>) {
    tokio::spawn(tend_orphans(Arc::clone(&services)));
    for server in services.servers.all() {
        tokio::spawn(probe(Arc::clone(server)));
    }
    let mut ticks = tokio::time::interval(MAINTENANCE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        services.pools.maintain();
        let all = services.servers.all();
        let lost = all.iter().filter(|server| !server.is_reachable());
        let probes: JoinSet<()> = lost.map(|server| probe(Arc::clone(server))).collect();
        probes.join_all().await;
    }
}

/// Runs for as long as the proxy does, beside the pools: a server may be long in answering.
async fn tend_orphans(services: Arc<Services>) {
    let mut ticks = tokio::time::interval(MAINTENANCE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        close_orphans(&services).await;
    }
}

/// Is anybody there?
async fn probe(server: Arc<Server>) {
    let limit = MAINTENANCE_INTERVAL;
    server.note_reachable(Socket::connect(&server.upstream, limit).await.is_ok());
}

/// Closes the windows of server connections that broke, once their backends are known to be gone.
async fn close_orphans(services: &Arc<Services>) {
    let orphans = Arc::new(services.freshness.orphans());
    let waited_for = orphans.servers();
    let all = services.servers.all().iter();
    let servers = all.filter(|server| waited_for.contains(&server.number));
    // A server that does not answer keeps the others' windows from nothing.
    let asked: JoinSet<()> = servers
        .map(|server| close_orphans_of(Arc::clone(server), Arc::clone(services), orphans.clone()))
        .collect();
    asked.join_all().await;
}

async fn close_orphans_of(server: Arc<Server>, services: Arc<Services>, orphans: Arc<Orphans>) {
    let address = server.address();
    match tokio::time::timeout(CONTROL_LIMIT, living_backends(&server)).await {
        Ok(Ok(living)) => services.freshness.close_orphans(&orphans, |backend| {
            backend.is_some_and(|backend| backend.server == server.number)
                && living.is_gone(backend)
        }),
        Ok(Err(error)) => {
            tracing::debug!(
                address,
                "the server does not say which backends live: {error}"
            )
        }
        Err(late) => {
            tracing::debug!(
                address,
                "the server does not say which backends live: {late}"
            )
        }
    }
}

/// The backends of the server at one moment.
struct Living {
    postmaster_start: i64,
    /// When each started; `None` where the server does not tell us.
    start_of: HashMap<i32, Option<i64>>,
}

impl Living {
    fn is_gone(&self, backend: Option<Backend>) -> bool {
        let Some(backend) = backend else {
            return self.start_of.is_empty();
        };
        if backend.postmaster_start != 0 && backend.postmaster_start != self.postmaster_start {
            return true;
        }
        match self.start_of.get(&backend.pid) {
            None => true,
            Some(None) => false,
            // Another process has got the number.
            Some(Some(start)) => backend.start != 0 && *start != backend.start,
        }
    }
}

async fn living_backends(server: &Server) -> Result<Living, ControlError> {
    let upstream = &server.upstream;
    let (client, driver) = control::connect(upstream, &upstream.database).await?;
    let rows = client
        .query(
            "SELECT a.pid, pg_catalog.timestamptz_send(a.backend_start), \
             pg_catalog.timestamptz_send(pg_catalog.pg_postmaster_start_time()) \
             FROM pg_catalog.pg_stat_get_activity(NULL) AS a",
            &[],
        )
        .await;
    drop(client);
    let _ = driver.await;
    let micros = |bytes: &[u8]| bytes.try_into().map(i64::from_be_bytes).unwrap_or_default();
    let mut living = Living {
        postmaster_start: 0,
        start_of: HashMap::new(),
    };
    for row in rows? {
        living.postmaster_start = micros(row.get(2));
        living
            .start_of
            .insert(row.get(0), row.get::<_, Option<&[u8]>>(1).map(micros));
    }
    Ok(living)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_gone_only_on_proof() {
        let living = Living {
            postmaster_start: 5,
            start_of: HashMap::from([(1, Some(10)), (2, None), (3, Some(30))]),
        };
        let backend = |pid, start, postmaster_start| {
            Some(Backend {
                server: 0,
                pid,
                start,
                postmaster_start,
            })
        };
        assert!(!living.is_gone(backend(1, 10, 5)), "it is there");
        assert!(
            !living.is_gone(backend(2, 20, 5)),
            "we may not see when it started"
        );
        assert!(!living.is_gone(None), "nobody knows who it is");
        assert!(living.is_gone(backend(4, 40, 5)), "its number is gone");
        assert!(living.is_gone(backend(3, 31, 5)), "its number is another's");
        assert!(
            living.is_gone(backend(1, 10, 4)),
            "the server has restarted"
        );
    }
}
