//! Commit windows: the time in which a change may become visible.
//!
//! A window is opened just before anything that can make a change visible is sent to a server, and closed
//! when the server has said ReadyForQuery. It belongs to the server connection: whoever sent the change may
//! be long gone. A window that is dropped without a verdict has an unknown outcome, so it stays open and is
//! kept as an orphan, which is closed as committed once its backend is known to be gone.
//!
//! What a window covers was found out by the catalog of the moment it was opened. If the catalog changes while
//! it is open, the change it stands for may do more than that (a new trigger, a new foreign key). So when a
//! window over [`Slot::CATALOG`] closes, every older window is taken to cover everything from there on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::peers::{Event, ForeignName, Peers, WindowName};
use super::server::{Identities, Server};
use super::words::{Slot, Words};
use crate::sync::Mutex;

/// A server process, for as long as it lives.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Backend {
    /// The address of its server, by number.
    pub server: u32,
    /// Its process id.
    pub pid: i32,
    /// When its postmaster started, in microseconds since 1970.
    pub postmaster_start: i64,
    /// When it started itself, in microseconds since 1970.
    pub start: i64,
}

/// The words, and the windows whose outcome is unknown.
pub struct Freshness {
    words: Words,
    peers: Peers,
    orphans: Mutex<Vec<Orphan>>,
    ledger: Mutex<Ledger>,
    identities: Identities,
    open: AtomicU64,
    committed: AtomicU64,
    rolled_back: AtomicU64,
}

/// A window whose connection broke before the server told how it ended.
#[derive(Clone, Debug)]
struct Orphan {
    number: u64,
    backend: Option<Backend>,
    slots: SmallVec<[Slot; 4]>,
    told: Told,
}

/// What the peers know of a window.
#[derive(Clone, Debug)]
enum Told {
    /// That it covers these words, if any.
    Own(SmallVec<[Slot; 4]>),
    /// All of it: it is theirs.
    Foreign(ForeignName),
}

/// The windows without an outcome, as they were at one moment.
#[derive(Debug)]
pub struct Orphans(BTreeMap<u64, Option<u32>>);

impl Orphans {
    /// The servers they wait for, by number.
    #[must_use]
    pub fn servers(&self) -> BTreeSet<u32> {
        self.0.values().flatten().copied().collect()
    }
}

/// The windows that are open, by number, and those that a change of the catalog has caught open: until all of
/// one such group are closed, everything counts as being changed.
#[derive(Debug, Default)]
struct Ledger {
    opened: u64,
    open: BTreeSet<u64>,
    caught: Vec<BTreeSet<u64>>,
}

/// How many windows there were and are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Open now, orphans included.
    pub open: u64,
    /// Closed as committed.
    pub committed: u64,
    /// Closed as rolled back.
    pub rolled_back: u64,
    /// Open, with an outcome nobody knows.
    pub orphans: u64,
}

