//! The demo: the sample application on a private PostgreSQL, without and with pgkeel before it.
//!
//! It shows what pgkeel brings, and checks what it promises: every answer equal, no read stale.
//! The numbers are of this machine, where clients, proxy and server share the processors.

mod reached;
mod report;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::sandbox::{Postgres, Proxy, ProxyOptions};
use crate::workload::{Keys, Load, Outcome, compare, drive};
use reached::Reached;
use report::{CacheCounts, Measurement, Report};

/// A busy sales team: 1,200 changes a minute.
const WRITES_PER_SECOND: u32 = 20;

/// How often the live line changes.
const LIVE_INTERVAL: Duration = Duration::from_millis(200);

/// How long the server's caches are warmed before PostgreSQL alone is measured. pgkeel starts cold.
const WARM_UP: Duration = Duration::from_secs(1);

/// What to show.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Size of the data; 1.0 is 10,000 leads and 60,000 messages
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// Seconds to drive each of the two
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Connections that ask at the same time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub connections: u16,
    /// Exit after the report instead of staying up
    #[arg(long)]
    pub once: bool,
    /// The pgkeel program; by default the one next to this program
    #[arg(long)]
    pub pgkeel: Option<PathBuf>,
}

/// Did pgkeel keep its promises?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Every check passed.
    Kept,
    /// At least one did not; the report says which.
    Broken,
}

/// Runs the demo to its end, or for ever unless `once`: then the caller decides when to drop it,
/// which stops both servers.
///
/// # Errors
/// When a server or a statement fails.
pub async fn run(options: &Options) -> anyhow::Result<Verdict> {
    let binary = options.pgkeel.clone().map_or_else(binary_beside_us, Ok)?;
    let postgres = step("Starting a private PostgreSQL", start_postgres()).await?;
    step(
        "Creating the sample application's schema",
        pgkeel(&binary, &postgres, &["migrate"], &["up"]),
    )
    .await?;
    let scale = options.scale.to_string();
    step("Filling it", seed(&binary, &postgres, &scale)).await?;
    let proxy = ProxyOptions {
        upstream_url: postgres.url(),
        binary,
        ..ProxyOptions::default()
    };
    let proxy = step("Starting pgkeel before it", Proxy::start(&proxy)).await?;

    let report = measure(options, &postgres, &proxy).await?;
    print!("{report}");
    if !options.once {
        print!(
            "{}",
            report::invitation(&postgres.url(), &proxy.url(), &proxy.admin_url())
        );
        std::io::stdout().flush()?;
        std::future::pending::<()>().await;
    }
    Ok(report.verdict())
}

/// Unlike in tests, everything that makes a real server safe is on: the comparison is with that.
async fn start_postgres() -> anyhow::Result<Postgres> {
    Postgres::builder()
        .setting("fsync", "on")
        .setting("full_page_writes", "on")
        .start()
        .await
}

pub(crate) async fn seed(binary: &Path, postgres: &Postgres, scale: &str) -> anyhow::Result<()> {
    pgkeel(binary, postgres, &["seed"], &["--scale", scale]).await?;
    // Good plans from the first query on, rather than whenever autovacuum comes by.
    postgres
        .connect()
        .await?
        .batch_execute("VACUUM ANALYZE")
        .await?;
    Ok(())
}

async fn measure(options: &Options, postgres: &Postgres, proxy: &Proxy) -> anyhow::Result<Report> {
    let reached = Reached::open(postgres).await?;
    let keys = Arc::new(Keys::load(&postgres.connect().await?).await?);
    let load = Load {
        connections: options.connections.into(),
        duration: Duration::from_secs(options.seconds),
        writes_per_second: WRITES_PER_SECOND,
        seed: 42,
    };
    println!(
        "\nThe application's queries, {} connections, {} s each, {WRITES_PER_SECOND} writes a second:",
        load.connections, options.seconds,
    );
    let warm_up = Load {
        duration: WARM_UP,
        ..load
    };
    drive(&postgres.url(), &keys, warm_up, &Arc::default()).await?;

    let before = reached.count().await?;
    let outcome = live("PostgreSQL alone", &postgres.url(), &keys, load).await?;
    let direct = Measurement {
        outcome,
        reached: reached.count().await?.saturating_sub(before),
    };

    let cache_before = cache_counts(proxy).await?;
    let before = reached.count().await?;
    let outcome = live("through pgkeel", &proxy.url(), &keys, load).await?;
    let proxied = Measurement {
        outcome,
        reached: reached.count().await?.saturating_sub(before),
    };
    let cache = cache_counts(proxy).await?.since(&cache_before);

    let both = [&direct.outcome, &proxied.outcome];
    let comparison = step(
        "Asking both every query again and comparing",
        compare(&postgres.url(), &proxy.url(), &keys, &both),
    )
    .await?;
    Ok(Report {
        direct,
        proxied,
        cache,
        comparison,
        unit: reached.unit(),
    })
}

