//! What a statement may change.

use super::world::{World, world};
use super::{DIALECT, TEXT_MAX, check, check_in, parse};
use crate::analysis::{Oid, WriteSet};
use crate::reason::Reason;

#[test]
fn changes_touch_their_table_and_what_hangs_on_it() {
    check(&[
        ("INSERT INTO users VALUES (1)", "!not_a_read -> users"),
        (
            "INSERT INTO users DEFAULT VALUES RETURNING id",
            "!not_a_read -> users",
        ),
        (
            "INSERT INTO users SELECT * FROM leads",
            "!not_a_read -> users",
        ),
        (
            "INSERT INTO leads VALUES (1) ON CONFLICT DO NOTHING",
            "!not_a_read -> leads",
        ),
        (
            "INSERT INTO audit VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 1",
            "!not_a_read -> audit renames",
        ),
        (
            "UPDATE users SET name = 'a' FROM leads WHERE leads.id = users.id",
            "!not_a_read -> users",
        ),
        (
            "UPDATE notes SET id = 1",
            "!not_a_read -> audit notes renames",
        ),
        (
            "DELETE FROM users",
            "!not_a_read -> audit leads notes renames users",
        ),
        (
            "DELETE FROM leads USING users WHERE leads.id = users.id",
            "!not_a_read -> audit leads notes renames",
        ),
        ("DELETE FROM audit", "!not_a_read -> audit"),
        (
            "DELETE FROM users WHERE CURRENT OF c",
            "!not_a_read -> audit leads notes renames users",
        ),
        (
            "MERGE INTO users u USING leads l ON u.id = l.id WHEN MATCHED THEN DELETE",
            "!not_a_read -> audit leads notes renames users",
        ),
        (
            "MERGE INTO notes n USING leads l ON n.id = l.id WHEN NOT MATCHED THEN INSERT VALUES (1)",
            "!not_a_read -> notes",
        ),
        ("TRUNCATE users", "!not_a_read -> users"),
        ("TRUNCATE notes, renames", "!not_a_read -> notes renames"),
        (
            "TRUNCATE notes CASCADE",
            "!not_a_read -> audit notes renames",
        ),
        (
            "TRUNCATE events CASCADE",
            "!not_a_read -> events events_1 events_2 visits",
        ),
        ("COPY users FROM STDIN", "!not_a_read -> users"),
        (
            "COPY users (id) FROM STDIN WHERE id > 1",
            "!not_a_read -> users",
        ),
        ("COPY users TO STDOUT", "!not_a_read"),
        ("COPY (SELECT * FROM users) TO STDOUT", "!not_a_read"),
        (
            "COPY (DELETE FROM audit RETURNING *) TO STDOUT",
            "!not_a_read -> audit",
        ),
        (
            "INSERT INTO orders VALUES (1)",
            "!not_a_read -> tenant_a.orders tenant_b.orders",
        ),
        (
            "INSERT INTO tenant_b.orders VALUES (1)",
            "!not_a_read -> tenant_b.orders",
        ),
    ]);
}

#[test]
fn defaults_of_the_servers_own_functions_count() {
    check(&[
        (
            "INSERT INTO configured VALUES (1)",
            "!not_a_read -> configured [local_setting setting]",
        ),
        (
            "INSERT INTO numbered VALUES (1)",
            "!not_a_read -> numbered [sequence_draw]",
        ),
        ("UPDATE numbered SET a = 1", "!not_a_read -> numbered"),
        (
            "UPDATE numbered SET a = DEFAULT",
            "!not_a_read -> numbered [sequence_draw]",
        ),
        ("DELETE FROM numbered", "!not_a_read -> numbered"),
    ]);
}

