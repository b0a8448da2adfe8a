//! What the bodies of functions do.

use super::world::World;
use super::{DIALECT, TEXT_MAX, check_in, parse};
use crate::analysis::catalog::rows::*;

/// The functions of a test, each as its name, its arguments and the rest of its definition.
pub(super) type Functions<'a> = &'a [(&'a str, usize, &'a str)];

pub(super) const FIRST: u32 = 7_000;

/// A database with some tables and these functions. Their oids count from [`FIRST`].
pub(super) fn world(functions: Functions<'_>) -> World {
    let mut world = World::default();
    world.built_in();
    for (oid, name) in [(1, "users"), (2, "orders"), (3, "audit"), (4, "rates")] {
        world.relation(oid, "public", name, RelationKind::Table, &[]);
    }
    world.relation(9, "app", "rates", RelationKind::Table, &[]);
    world.type_row(3_001, "public", "email", TypeKind::Domain, &[100], &[FIRST]);
    for ((name, arguments, rest), oid) in functions.iter().zip(FIRST..) {
        let counts = (*arguments, 0);
        world.function(
            oid,
            name,
            Volatility::Volatile,
            Language::Other,
            counts,
            &[],
        );
        let parameters: Vec<_> = (0..*arguments).map(|n| format!("p{n} integer")).collect();
        let definition = format!(
            "CREATE OR REPLACE FUNCTION public.{name}({}) {rest}",
            parameters.join(", ")
        );
        world.function_row(oid).definition = Some(definition);
    }
    world
}

/// A function in PL/pgSQL without arguments, and what a call of it is expected to do.
fn check_bodies(table: &[(&str, &str)]) {
    for (body, expected) in table {
        let rest = format!(" RETURNS integer LANGUAGE plpgsql AS $function$ {body} $function$");
        let helpers = [
            ("f", 0, &*rest),
            (
                "rate",
                1,
                " RETURNS numeric LANGUAGE sql AS 'SELECT r FROM rates WHERE id = $1'",
            ),
            (
                "bump",
                0,
                " RETURNS void LANGUAGE sql AS 'UPDATE orders SET n = n + 1'",
            ),
        ];
        check_in(&world(&helpers).catalog(), &[("SELECT f()", expected)]);
    }
}

#[test]
fn a_body_is_the_sum_of_its_statements() {
    check_bodies(&[
        ("BEGIN RETURN 1; END", "constant"),
        ("BEGIN END;", "constant"),
        ("<<outer>> BEGIN NULL; END outer", "constant"),
        (
            "#variable_conflict use_column\nBEGIN RETURN 1; END",
            "constant",
        ),
        ("BEGIN RETURN (SELECT count(*) FROM users); END", "users"),
        (
            "DECLARE n integer; BEGIN SELECT count(*) INTO n FROM users; RETURN n; END",
            "users",
        ),
        (
            "DECLARE n integer; m text; BEGIN SELECT a, b INTO STRICT n, m FROM users WHERE true; RETURN n; END",
            "users",
        ),
        (
            "DECLARE n int := (SELECT max(id) FROM users); BEGIN RETURN n; END",
            "users",
        ),
        (
            "DECLARE n CONSTANT numeric(10, 2) NOT NULL DEFAULT rate(1); BEGIN RETURN n; END",
            "app.rates rates",
        ),
        (
            "DECLARE a int[] := '{}'; BEGIN a[1] := 5; a[(SELECT max(id) FROM users)] = 6; RETURN a[1]; END",
            "users",
        ),
        (
            "BEGIN PERFORM 1 FROM users WHERE id = 1; IF FOUND THEN RETURN 1; ELSIF EXISTS (SELECT FROM orders) THEN RETURN 2; ELSE RETURN (SELECT 1 FROM audit); END IF; END",
            "audit orders users",
        ),
        (
            "BEGIN CASE (SELECT 1 FROM users) WHEN 1, 2 THEN RETURN 1; ELSE RETURN rate(2); END CASE; END",
            "app.rates rates users",
        ),
        (
            "BEGIN CASE WHEN true THEN NULL; WHEN EXISTS (SELECT FROM users) THEN RETURN 1; END CASE; RETURN 2; END",
            "users",
        ),
        (
            "DECLARE r record; BEGIN FOR r IN SELECT * FROM users LOOP CONTINUE WHEN r.id = 1; EXIT; END LOOP; RETURN 1; END",
            "users",
        ),
        (
            "BEGIN FOR i IN REVERSE 10..(SELECT 1 FROM users) BY 2 LOOP NULL; END LOOP; RETURN 1; END",
            "users",
        ),
        (
            "BEGIN FOR i IN 1..10 LOOP PERFORM rate(i); END LOOP; RETURN 1; END",
            "app.rates rates",
        ),
        (
            "DECLARE x int; BEGIN FOREACH x SLICE 0 IN ARRAY ARRAY(SELECT id FROM users) LOOP NULL; END LOOP; RETURN 1; END",
            "users",
        ),
        (
            "BEGIN <<l>> LOOP EXIT l WHEN EXISTS (SELECT FROM users); END LOOP l; RETURN 1; END",
            "users",
        ),
        (
            "BEGIN WHILE EXISTS (SELECT FROM users) LOOP BEGIN RETURN 1; END; END LOOP; RETURN 1; END",
            "users",
        ),
        (
            "BEGIN RETURN QUERY SELECT id FROM users; RETURN NEXT 1; RETURN; END",
            "users",
        ),
        (
            "BEGIN RAISE EXCEPTION 'no % in %', (SELECT 1 FROM users), 2 USING ERRCODE = 'P0001', HINT = (SELECT 'x' FROM audit); END",
            "audit users",
        ),
        (
            "BEGIN RAISE division_by_zero; RAISE SQLSTATE '22012'; RAISE; END",
            "constant",
        ),
        (
            "BEGIN ASSERT (SELECT true FROM users), 'no'; RETURN 1; END",
            "users",
        ),
        (
            "BEGIN RETURN QUERY EXECUTE 'SELECT id FROM users WHERE id = $1' USING 5; END",
            "users",
        ),
        (
            "DECLARE n int; BEGIN EXECUTE $q$SELECT 1 FROM users$q$ INTO n USING (SELECT 1 FROM audit); RETURN n; END",
            "audit users",
        ),
        (
            "DECLARE n int; BEGIN GET DIAGNOSTICS n = ROW_COUNT; RETURN n; END",
            "constant",
        ),
        ("BEGIN /* ; */ RETURN 1; -- END\nEND", "constant"),
        (
            "DECLARE open int; BEGIN open := 1; RETURN open; END",
            "constant",
        ),
    ]);
}

