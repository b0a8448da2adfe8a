//! Definitions changed by somebody who does not come through the proxy.

use pgkeel::catalog::digest::{Digest, Found, compare, prepare};
use pgkeel::catalog::load_rows;
use pgkeel_bench::sandbox::Postgres;
use tokio_postgres::Client;

use crate::raw::{Raw, Script};
use crate::scene::{Answered, SOON, Scene};
use crate::support::{Stage, eventually};

/// Nothing but the check ends an entry here.
const QUICK: &str = "[cache]\ncatalog_check = \"100ms\"\nttl = \"0s\"";

const CHANGES_ELSEWHERE: &str = "counters.catalog_changes_elsewhere";

const TABLES: &str = "
    CREATE TABLE t (id int PRIMARY KEY, v int CHECK (v > 0)); INSERT INTO t VALUES (1, 10), (2, 20);
    CREATE TABLE parent (v int); CREATE TABLE child (v int); INSERT INTO child VALUES (1);
    CREATE TABLE parted (v int) PARTITION BY LIST (v); CREATE TABLE part PARTITION OF parted FOR VALUES IN (1);
    CREATE VIEW w AS SELECT v FROM t;
    CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1';
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE ROLE readers; CREATE ROLE reader LOGIN IN ROLE readers; GRANT SELECT ON t, w TO readers;
    CREATE POLICY p ON t USING (true);
    CREATE MATERIALIZED VIEW m AS SELECT v, repeat('x', v) AS x FROM t";

/// What changes definitions.
const CHANGES: &[&str] = &[
    "CREATE TABLE made (a int)",
    "DROP TABLE made",
    "ALTER TABLE t ADD COLUMN w int",
    "ALTER TABLE t RENAME COLUMN w TO x",
    "ALTER TABLE t DROP COLUMN x",
    "ALTER TABLE t ALTER COLUMN v SET DEFAULT 5",
    "ALTER TABLE t ALTER COLUMN v DROP DEFAULT",
    "ALTER TABLE t ADD CONSTRAINT c CHECK (v < 100)",
    "ALTER TABLE t DROP CONSTRAINT c",
    "CREATE TRIGGER n BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()",
    "ALTER TABLE t DISABLE TRIGGER n",
    "DROP TRIGGER n ON t",
    "CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING",
    "DROP RULE r ON t",
    "CREATE OR REPLACE VIEW w AS SELECT v + 1 AS v FROM t",
    "CREATE OR REPLACE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 2'",
    "ALTER FUNCTION f(int) VOLATILE",
    "REVOKE EXECUTE ON FUNCTION f(int) FROM PUBLIC",
    "ALTER TABLE child INHERIT parent",
    // The first ANALYZE of a table that has no children any more replaces its row.
    "ALTER TABLE child NO INHERIT parent; ANALYZE parent",
    "ALTER TABLE parted DETACH PARTITION part",
    "ALTER TABLE parted ATTACH PARTITION part FOR VALUES IN (2)",
    "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
    "ALTER TYPE mood ADD VALUE 'mad'",
    "CREATE FUNCTION number(mood) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'",
    "CREATE CAST (mood AS int) WITH FUNCTION number(mood)",
    "CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl)",
    "DROP OPERATOR ### (int, int)",
    "CREATE SCHEMA s; CREATE TABLE s.t (a int)",
    "DROP SCHEMA s CASCADE",
    "GRANT SELECT ON t TO PUBLIC",
    "REVOKE SELECT ON t FROM PUBLIC",
    "GRANT SELECT (v) ON parent TO reader",
    "REVOKE readers FROM reader",
    "GRANT readers TO reader",
    "ALTER ROLE reader NOINHERIT",
    "ALTER ROLE reader SUPERUSER",
    "ALTER ROLE reader SET datestyle = 'German'",
    "ALTER ROLE reader RESET ALL",
    "ALTER DATABASE app SET datestyle = 'German'",
    "ALTER DATABASE app RESET ALL",
    "CREATE ROLE other",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    "ALTER POLICY p ON t USING (v > 10)",
    "DROP POLICY p ON t",
    "CREATE INDEX i ON t (v)",
    "ALTER SEQUENCE sequence RESTART",
    "REFRESH MATERIALIZED VIEW m WITH NO DATA",
];

/// What gives tables new files, and which.
const REWRITES: &[(&str, &str)] = &[
    ("REFRESH MATERIALIZED VIEW m", "m"),
    ("TRUNCATE t", "t"),
    ("TRUNCATE parted, child", "child, part"),
    ("CLUSTER t USING t_pkey", "t"),
    ("VACUUM FULL parent", "parent"),
    ("REINDEX TABLE t", "t"),
];

