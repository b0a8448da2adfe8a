//! What one instance knows of its fleet, and what follows from what it hears: the protocol of [`crate::shared`],
//! without any IO.

mod live;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::envelope::{Keys, epoch_mark};
use super::message::{Act, Message, Process, Record, owner, window_name};
use super::numbers::Numbers;
use super::versions::{Epoch, Versions};
use crate::config::Coherence;
use crate::freshness::peers::{Event, ForeignName, WindowName};
use crate::freshness::window::{Backend, Freshness, Outcome, Window};
use crate::freshness::words::Slot;

/// What instances have agreed on.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) coherence: Coherence,
    pub(super) lease: Duration,
    /// There is one server only, so a process of a server that nobody knows can only be of that.
    pub(super) has_one_server: bool,
    pub(super) encryption: Vec<[u8; 32]>,
}

/// Another member.
#[derive(Debug)]
struct Peer {
    /// Its last sign of life, and when that was first seen here.
    sign: String,
    seen: Instant,
    /// It has applied every message up to this one.
    acked: u64,
}

/// A window of this instance, and whether it stands in Redis.
#[derive(Debug)]
struct Own {
    record: Record,
    is_recorded: bool,
}

/// Who waits for the others to know.
#[derive(Debug)]
enum Asker {
    /// A session that is about to send a change.
    Window(oneshot::Sender<()>),
    /// Whoever waits for so many bumps to be known.
    Bump(u64),
    /// This instance itself, which has just joined.
    Join,
}

/// Somebody who waits until all members have applied the message at `seq`.
#[derive(Debug)]
struct Waiter {
    seq: u64,
    since: Instant,
    asker: Asker,
}

/// The messages have a gap, or this is no member any more: it has to join anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Resync;

/// What is to be sent in one step.
pub(super) struct Step {
    pub(super) sign: String,
    pub(super) message: String,
    pub(super) acts: Vec<Act>,
    /// The members wait no longer for what may be left of an earlier life.
    pub(super) settles: bool,
    sent: Instant,
    askers: Vec<(Instant, Asker)>,
}

/// What one instance knows.
pub(super) struct Fleet {
    freshness: Arc<Freshness>,
    versions: Arc<Versions<Keys>>,
    numbers: Arc<Numbers>,
    terms: Terms,
    pub(super) id: String,
    epoch: String,
    sign: u64,
    peers: BTreeMap<String, Peer>,
    own: HashMap<u64, Own>,
    foreign: HashMap<ForeignName, Window>,
    /// What the next step will do, and who waits for that.
    pending: Vec<Act>,
    pending_askers: Vec<(Instant, Asker)>,
    waiters: Vec<Waiter>,
    acks_due: BTreeSet<String>,
    is_known: bool,
    is_settled: bool,
    quiet_until: Instant,
    /// Something may have changed that nobody was told of.
    wrote_alone: bool,
    /// Since when there is no link.
    down_since: Option<Instant>,
    /// When the last attempt at one began that failed.
    failed_attempt: Option<Instant>,
}

/// At most so many acts go into one message.
const ACTS_MAX: usize = 256;

impl Fleet {
    pub(super) fn new(
        freshness: Arc<Freshness>,
        versions: Arc<Versions<Keys>>,
        numbers: Arc<Numbers>,
        terms: Terms,
        id: String,
    ) -> Self {
        let now = Instant::now();
        Self {
            freshness,
            versions,
            numbers,
            terms,
            id,
            epoch: String::new(),
            sign: 0,
            peers: BTreeMap::new(),
            own: HashMap::new(),
            foreign: HashMap::new(),
            pending: Vec::new(),
            pending_askers: Vec::new(),
            waiters: Vec::new(),
            acks_due: BTreeSet::new(),
            is_known: false,
            is_settled: false,
            quiet_until: now,
            wrote_alone: false,
            down_since: Some(now),
            failed_attempt: None,
        }
    }

    pub(super) fn epoch(&self) -> &str {
        &self.epoch
    }

    // === What happens here ===

