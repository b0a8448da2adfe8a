//! Sending a request again instead of telling the client of an error that may pass.
//!
//! Only where it is proven that nobody can notice: one statement outside a transaction block, nothing of whose reply
//! has been sent to the client, and
//!
//! ```text
//!   the error says that it was rolled back (40001, 40P01)   reads; writes where `retry.writes` says so
//!   the server connection was lost                          only what reads and calls nothing VOLATILE: it may have run
//! ```
//!
//! The beginning of the reply is held back in the client's outbox ([`Client::hold`](super::client::Client::hold)), and
//! no longer than PostgreSQL itself would have held it back. Each try is an exchange of its own: its window opens and
//! closes, and its stamps are taken, anew.

use std::io;
use std::time::Duration;

use super::lookup::Fill;
use super::names::Renaming;
use super::relay::{Broken, Told, Undone};
use super::transaction::{Boundary, Effects};
use super::{End, Session};
use crate::analysis::{SessionEffect, SessionEffects};
use crate::database::statement::Plan;
use crate::observe::Counter;
use crate::protocol::backend::TransactionStatus;
use crate::upstream::patience::note_exhausted;

/// What the client sends meanwhile is read up to here, to see whether it is still there.
const READ_AHEAD_MAX_BYTES: usize = 64 * 1024;

/// What a write may leave behind and still be tried again: values drawn from a sequence are gone either way.
const GONE_ANYWAY: SessionEffects = SessionEffects::of(&[SessionEffect::SequenceDraw]);

/// When a request may be sent again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Repeat {
    /// Never.
    Never,
    /// When its error says that it was rolled back.
    AfterRollback,
    /// Also when nobody knows whether it has run.
    AfterLoss,
}

/// Why a request is sent again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cause {
    /// It was rolled back.
    Undone(Undone),
    /// The connection was lost.
    Lost,
}

/// The tries to run one request.
pub(super) struct Tries {
    failures: u32,
    /// How often the client had asked to cancel before.
    cancels: u64,
    /// The reply that the client gets if there is no other.
    reply: Option<Vec<u8>>,
    /// What the last try did to names.
    renamings: Vec<Renaming>,
}

impl Tries {
    /// Has the request been sent before?
    pub(super) const fn is_again(&self) -> bool {
        self.failures > 0
    }
}

impl Session {
    /// Nothing has been tried yet.
    pub(super) fn tries(&self) -> Tries {
        Tries {
            failures: 0,
            cancels: self.cancel.requests(),
            reply: None,
            renamings: Vec::new(),
        }
    }

    /// Gets hold of a server connection for the next try. `false`: there is none, and the client gets the reply of the
    /// last try.
    pub(super) async fn attach_for(&mut self, tries: &mut Tries) -> Result<bool, End> {
        let was_lost = tries.is_again() && tries.reply.is_none();
        let attached = self.attach().await.map(drop);
        match (attached, tries.reply.take()) {
            (Err(End::Refused(_)), Some(reply)) => {
                tries.renamings.clear();
                self.answer_held(&reply).await?;
                Ok(false)
            }
            (attached, _) => {
                // The last try has not happened, also if this one does not come about.
                self.undo(tries);
                attached?;
                if was_lost {
                    self.know_catalog_again(tries).await?;
                }
                Ok(true)
            }
        }
    }

    /// With the connection the catalog may have been lost, and without it no read is known to be one: should this try be
    /// lost, too, it would be the last.
    async fn know_catalog_again(&mut self, tries: &Tries) -> Result<(), End> {
        // A cancel request is not the server's now: it runs nothing of ours.
        self.cancel.attach(None);
        let waited = tokio::select! {
            biased;
            () = self.cancel.cancelled_since(tries.cancels) => Err(End::Cancelled),
            () = self.database.known_again() => Ok(()),
        };
        self.cancel
            .attach(self.server.as_ref().map(|server| server.cancel.clone()));
        if waited.is_err() {
            self.release_if_free();
        }
        waited
    }

