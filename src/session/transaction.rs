//! What a session's transaction has done so far, and what follows from it for the cache.
//!
//! Pure bookkeeping: the tables written in an open transaction are only remembered, and touched when it
//! commits; its own reads keep away from the cache from its first write on.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::analysis::{Control, IsolationLevel, SessionEffect, SessionEffects, Settings};
use crate::database::statement::{Plan, Statement};
use crate::freshness::words::{Slot, Stamp};
use crate::protocol::backend::TransactionStatus;

/// What may make the rest of a transaction see other settings.
pub(super) const MAY_CHANGE_SETTINGS: SessionEffects = SessionEffects::of(&[
    SessionEffect::LocalSetting,
    SessionEffect::NamedSetting,
    SessionEffect::Setting,
    SessionEffect::UnknownCode,
]);

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
#[derive(Clone)]
pub(super) struct Effects {
    /// To the transaction.
    pub(super) boundary: Boundary,
    /// To tables and catalogs.
    pub(super) writes: Writes,
    /// To the session.
    pub(super) session: SessionEffects,
    /// To settings of the session, by name.
    pub(super) settings: Settings,
    /// The catalog by which the writes were found out; `None` where that makes no difference.
    pub(super) catalog: Option<Stamp>,
    /// Would its error alone, outside a transaction, prove that nothing changed?
    pub(super) rollback_is_provable: bool,
    /// Statements whose effect on the session is not known until the catalog is.
    pub(super) unjudged: Vec<Arc<Statement>>,
    /// Does it consist of queries, and of statements that change rows?
    pub(super) is_query: bool,
    /// May it be run again, though it may have run already?
    pub(super) is_repeatable: bool,
    statements: usize,
    is_script: bool,
}

impl Default for Effects {
    fn default() -> Self {
        Self {
            boundary: Boundary::None,
            writes: Writes::new(),
            session: SessionEffects::default(),
            settings: Settings::default(),
            catalog: None,
            rollback_is_provable: true,
            unjudged: Vec::new(),
            is_query: true,
            is_repeatable: true,
            statements: 0,
            is_script: false,
        }
    }
}

impl Effects {
    /// Those of one statement.
    pub(super) fn of(statement: &Arc<Statement>, plan: &Plan) -> Self {
        let mut effects = Self::default();
        effects.add(statement, plan);
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
            settings: Settings::default(),
            catalog: None,
            rollback_is_provable: false,
            unjudged: Vec::new(),
            is_query: false,
            is_repeatable: false,
            statements: 1,
            is_script: true,
        }
    }

    /// Adds those of another statement of the same request.
    pub(super) fn add(&mut self, statement: &Arc<Statement>, plan: &Plan) {
        let control = statement.parsed().control();
        self.statements += 1;
        self.is_script |= matches!(control, Control::Script { .. } | Control::NotUnderstood);
        if plan.is_blind {
            self.unjudged.push(Arc::clone(statement));
        }
        self.boundary = match (self.statements, Boundary::of(control), &self.boundary) {
            (1, boundary, _) => boundary,
            (_, Boundary::None, Boundary::None) => Boundary::None,
            _ => Boundary::Script,
        };
        merge(&mut self.writes, &plan.writes);
        self.catalog = self.catalog.or(plan.catalog);
        self.session = self.session.union(plan.session);
        self.settings.merge(statement.parsed().settings());
        self.is_query &= statement.parsed().is_query();
        self.is_repeatable &= plan.is_repeatable;
        // In a script, what came before the error may have been committed already.
        self.rollback_is_provable &= plan.rollback_is_provable
            && self.statements == 1
            && !matches!(control, Control::Script { .. });
    }

    /// Does it make the server forget statements in a way that is not followed?
    pub(super) fn forgets_untold(&self) -> bool {
        let forgets = SessionEffects::of(&[SessionEffect::Deallocate, SessionEffect::DiscardAll]);
        let is_alone = self.statements == 1 && self.boundary == Boundary::None && !self.is_script;
        !is_alone && self.session.intersects(forgets)
    }

    /// How many statements the request executes; a text counts as one.
    pub(super) const fn statements(&self) -> usize {
        self.statements
    }

    /// Does the request execute anything?
    pub(super) const fn runs_something(&self) -> bool {
        self.statements > 0
    }

    /// These, and behind them those of a later part of the same pipeline.
    pub(super) fn then(mut self, later: &Self) -> Self {
        self.boundary = match (self.statements, later.statements) {
            (0, _) => later.boundary.clone(),
            (_, 0) => self.boundary,
            _ if self.boundary == Boundary::None && later.boundary == Boundary::None => {
                Boundary::None
            }
            _ => Boundary::Script,
        };
        self.statements += later.statements;
        merge(&mut self.writes, &later.writes);
        self.session = self.session.union(later.session);
        self.settings.merge(&later.settings);
        self.catalog = self.catalog.or(later.catalog);
        self.is_script |= later.is_script;
        self.is_query &= later.is_query;
        self.is_repeatable &= later.is_repeatable;
        self.rollback_is_provable &= later.rollback_is_provable && self.statements <= 1;
        self
    }

    /// Adds those of something nothing is known of.
    pub(super) fn add_unknown(&mut self) {
        let unknown = Self::unknown();
        merge(&mut self.writes, &unknown.writes);
        self.session = self.session.union(unknown.session);
        self.boundary = unknown.boundary;
        self.is_query = false;
        self.is_repeatable = false;
        self.rollback_is_provable = false;
        self.statements += 1;
    }
}

