//! A run as text for a terminal.

use std::fmt::Write as _;

use super::claims::claims;
use super::model::{Report, Round, ScenarioReport, TargetResult};
use super::spread::number;
use crate::harness::DIRECT;

/// A scenario: one line for each target.
#[must_use]
pub fn scenario_table(scenario: &ScenarioReport) -> String {
    let mut text = format!(
        "{} ({}): {} clients, {} protocol, {}\n",
        scenario.title, scenario.name, scenario.clients, scenario.protocol, scenario.pace
    );
    let head = [
        "target",
        "actions/s",
        "x direct (min to max)",
        "mean ms",
        "p50",
        "p99",
        "CPU us/stmt",
        "hits",
        "PG calls",
        "PG exec us",
    ];
    text.push_str(&line(&head.map(str::to_owned)));
    for result in &scenario.results {
        match &result.failed {
            Some(reason) => writeln!(text, "  {:<14}{reason}", result.target).unwrap_or(()),
            None => text.push_str(&line(&cells(scenario, result))),
        }
        if result.failures() > 0 {
            let mut errors = std::collections::BTreeMap::<&str, u64>::new();
            for (code, count) in result.rounds.iter().flat_map(|round| &round.errors) {
                *errors.entry(code).or_default() += count;
            }
            writeln!(text, "  {:<14}  failed actions: {errors:?}", "").unwrap_or(());
        }
    }
    text
}

fn cells(scenario: &ScenarioReport, result: &TargetResult) -> [String; 10] {
    let median = |figure: &dyn Fn(&Round) -> Option<f64>| {
        let spread = result.spread(figure);
        spread.map_or_else(|| "-".to_owned(), |spread| number(spread.median))
    };
    let ratio = scenario.ratio(&result.target, DIRECT, |round| Some(round.rate()));
    let milliseconds = |micros: f64| number(micros / 1_000.0);
    [
        result.target.clone(),
        median(&|round| Some(round.rate())),
        ratio.map_or_else(|| "-".to_owned(), |ratio| ratio.to_string()),
        milliseconds(result.latency.mean),
        milliseconds(result.latency.p50 as f64),
        milliseconds(result.latency.p99 as f64),
        median(&Round::target_cpu_each),
        result
            .hit_rate()
            .map_or_else(|| "-".to_owned(), |rate| format!("{:.1}%", rate * 100.0)),
        median(&Round::calls_each),
        median(&Round::execution_each),
    ]
}

fn line(cells: &[String; 10]) -> String {
    const WIDTHS: [usize; 10] = [14, 10, 23, 9, 8, 8, 12, 8, 9, 11];
    let mut text = String::from("  ");
    for (index, (cell, width)) in cells.iter().zip(WIDTHS).enumerate() {
        let written = if index == 0 {
            write!(text, "{cell:<width$}")
        } else {
            write!(text, "{cell:>width$}")
        };
        written.unwrap_or(());
    }
    text.push('\n');
    text
}

/// The promises, one line each.
#[must_use]
pub fn claims_text(report: &Report) -> String {
    let mut text = String::new();
    for claim in claims(report) {
        let verdict = match claim.met {
            Some(true) => "met    ",
            Some(false) => "NOT MET",
            None => "       ",
        };
        let promised = if claim.promised.is_empty() {
            String::new()
        } else {
            format!("; promised {}", claim.promised)
        };
        writeln!(
            text,
            "  {verdict} {} [{}]: {}{promised}",
            claim.what,
            claim.scenario,
            claim.measured()
        )
        .unwrap_or(());
    }
    text
}
