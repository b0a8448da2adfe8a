//! The numbers of the shared tier and of the fleet.

use super::{Exposition, Kind};
use crate::shared::Report;

/// A number: its name, what it is, and where it is in the report.
type Number = (&'static str, &'static str, fn(&Report) -> u64);

/// Writes them.
pub(super) fn shared(page: &mut Exposition, report: &Report) {
    for (kind, numbers) in [(Kind::Gauge, GAUGES), (Kind::Counter, COUNTERS)] {
        for (name, help, value) in numbers {
            page.family(name, kind, help);
            page.sample(&[], value(report));
        }
    }
    for (name, help, summary) in [
        (
            "shared_read_seconds",
            "How long reads of Redis took, by quantile.",
            &report.read,
        ),
        (
            "fleet_acknowledgement_seconds",
            "How long changes waited until every member knew, by quantile.",
            &report.acknowledgement,
        ),
    ] {
        page.family(name, Kind::Gauge, help);
        for (quantile, micros) in [
            ("0.5", summary.p50_us),
            ("0.9", summary.p90_us),
            ("0.99", summary.p99_us),
            ("1", summary.max_us),
        ] {
            page.sample(&[("quantile", quantile)], micros as f64 / 1e6);
        }
    }
}

const GAUGES: &[Number] = &[
    (
        "shared_linked",
        "1 if this instance is a member of its fleet.",
        |report| u64::from(report.linked),
    ),
    (
        "shared_serving",
        "1 if results of the shared tier may be served.",
        |report| u64::from(report.serving),
    ),
    (
        "shared_breaker_open",
        "1 if results are neither looked for in Redis nor stored there.",
        |report| u64::from(report.breaker_open),
    ),
    (
        "fleet_members",
        "Instances in the fleet, this one included.",
        |report| report.members,
    ),
];

const COUNTERS: &[Number] = &[
    (
        "fleet_joins_total",
        "How often this instance has joined its fleet.",
        |report| report.joins,
    ),
    (
        "shared_breaker_opened_total",
        "How often the breaker has opened.",
        |report| report.breaker_opened,
    ),
    (
        "shared_hits_total",
        "Results served from Redis.",
        |report| report.hits,
    ),
    (
        "shared_misses_total",
        "Results that were not in Redis.",
        |report| report.misses,
    ),
    (
        "shared_unreadable_total",
        "Values in Redis that could not be read.",
        |report| report.unreadable,
    ),
    (
        "shared_outdated_total",
        "Results in Redis that something had changed since.",
        |report| report.outdated,
    ),
    (
        "shared_skipped_total",
        "Reads that did not ask Redis.",
        |report| report.skipped,
    ),
    (
        "shared_failures_total",
        "Reads on which Redis failed or was too slow.",
        |report| report.failures,
    ),
    ("shared_fills_total", "Results stored in Redis.", |report| {
        report.fills
    }),
    (
        "shared_fills_dropped_total",
        "Results not sent to Redis.",
        |report| report.fills_dropped,
    ),
    (
        "shared_fills_failed_total",
        "Results that Redis did not take.",
        |report| report.fills_failed,
    ),
    (
        "shared_read_bytes_total",
        "Bytes read from Redis.",
        |report| report.bytes_read,
    ),
    (
        "shared_written_bytes_total",
        "Bytes written to Redis.",
        |report| report.bytes_written,
    ),
];
