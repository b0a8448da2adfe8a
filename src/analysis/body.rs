//! The body of a function or procedure in SQL or PL/pgSQL.
//!
//! Invariant: the facts of a body are those of its statements, and more: nothing is known of its parameters, which may be
//! text, nor, in SQL, of what stands before a dot, which may be a parameter.
//!
//! <https://www.postgresql.org/docs/current/xfunc-sql.html>

use std::collections::HashSet;
use std::mem::take;

use pg_raw_parse::list::NodeList;
use pg_raw_parse::raw::FunctionParameterMode as Mode;
use pg_raw_parse::{Node, nodes};

use super::attributes;
use super::collect::collect;
use super::facts::{Facts, Reach};
use super::plpgsql::{Header, is_read_the_same, may_hold_date, note_body};
use super::session::SessionEffect;
use super::statement::{mentions, note};
use super::tree::strings;
use super::{Dialect, parse_guarded};
use crate::reason::Reason;

/// A definition longer than this is not read, in bytes.
const DEFINITION_MAX: usize = 64 << 10;

/// A body is read by the settings of whichever session runs it: literals that depend on them are looked for.
const DIALECT: Dialect = Dialect {
    utf8: true,
    standard_conforming_strings: true,
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
    if !is_read_the_same(definition) {
        return None;
    }
    let tree = pg_raw_parse::parse(definition).ok()?;
    let mut statements = tree.stmts();
    let (Some(Node::CreateFunctionStmt(create)), None) = (statements.next(), statements.next())
    else {
        return None;
    };
    let mut facts = Facts::default();
    match language(create)? {
        "plpgsql" => note_body(source(create)?, header(create), &mut facts)?,
        "sql" => sql_facts(create, &mut facts)?,
        _ => return None,
    }
    if facts.dated_parameters > 0 || !facts.dated_columns.is_empty() {
        facts.refuse(Reason::TextReadAsDate);
    }
    let mut parameters = Facts::default();
    for parameter in create.parameters() {
        collect(parameter.defexpr(), &mut facts);
        collect(Node::from(parameter.arg_type()), &mut parameters);
    }
    if parameters.shows_time_of_day() {
        facts.types.append(&mut parameters.types);
    }
    // What a body defines may be temporary, by a `search_path` of its own.
    if facts.reach == Reach::Catalog && mentions(definition, "pg_temp") {
        facts.session.insert(SessionEffect::Temporary);
    }
    facts.distrust_unseen();
    facts.compact();
    Some(facts)
}

fn sql_facts(create: &nodes::CreateFunctionStmt, facts: &mut Facts) -> Option<()> {
    match create.sql_body() {
        Node::None => {
            let source = source(create)?;
            if !is_read_the_same(source) {
                return None;
            }
            if mentions(source, "pg_temp") {
                facts.session.insert(SessionEffect::Temporary);
            }
            let tree = pg_raw_parse::parse(source).ok()?;
            tree.stmts().for_each(|statement| note(statement, facts));
        }
        Node::ReturnStmt(answer) => collect(answer.returnval(), facts),
        Node::NodeList(blocks) => blocks.iter().for_each(|block| match block {
            Node::NodeList(statements) => statements
                .iter()
                .for_each(|statement| note_atomic(statement, facts)),
            _ => facts.unknown_code(),
        }),
        _ => return None,
    }
    for name in take(&mut facts.attributes) {
        attributes::call(&name, facts);
        facts.attributes.push(name);
    }
    Some(())
}

fn note_atomic(statement: Node<'_>, facts: &mut Facts) {
    match statement {
        Node::ReturnStmt(answer) => collect(answer.returnval(), facts),
        _ => note(statement, facts),
    }
}

fn language(create: &nodes::CreateFunctionStmt) -> Option<&str> {
    let mut options = create.options().iter();
    let option = options.find(|option| option.defname() == Some("language"))?;
    option.arg().as_str()
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

/// Where PL/pgSQL may read text as a date without saying so.
fn header(create: &nodes::CreateFunctionStmt) -> Header {
    let may_be_date = |type_name: Option<&nodes::TypeName>| {
        let last = type_name.and_then(|name| {
            name.names()
                .iter()
                .filter_map(nodes::String::sval)
                .next_back()
        });
        last.is_none_or(may_hold_date)
    };
    let mut dated = HashSet::new();
    for (position, parameter) in create.parameters().iter().enumerate() {
        if may_be_date(parameter.arg_type()) {
            dated.insert(format!("${}", position + 1));
            dated.extend(parameter.name().map(ToOwned::to_owned));
        }
    }
    let returned = create.return_type();
    let is_value = create.parameters().iter().all(|parameter| {
        matches!(
            parameter.mode,
            Mode::FUNC_PARAM_DEFAULT | Mode::FUNC_PARAM_IN | Mode::FUNC_PARAM_VARIADIC
        )
    });
    Header {
        dated,
        returns_date: is_value && returned.is_some() && may_be_date(returned),
    }
}
