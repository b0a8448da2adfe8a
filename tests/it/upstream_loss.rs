//! PostgreSQL goes away and comes back: clients get clean errors, and nobody has to restart the proxy.

use std::time::Duration;

use pgkeel_bench::sandbox::{Auth, Proxy, ProxyOptions};

use crate::support::{BINARY, Stage, eventually};
use crate::wire::*;

const SOON: Duration = Duration::from_secs(20);

/// How the server goes.
#[derive(Clone, Copy, Debug)]
enum Going {
    /// By SIGKILL: without a word.
    Killed,
    /// By its operator, in the fast mode.
    Stopped,
}

impl Going {
    async fn happen(self, stage: &mut Stage) {
        match self {
            Self::Killed => stage.postgres.kill().unwrap(),
            Self::Stopped => stage.postgres.stop().await.unwrap(),
        }
    }
}

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

/// What a client is told whose server is gone: FATAL, and one of the codes that drivers know for it.
async fn last_words(wire: &mut Wire) -> String {
    let last = wire.until_end().await;
    let error = last.last().expect("a client is told why");
    assert_eq!(error.field(b'V').unwrap(), "FATAL", "{last:?}");
    let sqlstate = error.sqlstate();
    assert!(
        ["08006", "57P01", "57P02", "57P03"].contains(&sqlstate.as_str()),
        "{last:?}"
    );
    sqlstate
}

async fn health(proxy: &Proxy) -> u16 {
    proxy.get("/health").await.unwrap().0
}

#[tokio::test]
async fn clients_are_told_and_the_next_ones_are_served() {
    for going in [Going::Killed, Going::Stopped] {
        let mut stage = stage("[pool]\nmax = 3\n").await;
        stage.arrange("CREATE TABLE items (id int)").await;
        let mut idle = login(&stage).await;
        let mut in_transaction = login(&stage).await;
        let mut in_query = login(&stage).await;
        let mut tied = login(&stage).await;
        let mut waiting = login(&stage).await;
        in_transaction.ask(&query("BEGIN; SELECT 1")).await;
        tied.ask(&query("LISTEN news")).await;
        in_query.send(&query("SELECT pg_sleep(60)")).await;
        let active = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'";
        let witness = stage.direct().await;
        eventually(SOON, async || {
            !witness.query(active, &[]).await.unwrap().is_empty()
        })
        .await;
        waiting.send(&query("SELECT count(*) FROM items")).await;
        eventually(SOON, async || stage.stat("clients.waiting").await == 1).await;
        assert_eq!(health(&stage.proxy).await, 200);

        going.happen(&mut stage).await;

        for wire in [&mut in_transaction, &mut in_query, &mut tied, &mut waiting] {
            last_words(wire).await;
        }
        // It holds no connection, so it hears of it only when it asks.
        idle.send(&query("SELECT count(*) FROM items")).await;
        assert_eq!(last_words(&mut idle).await, "08006");
        let mut newcomer = Wire::open(stage.proxy.port()).await;
        newcomer
            .send(&startup(&[("user", "keel"), ("database", "app")]))
            .await;
        assert_eq!(last_words(&mut newcomer).await, "08006");
        eventually(SOON, async || health(&stage.proxy).await == 503).await;

        stage.postgres.start_again().await.unwrap();
        eventually(SOON, async || health(&stage.proxy).await == 200).await;
        let mut wire = login(&stage).await;
        assert_eq!(
            values(&wire.ask(&query("SELECT count(*) FROM items")).await),
            ["0"]
        );
        eventually(SOON, async || stage.stat("clients.connected").await == 1).await;
    }
}

#[tokio::test]
async fn an_idle_client_survives_a_restart() {
    let mut stage = stage("").await;
    let mut wire = login(&stage).await;
    for _ in 0..2 {
        assert_eq!(tags(&wire.ask(&query("SELECT pg_sleep(0)")).await), "TDCZ");
        // A session keeps its connection until the catalog tells what it has run, and ends with it.
        eventually(SOON, async || {
            let stats = stage.proxy.stats().await.unwrap();
            stats["pools"][0]["idle"].as_u64() > Some(0)
        })
        .await;
        stage.postgres.restart().await.unwrap();
    }
    let script = [parse("s", "SELECT $1::text"), sync()].concat();
    wire.ask(&script).await;
    stage.postgres.restart().await.unwrap();
    let answer = wire
        .ask(&[bind("", "s", &[Some(b"still")]), execute("", 0), sync()].concat())
        .await;
    assert_eq!(values(&answer), ["still"]);
}

/// A result may outlive the server that gave it, but not its data.
#[tokio::test]
async fn what_was_cached_before_a_loss_is_not_served_after_it() {
    for going in [Going::Killed, Going::Stopped] {
        let mut stage = stage("").await;
        stage.arrange("CREATE TABLE items (id int)").await;
        let mut wire = login(&stage).await;
        let count = query("SELECT count(*) FROM items");
        let hits = stage.hits().await;
        eventually(SOON, async || {
            wire.ask(&count).await;
            stage.hits().await > hits
        })
        .await;
        going.happen(&mut stage).await;
        stage.postgres.start_again().await.unwrap();
        // As if a failover had brought other data: around the proxy.
        stage.arrange("INSERT INTO items VALUES (1)").await;
        login(&stage).await;
        assert_eq!(values(&wire.ask(&count).await), ["1"], "{going:?}");
    }
}

#[tokio::test]
async fn a_commit_that_was_cut_off_is_not_hidden() {
    let mut stage = stage("").await;
    stage.arrange("CREATE TABLE items (id int)").await;
    let mut reader = login(&stage).await;
    let count = query("SELECT count(*) FROM items");
    reader.ask(&count).await;
    let mut writer = login(&stage).await;
    writer.ask(&query("BEGIN; SELECT 1")).await;
    writer.ask(&query("INSERT INTO items VALUES (1)")).await;
    writer.send(&query("COMMIT")).await;
    stage.postgres.kill().unwrap();
    // It may have been in time.
    while writer
        .next()
        .await
        .is_some_and(|message| message.tag != b'Z')
    {}
    stage.postgres.start_again().await.unwrap();
    let truth = stage.direct().await;
    let truth: i64 = truth
        .query_one("SELECT count(*) FROM items", &[])
        .await
        .unwrap()
        .get(0);
    let mut reader = login(&stage).await;
    for _ in 0..3 {
        assert_eq!(values(&reader.ask(&count).await), [truth.to_string()]);
    }
    eventually(SOON, async || {
        stage.stat("freshness.windows_open").await == 0
    })
    .await;
}

#[tokio::test]
async fn the_proxy_may_be_there_before_the_server() {
    let mut stage = stage("").await;
    stage.postgres.stop().await.unwrap();
    let options = ProxyOptions {
        binary: BINARY.into(),
        upstream_url: stage.postgres.url(),
        ..ProxyOptions::default()
    };
    let proxy = Proxy::start(&options).await.unwrap();
    eventually(SOON, async || health(&proxy).await == 503).await;
    let mut early = Wire::open(proxy.port()).await;
    early
        .send(&startup(&[("user", "keel"), ("database", "app")]))
        .await;
    assert_eq!(last_words(&mut early).await, "08006");

    stage.postgres.start_again().await.unwrap();
    eventually(SOON, async || health(&proxy).await == 200).await;
    let mut wire = Wire::login(proxy.port(), "app").await;
    assert_eq!(values(&wire.ask(&query("SELECT 1")).await), ["1"]);
}
