//! What is tried again before a client hears of it, and what never is.

mod conflicts;
mod connecting;
mod losses;
mod waiting;

use std::time::Duration;

use pgkeel_bench::sandbox::Auth;
use tokio_postgres::Client;

use crate::support::{Stage, StageBuilder, eventually};
use crate::wire::*;

const SOON: Duration = Duration::from_secs(20);

/// Every transaction has one snapshot, so a change that commits while a statement waits for it is a conflict.
const ONE_SNAPSHOT: &str = "isolation = \"repeatable read\"\ndelay = \"100ms\"\n";

/// A table of two rows, and a proxy that has seen it.
async fn stage(retry: &str) -> Stage {
    stage_of(Stage::builder(), retry).await
}

async fn stage_of(builder: StageBuilder, retry: &str) -> Stage {
    let stage = builder
        .auth(Auth::Trust)
        .config(&format!("[retry]\n{retry}"))
        .start()
        .await;
    stage
        .arrange("CREATE TABLE items (id int, n int); INSERT INTO items VALUES (1, 0), (2, 0)")
        .await;
    let mut wire = login(&stage).await;
    let hits = stage.hits().await;
    eventually(SOON, async || {
        wire.ask(&query("SELECT count(*) FROM items")).await;
        stage.hits().await > hits
    })
    .await;
    stage
}

async fn login(stage: &Stage) -> Wire {
    Wire::login(stage.proxy.port(), "app").await
}

/// Someone who has changed the first row and not committed yet.
async fn rival(stage: &Stage) -> Client {
    let rival = stage.direct().await;
    rival
        .batch_execute("BEGIN; UPDATE items SET n = n + 100 WHERE id = 1")
        .await
        .unwrap();
    rival
}

/// Waits until somebody waits for a lock.
async fn until_blocked(stage: &Stage) {
    let witness = stage.direct().await;
    let question = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    eventually(SOON, async || {
        !witness.query(question, &[]).await.unwrap().is_empty()
    })
    .await;
}

/// Sends a request that has to wait for the rival, lets the rival commit, and returns the reply.
async fn in_conflict(stage: &Stage, wire: &mut Wire, request: &[u8]) -> Vec<Message> {
    let rival = rival(stage).await;
    wire.send(request).await;
    until_blocked(stage).await;
    rival.batch_execute("COMMIT").await.unwrap();
    wire.until_ready().await
}

async fn retries(stage: &Stage, cause: &str) -> u64 {
    stage.stat(&format!("counters.retries_{cause}")).await
}

/// What PostgreSQL itself has in a column, by id.
async fn truth(stage: &Stage) -> Vec<i32> {
    let rows = stage.direct().await;
    let rows = rows.query("SELECT n FROM items ORDER BY id", &[]).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}
