//! Getting hold of a server connection and sending it a request, with its commit window open.

use std::sync::Arc;

use super::client::Client;
use super::names::Renaming;
use super::record::Recording;
use super::relay::{Broken, Relay, Told};
use super::transaction::{self, Boundary, Effects, Writes};
use super::{BEYOND_DISCARD, End, Session};
use crate::analysis::{SessionEffect, SessionEffects};
use crate::database::statement::server_name;
use crate::freshness::window::Outcome;
use crate::freshness::words::Slot;
use crate::observe::Counter;
use crate::protocol::backend::{self, Severity, TransactionStatus};
use crate::protocol::expect::{Expected, Origin};
use crate::upstream::Error;
use crate::upstream::connection::{Connection, Parsing, Unnamed};
use crate::upstream::lease::Lease;

impl Session {
    /// The server connection of this session, acquired if it holds none.
    pub(super) async fn attach(&mut self) -> Result<&mut Lease, End> {
        let mut failures = 0;
        loop {
            if self.server.is_none() {
                self.acquire_or_cancel().await?;
            }
            let begin = self.transaction.kept_back().cloned();
            failures += 1;
            match (self.send_kept_back().await, begin) {
                (Err(end), Some(begin)) if self.may_begin_again(&end, failures) => {
                    self.leave_lost_server(true);
                    self.transaction.put_back(begin);
                    self.services.metrics.add(Counter::RetriesLost, 1);
                }
                (sent, _) => {
                    sent?;
                    break;
                }
            }
        }
        Ok(self.server.as_mut().expect("just attached"))
    }

    async fn acquire_or_cancel(&mut self) -> Result<(), End> {
        self.client.flush().await.map_err(Broken::Client)?;
        let acquired = tokio::select! {
            biased;
            acquired = self.acquire() => acquired,
            () = self.cancel.cancelled() => return Err(End::Cancelled),
        };
        let lease = acquired.map_err(|error| self.refuse(error))?;
        self.pool.route().server.note_reachable(true);
        self.cancel.attach(Some(lease.cancel.clone()));
        self.tell_settings(&lease);
        self.server = Some(lease);
        Ok(())
    }

    /// A server connection that has this session's settings.
    async fn acquire(&self) -> Result<Lease, Error> {
        /// A connection that cannot be given the session's settings is closed, and another one tried.
        const TRIES: u32 = 3;
        let mut tries = 0;
        loop {
            let mut lease = match self.take_back() {
                Some(lease) => lease,
                None => self.pool.acquire(&self.kind).await?,
            };
            tries += 1;
            match lease.change_settings(&self.kind.changes).await {
                Ok(()) => return Ok(lease),
                Err(_) if tries == TRIES => return Err(Error::SettingsRefused),
                Err(_) => {}
            }
        }
    }

    fn refuse(&self, error: Error) -> End {
        if matches!(error, Error::Unreachable(_)) {
            self.pool.route().server.note_reachable(false);
        }
        End::Refused(error)
    }

    /// Tells the client of settings that differ on this connection from what it was last told.
    fn tell_settings(&mut self, server: &Connection) {
        if Arc::ptr_eq(&self.told_settings, &server.parameters) {
            return;
        }
        for (name, value) in server.parameters.iter() {
            if self.told_settings.get(name) != Some(value) {
                backend::write_parameter_status(&mut self.client.outbox, name, value);
            }
        }
        self.told_settings = server.parameters.clone();
    }

