//! What may be cached, and what it depends on.

use super::world::world;
use super::{DIALECT, TEXT_MAX, check, parse};

#[test]
fn plain_queries_depend_on_their_tables() {
    check(&[
        ("SELECT 1", "constant"),
        ("SELECT", "constant"),
        ("VALUES (1), (2)", "constant"),
        ("TABLE users", "users"),
        ("SELECT * FROM users", "users"),
        ("SELECT * FROM public.users", "users"),
        ("SELECT * FROM ONLY users", "users"),
        ("SELECT * FROM \"users\" WHERE id = $1", "users"),
        ("SELECT * FROM USERS -- comment", "users"),
        (
            "/* one */ SELECT u.id FROM users AS u WHERE u.id IN (1, 2, 3);",
            "users",
        ),
        ("SELECT * FROM users JOIN leads USING (id)", "leads users"),
        ("SELECT * FROM users NATURAL LEFT JOIN leads", "leads users"),
        (
            "SELECT * FROM users, LATERAL (SELECT * FROM leads WHERE leads.id = users.id) l",
            "leads users",
        ),
        (
            "SELECT * FROM users UNION ALL SELECT * FROM leads EXCEPT SELECT * FROM notes",
            "leads notes users",
        ),
        (
            "SELECT (SELECT max(id) FROM leads) FROM users",
            "leads users",
        ),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM leads)", "leads"),
        ("SELECT ARRAY(SELECT id FROM leads)", "leads"),
        (
            "SELECT id FROM users WHERE id = ANY (SELECT id FROM leads)",
            "leads users",
        ),
        ("SELECT id FROM users WHERE id = ANY ($1::int4[])", "users"),
        (
            "SELECT count(*) FILTER (WHERE id IN (SELECT id FROM leads)) FROM users",
            "leads users",
        ),
        (
            "SELECT sum(id) OVER (PARTITION BY (SELECT max(id) FROM leads)) FROM users",
            "leads users",
        ),
        (
            "SELECT id FROM users ORDER BY (SELECT max(id) FROM leads) LIMIT (SELECT count(*) FROM notes)",
            "leads notes users",
        ),
        (
            "SELECT id FROM users OFFSET (SELECT count(*) FROM notes)",
            "notes users",
        ),
        (
            "SELECT id FROM users GROUP BY GROUPING SETS ((id), ((SELECT max(id) FROM notes)))",
            "notes users",
        ),
        (
            "SELECT id FROM users HAVING EXISTS (SELECT FROM notes)",
            "notes users",
        ),
        ("VALUES ((SELECT max(id) FROM leads))", "leads"),
        (
            "SELECT CASE id WHEN 1 THEN 2 ELSE (SELECT max(id) FROM notes) END FROM users",
            "notes users",
        ),
        (
            "SELECT CASE WHEN active THEN (SELECT max(id) FROM notes) END FROM users",
            "notes users",
        ),
        ("SELECT (array[1, 2])[(SELECT max(id) FROM notes)]", "notes"),
        (
            "SELECT coalesce(name, (SELECT max(id) FROM notes)), greatest(1, 2) FROM users",
            "notes users",
        ),
        ("SELECT id FROM users WHERE (id, name) < (1, 'a')", "users"),
        (
            "SELECT id FROM users WHERE name LIKE 'a%' ESCAPE '!' AND id BETWEEN 1 AND 5",
            "users",
        ),
        (
            "SELECT data -> 'a' ->> 'b' FROM users WHERE data @> '{}' AND data ? 'k'",
            "users",
        ),
        (
            "SELECT DISTINCT ON (id) id FROM users WHERE name IS NOT NULL AND active IS TRUE",
            "users",
        ),
        (
            "SELECT id FROM users WINDOW w AS (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
            "users",
        ),
        (
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY id) FROM users",
            "users",
        ),
        (
            "SELECT XMLELEMENT(NAME a, (SELECT max(id) FROM notes))",
            "notes",
        ),
        (
            "SELECT JSON_OBJECT('a': (SELECT max(id) FROM notes))",
            "notes",
        ),
        (
            "SELECT jt.a FROM users, JSON_TABLE(data, '$[*]' COLUMNS (a int PATH '$.a')) jt",
            "users",
        ),
        (
            "SELECT x.a FROM users, XMLTABLE('/r' PASSING data COLUMNS a int PATH 'a') x",
            "users",
        ),
        (
            "SELECT * FROM ROWS FROM (unnest(ARRAY[1]), unnest(ARRAY[2])) WITH ORDINALITY",
            "constant",
        ),
        (
            "SELECT substring(name FROM 1 FOR 2), position('a' IN name), extract(year FROM created_at) FROM users",
            "users",
        ),
        ("SELECT created_at AT TIME ZONE 'UTC' FROM users", "users"),
        ("SELECT name COLLATE \"C\" FROM users", "users"),
        (
            "SELECT * FROM users ORDER BY id FETCH FIRST 3 ROWS WITH TIES",
            "users",
        ),
        ("SELECT 'naïve', * FROM users", "users"),
    ]);
}

