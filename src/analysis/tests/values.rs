//! Functions, operators and casts: what makes another value every time, and what runs code.

use super::world::{World, world};
use super::{DIALECT, TEXT_MAX, check, check_in, describe, parse};
use crate::analysis::Oid;
use crate::analysis::catalog::rows::RelationKind;

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
        ("SELECT padded('a')", "constant"),
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
        (
            "SELECT mail_to('a')",
            "!stable_function -> ** [unknown_code]",
        ),
        ("SELECT twice(1)", "!stable_function"),
        (
            "SELECT JSON_ARRAY(1, 2)",
            "!user_function -> ** [unknown_code]",
        ),
        ("SELECT JSON_SCALAR(1), JSON_OBJECT('a', 'b')", "constant"),
    ]);
}

#[test]
fn immutable_is_what_its_body_is() {
    const CODE: &str = "!user_function -> ** [unknown_code]";
    check(&[
        (
            "SELECT deep(1), deeper(1), answers(1), atomic(1), sum_of(1)",
            "constant",
        ),
        ("SELECT says_so(1)", CODE),
        ("SELECT looks_up(1)", "users"),
        (
            "SELECT removes(1)",
            "!writes -> audit leads notes renames users",
        ),
        ("SELECT clocked(1)", "!stable_function"),
        (
            "SELECT sets('a')",
            "!volatile_function [named_setting setting]",
        ),
        ("SELECT moving('a')", "!text_read_as_date"),
        ("SELECT dated('a')", "!text_read_as_date"),
        ("SELECT ring(1)", "constant"),
        ("SELECT dotted('a')", CODE),
        (
            "SELECT written('a')",
            "!not_understood -> ** [unknown_code]",
        ),
        ("SELECT casual(1)", CODE),
        ("SELECT noon('CET')", "!stable_function"),
        ("SELECT told($1)", "constant"),
        ("SELECT worded($1)", "!text_read_as_date"),
        ("SELECT isn_weak(true)", CODE),
        ("SELECT sum_by(1)", CODE),
    ]);
}

#[test]
fn a_time_of_day_elsewhere_depends_on_the_date() {
    check(&[
        ("SELECT created_at AT TIME ZONE 'CET' FROM users", "users"),
        ("SELECT $1 AT TIME ZONE 'CET'", "constant"),
        (
            "SELECT at AT TIME ZONE 'CET' FROM shifts",
            "!stable_function",
        ),
        ("SELECT at FROM shifts", "shifts"),
        (
            "SELECT created_at::time AT TIME ZONE 'CET' FROM users",
            "!stable_function",
        ),
        (
            "SELECT timezone('CET', \"time\"(created_at)) FROM users",
            "!stable_function",
        ),
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
        (
            "SELECT (name).total FROM users",
            "!user_function -> ** [unknown_code]",
        ),
        (
            "SELECT (name).stab FROM users",
            "!user_function -> ** [unknown_code]",
        ),
        (
            "SELECT x.total FROM unnest(ARRAY['a']) x",
            "!user_function -> ** [unknown_code]",
        ),
        (
            "SELECT unnest.total FROM unnest(ARRAY['a'])",
            "!user_function -> ** [unknown_code]",
        ),
        (
            "SELECT y.total FROM unnest(ARRAY['a']) x, LATERAL (SELECT x.total) y",
            "!user_function -> ** [unknown_code]",
        ),
        (
            "SELECT r.total FROM ROWS FROM (unnest(ARRAY[1]), unnest(ARRAY[2])) r",
            "!user_function -> ** [unknown_code]",
        ),
        ("SELECT (name).timestamptz FROM users", "!text_read_as_date"),
        (
            "SELECT x.timestamptz FROM unnest($1::text[]) x",
            "!text_read_as_date",
        ),
        (
            "SELECT (name).email FROM users",
            "!unsafe_type -> ** [unknown_code]",
        ),
        (
            "SELECT (name).nextval FROM users",
            "!volatile_function [sequence_draw]",
        ),
        (
            "SELECT ('a'::text).nextval",
            "!volatile_function [sequence_draw]",
        ),
        (
            "SELECT x.nextval FROM unnest($1::text[]) x",
            "!volatile_function [sequence_draw]",
        ),
        (
            "SELECT (42::bigint).pg_advisory_lock",
            "!volatile_function [advisory_lock]",
        ),
        ("SELECT (day).age FROM users", "!stable_function"),
        (
            "SELECT (home).city, (name).lower, (u).name FROM users u",
            "users",
        ),
        (
            "SELECT u.age, u.date, u.name, u.nextval FROM users u",
            "users",
        ),
        (
            "SELECT u.age, x.id, x.n, x.text FROM users u, unnest(ARRAY[1]) x(id)",
            "users",
        ),
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
fn parameters_do_what_their_types_do() {
    const CODE: &str = "!unsafe_type -> ** [unknown_code]";
    let world = world();
    for (type_oid, expected) in [
        (0, "users"),
        (705, "users"),
        (100, "users"),
        (3_000, "users"),
        (2_205, "!unsafe_type"),
        (3_002, "!unsafe_type"),
        (3_001, CODE),
        (3_004, CODE),
        (9_999, CODE),
    ] {
        let parsed = parse(b"SELECT * FROM users WHERE id = $1", DIALECT, TEXT_MAX);
        let mut verdict = parsed.judge(Some(&world));
        verdict.take_parameters([Oid(100), Oid(type_oid)].into_iter(), &world);
        assert_eq!(describe(&verdict, &world), expected, "{type_oid}");
    }
}
