//! A Redis Cluster, and servers that a Sentinel watches.

use pgkeel_bench::sandbox::{Proxy, Redis, RedisCluster, RedisSentinel};

use super::stage::Fleet;
use super::{READ, TABLE};
use crate::raw::Script;
use crate::scene::SOON;
use crate::support::eventually;

/// Two instances over another Redis than the stage's own, which is stopped.
async fn fleet(url: &str, config: &str) -> Fleet {
    let mut redis = Redis::start().await.expect("Redis starts");
    redis.kill();
    let mut fleet = Fleet::over(redis, 0, "", "").await;
    for at in 0..2 {
        let proxy = Proxy::start(&fleet.options(url, config)).await;
        fleet.proxies.push(proxy.expect("the proxy starts"));
        fleet.ready(at).await;
    }
    fleet.client(0).await.run(TABLE).await;
    fleet
}

async fn writes_are_seen(fleet: &Fleet, from: i32) {
    let (mut writer, mut reader) = (fleet.client(0).await, fleet.client(1).await);
    for value in from..from + 20 {
        writer
            .run(&format!("UPDATE t SET v = {value} WHERE k = 1"))
            .await;
        assert_eq!(reader.query(READ).await.rows(), [value.to_string()]);
    }
}

/// What one instance has read, the other takes from Redis.
async fn results_are_shared(fleet: &Fleet) {
    let (mut one, mut other) = (fleet.client(0).await, fleet.client(1).await);
    eventually(SOON, async || {
        for k in 0..20 {
            let read = Script::new().query(&format!("SELECT v FROM t WHERE k = {k}"));
            one.ask(&read).await;
            other.ask(&read).await;
        }
        let shared = fleet.stat(1, "cache.shared_hits").await;
        one.run("UPDATE t SET v = v WHERE k = 2").await;
        shared > 5
    })
    .await;
}

#[tokio::test]
async fn a_cluster_of_three_nodes() {
    let cluster = RedisCluster::start().await.expect("the cluster starts");
    let fleet = fleet(&cluster.url(), "[redis]\nmode = \"cluster\"\n").await;
    writes_are_seen(&fleet, 100).await;
    results_are_shared(&fleet).await;
    writes_are_seen(&fleet, 200).await;
    // Keys are spread over the nodes.
    let mut with_keys = 0;
    for node in &cluster.nodes {
        let keys = node
            .ask(&["--scan", "--pattern", "pgkeel:e:*"])
            .expect("it answers");
        with_keys += usize::from(!keys.trim().is_empty());
    }
    assert!(with_keys > 1, "all on {with_keys} node");
}

#[tokio::test]
async fn a_sentinel_promotes_the_replica() {
    let mut group = RedisSentinel::start().await.expect("the servers start");
    let fleet = fleet(&group.url(), "[redis]\nmode = \"sentinel\"\n").await;
    writes_are_seen(&fleet, 100).await;
    results_are_shared(&fleet).await;
    let joins = fleet.stat(0, "shared.joins").await;
    group.primary.kill();
    writes_are_seen(&fleet, 200).await;
    eventually(SOON, async || fleet.stat(0, "shared.joins").await > joins).await;
    for at in 0..2 {
        fleet.ready(at).await;
    }
    writes_are_seen(&fleet, 300).await;
    results_are_shared(&fleet).await;
    assert!(
        group
            .replica
            .ask(&["ROLE"])
            .expect("it answers")
            .starts_with("master")
    );
}
