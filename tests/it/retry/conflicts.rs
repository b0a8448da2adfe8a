//! Serialization failures and deadlocks: what was rolled back is sent again.

use super::*;

const LOCKING: &str = "SELECT n FROM items WHERE id = 1 FOR UPDATE";
const ADD: &str = "UPDATE items SET n = n + 1 WHERE id = 1";

/// One statement in several forms, and what PostgreSQL answers if there is no conflict.
fn forms(sql: &str, name: &str) -> Vec<(Vec<u8>, &'static str)> {
    let is_read = sql.starts_with("SELECT");
    let forms = [
        (query(sql), "TDCZ", "CZ"),
        ([run(sql), sync()].concat(), "12DCZ", "12CZ"),
        (
            [
                parse(name, sql),
                bind("", name, &[]),
                describe_portal(""),
                execute("", 0),
                sync(),
            ]
            .concat(),
            "12TDCZ",
            "12nCZ",
        ),
        (
            [bind("", name, &[]), execute("", 0), sync()].concat(),
            "2DCZ",
            "2CZ",
        ),
    ];
    let forms = forms.into_iter();
    forms
        .map(|(request, of_read, of_write)| (request, if is_read { of_read } else { of_write }))
        .collect()
}

#[tokio::test]
async fn a_read_in_a_conflict_is_sent_again() {
    let stage = stage(ONE_SNAPSHOT).await;
    let mut wire = login(&stage).await;
    for (round, (request, expected)) in (1..).zip(forms(LOCKING, "s")) {
        let answer = in_conflict(&stage, &mut wire, &request).await;
        assert_eq!(tags(&answer), expected, "{answer:?}");
        assert_eq!(values(&answer), [(round * 100).to_string()]);
        assert_eq!(retries(&stage, "serialization").await, round);
        assert_eq!(retries(&stage, "succeeded").await, round);
    }
    assert_eq!(retries(&stage, "exhausted").await, 0);
}

#[tokio::test]
async fn a_write_is_not_sent_again_unless_it_is_asked_for() {
    let stage = stage(ONE_SNAPSHOT).await;
    let mut wire = login(&stage).await;
    for (request, _) in forms(ADD, "s") {
        let answer = in_conflict(&stage, &mut wire, &request).await;
        assert_eq!(errors(&answer), ["40001"]);
    }
    assert_eq!(truth(&stage).await, [400, 0]);
    assert_eq!(retries(&stage, "serialization").await, 0);
}

#[tokio::test]
async fn a_write_in_a_conflict_takes_effect_once() {
    let stage = stage(&format!("writes = true\n{ONE_SNAPSHOT}")).await;
    let mut wire = login(&stage).await;
    let mut reader = login(&stage).await;
    let read = query("SELECT n FROM items WHERE id = 1");
    for (round, (request, expected)) in (1..).zip(forms(ADD, "s")) {
        let hits = stage.hits().await;
        eventually(SOON, async || {
            reader.ask(&read).await;
            stage.hits().await > hits
        })
        .await;
        let answer = in_conflict(&stage, &mut wire, &request).await;
        assert_eq!(tags(&answer), expected, "{answer:?}");
        let sum = 101 * round;
        assert_eq!(truth(&stage).await, [sum, 0]);
        assert_eq!(values(&reader.ask(&read).await), [sum.to_string()]);
    }
    // Values that were drawn from a sequence are gone either way.
    wire.ask(&query("CREATE TABLE drawn (id serial, n int)"))
        .await;
    let draw = query("INSERT INTO drawn (n) SELECT n FROM items WHERE id = 1 FOR UPDATE");
    eventually(SOON, async || {
        let before = retries(&stage, "serialization").await;
        let answer = in_conflict(&stage, &mut wire, &draw).await;
        retries(&stage, "serialization").await > before && tags(&answer) == "CZ"
    })
    .await;
    assert_eq!(stage.stat("freshness.windows_open").await, 0);
}

#[tokio::test]
async fn what_does_not_stand_alone_is_not_sent_again() {
    let stage = stage(&format!("writes = true\n{ONE_SNAPSHOT}")).await;
    let mut wire = login(&stage).await;
    let requests = [
        query(&format!("{LOCKING}; SELECT 1")),
        query(&format!("SELECT 1; {ADD}")),
        [run("SELECT 1"), run(LOCKING), sync()].concat(),
        [run(ADD), run("SELECT 1"), sync()].concat(),
        // What came before the Flush has been answered.
        [
            parse("", LOCKING),
            flush(),
            bind("", "", &[]),
            execute("", 0),
            sync(),
        ]
        .concat(),
        query(&format!("COPY ({LOCKING}) TO STDOUT")),
        query(&format!("DO $$BEGIN {ADD}; END$$")),
        query(&format!("EXPLAIN ANALYZE {ADD}")),
    ];
    for request in &requests {
        let answer = in_conflict(&stage, &mut wire, request).await;
        assert_eq!(errors(&answer), ["40001"], "{answer:?}");
        assert!(tags(&answer).ends_with("EZ"));
    }
    for request in [query(LOCKING), [run(ADD), sync()].concat()] {
        wire.ask(&query("BEGIN")).await;
        let answer = in_conflict(&stage, &mut wire, &request).await;
        assert_eq!(errors(&answer), ["40001"]);
        wire.ask(&query("ROLLBACK")).await;
    }
    assert_eq!(retries(&stage, "serialization").await, 0);
    assert_eq!(truth(&stage).await, [1000, 0]);
}

