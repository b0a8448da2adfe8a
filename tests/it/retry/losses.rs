//! Server connections that are lost: a read goes to another, a write is never sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pgkeel_bench::sandbox::Proxy;
use tokio::task::JoinSet;

use super::*;

const COUNT: &str = "SELECT count(*) FROM items";

/// Ends every server connection of the proxy's.
async fn terminate_all(direct: &Client) {
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    direct.batch_execute(terminate).await.unwrap();
}

/// Somebody who keeps everybody from the table.
async fn lock(stage: &Stage) -> Client {
    let locker = stage.direct().await;
    locker
        .batch_execute("BEGIN; LOCK TABLE items")
        .await
        .unwrap();
    locker
}

/// Ends the one server connection that waits for a lock.
async fn terminate_blocked(stage: &Stage) {
    until_blocked(stage).await;
    stage
        .arrange(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
        )
        .await;
}

#[tokio::test]
async fn a_read_whose_connection_is_lost_is_sent_over_another() {
    let stage = stage("delay = \"100ms\"").await;
    let mut wire = login(&stage).await;
    let current = "SELECT count(*), now() < now() FROM items";
    let requests = [
        (query(current), "TDCZ"),
        (
            query("SELECT id FROM items WHERE id = 1 FOR UPDATE"),
            "TDCZ",
        ),
        ([run(current), sync()].concat(), "12DCZ"),
        (
            [
                parse("s", current),
                bind("", "s", &[]),
                execute("", 0),
                sync(),
            ]
            .concat(),
            "12DCZ",
        ),
        (
            [bind("", "s", &[]), execute("", 0), sync()].concat(),
            "2DCZ",
        ),
    ];
    for (round, (request, expected)) in (1..).zip(requests) {
        let locker = lock(&stage).await;
        wire.send(&request).await;
        terminate_blocked(&stage).await;
        eventually(SOON, async || retries(&stage, "lost").await == round).await;
        until_blocked(&stage).await;
        locker.batch_execute("COMMIT").await.unwrap();
        let answer = wire.until_ready().await;
        assert_eq!(tags(&answer), expected, "{answer:?}");
        assert_eq!(retries(&stage, "succeeded").await, round);
    }
}

#[tokio::test]
async fn what_may_have_run_is_not_sent_again() {
    let stage = stage("writes = true\ndelay = \"100ms\"").await;
    stage.arrange("CREATE SEQUENCE numbers").await;
    let requests = [
        query("INSERT INTO items VALUES (3, 3)"),
        [run("UPDATE items SET n = 1"), sync()].concat(),
        query("SELECT nextval('numbers'), count(*) FROM items"),
        query("SELECT pg_notify('news', 'x'), count(*) FROM items"),
        query("SELECT count(*) FROM items; SELECT 1"),
    ];
    for request in requests {
        let mut wire = login(&stage).await;
        let locker = lock(&stage).await;
        wire.send(&request).await;
        terminate_blocked(&stage).await;
        let last = wire.until_end().await;
        assert_eq!(last.last().unwrap().sqlstate(), "57P01", "{last:?}");
        locker.batch_execute("COMMIT").await.unwrap();
    }
    // What a connection holds for its session cannot be had on another.
    for before in ["BEGIN", "LISTEN news"] {
        let mut wire = login(&stage).await;
        wire.ask(&query(before)).await;
        let locker = lock(&stage).await;
        wire.send(&query("SELECT count(*), now() < now() FROM items"))
            .await;
        terminate_blocked(&stage).await;
        let last = wire.until_end().await;
        assert_eq!(last.last().unwrap().sqlstate(), "57P01", "{last:?}");
        locker.batch_execute("COMMIT").await.unwrap();
    }
    assert_eq!(retries(&stage, "lost").await, 0);
    assert_eq!(truth(&stage).await, [0, 0]);
}

/// The server may be told of a read, or of a BEGIN, before the proxy is told of its end.
#[tokio::test]
async fn reads_survive_the_end_of_idle_connections() {
    let stage = stage("attempts = 5\ndelay = \"50ms\"").await;
    let mut wire = login(&stage).await;
    let direct = stage.direct().await;
    let read = "SELECT count(*), now() < now() FROM items";
    for _ in 0..30 {
        for request in [query(read), [run(read), sync()].concat()] {
            terminate_all(&direct).await;
            let answer = wire.ask(&request).await;
            assert_eq!(values(&answer), ["2"], "{answer:?}");
        }
    }
}

/// What a writer knows of its rows.
#[derive(Default)]
struct Ledger {
    acknowledged: Vec<i32>,
    sent: i32,
}

