//! How far this instance has followed the messages of its fleet, and when each word was last opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

/// A life of the fleet, and what results of it are kept with.
pub(super) struct Epoch<K> {
    /// Its name.
    pub(super) name: String,
    /// Its name as results carry it.
    pub(super) mark: String,
    /// What its results are kept with.
    pub(super) keys: K,
}

/// The place in the order of messages at which each word was last opened, and of the last message applied.
pub(super) struct Versions<K> {
    opened: Box<[AtomicU64]>,
    applied: AtomicU64,
    /// `None` while this instance follows nothing.
    epoch: ArcSwapOption<Epoch<K>>,
}

/// What a result is kept with, if it is kept: read before its stamps are taken.
pub(super) struct Ticket<K> {
    pub(super) epoch: Arc<Epoch<K>>,
    pub(super) applied: u64,
}

impl<K> Versions<K> {
    pub(super) fn new(words: usize) -> Self {
        Self {
            opened: (0..words).map(|_| AtomicU64::new(0)).collect(),
            applied: AtomicU64::new(0),
            epoch: ArcSwapOption::empty(),
        }
    }

    /// Follows an epoch from here on; nothing of an earlier one counts.
    pub(super) fn follow(
        &self,
        epoch: Epoch<K>,
        seq: u64,
        opened: impl IntoIterator<Item = (u32, u64)>,
    ) {
        self.abandon();
        for word in &self.opened {
            word.store(0, Ordering::SeqCst);
        }
        for (slot, seq) in opened {
            self.note(slot, seq);
        }
        self.applied.store(seq, Ordering::SeqCst);
        self.epoch.store(Some(Arc::new(epoch)));
    }

    /// Follows nothing.
    pub(super) fn abandon(&self) {
        self.epoch.store(None);
    }

    /// A word was opened by the message at `seq`.
    pub(super) fn note(&self, slot: u32, seq: u64) {
        if let Some(word) = self.opened.get(slot as usize) {
            word.fetch_max(seq, Ordering::SeqCst);
        }
    }

    /// Everything up to `seq` has been applied to the words.
    pub(super) fn advance(&self, seq: u64) {
        self.applied.store(seq, Ordering::SeqCst);
    }

    /// The last message applied.
    pub(super) fn applied(&self) -> u64 {
        self.applied.load(Ordering::SeqCst)
    }

    /// What a result is to be kept with that is about to be asked for.
    pub(super) fn ticket(&self) -> Option<Ticket<K>> {
        // In this order: a result must not seem to know of more than it does.
        let epoch = self.epoch.load_full()?;
        Some(Ticket {
            epoch,
            applied: self.applied(),
        })
    }

    /// Was none of these words opened after `seq`, in this epoch?
    pub(super) fn is_current(
        &self,
        epoch: &str,
        seq: u64,
        slots: impl IntoIterator<Item = u32>,
    ) -> bool {
        let unopened = |slot: u32| {
            self.opened
                .get(slot as usize)
                .is_some_and(|word| word.load(Ordering::SeqCst) <= seq)
        };
        let Some(before) = self.epoch.load_full().filter(|ours| ours.mark == epoch) else {
            return false;
        };
        // The words are of no use while they are being read anew.
        let is_same =
            |now: &Option<Arc<Epoch<K>>>| now.as_ref().is_some_and(|now| Arc::ptr_eq(now, &before));
        slots.into_iter().all(unopened) && is_same(&self.epoch.load())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(name: &str) -> Epoch<()> {
        Epoch {
            name: name.into(),
            mark: name.into(),
            keys: (),
        }
    }

    #[test]
    fn a_result_is_current_until_a_word_of_its_is_opened() {
        let versions = Versions::new(8);
        assert!(versions.ticket().is_none());
        versions.follow(epoch("a"), 5, [(2, 4)]);
        let ticket = versions.ticket().expect("followed");
        assert_eq!(ticket.applied, 5);
        assert!(versions.is_current("a", 5, [2, 3]));
        assert!(
            !versions.is_current("a", 3, [2]),
            "opened at 4, before we came"
        );
        versions.note(3, 6);
        versions.advance(6);
        assert!(!versions.is_current("a", 5, [2, 3]));
        assert!(versions.is_current("a", 6, [2, 3]));
        assert!(!versions.is_current("b", 6, [2]));
        assert!(!versions.is_current("a", 6, [8]), "no such word");
        versions.follow(epoch("b"), 0, []);
        assert!(!versions.is_current("a", 9, [2]));
        versions.abandon();
        assert!(!versions.is_current("b", 9, [2]));
    }
}
