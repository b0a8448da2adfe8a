//! A whole run: servers, data, then scenario after scenario, round after round.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::counters::{Counters, Reading};
use super::drive::{Crew, Slice};
use super::outcome::Outcome;
use super::player::{Player, Work};
use super::progress::Progress;
use super::scenario::{Pace, Scenario};
use super::session::Plan;
use super::target::{self, Programs, STANDARD, Target, database_name};
use super::values::Pools;
use crate::demo;
use crate::report::{
    Machine, Report, RunSettings, ScenarioReport, TargetReport, VERSION, now, scenario_table,
};
use crate::sandbox::{Postgres, connect};
use crate::trace::Recorded;

/// How to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Size of the data; 1.0 is 10,000 leads and 60,000 messages
    #[arg(long, default_value_t = 3.0)]
    pub scale: f64,
    /// Rounds: in each, every target has one slice of time
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rounds: u16,
    /// Length of a slice in milliseconds
    #[arg(long, default_value_t = 450, value_parser = clap::value_parser!(u64).range(20..=600_000))]
    pub slice_ms: u64,
    /// Length of the warm-up of each target, before each scenario, in milliseconds
    #[arg(long, default_value_t = 400)]
    pub warm_up_ms: u64,
    /// The same seed draws the same
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Only scenarios with one of these names (a part is enough)
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Only these targets: direct, pgkeel-cold, pgkeel-warm, pgkeel-off, pgbouncer, pgpool, floor
    #[arg(long, value_delimiter = ',')]
    pub targets: Vec<String>,
    /// One more target: any server with the sample application's data, as name=url
    #[arg(long, value_parser = parse_endpoint)]
    pub endpoint: Vec<(String, String)>,
    /// The directory of scenarios
    #[arg(long, default_value_os_t = super::standard_directory())]
    pub scenarios: PathBuf,
    /// The pgkeel program; by default the one next to this program
    #[arg(long)]
    pub pgkeel: Option<PathBuf>,
}

fn parse_endpoint(text: &str) -> Result<(String, String), String> {
    let (name, url) = text.split_once('=').ok_or("give it as name=url")?;
    if STANDARD.contains(&name) {
        return Err(format!("{name} is a target of the harness's own"));
    }
    Ok((name.to_owned(), url.to_owned()))
}

/// Runs; prints a table for each scenario as it goes.
///
/// # Errors
/// When a server does not start. A target that fails in a scenario is noted there.
pub async fn run(settings: &Settings) -> anyhow::Result<Report> {
    let start = Instant::now();
    let started = now();
    let scenarios = chosen(settings)?;
    let mut stage = Stage::set(settings).await?;
    let machine = Machine {
        load_before: Machine::here("").load_before,
        ..Machine::here(stage.postgres.version())
    };
    println!("{machine}\nload average before: {}\n", machine.load_before);
    let rounds = usize::from(settings.rounds);
    let mut progress = Progress::new(scenarios.len() * stage.targets.len() * (rounds + 1));
    let mut reports = Vec::new();
    for scenario in scenarios {
        let report = stage.play(scenario, settings, &mut progress).await?;
        Progress::clear();
        println!("{}", scenario_table(&report));
        reports.push(report);
    }
    Ok(Report {
        version: VERSION,
        started,
        seconds: start.elapsed().as_secs_f64(),
        machine,
        settings: RunSettings {
            scale: settings.scale,
            rounds,
            slice_ms: settings.slice_ms,
            warm_up_ms: settings.warm_up_ms,
            seed: settings.seed,
            debug_build: stage
                .programs
                .pgkeel
                .components()
                .any(|part| part.as_os_str() == "debug"),
        },
        targets: stage.reports,
        scenarios: reports,
    })
}

fn chosen(settings: &Settings) -> anyhow::Result<Vec<Scenario>> {
    let mut scenarios = Scenario::read_all(&settings.scenarios)?;
    if !settings.only.is_empty() {
        let wanted = |scenario: &Scenario| {
            settings
                .only
                .iter()
                .any(|part| scenario.name.contains(part.as_str()))
        };
        scenarios.retain(wanted);
    }
    ensure!(
        !scenarios.is_empty(),
        "no scenario is named like {:?}",
        settings.only
    );
    Ok(scenarios)
}

/// The servers.
struct Stage {
    // Dropped in this order: what stands before PostgreSQL first.
    targets: Vec<Target>,
    counters: Counters,
    postgres: Postgres,
    programs: Programs,
    /// All that were asked for, those left out too.
    reports: Vec<TargetReport>,
    /// Where values are read from.
    data_url: String,
}

