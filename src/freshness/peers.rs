//! What ties the words to other instances that share them.
//!
//! A proxy that is alone has no peers: nothing waits, and it may serve for ever. In a fleet
//! ([`crate::shared`]) somebody takes the events from here to the others, and lends the right to serve.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use super::window::{Backend, Outcome};
use super::words::Slot;

/// The name that a window of another instance has in the whole fleet.
pub type ForeignName = std::sync::Arc<str>;

/// Whose window it is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum WindowName {
    /// One of this process, by number.
    Own(u64),
    /// One that another instance has opened.
    Foreign(ForeignName),
}

/// What the peers have to be told.
#[derive(Debug)]
pub enum Event {
    /// A window has opened here, or covers more words than before.
    Opened {
        /// Its number.
        number: u64,
        /// All the words it covers.
        slots: Vec<Slot>,
        /// Who carries the change out.
        backend: Option<Backend>,
        /// To be answered when no peer serves anything older than the window any more.
        done: oneshot::Sender<()>,
    },
    /// A window has closed here.
    Closed {
        /// Which.
        name: WindowName,
        /// How.
        outcome: Outcome,
        /// Words it covered that no peer was told of when it opened.
        late: Vec<Slot>,
        /// It covered the word of the catalogs.
        changed_catalog: bool,
    },
    /// Everything was voided here; the number counts how often that has happened.
    Bumped(u64),
}

/// The tie.
#[derive(Debug)]
pub struct Peers {
    events: OnceLock<mpsc::UnboundedSender<Event>>,
    started: Instant,
    /// When the right to serve ends, in nanoseconds since `started`.
    serves_until: AtomicU64,
    bumps: AtomicU64,
    bumps_known: watch::Sender<u64>,
}

const FOR_EVER: u64 = u64::MAX;

impl Peers {
    pub(super) fn none() -> Self {
        Self {
            events: OnceLock::new(),
            started: Instant::now(),
            serves_until: AtomicU64::new(FOR_EVER),
            bumps: AtomicU64::new(0),
            bumps_known: watch::Sender::new(0),
        }
    }

    /// There are peers from here on. Returns the events, or `None` the second time. If `needs_lease`, nothing is
    /// served before [`Peers::lend`].
    pub fn attach(&self, needs_lease: bool) -> Option<mpsc::UnboundedReceiver<Event>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.events.set(sender).ok()?;
        if needs_lease {
            self.serves_until.store(0, Ordering::SeqCst);
        }
        Some(receiver)
    }

    /// May results be served at `now`, as far as the peers are concerned?
    #[must_use]
    pub fn may_serve(&self, now: Instant) -> bool {
        let until = self.serves_until.load(Ordering::SeqCst);
        until == FOR_EVER || self.since_start(now) < until
    }

    /// Results may be served until then.
    pub fn lend(&self, until: Instant) {
        self.serves_until
            .store(self.since_start(until), Ordering::SeqCst);
    }

    /// Where a lease is needed, nothing may be served until the next [`Peers::lend`].
    pub fn revoke(&self) {
        if self.serves_until.load(Ordering::SeqCst) != FOR_EVER {
            self.serves_until.store(0, Ordering::SeqCst);
        }
    }

    /// Has everything been voided here without all peers knowing?
    #[must_use]
    pub fn is_bump_untold(&self) -> bool {
        *self.bumps_known.borrow() < self.bumps.load(Ordering::SeqCst)
    }

    /// All peers know of this many bumps.
    pub fn note_bumps_known(&self, count: u64) {
        self.bumps_known.send_if_modified(|known| {
            let is_more = count > *known;
            *known = count.max(*known);
            is_more
        });
    }

    /// Waits until all peers have voided what was voided here until now.
    pub async fn bumps_known(&self) {
        if self.events.get().is_none() {
            return;
        }
        let wanted = self.bumps.load(Ordering::SeqCst);
        let _ = self
            .bumps_known
            .subscribe()
            .wait_for(|known| *known >= wanted)
            .await;
    }

    pub(super) fn note_bump(&self) {
        if self.events.get().is_some() {
            let number = self.bumps.fetch_add(1, Ordering::SeqCst) + 1;
            self.tell(Event::Bumped(number));
        }
    }

    /// Is there anybody to be told?
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.events.get().is_some()
    }

    pub(super) fn tell(&self, event: Event) {
        if let Some(events) = self.events.get() {
            let _ = events.send(event);
        }
    }

    fn since_start(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.started).as_nanos();
        // 584 years.
        u64::try_from(nanos).unwrap_or(FOR_EVER - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lease_ends_by_itself_and_without_peers_there_is_none() {
        let (peers, now) = (Peers::none(), Instant::now());
        assert!(peers.may_serve(now + Duration::from_secs(1_000_000)));
        let _events = peers.attach(true).expect("the first time");
        assert!(peers.attach(true).is_none());
        assert!(!peers.may_serve(now));
        peers.lend(now + Duration::from_secs(1));
        assert!(peers.may_serve(now) && !peers.may_serve(now + Duration::from_secs(1)));
        peers.revoke();
        assert!(!peers.may_serve(now));
    }

    #[tokio::test]
    async fn a_bump_is_waited_for_only_where_there_are_peers() {
        let peers = Peers::none();
        peers.note_bump();
        peers.bumps_known().await;
        let mut events = peers.attach(false).expect("the first time");
        peers.note_bump();
        assert!(peers.is_bump_untold());
        assert!(matches!(events.recv().await, Some(Event::Bumped(1))));
        peers.note_bumps_known(1);
        peers.bumps_known().await;
        assert!(!peers.is_bump_untold());
    }
}
