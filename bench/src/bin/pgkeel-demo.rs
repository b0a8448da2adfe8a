//! `pgkeel-demo`: pgkeel on the sample application, with everything it needs brought along.

use std::process::ExitCode;

use clap::Parser;
use pgkeel_bench::demo::{Options, Verdict, run};
use tokio::signal::unix::{SignalKind, signal};

/// Shows pgkeel at work: a private PostgreSQL, the sample application, without and with the cache
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { options } = Arguments::parse();
    match demonstrate(&options).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pgkeel-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demonstrate(options: &Options) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // To drop the demo is to stop its servers.
    tokio::select! {
        verdict = run(options) => Ok(match verdict? {
            Verdict::Kept => ExitCode::SUCCESS,
            Verdict::Broken => ExitCode::FAILURE,
        }),
        _ = interrupt.recv() => Ok(stopped(options)),
        _ = terminate.recv() => Ok(stopped(options)),
    }
}

/// To be stopped is the normal end of a demo that stays up, and an incomplete run of one that does
/// not.
fn stopped(options: &Options) -> ExitCode {
    println!();
    if options.once {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