impl Freshness {
    /// No window open, over an array of `slots` words.
    #[must_use]
    pub fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self {
            words: Words::new(slots),
            peers: Peers::none(),
            orphans: Mutex::new(Vec::new()),
            ledger: Mutex::new(Ledger::default()),
            identities: Identities::default(),
            open: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            rolled_back: AtomicU64::new(0),
        })
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// The instances that share the words.
    #[must_use]
    pub const fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Voids everything, here and at every peer: history may have been lost.
    pub fn bump_everything(&self) {
        self.words.bump_everything();
        self.peers.note_bump();
    }

    /// Opens a window over `slots` for a change that `backend` is about to be sent.
    pub fn open(
        self: &Arc<Self>,
        slots: impl IntoIterator<Item = Slot>,
        backend: Option<Backend>,
    ) -> Window {
        self.open_as(slots, backend, Told::Own(SmallVec::new()))
    }

    /// Opens a window that another instance has opened.
    pub fn open_foreign(
        self: &Arc<Self>,
        slots: impl IntoIterator<Item = Slot>,
        backend: Option<Backend>,
        name: ForeignName,
    ) -> Window {
        self.open_as(slots, backend, Told::Foreign(name))
    }

    fn open_as(
        self: &Arc<Self>,
        slots: impl IntoIterator<Item = Slot>,
        backend: Option<Backend>,
        told: Told,
    ) -> Window {
        let mut slots: SmallVec<[Slot; 4]> = slots.into_iter().collect();
        slots.sort_unstable();
        slots.dedup();
        for &slot in &slots {
            self.words.open(slot);
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        let number = {
            let mut ledger = self.ledger.lock();
            ledger.opened += 1;
            let number = ledger.opened;
            ledger.open.insert(number);
            number
        };
        Window {
            number,
            freshness: Arc::clone(self),
            slots,
            backend,
            told,
        }
    }

    /// A new connection reports when its postmaster started, before anything is asked of it. If that is not
    /// what the last one to the same address reported, the server has restarted, or is another, and may have
    /// lost what it had already shown.
    pub fn note_postmaster(&self, server: &Arc<Server>, start: i64) {
        if self.identities.note(server, start) {
            self.bump_everything();
        }
    }

    /// The address, by number, of the server whose postmaster started then, if one has said so.
    #[must_use]
    pub fn address_of(&self, postmaster_start: i64) -> Option<u32> {
        self.identities.address_of(postmaster_start)
    }

    /// The numbers so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            open: self.open.load(Ordering::Relaxed),
            committed: self.committed.load(Ordering::Relaxed),
            rolled_back: self.rolled_back.load(Ordering::Relaxed),
            orphans: self.orphans.lock().len() as u64,
        }
    }

    /// The windows that wait for their backends to be gone. To be asked for before the server is asked which
    /// backends live: one that is born and orphaned in between is not in that answer.
    #[must_use]
    pub fn orphans(&self) -> Orphans {
        Orphans(
            self.orphans
                .lock()
                .iter()
                .map(|orphan| (orphan.number, orphan.backend.map(|backend| backend.server)))
                .collect(),
        )
    }

    /// Closes, as committed, those of `known` whose backends `is_gone` knows to be gone.
    pub fn close_orphans(&self, known: &Orphans, is_gone: impl Fn(Option<Backend>) -> bool) {
        let mut orphans = self.orphans.lock();
        orphans.retain(|orphan| {
            let gone = known.0.contains_key(&orphan.number) && is_gone(orphan.backend);
            if gone {
                self.close(orphan.number, &orphan.slots, Outcome::Committed);
                self.tell_closed(
                    orphan.number,
                    &orphan.slots,
                    Outcome::Committed,
                    &orphan.told,
                );
            }
            !gone
        });
    }

    /// Closes the orphans of a name, of which its owner, or another peer, has said how they ended.
    pub fn close_foreign_orphans(&self, is_closed: impl Fn(&str) -> bool, outcome: Outcome) {
        let mut orphans = self.orphans.lock();
        orphans.retain(|orphan| {
            let closed = matches!(&orphan.told, Told::Foreign(name) if is_closed(name));
            if closed {
                self.close(orphan.number, &orphan.slots, outcome);
            }
            !closed
        });
    }

    /// The foreign windows whose owners are gone, with what they cover and for whom.
    #[must_use]
    pub fn foreign_orphans(&self) -> Vec<(ForeignName, SmallVec<[Slot; 4]>, Option<Backend>)> {
        let orphans = self.orphans.lock();
        let foreign = orphans.iter().filter_map(|orphan| match &orphan.told {
            Told::Foreign(name) => Some((Arc::clone(name), orphan.slots.clone(), orphan.backend)),
            Told::Own(_) => None,
        });
        foreign.collect()
    }

    /// Is this one of them?
    #[must_use]
    pub fn has_foreign_orphan(&self, name: &str) -> bool {
        let orphans = self.orphans.lock();
        let is_it =
            |orphan: &Orphan| matches!(&orphan.told, Told::Foreign(known) if **known == *name);
        orphans.iter().any(is_it)
    }

    fn tell_closed(&self, number: u64, slots: &[Slot], outcome: Outcome, told: &Told) {
        if !self.peers.has_any() {
            return;
        }
        let changed_catalog = slots.contains(&Slot::CATALOG) && outcome == Outcome::Committed;
        let (name, late) = match told {
            Told::Own(known) => {
                let late = slots.iter().filter(|slot| !known.contains(slot));
                (WindowName::Own(number), late.copied().collect())
            }
            Told::Foreign(name) => (WindowName::Foreign(Arc::clone(name)), Vec::new()),
        };
        self.peers.tell(Event::Closed {
            name,
            outcome,
            late,
            changed_catalog,
        });
    }

    fn close(&self, number: u64, slots: &[Slot], outcome: Outcome) {
        self.settle(
            number,
            slots.contains(&Slot::CATALOG) && outcome == Outcome::Committed,
        );
        let (counter, close): (_, fn(&Words, Slot)) = match outcome {
            Outcome::Committed => (&self.committed, Words::close_committed),
            Outcome::RolledBack => (&self.rolled_back, Words::close_rolled_back),
        };
        for &slot in slots {
            close(&self.words, slot);
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Strikes a window off the ledger. If it changed the catalog, the windows still open are caught, and hold
    /// the word of everything open between them; the last of them to close lets go of it.
    fn settle(&self, number: u64, changed_catalog: bool) {
        let mut ledger = self.ledger.lock();
        ledger.open.remove(&number);
        ledger.caught.retain_mut(|group| {
            group.remove(&number);
            if group.is_empty() {
                self.words.close_committed(Slot::EVERYTHING);
            }
            !group.is_empty()
        });
        if changed_catalog && !ledger.open.is_empty() {
            self.words.open(Slot::EVERYTHING);
            let group = ledger.open.clone();
            ledger.caught.push(group);
        }
    }
}

/// How a window ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The change may have become visible.
    Committed,
    /// It is proven that nothing became visible: an explicit ROLLBACK, or the error of a lone statement.
    RolledBack,
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window")
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

/// An open commit window. Dropping it without [`Window::close`] makes it an orphan.
#[must_use]
pub struct Window {
    number: u64,
    freshness: Arc<Freshness>,
    slots: SmallVec<[Slot; 4]>,
    backend: Option<Backend>,
    told: Told,
}

impl Window {
    /// Waits until no peer serves anything older than what the window covers now. To be called before the change
    /// is sent. If the caller goes away meanwhile, the window is as it was: open, and to be closed.
    pub async fn announced(&mut self) {
        let Told::Own(known) = &mut self.told else {
            return;
        };
        if !self.freshness.peers.has_any() || *known == self.slots {
            return;
        }
        known.clone_from(&self.slots);
        let (done, known_to_all) = oneshot::channel();
        self.freshness.peers.tell(Event::Opened {
            number: self.number,
            slots: self.slots.to_vec(),
            backend: self.backend,
            done,
        });
        let _ = known_to_all.await;
    }

    /// The words it covers.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Who carries the change out.
    #[must_use]
    pub const fn backend(&self) -> Option<Backend> {
        self.backend
    }

    /// Opens the window over more slots, for what is sent behind the change it was opened for.
    pub fn extend(&mut self, slots: impl IntoIterator<Item = Slot>) {
        for slot in slots {
            if let Err(at) = self.slots.binary_search(&slot) {
                self.freshness.words.open(slot);
                self.slots.insert(at, slot);
            }
        }
    }

    /// Closes the window: the server has said how the change ended.
    pub fn close(mut self, outcome: Outcome) {
        let slots = std::mem::take(&mut self.slots);
        self.freshness.close(self.number, &slots, outcome);
        if let Told::Own(_) = self.told {
            self.freshness
                .tell_closed(self.number, &slots, outcome, &self.told);
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let slots = std::mem::take(&mut self.slots);
        if !slots.is_empty() {
            self.freshness.orphans.lock().push(Orphan {
                number: self.number,
                backend: self.backend,
                slots,
                told: self.told.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKEND: Backend = Backend {
        server: 0,
        pid: 7,
        postmaster_start: 1,
        start: 2,
    };

    #[test]
    fn a_dropped_window_stays_open_until_its_backend_is_gone() {
        let freshness = Freshness::new(64);
        let before = freshness
            .words()
            .stamp(Slot::EVERYTHING)
            .expect("nothing is open");
        drop(freshness.open([Slot::EVERYTHING], Some(BACKEND)));
        assert!(freshness.words().stamp(Slot::EVERYTHING).is_none());
        assert_eq!(freshness.counts().orphans, 1);

        freshness.close_orphans(&freshness.orphans(), |backend| {
            backend.is_some_and(|backend| backend.pid == 8)
        });
        assert!(freshness.words().stamp(Slot::EVERYTHING).is_none());

        freshness.close_orphans(&freshness.orphans(), |backend| backend == Some(BACKEND));
        assert!(
            freshness
                .words()
                .stamp(Slot::EVERYTHING)
                .is_some_and(|stamp| stamp != before)
        );
        assert_eq!(
            freshness.counts(),
            Counts {
                open: 0,
                committed: 1,
                rolled_back: 0,
                orphans: 0
            }
        );
    }

    #[test]
    fn a_window_that_was_open_when_the_catalog_changed_covers_everything() {
        let freshness = Freshness::new(64);
        let stamp = || freshness.words().stamp(Slot::EVERYTHING);
        let table = freshness.words().slot(crate::freshness::Tag::Table {
            server: 0,
            database: 1,
            oid: 1,
        });
        let older = freshness.open([table], None);
        let another = freshness.open([table], None);
        let ddl = freshness.open([Slot::CATALOG, Slot::EVERYTHING], None);
        let before = {
            ddl.close(Outcome::Committed);
            stamp()
        };
        assert!(
            before.is_none(),
            "the older windows may do more than they said"
        );
        older.close(Outcome::RolledBack);
        assert!(stamp().is_none());
        another.close(Outcome::Committed);
        assert!(stamp().is_some());
        freshness
            .open([Slot::CATALOG], None)
            .close(Outcome::Committed);
        assert!(stamp().is_some(), "nothing was open then");
    }

    #[test]
    fn a_slot_named_twice_is_opened_once() {
        let freshness = Freshness::new(64);
        let window = freshness.open([Slot::CATALOG, Slot::EVERYTHING, Slot::CATALOG], None);
        window.close(Outcome::RolledBack);
        assert!(freshness.words().stamp(Slot::CATALOG).is_some());
        assert_eq!(freshness.counts().rolled_back, 1);
    }
}
