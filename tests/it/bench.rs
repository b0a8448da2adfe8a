//! The load-test harness from end to end: scenarios that are read from files, real targets, a report.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use pgkeel_bench::harness::{DIRECT, FLOOR, OFF, STANDARD, Settings, WARM, run};
use pgkeel_bench::report::{Report, ScenarioReport, compare, csv, html, results_page};
use pgkeel_bench::sandbox::{Postgres, connect};
use pgkeel_bench::trace::{Event, Recorded, What, Writer, record, replay_file};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::support::BINARY;

/// As on the command line.
#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// Short slices of little data: the machinery is what is tested, not the figures.
fn settings(scenarios: &Path) -> Settings {
    let scenarios = scenarios.to_str().expect("a path of ours is UTF-8");
    let quick = "--scale 0.02 --rounds 2 --slice-ms 60 --warm-up-ms 60";
    let arguments = ["pgkeel-bench", "--pgkeel", BINARY, "--scenarios", scenarios]
        .into_iter()
        .chain(quick.split(' '));
    Arguments::parse_from(arguments).settings
}

const READS: &str = r#"
title = "Leads"
about = "A lead, its campaign, and its conversations with their messages."
clients = 2

[values.lead]
sql = "SELECT id::text FROM leads ORDER BY id LIMIT 10"

[[actions]]
name = "page"
steps = [
    { name = "lead", sql = "SELECT *, campaign_id::text AS campaign FROM leads WHERE id = $1", params = ["lead"] },
    { sql = "SELECT name FROM campaigns WHERE id = $1", params = ["lead.campaign"] },
    { name = "talk", sql = "SELECT id::text AS id FROM conversations WHERE lead_id = $1 ORDER BY 1", params = ["lead"] },
    { sql = "SELECT id, body FROM messages WHERE conversation_id = $1 ORDER BY id", params = ["talk.id"] },
]
"#;

const WRITES: &str = r#"
title = "A mix"
about = "Reads and writes, each with a connection of its own."
clients = 2
cleanup = ["DELETE FROM feature_flags WHERE description = 'bench'"]

[values.key]
unique = "bench-{}"
[values.user]
sql = "SELECT id::text FROM users ORDER BY id"

[[actions]]
name = "read"
weight = 4
steps = [{ sql = "SELECT email FROM users WHERE id = $1::uuid", params = ["user"] }]
[[actions]]
name = "write"
writes = true
steps = [{ sql = "INSERT INTO feature_flags (key, description) VALUES ($1, 'bench')", params = ["key"] }]
"#;

const HERD: &str = r#"
title = "A herd"
about = "All at once after a write."
clients = 4
pace = "herd"

[values.user]
sql = "SELECT id::text FROM users ORDER BY id"

[[actions]]
name = "spoil"
writes = true
steps = [{ sql = "UPDATE users SET updated_at = now() WHERE id = $1", params = ["user"] }]
[[actions]]
name = "ask"
steps = [{ sql = "SELECT role, count(*) FROM users GROUP BY role ORDER BY role" }]
"#;

/// One of each kind, for every way that statements travel and actions are paced.
fn scenarios() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let head = |text: &str, lines: &str| text.replacen("clients", &format!("{lines}\nclients"), 1);
    let files = [
        ("1_prepared.toml", READS.to_owned()),
        (
            "2_simple.toml",
            head(
                READS,
                "protocol = 'simple'\ntransactions = true\npace = { open = 100.0 }",
            ),
        ),
        ("3_herd.toml", HERD.to_owned()),
        (
            "4_mix.toml",
            head(WRITES, "protocol = 'extended'\nreconnect = true"),
        ),
    ];
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_has_a_result_of_every_target_or_the_reason_why_not() {
    let directory = scenarios();
    let report = run(&settings(directory.path())).await.unwrap();

    let names: Vec<&str> = report
        .targets
        .iter()
        .map(|target| target.name.as_str())
        .collect();
    assert_eq!(names, STANDARD);
    assert_eq!(report.scenarios.len(), 4);
    for scenario in &report.scenarios {
        check_results(&report, scenario);
    }
    check_cache(report.scenario("prepared").unwrap());
    check_cache(report.scenario("simple").unwrap());
    check_forms(&report);
}

fn check_results(report: &Report, scenario: &ScenarioReport) {
    for target in report
        .targets
        .iter()
        .filter(|target| target.left_out.is_none())
    {
        let context = format!("{} {}", scenario.name, target.name);
        let result = scenario
            .results
            .iter()
            .find(|result| result.target == target.name);
        let result = result.expect(&context);
        if target.name == FLOOR && scenario.writes {
            let reason = result.failed.as_deref().unwrap();
            assert!(reason.contains("reads only"), "{reason}");
            continue;
        }
        assert_eq!(result.failed, None, "{context}");
        assert_eq!(result.failures(), 0, "{context}: {:?}", result.rounds);
        assert_eq!(result.rounds.len(), 2, "{context}");
        for round in &result.rounds {
            assert!(
                round.actions > 0 && round.statements >= round.actions,
                "{context}: {round:?}"
            );
            assert!(round.calls.is_some(), "{context}");
        }
        assert!(
            result.latency.count > 0 && result.latency.p50 <= result.latency.max,
            "{context}"
        );
    }
}

