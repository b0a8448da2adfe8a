//! A run as one page that needs nothing else: no scripts, no fonts, no network.

use std::fmt::Write as _;

use super::chart::{Bar, Scale, Series, bars, escape, lines};
use super::claims::claims;
use super::model::{Report, Round, ScenarioReport, TargetResult};
use super::spread::number;
use crate::harness::DIRECT;

const STYLE: &str = include_str!("page.css");

/// The page.
#[must_use]
pub fn html(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>pgkeel: load test</title><style>{STYLE}</style></head><body><main>\n"
    );
    page.push_str(&header(report));
    page.push_str(&claims_section(report));
    page.push_str(&overview(report));
    for scenario in &report.scenarios {
        page.push_str(&scenario_section(report, scenario));
    }
    page.push_str("</main></body></html>\n");
    page
}

fn header(report: &Report) -> String {
    let settings = &report.settings;
    let mut text = format!(
        "<header><h1>pgkeel: load test</h1><p>{}, {}. Sample application at scale {}; {} rounds, {} ms for each target \
         in each, after {} ms of warm-up. Clients, proxies and PostgreSQL share the processors.</p>",
        escape(&report.started),
        escape(&report.machine.to_string()),
        settings.scale,
        settings.rounds,
        settings.slice_ms,
        settings.warm_up_ms,
    );
    if report.machine.load_before > 0.5 {
        write!(
            text,
            "<p class=\"warning\">The load average was {} before the run began: others were at work on the machine. \
             Ratios within a round are meaningful, absolute figures less so.</p>",
            report.machine.load_before
        )
        .unwrap_or(());
    }
    if settings.debug_build {
        text.push_str(
            "<p class=\"warning\">pgkeel was built without optimisation: these are no figures.</p>",
        );
    }
    text.push_str("<ul class=\"legend\">");
    for (index, target) in report.targets.iter().enumerate() {
        let about = match &target.left_out {
            Some(reason) => format!("left out: {reason}"),
            None => target.about.clone(),
        };
        write!(
            text,
            "<li><span class=\"dot c{index}\"></span><b>{}</b> {}</li>",
            escape(&target.name),
            escape(&about)
        )
        .unwrap_or(());
    }
    text.push_str("</ul></header>\n");
    text
}

fn claims_section(report: &Report) -> String {
    let mut rows = String::new();
    for claim in claims(report) {
        let (class, verdict) = match claim.met {
            Some(true) => ("good", "met"),
            Some(false) => ("bad", "not met"),
            None => ("", ""),
        };
        write!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"{class}\">{verdict}</td></tr>",
            escape(&claim.what),
            escape(&claim.scenario),
            escape(&claim.promised),
            escape(&claim.measured()),
        )
        .unwrap_or(());
    }
    format!(
        "<section><h2>Promised and measured</h2><div class=\"scroll\"><table><tr><th>what</th><th>scenario</th>\
         <th>promised</th><th>measured: median (least to most)</th><th></th></tr>{rows}</table></div></section>\n"
    )
}

/// Throughput of every scenario and target, in units of direct's.
fn overview(report: &Report) -> String {
    let names: Vec<&str> = report
        .targets
        .iter()
        .map(|target| target.name.as_str())
        .collect();
    let mut text = String::from(
        "<section><h2>Throughput, times as much as direct</h2><div class=\"scroll\"><table><tr><th>scenario</th>",
    );
    for name in &names {
        write!(text, "<th>{}</th>", escape(name)).unwrap_or(());
    }
    text.push_str("</tr>");
    for scenario in &report.scenarios {
        let (link, title) = (escape(&scenario.name), escape(&scenario.title));
        write!(text, "<tr><td><a href=\"#{link}\">{title}</a></td>").unwrap_or(());
        for name in &names {
            let ratio = scenario.ratio(name, DIRECT, |round| Some(round.rate()));
            let cell = ratio.map_or_else(|| "-".to_owned(), |ratio| ratio.to_string());
            write!(text, "<td>{cell}</td>").unwrap_or(());
        }
        text.push_str("</tr>");
    }
    text.push_str("</table></div></section>\n");
    text
}

