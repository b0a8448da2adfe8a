//! Statements, portals and pipelines over time: whatever PostgreSQL answers, the proxy answers, byte for byte.

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
async fn statements_outlive_transactions_and_connections() {
    let twins = Twins::new(SCHEMA).await;
    let script = [
        step(&[
            parse("s", BY_ID),
            parse("w", "DELETE FROM written WHERE id = $1"),
            sync(),
        ]),
        step(&[query("BEGIN")]),
        step(&[
            bind("", "s", ONE),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]),
        step(&[bind("", "w", ONE), execute("", 0), sync()]),
        step(&[bind("", "s", TWO), execute("", 0), sync()]),
        step(&[query("SELECT 1 / 0")]),
        step(&[bind("", "s", ONE), execute("", 0), sync()]),
        step(&[query("ROLLBACK")]),
        step(&[bind("", "s", ONE), execute("", 0), sync()]),
        step(&[parse("s", ALL), sync()]),
        step(&[bind("", "s", TWO), execute("", 0), sync()]),
        step(&[
            close_statement("s"),
            parse("s", ALL),
            describe_statement("s"),
            sync(),
        ]),
        step(&[bind("", "s", &[]), execute("", 0), sync()]),
        step(&[query("DEALLOCATE s")]),
        step(&[bind("", "s", &[]), execute("", 0), sync()]),
        step(&[parse("s", ALL), sync()]),
        step(&[query("DEALLOCATE ALL")]),
        step(&[bind("", "s", &[]), sync()]),
        step(&[bind("", "w", ONE), sync()]),
        step(&[parse("s", ALL), sync()]),
        step(&[query("DISCARD ALL")]),
        step(&[bind("", "s", &[]), sync()]),
        step(&[parse("s", ALL), parse("s", ALL), sync()]),
        step(&[parse("s", "SELEC"), sync()]),
        step(&[parse("broken", "SELEC"), sync()]),
        step(&[bind("", "broken", &[]), sync()]),
        step(&[close_statement("s"), sync()]),
    ];
    twins.agree("statements", &script).await;
}

#[tokio::test]
async fn statements_closed_in_sql_by_a_pipeline_are_gone() {
    let twins = Twins::new(SCHEMA).await;
    let run = |sql| [parse("", sql), bind("", "", &[]), execute("", 0)];
    let script = [
        step(&[parse("s", BY_ID), parse("u", ALL), sync()]),
        step(&[&run("DEALLOCATE s")[..], &[sync()]].concat()),
        step(&[bind("", "s", ONE), execute("", 0), sync()]),
        step(&[bind("", "u", &[]), execute("", 0), sync()]),
        step(&[&run("DEALLOCATE s")[..], &[sync()]].concat()),
        step(&[query("BEGIN"), query("SELECT 1 / 0")]),
        step(&[&run("DEALLOCATE u")[..], &[sync()]].concat()),
        step(&[query("ROLLBACK")]),
        step(&[bind("", "u", &[]), execute("", 0), sync()]),
        step(&[&run("DEALLOCATE ALL")[..], &[sync()]].concat()),
        step(&[bind("", "u", &[]), execute("", 0), sync()]),
    ];
    twins.agree("DEALLOCATE", &script).await;
}

/// The text of the error holds the name that the statement has on the server; all else is the same.
#[tokio::test]
async fn a_wrong_number_of_parameters_is_the_same_error() {
    let twins = Twins::new(SCHEMA).await;
    for wire in [&mut twins.direct().await, &mut twins.proxied().await] {
        wire.ask(&[parse("mine", BY_ID), sync()].concat()).await;
        let messages = [bind("", "mine", &[]), execute("", 0), sync()].concat();
        let answer = wire.ask(&messages).await;
        assert_eq!(tags(&answer), "EZ");
        assert_eq!(errors(&answer), ["08P01"]);
        let messages = [bind("", "mine", ONE), execute("", 0), sync()].concat();
        assert_eq!(tags(&wire.ask(&messages).await), "2DCZ");
    }
}

#[tokio::test]
async fn portals_are_suspended_and_resumed_alike() {
    let twins = Twins::new(SCHEMA).await;
    let script = [
        step(&[query("BEGIN")]),
        step(&[parse("", ALL), bind("p", "", &[]), execute("p", 1), sync()]),
        step(&[execute("p", 1), describe_portal("p"), sync()]),
        step(&[query("SELECT * FROM readings WHERE id = 1")]),
        unfinished(&[execute("p", 2), flush()], 2),
        step(&[close_portal("p"), execute("p", 0), sync()]),
        step(&[query("ROLLBACK")]),
        step(&[parse("", ALL), bind("p", "", &[]), execute("p", 1), sync()]),
        step(&[execute("p", 1), sync()]),
    ];
    twins.agree("portals", &script).await;
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
    twins.agree("65,535 parameters", &script).await;
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
    twins.agree("a large batch", &[step(&messages)]).await;
    let row = vec![b'x'; 20 * 1024 * 1024];
    let script = [step(&[
        parse("", "SELECT $1::text, length($1)"),
        bind("", "", &[Some(&row)]),
        describe_portal(""),
        execute("", 0),
        sync(),
    ])];
    twins.agree("a large row", &script).await;
}
