//! The `pgkeel` program: arguments, configuration, log, runtime, exit code.

use std::{error::Error, io, process::ExitCode, thread::available_parallelism};

use clap::Parser;
use pgkeel::{
    app::{self, explain::Question},
    cli::{self, Cli, Command, ExplainArgs},
    config::{Config, Inputs, Problem},
    migrate::{self, MigrateArgs},
    observe,
    seed::{self, SeedArgs},
};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => run(&cli.sources.inputs()),
        Some(Command::Check(sources)) => {
            cli::check(&sources.inputs(), &mut io::stdout(), &mut io::stderr()).map_err(Into::into)
        }
        Some(Command::Explain(arguments)) => explain(arguments),
        Some(Command::Migrate(arguments)) => migrate(&arguments),
        Some(Command::Seed(arguments)) => seed(&arguments),
    };
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    eprintln!("{error}");
    // A wrong configuration exits like a wrong command line.
    ExitCode::from(if error.is::<Problem>() { 2 } else { 1 })
}

/// Runs the proxy until it is told to stop.
fn run(inputs: &Inputs) -> Outcome {
    let config = Config::load(inputs)?.config;
    observe::log::start(&config.log)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(runtime(config.workers.threads)?.block_on(app::run(config))?)
}

fn explain(arguments: ExplainArgs) -> Outcome {
    let config = Config::load(&arguments.sources.inputs())?.config;
    let question = Question {
        sql: arguments.sql,
        database: arguments.database,
        json: arguments.json,
    };
    let mut out = io::stdout();
    let work = app::explain::explain(config, &question, &mut out);
    Ok(runtime(1)?.block_on(work)?)
}

fn migrate(arguments: &MigrateArgs) -> Outcome {
    let mut out = io::stdout();
    let work = migrate::run(arguments.url()?, arguments.action, &mut out);
    Ok(runtime(1)?.block_on(work)?)
}

fn seed(arguments: &SeedArgs) -> Outcome {
    let (options, mut out) = (arguments.options(), io::stdout());
    let work = seed::run(&arguments.upstream, &options, &mut out);
    Ok(runtime(1)?.block_on(work)?)
}

fn runtime(threads: usize) -> io::Result<Runtime> {
    let cores = || available_parallelism().map_or(1, usize::from);
    match if threads == 0 { cores() } else { threads } {
        1 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build(),
    }
}