#[test]
fn partitions_and_children_change_with_their_parents() {
    check(&[
        (
            "INSERT INTO events VALUES (1)",
            "!not_a_read -> events events_1 events_2",
        ),
        ("UPDATE parent SET a = 1", "!not_a_read -> child parent"),
        ("UPDATE child SET a = 1", "!not_a_read -> child"),
        ("DELETE FROM events_1", "!not_a_read -> events_1 visits"),
        (
            "UPDATE events SET a = 1",
            "!not_a_read -> events events_1 events_2 visits",
        ),
        (
            "INSERT INTO mixed VALUES (1)",
            "!not_a_read -> ** [unknown_code]",
        ),
    ]);
}

#[test]
fn writes_hide_in_reads() {
    check(&[
        (
            "WITH d AS (DELETE FROM leads RETURNING *) SELECT * FROM d",
            "!writes -> audit leads notes renames",
        ),
        (
            "WITH i AS (INSERT INTO users VALUES (1) RETURNING id) SELECT 1",
            "!writes -> users",
        ),
        (
            "WITH m AS (MERGE INTO audit a USING leads l ON a.id = l.id WHEN MATCHED THEN UPDATE SET a = 1 RETURNING 1) SELECT 1",
            "!writes -> audit renames",
        ),
        (
            "WITH u AS (UPDATE audit SET a = 1) INSERT INTO users SELECT 1",
            "!not_a_read -> audit renames users",
        ),
        ("SELECT * INTO copy FROM users", "!writes -> **"),
        ("SELECT * INTO TEMP copy FROM users", "!writes [temporary]"),
        (
            "SELECT * INTO pg_temp.copy FROM users",
            "!writes [temporary]",
        ),
        ("SELECT 1 INTO a UNION SELECT 2", "!writes -> **"),
        ("EXPLAIN SELECT * FROM users", "!not_a_read"),
        ("EXPLAIN DELETE FROM users", "!not_a_read"),
        ("EXPLAIN ANALYZE DELETE FROM audit", "!not_a_read -> audit"),
        (
            "EXPLAIN (ANALYZE, BUFFERS) INSERT INTO users SELECT 1",
            "!not_a_read -> users",
        ),
        ("EXPLAIN (ANALYZE off) DELETE FROM audit", "!not_a_read"),
        ("EXPLAIN (ANALYZE 0) DELETE FROM audit", "!not_a_read"),
        ("EXPLAIN (ANALYZE false) DELETE FROM audit", "!not_a_read"),
        (
            "EXPLAIN (ANALYZE 'on') DELETE FROM audit",
            "!not_a_read -> audit",
        ),
        (
            "EXPLAIN ANALYZE SELECT vol()",
            "!not_a_read -> ** [unknown_code]",
        ),
        ("EXPLAIN ANALYZE SELECT * FROM users", "!not_a_read"),
        (
            "EXPLAIN ANALYZE CREATE TABLE a AS SELECT 1",
            "!not_a_read -> **",
        ),
        (
            "EXPLAIN ANALYZE EXECUTE p",
            "!not_a_read -> ** [prepared_statement unknown_code]",
        ),
        ("REFRESH MATERIALIZED VIEW totals", "!not_a_read -> totals"),
        (
            "REFRESH MATERIALIZED VIEW CONCURRENTLY totals",
            "!not_a_read -> totals",
        ),
        (
            "REFRESH MATERIALIZED VIEW trap_totals",
            "!not_a_read -> ** [unknown_code]",
        ),
        (
            "DECLARE c CURSOR FOR SELECT vol()",
            "!not_a_read -> ** [unknown_code]",
        ),
        (
            "INSERT INTO users VALUES (vol())",
            "!not_a_read -> ** [unknown_code]",
        ),
        (
            "UPDATE users SET name = upper(name)",
            "!not_a_read -> ** [unknown_code]",
        ),
        ("UPDATE users SET name = now()", "!not_a_read -> users"),
        (
            "INSERT INTO users VALUES (nextval('s'), uuid_generate_v4())",
            "!not_a_read -> users [sequence_draw]",
        ),
    ]);
}

