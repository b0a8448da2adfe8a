//! The end of the proxy, orderly or not at all, and what it says when it cannot begin.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use pgkeel_bench::sandbox::Auth;
use tokio::net::TcpStream;

use crate::support::{BINARY, Stage, eventually};
use crate::wire::*;

const SOON: Duration = Duration::from_secs(20);

async fn stage(config: &str) -> Stage {
    Stage::builder()
        .auth(Auth::Trust)
        .config(config)
        .start()
        .await
}

async fn login(stage: &Stage) -> Wire {
    Wire::login(stage.proxy.port(), "app").await
}

fn pgkeel(arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_remove("DATABASE_URL");
    command.output().unwrap()
}

#[tokio::test]
async fn idle_clients_are_told_and_the_proxy_ends_well() {
    let mut stage = stage("").await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(login(&stage).await);
    }
    // One that keeps a connection, too.
    clients[0].ask(&query("SET work_mem = '5MB'")).await;
    stage.proxy.terminate().unwrap();
    for client in &mut clients {
        let last = client.until_end().await;
        assert_eq!(errors(&last), ["57P01"]);
        assert_eq!(last[0].field(b'V').unwrap(), "FATAL");
    }
    assert_eq!(stage.proxy.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn running_transactions_may_finish() {
    let mut stage = stage("").await;
    stage.arrange("CREATE TABLE items (id int)").await;
    let mut open = login(&stage).await;
    let mut running = login(&stage).await;
    open.ask(&query("BEGIN; SELECT 1")).await;
    running.send(&query("SELECT pg_sleep(1)")).await;
    let busy =
        "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'";
    let witness = stage.direct().await;
    eventually(SOON, async || {
        !witness.query(busy, &[]).await.unwrap().is_empty()
    })
    .await;
    let port = stage.proxy.port();

    stage.proxy.terminate().unwrap();
    eventually(SOON, async || {
        TcpStream::connect(("127.0.0.1", port)).await.is_err()
    })
    .await;
    let (status, health) = stage.proxy.get("/health").await.unwrap();
    assert_eq!(status, 503);
    assert!(health.contains("draining"), "{health}");

    assert_eq!(
        tags(&open.ask(&query("INSERT INTO items VALUES (1)")).await),
        "CZ"
    );
    let answer = running.until_ready().await;
    assert_eq!(tags(&answer), "TDCZ");
    assert_eq!(errors(&running.until_end().await), ["57P01"]);
    assert_eq!(tags(&open.ask(&query("COMMIT")).await), "CZ");
    assert_eq!(errors(&open.until_end().await), ["57P01"]);
    assert_eq!(stage.proxy.wait().await.unwrap().code(), Some(0));
    let row = witness
        .query_one("SELECT count(*) FROM items", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn who_does_not_finish_in_time_is_cut_off() {
    let mut stage = stage("drain_timeout = \"500ms\"\n").await;
    let mut open = login(&stage).await;
    open.ask(&query("BEGIN; SELECT 1")).await;
    let start = Instant::now();
    stage.proxy.terminate().unwrap();
    assert_eq!(stage.proxy.wait().await.unwrap().code(), Some(0));
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(500), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    open.until_end().await;
    // PostgreSQL notices, and undoes the transaction.
    let witness = stage.direct().await;
    let open = "SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction'";
    eventually(SOON, async || {
        witness.query(open, &[]).await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_port_in_use_is_one_line_and_an_exit_code() {
    let stage = stage("").await;
    let address = format!("127.0.0.1:{}", stage.proxy.port());
    let upstream = stage.postgres.url();
    for ports in [
        ["--listen", &address, "--admin", "off"],
        ["--listen", "127.0.0.1:0", "--admin", &address],
    ] {
        let output = pgkeel(&[&["--upstream", &upstream][..], &ports].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(&address) && text.contains("in use"), "{text}");
    }
}

#[test]
fn a_configuration_is_checked_before_anything_else() {
    let upstream = ["--upstream", "postgres://u:secret@h/d"];
    let output = pgkeel(&[&["check"][..], &upstream].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("listen") && !text.contains("secret"),
        "{text}"
    );

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proxy.toml");
    let path = file.to_str().unwrap();
    for (toml, word) in [
        ("[pool]\nmaximum = 3\n", "maximum"),
        ("[pool]\nmax = 0\n", "max"),
        ("[pool]\nmax = \"many\"\n", "max"),
        ("drain_timeout = \"soon\"\n", "drain_timeout"),
        ("listen = \"nowhere\"\n", "listen"),
        ("not toml at all", "proxy.toml"),
    ] {
        std::fs::write(&file, toml).unwrap();
        for command in [&["check"][..], &[]] {
            let output = pgkeel(&[command, &["--config", path], &upstream].concat());
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{toml}: {text}");
            assert!(text.contains(word), "{toml}: {text}");
        }
    }
    for arguments in [
        &["--config", "/nowhere/proxy.toml"][..],
        &[],
        &["--nonsense"],
    ] {
        let output = pgkeel(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!output.stderr.is_empty());
    }
}