#[test]
fn what_a_body_changes_is_told() {
    check_bodies(&[
        (
            "BEGIN UPDATE orders SET n = 1; RETURN 1; END",
            "!writes -> orders",
        ),
        (
            "BEGIN INSERT INTO audit SELECT * FROM users; DELETE FROM orders; RETURN 1; END",
            "!writes -> audit orders",
        ),
        (
            "DECLARE n int; BEGIN INSERT INTO audit VALUES (1) RETURNING id INTO n; RETURN n; END",
            "!writes -> audit",
        ),
        (
            "DECLARE n int; BEGIN WITH x AS (UPDATE orders SET n = 1 RETURNING n) SELECT n INTO n FROM x; RETURN n; END",
            "!writes -> orders",
        ),
        ("BEGIN PERFORM bump(); RETURN 1; END", "!writes -> orders"),
        (
            "BEGIN IF false THEN TRUNCATE audit; END IF; RETURN 1; END",
            "!writes -> audit",
        ),
        (
            "DECLARE r record; BEGIN FOR r IN DELETE FROM audit RETURNING * LOOP NULL; END LOOP; RETURN 1; END",
            "!writes -> audit",
        ),
        (
            "BEGIN EXECUTE 'DELETE FROM audit'; RETURN 1; END",
            "!writes -> audit",
        ),
        (
            "BEGIN RETURN 1; EXCEPTION WHEN OTHERS THEN INSERT INTO audit VALUES (1); RETURN 2; END",
            "!user_function -> audit",
        ),
        (
            "DECLARE c CURSOR (k int) FOR DELETE FROM audit RETURNING *; BEGIN OPEN c(1); CLOSE c; RETURN 1; END",
            "!writes -> audit",
        ),
        (
            "BEGIN MERGE INTO audit a USING users u ON a.id = u.id WHEN MATCHED THEN DELETE; RETURN 1; END",
            "!writes -> audit",
        ),
        ("BEGIN LOCK TABLE users; RETURN 1; END", "!user_function"),
        (
            "BEGIN NOTIFY a; PERFORM pg_notify('a', 'b'); RETURN 1; END",
            "!user_function",
        ),
    ]);
}