fn scenario_section(report: &Report, scenario: &ScenarioReport) -> String {
    let colour = |target: &str| {
        report
            .targets
            .iter()
            .position(|known| known.name == target)
            .unwrap_or(0)
    };
    let results: Vec<(usize, &TargetResult)> = scenario
        .results
        .iter()
        .filter(|result| result.failed.is_none())
        .map(|result| (colour(&result.target), result))
        .collect();
    let charts = [
        (
            "Actions a second",
            figure_bars("actions a second", &results, |round| Some(round.rate())),
        ),
        ("Latency in ms, by percentile", latency_curves(&results)),
        ("Actions a second over time (s)", timeline(&results)),
        ("Hit rate in %, by round", hit_rates(&results)),
        (
            "PostgreSQL: statements for each action",
            figure_bars(
                "statements that reach PostgreSQL",
                &results,
                Round::calls_each,
            ),
        ),
        (
            "PostgreSQL: execution time in µs for each action",
            figure_bars(
                "execution time in PostgreSQL",
                &results,
                Round::execution_each,
            ),
        ),
        (
            "CPU time of what stands between, in µs for each statement",
            figure_bars(
                "CPU time of what stands between",
                &results,
                Round::target_cpu_each,
            ),
        ),
    ];
    let mut text = format!(
        "<section id=\"{}\"><h2>{}</h2><p>{}</p><p class=\"small\">{} clients, {} protocol, {}.</p><div class=\"charts\">",
        escape(&scenario.name),
        escape(&scenario.title),
        escape(&scenario.about),
        scenario.clients,
        escape(&scenario.protocol),
        escape(&scenario.pace),
    );
    for (caption, svg) in charts.into_iter().filter(|(_, svg)| !svg.is_empty()) {
        write!(
            text,
            "<figure><figcaption>{caption}</figcaption>{svg}</figure>"
        )
        .unwrap_or(());
    }
    text.push_str("</div>");
    text.push_str(&table(scenario));
    text.push_str("</section>\n");
    text
}

fn figure_bars(
    title: &str,
    results: &[(usize, &TargetResult)],
    figure: impl Fn(&Round) -> Option<f64>,
) -> String {
    let values = results.iter().filter_map(|&(colour, result)| {
        Some(Bar {
            name: &result.target,
            colour,
            value: result.spread(&figure)?,
        })
    });
    let values: Vec<Bar<'_>> = values.collect();
    if values.is_empty() {
        String::new()
    } else {
        bars(title, &values)
    }
}

/// Percentiles on an axis where each nine takes the same room.
fn latency_curves(results: &[(usize, &TargetResult)]) -> String {
    let nines = |percentile: f64| -(1.0 - percentile / 100.0).max(1e-6).log10();
    let series: Vec<Series<'_>> = results
        .iter()
        .map(|&(colour, result)| Series {
            name: &result.target,
            colour,
            points: result
                .latency
                .curve
                .iter()
                .map(|(percentile, micros)| (nines(*percentile), *micros as f64 / 1_000.0))
                .collect(),
        })
        .collect();
    let up = Scale::decades(
        series
            .iter()
            .flat_map(|one| one.points.iter().map(|point| point.1)),
    );
    let labels = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99]
        .map(|percentile| (nines(percentile), format!("{percentile}")));
    lines(
        "latency by percentile",
        &series,
        Scale::Linear(0.0, 4.0),
        up,
        &labels,
    )
}

