//! After an error in the extended protocol everything up to the Sync is skipped: it has not happened.

use crate::twins::{Twins, step, unfinished};
use crate::wire::*;

const TABLE: &str = "CREATE TABLE t (v int); INSERT INTO t VALUES (1)";

#[tokio::test]
async fn a_query_before_the_sync_is_not_heard() {
    let twins = Twins::new(TABLE).await;
    let script = [
        unfinished(&[parse("", "selec"), flush()], 1),
        // The only answer is the one to the Sync.
        unfinished(&[query("UPDATE t SET v = v + 1"), sync()], 1),
        step(&[query("SELECT v FROM t")]),
    ];
    twins.agree("a query before the sync", &script).await;
}

/// So asyncpg prepares: it reads the error before it sends the Sync.
#[tokio::test]
async fn a_statement_that_fails_before_its_sync_leaves_its_name_free() {
    let twins = Twins::new(TABLE).await;
    let script = [
        unfinished(
            &[parse("s", "selec 1"), describe_statement("s"), flush()],
            1,
        ),
        step(&[sync()]),
        unfinished(
            &[
                parse("s", "SELECT v FROM t"),
                describe_statement("s"),
                flush(),
            ],
            3,
        ),
        step(&[sync()]),
        step(&[
            bind("", "s", &[]),
            execute("", 0),
            close_statement("s"),
            sync(),
        ]),
    ];
    twins.agree("a statement that fails", &script).await;
}

#[tokio::test]
async fn names_given_behind_an_error_are_still_free() {
    let twins = Twins::new(TABLE).await;
    let text = "SELECT v, random() > 2 FROM t";
    let script = [
        step(&[parse("known", text), sync()]),
        step(&[run("SELECT 1 / 0"), parse("new", text), sync()]),
        step(&[bind("", "new", &[]), execute("", 0), sync()]),
        step(&[
            parse("new", text),
            bind("", "new", &[]),
            execute("", 0),
            sync(),
        ]),
        step(&[close_statement("known"), close_statement("new"), sync()]),
    ];
    twins.agree("a skipped Parse", &script).await;
}

#[tokio::test]
async fn statements_closed_behind_an_error_are_still_there() {
    let twins = Twins::new(TABLE).await;
    let text = "SELECT v, random() > 2 FROM t";
    let use_it = || step(&[bind("", "kept", &[]), execute("", 0), sync()]);
    let script = [
        step(&[parse("kept", text), sync()]),
        step(&[run("SELECT 1 / 0"), close_statement("kept"), sync()]),
        use_it(),
        step(&[parse("kept", text), sync()]),
        // Closed and made anew, and neither of the two has happened.
        step(&[
            run("SELECT 1 / 0"),
            close_statement("kept"),
            parse("kept", "SELECT 2"),
            sync(),
        ]),
        use_it(),
        step(&[close_statement("kept"), sync()]),
    ];
    twins.agree("a skipped Close", &script).await;
}

#[tokio::test]
async fn a_failed_transaction_takes_no_statement_but_its_end() {
    let twins = Twins::new(TABLE).await;
    let text = "SELECT v, random() > 2 FROM t";
    let script = [
        step(&[parse("known", text), parse("end", "ROLLBACK"), sync()]),
        step(&[query("BEGIN"), query("SELECT 1 / 0")]),
        step(&[parse("new", text), sync()]),
        step(&[parse("", "ROLLBACK"), close_statement("known"), sync()]),
        step(&[bind("", "end", &[]), execute("", 0), sync()]),
        step(&[bind("", "new", &[]), execute("", 0), sync()]),
        step(&[
            parse("new", text),
            bind("", "new", &[]),
            execute("", 0),
            sync(),
        ]),
        step(&[close_statement("end"), close_statement("new"), sync()]),
    ];
    twins.agree("a failed transaction", &script).await;
}

#[tokio::test]
async fn the_unnamed_statement_is_what_it_was_before_the_error() {
    let twins = Twins::new(TABLE).await;
    let use_it = || step(&[bind("", "", &[]), execute("", 0), sync()]);
    let fail = || [bind("", "fail", &[]), execute("", 0)].concat();
    let script = [
        step(&[
            parse("fail", "SELECT 1 / 0"),
            parse("", "SELECT 1, random() > 2"),
            sync(),
        ]),
        step(&[fail(), parse("", "SELECT 2, random() > 2"), sync()]),
        use_it(),
        step(&[fail(), close_statement(""), sync()]),
        use_it(),
        // A Parse that fails by itself does away with it.
        step(&[parse("", "selec"), sync()]),
        use_it(),
        step(&[close_statement("fail"), sync()]),
    ];
    twins.agree("the unnamed statement", &script).await;
}
