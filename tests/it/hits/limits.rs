//! What the configuration allows: time, size, tables, and no cache at all.

use std::time::{Duration, Instant};

use crate::raw::Script;
use crate::scene::{Answered, SOON, Scene};
use crate::support::{Stage, eventually};

const TABLES: &str = "CREATE TABLE brief (v int); CREATE TABLE lasting (v int); CREATE TABLE secret (v int); \
    INSERT INTO brief VALUES (1); INSERT INTO lasting VALUES (1); INSERT INTO secret VALUES (1)";

#[tokio::test]
async fn a_result_lives_as_long_as_its_shortest_lived_table() {
    let config =
        "[cache.tables.brief]\nttl = \"1s\"\n[cache.tables.public.secret]\nenabled = false\n";
    let scene = Scene::of(Stage::builder().config(config), TABLES).await;
    let mut client = scene.client().await;
    let (lasting, both) = (
        Script::new().query("SELECT v FROM lasting"),
        Script::new().query("SELECT b.v FROM brief AS b JOIN lasting AS l ON b.v = l.v"),
    );
    scene.warm(&mut client, &lasting).await;
    scene.warm(&mut client, &both).await;
    // A change around the proxy is what shows that the time is over.
    scene
        .direct()
        .await
        .run("UPDATE brief SET v = 2; UPDATE lasting SET v = 2")
        .await;
    let start = Instant::now();
    eventually(Duration::from_secs(5), async || {
        client.ask(&both).await.rows() == ["2"]
    })
    .await;
    assert!(
        start.elapsed() > Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        client.ask(&lasting).await.rows(),
        ["1"],
        "its time is not over"
    );

    let secret = Script::new().query("SELECT v FROM secret");
    for _ in 0..3 {
        assert_eq!(scene.ask(&mut client, &secret).await.1, Answered::Forwarded);
    }
    assert_eq!(scene.stage.stat("bypass.table_excluded").await, 3);
}

#[tokio::test]
async fn a_cache_that_is_off_forwards_everything() {
    let builder = Stage::builder().config("[cache]\nenabled = false\n");
    let scene = Scene::of(builder, TABLES).await;
    let mut client = scene.client().await;
    let scripts = [
        Script::new().query("SELECT v FROM brief"),
        Script::new().statement("SELECT v FROM brief", &[]).sync(),
    ];
    eventually(SOON, async || {
        for script in &scripts {
            let (reply, answered) = scene.ask(&mut client, script).await;
            assert_eq!(
                (reply.rows(), answered),
                (vec!["1".to_owned()], Answered::Forwarded)
            );
        }
        scene.stage.stat("bypass.cache_disabled").await > 6
    })
    .await;
    assert_eq!(scene.stage.stat("cache.entries").await, 0);
}

#[tokio::test]
async fn a_result_above_the_limit_is_not_kept() {
    let builder = Stage::builder().config("[cache]\nresult_max_bytes = \"100KiB\"\n");
    let scene = Scene::of(builder, TABLES).await;
    let mut client = scene.client().await;
    let sized =
        |bytes: usize| Script::new().query(&format!("SELECT repeat('x', {bytes}), v FROM brief"));
    let lines = |count: usize| {
        Script::new().query(&format!(
            "SELECT repeat('y', 100), n, v FROM brief, generate_series(1, {count}) AS n"
        ))
    };
    let mut direct = scene.direct().await;
    for fits in [sized(90_000), lines(500)] {
        let hit = scene.warm(&mut client, &fits).await;
        assert_eq!(hit, direct.ask(&fits).await);
    }
    for above in [sized(110_000), sized(3_000_000), lines(5000)] {
        for _ in 0..3 {
            let (reply, answered) = scene.ask(&mut client, &above).await;
            assert_eq!(answered, Answered::Miss);
            assert_eq!(reply, direct.ask(&above).await);
        }
    }
    assert_eq!(scene.stage.stat("counters.results_too_large").await, 9);
}

#[tokio::test]
async fn what_moves_by_itself_is_never_kept() {
    let scene = Scene::new(TABLES).await;
    let mut client = scene.client().await;
    scene
        .warm(&mut client, &Script::new().query("SELECT v FROM brief"))
        .await;
    for sql in [
        "SELECT now(), v FROM brief",
        "SELECT random() FROM brief",
        "SELECT v FROM brief WHERE 'today'::date > '2000-01-01'",
        "SELECT current_setting('application_name'), v FROM brief",
        "SELECT v, ctid FROM brief",
        "SELECT count(*) FROM pg_class",
        "SELECT v FROM brief FOR UPDATE",
        "SELECT v FROM brief TABLESAMPLE BERNOULLI (50)",
        "SELECT nextval('counter'), v FROM brief",
        "SELECT txid_current(), v FROM brief",
        "SHOW work_mem",
    ] {
        client.query("CREATE SEQUENCE IF NOT EXISTS counter").await;
        scene
            .warm(&mut client, &Script::new().query("SELECT v FROM lasting"))
            .await;
        let mut other = scene.client().await;
        for _ in 0..2 {
            let (reply, answered) = scene.ask(&mut other, &Script::new().query(sql)).await;
            assert_eq!(
                (reply.error(), answered),
                (None, Answered::Forwarded),
                "{sql}"
            );
        }
    }
    let moving = Script::new()
        .statement(
            "SELECT v FROM brief WHERE $1::date > '2000-01-01'",
            &["today"],
        )
        .sync();
    for _ in 0..2 {
        assert_eq!(scene.ask(&mut client, &moving).await.1, Answered::Forwarded);
    }
}
