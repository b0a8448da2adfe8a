//! What ends the wait for the next try.

use super::*;

const ADD: &str = "UPDATE items SET n = n + 1 WHERE id = 1";

/// A stage on which the next try is so late that it never comes, and a client that waits for it.
async fn waiting(request: &[u8]) -> (Stage, Wire) {
    let stage = stage("writes = true\nisolation = \"repeatable read\"\ndelay = \"30s\"").await;
    let mut wire = login(&stage).await;
    let rival = rival(&stage).await;
    wire.send(request).await;
    until_blocked(&stage).await;
    rival.batch_execute("COMMIT").await.unwrap();
    eventually(SOON, async || {
        stage.stat("freshness.windows_rolled_back").await == 1
    })
    .await;
    (stage, wire)
}

async fn cancel(stage: &Stage, wire: &Wire) {
    let mut other = Wire::open(stage.proxy.port()).await;
    other.send(&cancel_request(&wire.key())).await;
    assert!(other.until_end().await.is_empty());
}

#[tokio::test]
async fn a_cancel_request_ends_it() {
    let (stage, mut wire) = waiting(&query(ADD)).await;
    cancel(&stage, &wire).await;
    let answer = wire.until_ready().await;
    assert_eq!(tags(&answer), "EZ");
    assert_eq!(errors(&answer), ["57014"]);
    assert_eq!(truth(&stage).await, [100, 0]);
    let answer = wire.ask(&query("SELECT n FROM items WHERE id = 1")).await;
    assert_eq!(values(&answer), ["100"]);
}

/// The client is told that its statement was not prepared, and so it is not.
#[tokio::test]
async fn what_was_cancelled_was_not_prepared() {
    let prepare = [parse("s", ADD), bind("", "s", &[]), execute("", 0), sync()].concat();
    let (stage, mut wire) = waiting(&prepare).await;
    cancel(&stage, &wire).await;
    let answer = wire.until_ready().await;
    assert_eq!(tags(&answer), "EZ");
    assert_eq!(errors(&answer), ["57014"]);
    assert_eq!(tags(&wire.ask(&prepare).await), "12CZ");
    assert_eq!(truth(&stage).await, [101, 0]);
}

/// Also where the session keeps its connection, which runs nothing meanwhile.
#[tokio::test]
async fn a_cancel_request_ends_it_on_a_kept_connection() {
    let stage = stage("writes = true\nisolation = \"repeatable read\"\ndelay = \"30s\"").await;
    let mut wire = login(&stage).await;
    wire.ask(&query("LISTEN news")).await;
    let before = stage.stat("freshness.windows_rolled_back").await;
    let rival = rival(&stage).await;
    wire.send(&query(ADD)).await;
    until_blocked(&stage).await;
    rival.batch_execute("COMMIT").await.unwrap();
    eventually(SOON, async || {
        stage.stat("freshness.windows_rolled_back").await > before
    })
    .await;
    cancel(&stage, &wire).await;
    assert_eq!(errors(&wire.until_ready().await), ["57014"]);
    assert_eq!(tags(&wire.ask(&query(ADD)).await), "CZ");
    assert_eq!(truth(&stage).await, [101, 0]);
}

#[tokio::test]
async fn a_client_that_leaves_ends_it() {
    let (stage, wire) = waiting(&query(ADD)).await;
    wire.reset();
    eventually(SOON, async || stage.stat("clients.connected").await == 0).await;
    assert_eq!(truth(&stage).await, [100, 0]);
}

#[tokio::test]
async fn a_proxy_that_stops_ends_it() {
    let prepare = [parse("s", ADD), bind("", "s", &[]), execute("", 0), sync()].concat();
    let (mut stage, mut wire) = waiting(&prepare).await;
    stage.proxy.terminate().unwrap();
    let answer = wire.until_end().await;
    assert_eq!(tags(&answer), "12EZE");
    assert_eq!(errors(&answer), ["40001", "57P01"]);
    assert_eq!(truth(&stage).await, [100, 0]);
}