/// Inserts a row of its own again and again, over as many connections as that takes.
async fn write(port: u16, writer: i32, done: Arc<AtomicBool>) -> Ledger {
    let mut ledger = Ledger::default();
    let mut wire = None;
    while !done.load(Ordering::Relaxed) {
        let mut connection = match wire.take() {
            Some(connection) => connection,
            None => match try_login(port).await {
                Some(connection) => connection,
                None => continue,
            },
        };
        let id = writer * 1_000_000 + ledger.sent;
        ledger.sent += 1;
        connection
            .try_send(&query(&format!("INSERT INTO rows VALUES ({id})")))
            .await;
        let mut tags = String::new();
        while let Some(message) = connection.next().await {
            tags.push(char::from(message.tag));
            if message.tag == b'Z' {
                wire = Some(connection);
                break;
            }
        }
        if tags == "CZ" {
            ledger.acknowledged.push(id);
        }
    }
    ledger
}

/// A login that may fail.
async fn try_login(port: u16) -> Option<Wire> {
    let mut wire = Wire::open(port).await;
    wire.send(&startup(&[("user", "keel"), ("database", "app")]))
        .await;
    while let Some(message) = wire.next().await {
        if message.tag == b'Z' {
            return Some(wire);
        }
    }
    None
}

/// Reads again and again, over as many connections as that takes; returns how often it got an answer.
///
/// A read may end with its server connection only while the proxy does not know the catalog, as after a restart: then
/// nobody can say that it is a read.
async fn read(port: u16, done: Arc<AtomicBool>) -> u32 {
    let mut reads = 0;
    let mut wire = None;
    while !done.load(Ordering::Relaxed) {
        let mut connection = match wire.take() {
            Some(connection) => connection,
            None => match try_login(port).await {
                Some(connection) => connection,
                None => continue,
            },
        };
        connection.try_send(&query(COUNT)).await;
        let mut answer = Vec::new();
        while let Some(message) = connection.next().await {
            let is_last = message.tag == b'Z';
            answer.push(message);
            if is_last {
                wire = Some(connection);
                break;
            }
        }
        if wire.is_some() {
            assert_eq!(tags(&answer), "TDCZ", "{answer:?}");
            assert_eq!(values(&answer), ["0"]);
            reads += 1;
        } else {
            assert_eq!(errors(&answer), ["57P01"], "{answer:?}");
            assert_eq!(tags(&answer), "E");
        }
    }
    reads
}

async fn health(proxy: &Proxy) -> u16 {
    proxy.get("/health").await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn over_crashes_and_restarts_reads_go_on_and_no_write_is_applied_twice() {
    let mut stage = Stage::builder()
        .auth(Auth::Trust)
        .config(
            "[retry]\nwrites = true\nattempts = 60\ndelay = \"50ms\"\n[cache]\nenabled = false\n",
        )
        .start()
        .await;
    stage
        .arrange("CREATE TABLE items (id int); CREATE TABLE rows (id int)")
        .await;
    login(&stage).await;
    let port = stage.proxy.port();
    let done = Arc::new(AtomicBool::new(false));
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    for writer in 1..=3 {
        writers.spawn(write(port, writer, Arc::clone(&done)));
        readers.spawn(read(port, Arc::clone(&done)));
    }
    for round in 0..4 {
        let rows = stage.direct().await;
        let count = async || {
            let row = rows.query_one("SELECT count(*) FROM rows", &[]).await;
            row.unwrap().get::<_, i64>(0)
        };
        let before = count().await;
        eventually(SOON, async || count().await > before + 50).await;
        if round % 2 == 0 {
            stage.postgres.kill().unwrap();
        } else {
            stage.postgres.stop().await.unwrap();
        }
        stage.postgres.start_again().await.unwrap();
        eventually(SOON, async || health(&stage.proxy).await == 200).await;
    }
    done.store(true, Ordering::Relaxed);
    let reads = readers.join_all().await;
    assert!(reads.iter().all(|&reads| reads > 0));
    // Before the rows are looked at: a writer may be told of one more until it has ended.
    let ledgers = writers.join_all().await;
    let truth = stage.direct().await;
    let rows = truth.query("SELECT id FROM rows ORDER BY id", &[]).await;
    let rows: Vec<i32> = rows.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(
        rows.windows(2).all(|pair| pair[0] < pair[1]),
        "applied twice"
    );
    for ledger in ledgers {
        assert!(!ledger.acknowledged.is_empty());
        let lost = ledger
            .acknowledged
            .iter()
            .find(|id| rows.binary_search(id).is_err());
        assert_eq!(lost, None, "acknowledged, and not there");
    }
}
