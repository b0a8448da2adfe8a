//! `/metrics`: the Prometheus text exposition format, version 0.0.4.
//!
//! Invariant: a family is written whole, its HELP and TYPE lines before its samples, as the format demands.

mod shared;

use std::{
    fmt::{Display, Write},
    time::Duration,
};

use super::stats::{CatalogNumbers, Pool, Stats};
use crate::{
    observe::{Counter, Metrics, Route},
    reason::Reason,
};

/// The media type of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The upper bounds of the latency buckets, in microseconds: 10 us to 10 s, in steps of 1, 2.5 and 5.
const BUCKETS: [u64; 19] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
    500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// All metrics.
pub(super) fn page(stats: &Stats, metrics: &Metrics) -> String {
    let mut page = Exposition {
        text: String::with_capacity(16 << 10),
        family: String::new(),
    };
    page.family(
        "build_info",
        Kind::Gauge,
        "The version that runs; always 1.",
    );
    page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.family("uptime_seconds", Kind::Gauge, "Time since the start.");
    page.sample(&[], metrics.uptime().as_secs());
    latencies(&mut page, metrics);
    counters(&mut page, metrics);
    gauges(&mut page, stats);
    if let Some(report) = &stats.shared {
        shared::shared(&mut page, report);
    }
    pools(&mut page, &stats.pools);
    catalogs(&mut page, &stats.catalogs);
    page.text
}

fn latencies(page: &mut Exposition, metrics: &Metrics) {
    page.family(
        "query_duration_seconds",
        Kind::Histogram,
        "Time from a statement to its whole answer, by route.",
    );
    for route in Route::ALL {
        let latency = metrics.distribution(*route);
        page.histogram(
            route.as_str(),
            &latency.cumulative(&BUCKETS.map(Duration::from_micros)),
            latency.count(),
            latency.sum(),
        );
    }
}

fn counters(page: &mut Exposition, metrics: &Metrics) {
    page.family(
        "bypass_total",
        Kind::Counter,
        "Statements not cached, by reason.",
    );
    for reason in Reason::ALL {
        page.sample(&[("reason", reason.as_str())], metrics.bypasses(*reason));
    }
    for counter in Counter::ALL {
        page.family(
            &format!("{}_total", counter.as_str()),
            Kind::Counter,
            counter.help(),
        );
        page.sample(&[], metrics.count(*counter));
    }
}

fn gauges(page: &mut Exposition, stats: &Stats) {
    let (clients, cache, freshness) = (&stats.clients, &stats.cache, &stats.freshness);
    for (name, help, value) in [
        (
            "clients_connected",
            "Client connections.",
            clients.connected,
        ),
        (
            "clients_pinned",
            "Clients that hold a server connection of their own.",
            clients.pinned,
        ),
        (
            "clients_waiting",
            "Clients that wait for a server connection.",
            clients.waiting,
        ),
        (
            "cache_enabled",
            "1 if the cache is switched on.",
            u64::from(cache.enabled),
        ),
        ("cache_entries", "Results in the cache.", cache.entries),
        ("cache_bytes", "Memory the results take.", cache.bytes),
        (
            "cache_max_bytes",
            "Memory the results may take.",
            cache.max_bytes,
        ),
        (
            "windows_open",
            "Commit windows open now.",
            freshness.windows_open,
        ),
        (
            "orphan_windows",
            "Commit windows open now whose outcome is not known yet.",
            freshness.orphan_windows,
        ),
    ] {
        page.family(name, Kind::Gauge, help);
        page.sample(&[], value);
    }
}

fn catalogs(page: &mut Exposition, catalogs: &[CatalogNumbers]) {
    page.family(
        "catalog_snapshot_loads_total",
        Kind::Counter,
        "Catalog snapshots loaded, by database and cause.",
    );
    for catalog in catalogs {
        let loads = catalog.loads;
        for (cause, value) in [
            ("start", loads.start),
            ("statement", loads.statement),
            ("elsewhere", loads.elsewhere),
        ] {
            let labels = [
                ("server", &*catalog.server),
                ("database", &catalog.database),
                ("cause", cause),
            ];
            page.sample(&labels, value);
        }
    }
    type Read = fn(&CatalogNumbers) -> u64;
    let gauges: [(&str, &str, Read); 3] = [
        (
            "catalog_snapshot_version",
            "The number of the catalog snapshot in use; 0 for none.",
            |catalog| catalog.version,
        ),
        (
            "catalog_snapshot_age_seconds",
            "How long ago the catalog snapshot was loaded.",
            |catalog| catalog.age_seconds,
        ),
        (
            "catalog_snapshot_checked",
            "1 while results are served as far as changes made elsewhere are concerned.",
            |catalog| catalog.checked.into(),
        ),
    ];
    for (name, help, read) in gauges {
        page.family(name, Kind::Gauge, help);
        for catalog in catalogs {
            let labels = [
                ("server", &*catalog.server),
                ("database", &catalog.database),
            ];
            page.sample(&labels, read(catalog));
        }
    }
}

