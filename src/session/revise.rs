//! A client's statement on a connection that may not know it, under catalogs that may have changed.
//!
//! PostgreSQL notices when the columns of a prepared statement's result change, and refuses to run it ("cached plan
//! must not change result type"): the client has been told of others. Here one client's statement runs on many
//! connections, so every one of them has to have it in the shape in which the client prepared it:
//!
//! ```text
//!   the connection has the statement
//!       in the client's shape ────────► it is used, and PostgreSQL itself does the rest
//!       otherwise, and the client's shape
//!           holds still ──────────────► it is prepared (anew)
//!           does not hold any more ───► refused, in PostgreSQL's words
//!           may or may not ───────────► it is prepared (anew) and described, and the replies are waited for
//! ```

use std::sync::Arc;

use super::names::Meaning;
use super::outgoing::Outgoing;
use crate::cache::key::StatementId;
use crate::protocol::expect::{Expected, Origin};
use crate::protocol::frontend::*;
use crate::protocol::shape::{Comparison, Shape};
use crate::upstream::connection::{Parsing, Unnamed};

/// How a message names the statement that its client means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Use {
    /// As the client does.
    AsIs,
    /// By this name.
    Renamed(Vec<u8>),
    /// Not at all: its columns are no longer what the client was told.
    Refused,
    /// The server has to tell first what this statement is now.
    NotBefore(StatementId),
}

/// No statement ever has this name. What names it is refused in any state of a transaction.
const NO_STATEMENT: &[u8] = b"pgkeel: cached plan must not change result type";

/// A statement that is there only to be described.
const PROBE: &[u8] = b"pgkeel: probe";