impl Stage {
    async fn set(settings: &Settings) -> anyhow::Result<Self> {
        let programs = Programs {
            pgkeel: settings
                .pgkeel
                .clone()
                .map_or_else(demo::binary_beside_us, Ok)?,
            floor: target::own_program(),
        };
        println!(
            "Starting PostgreSQL and filling it at scale {} ...",
            settings.scale
        );
        let postgres = start_postgres().await?;
        demo::pgkeel(&programs.pgkeel, &postgres, &["migrate"], &["up"]).await?;
        demo::seed(&programs.pgkeel, &postgres, &settings.scale.to_string()).await?;
        let administrator = connect(&postgres.url_for("keel", "keel", "postgres")).await?;
        let names: Vec<&str> = if settings.targets.is_empty() {
            STANDARD.to_vec()
        } else {
            settings.targets.iter().map(String::as_str).collect()
        };
        let (mut targets, mut reports) = (Vec::new(), Vec::new());
        for name in names {
            let sql = format!("CREATE DATABASE {} TEMPLATE app", database_name(name));
            administrator.batch_execute(&sql).await?;
            let started = Target::start(name, &postgres, &programs).await;
            let started = started.with_context(|| format!("target {name}"))?;
            let (about, left_out) = match started {
                Ok(target) => {
                    let about = target.about.clone();
                    targets.push(target);
                    (about, None)
                }
                Err(reason) => {
                    println!("target {name} is left out: {reason}");
                    (String::new(), Some(reason))
                }
            };
            reports.push(TargetReport {
                name: name.to_owned(),
                about,
                left_out,
            });
        }
        for (name, url) in &settings.endpoint {
            let target = Target::endpoint(name, url);
            reports.push(TargetReport {
                name: name.clone(),
                about: target.about.clone(),
                left_out: None,
            });
            targets.push(target);
        }
        ensure!(!targets.is_empty(), "there is no target to drive");
        let counters = Counters::open(&postgres).await?;
        administrator.batch_execute("CHECKPOINT").await?;
        Ok(Self {
            data_url: postgres.url(),
            targets,
            counters,
            postgres,
            programs,
            reports,
        })
    }

    async fn play(
        &mut self,
        scenario: Scenario,
        settings: &Settings,
        progress: &mut Progress,
    ) -> anyhow::Result<ScenarioReport> {
        let plan = Arc::new(Plan::new(scenario));
        let scenario = &plan.scenario;
        let pools = {
            let client = connect(&self.data_url).await?;
            Arc::new(
                Pools::load(scenario, &client)
                    .await
                    .with_context(|| scenario.name.clone())?,
            )
        };
        let (trace, missing) = match read_trace(scenario) {
            Ok(trace) => (trace, None),
            Err(error) => (None, Some(error)),
        };
        let work = Work {
            plan: Arc::clone(&plan),
            pools,
            trace,
        };
        let mut players = self
            .prepare_all(&work, missing.as_ref(), settings, progress)
            .await;
        for round in 0..usize::from(settings.rounds) {
            for turn in 0..players.len() {
                let index = (turn + round) % players.len();
                let player = &mut players[index];
                let what = format!(
                    "{} {} {}/{}",
                    scenario.name,
                    player.result.target,
                    round + 1,
                    settings.rounds
                );
                if player.result.failed.is_some() {
                    progress.skip(1);
                    continue;
                }
                let slice = Slice {
                    duration: Duration::from_millis(settings.slice_ms),
                    seed: settings.seed.wrapping_add(1 + round as u64),
                    pace: scenario.pace,
                };
                let actions = Arc::clone(&progress.actions);
                let measured = self.measure(index, player.crew.as_ref(), &work, slice, actions);
                match progress.during(&what, measured).await {
                    Ok((outcome, cost)) => player.add(&outcome, &cost),
                    Err(error) => player.fail(&error),
                }
            }
        }
        self.clean(scenario).await?;
        Ok(ScenarioReport {
            name: scenario.name.clone(),
            title: scenario.title.clone(),
            about: scenario.about.trim().to_owned(),
            protocol: scenario.protocol.as_str().to_owned(),
            clients: scenario.clients,
            pace: pace_in_words(scenario),
            writes: scenario.writes(),
            results: players.into_iter().map(Player::finish).collect(),
        })
    }

