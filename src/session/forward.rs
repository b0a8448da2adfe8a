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
    /// Sends messages to the server and carries the replies.
    pub(super) async fn forward(
        &mut self,
        bytes: &[u8],
        frames: &[Frame],
        fill: Option<Fill>,
        reason: Reason,
        started: Instant,
    ) -> Result<(), End> {
        self.attach().await?;
        self.close_leftovers();
        let (mut rest, mut fill, mut told) = (frames, fill, None);
        let written = loop {
            let written = self.write_frames(bytes, rest, told);
            if !written.stops {
                break written;
            }
            // What was asked for a result comes in parts, and so is not kept.
            fill = None;
            rest = &rest[written.count..];
            self.exchange(&written.effects, None).await?;
            if self.skip_to_sync {
                return self.skip(bytes, rest).await;
            }
            told = written.not_before;
        };
        let sql = written
            .executed
            .as_deref()
            .map_or(&b""[..], Statement::text);
        let effects = written.effects;
        let runs_something = effects.runs_something();
        match fill {
            Some(mut fill) => {
                self.exchange(&effects, Some(&mut fill.recording)).await?;
                self.keep(fill);
                self.note_served(Route::Miss, started, sql);
            }
            None => {
                let route = if runs_something {
                    Some(self.route(&effects, reason))
                } else {
                    None
                };
                self.exchange(&effects, None).await?;
                if let Some(route) = route {
                    self.note_served(route, started, sql);
                }
            }
        }
        Ok(())
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
