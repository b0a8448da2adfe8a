//! `/stats`: the sizes the running proxy knows, joined with the numbers of [`Metrics`].

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

use crate::{
    database::watch::Loads,
    observe::{Counter, Metrics, Route, Summary},
    reason::Reason,
};

/// The part of `/stats` that only the running proxy knows. All numbers are of this moment.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Client connections.
    pub clients: Clients,
    /// Pools of server connections, one for each database and user.
    pub pools: Vec<Pool>,
    /// The size of the cache.
    pub cache: CacheSize,
    /// How sure the cache is of seeing writes.
    pub freshness: Freshness,
    /// The shared tier and the fleet, if there is one.
    pub shared: Option<crate::shared::Report>,
    /// The catalog snapshots, one for each database seen so far.
    pub catalogs: Vec<CatalogNumbers>,
}

/// The catalog snapshot of one database.
#[derive(Clone, Debug, Serialize)]
pub struct CatalogNumbers {
    /// The address of the server.
    pub server: String,
    /// The database.
    pub database: String,
    /// Its number: another one for each snapshot. Zero: none was loaded yet.
    pub version: u64,
    /// How long ago it was loaded.
    pub age_seconds: u64,
    /// How often one was loaded, by cause.
    pub loads: Loads,
    /// Are results served by it, as far as changes made elsewhere are concerned?
    pub checked: bool,
}

/// Client connections.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Clients {
    /// All of them.
    pub connected: u64,
    /// Those that hold a server connection of their own.
    pub pinned: u64,
    /// Those that wait for one.
    pub waiting: u64,
}

/// The server connections of one database and user.
#[derive(Clone, Debug, Serialize)]
pub struct Pool {
    /// The address of the server.
    pub server: String,
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// Connections a client is using.
    pub active: u64,
    /// Connections nothing uses.
    pub idle: u64,
    /// Clients that wait for a connection.
    pub waiting: u64,
    /// The most connections it may open.
    pub max: u64,
    /// Connections that one client holds beyond a transaction, by reason.
    pub pins: BTreeMap<Cow<'static, str>, u64>,
}

/// The size of the cache.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CacheSize {
    /// As configured.
    pub enabled: bool,
    /// Results in it.
    pub entries: u64,
    /// The memory they take.
    pub bytes: u64,
    /// The memory they may take.
    pub max_bytes: u64,
}

/// How sure the cache is of seeing writes.
#[derive(Clone, Debug, Serialize)]
pub struct Freshness {
    /// Commit windows open now.
    pub windows_open: u64,
    /// Commit windows open now whose connection broke, so that their outcome is not known yet.
    pub orphan_windows: u64,
    /// Which writes the cache is sure to see, in words.
    pub coverage: Cow<'static, str>,
}

/// The whole of `/stats`.
#[derive(Debug, Serialize)]
pub(super) struct StatsPage<'a> {
    version: &'static str,
    uptime_seconds: u64,
    clients: Clients,
    pools: &'a [Pool],
    cache: CachePage,
    freshness: FreshnessPage<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared: Option<&'a crate::shared::Report>,
    catalogs: &'a [CatalogNumbers],
    bypass: BTreeMap<&'static str, u64>,
    counters: BTreeMap<&'static str, u64>,
    latency: BTreeMap<&'static str, Summary>,
}

#[derive(Debug, Serialize)]
struct CachePage {
    #[serde(flatten)]
    size: CacheSize,
    hits: u64,
    shared_hits: u64,
    coalesced: u64,
    misses: u64,
    bypasses: u64,
    writes: u64,
    hit_rate: f64,
    hit_rate_all: f64,
}

#[derive(Debug, Serialize)]
struct FreshnessPage<'a> {
    #[serde(flatten)]
    state: &'a Freshness,
    invalidations: u64,
    windows_rolled_back: u64,
}

