//! The extended query protocol: whatever PostgreSQL answers, the proxy answers, byte for byte.

use crate::twins::{Twins, step, unfinished};
use crate::wire::*;

const SCHEMA: &str = "
CREATE TABLE readings (id int PRIMARY KEY, name text, amount numeric, flag bool, taken timestamptz);
INSERT INTO readings VALUES (1, 'one', 1.50, true, '2024-01-01'), (2, NULL, NULL, NULL, NULL),
    (3, 'three', -0.0, false, 'infinity');
CREATE TABLE written (id int PRIMARY KEY, value text NOT NULL CHECK (value <> 'bad'));
CREATE FUNCTION noisy(int) RETURNS int LANGUAGE plpgsql AS
    'BEGIN RAISE NOTICE ''saw %'', $1; RETURN $1; END';
";

const ALL: &str = "SELECT * FROM readings ORDER BY id";
const BY_ID: &str = "SELECT * FROM readings WHERE id = $1";
const ONE: &[Option<&[u8]>] = &[Some(b"1")];
const TWO: &[Option<&[u8]>] = &[Some(b"2")];

#[tokio::test]
async fn drivers_usual_pipelines_are_answered_alike_and_become_hits() {
    let twins = Twins::new(SCHEMA).await;
    // As psycopg, JDBC and node-postgres do it, in one go.
    let unnamed = [step(&[
        parse("", BY_ID),
        bind("", "", ONE),
        describe_portal(""),
        execute("", 0),
        sync(),
    ])];
    assert_eq!(twins.agree("unnamed", &unnamed).await, 5);
    // As libpq's PQprepare and tokio-postgres do it: prepare and describe first.
    let named = [
        step(&[parse("s", BY_ID), describe_statement("s"), sync()]),
        step(&[bind("", "s", TWO), execute("", 0), sync()]),
        step(&[
            bind_formats("", "s", &[1], &[Some(&[0, 0, 0, 3])], &[1]),
            execute("", 0),
            sync(),
        ]),
        step(&[bind("", "s", &[None]), execute("", 0), sync()]),
        step(&[close_statement("s"), sync()]),
    ];
    assert_eq!(twins.agree("named", &named).await, 15);
    // As asyncpg does it: flush and wait for the description, then go on.
    let flushed = [
        unfinished(&[parse("s", BY_ID), describe_statement("s"), flush()], 3),
        step(&[sync()]),
        step(&[bind("", "s", ONE), execute("", 0), sync()]),
        step(&[close_statement("s"), sync()]),
    ];
    assert_eq!(twins.agree("flushed", &flushed).await, 6);
}

/// Runs each list of messages, with a Sync behind it, by both.
async fn agree_on(scripts: &[(&str, Vec<Vec<u8>>)]) {
    let twins = Twins::new(SCHEMA).await;
    for (name, messages) in scripts {
        let messages = [&messages[..], &[sync()]].concat();
        twins.agree(name, &[step(&messages)]).await;
    }
}

#[tokio::test]
async fn portals_are_described_in_any_order() {
    agree_on(&[
        ("nothing", vec![]),
        (
            "empty",
            vec![
                parse("", ""),
                bind("", "", &[]),
                describe_portal(""),
                execute("", 0),
            ],
        ),
        ("only parse", vec![parse("", ALL)]),
        ("parse and bind", vec![parse("", ALL), bind("", "", &[])]),
        (
            "describe only",
            vec![parse("", ALL), describe_statement("")],
        ),
        (
            "describe bound",
            vec![parse("", ALL), bind("", "", &[]), describe_portal("")],
        ),
        (
            "describe everything",
            vec![
                parse("", BY_ID),
                describe_statement(""),
                bind("", "", ONE),
                describe_portal(""),
                execute("", 0),
            ],
        ),
        (
            "execute undescribed",
            vec![parse("", ALL), bind("", "", &[]), execute("", 0)],
        ),
        (
            "describe behind execute",
            vec![
                parse("", ALL),
                bind("", "", &[]),
                execute("", 0),
                describe_portal(""),
            ],
        ),
    ])
    .await;
}

