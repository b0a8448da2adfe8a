//! Changes of what things are, and of who may see them.

use super::stage;
use crate::raw::Script;

/// Read before and after a change of definitions, by the superuser and by `reader`.
struct Change {
    scene: &'static str,
    read: &'static str,
    change: &'static str,
}

const fn change(scene: &'static str, read: &'static str, change: &'static str) -> Change {
    Change {
        scene,
        read,
        change,
    }
}

const TABLE: &str = "CREATE TABLE t (id int, v int); INSERT INTO t VALUES (1, 10), (2, 20)";
const ALL: &str = "SELECT * FROM t";

const CHANGES: &[Change] = &[
    change(TABLE, ALL, "ALTER TABLE t ADD COLUMN w int DEFAULT 5"),
    change(TABLE, ALL, "ALTER TABLE t DROP COLUMN v"),
    change(TABLE, ALL, "ALTER TABLE t RENAME COLUMN v TO w"),
    change(
        TABLE,
        ALL,
        "ALTER TABLE t ALTER COLUMN v TYPE text USING 'v' || v",
    ),
    change(TABLE, ALL, "ALTER TABLE t RENAME TO s"),
    change(
        TABLE,
        ALL,
        "ALTER TABLE t SET SCHEMA pg_catalog; DROP TABLE pg_catalog.t",
    ),
    change(TABLE, ALL, "DROP TABLE t"),
    change(
        TABLE,
        ALL,
        "DROP TABLE t; CREATE TABLE t AS SELECT 'new' AS v",
    ),
    change(TABLE, ALL, "DROP TABLE t; SELECT 1 AS one INTO t"),
    change(
        TABLE,
        ALL,
        "BEGIN; ALTER TABLE t RENAME TO old; CREATE TABLE t AS SELECT id FROM old; COMMIT",
    ),
    change(TABLE, ALL, "REVOKE ALL ON t FROM PUBLIC"),
    change(TABLE, ALL, "ALTER TABLE t ENABLE ROW LEVEL SECURITY"),
    change(
        "CREATE TABLE t (v int); INSERT INTO t VALUES (1); CREATE VIEW w AS SELECT v FROM t",
        "SELECT * FROM w",
        "CREATE OR REPLACE VIEW w AS SELECT v + 1 AS v FROM t",
    ),
    change(
        "CREATE TABLE t (v int); INSERT INTO t VALUES (1); CREATE VIEW w AS SELECT v FROM t; CREATE VIEW x AS SELECT v FROM w",
        "SELECT * FROM x",
        "CREATE OR REPLACE VIEW w AS SELECT v + 1 AS v FROM t",
    ),
    change(
        "CREATE TABLE t (v int); INSERT INTO t VALUES (1); \
         CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1'",
        "SELECT f(v) FROM t",
        "CREATE OR REPLACE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 2'",
    ),
    change(
        "CREATE TABLE whole (v int) PARTITION BY LIST (v); CREATE TABLE one PARTITION OF whole FOR VALUES IN (1); \
         INSERT INTO whole VALUES (1)",
        "SELECT * FROM whole",
        "ALTER TABLE whole DETACH PARTITION one",
    ),
    change(
        "CREATE TABLE parent (v int); CREATE TABLE child (v int); INSERT INTO child VALUES (1)",
        "SELECT * FROM parent",
        "ALTER TABLE child INHERIT parent",
    ),
    change(
        "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TABLE t (m mood); INSERT INTO t VALUES ('sad')",
        "SELECT m FROM t",
        "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
    ),
    change(
        TABLE,
        ALL,
        "CREATE SCHEMA reader GRANT USAGE ON SCHEMA reader TO PUBLIC; CREATE TABLE reader.t AS SELECT 'mine' AS v; GRANT SELECT ON reader.t TO PUBLIC; DROP TABLE public.t",
    ),
    change(
        TABLE,
        ALL,
        "ALTER ROLE reader NOINHERIT; REVOKE SELECT ON t FROM PUBLIC",
    ),
    change(TABLE, ALL, "DROP SCHEMA public CASCADE"),
];

