//! How long one kind of work took: a histogram of fixed size in microseconds, and the exact sum.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The shortest and the longest time that is told apart, in microseconds: 1 us and 1 h. Others count as these.
const SHORTEST: u64 = 1;
const LONGEST: u64 = 3_600_000_000;

/// A value is kept to three significant digits.
const DIGITS: u8 = 3;

/// Durations of one kind of work.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    sum: Duration,
}

/// A distribution in short. Times are microseconds, kept to three significant digits; all zero if nothing was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// How many were recorded.
    pub count: u64,
    /// Their mean.
    pub mean_us: f64,
    /// The shortest.
    pub min_us: u64,
    /// The median.
    pub p50_us: u64,
    /// 90 % took at most this long.
    pub p90_us: u64,
    /// 95 % took at most this long.
    pub p95_us: u64,
    /// 99 % took at most this long.
    pub p99_us: u64,
    /// 99.9 % took at most this long.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// Nothing recorded yet.
    #[must_use]
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(SHORTEST, LONGEST, DIGITS)
            .expect("the bounds and the digits are constants that a histogram can have");
        Self {
            histogram,
            sum: Duration::ZERO,
        }
    }

    /// Records one. Never allocates: the histogram has all its buckets, and what lies beyond them counts in the last.
    pub fn record(&mut self, elapsed: Duration) {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.histogram
            .saturating_record(micros.clamp(SHORTEST, LONGEST));
        self.sum = self.sum.saturating_add(elapsed);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.histogram
            .add(&other.histogram)
            .expect("every histogram here has the same bounds");
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// How many took at most each of these times. The bounds must ascend.
    #[must_use]
    pub fn cumulative(&self, bounds: &[Duration]) -> Vec<u64> {
        let mut recorded = self.histogram.iter_recorded().peekable();
        let mut seen = 0;
        bounds
            .iter()
            .map(|bound| {
                let bound = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
                // A bucket holds equivalent values; it belongs to a bound that is among them.
                while let Some(bucket) = recorded.next_if(|bucket| {
                    self.histogram.lowest_equivalent(bucket.value_iterated_to()) <= bound
                }) {
                    seen += bucket.count_at_value();
                }
                seen
            })
            .collect()
    }

    /// The distribution in short.
    #[must_use]
    pub fn summary(&self) -> Summary {
        if self.histogram.is_empty() {
            return Summary::default();
        }
        let at = |quantile| self.histogram.value_at_quantile(quantile);
        Summary {
            count: self.count(),
            mean_us: self.sum.as_nanos() as f64 / 1e3 / self.count() as f64,
            min_us: self.histogram.min(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.histogram.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(micros: impl IntoIterator<Item = u64>) -> Latency {
        let mut latency = Latency::new();
        for micros in micros {
            latency.record(Duration::from_micros(micros));
        }
        latency
    }

    #[test]
    fn a_summary_tells_the_distribution() {
        let summary = latency(1..=1_000).summary();
        assert_eq!(
            summary,
            Summary {
                count: 1_000,
                mean_us: 500.5,
                min_us: 1,
                p50_us: 500,
                p90_us: 900,
                p95_us: 950,
                p99_us: 990,
                p999_us: 999,
                max_us: 1_000,
            }
        );
        assert_eq!(latency([]).summary(), Summary::default());
    }

    #[test]
    fn what_is_out_of_range_counts_at_the_edge() {
        let mut latency = Latency::new();
        latency.record(Duration::ZERO);
        latency.record(Duration::MAX);
        latency.record(Duration::MAX);
        let summary = latency.summary();
        assert_eq!((summary.count, summary.min_us), (3, 1));
        assert!(
            (LONGEST..LONGEST + LONGEST / 1_000).contains(&summary.max_us),
            "{}",
            summary.max_us
        );
        assert_eq!(latency.sum(), Duration::MAX);
    }

    #[test]
    fn cumulative_counts_include_their_bound() {
        let latency = latency([1, 10, 11, 100, 2_500, 2_502, 10_000_000]);
        let bounds = [10, 100, 2_500, 1_000_000, 10_000_000].map(Duration::from_micros);
        assert_eq!(latency.cumulative(&bounds), [2, 4, 5, 6, 7]);
        assert_eq!(latency.cumulative(&[Duration::ZERO, Duration::MAX]), [0, 7]);
    }

    #[test]
    fn adding_loses_nothing() {
        let mut sum = latency(1..=500);
        sum.add(&latency(501..=1_000));
        assert_eq!(sum.summary(), latency(1..=1_000).summary());
    }
}
