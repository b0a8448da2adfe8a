//! What is counted besides routes and reasons.

/// Something that is counted. It only ever grows while the proxy runs.
///
/// Variants are ordered alphabetically; [`Counter::as_str`] is the name in metrics and on the admin port.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(usize)]
pub enum Counter {
    /// Cancel requests taken from clients.
    CancelRequests,
    /// Changes of the catalog that were made elsewhere and noticed.
    CatalogChangesElsewhere,
    /// Catalog snapshots loaded.
    CatalogLoads,
    /// Catalog snapshots that could not be loaded.
    CatalogLoadsFailed,
    /// Client connections taken.
    ClientsAccepted,
    /// Client connections refused.
    ClientsRejected,
    /// Results stored in the cache.
    Fills,
    /// Results not stored because something they depend on had changed meanwhile.
    FillsRejected,
    /// Commit windows closed as committed.
    Invalidations,
    /// Clients that waited too long for a server connection.
    PoolWaitTimeouts,
    /// Results not stored because they were too large.
    ResultsTooLarge,
    /// Attempts to open a server connection made again after one that failed.
    RetriesConnect,
    /// Statements sent again after a deadlock.
    RetriesDeadlock,
    /// Requests that failed as often as they may be tried.
    RetriesExhausted,
    /// Reads sent again after their server connection was lost.
    RetriesLost,
    /// Statements sent again after a serialization failure.
    RetriesSerialization,
    /// Requests that succeeded when they were tried again.
    RetriesSucceeded,
    /// Server connections closed.
    ServerClosed,
    /// Server connections that could not be opened.
    ServerConnectsFailed,
    /// Server connections opened.
    ServerConnectsOk,
    /// Statements that took longer than the threshold.
    SlowQueries,
    /// Statements that reached PostgreSQL.
    UpstreamQueries,
    /// Transactions that ended without PostgreSQL having heard of them.
    VirtualTransactions,
    /// Commit windows closed as rolled back.
    WindowsRolledBack,
}

impl Counter {
    /// Every counter, in the order of the enum.
    pub const ALL: &'static [Self] = &[
        Self::CancelRequests,
        Self::CatalogChangesElsewhere,
        Self::CatalogLoads,
        Self::CatalogLoadsFailed,
        Self::ClientsAccepted,
        Self::ClientsRejected,
        Self::Fills,
        Self::FillsRejected,
        Self::Invalidations,
        Self::PoolWaitTimeouts,
        Self::ResultsTooLarge,
        Self::RetriesConnect,
        Self::RetriesDeadlock,
        Self::RetriesExhausted,
        Self::RetriesLost,
        Self::RetriesSerialization,
        Self::RetriesSucceeded,
        Self::ServerClosed,
        Self::ServerConnectsFailed,
        Self::ServerConnectsOk,
        Self::SlowQueries,
        Self::UpstreamQueries,
        Self::VirtualTransactions,
        Self::WindowsRolledBack,
    ];

    /// The name used in metrics and on the admin port.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CancelRequests => "cancel_requests",
            Self::CatalogChangesElsewhere => "catalog_changes_elsewhere",
            Self::CatalogLoads => "catalog_loads",
            Self::CatalogLoadsFailed => "catalog_loads_failed",
            Self::ClientsAccepted => "clients_accepted",
            Self::ClientsRejected => "clients_rejected",
            Self::Fills => "fills",
            Self::FillsRejected => "fills_rejected",
            Self::Invalidations => "invalidations",
            Self::PoolWaitTimeouts => "pool_wait_timeouts",
            Self::ResultsTooLarge => "results_too_large",
            Self::RetriesConnect => "retries_connect",
            Self::RetriesDeadlock => "retries_deadlock",
            Self::RetriesExhausted => "retries_exhausted",
            Self::RetriesLost => "retries_lost",
            Self::RetriesSerialization => "retries_serialization",
            Self::RetriesSucceeded => "retries_succeeded",
            Self::ServerClosed => "server_closed",
            Self::ServerConnectsFailed => "server_connects_failed",
            Self::ServerConnectsOk => "server_connects_ok",
            Self::SlowQueries => "slow_queries",
            Self::UpstreamQueries => "upstream_queries",
            Self::VirtualTransactions => "virtual_transactions",
            Self::WindowsRolledBack => "windows_rolled_back",
        }
    }

    /// What it counts, as the metrics page says it.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::CancelRequests => "Cancel requests taken from clients.",
            Self::CatalogChangesElsewhere => {
                "Changes of the catalog that were made elsewhere and noticed."
            }
            Self::CatalogLoads => "Catalog snapshots loaded.",
            Self::CatalogLoadsFailed => "Catalog snapshots that could not be loaded.",
            Self::ClientsAccepted => "Client connections taken.",
            Self::ClientsRejected => "Client connections refused.",
            Self::Fills => "Results stored in the cache.",
            Self::FillsRejected => {
                "Results not stored because something they depend on had changed meanwhile."
            }
            Self::Invalidations => "Commit windows closed as committed.",
            Self::PoolWaitTimeouts => "Clients that waited too long for a server connection.",
            Self::ResultsTooLarge => "Results not stored because they were too large.",
            Self::RetriesConnect => {
                "Attempts to open a server connection made again after one that failed."
            }
            Self::RetriesDeadlock => "Statements sent again after a deadlock.",
            Self::RetriesExhausted => "Requests that failed as often as they may be tried.",
            Self::RetriesLost => "Reads sent again after their server connection was lost.",
            Self::RetriesSerialization => "Statements sent again after a serialization failure.",
            Self::RetriesSucceeded => "Requests that succeeded when they were tried again.",
            Self::ServerClosed => "Server connections closed.",
            Self::ServerConnectsFailed => "Server connections that could not be opened.",
            Self::ServerConnectsOk => "Server connections opened.",
            Self::SlowQueries => "Statements that took longer than the threshold.",
            Self::UpstreamQueries => "Statements that reached PostgreSQL.",
            Self::VirtualTransactions => {
                "Transactions that ended without PostgreSQL having heard of them."
            }
            Self::WindowsRolledBack => "Commit windows closed as rolled back.",
        }
    }
}
