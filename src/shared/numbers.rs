//! What is counted of the shared tier and of the fleet.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use crate::observe::{Latency, Summary};

/// The numbers so far.
pub(super) struct Numbers {
    is_serving: AtomicBool,
    is_linked: AtomicBool,
    members: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) unreadable: AtomicU64,
    pub(super) outdated: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) fills: AtomicU64,
    pub(super) fills_dropped: AtomicU64,
    pub(super) fills_failed: AtomicU64,
    pub(super) bytes_read: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    pub(super) breaker_opened: AtomicU64,
    joins: AtomicU64,
    reads: Mutex<Latency>,
    waits: Mutex<Latency>,
}

/// The state of the shared tier and of the fleet, for the admin side.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The server can be reached, and this instance is a member of the fleet.
    pub linked: bool,
    /// The tier is used: it is linked, and the others know of this instance.
    pub serving: bool,
    /// What the instances promise each other.
    pub coherence: &'static str,
    /// Instances in the fleet, this one included.
    pub members: u64,
    /// How often this instance has joined.
    pub joins: u64,
    /// The breaker is open: results are neither looked for nor stored.
    pub breaker_open: bool,
    /// How often it has opened.
    pub breaker_opened: u64,
    /// Results served from Redis.
    pub hits: u64,
    /// Results that were not there.
    pub misses: u64,
    /// Values that could not be read: another format or key, or tampered with.
    pub unreadable: u64,
    /// Results that something had changed since.
    pub outdated: u64,
    /// Reads that did not ask Redis, since it cannot be used.
    pub skipped: u64,
    /// Reads on which Redis failed or was too slow.
    pub failures: u64,
    /// Results stored.
    pub fills: u64,
    /// Results not stored: the queue was full, or they were too large.
    pub fills_dropped: u64,
    /// Results that Redis did not take.
    pub fills_failed: u64,
    /// Bytes read and written.
    pub bytes_read: u64,
    /// Likewise.
    pub bytes_written: u64,
    /// How long reads of Redis took.
    pub read: Summary,
    /// How long changes waited until every member knew.
    pub acknowledgement: Summary,
}

impl Numbers {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            is_serving: AtomicBool::new(false),
            is_linked: AtomicBool::new(false),
            members: zero(),
            hits: zero(),
            misses: zero(),
            unreadable: zero(),
            outdated: zero(),
            skipped: zero(),
            failures: zero(),
            fills: zero(),
            fills_dropped: zero(),
            fills_failed: zero(),
            bytes_read: zero(),
            bytes_written: zero(),
            breaker_opened: zero(),
            joins: zero(),
            reads: Mutex::new(Latency::new()),
            waits: Mutex::new(Latency::new()),
        }
    }

    /// May results of the shared tier be used?
    pub(super) fn is_serving(&self) -> bool {
        self.is_serving.load(Relaxed)
    }

    pub(super) fn note_serving(&self, serving: bool) {
        self.is_serving.store(serving, Relaxed);
    }

    pub(super) fn note_linked(&self, linked: bool) {
        if linked {
            self.joins.fetch_add(1, Relaxed);
        }
        self.is_linked.store(linked, Relaxed);
    }

    pub(super) fn note_members(&self, count: usize) {
        self.members.store(count as u64, Relaxed);
    }

    pub(super) fn record_read(&self, elapsed: Duration) {
        self.reads.lock().record(elapsed);
    }

    pub(super) fn record_wait(&self, elapsed: Duration) {
        self.waits.lock().record(elapsed);
    }

    pub(super) fn report(&self, coherence: &'static str, breaker_open: bool) -> Report {
        let of = |number: &AtomicU64| number.load(Relaxed);
        Report {
            linked: self.is_linked.load(Relaxed),
            serving: self.is_serving(),
            coherence,
            members: of(&self.members),
            joins: of(&self.joins),
            breaker_open,
            breaker_opened: of(&self.breaker_opened),
            hits: of(&self.hits),
            misses: of(&self.misses),
            unreadable: of(&self.unreadable),
            outdated: of(&self.outdated),
            skipped: of(&self.skipped),
            failures: of(&self.failures),
            fills: of(&self.fills),
            fills_dropped: of(&self.fills_dropped),
            fills_failed: of(&self.fills_failed),
            bytes_read: of(&self.bytes_read),
            bytes_written: of(&self.bytes_written),
            read: self.reads.lock().summary(),
            acknowledgement: self.waits.lock().summary(),
        }
    }
}
