//! Hits inside transactions, and in sessions that are not like others.

use crate::raw::Script;
use crate::scene::{Answered, Scene};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10), (2, 20); \
    CREATE TABLE u (v int); INSERT INTO u VALUES (1)";

fn read() -> Script {
    Script::new().query("SELECT v FROM t WHERE id = 1")
}

#[tokio::test]
async fn a_read_committed_transaction_hits_until_it_writes() {
    let scene = Scene::new(TABLE).await;
    let mut client = scene.client().await;
    scene.warm(&mut client, &read()).await;
    for begin in [
        "BEGIN",
        "START TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "BEGIN READ ONLY",
    ] {
        client.run(begin).await;
        let (reply, answered) = scene.ask(&mut client, &read()).await;
        assert_eq!((answered, reply.status()), (Answered::Hit, 'T'), "{begin}");
        client.run("COMMIT").await;
    }
    client.run("BEGIN").await;
    client.run("SAVEPOINT s").await;
    assert_eq!(scene.ask(&mut client, &read()).await.1, Answered::Hit);
    // Another table: its own reads keep away from the cache all the same.
    client.run("UPDATE u SET v = v + 1").await;
    assert_eq!(scene.ask(&mut client, &read()).await.1, Answered::Forwarded);
    client.run("UPDATE t SET v = 11 WHERE id = 1").await;
    let (reply, answered) = scene.ask(&mut client, &read()).await;
    assert_eq!(
        (reply.rows(), answered),
        (vec!["11".to_owned()], Answered::Forwarded)
    );
    // It has written, whatever it takes back.
    client.run("ROLLBACK TO s").await;
    let (reply, answered) = scene.ask(&mut client, &read()).await;
    assert_eq!(
        (reply.rows(), answered),
        (vec!["10".to_owned()], Answered::Forwarded)
    );
    client.run("ROLLBACK").await;
    assert_eq!(scene.ask(&mut client, &read()).await.1, Answered::Hit);
}

#[tokio::test]
async fn a_transaction_with_one_snapshot_never_hits() {
    let scene = Scene::new(TABLE).await;
    let (mut client, mut writer) = (scene.client().await, scene.client().await);
    for begin in [
        vec!["BEGIN ISOLATION LEVEL REPEATABLE READ"],
        vec!["BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
        vec!["BEGIN", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"],
        vec!["BEGIN; SET LOCAL transaction_isolation = 'repeatable read'"],
    ] {
        scene.warm(&mut writer, &read()).await;
        for &sql in &begin {
            client.run(sql).await;
        }
        let (reply, answered) = scene.ask(&mut client, &read()).await;
        assert_eq!(answered, Answered::Forwarded, "{begin:?}");
        let before = reply.rows();
        writer.run("UPDATE t SET v = v + 1 WHERE id = 1").await;
        scene.warm(&mut writer, &read()).await;
        assert_eq!(client.ask(&read()).await.rows(), before, "{begin:?}");
        client.run("COMMIT").await;
        assert_ne!(client.ask(&read()).await.rows(), before, "{begin:?}");
    }
}

#[tokio::test]
async fn the_isolation_level_may_come_from_a_setting() {
    let scene = Scene::new(TABLE).await;
    let mut plain = scene.client().await;
    scene.warm(&mut plain, &read()).await;
    let option = [("options", "-c default_transaction_isolation=serializable")];
    let mut client = scene.client_with(&option).await;
    client.run("BEGIN").await;
    for _ in 0..2 {
        assert_eq!(scene.ask(&mut client, &read()).await.1, Answered::Forwarded);
    }
    client.run("COMMIT").await;
    // A single statement is a transaction of its own in which nothing else is seen.
    scene.warm(&mut client, &read()).await;

    plain
        .run("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await;
    plain.run("BEGIN").await;
    assert_eq!(scene.ask(&mut plain, &read()).await.1, Answered::Forwarded);
}

#[tokio::test]
async fn a_failed_transaction_gets_its_error_and_no_hit() {
    let scene = Scene::new(TABLE).await;
    let mut client = scene.client().await;
    scene.warm(&mut client, &read()).await;
    client.run("BEGIN").await;
    assert_eq!(
        client.query("SELECT 1 / 0").await.error().as_deref(),
        Some("22012")
    );
    let (reply, answered) = scene.ask(&mut client, &read()).await;
    assert_eq!(
        (reply.error().as_deref(), answered),
        (Some("25P02"), Answered::Forwarded)
    );
    assert_eq!(reply.status(), 'E');
    client.run("ROLLBACK").await;
    assert_eq!(scene.ask(&mut client, &read()).await.1, Answered::Hit);
}

#[tokio::test]
async fn a_session_whose_settings_cannot_be_followed_never_hits() {
    let scene = Scene::new(TABLE).await;
    for change in [
        "SET SESSION AUTHORIZATION keel",
        "SELECT set_config(name, 'German', false) FROM (VALUES ('datestyle')) AS v (name)",
        "SET idle_session_timeout = '1h'",
        "CREATE TEMPORARY TABLE t (id int, v int)",
        "DO 'BEGIN EXECUTE ''SELECT '' || 1; END'",
    ] {
        let mut client = scene.client().await;
        scene.warm(&mut client, &read()).await;
        client.run(change).await;
        for _ in 0..2 {
            assert_eq!(
                scene.ask(&mut client, &read()).await.1,
                Answered::Forwarded,
                "{change}"
            );
        }
        client.run("DISCARD ALL").await;
        scene.warm(&mut client, &read()).await;
    }
}

#[tokio::test]
async fn a_temporary_table_hides_the_cached_one() {
    let scene = Scene::new(TABLE).await;
    let (mut client, mut other) = (scene.client().await, scene.client().await);
    scene.warm(&mut client, &read()).await;
    client
        .run("CREATE TEMPORARY TABLE t AS SELECT 1 AS id, 99 AS v")
        .await;
    assert_eq!(client.ask(&read()).await.rows(), ["99"]);
    assert_eq!(other.ask(&read()).await.rows(), ["10"]);
    assert_eq!(scene.warm(&mut other, &read()).await.rows(), ["10"]);
    assert_eq!(client.ask(&read()).await.rows(), ["99"]);
}

#[tokio::test]
async fn a_local_setting_ends_hits_for_its_transaction_only() {
    let scene = Scene::new(TABLE).await;
    let mut client = scene.client().await;
    scene.warm(&mut client, &read()).await;
    client.run("BEGIN").await;
    client.run("SET LOCAL search_path = nowhere").await;
    assert_eq!(client.ask(&read()).await.error().as_deref(), Some("42P01"));
    client.run("ROLLBACK").await;
    assert_eq!(scene.ask(&mut client, &read()).await.1, Answered::Hit);
}
