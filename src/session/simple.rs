//! The simple query protocol: one text, answered with everything up to ReadyForQuery.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use super::lookup::{Fill, Found, Shape};
use super::relay::Broken;
use super::transaction::Effects;
use super::{End, Session};
use crate::analysis::{Deallocate, SessionEffect, SessionEffects};
use crate::cache::entry::Entry;
use crate::cache::key;
use crate::database::statement::{Plan, Statement};
use crate::observe::Route;
use crate::protocol::backend::{self, TransactionStatus};
use crate::protocol::expect::{Expected, Origin};
use crate::protocol::frame::{Frame, HEADER};
use crate::protocol::frontend;
use crate::reason::Reason;
use crate::upstream::connection::Unnamed;

/// A result above this is sent in two pieces instead of being copied behind what precedes it.
pub(super) const COPY_MAX_BYTES: usize = 16 * 1024;

/// What has piled up beyond this goes out before more is added.
const OUTBOX_MAX_BYTES: usize = 64 * 1024;

impl Session {
    /// Answers a Query or FunctionCall message.
    pub(super) async fn query(&mut self, bytes: BytesMut, frame: Frame) -> Result<(), End> {
        if self.skip_to_sync {
            // The server would not hear it, and so it is not sent.
            return Ok(());
        }
        let started = Instant::now();
        self.awaits_sync = false;
        let text = match frame.tag {
            frontend::QUERY => frontend::query(frame.body(&bytes)),
            _ => None,
        };
        // A simple query does away with the unnamed statement and the unnamed portal.
        self.statements.remove(b"".as_slice());
        self.portals.remove(b"".as_slice());
        let Some(text) = text else {
            return self
                .forward_query(&bytes, Effects::unknown(), Route::Bypass, started)
                .await;
        };
        let bypass = self.bypasses_cache();
        if bypass.is_none() {
            key::simple(&mut self.key, self.context, text);
            if let Some(entry) = self.hit(Shape::Described) {
                return self.replay(&entry, Route::Hit, started).await;
            }
        }
        let mut tail = Vec::with_capacity(text.len() + 3);
        tail.extend_from_slice(text);
        tail.extend_from_slice(&[0; 3]);
        let statement = self.statement(&tail);
        let plan = self.database.plan(&statement);
        if self.deallocate(&statement) {
            return Ok(());
        }
        if let Some(tag) = self.answer_control(&statement) {
            backend::write_command_complete(&mut self.client.outbox, tag);
            self.write_ready();
            return Ok(());
        }
        self.hand_over_names(&statement).await?;
        if let Some(reason) = bypass.filter(|_| plan.read.is_ok()) {
            return self
                .bypass_query(&bytes, &statement, &plan, reason, started)
                .await;
        }
        match self.find(&statement, &plan, Shape::Described).await? {
            Found::Coalesced(entry) => self.replay(&entry, Route::Coalesced, started).await,
            Found::Shared(entry) => self.replay(&entry, Route::SharedHit, started).await,
            Found::Forward(reason) => {
                self.bypass_query(&bytes, &statement, &plan, reason, started)
                    .await
            }
            Found::Fill(fill) => {
                self.run_query(&bytes, &statement, Some(fill)).await?;
                self.note_served(Route::Miss, started, text);
                Ok(())
            }
        }
    }

    async fn bypass_query(
        &mut self,
        bytes: &[u8],
        statement: &Arc<Statement>,
        plan: &Plan,
        reason: Reason,
        started: Instant,
    ) -> Result<(), End> {
        let route = self.route(&Effects::of(statement, plan), reason);
        self.run_query(bytes, statement, None).await?;
        self.note_served(route, started, &bytes[HEADER..]);
        Ok(())
    }

    /// Has a server answer a query, in several tries if need be, and keeps its result if that is asked for.
    async fn run_query(
        &mut self,
        bytes: &[u8],
        statement: &Arc<Statement>,
        mut fill: Option<Fill>,
    ) -> Result<(), End> {
        let mut tries = self.tries();
        loop {
            if !self.attach_for(&mut tries).await? {
                return Ok(());
            }
            let plan = self.database.plan(statement);
            let effects = Effects::of(statement, &plan);
            if tries.is_again() {
                fill = fill.and_then(|fill| self.fill_again(fill, &plan));
            }
            self.begin_query(bytes).await?;
            let repeat = self.hold_back(&effects, true);
            let recording = fill.as_mut().map(|fill| &mut fill.recording);
            let outcome = self.exchange(&effects, recording).await;
            if self.is_done(&mut tries, repeat, outcome).await? {
                break;
            }
        }
        if let Some(fill) = fill {
            self.keep(fill);
        }
        Ok(())
    }