/// May a change of these be one of the catalogs?
pub(super) fn changes_catalogs(writes: &[Slot]) -> bool {
    writes.contains(&Slot::CATALOG) || writes.contains(&Slot::EVERYTHING)
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
#[derive(Default)]
pub(super) struct Transaction {
    /// As the last ReadyForQuery told the client.
    pub(super) status: TransactionStatus,
    written: Writes,
    reads_committed: bool,
    has_settings: bool,
    /// The BEGIN that the server has not been told of yet.
    kept_back: Option<Arc<Statement>>,
    first_query: FirstQuery,
}

/// Has a query run in the transaction? From then on its modes stand (SET TRANSACTION is an error).
/// <https://www.postgresql.org/docs/current/sql-set-transaction.html>
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum FirstQuery {
    /// None has.
    #[default]
    ToCome,
    /// One was answered from the cache, and the server does not know.
    Untold,
    /// The server has run one.
    Run,
}

impl Transaction {
    /// May a read be answered from the cache, and fill it?
    pub(super) fn allows_cache(&self) -> bool {
        match self.status {
            TransactionStatus::Idle => true,
            TransactionStatus::Open => {
                self.reads_committed && !self.has_settings && self.written.is_empty()
            }
            TransactionStatus::Failed => false,
        }
    }

    /// Begins a READ COMMITTED transaction of which the server is not told yet.
    pub(super) fn keep_back(&mut self, begin: Arc<Statement>) {
        self.status = TransactionStatus::Open;
        self.reads_committed = true;
        self.kept_back = Some(begin);
    }

    /// Is there a transaction that the server has not been told of?
    pub(super) const fn is_kept_back(&self) -> bool {
        self.kept_back.is_some()
    }

    /// The BEGIN to be sent before anything else.
    pub(super) fn take_kept_back(&mut self) -> Option<Arc<Statement>> {
        self.kept_back.take()
    }

    /// The BEGIN that the server has not been told of.
    pub(super) const fn kept_back(&self) -> Option<&Arc<Statement>> {
        self.kept_back.as_ref()
    }

    /// The server that was told of it is gone, and nothing had happened in the transaction.
    pub(super) fn put_back(&mut self, begin: Arc<Statement>) {
        self.kept_back = Some(begin);
    }

    /// A query was answered from the cache.
    pub(super) fn note_hit(&mut self) {
        if self.status == TransactionStatus::Open && self.first_query == FirstQuery::ToCome {
            self.first_query = FirstQuery::Untold;
        }
    }

    /// Is the server to be told that a query has run?
    pub(super) fn owes_query(&self) -> bool {
        self.status == TransactionStatus::Open && self.first_query == FirstQuery::Untold
    }

    /// The server knows that a query has run.
    pub(super) const fn note_query(&mut self) {
        self.first_query = FirstQuery::Run;
    }

    /// The transaction ends, and the server has never heard of it.
    pub(super) fn forget_kept_back(&mut self) {
        *self = Self::default();
    }

    /// Has a statement failed in it?
    pub(super) fn has_failed(&self) -> bool {
        self.status == TransactionStatus::Failed
    }

    /// May it have settings of its own, by SET LOCAL and the like?
    pub(super) const fn has_settings(&self) -> bool {
        self.has_settings
    }

    /// Are the catalogs perhaps others for it than for everybody else?
    pub(super) fn may_have_changed_catalogs(&self) -> bool {
        changes_catalogs(&self.written)
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

    /// A request was sent to the server.
    pub(super) fn sent(&mut self, effects: &Effects) {
        if self.status != TransactionStatus::Idle {
            self.remember(effects);
            if effects.is_query && effects.runs_something() {
                self.note_query();
            }
        }
    }

    /// What an open transaction has changed can no longer be told.
    pub(super) fn remember_everything(&mut self) {
        if self.status != TransactionStatus::Idle {
            merge(&mut self.written, &[Slot::EVERYTHING, Slot::CATALOG]);
        }
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
                self.has_settings = false;
                self.first_query = FirstQuery::ToCome;
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
                self.written.clear();
                self.first_query = FirstQuery::ToCome;
            }
            // PostgreSQL warns of a BEGIN within a transaction, and heeds its modes.
            (_, _, Boundary::Begin(Some(level))) if *level != IsolationLevel::ReadCommitted => {
                self.reads_committed = false;
            }
            (_, _, Boundary::Script) => self.reads_committed = false,
            _ => {}
        }
        Writes::new()
    }

    fn remember(&mut self, effects: &Effects) {
        merge(&mut self.written, &effects.writes);
        self.has_settings |= effects.session.intersects(MAY_CHANGE_SETTINGS);
    }
}
