//! Code that is understood: a read through a function, and writes by triggers, rules and procedures.

use super::{COMMITS, Commit, Readers, Route, stage_with, walk, walk_on};
use crate::raw::Script;
use crate::scene::Scene;
use crate::support::Stage;

const TABLES: &str = "CREATE TABLE t (v int); INSERT INTO t VALUES (0); CREATE TABLE u (v int); INSERT INTO u VALUES (0);";

/// What the bodies of functions say is relied on.
const READS_BODIES: &str = "[cache]\nread_functions = true\n";

macro_rules! scene {
    ($rest:literal) => {
        concat!(
            "CREATE TABLE t (v int); INSERT INTO t VALUES (0); CREATE TABLE u (v int); INSERT INTO u VALUES (0); ",
            $rest
        )
    };
}

const fn route(
    name: &'static str,
    scene: &'static str,
    read: &'static str,
    write: &'static str,
) -> Route {
    Route {
        name,
        scene,
        read,
        mend: "",
        write,
    }
}

/// The result of a function is cached, and depends on what the function reads.
#[tokio::test]
async fn a_read_through_a_function() {
    const UPDATE: &str = "UPDATE t SET v = v + 1";
    let routes = [
        route(
            "a function in SQL",
            scene!("CREATE FUNCTION now_v() RETURNS int LANGUAGE sql STABLE AS 'SELECT v FROM t'"),
            "SELECT now_v()",
            UPDATE,
        ),
        route(
            "a standard function in SQL",
            scene!(
                "CREATE FUNCTION now_v() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT v FROM t; END"
            ),
            "SELECT now_v()",
            UPDATE,
        ),
        route(
            "a function in PL/pgSQL",
            scene!(
                "CREATE FUNCTION now_v() RETURNS int LANGUAGE plpgsql AS $$ \
                 DECLARE n int; BEGIN SELECT v INTO n FROM t; IF NOT FOUND THEN RETURN -1; END IF; RETURN n; END $$"
            ),
            "SELECT now_v()",
            UPDATE,
        ),
        route(
            "a function that loops",
            scene!(
                "CREATE FUNCTION all_v() RETURNS SETOF int LANGUAGE plpgsql STABLE AS $$ \
                 DECLARE r record; BEGIN FOR r IN SELECT v FROM t LOOP RETURN NEXT r.v; END LOOP; \
                 RETURN QUERY EXECUTE 'SELECT v FROM u'; END $$"
            ),
            "SELECT * FROM all_v()",
            UPDATE,
        ),
        route(
            "the same, by its text that is executed",
            scene!(
                "CREATE FUNCTION all_v() RETURNS SETOF int LANGUAGE plpgsql STABLE AS $$ \
                 BEGIN RETURN QUERY EXECUTE 'SELECT v FROM t'; END $$"
            ),
            "SELECT * FROM all_v()",
            UPDATE,
        ),
        route(
            "a function behind a function, a view and an operator",
            scene!(
                "CREATE FUNCTION inner_v() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT v FROM t); END $$; \
                 CREATE FUNCTION plus(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2 + inner_v()'; \
                 CREATE OPERATOR <+> (LEFTARG = int, RIGHTARG = int, FUNCTION = plus); \
                 CREATE VIEW w AS SELECT v <+> 1 AS v FROM u"
            ),
            "SELECT * FROM w",
            UPDATE,
        ),
        route(
            "an aggregate",
            scene!(
                "CREATE FUNCTION step(int, int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN $1 + (SELECT v FROM t); END $$; \
                 CREATE AGGREGATE stepping(int) (SFUNC = step, STYPE = int, INITCOND = '0')"
            ),
            "SELECT stepping(v) FROM u",
            UPDATE,
        ),
        route(
            "a default of an argument",
            scene!(
                "CREATE FUNCTION base() RETURNS int LANGUAGE sql AS 'SELECT v FROM t'; \
                 CREATE FUNCTION twice(n int DEFAULT base()) RETURNS int LANGUAGE sql AS 'SELECT n * 2'"
            ),
            "SELECT twice()",
            UPDATE,
        ),
    ];
    walk_on(&stage_with(READS_BODIES).await, &routes, &COMMITS).await;
}

/// A function that gets another body is read by the new one.
#[tokio::test]
async fn a_function_that_is_replaced() {
    let scene = stage_with(READS_BODIES).await;
    let mut writer = scene.client().await;
    let define = |plus: u32| {
        format!(
            "CREATE OR REPLACE FUNCTION now_v() RETURNS int LANGUAGE sql AS 'SELECT v + {plus} FROM t'"
        )
    };
    writer.run(TABLES).await;
    writer.run("GRANT SELECT ON t TO reader").await;
    writer.run(&define(1)).await;
    let mut readers = Readers::new(&scene, "SELECT now_v()").await;
    for plus in [2, 3] {
        readers.warm().await;
        writer.run(&define(plus)).await;
        readers.assert_changed("another body").await;
    }
}

