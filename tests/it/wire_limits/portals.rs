//! Portals: described, suspended, executed again, and gone.

use super::SCHEMA;
use crate::twins::{Twins, step, unfinished};
use crate::wire::*;

const SERIES: &str = "SELECT n, n * 2 FROM generate_series(1, 10) AS n";

#[tokio::test]
async fn portals_are_described_and_suspended_alike() {
    let twins = Twins::new(SCHEMA).await;
    let script = [
        step(&[query("BEGIN")]),
        step(&[
            parse("s", SERIES),
            bind("p", "s", &[]),
            describe_portal("p"),
            execute("p", 3),
            sync(),
        ]),
        step(&[
            execute("p", 3),
            describe_portal("p"),
            execute("p", 0),
            execute("p", 0),
            sync(),
        ]),
        step(&[
            bind("q", "s", &[]),
            execute("q", 10),
            execute("q", 1),
            sync(),
        ]),
        step(&[
            bind("r", "s", &[]),
            execute("r", 11),
            execute("r", 1),
            describe_portal("r"),
            sync(),
        ]),
        step(&[
            query("FETCH 2 FROM r"),
            query("DECLARE c CURSOR FOR SELECT 1"),
            query("FETCH 1 FROM c"),
        ]),
        step(&[execute("c", 0), describe_portal("c"), sync()]),
        step(&[bind("c", "s", &[]), sync()]),
        step(&[query("ROLLBACK")]),
        step(&[
            describe_portal("p"),
            sync(),
            describe_statement("s"),
            sync(),
        ]),
        step(&[close_statement("s"), sync()]),
    ];
    twins.agree("portals in a transaction", &script).await;
}

#[tokio::test]
async fn portals_end_with_their_transaction() {
    let twins = Twins::new(SCHEMA).await;
    let script = [
        step(&[parse("s", SERIES), sync()]),
        // Between Syncs a portal lives as long as its transaction.
        unfinished(&[bind("p", "s", &[]), execute("p", 2), flush()], 4),
        unfinished(&[execute("p", 2), flush()], 3),
        step(&[execute("p", 2), sync(), execute("p", 2), sync()]),
        // What is no SELECT takes no limit.
        step(&[
            parse("u", "UPDATE app.items SET name = name RETURNING id"),
            bind("p", "u", &[]),
            execute("p", 1),
            execute("p", 1),
            execute("p", 1),
            sync(),
        ]),
        step(&[
            parse("i", "SHOW work_mem"),
            describe_statement("i"),
            bind("p", "i", &[]),
            describe_portal("p"),
            execute("p", 1),
            sync(),
        ]),
        step(&[bind("", "i", &[]), execute("", 4_294_967_295), sync()]),
        step(&[
            close_statement("s"),
            close_statement("u"),
            close_statement("i"),
            close_statement("none"),
            close_portal("none"),
            close_portal(""),
            close_statement(""),
            sync(),
        ]),
        step(&[message(b'C', &[b"X", b"p\0"]), sync()]),
        step(&[message(b'D', &[b"X", b"p\0"]), sync()]),
        step(&[message(b'C', &[b"S"]), sync()]),
        step(&[message(b'E', &[b"\0"]), sync()]),
        step(&[message(b'B', &[b"\0\0\0\0"]), sync()]),
        step(&[message(b'P', &[b"\0SELECT 1\0"]), sync()]),
        step(&[message(b'P', &[b"\0SELECT 1\0\0\x02\0\0\0\x17"]), sync()]),
    ];
    twins.agree("portals", &script).await;
}
