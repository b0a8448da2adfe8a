//! From the text of SQL to its facts: one arm for every kind of statement.
//!
//! Owns the top of the parser's tree; what is below a query belongs to `collect`. Invariant: a kind of statement that has
//! no arm of its own counts as DDL, which may change every table and the catalog.

use pg_raw_parse::nodes;
use pg_raw_parse::raw::{CURSOR_OPT_HOLD, DiscardMode, DropBehavior, VariableSetKind};
use pg_raw_parse::{Node, const_val::ConstValue};

use super::collect::{collect, creates, is_temporary, relation_name};
use super::control::{Control, Deallocate, control, deallocates, names};
use super::facts::{Arguments, Change, Facts, Reach};
use super::plpgsql::{Header, note_body};
use super::session::SessionEffect;
use super::tree::literal;
use crate::reason::Reason;

/// What the parser made of a text.
pub(super) struct Reading {
    pub(super) control: Control,
    pub(super) deallocates: Option<Deallocate>,
    pub(super) names_statements: Box<[String]>,
    /// One statement, and it is a query or changes rows: no utility, and so no COPY.
    pub(super) is_query: bool,
    pub(super) facts: Facts,
}

/// Parses a text and notes its facts. `None`: a syntax error.
///
/// Needs a stack in proportion to the nesting of the text.
pub(super) fn read(text: &str) -> Option<Reading> {
    let tree = pg_raw_parse::parse(text).ok()?;
    let statements: Vec<_> = tree.stmts().collect();
    let mut facts = Facts::default();
    let control = match statements[..] {
        [] => Control::Empty,
        [statement] => control(statement),
        _ => Control::Script {
            transaction_control: statements
                .iter()
                .any(|statement| matches!(statement, Node::TransactionStmt(_))),
        },
    };
    match control {
        Control::Empty => facts.refuse(Reason::NotARead),
        Control::NotUnderstood => return None,
        Control::Script { .. } => facts.refuse(Reason::MultiStatement),
        _ => {}
    }
    for statement in &statements {
        note(*statement, &mut facts);
    }
    // The temporary schema can be named in any definition, and in search_path. The text is searched, not read: a
    // mention is enough.
    if mentions(text, "pg_temp") {
        facts.session.insert(SessionEffect::Temporary);
    }
    if has_long_name(text) {
        facts.refuse(Reason::LongName);
    }
    facts.compact();
    let deallocates = match statements[..] {
        [Node::DeallocateStmt(statement)] => Some(deallocates(statement)),
        _ => None,
    };
    let is_query = matches!(
        statements[..],
        [Node::SelectStmt(_)
            | Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_)]
    );
    let names_statements = statements.iter().filter_map(|&statement| names(statement));
    Some(Reading {
        control,
        deallocates,
        names_statements: names_statements.collect(),
        is_query,
        facts,
    })
}

/// Notes the facts of one statement.
pub(super) fn note(statement: Node<'_>, facts: &mut Facts) {
    match statement {
        Node::SelectStmt(_) => collect(statement, facts),
        Node::InsertStmt(_) | Node::UpdateStmt(_) | Node::DeleteStmt(_) | Node::MergeStmt(_) => {
            facts.refuse(Reason::NotARead);
            collect(statement, facts);
        }
        _ => {
            facts.refuse(Reason::NotARead);
            utility(statement, facts);
        }
    }
}

/// Everything that is not a query.
fn utility(statement: Node<'_>, facts: &mut Facts) {
    match statement {
        Node::AlterDomainStmt(alter) => {
            definition(alter.def(), facts);
            facts.reaches(Reach::Catalog);
        }
        Node::AlterTableStmt(alter) => alter_table(alter, facts),
        // An extension's script may do anything.
        Node::AlterExtensionStmt(_) | Node::CreateExtensionStmt(_) => facts.unknown_code(),
        Node::CallStmt(call) => {
            facts.may_commit = true;
            procedure_call(call.funccall(), facts);
        }
        Node::DoStmt(block) => {
            facts.may_commit = true;
            if code_block(block, facts).is_none() {
                facts.unknown_code();
            }
        }
        Node::CheckPointStmt(_)
        | Node::ClusterStmt(_)
        | Node::ReindexStmt(_)
        | Node::VacuumStmt(_) => {
            facts.reaches(Reach::Everything);
        }
        Node::ClosePortalStmt(_)
        | Node::FetchStmt(_)
        | Node::LockStmt(_)
        | Node::NotifyStmt(_)
        | Node::UnlistenStmt(_)
        | Node::VariableShowStmt(_) => {}
        Node::CopyStmt(copy) => self::copy(copy, facts),
        Node::CreateSeqStmt(create) if create.sequence().is_some_and(is_temporary) => {
            creates(create.sequence(), facts)
        }
        Node::CreateStmt(create) => creates(create.relation(), facts),
        Node::CreateTableAsStmt(create) => {
            creates(create.into().and_then(nodes::IntoClause::rel), facts);
            note(create.query(), facts);
        }
        Node::DeclareCursorStmt(declare) => {
            if declare.options & CURSOR_OPT_HOLD.cast_signed() != 0 {
                facts.session.insert(SessionEffect::HoldCursor);
            }
            note(declare.query(), facts);
        }
        Node::ExecuteStmt(_) => {
            facts.session.insert(SessionEffect::PreparedStatement);
            facts.unknown_code();
        }
        Node::ExplainStmt(explain) => {
            if analyzes(explain) {
                note(explain.query(), facts);
            }
        }
        Node::RefreshMatViewStmt(refresh) => target(refresh.relation(), Change::Refresh, facts),
        Node::TransactionStmt(_) => transaction(statement, facts),
        Node::TruncateStmt(truncate) => self::truncate(truncate, facts),
        Node::VariableSetStmt(set) => setting(set, facts),
        Node::ViewStmt(view) if view.view().is_some_and(is_temporary) => {
            creates(view.view(), facts);
            // Nothing runs yet; but what it will run, no later statement tells.
            note(view.query(), facts);
        }
        _ => match session_effect(statement) {
            Some(effect) => facts.session.insert(effect),
            None => facts.reaches(Reach::Catalog),
        },
    }
}

