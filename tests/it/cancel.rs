//! Cancel requests: they end the query that was meant, and no other.

use std::time::Duration;

use pgkeel_bench::sandbox::Auth;

use crate::support::{Stage, eventually};
use crate::wire::*;

const SOON: Duration = Duration::from_secs(20);
const SLEEP: &str = "SELECT pg_sleep(60)";

/// Sends a cancel request and waits until it has been dealt with.
async fn cancel(port: u16, key: &[u8]) {
    let mut wire = Wire::open(port).await;
    wire.send(&cancel_request(key)).await;
    assert!(wire.until_end().await.is_empty());
}

/// How many queries of this text PostgreSQL is running.
async fn running(stage: &Stage, sql: &str) -> i64 {
    let question = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = $1";
    let row = stage.direct().await.query_one(question, &[&sql]).await;
    row.unwrap().get(0)
}

async fn stage(config: &str) -> Stage {
    Stage::builder()
        .auth(Auth::Trust)
        .config(config)
        .start()
        .await
}

#[tokio::test]
async fn a_running_query_is_cancelled() {
    let stage = stage("").await;
    let mut wire = Wire::login(stage.proxy.port(), "app").await;
    let extended = [parse("", SLEEP), bind("", "", &[]), execute("", 0), sync()].concat();
    for messages in [query(SLEEP), extended] {
        wire.send(&messages).await;
        eventually(SOON, async || running(&stage, SLEEP).await == 1).await;
        cancel(stage.proxy.port(), &wire.key()).await;
        let answer = wire.until_ready().await;
        assert_eq!(errors(&answer), ["57014"]);
        assert_eq!(values(&wire.ask(&query("SELECT 1")).await), ["1"]);
    }
    // In a transaction, and for a session that keeps its connection.
    wire.ask(&query("SET work_mem = '5MB'")).await;
    wire.ask(&query("BEGIN")).await;
    wire.send(&query(SLEEP)).await;
    eventually(SOON, async || running(&stage, SLEEP).await == 1).await;
    cancel(stage.proxy.port(), &wire.key()).await;
    assert_eq!(errors(&wire.until_ready().await), ["57014"]);
    assert_eq!(errors(&wire.ask(&query("SELECT 1")).await), ["25P02"]);
}

#[tokio::test]
async fn a_client_that_waits_for_a_connection_is_cancelled() {
    let stage = stage("[pool]\nmax = 1\n").await;
    let mut holder = Wire::login(stage.proxy.port(), "app").await;
    let mut waiter = Wire::login(stage.proxy.port(), "app").await;
    holder.ask(&query("BEGIN; SELECT 1")).await;
    for messages in [
        query("SELECT 1"),
        [
            parse("", "SELECT 1"),
            bind("", "", &[]),
            execute("", 0),
            sync(),
        ]
        .concat(),
    ] {
        waiter.send(&messages).await;
        eventually(SOON, async || stage.stat("clients.waiting").await == 1).await;
        cancel(stage.proxy.port(), &waiter.key()).await;
        assert_eq!(errors(&waiter.until_ready().await), ["57014"]);
    }
    holder.ask(&query("COMMIT")).await;
    assert_eq!(values(&waiter.ask(&query("SELECT 2")).await), ["2"]);
}

#[tokio::test]
async fn a_wrong_key_cancels_nothing() {
    let stage = stage("").await;
    let mut wire = Wire::login(stage.proxy.port(), "app").await;
    let sql = "SELECT pg_sleep(0.5)";
    wire.send(&query(sql)).await;
    eventually(SOON, async || running(&stage, sql).await == 1).await;
    let mut wrong = wire.key();
    wrong[7] ^= 1;
    let backend = stage.direct().await;
    let question = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query = $1";
    let row = backend.query_one(question, &[&sql]).await.unwrap();
    let pid = row.get::<_, i32>(0).to_be_bytes();
    // The client's own key with a wrong secret, the true pid with the client's secret, nonsense.
    for key in [
        &wrong[..],
        &[&pid[..], &wrong[4..]].concat(),
        &[0; 8],
        &[1; 5],
    ] {
        cancel(stage.proxy.port(), key).await;
    }
    assert_eq!(tags(&wire.until_ready().await), "TDCZ");
}

#[tokio::test]
async fn an_idle_client_has_nothing_to_cancel() {
    let stage = stage("").await;
    let mut wire = Wire::login(stage.proxy.port(), "app").await;
    cancel(stage.proxy.port(), &wire.key()).await;
    assert_eq!(tags(&wire.ask(&query("SELECT 1")).await), "TDCZ");
    wire.ask(&query("BEGIN")).await;
    cancel(stage.proxy.port(), &wire.key()).await;
    assert_eq!(
        tags(&wire.ask(&query("SELECT pg_sleep(0.01)")).await),
        "TDCZ"
    );
}

/// Two clients take turns on one connection. The first one's requests to cancel come around the end of its
/// query, so many of them are late; none may end the second one's query.
#[tokio::test]
async fn a_late_request_does_not_hit_the_next_client() {
    let stage = stage("[pool]\nmax = 1\n").await;
    let port = stage.proxy.port();
    let mut first = Wire::login(port, "app").await;
    let mut second = Wire::login(port, "app").await;
    let mut cancelled = 0;
    for round in 0..200_u64 {
        first.send(&query("SELECT pg_sleep(0.002)")).await;
        let key = first.key();
        let delay = Duration::from_micros(round * 23 % 4000);
        let request = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            cancel(port, &key).await;
        });
        let answer = first.until_ready().await;
        cancelled += errors(&answer).len();
        let answer = second.ask(&query("SELECT pg_sleep(0.003), 'second'")).await;
        assert_eq!(tags(&answer), "TDCZ", "round {round}: {answer:?}");
        request.await.unwrap();
    }
    assert!(cancelled > 0, "some requests are in time");
}
