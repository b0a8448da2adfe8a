//! Pipelines that arrive in parts: what the first part wrote is not forgotten when the last part comes.

use crate::support::Stage;
use crate::twins::{Twins, step, unfinished};
use crate::wire::*;
use pgkeel_bench::sandbox::Auth;

const COUNT: &str = "SELECT count(*) FROM items";
const INSERT: &str = "INSERT INTO items VALUES (1)";

/// A table, and a reader whose count of it is in the cache.
async fn scene() -> (Stage, Wire, Wire) {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    stage.arrange("CREATE TABLE items (id int)").await;
    let writer = Wire::login(stage.proxy.port(), "app").await;
    let mut reader = Wire::login(stage.proxy.port(), "app").await;
    // The catalog was loaded without the table; a change through the proxy makes it load anew.
    reader.ask(&query("CREATE TABLE other ()")).await;
    let hits = stage.hits().await;
    crate::support::eventually(std::time::Duration::from_secs(10), async || {
        reader.ask(&query(COUNT)).await;
        stage.hits().await > hits
    })
    .await;
    (stage, writer, reader)
}

async fn count(reader: &mut Wire) -> String {
    values(&reader.ask(&query(COUNT)).await).remove(0)
}

fn run(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", "", &[]), execute("", 0)].concat()
}

#[tokio::test]
async fn a_transaction_begun_in_one_part_still_touches_its_tables_when_it_commits() {
    let (_stage, mut writer, mut reader) = scene().await;
    writer
        .send(&[run("BEGIN"), run(INSERT), flush()].concat())
        .await;
    assert_eq!(tags(&writer.messages(6).await), "12C12C");
    assert_eq!(tags(&writer.ask(&sync()).await), "Z");
    // Nothing is committed yet; what is read now is cached.
    assert_eq!(count(&mut reader).await, "0");
    assert_eq!(count(&mut reader).await, "0");
    writer.ask(&query("COMMIT")).await;
    assert_eq!(count(&mut reader).await, "1");
}

#[tokio::test]
async fn a_part_that_was_committed_stays_so_when_a_later_part_fails() {
    let (_stage, mut writer, mut reader) = scene().await;
    writer.send(&[run(INSERT), flush()].concat()).await;
    writer.messages(3).await;
    writer.send(&[run("COMMIT"), flush()].concat()).await;
    // A warning comes with it: there is no transaction block.
    assert_eq!(tags(&writer.messages(4).await), "12NC");
    let answer = writer.ask(&[run("SELECT 1 / 0"), sync()].concat()).await;
    assert_eq!(errors(&answer), ["22012"]);
    assert_eq!(count(&mut reader).await, "1");
}

#[tokio::test]
async fn a_query_behind_an_unfinished_pipeline_commits_the_pipeline() {
    let (_stage, mut writer, mut reader) = scene().await;
    writer.send(&[run(INSERT), flush()].concat()).await;
    writer.messages(3).await;
    assert_eq!(tags(&writer.ask(&query("SELECT 1")).await), "TDCZ");
    assert_eq!(count(&mut reader).await, "1");
}

#[tokio::test]
async fn a_batch_larger_than_a_part_is_remembered_as_a_whole() {
    let (_stage, mut writer, mut reader) = scene().await;
    let padding = format!("SELECT '{}'", "x".repeat(20 * 1024));
    let mut batch = vec![run("BEGIN"), run(INSERT)];
    batch.extend((0..40).map(|_| run(&padding)));
    batch.push(sync());
    writer.ask(&batch.concat()).await;
    assert_eq!(count(&mut reader).await, "0");
    assert_eq!(count(&mut reader).await, "0");
    writer.ask(&query("COMMIT")).await;
    assert_eq!(count(&mut reader).await, "1");
}

/// The second Bind fails, since the portal exists; the portal still runs the first statement.
#[tokio::test]
async fn a_portal_that_could_not_be_replaced_is_still_the_old_one() {
    let (_stage, mut writer, mut reader) = scene().await;
    let script = [parse("w", INSERT), parse("r", "SELECT 1"), sync()];
    writer.ask(&script.concat()).await;
    writer.ask(&query("BEGIN")).await;
    writer.ask(&[bind("p", "w", &[]), sync()].concat()).await;
    writer.ask(&query("SAVEPOINT s")).await;
    let answer = writer.ask(&[bind("p", "r", &[]), sync()].concat()).await;
    assert_eq!(errors(&answer), ["42P03"]);
    writer.ask(&query("ROLLBACK TO s")).await;
    assert_eq!(
        tags(&writer.ask(&[execute("p", 0), sync()].concat()).await),
        "CZ"
    );
    assert_eq!(count(&mut reader).await, "0");
    writer.ask(&query("COMMIT")).await;
    assert_eq!(count(&mut reader).await, "1");
}

/// A typing error costs nobody anything: nothing of it has run.
#[tokio::test]
async fn what_is_not_sql_ties_no_connection_and_voids_no_result() {
    let (stage, mut writer, mut reader) = scene().await;
    for messages in [
        query("SELEC 1"),
        query("SELECT 1; SELEC 2"),
        [run("SELEC 1"), sync()].concat(),
        [parse("", "SELECT 'open"), run("SELECT 1"), sync()].concat(),
    ] {
        let hits = stage.hits().await;
        assert_eq!(tags(&writer.ask(&messages).await), "EZ");
        assert_eq!(count(&mut reader).await, "0");
        assert_eq!(stage.hits().await, hits + 1);
    }
    assert_eq!(stage.stat("clients.pinned").await, 0);
    // Code that has run is another matter, whatever its error.
    let dynamic = "DO $$ BEGIN EXECUTE 'SELEC 1'; END $$";
    assert_eq!(errors(&writer.ask(&query(dynamic)).await), ["42601"]);
    assert_eq!(stage.stat("clients.pinned").await, 1);
}

/// The server acts on a pipeline before its Sync has come, and tells of an error at once.
#[tokio::test]
async fn an_error_is_told_before_the_sync_has_come() {
    let twins = Twins::new("CREATE TABLE t (id int PRIMARY KEY)").await;
    let insert = "INSERT INTO t VALUES (1)";
    let script = [
        step(&[query("BEGIN")]),
        unfinished(
            &[run("SELECT 1"), run(insert), run(insert), run(insert)],
            10,
        ),
        step(&[sync()]),
        step(&[query("ROLLBACK")]),
    ];
    twins.agree("errors without a Sync", &script).await;
}