    /// Something has happened in this process.
    pub(super) fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Opened {
                number,
                slots,
                backend,
                done,
            } => {
                let record = record(&slots, backend);
                self.pending.push(Act::Open {
                    window: window_name(&self.id, number),
                    record: record.clone(),
                });
                let own = Own {
                    record,
                    is_recorded: false,
                };
                self.own.insert(number, own);
                self.pending_askers.push((now, Asker::Window(done)));
            }
            Event::Closed {
                name,
                outcome,
                late,
                changed_catalog,
            } => self.on_closed(name, outcome, &late, changed_catalog),
            Event::Bumped(count) => {
                self.pending.push(Act::Bump);
                self.pending_askers.push((now, Asker::Bump(count)));
            }
        }
        self.release_alone(now);
    }

    fn on_closed(&mut self, name: WindowName, outcome: Outcome, late: &[Slot], catalog: bool) {
        let window = match name {
            WindowName::Own(number) => {
                let own = self.own.remove(&number);
                let is_recorded = own.is_some_and(|own| own.is_recorded);
                let is_told = is_recorded && late.is_empty() && !catalog;
                self.wrote_alone |=
                    self.down_since.is_some() && outcome == Outcome::Committed && !is_told;
                window_name(&self.id, number)
            }
            WindowName::Foreign(name) => name.to_string(),
        };
        self.pending.push(Act::Close {
            window,
            committed: outcome == Outcome::Committed,
            late: late.iter().map(|slot| slot.number()).collect(),
            catalog,
        });
    }

    // === Without a link ===

    /// The link is lost. What was waited for is waited for on the next.
    pub(super) fn on_lost(&mut self, now: Instant) {
        self.down_since.get_or_insert(now);
        self.is_known = false;
        self.versions.abandon();
        self.numbers.note_serving(false);
        self.acks_due.clear();
        let waiters = self.waiters.drain(..);
        let asking = waiters.filter_map(|waiter| match waiter.asker {
            Asker::Join => None,
            asker => Some((waiter.since, asker)),
        });
        self.pending_askers.extend(asking);
    }

    /// An attempt to get a link has failed.
    pub(super) fn on_attempt_failed(&mut self, began: Instant, now: Instant) {
        self.failed_attempt = Some(began);
        self.release_alone(now);
    }

    /// Lets those go on who wait for peers that surely serve nothing any more: their leases have run out, and
    /// whoever gets a new one serves nothing before this instance has either been heard of or was silent for
    /// another lease. That is why the last attempt to get a link must not be long ago.
    fn release_alone(&mut self, now: Instant) {
        let Some(down_since) = self.down_since else {
            return;
        };
        let may_go = match self.terms.coherence {
            Coherence::Alone | Coherence::Eventual => true,
            Coherence::Strict => {
                let lease = self.terms.lease;
                let has_run_out = now >= down_since + lease;
                let tried = self
                    .failed_attempt
                    .filter(|&began| now < began + lease * 6 / 10);
                has_run_out && tried.is_some()
            }
        };
        if !may_go {
            return;
        }
        for (since, asker) in std::mem::take(&mut self.pending_askers) {
            self.wrote_alone = true;
            self.answer(asker, since, now);
        }
    }

    fn answer(&mut self, asker: Asker, since: Instant, now: Instant) {
        self.numbers.record_wait(now.duration_since(since));
        match asker {
            Asker::Window(done) => {
                let _ = done.send(());
            }
            Asker::Bump(count) => self.freshness.peers().note_bumps_known(count),
            Asker::Join => self.is_known = true,
        }
    }

    // === Joining ===

    /// What this instance joins with: its message, whether everything may have changed, and what it has open.
    /// Nothing may be served from here on.
    pub(super) fn joining(&mut self) -> (u64, String, bool, Vec<(String, String, Vec<u32>)>) {
        self.freshness.peers().revoke();
        self.sign += 1;
        let untold = self.pending.iter().any(|act| match act {
            Act::Bump => true,
            Act::Close { late, catalog, .. } => !late.is_empty() || *catalog,
            Act::Expel { .. } | Act::Join | Act::Leave | Act::Open { .. } => false,
        });
        let bumps = self.wrote_alone || untold;
        let mut acts = vec![Act::Join];
        if bumps {
            acts.push(Act::Bump);
        }
        let mut windows = Vec::new();
        for (number, own) in &self.own {
            let (window, record) = (window_name(&self.id, *number), own.record.clone());
            windows.push((window.clone(), record.write(), record.slots.clone()));
            acts.push(Act::Open { window, record });
        }
        let message = Message {
            from: self.id.clone(),
            epoch: "@EPOCH@".to_owned(),
            acts,
        };
        (self.sign, message.write(), bumps, windows)
    }

    /// It has joined: learns what is open, and what was opened when.
    pub(super) fn on_joined(
        &mut self,
        seq: u64,
        (state, members, words): (&[String], &[String], &[String]),
        (sent, now): (Instant, Instant),
    ) -> Result<(), Resync> {
        let state: BTreeMap<&str, &str> = pairs(state).collect();
        let epoch = (*state.get("e").ok_or(Resync)?).to_owned();
        let secret = state.get("secret").ok_or(Resync)?;
        let caught: u64 = state
            .get("caught")
            .and_then(|text| text.parse().ok())
            .ok_or(Resync)?;
        let is_same = epoch == self.epoch;
        self.take_over_windows(&state, caught, is_same)?;
        // What was opened and closed meanwhile, nobody has told.
        self.freshness.words().bump_everything();
        let opened =
            pairs(words).filter_map(|(slot, seq)| Some((slot.parse().ok()?, seq.parse().ok()?)));
        let keys = Keys::new(secret.as_bytes(), &self.terms.encryption);
        let followed = Epoch {
            mark: epoch_mark(&epoch),
            name: epoch.clone(),
            keys,
        };
        self.versions.follow(followed, seq, opened);
        self.epoch = epoch;
        self.is_settled = state.contains_key("settled");
        self.quiet_until = now + self.terms.lease;
        self.peers.clear();
        self.note_members(members, now);
        self.down_since = None;
        self.failed_attempt = None;
        self.wrote_alone = false;
        for own in self.own.values_mut() {
            own.is_recorded = true;
        }
        let askers = std::mem::take(&mut self.pending_askers);
        let waiters = askers
            .into_iter()
            .map(|(since, asker)| Waiter { seq, since, asker });
        self.waiters.extend(waiters);
        self.waiters.push(Waiter {
            seq,
            since: now,
            asker: Asker::Join,
        });
        self.release_known(now);
        self.lend(sent, now);
        Ok(())
    }

    /// Opens what is open elsewhere, and closes what no longer is.
    fn take_over_windows(
        &mut self,
        state: &BTreeMap<&str, &str>,
        caught: u64,
        is_same: bool,
    ) -> Result<(), Resync> {
        // Closes of our own that were not sent are told by what is missing from ours.
        self.pending.clear();
        let recorded = state
            .iter()
            .filter_map(|(name, record)| Some((name.strip_prefix("w:")?, record)));
        let mut there = BTreeSet::new();
        for (name, record) in recorded {
            let (opened, mut record) = Record::read(record).ok_or(Resync)?;
            there.insert(name.to_owned());
            // The catalog has changed while it was open: it may do more than it said.
            if opened < caught {
                record.slots.push(Slot::EVERYTHING.number());
            }
            self.open_foreign(name, &record);
        }
        let held = self.foreign.iter().map(|(name, window)| {
            let record = record(window.slots(), window.backend());
            (Arc::clone(name), record)
        });
        let orphans = self.freshness.foreign_orphans().into_iter();
        let orphans = orphans.map(|(name, slots, backend)| (name, record(&slots, backend)));
        let known: Vec<(ForeignName, Record)> = held.chain(orphans).collect();
        for (name, record) in known
            .into_iter()
            .filter(|(name, _)| !there.contains(&**name))
        {
            if is_same {
                self.close_foreign(&name, Outcome::Committed);
            } else {
                // The life in which it was recorded is over, and it is not.
                let window = name.to_string();
                self.pending.push(Act::Open { window, record });
            }
        }
        Ok(())
    }

    fn open_foreign(&mut self, name: &str, record: &Record) {
        let slots = record
            .slots
            .iter()
            .filter_map(|&slot| self.freshness.words().numbered(slot));
        match owner(name) {
            Some((id, number)) if id == self.id => {
                if !self.own.contains_key(&number) {
                    self.pending.push(Act::Close {
                        window: name.to_owned(),
                        committed: true,
                        late: Vec::new(),
                        catalog: record.slots.contains(&Slot::CATALOG.number()),
                    });
                }
                return;
            }
            _ => {}
        }
        if let Some(window) = self.foreign.get_mut(name) {
            return window.extend(slots);
        }
        if self.freshness.has_foreign_orphan(name) {
            return;
        }
        let address_of = |start| {
            let lone = self.terms.has_one_server.then_some(0);
            self.freshness.address_of(start).or(lone)
        };
        let backend = record.backend.map(|process| process.backend(address_of));
        let name: ForeignName = name.into();
        let window = self
            .freshness
            .open_foreign(slots, backend, Arc::clone(&name));
        self.foreign.insert(name, window);
    }

    fn close_foreign(&mut self, name: &str, outcome: Outcome) {
        match self.foreign.remove(name) {
            Some(window) => window.close(outcome),
            None => self
                .freshness
                .close_foreign_orphans(|orphan| orphan == name, outcome),
        }
    }
}

fn record(slots: &[Slot], backend: Option<Backend>) -> Record {
    Record {
        slots: slots.iter().map(|slot| slot.number()).collect(),
        backend: backend.map(Process::of),
    }
}

/// Names and values, which stand one after the other.
fn pairs(flat: &[String]) -> impl Iterator<Item = (&str, &str)> {
    flat.chunks_exact(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
}