fn timeline(results: &[(usize, &TargetResult)]) -> String {
    let series: Vec<Series<'_>> = results
        .iter()
        .map(|&(colour, result)| Series {
            name: &result.target,
            colour,
            points: smooth(&result.timeline),
        })
        .collect();
    let points = || series.iter().flat_map(|one| &one.points);
    let (end, highest) = points().fold((0.1_f64, 0.0_f64), |(end, highest), point| {
        (end.max(point.0), highest.max(point.1))
    });
    let labels: Vec<(f64, String)> = (0..=4)
        .map(|quarter| {
            let value = end * f64::from(quarter) / 4.0;
            (value, number(value))
        })
        .collect();
    lines(
        "actions a second over time",
        &series,
        Scale::Linear(0.0, end),
        Scale::from_zero(highest),
        &labels,
    )
}

/// Each tenth of a second as the mean of the three around it.
fn smooth(timeline: &[f64]) -> Vec<(f64, f64)> {
    let at = |index: usize| {
        let around = &timeline[index.saturating_sub(1)..(index + 2).min(timeline.len())];
        around.iter().sum::<f64>() / around.len() as f64
    };
    (0..timeline.len())
        .map(|index| (index as f64 / 10.0, at(index)))
        .collect()
}

fn hit_rates(results: &[(usize, &TargetResult)]) -> String {
    let series = results.iter().filter_map(|&(colour, result)| {
        let rates = result
            .rounds
            .iter()
            .enumerate()
            .filter_map(|(number, round)| Some((number as f64 + 1.0, round.hit_rate()? * 100.0)));
        let points: Vec<(f64, f64)> = rates.collect();
        (!points.is_empty()).then_some(Series {
            name: &result.target,
            colour,
            points,
        })
    });
    let series: Vec<Series<'_>> = series.collect();
    if series.is_empty() {
        return String::new();
    }
    let rounds = results
        .iter()
        .map(|(_, result)| result.rounds.len())
        .max()
        .unwrap_or(1)
        .max(2);
    let step = rounds.div_ceil(6);
    let labels: Vec<(f64, String)> = (1..=rounds)
        .step_by(step)
        .map(|round| (round as f64, round.to_string()))
        .collect();
    lines(
        "hit rate by round",
        &series,
        Scale::Linear(1.0, rounds as f64),
        Scale::Linear(0.0, 100.0),
        &labels,
    )
}

fn table(scenario: &ScenarioReport) -> String {
    let mut text = String::from(
        "<details><summary>Figures</summary><div class=\"scroll\"><table><tr><th>target</th><th>actions/s</th><th>× direct</th>\
         <th>mean ms</th><th>p50</th><th>p95</th><th>p99</th><th>p99.9</th><th>max</th><th>hit rate</th><th>failed</th>\
         <th>never begun</th></tr>",
    );
    for result in &scenario.results {
        let name = escape(&result.target);
        if let Some(reason) = &result.failed {
            write!(
                text,
                "<tr><td>{name}</td><td colspan=\"11\">{}</td></tr>",
                escape(reason)
            )
            .unwrap_or(());
            continue;
        }
        let latency = &result.latency;
        let show = |spread: Option<super::Spread>| {
            spread.map_or_else(|| "-".to_owned(), |spread| spread.to_string())
        };
        let milliseconds = |micros: u64| number(micros as f64 / 1_000.0);
        let abandoned: u64 = result.rounds.iter().map(|round| round.abandoned).sum();
        let cells = [
            name,
            show(result.spread(|round| Some(round.rate()))),
            show(scenario.ratio(&result.target, DIRECT, |round| Some(round.rate()))),
            number(latency.mean / 1_000.0),
            milliseconds(latency.p50),
            milliseconds(latency.p95),
            milliseconds(latency.p99),
            milliseconds(latency.p999),
            milliseconds(latency.max),
            result
                .hit_rate()
                .map_or_else(|| "-".to_owned(), |rate| format!("{:.1} %", rate * 100.0)),
            result.failures().to_string(),
            abandoned.to_string(),
        ];
        text.push_str("<tr>");
        for cell in cells {
            write!(text, "<td>{cell}</td>").unwrap_or(());
        }
        text.push_str("</tr>");
    }
    text.push_str("</table></div></details>");
    text
}
