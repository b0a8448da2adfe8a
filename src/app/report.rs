//! The state of the proxy, as the admin port asks for it.

use std::sync::Arc;

use super::explain;
use crate::admin::{
    self, CacheSize, Caching, CatalogNumbers, CatalogState, Clients, Freshness, Health, Pool,
    Source, Stats, Status, Unexplained,
};
use crate::database::CatalogStatus;
use crate::database::explain::Explanation;
use crate::services::Services;

/// Which writes the cache learns of.
pub(super) const COVERAGE: &str = "writes that go through pgkeel, at once; writes that go around it, when an entry's ttl ends; definitions that are \
     changed around it, within cache.catalog_check";

/// Reads the services.
pub(super) struct Report {
    services: Arc<Services>,
}

impl Report {
    pub(super) const fn new(services: Arc<Services>) -> Self {
        Self { services }
    }

    fn pools(&self) -> Vec<Pool> {
        let pools = self.services.pools.all();
        let reports = pools.iter().map(|pool| {
            let (numbers, startup) = (pool.numbers(), pool.startup());
            Pool {
                server: pool.route().server.address(),
                database: startup.database().unwrap_or_default().into_owned(),
                user: startup.user().unwrap_or_default().into_owned(),
                active: u64::from(numbers.places_taken.saturating_sub(numbers.idle)),
                idle: u64::from(numbers.idle),
                waiting: u64::from(numbers.waiting),
                max: u64::from(pool.route().limits.max),
                pins: numbers
                    .pinned
                    .iter()
                    .map(|(&why, &count)| (why.into(), u64::from(count)))
                    .collect(),
            }
        });
        reports.collect()
    }
}

fn catalogs(services: &Services) -> Vec<CatalogNumbers> {
    let databases = services.databases();
    let numbers = databases.iter().map(|database| {
        let numbers = database.snapshot_numbers();
        CatalogNumbers {
            server: database.server_address(),
            database: database.name().to_owned(),
            version: numbers.version,
            age_seconds: numbers.age.as_secs(),
            loads: numbers.loads,
            checked: numbers.is_vouched,
        }
    });
    numbers.collect()
}

impl Source for Report {
    fn explain(&self, database: Option<&str>, sql: &str) -> Result<Explanation, Unexplained> {
        let database = explain::find(&self.services, database).map_err(Unexplained::NotSeen)?;
        Ok(database.explain(sql))
    }

    fn health(&self) -> Health {
        let services = &self.services;
        let servers = services.servers.all();
        // One of the others may be lost without the proxy being taken out of service.
        let reachable = services.servers.main().is_reachable();
        let databases = services.databases();
        let catalogs = databases.iter().map(|database| admin::Database {
            name: database.name().to_owned(),
            server: database.server_address(),
            catalog: match database.catalog_status() {
                CatalogStatus::Current => CatalogState::Current,
                CatalogStatus::Loading => CatalogState::Loading,
                CatalogStatus::Failed(error) => CatalogState::Failed(error),
            },
        });
        Health {
            status: match (services.clients.is_draining(), reachable) {
                (true, _) => Status::Draining,
                (false, true) => Status::Ok,
                (false, false) => Status::UpstreamUnreachable,
            },
            upstream_reachable: reachable,
            servers: servers
                .iter()
                .map(|server| admin::Server {
                    address: server.address(),
                    reachable: server.is_reachable(),
                })
                .collect(),
            cache: if services.config.cache.enabled {
                Caching::On
            } else {
                Caching::Off
            },
            freshness: COVERAGE.into(),
            databases: catalogs.collect(),
        }
    }

    fn stats(&self) -> Stats {
        let services = &self.services;
        let pools = self.pools();
        let (entries, bytes) = services.cache.size();
        let windows = services.freshness.counts();
        Stats {
            clients: Clients {
                connected: u64::from(services.clients.connected()),
                pinned: services.pools.pinned_sessions(),
                waiting: pools.iter().map(|pool| pool.waiting).sum(),
            },
            pools,
            cache: CacheSize {
                enabled: services.config.cache.enabled,
                entries,
                bytes,
                max_bytes: services.cache.max_bytes(),
            },
            freshness: Freshness {
                windows_open: windows.open,
                orphan_windows: windows.orphans,
                coverage: COVERAGE.into(),
            },
            shared: services.shared.as_ref().map(|shared| shared.report()),
            catalogs: catalogs(services),
        }
    }
}
