//! What may be cached, and what it depends on.

use super::world::{World, world};
use super::{DIALECT, TEXT_MAX, check, check_in, parse};
use crate::analysis::Oid;
use crate::analysis::catalog::rows::RelationKind;

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
        ("SELECT * FROM counter", "!volatile_function [sequence]"),
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
fn functions_count_by_the_worst_they_can_be() {
    check(&[
        ("SELECT abs(1), round(2.5)", "constant"),
        ("SELECT pg_catalog.abs(1)", "constant"),
        ("SELECT now()", "!stable_function"),
        ("SELECT NOW() FROM users", "!stable_function"),
        ("SELECT age(created_at) FROM users", "!stable_function"),
        ("SELECT age(created_at, created_at) FROM users", "users"),
        (
            "SELECT to_char(created_at, 'YYYY'), date_trunc('day', created_at) FROM users",
            "users",
        ),
        (
            "SELECT concat(1, 2), format('%s', 1), json_agg(u), json_build_object('a', 1) FROM users u",
            "users",
        ),
        ("SELECT current_setting('a.b')", "!stable_function"),
        ("SELECT version()", "!stable_function"),
        ("SELECT random()", "!volatile_function"),
        (
            "SELECT * FROM users ORDER BY random()",
            "!volatile_function",
        ),
        ("SELECT gen_random_uuid()", "!volatile_function"),
        (
            "SELECT pg_sleep(1), pg_notify('a', 'b')",
            "!volatile_function",
        ),
        ("SELECT pure(1)", "constant"),
        ("SELECT public.pure(id) FROM users", "users"),
        ("SELECT vol()", "!user_function -> ** [unknown_code]"),
        (
            "SELECT 1 FROM users WHERE id = vol()",
            "!user_function -> ** [unknown_code]",
        ),
        ("SELECT * FROM vol()", "!user_function -> ** [unknown_code]"),
        (
            "SELECT count(*) FILTER (WHERE vol()) FROM users",
            "!user_function -> ** [unknown_code]",
        ),
        ("SELECT stab(1)", "!user_function -> ** [unknown_code]"),
        ("SELECT upper('a')", "!user_function -> ** [unknown_code]"),
        ("SELECT pg_catalog.upper('a')", "constant"),
        ("SELECT lower('a')", "constant"),
        (
            "SELECT lower(1, 2, 3)",
            "!user_function -> ** [unknown_code]",
        ),
        ("SELECT padded('a', 1)", "constant"),
        ("SELECT padded('a')", "!user_function -> ** [unknown_code]"),
        (
            "SELECT any_of(1, 2, 3, 4)",
            "!user_function -> ** [unknown_code]",
        ),
        (
            "SELECT any_of(VARIADIC ARRAY[1])",
            "!user_function -> ** [unknown_code]",
        ),
        ("SELECT vol(1, 2)", "!user_function -> ** [unknown_code]"),
        ("SELECT private()", "!user_function -> ** [unknown_code]"),
        (
            "SELECT public.private()",
            "!unknown_function -> ** [unknown_code]",
        ),
        (
            "SELECT nowhere(1)",
            "!unknown_function -> ** [unknown_code]",
        ),
        ("SELECT uuid_generate_v4()", "!volatile_function"),
        (
            "SELECT crosstab('SELECT 1')",
            "!user_function -> ** [unknown_code]",
        ),
        (
            "SELECT query_to_xml('DELETE FROM users', true, true, '')",
            "!volatile_function -> ** [unknown_code]",
        ),
        (
            "SELECT table_to_xml('trap', true, true, '')",
            "!volatile_function -> ** [unknown_code]",
        ),
        (
            "SELECT ts_stat('SELECT 1')",
            "!volatile_function -> ** [unknown_code]",
        ),
        (
            "SELECT a_function_of_version_19()",
            "!volatile_function -> ** [unknown_code]",
        ),
        (
            "SELECT pg_reload_conf()",
            "!volatile_function -> ** [unknown_code]",
        ),
        ("SELECT lo_create(0)", "!volatile_function -> *"),
        ("SELECT mail_to('a')", "!user_function -> ** [unknown_code]"),
        ("SELECT twice(1)", "!stable_function"),
        (
            "SELECT JSON_ARRAY(1, 2)",
            "!user_function -> ** [unknown_code]",
        ),
        ("SELECT JSON_SCALAR(1), JSON_OBJECT('a', 'b')", "constant"),
    ]);
}