#[test]
fn what_a_body_leaves_behind_is_told() {
    check_bodies(&[
        (
            "BEGIN PERFORM set_config('a.b', 'c', true); RETURN 1; END",
            "!volatile_function [local_setting]",
        ),
        (
            "BEGIN PERFORM set_config('a.b', 'c', false); RETURN 1; END",
            "!volatile_function [named_setting setting]",
        ),
        (
            "BEGIN SET a.b = 1; RETURN 1; END",
            "!user_function [named_setting setting]",
        ),
        (
            "BEGIN SET LOCAL a.b = 1; RETURN 1; END",
            "!user_function [local_setting]",
        ),
        (
            "BEGIN CREATE TEMP TABLE x (id int); RETURN 1; END",
            "!user_function [temporary]",
        ),
        (
            "BEGIN CREATE TABLE x (id int); RETURN 1; END",
            "!user_function -> ** [unknown_code]",
        ),
        (
            "BEGIN INSERT INTO pg_temp.users VALUES (1); RETURN 1; END",
            "!writes -> * [temporary]",
        ),
        (
            "BEGIN RETURN nextval('s'); END",
            "!volatile_function [sequence_draw]",
        ),
        (
            "BEGIN PERFORM pg_advisory_lock(1); RETURN 1; END",
            "!volatile_function [advisory_lock]",
        ),
        (
            "BEGIN DEALLOCATE ALL; RETURN 1; END",
            "!user_function -> ** [deallocate unknown_code]",
        ),
        ("BEGIN LISTEN a; RETURN 1; END", "!user_function [listen]"),
    ]);
}

#[test]
fn a_result_that_may_move_or_be_missed_is_not_cached() {
    check_bodies(&[
        ("BEGIN RETURN random(); END", "!volatile_function"),
        ("BEGIN RETURN now() > '2024-01-01'; END", "!stable_function"),
        (
            "BEGIN IF current_user = 'bob' THEN RETURN 1; END IF; RETURN 2; END",
            "!current_value",
        ),
        (
            "BEGIN RAISE NOTICE 'hello'; RETURN (SELECT 1 FROM users); END",
            "!user_function",
        ),
        ("BEGIN RAISE LOG 'hello'; RETURN 1; END", "!user_function"),
        (
            "BEGIN RETURN (SELECT 1 FROM users); EXCEPTION WHEN division_by_zero OR SQLSTATE '22003' THEN RETURN 0; END",
            "!user_function",
        ),
        (
            "DECLARE c refcursor; BEGIN OPEN c FOR SELECT * FROM users; RETURN 1; END",
            "!user_function",
        ),
        ("BEGIN FETCH c INTO x; RETURN 1; END", "!user_function"),
        (
            "BEGIN PERFORM * FROM users FOR UPDATE; RETURN 1; END",
            "!locking_read",
        ),
        (
            "DECLARE d date := 'today'; BEGIN RETURN 1; END",
            "!text_read_as_date",
        ),
        (
            "DECLARE d timestamptz; BEGIN SELECT name INTO d FROM users; RETURN 1; END",
            "!text_read_as_date",
        ),
        (
            "DECLARE d users.name%TYPE; BEGIN d := (SELECT name FROM users); RETURN 1; END",
            "!text_read_as_date",
        ),
        (
            "DECLARE r users%ROWTYPE; BEGIN SELECT * INTO r FROM users; RETURN 1; END",
            "!text_read_as_date",
        ),
        (
            "DECLARE r record; BEGIN SELECT * INTO r FROM users; r.made := 'x'; RETURN 1; END",
            "!text_read_as_date",
        ),
        (
            "DECLARE e email; BEGIN RETURN (SELECT 1 FROM users); END",
            "!stable_function",
        ),
        (
            "DECLARE x day ; BEGIN RETURN x::date; END",
            "!text_read_as_date -> ** [unknown_code]",
        ),
    ]);
}

