//! Connecting again, and the isolation level that sessions begin with.

use super::*;

#[tokio::test]
async fn a_login_waits_for_a_server_that_restarts() {
    let mut stage = stage("attempts = 100\ndelay = \"50ms\"").await;
    stage.postgres.stop().await.unwrap();
    let port = stage.proxy.port();
    let login = tokio::spawn(async move { Wire::login(port, "app").await });
    eventually(SOON, async || retries(&stage, "connect").await > 0).await;
    // However often it is tried again, operators learn of the first failure.
    assert_eq!(stage.proxy.get("/health").await.unwrap().0, 503);
    stage.postgres.start_again().await.unwrap();
    let mut wire = login.await.unwrap();
    assert_eq!(values(&wire.ask(&query("SELECT 1")).await), ["1"]);
    assert!(retries(&stage, "succeeded").await > 0);
}

#[tokio::test]
async fn a_session_waits_for_a_server_that_restarts() {
    let mut stage = stage("attempts = 100\ndelay = \"50ms\"").await;
    let mut wire = login(&stage).await;
    stage.postgres.stop().await.unwrap();
    wire.send(&query("INSERT INTO items VALUES (3, 0)")).await;
    eventually(SOON, async || retries(&stage, "connect").await > 0).await;
    stage.postgres.start_again().await.unwrap();
    assert_eq!(tags(&wire.until_ready().await), "CZ");
    assert_eq!(truth(&stage).await, [0, 0, 0]);
}

/// A server without a free connection is not a wrong password.
#[tokio::test]
async fn only_what_may_pass_is_tried_again() {
    let stage = Stage::builder()
        .setting("max_connections", "10")
        .config("[retry]\ndelay = \"50ms\"\n")
        .start()
        .await;
    let login = async |user: &str, password: &str| {
        let mut url = stage.proxy.url();
        url = url.replace("keel:keel", &format!("{user}:{password}"));
        tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .err()
            .and_then(|error| error.code().map(|code| code.code().to_owned()))
    };
    assert_eq!(login("keel", "wrong").await.as_deref(), Some("28P01"));
    assert_eq!(retries(&stage, "connect").await, 0);
    let mut all = Vec::new();
    while let Ok(client) = stage.postgres.connect().await {
        all.push(client);
    }
    assert_eq!(login("keel", "keel").await.as_deref(), Some("53300"));
    assert_eq!(retries(&stage, "connect").await, 2);
    assert_eq!(retries(&stage, "exhausted").await, 1);
}

async fn isolation(wire: &mut Wire) -> String {
    let answer = wire.ask(&query("SHOW transaction_isolation")).await;
    values(&answer).concat()
}

#[tokio::test]
async fn sessions_begin_with_the_configured_isolation_level() {
    let stage = stage("isolation = \"serializable\"").await;
    let mut wire = login(&stage).await;
    assert_eq!(isolation(&mut wire).await, "serializable");
    wire.ask(&query(
        "SET default_transaction_isolation = 'read committed'",
    ))
    .await;
    assert_eq!(isolation(&mut wire).await, "read committed");
    for reset in ["RESET ALL", "DISCARD ALL"] {
        wire.ask(&query(reset)).await;
        assert_eq!(isolation(&mut wire).await, "serializable");
    }
    // A client that says what it wants gets that.
    for (name, value) in [
        ("default_transaction_isolation", "repeatable read"),
        ("Default_Transaction_Isolation", "repeatable read"),
        (
            "options",
            "-c default_transaction_isolation=repeatable\\ read",
        ),
        (
            "options",
            "--default-transaction-isolation=repeatable\\ read",
        ),
    ] {
        let parameters = [("user", "keel"), ("database", "app"), (name, value)];
        let mut wire = Wire::login_with(stage.proxy.port(), &parameters).await;
        assert_eq!(
            isolation(&mut wire).await,
            "repeatable read",
            "{name}={value}"
        );
    }
}
