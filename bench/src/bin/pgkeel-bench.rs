//! `pgkeel-bench`: the load-test harness of pgkeel.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand};
use pgkeel_bench::harness::{Scenario, Settings, run, standard_directory};
use pgkeel_bench::report::{Report, claims_text, compare, csv, html, publish, results_page};
use pgkeel_bench::trace::{Writer, record, record_day, replay_file};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Drives PostgreSQL, directly and through pgkeel and others, with the sample application's work
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios against all targets, on servers of their own, and write a report
    Run {
        #[command(flatten)]
        settings: Settings,
        /// The directory of the report: report.json, report.csv, report.html, RESULTS.md
        #[arg(long, default_value = "bench/report")]
        out: PathBuf,
    },
    /// Say whether a second run is worse than a first, beyond the noise of both; status 1 if it is
    Compare {
        /// report.json of the first run
        old: PathBuf,
        /// report.json of the second run
        new: PathBuf,
        /// How much worse is too much, such as 5%
        #[arg(long, default_value = "5%", value_parser = parse_percent)]
        fail_above: f64,
    },
    /// Write a run's figures into README.md and bench/RESULTS.md
    Publish {
        /// report.json of the run
        report: PathBuf,
        /// The root of the repository
        #[arg(long, default_value = ".")]
        root: PathBuf,
    },
    /// List the scenarios
    List {
        /// The directory of scenarios
        #[arg(long, default_value_os_t = standard_directory())]
        scenarios: PathBuf,
    },
    /// Stand between clients and a server and record what clients send, until stopped (Ctrl-C)
    Record {
        /// Where clients connect
        #[arg(long, default_value = "127.0.0.1:6434")]
        listen: String,
        /// The server: PostgreSQL or pgkeel
        #[arg(long, default_value = "127.0.0.1:6432")]
        upstream: String,
        /// The trace to write; it holds statements and parameters as they are
        #[arg(long, default_value = "traffic.trace.gz")]
        out: PathBuf,
    },
    /// Send recorded traffic to a server and report latencies
    Replay {
        /// The trace
        trace: PathBuf,
        /// Where to: a connection string
        #[arg(long)]
        url: String,
        /// How many times faster than it was recorded; 0: as fast as it goes
        #[arg(long, default_value_t = 1.0)]
        speed: f64,
    },
    /// Record the day's traffic that the standard set replays, from a private server
    Day {
        /// The trace to write
        #[arg(long, default_value_os_t = standard_directory().join("day.trace.gz"))]
        out: PathBuf,
        /// Size of the data
        #[arg(long, default_value_t = 1.0)]
        scale: f64,
    },
    /// Answer queries with the bytes that the server gave the first time: the physical limit, of no other use
    Floor {
        /// Where clients connect
        #[arg(long)]
        listen: String,
        /// The server
        #[arg(long)]
        upstream: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    match perform(command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pgkeel-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn perform(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run { settings, out } => {
            // To drop the run is to stop its servers.
            let report = tokio::select! {
                report = run(&settings) => report?,
                () = stopped() => return Ok(ExitCode::FAILURE),
            };
            write(&report, &out)?;
            println!("Promised and measured:\n{}", claims_text(&report));
            println!(
                "{:.0} s. Wrote {}",
                report.seconds,
                out.join("report.html").display()
            );
        }
        Command::Compare {
            old,
            new,
            fail_above,
        } => {
            let comparison = compare(&read(&old)?, &read(&new)?, fail_above)?;
            print!("{comparison}");
            if !comparison.passes() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Publish { report, root } => publish(&read(&report)?, &root)?,
        Command::List { scenarios } => {
            for scenario in Scenario::read_all(&scenarios)? {
                println!("{:<24}{}", scenario.name, scenario.title);
            }
        }
        Command::Record {
            listen,
            upstream,
            out,
        } => {
            let listener = TcpListener::bind(&listen)
                .await
                .with_context(|| format!("cannot listen on {listen}"))?;
            println!("recording what comes to {listen} for {upstream}, until Ctrl-C");
            record(listener, upstream, Writer::create(&out)?, stopped()).await?;
            println!("wrote {}", out.display());
        }
        Command::Replay { trace, url, speed } => show_replay(&trace, &url, speed).await?,
        Command::Day { out, scale } => {
            let day = record_day(&out, scale, None).await?;
            println!("wrote {}: {} requests", out.display(), day.requests());
        }
        Command::Floor { listen, upstream } => {
            pgkeel_bench::floor::serve(TcpListener::bind(&listen).await?, upstream).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn show_replay(trace: &Path, url: &str, speed: f64) -> anyhow::Result<()> {
    ensure!(
        speed.is_finite() && speed >= 0.0,
        "the speed is a number from 0 on"
    );
    let replayed = replay_file(trace, url, speed).await?;
    let latency = &replayed.latency;
    let milliseconds = |micros: u64| micros as f64 / 1_000.0;
    println!(
        "{} requests in {:.1} s, latency in ms: mean {:.2}, p50 {:.2}, p95 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2}",
        replayed.requests,
        replayed.elapsed.as_secs_f64(),
        latency.mean / 1_000.0,
        milliseconds(latency.p50),
        milliseconds(latency.p95),
        milliseconds(latency.p99),
        milliseconds(latency.p999),
        milliseconds(latency.max),
    );
    for (code, count) in &replayed.errors {
        println!("{count} requests failed with {code}");
    }
    Ok(())
}

async fn stopped() {
    let signals = || {
        anyhow::Ok((
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ))
    };
    match signals() {
        Ok((mut interrupt, mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without handlers the signals end us anyway.
        Err(_) => std::future::pending().await,
    }
}

fn write(report: &Report, out: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let files = [
        ("report.json", serde_json::to_string(report)?),
        ("report.csv", csv(report)),
        ("report.html", html(report)),
        ("RESULTS.md", results_page(report)),
    ];
    for (name, text) in files {
        std::fs::write(out.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no report", path.display()))
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text
        .trim()
        .strip_suffix('%')
        .unwrap_or(text)
        .trim()
        .parse()
        .ok();
    match number {
        Some(percent) if (0.0..1_000.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("give a percentage, such as 5%".to_owned()),
    }
}
