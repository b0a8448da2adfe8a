//! What has to be looked after while nobody asks: pools, the server's health, windows without an outcome.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::database::control_config;
use crate::freshness::window::Backend;
use crate::services::Services;
use crate::upstream::pool::MAINTENANCE_INTERVAL;
use crate::upstream::socket::Socket;

/// How long the server may take to answer a question of the proxy's own.
const CONTROL_LIMIT: Duration = Duration::from_secs(10);

/// Runs for as long as the proxy does.
pub(super) async fn oversee(services: Arc<Services>) {
    probe(&services).await;
    let mut ticks = tokio::time::interval(MAINTENANCE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        services.pools.maintain();
        if !services.is_upstream_reachable() {
            probe(&services).await;
        }
        close_orphans(&services).await;
    }
}

/// Is anybody there?
async fn probe(services: &Services) {
    let limit = MAINTENANCE_INTERVAL;
    services.note_upstream(
        Socket::connect(&services.config.upstream, limit)
            .await
            .is_ok(),
    );
}

/// Closes the windows of server connections that broke, once their backends are known to be gone.
async fn close_orphans(services: &Services) {
    let orphans = services.freshness.orphans();
    if orphans.is_empty() {
        return;
    }
    match tokio::time::timeout(CONTROL_LIMIT, living_backends(services)).await {
        Ok(Ok(living)) => services
            .freshness
            .close_orphans(&orphans, |backend| living.is_gone(backend)),
        Ok(Err(error)) => tracing::debug!("the server does not say which backends live: {error}"),
        Err(late) => tracing::debug!("the server does not say which backends live: {late}"),
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

async fn living_backends(services: &Services) -> Result<Living, tokio_postgres::Error> {
    let upstream = &services.config.upstream;
    let (client, connection) = control_config(upstream, &upstream.database)
        .connect(tokio_postgres::NoTls)
        .await?;
    let driver = tokio::spawn(connection);
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