    /// Holds back the replies to a request that is about to be sent, if it may be sent again. `is_whole`: it is no part
    /// of a pipeline, and nothing of it has been sent before.
    pub(super) fn hold_back(&mut self, effects: &Effects, is_whole: bool) -> Repeat {
        let repeat = if is_whole {
            self.may_repeat(effects)
        } else {
            Repeat::Never
        };
        if repeat != Repeat::Never {
            self.client.hold();
        }
        repeat
    }

    fn may_repeat(&self, effects: &Effects) -> Repeat {
        let retry = &self.services.config.retry;
        let is_alone = self.transaction.status == TransactionStatus::Idle
            && !self.pipeline_open
            && effects.statements() == 1
            && effects.boundary == Boundary::None
            && effects.rollback_is_provable
            && effects.is_query;
        let is_understood = !self.untracked
            && self.touched.is_empty()
            && self.unjudged.is_empty()
            && effects.settings.is_empty()
            && effects.unjudged.is_empty()
            && !self.may_run_hidden_code(effects);
        if !retry.is_on() || !is_alone || !is_understood {
            return Repeat::Never;
        }
        let leaves_nothing = effects.session.is_empty();
        if effects.is_repeatable && self.pins.is_empty() {
            Repeat::AfterLoss
        } else if effects.writes.is_empty() && leaves_nothing
            || retry.writes && effects.session.union(GONE_ANYWAY) == GONE_ANYWAY
        {
            Repeat::AfterRollback
        } else {
            Repeat::Never
        }
    }

    /// Looks at how a try has ended. `false`: the request is to be sent again, and it is time to do so.
    pub(super) async fn is_done(
        &mut self,
        tries: &mut Tries,
        repeat: Repeat,
        outcome: Result<Told, End>,
    ) -> Result<bool, End> {
        if repeat == Repeat::Never {
            outcome?;
            return Ok(true);
        }
        let cause = cause(repeat, &outcome);
        let taken = cause.and_then(|cause| Some((cause, self.client.take_back()?)));
        let Some((cause, reply)) = taken else {
            return self.done(tries, outcome).await;
        };
        tries.failures += 1;
        let is_cancelled = self.cancel.requests() != tries.cancels;
        let pause = self
            .pause_after(tries.failures, cause)
            .filter(|_| !is_cancelled && !self.leaving);
        let Some(pause) = pause else {
            if !is_cancelled && !self.leaving {
                self.services.metrics.add(Counter::RetriesExhausted, 1);
                note_exhausted("a statement", tries.failures, cause.as_str());
            }
            self.client.outbox.extend_from_slice(&reply);
            return self.done(tries, outcome).await;
        };
        tries.renamings = std::mem::take(&mut self.renamings);
        if cause == Cause::Lost {
            self.leave_lost_server(may_lose_history(&outcome));
        } else {
            tries.reply = Some(reply.clone());
        }
        if !self.waited(tries, pause).await? {
            self.client.outbox.extend_from_slice(&reply);
            return self.done(tries, outcome).await;
        }
        self.services.metrics.add(cause.counter(), 1);
        Ok(false)
    }

    /// The client gets what this try has brought.
    async fn done(&mut self, tries: &Tries, outcome: Result<Told, End>) -> Result<bool, End> {
        let told = outcome?;
        if tries.is_again() && !told.failed {
            self.services.metrics.add(Counter::RetriesSucceeded, 1);
        }
        self.renamings.clear();
        // The server has sent it, so the next request must not keep it waiting.
        self.client.flush().await.map_err(Broken::Client)?;
        Ok(true)
    }

    async fn answer_held(&mut self, reply: &[u8]) -> Result<(), End> {
        self.client.outbox.extend_from_slice(reply);
        self.client.flush().await.map_err(Broken::Client)?;
        Ok(())
    }

    /// How long to wait. A lost connection is replaced at once; should the server be gone, connecting takes its time.
    fn pause_after(&self, failures: u32, cause: Cause) -> Option<Duration> {
        let pause = self
            .services
            .config
            .retry
            .pause_after(failures, rand::random());
        match cause {
            Cause::Lost if failures == 1 => pause.map(|_| Duration::ZERO),
            Cause::Lost | Cause::Undone(_) => pause,
        }
    }

