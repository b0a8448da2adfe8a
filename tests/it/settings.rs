//! Settings that a session has changed: part of the cache key, and carried from connection to connection.

use std::time::Duration;

use pgkeel_bench::sandbox::Auth;

use crate::support::{Stage, eventually};
use crate::twins::{Twins, step};
use crate::wire::*;

const SOON: Duration = Duration::from_secs(20);

const SCHEMA: &str = "CREATE SCHEMA a; CREATE SCHEMA b; \
    CREATE TABLE a.t (v text); INSERT INTO a.t VALUES ('in a'); \
    CREATE TABLE b.t (v text); INSERT INTO b.t VALUES ('in b'); \
    CREATE TABLE t (v text); INSERT INTO t VALUES ('in public'); \
    CREATE TABLE owned (owner text, v text); \
    INSERT INTO owned VALUES ('ann', 'of ann'), ('bob', 'of bob'); \
    ALTER TABLE owned ENABLE ROW LEVEL SECURITY; \
    CREATE POLICY own ON owned USING (owner = current_user); \
    DO $$BEGIN CREATE ROLE ann; CREATE ROLE bob; END$$; \
    GRANT ALL ON owned, t TO ann, bob; GRANT CREATE ON SCHEMA public TO ann, bob";

const ONE_CONNECTION: &str = "[pool]\nmax = 1\nmin = 1\n";

async fn stage(config: &str) -> Stage {
    let stage = Stage::builder()
        .auth(Auth::Trust)
        .config(config)
        .start()
        .await;
    stage.direct().await.batch_execute(SCHEMA).await.unwrap();
    stage
}

async fn client(stage: &Stage) -> Wire {
    Wire::login(stage.proxy.port(), "app").await
}

/// What a simple query returns, as text.
async fn ask(wire: &mut Wire, sql: &str) -> String {
    let reply = wire.ask(&query(sql)).await;
    let failed = errors(&reply);
    if failed.is_empty() {
        values(&reply).join(",")
    } else {
        failed.join(",")
    }
}

/// Runs simple queries directly and through the proxy, and compares every byte.
async fn agree(name: &str, script: &[&str]) -> u64 {
    let twins = Twins::new(SCHEMA).await;
    let steps: Vec<_> = script.iter().map(|sql| step(&[query(sql)])).collect();
    twins.agree(name, &steps).await
}

#[tokio::test]
async fn settings_are_answered_as_directly() {
    agree(
        "changes and their undoing",
        &[
            "SHOW search_path",
            "SET search_path = a, public",
            "SELECT v FROM t",
            "SHOW search_path",
            "SET datestyle = 'German'",
            "SELECT DATE '2024-02-03'",
            "SET datestyle = 'SQL, MDY'",
            "SELECT DATE '2024-02-03'",
            "BEGIN",
            "SET search_path = b",
            "SELECT v FROM t",
            "ROLLBACK",
            "SELECT v FROM t",
            "BEGIN",
            "SET search_path = b",
            "SAVEPOINT s",
            "SET search_path = public",
            "ROLLBACK TO s",
            "COMMIT",
            "SELECT v FROM t",
            "BEGIN",
            "SET LOCAL search_path = a",
            "SELECT v FROM t",
            "COMMIT",
            "SELECT v FROM t",
            "SELECT set_config('search_path', 'a', false)",
            "SELECT v FROM t",
            "SELECT set_config('search_path', 'b', true)",
            "SELECT v FROM t",
            "SET search_path = 'no such schema'",
            "SELECT v FROM t",
            "SET nonsense = 1",
            "SET datestyle = 'nonsense'",
            "SHOW datestyle",
            "RESET search_path",
            "SELECT v FROM t",
            "SET search_path = b; SELECT v FROM t; SET search_path = a",
            "SELECT v FROM t",
            "SET search_path = b; SELECT 1 / 0; SET search_path = a",
            "SELECT v FROM t",
            "RESET ALL",
            "SHOW search_path",
            "SET TIME ZONE 'Asia/Tokyo'",
            "SELECT TIMESTAMPTZ '2024-02-03 00:00:00+00'",
            "SET bytea_output = 'escape'",
            "SELECT '\\x00ff'::bytea",
            "DISCARD ALL",
            "SELECT TIMESTAMPTZ '2024-02-03 00:00:00+00'",
        ],
    )
    .await;
}

#[tokio::test]
async fn settings_of_an_applications_own_are_answered_as_directly() {
    agree(
        "custom settings",
        &[
            "SELECT current_setting('app.tenant', true)",
            "SET app.tenant = '7'",
            "SELECT current_setting('app.tenant', true)",
            "SHOW app.tenant",
            "BEGIN",
            "SET LOCAL app.tenant = '8'",
            "SHOW app.tenant",
            "ROLLBACK",
            "SHOW app.tenant",
            "RESET app.tenant",
            "SHOW app.tenant",
            "SET app.\"odd name\" = 'it''s \\ odd'",
            "SELECT current_setting('app.odd name')",
            "DISCARD ALL",
            "SELECT current_setting('app.tenant', true)",
        ],
    )
    .await;
}