    /// Sends `self.to_server`, whose replies are already noted as owed, and carries the replies.
    ///
    /// The window over everything that may become visible is open before the first byte is sent.
    pub(super) async fn exchange(
        &mut self,
        part: &Effects,
        recording: Option<&mut Recording>,
    ) -> Result<Told, End> {
        // The catalog may have become known since.
        self.judge_late();
        let (pins, untracked) = (self.pins, self.untracked);
        self.mind_sequences(part).await?;
        // A pipeline may come in parts, and only its end tells what became of the first of them.
        let effects = &std::mem::take(&mut self.unfinished).then(part);
        self.open_window(effects, part);
        self.announce_window(effects).await;
        let is_whole = !self.pipeline_open;
        let touched = self.touched.clone();
        self.touched.merge(&effects.settings);
        let (temporary_unsure, unjudged) = (self.temporary_unsure, self.unjudged.len());
        self.pin(effects.session);
        if effects.forgets_untold() {
            self.pin(SessionEffects::of(&[SessionEffect::UnknownCode]));
        }
        let all = SessionEffects::of(SessionEffect::ALL);
        self.unjudged.extend(
            part.unjudged
                .iter()
                .map(|statement| (Arc::clone(statement), all)),
        );
        let server = self.server.as_mut().expect("still attached");
        if part.runs_something() {
            self.services.metrics.add(Counter::UpstreamQueries, 1);
        }
        server.sync_owed = !server.owed.promises_ready();
        let request = std::mem::take(&mut self.to_server);
        let carried = Relay::new(&mut self.client, server, &request, recording)
            .run()
            .await;
        self.to_server = request;
        self.to_server.clear();
        self.to_server.shrink_to(64 * 1024);
        match carried {
            Ok(told) if is_whole && ran_nothing(&told, part) => {
                self.unpin(pins);
                self.untracked = untracked;
                self.touched = touched;
                self.temporary_unsure = temporary_unsure;
                self.unjudged.truncate(unjudged);
                self.note_forgetting(&told, part);
                self.settle(&told, &Effects::default())?;
                self.release_if_free();
                Ok(told)
            }
            Ok(told) => {
                self.note_forgetting(&told, part);
                self.settle(&told, effects)?;
                self.look_for_temporary_objects().await?;
                self.learn_settings().await?;
                self.release_if_free();
                Ok(told)
            }
            Err((broken, told)) => {
                self.undo_void(&told);
                Err(told.farewell.map_or(broken.into(), End::Fatal))
            }
        }
    }

    /// Opens the window over everything that a request may make visible, and remembers what it may change.
    fn open_window(&mut self, effects: &Effects, part: &Effects) {
        let (services, server) = (&self.services, self.kind.baseline.database.server);
        let mut exposed = self
            .transaction
            .exposes(effects, |gid| services.writes_of_prepared(server, gid));
        if effects.session.contains(SessionEffect::UnknownCode) {
            // Code may commit by itself, over a connection of its own.
            transaction::merge(&mut exposed, &effects.writes);
        }
        if self.may_run_hidden_code(part) {
            transaction::merge(&mut exposed, &[Slot::EVERYTHING, Slot::CATALOG]);
            self.transaction.remember_everything();
        }
        self.expose(exposed);
        self.widen_if_outdated(effects);
        self.transaction.sent(effects);
        if effects.boundary == Boundary::Script {
            // It may hold a PREPARE TRANSACTION under any name; its commit then counts as unknown.
            self.services.prepared_transactions.forget_all();
        }
    }

    /// After code that is not understood: has it left temporary objects in the session?
    async fn look_for_temporary_objects(&mut self) -> Result<(), End> {
        let may_ask = !self.pipeline_open && self.transaction.status != TransactionStatus::Failed;
        let Some(server) = self
            .server
            .as_mut()
            .filter(|_| self.temporary_unsure && may_ask)
        else {
            return Ok(());
        };
        let has_none = server
            .asks_true(NO_TEMPORARY_SCHEMA)
            .await
            .map_err(Broken::Server)?;
        self.temporary_unsure = false;
        if !has_none {
            self.pin(SessionEffects::of(&[SessionEffect::Temporary]));
        }
        Ok(())
    }

    /// Waits until the peers hold the window's words open, too. What they have told of meanwhile may have made it
    /// wider.
    async fn announce_window(&mut self, effects: &Effects) {
        if !self.services.freshness.peers().has_any() {
            return;
        }
        for _ in 0..2 {
            let server = self.server.as_mut().expect("still attached");
            let Some(window) = &mut server.window else {
                return;
            };
            window.announced().await;
            self.widen_if_outdated(effects);
        }
    }

