//! The cache, as a session sees it: a hit, a result to wait for, or a fill to make.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::record::{Recording, Unrecorded};
use super::{End, Session};
use crate::cache::deadline;
use crate::cache::entry::Entry;
use crate::config::Ttl;
use crate::database::statement::{Plan, ReadPlan, Statement};
use crate::freshness::flight::{Boarding, Leader};
use crate::freshness::words::Stamp;
use crate::observe::Counter;
use crate::reason::Reason;
use crate::shared::Destination;

/// How long a miss waits for another: a leader may be held up by a client that does not read.
const FLIGHT_LIMIT: Duration = Duration::from_secs(1);

/// What a cacheable read is to do.
pub(super) enum Found {
    /// Another session has just fetched it.
    Coalesced(Arc<Entry>),
    /// Another instance has fetched it.
    Shared(Arc<Entry>),
    /// Ask the server, and keep the result.
    Fill(Fill),
    /// Ask the server, for this reason only.
    Forward(Reason),
}

/// A result that is about to be fetched and may be kept, if nothing it depends on changes meanwhile.
pub(super) struct Fill {
    key: Box<[u8]>,
    stamps: Arc<[Stamp]>,
    ttl: Ttl,
    /// Where other instances are to find it.
    shared: Option<Destination>,
    pub(super) recording: Recording,
}

impl Fill {
    /// The same result, fetched once more under other stamps. Nobody waits for it.
    pub(super) fn again(self, read: &ReadPlan, stamps: Arc<[Stamp]>, limit: usize) -> Self {
        Self {
            key: self.key,
            stamps,
            ttl: read.ttl,
            // Its number is older than these stamps, so it claims less than it could.
            shared: self.shared,
            recording: Recording::new(limit, None),
        }
    }
}

/// Should a request that needs the RowDescription be given this entry?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// With its RowDescription.
    Described,
    /// Rows alone will do.
    Rows,
}

impl Shape {
    pub(super) fn fits(self, entry: &Entry) -> bool {
        self == Self::Rows || entry.described().is_some()
    }
}

impl Session {
    /// Why no read of this session may be served from the cache now, or kept in it.
    pub(super) fn bypasses_cache(&self) -> Option<Reason> {
        if !self.services.config.cache.enabled {
            Some(Reason::CacheDisabled)
        } else if self.untracked || !self.touched.is_empty() {
            Some(Reason::SessionChanged)
        } else if !self.unjudged.is_empty() {
            Some(Reason::CatalogNotReady)
        } else if self.pipeline_open {
            Some(Reason::OpenPipeline)
        } else if self.transaction.allows_cache() {
            None
        } else if self.transaction.has_written() {
            Some(Reason::TransactionWrote)
        } else {
            Some(Reason::TransactionIsolation)
        }
    }

    /// The entry of the key that stands in `self.key`, if it may be served.
    pub(super) fn hit(&self, shape: Shape) -> Option<Arc<Entry>> {
        let (freshness, now) = (&self.services.freshness, Instant::now());
        if !self.database.is_vouched(now) || !freshness.peers().may_serve(now) {
            return None;
        }
        self.services
            .cache
            .lookup(&self.key, freshness.words(), now)
            .filter(|entry| shape.fits(entry))
    }

    /// Decides what a read that was not in the cache does. `self.key` is its key.
    pub(super) async fn find(
        &mut self,
        statement: &Statement,
        plan: &Plan,
        shape: Shape,
    ) -> Result<Found, End> {
        let read = match &plan.read {
            Ok(read) => read,
            Err(reason) => return Ok(Found::Forward(*reason)),
        };
        let now = Instant::now();
        if !self.database.is_vouched(now) {
            return Ok(Found::Forward(Reason::CatalogUnchecked));
        }
        if !self.services.freshness.peers().may_serve(now) {
            return Ok(Found::Forward(Reason::NoLease));
        }
        // Before the stamps: a result must not seem to know of more than it does.
        let ticket = self.ticket();
        let words = self.services.freshness.words();
        let Some(stamps) = read.stamps(words) else {
            return Ok(Found::Forward(Reason::ChangeUnderWay));
        };
        if self.server.is_some() {
            // In a transaction, or pinned: a cancel request goes to the server and would not end the wait.
            return Ok(self
                .find_shared(ticket, statement, read, stamps, None, shape)
                .await);
        }
        let mut landed = match self.services.flights.board(&self.key, &stamps, words) {
            Boarding::Lead(leader) => {
                let leader = Some(leader);
                return Ok(self
                    .find_shared(ticket, statement, read, stamps, leader, shape)
                    .await);
            }
            Boarding::Wait(landed) => landed,
        };
        self.client
            .flush()
            .await
            .map_err(super::relay::Broken::Client)?;
        tokio::select! {
            _ = landed.changed() => {}
            () = tokio::time::sleep(FLIGHT_LIMIT) => {}
            () = self.cancel.cancelled() => return Err(End::Cancelled),
        }
        if let Some(entry) = self.hit(shape) {
            return Ok(Found::Coalesced(entry));
        }
        // The leader's result was not kept. Waiting for another would make a queue of it.
        Ok(read
            .stamps(self.services.freshness.words())
            .map_or(Found::Forward(Reason::ChangeUnderWay), |stamps| {
                Found::Fill(self.fill(read, stamps, None, None))
            }))
    }

    pub(super) fn fill(
        &self,
        read: &ReadPlan,
        stamps: Arc<[Stamp]>,
        leader: Option<Leader>,
        shared: Option<Destination>,
    ) -> Fill {
        Fill {
            key: self.key.as_slice().into(),
            stamps,
            ttl: read.ttl,
            shared,
            recording: Recording::new(self.services.config.cache.result_max_bytes, leader),
        }
    }

    /// Keeps a fetched result, if nothing it depends on has changed since its stamps were taken.
    pub(super) fn keep(&self, fill: Fill) {
        let counter = match fill.recording.finish() {
            Ok(recorded) => {
                let ends = deadline(Instant::now(), fill.ttl);
                let entry = Entry::new(
                    recorded.bytes,
                    recorded.rows_at,
                    (*fill.stamps).into(),
                    ends,
                );
                let words = self.services.freshness.words();
                match self.services.cache.fill(fill.key, entry, words) {
                    Some(entry) => {
                        if let (Some(shared), Some(to)) = (&self.services.shared, fill.shared) {
                            shared.keep(to, &entry, recorded.rows_at, ends);
                        }
                        Counter::Fills
                    }
                    None => Counter::FillsRejected,
                }
            }
            Err(Unrecorded::TooLarge) => Counter::ResultsTooLarge,
            Err(Unrecorded::Unfit) => Counter::FillsRejected,
        };
        self.services.metrics.add(counter, 1);
    }
}