#[tokio::test]
async fn a_write_by_code_that_is_understood() {
    const READ: &str = "SELECT v FROM t";
    let routes = [
        route(
            "a trigger that stamps its row",
            scene!(
                "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := OLD.v + 10; RETURN NEW; END $$; \
                 CREATE TRIGGER stamp BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp()"
            ),
            READ,
            "UPDATE t SET v = 1",
        ),
        route(
            "a trigger with transition tables",
            scene!(
                "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                   UPDATE t SET v = t.v + (SELECT count(*) FROM added); RETURN NULL; END $$; \
                 CREATE TRIGGER follow AFTER INSERT ON u REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION follow()"
            ),
            READ,
            "INSERT INTO u VALUES (1)",
        ),
        route(
            "a trigger with a condition, of a partition",
            scene!(
                "CREATE TABLE p (v int) PARTITION BY RANGE (v); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); \
                 CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET v = v + 1; RETURN NEW; END $$; \
                 CREATE TRIGGER follow BEFORE INSERT ON p1 FOR EACH ROW WHEN (NEW.v > 3) EXECUTE FUNCTION follow()"
            ),
            READ,
            "INSERT INTO p VALUES (5)",
        ),
        route(
            "a deferred trigger",
            scene!(
                "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET v = v + 1; RETURN NULL; END $$; \
                 CREATE CONSTRAINT TRIGGER follow AFTER INSERT ON u DEFERRABLE INITIALLY DEFERRED \
                   FOR EACH ROW EXECUTE FUNCTION follow()"
            ),
            READ,
            "INSERT INTO u VALUES (1)",
        ),
        route(
            "triggers in a chain, behind a foreign key",
            scene!(
                "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p SELECT generate_series(1, 90); \
                 CREATE TABLE c (id int REFERENCES p ON DELETE CASCADE); INSERT INTO c SELECT id FROM p; \
                 CREATE FUNCTION one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO u VALUES (OLD.id); RETURN OLD; END $$; \
                 CREATE FUNCTION two() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET v = v + 1; RETURN NULL; END $$; \
                 CREATE TRIGGER one BEFORE DELETE ON c FOR EACH ROW EXECUTE FUNCTION one(); \
                 CREATE TRIGGER two AFTER INSERT ON u EXECUTE FUNCTION two()"
            ),
            READ,
            "DELETE FROM p WHERE id = (SELECT min(id) FROM p)",
        ),
        route(
            "a view over a view",
            scene!("CREATE VIEW w AS SELECT v FROM t; CREATE VIEW x AS SELECT v FROM w"),
            READ,
            "UPDATE x SET v = v + 1",
        ),
        route(
            "a rule with two actions",
            scene!(
                "CREATE VIEW w AS SELECT v FROM u; \
                 CREATE RULE follow AS ON INSERT TO w DO INSTEAD (INSERT INTO u VALUES (NEW.v); UPDATE t SET v = v + NEW.v)"
            ),
            READ,
            "INSERT INTO w VALUES (3)",
        ),
    ];
    walk_on(&stage_with(READS_BODIES).await, &routes, &COMMITS).await;
}

#[tokio::test]
async fn a_write_in_a_corner_of_a_body() {
    const READ: &str = "SELECT v FROM t";
    let routes = [
        route(
            "an exception that is caught",
            scene!(
                "CREATE FUNCTION caught() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 / 0; RETURN 1; \
                 EXCEPTION WHEN division_by_zero THEN UPDATE t SET v = v + 1; RETURN 2; END $$"
            ),
            READ,
            "SELECT caught()",
        ),
        route(
            "a cursor that writes",
            scene!(
                "CREATE FUNCTION bump() RETURNS int LANGUAGE sql AS 'UPDATE t SET v = v + 1 RETURNING v'; \
                 CREATE FUNCTION walks() RETURNS int LANGUAGE plpgsql AS $$ DECLARE c CURSOR FOR SELECT bump() AS b; n int := 0; \
                   BEGIN FOR r IN c LOOP n := r.b; END LOOP; RETURN n; END $$"
            ),
            READ,
            "SELECT walks()",
        ),
    ];
    walk_on(&stage_with(READS_BODIES).await, &routes, &COMMITS).await;
}

