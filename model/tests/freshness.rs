//! Every interleaving of those who read through the cache and those who write behind it.
//!
//! The database is a register whose reads and commits are single steps. A read may return a version only if it is not
//! below one that was acknowledged, nor one that another read has returned, before it began.
//!
//! loom explores all interleavings, and all values that a load may return by the rules of the memory model. The patches
//! `tests/planted/model-*` plant bugs that it has to find; without the comparison of a hit's
//! stamps four of its tests fail, and one when an orphan is closed whose backend lives.

use std::sync::Arc;
use std::time::Instant;

use loom::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use loom::thread;
use pgkeel_model::cache::Cache;
use pgkeel_model::cache::entry::Entry;
use pgkeel_model::freshness::Tag;
use pgkeel_model::freshness::flight::{Boarding, Flights};
use pgkeel_model::freshness::window::{Backend, Freshness, Outcome};
use pgkeel_model::freshness::words::{Slot, Stamp};
use pgkeel_model::sync::Mutex;

/// What the two sides share: a proxy, and a database with one register.
struct World {
    freshness: Arc<Freshness>,
    cache: Cache,
    flights: Arc<Flights>,
    /// The committed version.
    register: Mutex<i64>,
    acknowledged: AtomicI64,
    seen: AtomicI64,
}

const KEY: &[u8] = b"key";

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            freshness: Freshness::new(4),
            cache: Cache::new(1 << 20),
            flights: Flights::new(),
            register: Mutex::new(0),
            acknowledged: AtomicI64::new(0),
            seen: AtomicI64::new(0),
        })
    }

    fn slot(&self, oid: u32) -> Slot {
        self.freshness.words().slot(Tag::Table {
            server: 0,
            database: 0,
            oid,
        })
    }

    /// The table of the register.
    fn table(&self) -> Slot {
        self.slot(TABLE)
    }

    fn catalog(&self) -> Option<Stamp> {
        self.freshness.words().stamp(Slot::CATALOG)
    }

    /// The steps of a session: a hit, or stamps, query, fill.
    fn read(&self) {
        self.judged(|| {
            self.cached()
                .unwrap_or_else(|| self.fill(self.stamps().as_ref()))
        });
    }

    /// The same, and misses wait for each other.
    fn read_together(&self) {
        self.judged(|| {
            if let Some(value) = self.cached() {
                return value;
            }
            let Some(stamps) = self.stamps() else {
                return self.fill(None);
            };
            let words = self.freshness.words();
            match self.flights.board(KEY, &stamps, words) {
                Boarding::Lead(leader) => {
                    let value = self.fill(Some(&stamps));
                    drop(leader);
                    value
                }
                Boarding::Wait(mut landed) => {
                    let _ = loom::future::block_on(landed.changed());
                    self.cached()
                        .unwrap_or_else(|| self.fill(self.stamps().as_ref()))
                }
            }
        });
    }

    /// As a transaction that has written does.
    fn read_past_the_cache(&self) {
        self.judged(|| self.fill(None));
    }

    fn judged(&self, read: impl FnOnce() -> i64) {
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        let seen = self.seen.load(Ordering::SeqCst);
        let value = read();
        assert!(value >= acknowledged, "{value} misses {acknowledged}");
        assert!(value >= seen, "{value} goes back behind {seen}");
        self.seen.fetch_max(value, Ordering::SeqCst);
    }

    fn cached(&self) -> Option<i64> {
        let words = self.freshness.words();
        let entry = self.cache.lookup(KEY, words, now())?;
        Some(i64::from_be_bytes(
            entry.bytes().try_into().expect("eight bytes"),
        ))
    }

    fn stamps(&self) -> Option<Arc<[Stamp]>> {
        let slots = [Slot::EVERYTHING, self.table()];
        self.freshness.words().stamps(self.catalog()?, &slots)
    }

    fn fill(&self, stamps: Option<&Arc<[Stamp]>>) -> i64 {
        let value = *self.register.lock();
        if let Some(stamps) = stamps {
            let bytes = Box::from(value.to_be_bytes());
            let entry = Entry::new(bytes, 0, (**stamps).into(), None);
            self.cache.fill(KEY.into(), entry, self.freshness.words());
        }
        value
    }

    fn commit(&self, version: i64) {
        let mut register = self.register.lock();
        *register = version.max(*register);
    }

    fn acknowledge(&self, version: i64) {
        self.acknowledged.fetch_max(version, Ordering::SeqCst);
    }

    fn write(&self, version: i64) {
        let window = self.freshness.open([self.table()], None);
        self.commit(version);
        window.close(Outcome::Committed);
        self.acknowledge(version);
    }

    fn write_in_vain(&self) {
        let window = self.freshness.open([self.table()], None);
        window.close(Outcome::RolledBack);
    }
}

