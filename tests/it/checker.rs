//! The checker: readers that refill the cache as fast as they can, writers of every kind, and one judge.
//!
//! Every key of every [`shapes::Shape`] is a register that holds a version. All requests are made by this one
//! process, so there is one clock, and [`judge`] knows for each read what it has to see at least and can see at
//! most. Before a run every shape is asked for in every form while nobody writes ([`inventory`]): a shape that is
//! said to be cached, and is not, fails it. Afterwards there is a line for each shape; its hits are the reads that
//! PostgreSQL has not counted in `pg_stat_statements`.
//!
//! A run prints its seed. `PGKEEL_CHECKER_SEED` repeats what everybody does, though not how they meet;
//! `PGKEEL_CHECKER_SECONDS` and `PGKEEL_CHECKER_WRITES` make a soak of it (`make soak`).
//!
//! `tests/planted` holds bugs that it has to find (`make plant`). Its first form, with eight of these shapes, was seen to
//! fail, in seconds, on bugs planted by hand: a fill that takes its stamps when the result has ended (the rarest: some
//! hundred to some thousand writes), a window that is closed when CommandComplete comes or before its change is sent,
//! COMMIT that opens none or closes it as rolled back, a table of a join left out, a foreign key that is not followed.
//!
//! Large objects are no shape: whatever reads them is a function that is not cached.

mod court;
pub(crate) mod fleet;
mod inventory;
mod judge;
mod reader;
mod shapes;
mod trouble;
mod writer;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use court::Court;
use inventory::Census;
use reader::{BRIEF_READ_FORMS, Interest, READ_FORMS, Reader};
use shapes::{Cached, Place, Reach, shapes, which};
use trouble::{Relay, Vandal, shapes_for_trouble};
use writer::{BRIEF_WRITE_FORMS, COMMITTING_WRITE_FORMS, Duty, WRITE_FORMS, Writer};

use crate::scene::{SOON, Scene};
use crate::support::{Stage, StageBuilder, eventually};

/// What the shapes share: roles that may read everything, and a table to write to that nobody reads.
const STAGE: &str = "CREATE ROLE role_0; CREATE ROLE role_1; \
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO role_0; \
    ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO role_0; \
    CREATE TABLE scratch (n int); GRANT ALL ON scratch TO PUBLIC";

/// A shape that is read so often without a hit is not cached as it should be.
const READS_MIN: u64 = 2000;

/// How long to wait for hits: without some, a run proves little.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a long run says how it is doing.
const PROGRESS: Duration = Duration::from_secs(10);

fn builder() -> StageBuilder {
    Stage::builder()
        .auth(pgkeel_bench::sandbox::Auth::Trust)
        .setting("synchronous_commit", "on")
        .setting("max_prepared_transactions", "20")
        .setting("pg_stat_statements.max", "20000")
}

/// The registers of every shape, and what they share.
fn registers() -> String {
    let setup = shapes().iter().map(|shape| shape.setup());
    let setup: Vec<String> = [STAGE.to_owned()].into_iter().chain(setup).collect();
    setup.join("; ")
}

async fn set(stage: Stage) -> Scene {
    let scene = Scene { stage };
    scene.client().await.run(&registers()).await;
    scene
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().expect("a whole number"))
}

fn seed() -> u64 {
    let seed = setting("PGKEEL_CHECKER_SEED", rand::random());
    println!("PGKEEL_CHECKER_SEED={seed}");
    seed
}

/// Who takes part in a run, and in what.
struct Cast {
    shapes: Vec<usize>,
    readers: u64,
    writers: u64,
    vandals: u64,
    pause_micros: Range<u64>,
    hits_min: u64,
    writes_min: u64,
}

