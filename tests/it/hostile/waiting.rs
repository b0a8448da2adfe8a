//! Clients that hold up others.

use super::{READ, TABLES, Witness, client, direct, run};
use crate::scene::{SOON, Scene};
use crate::support::{self, Stage, eventually};
use crate::wire::{query, tags, values};

/// The result is within the limit of the cache, so it is being recorded for those who wait for it.
#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody_with_the_same_text() {
    const ROWS: usize = 60_000;
    let text =
        format!("SELECT repeat('x', 1000) FROM generate_series(1, {ROWS}), t WHERE t.id = 1");
    let config = "[cache]\nresult_max_bytes = \"128MiB\"\n";
    let scene = Scene::of(Stage::builder().config(config), TABLES).await;
    Witness::new(&scene, READ).await;
    let mut other = client(&scene.stage).await;
    let mut deaf = client(&scene.stage).await;
    deaf.send(&query(&text)).await;
    let mut direct = direct(&scene.stage).await;
    let stuck = "SELECT count(*) FROM pg_stat_activity \
        WHERE query LIKE 'SELECT repeat%' AND wait_event = 'ClientWrite'";
    eventually(SOON, async || run(&mut direct, stuck).await == ["1"]).await;
    let reply = other.ask(&query(&text)).await;
    assert_eq!(values(&reply).len(), ROWS);
    assert_eq!(tags(&reply[reply.len() - 2..]), "CZ");
}

/// The proxy learns no password from SCRAM: only a login can open a connection of this user.
#[tokio::test]
async fn a_free_place_goes_to_the_login_that_can_use_it() {
    let stage = Stage::builder().config("[pool]\nmax = 2\n").start().await;
    stage
        .arrange("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        .await;
    let url = format!(
        "postgres://guest:guest@127.0.0.1:{}/app",
        stage.proxy.port()
    );
    let first = support::client(&url).await;
    let second = support::client(&url).await;
    // Its login takes the place of an idle connection.
    let third = support::client(&url).await;
    for holder in [&first, &second] {
        holder.batch_execute("BEGIN; SELECT 1").await.unwrap();
    }

    let in_front = tokio::spawn(async move { third.simple_query("SELECT random()").await });
    until_waiting(&stage, 1).await;
    let login = tokio::spawn(async move { support::client(&url).await });
    until_waiting(&stage, 2).await;
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE usename = 'guest' AND state = 'idle in transaction' ORDER BY backend_start LIMIT 1";
    stage.arrange(terminate).await;
    let fourth = login.await.expect("the login gets the place");
    in_front
        .await
        .unwrap()
        .expect("the connection that the login has opened is then free");
    fourth.batch_execute("SELECT 1").await.unwrap();
    let mut ended = 0;
    for holder in [first, second] {
        ended += usize::from(holder.batch_execute("COMMIT").await.is_err());
    }
    assert_eq!(ended, 1);
}

/// Waits until so many clients wait for a server connection.
async fn until_waiting(stage: &Stage, count: u64) {
    eventually(SOON, async || {
        let stats = stage.proxy.stats().await.expect("the admin port answers");
        let pools = stats["pools"].as_array().expect("a list of pools");
        let waiting = pools.iter().filter_map(|pool| pool["waiting"].as_u64());
        waiting.sum::<u64>() == count
    })
    .await;
}
