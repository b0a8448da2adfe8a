//! What a statement does to the flow of its session: transactions, prepared statements, several statements at once.
//!
//! <https://www.postgresql.org/docs/current/sql-begin.html> and its neighbours.

use pg_raw_parse::Node;
use pg_raw_parse::const_val::ConstValue;
use pg_raw_parse::list::NodeList;
use pg_raw_parse::nodes;
use pg_raw_parse::raw::TransactionStmtKind as Kind;

use super::tree::literal;

/// The part of a text in transaction control.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Control {
    /// `BEGIN` or `START TRANSACTION`.
    Begin(TransactionModes),
    /// `COMMIT` or `END`.
    Commit {
        /// `AND CHAIN`: a new transaction begins at once.
        chain: bool,
    },
    /// `COMMIT PREPARED` of this identifier.
    CommitPrepared(String),
    /// No statement at all.
    Empty,
    /// The text could not be parsed.
    NotUnderstood,
    /// One statement that is not transaction control.
    Plain,
    /// `PREPARE TRANSACTION` under this identifier.
    PrepareTransaction(String),
    /// `RELEASE SAVEPOINT`.
    ReleaseSavepoint,
    /// `ROLLBACK` or `ABORT`.
    Rollback {
        /// `AND CHAIN`: a new transaction begins at once.
        chain: bool,
    },
    /// `ROLLBACK PREPARED` of this identifier.
    RollbackPrepared(String),
    /// `ROLLBACK TO SAVEPOINT`.
    RollbackToSavepoint,
    /// `SAVEPOINT`.
    Savepoint,
    /// Several statements in one text.
    Script {
        /// Whether one of them is transaction control.
        transaction_control: bool,
    },
}

/// What `BEGIN` asks of its transaction; what it does not mention comes from the session's defaults.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TransactionModes {
    /// `ISOLATION LEVEL`.
    pub isolation: Option<IsolationLevel>,
    /// `READ ONLY` or `READ WRITE`.
    pub read_only: Option<bool>,
    /// `DEFERRABLE` or `NOT DEFERRABLE`.
    pub deferrable: Option<bool>,
    /// Written `START TRANSACTION`, as its command tag will be.
    pub start: bool,
}

/// <https://www.postgresql.org/docs/current/transaction-iso.html>
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IsolationLevel {
    /// To PostgreSQL the same as [`IsolationLevel::ReadCommitted`].
    ReadUncommitted,
    /// Every statement has a fresh snapshot.
    ReadCommitted,
    /// One snapshot for the transaction.
    RepeatableRead,
    /// As if the transactions ran one after the other.
    Serializable,
}

/// What `DEALLOCATE` names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Deallocate {
    /// Every prepared statement of the session.
    All,
    /// The prepared statement of this name.
    Name(String),
}

/// The control of a single statement.
pub(super) fn control(statement: Node<'_>) -> Control {
    let Node::TransactionStmt(transaction) = statement else {
        return Control::Plain;
    };
    let identifier = || transaction.gid().unwrap_or_default().to_owned();
    match transaction.kind {
        Kind::TRANS_STMT_BEGIN | Kind::TRANS_STMT_START => {
            let start = transaction.kind == Kind::TRANS_STMT_START;
            modes(transaction.options()).map_or(Control::NotUnderstood, |modes| {
                Control::Begin(TransactionModes { start, ..modes })
            })
        }
        Kind::TRANS_STMT_COMMIT => Control::Commit {
            chain: transaction.chain,
        },
        Kind::TRANS_STMT_COMMIT_PREPARED => Control::CommitPrepared(identifier()),
        Kind::TRANS_STMT_PREPARE => Control::PrepareTransaction(identifier()),
        Kind::TRANS_STMT_RELEASE => Control::ReleaseSavepoint,
        Kind::TRANS_STMT_ROLLBACK => Control::Rollback {
            chain: transaction.chain,
        },
        Kind::TRANS_STMT_ROLLBACK_PREPARED => Control::RollbackPrepared(identifier()),
        Kind::TRANS_STMT_ROLLBACK_TO => Control::RollbackToSavepoint,
        Kind::TRANS_STMT_SAVEPOINT => Control::Savepoint,
        _ => Control::NotUnderstood,
    }
}

/// What `DEALLOCATE` removes.
pub(super) fn deallocates(statement: &nodes::DeallocateStmt) -> Deallocate {
    match statement.name() {
        Some(name) if !statement.isall => Deallocate::Name(name.to_owned()),
        Some(_) | None => Deallocate::All,
    }
}

/// The prepared statement that a statement names.
pub(super) fn names(statement: Node<'_>) -> Option<String> {
    let name = match statement {
        Node::DeallocateStmt(deallocate) => deallocate.name(),
        Node::ExecuteStmt(execute) => execute.name(),
        Node::PrepareStmt(prepare) => prepare.name(),
        Node::ExplainStmt(explain) => return names(explain.query()),
        Node::CreateTableAsStmt(create) => return names(create.query()),
        _ => None,
    };
    name.map(ToOwned::to_owned)
}

/// `None`: an option that is not known.
fn modes(options: &NodeList) -> Option<TransactionModes> {
    let mut modes = TransactionModes::default();
    for option in options {
        let Node::DefElem(option) = option else {
            return None;
        };
        let value = literal(option.arg())?;
        match option.defname()? {
            "transaction_isolation" => modes.isolation = Some(isolation(value)?),
            "transaction_read_only" => modes.read_only = Some(flag(value)?),
            "transaction_deferrable" => modes.deferrable = Some(flag(value)?),
            _ => return None,
        }
    }
    Some(modes)
}

fn isolation(value: ConstValue<'_>) -> Option<IsolationLevel> {
    match value {
        ConstValue::String("read uncommitted") => Some(IsolationLevel::ReadUncommitted),
        ConstValue::String("read committed") => Some(IsolationLevel::ReadCommitted),
        ConstValue::String("repeatable read") => Some(IsolationLevel::RepeatableRead),
        ConstValue::String("serializable") => Some(IsolationLevel::Serializable),
        _ => None,
    }
}

fn flag(value: ConstValue<'_>) -> Option<bool> {
    match value {
        ConstValue::Integer(value) => Some(value != 0),
        _ => None,
    }
}
