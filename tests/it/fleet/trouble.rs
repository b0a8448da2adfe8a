//! Redis in trouble, and instances in trouble: clients notice nothing but speed.

use super::stage::Fleet;
use super::{READ, TABLE};
use crate::raw::{Raw, Script};
use crate::scene::SOON;
use crate::support::eventually;
use pgkeel_bench::sandbox::{Proxy, Redis};

async fn writes_are_seen(fleet: &Fleet, from: i32) {
    let (mut writer, mut reader) = (fleet.client(0).await, fleet.client(1).await);
    for value in from..from + 3 {
        write(&mut writer, value).await;
        assert_eq!(reader.query(READ).await.rows(), [value.to_string()]);
        assert_eq!(writer.query(READ).await.rows(), [value.to_string()]);
    }
}

async fn write(writer: &mut Raw, value: i32) {
    writer
        .run(&format!("UPDATE t SET v = {value} WHERE k = 1"))
        .await;
}

async fn both_serve(fleet: &Fleet) {
    for at in 0..2 {
        fleet.ready(at).await;
        let mut client = fleet.client(at).await;
        fleet
            .warm(at, &mut client, &Script::new().query(READ))
            .await;
    }
}

#[tokio::test]
async fn redis_may_be_killed_and_come_back_empty() {
    let mut fleet = Fleet::start(2, "", TABLE).await;
    both_serve(&fleet).await;
    fleet.redis.kill();
    writes_are_seen(&fleet, 100).await;
    fleet.redis.start_again().await.expect("it starts");
    writes_are_seen(&fleet, 200).await;
    both_serve(&fleet).await;
    writes_are_seen(&fleet, 300).await;
    for proxy in &fleet.proxies {
        let log = proxy.log().expect("there is a log");
        assert_eq!(log.matches("Redis cannot be used").count(), 1, "{log}");
        assert_eq!(log.matches("Redis can be used again").count(), 1, "{log}");
    }
}

#[tokio::test]
async fn redis_may_hang_and_go_on() {
    let mut fleet = Fleet::start(2, "", TABLE).await;
    both_serve(&fleet).await;
    fleet.redis.pause().expect("it can be paused");
    writes_are_seen(&fleet, 100).await;
    fleet.redis.resume().expect("it can go on");
    writes_are_seen(&fleet, 200).await;
    both_serve(&fleet).await;
    writes_are_seen(&fleet, 300).await;
}

#[tokio::test]
async fn redis_may_be_flushed() {
    let fleet = Fleet::start(2, "", TABLE).await;
    for round in 1..4 {
        both_serve(&fleet).await;
        fleet.redis.ask(&["FLUSHALL"]).expect("it answers");
        writes_are_seen(&fleet, round * 100).await;
    }
}

/// Any part of the state may be evicted by itself.
#[tokio::test]
async fn parts_of_the_state_may_be_lost() {
    let fleet = Fleet::start(2, "", TABLE).await;
    for (round, part) in (1..).zip(["words", "members", "state"]) {
        both_serve(&fleet).await;
        let key = format!("pgkeel:{{fleet}}:{part}");
        assert_eq!(
            fleet.redis.ask(&["DEL", &key]).expect("it answers").trim(),
            "1"
        );
        writes_are_seen(&fleet, round * 100).await;
    }
}

#[tokio::test]
async fn a_full_redis_takes_nothing_and_breaks_nothing() {
    let fleet = Fleet::start(2, "", TABLE).await;
    both_serve(&fleet).await;
    fleet
        .redis
        .ask(&["CONFIG", "SET", "maxmemory", "1"])
        .expect("it answers");
    writes_are_seen(&fleet, 100).await;
    fleet
        .redis
        .ask(&["CONFIG", "SET", "maxmemory", "0"])
        .expect("it answers");
    both_serve(&fleet).await;
    writes_are_seen(&fleet, 200).await;
}