impl Outgoing<'_> {
    /// Makes sure that the connection knows the client's statement.
    pub(super) fn prepare(&mut self, name: &[u8]) -> Use {
        let Some(meaning) = self.statements.get(name).cloned() else {
            if name.is_empty()
                && std::mem::take(&mut self.server.prepared.unnamed) != Unnamed::Absent
            {
                self.close_on_server(name);
            }
            return Use::AsIs;
        };
        let there = self.on_server(name, &meaning);
        let compared = there.as_ref().map(|there| meaning.shape.compare(there));
        match compared {
            Some(Comparison::Same | Comparison::Unknown) => {
                self.look_ahead(name, &meaning);
                use_of(name, &meaning)
            }
            Some(Comparison::OtherColumns) if self.told == Some(meaning.statement.id()) => {
                Use::Refused
            }
            Some(Comparison::OtherParameters) if self.told == Some(meaning.statement.id()) => {
                self.prepare_with_types(name, &meaning)
            }
            _ => self.prepare_anew(name, &meaning),
        }
    }

    /// The shape in which the connection has the statement.
    fn on_server(&mut self, name: &[u8], meaning: &Meaning) -> Option<Arc<Shape>> {
        let id = meaning.statement.id();
        if !name.is_empty() {
            return self.server.prepared.touch(id).cloned();
        }
        match &self.server.prepared.unnamed {
            Unnamed::Known(known, shape) if *known == id => Some(Arc::clone(shape)),
            Unnamed::Absent | Unnamed::Known(..) | Unnamed::Unsure => None,
        }
    }

    /// The connection does not have the statement, or not in the client's shape.
    fn prepare_anew(&mut self, name: &[u8], meaning: &Meaning) -> Use {
        let Some(ground) = self.ground() else {
            return self.prepare_and_see(name, meaning, Arc::default());
        };
        if meaning.stands_on(ground) {
            self.parse_for(name, meaning, &meaning.shape);
            return use_of(name, meaning);
        }
        let now = Meaning::on(Arc::clone(&meaning.statement), Some(ground));
        match meaning.shape.compare(&now.shape) {
            Comparison::Same => {
                self.parse_for(name, &now, &now.shape);
                self.adopt(name, now);
                use_of(name, meaning)
            }
            Comparison::OtherColumns if self.is_not_failed() => Use::Refused,
            Comparison::OtherParameters if self.is_not_failed() => {
                self.prepare_with_types(name, meaning)
            }
            _ => self.prepare_and_see(name, meaning, now.shape),
        }
    }

    /// Prepares the statement; what it is found to be decides whether it may be used.
    fn prepare_and_see(&mut self, name: &[u8], meaning: &Meaning, shape: Arc<Shape>) -> Use {
        // In a failed transaction it is refused anyway. What a client was never told it cannot rely on.
        if !self.is_not_failed() || meaning.shape.get().is_none() {
            self.parse_for(name, meaning, &meaning.shape);
            return use_of(name, meaning);
        }
        self.parse_for(name, meaning, &shape);
        let server_name = server_name(name, meaning);
        self.describe_for_us(&server_name, &shape);
        Use::NotBefore(meaning.statement.id())
    }

    fn parse_for(&mut self, name: &[u8], meaning: &Meaning, shape: &Arc<Shape>) {
        let statement = &meaning.statement;
        if !name.is_empty() {
            return self.parse_on_server(statement, shape, Origin::Proxy);
        }
        self.server.prepared.unnamed = Unnamed::Known(statement.id(), Arc::clone(shape));
        write_parse(self.bytes, name, statement.tail());
        self.server
            .owed
            .push(Expected::ParseComplete(Origin::Proxy, Parsing::Unnamed));
    }

    /// The text would be given other parameters now. The client's statement keeps those it has, as if it had been
    /// prepared with them.
    fn prepare_with_types(&mut self, name: &[u8], meaning: &Meaning) -> Use {
        let types = meaning.shape.get().map(|told| told.parameter_types());
        let typed = meaning.statement.tail_with_types(types.unwrap_or_default());
        let typed = Meaning::of(self.intern(&typed), Arc::clone(&meaning.shape));
        self.adopt(name, typed);
        self.prepare(name)
    }

    /// The client's name means the same statement, and the proxy knows more of it.
    fn adopt(&mut self, name: &[u8], meaning: Meaning) {
        if let Some(known) = self.statements.get_mut(name) {
            *known = meaning;
        }
    }

    /// The statement is there in the client's shape, and the server itself will see whether that still holds. The
    /// cache has to know as well what the text is by the catalogs as they are now.
    fn look_ahead(&mut self, name: &[u8], meaning: &Meaning) {
        let is_told = meaning.shape.get().is_some();
        let Some(ground) = self.ground().filter(|_| is_told && self.is_not_failed()) else {
            return;
        };
        if meaning.stands_on(ground) {
            return;
        }
        let now = Meaning::on(Arc::clone(&meaning.statement), Some(ground));
        match meaning.shape.compare(&now.shape) {
            Comparison::Same => self.adopt(name, now),
            Comparison::Unknown => self.probe(&now),
            Comparison::OtherColumns | Comparison::OtherParameters => {}
        }
    }

    fn probe(&mut self, now: &Meaning) {
        // An error may have skipped the Close of another.
        self.close_on_server(PROBE);
        write_parse(self.bytes, PROBE, now.statement.tail());
        self.server
            .owed
            .push(Expected::ParseComplete(Origin::Proxy, Parsing::Other));
        self.describe_for_us(PROBE, &now.shape);
        self.close_on_server(PROBE);
    }

    /// Makes the server fail, in the place of what answers a Bind or Describe. The relay gives the error
    /// PostgreSQL's words.
    pub(super) fn refuse(&mut self, is_bind: bool) {
        const NOTHING: [u8; 6] = [0; 6];
        write_bind(self.bytes, b"", NO_STATEMENT, &NOTHING);
        self.server.owed.push(Expected::Refusal(is_bind));
    }
}

fn server_name(name: &[u8], meaning: &Meaning) -> Vec<u8> {
    if name.is_empty() {
        Vec::new()
    } else {
        meaning.statement.server_name()
    }
}

fn use_of(name: &[u8], meaning: &Meaning) -> Use {
    if name.is_empty() {
        Use::AsIs
    } else {
        Use::Renamed(meaning.statement.server_name())
    }
}
