//! BEGIN is answered at once, and the server hears of it when a statement needs it.

use std::time::Duration;

use crate::support::{Stage, eventually};
use crate::twins::{Step, Twins, step};
use crate::wire::*;

const SCHEMA: &str =
    "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10), (2, 20)";
const READ: &str = "SELECT v FROM t WHERE id = 1";
const SOON: Duration = Duration::from_secs(20);

/// Simple queries, one after the other.
const SCRIPTS: &[(&str, &[&str])] = &[
    ("reads", &["BEGIN", READ, READ, "COMMIT", READ]),
    (
        "tags",
        &[
            "START TRANSACTION",
            READ,
            "END",
            "begin work",
            READ,
            "ABORT",
        ],
    ),
    (
        "nothing",
        &["BEGIN", "COMMIT", "BEGIN", "ROLLBACK", "COMMIT", "ROLLBACK"],
    ),
    ("twice", &["BEGIN", "BEGIN", READ, "COMMIT"]),
    (
        "modes",
        &[
            "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY DEFERRABLE",
            READ,
            "UPDATE t SET v = 1",
            READ,
            "ROLLBACK",
            "BEGIN READ WRITE",
            "SHOW transaction_read_only",
            "COMMIT",
        ],
    ),
    (
        "levels",
        &[
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
            "SHOW transaction_isolation",
            READ,
            "COMMIT",
            "BEGIN",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SHOW transaction_isolation",
            READ,
            "COMMIT",
            "SET default_transaction_isolation = 'serializable'",
            "BEGIN",
            "SHOW transaction_isolation",
            READ,
            "COMMIT",
            "RESET ALL",
        ],
    ),
    (
        "modes behind a hit",
        &[
            READ,
            "BEGIN",
            READ,
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "ROLLBACK",
            "BEGIN -- what stands behind it",
            READ,
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
            "COMMIT",
            "BEGIN READ ONLY;",
            READ,
            "SET TRANSACTION READ WRITE",
            "ROLLBACK",
            "BEGIN",
            "SHOW work_mem",
            READ,
            "SET transaction_isolation = 'serializable'",
            "ROLLBACK",
            "BEGIN",
            READ,
            "COMMIT AND CHAIN",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "COMMIT",
        ],
    ),
    (
        "writes",
        &[
            "BEGIN",
            READ,
            "UPDATE t SET v = v + 1 WHERE id = 1",
            READ,
            "ROLLBACK",
            READ,
        ],
    ),
    (
        "commits",
        &[
            "BEGIN",
            READ,
            "UPDATE t SET v = v + 1 WHERE id = 1",
            "COMMIT",
            READ,
        ],
    ),
    (
        "failures",
        &[
            "BEGIN",
            "SELECT 1 / 0",
            READ,
            "COMMIT",
            "BEGIN",
            "nonsense",
            READ,
            "ROLLBACK",
        ],
    ),
    (
        "chains",
        &[
            "BEGIN",
            "COMMIT AND CHAIN",
            READ,
            "ROLLBACK AND CHAIN",
            READ,
            "COMMIT",
        ],
    ),
    (
        "savepoints",
        &["BEGIN", "SAVEPOINT s", READ, "ROLLBACK TO s", "COMMIT"],
    ),
    (
        "refusals",
        &[
            "BEGIN",
            "VACUUM t",
            "ROLLBACK",
            "BEGIN",
            "DISCARD ALL",
            "ROLLBACK",
            "BEGIN",
            "COMMIT PREPARED 'x'",
            "ROLLBACK",
        ],
    ),
    (
        "cursors",
        &[
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT v FROM t ORDER BY id",
            "FETCH c",
            "COMMIT",
        ],
    ),
    (
        "locks",
        &[
            "BEGIN",
            READ,
            "LOCK TABLE t",
            "SELECT v FROM t WHERE id = 1 FOR UPDATE",
            "COMMIT",
        ],
    ),
];