const TABLE: u32 = 1;

/// The clock plays no part.
fn now() -> Instant {
    static NOW: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *NOW
}

/// Every order in which no thread is interrupted more often than a bug takes: all that were planted show with two
/// interruptions. `LOOM_MAX_PREEMPTIONS` sets another bound.
fn explorer() -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder
}

/// Runs these at the same time, in every order.
fn explore<const N: usize>(actors: [fn(&World); N]) {
    explorer().check(move || {
        let world = World::new();
        let [first, others @ ..] = &actors[..] else {
            return;
        };
        let threads: Vec<_> = others
            .iter()
            .map(|&actor| {
                let world = Arc::clone(&world);
                thread::spawn(move || actor(&world))
            })
            .collect();
        first(&world);
        for thread in threads {
            thread.join().expect("nobody panics");
        }
        // Whatever happened, it has ended: the next read is right, and so is the one after it.
        world.read();
        world.read();
        let open = world.freshness.counts().open;
        assert_eq!(open, 0, "a window was left open");
    });
}

#[test]
fn a_hit_is_never_older_than_a_write() {
    explore([
        |world| {
            world.read();
            world.read();
        },
        |world| world.read(),
        |world| world.write(1),
    ]);
}

#[test]
fn writers_and_those_who_write_in_vain_may_overlap() {
    explore([
        |world| {
            world.read();
            world.read();
        },
        |world| world.write(1),
        |world| world.write_in_vain(),
    ]);
    explore([
        |world| world.read(),
        |world| world.write(1),
        |world| world.write(2),
    ]);
}

#[test]
fn a_result_that_is_waited_for_is_not_older_either() {
    explore([
        |world| world.read_together(),
        |world| world.read_together(),
        |world| world.write(1),
    ]);
}

/// The client of a write vanishes with its connection: nobody says how it ended, and when the backend ends.
#[test]
fn an_orphan_keeps_its_window_until_its_backend_is_gone() {
    const BACKEND: Backend = Backend {
        server: 0,
        pid: 1,
        postmaster_start: 1,
        start: 1,
    };
    explorer().check(|| {
        let world = World::new();
        let lives = Arc::new(AtomicBool::new(true));
        let window = world.freshness.open([world.table()], Some(BACKEND));
        let backend = thread::spawn({
            let (world, lives) = (Arc::clone(&world), Arc::clone(&lives));
            move || {
                world.commit(1);
                lives.store(false, Ordering::SeqCst);
            }
        });
        let proxy = thread::spawn({
            let (world, lives) = (Arc::clone(&world), Arc::clone(&lives));
            move || {
                drop(window);
                let known = world.freshness.orphans();
                let is_gone = !lives.load(Ordering::SeqCst);
                world.freshness.close_orphans(&known, |_| is_gone);
            }
        });
        world.read();
        world.read();
        backend.join().expect("nobody panics");
        proxy.join().expect("nobody panics");
        world.read_past_the_cache();
        world.read();
        let known = world.freshness.orphans();
        world.freshness.close_orphans(&known, |_| true);
        world.read();
        world.read();
        assert_eq!(world.freshness.counts().open, 0);
    });
}

/// Another table gets a trigger that changes ours, while somebody writes to it who was judged before.
#[test]
fn a_definition_that_comes_in_between_catches_the_windows_that_are_open() {
    const OTHER: u32 = 7;
    explorer().check(|| {
        let world = World::new();
        // Both would do if they shared a word.
        assert_ne!(world.slot(OTHER), world.table());
        let has_trigger = Arc::new(Mutex::new(false));
        let catalog = world.catalog().expect("nothing is open");
        let writer = thread::spawn({
            let (world, has_trigger) = (Arc::clone(&world), Arc::clone(&has_trigger));
            move || {
                // As a session does: what it was judged by may be outdated when its window opens.
                let mut window = world.freshness.open([world.slot(OTHER)], None);
                if !world.freshness.words().is_current(catalog) {
                    window.extend([Slot::EVERYTHING]);
                }
                let has_trigger = *has_trigger.lock();
                if has_trigger {
                    world.commit(1);
                }
                window.close(Outcome::Committed);
                if has_trigger {
                    world.acknowledge(1);
                }
            }
        });
        let definer = thread::spawn({
            let (world, has_trigger) = (Arc::clone(&world), Arc::clone(&has_trigger));
            move || {
                let slots = [Slot::EVERYTHING, Slot::CATALOG];
                let window = world.freshness.open(slots, None);
                *has_trigger.lock() = true;
                window.close(Outcome::Committed);
            }
        });
        world.read();
        world.read();
        writer.join().expect("nobody panics");
        definer.join().expect("nobody panics");
        world.read();
        assert!(world.freshness.words().stamp(Slot::EVERYTHING).is_some());
    });
}