/// What is done and undone, and could be missed by whoever looks only before and after.
const UNDONE: &[&str] = &[
    "GRANT SELECT ON t TO PUBLIC; REVOKE SELECT ON t FROM PUBLIC",
    "ALTER TABLE child RENAME TO x; ALTER TABLE x RENAME TO child",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t DISABLE ROW LEVEL SECURITY",
    "TRUNCATE child; ALTER VIEW w RENAME TO x; ALTER VIEW x RENAME TO w",
];

/// What does not.
const NO_CHANGES: &[&str] = &[
    "SELECT 1",
    "INSERT INTO t VALUES (7, 70); UPDATE t SET v = v + 1; DELETE FROM t WHERE id = 7",
    "VACUUM",
    "VACUUM (ANALYZE, FREEZE)",
    "ANALYZE",
    "CREATE TEMPORARY TABLE tt (a int PRIMARY KEY, b text DEFAULT 'x', CHECK (a > 0)); \
     CREATE INDEX ON tt (b); CREATE TEMPORARY VIEW tv AS SELECT a FROM tt; INSERT INTO tt VALUES (1)",
    "CREATE FUNCTION pg_temp.g() RETURNS int LANGUAGE sql AS 'SELECT 1'; DROP FUNCTION pg_temp.g()",
    "DROP TABLE tt CASCADE",
    "CREATE TABLE undone (a int); ROLLBACK",
    "SELECT nextval('sequence')",
    "CREATE DATABASE beside",
    "DROP DATABASE beside",
];

/// One digest after the other, over one connection.
struct Looks {
    server: Postgres,
    own: Client,
    digest: Digest,
}

impl Looks {
    async fn new() -> Self {
        let server = Postgres::start().await.unwrap();
        let own = server.connect().await.unwrap();
        let setup = server.connect().await.unwrap();
        setup.batch_execute(TABLES).await.unwrap();
        setup
            .batch_execute("CREATE SEQUENCE sequence")
            .await
            .unwrap();
        let digest = load_rows(&own).await.unwrap().1;
        own.batch_execute("SET search_path = pg_catalog")
            .await
            .unwrap();
        Self {
            server,
            own,
            digest,
        }
    }

    /// Has the catalog changed since the last look?
    async fn has_changed(&mut self) -> bool {
        self.look().await.is_none()
    }

    /// The tables that have new files since the last look, unless the catalog has changed.
    async fn look(&mut self) -> Option<Vec<u32>> {
        let question = prepare(&self.own).await.unwrap();
        let (digest, tables) = match compare(&self.own, &question, &self.digest).await.unwrap() {
            Found::Changed => (load_rows(&self.own).await.unwrap().1, None),
            Found::Unchanged(digest) => (digest, Some(Vec::new())),
            Found::Rewritten { tables, digest } => (digest, Some(tables)),
        };
        self.digest = digest;
        tables
    }
}

#[tokio::test]
async fn a_digest_differs_after_every_change_of_definitions_and_no_other() {
    let mut looks = Looks::new().await;
    let client = looks.server.connect().await.unwrap();
    assert!(!looks.has_changed().await, "nothing has happened");
    let others = NO_CHANGES.iter().cycle();
    for (change, other) in CHANGES.iter().zip(others) {
        client.batch_execute(change).await.unwrap();
        assert!(looks.has_changed().await, "{change}");
        assert!(!looks.has_changed().await, "after {change}");
        if other.contains("ROLLBACK") {
            client.batch_execute("BEGIN").await.unwrap();
        }
        client.batch_execute(other).await.unwrap();
        assert!(!looks.has_changed().await, "{other}");
    }
}

#[tokio::test]
async fn new_files_concern_only_what_reads_those_tables() {
    let mut looks = Looks::new().await;
    let client = looks.server.connect().await.unwrap();
    for (rewrite, names) in REWRITES {
        client.batch_execute(rewrite).await.unwrap();
        let oids = format!(
            "SELECT array_agg(oid ORDER BY oid) FROM pg_class WHERE relname = ANY(string_to_array('{names}', ', '))"
        );
        let oids: Vec<u32> = client.query_one(&oids, &[]).await.unwrap().get(0);
        assert_eq!(looks.look().await, Some(oids), "{rewrite}");
        assert_eq!(looks.look().await, Some(Vec::new()), "after {rewrite}");
    }
    for undone in UNDONE {
        for sql in undone.split("; ") {
            client.batch_execute(sql).await.unwrap();
        }
        assert!(looks.has_changed().await, "{undone}");
    }
}

