//! One database of the server: its catalog snapshot, and the statements seen in it.
//!
//! A text is parsed once and judged once for each catalog snapshot. What it reads and writes becomes slots
//! of the version words here, so that a session never hashes a tag.

pub mod explain;
pub mod statement;
mod tables;
pub mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use statement::{Plan, ReadPlan, Statement};
use tokio::sync::Notify;
use watch::{Loads, Watch};

use crate::analysis::catalog::Catalog;
use crate::analysis::catalog::rows::VouchedRow;
use crate::analysis::{Dialect, Oid, Verdict, WriteSet};
use crate::cache::key::StatementId;
use crate::catalog;
use crate::catalog::digest::Digest;
use crate::config::{Config, Upstream};
use crate::freshness::server::Server;
use crate::freshness::window::Freshness;
use crate::freshness::words::{Slot, Stamp};
use crate::observe::{Counter, Metrics};
use crate::reason::Reason;
use crate::upstream::control::{self, ControlError};

/// How long the catalog is left alone when others hold locks on what it is read from.
const LOCKED_PAUSE: Duration = Duration::from_millis(100);

/// How long after a failed load of the catalog the next is tried.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long a load may take.
const LOAD_LIMIT: Duration = Duration::from_secs(60);

/// How long the first client of a database waits for its catalog.
const FIRST_LOAD_LIMIT: Duration = Duration::from_millis(500);

/// How long a request that is sent again waits for the catalog: a load that has failed is tried again meanwhile.
const KNOWN_AGAIN_LIMIT: Duration = Duration::from_secs(2);

/// How many distinct texts are remembered for each database, in bytes of text.
const STATEMENTS_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// One database.
pub struct Database {
    origin: Origin,
    number: u32,
    config: Arc<Config>,
    freshness: Arc<Freshness>,
    metrics: Arc<Metrics>,
    statements: moka::sync::Cache<Box<[u8]>, Arc<Statement>, ahash::RandomState>,
    snapshot: ArcSwapOption<Snapshot>,
    loading: Mutex<Loading>,
    loaded: Notify,
    watches_sequences: AtomicBool,
    watch: Watch,
}

/// Where a database is.
#[derive(Debug)]
pub struct Origin {
    /// Its oid.
    pub oid: u32,
    /// Its name on the server.
    pub name: String,
    /// How the proxy itself connects to its server.
    pub upstream: Arc<Upstream>,
    /// Who its server is.
    pub server: Arc<Server>,
}

/// The catalog as it was under a stamp.
pub struct Snapshot {
    catalog: Catalog,
    stamp: Stamp,
    version: u64,
    /// The system identifier of its server, where other instances have to be told of its tables.
    system: Option<u64>,
    loaded: Instant,
    /// What tells whether it is still true.
    digest: Mutex<Digest>,
}

/// The catalog snapshot in numbers.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotNumbers {
    /// Its number: another for each that was loaded, of whichever database. Zero: none was loaded yet.
    pub version: u64,
    /// How long ago it was loaded.
    pub age: Duration,
    /// How often one was loaded, and why.
    pub loads: Loads,
    /// Are results served by it, as far as changes made elsewhere are concerned?
    pub is_vouched: bool,
}

/// What is known of a database's catalog.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CatalogStatus {
    /// The snapshot is current.
    Current,
    /// It is loaded when the next statement asks for it, or is being loaded.
    Loading,
    /// It cannot be loaded, for this reason.
    Failed(String),
}

/// Where the snapshot comes from next.
#[derive(Debug)]
enum Loading {
    /// Nobody has asked yet, or the last load went well.
    Idle,
    /// A load is under way.
    UnderWay,
    /// The last one failed.
    Failed { at: Instant, error: String },
}

