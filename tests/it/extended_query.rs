//! The extended query protocol: whatever PostgreSQL answers, the proxy answers, byte for byte.

mod names;
mod orders;
mod plans;
mod sql_names;

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

#[tokio::test]
async fn flushes_are_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    let script = [
        unfinished(&[parse("", ALL), bind("", "", &[]), flush()], 2),
        unfinished(&[describe_portal(""), flush()], 1),
        unfinished(&[execute("", 2), flush()], 3),
        unfinished(&[execute("", 0), flush()], 2),
        unfinished(
            &[
                flush(),
                parse("", "SELECT 1 / 0"),
                bind("", "", &[]),
                execute("", 0),
                flush(),
            ],
            2,
        ),
        step(&[
            parse("", ALL),
            bind("", "", &[]),
            execute("", 0),
            flush(),
            sync(),
        ]),
        step(&[flush(), sync()]),
        unfinished(
            &[parse("", ALL), bind("", "", &[]), execute("", 0), flush()],
            6,
        ),
        step(&[sync()]),
    ];
    twins.agree("flushes", &script).await;
}

#[tokio::test]
async fn everything_behind_an_error_is_ignored_up_to_the_sync() {
    let twins = Twins::new(SCHEMA).await;
    let script = [
        unfinished(&[parse("", "SELEC"), flush()], 1),
        unfinished(
            &[
                query("SELECT 1"),
                bind("", "", &[]),
                query("TRUNCATE written"),
            ],
            0,
        ),
        step(&[sync()]),
        step(&[query("SELECT 2")]),
    ];
    twins.agree("ignored", &script).await;
}

#[tokio::test]
async fn the_most_parameters_a_message_can_hold_arrive() {
    let twins = Twins::new(SCHEMA).await;
    let list: Vec<String> = (1..=65_535)
        .map(|number| format!("${number}::int"))
        .collect();
    let sql = format!(
        "SELECT count(*), sum(n) FROM unnest(ARRAY[{}]) AS n",
        list.join(", ")
    );
    let values = vec![Some(&b"2"[..]); 65_535];
    let script = [step(&[
        parse("", &sql),
        bind("", "", &values),
        execute("", 0),
        sync(),
    ])];
    twins
        .agree_on_one_connection("65,535 parameters", &script, 2)
        .await;
}

#[tokio::test]
async fn a_pipeline_far_larger_than_any_buffer_is_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    let long = vec![b'v'; 1000];
    let mut messages = vec![
        query("TRUNCATE written"),
        parse("", "INSERT INTO written VALUES ($1, $2)"),
    ];
    for number in 0..2000 {
        let id = number.to_string();
        messages.extend([
            bind("", "", &[Some(id.as_bytes()), Some(&long)]),
            execute("", 0),
        ]);
    }
    messages.extend([
        sync(),
        query("SELECT count(*), sum(length(value)) FROM written"),
    ]);
    twins
        .agree_on_one_connection("a large batch", &[step(&messages)], 2)
        .await;
    let row = vec![b'x'; 20 * 1024 * 1024];
    let script = [step(&[
        parse("", "SELECT $1::text, length($1)"),
        bind("", "", &[Some(&row)]),
        describe_portal(""),
        execute("", 0),
        sync(),
    ])];
    twins
        .agree_on_one_connection("a large row", &script, 2)
        .await;
}
