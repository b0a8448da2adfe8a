//! The data of a run, as it stands in `report.json`. Times are microseconds.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Machine, Spread};

/// Raised when the meaning of a field changes.
pub(crate) const VERSION: u32 = 1;

/// Where the curve of a latency distribution is sampled.
const CURVE: [f64; 17] = [
    1.0, 5.0, 10.0, 25.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9,
    99.99,
];

/// A run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Report {
    /// Of the data's form.
    pub version: u32,
    /// When it began, in UTC.
    pub started: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Where it ran.
    pub machine: Machine,
    /// How it ran.
    pub settings: RunSettings,
    /// What was driven.
    pub targets: Vec<TargetReport>,
    /// With what, and what came of it.
    pub scenarios: Vec<ScenarioReport>,
}

/// How a run was done.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RunSettings {
    /// Of the sample application's data.
    pub scale: f64,
    /// Rounds; in each, every target has one slice.
    pub rounds: usize,
    /// Length of a slice.
    pub slice_ms: u64,
    /// Length of the warm-up.
    pub warm_up_ms: u64,
    /// Of what is drawn.
    pub seed: u64,
    /// Was pgkeel built without optimisation?
    pub debug_build: bool,
}

/// A target.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TargetReport {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Why it did not take part.
    pub left_out: Option<String>,
}

/// A scenario.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ScenarioReport {
    /// The name of its file.
    pub name: String,
    /// A few words.
    pub title: String,
    /// What it shows.
    pub about: String,
    /// `simple`, `extended` or `prepared`.
    pub protocol: String,
    /// Connections.
    pub clients: usize,
    /// When actions begin, in words.
    pub pace: String,
    /// Does it change data?
    pub writes: bool,
    /// One for each target.
    pub results: Vec<TargetResult>,
}

/// What came of one target in one scenario.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TargetResult {
    /// The target's name.
    pub target: String,
    /// Why there is no result.
    pub failed: Option<String>,
    /// Slices.
    pub rounds: Vec<Round>,
    /// Of all rounds.
    pub latency: Latency,
    /// Of the actions that write, if any do.
    pub write_latency: Option<Latency>,
    /// Actions a second, in steps of 100 ms, one slice after the other.
    pub timeline: Vec<f64>,
}

/// A latency distribution.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: u64,
    /// 95 in 100 were faster.
    pub p95: u64,
    /// 99 in 100 were faster.
    pub p99: u64,
    /// 999 in 1000 were faster.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
    /// Percentile and latency.
    pub curve: Vec<(f64, u64)>,
}

/// One slice of one target.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Round {
    /// How long it took.
    pub seconds: f64,
    /// Actions that ended well.
    pub actions: u64,
    /// Statements of those.
    pub statements: u64,
    /// Due and never begun, in the open loop.
    pub abandoned: u64,
    /// Failed actions, by SQLSTATE.
    pub errors: BTreeMap<String, u64>,
    /// Mean latency.
    pub mean: f64,
    /// Median latency.
    pub p50: u64,
    /// 99 in 100 were faster.
    pub p99: u64,
    /// CPU time of what stands between, if it is ours to see.
    pub target_cpu: Option<u64>,
    /// CPU time of PostgreSQL.
    pub postgres_cpu: u64,
    /// Statements that PostgreSQL counted.
    pub calls: Option<u64>,
    /// Their execution time.
    pub execution: Option<u64>,
    /// Reads that the cache answered.
    pub served: Option<u64>,
    /// Reads that it might have answered.
    pub misses: Option<u64>,
    /// Reads that it may not answer.
    pub bypasses: Option<u64>,
}

impl Latency {
    /// Of a histogram of microseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            mean: histogram.mean(),
            p50: histogram.value_at_quantile(0.5),
            p95: histogram.value_at_quantile(0.95),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
            curve: CURVE
                .iter()
                .map(|&percentile| (percentile, histogram.value_at_percentile(percentile)))
                .collect(),
        }
    }
}

impl Round {
    /// Actions a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.actions as f64 / self.seconds
    }

    /// CPU time of what stands between, for each statement.
    #[must_use]
    pub fn target_cpu_each(&self) -> Option<f64> {
        Some(self.target_cpu? as f64 / self.statements as f64)
    }

    /// CPU time of PostgreSQL for each action.
    #[must_use]
    pub fn postgres_cpu_each(&self) -> f64 {
        self.postgres_cpu as f64 / self.actions as f64
    }

    /// Statements that reached PostgreSQL, for each action.
    #[must_use]
    pub fn calls_each(&self) -> Option<f64> {
        Some(self.calls? as f64 / self.actions as f64)
    }

    /// Execution time in PostgreSQL for each action.
    #[must_use]
    pub fn execution_each(&self) -> Option<f64> {
        Some(self.execution? as f64 / self.actions as f64)
    }

    /// The share of all reads that the cache answered; those that it may not answer count against it.
    #[must_use]
    pub fn hit_rate(&self) -> Option<f64> {
        let reads = self.served? + self.misses? + self.bypasses?;
        (reads > 0).then(|| self.served.unwrap_or(0) as f64 / reads as f64)
    }

    /// Actions that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl TargetResult {
    /// The spread of a figure over the rounds.
    #[must_use]
    pub fn spread(&self, figure: impl Fn(&Round) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(figure))
    }

    /// The share of reads that the cache answered in all rounds together.
    #[must_use]
    pub fn hit_rate(&self) -> Option<f64> {
        let sum = |figure: fn(&Round) -> Option<u64>| -> Option<u64> {
            self.rounds.iter().map(figure).sum()
        };
        let total = Round {
            served: Some(sum(|round| round.served)?),
            misses: Some(sum(|round| round.misses)?),
            bypasses: Some(sum(|round| round.bypasses)?),
            ..Round::default()
        };
        total.hit_rate()
    }

    /// Failed actions of all rounds.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.rounds.iter().map(Round::failures).sum()
    }
}

impl ScenarioReport {
    /// The result of a target that has one.
    #[must_use]
    pub fn result(&self, target: &str) -> Option<&TargetResult> {
        let mut results = self.results.iter();
        results.find(|result| result.target == target && result.failed.is_none())
    }

    /// A figure of one target in units of another's, round by round.
    #[must_use]
    pub fn ratio(
        &self,
        target: &str,
        unit: &str,
        figure: impl Fn(&Round) -> Option<f64>,
    ) -> Option<Spread> {
        let (target, unit) = (self.result(target)?, self.result(unit)?);
        let rounds = target.rounds.iter().zip(&unit.rounds);
        Spread::of_ratios(rounds.filter_map(|(one, other)| Some((figure(one)?, figure(other)?))))
    }
}

impl Report {
    /// A scenario by its name.
    #[must_use]
    pub fn scenario(&self, name: &str) -> Option<&ScenarioReport> {
        self.scenarios.iter().find(|scenario| scenario.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_answered_counts_against_the_hit_rate() {
        let round = Round {
            served: Some(6),
            misses: Some(2),
            bypasses: Some(2),
            ..Round::default()
        };
        assert_eq!(round.hit_rate(), Some(0.6));
        assert_eq!(Round::default().hit_rate(), None);
        let idle = Round {
            served: Some(0),
            misses: Some(0),
            bypasses: Some(0),
            ..Round::default()
        };
        assert_eq!(idle.hit_rate(), None);
    }
}