/// What does not change is answered by the cache, and PostgreSQL's own count agrees.
fn check_cache(scenario: &ScenarioReport) {
    let warm = scenario.result(WARM).unwrap();
    assert!(
        warm.hit_rate().unwrap() > 0.9,
        "{}: {:?}",
        scenario.name,
        warm.rounds
    );
    let off = scenario.result(OFF).unwrap();
    assert!(
        off.hit_rate().unwrap_or(0.0) < f64::EPSILON,
        "{:?}",
        off.rounds
    );
    let calls = |target| {
        let result = scenario.result(target).unwrap();
        result
            .spread(pgkeel_bench::report::Round::calls_each)
            .unwrap()
            .median
    };
    assert!(calls(DIRECT) >= 2.0, "{}", calls(DIRECT));
    assert!(
        calls(WARM) < 0.5 * calls(DIRECT),
        "{} of {}",
        calls(WARM),
        calls(DIRECT)
    );
    assert!(
        calls(FLOOR) < 0.5 * calls(DIRECT),
        "{} of {}",
        calls(FLOOR),
        calls(DIRECT)
    );
}

/// Every form of the report holds every scenario, and a run is no worse than itself.
fn check_forms(report: &Report) {
    let json = serde_json::to_string(report).unwrap();
    let read: Report = serde_json::from_str(&json).unwrap();
    assert!(compare(report, &read, 0.05).unwrap().passes());
    let (csv, html, page) = (csv(report), html(report), results_page(report));
    for scenario in &report.scenarios {
        assert!(csv.contains(&format!("\n{},direct,1,", scenario.name)));
        assert!(html.contains(&format!("id=\"{}\"", scenario.name)));
        assert!(page.contains(&scenario.title));
    }
    for outside in ["http://", "https://", "<script", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
}

/// A trace of a client that reads, writes, errs and copies is sent again to another database, with the same effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_traffic_has_the_same_effect_when_it_is_replayed() {
    let postgres = Postgres::start().await.unwrap();
    let schema = "CREATE TABLE t (id int PRIMARY KEY, v text)";
    postgres
        .connect()
        .await
        .unwrap()
        .batch_execute(schema)
        .await
        .unwrap();
    let administrator = connect(&postgres.url_for("keel", "keel", "postgres"))
        .await
        .unwrap();
    administrator
        .batch_execute("CREATE DATABASE other TEMPLATE app")
        .await
        .unwrap();

    let file = record_some_traffic(&postgres).await;
    let recorded = Recorded::read(&file.1).unwrap();
    assert!(recorded.requests() >= 5, "{recorded:?}");
    let holds_password = |event: &Event| match &event.what {
        What::Request(bytes) => bytes.windows(4).any(|word| word == b"keel"),
        What::Opened | What::Closed => false,
    };
    assert!(
        !recorded.events.iter().any(holds_password),
        "a login is part of no trace"
    );

    let other = postgres.url_for("keel", "keel", "other");
    let replayed = replay_file(&file.1, &other, 0.0).await.unwrap();
    assert_eq!(replayed.requests, recorded.requests() as u64);
    let errors: Vec<(String, u64)> = replayed.errors.into_iter().collect();
    assert_eq!(errors, [("23505".to_owned(), 1)]);
    let sql = "SELECT string_agg(id || v, ',' ORDER BY id) FROM t";
    let row = connect(&other)
        .await
        .unwrap()
        .query_one(sql, &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "1a,2b,3c");
}

async fn record_some_traffic(postgres: &Postgres) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.trace.gz");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = format!("127.0.0.1:{}", postgres.port());
    let (stop, stopped) = oneshot::channel::<()>();
    let writer = Writer::create(&path).unwrap();
    let recording = tokio::spawn(record(listener, upstream, writer, async {
        stopped.await.ok();
    }));
    let client = connect(&format!("postgres://keel:keel@127.0.0.1:{port}/app"))
        .await
        .unwrap();
    client
        .batch_execute("INSERT INTO t VALUES (1, 'a')")
        .await
        .unwrap();
    client
        .query("SELECT v FROM t WHERE id = $1", &[&1])
        .await
        .unwrap();
    client
        .execute("INSERT INTO t VALUES ($1, $2)", &[&2, &"b"])
        .await
        .unwrap();
    client
        .execute("INSERT INTO t VALUES ($1, $2)", &[&2, &"c"])
        .await
        .unwrap_err();
    let sink = client.copy_in("COPY t FROM STDIN").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    futures_util::SinkExt::send(&mut sink, bytes::Bytes::from_static(b"3\tc\n"))
        .await
        .unwrap();
    futures_util::SinkExt::close(&mut sink).await.unwrap();
    stop.send(()).unwrap();
    recording.await.unwrap().unwrap();
    (directory, path)
}
