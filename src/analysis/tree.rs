//! Small questions to the nodes of the parser's tree.
//!
//! Owns what is known of single kinds of nodes, among them which children the walker of the parser visits
//! (`raw_expression_tree_walker` in PostgreSQL's `nodeFuncs.c`).

use pg_raw_parse::Node;
use pg_raw_parse::const_val::ConstValue;
use pg_raw_parse::list::NodeList;
use pg_raw_parse::nodes;
use pg_raw_parse::raw::A_Expr_Kind;

use super::dates::is_date_type;
use super::facts::Name;

/// The columns every table has: <https://www.postgresql.org/docs/current/ddl-system-columns.html>
pub(super) fn is_system_column(name: &str) -> bool {
    matches!(
        name,
        "cmax" | "cmin" | "ctid" | "tableoid" | "xmax" | "xmin"
    )
}

/// The functions that a server older than the grammar may call where this syntax stands.
pub(super) fn older_function_names(node: Node<'_>) -> &'static [&'static str] {
    match node {
        Node::JsonArrayAgg(_) => &["json_arrayagg"],
        Node::JsonArrayConstructor(_) | Node::JsonArrayQueryConstructor(_) => &["json_array"],
        Node::JsonFuncExpr(_) => &["json_exists", "json_query", "json_value"],
        Node::JsonObjectAgg(_) => &["json_objectagg"],
        Node::JsonObjectConstructor(_) => &["json_object"],
        Node::JsonParseExpr(_) => &["json"],
        Node::JsonScalarExpr(_) => &["json_scalar"],
        Node::JsonSerializeExpr(_) => &["json_serialize"],
        Node::JsonTable(_) => &["json_table"],
        Node::MergeSupportFunc(_) => &["merge_action"],
        _ => &[],
    }
}

/// Nodes that need no note of their own and whose children the walker of the parser knows.
pub(super) fn walks_on(node: Node<'_>) -> bool {
    matches!(
        node,
        Node::A_ArrayExpr(_)
            | Node::A_Indices(_)
            | Node::A_Indirection(_)
            | Node::A_Star(_)
            | Node::BitString(_)
            | Node::BoolExpr(_)
            | Node::Boolean(_)
            | Node::BooleanTest(_)
            | Node::CaseExpr(_)
            | Node::CoalesceExpr(_)
            | Node::CollateClause(_)
            | Node::CurrentOfExpr(_)
            | Node::Float(_)
            | Node::GroupingFunc(_)
            | Node::GroupingSet(_)
            | Node::IndexElem(_)
            | Node::InferClause(_)
            | Node::Integer(_)
            | Node::JoinExpr(_)
            | Node::JsonAggConstructor(_)
            | Node::JsonArgument(_)
            | Node::JsonArrayAgg(_)
            | Node::JsonArrayConstructor(_)
            | Node::JsonArrayQueryConstructor(_)
            | Node::JsonBehavior(_)
            | Node::JsonFormat(_)
            | Node::JsonFuncExpr(_)
            | Node::JsonIsPredicate(_)
            | Node::JsonKeyValue(_)
            | Node::JsonObjectAgg(_)
            | Node::JsonObjectConstructor(_)
            | Node::JsonParseExpr(_)
            | Node::JsonReturning(_)
            | Node::JsonScalarExpr(_)
            | Node::JsonSerializeExpr(_)
            | Node::JsonTable(_)
            | Node::JsonTablePathSpec(_)
            | Node::JsonValueExpr(_)
            | Node::MergeSupportFunc(_)
            | Node::MergeWhenClause(_)
            | Node::MinMaxExpr(_)
            | Node::MultiAssignRef(_)
            | Node::NamedArgExpr(_)
            | Node::NodeList(_)
            | Node::NullTest(_)
            | Node::OnConflictClause(_)
            | Node::ParamRef(_)
            | Node::RangeSubselect(_)
            | Node::RangeTableFunc(_)
            | Node::ReturningClause(_)
            | Node::ReturningOption(_)
            | Node::RowExpr(_)
            | Node::SelectStmt(_)
            | Node::SetToDefault(_)
            | Node::WindowDef(_)
            | Node::WithClause(_)
            | Node::XmlExpr(_)
    )
}

pub(super) fn is_arithmetic(expression: &nodes::A_Expr) -> bool {
    expression.kind == A_Expr_Kind::AEXPR_OP
        && matches!(
            strings(expression.name()).next_back(),
            Some("+" | "-" | "*")
        )
}

pub(super) fn names_date_type(name: &nodes::TypeName) -> bool {
    name.names()
        .iter()
        .filter_map(nodes::String::sval)
        .next_back()
        .is_some_and(is_date_type)
}

pub(super) fn qualified(parts: &NodeList) -> Name {
    let mut parts = strings(parts).rev();
    let name = parts.next().unwrap_or_default().into();
    Name {
        schema: parts.next().map(Into::into),
        name,
    }
}

pub(super) fn strings(list: &NodeList) -> impl DoubleEndedIterator<Item = &str> {
    list.iter().filter_map(Node::as_str)
}

pub(super) fn literal(node: Node<'_>) -> Option<ConstValue<'_>> {
    match node {
        Node::A_Const(constant) => constant.val(),
        _ => None,
    }
}

/// The value of a Boolean literal, in whatever way it is written.
pub(super) fn boolean(node: Node<'_>) -> Option<bool> {
    match node {
        Node::A_Const(constant) => match constant.val()? {
            ConstValue::Boolean(value) => Some(value),
            ConstValue::String("t" | "true" | "on" | "yes" | "1") => Some(true),
            ConstValue::String("f" | "false" | "off" | "no" | "0") => Some(false),
            _ => None,
        },
        Node::TypeCast(cast) => boolean(cast.arg()),
        _ => None,
    }
}
