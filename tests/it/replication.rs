//! Replication goes through the proxy: PostgreSQL's own programs work as they do directly.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use pgkeel_bench::sandbox::Auth;

use crate::support::{Stage, eventually};

const SOON: Duration = Duration::from_secs(20);

async fn stage() -> Stage {
    Stage::builder()
        .auth(Auth::Trust)
        .setting("wal_level", "logical")
        .start()
        .await
}

/// A program of PostgreSQL's that connects to the proxy.
fn program(stage: &Stage, name: &str) -> Command {
    let mut command = Command::new(stage.postgres.program(name));
    command
        .args(["-h", "127.0.0.1", "-U", "keel", "-p"])
        .arg(stage.proxy.port().to_string());
    command
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

#[tokio::test]
async fn a_replication_connection_takes_commands_and_sql() {
    let stage = stage().await;
    for replication in ["database", "true"] {
        let database = format!("dbname=app replication={replication}");
        let mut command = program(&stage, "psql");
        let output = run(command.args(["-XAt", "-d", &database, "-c", "IDENTIFY_SYSTEM"]));
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.trim().split('|').count(), 4, "{text}");
    }
    let mut command = program(&stage, "psql");
    let database = "dbname=app replication=database";
    let output = run(command.args(["-XAt", "-d", database, "-c", "SELECT 6 * 7"]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n");
    // "off" is no replication.
    let mut command = program(&stage, "psql");
    let output = run(command.args(["-XAt", "-d", "dbname=app replication=off", "-c", "SELECT 1"]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n");
}

#[tokio::test]
async fn changes_are_received_as_they_happen() {
    let stage = stage().await;
    stage
        .arrange("CREATE TABLE items (id int PRIMARY KEY)")
        .await;
    let receive = |arguments: &[&str]| {
        let mut command = program(&stage, "pg_recvlogical");
        command
            .args(["-d", "app", "--slot", "changes"])
            .args(arguments);
        command
    };
    run(&mut receive(&[
        "--create-slot",
        "--plugin",
        "test_decoding",
    ]));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("changes");
    let mut receiver = receive(&["--start", "--fsync-interval", "1", "-f"])
        .arg(&file)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut received = String::new();
    for number in 1..=3 {
        stage
            .arrange(&format!("INSERT INTO items VALUES ({number})"))
            .await;
        let expected = format!("INSERT: id[integer]:{number}");
        eventually(SOON, async || {
            received = std::fs::read_to_string(&file).unwrap_or_default();
            received.contains(&expected)
        })
        .await;
    }
    receiver.kill().unwrap();
    receiver.wait().unwrap();
    eventually(SOON, async || stage.stat("clients.connected").await == 0).await;
    // The server has not noticed yet, perhaps.
    let free = "SELECT 1 FROM pg_replication_slots WHERE NOT active";
    let witness = stage.direct().await;
    eventually(SOON, async || {
        !witness.query(free, &[]).await.unwrap().is_empty()
    })
    .await;
    run(&mut receive(&["--drop-slot"]));
}

#[tokio::test]
async fn a_base_backup_is_taken() {
    let stage = stage().await;
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("backup");
    // It opens a second connection, which streams the WAL meanwhile.
    run(program(&stage, "pg_basebackup")
        .args(["--checkpoint=fast", "--wal-method=stream", "-D"])
        .arg(&target));
    assert!(target.join("PG_VERSION").exists() && target.join("backup_manifest").exists());
}