impl Cast {
    /// Plays for the time that is set, and until there were some hits; then judges.
    async fn play(self, scene: Scene) {
        let (seed, scene) = (seed(), scene);
        let court = Arc::new(Court::new(seed));
        let census = Census::new(&scene).await;
        inventory::take(&scene, &self.shapes).await;
        census.begin().await;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..self.readers {
            let interest = Interest {
                shapes: self.shapes.clone(),
                forms: READ_FORMS,
            };
            let mut reader = Reader::new(scene.client().await, &court, seed ^ number, interest);
            if number == 0 {
                reader = reader.odd();
            }
            tasks.spawn(reader.run());
        }
        for number in self.readers..self.readers + self.writers {
            let duty = Duty {
                shapes: self.shapes.clone(),
                forms: WRITE_FORMS,
                has_merge: census.has_merge(),
                pause_micros: self.pause_micros.clone(),
            };
            let clients = [scene.client().await, scene.client().await];
            tasks.spawn(Writer::new(clients, &court, seed ^ number, duty).run());
        }
        for number in 0..self.vandals {
            let (port, direct) = (scene.stage.proxy.port(), scene.direct().await);
            tasks.spawn(Vandal::new(port, direct, &court, seed ^ (1000 + number)).run());
        }
        let hits_before = scene.stage.hits().await;
        self.wait(&scene, &court, &mut tasks).await;
        let hits = scene.stage.hits().await - hits_before;
        court.close();
        while let Some(ended) = tasks.join_next().await {
            ended.expect("nobody panics");
        }
        self.judge(&scene, &court, &census, hits).await;
    }

    async fn wait(&self, scene: &Scene, court: &Court, tasks: &mut tokio::task::JoinSet<()>) {
        let (start, hits_before) = (Instant::now(), scene.stage.hits().await);
        let length = Duration::from_secs(setting("PGKEEL_CHECKER_SECONDS", 7));
        let mut told = start;
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let hits = scene.stage.hits().await - hits_before;
            if told.elapsed() > PROGRESS {
                told = Instant::now();
                let ((reads, writes), violations) =
                    (court.numbers(&self.shapes), court.violations().len());
                let elapsed = start.elapsed().as_secs();
                println!(
                    "{elapsed} s: {reads} reads, {hits} hits, {writes} writes, {violations} violations"
                );
            }
            // On a busy machine the writes that nobody understands come faster than the catalog can be loaded.
            let is_long_enough = hits >= self.hits_min || start.elapsed() > length + PATIENCE;
            let is_over = start.elapsed() > length && is_long_enough;
            if is_over || !court.violations().is_empty() {
                return;
            }
            if let Some(ended) = tasks.try_join_next() {
                ended.expect("nobody panics");
                return;
            }
        }
    }

    async fn judge(&self, scene: &Scene, court: &Court, census: &Census, hits: u64) {
        let asked = census.end().await;
        let (reads, writes) = court.numbers(&self.shapes);
        println!("{}", court.report(&self.shapes, &|shape| asked.of(shape)));
        println!("{reads} reads ({hits} hits), {writes} writes");
        assert!(court.violations().is_empty(), "{:#?}", court.violations());
        assert!(writes >= self.writes_min, "only {writes} writes");
        assert!(
            hits >= self.hits_min,
            "only {hits} of {reads} reads were hits"
        );
        eventually(SOON, async || {
            scene.stage.stat("freshness.windows_open").await == 0
        })
        .await;
        for &number in &self.shapes {
            let shape = shapes()[number];
            let is_due = matches!(shape.cached, Cached::Yes) && shape.reach == Reach::Tables;
            let (reads, asked) = (court.reads_of(number), asked.of(shape));
            // Fewer reads may all have come behind a write.
            let is_enough = reads >= READS_MIN && asked.is_some_and(|asked| asked >= reads);
            // Whoever breaks connections makes everything void, again and again.
            let is_due = is_due && self.vandals == 0;
            assert!(!(is_due && is_enough), "{} had no hits", shape.name);
        }
    }
}

/// Every shape whose writes are understood, every form of reading and of writing, at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_older_than_what_was_known_when_it_began() {
    let scene = set(builder().start().await).await;
    let cast = Cast {
        shapes: which(|shape| shape.reach == Reach::Tables),
        readers: 5,
        writers: 3,
        vandals: 0,
        pause_micros: 0..40_000,
        hits_min: 500,
        writes_min: 50,
    };
    cast.play(scene).await;
}