/// CALL: parameters that are only put out may be written or not, depending on the server's version.
fn procedure_call(call: Option<&nodes::FuncCall>, facts: &mut Facts) {
    let first = facts.calls.len();
    if let Some(call) = call {
        collect(Node::FuncCall(call), facts);
    }
    match facts.calls.get_mut(first) {
        Some(call) => call.arguments = Arguments::Any,
        None => facts.unknown_code(),
    }
}

/// DO, in PL/pgSQL. `None`: it is in another language, or not understood.
fn code_block(block: &nodes::DoStmt, facts: &mut Facts) -> Option<()> {
    let option = |name: &str| {
        let mut options = block.args().iter();
        options
            .find(|option| option.defname() == Some(name))
            .map(nodes::DefElem::arg)
    };
    let is_read = option("language").is_none_or(|language| language.as_str() == Some("plpgsql"));
    let body = option("as").and_then(Node::as_str).filter(|_| is_read)?;
    note_body(body, Header::default(), facts)?;
    facts.distrust_unseen();
    Some(())
}

/// What a statement that changes nothing but its session leaves there.
fn session_effect(statement: Node<'_>) -> Option<SessionEffect> {
    match statement {
        Node::ConstraintsSetStmt(_) => Some(SessionEffect::LocalSetting),
        Node::DeallocateStmt(_) => Some(SessionEffect::Deallocate),
        Node::DiscardStmt(discard) if discard.target == DiscardMode::DISCARD_ALL => {
            Some(SessionEffect::DiscardAll)
        }
        Node::DiscardStmt(_) => Some(SessionEffect::Discard),
        Node::ListenStmt(_) => Some(SessionEffect::Listen),
        Node::LoadStmt(_) => Some(SessionEffect::Load),
        Node::PrepareStmt(_) => Some(SessionEffect::PreparedStatement),
        _ => None,
    }
}

fn transaction(statement: Node<'_>, facts: &mut Facts) {
    match control(statement) {
        // Written by another transaction, perhaps of another session: the text does not tell what.
        Control::CommitPrepared(_) => facts.reaches(Reach::Catalog),
        Control::NotUnderstood => facts.unknown_code(),
        Control::Begin(_)
        | Control::Commit { .. }
        | Control::Empty
        | Control::Plain
        | Control::PrepareTransaction(_)
        | Control::ReleaseSavepoint
        | Control::Rollback { .. }
        | Control::RollbackPrepared(_)
        | Control::RollbackToSavepoint
        | Control::Savepoint
        | Control::Script { .. } => {}
    }
}

/// ALTER TABLE may evaluate the expressions it brings for every row.
fn alter_table(alter: &nodes::AlterTableStmt, facts: &mut Facts) {
    facts.reaches(Reach::Catalog);
    for command in alter.cmds() {
        if let Node::AlterTableCmd(command) = command {
            definition(command.def(), facts);
        }
    }
}

/// Notes the expressions of a column or a constraint.
fn definition(node: Node<'_>, facts: &mut Facts) {
    match node {
        Node::ColumnDef(column) => {
            // DEFAULT, and the USING of a change of type.
            collect(column.raw_default(), facts);
            column
                .constraints()
                .iter()
                .for_each(|constraint| definition(constraint, facts));
        }
        Node::Constraint(constraint) => collect(constraint.raw_expr(), facts),
        _ => {}
    }
}

fn copy(copy: &nodes::CopyStmt, facts: &mut Facts) {
    match copy.relation() {
        Some(relation) if copy.is_from => {
            target(Some(relation), Change::Insert, facts);
            collect(copy.where_clause(), facts);
        }
        Some(relation) => facts.relations.push(relation_name(relation)),
        None => note(copy.query(), facts),
    }
}

