//! Two runs beside each other: did pgkeel become slower?
//!
//! Wall-clock times of different runs say more about the machine than about the program. So each figure is in units of
//! what PostgreSQL alone did in the same round, and two runs differ only where their spreads do not touch.

use std::fmt;

use super::model::{Report, Round, ScenarioReport};
use super::spread::{Spread, number};
use crate::harness::{DIRECT, FLOOR};

/// The outcome.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Every figure that both runs have.
    pub figures: Vec<Compared>,
    /// What makes the runs differ beside the program, and what could not be compared.
    pub notes: Vec<String>,
    /// How much worse is too much, such as 0.05.
    limit: f64,
}

/// A figure in both runs.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The scenario.
    pub scenario: String,
    /// The target.
    pub target: String,
    kind: Kind,
    old: Spread,
    new: Spread,
}

/// What is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// CPU time of what stands between, beside PostgreSQL's when nothing does.
    Cpu,
    /// Mean latency beside PostgreSQL alone.
    Latency,
    /// Actions a second beside PostgreSQL alone.
    Throughput,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Cpu, Self::Latency, Self::Throughput];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "CPU of the proxy / PostgreSQL's when direct",
            Self::Latency => "mean latency / direct",
            Self::Throughput => "throughput / direct",
        }
    }

    const fn is_better_high(self) -> bool {
        matches!(self, Self::Throughput)
    }

    fn of(self, scenario: &ScenarioReport, target: &str) -> Option<Spread> {
        match self {
            Self::Cpu => {
                let (target, direct) = (scenario.result(target)?, scenario.result(DIRECT)?);
                let cpu = |round: &Round| Some(round.target_cpu? as f64 / round.actions as f64);
                let rounds = target.rounds.iter().zip(&direct.rounds);
                let pairs =
                    rounds.filter_map(|(one, other)| Some((cpu(one)?, other.postgres_cpu_each())));
                Spread::of_ratios(pairs)
            }
            Self::Latency => scenario.ratio(target, DIRECT, |round| Some(round.mean)),
            Self::Throughput => scenario.ratio(target, DIRECT, |round| Some(round.rate())),
        }
    }
}

/// Compares the runs' pgkeel targets; `limit` is how much worse is too much, such as 0.05.
///
/// # Errors
/// When they have nothing in common.
pub fn compare(old: &Report, new: &Report, limit: f64) -> anyhow::Result<Comparison> {
    let mut notes = Vec::new();
    if (&old.machine.cpu, old.machine.cores) != (&new.machine.cpu, new.machine.cores) {
        notes.push(format!(
            "different machines: {} and {}",
            old.machine, new.machine
        ));
    }
    if old.machine.postgres != new.machine.postgres {
        notes.push("different versions of PostgreSQL".to_owned());
    }
    if (old.settings.scale - new.settings.scale).abs() > f64::EPSILON {
        notes.push("different sizes of data: ratios to direct cannot be the same".to_owned());
    }
    let mut figures = Vec::new();
    for scenario in &old.scenarios {
        let Some(other) = new.scenario(&scenario.name) else {
            notes.push(format!("{}: not in the second run", scenario.name));
            continue;
        };
        for result in &scenario.results {
            if [DIRECT, FLOOR].contains(&result.target.as_str())
                || !result.target.starts_with("pgkeel")
            {
                continue;
            }
            if result.failed.is_none() && other.result(&result.target).is_none() {
                notes.push(format!(
                    "{}: no result of {} in the second run",
                    scenario.name, result.target
                ));
            }
            figures.extend(both(scenario, other, &result.target));
            let failures = |scenario: &ScenarioReport| {
                scenario
                    .result(&result.target)
                    .map_or(0, |result| result.failures())
            };
            if failures(scenario) == 0 && failures(other) > 0 {
                notes.push(format!(
                    "{}: {} has errors in the second run only",
                    scenario.name, result.target
                ));
            }
        }
    }
    anyhow::ensure!(
        !figures.is_empty(),
        "the runs have no scenario and target in common"
    );
    Ok(Comparison {
        figures,
        notes,
        limit,
    })
}

/// In an open loop the rate is given, and latency is what tells; in a closed one either follows from the other.
fn both(old: &ScenarioReport, new: &ScenarioReport, target: &str) -> Vec<Compared> {
    let is_open = old.pace.starts_with("open") || old.pace.starts_with("recorded");
    let speed = if is_open {
        Kind::Latency
    } else {
        Kind::Throughput
    };
    let compared = [speed, Kind::Cpu].into_iter().filter_map(|kind| {
        Some(Compared {
            scenario: old.name.clone(),
            target: target.to_owned(),
            kind,
            old: kind.of(old, target)?,
            new: kind.of(new, target)?,
        })
    });
    compared.collect()
}

impl Compared {
    /// How much worse the median is: 0.1 is a tenth, a negative number is better.
    fn worse(&self) -> f64 {
        if self.kind.is_better_high() {
            self.old.median / self.new.median - 1.0
        } else {
            self.new.median / self.old.median - 1.0
        }
    }

    /// Is even the best of the new rounds worse than the worst of the old, by more than the limit?
    fn is_regression(&self, limit: f64) -> bool {
        if self.kind.is_better_high() {
            self.new.max < self.old.min / (1.0 + limit)
        } else {
            self.new.min > self.old.max * (1.0 + limit)
        }
    }
}

impl Comparison {
    /// What has become worse, beyond the spread of both runs.
    #[must_use]
    pub fn regressions(&self) -> Vec<&Compared> {
        let figures = self.figures.iter();
        figures
            .filter(|figure| figure.is_regression(self.limit))
            .collect()
    }