#[tokio::test]
async fn an_instance_starts_without_redis_and_finds_it_later() {
    let mut redis = Redis::start().await.expect("Redis starts");
    redis.kill();
    let mut fleet = Fleet::over(redis, 0, "", "").await;
    fleet.add("").await;
    let mut client = fleet.client(0).await;
    client.run(TABLE).await;
    for _ in 0..3 {
        assert_eq!(client.query(READ).await.rows(), ["10"]);
    }
    assert_eq!(
        fleet.stat(0, "cache.hits").await,
        0,
        "it is not known to be alone"
    );
    fleet.redis.start_again().await.expect("it starts");
    fleet.ready(0).await;
    fleet.warm(0, &mut client, &Script::new().query(READ)).await;
}

#[tokio::test]
async fn a_wrong_password_is_said_and_costs_only_speed() {
    let redis = Redis::start_with(&["--requirepass", "right"]).await;
    let fleet = Fleet::over(redis.expect("Redis starts"), 0, "", "").await;
    let url = fleet.redis.url().replace("redis://", "redis://:wr0ng@");
    let proxy = Proxy::start(&fleet.options(&url, ""))
        .await
        .expect("the proxy starts");
    let mut client = Raw::connect(proxy.port(), &[("user", "keel"), ("database", "app")]).await;
    client.run(TABLE).await;
    assert_eq!(client.query(READ).await.rows(), ["10"]);
    let log = proxy.log().expect("there is a log");
    assert!(log.contains("Redis cannot be used"), "{log}");
    assert!(!log.contains("wr0ng"), "{log}");
    let url = fleet.redis.url().replace("redis://", "redis://:right@");
    let mut fleet = fleet;
    fleet.proxies.push(
        Proxy::start(&fleet.options(&url, ""))
            .await
            .expect("the proxy starts"),
    );
    fleet.ready(0).await;
}

/// A paused instance is waited for no longer than its lease, and serves nothing old when it wakes.
#[tokio::test]
async fn an_instance_may_be_paused() {
    let mut fleet = Fleet::start(2, "", TABLE).await;
    both_serve(&fleet).await;
    let (mut writer, mut reader) = (fleet.client(0).await, fleet.client(1).await);
    for value in 100..103 {
        both_serve(&fleet).await;
        fleet.proxies[1].pause().expect("it can be paused");
        write(&mut writer, value).await;
        let asking = tokio::spawn(async move {
            let rows = reader.query(READ).await.rows();
            (rows, reader)
        });
        tokio::task::yield_now().await;
        fleet.proxies[1].resume().expect("it can go on");
        let (rows, back) = asking.await.expect("nobody panics");
        assert_eq!(rows, [value.to_string()]);
        reader = back;
    }
}

/// What an instance had open when it was killed, the others hold open until its server process is gone.
#[tokio::test]
async fn an_instance_may_be_killed_in_the_middle_of_a_write() {
    let mut fleet = Fleet::start(2, "", TABLE).await;
    both_serve(&fleet).await;
    let mut reader = fleet.client(1).await;
    let mut direct = Raw::connect(
        fleet.postgres.port(),
        &[("user", "keel"), ("database", "app")],
    )
    .await;
    let mut writer = fleet.client(0).await;
    let slow = "UPDATE t SET v = 11 WHERE k = 1 AND pg_sleep(4) IS NOT NULL";
    writer.send(Script::new().query(slow).bytes()).await;
    let running =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'UPDATE t%'";
    eventually(SOON, async || direct.query(running).await.rows() == ["1"]).await;
    drop(fleet.proxies.remove(0));
    eventually(SOON, async || {
        // While the write may still commit, nothing of the table is served from memory.
        let before = fleet.stat(0, "cache.hits").await;
        let rows = reader.query(READ).await.rows();
        let is_hit = fleet.stat(0, "cache.hits").await > before;
        let is_over = direct.query(running).await.rows() == ["0"];
        assert!(
            is_over || !is_hit,
            "{rows:?} from memory, and the write is still under way"
        );
        is_over
    })
    .await;
    let now = direct.query(READ).await.rows();
    for _ in 0..3 {
        assert_eq!(reader.query(READ).await.rows(), now);
    }
    fleet.warm(0, &mut reader, &Script::new().query(READ)).await;
}
