//! A run as CSV: one line for each round of each target in each scenario.

use std::fmt::Write as _;

use super::model::Report;

/// The whole run. Times are microseconds; what was not measured is empty.
#[must_use]
pub fn csv(report: &Report) -> String {
    let mut text = String::from(
        "scenario,target,round,seconds,actions,statements,abandoned,failed,mean,p50,p99,target_cpu,postgres_cpu,\
         postgres_calls,postgres_execution,served,misses,bypasses\n",
    );
    let optional = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    for scenario in &report.scenarios {
        for result in &scenario.results {
            for (number, round) in result.rounds.iter().enumerate() {
                // Names of scenarios and targets hold neither commas nor quotes: files and words of ours.
                writeln!(
                    text,
                    "{},{},{},{:.6},{},{},{},{},{:.3},{},{},{},{},{},{},{},{},{}",
                    scenario.name,
                    result.target.replace([',', '"'], "_"),
                    number + 1,
                    round.seconds,
                    round.actions,
                    round.statements,
                    round.abandoned,
                    round.failures(),
                    round.mean,
                    round.p50,
                    round.p99,
                    optional(round.target_cpu),
                    round.postgres_cpu,
                    optional(round.calls),
                    optional(round.execution),
                    optional(round.served),
                    optional(round.misses),
                    optional(round.bypasses),
                )
                .unwrap_or(());
            }
        }
    }
    text
}
