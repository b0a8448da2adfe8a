//! Writes that come in by another door: another protocol, another reading of the text, another name of the
//! database, another connection.

use super::{READ, TABLES, UPDATE, Witness, client, direct, run};
use crate::scene::{SOON, Scene};
use crate::support::eventually;
use crate::wire::Wire;

#[tokio::test]
async fn sql_on_a_replication_connection_is_seen() {
    let scene = Scene::new(TABLES).await;
    let mut witness = Witness::new(&scene, READ).await;
    let login = [
        ("user", "keel"),
        ("database", "app"),
        ("replication", "database"),
    ];
    let mut hostile = Wire::login_with(scene.stage.proxy.port(), &login).await;
    run(&mut hostile, UPDATE).await;
    assert_eq!(witness.sees().await, "11");
    run(&mut hostile, "BEGIN").await;
    run(&mut hostile, UPDATE).await;
    assert_eq!(witness.sees().await, "11");
    run(&mut hostile, "COMMIT").await;
    assert_eq!(witness.sees().await, "12");
}

#[tokio::test]
async fn a_text_that_ends_elsewhere_under_another_setting_is_read_as_the_server_reads_it() {
    const TRICK: &str = r"SELECT 'x\'';UPDATE t SET v = v + 1 WHERE id = 1;--'";
    let scene = Scene::new(TABLES).await;
    let mut witness = Witness::new(&scene, READ).await;
    let mut hostile = client(&scene.stage).await;
    assert_eq!(
        run(&mut hostile, TRICK).await,
        [r"x\';UPDATE t SET v = v + 1 WHERE id = 1;--"]
    );
    assert_eq!(witness.sees().await, "10");

    run(&mut hostile, "BEGIN").await;
    run(&mut hostile, "SET LOCAL standard_conforming_strings = off").await;
    run(&mut hostile, TRICK).await;
    assert_eq!(witness.sees().await, "10");
    run(&mut hostile, "COMMIT").await;
    assert_eq!(witness.sees().await, "11");

    run(&mut hostile, "SET standard_conforming_strings = off").await;
    run(&mut hostile, TRICK).await;
    assert_eq!(witness.sees().await, "12");
}

/// PostgreSQL cuts the name of a database at 63 bytes.
#[tokio::test]
async fn a_database_is_the_same_by_a_longer_name() {
    let scene = Scene::new(TABLES).await;
    let name = "d".repeat(63);
    let create = format!("CREATE DATABASE {name} TEMPLATE app");
    // The template may have no other users.
    let administrator = &mut Wire::login(scene.stage.postgres.port(), "postgres").await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app'";
    eventually(SOON, async || {
        run(administrator, others).await;
        let reply = administrator.ask(&crate::wire::query(&create)).await;
        crate::wire::errors(&reply).is_empty()
    })
    .await;
    let port = scene.stage.proxy.port();
    let mut reader = Wire::login(port, &name).await;
    let mut writer = Wire::login(port, &format!("{name}xx")).await;
    for client in [&mut writer, &mut reader] {
        eventually(SOON, async || {
            let hits = scene.stage.hits().await;
            run(client, READ).await;
            scene.stage.hits().await > hits
        })
        .await;
    }
    run(&mut writer, UPDATE).await;
    assert_eq!(run(&mut reader, READ).await, ["11"]);
    assert_eq!(run(&mut writer, READ).await, ["11"]);
    run(&mut reader, UPDATE).await;
    assert_eq!(run(&mut writer, READ).await, ["12"]);
}

#[tokio::test]
async fn what_a_function_commits_over_its_own_connection_survives_the_rollback() {
    let scene = Scene::new(TABLES).await;
    run(&mut direct(&scene.stage).await, "CREATE EXTENSION dblink").await;
    let mut witness = Witness::new(&scene, READ).await;
    let port = scene.stage.postgres.port();
    let mut hostile = client(&scene.stage).await;
    run(&mut hostile, "BEGIN").await;
    let call = format!(
        "SELECT dblink_exec('host=127.0.0.1 port={port} dbname=app user=keel', '{UPDATE}')"
    );
    run(&mut hostile, &call).await;
    assert_eq!(witness.sees().await, "11");
    run(&mut hostile, "ROLLBACK").await;
    assert_eq!(witness.sees().await, "11");
}
