//! The numbers: how long statements took by route, why they were not cached, and what happened how often.
//!
//! Recording takes no lock that all connections share and allocates nothing. Each thread writes to a shard of its own
//! (threads share one only when there are more threads than shards); a reader adds the shards up.

mod counter;
mod latency;
pub mod log;

use std::{
    array,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

pub use counter::Counter;
pub use latency::{Latency, Summary};

use crate::reason::Reason;

/// How a statement was answered.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(usize)]
pub enum Route {
    /// Forwarded as not cacheable; a [`Reason`] is counted as well.
    Bypass,
    /// Waited for an identical statement that was already on its way.
    Coalesced,
    /// Served from the cache.
    Hit,
    /// Cacheable, but forwarded.
    Miss,
    /// Served from Redis.
    SharedHit,
    /// Forwarded, and it may change something.
    Write,
}

impl Route {
    /// Every route, in the order of the enum.
    pub const ALL: &'static [Self] = &[
        Self::Bypass,
        Self::Coalesced,
        Self::Hit,
        Self::Miss,
        Self::SharedHit,
        Self::Write,
    ];

    /// The name used in metrics, logs and the admin port.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Coalesced => "coalesced",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::SharedHit => "shared_hit",
            Self::Write => "write",
        }
    }
}

/// All numbers of one proxy.
#[derive(Debug)]
pub struct Metrics {
    /// A power of two of them, so that a mask chooses one.
    shards: Box<[Shard]>,
    started: Instant,
}

/// The numbers one thread writes. Two cache lines apart from the next, since processors fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    latencies: Mutex<[Latency; Route::ALL.len()]>,
    counters: [AtomicU64; Counter::ALL.len()],
    bypasses: [AtomicU64; Reason::ALL.len()],
}

impl Metrics {
    /// Numbers at zero, in at least `shards` shards: as many as threads record. A shard reserves about 1 MB of
    /// histograms, of which only the parts in use become resident.
    #[must_use]
    pub fn new(shards: usize) -> Arc<Self> {
        let shards = (0..shards.max(1).next_power_of_two())
            .map(|_| Shard::new())
            .collect();
        Arc::new(Self {
            shards,
            started: Instant::now(),
        })
    }

    /// One statement was answered by this route, this long after it came in.
    pub fn record(&self, route: Route, elapsed: Duration) {
        self.shard().latencies.lock()[route as usize].record(elapsed);
    }

    /// One statement was not cacheable, or one result was not kept, for this reason.
    pub fn bypass(&self, reason: Reason) {
        self.shard().bypasses[reason as usize].fetch_add(1, Relaxed);
    }

    /// Something happened this often.
    pub fn add(&self, counter: Counter, times: u64) {
        self.shard().counters[counter as usize].fetch_add(times, Relaxed);
    }

    /// How often this happened.
    #[must_use]
    pub fn count(&self, counter: Counter) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.counters[counter as usize].load(Relaxed))
            .sum()
    }

    /// How often this reason was given.
    #[must_use]
    pub fn bypasses(&self, reason: Reason) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.bypasses[reason as usize].load(Relaxed))
            .sum()
    }

    /// How long statements took by this route, in short.
    #[must_use]
    pub fn latency(&self, route: Route) -> Summary {
        self.distribution(route).summary()
    }

    /// How long statements took by this route, in full. Each shard is locked for as long as one histogram takes to add.
    #[must_use]
    pub fn distribution(&self, route: Route) -> Latency {
        let mut merged = Latency::new();
        for shard in &self.shards {
            merged.add(&shard.latencies.lock()[route as usize]);
        }
        merged
    }

    /// How long these numbers have been kept.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    fn shard(&self) -> &Shard {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: usize = THREADS.fetch_add(1, Relaxed);
        }
        // A thread that is being torn down may have lost its number already; any shard will do.
        let thread = THREAD.try_with(|thread| *thread).unwrap_or_default();
        &self.shards[thread & (self.shards.len() - 1)]
    }
}

impl Shard {
    fn new() -> Self {
        Self {
            latencies: Mutex::new(array::from_fn(|_| Latency::new())),
            counters: [const { AtomicU64::new(0) }; Counter::ALL.len()],
            bypasses: [const { AtomicU64::new(0) }; Reason::ALL.len()],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    #[test]
    fn every_name_is_its_own_and_every_index_its_place() {
        for (index, route) in Route::ALL.iter().enumerate() {
            assert_eq!(*route as usize, index);
        }
        for (index, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
        }
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        let routes: HashSet<_> = Route::ALL.iter().map(|route| route.as_str()).collect();
        let counters: HashSet<_> = Counter::ALL
            .iter()
            .map(|counter| counter.as_str())
            .collect();
        assert_eq!(
            (routes.len(), counters.len()),
            (Route::ALL.len(), Counter::ALL.len())
        );
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        const THREADS: u64 = 8;
        const EACH: u64 = 1_000;
        let metrics = Metrics::new(3);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for micros in 1..=EACH {
                        metrics.record(Route::Hit, Duration::from_micros(micros));
                        metrics.add(Counter::UpstreamQueries, 2);
                        metrics.bypass(Reason::NotARead);
                    }
                });
            }
        });
        let hits = metrics.latency(Route::Hit);
        assert_eq!(
            (hits.count, hits.min_us, hits.max_us),
            (THREADS * EACH, 1, EACH)
        );
        assert_eq!(metrics.latency(Route::Miss), Summary::default());
        assert_eq!(metrics.count(Counter::UpstreamQueries), 2 * THREADS * EACH);
        assert_eq!(metrics.count(Counter::Fills), 0);
        assert_eq!(metrics.bypasses(Reason::NotARead), THREADS * EACH);
    }

    #[test]
    fn shards_do_not_share_cache_lines() {
        assert_eq!(align_of::<Shard>(), 128);
        assert_eq!(Metrics::new(0).shards.len(), 1);
        assert_eq!(Metrics::new(5).shards.len(), 8);
    }
}