#[test]
fn code_behind_a_table_reaches_everything() {
    check(&[
        (
            "INSERT INTO logged VALUES (1)",
            "!not_a_read -> ** [unknown_code]",
        ),
        (
            "INSERT INTO ruled VALUES (1)",
            "!not_a_read -> ** [unknown_code]",
        ),
        (
            "INSERT INTO defaulted VALUES (1)",
            "!not_a_read -> ** [unknown_code]",
        ),
        (
            "INSERT INTO guarded VALUES (1)",
            "!not_a_read -> ** [unknown_code]",
        ),
        (
            "INSERT INTO emails VALUES (1)",
            "!not_a_read -> ** [unknown_code]",
        ),
        (
            "INSERT INTO active_users VALUES (1)",
            "!not_a_read -> users",
        ),
        ("DELETE FROM remote", "!not_a_read -> ** [unknown_code]"),
        (
            "INSERT INTO pg_class VALUES (1)",
            "!not_a_read -> ** [unknown_code]",
        ),
        ("COPY logged FROM STDIN", "!not_a_read -> ** [unknown_code]"),
        ("TRUNCATE logged", "!not_a_read -> ** [unknown_code]"),
        ("INSERT INTO stamped VALUES (1)", "!not_a_read -> stamped"),
        ("INSERT INTO folded VALUES (1)", "!not_a_read -> folded"),
        ("INSERT INTO secret VALUES (1)", "!not_a_read -> secret"),
        ("INSERT INTO odd VALUES (1)", "!not_a_read -> odd"),
        ("INSERT INTO nowhere VALUES (1)", "!not_a_read -> *"),
        ("DELETE FROM pg_temp.users", "!not_a_read -> * [temporary]"),
        (
            "UPDATE users SET id = n.id FROM nowhere n",
            "!not_a_read -> *",
        ),
        ("TRUNCATE nowhere", "!not_a_read -> *"),
        ("REFRESH MATERIALIZED VIEW nowhere", "!not_a_read -> *"),
    ]);
}

#[test]
fn definitions_change_the_catalog() {
    check(&[
        ("CREATE TABLE a (id int)", "!not_a_read -> **"),
        ("CREATE UNLOGGED TABLE a (id int)", "!not_a_read -> **"),
        ("CREATE TABLE a AS SELECT * FROM users", "!not_a_read -> **"),
        (
            "CREATE MATERIALIZED VIEW a AS SELECT vol()",
            "!not_a_read -> ** [unknown_code]",
        ),
        ("CREATE VIEW a AS SELECT 1", "!not_a_read -> **"),
        (
            "CREATE INDEX CONCURRENTLY ON users (id)",
            "!not_a_read -> **",
        ),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "!not_a_read -> **",
        ),
        (
            "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "!not_a_read -> ** [temporary]",
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON users EXECUTE FUNCTION vol()",
            "!not_a_read -> **",
        ),
        ("CREATE POLICY p ON users USING (true)", "!not_a_read -> **"),
        (
            "CREATE RULE r AS ON INSERT TO users DO NOTHING",
            "!not_a_read -> **",
        ),
        (
            "CREATE EXTENSION hstore",
            "!not_a_read -> ** [unknown_code]",
        ),
        ("CREATE ROLE bob", "!not_a_read -> **"),
        (
            "ALTER TABLE users ADD COLUMN a int DEFAULT 1",
            "!not_a_read -> **",
        ),
        (
            "ALTER TABLE users ADD COLUMN a int DEFAULT vol()",
            "!not_a_read -> ** [unknown_code]",
        ),
        (
            "ALTER TABLE users ALTER a TYPE int USING vol()",
            "!not_a_read -> ** [unknown_code]",
        ),
        (
            "ALTER TABLE users ADD CHECK (vol() > 1)",
            "!not_a_read -> ** [unknown_code]",
        ),
        (
            "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
            "!not_a_read -> **",
        ),
        (
            "ALTER TABLE events ATTACH PARTITION users DEFAULT",
            "!not_a_read -> **",
        ),
        ("ALTER ROLE bob SET search_path = a", "!not_a_read -> **"),
        ("ALTER DATABASE d SET timezone = 'UTC'", "!not_a_read -> **"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "!not_a_read -> **"),
        (
            "ALTER DOMAIN email ADD CHECK (vol() > 1)",
            "!not_a_read -> ** [unknown_code]",
        ),
        ("ALTER TYPE mood ADD VALUE 'glad'", "!not_a_read -> **"),
        ("DROP TABLE users CASCADE", "!not_a_read -> **"),
        ("DROP SCHEMA public", "!not_a_read -> **"),
        ("GRANT SELECT ON users TO bob", "!not_a_read -> **"),
        ("REVOKE ALL ON users FROM bob", "!not_a_read -> **"),
        ("COMMENT ON TABLE users IS 'a'", "!not_a_read -> **"),
        ("REASSIGN OWNED BY a TO b", "!not_a_read -> **"),
        ("SECURITY LABEL ON TABLE users IS 'a'", "!not_a_read -> **"),
        (
            "IMPORT FOREIGN SCHEMA a FROM SERVER s INTO b",
            "!not_a_read -> **",
        ),
        ("CREATE PUBLICATION p FOR ALL TABLES", "!not_a_read -> **"),
        ("CALL p()", "!not_a_read -> ** [unknown_code]"),
        ("DO $$BEGIN COMMIT; END$$", "!not_a_read"),
        ("VACUUM users", "!not_a_read -> *"),
        ("ANALYZE", "!not_a_read -> *"),
        ("CLUSTER users", "!not_a_read -> *"),
        ("REINDEX TABLE users", "!not_a_read -> *"),
        ("CHECKPOINT", "!not_a_read -> *"),
    ]);
}