#[tokio::test]
async fn what_has_been_answered_in_part_is_not_sent_again() {
    let stage = stage(ONE_SNAPSHOT).await;
    let mut wire = login(&stage).await;
    stage
        .arrange("INSERT INTO items SELECT -i, 0 FROM generate_series(1, 40) AS i")
        .await;
    let long = query("SELECT id, repeat('x', 1000) FROM items WHERE id < 2 ORDER BY id FOR UPDATE");
    let answer = in_conflict(&stage, &mut wire, &long).await;
    assert_eq!(tags(&answer), format!("T{}EZ", "D".repeat(40)));
    assert_eq!(retries(&stage, "serialization").await, 0);
}

#[tokio::test]
async fn with_one_attempt_nothing_is_sent_again() {
    let stage = stage(&format!("writes = true\nattempts = 1\n{ONE_SNAPSHOT}")).await;
    let mut wire = login(&stage).await;
    for (request, _) in forms(LOCKING, "r").into_iter().chain(forms(ADD, "w")) {
        let answer = in_conflict(&stage, &mut wire, &request).await;
        assert_eq!(errors(&answer), ["40001"]);
    }
    assert_eq!(retries(&stage, "serialization").await, 0);
}

/// The proxied statement is the one that notices the circle, for the rival looks for none. It looks once only, and by
/// then the circle has to be closed.
#[tokio::test]
async fn the_victim_of_a_deadlock_is_sent_again() {
    let patient = Stage::builder().setting("deadlock_timeout", "3s");
    let stage = stage_of(patient, "writes = true\ndelay = \"100ms\"").await;
    let mut wire = login(&stage).await;
    let add_to_all = "UPDATE items SET n = n + 1";
    let lock_all = "SELECT id FROM items ORDER BY id FOR UPDATE";
    let requests = [
        (query(add_to_all), "CZ"),
        (query(lock_all), "TDDCZ"),
        ([run(lock_all), sync()].concat(), "12DDCZ"),
    ];
    for (round, (request, expected)) in (1..).zip(requests) {
        // The order in which the rows lie. TRUNCATE would change the catalog, and while that is loaded again nothing
        // is known to be safe to send again.
        stage
            .arrange("DELETE FROM items; INSERT INTO items VALUES (1, 0), (2, 0)")
            .await;
        let rival = stage.direct().await;
        rival
            .batch_execute(
                "SET deadlock_timeout = '1h'; BEGIN; UPDATE items SET n = 50 WHERE id = 2",
            )
            .await
            .unwrap();
        wire.send(&request).await;
        until_blocked(&stage).await;
        rival
            .batch_execute("UPDATE items SET n = 50 WHERE id = 1; COMMIT")
            .await
            .unwrap();
        let answer = wire.until_ready().await;
        assert_eq!(tags(&answer), expected, "{answer:?}");
        assert_eq!(retries(&stage, "deadlock").await, round);
    }
    assert_eq!(truth(&stage).await, [50, 50]);
}

#[tokio::test]
async fn the_last_error_is_the_clients() {
    let stage = stage("attempts = 2\nisolation = \"serializable\"\ndelay = \"6s\"").await;
    let mut direct = Wire::login(stage.postgres.port(), "app").await;
    direct
        .ask(&query("SET default_transaction_isolation = 'serializable'"))
        .await;
    // PostgreSQL describes the rows before it looks for the first of them.
    let expected = in_conflict(&stage, &mut direct, &query(LOCKING)).await;
    assert_eq!(tags(&expected), "TEZ", "{expected:?}");
    let mut wire = login(&stage).await;
    let first = rival(&stage).await;
    wire.send(&query(LOCKING)).await;
    until_blocked(&stage).await;
    first.batch_execute("COMMIT").await.unwrap();
    let witness = stage.direct().await;
    let question =
        "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%FOR UPDATE' AND state = 'active'";
    eventually(SOON, async || {
        witness.query(question, &[]).await.unwrap().is_empty()
    })
    .await;
    // The next change is there long before the next try.
    first
        .batch_execute("BEGIN; UPDATE items SET n = 7 WHERE id = 1")
        .await
        .unwrap();
    eventually(SOON, async || retries(&stage, "serialization").await == 1).await;
    until_blocked(&stage).await;
    first.batch_execute("COMMIT").await.unwrap();
    let answer = wire.until_ready().await;
    assert_eq!(answer, expected);
    assert_eq!(errors(&answer), ["40001"]);
    assert_eq!(retries(&stage, "exhausted").await, 1);
    assert_eq!(retries(&stage, "succeeded").await, 0);
    assert!(stage.proxy.log().unwrap().contains("retry.attempts"));
    assert_eq!(values(&wire.ask(&query(LOCKING)).await), ["7"]);
}