/// Transactions that are under way when a digest is taken show up when they end, savepoints and all.
#[tokio::test]
async fn a_digest_sees_what_was_under_way() {
    let mut looks = Looks::new().await;
    let early = looks.server.connect().await.unwrap();
    let late = looks.server.connect().await.unwrap();
    early
        .batch_execute("BEGIN; INSERT INTO child VALUES (5); SAVEPOINT s; ALTER TABLE child ADD COLUMN w int; RELEASE s")
        .await
        .unwrap();
    late.batch_execute("CREATE TABLE between_times (a int)")
        .await
        .unwrap();
    assert!(looks.has_changed().await);
    assert!(!looks.has_changed().await, "nothing was committed since");
    early.batch_execute("COMMIT").await.unwrap();
    assert!(looks.has_changed().await, "an older transaction was");
}

/// A read of `reader`, and a change that makes its answer another.
const STALE: &[(&str, &str)] = &[
    (
        "SELECT * FROM t",
        "ALTER TABLE t ADD COLUMN w int DEFAULT 5",
    ),
    (
        "SELECT * FROM w",
        "CREATE OR REPLACE VIEW w AS SELECT v + 1 AS v FROM t",
    ),
    (
        "SELECT f(v) FROM t",
        "CREATE OR REPLACE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 2'",
    ),
    (
        "SELECT f(v) + 1 FROM t",
        "REVOKE EXECUTE ON FUNCTION f(int) FROM PUBLIC",
    ),
    ("SELECT id FROM t", "REVOKE readers FROM reader"),
    ("SELECT v FROM w", "REVOKE SELECT ON w FROM readers"),
    // From here on reads of this table are not cached.
    (
        "SELECT v FROM t",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY q ON t AS RESTRICTIVE USING (v > 10)",
    ),
];

#[tokio::test]
async fn results_end_with_definitions_that_change_elsewhere() {
    let scene = Scene::of(Stage::builder().config(QUICK), TABLES).await;
    let mut elsewhere = scene.direct().await;
    let reader = [("user", "reader")];
    let mut client = scene.client_with(&reader).await;
    let mut direct = scene.direct_with(&reader).await;
    for (read, change) in STALE {
        elsewhere.run("GRANT readers TO reader").await;
        let script = Script::new().query(read);
        let before = scene.warm(&mut client, &script).await;
        elsewhere.run(change).await;
        let expected = direct.ask(&script).await;
        assert_ne!(before, expected, "{change}");
        eventually(SOON, async || client.ask(&script).await == expected).await;
    }
}

/// A trigger made elsewhere widens what writes through the proxy touch.
#[tokio::test]
async fn writes_follow_a_trigger_that_was_made_elsewhere() {
    let tables = "CREATE TABLE t (v int); INSERT INTO t VALUES (1); CREATE TABLE audit (n int); \
        INSERT INTO audit VALUES (0); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN UPDATE audit SET n = n + 1; RETURN NEW; END'";
    let scene = Scene::of(Stage::builder().config(QUICK), tables).await;
    let (mut client, mut elsewhere) = (scene.client().await, scene.direct().await);
    let audit = Script::new().query("SELECT n FROM audit");
    scene.warm(&mut client, &audit).await;
    let before = scene.stage.stat(CHANGES_ELSEWHERE).await;
    elsewhere
        .run("CREATE TRIGGER note BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()")
        .await;
    eventually(SOON, async || {
        scene.stage.stat(CHANGES_ELSEWHERE).await > before
    })
    .await;
    assert_eq!(scene.warm(&mut client, &audit).await.rows(), ["0"]);
    client.run("UPDATE t SET v = v + 1").await;
    assert_eq!(client.ask(&audit).await.rows(), ["1"]);
}

/// Waits until the proxy has looked: a look is two questions at most, and the next begins when it has its answers.
async fn wait_for_a_look(elsewhere: &mut Raw) {
    for _ in 0..3 {
        let moment = elsewhere.query("SELECT clock_timestamp()").await.rows();
        let looked = format!(
            "SELECT count(*) > 0 FROM pg_stat_activity \
             WHERE query LIKE 'WITH now%' AND query_start > '{}' AND state = 'idle'",
            moment[0]
        );
        eventually(SOON, async || {
            elsewhere.query(&looked).await.rows() == ["t"]
        })
        .await;
    }
}