    /// Kinds of figures of which three in four are worse by more than the limit: a small loss everywhere is one too,
    /// though it hides in each single spread.
    fn broad_regressions(&self) -> Vec<(Kind, f64)> {
        let kinds = Kind::ALL.into_iter().filter_map(|kind| {
            let quartile = self.quartile(kind)?;
            (quartile > self.limit).then_some((kind, quartile))
        });
        kinds.collect()
    }

    /// How much worse a quarter of the figures are at most.
    fn quartile(&self, kind: Kind) -> Option<f64> {
        const FIGURES_MIN: usize = 8;
        let figures = self.figures.iter().filter(|figure| figure.kind == kind);
        let mut worse: Vec<f64> = figures.map(Compared::worse).collect();
        worse.sort_by(f64::total_cmp);
        (worse.len() >= FIGURES_MIN).then(|| worse[worse.len() / 4])
    }

    /// Is the second run as good as the first?
    #[must_use]
    pub fn passes(&self) -> bool {
        self.regressions().is_empty() && self.broad_regressions().is_empty()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for figure in self.regressions() {
            writeln!(
                f,
                "worse: {} {}: {}: {} before, {} now",
                figure.scenario,
                figure.target,
                figure.kind.as_str(),
                figure.old,
                figure.new
            )?;
        }
        for (kind, quartile) in self.broad_regressions() {
            let percent = number(quartile * 100.0);
            writeln!(
                f,
                "worse: {}: three in four figures by more than {percent} %",
                kind.as_str()
            )?;
        }
        for kind in Kind::ALL {
            let figures = self.figures.iter().filter(|figure| figure.kind == kind);
            if let Some(change) = Spread::of(figures.map(|figure| figure.worse() * 100.0)) {
                writeln!(
                    f,
                    "{}: change of the median {:+.1} % (best {:+.1} %, worst {:+.1} %; above 0 is worse)",
                    kind.as_str(),
                    change.median,
                    change.min,
                    change.max
                )?;
            }
        }
        let verdict = if self.passes() { "passed" } else { "FAILED" };
        let percent = number(self.limit * 100.0);
        writeln!(
            f,
            "{verdict}: {} figures compared, more than {percent} % worse beyond the spread of both runs fails",
            self.figures.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Latency, Machine, RunSettings, TargetResult};

    /// Five rounds in each of ten scenarios: direct does 1,000 a second, pgkeel `rates`, at about `cpu` microseconds
    /// each. A machine that is `noise` times as fast does so many times as much.
    fn report(rates: [u64; 5], cpu: u64, noise: u64) -> Report {
        let round = |actions: u64, target_cpu| Round {
            seconds: 1.0,
            actions,
            statements: actions,
            mean: 1e6 / actions as f64,
            postgres_cpu: 500_000,
            target_cpu,
            ..Round::default()
        };
        let result = |target: &str, rounds| TargetResult {
            target: target.to_owned(),
            failed: None,
            rounds,
            latency: Latency::default(),
            write_latency: None,
            timeline: Vec::new(),
        };
        // A slice is busy to its end, however much is done in it.
        let warm = rates.map(|rate| round(rate * noise, Some(5_000 * cpu)));
        let scenario = |number: usize| ScenarioReport {
            name: format!("s{number}"),
            title: String::new(),
            about: String::new(),
            protocol: "simple".into(),
            clients: 1,
            pace: "closed loop".into(),
            writes: false,
            results: vec![
                result(DIRECT, vec![round(1_000 * noise, None); 5]),
                result("pgkeel-warm", warm.to_vec()),
            ],
        };
        Report {
            version: 1,
            started: String::new(),
            seconds: 1.0,
            machine: Machine::default(),
            settings: RunSettings {
                scale: 1.0,
                rounds: 5,
                slice_ms: 1,
                warm_up_ms: 1,
                seed: 1,
                debug_build: false,
            },
            targets: Vec::new(),
            scenarios: (0..10).map(scenario).collect(),
        }
    }

    const STEADY: [u64; 5] = [4_900, 5_000, 5_100, 4_950, 5_050];

    fn passes(old: &Report, new: &Report) -> bool {
        let comparison = compare(old, new, 0.05).unwrap();
        assert!(!comparison.to_string().is_empty());
        comparison.passes()
    }

    #[test]
    fn the_same_program_on_a_slower_machine_passes() {
        let old = report(STEADY, 10, 1);
        assert!(passes(&old, &old));
        assert!(passes(&report(STEADY, 10, 3), &old));
        assert!(passes(
            &old,
            &report([4_500, 5_100, 5_600, 4_800, 5_200], 10, 1)
        ));
    }

    #[test]
    fn what_is_slower_beyond_the_spread_fails_and_what_is_faster_passes() {
        let old = report(STEADY, 10, 1);
        let slow = report(STEADY.map(|rate| rate * 8 / 10), 10, 1);
        assert!(!passes(&old, &slow));
        assert!(passes(&slow, &old));
        let comparison = compare(&old, &slow, 0.05).unwrap();
        // Throughput and CPU time of each scenario.
        assert_eq!(comparison.regressions().len(), 20);
    }

    #[test]
    fn a_little_more_cpu_everywhere_fails_though_no_spread_shows_it() {
        let wide = [3_000, 4_000, 5_000, 6_000, 7_000];
        let (old, new) = (report(wide, 100, 1), report(wide, 112, 1));
        let comparison = compare(&old, &new, 0.05).unwrap();
        assert!(comparison.regressions().is_empty());
        assert!(!comparison.passes(), "{comparison}");
    }

    #[test]
    fn runs_with_nothing_in_common_cannot_be_compared() {
        let old = report(STEADY, 10, 1);
        let mut new = old.clone();
        new.scenarios.clear();
        assert!(compare(&old, &new, 0.05).is_err());
    }
}