fn pools(page: &mut Exposition, pools: &[Pool]) {
    page.family(
        "pool_connections",
        Kind::Gauge,
        "Server connections, by state.",
    );
    for pool in pools {
        for (state, value) in [("active", pool.active), ("idle", pool.idle)] {
            page.sample(
                &[
                    ("server", &pool.server),
                    ("database", &pool.database),
                    ("user", &pool.user),
                    ("state", state),
                ],
                value,
            );
        }
    }
    page.family(
        "pool_connections_max",
        Kind::Gauge,
        "The most server connections a pool may open.",
    );
    for pool in pools {
        page.sample(
            &[
                ("server", &pool.server),
                ("database", &pool.database),
                ("user", &pool.user),
            ],
            pool.max,
        );
    }
    page.family(
        "pool_waiting",
        Kind::Gauge,
        "Clients that wait for a connection of a pool.",
    );
    for pool in pools {
        page.sample(
            &[
                ("server", &pool.server),
                ("database", &pool.database),
                ("user", &pool.user),
            ],
            pool.waiting,
        );
    }
    page.family(
        "pool_pins",
        Kind::Gauge,
        "Connections one client holds beyond a transaction, by reason.",
    );
    for pool in pools {
        for (reason, value) in &pool.pins {
            page.sample(
                &[
                    ("server", &pool.server),
                    ("database", &pool.database),
                    ("user", &pool.user),
                    ("reason", reason),
                ],
                *value,
            );
        }
    }
}

// === The format ===

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A page being written.
struct Exposition {
    text: String,
    /// The family that samples belong to now.
    family: String,
}

