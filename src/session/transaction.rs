//! What a session's transaction has done so far, and what follows from it for the cache.
//!
//! Pure bookkeeping: the tables written in an open transaction are only remembered, and touched when it
//! commits; its own reads keep away from the cache from its first write on.

use smallvec::SmallVec;

use crate::analysis::{Control, IsolationLevel, SessionEffect, SessionEffects};
use crate::database::statement::Plan;
use crate::freshness::words::Slot;
use crate::protocol::backend::TransactionStatus;

/// A set of words to touch, sorted.
pub(super) type Writes = SmallVec<[Slot; 4]>;

/// What a request does to the transaction it runs in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Boundary {
    /// Nothing.
    None,
    /// Begins one; `None` for the default isolation level.
    Begin(Option<IsolationLevel>),
    /// COMMIT, or END.
    Commit,
    /// ROLLBACK, or ABORT.
    RollBack,
    /// PREPARE TRANSACTION.
    Prepare(String),
    /// COMMIT PREPARED.
    CommitPrepared(String),
    /// ROLLBACK PREPARED.
    RollBackPrepared(String),
    /// Anything, in any order: several statements, or text that is not understood.
    Script,
}

impl Boundary {
    /// What a single statement does.
    pub(super) fn of(control: &Control) -> Self {
        match control {
            Control::Empty
            | Control::Plain
            | Control::Savepoint
            | Control::ReleaseSavepoint
            | Control::RollbackToSavepoint
            | Control::Script {
                transaction_control: false,
            } => Self::None,
            Control::Begin(modes) => Self::Begin(modes.isolation),
            Control::Commit { .. } => Self::Commit,
            Control::Rollback { .. } => Self::RollBack,
            Control::PrepareTransaction(gid) => Self::Prepare(gid.clone()),
            Control::CommitPrepared(gid) => Self::CommitPrepared(gid.clone()),
            Control::RollbackPrepared(gid) => Self::RollBackPrepared(gid.clone()),
            Control::Script {
                transaction_control: true,
            }
            | Control::NotUnderstood => Self::Script,
        }
    }
}

/// Everything a request may do beside returning rows.
#[derive(Clone, Debug)]
pub(super) struct Effects {
    /// To the transaction.
    pub(super) boundary: Boundary,
    /// To tables and catalogs.
    pub(super) writes: Writes,
    /// To the session.
    pub(super) session: SessionEffects,
    /// Would its error alone, outside a transaction, prove that nothing changed?
    pub(super) rollback_is_provable: bool,
    statements: u32,
}

impl Default for Effects {
    fn default() -> Self {
        Self {
            boundary: Boundary::None,
            writes: Writes::new(),
            session: SessionEffects::default(),
            rollback_is_provable: true,
            statements: 0,
        }
    }
}

impl Effects {
    /// Those of one statement.
    pub(super) fn of(control: &Control, plan: &Plan) -> Self {
        let mut effects = Self::default();
        effects.add(control, plan);
        effects
    }

    /// Those of something nothing is known of.
    pub(super) fn unknown() -> Self {
        let mut session = SessionEffects::default();
        session.insert(SessionEffect::UnknownCode);
        Self {
            boundary: Boundary::Script,
            writes: Writes::from_slice(&[Slot::EVERYTHING, Slot::CATALOG]),
            session,
            rollback_is_provable: false,
            statements: 1,
        }
    }

    /// Adds those of another statement of the same request.
    pub(super) fn add(&mut self, control: &Control, plan: &Plan) {
        self.statements += 1;
        self.boundary = match (self.statements, Boundary::of(control), &self.boundary) {
            (1, boundary, _) => boundary,
            (_, Boundary::None, Boundary::None) => Boundary::None,
            _ => Boundary::Script,
        };
        merge(&mut self.writes, &plan.writes);
        self.session = self.session.union(plan.session);
        // In a script, what came before the error may have been committed already.
        self.rollback_is_provable &= plan.rollback_is_provable
            && self.statements == 1
            && !matches!(control, Control::Script { .. });
    }

    /// Adds those of the next part of the same pipeline.
    fn join(&mut self, next: &Self) {
        self.boundary = match (self.statements, next.statements) {
            (0, _) => next.boundary.clone(),
            (_, 0) => self.boundary.clone(),
            _ if self.boundary == Boundary::None && next.boundary == Boundary::None => {
                Boundary::None
            }
            _ => Boundary::Script,
        };
        self.statements += next.statements;
        merge(&mut self.writes, &next.writes);
        self.session = self.session.union(next.session);
        self.rollback_is_provable &= next.rollback_is_provable && self.statements <= 1;
    }