    /// Opens the connections of all targets and warms them up, unless what they are to do is missing.
    async fn prepare_all(
        &mut self,
        work: &Work,
        missing: Option<&anyhow::Error>,
        settings: &Settings,
        progress: &mut Progress,
    ) -> Vec<Player> {
        let mut players = Vec::new();
        for index in 0..self.targets.len() {
            let player = match missing {
                Some(error) => {
                    progress.skip(1);
                    Player::left_out(&self.targets[index].name, error)
                }
                None => self.prepare(index, work, settings, progress).await,
            };
            players.push(player);
        }
        players
    }

    /// Opens the connections of a target and warms it up.
    async fn prepare(
        &mut self,
        index: usize,
        work: &Work,
        settings: &Settings,
        progress: &mut Progress,
    ) -> Player {
        let target = &self.targets[index];
        let mut player = Player::new(&target.name);
        if target.is_for_reads_only() && work.plan.scenario.writes() {
            player.result.failed = Some("left out: it answers reads only".to_owned());
        } else if !target.is_cold() {
            let slice = Slice {
                duration: Duration::from_millis(settings.warm_up_ms),
                seed: settings.seed,
                pace: work.plan.scenario.pace,
            };
            let what = format!("{} {} warm-up", work.plan.scenario.name, target.name);
            let actions = Arc::clone(&progress.actions);
            let warm_up = async {
                let crew = work.crew(&target.url(), &actions).await?;
                work.drive(crew.as_ref(), &target.url(), slice).await?;
                anyhow::Ok(crew)
            };
            match progress.during(&what, warm_up).await {
                Ok(crew) => player.crew = crew,
                Err(error) => player.fail(&error),
            }
            return player;
        }
        progress.skip(1);
        player
    }

    async fn measure(
        &mut self,
        index: usize,
        crew: Option<&Crew>,
        work: &Work,
        slice: Slice,
        actions: Arc<AtomicU64>,
    ) -> anyhow::Result<(Outcome, Reading)> {
        let target = &mut self.targets[index];
        let mut own = None;
        if target.is_cold() {
            target.renew().await?;
            own = work.crew(&target.url(), &actions).await?;
        }
        let before = self.counters.read(&self.postgres, target).await?;
        let outcome = work
            .drive(own.as_ref().or(crew), &target.url(), slice)
            .await?;
        let after = self.counters.read(&self.postgres, target).await?;
        Ok((outcome, after.since(&before)))
    }

    /// Undoes what the scenario wrote, through the targets themselves: a cache has to learn of it.
    async fn clean(&self, scenario: &Scenario) -> anyhow::Result<()> {
        if !scenario.writes() {
            return Ok(());
        }
        for target in self
            .targets
            .iter()
            .filter(|target| !target.is_for_reads_only())
        {
            let client = connect(&target.url()).await?;
            for sql in &scenario.cleanup {
                client
                    .batch_execute(sql)
                    .await
                    .with_context(|| format!("{}: {sql}", target.name))?;
            }
            if let Some(database) = &target.database {
                let direct = connect(&self.postgres.url_for("keel", "keel", database)).await?;
                direct.batch_execute("VACUUM").await?;
            }
        }
        Ok(())
    }
}

/// The recorded traffic and how many times faster it is replayed, if the scenario has any.
fn read_trace(scenario: &Scenario) -> anyhow::Result<Option<(Arc<Recorded>, f64)>> {
    let Some(trace) = &scenario.trace else {
        return Ok(None);
    };
    let recorded = Recorded::read(&trace.file).context("pgkeel-bench day makes it")?;
    Ok(Some((Arc::new(recorded), trace.speed)))
}

/// Everything that makes a real server safe is on, and all copies of the data fit into its memory, so that no target
/// pays for the others'.
async fn start_postgres() -> anyhow::Result<Postgres> {
    Postgres::builder()
        .setting("fsync", "on")
        .setting("full_page_writes", "on")
        .setting("shared_buffers", "1GB")
        .setting("max_wal_size", "8GB")
        .setting("max_connections", "500")
        .setting("pg_stat_statements.max", "20000")
        .start()
        .await
}

fn pace_in_words(scenario: &Scenario) -> String {
    if let Some(trace) = &scenario.trace {
        return format!("recorded traffic, {} times as fast", trace.speed);
    }
    let mut text = match scenario.pace {
        Pace::Closed => "closed loop".to_owned(),
        Pace::Herd => "all at once, wave after wave".to_owned(),
        Pace::Open(rate) => format!("open loop, {rate} a second"),
    };
    for action in &scenario.actions {
        if let Some(rate) = action.per_second {
            text.push_str(&format!("; {:?} {rate} times a second", action.name));
        }
    }
    text
}
