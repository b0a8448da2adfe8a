//! Puts a run's figures where people read them: the table in README.md, and bench/RESULTS.md.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::claims::{Claim, claims};
use super::model::{Report, Round, ScenarioReport};
use super::spread::number;
use super::table::scenario_table;
use crate::harness::{DIRECT, WARM};

/// What the table in README.md stands between.
const BEGIN: &str = "<!-- figures: written by pgkeel-bench publish -->";
const END: &str = "<!-- end of figures -->";

/// Writes both files below `root`.
///
/// # Errors
/// When the run is not fit to be published, README.md has no place for the table, or a file cannot be written.
pub fn publish(report: &Report, root: &Path) -> anyhow::Result<()> {
    ensure!(
        !report.settings.debug_build,
        "pgkeel was built without optimisation; publish a run of the release build"
    );
    let readme = root.join("README.md");
    let text = std::fs::read_to_string(&readme).context("cannot read README.md")?;
    let text = replace_table(&text, &claims_table(report))?;
    std::fs::write(&readme, text).context("cannot write README.md")?;
    let results = root.join("bench/RESULTS.md");
    std::fs::write(&results, results_page(report)).context("cannot write bench/RESULTS.md")
}

fn replace_table(readme: &str, table: &str) -> anyhow::Result<String> {
    let (before, rest) = readme
        .split_once(BEGIN)
        .with_context(|| format!("README.md has no line {BEGIN}"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("README.md has no line {END}"))?;
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// The promises and where they were measured.
fn claims_table(report: &Report) -> String {
    let mut text = format!("{}\n\n{}\n", circumstances(report), CLAIMS_HEAD);
    for claim in claims(report).iter().filter(|claim| claim.met.is_some()) {
        text.push_str(&claim_row(claim));
    }
    text
}

const CLAIMS_HEAD: &str = "| what | scenario | promised | measured: median (least to most) | |\n| --- | --- | --- | --- | --- |";

fn claim_row(claim: &Claim) -> String {
    format!(
        "| {} | {} | {} | {} | {} |\n",
        claim.what,
        claim.scenario,
        claim.promised,
        claim.measured(),
        claim.verdict()
    )
}

fn circumstances(report: &Report) -> String {
    let mut text = format!(
        "Measured on {} (commit {}): {}. Clients, proxies and PostgreSQL share the processors; sample application at scale {}.",
        report.started, report.machine.commit, report.machine, report.settings.scale
    );
    if report.machine.load_before > 0.5 {
        write!(
            text,
            " Others were at work on the machine (load average {} before the run), so the spread is wide.",
            report.machine.load_before
        )
        .unwrap_or(());
    }
    text
}

/// `bench/RESULTS.md`.
#[must_use]
pub fn results_page(report: &Report) -> String {
    let mut text = format!(
        "# Results of the last published run\n\nWritten by `pgkeel-bench publish` from the run's JSON; do not edit. \
         `make bench` makes a new run.\n\n{}\n\n",
        circumstances(report)
    );
    let settings = &report.settings;
    writeln!(
        text,
        "{} rounds; in each, every target has {} ms in each scenario, in turn, after {} ms of warm-up (but \
         `pgkeel-cold`, which is started anew each time). Ratios are of the same round: median (least to most). The run \
         took {:.0} s.\n",
        settings.rounds, settings.slice_ms, settings.warm_up_ms, report.seconds
    )
    .unwrap_or(());
    text.push_str("## Targets\n\n");
    for target in &report.targets {
        let about = match &target.left_out {
            Some(reason) => format!("**left out**: {reason}"),
            None => target.about.clone(),
        };
        writeln!(text, "- `{}`: {about}", target.name).unwrap_or(());
    }
    writeln!(text, "\n## Promised and measured\n\n{CLAIMS_HEAD}").unwrap_or(());
    for claim in claims(report) {
        text.push_str(&claim_row(&claim));
    }
    text.push_str("\n## Every scenario, pgkeel warm beside PostgreSQL alone\n\n");
    text.push_str(
        "| scenario | throughput, times | mean ms, direct | mean ms, pgkeel | p99 ms, direct | p99 ms, pgkeel | hit rate \
         | PostgreSQL's execution time, share left |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for scenario in &report.scenarios {
        text.push_str(&scenario_row(scenario).unwrap_or_default());
    }
    text.push_str("\n## Every target\n\n");
    for scenario in &report.scenarios {
        writeln!(
            text,
            "{}\n\n```text\n{}```\n",
            scenario.about,
            scenario_table(scenario)
        )
        .unwrap_or(());
    }
    text
}

fn scenario_row(scenario: &ScenarioReport) -> Option<String> {
    let (direct, warm) = (scenario.result(DIRECT)?, scenario.result(WARM)?);
    let milliseconds = |micros: f64| number(micros / 1_000.0);
    let left = scenario.ratio(WARM, DIRECT, Round::execution_each);
    Some(format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
        scenario.title,
        scenario.ratio(WARM, DIRECT, |round| Some(round.rate()))?,
        milliseconds(direct.latency.mean),
        milliseconds(warm.latency.mean),
        milliseconds(direct.latency.p99 as f64),
        milliseconds(warm.latency.p99 as f64),
        warm.hit_rate()
            .map_or_else(|| "-".to_owned(), |rate| format!("{:.1} %", rate * 100.0)),
        left.map_or_else(
            || "-".to_owned(),
            |left| format!("{} %", left.map(|share| share * 100.0))
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_replaced_and_the_rest_stays() {
        let readme = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let written = replace_table(&readme, "new").unwrap();
        assert_eq!(written, format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        // Again, so that a second run finds its place.
        assert_eq!(replace_table(&written, "new").unwrap(), written);
        assert!(replace_table("a\nb\n", "new").is_err());
        assert!(replace_table(&format!("a\n{BEGIN}\n"), "new").is_err());
    }
}
