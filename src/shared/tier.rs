//! Results in Redis: looked for within a bound, stored in the background, and left alone while Redis is in trouble.
//!
//! The breaker is the connection itself: while there is none, nothing is asked and nothing costs anything. An error
//! of the connection, or some time-outs in a row, take it away; a probe brings another once Redis answers in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::envelope::{Address, Keys, Letter, Question};
use super::link::{LinkError, Place};
use super::numbers::Numbers;
use super::store::Store;
use super::versions::{Ticket, Versions};
use crate::cache::entry::Entry;
use crate::config::Redis;
use crate::freshness::window::Freshness;
use crate::freshness::words::Slot;

/// So many time-outs in a row open the breaker.
const TIMEOUTS_MAX: u32 = 3;
/// How long connecting, and storing a result, may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two probes, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long nothing is stored after Redis has said that it is full.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// The results in Redis.
pub(super) struct Tier {
    pub(super) versions: Arc<Versions<Keys>>,
    pub(super) numbers: Arc<Numbers>,
    freshness: Arc<Freshness>,
    config: Redis,
    prefix: String,
    result_max_bytes: usize,
    store: ArcSwapOption<Store>,
    timeouts: AtomicU32,
    broken: Notify,
    fills: mpsc::Sender<Fill>,
}

/// Where a result is to be stored, once it is there, and what it was asked for under.
pub struct Destination {
    ticket: Ticket<Keys>,
    address: Address,
}

/// A result from Redis.
pub struct Hit {
    /// Its messages.
    pub bytes: Box<[u8]>,
    /// Where its rows begin.
    pub rows_at: usize,
    /// When it ends; `None` for never.
    pub ends: Option<Instant>,
}

struct Fill {
    destination: Destination,
    entry: Arc<Entry>,
    rows_at: usize,
    ends: Option<Instant>,
}

impl Tier {
    pub(super) fn new(
        (config, prefix, result_max_bytes): (Redis, String, usize),
        freshness: Arc<Freshness>,
        versions: Arc<Versions<Keys>>,
        numbers: Arc<Numbers>,
    ) -> (Arc<Self>, Fills) {
        let (fills, queue) = mpsc::channel(config.fill_queue_max);
        let tier = Arc::new(Self {
            versions,
            numbers,
            freshness,
            config,
            prefix,
            result_max_bytes,
            store: ArcSwapOption::empty(),
            timeouts: AtomicU32::new(0),
            broken: Notify::new(),
            fills,
        });
        (tier, Fills(queue))
    }

    pub(super) fn is_broken(&self) -> bool {
        self.store.load().is_none()
    }

    /// Where the answer to a question is to be found, or stored; to be asked before the stamps are taken.
    pub(super) fn ticket(&self) -> Option<Ticket<Keys>> {
        self.versions.ticket()
    }

    pub(super) fn destination(&self, ticket: Ticket<Keys>, question: &Question<'_>) -> Destination {
        let address = ticket.epoch.keys.address(&self.prefix, question);
        Destination { ticket, address }
    }

    /// Looks for a result that depends on no other words than `slots`. The caller has taken stamps of them since it
    /// has its ticket, and looks at the stamps again before it uses what is found.
    pub(super) async fn find(&self, destination: &Destination, slots: &[Slot]) -> Option<Hit> {
        let store = self.store.load_full();
        let is_usable = self.numbers.is_serving() && !self.freshness.peers().is_bump_untold();
        let Some(store) = store.filter(|_| is_usable) else {
            self.numbers.skipped.fetch_add(1, Relaxed);
            return None;
        };
        let began = Instant::now();
        let limit = self.config.read_timeout;
        let read = Store::clone(&store)
            .read(&destination.address.key, limit)
            .await;
        let now = Instant::now();
        self.numbers.record_read(now - began);
        let (value, left) = match read {
            Ok(found) => {
                self.timeouts.store(0, Relaxed);
                found.or_else(|| self.count(&self.numbers.misses))?
            }
            Err(error) => {
                self.note_failure(&store, &error);
                return self.count(&self.numbers.failures);
            }
        };
        self.numbers
            .bytes_read
            .fetch_add(value.len() as u64, Relaxed);
        let ticket = &destination.ticket;
        let opened = ticket
            .epoch
            .keys
            .open(&destination.address, &value, self.result_max_bytes);
        let Some(letter) = opened else {
            return self.count(&self.numbers.unreadable);
        };
        if !self.is_current(ticket, &letter, slots) {
            return self.count(&self.numbers.outdated);
        }
        self.numbers.hits.fetch_add(1, Relaxed);
        Some(Hit {
            bytes: letter.bytes.into(),
            rows_at: letter.rows_at,
            // The time it had left when it was read, from when it was asked for.
            ends: left.and_then(|left| began.checked_add(Duration::from_millis(left))),
        })
    }

    fn count<T>(&self, number: &AtomicU64) -> Option<T> {
        number.fetch_add(1, Relaxed);
        None
    }

    fn is_current(&self, ticket: &Ticket<Keys>, letter: &Letter, slots: &[Slot]) -> bool {
        let fixed = [Slot::EVERYTHING, Slot::CATALOG].map(Slot::number);
        let is_ours =
            |slot: &u32| fixed.contains(slot) || slots.iter().any(|ours| ours.number() == *slot);
        let all = letter.slots.iter().copied().chain(fixed);
        letter.epoch == ticket.epoch.mark
            && letter.slots.iter().all(is_ours)
            && self.versions.is_current(&letter.epoch, letter.seq, all)
            && !self.freshness.peers().is_bump_untold()
    }

