//! The fleet while there is a link: messages, steps, acknowledgements, leases.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{
    ACTS_MAX, Act, Coherence, Fleet, Message, Outcome, Peer, Resync, Slot, Step, Waiter, owner,
    pairs,
};

impl Fleet {
    // === Messages ===

    /// A message was published.
    pub(in crate::shared) fn on_message(
        &mut self,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), Resync> {
        let (seq, message) = Message::read(bytes).ok_or(Resync)?;
        if message.epoch != self.epoch {
            // Of a life that is over, or of one in which this is no member.
            return Ok(());
        }
        let applied = self.versions.applied();
        if seq <= applied {
            return Ok(());
        }
        if seq > applied + 1 {
            return Err(Resync);
        }
        let is_own = message.from == self.id;
        for act in &message.acts {
            // What it has done itself it knows, unless a step that seemed lost has come after all.
            let is_new = !is_own || matches!(act, Act::Expel { .. } | Act::Open { .. });
            if is_new {
                self.apply(&message.from, act, seq, now)?;
            }
            self.note_opened(act, seq);
        }
        self.versions.advance(seq);
        if !is_own {
            let needs_ack = |act: &Act| {
                matches!(
                    act,
                    Act::Bump | Act::Expel { .. } | Act::Join | Act::Open { .. }
                )
            };
            if message.acts.iter().any(needs_ack) {
                self.acks_due.insert(message.from);
            }
        }
        self.release_known(now);
        Ok(())
    }

    fn apply(&mut self, from: &str, act: &Act, seq: u64, now: Instant) -> Result<(), Resync> {
        match act {
            Act::Open { window, record } => self.open_foreign(window, record),
            Act::Close {
                window,
                committed,
                late,
                ..
            } => {
                let words = self.freshness.words();
                for slot in late.iter().filter_map(|&slot| words.numbered(slot)) {
                    words.bump(slot);
                }
                let outcome = if *committed {
                    Outcome::Committed
                } else {
                    Outcome::RolledBack
                };
                self.close_foreign(window, outcome);
            }
            Act::Bump => self.freshness.words().bump_everything(),
            Act::Join => {
                let peer = Peer {
                    sign: String::new(),
                    seen: now,
                    acked: seq,
                };
                self.peers.insert(from.to_owned(), peer);
            }
            Act::Leave => self.forget_peer(from),
            Act::Expel { id } if *id == self.id => return Err(Resync),
            Act::Expel { id } => {
                self.freshness.words().bump_everything();
                self.forget_peer(id);
            }
        }
        Ok(())
    }

    /// Notes the words that an act opens, as the program in Redis does.
    fn note_opened(&self, act: &Act, seq: u64) {
        let note = |slot: u32| self.versions.note(slot, seq);
        match act {
            Act::Open { record, .. } => record.slots.iter().copied().for_each(note),
            Act::Close { late, catalog, .. } => {
                late.iter().copied().for_each(note);
                if *catalog {
                    note(Slot::EVERYTHING.number());
                }
            }
            Act::Bump | Act::Expel { .. } => {
                note(Slot::EVERYTHING.number());
                note(Slot::CATALOG.number());
            }
            Act::Join | Act::Leave => {}
        }
    }

    /// It is no member any more. What it has left open stays open until its server processes are gone.
    fn forget_peer(&mut self, id: &str) {
        self.peers.remove(id);
        self.foreign
            .retain(|name, _| owner(name).is_none_or(|(owner, _)| owner != id));
    }

    // === Acknowledgements ===

    /// A peer has applied everything up to a message.
    pub(in crate::shared) fn on_ack(&mut self, bytes: &[u8], now: Instant) {
        let read = || {
            let mut words = std::str::from_utf8(bytes).ok()?.split(' ');
            let (epoch, id) = (words.next()?, words.next()?);
            Some((epoch, id, words.next()?.parse().ok()?))
        };
        let Some((epoch, id, seq)) = read() else {
            return;
        };
        if epoch == self.epoch
            && let Some(peer) = self.peers.get_mut(id)
        {
            peer.acked = peer.acked.max(seq);
        }
        self.release_known(now);
    }

    /// Whom to tell that everything so far was applied, and how.
    pub(in crate::shared) fn take_acks(&mut self) -> Vec<(String, String)> {
        let ack = format!("{} {} {}", self.epoch, self.id, self.versions.applied());
        let due = std::mem::take(&mut self.acks_due);
        due.into_iter().map(|id| (id, ack.clone())).collect()
    }

    /// Lets those go on for whom every member has applied what they wait for.
    pub(super) fn release_known(&mut self, now: Instant) {
        let is_strict = self.terms.coherence == Coherence::Strict;
        if is_strict && !self.is_settled && now < self.quiet_until {
            return;
        }
        let all = self.peers.values().map(|peer| peer.acked).min();
        let known = all.filter(|_| is_strict).unwrap_or(u64::MAX);
        let (released, waiting) = std::mem::take(&mut self.waiters)
            .into_iter()
            .partition(|waiter: &Waiter| waiter.seq <= known);
        self.waiters = waiting;
        for waiter in released {
            self.answer(waiter.asker, waiter.since, now);
        }
    }

    // === Steps ===

    /// Is there anything to be sent before the next sign of life is due?
    pub(in crate::shared) fn has_work(&self) -> bool {
        !self.pending.is_empty() || !self.pending_askers.is_empty()
    }

