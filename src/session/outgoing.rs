//! Messages of the extended protocol on their way to a server connection.
//!
//! A client's statement names are its own; on a shared connection every text has one name, whoever prepared
//! it, so Parse, Bind, Describe and Close go out with that name, and a Parse is added or left out as the
//! connection needs it. Everything else goes out as it came. For each message the reply is noted as owed.

use std::collections::HashMap;
use std::sync::Arc;

use super::transaction::{Effects, MAY_CHANGE_SETTINGS};
use crate::analysis::{Deallocate, Dialect};
use crate::database::statement::{Plan, Statement};
use crate::protocol::backend::{CLOSE_COMPLETE_MESSAGE, PARSE_COMPLETE_MESSAGE, TransactionStatus};
use crate::protocol::expect::{Expected, Origin};
use crate::protocol::frame::Frame;
use crate::protocol::frontend::*;
use crate::upstream::connection::{Connection, Parsing, Unnamed};

/// Statements and portals by the client's names.
pub(super) type Named = HashMap<Box<[u8]>, Arc<Statement>>;

/// The reply to a Close of the proxy's own.
pub(super) const SWALLOWED_CLOSE: Expected<Parsing> = Expected::CloseComplete(Origin::Proxy);

/// Where messages go.
pub(super) struct Outgoing<'a> {
    pub(super) server: &'a mut Connection,
    pub(super) bytes: &'a mut Vec<u8>,
    pub(super) statements: &'a mut Named,
    pub(super) portals: &'a mut Named,
    pub(super) renamings: &'a mut Vec<Renaming>,
    /// The catalog's word: what was parsed under another is parsed anew.
    pub(super) catalog: u64,
    pub(super) prepared_max: usize,
    pub(super) intern: &'a dyn Fn(&[u8], Dialect) -> Arc<Statement>,
    /// How the server reads a text, as far as is known.
    pub(super) dialect: Dialect,
    pub(super) plan: &'a dyn Fn(&Arc<Statement>) -> Arc<Plan>,
    /// What the messages may do, so far.
    pub(super) effects: Effects,
    /// The first statement that is run.
    pub(super) executed: Option<Arc<Statement>>,
    /// The client's statements that DEALLOCATE is about to close, unless it fails.
    pub(super) deallocated: &'a mut Vec<Box<[u8]>>,
}

/// What a message did to the client's names, to be undone if the server refuses or skips it. Every Parse, Bind
/// and Close of the client's has one, in order.
pub(super) enum Renaming {
    /// Nothing.
    None,
    /// The name of a portal meant this before.
    Portal(Box<[u8]>, Option<Arc<Statement>>),
    /// The name of a statement meant this before.
    Statement(Box<[u8]>, Option<Arc<Statement>>),
}

impl Renaming {
    /// Does the reply that is owed belong to a message that has a renaming?
    pub(super) const fn is_of(expected: &Expected<Parsing>) -> bool {
        matches!(
            expected,
            Expected::BindComplete
                | Expected::CloseComplete(Origin::Client)
                | Expected::Local(_)
                | Expected::ParseComplete(Origin::Client, _)
        )
    }

    /// As if the message had never come.
    pub(super) fn undo(self, statements: &mut Named, portals: &mut Named) {
        match self {
            Self::None => {}
            Self::Portal(name, before) => drop(set(portals, &name, before)),
            Self::Statement(name, before) => drop(set(statements, &name, before)),
        }
    }
}

/// Makes a name mean a statement, or nothing; returns what it meant before.
fn set(named: &mut Named, name: &[u8], to: Option<Arc<Statement>>) -> Option<Arc<Statement>> {
    match to {
        Some(statement) => named.insert(name.into(), statement),
        None => named.remove(name),
    }
}

