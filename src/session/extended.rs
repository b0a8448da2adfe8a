//! The extended query protocol: Parse, Bind, Describe, Execute, Close, up to a Sync or Flush.
//!
//! What stands at the head of a pipeline and is in the cache is answered at once; from the first message
//! that is not, the rest goes to the server as it came. Only the plain form that drivers use for a whole
//! result is looked for in the cache: `[Parse] Bind [Describe] Execute` of the unnamed portal, all rows.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use super::client::Frames;
use super::lookup::{Found, Shape};
use super::names::Meaning;
use super::{End, Session};
use crate::analysis::{Control, mentions_moving_date};
use crate::cache::entry::Entry;
use crate::cache::key;
use crate::database::statement::Statement;
use crate::observe::Route;
use crate::protocol::backend::{
    self, BIND_COMPLETE_MESSAGE, NO_DATA_MESSAGE, PARSE_COMPLETE_MESSAGE,
};
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

/// Does a message ask for more than an answer to what came before it? One that PostgreSQL cannot read does.
fn is_work(frame: &Frame) -> bool {
    !matches!(frame.tag, SYNC | frontend::FLUSH) || frame.has_body()
}

impl Session {
    /// Answers a pipeline, or the part of it that has come.
    pub(super) async fn segment(&mut self, bytes: BytesMut, frames: Frames) -> Result<(), End> {
        if self.skip_to_sync {
            return self.skip(&bytes, &frames).await;
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
        if !rest.iter().any(is_work) && !self.pipeline_open {
            if rest.last().is_some_and(|frame| frame.tag == SYNC) {
                self.write_ready();
            }
            return Ok(());
        }
        let lone = Unit::read(&bytes, rest).filter(|unit| {
            unit.frames + 1 == rest.len()
                && rest
                    .last()
                    .is_some_and(|frame| frame.tag == SYNC && !frame.has_body())
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
                    self.write_ready();
                    return Ok(());
                }
                Found::Shared(entry) => {
                    self.replay_unit(&unit, meaning, &entry, Route::SharedHit, started)
                        .await?;
                    self.write_ready();
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
            let behind = at + unit.frames;
            if let Some(entry) = self.hit(unit.shape) {
                self.replay_unit(&unit, meaning, &entry, Route::Hit, started)
                    .await?;
            } else if !self.answer_control_unit(&unit, meaning, bytes, &frames[behind..]) {
                break;
            }
            at = behind;
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
        self.find(statement, &plan, unit.shape).await
    }

    /// Answers a unit that is transaction control, if the server need not hear of it. A BEGIN is not kept back
    /// from a server that gets what is behind it, in the same pipeline, anyway.
    fn answer_control_unit(
        &mut self,
        unit: &Unit<'_>,
        meaning: Meaning,
        bytes: &[u8],
        behind: &[Frame],
    ) -> bool {
        let begins = matches!(meaning.statement.parsed().control(), Control::Begin(_));
        let is_plain = unit.bind.has_no_parameters();
        if !is_plain || (begins && !self.is_answered_here(bytes, behind)) {
            return false;
        }
        let Some(tag) = self.answer_control(&meaning.statement) else {
            return false;
        };
        self.accept_unit(unit, meaning);
        if unit.shape == Shape::Described {
            self.client.outbox.extend_from_slice(&NO_DATA_MESSAGE);
        }
        backend::write_command_complete(&mut self.client.outbox, tag);
        true
    }

    /// Is there nothing in these messages for the server, at their beginning at least?
    fn is_answered_here(&mut self, bytes: &[u8], frames: &[Frame]) -> bool {
        if !frames.iter().any(is_work) {
            return true;
        }
        let Some(unit) = Unit::read(bytes, frames) else {
            return false;
        };
        let Some(meaning) = self.meaning_of(&unit) else {
            return false;
        };
        let statement = meaning.statement.id();
        key::extended(&mut self.key, self.context, statement, unit.bind.tail);
        self.hit(unit.shape).is_some()
    }

    /// Answers the messages of a unit up to its Bind.
    fn accept_unit(&mut self, unit: &Unit<'_>, meaning: Meaning) {
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
        self.accept_unit(unit, meaning);
        let result = match unit.shape {
            Shape::Described => entry.described().unwrap_or_default(),
            Shape::Rows => entry.rows(),
        };
        self.write_result(result).await?;
        self.transaction.note_hit();
        self.services.metrics.record(route, started.elapsed());
        Ok(())
    }
}
