//! Clients nobody here wrote: drivers of Python and JavaScript, pgbench and psql.
//!
//! The scripts of the drivers are in `tests/drivers`; what they need is installed by `scripts/setup drivers`.

mod pgbench;
mod psql;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;

use crate::support::Stage;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psycopg() {
    python("psycopg_session.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asyncpg() {
    python("asyncpg_session.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_postgres() {
    play("node".into(), "node_postgres.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_js() {
    play("node".into(), "postgres_js.mjs").await;
}

async fn python(script: &str) {
    let program = Path::new(ROOT).join("target/drivers/python/bin/python");
    play(program, script).await;
}

/// Runs a script against a stage of its own. It must succeed, and have been served from the cache.
async fn play(program: PathBuf, script: &str) {
    install();
    let stage = Stage::new().await;
    let mut command = Command::new(program);
    command
        .arg(Path::new(ROOT).join("tests/drivers").join(script))
        .env("PROXY_URL", stage.proxy.url())
        .env("DIRECT_URL", stage.postgres.url())
        .env("NODE_DRIVERS", Path::new(ROOT).join("target/drivers/node"));
    let output = run(command).await;
    assert!(output.status.success(), "{script}: {}", told(&output));
    let stats = stage.proxy.stats().await.expect("the admin port answers");
    let number = |name: &str| stats["cache"][name].as_u64().expect("a number");
    assert!(
        number("hits") + number("coalesced") > 50,
        "{script}: {} {}",
        stats["cache"],
        stats["bypass"]
    );
}

/// Installs what is missing, once.
fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let output = Command::new(Path::new(ROOT).join("scripts/setup"))
            .arg("drivers")
            .output()
            .expect("scripts/setup can be run");
        assert!(
            output.status.success(),
            "scripts/setup drivers: {}",
            told(&output)
        );
    });
}

/// Runs a command to its end while the tasks of the test go on.
async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().expect("the program is installed"))
        .await
        .expect("nobody panics")
}

/// Everything a program has said.
fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}
