//! The demo and its checks: they pass on a server that keeps its word, and fail on one that does
//! not.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use pgkeel_bench::demo::{Options, Verdict, run};
use pgkeel_bench::sandbox::{Postgres, connect};
use pgkeel_bench::workload::{Keys, Load, compare, drive};

use crate::support::BINARY;

const SCALE: &str = "0.05";

const LOAD: Load = Load {
    connections: 4,
    duration: Duration::from_millis(500),
    writes_per_second: 200,
    seed: 1,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgkeel_keeps_its_promises_in_the_demo() {
    let options = Options {
        scale: SCALE.parse().unwrap(),
        seconds: 1,
        connections: 4,
        once: true,
        pgkeel: Some(BINARY.into()),
    };
    assert_eq!(run(&options).await.unwrap(), Verdict::Kept);
}

#[tokio::test]
async fn a_server_agrees_with_itself() {
    let postgres = sample_application().await;
    let keys = Arc::new(
        Keys::load(&postgres.connect().await.unwrap())
            .await
            .unwrap(),
    );
    let outcome = drive(&postgres.url(), &keys, LOAD, &Arc::default())
        .await
        .unwrap();
    assert!(!outcome.reads.is_empty() && !outcome.writes.is_empty());
    assert_eq!(outcome.stale_reads, 0);

    let url = postgres.url();
    let comparison = compare(&url, &url, &keys, &[&outcome]).await.unwrap();
    assert!(comparison.questions > 0);
    assert_eq!(comparison.answers, comparison.questions * 4);
    assert!(
        comparison.differences.is_empty(),
        "{:?}",
        comparison.differences
    );
}

/// The trigger stands for a cache that went stale: the update is confirmed and not to be seen.
#[tokio::test]
async fn a_read_that_misses_a_write_is_noticed() {
    let postgres = sample_application().await;
    let client = postgres.connect().await.unwrap();
    let sql = "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'; \
               CREATE TRIGGER forget BEFORE UPDATE ON leads FOR EACH ROW EXECUTE FUNCTION forget()";
    client.batch_execute(sql).await.unwrap();
    let keys = Arc::new(Keys::load(&client).await.unwrap());
    let outcome = drive(&postgres.url(), &keys, LOAD, &Arc::default())
        .await
        .unwrap();
    assert!(outcome.stale_reads > 0);
}

#[tokio::test]
async fn an_answer_that_differs_is_noticed() {
    let postgres = sample_application().await;
    let database = |name| postgres.url_for("keel", "keel", name);
    let administrator = connect(&database("postgres")).await.unwrap();
    administrator
        .batch_execute("CREATE DATABASE copy TEMPLATE app")
        .await
        .unwrap();
    let (one, copy) = (database("app"), database("copy"));
    let keys = Arc::new(
        Keys::load(&postgres.connect().await.unwrap())
            .await
            .unwrap(),
    );
    let reads_only = Load {
        writes_per_second: 0,
        ..LOAD
    };
    let outcome = drive(&one, &keys, reads_only, &Arc::default())
        .await
        .unwrap();
    let same = compare(&one, &copy, &keys, &[&outcome]).await.unwrap();
    assert!(same.differences.is_empty(), "{:?}", same.differences);

    let sql = "UPDATE feature_flags SET rollout_percent = (rollout_percent + 1) % 100";
    connect(&copy)
        .await
        .unwrap()
        .batch_execute(sql)
        .await
        .unwrap();
    let different = compare(&one, &copy, &keys, &[&outcome]).await.unwrap();
    assert!(!different.differences.is_empty());
    assert!(
        different
            .differences
            .iter()
            .all(|text| text.starts_with("feature flag"))
    );
}

/// A PostgreSQL with the sample application's schema and a little data, always the same.
async fn sample_application() -> Postgres {
    let postgres = Postgres::start().await.expect("PostgreSQL starts");
    for arguments in [["migrate", "up"].as_slice(), &["seed", "--scale", SCALE]] {
        let (command, rest) = arguments.split_first().expect("a command");
        let output = Command::new(BINARY)
            .args([command, "--upstream", &postgres.url()])
            .args(rest)
            .output()
            .expect("pgkeel runs");
        assert!(output.status.success(), "{output:?}");
    }
    postgres
}
