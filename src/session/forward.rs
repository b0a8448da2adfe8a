//! What is left of a pipeline, on its way to a server in one part or several.

use std::sync::Arc;
use std::time::Instant;

use super::lookup::Fill;
use super::outgoing::{Outgoing, Written};
use super::transaction::Effects;
use super::{End, Session};
use crate::analysis::SessionEffect;
use crate::cache::key::StatementId;
use crate::database::statement::Statement;
use crate::observe::Route;
use crate::protocol::expect::Expected;
use crate::protocol::frame::Frame;
use crate::protocol::frontend::{self, SYNC};
use crate::reason::Reason;

/// The messages of a pipeline that are sent together.
struct Part {
    /// What they may do.
    effects: Effects,
    /// The first statement that they run.
    executed: Option<Arc<Statement>>,
    /// How many of the client's there are.
    count: usize,
    /// The next one has to wait until the server has told what this statement is now.
    not_before: Option<StatementId>,
    /// There is more to come.
    stops: bool,
}

impl Session {
    /// Sends messages to the server and carries the replies, in several tries if need be.
    pub(super) async fn forward(
        &mut self,
        bytes: &[u8],
        frames: &[Frame],
        mut fill: Option<Fill>,
        reason: Reason,
        started: Instant,
    ) -> Result<(), End> {
        let mut tries = self.tries();
        let mut route = None;
        let executed = loop {
            if !self.attach_for(&mut tries).await? {
                return Ok(());
            }
            self.close_leftovers();
            let Some((written, is_whole)) = self.write_to_the_end(bytes, frames).await? else {
                return Ok(());
            };
            if !is_whole {
                // What was asked for a result comes in parts, and so is not kept.
                fill = None;
            } else if let Some(executed) = written.executed.as_ref().filter(|_| tries.is_again()) {
                let plan = self.database.plan(executed);
                fill = fill.and_then(|fill| self.fill_again(fill, &plan));
            }
            let effects = &written.effects;
            if route.is_none() && effects.runs_something() {
                route = Some(match fill {
                    Some(_) => Route::Miss,
                    None => self.route(effects, reason),
                });
            }
            let ends = frames
                .last()
                .is_some_and(|frame| frame.tag == SYNC && !frame.has_body());
            let repeat = self.hold_back(effects, is_whole && ends);
            let recording = fill.as_mut().map(|fill| &mut fill.recording);
            let outcome = self.exchange(effects, recording).await;
            if self.is_done(&mut tries, repeat, outcome).await? {
                break written.executed;
            }
        };
        if let Some(fill) = fill {
            self.keep(fill);
        }
        if let Some(route) = route {
            let sql = executed.as_deref().map_or(&b""[..], Statement::text);
            self.note_served(route, started, sql);
        }
        Ok(())
    }

    /// Writes the messages; where some have to wait for the replies to others, these are sent. Returns what is left to
    /// be sent, and whether that is all. `None`: they have failed, and what was behind them is skipped.
    async fn write_to_the_end(
        &mut self,
        bytes: &[u8],
        frames: &[Frame],
    ) -> Result<Option<(Part, bool)>, End> {
        let (mut rest, mut told) = (frames, None);
        loop {
            let written = self.write_frames(bytes, rest, told);
            if !written.stops {
                return Ok(Some((written, rest.len() == frames.len())));
            }
            rest = &rest[written.count..];
            self.exchange(&written.effects, None).await?;
            if self.skip_to_sync {
                self.skip(bytes, rest).await?;
                return Ok(None);
            }
            told = written.not_before;
        }
    }

    /// Writes the messages as this server connection has to get them, and finds out what they may do and
    /// which statement they run first.
    fn write_frames(&mut self, bytes: &[u8], frames: &[Frame], told: Option<StatementId>) -> Part {
        let (database, dialect) = (Arc::clone(&self.database), self.dialect());
        let ground = self.ground();
        let server = self.server.as_mut().expect("the caller has attached");
        let mut outgoing = Outgoing {
            server,
            bytes: &mut self.to_server,
            statements: &mut self.statements,
            portals: &mut self.portals,
            renamings: &mut self.renamings,
            ground,
            told,
            has_names_in_sql: self.pins.contains(SessionEffect::PreparedStatement),
            prepared_max: self.services.config.pool.prepared_statements_max,
            intern: &|tail, dialect| database.statement(tail, dialect),
            dialect,
            plan: &|statement| database.plan(statement),
            effects: Effects::default(),
            executed: None,
            deallocated: &mut self.deallocated,
        };
        let (mut count, mut not_before, mut waits) = (0, None, false);
        while count < frames.len() && !waits {
            let next = frames.get(count + 1).copied();
            match outgoing.write(bytes, frames[count], next) {
                Written::NotBefore(statement) => {
                    not_before = Some(statement);
                    break;
                }
                Written::AndWait => waits = true,
                Written::Yes => {}
            }
            outgoing.told = None;
            count += 1;
        }
        let stops = count < frames.len();
        let last = frames[..count].last().map(|frame| frame.tag);
        if stops || !matches!(last, Some(SYNC | frontend::FLUSH)) {
            outgoing.bytes.extend_from_slice(&frontend::FLUSH_MESSAGE);
        }
        Part {
            effects: outgoing.effects,
            executed: outgoing.executed,
            count,
            not_before,
            stops,
        }
    }

    /// Closes what was left on the server under names that are no longer in use.
    pub(super) fn close_leftovers(&mut self) {
        let Some(server) = &mut self.server else {
            return;
        };
        for name in std::mem::take(&mut server.leftovers) {
            frontend::write_close_statement(&mut self.to_server, &name);
            server.owed.push(super::outgoing::SWALLOWED_CLOSE);
        }
    }

    /// After an error: nothing is heard before the Sync.
    pub(super) async fn skip(&mut self, bytes: &[u8], frames: &[Frame]) -> Result<(), End> {
        let Some(last) = frames.last().filter(|frame| frame.tag == SYNC) else {
            return Ok(());
        };
        self.skip_to_sync = false;
        if self.server.is_none() && last.body(bytes).is_empty() {
            self.write_ready();
            return Ok(());
        }
        self.attach().await?;
        self.to_server.extend_from_slice(last.bytes(bytes));
        let server = self.server.as_mut().expect("just seen to be there");
        server.owed.push(Expected::Ready);
        self.exchange(&Effects::default(), None).await?;
        Ok(())
    }
}