#[test]
fn event_triggers_run_on_definitions() {
    let mut world = World::default();
    world.built_in();
    world.rows().event_triggers.push(Oid(1));
    check_in(
        &world.catalog(),
        &[
            (
                "CREATE TEMP TABLE a (id int)",
                "!not_a_read -> ** [temporary unknown_code]",
            ),
            ("DROP TABLE a", "!not_a_read -> ** [unknown_code]"),
            ("SELECT 1", "constant"),
        ],
    );
}

#[test]
fn several_statements_count_together() {
    check(&[
        ("SELECT 1; SELECT 2", "!multi_statement"),
        (
            "INSERT INTO users VALUES (1); DELETE FROM audit",
            "!multi_statement -> audit users",
        ),
        (
            "SET a.b = 1; SELECT * FROM trap",
            "!multi_statement -> ** [named_setting unknown_code]",
        ),
        (
            "BEGIN; UPDATE audit SET a = 1; COMMIT",
            "!multi_statement -> audit renames",
        ),
        ("SELECT 1;", "constant"),
        ("; ;", "!not_a_read"),
        ("", "!not_a_read"),
        ("-- nothing", "!not_a_read"),
    ]);
}

#[test]
fn without_a_catalog_nothing_is_cached_and_every_write_reaches_everything() {
    let judge = |sql: &str| parse(sql.as_bytes(), DIALECT, TEXT_MAX).judge(None);
    for sql in ["SELECT * FROM users", "SELECT f()", "SELECT 1 + 1"] {
        let verdict = judge(sql);
        assert_eq!(
            (verdict.read, verdict.write),
            (Err(Reason::CatalogNotReady), WriteSet::Everything),
            "{sql}"
        );
        assert!(!verdict.catalog, "{sql}");
    }
    assert_eq!(judge("SELECT 1").write, WriteSet::Nothing);
    assert_eq!(judge("BEGIN").write, WriteSet::Nothing);
    assert_eq!(
        judge("INSERT INTO users VALUES (1)").write,
        WriteSet::Everything
    );
    assert!(judge("DROP TABLE users").catalog);
}

#[test]
fn what_no_stream_shows_is_told() {
    let world = world();
    assert_eq!(world.relation_names(Oid(70)), Some(("tenant_a", "orders")));
    assert!(world.is_streamed(Oid(1)));
    assert!(!world.is_streamed(Oid(20)));
}
