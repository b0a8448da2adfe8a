//! Messages of the extended protocol on their way to a server connection.
//!
//! A client's statement names are its own; on a shared connection every text has one name, whoever prepared
//! it, so Parse, Bind, Describe and Close go out with that name, and a Parse is added or left out as the
//! connection needs it. Everything else goes out as it came. For each message the reply is noted as owed.
//!
//! A statement stays what it was found to be when its client prepared it: see [`super::revise`].

use std::sync::Arc;

use bytes::Bytes;

use super::names::{Bound, Ground, Meaning, Portals, Renaming, Statements, set};
use super::revise::Use;
use super::transaction::{Effects, MAY_CHANGE_SETTINGS, changes_catalogs};
use crate::analysis::{Deallocate, Dialect, SessionEffect, SessionEffects};
use crate::cache::key::StatementId;
use crate::database::statement::{Plan, Statement};
use crate::protocol::backend::{CLOSE_COMPLETE_MESSAGE, PARSE_COMPLETE_MESSAGE, TransactionStatus};
use crate::protocol::expect::{Expected, Origin};
use crate::protocol::frame::Frame;
use crate::protocol::frontend::*;
use crate::protocol::shape::Shape;
use crate::upstream::connection::{Connection, Parsing, Unnamed};

/// The reply to a Close of the proxy's own.
pub(super) const SWALLOWED_CLOSE: Expected<Parsing> = Expected::CloseComplete(Origin::Proxy);

/// What makes the server forget statements: what is behind it in a pipeline may meet another world.
const FORGETS: SessionEffects =
    SessionEffects::of(&[SessionEffect::Deallocate, SessionEffect::DiscardAll]);

/// Behind these a statement may be found to be what it is for this session only.
const MAY_CHANGE_NAMES: SessionEffects = MAY_CHANGE_SETTINGS.union(SessionEffects::of(&[
    SessionEffect::DiscardAll,
    SessionEffect::Discard,
    SessionEffect::Temporary,
]));

/// Where messages go.
pub(super) struct Outgoing<'a> {
    pub(super) server: &'a mut Connection,
    pub(super) bytes: &'a mut Vec<u8>,
    pub(super) statements: &'a mut Statements,
    pub(super) portals: &'a mut Portals,
    pub(super) renamings: &'a mut Vec<Renaming>,
    /// What statements are found to be on this ground is found for others, too; `None` if it is for this session
    /// only.
    pub(super) ground: Option<Ground>,
    /// What this is for the server has been told just now.
    pub(super) told: Option<StatementId>,
    pub(super) prepared_max: usize,
    /// The session may have prepared statements in SQL, on this very connection.
    pub(super) has_names_in_sql: bool,
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

/// Was a message written?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Written {
    /// It was.
    Yes,
    /// It was; what is behind it has to wait for the reply.
    AndWait,
    /// Not before the server has told what this statement is now.
    NotBefore(StatementId),
}