    /// The route of a request that is not cached; its reason is counted if it is no write.
    pub(super) fn route(&self, effects: &Effects, reason: Reason) -> Route {
        if effects.writes.is_empty() {
            self.services.metrics.bypass(reason);
            Route::Bypass
        } else {
            Route::Write
        }
    }

    async fn forward_query(
        &mut self,
        bytes: &[u8],
        effects: Effects,
        route: Route,
        started: Instant,
    ) -> Result<(), End> {
        self.begin_query(bytes).await?;
        self.exchange(&effects, None).await?;
        self.note_served(route, started, &bytes[HEADER..]);
        Ok(())
    }

    async fn begin_query(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.attach().await?;
        self.close_leftovers();
        self.to_server.extend_from_slice(bytes);
        let server = self.server.as_mut().expect("just attached");
        server.prepared.unnamed = Unnamed::Absent;
        server.owed.push(Expected::Query(Origin::Client));
        Ok(())
    }

    /// Answers with a cached result.
    async fn replay(&mut self, entry: &Entry, route: Route, started: Instant) -> Result<(), End> {
        self.write_result(entry.bytes()).await?;
        self.transaction.note_hit();
        self.write_ready();
        self.services.metrics.record(route, started.elapsed());
        Ok(())
    }

    /// Appends a result to what goes out, without copying it if it is long.
    pub(super) async fn write_result(&mut self, bytes: &[u8]) -> Result<(), End> {
        if bytes.len() > COPY_MAX_BYTES || self.client.outbox.len() > OUTBOX_MAX_BYTES {
            self.client.send(bytes).await.map_err(Broken::Client)?;
        } else {
            self.client.outbox.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// DEALLOCATE of a statement that the client prepared by protocol: the server knows it, if at all, by
    /// another name, and other sessions may be using it.
    fn deallocate(&mut self, statement: &Statement) -> bool {
        let Some(Deallocate::Name(name)) = statement.parsed().deallocates() else {
            return false;
        };
        // What SQL has run by its name is on the server by that name, too.
        let is_on_server = self.pins.contains(SessionEffect::PreparedStatement);
        if is_on_server
            || self.transaction.status == TransactionStatus::Failed
            || self.statements.remove(name.as_bytes()).is_none()
        {
            return false;
        }
        backend::write_command_complete(&mut self.client.outbox, "DEALLOCATE");
        self.write_ready();
        true
    }

    /// SQL that names statements of the client's has to find them by these names: from here on they live on this
    /// connection, as if they had been prepared in SQL. They are prepared apart from the query, which would not be
    /// heard behind an error.
    async fn hand_over_names(&mut self, statement: &Statement) -> Result<(), End> {
        for name in statement.parsed().names_statements() {
            let Some(meaning) = self.statements.get(name.as_bytes()) else {
                continue;
            };
            let tail = meaning.statement.tail().to_vec();
            let server = self.attach().await?;
            if server.status != TransactionStatus::Failed {
                let prepared = server.prepare(name.as_bytes(), &tail).await;
                if prepared.map_err(Broken::Server)? {
                    self.statements.remove(name.as_bytes());
                    self.pin(SessionEffects::of(&[SessionEffect::PreparedStatement]));
                }
            }
        }
        Ok(())
    }

    /// Says that the session is ready for the next request.
    pub(super) fn write_ready(&mut self) {
        self.client
            .outbox
            .extend_from_slice(&self.transaction.status.ready_for_query());
    }

    /// The cancel request came while the session waited: the request is answered as PostgreSQL does.
    pub(super) fn report_cancelled(&mut self) {
        if self.transaction.is_kept_back() {
            self.transaction.status = TransactionStatus::Failed;
        }
        Self::write_error(
            &mut self.client,
            "57014",
            "canceling statement due to user request",
        );
        if self.awaits_sync {
            self.skip_to_sync = true;
            return;
        }
        self.write_ready();
    }
}