fn simple(script: &[&str]) -> Vec<Step> {
    script.iter().map(|sql| step(&[query(sql)])).collect()
}

#[tokio::test]
async fn transactions_are_answered_as_directly() {
    let twins = Twins::new(SCHEMA).await;
    for (name, script) in SCRIPTS {
        twins.agree(name, &simple(script)).await;
    }
}

#[tokio::test]
async fn pipelines_with_transactions_are_answered_as_directly() {
    let twins = Twins::new(SCHEMA).await;
    for (name, script) in usual_pipelines().into_iter().chain(odd_pipelines()) {
        twins.agree(name, &script).await;
    }
}

fn unit(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", "", &[]), execute("", 0)].concat()
}

fn described(sql: &str) -> Vec<u8> {
    let head = [parse("", sql), bind("", "", &[]), describe_portal("")];
    [head.concat(), execute("", 0)].concat()
}

/// As drivers send them.
fn usual_pipelines() -> Vec<(&'static str, Vec<Step>)> {
    let write = unit("UPDATE t SET v = v + 1 WHERE id = 1");
    vec![
        (
            "one by one",
            vec![
                step(&[described("BEGIN"), sync()]),
                step(&[described(READ), sync()]),
                step(&[described("COMMIT"), sync()]),
            ],
        ),
        (
            "in one",
            vec![step(&[
                unit("BEGIN"),
                described(READ),
                unit("COMMIT"),
                sync(),
            ])],
        ),
        (
            "in two",
            vec![
                step(&[unit("BEGIN"), described(READ), sync()]),
                step(&[described(READ), unit("COMMIT"), sync()]),
            ],
        ),
        (
            "begins and reads and writes",
            vec![
                step(&[unit("BEGIN"), described(READ), write.clone(), sync()]),
                step(&[described(READ), sync()]),
                step(&[unit("ROLLBACK"), sync()]),
            ],
        ),
        (
            "begins and writes",
            vec![
                step(&[unit("BEGIN"), write.clone(), described(READ), sync()]),
                step(&[unit("COMMIT"), described(READ), sync()]),
            ],
        ),
        (
            "fails",
            vec![
                step(&[unit("BEGIN"), unit("SELECT 1 / 0"), sync()]),
                step(&[unit(READ), sync()]),
                step(&[unit("COMMIT"), sync()]),
            ],
        ),
    ]
}

/// As few drivers would.
fn odd_pipelines() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        (
            "reads, begins",
            vec![
                step(&[described(READ), unit("BEGIN"), described(READ), sync()]),
                step(&[unit("ROLLBACK"), sync()]),
            ],
        ),
        (
            "named",
            vec![
                step(&[
                    parse("b", "BEGIN"),
                    parse("c", "COMMIT"),
                    describe_statement("b"),
                    sync(),
                ]),
                step(&[bind("", "b", &[]), execute("", 0), sync()]),
                step(&[bind("p", "c", &[]), execute("p", 0), sync()]),
                step(&[
                    bind("", "b", &[]),
                    execute("", 0),
                    bind("", "c", &[]),
                    execute("", 0),
                    sync(),
                ]),
                step(&[close_statement("b"), close_statement("c"), sync()]),
            ],
        ),
        (
            "bound wrongly",
            vec![
                step(&[
                    parse("", "BEGIN"),
                    bind("", "", &[Some(b"1")]),
                    execute("", 0),
                    sync(),
                ]),
                step(&[query("ROLLBACK")]),
            ],
        ),
        (
            "half and half",
            vec![
                step(&[unit("BEGIN"), sync()]),
                step(&[query(READ)]),
                step(&[unit("SELECT random() < 0"), sync()]),
                step(&[query("COMMIT")]),
            ],
        ),
    ]
}

async fn stage(config: &str) -> Stage {
    let stage = Stage::builder()
        .auth(pgkeel_bench::sandbox::Auth::Trust)
        .config(config)
        .start()
        .await;
    stage.direct().await.batch_execute(SCHEMA).await.unwrap();
    stage
}

