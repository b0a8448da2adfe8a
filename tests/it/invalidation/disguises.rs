//! Writes that do not look like one: code that runs along, and statements that say something else.

use super::{COMMITS, Commit, Readers, Route, stage, walk};
use crate::raw::Script;

/// `t` is read, `u` is what the statement names.
macro_rules! two_tables {
    ($rest:literal) => {
        concat!(
            "CREATE TABLE t (v int); INSERT INTO t VALUES (0); CREATE TABLE u (v int); INSERT INTO u VALUES (0); \
             CREATE FUNCTION bump() RETURNS int LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET v = v + 1; RETURN 1; END $$; ",
            $rest
        )
    };
}

const fn route(name: &'static str, scene: &'static str, write: &'static str) -> Route {
    Route {
        name,
        scene,
        read: "SELECT v FROM t",
        mend: "",
        write,
    }
}

#[tokio::test]
async fn a_trigger_or_a_rule() {
    let routes = [
        route(
            "a row trigger",
            two_tables!(
                "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET v = v + 1; RETURN NEW; END $$; \
                 CREATE TRIGGER follow BEFORE UPDATE ON u FOR EACH ROW EXECUTE FUNCTION follow()"
            ),
            "UPDATE u SET v = 1",
        ),
        route(
            "a statement trigger",
            two_tables!(
                "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM bump(); RETURN NULL; END $$; \
                 CREATE TRIGGER follow AFTER INSERT ON u FOR EACH STATEMENT EXECUTE FUNCTION follow()"
            ),
            "INSERT INTO u SELECT 1 WHERE false",
        ),
        route(
            "a deferred trigger",
            two_tables!(
                "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM bump(); RETURN NULL; END $$; \
                 CREATE CONSTRAINT TRIGGER follow AFTER INSERT ON u INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION follow()"
            ),
            "INSERT INTO u VALUES (1)",
        ),
        route(
            "a trigger of TRUNCATE",
            two_tables!(
                "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM bump(); RETURN NULL; END $$; \
                 CREATE TRIGGER follow BEFORE TRUNCATE ON u EXECUTE FUNCTION follow()"
            ),
            "TRUNCATE u",
        ),
        route(
            "a trigger behind a foreign key",
            two_tables!(
                "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p SELECT generate_series(1, 50); \
                 CREATE TABLE c (id int REFERENCES p ON DELETE CASCADE); INSERT INTO c SELECT id FROM p; \
                 CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM bump(); RETURN NULL; END $$; \
                 CREATE TRIGGER follow AFTER DELETE ON c FOR EACH ROW EXECUTE FUNCTION follow()"
            ),
            "DELETE FROM p WHERE id = (SELECT min(id) FROM p)",
        ),
        route(
            "a rule that adds",
            two_tables!("CREATE RULE follow AS ON UPDATE TO u DO ALSO UPDATE t SET v = v + 1"),
            "UPDATE u SET v = v + 1",
        ),
        route(
            "a rule that replaces",
            two_tables!(
                "CREATE RULE follow AS ON INSERT TO u DO INSTEAD UPDATE t SET v = v + NEW.v"
            ),
            "INSERT INTO u VALUES (3)",
        ),
        route(
            "a view with a trigger",
            two_tables!(
                "CREATE VIEW w AS SELECT v, 1 AS one FROM u; \
                 CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM bump(); RETURN NEW; END $$; \
                 CREATE TRIGGER follow INSTEAD OF UPDATE ON w FOR EACH ROW EXECUTE FUNCTION follow()"
            ),
            "UPDATE w SET v = 9",
        ),
    ];
    walk(&routes, &COMMITS).await;
}

#[tokio::test]
async fn a_function_reached_in_any_way() {
    let routes = [
        route("a call", two_tables!(""), "SELECT bump()"),
        route(
            "a call in FROM",
            two_tables!(""),
            "SELECT * FROM bump() AS b",
        ),
        route(
            "a call in WHERE",
            two_tables!(""),
            "SELECT 1 FROM u WHERE v = bump()",
        ),
        route(
            "a call in a write of another table",
            two_tables!(""),
            "UPDATE u SET v = bump()",
        ),
        route(
            "a function in SQL",
            two_tables!(
                "CREATE FUNCTION quiet() RETURNS void LANGUAGE sql AS 'UPDATE t SET v = v + 1'"
            ),
            "SELECT quiet()",
        ),
        route(
            "text that is executed",
            two_tables!(
                "CREATE FUNCTION hidden() RETURNS int LANGUAGE plpgsql \
                 AS $$ BEGIN EXECUTE 'UPD' || 'ATE t SET v = v + 1'; RETURN 1; END $$"
            ),
            "SELECT hidden()",
        ),
        route(
            "an operator",
            two_tables!(
                "CREATE FUNCTION plus(int, int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN bump() + $1 + $2; END $$; \
                 CREATE OPERATOR ## (LEFTARG = int, RIGHTARG = int, FUNCTION = plus)"
            ),
            "SELECT 1 ## 2",
        ),
        route(
            "attribute notation",
            two_tables!(
                "CREATE FUNCTION spin(u) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN bump(); END $$"
            ),
            "SELECT u.spin FROM u",
        ),
    ];
    walk(&routes, &COMMITS).await;
}