    /// Does the request execute anything?
    pub(super) const fn runs_something(&self) -> bool {
        self.statements > 0
    }

    /// Adds those of something nothing is known of.
    pub(super) fn add_unknown(&mut self) {
        let unknown = Self::unknown();
        merge(&mut self.writes, &unknown.writes);
        self.session = self.session.union(unknown.session);
        self.boundary = unknown.boundary;
        self.rollback_is_provable = false;
        self.statements += 1;
    }
}

/// Adds slots to a sorted set.
pub(super) fn merge(into: &mut Writes, slots: &[Slot]) {
    for slot in slots {
        if let Err(at) = into.binary_search(slot) {
            into.insert(at, *slot);
        }
    }
}

/// The state of a session's transaction.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// As the last ReadyForQuery told the client.
    pub(super) status: TransactionStatus,
    written: Writes,
    reads_committed: bool,
    /// What was sent since then: a pipeline may go out in parts, and has one end.
    under_way: Effects,
}

impl Transaction {
    /// May a read be answered from the cache, and fill it?
    pub(super) fn allows_cache(&self) -> bool {
        match self.status {
            TransactionStatus::Idle => true,
            TransactionStatus::Open => self.reads_committed && self.written.is_empty(),
            TransactionStatus::Failed => false,
        }
    }

    /// Has it changed anything?
    pub(super) fn has_written(&self) -> bool {
        !self.written.is_empty()
    }

    /// The words to hold open while the server runs a request: what it may make visible.
    pub(super) fn exposes(
        &self,
        effects: &Effects,
        prepared: impl FnOnce(&str) -> Box<[Slot]>,
    ) -> Writes {
        match &effects.boundary {
            Boundary::None if self.status == TransactionStatus::Idle => effects.writes.clone(),
            Boundary::None | Boundary::Begin(_) | Boundary::RollBack | Boundary::Prepare(_) => {
                Writes::new()
            }
            Boundary::RollBackPrepared(_) => Writes::new(),
            Boundary::Commit => self.written.clone(),
            Boundary::CommitPrepared(gid) => Writes::from_slice(&prepared(gid)),
            Boundary::Script => {
                let mut all = self.written.clone();
                merge(&mut all, &effects.writes);
                all
            }
        }
    }

    /// A request, or a part of a pipeline, is sent to the server.
    pub(super) fn sent(&mut self, effects: &Effects) {
        self.under_way.join(effects);
        if self.status != TransactionStatus::Idle {
            self.remember(effects);
        }
    }

    /// Does what was sent since the server was last ready control transactions in a way that is not followed?
    pub(super) fn sends_script(&self) -> bool {
        self.under_way.boundary == Boundary::Script
    }

    /// Takes everything that was sent since the server was last ready.
    pub(super) fn take_under_way(&mut self) -> Effects {
        std::mem::take(&mut self.under_way)
    }

    /// The server is ready again. Returns what a transaction has written that was prepared just now.
    pub(super) fn ready(
        &mut self,
        after: TransactionStatus,
        effects: &Effects,
        default_is_read_committed: bool,
    ) -> Writes {
        let before = std::mem::replace(&mut self.status, after);
        match (before, after, &effects.boundary) {
            (_, TransactionStatus::Idle, _) => {
                self.reads_committed = false;
                return std::mem::take(&mut self.written);
            }
            (TransactionStatus::Idle, _, boundary) => {
                self.written.clear();
                self.reads_committed = match boundary {
                    Boundary::Begin(None) => default_is_read_committed,
                    Boundary::Begin(Some(level)) => *level == IsolationLevel::ReadCommitted,
                    Boundary::None
                    | Boundary::Commit
                    | Boundary::RollBack
                    | Boundary::Prepare(_)
                    | Boundary::CommitPrepared(_)
                    | Boundary::RollBackPrepared(_)
                    | Boundary::Script => false,
                };
                self.remember(effects);
            }
            // COMMIT AND CHAIN, ROLLBACK AND CHAIN: a new transaction with the old one's modes.
            (_, TransactionStatus::Open, Boundary::Commit | Boundary::RollBack) => {
                self.written.clear()
            }
            _ => {}
        }
        Writes::new()
    }

    fn remember(&mut self, effects: &Effects) {
        merge(&mut self.written, &effects.writes);
        let settings = [
            SessionEffect::Setting,
            SessionEffect::LocalSetting,
            SessionEffect::UnknownCode,
        ];
        if settings
            .iter()
            .any(|&effect| effects.session.contains(effect))
        {
            self.reads_committed = false;
        }
    }
}