impl Database {
    /// A database of which nothing is known yet.
    #[must_use]
    pub fn new(
        origin: Origin,
        config: Arc<Config>,
        freshness: Arc<Freshness>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        static NUMBERS: AtomicU32 = AtomicU32::new(1);
        let statements = moka::sync::Cache::<Box<[u8]>, Arc<Statement>>::builder()
            .max_capacity(STATEMENTS_MAX_BYTES)
            .weigher(|tail, _| u32::try_from(tail.len() + 600).unwrap_or(u32::MAX))
            .build_with_hasher(ahash::RandomState::new());
        Arc::new(Self {
            watch: Watch::new(config.cache.catalog_check),
            origin,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            config,
            freshness,
            metrics,
            statements,
            snapshot: ArcSwapOption::empty(),
            loading: Mutex::new(Loading::Idle),
            loaded: Notify::new(),
            watches_sequences: AtomicBool::new(false),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.origin.name
    }

    /// Where it is.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The address of its server, for people.
    #[must_use]
    pub fn server_address(&self) -> String {
        let upstream = &self.origin.upstream;
        format!("{}:{}", upstream.host, upstream.port)
    }

    /// Its number: never used for another database.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// A session asks what it has drawn from a sequence.
    pub fn watch_sequences(&self) {
        self.watches_sequences.store(true, Ordering::Relaxed);
    }

    /// Has a session ever asked what it has drawn from a sequence?
    #[must_use]
    pub fn watches_sequences(&self) -> bool {
        self.watches_sequences.load(Ordering::Relaxed)
    }

    /// The state of its catalog snapshot, for the admin side.
    #[must_use]
    pub fn catalog_status(&self) -> CatalogStatus {
        match (&*self.loading.lock(), self.current_snapshot().is_some()) {
            (_, true) => CatalogStatus::Current,
            (Loading::Failed { error, .. }, false) => CatalogStatus::Failed(error.clone()),
            (Loading::Idle | Loading::UnderWay, false) => CatalogStatus::Loading,
        }
    }

    /// Its catalog snapshot in numbers.
    #[must_use]
    pub fn snapshot_numbers(&self) -> SnapshotNumbers {
        let snapshot = self.snapshot.load();
        let snapshot = snapshot.as_ref();
        SnapshotNumbers {
            version: snapshot.map_or(0, |snapshot| snapshot.version),
            age: snapshot.map_or(Duration::ZERO, |snapshot| snapshot.loaded.elapsed()),
            loads: self.watch.loads(),
            is_vouched: self.is_vouched(Instant::now()),
        }
    }

    /// The statement of a text with its parameter types; `tail` as in [`crate::protocol::frontend::Parse::tail`].
    #[must_use]
    pub fn statement(&self, tail: &[u8], dialect: Dialect) -> Arc<Statement> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        // How a text is read is part of what it is: the same bytes may mean another thing in another dialect.
        let mut key = Vec::with_capacity(tail.len() + 1);
        key.push(u8::from(dialect.utf8) | u8::from(dialect.standard_conforming_strings) << 1);
        key.extend_from_slice(tail);
        if let Some(known) = self.statements.get(key.as_slice()) {
            return known;
        }
        let id = StatementId(IDS.fetch_add(1, Ordering::Relaxed));
        let statement = Arc::new(Statement::new(
            id,
            tail,
            dialect,
            self.config.cache.statement_max_bytes,
        ));
        self.statements.get_with(key.into(), || statement)
    }

    /// What the statement reads and writes, by the catalog as it is now.
    #[must_use]
    pub fn plan(self: &Arc<Self>, statement: &Statement) -> Arc<Plan> {
        let snapshot = self.snapshot();
        let version = snapshot.as_ref().map_or(0, |snapshot| snapshot.version);
        statement.plan_of(version, || {
            let is_query = statement.parsed().is_query();
            let verdict = verdict(statement, snapshot.as_deref());
            self.resolve(&verdict, is_query, snapshot.as_deref())
        })
    }

    fn resolve(&self, verdict: &Verdict, is_query: bool, snapshot: Option<&Snapshot>) -> Plan {
        let slots = |oid: &Oid| self.table_slots(*oid, snapshot);
        let mut writes: Vec<Slot> = match &verdict.write {
            WriteSet::Nothing => Vec::new(),
            WriteSet::Tables(tables) => tables.iter().flat_map(slots).collect(),
            WriteSet::Everything => vec![Slot::EVERYTHING],
        };
        if verdict.catalog {
            writes.push(Slot::CATALOG);
        }
        let read = match (&verdict.read, snapshot) {
            (Ok(reads), Some(snapshot)) => self.time_to_live(reads, &snapshot.catalog).map(|ttl| {
                let mut slots: Vec<Slot> = reads.tables.iter().flat_map(slots).collect();
                slots.push(Slot::EVERYTHING);
                slots.sort_unstable();
                slots.dedup();
                ReadPlan {
                    slots: slots.into(),
                    catalog: snapshot.stamp,
                    ttl,
                }
            }),
            (Ok(_), None) => Err(Reason::CatalogNotReady),
            (Err(reason), _) => Err(*reason),
        };
        Plan {
            read,
            catalog: snapshot.map(|snapshot| snapshot.stamp),
            writes: writes.into(),
            rollback_is_provable: !verdict.may_commit
                && !matches!(verdict.write, WriteSet::Everything),
            is_repeatable: is_query
                && verdict.computes_only
                && verdict.session.is_empty()
                && matches!(verdict.write, WriteSet::Nothing),
            is_blind: snapshot.is_none() && matches!(verdict.write, WriteSet::Everything),
            session: verdict.session,
        }
    }

    /// The snapshot, if it is current; if not, a load is begun.
    fn snapshot(self: &Arc<Self>) -> Option<Arc<Snapshot>> {
        let current = self.current_snapshot();
        if current.is_none() {
            self.load();
        }
        current
    }

    fn current_snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot
            .load_full()
            .filter(|snapshot| self.freshness.words().is_current(snapshot.stamp))
    }