    /// Stores a result, in the background, if there is room in the queue.
    pub(super) fn keep(
        &self,
        destination: Destination,
        entry: &Arc<Entry>,
        rows_at: usize,
        ends: Option<Instant>,
    ) {
        let fill = Fill {
            destination,
            entry: Arc::clone(entry),
            rows_at,
            ends,
        };
        let is_too_large = entry.bytes().len() > self.config.value_max_bytes;
        if is_too_large || self.is_broken() || self.fills.try_send(fill).is_err() {
            self.numbers.fills_dropped.fetch_add(1, Relaxed);
        }
    }

    /// A request came to nothing. Takes the connection away if it is of no more use.
    fn note_failure(&self, store: &Arc<Store>, error: &LinkError) {
        let opens = match error {
            LinkError::Silent(_) => self.timeouts.fetch_add(1, Relaxed) + 1 >= TIMEOUTS_MAX,
            error => !error.is_answer(),
        };
        if !opens {
            return;
        }
        let current = self.store.load_full();
        if current.is_some_and(|current| Arc::ptr_eq(&current, store)) {
            self.store.store(None);
            self.numbers.breaker_opened.fetch_add(1, Relaxed);
            tracing::debug!("results are not looked for in Redis: {error}");
            self.broken.notify_one();
        }
    }

    /// Keeps a connection. One that does not answer in time is none.
    pub(super) async fn mend(self: Arc<Self>, place: Arc<Place>, stop: CancellationToken) {
        let mut pause = PAUSE_MIN;
        while !stop.is_cancelled() {
            if self.is_broken() {
                match self.probe(&place).await {
                    Ok(store) => {
                        self.timeouts.store(0, Relaxed);
                        self.store.store(Some(Arc::new(store)));
                        pause = PAUSE_MIN;
                    }
                    Err(error) => {
                        tracing::debug!("Redis is not there for results: {error}");
                        tokio::select! {
                            () = tokio::time::sleep(pause) => {}
                            () = stop.cancelled() => return,
                        }
                        pause = (pause * 2).min(PAUSE_MAX);
                    }
                }
            } else {
                tokio::select! {
                    () = self.broken.notified() => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    async fn probe(&self, place: &Place) -> Result<Store, LinkError> {
        let mut store = place.store(PATIENCE).await?;
        let key = format!("{}probe", self.prefix);
        // The first of a connection may be slower.
        store.read(key.as_bytes(), PATIENCE).await?;
        store.read(key.as_bytes(), self.config.read_timeout).await?;
        Ok(store)
    }

    async fn store(&self, fill: Fill) -> Result<bool, LinkError> {
        let now = Instant::now();
        let left = |ends: Instant| u64::try_from(ends.saturating_duration_since(now).as_millis());
        let most = self
            .config
            .ttl_max
            .duration()
            .and_then(|ttl| now.checked_add(ttl));
        let ends = match (fill.ends, most) {
            (Some(ends), Some(most)) => Some(ends.min(most)),
            (ends, most) => ends.or(most),
        };
        let millis = ends.map(|ends| left(ends).unwrap_or(u64::MAX));
        let Some(store) = self.store.load_full().filter(|_| millis != Some(0)) else {
            return Ok(false);
        };
        let ticket = &fill.destination.ticket;
        let slots = fill
            .entry
            .stamps()
            .iter()
            .map(|stamp| stamp.slot().number());
        let letter = Letter {
            epoch: ticket.epoch.name.clone(),
            seq: ticket.applied,
            slots: slots.collect(),
            rows_at: fill.rows_at,
            bytes: Vec::new(),
        };
        let address = &fill.destination.address;
        let value = ticket.epoch.keys.seal(
            address,
            &letter,
            fill.entry.bytes(),
            self.config.compress_min_bytes,
            rand::random(),
        );
        let written = Store::clone(&store)
            .write(&address.key, &value, millis, PATIENCE)
            .await;
        match written {
            Ok(()) => {
                self.numbers
                    .bytes_written
                    .fetch_add(value.len() as u64, Relaxed);
                Ok(true)
            }
            Err(error) => {
                self.note_failure(&store, &error);
                Err(error)
            }
        }
    }
}

/// The results that wait to be stored.
pub(super) struct Fills(mpsc::Receiver<Fill>);

impl Fills {
    /// Stores them, one after the other.
    pub(super) async fn run(mut self, tier: Arc<Tier>) {
        let mut full_until = None;
        while let Some(fill) = self.0.recv().await {
            if full_until.is_some_and(|until| Instant::now() < until) {
                tier.numbers.fills_dropped.fetch_add(1, Relaxed);
                continue;
            }
            match tier.store(fill).await {
                Ok(true) => tier.numbers.fills.fetch_add(1, Relaxed),
                Ok(false) => tier.numbers.fills_dropped.fetch_add(1, Relaxed),
                Err(error) => {
                    if error.is_full() {
                        full_until = Some(Instant::now() + FULL_PAUSE);
                    }
                    tier.numbers.fills_failed.fetch_add(1, Relaxed)
                }
            };
        }
    }
}