    /// Waits for the next try. `false`: there is none, because the client or the proxy is leaving.
    async fn waited(&mut self, tries: &mut Tries, pause: Duration) -> Result<bool, End> {
        self.client.flush().await.map_err(Broken::Client)?;
        // A cancel request is not the server's now: it runs nothing of ours.
        self.cancel.attach(None);
        let waited = self.wait_for_turn(tries.cancels, pause).await;
        self.cancel
            .attach(self.server.as_ref().map(|server| server.cancel.clone()));
        if matches!(waited, Err(End::Cancelled)) {
            self.undo(tries);
        }
        waited
    }

    async fn wait_for_turn(&mut self, cancels: u64, pause: Duration) -> Result<bool, End> {
        let turn = tokio::time::sleep(pause);
        tokio::pin!(turn);
        loop {
            let may_read = self.client.inbox.len() < READ_AHEAD_MAX_BYTES;
            tokio::select! {
                biased;
                () = self.cancel.cancelled_since(cancels) => return Err(End::Cancelled),
                () = &mut turn => return Ok(true),
                _ = &mut self.membership.leave, if !self.leaving => {
                    self.leaving = true;
                    return Ok(false);
                }
                // It may have ended its half only, and still read.
                received = self.client.receive(), if may_read => if received.is_err() {
                    return Ok(false);
                },
            }
        }
    }

    /// May a connection that was lost with the BEGIN of a transaction, and nothing behind it, be replaced?
    pub(super) fn may_begin_again(&self, end: &End, failures: u32) -> bool {
        // `InvalidData`: the server is there, and refuses.
        let is_lost = matches!(
            end,
            End::Broken(Broken::Server(error)) if error.kind() != io::ErrorKind::InvalidData
        );
        is_lost && failures < self.services.config.retry.attempts
    }

    /// Lets go of a server connection that is lost.
    pub(super) fn leave_lost_server(&mut self, may_lose_history: bool) {
        if may_lose_history {
            // As when the session ends with it: the server may have lost what it had already shown.
            self.services.freshness.bump_everything();
        }
        self.cancel.attach(None);
        self.server = None;
        self.skip_to_sync = false;
        self.deallocated.clear();
    }

    /// What a try has done to names has not happened.
    fn undo(&mut self, tries: &mut Tries) {
        for renaming in tries.renamings.drain(..).rev() {
            renaming.undo(&mut self.statements, &mut self.portals);
        }
    }

    /// The same fill, by the words as they are now.
    pub(super) fn fill_again(&self, fill: Fill, plan: &Plan) -> Option<Fill> {
        let read = plan.read.as_ref().ok()?;
        let stamps = read.stamps(self.services.freshness.words())?;
        Some(fill.again(read, stamps, self.services.config.cache.result_max_bytes))
    }
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "its server connection was lost",
            Self::Undone(Undone::Deadlock) => "deadlock detected (40P01)",
            Self::Undone(Undone::Serialization) => "serialization failure (40001)",
        }
    }

    const fn counter(self) -> Counter {
        match self {
            Self::Lost => Counter::RetriesLost,
            Self::Undone(Undone::Deadlock) => Counter::RetriesDeadlock,
            Self::Undone(Undone::Serialization) => Counter::RetriesSerialization,
        }
    }
}

/// May the server have lost what it had already shown?
fn may_lose_history(outcome: &Result<Told, End>) -> bool {
    match outcome {
        Err(End::Fatal(farewell)) => farewell.may_lose_history(),
        Ok(_) | Err(_) => true,
    }
}

/// Why a request may be sent again that has ended like this; `None`: it may not.
fn cause(repeat: Repeat, outcome: &Result<Told, End>) -> Option<Cause> {
    match outcome {
        Ok(told) if told.ready == Some(TransactionStatus::Idle) => told.undone.map(Cause::Undone),
        Err(End::Fatal(_) | End::Broken(Broken::Server(_))) => {
            (repeat == Repeat::AfterLoss).then_some(Cause::Lost)
        }
        Ok(_) | Err(_) => None,
    }
}
