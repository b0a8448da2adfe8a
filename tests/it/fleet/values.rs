//! What stands in Redis: nothing that can be read, nothing that can be forged, nothing for ever.

use base64::Engine as _;
use pgkeel_bench::sandbox::Proxy;

use super::stage::Fleet;
use super::{READ, TABLE};
use crate::raw::{Raw, Script};
use crate::scene::SOON;
use crate::support::eventually;

fn key(byte: u8) -> String {
    base64::engine::general_purpose::STANDARD.encode([byte; 32])
}

async fn fill(fleet: &Fleet, at: usize, sql: &str) {
    let before = fleet.stat(at, "shared.fills").await;
    let mut client = fleet.client(at).await;
    eventually(SOON, async || {
        client.run(sql).await;
        fleet.stat(at, "shared.fills").await > before
    })
    .await;
}

fn entries(fleet: &Fleet) -> Vec<String> {
    let keys = fleet
        .redis
        .ask(&["--scan", "--pattern", "pgkeel:e:*"])
        .expect("it answers");
    keys.lines()
        .filter(|key| !key.ends_with("probe"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn keys_tell_nothing_and_values_nothing_where_they_are_encrypted() {
    let config = format!("[redis]\nencryption_keys = \"{}\"\n", key(1));
    let fleet = Fleet::start(1, &config, TABLE).await;
    fill(
        &fleet,
        0,
        "SELECT v, 'a-rare-word' AS other FROM t WHERE k = 1",
    )
    .await;
    let keys = entries(&fleet);
    assert_eq!(keys.len(), 1, "{keys:?}");
    let everything = fleet.redis.ask(&["--scan"]).expect("it answers");
    let value = fleet.redis.ask(&["GET", &keys[0]]).expect("it answers");
    for text in [&everything, &value] {
        assert!(!text.contains("rare") && !text.contains("SELECT"), "{text}");
    }
    let left: i64 = fleet
        .redis
        .ask(&["PTTL", &keys[0]])
        .expect("it answers")
        .trim()
        .parse()
        .unwrap();
    assert!((1..=300_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_key_is_replaced_without_losing_what_is_there() {
    let old = format!("[redis]\nencryption_keys = \"{}\"\n", key(1));
    let both = format!("[redis]\nencryption_keys = \"{},{}\"\n", key(2), key(1));
    let other = format!("[redis]\nencryption_keys = \"{}\"\n", key(3));
    let mut fleet = Fleet::start(1, &old, TABLE).await;
    fill(&fleet, 0, READ).await;
    for config in [&both, &other] {
        fleet.add(config).await;
    }
    for at in [1, 2] {
        fleet.ready(at).await;
        let mut client = fleet.client(at).await;
        assert_eq!(client.query(READ).await.rows(), ["10"]);
    }
    assert_eq!(fleet.stat(1, "cache.shared_hits").await, 1);
    assert_eq!(fleet.stat(2, "cache.shared_hits").await, 0);
    assert_eq!(fleet.stat(2, "shared.unreadable").await, 1);
}

#[tokio::test]
async fn a_value_that_was_tampered_with_is_a_miss() {
    let mut fleet = Fleet::start(1, "", TABLE).await;
    fill(&fleet, 0, READ).await;
    fleet.add("").await;
    fleet.ready(1).await;
    let keys = entries(&fleet);
    for (at, byte) in [("0", "\x02"), ("80", "x"), ("100", "x")] {
        fleet
            .redis
            .ask(&["SETRANGE", &keys[0], at, byte])
            .expect("it answers");
        let mut client = fleet.client(1).await;
        let before = fleet.stat(1, "shared.unreadable").await;
        // Another text for the first tier of this instance each time would be another key: so a write between.
        assert_eq!(client.query(READ).await.rows(), ["10"]);
        assert_eq!(fleet.stat(1, "shared.unreadable").await, before + 1);
        client.run("UPDATE t SET v = v WHERE k = 2").await;
        fill(&fleet, 0, READ).await;
    }
    assert_eq!(fleet.stat(1, "cache.shared_hits").await, 0);
}

/// Sessions that would get other bytes from PostgreSQL do not find each other's results.
#[tokio::test]
async fn results_are_shared_only_between_equal_sessions() {
    let mut fleet = Fleet::start(1, "", TABLE).await;
    let mut client = fleet.client(0).await;
    client
        .run("CREATE ROLE other LOGIN; GRANT SELECT ON t TO other")
        .await;
    fill(&fleet, 0, READ).await;
    fleet.add("").await;
    fleet.ready(1).await;
    let port = fleet.proxies[1].port();
    fleet.client(1).await;
    for startup in [
        vec![("user", "other"), ("database", "app")],
        vec![
            ("user", "keel"),
            ("database", "app"),
            ("options", "-c search_path=pg_catalog,public"),
        ],
        vec![
            ("user", "keel"),
            ("database", "app"),
            ("TimeZone", "Asia/Tokyo"),
        ],
    ] {
        let mut client = Raw::connect(port, &startup).await;
        assert_eq!(client.query(READ).await.rows(), ["10"]);
        assert_eq!(fleet.stat(1, "cache.shared_hits").await, 0, "{startup:?}");
    }
    let startup = [
        ("user", "keel"),
        ("database", "app"),
        ("application_name", "x"),
    ];
    let mut client = Raw::connect(port, &startup).await;
    assert_eq!(client.query(READ).await.rows(), ["10"]);
    assert_eq!(fleet.stat(1, "cache.shared_hits").await, 1);
}

/// In eventual mode nobody is waited for, and an instance without Redis goes on by itself.
#[tokio::test]
async fn eventual_instances_go_on_without_redis() {
    let mut fleet = Fleet::start(2, "[redis]\ncoherence = \"eventual\"\n", TABLE).await;
    let (mut writer, mut reader) = (fleet.client(0).await, fleet.client(1).await);
    let read = Script::new().query(READ);
    fleet.warm(1, &mut reader, &read).await;
    writer.run("UPDATE t SET v = 11 WHERE k = 1").await;
    assert_eq!(
        writer.ask(&read).await.rows(),
        ["11"],
        "one's own writes are always seen"
    );
    eventually(SOON, async || reader.ask(&read).await.rows() == ["11"]).await;
    fleet.redis.kill();
    writer.run("UPDATE t SET v = 12 WHERE k = 1").await;
    fleet.warm(0, &mut writer, &read).await;
    fleet.redis.start_again().await.expect("it starts");
    eventually(SOON, async || reader.ask(&read).await.rows() == ["12"]).await;
    let log = fleet.proxies[0].log().expect("there is a log");
    assert!(log.contains("eventual"), "{log}");
}

/// A fleet whose members put words in different places would miss each other's writes.
#[tokio::test]
async fn another_number_of_words_is_refused() {
    let fleet = Fleet::start(1, "", TABLE).await;
    let mut options = fleet.options(&fleet.redis.url(), "");
    let config = options.config_toml.take().unwrap_or_default();
    options.config_toml = Some(format!("{config}[cache]\nversion_slots = 1024\n"));
    let proxy = Proxy::start(&options).await.expect("the proxy starts");
    eventually(SOON, async || {
        proxy
            .log()
            .expect("there is a log")
            .contains("version_slots")
    })
    .await;
    let stats = proxy.stats().await.expect("the admin port answers");
    assert_eq!(stats["shared"]["serving"], false);
}