    /// The catalog has changed since it was found out what a request may change: then it may change
    /// anything. Asked after its window has opened, since a change from then on finds that open.
    fn widen_if_outdated(&mut self, effects: &Effects) {
        let words = self.services.freshness.words();
        if effects.catalog.is_none_or(|stamp| words.is_current(stamp)) {
            return;
        }
        self.transaction.remember_everything();
        if self.transaction.status == TransactionStatus::Idle {
            self.expose([Slot::EVERYTHING].as_slice().into());
        }
    }

    /// Opens the window of the server connection over what may become visible.
    fn expose(&mut self, slots: Writes) {
        if slots.is_empty() {
            return;
        }
        let server = self
            .server
            .as_mut()
            .expect("a request is sent on an attached connection");
        if let Some(window) = &mut server.window {
            window.extend(slots);
        } else {
            server.window = Some(self.services.freshness.open(slots, Some(server.backend)));
        }
    }

    /// Draws the consequences of what the server has said.
    fn settle(&mut self, told: &Told, effects: &Effects) -> Result<(), End> {
        self.undo_void(told);
        self.widen_if_outdated(effects);
        let server = self.server.as_mut().expect("still attached");
        self.skip_to_sync = told.skips_to_sync;
        if told.settings_changed {
            self.told_settings = server.parameters.clone();
        }
        if let Some(farewell) = told.farewell {
            return Err(End::Fatal(farewell));
        }
        self.pipeline_open = told.ready.is_none();
        let Some(after) = told.ready else {
            self.unfinished = effects.clone();
            return Ok(());
        };
        if told.undone.is_none() {
            // They may have to be undone, if the request is sent again ([`super::retry`]).
            self.renamings.clear();
        }
        let before = self.transaction.status;
        if let Some(window) = server.window.take() {
            let outcome = outcome(before, after, told, effects);
            self.services.metrics.add(
                match outcome {
                    Outcome::Committed => Counter::Invalidations,
                    Outcome::RolledBack => Counter::WindowsRolledBack,
                },
                1,
            );
            window.close(outcome);
        }
        let default_is_read_committed = self.defaults_to_read_committed();
        let ended = self
            .transaction
            .ready(after, effects, default_is_read_committed);
        self.note_two_phase(told, effects, &ended);
        if after == TransactionStatus::Idle {
            self.portals.clear();
        }
        Ok(())
    }

    /// Undoes what was noted of messages that the server has refused or skipped: it has not happened.
    fn undo_void(&mut self, told: &Told) {
        let void = &told.void;
        let server = self.server.as_mut().expect("the server has just answered");
        if told.failed {
            server.prepared.unnamed = Unnamed::Unsure;
        }
        for expected in void {
            match expected {
                Expected::ParseComplete(_, Parsing::Named(statement)) => {
                    // It may be there from before: a Close that came ahead of the Parse was skipped with it.
                    server.prepared.remove(*statement);
                    server.leftovers.push(server_name(*statement).into());
                }
                Expected::ParseComplete(_, Parsing::Other | Parsing::Unnamed)
                | Expected::BindComplete(_)
                | Expected::CloseComplete(_)
                | Expected::Execution
                | Expected::Local(_)
                | Expected::LocalDescription(_)
                | Expected::PortalDescription
                | Expected::Query(_)
                | Expected::Ready
                | Expected::Refusal(_)
                | Expected::StatementDescription(..)
                | Expected::StatementRows(..) => {}
            }
        }
        let skipped = void.iter().filter(|owed| Renaming::is_of(owed)).count();
        let kept = self.renamings.len().saturating_sub(skipped);
        for renaming in self.renamings.drain(kept..).rev() {
            renaming.undo(&mut self.statements, &mut self.portals);
        }
        if let Some(Expected::ParseComplete(Origin::Client, Parsing::Unnamed)) = void.first() {
            // A Parse that fails has done away with the unnamed statement before.
            self.statements.remove(b"".as_slice());
        }
    }

