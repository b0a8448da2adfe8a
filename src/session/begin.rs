//! BEGIN is answered at once, and sent to the server with the first statement that needs one.
//!
//! Many applications put every read into a transaction of its own. In a READ COMMITTED transaction that has
//! written nothing every statement has a fresh snapshot, so a hit is right, and a transaction made of hits alone
//! never meets PostgreSQL. What differs from a BEGIN that is sent: `now()` is the time of the first statement
//! that was forwarded.

use std::sync::Arc;

use super::relay::Broken;
use super::{End, Session};
use crate::analysis::{Control, IsolationLevel, TransactionModes};
use crate::database::statement::Statement;
use crate::observe::Counter;
use crate::protocol::backend::TransactionStatus;

impl Session {
    /// Does what transaction control asks for, if the server need not hear of it. Returns the command tag.
    pub(super) fn answer_control(&mut self, statement: &Arc<Statement>) -> Option<&'static str> {
        let tag = match statement.parsed().control() {
            Control::Begin(modes) if self.may_keep_back(*modes) => {
                self.transaction.keep_back(Arc::clone(statement));
                return Some(if modes.start {
                    "START TRANSACTION"
                } else {
                    "BEGIN"
                });
            }
            Control::Commit { chain: false } if !self.transaction.has_failed() => "COMMIT",
            Control::Commit { chain: false } | Control::Rollback { chain: false } => "ROLLBACK",
            _ => return None,
        };
        if !self.transaction.is_kept_back() {
            return None;
        }
        self.transaction.forget_kept_back();
        self.services.metrics.add(Counter::VirtualTransactions, 1);
        Some(tag)
    }

    /// May a BEGIN wait? Not one that could fail (READ WRITE on a standby), nor one whose statements share a
    /// snapshot, nor that of a session that holds a connection: it may be waiting for notifications.
    pub(super) fn may_keep_back(&self, modes: TransactionModes) -> bool {
        let reads_committed = match modes.isolation {
            None => self.defaults_to_read_committed(),
            Some(level) => level == IsolationLevel::ReadCommitted,
        };
        reads_committed
            && modes.read_only != Some(false)
            && self.transaction.status == TransactionStatus::Idle
            && self.server.is_none()
            && self.bypasses_cache().is_none()
    }

    /// Tells the server of the transaction it has not heard of yet.
    pub(super) async fn send_kept_back(&mut self) -> Result<(), End> {
        let owes_query = self.transaction.owes_query();
        let Some(begin) = self.transaction.take_kept_back() else {
            if owes_query {
                let server = self.server.as_mut().expect("the caller has attached");
                server.run(QUERY).await.map_err(Broken::Server)?;
                self.transaction.note_query();
            }
            return Ok(());
        };
        let mut text = begin.text().to_vec();
        if owes_query {
            text.extend_from_slice(b"\n;");
            text.extend_from_slice(QUERY);
        }
        let server = self.server.as_mut().expect("the caller has attached");
        // A cancel request may meet it; that was meant for what comes behind, and is as good as late.
        if server.run(&text).await.is_err() {
            let _ = server.run(b"ROLLBACK").await;
            server.run(&text).await.map_err(Broken::Server)?;
        }
        if owes_query {
            self.transaction.note_query();
        }
        if self.transaction.has_failed() {
            // It has failed here: by a cancel request while it waited for a connection.
            let _ = server.run(FAILS).await;
            if server.status != TransactionStatus::Failed {
                return Err(Broken::Server(std::io::ErrorKind::InvalidData.into()).into());
            }
        }
        Ok(())
    }
}

/// Makes the server see, in behalf of those that were answered from the cache, that a query has run in the transaction:
/// its modes can no longer be changed.
const QUERY: &[u8] = b"SELECT 1";

/// Fails in any session.
const FAILS: &[u8] = b"ROLLBACK TO SAVEPOINT \"pgkeel: cancelled before the transaction began\"";