#[tokio::test]
async fn a_function_that_a_definition_or_a_statement_brings() {
    let routes = [
        route(
            "a default",
            two_tables!("ALTER TABLE u ADD COLUMN d int DEFAULT bump()"),
            "INSERT INTO u VALUES (1)",
        ),
        route(
            "a check",
            two_tables!("ALTER TABLE u ADD CHECK (bump() = 1)"),
            "INSERT INTO u VALUES (1)",
        ),
        route(
            "a domain",
            two_tables!(
                "CREATE DOMAIN checked AS int CHECK (bump() = 1); CREATE TABLE d (v checked)"
            ),
            "INSERT INTO d VALUES (1)",
        ),
        route(
            "a view that calls",
            two_tables!("CREATE VIEW calling AS SELECT bump() AS b"),
            "SELECT * FROM calling",
        ),
        route(
            "an aggregate",
            two_tables!(
                "CREATE FUNCTION step(int, int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN bump(); END $$; \
                 CREATE AGGREGATE stepping(int) (SFUNC = step, STYPE = int)"
            ),
            "SELECT stepping(v) FROM u",
        ),
        route(
            "DO",
            two_tables!(""),
            "DO 'BEGIN UPDATE t SET v = v + 1; END'",
        ),
        route(
            "EXPLAIN ANALYZE of a call",
            two_tables!(""),
            "EXPLAIN ANALYZE SELECT bump()",
        ),
        route(
            "CALL",
            two_tables!("CREATE PROCEDURE walk() LANGUAGE sql AS 'UPDATE t SET v = v + 1'"),
            "CALL walk()",
        ),
        Route {
            mend: "DROP TABLE IF EXISTS made",
            ..route(
                "CREATE TABLE AS",
                two_tables!(""),
                "CREATE TABLE made AS SELECT bump()",
            )
        },
        Route {
            mend: "DROP TABLE IF EXISTS made",
            ..route(
                "EXPLAIN ANALYZE of CREATE TABLE AS",
                two_tables!(""),
                "EXPLAIN ANALYZE CREATE TABLE made AS SELECT bump()",
            )
        },
    ];
    walk(&routes, &COMMITS).await;
}

/// Neither may run in a transaction block.
#[tokio::test]
async fn code_that_commits_inside() {
    const PROCEDURE: &str = two_tables!(
        "CREATE PROCEDURE steps() LANGUAGE plpgsql AS $$ BEGIN \
           UPDATE t SET v = v + 1; COMMIT; UPDATE u SET v = v + 1; COMMIT; END $$"
    );
    let routes = [
        route("CALL with COMMIT", PROCEDURE, "CALL steps()"),
        route(
            "DO with COMMIT",
            PROCEDURE,
            "DO 'BEGIN UPDATE t SET v = v + 1; COMMIT; END'",
        ),
    ];
    walk(&routes, &[Commit::Auto]).await;
}

/// The error at its end undoes nothing of what was committed before.
#[tokio::test]
async fn code_that_commits_and_then_fails() {
    let scene = stage().await;
    let mut writer = scene.client().await;
    writer.run(two_tables!("GRANT SELECT ON t TO reader")).await;
    let mut readers = Readers::new(&scene, "SELECT v FROM t").await;
    let body =
        "BEGIN UPDATE t SET v = v + 1; COMMIT; UPDATE t SET v = 99; RAISE division_by_zero; END";
    writer
        .run(&format!(
            "CREATE PROCEDURE fails() LANGUAGE plpgsql AS '{body}'"
        ))
        .await;
    for script in [
        Script::new().query(&format!("DO '{body}'")),
        Script::new().query("CALL fails()"),
        Script::new().statement("CALL fails()", &[]).sync(),
    ] {
        readers.warm().await;
        assert_eq!(writer.ask(&script).await.error().as_deref(), Some("22012"));
        readers.assert_changed("committed before the error").await;
    }
}

/// Statements prepared in SQL say nothing of what they do when they are run.
#[tokio::test]
async fn a_statement_prepared_in_sql() {
    let scene = stage().await;
    let mut writer = scene.client().await;
    writer.run(two_tables!("GRANT SELECT ON t TO reader")).await;
    let mut readers = Readers::new(&scene, "SELECT v FROM t").await;
    writer
        .run("PREPARE w AS WITH x AS (UPDATE t SET v = v + 1 RETURNING v) SELECT * FROM x")
        .await;
    for sql in ["EXECUTE w", "EXPLAIN ANALYZE EXECUTE w"] {
        readers.warm().await;
        writer.run(sql).await;
        readers.assert_changed(sql).await;
    }
}
