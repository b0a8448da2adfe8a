//! The extended query protocol: Parse, Bind, Describe, Execute, Close, up to a Sync or Flush.
//!
//! What stands at the head of a pipeline and is in the cache is answered at once; from the first message
//! that is not, the rest goes to the server as it came. Only the plain form that drivers use for a whole
//! result is looked for in the cache: `[Parse] Bind [Describe] Execute` of the unnamed portal, all rows.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use super::client::Frames;
use super::lookup::{Fill, Found, Shape};
use super::names::Meaning;
use super::outgoing::{Outgoing, Written};
use super::transaction::Effects;
use super::{End, Session};
use crate::analysis::mentions_moving_date;
use crate::cache::entry::Entry;
use crate::cache::key::{self, StatementId};
use crate::database::statement::Statement;
use crate::observe::Route;
use crate::protocol::backend::{BIND_COMPLETE_MESSAGE, PARSE_COMPLETE_MESSAGE};
use crate::protocol::expect::Expected;
use crate::protocol::frame::Frame;
use crate::protocol::frontend::{
    self, BIND, Bind, CLOSE, DESCRIBE, EXECUTE, Execute, PARSE, Parse, SYNC, Target,
};
use crate::reason::Reason;

/// One whole read in a pipeline.
struct Unit<'a> {
    frames: usize,
    parse: Option<Parse<'a>>,
    bind: Bind<'a>,
    shape: Shape,
}

impl<'a> Unit<'a> {
    /// The unit at the front of `frames`, if they have the plain form.
    fn read(bytes: &'a [u8], frames: &[Frame]) -> Option<Self> {
        let mut rest = frames.iter();
        let mut next = rest.next()?;
        let mut parse = None;
        if next.tag == PARSE {
            parse = Some(Parse::read(next.body(bytes))?);
            next = rest.next()?;
        }
        if next.tag != BIND {
            return None;
        }
        let bind = Bind::read(next.body(bytes)).filter(|bind| bind.portal.is_empty())?;
        if parse.is_some_and(|parse| parse.name != bind.statement) {
            return None;
        }
        next = rest.next()?;
        let mut shape = Shape::Rows;
        if next.tag == DESCRIBE {
            if Target::read(next.body(bytes)) != Some(Target::Portal(b"")) {
                return None;
            }
            shape = Shape::Described;
            next = rest.next()?;
        }
        if next.tag != EXECUTE {
            return None;
        }
        Execute::read(next.body(bytes))
            .filter(|run| run.portal.is_empty() && run.row_limit <= 0)?;
        // Only a server has the portal, should it be asked for once more before there is another.
        let mut behind = rest.as_slice().iter().take_while(|next| next.tag != BIND);
        if behind.any(|next| matches!(next.tag, EXECUTE | DESCRIBE | CLOSE)) {
            return None;
        }
        Some(Self {
            frames: frames.len() - rest.len(),
            parse,
            bind,
            shape,
        })
    }
}

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
}

impl Session {
    /// Answers a pipeline, or the part of it that has come.
    pub(super) async fn segment(&mut self, bytes: BytesMut, frames: Frames) -> Result<(), End> {
        if self.skip_to_sync {
            return self.skip(&frames).await;
        }
        let started = Instant::now();
        self.awaits_sync = frames.last().is_none_or(|frame| frame.tag != SYNC);
        let bypass = self.bypasses_cache();
        let served = if bypass.is_none() {
            self.serve_hits(&bytes, &frames, started).await?
        } else {
            0
        };
        let rest = &frames[served..];
        let has_work = rest
            .iter()
            .any(|frame| !matches!(frame.tag, SYNC | frontend::FLUSH));
        if !has_work && !self.pipeline_open {
            if rest.last().is_some_and(|frame| frame.tag == SYNC) {
                self.client
                    .outbox
                    .extend_from_slice(&self.transaction.status.ready_for_query());
            }
            return Ok(());
        }
        let lone = Unit::read(&bytes, rest).filter(|unit| {
            unit.frames + 1 == rest.len() && rest.last().is_some_and(|frame| frame.tag == SYNC)
        });
        let mut fill = None;
        let mut reason = bypass.unwrap_or(Reason::Pipeline);
        if let Some(unit) = lone.filter(|_| bypass.is_none())
            && let Some(meaning) = self.meaning_of(&unit)
        {
            match self.find_unit(&unit, &meaning.statement).await? {
                Found::Coalesced(entry) => {
                    self.replay_unit(&unit, meaning, &entry, Route::Coalesced, started)
                        .await?;
                    self.client
                        .outbox
                        .extend_from_slice(&self.transaction.status.ready_for_query());
                    return Ok(());
                }
                Found::Fill(found) => fill = Some(found),
                Found::Forward(why) => reason = why,
            }
        }
        self.forward(&bytes, rest, fill, reason, started).await
    }

