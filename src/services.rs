//! What all sessions share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::cache::Cache;
use crate::cache::key::ContextId;
use crate::clients::Clients;
use crate::config::Config;
use crate::database::Database;
use crate::freshness::flight::Flights;
use crate::freshness::window::Freshness;
use crate::freshness::words::Slot;
use crate::observe::Metrics;
use crate::protocol::startup;
use crate::upstream::connection::{Baseline, DatabaseId};
use crate::upstream::pool::Settings;
use crate::upstream::pools::Pools;
use crate::upstream::settings::{Changes, unchanged};

/// How many different kinds of session are remembered at once.
const CONTEXTS_MAX: u64 = 100_000;

/// The parts of a running proxy.
pub struct Services {
    /// The effective configuration.
    pub config: Arc<Config>,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// The version words.
    pub freshness: Arc<Freshness>,
    /// The misses under way.
    pub flights: Arc<Flights>,
    /// The results.
    pub cache: Cache,
    /// The server connections.
    pub pools: Pools,
    /// The clients.
    pub clients: Arc<Clients>,
    /// What prepared transactions will change when they are committed.
    pub prepared_transactions: PreparedTransactions,
    databases: Mutex<HashMap<DatabaseId, Arc<Database>>>,
    contexts: moka::sync::Cache<Context, ContextId, ahash::RandomState>,
    changes: moka::sync::Cache<Changes, Arc<Changes>, ahash::RandomState>,
    upstream_reachable: AtomicBool,
}

/// What a session's answers depend on beside the statement. It stands as a whole behind a [`ContextId`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Context {
    /// The database's number.
    pub database: u32,
    /// The start-up parameters, sorted, but for those that no result depends on.
    pub startup: startup::Parameters,
    /// The settings it started with, but for those that no result depends on.
    pub baseline: Baseline,
    /// What it has changed of them, likewise.
    pub changes: Changes,
}

impl Services {
    /// The parts of a proxy that serves nobody yet.
    #[must_use]
    pub fn new(config: Config, metrics: Arc<Metrics>) -> Arc<Self> {
        let config = Arc::new(config);
        let freshness = Freshness::new(config.cache.version_slots);
        let settings = Arc::new(Settings {
            upstream: config.upstream.clone(),
            limits: config.pool.clone(),
        });
        Arc::new(Self {
            flights: Flights::new(),
            cache: Cache::new(config.cache.max_bytes),
            pools: Pools::new(settings, Arc::clone(&metrics), Arc::clone(&freshness)),
            clients: Clients::new(config.limits.client_connections_max),
            prepared_transactions: PreparedTransactions::default(),
            databases: Mutex::new(HashMap::new()),
            contexts: moka::sync::Cache::builder()
                .max_capacity(CONTEXTS_MAX)
                .build_with_hasher(ahash::RandomState::new()),
            changes: moka::sync::Cache::builder()
                .max_capacity(CONTEXTS_MAX)
                .build_with_hasher(ahash::RandomState::new()),
            upstream_reachable: AtomicBool::new(true),
            config,
            metrics,
            freshness,
        })
    }

    /// A database that a session has been connected to.
    #[must_use]
    pub fn database(&self, id: &DatabaseId) -> Arc<Database> {
        let mut databases = self.databases.lock();
        if let Some(known) = databases.get(id) {
            return Arc::clone(known);
        }
        let (config, freshness) = (Arc::clone(&self.config), Arc::clone(&self.freshness));
        let database = Database::new(&id.name, config, freshness, Arc::clone(&self.metrics));
        databases.insert(id.clone(), Arc::clone(&database));
        database
    }

    /// The databases seen so far.
    #[must_use]
    pub fn databases(&self) -> Vec<Arc<Database>> {
        self.databases.lock().values().cloned().collect()
    }

    /// The number of a context: the same for equal ones, never the same for different ones.
    #[must_use]
    pub fn context(&self, context: Context) -> ContextId {
        static IDS: AtomicU64 = AtomicU64::new(1);
        self.contexts
            .get_with(context, || ContextId(IDS.fetch_add(1, Ordering::Relaxed)))
    }

    /// The one of all equal changes that stands for them, so that comparing two mostly takes no look at them.
    #[must_use]
    pub fn changes(&self, changes: Changes) -> Arc<Changes> {
        if changes.is_empty() {
            return unchanged();
        }
        let shared = Arc::new(changes.clone());
        self.changes.get_with(changes, || shared)
    }

    /// Was the server there when it was last asked?
    #[must_use]
    pub fn is_upstream_reachable(&self) -> bool {
        self.upstream_reachable.load(Ordering::Relaxed)
    }

    /// Notes whether the server was there. Says so once when that changes.
    pub fn note_upstream(&self, reachable: bool) {
        if self.upstream_reachable.swap(reachable, Ordering::Relaxed) == reachable {
            return;
        }
        let upstream = self.config.upstream.masked();
        if reachable {
            tracing::info!(upstream, "PostgreSQL is reachable again");
        } else {
            tracing::error!(
                upstream,
                "PostgreSQL cannot be reached; clients get an error until it is back"
            );
        }
    }
}

/// What PREPARE TRANSACTION has left to be committed, by any session, later.
#[derive(Debug, Default)]
pub struct PreparedTransactions {
    writes: Mutex<HashMap<String, Box<[Slot]>>>,
}

impl PreparedTransactions {
    /// A transaction was prepared.
    pub fn prepare(&self, gid: &str, writes: Box<[Slot]>) {
        self.writes.lock().insert(gid.to_owned(), writes);
    }

    /// What its commit will change: everything, for a transaction that was not prepared through this proxy.
    #[must_use]
    pub fn writes(&self, gid: &str) -> Box<[Slot]> {
        let known = self.writes.lock().get(gid).cloned();
        known.unwrap_or_else(|| [Slot::EVERYTHING, Slot::CATALOG].into())
    }

    /// Something is sent that may end and prepare transactions under names nobody looks at: from here on, what
    /// a name stands for is not known.
    pub fn forget_all(&self) {
        self.writes.lock().clear();
    }

    /// It was committed or rolled back.
    pub fn finish(&self, gid: &str) {
        self.writes.lock().remove(gid);
    }
}