/// What is not a definition voids results once, when it comes through the proxy, and only those that it concerns.
#[tokio::test]
async fn what_came_through_is_not_a_change_elsewhere() {
    let scene = Scene::of(Stage::builder().config(QUICK), TABLES).await;
    let (mut client, mut elsewhere) = (scene.client().await, scene.direct().await);
    let mut reader = scene.client().await;
    let unconcerned = Script::new().query("SELECT v FROM parent");
    let before = scene.stage.stat(CHANGES_ELSEWHERE).await;
    for sql in [
        "CREATE INDEX i ON t (v)",
        "CREATE TEMPORARY TABLE tt (a text PRIMARY KEY)",
        "VACUUM FULL child",
        "CLUSTER t USING t_pkey",
        "REINDEX TABLE t",
    ] {
        client.run(sql).await;
        // If that has made the snapshot void, there is another now.
        scene.warm(&mut reader, &unconcerned).await;
        wait_for_a_look(&mut elsewhere).await;
        assert_eq!(scene.stage.stat(CHANGES_ELSEWHERE).await, before, "{sql}");
    }
    let mut client = reader;
    let concerned = Script::new().query("SELECT v FROM t UNION ALL SELECT v FROM m");
    for sql in ["REFRESH MATERIALIZED VIEW m", "TRUNCATE t"] {
        scene.warm(&mut client, &concerned).await;
        client.run(sql).await;
        wait_for_a_look(&mut elsewhere).await;
        let (_, answered) = scene.ask(&mut client, &unconcerned).await;
        assert_eq!(answered, Answered::Hit, "{sql}");
        assert_eq!(scene.stage.stat(CHANGES_ELSEWHERE).await, before, "{sql}");
    }
    assert_eq!(
        scene.warm(&mut client, &concerned).await.rows(),
        ["10", "20"]
    );
    elsewhere.run("REFRESH MATERIALIZED VIEW m").await;
    eventually(SOON, async || {
        client.ask(&concerned).await.rows().is_empty()
    })
    .await;
    assert_eq!(scene.stage.stat(CHANGES_ELSEWHERE).await, before);
}

#[tokio::test]
async fn vacuum_and_writes_elsewhere_reload_nothing() {
    let scene = Scene::of(Stage::builder().config(QUICK), TABLES).await;
    let (mut client, mut elsewhere) = (scene.client().await, scene.direct().await);
    scene
        .warm(&mut client, &Script::new().query("SELECT v FROM t"))
        .await;
    let before = scene.stage.stat(CHANGES_ELSEWHERE).await;
    let loads = scene.stage.stat("counters.catalog_loads").await;
    for sql in [
        "VACUUM ANALYZE",
        "INSERT INTO child SELECT generate_series(1, 1000)",
        "CREATE TEMPORARY TABLE tt AS SELECT 1 AS one",
    ] {
        elsewhere.run(sql).await;
        wait_for_a_look(&mut elsewhere).await;
        assert_eq!(scene.stage.stat(CHANGES_ELSEWHERE).await, before, "{sql}");
        assert_eq!(scene.stage.stat("counters.catalog_loads").await, loads);
    }
    let stats = scene.stage.proxy.stats().await.unwrap();
    let catalog = &stats["catalogs"][0];
    assert_eq!(catalog["database"], "app");
    assert_eq!(catalog["checked"], true);
    assert_eq!(catalog["loads"]["elsewhere"], before);
}

/// When nobody can say whether definitions have changed, nothing is served from the cache.
#[tokio::test]
async fn without_an_answer_nothing_is_served() {
    let scene = Scene::of(Stage::builder().config(QUICK), TABLES).await;
    let mut client = scene.client().await;
    let mut master = scene.direct_with(&[("database", "postgres")]).await;
    let read = Script::new().query("SELECT v FROM t");
    scene.warm(&mut client, &read).await;
    master
        .run("ALTER DATABASE app ALLOW_CONNECTIONS false")
        .await;
    eventually(SOON, async || {
        master
            .run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = 'app' AND application_name = 'pgkeel'",
            )
            .await;
        let (reply, answered) = scene.ask(&mut client, &read).await;
        assert_eq!(reply.rows(), ["10", "20"]);
        answered == Answered::Forwarded
            && scene.stage.stat("bypass.catalog_unchecked").await
                + scene.stage.stat("bypass.catalog_not_ready").await
                > 0
    })
    .await;
    master
        .run("ALTER DATABASE app ALLOW_CONNECTIONS true")
        .await;
    scene.warm(&mut client, &read).await;
}

/// The connection that looks leaves with the last client.
#[tokio::test]
async fn a_database_without_clients_can_be_dropped() {
    let config = "[cache]\ncatalog_check = \"100ms\"\n[pool]\nmin = 0\nidle_timeout = \"50ms\"";
    let scene = Scene::of(Stage::builder().config(config), "CREATE DATABASE other").await;
    let mut master = scene.direct().await;
    let mut client = scene.client_with(&[("database", "other")]).await;
    client.run("CREATE TABLE t AS SELECT 1 AS v").await;
    scene
        .warm(&mut client, &Script::new().query("SELECT v FROM t"))
        .await;
    let looks =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = 'other' AND query LIKE 'WITH now%'";
    eventually(SOON, async || master.query(looks).await.rows() == ["1"]).await;
    drop(client);
    eventually(SOON, async || {
        master.query("DROP DATABASE other").await.error().is_none()
    })
    .await;
}