/// Drives a server and shows how far it is.
async fn live(name: &str, url: &str, keys: &Arc<Keys>, load: Load) -> anyhow::Result<Outcome> {
    let progress = Arc::new(AtomicU64::new(0));
    let driving = drive(url, keys, load, &progress);
    let mut driving = std::pin::pin!(driving);
    let start = Instant::now();
    let mut ticks = tokio::time::interval(LIVE_INTERVAL);
    loop {
        tokio::select! {
            outcome = &mut driving => {
                let outcome = outcome?;
                live_line(name, outcome.statements(), outcome.elapsed, LineEnd::Newline)?;
                return Ok(outcome);
            }
            _ = ticks.tick() => {
                let done = progress.load(Ordering::Relaxed);
                live_line(name, done, start.elapsed(), LineEnd::Overwrite)?;
            }
        }
    }
}

/// What stands at the end of a line of the live display.
#[derive(Clone, Copy, Eq, PartialEq)]
enum LineEnd {
    Newline,
    /// The next one takes its place; shown on a terminal only.
    Overwrite,
}

fn live_line(name: &str, done: u64, elapsed: Duration, end: LineEnd) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let rate = (done as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
    let text = format!(
        "  {name:<18} {:>10} queries in {:>4.1} s {:>9} a second",
        report::grouped(done),
        elapsed.as_secs_f64(),
        report::grouped(rate),
    );
    match (out.is_terminal(), end) {
        (true, LineEnd::Overwrite) => write!(out, "\r{text}")?,
        (true, LineEnd::Newline) => writeln!(out, "\r{text}")?,
        (false, LineEnd::Newline) => writeln!(out, "{text}")?,
        (false, LineEnd::Overwrite) => {}
    }
    out.flush()?;
    Ok(())
}

/// Says what is being done and how long it took.
async fn step<T>(name: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    print!("{name} ... ");
    std::io::stdout().flush()?;
    let start = Instant::now();
    let result = work.await;
    match &result {
        Ok(_) => println!("{:.1} s", start.elapsed().as_secs_f64()),
        Err(_) => println!("failed"),
    }
    result.with_context(|| name.to_owned())
}

/// Runs a sub-command of pgkeel on the private server; what it says is shown when it fails.
pub(crate) async fn pgkeel(
    binary: &Path,
    postgres: &Postgres,
    command: &[&str],
    arguments: &[&str],
) -> anyhow::Result<()> {
    let output = Command::new(binary)
        .args(command)
        .args(["--upstream", &postgres.url()])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run {}", binary.display()))?;
    ensure!(
        output.status.success(),
        "pgkeel {} failed ({}):\n{}{}",
        command.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Ok(())
}

async fn cache_counts(proxy: &Proxy) -> anyhow::Result<CacheCounts> {
    let stats = proxy.stats().await?;
    let count = |name: &str| {
        let value = stats.get("cache").and_then(|cache| cache.get(name));
        value
            .and_then(serde_json::Value::as_u64)
            .with_context(|| format!("/stats has no cache.{name}"))
    };
    Ok(CacheCounts {
        served: count("hits")? + count("coalesced")?,
        misses: count("misses")?,
    })
}

pub(crate) fn binary_beside_us() -> anyhow::Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name("pgkeel");
    ensure!(
        binary.exists(),
        "{} does not exist; build it first (make build)",
        binary.display()
    );
    Ok(binary)
}