/// `w` changes what is read; it stands where code is hard to see.
macro_rules! hidden {
    ($rest:literal) => {
        concat!(
            "CREATE TABLE t (v int); INSERT INTO t VALUES (0); CREATE TABLE cause (id int); INSERT INTO cause VALUES (1); \
             CREATE FUNCTION w(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN UPDATE t SET v = v + 1; RETURN 1; END'; \
             CREATE FUNCTION nop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; ",
            $rest
        )
    };
}

/// Ways to run code that a reader of bodies is likely to miss.
#[tokio::test]
async fn a_write_where_code_is_hard_to_see() {
    const READ: &str = "SELECT v FROM t";
    let routes = [
        route(
            "behind a comment that ends with a carriage return",
            hidden!(
                "CREATE FUNCTION hides() RETURNS int LANGUAGE plpgsql AS \
                 E'BEGIN -- hi\\rUPDATE t SET v = v + 1;\\nRETURN 1; END'"
            ),
            READ,
            "SELECT hides()",
        ),
        route(
            "the condition of a trigger",
            hidden!(
                "CREATE TRIGGER x AFTER INSERT ON cause FOR EACH ROW WHEN (w(NEW.id) = 1) EXECUTE FUNCTION nop()"
            ),
            READ,
            "INSERT INTO cause VALUES (1)",
        ),
        route(
            "the condition of a trigger of the server's own",
            hidden!(
                "CREATE TRIGGER x BEFORE UPDATE ON cause FOR EACH ROW WHEN (w(NEW.id) = 1) \
                 EXECUTE FUNCTION suppress_redundant_updates_trigger()"
            ),
            READ,
            "UPDATE cause SET id = 2",
        ),
        route(
            "an event trigger of a REFRESH",
            hidden!(
                "CREATE FUNCTION et() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM w(1); END'; \
                 CREATE MATERIALIZED VIEW mv AS SELECT 1 AS x; \
                 CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION et()"
            ),
            READ,
            "REFRESH MATERIALIZED VIEW mv",
        ),
    ];
    walk(&routes, &COMMITS).await;
    walk_on(&stage_with(READS_BODIES).await, &routes, &COMMITS).await;
}

/// A function in a language that is not read does what the configuration says.
#[tokio::test]
async fn a_function_that_is_vouched_for() {
    let config = "[cache.functions.now_v]\nreads = [\"t\"]\n[cache.functions.\"public.bump\"]\nwrites = [\"t\"]\n\
        [cache.functions.nobody]\nreads = [\"t\"]";
    let scene = Scene::of(
        Stage::builder().config(config),
        "CREATE ROLE reader LOGIN; CREATE ROLE writer LOGIN SUPERUSER",
    )
    .await;
    let mut writer = scene.client().await;
    writer.run(TABLES).await;
    writer
        .run(
            "GRANT SELECT ON t TO reader; \
             CREATE FUNCTION now_v() RETURNS int LANGUAGE plpgsql AS \
               $$ DECLARE n int; BEGIN EXECUTE 'SELECT v FROM ' || 't' INTO n; RETURN n; END $$; \
             CREATE FUNCTION bump() RETURNS int LANGUAGE plpgsql AS \
               $$ BEGIN EXECUTE 'UPDATE t SET ' || 'v = v + 1'; RETURN 1; END $$",
        )
        .await;
    let mut readers = Readers::new(&scene, "SELECT now_v()").await;
    let mut bystanders = Readers::new(&scene, "SELECT 1 + v FROM (VALUES (1)) AS x (v)").await;
    bystanders.warm().await;
    for write in ["UPDATE t SET v = v + 1", "SELECT bump()"] {
        readers.warm().await;
        writer.ask(&Script::new().query(write)).await;
        readers.assert_changed(write).await;
        bystanders.assert_unchanged(write).await;
    }
    assert_eq!(scene.stage.stat("clients.pinned").await, 0);
}

/// What a procedure commits before its end is seen before its end, by everybody.
#[tokio::test]
async fn a_procedure_commits_before_its_end() {
    let routes = [
        route(
            "two procedures",
            scene!(
                "CREATE PROCEDURE one() LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET v = v + 1; COMMIT; END $$; \
                 CREATE PROCEDURE two() LANGUAGE plpgsql AS $$ BEGIN CALL one(); INSERT INTO u VALUES (1); END $$"
            ),
            "SELECT v FROM t",
            "CALL two()",
        ),
        route(
            "a block that calls",
            scene!(
                "CREATE PROCEDURE one() LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET v = v + 1; COMMIT; END $$"
            ),
            "SELECT v FROM t",
            "DO $$ BEGIN FOR i IN 1..2 LOOP CALL one(); END LOOP; END $$",
        ),
    ];
    walk_on(&stage_with(READS_BODIES).await, &routes, &[Commit::Auto]).await;
}
