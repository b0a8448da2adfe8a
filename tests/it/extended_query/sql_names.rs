//! One name space: what is prepared by the protocol and what is prepared in SQL.

use super::{ALL, BY_ID, ONE, SCHEMA, TWO};
use crate::twins::{Twins, step, unfinished};
use crate::wire::*;

fn use_of(name: &str) -> Vec<u8> {
    [bind("", name, ONE), execute("", 0)].concat()
}

#[tokio::test]
async fn sql_runs_what_the_protocol_has_prepared() {
    let twins = Twins::new(SCHEMA).await;
    let script = [
        step(&[parse("s", BY_ID), parse("u", ALL), sync()]),
        step(&[use_of("s"), sync()]),
        step(&[query("EXECUTE s (1)")]),
        step(&[query("EXPLAIN (COSTS off) EXECUTE u")]),
        step(&[query("CREATE TEMP TABLE kept AS EXECUTE u")]),
        step(&[query("SELECT count(*) FROM kept"), query("DROP TABLE kept")]),
        step(&[use_of("s"), sync()]),
        step(&[describe_statement("s"), sync()]),
        step(&[parse("s", ALL), sync()]),
        step(&[query("PREPARE s AS SELECT 1")]),
        step(&[query("DEALLOCATE s; PREPARE s AS SELECT 2; EXECUTE s")]),
        step(&[query("EXECUTE s")]),
        step(&[bind("", "s", &[]), execute("", 0), sync()]),
        step(&[
            query("BEGIN"),
            query("SELECT 1 / 0"),
            query("EXECUTE u"),
            query("ROLLBACK"),
        ]),
        step(&[query("EXECUTE u")]),
        step(&[query("EXECUTE nothing"), query("DEALLOCATE nothing")]),
        step(&[close_statement("s"), close_statement("u"), sync()]),
        step(&[query("EXECUTE u")]),
        step(&[query("DISCARD ALL")]),
    ];
    twins.agree("EXECUTE", &script).await;
}

#[tokio::test]
async fn sql_run_by_the_protocol_knows_the_names_too() {
    let twins = Twins::new(SCHEMA).await;
    let script = [
        step(&[parse("s", BY_ID), parse("u", ALL), sync()]),
        step(&[run("EXECUTE s (2)"), sync()]),
        step(&[run("EXECUTE s (1)"), use_of("s"), sync()]),
        step(&[run("PREPARE s AS SELECT 1"), sync()]),
        step(&[run("PREPARE v AS SELECT 1"), sync()]),
        step(&[parse("v", "SELECT 2"), sync()]),
        step(&[bind("", "v", &[]), execute("", 0), sync()]),
        step(&[run("DEALLOCATE v"), parse("v", "SELECT 2"), sync()]),
        step(&[bind("", "v", &[]), execute("", 0), sync()]),
        step(&[
            close_statement("v"),
            close_statement("s"),
            close_statement("u"),
            sync(),
        ]),
        step(&[query("DISCARD ALL")]),
    ];
    twins.agree("EXECUTE by the protocol", &script).await;
}

#[tokio::test]
async fn forgetting_is_followed_whatever_comes_behind_it() {
    let twins = Twins::new(SCHEMA).await;
    let fail = || run("SELECT 1 / 0");
    let set_up = || {
        step(&[
            parse("s", BY_ID),
            parse("u", ALL),
            use_of("s"),
            bind("", "u", &[]),
            execute("", 0),
            sync(),
        ])
    };
    let look = || {
        [
            step(&[use_of("s"), sync()]),
            step(&[bind("", "u", &[]), execute("", 0), sync()]),
            step(&[bind("", "t", TWO), execute("", 0), sync()]),
            step(&[
                close_statement("s"),
                close_statement("t"),
                close_statement("u"),
                sync(),
            ]),
        ]
    };
    for forget in [
        "DISCARD ALL",
        "DEALLOCATE ALL",
        "DEALLOCATE s",
        "DISCARD PLANS",
    ] {
        for pipeline in [
            vec![run(forget), sync()],
            vec![run(forget), fail(), sync()],
            vec![fail(), run(forget), sync()],
            vec![run(forget), parse("t", BY_ID), sync()],
            vec![run(forget), parse("s", BY_ID), use_of("s"), sync()],
            vec![parse("t", BY_ID), run(forget), sync()],
            vec![parse("t", BY_ID), run(forget), fail(), sync()],
            vec![run("SELECT 1"), run(forget), sync()],
            vec![run("BEGIN"), run(forget), sync(), query("ROLLBACK")],
            vec![run("BEGIN"), run(forget), fail(), sync(), query("ROLLBACK")],
            vec![query("BEGIN"), query(forget), query("ROLLBACK")],
            vec![
                query("BEGIN"),
                query("SELECT 1 / 0"),
                query(forget),
                query("ROLLBACK"),
            ],
            vec![query(&format!("SELECT 1; {forget}; SELECT 2"))],
            vec![query(&format!("{forget}; SELECT 1 / 0"))],
            vec![query(&format!("BEGIN; {forget}; ROLLBACK"))],
        ] {
            let mut script = vec![set_up(), step(&pipeline)];
            script.extend(look());
            twins.agree_on_one_connection(forget, &script, 2).await;
        }
    }
}

#[tokio::test]
async fn the_unnamed_statement_outlives_forgetting() {
    let twins = Twins::new(SCHEMA).await;
    for forget in ["DISCARD ALL", "DEALLOCATE ALL", "DISCARD PLANS"] {
        let script = [
            step(&[parse("f", forget), parse("", ALL), sync()]),
            step(&[bind("p", "f", &[]), execute("p", 0), sync()]),
            step(&[bind("", "", &[]), execute("", 0), sync()]),
            step(&[close_statement("f"), sync()]),
        ];
        twins.agree(forget, &script).await;
    }
}

#[tokio::test]
async fn a_sync_or_flush_that_cannot_be_read_is_an_error() {
    let twins = Twins::new(SCHEMA).await;
    let long = |tag: u8| [&[tag][..], &7_u32.to_be_bytes(), b"abc"].concat();
    let insert = || run("INSERT INTO written VALUES (9, 'x')");
    let script = [
        step(&[long(b'S')]),
        step(&[run("SELECT 1"), long(b'S')]),
        step(&[run(ALL), long(b'S')]),
        step(&[run(ALL), long(b'S')]),
        step(&[insert(), long(b'S')]),
        step(&[query("SELECT count(*) FROM written")]),
        step(&[query("BEGIN"), insert(), long(b'S'), query("ROLLBACK")]),
        unfinished(&[long(b'H')], 1),
        step(&[sync()]),
        unfinished(&[run(ALL), long(b'H'), run(ALL)], 7),
        step(&[sync()]),
        unfinished(&[insert(), long(b'H'), insert()], 4),
        step(&[long(b'S')]),
        step(&[query("SELECT count(*) FROM written")]),
    ];
    twins.agree("a long Sync", &script).await;
}