    /// Can it not be said when the catalog will be known?
    #[must_use]
    pub fn is_catalog_out_of_reach(&self) -> bool {
        matches!(&*self.loading.lock(), Loading::Failed { .. })
    }

    /// Waits until the catalog of a database that is new to the proxy has been loaded, or is known to be the same
    /// still if nobody has been there for a while, but not for long: then the first reads are not cached.
    pub async fn first_load(self: &Arc<Self>) {
        let loaded = self.loaded.notified();
        if self.is_catalog_out_of_reach() {
            return;
        }
        if self.snapshot.load().is_some() {
            if !self.is_vouched(Instant::now()) {
                let _ = tokio::time::timeout(FIRST_LOAD_LIMIT, self.look_again()).await;
            }
            return;
        }
        self.load();
        let _ = tokio::time::timeout(FIRST_LOAD_LIMIT, loaded).await;
    }

    /// Waits until the catalog is known, for a request that is not in a hurry, but not for long. A load that has just
    /// failed is begun anew.
    pub async fn known_again(self: &Arc<Self>) {
        let known = async {
            loop {
                let loaded = self.loaded.notified();
                tokio::pin!(loaded);
                loaded.as_mut().enable();
                if self.snapshot().is_some() {
                    return;
                }
                let _ = tokio::time::timeout(LOCKED_PAUSE, loaded).await;
            }
        };
        let _ = tokio::time::timeout(KNOWN_AGAIN_LIMIT, known).await;
    }

    /// Loads the catalog now, for who cannot go on without it.
    ///
    /// # Errors
    /// Why it cannot be loaded, in one line.
    pub async fn load_and_wait(&self) -> Result<(), String> {
        let loaded = tokio::time::timeout(LOAD_LIMIT, async {
            while !self.load_now().await? {}
            Ok(())
        });
        loaded.await.unwrap_or_else(|late| Err(late.to_string()))
    }

