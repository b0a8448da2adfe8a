//! The version words: one atomic word a tag.
//!
//! ```text
//!     word = version << 16 | open          open = commit windows open right now
//! ```
//!
//! Two tags that share a slot cost needless misses, never a stale hit. Memory is fixed, a check is one load
//! and one compare, and nothing is ever locked. `open` has 16 bits: windows belong to server connections,
//! and a window counts once a slot, so the limit on connections ([`WINDOWS_MAX`]) keeps it from overflowing.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Tag;
use crate::sync::{AtomicU64, RandomState};

/// The most windows that may be open at once on one word; the configuration keeps server connections below.
pub const WINDOWS_MAX: u32 = 0xffff;

const OPEN_MASK: u64 = 0xffff;
const VERSION_ONE: u64 = 1 << 16;

/// The place of a tag's word.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Slot(u32);

impl Slot {
    /// The word that every result depends on.
    pub const EVERYTHING: Self = Self(0);
    /// The word that every catalog snapshot depends on.
    pub const CATALOG: Self = Self(1);
    const FIXED: u64 = 2;

    /// Its index, for people.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A word as it was read while no window was open on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamp {
    slot: Slot,
    word: u64,
}

impl Stamp {
    /// The slot of its word.
    #[must_use]
    pub const fn slot(self) -> Slot {
        self.slot
    }
}

/// The array of words.
pub struct Words {
    words: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Words {
    /// An array of `slots` words; at least four.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        let words = (0..slots.max(4)).map(|_| AtomicU64::new(0)).collect();
        Self {
            words,
            hasher: RandomState::new(),
        }
    }

    /// The slot of a tag. The two tags that everything hangs on have slots of their own.
    #[must_use]
    pub fn slot(&self, tag: Tag) -> Slot {
        match tag {
            Tag::Everything => Slot::EVERYTHING,
            Tag::Catalog => Slot::CATALOG,
            Tag::Table { .. } => self.place(self.hasher.hash_one(tag)),
            Tag::SharedTable {
                system,
                database,
                oid,
            } => {
                let table = u64::from(database) << 32 | u64::from(oid);
                self.place(mix(mix(system) ^ table))
            }
        }
    }

    fn place(&self, hash: u64) -> Slot {
        let rest = self.words.len() as u64 - Slot::FIXED;
        let index = Slot::FIXED + hash % rest;
        Slot(u32::try_from(index).expect("the array has fewer than 2^32 words"))
    }

    /// The slot of this number, if there is one.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Option<Slot> {
        ((number as usize) < self.words.len()).then_some(Slot(number))
    }

    /// How many words there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Never: there are at least four words.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The slot's stamp, or `None` while a window is open on it.
    #[must_use]
    pub fn stamp(&self, slot: Slot) -> Option<Stamp> {
        let word = self.word(slot).load(Ordering::SeqCst);
        (word & OPEN_MASK == 0).then_some(Stamp { slot, word })
    }

    /// The stamps of a result that depends on `slots` and was planned by the catalog of the stamp `catalog`, or `None` while
    /// a window is open on any of them.
    ///
    /// The catalog's stamp is the snapshot's own: if the catalogs have changed since, the fill is refused.
    #[must_use]
    pub fn stamps(&self, catalog: Stamp, slots: &[Slot]) -> Option<Arc<[Stamp]>> {
        let mut stamps = Vec::with_capacity(slots.len() + 1);
        stamps.push(catalog);
        for &slot in slots {
            stamps.push(self.stamp(slot)?);
        }
        self.is_current(catalog).then(|| stamps.into())
    }

    /// Does the word still stand as it was when the stamp was taken?
    #[must_use]
    pub fn is_current(&self, stamp: Stamp) -> bool {
        self.word(stamp.slot).load(Ordering::SeqCst) == stamp.word
    }

    /// The word itself, to tell whether it has changed.
    #[must_use]
    pub fn raw(&self, slot: Slot) -> u64 {
        self.word(slot).load(Ordering::SeqCst)
    }

    /// A window opens: from here on no stamp can be taken and no stamp is current.
    pub(super) fn open(&self, slot: Slot) {
        self.word(slot).fetch_add(1, Ordering::SeqCst);
    }

    /// A window closes after a change: stamps taken before it are void for good.
    pub(super) fn close_committed(&self, slot: Slot) {
        self.word(slot).fetch_add(VERSION_ONE - 1, Ordering::SeqCst);
    }

    /// A window closes and nothing changed: stamps taken before it hold again.
    pub(super) fn close_rolled_back(&self, slot: Slot) {
        self.word(slot).fetch_sub(1, Ordering::SeqCst);
    }

    /// Voids every stamp ever taken: history may have been lost.
    pub fn bump_everything(&self) {
        self.bump(Slot::EVERYTHING);
        self.bump(Slot::CATALOG);
    }

    /// Voids every stamp of one word.
    pub fn bump(&self, slot: Slot) {
        self.word(slot).fetch_add(VERSION_ONE, Ordering::SeqCst);
    }

    fn word(&self, slot: Slot) -> &AtomicU64 {
        &self.words[slot.0 as usize]
    }
}

/// The finalizer of splitmix64: the same in every process and every release.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Tag = Tag::Table {
        server: 0,
        database: 1,
        oid: 16_384,
    };

    #[test]
    fn no_stamp_can_be_taken_in_an_open_window() {
        let words = Words::new(1024);
        let slot = words.slot(TABLE);
        let before = words.stamp(slot).expect("nothing is open");
        words.open(slot);
        assert_eq!(words.stamp(slot), None);
        assert!(!words.is_current(before));
        words.close_committed(slot);
        assert!(!words.is_current(before));
        assert!(words.stamp(slot).is_some_and(|after| after != before));
    }

    #[test]
    fn a_rolled_back_window_leaves_stamps_valid() {
        let words = Words::new(1024);
        let slot = words.slot(TABLE);
        let before = words.stamp(slot).expect("nothing is open");
        words.open(slot);
        words.open(slot);
        words.close_rolled_back(slot);
        assert!(!words.is_current(before));
        words.close_rolled_back(slot);
        assert!(words.is_current(before));
    }

    #[test]
    fn a_commit_beside_a_rollback_voids_stamps() {
        let words = Words::new(1024);
        let slot = words.slot(TABLE);
        let before = words.stamp(slot).expect("nothing is open");
        words.open(slot);
        words.open(slot);
        words.close_committed(slot);
        words.close_rolled_back(slot);
        assert!(!words.is_current(before));
    }

    #[test]
    fn the_fixed_tags_share_no_slot_with_tables() {
        let words = Words::new(4);
        for oid in 0..1000 {
            let slot = words.slot(Tag::Table {
                server: 0,
                database: 0,
                oid,
            });
            assert!(slot != Slot::EVERYTHING && slot != Slot::CATALOG);
        }
    }

    #[test]
    fn every_instance_of_a_fleet_puts_a_table_in_the_same_place() {
        let tag = |oid| Tag::SharedTable {
            system: 7_300_000_000_000_000_001,
            database: 16_384,
            oid,
        };
        let (a, b) = (Words::new(1 << 20), Words::new(1 << 20));
        assert_eq!(a.slot(tag(16_385)), b.slot(tag(16_385)));
        // Written down, so that a release that would place it elsewhere is noticed.
        assert_eq!(a.slot(tag(16_385)).number(), 458594);
        let slots: std::collections::BTreeSet<Slot> =
            (0..1000).map(|oid| a.slot(tag(oid))).collect();
        assert!(slots.len() > 990, "{} of 1000", slots.len());
    }
}
