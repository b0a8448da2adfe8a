//! Writes whose tables are others than they were when the statement was judged.

use super::{Witness, client, direct, run, until_blocked};
use crate::scene::{SOON, Scene};
use crate::support::eventually;
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

/// The number of times the proxy has read the catalog.
const CATALOG_LOADS: &str = "counters.catalog_loads";

/// An update that waits for a trigger to be committed, and then for a row.
struct Overtaken {
    scene: Scene,
    /// Has seen the audit before the update was made, under both catalogs.
    witness: Witness,
    writer: Wire,
    holder: Wire,
}

impl Overtaken {
    async fn new(begin: &str, update: &[u8]) -> Self {
        let scene = Scene::new(AUDITED).await;
        let mut witness = Witness::new(&scene, AUDIT).await;
        let (mut maker, mut writer) = (client(&scene.stage).await, client(&scene.stage).await);
        let mut holder = direct(&scene.stage).await;
        let mut observer = direct(&scene.stage).await;
        run(&mut writer, begin).await;
        run(
            &mut holder,
            "BEGIN; SELECT id FROM t WHERE id = 1 FOR UPDATE",
        )
        .await;
        let trigger = "CREATE TRIGGER note BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()";
        run(&mut maker, &format!("BEGIN; {trigger}")).await;
        // The catalog by which the update is judged is known, and about to change.
        witness.is_served(&scene).await;
        writer.send(update).await;
        until_blocked(&mut observer).await;
        let loads = scene.stage.stat(CATALOG_LOADS).await;
        run(&mut maker, "COMMIT").await;
        until_blocked(&mut observer).await;
        // Whether it may be served now or not: it is not served later.
        eventually(SOON, async || {
            witness.sees().await;
            scene.stage.stat(CATALOG_LOADS).await > loads
        })
        .await;
        assert_eq!(witness.sees().await, "0");
        Self {
            scene,
            witness,
            writer,
            holder,
        }
    }

    async fn goes_on(&mut self) {
        run(&mut self.holder, "COMMIT").await;
    }
}

#[tokio::test]
async fn a_trigger_made_while_an_update_waits_is_followed() {
    let mut overtaken = Overtaken::new("", &query(UPDATE)).await;
    overtaken.goes_on().await;
    assert_eq!(tags(&overtaken.writer.until_ready().await), "CZ");
    assert_eq!(overtaken.witness.sees().await, "1");
}

#[tokio::test]
async fn a_trigger_made_while_an_update_waits_in_a_transaction_is_followed() {
    let mut overtaken = Overtaken::new("BEGIN", &query(UPDATE)).await;
    overtaken.goes_on().await;
    assert_eq!(tags(&overtaken.writer.until_ready().await), "CZ");
    let scene = &overtaken.scene;
    assert_eq!(overtaken.witness.is_served(scene).await, "0");
    run(&mut overtaken.writer, "COMMIT").await;
    assert_eq!(overtaken.witness.sees().await, "1");
}

#[tokio::test]
async fn a_trigger_made_while_an_update_waits_in_half_a_pipeline_is_followed() {
    let update = [wire::run(UPDATE), flush()].concat();
    let mut overtaken = Overtaken::new("", &update).await;
    overtaken.goes_on().await;
    assert_eq!(tags(&overtaken.writer.messages(3).await), "12C");
    assert_eq!(overtaken.witness.sees().await, "0");
    overtaken.writer.ask(&sync()).await;
    assert_eq!(overtaken.witness.sees().await, "1");
}

/// A function that is sent while the catalog is not known is found out later to be code that is not understood.
#[tokio::test]
async fn a_temporary_view_made_while_the_catalog_was_not_known_writes_to_another() {
    let scene = Scene::new(AUDITED).await;
    let mut hostile = client(&scene.stage).await;
    let hide =
        format!("CREATE FUNCTION hide() RETURNS void LANGUAGE plpgsql AS 'BEGIN {VIEW}; END'");
    run(&mut hostile, &hide).await;
    let mut witness = Witness::new(&scene, "SELECT count(*) FROM base").await;
    run(&mut hostile, "CREATE TABLE fresh ()").await;
    run(&mut hostile, "SELECT hide()").await;
    witness.is_served(&scene).await;
    run(&mut hostile, INSERT).await;
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
    assert_eq!(witness.is_served(&scene).await, "0");
    run(&mut hostile, INSERT).await;
    assert_eq!(witness.is_served(&scene).await, "1");
    run(&mut hostile, "BEGIN").await;
    run(&mut hostile, INSERT).await;
    assert_eq!(witness.sees().await, "1");
    run(&mut hostile, "COMMIT").await;
    assert_eq!(witness.sees().await, "2");
}
