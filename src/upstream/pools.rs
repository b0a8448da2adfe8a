//! Every pool of the proxy, by where it leads and the start-up message of its sessions.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::pool::Pool;
use super::server::Route;
use crate::freshness::window::Freshness;
use crate::observe::Metrics;
use crate::protocol::startup::{Parameters, Startup};

/// Every pool. Looked into when a client comes or leaves, never for a query.
pub struct Pools {
    metrics: Arc<Metrics>,
    freshness: Arc<Freshness>,
    pools: Mutex<HashMap<Key, Arc<Pool>>>,
}

/// What the sessions of a pool have in common.
#[derive(Debug, Eq, Hash, PartialEq)]
struct Key {
    /// The server, by number.
    server: u32,
    /// The most and the fewest connections: aliases of a database may differ in them.
    bounds: (u32, u32),
    /// The start-up parameters, sorted.
    parameters: Parameters,
}

impl Pools {
    /// No pool yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, freshness: Arc<Freshness>) -> Self {
        Self {
            metrics,
            freshness,
            pools: Mutex::new(HashMap::new()),
        }
    }

    /// The pool for sessions that start like this one, in the server's words. The caller counts as a client of it from here on, so
    /// that it is not swept away: [`Pool::client_left`] is owed.
    #[must_use]
    pub fn join(&self, route: &Arc<Route>, startup: &Startup) -> Arc<Pool> {
        let mut parameters = startup.parameters.clone();
        parameters.sort();
        let key = Key {
            server: route.server.number,
            bounds: (route.limits.max, route.limits.min),
            parameters,
        };
        let mut pools = self.pools.lock();
        let pool = pools.entry(key).or_insert_with(|| {
            Pool::new(
                startup.clone(),
                Arc::clone(route),
                Arc::clone(&self.metrics),
                Arc::clone(&self.freshness),
            )
        });
        pool.client_came();
        Arc::clone(pool)
    }

    /// How many sessions keep a connection.
    #[must_use]
    pub fn pinned_sessions(&self) -> u64 {
        self.all()
            .iter()
            .map(|pool| u64::from(pool.numbers().pinned_sessions))
            .sum()
    }

    /// All of them, as they are now.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Pool>> {
        self.pools.lock().values().cloned().collect()
    }

    /// Looks after every pool and forgets those that nobody uses.
    pub fn maintain(&self) {
        for pool in self.all() {
            pool.maintain();
        }
        self.pools.lock().retain(|_, pool| !pool.is_deserted());
    }
}
