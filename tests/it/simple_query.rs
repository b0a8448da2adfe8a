//! The simple query protocol: whatever PostgreSQL answers, the proxy answers, byte for byte.

use crate::twins::{Step, Twins, step};
use crate::wire::{errors, message, query, tags};

const SCHEMA: &str = "
CREATE TABLE readings (id int PRIMARY KEY, name text, amount numeric, flag bool, taken timestamptz);
INSERT INTO readings VALUES (1, 'one', 1.50, true, '2024-01-01'), (2, NULL, NULL, NULL, NULL),
    (3, 'thr''ee \\ ü', -0.0, false, 'infinity');
CREATE TABLE written (id int PRIMARY KEY, value text NOT NULL CHECK (value <> 'bad'));
CREATE FUNCTION noisy(int) RETURNS int LANGUAGE plpgsql AS
    'BEGIN RAISE NOTICE ''saw %'', $1; RETURN $1; END';
";

#[tokio::test]
async fn single_statements_are_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    for sql in [
        "",
        ";",
        " -- only a comment",
        "SELECT",
        "SELECT 1",
        "SELECT NULL::int, ''::text, 'NaN'::float8",
        "SELECT * FROM readings ORDER BY id",
        "SELECT name, count(*) FROM readings GROUP BY name ORDER BY 2, 1",
        "SELECT * FROM readings WHERE false",
        "TABLE readings",
        "VALUES (1, 'a'), (2, NULL)",
        "SHOW server_version_num",
        "EXPLAIN (COSTS off) SELECT * FROM readings",
        "SELECT noisy(7)",
        "DO $$ BEGIN RAISE WARNING 'careful'; END $$",
        "SELECT 1 / 0",
        "SELEC 1",
        "SELECT * FROM nowhere",
        "SELECT nothing FROM readings",
        "SELECT id, 10 / (id - 2) FROM readings ORDER BY id",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "FETCH ALL FROM nothing",
        "DEALLOCATE nothing",
        "SET no_such_setting = 1",
        "SELECT 'ü', E'\\u00e9', $$dollar$$, 'it''s'",
        "INSERT INTO written VALUES (1, 'bad')",
        "INSERT INTO written VALUES (1, NULL)",
        "CREATE TABLE IF NOT EXISTS written ()",
        "DROP TABLE IF EXISTS nowhere",
    ] {
        twins.agree(sql, &[step(&[query(sql)])]).await;
    }
}

#[tokio::test]
async fn reads_are_hits_from_the_second_time_on() {
    let twins = Twins::new(SCHEMA).await;
    let script = [step(&[query("SELECT * FROM readings ORDER BY id")])];
    assert_eq!(twins.agree("a read", &script).await, 5);
    let script = [
        step(&[query("BEGIN")]),
        step(&[query("SELECT * FROM readings ORDER BY id")]),
        step(&[query("COMMIT")]),
    ];
    assert_eq!(twins.agree("in a transaction", &script).await, 6);
}

/// Scripts, a statement at a time.
const SCRIPTS: &[&[&str]] = &[
    &[
        "TRUNCATE written",
        "SELECT * FROM written",
        "INSERT INTO written VALUES (1, 'a'), (2, 'b') RETURNING *",
        "SELECT * FROM written ORDER BY id",
        "UPDATE written SET value = value || '!' WHERE id = 2 RETURNING id, value",
        "SELECT * FROM written ORDER BY id",
        "INSERT INTO written VALUES (1, 'again')",
        "INSERT INTO written VALUES (1, 'c') ON CONFLICT (id) DO UPDATE SET value = 'd' RETURNING *",
        "SELECT * FROM written ORDER BY id",
        "WITH gone AS (DELETE FROM written RETURNING *) SELECT count(*) FROM gone",
        "SELECT * FROM written",
    ],
    &[
        "BEGIN",
        "SELECT count(*) FROM written",
        "INSERT INTO written VALUES (9, 'x')",
        "SELECT count(*) FROM written",
        "SAVEPOINT s",
        "INSERT INTO written VALUES (9, 'x')",
        "SELECT count(*) FROM written",
        "ROLLBACK TO s",
        "SELECT count(*) FROM written",
        "ROLLBACK",
        "SELECT count(*) FROM written",
    ],
    &[
        "BEGIN",
        "SELECT 1 / 0",
        "SELECT 1",
        "DEALLOCATE x",
        "COMMIT",
        "SELECT 1",
    ],
    &[
        "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
        "SELECT count(*) FROM readings",
        "INSERT INTO written VALUES (5, 'x')",
        "END",
    ],
    &["BEGIN", "BEGIN", "COMMIT AND CHAIN", "SELECT 1", "ROLLBACK"],
    &[
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT id FROM readings ORDER BY id",
        "FETCH 2 FROM c",
        "MOVE 1 FROM c",
        "FETCH ALL FROM c",
        "CLOSE c",
        "COMMIT",
    ],
    &[
        "SET search_path = pg_catalog",
        "SELECT count(*) FROM readings",
        "SET application_name = 'someone'",
        "SHOW application_name",
        "SET DateStyle = 'German'",
        "SELECT taken FROM public.readings WHERE id = 1",
        "RESET ALL",
        "SELECT taken FROM readings WHERE id = 1",
        "DISCARD ALL",
        "SELECT taken FROM readings WHERE id = 1",
    ],
    &[
        "CREATE TEMPORARY TABLE readings (own int)",
        "SELECT count(*) FROM readings",
        "DROP TABLE pg_temp.readings",
        "SELECT count(*) FROM readings",
    ],
    &[
        "PREPARE p (int) AS SELECT name FROM readings WHERE id = $1",
        "EXECUTE p (1)",
        "EXECUTE p (2)",
        "DEALLOCATE p",
        "EXECUTE p (1)",
        "DEALLOCATE ALL",
    ],
];

