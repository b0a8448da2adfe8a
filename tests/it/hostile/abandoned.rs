//! Clients that go away in the middle, and what they must not leave behind.

use super::{ONE_CONNECTION, READ, TABLES, UNCACHED, UPDATE, Witness};
use super::{client, direct, run, until_blocked};
use crate::scene::{SOON, Scene};
use crate::support::{Stage, eventually};
use crate::wire::{self, Wire, errors, flush, message, query, sync, tags, values};

const INSERT: &str = "INSERT INTO u VALUES (2)";
const COUNT: &str = "SELECT count(*) FROM u";

/// The catalog is known, so that nothing is closed merely for want of it.
async fn shared_connection() -> Scene {
    let scene = Scene::of(Stage::builder().config(ONE_CONNECTION), TABLES).await;
    Witness::new(&scene, READ).await;
    scene
}

/// Another client uses the pool's only connection, in both protocols; then nothing of the update is left.
async fn nothing_is_left_of_the_update(scene: &Scene, innocent: &mut Wire) {
    run(innocent, UNCACHED).await;
    let reply = innocent.ask(&[wire::run(UNCACHED), sync()].concat()).await;
    assert_eq!(tags(&reply), "12DCZ");
    let mut direct = direct(&scene.stage).await;
    let locking = query(&format!("{READ} FOR UPDATE NOWAIT"));
    eventually(SOON, async || {
        let reply = direct.ask(&locking).await;
        errors(&reply).is_empty() && values(&reply) == ["10"]
    })
    .await;
    // Its window has closed, or the read would not become a hit.
    assert_eq!(Witness::new(scene, READ).await.sees().await, "10");
}

#[tokio::test]
async fn an_update_whose_client_was_reset_while_it_ran_is_not_committed_by_another() {
    let scene = shared_connection().await;
    let mut innocent = client(&scene.stage).await;
    let mut holder = direct(&scene.stage).await;
    run(&mut holder, &format!("BEGIN; {READ} FOR UPDATE")).await;
    let mut hostile = client(&scene.stage).await;
    hostile.send(&[wire::run(UPDATE), flush()].concat()).await;
    until_blocked(&mut direct(&scene.stage).await).await;
    hostile.reset();
    run(&mut holder, "COMMIT").await;
    nothing_is_left_of_the_update(&scene, &mut innocent).await;
}

#[tokio::test]
async fn an_update_whose_client_was_reset_when_it_was_answered_is_not_committed_by_another() {
    let scene = shared_connection().await;
    let mut innocent = client(&scene.stage).await;
    let mut hostile = client(&scene.stage).await;
    hostile.send(&[wire::run(UPDATE), flush()].concat()).await;
    assert_eq!(tags(&hostile.messages(3).await), "12C");
    hostile.reset();
    nothing_is_left_of_the_update(&scene, &mut innocent).await;
}

#[tokio::test]
async fn a_pipeline_without_its_sync_is_not_committed_when_its_client_leaves() {
    let scene = shared_connection().await;
    let mut innocent = client(&scene.stage).await;
    let mut closing = client(&scene.stage).await;
    closing.send(&[wire::run(INSERT), flush()].concat()).await;
    assert_eq!(tags(&closing.messages(3).await), "12C");
    drop(closing);
    // There is one connection: who gets one gets it after the other client's.
    run(&mut innocent, UNCACHED).await;
    assert_eq!(run(&mut innocent, COUNT).await, ["1"]);

    let mut terminating = client(&scene.stage).await;
    let terminate = message(b'X', &[]);
    terminating
        .send(&[wire::run(INSERT), terminate].concat())
        .await;
    terminating.until_end().await;
    run(&mut innocent, UNCACHED).await;
    assert_eq!(Witness::new(&scene, COUNT).await.sees().await, "1");
}

#[tokio::test]
async fn what_code_keeps_for_itself_does_not_outlive_its_session() {
    no_connection_is_left_by(&[]).await;
}

/// A change of the catalog makes the proxy forget it, so what comes next is sent unjudged.
#[tokio::test]
async fn what_was_run_while_the_catalog_was_not_known_does_not_outlive_its_session() {
    no_connection_is_left_by(&["CREATE TABLE fresh ()"]).await;
}

/// A client runs `before`, connects to a server from within its session, and leaves.
async fn no_connection_is_left_by(before: &[&str]) {
    let scene = shared_connection().await;
    run(&mut direct(&scene.stage).await, "CREATE EXTENSION dblink").await;
    let mut next = client(&scene.stage).await;
    let mut first = client(&scene.stage).await;
    let port = scene.stage.postgres.port();
    let target = format!("host=127.0.0.1 port={port} dbname=app user=keel");
    for sql in before {
        run(&mut first, sql).await;
    }
    let connect = format!("SELECT dblink_connect('left', '{target}')");
    run(&mut first, &connect).await;
    drop(first);
    let left = "SELECT coalesce(dblink_get_connections()::text, 'none')";
    assert_eq!(run(&mut next, left).await, ["none"]);
}

/// DISCARD ALL does not touch it.
#[tokio::test]
async fn a_seed_does_not_outlive_its_session() {
    const SEED: &str = "SELECT setseed(0.5)";
    const DRAW: &str = "SELECT random()";
    let scene = shared_connection().await;
    let mut next = client(&scene.stage).await;
    let mut first = client(&scene.stage).await;
    run(&mut first, SEED).await;
    drop(first);
    let drawn = run(&mut next, DRAW).await;
    let mut direct = direct(&scene.stage).await;
    run(&mut direct, SEED).await;
    assert_ne!(drawn, run(&mut direct, DRAW).await);
}