    fn note_two_phase(&self, told: &Told, effects: &Effects, written: &[Slot]) {
        let transactions = &self.services.prepared_transactions;
        match &effects.boundary {
            Boundary::Prepare(gid) if told.tag == b"PREPARE TRANSACTION" => {
                let server = self.kind.baseline.database.server;
                transactions.prepare(server, gid, written.into());
            }
            Boundary::CommitPrepared(gid) | Boundary::RollBackPrepared(gid) if !told.failed => {
                transactions.finish(gid);
            }
            // A script may hold a PREPARE TRANSACTION under any name; its commit then counts as unknown.
            _ => {}
        }
    }

    /// DISCARD ALL and DEALLOCATE have made the server forget.
    fn note_forgetting(&mut self, told: &Told, effects: &Effects) {
        let deallocated = std::mem::take(&mut self.deallocated);
        if told.forgot_statements {
            // Whatever becomes of the transaction. The unnamed one is not among them.
            self.statements.retain(|name, _| name.is_empty());
            if let Some(server) = &mut self.server {
                server.prepared.clear();
            }
        }
        if told.failed {
            return;
        }
        for name in deallocated {
            self.statements.remove(&*name);
        }
        let discards = effects.session.contains(SessionEffect::DiscardAll);
        if discards && told.tag == b"DISCARD ALL" {
            self.unpin(BEYOND_DISCARD);
            self.discard_settings();
            for (_, remaining) in &mut self.unjudged {
                *remaining = BEYOND_DISCARD;
            }
        }
    }

    /// Gives the connection back, unless something ties the session to it.
    pub(super) fn release_if_free(&mut self) {
        self.judge_late();
        let tied = !self.pins.is_empty()
            || !self.unjudged.is_empty()
            || !self.touched.is_empty()
            || self.pipeline_open
            || self.transaction.status != TransactionStatus::Idle;
        if tied {
            return;
        }
        if let Some(server) = self.server.take() {
            self.cancel.attach(None);
            server.release();
        }
    }

    /// Reports an error in the server's place, outside any transaction.
    pub(super) fn write_error(client: &mut Client, sqlstate: &str, message: &str) {
        backend::write_error(&mut client.outbox, Severity::Error, sqlstate, message);
    }
}

/// Has the session never made a temporary object?
const NO_TEMPORARY_SCHEMA: &[u8] =
    b"SELECT pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.=) 0::pg_catalog.oid";

/// Was a request refused before anything of it ran, so that it has left nothing behind? A query is parsed as a
/// whole before its first statement runs; in a pipeline, what follows the error is skipped.
fn ran_nothing(told: &Told, part: &Effects) -> bool {
    if told.void.is_empty() {
        return told.is_not_sql;
    }
    let skipped = told.void.iter().skip(1);
    let executions = skipped.filter(|owed| **owed == Expected::Execution);
    executions.count() == part.statements()
}

/// How a window ended: rolled back only where that is proven.
fn outcome(
    before: TransactionStatus,
    after: TransactionStatus,
    told: &Told,
    effects: &Effects,
) -> Outcome {
    let alone = before == TransactionStatus::Idle && after == TransactionStatus::Idle;
    match &effects.boundary {
        Boundary::None if alone && told.failed && effects.rollback_is_provable => {
            Outcome::RolledBack
        }
        // COMMIT of a failed transaction says ROLLBACK.
        Boundary::Commit if !told.failed && told.tag == b"ROLLBACK" => Outcome::RolledBack,
        Boundary::None
        | Boundary::Begin(_)
        | Boundary::Commit
        | Boundary::RollBack
        | Boundary::Prepare(_)
        | Boundary::CommitPrepared(_)
        | Boundary::RollBackPrepared(_)
        | Boundary::Script => Outcome::Committed,
    }
}
