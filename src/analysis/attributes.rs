//! Names behind a dot, which may be calls in attribute notation.
//!
//! `(value).f` is the field `f`, or `f(value)`: a function, or a cast to a type of that name. Invariant: every name whose
//! dot follows something that may be other than a row of a table is noted as a possible call.
//!
//! <https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-USAGE>

use pg_raw_parse::Node;
use pg_raw_parse::nodes;

use super::builtin;
use super::dates::is_date_type;
use super::facts::{Arguments, Call, Facts, Name};
use super::tree::strings;
use crate::reason::Reason;

/// The dots of a query, while it is walked.
#[derive(Default)]
pub(super) struct Attributes {
    /// What stands before a dot, and behind it.
    dotted: Vec<(Box<str>, Box<str>)>,
    /// Names of functions in FROM; `None` is one whose name is not known.
    functions: Vec<Option<Box<str>>>,
}

impl Attributes {
    /// Notes the names of `a.b.c`.
    pub(super) fn column(&mut self, column: &nodes::ColumnRef) {
        let owners = strings(column.fields());
        let names = strings(column.fields()).skip(1);
        self.dotted.extend(
            owners
                .zip(names)
                .map(|(owner, name)| (owner.into(), name.into())),
        );
    }

    /// Notes a function in FROM: its alias stands for a value that need not be a row.
    pub(super) fn function(&mut self, function: &nodes::RangeFunction) {
        let name = match function.alias() {
            Some(alias) => alias.aliasname(),
            None => own_name(function),
        };
        self.functions.push(name.map(Into::into));
    }

    /// Adds the possible calls to the facts, once all of the query has been seen.
    pub(super) fn finish(self, facts: &mut Facts) {
        let Self { dotted, functions } = self;
        let may_be_function = |owner: &str| {
            functions
                .iter()
                .any(|name| name.as_deref().is_none_or(|name| name == owner))
        };
        for (owner, name) in dotted {
            if may_be_function(&owner) {
                call(&name, facts);
            } else {
                facts.attributes.push(name);
            }
        }
    }
}

/// Notes that `name` may be called with one argument that is not known.
pub(super) fn call(name: &str, facts: &mut Facts) {
    if is_date_type(name) {
        facts.refuse(Reason::TextReadAsDate);
    }
    if let Some(effect) = builtin::session_effect(name) {
        facts.session.insert(effect);
    }
    facts.calls.push(Call {
        name: Name::anywhere(name),
        arguments: Arguments::Attribute,
    });
}

/// The name that a function in FROM bears without an alias.
fn own_name(function: &nodes::RangeFunction) -> Option<&str> {
    let mut functions = function.functions().iter();
    let Some(Node::NodeList(first)) = functions.next() else {
        return None;
    };
    match (first.first(), functions.next()) {
        (Some(Node::FuncCall(call)), None) => strings(call.funcname()).next_back(),
        _ => None,
    }
}
