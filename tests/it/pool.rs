//! Server connections: how many there are, who gets one and for how long.

use std::time::{Duration, Instant};

use pgkeel_bench::sandbox::Auth;

use crate::support::{Stage, eventually};
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

/// Connections of `application` that PostgreSQL has.
async fn connections(stage: &Stage, application: &str) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
    let row = stage.direct().await.query_one(sql, &[&application]).await;
    row.unwrap().get(0)
}

async fn member(stage: &Stage) -> Wire {
    let parameters = [
        ("user", "keel"),
        ("database", "app"),
        ("application_name", "member"),
    ];
    Wire::login_with(stage.proxy.port(), &parameters).await
}

/// The pins of `/stats`, as `reason=count` separated by commas.
async fn pins(stage: &Stage) -> String {
    let stats = stage.proxy.stats().await.unwrap();
    let pools = stats["pools"].as_array().unwrap().iter();
    let pins = pools.flat_map(|pool| pool["pins"].as_object().unwrap());
    let pins: Vec<_> = pins
        .map(|(reason, count)| format!("{reason}={count}"))
        .collect();
    pins.join(",")
}

/// Which process runs the query: uncacheable, and without a tie to the connection.
async fn backend_start(wire: &mut Wire) -> String {
    let sql = "SELECT max(backend_start) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT max(b%'";
    values(&wire.ask(&query(sql)).await).remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_connections_are_opened_than_allowed() {
    let stage = stage("[pool]\nmax = 3\n").await;
    let mut tasks = Vec::new();
    for _ in 0..12 {
        let mut wire = member(&stage).await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                wire.ask(&query("SELECT pg_sleep(0.005)")).await;
            }
        }));
    }
    let mut most = 0;
    while tasks.iter().any(|task| !task.is_finished()) {
        most = most.max(connections(&stage, "member").await);
    }
    assert_eq!(most, 3);
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn who_waits_is_served_in_order() {
    let stage = stage("[pool]\nmax = 1\n").await;
    stage
        .arrange("CREATE TABLE turns (id serial, name text)")
        .await;
    let mut holder = login(&stage).await;
    let mut waiters = Vec::new();
    for _ in 0..5 {
        waiters.push(login(&stage).await);
    }
    holder.ask(&query("BEGIN; SELECT 1")).await;
    for (number, waiter) in waiters.iter_mut().enumerate() {
        let sql = format!("INSERT INTO turns (name) VALUES ('{number}')");
        waiter.send(&query(&sql)).await;
        let expected = number as u64 + 1;
        eventually(SOON, async || {
            stage.stat("clients.waiting").await == expected
        })
        .await;
    }
    holder.ask(&query("COMMIT")).await;
    for waiter in &mut waiters {
        waiter.until_ready().await;
    }
    let order = holder
        .ask(&query("SELECT string_agg(name, '' ORDER BY id) FROM turns"))
        .await;
    assert_eq!(values(&order), ["01234"]);
}

#[tokio::test]
async fn who_waits_too_long_is_told_so() {
    let stage = stage("[pool]\nmax = 1\nwait_timeout = \"300ms\"\n").await;
    let mut holder = login(&stage).await;
    let mut waiter = login(&stage).await;
    holder.ask(&query("BEGIN; SELECT 1")).await;
    let start = Instant::now();
    waiter.send(&query("SELECT 1")).await;
    assert_eq!(waiter.next().await.unwrap().sqlstate(), "53300");
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(stage.stat("counters.pool_wait_timeouts").await, 1);
    // A login waits, too: it brings a connection of its own.
    let mut newcomer = Wire::open(stage.proxy.port()).await;
    newcomer
        .send(&startup(&[("user", "keel"), ("database", "app")]))
        .await;
    assert_eq!(errors(&newcomer.until_end().await), ["53300"]);
    holder.ask(&query("COMMIT")).await;
    login(&stage).await;
}

#[tokio::test]
async fn a_transaction_holds_its_connection_and_nothing_else_does() {
    let stage = stage("[pool]\nmax = 1\n").await;
    let mut one = login(&stage).await;
    let mut other = login(&stage).await;
    for round in 0..5 {
        let (wire, waiter) = if round % 2 == 0 {
            (&mut one, &mut other)
        } else {
            (&mut other, &mut one)
        };
        wire.ask(&query("BEGIN; SELECT 1")).await;
        waiter.send(&query("SELECT pg_sleep(0)")).await;
        eventually(SOON, async || stage.stat("clients.waiting").await == 1).await;
        wire.ask(&query("SELECT 1 / 0")).await;
        assert_eq!(stage.stat("clients.waiting").await, 1);
        wire.ask(&query("ROLLBACK")).await;
        assert_eq!(tags(&waiter.until_ready().await), "TDCZ");
    }
    assert_eq!(stage.stat("clients.pinned").await, 0);
}

#[tokio::test]
async fn connections_end_when_they_are_idle_or_old() {
    let stage = stage("[pool]\nmax = 4\nmin = 1\nidle_timeout = \"1s\"\n").await;
    let mut wires = Vec::new();
    for _ in 0..4 {
        wires.push(member(&stage).await);
    }
    for wire in &mut wires {
        wire.send(&query("SELECT pg_sleep(0.3)")).await;
    }
    for wire in &mut wires {
        wire.until_ready().await;
    }
    assert!(connections(&stage, "member").await > 1);
    eventually(SOON, async || connections(&stage, "member").await == 1).await;
    for wire in &mut wires {
        assert_eq!(tags(&wire.ask(&query("SELECT pg_sleep(0)")).await), "TDCZ");
    }
    drop(wires);
    eventually(SOON, async || connections(&stage, "member").await == 0).await;
}

