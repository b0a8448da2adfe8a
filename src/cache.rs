//! Results as client-ready bytes, in process, bounded in bytes.
//!
//! An [`entry::Entry`] carries the stamps it was read under; [`Cache::lookup`] gives it only while they are
//! all current and its time has not run out. Keys are whole: two sessions share an entry only if everything
//! that may make a difference is equal, byte for byte.

pub mod entry;
pub mod key;

use std::sync::Arc;
use std::time::Instant;

use ahash::RandomState;
use entry::Entry;

use crate::config::Ttl;
use crate::freshness::words::Words;

/// The first tier.
pub struct Cache {
    entries: moka::sync::Cache<Box<[u8]>, Arc<Entry>, RandomState>,
    max_bytes: u64,
}

/// What every entry costs beside its key and its bytes: the map's own book-keeping, as measured.
const ENTRY_OVERHEAD: usize = 300;

impl Cache {
    /// An empty cache of at most `max_bytes`.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let entries = moka::sync::Cache::<Box<[u8]>, Arc<Entry>>::builder()
            .max_capacity(max_bytes)
            .weigher(|key, entry| {
                let bytes =
                    key.len() + entry.bytes().len() + entry.stamps().len() * 16 + ENTRY_OVERHEAD;
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build_with_hasher(RandomState::new());
        Self { entries, max_bytes }
    }

    /// The entry of a key, if it may be served now.
    #[must_use]
    pub fn lookup(&self, key: &[u8], words: &Words, now: Instant) -> Option<Arc<Entry>> {
        self.entries
            .get(key)
            .filter(|entry| entry.is_servable(words, now))
    }

    /// Keeps a result. Its stamps are checked once more, so that what is void already takes no room.
    pub fn fill(&self, key: Box<[u8]>, entry: Entry, words: &Words) -> Option<Arc<Entry>> {
        if !entry.is_fresh(words) {
            return None;
        }
        let entry = Arc::new(entry);
        self.entries.insert(key, Arc::clone(&entry));
        Some(entry)
    }

    /// Entries and bytes held, as of the last housekeeping.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }

    /// The bound on bytes.
    #[must_use]
    pub const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
}

/// When an entry made now must no longer be served; `None` for never.
#[must_use]
pub fn deadline(now: Instant, ttl: Ttl) -> Option<Instant> {
    ttl.duration().and_then(|ttl| now.checked_add(ttl))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::freshness::window::{Freshness, Outcome};
    use crate::freshness::words::Slot;

    fn entry(freshness: &Freshness, deadline: Option<Instant>) -> Entry {
        let stamps = [freshness
            .words()
            .stamp(Slot::EVERYTHING)
            .expect("nothing is open")];
        Entry::new(Box::from(*b"TTTTrows"), 4, stamps.into(), deadline)
    }

    #[test]
    fn a_commit_makes_an_entry_a_miss_and_a_rollback_does_not() {
        let (freshness, cache, now) = (Freshness::new(64), Cache::new(1 << 20), Instant::now());
        assert!(
            cache
                .fill(
                    b"k".as_slice().into(),
                    entry(&freshness, None),
                    freshness.words()
                )
                .is_some()
        );
        assert!(cache.lookup(b"k", freshness.words(), now).is_some());

        let window = freshness.open([Slot::EVERYTHING], None);
        assert!(cache.lookup(b"k", freshness.words(), now).is_none());
        window.close(Outcome::RolledBack);
        assert!(cache.lookup(b"k", freshness.words(), now).is_some());

        freshness
            .open([Slot::EVERYTHING], None)
            .close(Outcome::Committed);
        assert!(cache.lookup(b"k", freshness.words(), now).is_none());
    }

    #[test]
    fn a_fill_that_a_commit_overtook_is_refused() {
        let (freshness, cache) = (Freshness::new(64), Cache::new(1 << 20));
        let late = entry(&freshness, None);
        freshness
            .open([Slot::EVERYTHING], None)
            .close(Outcome::Committed);
        assert!(
            cache
                .fill(b"k".as_slice().into(), late, freshness.words())
                .is_none()
        );
    }

    #[test]
    fn an_entry_ends_with_its_time() {
        let (freshness, cache, now) = (Freshness::new(64), Cache::new(1 << 20), Instant::now());
        let ends = deadline(now, Ttl::After(Duration::from_secs(5)));
        assert!(
            cache
                .fill(
                    b"k".as_slice().into(),
                    entry(&freshness, ends),
                    freshness.words()
                )
                .is_some()
        );
        assert!(
            cache
                .lookup(b"k", freshness.words(), now + Duration::from_secs(4))
                .is_some()
        );
        assert!(
            cache
                .lookup(b"k", freshness.words(), now + Duration::from_secs(5))
                .is_none()
        );
        assert_eq!(deadline(now, Ttl::Never), None);
    }
}