impl Outgoing<'_> {
    /// Writes one message; `next` is the one behind it, if it has come.
    pub(super) fn write(&mut self, buffer: &[u8], frame: Frame, next: Option<Frame>) -> Written {
        let (message, body) = (frame.bytes(buffer), frame.body(buffer));
        match frame.tag {
            PARSE => self.parse(
                message,
                body,
                next.map(|next| (next.tag, next.body(buffer))),
            ),
            BIND => return self.bind(message, body),
            DESCRIBE => return self.describe(message, body),
            CLOSE => self.close(message, body),
            EXECUTE => return self.execute(message, body),
            SYNC => self.verbatim(message, Expected::Ready),
            // A Flush has no reply, unless it is one that PostgreSQL cannot read.
            _ if body.is_empty() => self.bytes.extend_from_slice(message),
            _ => self.verbatim(message, Expected::Refusal(false)),
        }
        Written::Yes
    }

    /// The statement of a text, read with care behind anything that may have changed how texts are read.
    pub(super) fn intern(&self, tail: &[u8]) -> Arc<Statement> {
        let changes = self.effects.session.intersects(MAY_CHANGE_SETTINGS);
        let dialect = if changes {
            Dialect::UNKNOWN
        } else {
            self.dialect
        };
        (self.intern)(tail, dialect)
    }

    /// The ground that the next message stands on.
    pub(super) fn ground(&self) -> Option<Ground> {
        let moves = self.effects.session.intersects(MAY_CHANGE_NAMES)
            || changes_catalogs(&self.effects.writes);
        self.ground.filter(|_| !moves)
    }

    fn verbatim(&mut self, message: &[u8], expected: Expected<Parsing>) {
        self.bytes.extend_from_slice(message);
        self.server.owed.push(expected);
    }

    fn parse(&mut self, message: &[u8], body: &[u8], next: Option<(u8, &[u8])>) {
        let Some(parse) = Parse::read(body) else {
            self.renamings.push(Renaming::None);
            return self.verbatim(
                message,
                Expected::ParseComplete(Origin::Client, Parsing::Other),
            );
        };
        if !parse.name.is_empty() && self.statements.contains_key(parse.name) {
            return self.parse_taken_name(message, parse.name);
        }
        let statement = self.intern(parse.tail);
        self.make_names_known(&statement);
        let names_others = statement.parsed().names_statements().next().is_some();
        let ground = self.ground().filter(|_| !names_others);
        let meaning = Meaning::on(statement, ground);
        if self.has_names_in_sql && !parse.name.is_empty() {
            // Does a statement that was prepared in SQL have the name? The server says so in its own words, and then
            // skips the Close.
            self.parse_nothing(parse.name);
            self.close_on_server(parse.name);
        }
        self.parse_fresh(message, &parse, &meaning);
        let is_described = next.is_some_and(|(tag, body)| {
            tag == DESCRIBE && Target::read(body) == Some(Target::Statement(parse.name))
        });
        let is_bound_at_once = parse.name.is_empty() && next.is_some_and(|(tag, _)| tag == BIND);
        let may_ask = !is_described && !is_bound_at_once && self.is_not_failed();
        if may_ask && meaning.shape.get().is_none() {
            let name = match parse.name {
                b"" => Vec::new(),
                _ => meaning.statement.server_name(),
            };
            self.describe_for_us(&name, &meaning.shape);
        }
        self.rename(parse.name, Some(meaning));
    }

    fn parse_fresh(&mut self, message: &[u8], parse: &Parse<'_>, meaning: &Meaning) {
        let statement = &meaning.statement;
        if parse.name.is_empty() {
            self.server.prepared.unnamed =
                Unnamed::Known(statement.id(), Arc::clone(&meaning.shape));
            return self.verbatim(
                message,
                Expected::ParseComplete(Origin::Client, Parsing::Unnamed),
            );
        }
        let is_quiet = |shape: &Shape| shape.get().is_some_and(|told| !told.is_noisy);
        // In a failed transaction only the server knows what may still be parsed.
        if is_quiet(&meaning.shape) && self.is_not_failed() {
            let reply = Bytes::from_static(&PARSE_COMPLETE_MESSAGE);
            self.server.owed.push(Expected::Local(reply));
            return;
        }
        self.parse_on_server(statement, &meaning.shape, Origin::Client);
    }

    pub(super) fn is_not_failed(&self) -> bool {
        self.server.status != TransactionStatus::Failed
    }

    /// From here on the client's name for a statement means this one, or nothing.
    fn rename(&mut self, name: &[u8], meaning: Option<Meaning>) {
        let name: Arc<[u8]> = name.into();
        let before = set(self.statements, Arc::clone(&name), meaning);
        self.renamings.push(Renaming::Statement(name, before));
    }

    fn rename_portal(&mut self, name: &[u8], bound: Option<Bound>) {
        let name: Arc<[u8]> = name.into();
        let before = set(self.portals, Arc::clone(&name), bound);
        self.renamings.push(Renaming::Portal(name, before));
    }

    /// The server has to say, in its own words and in the right transaction state, that the name is taken
    /// (42P05). It does not know the name, so it is made to know it first.
    fn parse_taken_name(&mut self, message: &[u8], name: &[u8]) {
        if self.has_names_in_sql {
            // It may know it, from SQL that named it.
            self.close_on_server(name);
        }
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
        self.close_leftover(name);
        self.parse_nothing(name);
        self.server.leftovers.push(name.into());
    }

    /// What was left on the server under a name that is about to be used.
    fn close_leftover(&mut self, name: &[u8]) {
        let before = self.server.leftovers.len();
        self.server.leftovers.retain(|leftover| **leftover != *name);
        if self.server.leftovers.len() < before {
            self.close_on_server(name);
        }
    }

    fn parse_nothing(&mut self, name: &[u8]) {
        const NOTHING: [u8; 3] = [0; 3];
        write_parse(self.bytes, name, &NOTHING);
        self.server
            .owed
            .push(Expected::ParseComplete(Origin::Proxy, Parsing::Other));
    }

    /// Prepares a statement under its own name, in place of what has that name.
    pub(super) fn parse_on_server(
        &mut self,
        statement: &Statement,
        shape: &Arc<Shape>,
        origin: Origin,
    ) {
        let name = statement.server_name();
        if self.server.prepared.remove(statement.id()) {
            self.close_on_server(&name);
        }
        let evicted =
            self.server
                .prepared
                .insert(statement.id(), Arc::clone(shape), self.prepared_max);
        if let Some(evicted) = evicted {
            // Closed with the next request: an error in this one could make the server skip it.
            self.server
                .leftovers
                .push(crate::database::statement::server_name(evicted).into());
        }
        self.close_leftover(&name);
        write_parse(self.bytes, &name, statement.tail());
        self.server.owed.push(Expected::ParseComplete(
            origin,
            Parsing::Named(statement.id()),
        ));
    }

    pub(super) fn close_on_server(&mut self, name: &[u8]) {
        write_close_statement(self.bytes, name);
        self.server.owed.push(SWALLOWED_CLOSE);
    }

    /// Asks what a statement is that has just been parsed.
    pub(super) fn describe_for_us(&mut self, name: &[u8], shape: &Arc<Shape>) {
        write_describe_statement(self.bytes, name);
        self.server.owed.push(Expected::StatementDescription(
            Origin::Proxy,
            Origin::Proxy,
            Some(Arc::clone(shape)),
        ));
    }

    fn bind(&mut self, message: &[u8], body: &[u8]) -> Written {
        let Some(bind) = Bind::read(body) else {
            self.renamings.push(Renaming::None);
            self.verbatim(message, Expected::BindComplete(None));
            return Written::Yes;
        };
        let using = self.prepare(bind.statement);
        if let Use::NotBefore(statement) = using {
            return Written::NotBefore(statement);
        }
        let known = self.statements.get_key_value(bind.statement);
        let (name, meaning) = known
            .map(|(name, meaning)| (Arc::clone(name), meaning))
            .unzip();
        let bound = meaning.map_or(Bound::ToAnother, |meaning| {
            Bound::To(Arc::clone(&meaning.statement))
        });
        self.rename_portal(bind.portal, Some(bound));
        match using {
            Use::Renamed(server_name) => {
                write_bind(self.bytes, bind.portal, &server_name, bind.tail);
                self.server.owed.push(Expected::BindComplete(name));
            }
            Use::Refused => self.refuse(true),
            Use::AsIs | Use::NotBefore(_) => self.verbatim(message, Expected::BindComplete(None)),
        }
        Written::Yes
    }

    fn describe(&mut self, message: &[u8], body: &[u8]) -> Written {
        match Target::read(body) {
            Some(Target::Statement(name)) => return self.describe_statement(message, name),
            Some(Target::Portal(name)) => {
                self.forget_stale_portal(name);
                self.verbatim(message, Expected::PortalDescription);
            }
            None => self.verbatim(message, Expected::PortalDescription),
        }
        Written::Yes
    }

    fn describe_statement(&mut self, message: &[u8], name: &[u8]) -> Written {
        let parameters = self.tell_parameters(name);
        let using = self.prepare(name);
        let shape = self
            .statements
            .get(name)
            .map(|meaning| Arc::clone(&meaning.shape));
        let description = Expected::StatementDescription(parameters, Origin::Client, shape);
        match using {
            Use::NotBefore(statement) => return Written::NotBefore(statement),
            Use::Refused => self.refuse(false),
            Use::Renamed(server_name) => {
                write_describe_statement(self.bytes, &server_name);
                self.server.owed.push(description);
            }
            Use::AsIs => self.verbatim(message, description),
        }
        Written::Yes
    }

    /// PostgreSQL sends the parameters of a statement before it looks whether its columns are still the same. Returns
    /// who is to get those that the server will send.
    fn tell_parameters(&mut self, name: &[u8]) -> Origin {
        let known = self.statements.get(name).filter(|_| self.is_not_failed());
        let ground = self.ground();
        let outdated = known.filter(|known| ground.is_none_or(|ground| !known.stands_on(ground)));
        let Some(told) = outdated.and_then(|known| known.shape.get()) else {
            return Origin::Client;
        };
        if self.told.is_none() {
            let parameters = Bytes::copy_from_slice(&told.parameters);
            self.server
                .owed
                .push(Expected::LocalDescription(parameters));
        }
        Origin::Proxy
    }

    fn execute(&mut self, message: &[u8], body: &[u8]) -> Written {
        let portal = Execute::read(body).map(|execute| execute.portal);
        if let Some(name) = portal {
            self.forget_stale_portal(name);
        }
        let bound = portal.and_then(|name| self.portals.get(name)).cloned();
        let mut written = Written::Yes;
        match bound {
            Some(Bound::To(statement)) => {
                let plan = (self.plan)(&statement);
                self.effects.add(&statement, &plan);
                if plan.session.intersects(FORGETS) {
                    written = Written::AndWait;
                }
                self.make_names_known(&statement);
                self.deallocate(&statement);
                self.executed.get_or_insert(statement);
            }
            // It has just been closed, so this can only fail.
            None if portal == Some(b"") => {}
            // A cursor declared in SQL is a portal, too.
            Some(Bound::ToAnother) | None => self.effects.add_unknown(),
        }
        self.verbatim(message, Expected::Execution);
        written
    }

    /// SQL that names statements of the client's has to find them by these names, on this very connection from here
    /// on.
    fn make_names_known(&mut self, statement: &Statement) {
        let closes = statement.parsed().deallocates().is_some();
        if closes || !self.is_not_failed() {
            return;
        }
        for name in statement.parsed().names_statements() {
            let Some(meaning) = self.statements.get(name.as_bytes()).cloned() else {
                continue;
            };
            self.close_on_server(name.as_bytes());
            write_parse(self.bytes, name.as_bytes(), meaning.statement.tail());
            self.server
                .owed
                .push(Expected::ParseComplete(Origin::Proxy, Parsing::Other));
            self.server
                .leftovers
                .retain(|leftover| **leftover != *name.as_bytes());
            self.effects
                .session
                .insert(SessionEffect::PreparedStatement);
            self.has_names_in_sql = true;
        }
    }

    /// DEALLOCATE finds the client's statement under the client's name, too.
    fn deallocate(&mut self, statement: &Statement) {
        if let Some(Deallocate::Name(name)) = statement.parsed().deallocates()
            && self.statements.contains_key(name.as_bytes())
        {
            self.close_on_server(name.as_bytes());
            self.reserve_name(name.as_bytes());
            self.deallocated.push(name.as_bytes().into());
        }
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
                if known && !name.is_empty() && !self.has_names_in_sql {
                    let reply = Bytes::from_static(&CLOSE_COMPLETE_MESSAGE);
                    self.server.owed.push(Expected::Local(reply));
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
