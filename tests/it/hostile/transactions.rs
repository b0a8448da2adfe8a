//! Transactions whose bounds and modes are not where one would look for them.

use super::{READ, TABLES, UPDATE, Witness, client, run};
use crate::scene::Scene;
use crate::wire::{self, errors, flush, sync, tags};

#[tokio::test]
async fn a_transaction_begun_behind_a_flush_and_committed_by_a_query_is_seen() {
    let scene = Scene::new(TABLES).await;
    let mut witness = Witness::new(&scene, READ).await;
    let mut hostile = client(&scene.stage).await;
    hostile
        .send(&[wire::run("BEGIN"), wire::run(UPDATE), flush()].concat())
        .await;
    assert_eq!(tags(&hostile.messages(6).await), "12C12C");
    hostile.ask(&sync()).await;
    assert_eq!(witness.sees().await, "10");
    run(&mut hostile, "COMMIT").await;
    assert_eq!(witness.sees().await, "11");
}

#[tokio::test]
async fn a_commit_before_a_flush_is_seen_though_the_rest_fails() {
    let scene = Scene::new(TABLES).await;
    let mut witness = Witness::new(&scene, READ).await;
    let mut hostile = client(&scene.stage).await;
    hostile
        .send(&[wire::run(UPDATE), wire::run("COMMIT"), flush()].concat())
        .await;
    // A warning comes with the COMMIT: there is no transaction block.
    assert_eq!(tags(&hostile.messages(7).await), "12C12NC");
    assert_eq!(witness.sees().await, "11");
    let answer = [wire::run("SELECT 1 / 0"), sync()].concat();
    assert_eq!(errors(&hostile.ask(&answer).await), ["22012"]);
    assert_eq!(witness.sees().await, "11");
}

#[tokio::test]
async fn a_write_behind_a_commit_in_the_same_pipeline_is_seen() {
    let scene = Scene::new(TABLES).await;
    let mut witness = Witness::new(&scene, READ).await;
    let mut hostile = client(&scene.stage).await;
    run(&mut hostile, "BEGIN").await;
    hostile.send(&[wire::run("COMMIT"), flush()].concat()).await;
    assert_eq!(tags(&hostile.messages(3).await), "12C");
    let write = [wire::run(UPDATE), sync()].concat();
    assert_eq!(tags(&hostile.ask(&write).await), "12CZ");
    assert_eq!(witness.sees().await, "11");
}

#[tokio::test]
async fn a_snapshot_asked_for_within_a_transaction_neither_hits_nor_fills() {
    let scene = Scene::new(TABLES).await;
    let mut witness = Witness::new(&scene, READ).await;
    let restart = wire::run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    let ways = [
        wire::query("BEGIN ISOLATION LEVEL REPEATABLE READ"),
        wire::query("START TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
        wire::query("commit; begin isolation level repeatable read"),
        [wire::run("COMMIT"), restart, sync()].concat(),
    ];
    let mut writer = client(&scene.stage).await;
    for way in ways {
        let before = witness.sees().await;
        let mut hostile = client(&scene.stage).await;
        run(&mut hostile, "BEGIN").await;
        let reply = hostile.ask(&way).await;
        assert!(errors(&reply).is_empty(), "{reply:?}");
        run(&mut hostile, "SELECT v FROM u").await;
        run(&mut writer, UPDATE).await;
        for _ in 0..2 {
            assert_eq!(run(&mut hostile, READ).await, [before.as_str()]);
            assert_ne!(witness.sees().await, before);
        }
        run(&mut hostile, "COMMIT").await;
        assert_eq!(run(&mut hostile, READ).await, [witness.sees().await]);
    }
}
