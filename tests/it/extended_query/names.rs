//! What a client calls its statements and portals, and how long they live.

use super::{ALL, BY_ID, ONE, SCHEMA, TWO};
use crate::twins::{Twins, step, unfinished};
use crate::wire::*;

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
async fn statements_prepared_in_sql_are_bound_by_the_protocol() {
    let twins = Twins::new(SCHEMA).await;
    let script = [
        step(&[query(
            "PREPARE p (int) AS SELECT * FROM readings WHERE id = $1",
        )]),
        step(&[describe_statement("p"), sync()]),
        step(&[
            bind("", "p", ONE),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]),
        step(&[
            bind("a", "p", TWO),
            execute("a", 1),
            execute("a", 0),
            sync(),
        ]),
        step(&[
            query("BEGIN"),
            query("DECLARE c CURSOR FOR SELECT id FROM readings ORDER BY id"),
        ]),
        step(&[execute("c", 2), describe_portal("c"), sync()]),
        step(&[query("COMMIT"), query("DEALLOCATE p")]),
        step(&[bind("", "p", ONE), execute("", 0), sync()]),
    ];
    twins.agree("prepared in SQL", &script).await;
}

#[tokio::test]
async fn nothing_is_prepared_in_a_failed_transaction() {
    let twins = Twins::new(SCHEMA).await;
    let script = [
        step(&[parse("s", ALL), sync()]),
        step(&[query("BEGIN"), query("SELECT 1 / 0")]),
        step(&[parse("t", ALL), sync()]),
        step(&[
            parse("end", "ROLLBACK"),
            bind("", "end", &[]),
            execute("", 0),
            sync(),
        ]),
        step(&[
            bind("", "t", &[]),
            sync(),
            bind("", "s", &[]),
            execute("", 0),
            sync(),
        ]),
        step(&[close_statement("s"), close_statement("end"), sync()]),
    ];
    twins.agree("failed transaction", &script).await;
}