#[test]
fn names_mean_every_relation_of_the_name() {
    check(&[
        ("SELECT * FROM orders", "tenant_a.orders tenant_b.orders"),
        ("SELECT * FROM tenant_a.orders", "tenant_a.orders"),
        ("SELECT * FROM mydb.tenant_a.orders", "tenant_a.orders"),
        ("SELECT * FROM tenant_c.orders", "!unknown_relation -> *"),
        ("SELECT * FROM nowhere", "!unknown_relation -> *"),
        (
            "SELECT * FROM pg_temp.users",
            "!unknown_relation -> * [temporary]",
        ),
        ("SELECT * FROM wide", "!too_many_relations"),
        ("SELECT * FROM tenant_7.wide", "tenant_7.wide"),
        ("SELECT * FROM pg_class", "!system_catalog"),
        ("SELECT * FROM pg_catalog.pg_class", "!system_catalog"),
        ("SELECT * FROM information_schema.tables", "!system_catalog"),
        ("SELECT * FROM pg_toast.pg_toast_1", "!system_catalog"),
        ("SELECT * FROM columns", "!system_catalog"),
        ("SELECT * FROM public.columns", "columns"),
        (
            "SELECT * FROM tables",
            "!system_catalog -> ** [unknown_code]",
        ),
        ("SELECT * FROM users_id_seq", "!not_a_table"),
        ("SELECT * FROM remote", "!foreign_table"),
    ]);
}

#[test]
fn common_tables_hide_nothing() {
    check(&[
        ("WITH a AS (SELECT * FROM users) SELECT * FROM a", "users"),
        (
            "WITH a AS (SELECT * FROM b), b AS (SELECT * FROM users) SELECT * FROM a",
            "users",
        ),
        (
            "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a WHERE n < 5) SELECT * FROM a",
            "constant",
        ),
        ("WITH users AS (SELECT 1) SELECT * FROM users", "users"),
        (
            "SELECT * FROM recent, (WITH recent AS (SELECT 1) SELECT * FROM recent) x",
            "recent",
        ),
        (
            "WITH a AS MATERIALIZED (SELECT * FROM public.a) SELECT * FROM a",
            "!unknown_relation -> *",
        ),
        (
            "WITH RECURSIVE a AS (SELECT id FROM users UNION ALL SELECT id FROM a) CYCLE id SET c TO 'now' DEFAULT 'n' USING p SELECT * FROM a",
            "!moving_date",
        ),
        (
            "WITH RECURSIVE a AS (SELECT id FROM users UNION ALL SELECT id FROM a) SEARCH DEPTH FIRST BY id SET o SELECT * FROM a",
            "users",
        ),
    ]);
}

#[test]
fn views_and_children_are_followed() {
    check(&[
        ("SELECT * FROM active_users", "users"),
        ("SELECT * FROM nested", "leads users"),
        ("SELECT * FROM totals", "totals"),
        ("SELECT * FROM clock", "!stable_function"),
        ("SELECT * FROM trap", "!user_function -> ** [unknown_code]"),
        (
            "SELECT * FROM over_trap",
            "!user_function -> ** [unknown_code]",
        ),
        ("SELECT * FROM trap_totals", "trap_totals"),
        (
            "SELECT * FROM ring_a",
            "!unknown_construct -> ** [unknown_code]",
        ),
        (
            "SELECT * FROM broken",
            "!not_understood -> ** [unknown_code]",
        ),
        (
            "SELECT * FROM vanished",
            "!unknown_relation -> ** [unknown_code]",
        ),
        ("SELECT * FROM over_secret", "!row_security"),
        (
            "SELECT * FROM counter",
            "!volatile_function [sequence_draw]",
        ),
        ("SELECT * FROM catalog_view", "!system_catalog"),
        ("SELECT * FROM events", "events events_1 events_2"),
        ("SELECT * FROM events_1", "events_1"),
        ("SELECT * FROM parent", "child parent"),
        ("SELECT * FROM mixed", "!foreign_table"),
        ("SELECT * FROM secret", "!row_security"),
        (
            "SELECT * FROM guarded",
            "!row_security -> ** [unknown_code]",
        ),
        ("SELECT * FROM logged", "logged"),
        ("SELECT * FROM emails", "emails"),
        ("SELECT * FROM odd", "!unsafe_type"),
        ("SELECT * FROM folded", "folded"),
    ]);
}

#[test]
fn constructs_that_see_more_than_rows_are_not_cached() {
    check(&[
        ("SELECT * FROM users FOR UPDATE", "!locking_read"),
        (
            "SELECT * FROM users u FOR NO KEY UPDATE OF u SKIP LOCKED",
            "!locking_read",
        ),
        (
            "SELECT * FROM (SELECT * FROM users FOR SHARE) u",
            "!locking_read",
        ),
        (
            "SELECT * FROM users TABLESAMPLE system (10)",
            "!table_sample",
        ),
        ("SELECT ctid FROM users", "!system_column"),
        ("SELECT u.xmin FROM users u", "!system_column"),
        ("SELECT (u).tableoid FROM users u", "!system_column"),
        (
            "SELECT 1 FROM users WHERE users.ctid = '(0,1)'",
            "!system_column",
        ),
        ("SELECT ?", "!not_understood -> ** [unknown_code]"),
    ]);
}

#[test]
fn a_verdict_can_be_read() {
    let world = world();
    for (sql, line) in [
        ("SELECT 1", "reads no table; writes nothing"),
        (
            "SELECT * FROM nested",
            "reads public.users, public.leads; writes nothing",
        ),
        (
            "DELETE FROM leads",
            "not cached: not_a_read; writes public.leads, public.notes, public.audit, public.renames",
        ),
        (
            "SELECT nextval('a'), vol()",
            "not cached: volatile_function; writes everything; may change the catalog; leaves sequence_draw, unknown_code",
        ),
    ] {
        let verdict = parse(sql.as_bytes(), DIALECT, TEXT_MAX).judge(Some(&world));
        assert_eq!(world.explain(&verdict), line);
    }
}