    /// Serves the units at the head of a pipeline that are in the cache; returns how many frames they are.
    async fn serve_hits(
        &mut self,
        bytes: &[u8],
        frames: &[Frame],
        started: Instant,
    ) -> Result<usize, End> {
        let mut at = 0;
        while at < frames.len() {
            let Some(unit) = Unit::read(bytes, &frames[at..]) else {
                match self.answer_from_memory(bytes, &frames[at..]) {
                    0 => break,
                    answered => at += answered,
                }
                continue;
            };
            let Some(meaning) = self.meaning_of(&unit) else {
                break;
            };
            // What a name means has to be known for as long as the name is.
            let is_named = unit.parse.is_some_and(|parse| !parse.name.is_empty());
            if is_named && meaning.shape.get().is_none() {
                break;
            }
            let statement = meaning.statement.id();
            key::extended(&mut self.key, self.context, statement, unit.bind.tail);
            let Some(entry) = self.hit(unit.shape) else {
                break;
            };
            self.replay_unit(&unit, meaning, &entry, Route::Hit, started)
                .await?;
            at += unit.frames;
        }
        Ok(at)
    }

    /// The statement a unit runs, or `None` where the server has to say what is wrong with it.
    fn meaning_of(&mut self, unit: &Unit<'_>) -> Option<Meaning> {
        let Some(parse) = unit.parse else {
            return self.recall(unit.bind.statement);
        };
        let known = self.statements.get(parse.name);
        match known {
            // 42P05: the name is taken.
            Some(_) if !parse.name.is_empty() => None,
            Some(known) if known.statement.tail() == parse.tail && self.is_current(known) => {
                Some(known.clone())
            }
            _ => Some(Meaning::on(self.statement(parse.tail), self.ground())),
        }
    }

    async fn find_unit(
        &mut self,
        unit: &Unit<'_>,
        statement: &Arc<Statement>,
    ) -> Result<Found, End> {
        let Some(values) = unit.bind.parameters() else {
            return Ok(Found::Forward(Reason::Pipeline));
        };
        if values.into_iter().flatten().any(mentions_moving_date) {
            return Ok(Found::Forward(Reason::MovingDate));
        }
        let plan = self.database.plan(statement);
        key::extended(&mut self.key, self.context, statement.id(), unit.bind.tail);
        self.find(&plan, unit.shape).await
    }

    /// Answers a unit with a cached result.
    async fn replay_unit(
        &mut self,
        unit: &Unit<'_>,
        meaning: Meaning,
        entry: &Entry,
        route: Route,
        started: Instant,
    ) -> Result<(), End> {
        if let Some(parse) = unit.parse {
            self.client
                .outbox
                .extend_from_slice(&PARSE_COMPLETE_MESSAGE);
            if let Some(known) = self.statements.get_mut(parse.name) {
                *known = meaning;
            } else {
                self.statements.insert(parse.name.into(), meaning);
            }
        }
        // The server's unnamed portal, if it has one, is not what this Bind made.
        self.portals.remove(b"".as_slice());
        self.client.outbox.extend_from_slice(&BIND_COMPLETE_MESSAGE);
        let result = match unit.shape {
            Shape::Described => entry.described().unwrap_or_default(),
            Shape::Rows => entry.rows(),
        };
        self.write_result(result).await?;
        self.services.metrics.record(route, started.elapsed());
        Ok(())
    }

    /// Sends messages to the server and carries the replies.
    async fn forward(
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
            let Some(statement) = written.not_before else {
                break written;
            };
            // What was asked for a result comes in parts, and so is not kept.
            fill = None;
            rest = &rest[written.count..];
            self.exchange(&written.effects, None).await?;
            if self.skip_to_sync {
                return self.skip(rest).await;
            }
            told = Some(statement);
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
            prepared_max: self.services.config.pool.prepared_statements_max,
            intern: &|tail, dialect| database.statement(tail, dialect),
            dialect,
            plan: &|statement| database.plan(statement),
            effects: Effects::default(),
            executed: None,
            deallocated: &mut self.deallocated,
        };
        let (mut count, mut not_before) = (0, None);
        for &frame in frames {
            let next = frames.get(count + 1).copied();
            if let Written::NotBefore(statement) = outgoing.write(bytes, frame, next) {
                not_before = Some(statement);
                break;
            }
            outgoing.told = None;
            count += 1;
        }
        let last = frames[..count].last().map(|frame| frame.tag);
        if not_before.is_some() || !matches!(last, Some(SYNC | frontend::FLUSH)) {
            outgoing.bytes.extend_from_slice(&frontend::FLUSH_MESSAGE);
        }
        Part {
            effects: outgoing.effects,
            executed: outgoing.executed,
            count,
            not_before,
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
    async fn skip(&mut self, frames: &[Frame]) -> Result<(), End> {
        if frames.last().is_none_or(|frame| frame.tag != SYNC) {
            return Ok(());
        }
        self.skip_to_sync = false;
        if self.server.is_none() {
            self.client
                .outbox
                .extend_from_slice(&self.transaction.status.ready_for_query());
            return Ok(());
        }
        self.to_server.extend_from_slice(&frontend::SYNC_MESSAGE);
        let server = self.server.as_mut().expect("just seen to be there");
        server.owed.push(Expected::Ready);
        self.exchange(&Effects::default(), None).await?;
        Ok(())
    }
}
