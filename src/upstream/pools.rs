//! Every pool of the proxy, by the start-up message of its sessions.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::pool::{Pool, Settings};
use crate::freshness::window::Freshness;
use crate::observe::Metrics;
use crate::protocol::startup::{Parameters, Startup};

/// Every pool. Looked into when a client comes or leaves, never for a query.
pub struct Pools {
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    freshness: Arc<Freshness>,
    pools: Mutex<HashMap<Parameters, Arc<Pool>>>,
}

impl Pools {
    /// No pool yet.
    #[must_use]
    pub fn new(settings: Arc<Settings>, metrics: Arc<Metrics>, freshness: Arc<Freshness>) -> Self {
        Self {
            settings,
            metrics,
            freshness,
            pools: Mutex::new(HashMap::new()),
        }
    }

    /// The pool for sessions that start like this one. The caller counts as a client of it from here on, so
    /// that it is not swept away: [`Pool::client_left`] is owed.
    #[must_use]
    pub fn join(&self, startup: &Startup) -> Arc<Pool> {
        let mut key: Parameters = startup.parameters.clone();
        key.sort();
        let mut pools = self.pools.lock();
        let pool = pools.entry(key).or_insert_with(|| {
            let (settings, metrics) = (Arc::clone(&self.settings), Arc::clone(&self.metrics));
            Pool::new(
                startup.clone(),
                settings,
                metrics,
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