fn truncate(truncate: &nodes::TruncateStmt, facts: &mut Facts) {
    let change = match truncate.behavior {
        DropBehavior::DROP_RESTRICT => Change::Truncate,
        _ => Change::TruncateCascade,
    };
    for relation in truncate.relations() {
        match relation {
            Node::RangeVar(relation) => target(Some(relation), change, facts),
            _ => facts.unknown_code(),
        }
    }
}

fn target(relation: Option<&nodes::RangeVar>, change: Change, facts: &mut Facts) {
    match relation {
        Some(relation) => facts.writes(relation_name(relation), change),
        None => facts.unknown_code(),
    }
}

/// SET and RESET. A SET LOCAL ends with the transaction.
fn setting(set: &nodes::VariableSetStmt, facts: &mut Facts) {
    if set.kind == VariableSetKind::VAR_RESET_ALL {
        facts.settings.changed_before = true;
        return facts.session.insert(SessionEffect::NamedSetting);
    }
    let name = set.name().unwrap_or_default().to_ascii_lowercase();
    let of_transaction =
        matches!(&*name, "transaction" | "transaction snapshot") || is_of_transaction(&name);
    if set.is_local || of_transaction {
        return facts.session.insert(SessionEffect::LocalSetting);
    }
    if name == "session characteristics" {
        for characteristic in TRANSACTION_CHARACTERISTICS {
            facts.changes_setting(&format!("default_{characteristic}"));
        }
        return;
    }
    change_setting(&name, facts);
}

/// Notes a setting that lasts beyond the transaction.
pub(super) fn change_setting(name: &str, facts: &mut Facts) {
    match name {
        "" | "session_authorization" => facts.session.insert(SessionEffect::Setting),
        // It cannot be read back.
        "seed" => facts.session.insert(SessionEffect::RandomSeed),
        name => facts.changes_setting(name),
    }
}

/// Settings that last as long as the transaction, however they are made.
const TRANSACTION_CHARACTERISTICS: [&str; 3] = [
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
];

/// Does a setting of this name last as long as the transaction?
pub(super) fn is_of_transaction(name: &str) -> bool {
    TRANSACTION_CHARACTERISTICS.contains(&name)
}

/// Whether EXPLAIN runs its statement: unless ANALYZE is absent or plainly off.
fn analyzes(explain: &nodes::ExplainStmt) -> bool {
    let off = |value: Node<'_>| match value {
        Node::Boolean(value) => !value.boolval,
        Node::Integer(value) => value.ival == 0,
        Node::String(text) => matches!(text.sval(), Some("false" | "off")),
        value => matches!(literal(value), Some(ConstValue::Boolean(false))),
    };
    explain
        .options()
        .iter()
        .any(|option| option.defname() == Some("analyze") && !off(option.arg()))
}

/// May there be a name that PostgreSQL cuts, with a notice? Literals are passed over; dollar quotes are not known
/// here, so what is in them counts as names.
fn has_long_name(text: &str) -> bool {
    /// `NAMEDATALEN - 1`: a longer name is cut.
    const NAME_MAX: usize = 63;
    let is_of_name =
        |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || b"_$".contains(&byte);
    let mut rest = text.as_bytes();
    while let Some(&first) = rest.first() {
        let length = match first {
            b'\'' | b'"' => {
                let inside = rest[1..].iter().take_while(|byte| **byte != first).count();
                if first == b'"' && inside > NAME_MAX {
                    return true;
                }
                inside + 2
            }
            b'-' if rest.starts_with(b"--") => {
                rest.iter().take_while(|byte| **byte != b'\n').count()
            }
            b'/' if rest.starts_with(b"/*") => {
                let inside = rest[2..].windows(2).position(|end| end == b"*/");
                inside.map_or(2, |inside| inside + 4)
            }
            _ => {
                let name = rest.iter().take_while(|byte| is_of_name(**byte)).count();
                if name > NAME_MAX {
                    return true;
                }
                name.max(1)
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    false
}

pub(super) fn mentions(text: &str, word: &str) -> bool {
    text.as_bytes()
        .windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::has_long_name;

    #[test]
    fn long_names_are_found_and_long_literals_are_not_names() {
        let (fits, long) = ("a".repeat(63), "a".repeat(64));
        for (text, expected) in [
            (format!("SELECT {fits}.{fits}"), false),
            (format!("SELECT {long}"), true),
            (format!("SELECT \"{long}\""), true),
            (
                format!("SELECT '{long}', 'it''s {long}', \"{fits}\""),
                false,
            ),
            (format!("SELECT 1 -- it's\n AS {long}"), true),
            (format!("SELECT 1 -- {long}"), false),
            (format!("/* it's */ SELECT {long}"), true),
            ("SELECT '".to_owned(), false),
            ("/*".to_owned(), false),
        ] {
            assert_eq!(has_long_name(&text), expected, "{text}");
        }
    }
}
