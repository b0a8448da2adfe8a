//! Writes in pipelines: several statements to one Sync, or to one Flush after the other.
//!
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING>

use super::{Readers, stage};
use crate::raw::{Raw, Script};
use crate::scene::Scene;

const TABLES: &str = "CREATE TABLE t (v int); INSERT INTO t VALUES (0); CREATE TABLE u (v int); INSERT INTO u VALUES (0); \
    GRANT SELECT ON t, u TO reader";
const READ: &str = "SELECT v FROM t";
const UPDATE: &str = "UPDATE t SET v = v + 1";
const FAILS: &str = "UPDATE u SET v = 1 / (v - v)";

async fn begin() -> (Scene, Raw) {
    let scene = stage().await;
    let mut writer = scene.client().await;
    writer.run(TABLES).await;
    (scene, writer)
}

fn script(statements: &[&str]) -> Script {
    statements
        .iter()
        .fold(Script::new(), |script, sql| script.statement(sql, &[]))
}

/// Sends the parts one by one: the next when the last has been answered, the last one with a Sync.
async fn in_parts(writer: &mut Raw, parts: &[&[&str]]) -> crate::raw::Reply {
    let (last, first) = parts.split_last().expect("a pipeline has a part");
    for part in first {
        writer.send(script(part).flush().bytes()).await;
        for _ in *part {
            writer.until(b'C').await;
        }
    }
    writer.ask(&script(last).sync()).await
}

#[tokio::test]
async fn several_statements_to_one_sync() {
    let (scene, mut writer) = begin().await;
    let mut readers = Readers::new(&scene, READ).await;
    for (statements, error) in [
        (vec![READ, UPDATE, READ], None),
        (vec!["BEGIN", UPDATE, "COMMIT"], None),
        (vec!["SELECT 1", UPDATE, "COMMIT", FAILS], Some("22012")),
        (vec![READ, READ, UPDATE], None),
    ] {
        readers.warm().await;
        let reply = writer.ask(&script(&statements).sync()).await;
        assert_eq!(reply.error().as_deref(), error, "{statements:?}");
        readers.assert_changed(&format!("{statements:?}")).await;
    }
    // A read behind the write, in the same pipeline, sees it.
    scene
        .warm(&mut writer, &Script::new().statement(READ, &[]).sync())
        .await;
    let rows = writer
        .ask(&script(&[READ, UPDATE, READ]).sync())
        .await
        .rows();
    assert_ne!(rows[0], rows[1]);
}

#[tokio::test]
async fn an_error_in_one_part_does_not_undo_what_another_has_committed() {
    let (scene, mut writer) = begin().await;
    let mut readers = Readers::new(&scene, READ).await;
    for parts in [
        [&[UPDATE, "COMMIT"][..], &[FAILS]],
        [&["BEGIN", UPDATE, "COMMIT"], &[FAILS]],
        [
            &["DO 'BEGIN UPDATE t SET v = v + 1; COMMIT; END'"],
            &[FAILS],
        ],
    ] {
        readers.warm().await;
        let reply = in_parts(&mut writer, &parts).await;
        assert_eq!(reply.error().as_deref(), Some("22012"), "{parts:?}");
        readers.assert_changed(&format!("{parts:?}")).await;
    }
}

#[tokio::test]
async fn a_transaction_begun_in_parts_remembers_all_of_them() {
    let (scene, mut writer) = begin().await;
    let mut readers = Readers::new(&scene, READ).await;
    for parts in [
        vec![&["BEGIN", UPDATE][..], &["SELECT 1"]],
        vec![&["BEGIN"][..], &[UPDATE], &["UPDATE u SET v = v + 1"]],
        vec![&["BEGIN"][..], &[UPDATE], &["SELECT 1"], &["SELECT 2"]],
    ] {
        in_parts(&mut writer, &parts).await;
        readers.warm().await;
        writer.run("COMMIT").await;
        readers
            .assert_changed(&format!("{parts:?}, then COMMIT"))
            .await;
    }
    // The same with the end of the transaction in a part of its own.
    for parts in [
        vec![&["BEGIN"][..], &[UPDATE], &["COMMIT"]],
        vec![&["BEGIN", UPDATE][..], &["COMMIT"], &["SELECT 1"]],
        vec![&[UPDATE][..], &["SELECT 1"]],
    ] {
        readers.warm().await;
        in_parts(&mut writer, &parts).await;
        readers.assert_changed(&format!("{parts:?}")).await;
    }
}

#[tokio::test]
async fn a_transaction_begun_in_parts_is_not_taken_for_read_committed() {
    let (scene, mut writer) = begin().await;
    let mut reader = scene.client().await;
    let read = Script::new().query(READ);
    for parts in [
        vec![
            &["BEGIN ISOLATION LEVEL REPEATABLE READ"][..],
            &[READ],
            &["SELECT 1"],
        ],
        vec![
            &["BEGIN", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"][..],
            &[READ],
        ],
    ] {
        let before = in_parts(&mut reader, &parts).await.status();
        assert_eq!(before, 'T');
        let rows = reader.ask(&read).await.rows();
        writer.run(UPDATE).await;
        scene.warm(&mut writer, &read).await;
        assert_eq!(reader.ask(&read).await.rows(), rows, "{parts:?}");
        reader.run("COMMIT").await;
    }
}

/// A pipeline too long to be held is handed on in parts, Flush or not.
#[tokio::test]
async fn a_long_pipeline_is_one() {
    let (scene, mut writer) = begin().await;
    let mut readers = Readers::new(&scene, READ).await;
    readers.warm().await;
    let padding = format!("SELECT '{}'", "x".repeat(300_000));
    let first = script(&[UPDATE, "COMMIT"]).parse("", &padding);
    writer.send(first.bytes()).await;
    assert_eq!(
        writer
            .ask(&script(&[FAILS]).sync())
            .await
            .error()
            .as_deref(),
        Some("22012")
    );
    readers.assert_changed("in front of much text").await;
}
