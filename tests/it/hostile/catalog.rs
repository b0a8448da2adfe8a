//! Writes whose tables are others than they were when the statement was judged.

use super::{Witness, client, direct, run, until_blocked};
use crate::scene::Scene;
use crate::wire::{self, Wire, bind, errors, execute, flush, parse, query, sync, tags};

const AUDITED: &str = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10); \
    CREATE TABLE audit (n int); INSERT INTO audit VALUES (0); \
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN UPDATE audit SET n = n + 1; RETURN NEW; END'; \
    CREATE TABLE base (v int); CREATE TABLE shadowed (v int)";

const UPDATE: &str = "UPDATE t SET v = v + 1 WHERE id = 1";
const AUDIT: &str = "SELECT n FROM audit";
const INSERT: &str = "INSERT INTO shadowed (v) VALUES (77)";
const VIEW: &str = "CREATE TEMPORARY VIEW shadowed AS SELECT * FROM base";

/// Runs `begin`, then sends `update`, which waits for a trigger to be committed.
async fn updating_while_a_trigger_is_made(scene: &Scene, begin: &str, update: &[u8]) -> Wire {
    let (mut maker, mut writer) = (client(&scene.stage).await, client(&scene.stage).await);
    run(&mut writer, begin).await;
    let trigger = "CREATE TRIGGER note BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()";
    run(&mut maker, &format!("BEGIN; {trigger}")).await;
    writer.send(update).await;
    until_blocked(&mut direct(&scene.stage).await).await;
    run(&mut maker, "COMMIT").await;
    writer
}

#[tokio::test]
async fn a_trigger_made_while_an_update_waits_is_followed() {
    let scene = Scene::new(AUDITED).await;
    let mut witness = Witness::new(&scene, AUDIT).await;
    let mut writer = updating_while_a_trigger_is_made(&scene, "", &query(UPDATE)).await;
    assert_eq!(tags(&writer.until_ready().await), "CZ");
    assert_eq!(witness.sees().await, "1");
}

#[tokio::test]
async fn a_trigger_made_while_an_update_waits_in_a_transaction_is_followed() {
    let scene = Scene::new(AUDITED).await;
    let mut witness = Witness::new(&scene, AUDIT).await;
    let mut writer = updating_while_a_trigger_is_made(&scene, "BEGIN", &query(UPDATE)).await;
    assert_eq!(tags(&writer.until_ready().await), "CZ");
    assert_eq!(witness.sees().await, "0");
    run(&mut writer, "COMMIT").await;
    assert_eq!(witness.sees().await, "1");
}

#[tokio::test]
async fn a_trigger_made_while_an_update_waits_in_half_a_pipeline_is_followed() {
    let scene = Scene::new(AUDITED).await;
    let mut witness = Witness::new(&scene, AUDIT).await;
    let update = [wire::run(UPDATE), flush()].concat();
    let mut writer = updating_while_a_trigger_is_made(&scene, "", &update).await;
    assert_eq!(tags(&writer.messages(3).await), "12C");
    assert_eq!(witness.sees().await, "0");
    writer.ask(&sync()).await;
    assert_eq!(witness.sees().await, "1");
}

#[tokio::test]
async fn a_temporary_view_in_the_place_of_a_table_writes_to_another() {
    let scene = Scene::new(AUDITED).await;
    let mut witness = Witness::new(&scene, "SELECT count(*) FROM base").await;
    let prepare = [parse("insert", INSERT), sync()];
    let insert = [bind("", "insert", &[]), execute("", 0), sync()];
    let ways: [&[Vec<u8>]; 6] = [
        &[query(VIEW), query(INSERT)],
        &[query(&format!("{VIEW}; {INSERT}"))],
        &[query("BEGIN"), query(VIEW), query(INSERT), query("COMMIT")],
        &[query(VIEW), query("BEGIN"), query(INSERT), query("COMMIT")],
        &[[wire::run(VIEW), wire::run(INSERT), sync()].concat()],
        &[prepare.concat(), query(VIEW), insert.concat()],
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let mut hostile = client(&scene.stage).await;
        for request in way {
            let reply = hostile.ask(request).await;
            assert!(errors(&reply).is_empty(), "{number}: {reply:?}");
            witness.sees().await;
        }
        assert_eq!(witness.sees().await, (number + 1).to_string());
    }
}

#[tokio::test]
async fn a_temporary_table_in_the_place_of_another_has_triggers_of_its_own() {
    let scene = Scene::new(AUDITED).await;
    let mut witness = Witness::new(&scene, AUDIT).await;
    let mut hostile = client(&scene.stage).await;
    run(&mut hostile, "CREATE TEMPORARY TABLE shadowed (v int)").await;
    let trigger = "CREATE TRIGGER note AFTER INSERT ON shadowed EXECUTE FUNCTION note()";
    run(&mut hostile, trigger).await;
    run(&mut hostile, INSERT).await;
    assert_eq!(witness.sees().await, "1");
    run(&mut hostile, "BEGIN").await;
    run(&mut hostile, INSERT).await;
    assert_eq!(witness.sees().await, "1");
    run(&mut hostile, "COMMIT").await;
    assert_eq!(witness.sees().await, "2");
}
