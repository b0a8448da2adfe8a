//! The body of a function in SQL.
//!
//! Invariant: the facts of a body are those of its statements, and more: nothing is known of its parameters, which may be
//! text, nor of what stands before a dot, which may be a parameter.
//!
//! <https://www.postgresql.org/docs/current/xfunc-sql.html>

use std::mem::take;

use pg_raw_parse::list::NodeList;
use pg_raw_parse::{Node, nodes};

use super::attributes;
use super::collect::collect;
use super::facts::Facts;
use super::statement::note;
use super::tree::strings;
use super::{Dialect, parse_guarded};
use crate::reason::Reason;

/// A definition longer than this is not read, in bytes.
const DEFINITION_MAX: usize = 64 << 10;

/// A body is read by the settings of whichever session runs it, so a backslash is not understood.
const DIALECT: Dialect = Dialect {
    utf8: true,
    standard_conforming_strings: false,
};

/// The facts of the body in a definition as `pg_get_functiondef` prints it.
pub(super) fn body_facts(definition: &str) -> Facts {
    parse_guarded(
        definition.as_bytes(),
        DIALECT,
        DEFINITION_MAX,
        definition_facts,
    )
    .unwrap_or_else(Facts::not_understood)
    .without_names_of_settings()
}

fn definition_facts(definition: &str) -> Option<Facts> {
    let tree = pg_raw_parse::parse(definition).ok()?;
    let mut statements = tree.stmts();
    let (Some(Node::CreateFunctionStmt(create)), None) = (statements.next(), statements.next())
    else {
        return None;
    };
    let mut facts = Facts::default();
    match create.sql_body() {
        Node::None => {
            let tree = pg_raw_parse::parse(source(create)?).ok()?;
            tree.stmts()
                .for_each(|statement| note(statement, &mut facts));
        }
        Node::ReturnStmt(answer) => collect(answer.returnval(), &mut facts),
        Node::NodeList(blocks) => blocks.iter().for_each(|block| match block {
            Node::NodeList(statements) => statements
                .iter()
                .for_each(|statement| note(statement, &mut facts)),
            _ => facts.unknown_code(),
        }),
        _ => return None,
    }
    let mut parameters = Facts::default();
    for parameter in create.parameters() {
        collect(Node::from(parameter.arg_type()), &mut parameters);
    }
    if parameters.shows_time_of_day() {
        facts.types.append(&mut parameters.types);
    }
    distrust_parameters(&mut facts);
    facts.compact();
    Some(facts)
}

/// The text between the quotes of `AS`.
fn source(create: &nodes::CreateFunctionStmt) -> Option<&str> {
    let sources = create
        .options()
        .iter()
        .filter(|option| option.defname() == Some("as"));
    let mut texts = sources.filter_map(|option| match option.arg() {
        Node::NodeList(texts) => Some::<&NodeList>(texts),
        _ => None,
    });
    strings(texts.next()?).next()
}

fn distrust_parameters(facts: &mut Facts) {
    if facts.dated_parameters > 0 || !facts.dated_columns.is_empty() {
        facts.refuse(Reason::TextReadAsDate);
    }
    for name in take(&mut facts.attributes) {
        attributes::call(&name, facts);
        facts.attributes.push(name);
    }
}