#[tokio::test]
async fn writes_and_transactions_are_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    for script in SCRIPTS {
        let steps: Vec<Step> = script.iter().map(|sql| step(&[query(sql)])).collect();
        twins.agree(script[0], &steps).await;
    }
}

#[tokio::test]
async fn several_statements_in_one_text_are_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    for sql in [
        "SELECT 1; SELECT 2",
        "SELECT 1;;SELECT 2;",
        "SELECT 1; SELECT 1 / 0; SELECT 2",
        "SELECT 1; SELEC 2",
        "BEGIN; SELECT count(*) FROM readings; COMMIT; SELECT 1",
        "TRUNCATE written; INSERT INTO written VALUES (1, 'a'); SELECT * FROM written",
        "INSERT INTO written VALUES (2, 'b'); SELECT 1 / 0",
        "BEGIN; INSERT INTO written VALUES (2, 'b'); COMMIT; SELECT 1 / 0",
        "SELECT * FROM written ORDER BY id",
        "DELETE FROM written WHERE id = 2; BEGIN; SELECT 1",
        "ROLLBACK; SELECT noisy(1), 2; SELECT noisy(3)",
        "SELECT * FROM written ORDER BY id; SELECT * FROM readings ORDER BY id",
    ] {
        twins.agree(sql, &[step(&[query(sql)])]).await;
    }
}

#[tokio::test]
async fn queries_sent_without_waiting_are_answered_in_order() {
    let twins = Twins::new(SCHEMA).await;
    let script = [step(&[
        query("SELECT * FROM readings ORDER BY id"),
        query(""),
        query("SELECT * FROM readings ORDER BY id"),
        query("SELECT 1 / 0"),
        query("TRUNCATE written"),
        query("INSERT INTO written VALUES (1, 'a')"),
        query("SELECT * FROM written"),
        query("SELECT 3"),
    ])];
    assert!(twins.agree("many at once", &script).await > 0);
}

#[tokio::test]
async fn a_function_call_is_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    // int4pl is function 177; arguments and result in text format, then a function that does not exist.
    let call = |oid: u32| {
        let head = [&oid.to_be_bytes()[..], &[0, 0, 0, 2]].concat();
        message(
            b'F',
            &[&head, &[0, 0, 0, 1], b"2", &[0, 0, 0, 1], b"3", &[0, 0]],
        )
    };
    let script = [
        step(&[call(177)]),
        step(&[query("SELECT * FROM readings ORDER BY id")]),
        step(&[call(1)]),
        step(&[query("BEGIN"), call(177), query("COMMIT")]),
    ];
    twins.agree("function calls", &script).await;
}

#[tokio::test]
async fn large_and_wide_results_are_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    let columns: Vec<String> = (0..1600)
        .map(|number| format!("{number} AS c{number}"))
        .collect();
    for sql in [
        "SELECT repeat('x', 20 * 1024 * 1024)",
        "SELECT repeat('y', 900 * 1024) FROM generate_series(1, 4)",
        "SELECT repeat('z', 300000)",
        "SELECT generate_series(1, 20000) AS n, 'filler'",
        &format!("SELECT {}", columns.join(", ")),
        &format!(
            "SELECT {}, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            columns.join(", "),
        ),
        &format!("SELECT '{}'", "long ".repeat(100_000)),
    ] {
        let name = &sql[..sql.len().min(60)];
        twins
            .agree_on_one_connection(name, &[step(&[query(sql)])], 2)
            .await;
    }
}

#[tokio::test]
async fn a_text_without_its_end_is_an_error_and_no_more() {
    let twins = Twins::new(SCHEMA).await;
    for message in [
        message(b'Q', &[b"SELECT 1"]),
        message(b'Q', &[]),
        message(b'Q', &[b"a\0b\0"]),
    ] {
        let mut wire = twins.proxied().await;
        let answer = wire.ask(&message).await;
        assert_eq!(
            (tags(&answer).as_str(), errors(&answer)),
            ("EZ", vec!["08P01".to_owned()])
        );
        assert_eq!(tags(&wire.ask(&query("SELECT 1")).await), "TDCZ");
        twins.agree("malformed query", &[step(&[message])]).await;
    }
}