impl Exposition {
    /// Starts a family. Its name gets the prefix `pgkeel_`; a help text has no line break and no backslash.
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        self.family = format!("pgkeel_{name}");
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let family = self.family.clone();
        self.line(format_args!("# HELP {family} {help}"));
        self.line(format_args!("# TYPE {family} {kind}"));
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.sample_of("", labels, value);
    }

    fn histogram(&mut self, route: &str, cumulative: &[u64], count: u64, sum: Duration) {
        for (bound, below) in BUCKETS.iter().zip(cumulative) {
            let bound = (*bound as f64 / 1e6).to_string();
            self.sample_of("_bucket", &[("route", route), ("le", &bound)], below);
        }
        self.sample_of("_bucket", &[("route", route), ("le", "+Inf")], count);
        self.sample_of("_sum", &[("route", route)], sum.as_secs_f64());
        self.sample_of("_count", &[("route", route)], count);
    }

    fn sample_of(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let family = self.family.clone();
        self.line(format_args!("{family}{suffix}{labels} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("writing to a string cannot fail");
    }
}

/// A label value: backslash, quote and line feed are escaped.
fn escape(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::{super::stats::sample, *};

    type Labels = BTreeMap<String, String>;

    /// A sample of the page: its name, labels and value.
    struct Sample {
        name: String,
        labels: Labels,
        value: f64,
    }

    /// Reads a page as strictly as the format is written, and panics on what breaks it.
    struct Page {
        types: BTreeMap<String, String>,
        samples: Vec<Sample>,
    }

    impl Page {
        fn read(text: &str) -> Self {
            assert!(text.ends_with('\n'));
            let mut page = Self {
                types: BTreeMap::new(),
                samples: Vec::new(),
            };
            let mut current = String::new();
            let mut helped = String::new();
            for line in text.lines() {
                if let Some(help) = line.strip_prefix("# HELP ") {
                    let (name, words) = help.split_once(' ').unwrap();
                    assert!(!words.is_empty() && !words.contains('\\'), "{line}");
                    helped = name.to_owned();
                } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                    let (name, kind) = kind.split_once(' ').unwrap();
                    assert_eq!(name, helped, "HELP comes first");
                    assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                    assert!(
                        page.types
                            .insert(name.to_owned(), kind.to_owned())
                            .is_none(),
                        "{name} twice"
                    );
                    current = name.to_owned();
                } else {
                    let sample = Sample::read(line);
                    assert_eq!(
                        page.family(&sample.name),
                        current,
                        "a family is written whole"
                    );
                    page.samples.push(sample);
                }
            }
            page
        }

        /// The family a sample belongs to. It must have a type.
        fn family(&self, name: &str) -> String {
            let histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix));
            if let Some(family) =
                histogram.filter(|family| self.types.get(*family).is_some_and(|t| t == "histogram"))
            {
                return family.to_owned();
            }
            assert!(self.types.contains_key(name), "{name} has no type");
            name.to_owned()
        }

        fn values(&self, name: &str, route: &str) -> Vec<f64> {
            self.samples
                .iter()
                .filter(|s| s.name == name && s.labels["route"] == route)
                .map(|s| s.value)
                .collect()
        }
    }

    impl Sample {
        fn read(line: &str) -> Self {
            let name_end = line.find(['{', ' ']).unwrap();
            let name = line[..name_end].to_owned();
            assert!(
                name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                "{line}"
            );
            let mut labels = Labels::new();
            let mut rest = &line[name_end..];
            while let Some(label) = rest.strip_prefix(['{', ',']) {
                let (label, quoted) = label.split_once("=\"").unwrap();
                let (value, after) = unescape(quoted);
                assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
                rest = after;
            }
            let value = rest
                .strip_prefix('}')
                .unwrap_or(rest)
                .strip_prefix(' ')
                .unwrap();
            Self {
                name,
                labels,
                value: value.parse().unwrap(),
            }
        }
    }

    /// The value before the closing quote, and the text after it.
    fn unescape(quoted: &str) -> (String, &str) {
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((index, character)) = characters.next() {
            match character {
                '"' => return (value, &quoted[index + 1..]),
                '\\' => match characters.next().unwrap().1 {
                    'n' => value.push('\n'),
                    escaped @ ('\\' | '"') => value.push(escaped),
                    other => panic!("\\{other} is not an escape"),
                },
                other => value.push(other),
            }
        }
        panic!("no closing quote in {quoted}");
    }

    fn busy() -> std::sync::Arc<Metrics> {
        let metrics = Metrics::new(2);
        for micros in [1, 10, 11, 90, 4_000, 4_000, 60_000_000] {
            metrics.record(Route::Hit, Duration::from_micros(micros));
        }
        metrics.record(Route::Miss, Duration::from_millis(3));
        metrics.bypass(Reason::NotARead);
        metrics.add(Counter::Fills, 5);
        metrics
    }

    #[test]
    fn the_page_is_well_formed_and_no_sample_repeats() {
        let page = Page::read(&super::page(&sample(), &busy()));
        let mut seen = HashSet::new();
        for sample in &page.samples {
            assert!(
                seen.insert((sample.name.clone(), sample.labels.clone())),
                "{} twice",
                sample.name
            );
        }
        assert!(Counter::ALL.iter().all(|counter| {
            page.types
                .contains_key(&format!("pgkeel_{}_total", counter.as_str()))
        }));
    }

    #[test]
    fn buckets_are_cumulative_and_end_with_the_count() {
        let page = Page::read(&super::page(&sample(), &busy()));
        for route in Route::ALL {
            let buckets = page.values("pgkeel_query_duration_seconds_bucket", route.as_str());
            let count = page.values("pgkeel_query_duration_seconds_count", route.as_str());
            assert_eq!(buckets.len(), BUCKETS.len() + 1);
            assert!(buckets.is_sorted(), "{buckets:?}");
            assert_eq!(buckets.last(), count.first());
        }
        let bounds: Vec<f64> = page
            .samples
            .iter()
            .filter(|sample| {
                sample
                    .labels
                    .get("route")
                    .is_some_and(|route| route == "hit")
            })
            .filter_map(|sample| sample.labels.get("le"))
            .map(|bound| bound.replace("+Inf", "inf").parse().unwrap())
            .collect();
        assert!(
            bounds.is_sorted() && bounds[0] == 0.00001 && bounds.last() == Some(&f64::INFINITY),
            "{bounds:?}"
        );
        let hits = page.values("pgkeel_query_duration_seconds_bucket", "hit");
        assert_eq!(&hits[..4], [2.0, 3.0, 3.0, 4.0]);
        assert_eq!(hits[BUCKETS.len() - 1..], [6.0, 7.0]);
        assert_eq!(
            page.values("pgkeel_query_duration_seconds_sum", "miss"),
            [0.003]
        );
    }

    #[test]
    fn labels_are_escaped() {
        let page = Page::read(&super::page(&sample(), &busy()));
        let pool = page.samples.iter().find(|sample| {
            sample
                .labels
                .get("database")
                .is_some_and(|name| name == "back\\slash")
        });
        assert_eq!(pool.unwrap().labels["user"], "quo\"te\nline");
    }
}
