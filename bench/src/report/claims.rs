//! What was promised, and what was measured.

use super::model::{Report, Round, ScenarioReport};
use super::spread::{Spread, number};
use crate::harness::{DIRECT, FLOOR, OFF, WARM};

/// A promise beside its measurement.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// What is measured.
    pub(crate) what: String,
    /// The title of the scenario.
    pub(crate) scenario: String,
    /// What was promised; empty for figures that nobody promised.
    pub(crate) promised: String,
    pub(crate) measured: Spread,
    /// What stands behind the numbers.
    pub(crate) unit: &'static str,
    /// None where nothing was promised.
    pub(crate) met: Option<bool>,
}

impl Claim {
    pub(crate) fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "",
        }
    }

    pub(crate) fn measured(&self) -> String {
        format!("{}{}", self.measured, self.unit)
    }
}

/// The scenarios that stand for the application as a whole.
const MIXES: [&str; 2] = ["application", "read_mostly"];

/// The pages and records that are read most.
const FREQUENT: [&str; 4] = [
    "lead_page",
    "lead_page_n_plus_one",
    "user_authentication",
    "lead_lookup",
];

/// Everything that a run can say of the promises. What was not measured is not there.
pub(crate) fn claims(report: &Report) -> Vec<Claim> {
    let mut claims = Vec::new();
    for name in FREQUENT {
        claims.extend(report.scenario(name).and_then(faster));
    }
    for name in MIXES {
        if let Some(scenario) = report.scenario(name) {
            claims.extend(of_mix(scenario));
        }
    }
    claims.extend(
        report
            .scenario("lead_lookup")
            .map(beside_floor)
            .into_iter()
            .flatten(),
    );
    claims.extend(
        report
            .scenario("sign_up_check")
            .map(beside_pooler)
            .into_iter()
            .flatten(),
    );
    claims
}

fn promise(
    scenario: &ScenarioReport,
    what: &str,
    least: f64,
    unit: &'static str,
    measured: Spread,
) -> Claim {
    Claim {
        what: what.to_owned(),
        scenario: scenario.title.clone(),
        promised: format!("at least {}{unit}", number(least)),
        measured,
        unit,
        met: Some(measured.median >= least),
    }
}

fn faster(scenario: &ScenarioReport) -> Option<Claim> {
    let measured = scenario.ratio(DIRECT, WARM, |round| Some(round.mean))?;
    Some(promise(
        scenario,
        "frequently read records: times as fast as direct",
        5.0,
        "",
        measured,
    ))
}

fn of_mix(scenario: &ScenarioReport) -> Vec<Claim> {
    let percent_less = |figure: fn(&Round) -> Option<f64>| {
        let share = scenario.ratio(WARM, DIRECT, figure)?;
        Some(share.map(|share| (1.0 - share) * 100.0))
    };
    let calls = percent_less(Round::calls_each);
    let execution = percent_less(Round::execution_each);
    let latency = percent_less(|round| Some(round.mean));
    let rate = scenario.ratio(WARM, DIRECT, |round| Some(round.rate()));
    let rate = rate.map(|ratio| ratio.map(|ratio| (ratio - 1.0) * 100.0));
    let hits = scenario
        .result(WARM)
        .and_then(|result| result.spread(Round::hit_rate));
    let hits = hits.map(|hits| hits.map(|share| share * 100.0));
    let rows = [
        (
            "PostgreSQL's load: fewer statements for the same work",
            60.0,
            calls,
        ),
        (
            "PostgreSQL's load: less execution time for the same work",
            60.0,
            execution,
        ),
        ("more throughput", 420.0, rate),
        ("hit rate, of all reads", 78.0, hits),
        ("lower average response time", 81.0, latency),
    ];
    let claims = rows.into_iter().filter_map(|(what, least, measured)| {
        Some(promise(scenario, what, least, " %", measured?))
    });
    claims.collect()
}

fn figure(scenario: &ScenarioReport, what: String, unit: &'static str, measured: Spread) -> Claim {
    Claim {
        what,
        scenario: scenario.title.clone(),
        promised: String::new(),
        measured,
        unit,
        met: None,
    }
}

/// A hit beside the physical limit of the socket.
fn beside_floor(scenario: &ScenarioReport) -> Vec<Claim> {
    let mean = scenario.ratio(WARM, FLOOR, |round| Some(round.mean));
    let cpu = scenario.ratio(WARM, FLOOR, Round::target_cpu_each);
    let rows = [
        ("a hit's latency in units of the floor's", mean),
        ("a hit's CPU time in units of the floor's", cpu),
    ];
    rows.into_iter()
        .filter_map(|(what, measured)| Some(figure(scenario, what.to_owned(), "", measured?)))
        .collect()
}

/// What the proxy costs on misses, beside PgBouncer, which does nothing but pass on.
fn beside_pooler(scenario: &ScenarioReport) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (target, words) in [
        (WARM, "a miss"),
        (OFF, "passing on, cache off"),
        ("pgbouncer", "PgBouncer"),
    ] {
        let result = scenario.result(target);
        if let Some(cpu) = result.and_then(|result| result.spread(Round::target_cpu_each)) {
            claims.push(figure(scenario, format!("CPU time of {words}"), " µs", cpu));
        }
        let more = scenario.ratio(target, DIRECT, |round| Some(round.mean));
        if let Some(more) = more {
            claims.push(figure(
                scenario,
                format!("latency of {words} in units of direct's"),
                "",
                more,
            ));
        }
    }
    claims
}