    /// The next step.
    pub(in crate::shared) fn step(&mut self, now: Instant) -> Step {
        self.sign += 1;
        let count = self.pending.len().min(ACTS_MAX);
        let acts: Vec<Act> = self.pending.drain(..count).collect();
        let askers = if self.pending.is_empty() {
            std::mem::take(&mut self.pending_askers)
        } else {
            Vec::new()
        };
        let settles = !self.is_settled && now >= self.quiet_until;
        let is_silent = acts.is_empty() && !settles;
        let message = Message {
            from: self.id.clone(),
            epoch: self.epoch.clone(),
            acts: acts.clone(),
        };
        Step {
            sign: format!("{} {}", self.sign, self.versions.applied()),
            message: if is_silent {
                String::new()
            } else {
                message.write()
            },
            acts,
            settles,
            sent: now,
            askers,
        }
    }

    /// The last step: this instance leaves.
    pub(in crate::shared) fn leaving(&mut self, now: Instant) -> Step {
        self.pending.push(Act::Leave);
        self.freshness.peers().revoke();
        self.step(now)
    }

    /// A step came to nothing.
    pub(in crate::shared) fn on_step_failed(&mut self, step: Step) {
        self.wrote_alone |= step.acts.iter().any(|act| match act {
            Act::Bump => true,
            Act::Close { late, catalog, .. } => !late.is_empty() || *catalog,
            Act::Expel { .. } | Act::Join | Act::Leave | Act::Open { .. } => false,
        });
        self.pending_askers.extend(step.askers);
    }

    /// A step was done at `seq`; every message that was published before it has been given to
    /// [`Fleet::on_message`]. Returns who is to be expelled, with the last sign of life.
    pub(in crate::shared) fn on_stepped(
        &mut self,
        step: Step,
        (seq, members): (u64, &[String]),
        now: Instant,
    ) -> Result<Option<(String, String)>, Resync> {
        let before = seq - u64::from(!step.message.is_empty());
        if self.versions.applied() < before {
            self.on_step_failed(step);
            return Err(Resync);
        }
        for act in &step.acts {
            self.note_opened(act, seq);
            self.mark_recorded(act);
        }
        if self.versions.applied() < seq {
            self.versions.advance(seq);
        }
        self.is_settled |= step.settles;
        self.note_members(members, now);
        let waiters = step
            .askers
            .into_iter()
            .map(|(since, asker)| Waiter { seq, since, asker });
        self.waiters.extend(waiters);
        self.release_known(now);
        self.lend(step.sent, now);
        // Unchanged since it was first seen: when that was sent, its lease had already begun.
        let lease = self.terms.lease;
        let is_silent = |peer: &Peer| !peer.sign.is_empty() && step.sent >= peer.seen + lease;
        let silent = self.peers.iter().find(|(_, peer)| is_silent(peer));
        Ok(silent.map(|(id, peer)| (id.clone(), peer.sign.clone())))
    }

    /// The message by which a member is expelled.
    pub(in crate::shared) fn expulsion(&self, id: &str) -> String {
        let message = Message {
            from: self.id.clone(),
            epoch: self.epoch.clone(),
            acts: vec![Act::Expel { id: id.to_owned() }],
        };
        message.write()
    }

    fn mark_recorded(&mut self, act: &Act) {
        if let Act::Open { window, .. } = act
            && let Some((id, number)) = owner(window)
            && id == self.id
            && let Some(own) = self.own.get_mut(&number)
        {
            own.is_recorded = true;
        }
    }

    /// These are the members now.
    pub(super) fn note_members(&mut self, members: &[String], now: Instant) {
        let listed: BTreeMap<&str, &str> = pairs(members)
            .filter_map(|(name, sign)| Some((name.strip_prefix("m:")?, sign)))
            .filter(|(id, _)| *id != self.id)
            .collect();
        let gone: Vec<String> = self
            .peers
            .keys()
            .filter(|id| !listed.contains_key(id.as_str()))
            .cloned()
            .collect();
        for id in gone {
            self.forget_peer(&id);
        }
        for (id, sign) in listed {
            let acked = sign
                .split(' ')
                .nth(1)
                .and_then(|seq| seq.parse().ok())
                .unwrap_or(0);
            let peer = self.peers.entry(id.to_owned()).or_insert_with(|| Peer {
                sign: String::new(),
                seen: now,
                acked: 0,
            });
            peer.acked = peer.acked.max(acked);
            if peer.sign != sign {
                peer.sign = sign.to_owned();
                peer.seen = now;
            }
        }
        // What was left open by members that went before this one came.
        let peers = &self.peers;
        self.foreign
            .retain(|name, _| owner(name).is_some_and(|(id, _)| peers.contains_key(id)));
        self.numbers.note_members(self.peers.len() + 1);
    }

    /// The others count on it that nothing is served after this, unless it is renewed.
    pub(super) fn lend(&mut self, sent: Instant, now: Instant) {
        let is_quiet = !self.is_settled && now < self.quiet_until;
        if !self.is_known || is_quiet {
            return;
        }
        self.numbers.note_serving(true);
        if self.terms.coherence == Coherence::Strict {
            // A tenth is for clocks that do not run alike.
            self.freshness
                .peers()
                .lend(sent + self.terms.lease * 9 / 10);
        }
    }
}
