//! Single flight: identical misses that happen together wait for the first.
//!
//! The first to miss leads and asks the server; the others wait until it is done and then look into the
//! cache again, so that whatever they serve has passed the same check as any hit. Nobody waits for a leader
//! whose stamps are no longer current, since its result could not be kept.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::words::{Stamp, Words};
use crate::sync::{Mutex, RandomState};

const SHARDS: usize = 64;

type Shard = std::collections::HashMap<Box<[u8]>, Flight>;

struct Flight {
    number: u64,
    stamps: Arc<[Stamp]>,
    landed: watch::Receiver<()>,
}

/// The misses under way, by cache key.
pub struct Flights {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    departures: AtomicU64,
}

/// What a miss does next.
pub enum Boarding {
    /// Ask the server; dropping the guard lets the others go on.
    Lead(Leader),
    /// Wait for the leader's guard to drop ([`watch::Receiver::changed`] then fails), and look again.
    Wait(watch::Receiver<()>),
}

/// The leader's guard.
pub struct Leader {
    flights: Arc<Flights>,
    key: Box<[u8]>,
    number: u64,
    _landing: watch::Sender<()>,
}

impl Flights {
    /// No miss under way.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect();
        Arc::new(Self {
            shards,
            hasher: RandomState::new(),
            departures: AtomicU64::new(0),
        })
    }

    /// Joins the misses of `key`, or leads them; `stamps` are those the caller has just taken.
    pub fn board(self: &Arc<Self>, key: &[u8], stamps: &Arc<[Stamp]>, words: &Words) -> Boarding {
        let mut shard = self.shard(key).lock();
        if let Some(flight) = shard.get(key)
            && flight.stamps.iter().all(|&stamp| words.is_current(stamp))
        {
            return Boarding::Wait(flight.landed.clone());
        }
        let number = self.departures.fetch_add(1, Ordering::Relaxed);
        let (landing, landed) = watch::channel(());
        shard.insert(
            key.into(),
            Flight {
                number,
                stamps: Arc::clone(stamps),
                landed,
            },
        );
        Boarding::Lead(Leader {
            flights: Arc::clone(self),
            key: key.into(),
            number,
            _landing: landing,
        })
    }

    fn shard(&self, key: &[u8]) -> &Mutex<Shard> {
        let index = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64);
        &self.shards[index.expect("less than SHARDS")]
    }
}

impl std::fmt::Debug for Leader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leader")
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // A later leader with newer stamps may have taken the place: that flight is not ours to end.
        let mut shard = self.flights.shard(&self.key).lock();
        if shard
            .get(&self.key)
            .is_some_and(|flight| flight.number == self.number)
        {
            shard.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freshness::window::{Freshness, Outcome};
    use crate::freshness::words::Slot;

    fn stamps(freshness: &Freshness) -> Arc<[Stamp]> {
        [freshness
            .words()
            .stamp(Slot::EVERYTHING)
            .expect("nothing is open")]
        .into()
    }

    #[tokio::test]
    async fn the_second_waits_until_the_first_is_done() {
        let (freshness, flights) = (Freshness::new(64), Flights::new());
        let stamps = stamps(&freshness);
        let Boarding::Lead(leader) = flights.board(b"k", &stamps, freshness.words()) else {
            panic!("the first leads")
        };
        let Boarding::Wait(mut landed) = flights.board(b"k", &stamps, freshness.words()) else {
            panic!("the second waits")
        };
        assert!(matches!(
            flights.board(b"other", &stamps, freshness.words()),
            Boarding::Lead(_)
        ));
        drop(leader);
        assert!(landed.changed().await.is_err());
        assert!(matches!(
            flights.board(b"k", &stamps, freshness.words()),
            Boarding::Lead(_)
        ));
    }

    #[test]
    fn a_leader_whose_stamps_are_void_is_replaced() {
        let (freshness, flights) = (Freshness::new(64), Flights::new());
        let old = stamps(&freshness);
        let first = flights.board(b"k", &old, freshness.words());
        freshness
            .open([Slot::EVERYTHING], None)
            .close(Outcome::Committed);
        let new = stamps(&freshness);
        let second = flights.board(b"k", &new, freshness.words());
        assert!(matches!(second, Boarding::Lead(_)));
        drop(first);
        assert!(matches!(
            flights.board(b"k", &new, freshness.words()),
            Boarding::Wait(_)
        ));
    }
}