    /// Begins to load the catalog, unless that is under way or has just failed.
    pub fn load(self: &Arc<Self>) {
        {
            let mut loading = self.loading.lock();
            match &*loading {
                Loading::UnderWay => return,
                Loading::Failed { at, .. } if at.elapsed() < RETRY_AFTER => return,
                Loading::Idle | Loading::Failed { .. } => *loading = Loading::UnderWay,
            }
        }
        let database = Arc::clone(self);
        tokio::spawn(async move {
            let loaded = tokio::time::timeout(LOAD_LIMIT, database.load_now()).await;
            let loaded = loaded.unwrap_or_else(|late| Err(late.to_string()));
            match loaded {
                Ok(true) => {
                    database.watch.note_load();
                    database.metrics.add(Counter::CatalogLoads, 1);
                }
                Ok(false) => {}
                Err(_) => database.metrics.add(Counter::CatalogLoadsFailed, 1),
            }
            let before = std::mem::replace(
                &mut *database.loading.lock(),
                match &loaded {
                    Ok(_) => Loading::Idle,
                    Err(error) => Loading::Failed {
                        at: Instant::now(),
                        error: error.clone(),
                    },
                },
            );
            drop(before);
            database.loaded.notify_waiters();
            if let Err(error) = loaded {
                tracing::warn!(
                    database = database.name(),
                    "the catalog cannot be read, so nothing is cached: {error}; \
                     check that the upstream URL's user may log in to this database"
                );
            }
        });
    }

    /// Loads it, unless it is being changed at this moment.
    async fn load_now(&self) -> Result<bool, String> {
        static VERSIONS: AtomicU64 = AtomicU64::new(1);
        // The stamp comes first: whatever changes the catalogs from here on makes the snapshot void.
        let Some(stamp) = self.freshness.words().stamp(Slot::CATALOG) else {
            return Ok(false);
        };
        let (client, driver) = control::connect(&self.origin.upstream, self.name())
            .await
            .map_err(|error| error.to_string())?;
        let loaded = catalog::load_rows(&client).await;
        let system = if self.config.is_shared() {
            Some(catalog::system_identifier(&client).await)
        } else {
            None
        };
        drop(client);
        let _ = driver.await;
        let system = system.transpose().map_err(|error| {
            let error = ControlError::from(error);
            format!("{error} (a fleet tells servers apart by pg_catalog.pg_control_system())")
        })?;
        let (mut rows, digest) = match loaded {
            Ok(loaded) => loaded,
            Err(error) if catalog::is_locked(&error) => {
                tokio::time::sleep(LOCKED_PAUSE).await;
                return Ok(false);
            }
            Err(error) => return Err(ControlError::from(error).to_string()),
        };
        rows.vouched = vouched(&self.config);
        // The bodies of all functions are parsed: no work for a thread that serves clients.
        let catalog = tokio::task::spawn_blocking(|| Catalog::new(rows))
            .await
            .map_err(|error| error.to_string())?;
        for problem in catalog.problems() {
            tracing::warn!(database = self.name(), "{problem}");
        }
        let version = VERSIONS.fetch_add(1, Ordering::Relaxed);
        self.snapshot.store(Some(Arc::new(Snapshot {
            catalog,
            stamp,
            version,
            system,
            loaded: Instant::now(),
            digest: Mutex::new(digest),
        })));
        self.watch.vouch(Instant::now(), Duration::ZERO);
        Ok(true)
    }

    /// What the current snapshot is to be compared with, and its stamp.
    fn current_digest(&self) -> Option<(Stamp, Digest)> {
        let snapshot = self.current_snapshot()?;
        let digest = snapshot.digest.lock().clone();
        Some((snapshot.stamp, digest))
    }

    /// The snapshot of this stamp was found to be true.
    fn renew_digest(&self, stamp: Stamp, digest: Digest) {
        let snapshot = self.current_snapshot();
        if let Some(snapshot) = snapshot.filter(|snapshot| snapshot.stamp == stamp) {
            *snapshot.digest.lock() = digest;
        }
    }
}

/// What a statement does, by a snapshot of the catalog.
fn verdict(statement: &Statement, snapshot: Option<&Snapshot>) -> Verdict {
    let catalog = snapshot.map(|snapshot| &snapshot.catalog);
    let mut verdict = statement.parsed().judge(catalog);
    if let Some(catalog) = catalog {
        verdict.take_parameters(statement.parameter_types(), catalog);
    }
    verdict
}

/// What the configuration says of functions.
fn vouched(config: &Config) -> Vec<VouchedRow> {
    let rules = config.cache.functions.iter();
    rules
        .map(|(function, rule)| VouchedRow {
            function: function.clone(),
            reads: rule.reads.clone(),
            writes: rule.writes.clone(),
        })
        .collect()
}
