//! What all sessions share.

pub mod users;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use users::Users;

use crate::cache::Cache;
use crate::cache::key::ContextId;
use crate::clients::Clients;
use crate::config::Config;
use crate::database::{Database, Origin};
use crate::freshness::flight::Flights;
use crate::freshness::window::Freshness;
use crate::freshness::words::Slot;
use crate::observe::Metrics;
use crate::protocol::startup;
use crate::shared::Shared;
use crate::upstream::connection::{Baseline, DatabaseId};
use crate::upstream::pools::Pools;
use crate::upstream::server::{Route, Servers};
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
    /// The results that other instances share, and these instances.
    pub shared: Option<Arc<Shared>>,
    /// The servers.
    pub servers: Servers,
    /// The server connections.
    pub pools: Pools,
    /// What is known of roles before they log in.
    pub users: Users,
    /// The clients.
    pub clients: Arc<Clients>,
    /// What prepared transactions will change when they are committed.
    pub prepared_transactions: PreparedTransactions,
    databases: Mutex<HashMap<DatabaseId, Arc<Database>>>,
    contexts: moka::sync::Cache<Context, ContextId, ahash::RandomState>,
    changes: moka::sync::Cache<Changes, Arc<Changes>, ahash::RandomState>,
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
    ///
    /// # Errors
    /// When the shared tier cannot be what the configuration says.
    pub fn new(config: Config, metrics: Arc<Metrics>) -> io::Result<Arc<Self>> {
        let config = Arc::new(config);
        let freshness = Freshness::new(config.cache.version_slots);
        let servers = Servers::new(&config);
        let shared = Shared::new(&config, &freshness, servers.all().len() == 1);
        Ok(Arc::new(Self {
            shared: shared.map_err(io::Error::other)?,
            users: Users::new(config.auth.clone(), servers.all().len()),
            servers,
            flights: Flights::new(),
            cache: Cache::new(config.cache.max_bytes),
            pools: Pools::new(Arc::clone(&metrics), Arc::clone(&freshness)),
            clients: Clients::new(config.limits.client_connections_max),
            prepared_transactions: PreparedTransactions::default(),
            databases: Mutex::new(HashMap::new()),
            contexts: moka::sync::Cache::builder()
                .max_capacity(CONTEXTS_MAX)
                .build_with_hasher(ahash::RandomState::new()),
            changes: moka::sync::Cache::builder()
                .max_capacity(CONTEXTS_MAX)
                .build_with_hasher(ahash::RandomState::new()),
            config,
            metrics,
            freshness,
        }))
    }

    /// A database that a session has been connected to, on this route.
    #[must_use]
    pub fn database(&self, id: &DatabaseId, route: &Route) -> Arc<Database> {
        let mut databases = self.databases.lock();
        if let Some(known) = databases.get(id) {
            return Arc::clone(known);
        }
        let (config, freshness) = (Arc::clone(&self.config), Arc::clone(&self.freshness));
        let origin = Origin {
            oid: id.oid,
            name: id.name.clone(),
            upstream: Arc::clone(&route.upstream),
            server: Arc::clone(&route.server.identity),
        };
        let database = Database::new(origin, config, freshness, Arc::clone(&self.metrics));
        databases.insert(id.clone(), Arc::clone(&database));
        database
    }

    /// The databases seen so far.
    #[must_use]
    pub fn databases(&self) -> Vec<Arc<Database>> {
        self.databases.lock().values().cloned().collect()
    }

    /// What the commit of a prepared transaction will change. In a fleet another instance may have ended it and
    /// prepared another under its name, so that is not known.
    #[must_use]
    pub fn writes_of_prepared(&self, server: u32, gid: &str) -> Box<[Slot]> {
        if self.shared.is_some() {
            return [Slot::EVERYTHING, Slot::CATALOG].into();
        }
        self.prepared_transactions.writes(server, gid)
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
}

/// What PREPARE TRANSACTION has left to be committed, by any session, later.
///
/// A name stands for one transaction on each server. Only one of them is remembered, since two addresses may lead
/// to one server; what the others change then counts as unknown.
#[derive(Debug, Default)]
pub struct PreparedTransactions {
    writes: Mutex<HashMap<String, PreparedTransaction>>,
}

#[derive(Debug)]
struct PreparedTransaction {
    /// The number of the server.
    server: u32,
    writes: Box<[Slot]>,
}

impl PreparedTransactions {
    /// A transaction was prepared on a server.
    pub fn prepare(&self, server: u32, gid: &str, writes: Box<[Slot]>) {
        let prepared = PreparedTransaction { server, writes };
        self.writes.lock().insert(gid.to_owned(), prepared);
    }

    /// What its commit will change: everything, for a transaction that was not prepared through this proxy.
    #[must_use]
    pub fn writes(&self, server: u32, gid: &str) -> Box<[Slot]> {
        let known = self.writes.lock();
        let known = known.get(gid).filter(|known| known.server == server);
        known.map_or_else(
            || [Slot::EVERYTHING, Slot::CATALOG].into(),
            |known| known.writes.clone(),
        )
    }

    /// Something is sent that may end and prepare transactions under names nobody looks at: from here on, what
    /// a name stands for is not known.
    pub fn forget_all(&self) {
        self.writes.lock().clear();
    }

    /// It was committed or rolled back, on whichever server.
    pub fn finish(&self, gid: &str) {
        self.writes.lock().remove(gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_another_server_is_not_known() {
        let transactions = PreparedTransactions::default();
        let everything: Box<[Slot]> = [Slot::EVERYTHING, Slot::CATALOG].into();
        transactions.prepare(0, "x", [Slot::CATALOG].into());
        assert_eq!(*transactions.writes(0, "x"), [Slot::CATALOG]);
        assert_eq!(transactions.writes(1, "x"), everything);
        transactions.prepare(1, "x", Box::default());
        assert_eq!(transactions.writes(0, "x"), everything);
        transactions.finish("x");
        assert_eq!(transactions.writes(1, "x"), everything);
    }
}
