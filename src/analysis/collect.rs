//! Walks the tree of a query and notes every name in it.
//!
//! Owns the knowledge of the grammar below a statement. A kind of node it does not know makes the whole text unknown:
//! the walker of the parser would stop at it, and what is below would be missed.

use std::ops::ControlFlow;

use pg_raw_parse::Node;
use pg_raw_parse::const_val::ConstValue;
use pg_raw_parse::list::NodeList;
use pg_raw_parse::nodes;
use pg_raw_parse::raw::{A_Expr_Kind, CmdType, CoercionForm, OnConflictAction, SubLinkType};
use pg_raw_parse::walk::{Recurse, walk_manual};

use super::attributes::{self, Attributes};
use super::builtin;
use super::dates::{is_date_type, mentions_moving_date};
use super::facts::{Arguments, Call, Change, Facts, Name, Operand, Operator, Reach};
use super::session::SessionEffect;
use super::statement::{change_setting, is_of_transaction};
use super::tree::{
    self, boolean, is_arithmetic, is_system_column, literal, names_date_type, qualified, strings,
    walks_on,
};
use crate::reason::Reason;

/// Functions that never return text, so what they return is no moving date when it is cast.
const RETURNS_NO_TEXT: [&str; 9] = [
    "age",
    "date_bin",
    "date_trunc",
    "make_date",
    "make_timestamp",
    "make_timestamptz",
    "timezone",
    "to_date",
    "to_timestamp",
];

/// Notes the facts of an expression or of a SELECT, INSERT, UPDATE, DELETE or MERGE.
pub(super) fn collect(node: Node<'_>, facts: &mut Facts) {
    let mut collector = Collector {
        facts,
        aliases: Vec::new(),
        attributes: Attributes::default(),
    };
    collector.walk(node);
    collector.finish();
}

/// The name of a relation as written.
pub(super) fn relation_name(relation: &nodes::RangeVar) -> Name {
    Name {
        schema: relation.schemaname().map(Into::into),
        name: relation.relname().unwrap_or_default().into(),
    }
}

/// Whether a relation that is being created is a temporary one.
pub(super) fn is_temporary(relation: &nodes::RangeVar) -> bool {
    // The catalog's letter for the persistence of a temporary relation.
    relation.relpersistence as u8 == b't'
        || relation
            .schemaname()
            .is_some_and(|schema| schema.starts_with("pg_temp"))
}

/// Notes that SELECT INTO or CREATE TABLE AS makes `relation`.
pub(super) fn creates(relation: Option<&nodes::RangeVar>, facts: &mut Facts) {
    if relation.is_some_and(is_temporary) {
        facts.session.insert(SessionEffect::Temporary);
        facts.temporary_definitions += 1;
    } else {
        facts.reaches(Reach::Catalog);
    }
}

struct Collector<'facts> {
    facts: &'facts mut Facts,
    /// Names that the text gives to columns: one of them may hold anything.
    aliases: Vec<Box<str>>,
    attributes: Attributes,
}