/// The shapes whose writes make everything void, one write at a time: there has to be something to make void.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_and_definitions_hide_no_write() {
    let scene = set(builder().start().await).await;
    let mut shapes = which(|shape| shape.name == "slow read");
    shapes.extend(which(|shape| shape.reach == Reach::Everything));
    let cast = Cast {
        shapes,
        readers: 3,
        writers: 2,
        vandals: 0,
        pause_micros: 200_000..1_500_000,
        hits_min: 10,
        writes_min: 5,
    };
    cast.play(scene).await;
}

/// Clients vanish, backends are killed, connections are cut in the middle of a commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_without_an_outcome_is_old_for_nobody() {
    let stage = builder().start_behind(Relay::start).await;
    let cast = Cast {
        shapes: shapes_for_trouble(),
        readers: 3,
        writers: 1,
        vandals: 2,
        pause_micros: 0..80_000,
        hits_min: 20,
        writes_min: 10,
    };
    cast.play(set(stage).await).await;
}

/// One route after the other: what is in the cache when a write begins is not served once it has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_of_a_write_is_seen_by_the_next_read() {
    let (scene, seed) = (set(builder().start().await).await, seed());
    let court = Arc::new(Court::new(seed));
    let interest = Interest {
        shapes: Vec::new(),
        forms: BRIEF_READ_FORMS,
    };
    let mut reader = Reader::new(scene.client().await, &court, seed, interest);
    let duty = Duty {
        shapes: Vec::new(),
        forms: COMMITTING_WRITE_FORMS,
        has_merge: Census::new(&scene).await.has_merge(),
        pause_micros: 0..1,
    };
    let clients = [scene.client().await, scene.client().await];
    let mut writer = Writer::new(clients, &court, seed, duty);
    let mut routes = 0;
    for round in 0..setting("PGKEEL_CHECKER_ROUNDS", 1) {
        for (number, shape) in shapes().iter().enumerate() {
            let key = usize::try_from(round).expect("few") % shape.registers;
            let place = Place { shape: number, key };
            for write in shape.writes_of(writer.has_merge()) {
                if matches!(shape.cached, Cached::Yes) {
                    inventory::warm(&scene, &mut reader, place).await;
                }
                writer.write_as(place, write).await;
                for &form in BRIEF_READ_FORMS {
                    reader.read_as(place, form).await;
                }
                let violations = court.violations();
                assert!(violations.is_empty(), "{write:?}: {violations:#?}");
                routes += 1;
            }
        }
    }
    println!("{routes} routes");
}

/// A write on one connection is seen by the next read on another, while others refill what it voids.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_writes_are_seen_by_the_next_read() {
    const REFILLERS: u64 = 2;
    let (scene, seed) = (set(builder().start().await).await, seed());
    let writes = setting("PGKEEL_CHECKER_WRITES", 2_000);
    let court = Arc::new(Court::new(seed));
    let shapes = which(|shape| {
        shape.reach == Reach::Tables
            && shape.views.is_empty()
            && matches!(shape.cached, Cached::Yes)
    });
    let interest = |forms| Interest {
        shapes: shapes.clone(),
        forms,
    };
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..REFILLERS {
        let interest = interest(READ_FORMS);
        let reader = Reader::new(scene.client().await, &court, seed ^ number, interest);
        tasks.spawn(reader.run());
    }
    let duty = Duty {
        shapes: shapes.clone(),
        forms: BRIEF_WRITE_FORMS,
        has_merge: Census::new(&scene).await.has_merge(),
        pause_micros: 0..1,
    };
    let clients = [scene.client().await, scene.client().await];
    let mut writer = Writer::new(clients, &court, seed ^ REFILLERS, duty);
    let interest = interest(BRIEF_READ_FORMS);
    let mut reader = Reader::new(scene.client().await, &court, seed ^ 99, interest);
    let mut seen = 0;
    while seen < writes && court.violations().is_empty() {
        let place = writer.write().await;
        let value = reader.read(place).await;
        let acknowledged = court.register(place).acknowledged();
        assert_eq!(value, Some(acknowledged), "{place:?}, after {seen} writes");
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
