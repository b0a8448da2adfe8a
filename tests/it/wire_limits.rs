//! The far corners of the wire: every field of an error, every kind of message, sizes at their limits. The proxy
//! answers what PostgreSQL answers, byte for byte.

mod asynchronous;
mod portals;
mod sizes;
mod startup;

use crate::twins::{Step, Twins, step};
use crate::wire::*;

const SCHEMA: &str = "
CREATE SCHEMA app;
CREATE DOMAIN app.positive AS int CONSTRAINT above_zero CHECK (VALUE > 0);
CREATE TABLE app.items (id int PRIMARY KEY, amount app.positive, name text NOT NULL, size int UNIQUE CHECK (size < 100));
CREATE TABLE app.parts (id int REFERENCES app.items (id) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO app.items VALUES (1, 1, 'one', 1), (2, 2, 'two', 2), (3, 3, 'three', 3);
CREATE FUNCTION app.fail() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'it failed: %', 7 USING ERRCODE = 'P0042', DETAIL = 'the detail', HINT = 'the hint',
        COLUMN = 'the column', CONSTRAINT = 'the constraint', DATATYPE = 'the type', TABLE = 'the table',
        SCHEMA = 'the schema';
END $$;
CREATE FUNCTION app.tell(level text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    RAISE DEBUG 'debug'; RAISE LOG 'log'; RAISE INFO 'info';
    RAISE NOTICE 'notice' USING HINT = 'a hint', DETAIL = 'a detail', TABLE = 'a table';
    RAISE WARNING 'warning' USING ERRCODE = '01042';
    RETURN 1;
END $$;
";

const ITEMS: &str = "SELECT * FROM app.items ORDER BY id";

#[tokio::test]
async fn every_field_of_an_error_arrives() {
    let twins = Twins::new(SCHEMA).await;
    for sql in [
        "SELECT app.fail()",
        "DO $$BEGIN PERFORM app.fail(); END$$",
        "INSERT INTO app.items VALUES (1, 1, 'again', 9)",
        "INSERT INTO app.items VALUES (9, 0, 'zero', 9)",
        "INSERT INTO app.items VALUES (9, 1, NULL, 9)",
        "INSERT INTO app.items VALUES (9, 1, 'big', 900)",
        "INSERT INTO app.items VALUES (9, 1, 'taken', 1)",
        "INSERT INTO app.parts VALUES (77)",
        "BEGIN; INSERT INTO app.parts VALUES (77); COMMIT",
        "SELECT nothing FROM app.items",
        "SELECT 1 +",
        "SELECT 'x'::app.positive",
        "SELECT 'x'::int, 1 / 0",
        "SELECT 1 FROM app.items WHERE id = 'é'",
        "SELECT sum(id) FROM app.items GROUP BY GROUPING SETS ((name), (amount + ))",
        "CREATE TABLE app.items (id int)",
        "SELECT * FROM app.items i, app.items i",
        "SELECT 1 FROM generate_series(1, 10) n WHERE 10 / (n - 5) > 0",
    ] {
        let extended = [run(sql), sync()];
        let described = [
            parse("", sql),
            describe_statement(""),
            bind("", "", &[]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ];
        let script = [
            step(&[query(sql)]),
            step(&extended),
            step(&described),
            step(&[query("BEGIN"), query(sql), query(sql), query("ROLLBACK")]),
            step(&[run(ITEMS), run(sql), run(ITEMS), sync()]),
        ];
        twins.agree_on_one_connection(sql, &script, 2).await;
    }
}

#[tokio::test]
async fn notices_arrive_where_they_were_raised() {
    let twins = Twins::new(SCHEMA).await;
    let tell = "SELECT app.tell('x')";
    for level in ["debug1", "log", "notice", "warning", "error"] {
        let script = [
            step(&[query(&format!("SET client_min_messages = {level}"))]),
            step(&[query(tell)]),
            step(&[run(ITEMS), run(tell), run(ITEMS), sync()]),
            step(&[query(&format!("{ITEMS}; {tell}; SELECT 1"))]),
            step(&[
                query("BEGIN"),
                query("BEGIN"),
                query("COMMIT"),
                query("COMMIT"),
            ]),
            step(&[query("DROP TABLE IF EXISTS nothing")]),
            step(&[query("RESET client_min_messages")]),
        ];
        twins.agree(level, &script).await;
    }
    // A name that is too long is cut with a notice: each time the text is parsed.
    let long = format!("SELECT id AS {} FROM app.items", "x".repeat(80));
    let script = [
        step(&[parse("s", &long), describe_statement("s"), sync()]),
        step(&[bind("", "s", &[]), execute("", 0), sync()]),
        step(&[bind("", "s", &[]), execute("", 0), sync()]),
        step(&[close_statement("s"), sync()]),
        step(&[parse("s", &long), sync()]),
        step(&[close_statement("s"), sync()]),
        step(&[query(&long)]),
        step(&[run(&long), sync()]),
    ];
    twins.agree("a long name", &script).await;
}

#[tokio::test]
async fn empty_texts_and_many_statements_are_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    let mut script: Vec<Step> = ["", " ", ";", ";;", "-- nothing", "/* nothing */ ;", "\n\t;"]
        .iter()
        .flat_map(|sql| {
            [
                step(&[query(sql)]),
                step(&[run(sql), sync()]),
                step(&[
                    parse("", sql),
                    describe_statement(""),
                    bind("", "", &[]),
                    describe_portal(""),
                    execute("", 0),
                    sync(),
                ]),
            ]
        })
        .collect();
    for sql in [
        "SELECT 1; SELECT 2; SELECT 3",
        "SELECT 1;; SELECT 2;",
        "INSERT INTO app.items VALUES (50, 1, 'a', 50); SELECT 1 / 0; SELECT 2",
        "SELECT count(*) FROM app.items",
        "BEGIN; INSERT INTO app.items VALUES (51, 1, 'a', 51); COMMIT; SELECT 1 / 0",
        "SELECT count(*) FROM app.items",
        "BEGIN; SELECT 1 / 0; SELECT 2",
        "ROLLBACK; SELECT count(*) FROM app.items",
        "SELECT 1; BEGIN; SELECT 2",
        "COMMIT; SELECT 3; SELEC",
        "SELECT 1; COMMIT; SELECT 2; ROLLBACK",
        "DELETE FROM app.items WHERE id > 3; SELECT count(*) FROM app.items",
    ] {
        script.push(step(&[query(sql)]));
        script.push(step(&[run(sql), sync()]));
    }
    script.push(step(&[query(
        "ROLLBACK; DELETE FROM app.items WHERE id > 3",
    )]));
    twins.agree("texts", &script).await;
}

/// FunctionCall: an oid, formats, arguments, the format of the result.
fn call(function: u32, formats: &[u16], arguments: &[Option<&[u8]>], result: u16) -> Vec<u8> {
    let mut body = function.to_be_bytes().to_vec();
    body.extend(u16::try_from(formats.len()).unwrap().to_be_bytes());
    body.extend(formats.iter().flat_map(|format| format.to_be_bytes()));
    body.extend(u16::try_from(arguments.len()).unwrap().to_be_bytes());
    for argument in arguments {
        match argument {
            Some(bytes) => {
                body.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
                body.extend_from_slice(bytes);
            }
            None => body.extend([0xff; 4]),
        }
    }
    body.extend(result.to_be_bytes());
    message(b'F', &[&body])
}

#[tokio::test]
async fn functions_are_called_alike() {
    /// `pg_proc.dat`.
    const INT4PL: u32 = 177;
    const UPPER: u32 = 871;
    const TEXTCAT: u32 = 1258;
    const NOW: u32 = 1299;
    const INT4DIV: u32 = 154;
    let twins = Twins::new(SCHEMA).await;
    let (two, three) = (Some(&[0, 0, 0, 2][..]), Some(&[0, 0, 0, 3][..]));
    let script = [
        step(&[call(INT4PL, &[1], &[two, three], 1)]),
        step(&[call(INT4PL, &[1, 0], &[two, Some(b"3")], 0)]),
        step(&[call(INT4PL, &[], &[Some(b"2"), Some(b"3")], 1)]),
        step(&[call(INT4PL, &[], &[Some(b"2"), None], 0)]),
        step(&[call(INT4PL, &[], &[Some(b"2")], 0)]),
        step(&[call(INT4PL, &[7], &[two, three], 0)]),
        step(&[call(INT4PL, &[0, 0, 0], &[Some(b"2"), Some(b"3")], 0)]),
        step(&[call(INT4PL, &[1], &[Some(b"short"), three], 1)]),
        step(&[call(INT4PL, &[], &[Some(b"x"), Some(b"3")], 0)]),
        step(&[call(INT4PL, &[], &[Some(b"2"), Some(b"3")], 9)]),
        step(&[call(INT4DIV, &[], &[Some(b"2"), Some(b"0")], 0)]),
        step(&[call(UPPER, &[], &[Some("größe".as_bytes())], 0)]),
        step(&[call(TEXTCAT, &[], &[Some(&[b'x'; 100_000]), Some(b"y")], 1)]),
        step(&[call(0, &[], &[], 0), call(4_000_000_000, &[], &[], 0)]),
        step(&[
            query("BEGIN"),
            call(INT4DIV, &[], &[Some(b"2"), Some(b"0")], 0),
        ]),
        step(&[call(INT4PL, &[1], &[two, three], 1), query("ROLLBACK")]),
        step(&[
            query("BEGIN"),
            call(INT4PL, &[1], &[two, three], 1),
            query("COMMIT"),
        ]),
        step(&[message(b'F', &[b"\0\0"])]),
        step(&[message(b'F', &[])]),
        step(&[query(ITEMS)]),
    ];
    twins.agree("calls", &script).await;
    assert_eq!(
        tags(&twins.proxied().await.ask(&call(NOW, &[], &[], 0)).await),
        "VZ"
    );
}

#[tokio::test]
async fn types_and_formats_are_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    let text = "SELECT id, name, $1, $2::text FROM app.items WHERE id < $1 ORDER BY id";
    let int: &[u8] = &[0, 0, 0, 3];
    for types in [
        &[][..],
        &[0],
        &[0, 0],
        &[23],
        &[20],
        &[705],
        &[23, 25],
        &[23, 705],
        &[99_999],
        &[23, 25, 25],
        &[25],
    ] {
        for (formats, first) in [
            (&[][..], &b"3"[..]),
            (&[1, 0], int),
            (&[0], b"3"),
            (&[1], int),
            (&[0, 0, 0], b"3"),
            (&[2], b"3"),
        ] {
            let script = [step(&[
                parse_typed("", text, types),
                describe_statement(""),
                bind_formats("", "", formats, &[Some(first), Some(b"text")], &[]),
                describe_portal(""),
                execute("", 0),
                sync(),
            ])];
            let place = format!("types {types:?}, formats {formats:?}");
            twins.agree_on_one_connection(&place, &script, 2).await;
        }
    }
    for results in [
        &[][..],
        &[0],
        &[1],
        &[0, 1, 0, 1],
        &[1, 1, 1, 1],
        &[0, 1],
        &[1, 1, 1, 1, 1],
        &[2],
    ] {
        let script = [step(&[
            parse("s", text),
            bind_formats("", "s", &[], &[Some(b"3"), None], results),
            describe_portal(""),
            execute("", 0),
            close_statement("s"),
            sync(),
        ])];
        twins
            .agree_on_one_connection(&format!("results {results:?}"), &script, 3)
            .await;
    }
}

#[tokio::test]
async fn two_hundred_units_with_an_error_in_the_middle_are_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    let unit = |number: usize| {
        let value = (number % 4).to_string();
        [
            parse("", "SELECT name FROM app.items WHERE id = $1"),
            bind("", "", &[Some(value.as_bytes())]),
            describe_portal(""),
            execute("", 0),
        ]
        .concat()
    };
    for (name, trouble) in [
        ("an error", run("SELECT 1 / 0")),
        ("a write", run("UPDATE app.items SET name = name")),
        (
            "a transaction",
            [
                run("BEGIN"),
                run("UPDATE app.items SET size = size"),
                run("COMMIT"),
            ]
            .concat(),
        ),
        ("a closed statement", close_statement("none")),
    ] {
        let mut messages: Vec<_> = (0..100).map(unit).collect();
        messages.push(trouble);
        messages.extend((100..200).map(unit));
        messages.push(sync());
        messages.push(query(ITEMS));
        twins.agree(name, &[step(&messages)]).await;
    }
}
