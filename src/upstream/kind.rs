//! Which connections a session can use.

use std::sync::Arc;

use super::connection::{Baseline, Connection};
use super::settings::{self, Changes, leaves_no_trace};

/// What a session needs of a connection: the settings it started with, and its own changes to them, which can be
/// given to a connection that has others.
#[derive(Clone, Debug)]
pub struct Kind {
    /// The settings that the connection has started with.
    pub baseline: Arc<Baseline>,
    /// What the session has changed.
    pub changes: Arc<Changes>,
    /// The process id that its client was told. What others see of the session (the sender of a NOTIFY, a row of
    /// `pg_stat_activity`) has this id as long as the session is served by that connection.
    pub told_pid: u32,
}

impl Kind {
    /// Can the session use it at all? Where no other can be opened, the trace that an application's own settings
    /// leave is put up with.
    #[must_use]
    pub fn admits(&self, connection: &Connection, can_connect: bool) -> bool {
        self.has_baseline_of(connection)
            && (!can_connect || leaves_no_trace(&connection.changes, &self.changes))
    }

    /// Is it as the session would leave it?
    #[must_use]
    pub fn matches(&self, connection: &Connection) -> bool {
        self.has_baseline_of(connection) && settings::same(&connection.changes, &self.changes)
    }

    /// Is it the one that the client was told of?
    #[must_use]
    pub fn is_home(&self, connection: &Connection) -> bool {
        connection.backend.pid.cast_unsigned() == self.told_pid
    }

    /// Did the connection start with the settings that the session started with?
    #[must_use]
    pub fn has_baseline_of(&self, connection: &Connection) -> bool {
        Arc::ptr_eq(&connection.baseline, &self.baseline) || connection.baseline == self.baseline
    }
}