#[test]
fn code_hides_behind_dots_and_signs() {
    check(&[
        (
            "SELECT u.full_name FROM users u",
            "!user_function -> ** [unknown_code]",
        ),
        (
            "SELECT (u).full_name FROM users u",
            "!user_function -> ** [unknown_code]",
        ),
        (
            "SELECT public.users.full_name FROM users",
            "!user_function -> ** [unknown_code]",
        ),
        ("SELECT full_name FROM users", "users"),
        ("SELECT u.total FROM users u", "users"),
        ("SELECT 1 !!! 2", "!user_function -> ** [unknown_code]"),
        (
            "SELECT 1 OPERATOR(public.!!!) 2",
            "!user_function -> ** [unknown_code]",
        ),
        (
            "SELECT 1 FROM users WHERE 1 !!! ANY (ARRAY[1])",
            "!user_function -> ** [unknown_code]",
        ),
        (
            "SELECT 1 FROM users WHERE id !!! ALL (SELECT 1)",
            "!user_function -> ** [unknown_code]",
        ),
        (
            "SELECT id FROM users ORDER BY id USING !!!",
            "!user_function -> ** [unknown_code]",
        ),
        ("SELECT 1 === 2", "constant"),
        ("SELECT 1 <#> 2", "!unknown_operator -> ** [unknown_code]"),
        (
            "SELECT id FROM users WHERE name % 'bob'",
            "!stable_function",
        ),
        ("SELECT id FROM users WHERE id % 2 = 0", "users"),
    ]);
}

#[test]
fn casts_count_by_their_type() {
    check(&[
        (
            "SELECT '1'::int, CAST(1 AS text), '{}'::jsonb, date '2024-01-01', '{a,b}'::text[]",
            "constant",
        ),
        (
            "SELECT 1::numeric(10, 2), 'a'::\"char\", 'a'::character varying(5), 1::bigint, '1 day'::interval",
            "constant",
        ),
        (
            "SELECT 'sad'::mood, 'sad'::public.mood, 'Bob'::citext",
            "constant",
        ),
        ("SELECT 'a'::_citext", "constant"),
        ("SELECT 'users'::regclass", "!unsafe_type"),
        ("SELECT regclass('users')", "!unsafe_type"),
        ("SELECT '12:00'::timetz", "!unsafe_type"),
        ("SELECT 'a'::email", "!unsafe_type -> ** [unknown_code]"),
        ("SELECT email('a')", "!unsafe_type -> ** [unknown_code]"),
        ("SELECT 1::positive", "!unsafe_type"),
        ("SELECT positive(1)", "!unsafe_type"),
        ("SELECT 'a'::geo", "!unsafe_type -> ** [unknown_code]"),
        ("SELECT ROW(1, 2)::pair", "!unsafe_type"),
        ("SELECT 'a'::nothing", "!unknown_type -> ** [unknown_code]"),
        (
            "SELECT * FROM json_to_recordset('[]') AS x(a int, b email)",
            "!unsafe_type -> ** [unknown_code]",
        ),
        (
            "SELECT x.a FROM XMLTABLE('/r' PASSING '<a/>' COLUMNS a email) x",
            "!unsafe_type -> ** [unknown_code]",
        ),
    ]);
}