#[tokio::test]
async fn portals_are_executed_and_closed_in_any_order() {
    agree_on(&[
        (
            "execute twice",
            vec![
                parse("", ALL),
                bind("", "", &[]),
                execute("", 0),
                execute("", 0),
            ],
        ),
        (
            "close behind execute",
            vec![
                parse("", ALL),
                bind("", "", &[]),
                execute("", 0),
                close_portal(""),
            ],
        ),
        (
            "execute the closed",
            vec![
                parse("", ALL),
                bind("", "", &[]),
                close_portal(""),
                execute("", 0),
            ],
        ),
        (
            "two of one statement",
            vec![
                parse("", BY_ID),
                bind("", "", ONE),
                execute("", 0),
                bind("", "", TWO),
                execute("", 0),
            ],
        ),
        (
            "named portals",
            vec![
                parse("", BY_ID),
                bind("a", "", ONE),
                bind("b", "", TWO),
                execute("b", 0),
                execute("a", 0),
                describe_portal("b"),
                close_portal("a"),
                execute("a", 0),
            ],
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_does_not_exist_is_answered_alike() {
    agree_on(&[
        (
            "the same portal twice",
            vec![
                parse("", ALL),
                bind("a", "", &[]),
                bind("a", "", &[]),
                execute("a", 0),
            ],
        ),
        (
            "row limits",
            vec![
                parse("", ALL),
                bind("", "", &[]),
                execute("", 2),
                execute("", 2),
                execute("", 2),
            ],
        ),
        (
            "no statement",
            vec![bind("", "nothing", &[]), execute("", 0)],
        ),
        (
            "no unnamed statement",
            vec![close_statement(""), bind("", "", &[]), execute("", 0)],
        ),
        ("no portal", vec![execute("nothing", 0)]),
        ("describe no portal", vec![describe_portal("nothing")]),
        ("describe no statement", vec![describe_statement("nothing")]),
        (
            "close nothing",
            vec![close_statement("nothing"), close_portal("nothing")],
        ),
        (
            "syntax error",
            vec![parse("", "SELEC"), bind("", "", &[]), execute("", 0)],
        ),
        (
            "no table",
            vec![
                parse("", "SELECT * FROM nowhere"),
                bind("", "", &[]),
                execute("", 0),
            ],
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_does_not_fit_the_statement_is_answered_alike() {
    agree_on(&[
        (
            "too few parameters",
            vec![parse("", BY_ID), bind("", "", &[]), execute("", 0)],
        ),
        (
            "bad value",
            vec![
                parse("", BY_ID),
                bind("", "", &[Some(b"x")]),
                execute("", 0),
            ],
        ),
        (
            "bad format",
            vec![
                parse("", BY_ID),
                bind_formats("", "", &[7], ONE, &[]),
                execute("", 0),
            ],
        ),
        (
            "bad binary value",
            vec![
                parse("", BY_ID),
                bind_formats("", "", &[1], ONE, &[]),
                execute("", 0),
            ],
        ),
        (
            "too many result formats",
            vec![
                parse("", BY_ID),
                bind_formats("", "", &[], ONE, &[0, 1]),
                execute("", 0),
            ],
        ),
        (
            "two statements",
            vec![
                parse("", "SELECT 1; SELECT 2"),
                bind("", "", &[]),
                execute("", 0),
            ],
        ),
    ])
    .await;
}

#[tokio::test]
async fn errors_and_notices_amid_a_pipeline_are_answered_alike() {
    agree_on(&[
        (
            "error in the middle",
            vec![
                parse("", ALL),
                bind("", "", &[]),
                execute("", 0),
                parse("", "SELECT 1 / $1::int"),
                bind("", "", &[Some(b"0")]),
                execute("", 0),
                parse("", ALL),
                bind("", "", &[]),
                execute("", 0),
            ],
        ),
        (
            "notices",
            vec![
                parse("", "SELECT noisy($1)"),
                bind("", "", ONE),
                describe_portal(""),
                execute("", 0),
            ],
        ),
    ])
    .await;
}

#[tokio::test]
async fn formats_and_types_are_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    let sql = "SELECT $1::int8, $2::text, $3::bytea, amount, taken FROM readings ORDER BY id";
    let values: &[Option<&[u8]>] = &[Some(b"12"), None, Some(b"\\x00ff")];
    for results in [&[][..], &[0], &[1], &[0, 1, 0, 1, 1]] {
        let messages = [
            parse("", sql),
            bind_formats("", "", &[], values, results),
            describe_portal(""),
            execute("", 0),
            sync(),
        ];
        assert_eq!(twins.agree("result formats", &[step(&messages)]).await, 5);
    }
    // The same text with other types is another statement: int4 (23), text (25), numeric (1700).
    for (oid, binary) in [
        (23, &b"\0\0\0\x02"[..]),
        (25, b"2"),
        (1700, b"\0\x01\0\0\0\0\0\0\0\x02"),
    ] {
        let messages = [
            parse_typed("", "SELECT $1, pg_typeof($1)", &[oid]),
            describe_statement(""),
            bind_formats("", "", &[1], &[Some(binary)], &[0]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ];
        twins.agree("parameter types", &[step(&messages)]).await;
        let messages = [
            parse_typed(
                "",
                "SELECT name FROM readings WHERE id::text = $1::text",
                &[oid],
            ),
            bind_formats("", "", &[1], &[Some(binary)], &[0]),
            execute("", 0),
            sync(),
        ];
        twins
            .agree("parameter types of a read", &[step(&messages)])
            .await;
    }
}

#[tokio::test]
async fn several_reads_and_writes_in_one_pipeline_are_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    let read = |value: &'static [u8]| {
        [
            parse("", BY_ID),
            bind("", "", &[Some(value)]),
            execute("", 0),
        ]
    };
    let run = |sql| [parse("", sql), bind("", "", &[]), execute("", 0)];
    let script = [
        step(&[&read(b"1")[..], &read(b"2"), &read(b"3"), &[sync()]].concat()),
        step(&[&read(b"1")[..], &[sync()], &read(b"2"), &[sync(), sync()]].concat()),
        step(
            &[
                &read(b"1")[..],
                &run("TRUNCATE written"),
                &run("INSERT INTO written VALUES (1, 'a')"),
                &run("SELECT * FROM written"),
                &read(b"2"),
                &[sync()],
            ]
            .concat(),
        ),
        step(&[&run("SELECT * FROM written")[..], &[sync()]].concat()),
        step(
            &[
                &read(b"1")[..],
                &run("INSERT INTO written VALUES (2, 'b')"),
                &run("INSERT INTO written VALUES (3, 'bad')"),
                &run("INSERT INTO written VALUES (4, 'd')"),
                &[sync()],
                &run("SELECT * FROM written"),
                &[sync()],
            ]
            .concat(),
        ),
        step(
            &[
                &run("BEGIN")[..],
                &run("INSERT INTO written VALUES (5, 'e')"),
                &[sync()],
                &run("SELECT * FROM written"),
                &run("ROLLBACK"),
                &[sync()],
                &run("SELECT * FROM written"),
                &[sync()],
                &[query("SELECT * FROM written")],
            ]
            .concat(),
        ),
    ];
    assert!(twins.agree("pipelines", &script).await > 20);
}