#[tokio::test]
async fn a_definition_changes() {
    let scene = stage().await;
    for Change {
        scene: objects,
        read,
        change,
    } in CHANGES
    {
        let mut writer = scene.client_with(&[("user", "writer")]).await;
        writer.run("DROP SCHEMA IF EXISTS reader CASCADE").await;
        writer.run("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC").await;
        writer
            .run("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
            .await;
        writer.run(objects).await;
        let forms = [
            Script::new().query(read),
            Script::new().statement(read, &[]).sync(),
        ];
        for user in ["keel", "reader"] {
            for script in &forms {
                scene
                    .warm(&mut scene.client_with(&[("user", user)]).await, script)
                    .await;
            }
        }
        let mut clients = Vec::new();
        for user in ["keel", "reader"] {
            let startup = [("user", user)];
            clients.push((
                scene.client_with(&startup).await,
                scene.direct_with(&startup).await,
            ));
        }
        writer.run(change).await;
        for (client, direct) in &mut clients {
            for script in &forms {
                let (now, expected) = (client.ask(script).await, direct.ask(script).await);
                assert_eq!(now.bytes(), expected.bytes(), "{change}: {:?}", now.rows());
            }
        }
    }
}

/// A table that comes first in the path hides the one that was read.
#[tokio::test]
async fn a_new_table_hides_another() {
    let scene = stage().await;
    let mut writer = scene.client().await;
    writer.run(TABLE).await;
    writer.run("GRANT SELECT ON t TO reader; CREATE SCHEMA reader; GRANT USAGE ON SCHEMA reader TO reader").await;
    let mut reader = scene.client_with(&[("user", "reader")]).await;
    let read = Script::new().query("SELECT count(*) FROM t");
    assert_eq!(scene.warm(&mut reader, &read).await.rows(), ["2"]);
    writer
        .run("CREATE TABLE reader.t (id int); GRANT SELECT ON reader.t TO reader")
        .await;
    assert_eq!(reader.ask(&read).await.rows(), ["0"]);
    assert_eq!(scene.warm(&mut reader, &read).await.rows(), ["0"]);
    writer.run("INSERT INTO reader.t VALUES (1)").await;
    assert_eq!(reader.ask(&read).await.rows(), ["1"]);
}

#[tokio::test]
async fn privileges_come_and_go() {
    let scene = stage().await;
    let mut writer = scene.client().await;
    writer.run(TABLE).await;
    writer
        .run("CREATE ROLE readers; GRANT readers TO reader; GRANT SELECT ON t TO readers")
        .await;
    let mut reader = scene.client_with(&[("user", "reader")]).await;
    let read = Script::new().query(ALL);
    for (revoke, grant) in [
        (
            "REVOKE SELECT ON t FROM readers",
            "GRANT SELECT ON t TO readers",
        ),
        ("REVOKE readers FROM reader", "GRANT readers TO reader"),
        (
            "REVOKE USAGE ON SCHEMA public FROM PUBLIC",
            "GRANT USAGE ON SCHEMA public TO PUBLIC",
        ),
    ] {
        scene.warm(&mut reader, &read).await;
        writer.run(revoke).await;
        assert!(reader.ask(&read).await.error().is_some(), "{revoke}");
        writer.run(grant).await;
        assert_eq!(reader.ask(&read).await.rows(), ["1|10", "2|20"], "{grant}");
    }
}

/// Settings of roles and databases are those of the sessions that begin after them.
#[tokio::test]
async fn settings_of_roles_and_databases() {
    let scene = stage().await;
    let mut writer = scene.client().await;
    writer.run("CREATE TABLE t (d date); INSERT INTO t VALUES ('2024-02-03'); GRANT SELECT ON t TO reader").await;
    let read = Script::new().query("SELECT d FROM t");
    let user = [("user", "reader")];
    let mut old = scene.client_with(&user).await;
    for (sql, expected) in [
        ("ALTER ROLE reader SET datestyle = 'German'", "03.02.2024"),
        (
            "ALTER ROLE reader IN DATABASE app SET datestyle = 'SQL, MDY'",
            "02/03/2024",
        ),
        (
            "ALTER ROLE reader RESET ALL; ALTER ROLE reader IN DATABASE app RESET ALL",
            "2024-02-03",
        ),
        (
            "ALTER DATABASE app SET datestyle = 'SQL, DMY'",
            "03/02/2024",
        ),
        ("ALTER DATABASE app RESET datestyle", "2024-02-03"),
    ] {
        assert_eq!(scene.warm(&mut old, &read).await.rows(), ["2024-02-03"]);
        writer.run(sql).await;
        let mut new = scene.client_with(&user).await;
        assert_eq!(new.ask(&read).await.rows(), [expected], "{sql}");
        assert_eq!(
            scene.warm(&mut new, &read).await.rows(),
            [expected],
            "{sql}"
        );
        assert_eq!(old.ask(&read).await.rows(), ["2024-02-03"], "{sql}");
    }
}