impl Outgoing<'_> {
    /// Writes one message.
    pub(super) fn write(&mut self, buffer: &[u8], frame: Frame) {
        let (message, body) = (frame.bytes(buffer), frame.body(buffer));
        match frame.tag {
            PARSE => self.parse(message, body),
            BIND => self.bind(message, body),
            DESCRIBE => self.describe(message, body),
            CLOSE => self.close(message, body),
            EXECUTE => self.execute(message, body),
            SYNC => self.verbatim(message, Expected::Ready),
            _ => self.bytes.extend_from_slice(message),
        }
    }

    /// The statement of a text, read with care behind anything that may have changed how texts are read.
    fn intern(&self, tail: &[u8]) -> Arc<Statement> {
        let changes = self.effects.session.intersects(MAY_CHANGE_SETTINGS);
        let dialect = if changes {
            Dialect::UNKNOWN
        } else {
            self.dialect
        };
        (self.intern)(tail, dialect)
    }

    fn verbatim(&mut self, message: &[u8], expected: Expected<Parsing>) {
        self.bytes.extend_from_slice(message);
        self.server.owed.push(expected);
    }

    fn parse(&mut self, message: &[u8], body: &[u8]) {
        let Some(parse) = Parse::read(body) else {
            self.renamings.push(Renaming::None);
            return self.verbatim(
                message,
                Expected::ParseComplete(Origin::Client, Parsing::Other),
            );
        };
        if parse.name.is_empty() {
            let statement = self.intern(parse.tail);
            self.server.prepared.unnamed = Unnamed::Known(statement.id());
            self.rename(parse.name, Some(statement));
            return self.verbatim(
                message,
                Expected::ParseComplete(Origin::Client, Parsing::Unnamed),
            );
        }
        if self.statements.contains_key(parse.name) {
            return self.parse_taken_name(message, parse.name);
        }
        let statement = self.intern(parse.tail);
        // A failed transaction takes a few statements only, and the server knows which.
        let is_prepared = self.server.status != TransactionStatus::Failed
            && self
                .server
                .prepared
                .is_prepared_under(statement.id(), self.catalog);
        if is_prepared {
            self.server.prepared.touch(statement.id());
            self.server
                .owed
                .push(Expected::Local(PARSE_COMPLETE_MESSAGE));
        } else {
            if self.server.prepared.remove(statement.id()) {
                self.close_on_server(&statement.server_name());
            }
            self.parse_on_server(&statement, Origin::Client);
        }
        self.rename(parse.name, Some(statement));
    }

    /// From here on the client's name for a statement means this one, or nothing.
    fn rename(&mut self, name: &[u8], statement: Option<Arc<Statement>>) {
        let before = set(self.statements, name, statement);
        self.renamings
            .push(Renaming::Statement(name.into(), before));
    }

    fn rename_portal(&mut self, name: &[u8], statement: Option<Arc<Statement>>) {
        let before = set(self.portals, name, statement);
        self.renamings.push(Renaming::Portal(name.into(), before));
    }

    /// The server has to say, in its own words and in the right transaction state, that the name is taken
    /// (42P05). It does not know the name, so it is made to know it first.
    fn parse_taken_name(&mut self, message: &[u8], name: &[u8]) {
        self.reserve_name(name);
        self.renamings.push(Renaming::None);
        self.verbatim(
            message,
            Expected::ParseComplete(Origin::Client, Parsing::Other),
        );
    }

    /// Makes the server know a client's name for a statement, until the next request. An empty statement
    /// can be parsed in any state of the transaction.
    fn reserve_name(&mut self, name: &[u8]) {
        const EMPTY: [u8; 3] = [0; 3];
        write_parse(self.bytes, name, &EMPTY);
        self.server
            .owed
            .push(Expected::ParseComplete(Origin::Proxy, Parsing::Other));
        self.server.leftovers.push(name.into());
    }

    /// Prepares a statement under its own name.
    fn parse_on_server(&mut self, statement: &Statement, origin: Origin) {
        let evicted = self
            .server
            .prepared
            .insert(statement.id(), self.catalog, self.prepared_max);
        if let Some(evicted) = evicted {
            // Closed with the next request: an error in this one could make the server skip it.
            self.server
                .leftovers
                .push(crate::database::statement::server_name(evicted).into());
        }
        let name = statement.server_name();
        if self
            .server
            .leftovers
            .iter()
            .any(|leftover| **leftover == *name)
        {
            self.server.leftovers.retain(|leftover| **leftover != *name);
            self.close_on_server(&name);
        }
        write_parse(self.bytes, &name, statement.tail());
        self.server.owed.push(Expected::ParseComplete(
            origin,
            Parsing::Named(statement.id()),
        ));
    }

    fn close_on_server(&mut self, name: &[u8]) {
        write_close_statement(self.bytes, name);
        self.server.owed.push(SWALLOWED_CLOSE);
    }

    /// Makes sure that the connection knows the client's statement. Returns the name to use for it, or
    /// `None` where the client's own name is right: for the unnamed one, and one that does not exist.
    fn prepare(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let Some(statement) = self.statements.get(name).cloned() else {
            if name.is_empty()
                && std::mem::take(&mut self.server.prepared.unnamed) != Unnamed::Absent
            {
                self.close_on_server(name);
            }
            return None;
        };
        if !name.is_empty() {
            if !self.server.prepared.touch(statement.id()) {
                self.parse_on_server(&statement, Origin::Proxy);
            }
            return Some(statement.server_name());
        }
        if self.server.prepared.unnamed != Unnamed::Known(statement.id()) {
            self.server.prepared.unnamed = Unnamed::Known(statement.id());
            write_parse(self.bytes, name, statement.tail());
            self.server
                .owed
                .push(Expected::ParseComplete(Origin::Proxy, Parsing::Unnamed));
        }
        None
    }

    fn bind(&mut self, message: &[u8], body: &[u8]) {
        let Some(bind) = Bind::read(body) else {
            self.renamings.push(Renaming::None);
            return self.verbatim(message, Expected::BindComplete);
        };
        self.rename_portal(bind.portal, self.statements.get(bind.statement).cloned());
        match self.prepare(bind.statement) {
            Some(name) => {
                write_bind(self.bytes, bind.portal, &name, bind.tail);
                self.server.owed.push(Expected::BindComplete);
            }
            None => self.verbatim(message, Expected::BindComplete),
        }
    }

    fn describe(&mut self, message: &[u8], body: &[u8]) {
        match Target::read(body) {
            Some(Target::Statement(name)) => match self.prepare(name) {
                Some(name) => {
                    write_describe_statement(self.bytes, &name);
                    self.server.owed.push(Expected::StatementDescription);
                }
                None => self.verbatim(message, Expected::StatementDescription),
            },
            Some(Target::Portal(name)) => {
                self.forget_stale_portal(name);
                self.verbatim(message, Expected::PortalDescription);
            }
            None => self.verbatim(message, Expected::PortalDescription),
        }
    }

    fn execute(&mut self, message: &[u8], body: &[u8]) {
        let portal = Execute::read(body).map(|execute| execute.portal);
        if let Some(name) = portal {
            self.forget_stale_portal(name);
        }
        match portal.and_then(|name| self.portals.get(name)).cloned() {
            Some(statement) => {
                let plan = (self.plan)(&statement);
                self.effects.add(&statement, &plan);
                if let Some(Deallocate::Name(name)) = statement.parsed().deallocates()
                    && self.statements.contains_key(name.as_bytes())
                {
                    self.reserve_name(name.as_bytes());
                    self.deallocated.push(name.as_bytes().into());
                }
                self.executed.get_or_insert(statement);
            }
            None => self.effects.add_unknown(),
        }
        self.verbatim(message, Expected::Execution);
    }

    /// The unnamed portal may be one that was answered from the cache and never reached the server; what
    /// the server has under that name is then another's.
    fn forget_stale_portal(&mut self, name: &[u8]) {
        if name.is_empty() && !self.portals.contains_key(name) {
            write_close_portal(self.bytes, name);
            self.server.owed.push(SWALLOWED_CLOSE);
        }
    }

    fn close(&mut self, message: &[u8], body: &[u8]) {
        match Target::read(body) {
            Some(Target::Statement(name)) => {
                let known = self.statements.contains_key(name);
                self.rename(name, None);
                if known && !name.is_empty() {
                    self.server
                        .owed
                        .push(Expected::Local(CLOSE_COMPLETE_MESSAGE));
                    return;
                }
                if name.is_empty() {
                    self.server.prepared.unnamed = Unnamed::Absent;
                }
            }
            Some(Target::Portal(name)) => self.rename_portal(name, None),
            None => self.renamings.push(Renaming::None),
        }
        self.verbatim(message, Expected::CloseComplete(Origin::Client));
    }
}