#[test]
fn dates_that_move_are_not_cached() {
    check(&[
        ("SELECT 'now'::timestamptz", "!moving_date"),
        (
            "SELECT * FROM users WHERE created_at > 'today'",
            "!moving_date",
        ),
        (
            "SELECT * FROM users WHERE created_at > E'\\x6eow'",
            "!moving_date",
        ),
        (
            "SELECT * FROM users WHERE created_at > U&'\\006eow'",
            "!moving_date",
        ),
        ("SELECT timestamp 'Yesterday 10:00'", "!moving_date"),
        ("SELECT * FROM users WHERE name = 'nowhere'", "users"),
        ("SELECT CURRENT_DATE", "!current_value"),
        (
            "SELECT * FROM users WHERE owner = CURRENT_USER",
            "!current_value",
        ),
        ("SELECT LOCALTIMESTAMP(3), SESSION_USER", "!current_value"),
        ("SELECT created_at::date FROM users", "users"),
        (
            "SELECT date(created_at), CAST(max(created_at) AS date) FROM users",
            "users",
        ),
        (
            "SELECT date_trunc('day', created_at)::date, (created_at + '1 day'::interval)::date FROM users",
            "users",
        ),
        (
            "SELECT $1::date, coalesce(created_at, '2024-01-01')::date FROM users",
            "users",
        ),
        ("SELECT name::date FROM users", "!text_read_as_date"),
        ("SELECT date(name) FROM users", "!text_read_as_date"),
        ("SELECT name::text::date FROM users", "!text_read_as_date"),
        ("SELECT ('to' || 'day')::date", "!text_read_as_date"),
        (
            "SELECT (data ->> 'at')::timestamptz FROM users",
            "!text_read_as_date",
        ),
        (
            "SELECT day::date FROM (SELECT name AS day FROM users) d",
            "!text_read_as_date",
        ),
        (
            "SELECT day::date FROM (SELECT name FROM users) d(day)",
            "!text_read_as_date",
        ),
        (
            "SELECT day::date FROM unnest($1::text[]) day",
            "!text_read_as_date",
        ),
        (
            "WITH d(day) AS (SELECT name FROM users) SELECT day::date FROM d",
            "!text_read_as_date",
        ),
        ("SELECT u.day AS day, u.day::date FROM users u", "users"),
        ("SELECT lower(name)::date FROM users", "!text_read_as_date"),
        ("SELECT name::daterange FROM users", "!text_read_as_date"),
        ("SELECT name::date[] FROM users", "!text_read_as_date"),
        ("SELECT name::_date FROM users", "!text_read_as_date"),
        (
            "SELECT * FROM json_to_recordset($1) AS x(a int, b date)",
            "!text_read_as_date",
        ),
        (
            "SELECT JSON_VALUE(data, '$.a' RETURNING date) FROM users",
            "!text_read_as_date",
        ),
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
fn a_cast_or_operator_class_with_code_stops_everything() {
    let mut world = World::default();
    world.built_in();
    world.users_functions();
    world.relation(1, "public", "users", RelationKind::Table, &[]);
    world.rows().implicit_functions.push(Oid(1_002));
    check_in(
        &world.catalog(),
        &[
            ("SELECT 1", "constant"),
            ("SELECT * FROM users", "!user_cast -> ** [unknown_code]"),
            (
                "UPDATE users SET id = 1",
                "!not_a_read -> ** [unknown_code]",
            ),
        ],
    );
}

#[test]
fn parameters_are_plain_where_their_types_are() {
    let world = world();
    for (type_oid, plain) in [
        (0, true),
        (705, true),
        (100, true),
        (3_000, true),
        (2_205, false),
        (3_001, false),
        (9_999, false),
    ] {
        assert_eq!(world.is_plain_parameter(Oid(type_oid)), plain, "{type_oid}");
    }
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
            "not cached: volatile_function; writes everything; may change the catalog; leaves sequence, unknown_code",
        ),
    ] {
        let verdict = parse(sql.as_bytes(), DIALECT, TEXT_MAX).judge(Some(&world));
        assert_eq!(world.explain(&verdict), line);
    }
}
