//! What stands in the catalog as text: the queries of views, rules, expressions of columns.

use pg_raw_parse::{Node, nodes};

use crate::analysis::collect::{collect, relation_name};
use crate::analysis::facts::{Facts, Name};
use crate::analysis::statement::note;
use crate::analysis::{Dialect, parse_guarded, read_facts};

/// A definition longer than this is not read, in bytes.
const DEFINITION_MAX: usize = 256 << 10;

/// How the loader has definitions printed.
const DIALECT: Dialect = Dialect {
    utf8: true,
    standard_conforming_strings: true,
};

/// The facts of the query of a view or materialized view.
pub(super) fn query_facts(definition: &str) -> Facts {
    read_facts(definition.as_bytes(), DIALECT, DEFINITION_MAX)
}

/// The relation that a change of a view changes, if PostgreSQL can tell: the only one in its FROM.
///
/// <https://www.postgresql.org/docs/current/sql-createview.html#SQL-CREATEVIEW-UPDATABLE-VIEWS>
pub(super) fn base(definition: &str) -> Option<Name> {
    parse_guarded(definition.as_bytes(), DIALECT, DEFINITION_MAX, |text| {
        let tree = pg_raw_parse::parse(text).ok()?;
        let Some(Node::SelectStmt(query)) = tree.stmts().next() else {
            return None;
        };
        let mut sources = query.from_clause().iter();
        match (sources.next(), sources.next()) {
            (Some(Node::RangeVar(relation)), None) => Some(relation_name(relation)),
            _ => None,
        }
    })
}

/// The facts of an expression as `pg_get_expr` prints it.
pub(super) fn expression_facts(expression: Option<&str>) -> Facts {
    let query = format!("SELECT {}", expression.unwrap_or_default());
    read_facts(query.as_bytes(), DIALECT, DEFINITION_MAX)
}

/// The facts of what a rule as `pg_get_ruledef` prints it does.
pub(super) fn rule_facts(definition: Option<&str>) -> Facts {
    let definition = definition.unwrap_or_default();
    parse_guarded(definition.as_bytes(), DIALECT, DEFINITION_MAX, |text| {
        let tree = pg_raw_parse::parse(text).ok()?;
        match tree.stmts().next() {
            Some(Node::RuleStmt(rule)) => Some(facts_of(rule)),
            _ => None,
        }
    })
    .unwrap_or_else(Facts::not_understood)
    .without_names_of_settings()
}

fn facts_of(rule: &nodes::RuleStmt) -> Facts {
    let mut facts = Facts::default();
    collect(rule.where_clause(), &mut facts);
    for action in rule.actions() {
        note(action, &mut facts);
    }
    facts.compact();
    facts
}
