//! The settings a session has changed: part of its cache key, and carried from connection to connection.
//!
//! A statement that may change settings notes their names. Once the session is out of its transaction the
//! server is asked for their values ([`crate::upstream::settings`]); until then the session keeps its
//! connection and stays away from the cache. What cannot be followed by name pins the session instead.

use std::sync::Arc;

use super::{End, Session};
use crate::analysis::{Dialect, SessionEffect, SessionEffects};
use crate::cache::key::ContextId;
use crate::database::Database;
use crate::protocol::backend::TransactionStatus;
use crate::services::{Context, Services};
use crate::session::relay::Broken;
use crate::upstream::connection::{Baseline, Parameters};
use crate::upstream::pool::Pool;
use crate::upstream::settings::{Changes, can_travel, discarded};

/// Settings that no cached result depends on.
const WITHOUT_INFLUENCE: [&[u8]; 6] = [
    b"application_name",
    b"fallback_application_name",
    b"idle_in_transaction_session_timeout",
    b"idle_session_timeout",
    b"lock_timeout",
    b"statement_timeout",
];

impl Session {
    /// Asks the server what has become of the settings that statements may have changed.
    pub(super) async fn learn_settings(&mut self) -> Result<(), End> {
        let is_over = !self.pipeline_open && self.transaction.status == TransactionStatus::Idle;
        if self.touched.is_empty() || !is_over {
            return Ok(());
        }
        let touched = std::mem::take(&mut self.touched);
        let Some(server) = self.server.as_mut().filter(|_| !self.untracked) else {
            return Ok(());
        };
        let before = Arc::clone(&self.kind.changes);
        let mut names: Vec<&str> = touched.names.iter().map(|name| &**name).collect();
        if touched.changed_before {
            names.extend(before.keys().map(|name| &**name));
        }
        if names.is_empty() {
            return Ok(());
        }
        names.sort_unstable();
        names.dedup();
        match server.learn_settings(names.into_iter()).await {
            Ok(changes) if can_travel(&changes) => {
                let changes = self.services.changes(changes);
                server.changes = Arc::clone(&changes);
                self.have_settings(changes);
            }
            // The server would not say (its time-out may be as short as that), or nobody else could be given them.
            Ok(_) => self.pin(SessionEffects::of(&[SessionEffect::Setting])),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                self.pin(SessionEffects::of(&[SessionEffect::Setting]));
            }
            Err(error) => return Err(Broken::Server(error).into()),
        }
        Ok(())
    }

    /// DISCARD ALL has taken the session back to what it began with.
    pub(super) fn discard_settings(&mut self) {
        let left = discarded(&self.kind.changes);
        let left = self.services.changes(Changes::clone(&left));
        if let Some(server) = &mut self.server {
            server.changes = Arc::clone(&left);
        }
        self.touched = Default::default();
        self.have_settings(left);
    }

    /// These are the session's changes from here on, and what its connection now reports.
    fn have_settings(&mut self, changes: Arc<Changes>) {
        if let Some(server) = &self.server {
            self.dialect = dialect(&server.parameters);
        }
        self.kind.changes = changes;
        self.context = context(
            &self.services,
            &self.database,
            &self.pool,
            &self.kind.baseline,
            &self.kind.changes,
        );
    }

    /// Is READ COMMITTED what a transaction of this session gets that asks for nothing?
    pub(super) fn defaults_to_read_committed(&self) -> bool {
        self.kind
            .changes
            .get("default_transaction_isolation")
            .map_or_else(
                || self.kind.baseline.is_read_committed(),
                |level| **level == *b"read committed",
            )
    }
}

/// How a server that reports these settings reads a text.
pub(super) fn dialect(parameters: &Parameters) -> Dialect {
    let is = |name: &str, value: &[u8]| {
        parameters
            .get(name.as_bytes())
            .is_some_and(|reported| **reported == *value)
    };
    Dialect {
        utf8: is("client_encoding", b"UTF8") && is("server_encoding", b"UTF8"),
        standard_conforming_strings: is("standard_conforming_strings", b"on"),
    }
}

/// The number of everything that a session's answers depend on beside the statement.
pub(super) fn context(
    services: &Services,
    database: &Database,
    pool: &Pool,
    baseline: &Baseline,
    changes: &Changes,
) -> ContextId {
    services.context(whole_context(database, pool, baseline, changes))
}

/// Everything that a session's answers depend on beside the statement.
pub(super) fn whole_context(
    database: &Database,
    pool: &Pool,
    baseline: &Baseline,
    changes: &Changes,
) -> Context {
    let matters = |name: &[u8]| !WITHOUT_INFLUENCE.contains(&name);
    let mut startup = pool.startup().parameters.clone();
    startup.retain(|(name, _)| matters(name));
    startup.sort();
    // The server reports the application's name among its settings.
    let mut baseline = Baseline::clone(baseline);
    Arc::make_mut(&mut baseline.parameters).retain(|name, _| matters(name));
    let mut changes = changes.clone();
    changes.retain(|name, _| matters(name.as_bytes()));
    Context {
        database: database.number(),
        startup,
        baseline,
        changes,
    }
}