#[tokio::test]
async fn the_readings_of_texts_are_followed() {
    agree(
        "literals",
        &[
            r"SELECT 'a\\b'",
            "SET standard_conforming_strings = off",
            r"SELECT 'a\\b'",
            r"SELECT 'a\'b'",
            "SET client_encoding = 'LATIN1'",
            "SELECT chr(233)",
            "SELECT v FROM t",
            "RESET client_encoding",
            "SELECT chr(233)",
            "RESET ALL",
            r"SELECT 'a\\b'",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_session_that_changes_settings_hits() {
    let hits = agree(
        "hits",
        &[
            "SET search_path = a",
            "SELECT v FROM t",
            "SELECT v FROM t",
            "SET statement_timeout = '1h'",
            "SELECT v FROM t",
            "RESET ALL",
            "SELECT v FROM t",
        ],
    )
    .await;
    assert!(hits >= 12, "{hits} hits");
}

/// Every session goes on with its own settings, whoever had the connection in between.
#[tokio::test]
async fn sessions_that_share_a_connection_keep_their_settings_apart() {
    let stage = stage(ONE_CONNECTION).await;
    let mut plain = client(&stage).await;
    let mut a = client(&stage).await;
    let mut b = client(&stage).await;
    ask(&mut a, "SET search_path = a").await;
    ask(&mut b, "SET search_path = b, public").await;
    ask(&mut b, "SET app.who = 'b'").await;
    for round in 0..4 {
        for sql in ["SELECT v FROM t", "SELECT v, random() < 0 FROM t"] {
            assert!(
                ask(&mut plain, sql).await.starts_with("in public"),
                "{round}"
            );
            assert!(ask(&mut a, sql).await.starts_with("in a"), "{round}");
            assert!(ask(&mut b, sql).await.starts_with("in b"), "{round}");
        }
        let who = "SELECT current_setting('app.who', true) IS NULL";
        assert_eq!(ask(&mut plain, who).await, "t");
        assert_eq!(ask(&mut b, who).await, "f");
        assert_eq!(ask(&mut a, who).await, "t");
    }
    assert_eq!(stage.stat("clients.pinned").await, 0);
    ask(&mut b, "INSERT INTO public.t VALUES ('new')").await;
    assert_eq!(ask(&mut b, "SELECT v FROM t").await, "in b");
    let new = "SELECT v FROM public.t ORDER BY v";
    for wire in [&mut a, &mut plain, &mut b] {
        assert_eq!(ask(wire, new).await, "in public,new");
    }
    assert!(stage.hits().await > 0);
}

/// A prepared statement means the table that the search_path of its own session finds.
#[tokio::test]
async fn a_prepared_statement_is_understood_by_its_own_sessions_settings() {
    let stage = stage(ONE_CONNECTION).await;
    let (mut a, mut b) = (client(&stage).await, client(&stage).await);
    ask(&mut a, "SET search_path = a").await;
    ask(&mut b, "SET search_path = b").await;
    let call = [bind("", "s", &[]), execute("", 0), sync()].concat();
    for wire in [&mut a, &mut b] {
        wire.ask(&[parse("s", "SELECT v, random() < 0 FROM t"), sync()].concat())
            .await;
    }
    for _ in 0..3 {
        for (wire, expected) in [(&mut a, "in a"), (&mut b, "in b")] {
            assert_eq!(values(&wire.ask(&call).await), [expected]);
        }
    }
}

/// Row-level security: a result is only for the role that would have got it.
#[tokio::test]
async fn roles_never_get_each_others_rows() {
    let stage = stage(ONE_CONNECTION).await;
    let (mut ann, mut bob) = (client(&stage).await, client(&stage).await);
    ask(&mut ann, "SET ROLE ann").await;
    ask(&mut bob, "SET ROLE bob").await;
    for _ in 0..3 {
        assert_eq!(ask(&mut ann, "SELECT v FROM owned").await, "of ann");
        assert_eq!(ask(&mut bob, "SELECT v FROM owned").await, "of bob");
        assert_eq!(ask(&mut ann, "SELECT v FROM a.t").await, "42501");
    }
    ask(&mut ann, "RESET ROLE").await;
    assert_eq!(
        ask(&mut ann, "SELECT v FROM owned ORDER BY v").await,
        "of ann,of bob"
    );
    assert_eq!(ask(&mut bob, "SELECT v FROM owned").await, "of bob");
    // Within a transaction.
    for (role, rows) in [("ann", "of ann"), ("bob", "of bob")] {
        ask(&mut ann, "BEGIN").await;
        ask(&mut ann, &format!("SET LOCAL ROLE {role}")).await;
        assert_eq!(ask(&mut ann, "SELECT v FROM owned").await, rows);
        ask(&mut ann, "COMMIT").await;
    }
}

/// What a client leaves behind when it goes is not there for the next.
#[tokio::test]
async fn a_client_that_vanishes_takes_its_settings_with_it() {
    let stage = stage(ONE_CONNECTION).await;
    let mut stayed = client(&stage).await;
    for sql in [
        "SET search_path = b",
        "BEGIN; SET search_path = b",
        "SET search_path = b; SELECT pg_sleep(0.2)",
    ] {
        let mut gone = client(&stage).await;
        gone.send(&query(sql)).await;
        if !sql.contains("sleep") {
            gone.until_ready().await;
        }
        drop(gone);
        assert_eq!(
            ask(&mut stayed, "SELECT v, random() < 0 FROM t").await,
            "in public",
            "{sql}"
        );
        assert_eq!(ask(&mut stayed, "SELECT v FROM t").await, "in public");
    }
}

/// The server would not say what a setting is now: the session keeps its connection.
#[tokio::test]
async fn a_setting_that_cannot_be_asked_for_keeps_the_connection() {
    let stage = stage("").await;
    let mut wire = client(&stage).await;
    // Nobody but a superuser may see it.
    ask(
        &mut wire,
        "SET dynamic_library_path = '/nowhere'; SET ROLE ann",
    )
    .await;
    assert_eq!(ask(&mut wire, "SELECT current_user").await, "ann");
    assert_eq!(stage.stat("clients.pinned").await, 1);
    assert_eq!(ask(&mut wire, "SELECT v FROM owned").await, "of ann");
    ask(&mut wire, "DISCARD ALL").await;
    eventually(SOON, async || stage.stat("clients.pinned").await == 0).await;
}