/// Reads until the result is in the cache.
async fn warm(stage: &Stage, wire: &mut Wire) {
    eventually(SOON, async || {
        let hits = stage.hits().await;
        wire.ask(&query(READ)).await;
        stage.hits().await > hits
    })
    .await;
}

#[tokio::test]
async fn a_transaction_of_hits_never_meets_the_server() {
    let stage = stage("").await;
    let mut wire = Wire::login(stage.proxy.port(), "app").await;
    warm(&stage, &mut wire).await;
    let before = stage.stat("counters.upstream_queries").await;
    for (begin, end) in [("BEGIN", "COMMIT"), ("START TRANSACTION", "ROLLBACK")] {
        for sql in [begin, READ, READ, end] {
            wire.ask(&query(sql)).await;
        }
    }
    assert_eq!(stage.stat("counters.upstream_queries").await, before);
    assert_eq!(stage.stat("counters.virtual_transactions").await, 2);
    // A write of another session is seen at the next statement.
    let mut other = Wire::login(stage.proxy.port(), "app").await;
    wire.ask(&query("BEGIN")).await;
    assert_eq!(values(&wire.ask(&query(READ)).await), ["10"]);
    other.ask(&query("UPDATE t SET v = 11 WHERE id = 1")).await;
    assert_eq!(values(&wire.ask(&query(READ)).await), ["11"]);
    let reply = wire.ask(&query("UPDATE t SET v = 12 WHERE id = 1")).await;
    assert_eq!(tags(&reply), "CZ");
    assert_eq!(values(&wire.ask(&query(READ)).await), ["12"]);
    assert_eq!(values(&other.ask(&query(READ)).await), ["11"]);
    wire.ask(&query("ROLLBACK")).await;
    assert_eq!(values(&wire.ask(&query(READ)).await), ["11"]);
}

/// A client that has begun and says nothing keeps no connection from anybody.
#[tokio::test]
async fn a_transaction_that_was_only_begun_holds_no_connection() {
    let stage = stage("[pool]\nmax = 1\nmin = 1\nwait_timeout = \"20s\"\n").await;
    let mut idle = Wire::login(stage.proxy.port(), "app").await;
    idle.ask(&query("BEGIN")).await;
    let mut other = Wire::login(stage.proxy.port(), "app").await;
    assert_eq!(
        values(&other.ask(&query("SELECT random() < 0")).await),
        ["f"]
    );
    idle.ask(&query("UPDATE t SET v = 30 WHERE id = 1")).await;
    drop(idle);
    assert_eq!(values(&other.ask(&query(READ)).await), ["10"]);
}

/// The cancel request comes while the transaction's first statement waits for a connection: as directly, the
/// transaction has failed.
#[tokio::test]
async fn a_cancelled_wait_fails_the_transaction() {
    let stage = stage("[pool]\nmax = 1\nmin = 1\n").await;
    let mut waiting = Wire::login(stage.proxy.port(), "app").await;
    let mut holder = Wire::login(stage.proxy.port(), "app").await;
    warm(&stage, &mut holder).await;
    holder.ask(&query("BEGIN; SELECT 1")).await;
    waiting.ask(&query("BEGIN")).await;
    waiting.send(&query("UPDATE t SET v = 99")).await;
    eventually(SOON, async || stage.stat("clients.waiting").await == 1).await;
    let mut cancel = Wire::open(stage.proxy.port()).await;
    cancel.send(&cancel_request(&waiting.key())).await;
    let reply = waiting.until_ready().await;
    assert_eq!(errors(&reply), ["57014"]);
    assert_eq!(reply.last().unwrap().body, b"E");
    holder.ask(&query("COMMIT")).await;
    assert_eq!(errors(&waiting.ask(&query(READ)).await), ["25P02"]);
    let reply = waiting.ask(&query("COMMIT")).await;
    assert_eq!(reply[0].body, b"ROLLBACK\0");
    assert_eq!(values(&waiting.ask(&query(READ)).await), ["10"]);
}
