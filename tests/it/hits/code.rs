//! Code that is understood costs no hit but those of what it touches, and ties no session.

use crate::raw::Script;
use crate::scene::{Answered, Scene};

const SCENE: &str = "\
    CREATE TABLE stamped (id int PRIMARY KEY, v int, updated_at timestamptz); INSERT INTO stamped VALUES (1, 0, now()); \
    CREATE TABLE audit (id int, n int); CREATE TABLE quiet (id int); INSERT INTO quiet VALUES (1); \
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$; \
    CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON stamped FOR EACH ROW EXECUTE FUNCTION stamp(); \
    CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
      INSERT INTO audit VALUES (OLD.id, OLD.v); RETURN NULL; END $$; \
    CREATE TRIGGER log AFTER UPDATE ON stamped FOR EACH ROW EXECUTE FUNCTION log(); \
    CREATE VIEW window_on AS SELECT id, v FROM stamped; \
    CREATE PROCEDURE bump() LANGUAGE plpgsql AS $$ BEGIN UPDATE stamped SET v = v + 1; COMMIT; END $$; \
    CREATE FUNCTION bumped() RETURNS int LANGUAGE sql AS 'UPDATE stamped SET v = v + 1 RETURNING v'";

const WRITES: [&str; 7] = [
    "UPDATE stamped SET v = v + 1",
    "INSERT INTO stamped (id, v) SELECT max(id) + 1, 0 FROM stamped",
    "UPDATE window_on SET v = v + 1",
    "CALL bump()",
    "DO $$ BEGIN UPDATE stamped SET v = 5; END $$",
    "SELECT bumped()",
    "BEGIN; UPDATE stamped SET v = 6; COMMIT",
];

#[tokio::test]
async fn a_write_with_triggers_leaves_other_tables_in_the_cache() {
    let scene = Scene::new(SCENE).await;
    let (mut reader, mut writer) = (scene.client().await, scene.client().await);
    let quiet = Script::new().query("SELECT id FROM quiet");
    let stamped = Script::new().query("SELECT id, v FROM stamped ORDER BY id");
    for write in WRITES {
        scene.warm(&mut reader, &quiet).await;
        scene.warm(&mut reader, &stamped).await;
        let reply = writer.run(write).await;
        assert_eq!(reply.error(), None, "{write}");
        let (_, answered) = scene.ask(&mut reader, &quiet).await;
        assert_eq!(answered, Answered::Hit, "{write}: another table");
        let (_, answered) = scene.ask(&mut reader, &stamped).await;
        assert_ne!(answered, Answered::Hit, "{write}: its own table");
        // The writer is no other client than it was.
        scene.warm(&mut writer, &quiet).await;
        assert_eq!(scene.stage.stat("clients.pinned").await, 0, "{write}");
    }
}

#[tokio::test]
async fn the_result_of_a_function_is_kept() {
    let scene = Scene::new(
        "CREATE TABLE rates (region text, rate numeric); INSERT INTO rates VALUES ('a', 0.2); \
         CREATE FUNCTION rate_of(wanted text) RETURNS numeric LANGUAGE plpgsql STABLE AS $$ \
         DECLARE found_rate numeric := 0; BEGIN \
           SELECT rate INTO found_rate FROM rates WHERE region = wanted; \
           IF NOT FOUND THEN RAISE EXCEPTION 'no rate for %', wanted; END IF; RETURN found_rate; END $$; \
         CREATE FUNCTION opaque() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SEL' || 'ECT 1'; RETURN 1; END $$",
    )
    .await;
    let mut client = scene.client().await;
    let rate = Script::new().query("SELECT rate_of('a')");
    let reply = scene.warm(&mut client, &rate).await;
    assert_eq!(reply.rows(), ["0.2"]);
    assert_eq!(scene.stage.stat("clients.pinned").await, 0);
    // What is not understood still ties its session.
    client.run("SELECT opaque()").await;
    assert_eq!(scene.stage.stat("clients.pinned").await, 1);
}