#[test]
fn what_is_not_understood_may_do_anything() {
    for body in [
        "BEGIN EXECUTE 'UPD' || 'ATE users SET a = 1'; RETURN 1; END",
        "BEGIN EXECUTE format('DELETE FROM %I', 'users'); RETURN 1; END",
        "BEGIN FOR r IN EXECUTE p0 LOOP NULL; END LOOP; RETURN 1; END",
        "BEGIN RETURN 1 END",
        "BEGIN IF true RETURN 1; END IF; END",
        "BEGIN RETURN 1; END; SELECT 1",
        "BEGIN RETURN 'a\\'; END",
        "BEGIN GARBLE users; END",
        "BEGIN RETURN (1; 2); END",
        "BEGIN FETCH RELATIVE bump() FROM c INTO x; RETURN 1; END",
        "BEGIN SAVEPOINT a; RETURN 1; END",
        "DECLARE x nothing; BEGIN RETURN 1; END",
        "DECLARE x nowhere%ROWTYPE; BEGIN RETURN 1; END",
        "SELECT 1",
        "",
    ] {
        let rest = format!(" RETURNS integer LANGUAGE plpgsql AS $function$ {body} $function$");
        let catalog = world(&[
            ("f", 0, &rest),
            ("bump", 0, " RETURNS int LANGUAGE sql AS 'SELECT 1'"),
        ])
        .catalog();
        let verdict = parse(b"SELECT f()", DIALECT, TEXT_MAX).judge(Some(&catalog));
        assert!(
            verdict.catalog && verdict.read.is_err(),
            "{body}: {verdict:?}"
        );
    }
    let deep = format!("{}NULL;{}", "BEGIN ".repeat(2_000), "END;".repeat(2_000));
    let rest = format!(" RETURNS integer LANGUAGE plpgsql AS $function$ {deep} $function$");
    let catalog = world(&[("f", 0, &rest)]).catalog();
    check_in(
        &catalog,
        &[("SELECT f()", "!not_understood -> ** [unknown_code]")],
    );
}

#[test]
fn recursion_ends() {
    let catalog = world(&[
        ("ping", 1, " RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 FROM users; RETURN pong(p0); END $$"),
        ("pong", 1, " RETURNS int LANGUAGE sql AS 'SELECT ping($1) + ping($1) FROM audit'"),
        ("self", 1, " RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF p0 > 0 THEN RETURN self(p0 - 1); END IF; UPDATE orders SET n = 1; RETURN 0; END $$"),
    ])
    .catalog();
    check_in(
        &catalog,
        &[
            ("SELECT ping(1)", "audit users"),
            ("SELECT pong(1) FROM rates", "app.rates audit rates users"),
            ("SELECT self(1)", "!writes -> orders"),
        ],
    );
}

#[test]
fn a_function_in_sql_is_its_statements() {
    let catalog = world(&[
        ("two", 0, " RETURNS int LANGUAGE sql STABLE AS 'DELETE FROM audit; SELECT 1 FROM users'"),
        ("atomic", 0, " RETURNS int LANGUAGE sql BEGIN ATOMIC INSERT INTO public.audit VALUES (1); SELECT 1; END"),
        ("answer", 0, " RETURNS bigint LANGUAGE sql RETURN (SELECT count(*) FROM public.users)"),
        ("escaped", 0, " RETURNS text LANGUAGE sql AS $$SELECT E'a\\n' FROM users$$"),
        ("given", 1, " RETURNS int LANGUAGE sql AS $$ SELECT name FROM users WHERE id = p0 $$"),
        ("owned", 0, " RETURNS name LANGUAGE sql SECURITY DEFINER SET search_path TO 'public', 'pg_temp' AS 'SELECT current_user'"),
        ("secure", 0, " RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path TO 'public', 'pg_temp' AS 'SELECT 1 FROM rates'"),
        ("perl", 0, " RETURNS int LANGUAGE plperl AS 'spi_exec_query(1)'"),
    ])
    .catalog();
    check_in(
        &catalog,
        &[
            ("SELECT two()", "!writes -> audit"),
            ("SELECT atomic()", "!writes -> audit"),
            ("SELECT answer()", "users"),
            ("SELECT escaped()", "users"),
            ("SELECT given(1), o.n FROM orders o", "orders users"),
            ("SELECT * FROM given(1)", "users"),
            ("SELECT owned()", "!current_value"),
            ("SELECT secure()", "app.rates rates"),
            ("SELECT perl()", "!not_understood -> ** [unknown_code]"),
            ("EXPLAIN ANALYZE SELECT two()", "!not_a_read -> audit"),
            (
                "PREPARE p AS SELECT two()",
                "!not_a_read [prepared_statement]",
            ),
            (
                "INSERT INTO orders SELECT two()",
                "!not_a_read -> audit orders",
            ),
        ],
    );
}

#[test]
fn defaults_of_arguments_count_with_the_body() {
    let mut world = world(&[
        (
            "bump",
            0,
            " RETURNS int LANGUAGE sql AS 'UPDATE orders SET n = 1 RETURNING n'",
        ),
        ("f", 0, ""),
    ]);
    let row = world.function_row(FIRST + 1);
    (row.arguments, row.defaults) = (1, 1);
    row.definition = Some(
        "CREATE FUNCTION f(a int DEFAULT bump()) RETURNS int LANGUAGE sql AS 'SELECT a'".to_owned(),
    );
    check_in(&world.catalog(), &[("SELECT f()", "!writes -> orders")]);
}
