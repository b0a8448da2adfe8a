//! The checker, with readers on one instance and writers on another, in good times and in bad.
//!
//! `PGKEEL_FLEET_ROUNDS` and `PGKEEL_FLEET_WRITES` make a soak of it: each round has every kind of trouble once.

use std::time::Duration;

use super::stage::Fleet;
use crate::checker::fleet::{chase, from_environment, play, registers};
use crate::raw::Raw;

async fn clients(fleet: &Fleet, at: usize, count: usize) -> Vec<Raw> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(fleet.client(at).await);
    }
    clients
}

/// Fewer hits would prove little.
const HITS_MIN: u64 = 50;

/// A number of those that serve readers.
async fn hits(fleet: &Fleet, path: &str) -> u64 {
    fleet.stat(0, path).await + fleet.stat(1, path).await
}

/// Long enough for leases to run out in it, or not.
async fn moment(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Readers on one instance, writers on another, and every kind of trouble, one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_stale_whatever_happens_to_redis_and_to_instances() {
    let rounds = from_environment("PGKEEL_FLEET_ROUNDS", 2);
    let mut fleet = Fleet::start(3, "", &registers()).await;
    let mut readers = clients(&fleet, 0, 3).await;
    let mut writers = Vec::new();
    for _ in 0..2 {
        // What one instance prepares, another commits.
        writers.push([fleet.client(1).await, fleet.client(0).await]);
    }
    readers.extend(clients(&fleet, 1, 1).await);
    let mut troubles = 0;
    let trouble = async {
        for round in 0..rounds {
            // One long enough for leases to run out, and one that is not.
            let pause = if round % 2 == 0 { 300 } else { 2_500 };
            moment(2_000).await;
            fleet.redis.pause().expect("it can be paused");
            moment(pause).await;
            fleet.redis.resume().expect("it can go on");
            moment(2_000).await;
            fleet.redis.kill();
            moment(pause).await;
            fleet.redis.start_again().await.expect("it starts");
            moment(2_500).await;
            fleet.redis.ask(&["FLUSHALL"]).expect("it answers");
            moment(2_500).await;
            fleet.proxies[0].pause().expect("it can be paused");
            moment(pause).await;
            fleet.proxies[0].resume().expect("it can go on");
            moment(1_500).await;
            fleet.proxies[1].pause().expect("it can be paused");
            moment(pause).await;
            fleet.proxies[1].resume().expect("it can go on");
            moment(1_500).await;
            // Nobody is connected to the last of them but it holds a lease like the others.
            drop(fleet.proxies.pop());
            moment(1_000).await;
            fleet.add("").await;
            troubles += 6;
        }
        // Hits are what the trouble is about. On a busy machine they take their time.
        for _ in 0..200 {
            if hits(&fleet, "cache.hits").await >= HITS_MIN {
                break;
            }
            moment(500).await;
        }
    };
    let verdict = play(readers, writers, trouble).await;
    let shared = hits(&fleet, "cache.shared_hits").await;
    let hits = hits(&fleet, "cache.hits").await;
    let (reads, writes) = (verdict.reads, verdict.writes);
    println!(
        "{troubles} troubles, {reads} reads ({hits} hits, {shared} from Redis), {writes} writes"
    );
    assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
    assert!(
        writes > 50 && hits >= HITS_MIN,
        "{writes} writes, {hits} hits"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_writes_on_one_instance_are_seen_by_the_next_read_on_another() {
    let writes = from_environment("PGKEEL_FLEET_WRITES", 3_000);
    let fleet = Fleet::start(2, "", &registers()).await;
    let mut refillers = clients(&fleet, 1, 1).await;
    refillers.extend(clients(&fleet, 0, 1).await);
    let writers = [fleet.client(0).await, fleet.client(1).await];
    let verdict = chase(writers, fleet.client(1).await, refillers, writes).await;
    let hits = fleet.stat(1, "cache.hits").await;
    let shared = fleet.stat(1, "cache.shared_hits").await;
    println!(
        "{} writes seen, {hits} hits, {shared} from Redis",
        verdict.writes
    );
    assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
    assert!(hits > writes / 100, "only {hits} hits");
}