impl Collector<'_> {
    fn walk(&mut self, node: Node<'_>) {
        if let ControlFlow::Continue(Recurse::Yes) = self.visit(node) {
            walk_manual::<()>(node, |child| self.visit(child));
        }
    }

    /// A column that shares its name with an alias may not be the column of the catalog.
    fn finish(self) {
        let Self {
            facts,
            aliases,
            attributes,
        } = self;
        attributes.finish(facts);
        let given = |column: &str| {
            aliases.iter().any(|alias| **alias == *column)
                || facts.calls.iter().any(|call| *call.name.name == *column)
        };
        if facts.dated_columns.iter().any(|column| given(column)) {
            facts.refuse(Reason::TextReadAsDate);
        }
    }

    fn visit(&mut self, node: Node<'_>) -> ControlFlow<(), Recurse> {
        // Syntax that is a name to older servers: a function of the user's may be meant.
        for name in tree::older_function_names(node) {
            self.facts.calls.push(Call {
                name: Name::anywhere(name),
                arguments: Arguments::Syntax,
            });
        }
        match node {
            Node::None => return Recurse::no(),
            Node::RangeVar(relation) => self.facts.relations.push(relation_name(relation)),
            Node::FuncCall(call) => self.call(call),
            Node::SetToDefault(_) => self.facts.session.insert(SessionEffect::SequenceDraw),
            Node::A_Expr(expression) => self.operator(expression),
            Node::SubLink(link) => self.sublink(link),
            Node::SortBy(sort) => self.operators(sort.use_op(), Operand::Unknown),
            Node::CaseExpr(case) if !matches!(case.arg(), Node::None) => self.equality(),
            Node::JoinExpr(join) if join.is_natural || !join.using_clause().is_empty() => {
                self.equality()
            }
            Node::TypeCast(cast) => {
                if cast.type_name().is_some_and(names_date_type) {
                    self.read_as_date(cast.arg());
                }
            }
            Node::TypeName(name) => self.type_name(name),
            Node::ColumnRef(column) => self.column(column),
            // Behind an indirection.
            Node::String(field) => self.field(field.sval().unwrap_or_default()),
            Node::A_Const(constant) => self.constant(constant),
            Node::ParamRef(parameter) if parameter.number == 0 => {
                self.facts.refuse(Reason::UnknownConstruct)
            }
            Node::SQLValueFunction(_) => self.facts.refuse(Reason::CurrentValue),
            Node::RangeFunction(function) => self.attributes.function(function),
            Node::RangeTableSample(_) => self.facts.refuse(Reason::TableSample),
            // What it names are aliases.
            Node::LockingClause(_) => {
                self.facts.refuse(Reason::LockingRead);
                return Recurse::no();
            }
            Node::IntoClause(into) => {
                self.facts.refuse(Reason::Writes);
                creates(into.rel(), self.facts);
                return Recurse::no();
            }
            Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_) => self.write(node),
            Node::CommonTableExpr(table) => self.common_table(table),
            Node::ResTarget(target) => self.target_column(target),
            Node::Alias(alias) => {
                self.aliases.extend(alias.aliasname().map(Into::into));
                self.aliases
                    .extend(strings(alias.colnames()).map(Into::into));
            }
            Node::ColumnDef(_)
            | Node::JsonOutput(_)
            | Node::JsonTableColumn(_)
            | Node::RangeTableFuncCol(_)
            | Node::XmlSerialize(_) => self.made_from_text(node),
            _ if walks_on(node) => {}
            _ => {
                self.facts.refuse(Reason::UnknownConstruct);
                self.facts.unknown_code();
                return Recurse::no();
            }
        }
        Recurse::yes()
    }

    fn call(&mut self, call: &nodes::FuncCall) {
        let mut name = qualified(call.funcname());
        // The grammar is that of PostgreSQL 18: what it takes for syntax, an older server may look up as a name.
        let grammatical =
            call.funcformat == CoercionForm::COERCE_SQL_SYNTAX || &*name.name == "json_object";
        if grammatical {
            name.schema = None;
        }
        let arguments = if call.agg_within_group {
            Arguments::Any
        } else {
            Arguments::Count(call.args().len())
        };
        if &*name.name == "set_config" {
            self.set_config(call.args());
        }
        if let Some(effect) = builtin::session_effect(&name.name) {
            self.facts.session.insert(effect);
        }
        // A type's name, called with one argument, is a cast.
        if arguments == Arguments::Count(1)
            && is_date_type(&name.name)
            && let Some(argument) = call.args().first()
        {
            self.read_as_date(argument);
        }
        self.facts.calls.push(Call { name, arguments });
    }

    fn set_config(&mut self, arguments: &NodeList) {
        let name = match arguments.first().and_then(literal) {
            Some(ConstValue::String(name)) => Some(name.to_ascii_lowercase()),
            _ => None,
        };
        let is_local = arguments.get(2).and_then(boolean);
        let of_transaction = name.as_deref().is_none_or(is_of_transaction);
        if is_local != Some(false) || of_transaction {
            self.facts.session.insert(SessionEffect::LocalSetting);
        }
        match name {
            _ if is_local == Some(true) => {}
            Some(name) if of_transaction => drop(name),
            Some(name) => change_setting(&name, self.facts),
            None => self.facts.session.insert(SessionEffect::Setting),
        }
    }

    fn operator(&mut self, expression: &nodes::A_Expr) {
        let number = [expression.lexpr(), expression.rexpr()]
            .into_iter()
            .any(|operand| {
                matches!(
                    literal(operand),
                    Some(ConstValue::Integer(_) | ConstValue::Float(_))
                )
            });
        let operand = if number {
            Operand::Number
        } else {
            Operand::Unknown
        };
        match expression.kind {
            A_Expr_Kind::AEXPR_BETWEEN
            | A_Expr_Kind::AEXPR_NOT_BETWEEN
            | A_Expr_Kind::AEXPR_BETWEEN_SYM
            | A_Expr_Kind::AEXPR_NOT_BETWEEN_SYM => {
                for name in ["<", "<=", ">", ">="] {
                    self.facts.operators.push(Operator {
                        name: name.into(),
                        operand: Operand::Unknown,
                    });
                }
            }
            _ => self.operators(expression.name(), operand),
        }
    }

    fn operators(&mut self, name: &NodeList, operand: Operand) {
        if let Some(name) = strings(name).next_back() {
            self.facts.operators.push(Operator {
                name: name.into(),
                operand,
            });
        }
    }

    fn sublink(&mut self, link: &nodes::SubLink) {
        if link.oper_name().is_empty() && link.sub_link_type == SubLinkType::ANY_SUBLINK {
            self.equality();
        }
        self.operators(link.oper_name(), Operand::Unknown);
    }

    /// IN, USING, NATURAL and CASE compare with an operator they do not name.
    fn equality(&mut self) {
        self.facts.operators.push(Operator {
            name: "=".into(),
            operand: Operand::Unknown,
        });
    }

    fn type_name(&mut self, name: &nodes::TypeName) {
        let mut parts = name.names().iter().filter_map(nodes::String::sval).rev();
        let last = parts.next().unwrap_or_default();
        // JSON became a word of the grammar in PostgreSQL 16; before, it was looked up like any name.
        let schema = parts.next().filter(|_| last != "json");
        self.facts.types.push(Name {
            schema: schema.map(Into::into),
            name: last.into(),
        });
        if name.pct_type {
            self.facts.refuse(Reason::UnknownConstruct);
        }
    }

    fn column(&mut self, column: &nodes::ColumnRef) {
        if strings(column.fields()).any(is_system_column) {
            self.facts.refuse(Reason::SystemColumn);
        }
        self.attributes.column(column);
    }

    /// A name behind the dot of an expression: a field, or a function in attribute notation.
    fn field(&mut self, name: &str) {
        if is_system_column(name) {
            self.facts.refuse(Reason::SystemColumn);
        }
        self.facts.attributes.push(name.into());
        attributes::call(name, self.facts);
    }

    fn constant(&mut self, constant: &nodes::A_Const) {
        if let Some(ConstValue::String(text)) = constant.val()
            && mentions_moving_date(text.as_bytes())
        {
            self.facts.refuse(Reason::MovingDate);
        }
    }

    fn common_table(&mut self, table: &nodes::CommonTableExpr) {
        self.facts
            .common_tables
            .extend(table.ctename().map(Into::into));
        self.aliases
            .extend(strings(table.aliascolnames()).map(Into::into));
        // The walker of the parser passes over the CYCLE clause.
        if let Some(cycle) = table.cycle_clause() {
            self.walk(cycle.cycle_mark_value());
            self.walk(cycle.cycle_mark_default());
        }
    }

    fn target_column(&mut self, target: &nodes::ResTarget) {
        let own_name = match target.val() {
            Node::ColumnRef(column) => strings(column.fields()).next_back(),
            _ => None,
        };
        self.aliases.extend(
            target
                .name()
                .filter(|name| Some(*name) != own_name)
                .map(Into::into),
        );
    }

    /// A column or a value is made from text that is not in the statement.
    fn made_from_text(&mut self, node: Node<'_>) {
        let (column, type_name) = match node {
            Node::ColumnDef(column) => (column.colname(), column.type_name()),
            Node::JsonOutput(output) => (None, output.type_name()),
            Node::JsonTableColumn(column) => (column.name(), column.type_name()),
            Node::RangeTableFuncCol(column) => (column.colname(), column.type_name()),
            Node::XmlSerialize(xml) => (None, xml.type_name()),
            _ => return,
        };
        self.aliases.extend(column.map(Into::into));
        let Some(name) = type_name else { return };
        if names_date_type(name) {
            self.facts.refuse(Reason::TextReadAsDate);
        }
        // The walker of the parser passes over the types of XMLTABLE's columns; to note others twice is harmless.
        self.walk(Node::TypeName(name));
    }

    /// Notes that `source` is read as a date: if it is text, and says `now`, the result moves.
    fn read_as_date(&mut self, source: Node<'_>) {
        match source {
            // A constant is looked at where it stands; a parameter, when its value is known.
            Node::None | Node::A_Const(_) | Node::SQLValueFunction(_) => {}
            Node::ParamRef(_) => self.facts.dated_parameters += 1,
            Node::TypeCast(cast) => self.read_as_date(cast.arg()),
            Node::ColumnRef(column) => match strings(column.fields()).next_back() {
                Some(name) => self.facts.dated_columns.push(name.into()),
                None => self.facts.refuse(Reason::TextReadAsDate),
            },
            Node::A_Expr(expression) if is_arithmetic(expression) => {}
            Node::CoalesceExpr(expression) => expression
                .args()
                .iter()
                .for_each(|value| self.read_as_date(value)),
            Node::MinMaxExpr(expression) => expression
                .args()
                .iter()
                .for_each(|value| self.read_as_date(value)),
            Node::FuncCall(call) => match strings(call.funcname()).next_back() {
                Some(name) if RETURNS_NO_TEXT.contains(&name) => {}
                Some("max" | "min") => call
                    .args()
                    .iter()
                    .for_each(|value| self.read_as_date(value)),
                Some(_) | None => self.facts.refuse(Reason::TextReadAsDate),
            },
            _ => self.facts.refuse(Reason::TextReadAsDate),
        }
    }

    fn write(&mut self, statement: Node<'_>) {
        self.facts.refuse(Reason::Writes);
        let (relation, changes): (_, &[Change]) = match statement {
            Node::InsertStmt(insert) => {
                let updates = insert
                    .on_conflict_clause()
                    .is_some_and(|clause| clause.action != OnConflictAction::ONCONFLICT_NOTHING);
                (
                    insert.relation(),
                    if updates {
                        &[Change::Insert, Change::Update]
                    } else {
                        &[Change::Insert]
                    },
                )
            }
            Node::UpdateStmt(update) => (update.relation(), &[Change::Update]),
            Node::DeleteStmt(delete) => (delete.relation(), &[Change::Delete]),
            Node::MergeStmt(merge) => (merge.relation(), merge_changes(merge)),
            _ => (None, &[]),
        };
        let Some(relation) = relation else {
            return self.facts.unknown_code();
        };
        for change in changes {
            self.facts.writes(relation_name(relation), *change);
        }
    }
}

fn merge_changes(merge: &nodes::MergeStmt) -> &'static [Change] {
    let only_inserts = merge.merge_when_clauses().iter().all(|clause| {
        matches!(
            clause.command_type,
            CmdType::CMD_INSERT | CmdType::CMD_NOTHING
        )
    });
    if only_inserts {
        &[Change::Insert]
    } else {
        &[Change::Delete, Change::Insert, Change::Update]
    }
}