/// Joins what the proxy knows with what was counted.
pub(super) fn page<'a>(stats: &'a Stats, metrics: &Metrics) -> StatsPage<'a> {
    let latency: BTreeMap<_, _> = Route::ALL
        .iter()
        .map(|route| (route.as_str(), metrics.latency(*route)))
        .collect();
    StatsPage {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: metrics.uptime().as_secs(),
        clients: stats.clients,
        pools: &stats.pools,
        cache: cache(stats.cache, |route| latency[route.as_str()].count),
        freshness: FreshnessPage {
            state: &stats.freshness,
            invalidations: metrics.count(Counter::Invalidations),
            windows_rolled_back: metrics.count(Counter::WindowsRolledBack),
        },
        shared: stats.shared.as_ref(),
        catalogs: &stats.catalogs,
        bypass: Reason::ALL
            .iter()
            .map(|reason| (reason.as_str(), metrics.bypasses(*reason)))
            .collect(),
        counters: Counter::ALL
            .iter()
            .map(|counter| (counter.as_str(), metrics.count(*counter)))
            .collect(),
        latency,
    }
}

fn cache(size: CacheSize, count: impl Fn(Route) -> u64) -> CachePage {
    let (hits, coalesced, misses) = (
        count(Route::Hit),
        count(Route::Coalesced),
        count(Route::Miss),
    );
    let (bypasses, writes) = (count(Route::Bypass), count(Route::Write));
    let shared_hits = count(Route::SharedHit);
    let saved = hits + coalesced + shared_hits;
    let cacheable = saved + misses;
    CachePage {
        size,
        hits,
        shared_hits,
        coalesced,
        misses,
        bypasses,
        writes,
        hit_rate: share(saved, cacheable),
        hit_rate_all: share(saved, cacheable + bypasses + writes),
    }
}

/// A part of a whole, from 0 to 1; 0 of nothing.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// Sizes for tests, with names that need escaping.
#[cfg(test)]
pub(super) fn sample() -> Stats {
    Stats {
        clients: Clients {
            connected: 12,
            pinned: 1,
            waiting: 2,
        },
        pools: vec![
            Pool {
                server: "db:5432".into(),
                database: "app".into(),
                user: "alice".into(),
                active: 3,
                idle: 4,
                waiting: 2,
                max: 20,
                pins: BTreeMap::from([("temporary_table".into(), 1)]),
            },
            Pool {
                server: "db:5432".into(),
                database: "back\\slash".into(),
                user: "quo\"te\nline".into(),
                active: 0,
                idle: 0,
                waiting: 0,
                max: 20,
                pins: BTreeMap::new(),
            },
        ],
        cache: CacheSize {
            enabled: true,
            entries: 7,
            bytes: 4096,
            max_bytes: 1 << 28,
        },
        freshness: Freshness {
            windows_open: 1,
            orphan_windows: 0,
            coverage: "writes through pgkeel only".into(),
        },
        shared: None,
        catalogs: vec![CatalogNumbers {
            server: "db:5432".into(),
            database: "quo\"ted".into(),
            version: 7,
            age_seconds: 60,
            loads: Loads {
                start: 1,
                statement: 2,
                elsewhere: 3,
            },
            checked: true,
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_nothing_are_zero() {
        let page = page(&sample(), &Metrics::new(1)).cache;
        assert_eq!((page.hit_rate, page.hit_rate_all), (0.0, 0.0));
    }

    #[test]
    fn every_reason_counter_and_route_is_listed() {
        let stats = sample();
        let metrics = Metrics::new(1);
        let page = serde_json::to_value(page(&stats, &metrics)).unwrap();
        assert_eq!(page["bypass"].as_object().unwrap().len(), Reason::ALL.len());
        assert_eq!(
            page["counters"].as_object().unwrap().len(),
            Counter::ALL.len()
        );
        assert_eq!(page["latency"].as_object().unwrap().len(), Route::ALL.len());
        assert_eq!(page["cache"]["max_bytes"], 1 << 28);
        assert_eq!(page["freshness"]["windows_open"], 1);
        assert_eq!(page["catalogs"][0]["loads"]["elsewhere"], 3);
        assert_eq!(page["freshness"]["invalidations"], 0);
    }
}
