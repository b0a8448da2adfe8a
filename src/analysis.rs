//! What a text of SQL reads, what it writes, and what it leaves behind in its session.
//!
//! This decides what may be cached. PostgreSQL's own grammar parses the text, once; a snapshot of the catalog then says
//! what its names stand for. Invariant: every doubt is a miss. A verdict may name too many dependencies, never too few.
//!
//! The module is pure: no IO, no clock, no session. It does not know what a transaction is doing: a session whose
//! effects hide tables (temporary objects, code that is not understood) must not be served by its verdicts.

mod anatomy;
mod attributes;
mod body;
mod builtin;
pub mod catalog;
mod collect;
mod control;
mod dates;
mod facts;
mod judge;
mod plpgsql;
mod session;
mod statement;
mod survey;
mod tree;

#[cfg(test)]
mod tests;

use std::panic::{UnwindSafe, catch_unwind};

pub use anatomy::{Anatomy, Class, anatomy};
pub(crate) use builtin::plain_types;
pub use catalog::Catalog;
pub use control::{Control, Deallocate, IsolationLevel, TransactionModes};
pub use dates::mentions_moving_date;
use facts::Facts;
pub use facts::Settings;
use judge::{judge, judge_blindly};
pub use session::{SessionEffect, SessionEffects};
use statement::Reading;

use crate::reason::Reason;

/// The identity of a relation, a function or a type, as in `pg_class.oid`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Oid(pub u32);

/// How the session's server reads a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Dialect {
    /// Both `client_encoding` and `server_encoding` are UTF8. Otherwise only ASCII texts are understood: the server might
    /// fold the case of other letters.
    pub utf8: bool,
    /// `standard_conforming_strings` is on. Otherwise a backslash may hide the end of a literal.
    pub standard_conforming_strings: bool,
}

impl Dialect {
    /// Of a session whose settings are not known.
    pub const UNKNOWN: Self = Self {
        utf8: false,
        standard_conforming_strings: false,
    };
}

/// Facts of one text of SQL, independent of any catalog.
#[derive(Debug)]
pub struct Parsed {
    control: Control,
    deallocates: Option<Deallocate>,
    names_statements: Box<[String]>,
    is_query: bool,
    facts: Facts,
}

/// What a text does, given a catalog.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// What a cacheable read depends on, or why the text is not one.
    pub read: Result<ReadSet, Reason>,
    /// A superset of what it may change when it takes effect.
    pub write: WriteSet,
    /// A superset of what it may leave behind in the session.
    pub session: SessionEffects,
    /// Whether it may change the catalog, so that the snapshot must be loaded again.
    pub catalog: bool,
    /// Whether all that its expressions do is compute: no function of theirs is VOLATILE, and none is unknown.
    pub computes_only: bool,
    /// Whether it may commit before it ends, so that its error does not prove that nothing changed.
    pub may_commit: bool,
}

/// The relations a cached result depends on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadSet {
    /// Sorted and distinct; empty for a constant query.
    pub tables: Box<[Oid]>,
}

/// The relations a statement may change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WriteSet {
    /// Any relation.
    Everything,
    /// None.
    Nothing,
    /// These; sorted and distinct.
    Tables(Box<[Oid]>),
}

/// Parses a text of SQL of at most `max_bytes`.
///
/// Never fails: a text that is too long, cannot be parsed, or might mean something else to the server is a [`Parsed`]
/// that may do anything ([`Control::NotUnderstood`]).
#[must_use]
pub fn parse(sql: &[u8], dialect: Dialect, max_bytes: usize) -> Parsed {
    match read(sql, dialect, max_bytes) {
        Some(Reading {
            control,
            deallocates,
            names_statements,
            is_query,
            facts,
        }) => Parsed {
            control,
            deallocates,
            names_statements,
            is_query,
            facts,
        },
        None => Parsed {
            control: Control::NotUnderstood,
            deallocates: None,
            names_statements: Box::default(),
            is_query: false,
            facts: Facts::not_understood(),
        },
    }
}

impl Parsed {
    /// What the text does to the flow of the session.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What the text deallocates, if it is one `DEALLOCATE`.
    #[must_use]
    pub fn deallocates(&self) -> Option<&Deallocate> {
        self.deallocates.as_ref()
    }

    /// The prepared statements that it names, to run, prepare or deallocate them.
    pub fn names_statements(&self) -> impl Iterator<Item = &str> {
        self.names_statements.iter().map(|name| &**name)
    }

    /// Whether the text is one query, or one statement that changes rows: no utility, and so no COPY.
    #[must_use]
    pub fn is_query(&self) -> bool {
        self.is_query
    }

    /// The settings of the session that the text may change, if it has [`SessionEffect::NamedSetting`].
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.facts.settings
    }

    /// The relations that the text reads, whether its result is cacheable or not, and the names that stand for none.
    #[must_use]
    pub fn relations(&self, catalog: &Catalog) -> (Vec<Oid>, Vec<String>) {
        judge::relations(&self.facts, catalog)
    }

    /// What the text does, in this snapshot of the catalog.
    ///
    /// Without a snapshot no read is cacheable and every write may change every table. Views, triggers and functions are
    /// then not known, so judge again with the next snapshot before trusting the state of the session.
    #[must_use]
    pub fn judge(&self, catalog: Option<&Catalog>) -> Verdict {
        match catalog {
            Some(catalog) => judge(&self.facts, catalog),
            None => judge_blindly(&self.facts),
        }
    }
}

impl Verdict {
    /// Adds what reading the values of parameters declared with these types may do.
    ///
    /// Zero and `unknown` leave the type to the server, which the text of the statement then answers for.
    pub fn take_parameters(&mut self, types: impl Iterator<Item = Oid>, catalog: &Catalog) {
        for survey in types.filter_map(|parameter| catalog.parameter(parameter)) {
            judge::add(self, &survey);
        }
    }
}

/// The facts of a view's definition.
fn read_facts(sql: &[u8], dialect: Dialect, max_bytes: usize) -> Facts {
    read(sql, dialect, max_bytes)
        .map_or_else(Facts::not_understood, |reading| reading.facts)
        .without_names_of_settings()
}

fn read(sql: &[u8], dialect: Dialect, max_bytes: usize) -> Option<Reading> {
    parse_guarded(sql, dialect, max_bytes, statement::read)
}

/// Runs the parser with the stack that the text may need.
fn parse_guarded<T>(
    sql: &[u8],
    dialect: Dialect,
    max_bytes: usize,
    read: impl FnOnce(&str) -> Option<T> + UnwindSafe,
) -> Option<T> {
    /// Enough for texts that do not nest.
    const STACK_MIN: usize = 128 << 10;
    /// A level of nesting takes two bytes of text at least, and less than a kibibyte of stack for each.
    const STACK_PER_BYTE: usize = 1 << 10;

    let text = readable(sql, dialect, max_bytes)?;
    let stack = STACK_MIN + text.len() * STACK_PER_BYTE;
    // The parser is foreign and young: should it meet a tree it did not expect, the text is not understood.
    stacker::maybe_grow(stack, stack, || catch_unwind(|| read(text)).ok().flatten())
}

/// The text, if server and parser are sure to read the same in it.
fn readable(sql: &[u8], dialect: Dialect, max_bytes: usize) -> Option<&str> {
    let within = sql.len() <= max_bytes && !sql.contains(&0);
    let letters = dialect.utf8 || sql.is_ascii();
    let literals = dialect.standard_conforming_strings || !sql.contains(&b'\\');
    std::str::from_utf8(sql)
        .ok()
        .filter(|_| within && letters && literals)
}