#[tokio::test]
async fn an_old_connection_is_replaced() {
    let stage = stage("[pool]\nmax = 1\nmin = 0\nlifetime = \"1s\"\n").await;
    let mut wire = login(&stage).await;
    let first = backend_start(&mut wire).await;
    eventually(SOON, async || backend_start(&mut wire).await != first).await;
}

#[tokio::test]
async fn state_of_a_session_keeps_its_connection() {
    let stage = stage("").await;
    for (sql, pin) in [
        ("SET SESSION AUTHORIZATION keel", "setting=1"),
        (
            "SELECT set_config(n, '5MB', false) FROM (VALUES ('work_mem')) AS v (n)",
            "setting=1",
        ),
        ("LISTEN news", "listen=1"),
        ("CREATE TEMPORARY TABLE own (id int)", "temporary=1"),
        ("SELECT pg_advisory_lock(1)", "advisory_lock=1"),
        ("PREPARE p AS SELECT 1", "prepared_statement=1"),
        ("SELECT pg_backend_pid()", "session_identity=1"),
    ] {
        let mut wire = login(&stage).await;
        wire.ask(&query(sql)).await;
        assert_eq!(pins(&stage).await, pin, "{sql}");
        assert_eq!(stage.stat("clients.pinned").await, 1);
        wire.ask(&query("DISCARD ALL")).await;
        // The answer is on its way before the session has drawn its own conclusions.
        eventually(SOON, async || pins(&stage).await.is_empty()).await;
        // Without it, what the session left is discarded when it ends.
        wire.ask(&query(sql)).await;
        drop(wire);
        eventually(SOON, async || pins(&stage).await.is_empty()).await;
    }
    let mut wire = login(&stage).await;
    for (sql, value) in [
        ("SHOW work_mem", "4MB"),
        ("SELECT count(*) FROM pg_listening_channels()", "0"),
        (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
            "0",
        ),
        (
            "SELECT count(*) FROM pg_class WHERE relpersistence = 't'",
            "0",
        ),
    ] {
        eventually(SOON, async || {
            values(&wire.ask(&query(sql)).await) == [value]
        })
        .await;
    }
}

#[tokio::test]
async fn what_was_discarded_before_it_was_understood_ties_nobody() {
    let stage = stage("[pool]\nmax = 1\nmin = 1\n").await;
    let mut wire = login(&stage).await;
    // The catalog is loaded anew, and the lock is judged when that is done.
    for sql in [
        "CREATE TABLE fresh ()",
        "SELECT pg_advisory_lock(1)",
        "DISCARD ALL",
    ] {
        wire.ask(&query(sql)).await;
    }
    eventually(SOON, async || {
        let stats = stage.proxy.stats().await.unwrap();
        stats["pools"][0]["idle"] == 1
    })
    .await;
}

#[tokio::test]
async fn notifications_come_while_the_client_is_idle() {
    let stage = stage("").await;
    let mut listener = login(&stage).await;
    listener.ask(&query("LISTEN news")).await;
    for text in ["first", "second"] {
        let mut sender = login(&stage).await;
        sender.ask(&query(&format!("NOTIFY news, '{text}'"))).await;
        let message = listener.next().await.unwrap();
        assert_eq!(message.tag, b'A');
        assert_eq!(message.body[4..], *format!("news\0{text}\0").as_bytes());
    }
    listener.ask(&query("UNLISTEN news")).await;
    stage.arrange("NOTIFY news, 'nobody listens'").await;
    assert_eq!(tags(&listener.ask(&query("SELECT 1")).await), "TDCZ");
}

#[tokio::test]
async fn a_client_that_leaves_in_a_transaction_leaves_no_locks() {
    let stage = stage("").await;
    stage
        .arrange("CREATE TABLE items (id int); INSERT INTO items VALUES (1)")
        .await;
    for goodbye in [message(b'X', &[]), vec![]] {
        let mut wire = login(&stage).await;
        wire.ask(&query("BEGIN; SELECT 1")).await;
        wire.ask(&query("LOCK TABLE items")).await;
        wire.send(&goodbye).await;
        drop(wire);
        let start = Instant::now();
        stage.arrange("SELECT * FROM items").await;
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
    }
}

#[tokio::test]
async fn a_terminated_backend_is_told_to_its_client() {
    let stage = stage("").await;
    // In a transaction, and with a connection kept while idle.
    for sql in ["BEGIN", "SET work_mem = '5MB'"] {
        let mut wire = login(&stage).await;
        wire.ask(&query(sql)).await;
        let pid = values(&wire.ask(&query("SELECT pg_backend_pid()")).await).remove(0);
        stage
            .arrange(&format!("SELECT pg_terminate_backend({pid})"))
            .await;
        let last = wire.until_end().await;
        assert_eq!(errors(&last), ["57P01"]);
        assert_eq!(last[0].field(b'V').unwrap(), "FATAL");
    }
    // While a query runs.
    let mut wire = login(&stage).await;
    wire.send(&query("SELECT pg_sleep(60), 'victim'")).await;
    let victim = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE state = 'active' AND query = 'SELECT pg_sleep(60), ''victim'''";
    let killer = stage.direct().await;
    eventually(SOON, async || {
        !killer.query(victim, &[]).await.unwrap().is_empty()
    })
    .await;
    let answer = wire.until_end().await;
    assert_eq!(errors(&answer), ["57P01"]);
    // A connection that dies in the pool is nobody's trouble.
    let mut wire = login(&stage).await;
    wire.ask(&query("SELECT pg_sleep(0)")).await;
    let others = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    stage.arrange(others).await;
    for _ in 0..5 {
        assert_eq!(tags(&wire.ask(&query("SELECT pg_sleep(0)")).await), "TDCZ");
    }
}
