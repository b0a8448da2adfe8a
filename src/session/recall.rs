//! What needs no server: preparing, describing and closing statements that are known.
//!
//! Drivers prepare and describe a statement before they bind it, and wait for the replies. What the server has said
//! of the same text, in the same context and under the same catalogs, it would say again; the Parse is made up for
//! with the first message that needs a server.

use std::time::Instant;

use crate::protocol::backend::{CLOSE_COMPLETE_MESSAGE, PARSE_COMPLETE_MESSAGE};
use crate::protocol::frame::Frame;
use crate::protocol::frontend::{CLOSE, DESCRIBE, PARSE, Parse, Target};
use crate::protocol::shape::Comparison;

use super::Session;
use super::names::{Ground, Meaning};
use super::transaction::changes_catalogs;

impl Session {
    /// The ground on which statements are found to be what they are for everybody, or `None` if the session's own
    /// doings matter.
    pub(super) fn ground(&self) -> Option<Ground> {
        let is_common = !self.untracked
            && self.unjudged.is_empty()
            && self.touched.is_empty()
            && !self.transaction.has_settings()
            && !self.transaction.may_have_changed_catalogs()
            && !changes_catalogs(&self.unfinished.writes);
        if !is_common {
            return None;
        }
        Ground::now(self.context, self.services.freshness.words())
    }

    /// Would the same text be found to be the same now?
    pub(super) fn is_current(&self, meaning: &Meaning) -> bool {
        meaning.is_current(self.context, self.services.freshness.words())
    }

    /// The client's statement, if it is known still to be what the client was told.
    pub(super) fn recall(&mut self, name: &[u8]) -> Option<Meaning> {
        let known = self.statements.get(name)?;
        if self.is_current(known) {
            return Some(known.clone());
        }
        let now = Meaning::on(known.statement.clone(), self.ground());
        if known.shape.compare(&now.shape) != Comparison::Same {
            return None;
        }
        *self.statements.get_mut(name)? = now.clone();
        Some(now)
    }

    /// Answers the messages at the head of a pipeline whose replies are known. Returns how many they are.
    pub(super) fn answer_from_memory(&mut self, bytes: &[u8], frames: &[Frame]) -> usize {
        if !self.database.is_vouched(Instant::now()) {
            return 0;
        }
        let answered = frames
            .iter()
            .take_while(|frame| self.answer_one_from_memory(frame.tag, frame.body(bytes)));
        answered.count()
    }

    fn answer_one_from_memory(&mut self, tag: u8, body: &[u8]) -> bool {
        match tag {
            PARSE => self.parse_from_memory(body),
            DESCRIBE => match Target::read(body) {
                Some(Target::Statement(name)) => self.describe_from_memory(name),
                Some(Target::Portal(_)) | None => false,
            },
            CLOSE => match Target::read(body) {
                Some(Target::Statement(name)) => self.close_from_memory(name),
                Some(Target::Portal(_)) | None => false,
            },
            _ => false,
        }
    }

    fn parse_from_memory(&mut self, body: &[u8]) -> bool {
        let Some(parse) = Parse::read(body) else {
            return false;
        };
        if !parse.name.is_empty() && self.statements.contains_key(parse.name) {
            return false;
        }
        let meaning = Meaning::on(self.statement(parse.tail), self.ground());
        if meaning.shape.get().is_none_or(|told| told.is_noisy) {
            return false;
        }
        self.client
            .outbox
            .extend_from_slice(&PARSE_COMPLETE_MESSAGE);
        if meaning.statement.parsed().is_query() {
            // To analyse it, the server would have taken a snapshot.
            self.transaction.note_hit();
        }
        self.statements.insert(parse.name.into(), meaning);
        true
    }

    fn describe_from_memory(&mut self, name: &[u8]) -> bool {
        let Some(meaning) = self.recall(name) else {
            return false;
        };
        let Some(told) = meaning.shape.get() else {
            return false;
        };
        self.client.outbox.extend_from_slice(&told.parameters);
        self.client.outbox.extend_from_slice(&told.rows);
        true
    }

    fn close_from_memory(&mut self, name: &[u8]) -> bool {
        let is_known = self.statements.remove(name).is_some();
        if is_known {
            self.client
                .outbox
                .extend_from_slice(&CLOSE_COMPLETE_MESSAGE);
        }
        is_known
    }
}
