//! One cached result.

use std::time::Instant;

use crate::freshness::words::{Stamp, Words};

/// The messages that answer a query, as PostgreSQL sent them, and what they depend on.
///
/// The bytes are an optional RowDescription, then every DataRow, then CommandComplete: with what the request
/// asks for around them (ParseComplete, BindComplete, ReadyForQuery) they are the server's own reply.
pub struct Entry {
    bytes: Box<[u8]>,
    rows_at: usize,
    stamps: Box<[Stamp]>,
    deadline: Option<Instant>,
}

impl Entry {
    /// A result whose rows begin at `rows_at`, behind the RowDescription; 0 if it has none.
    #[must_use]
    pub fn new(
        bytes: Box<[u8]>,
        rows_at: usize,
        stamps: Box<[Stamp]>,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            bytes,
            rows_at,
            stamps,
            deadline,
        }
    }

    /// Everything, the RowDescription (if any) first.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The RowDescription and the rows, or `None` if the result was read without its description.
    #[must_use]
    pub fn described(&self) -> Option<&[u8]> {
        (self.rows_at > 0).then_some(&self.bytes)
    }

    /// The rows and CommandComplete alone.
    #[must_use]
    pub fn rows(&self) -> &[u8] {
        &self.bytes[self.rows_at..]
    }

    /// The words it depends on, as they stood.
    #[must_use]
    pub fn stamps(&self) -> &[Stamp] {
        &self.stamps
    }

    /// Is every word it depends on as it was?
    #[must_use]
    pub fn is_fresh(&self, words: &Words) -> bool {
        self.stamps.iter().all(|&stamp| words.is_current(stamp))
    }

    /// May it be served at `now`?
    #[must_use]
    pub fn is_servable(&self, words: &Words, now: Instant) -> bool {
        self.is_fresh(words) && self.deadline.is_none_or(|deadline| now < deadline)
    }
}
