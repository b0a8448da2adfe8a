//! The checker: readers that refill the cache as fast as they can, writers of every kind, and one judge.
//!
//! Every key of every [`shapes::Shape`] is a register that holds a version. All requests are made by this one
//! process, so there is one clock, and [`judge`] knows for each read what it has to see at least and can see at
//! most. The seed of a run is printed when it fails; `PGKEEL_CHECKER_SECONDS` and `PGKEEL_CHECKER_WRITES` make
//! a soak of it.
//!
//! It was seen to fail, in seconds, on each of these bugs, planted by hand one at a time: a fill that takes its
//! stamps when the result has ended; a window that is closed when CommandComplete comes; one that is closed
//! before its change is sent; COMMIT that opens none, or closes it as rolled back; a table left out of the
//! dependencies of a join; a foreign key that is not followed. (The first is the rarest: some hundred to some
//! thousand writes.)

mod judge;
mod load;
mod shapes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use load::{BRIEF_READ_FORMS, BRIEF_WRITE_FORMS, Court, READ_FORMS, Reader, WRITE_FORMS, Writer};
use shapes::SHAPES;

use crate::scene::{SOON, Scene};
use crate::support::{Stage, eventually};

/// Who takes part in a run.
const READERS: u64 = 4;
const WRITERS: u64 = 3;

async fn scene() -> Scene {
    let setup: Vec<String> = SHAPES.iter().map(shapes::Shape::setup).collect();
    let builder = Stage::builder().setting("synchronous_commit", "on");
    Scene::of(builder, &setup.join("; ")).await
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().expect("a whole number"))
}

/// Fewer hits would prove little.
const HITS_MIN: u64 = 50;

/// How long to wait for them.
const PATIENCE: Duration = Duration::from_secs(100);

fn seed() -> u64 {
    let seed = setting("PGKEEL_CHECKER_SEED", rand::random());
    println!("PGKEEL_CHECKER_SEED={seed}");
    seed
}

/// What a run has come to.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) violations: Vec<String>,
}

/// The registers, for a scene of another's.
pub(crate) fn registers() -> String {
    let setup: Vec<String> = SHAPES.iter().map(shapes::Shape::setup).collect();
    setup.join("; ")
}

/// Readers and writers of every form, on connections of another's, until `over`.
pub(crate) async fn play(
    readers: Vec<crate::raw::Raw>,
    writers: Vec<crate::raw::Raw>,
    over: impl Future<Output = ()>,
) -> Verdict {
    let (seed, court) = (seed(), Arc::new(Court::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for (number, client) in (0..).zip(readers) {
        tasks.spawn(Reader::new(client, &court, seed ^ number, READ_FORMS).run());
    }
    for (number, client) in (1000..).zip(writers) {
        let mut writer = Writer::new(client, &court, seed ^ number, WRITE_FORMS);
        let court = Arc::clone(&court);
        // Slowly: after a write that nobody understands the catalog has to be loaded before anything is a hit.
        tasks.spawn(async move {
            while court.is_open() {
                writer.write().await;
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..500))).await;
            }
        });
    }
    over.await;
    court.close();
    while let Some(ended) = tasks.join_next().await {
        ended.expect("nobody panics");
    }
    let (reads, writes) = court.numbers();
    Verdict {
        reads,
        writes,
        violations: court.violations(),
    }
}

/// Writes on one connection, each of them seen by the next read on another, while others refill what it voids.
pub(crate) async fn chase(
    clients: (crate::raw::Raw, crate::raw::Raw),
    refillers: Vec<crate::raw::Raw>,
    writes: u64,
) -> Verdict {
    let (seed, court) = (seed(), Arc::new(Court::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for (number, client) in (2..).zip(refillers) {
        tasks.spawn(Reader::new(client, &court, seed ^ number, READ_FORMS).run());
    }
    let mut writer = Writer::new(clients.0, &court, seed, BRIEF_WRITE_FORMS);
    let mut reader = Reader::new(clients.1, &court, seed ^ 1, BRIEF_READ_FORMS);
    let mut seen = 0;
    while seen < writes && court.violations().is_empty() {
        let place = writer.write().await;
        let value = reader.read(place).await;
        let acknowledged = court.register(place).acknowledged();
        assert_eq!(value, acknowledged, "{place:?}, after {seen} writes");
        seen += 1;
    }
    court.close();
    while let Some(ended) = tasks.join_next().await {
        ended.expect("nobody panics");
    }
    let (reads, writes) = court.numbers();
    Verdict {
        reads,
        writes,
        violations: court.violations(),
    }
}

/// A number from the environment, for a soak.
pub(crate) fn from_environment(name: &str, default: u64) -> u64 {
    setting(name, default)
}

/// Every shape, every form of reading and of writing, at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_older_than_what_was_known_when_it_began() {
    let (scene, seed) = (scene().await, seed());
    let court = Arc::new(Court::new());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..READERS {
        let reader = Reader::new(scene.client().await, &court, seed ^ number, READ_FORMS);
        tasks.spawn(reader.run());
    }
    for number in 0..WRITERS {
        let seed = seed ^ (READERS + number);
        let writer = Writer::new(scene.client().await, &court, seed, WRITE_FORMS);
        tasks.spawn(writer.run());
    }
    tokio::time::sleep(Duration::from_secs(setting("PGKEEL_CHECKER_SECONDS", 8))).await;
    // On a busy machine the writes that nobody understands come faster than the catalog can be loaded anew.
    let start = Instant::now();
    while scene.stage.hits().await < HITS_MIN && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    court.close();
    while let Some(ended) = tasks.join_next().await {
        ended.expect("nobody panics");
    }
    let hits = scene.stage.hits().await;
    let (reads, writes) = court.numbers();
    println!("{reads} reads ({hits} hits), {writes} writes");
    assert!(court.violations().is_empty(), "{:#?}", court.violations());
    assert!(writes > 200, "only {writes} writes");
    assert!(hits >= HITS_MIN, "only {hits} of {reads} reads were hits");
    eventually(SOON, async || {
        scene.stage.stat("freshness.windows_open").await == 0
    })
    .await;
}

/// A write on one connection is seen by the next read on another, while others refill what it voids.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_writes_are_seen_by_the_next_read() {
    const REFILLERS: u64 = 2;
    let (scene, seed) = (scene().await, seed());
    let writes = setting("PGKEEL_CHECKER_WRITES", 10_000);
    let court = Arc::new(Court::new());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..REFILLERS {
        let reader = Reader::new(scene.client().await, &court, seed ^ number, READ_FORMS);
        tasks.spawn(reader.run());
    }
    let (of_writer, of_reader) = (seed ^ REFILLERS, seed ^ (REFILLERS + 1));
    let mut writer = Writer::new(scene.client().await, &court, of_writer, BRIEF_WRITE_FORMS);
    let mut reader = Reader::new(scene.client().await, &court, of_reader, BRIEF_READ_FORMS);
    let mut seen = 0;
    while seen < writes && court.violations().is_empty() {
        let place = writer.write().await;
        let value = reader.read(place).await;
        assert_eq!(
            value,
            court.register(place).acknowledged(),
            "{place:?}, after {seen} writes"
        );
        seen += 1;
    }
    court.close();
    while let Some(ended) = tasks.join_next().await {
        ended.expect("nobody panics");
    }
    assert!(court.violations().is_empty(), "{:#?}", court.violations());
    let hits = scene.stage.hits().await;
    println!("{seen} of {writes} writes seen, {hits} hits");
    assert!(hits > writes / 100, "only {hits} hits");
}
