//! Statements that outlive a change of the catalogs.

use super::{ONE, SCHEMA};
use crate::twins::{Step, Twins, compare, step};
use crate::wire::*;

const STAR: &str = "SELECT * FROM readings WHERE id = $1";

/// Runs `before`, lets another client change the catalogs, and runs `after`: with the proxy's connections as they
/// are, and with one that knows nothing.
async fn change(name: &str, before: &[Step], sql: &str, after: &[Step]) {
    for other_connection in [false, true] {
        let twins = Twins::new(SCHEMA).await;
        let (mut direct, mut proxied) = (twins.direct().await, twins.proxied().await);
        let place = format!("{name}, before {sql}, other connection: {other_connection}");
        compare(&place, before, &mut direct, &mut proxied).await;
        // Who comes next gets the connection that the first client has left, or another.
        let mut busy = twins.proxied().await;
        if other_connection {
            busy.ask(&query("BEGIN; SELECT 1 FROM pg_class LIMIT 1"))
                .await;
        }
        let script = [step(&[query(sql)])];
        compare(
            "the change",
            &script,
            &mut twins.direct().await,
            &mut twins.proxied().await,
        )
        .await;
        let place = format!("{name}, after {sql}, other connection: {other_connection}");
        for _ in 0..3 {
            compare(&place, after, &mut direct, &mut proxied).await;
        }
    }
}

fn prepare(sql: &str) -> [Step; 2] {
    [
        step(&[parse("s", sql), describe_statement("s"), sync()]),
        step(&[bind("", "s", ONE), execute("", 0), sync()]),
    ]
}

fn uses() -> Vec<Step> {
    vec![
        step(&[bind("", "s", ONE), execute("", 0), sync()]),
        step(&[
            bind("", "s", ONE),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]),
        step(&[describe_statement("s"), sync()]),
        step(&[query("BEGIN")]),
        step(&[bind("", "s", ONE), execute("", 0), sync()]),
        step(&[bind("", "s", ONE), execute("", 0), sync()]),
        step(&[query("ROLLBACK")]),
        step(&[
            parse("", "SELECT count(*) FROM written"),
            bind("", "", &[]),
            execute("", 0),
            bind("", "s", ONE),
            execute("", 0),
            sync(),
        ]),
    ]
}

const CHANGES: [&str; 7] = [
    "ALTER TABLE readings ADD COLUMN note text",
    "ALTER TABLE readings DROP COLUMN amount",
    "ALTER TABLE readings RENAME COLUMN name TO label",
    "ALTER TABLE readings ALTER COLUMN amount TYPE numeric(10, 4)",
    "ALTER TABLE readings ALTER COLUMN id TYPE bigint",
    "DROP TABLE readings",
    "CREATE TABLE unrelated (id int)",
];

#[tokio::test]
async fn a_named_statement_keeps_its_columns() {
    for sql in CHANGES {
        change("named", &prepare(STAR), sql, &uses()).await;
    }
}

#[tokio::test]
async fn an_unnamed_statement_keeps_its_columns() {
    let before = [step(&[parse("", STAR), sync()])];
    let after = [
        step(&[bind("", "", ONE), execute("", 0), sync()]),
        step(&[describe_statement(""), sync()]),
    ];
    for sql in CHANGES {
        change("unnamed", &before, sql, &after).await;
    }
}

#[tokio::test]
async fn a_statement_with_an_explicit_list_goes_on() {
    let sql = "SELECT name, amount FROM readings WHERE id = $1";
    for change_of in [CHANGES[0], CHANGES[4], CHANGES[6]] {
        change("list", &prepare(sql), change_of, &uses()).await;
    }
}

/// Another client prepares the same text after the change, on the same connection.
#[tokio::test]
async fn the_same_text_is_another_statement_for_who_comes_later() {
    let twins = Twins::new(SCHEMA).await;
    let (mut direct, mut proxied) = (twins.direct().await, twins.proxied().await);
    let (mut later_direct, mut later) = (twins.direct().await, twins.proxied().await);
    compare("first", &prepare(STAR), &mut direct, &mut proxied).await;
    let script = [step(&[query(CHANGES[0])])];
    compare("change", &script, &mut later_direct, &mut later).await;
    for round in 0..2 {
        let script = match round {
            0 => prepare(STAR).to_vec(),
            _ => uses(),
        };
        compare("later", &script, &mut later_direct, &mut later).await;
        compare("first again", &uses(), &mut direct, &mut proxied).await;
    }
    let script = [
        step(&[close_statement("s"), sync()]),
        step(&[parse("s", STAR), describe_statement("s"), sync()]),
    ];
    compare("anew", &script, &mut direct, &mut proxied).await;
    compare("works again", &uses(), &mut direct, &mut proxied).await;
}

/// The change and what follows from it in one transaction of one client.
#[tokio::test]
async fn a_clients_own_change_counts_at_once() {
    let twins = Twins::new(SCHEMA).await;
    let alter = [parse("", CHANGES[0]), bind("", "", &[]), execute("", 0)].concat();
    let script = [
        step(&[parse("s", STAR), sync()]),
        step(&[query("BEGIN")]),
        step(&[query(CHANGES[0])]),
        step(&[parse("t", STAR), describe_statement("t"), sync()]),
        step(&[bind("", "t", ONE), execute("", 0), sync()]),
        step(&[bind("", "s", ONE), execute("", 0), sync()]),
        step(&[query("ROLLBACK")]),
        step(&[bind("", "s", ONE), execute("", 0), sync()]),
        step(&[bind("", "t", ONE), execute("", 0), sync()]),
        step(&[close_statement("t"), sync()]),
        step(&[
            query("BEGIN"),
            alter,
            parse("t", STAR),
            describe_statement("t"),
            sync(),
        ]),
        step(&[
            query("ROLLBACK"),
            parse("u", STAR),
            describe_statement("u"),
            sync(),
        ]),
        step(&[
            close_statement("s"),
            close_statement("t"),
            close_statement("u"),
            sync(),
        ]),
    ];
    twins.agree("own change", &script).await;
}

#[tokio::test]
async fn a_warm_result_is_prepared_described_and_run_without_a_server() {
    let twins = Twins::new(SCHEMA).await;
    let script = [
        step(&[parse("s", STAR), describe_statement("s"), sync()]),
        step(&[bind("", "s", ONE), execute("", 0), sync()]),
        step(&[close_statement("s"), sync()]),
        step(&[parse("", STAR), describe_statement(""), sync()]),
        step(&[bind("", "", ONE), execute("", 0), sync()]),
    ];
    twins.agree("warm", &script).await;
    let mut witness = twins.direct().await;
    let mut wire = twins.proxied().await;
    let sql = "SELECT max(state_change) FROM pg_stat_activity WHERE datname = 'app' \
               AND application_name <> 'pgkeel'";
    let before = witness.ask(&query(sql)).await;
    for step in &script {
        wire.ask(step.bytes()).await;
    }
    assert_eq!(witness.ask(&query(sql)).await, before);
}
