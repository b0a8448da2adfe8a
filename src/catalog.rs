//! Loads a snapshot of the upstream database's catalog.
//!
//! Owns the queries and the reading of their rows; what the rows mean belongs to [`analysis`](crate::analysis).
//! Invariant: all rows come from one snapshot of PostgreSQL. Only the printed definitions of views are those of the
//! moment, so a caller loads again whenever DDL may have happened since it began.

pub mod digest;
mod queries;

use digest::Digest;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row};

use crate::analysis::catalog::rows::{
    BuiltInFunctionRow, ColumnTypeRow, ExpressionRow, ForeignKeyRow, FunctionMark, FunctionRow,
    InheritanceRow, Language, OperatorOperands, OperatorRow, Persistence, ReferentialAction,
    RelationFunctionRow, RelationKind, RelationMark, RelationRow, Rows, RuleRow, TriggerEvent,
    TriggerRow, TriggerTiming, TypeKind, TypeRow, Volatility,
};
use crate::analysis::{Catalog, Oid, plain_types};

/// Two settings decide how definitions of views are printed; compiling such queries takes longer than running them.
/// Printing a view locks what it reads until the end of the transaction. Whoever changes those tables meanwhile must not
/// end in a deadlock on our account, so we give up long before `deadlock_timeout` (a second).
const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL lock_timeout = '50ms';
SET LOCAL search_path = pg_catalog;
SET LOCAL jit = off;
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL standard_conforming_strings = on;
SET LOCAL quote_all_identifiers = off";

/// How often a load is begun, when an object vanishes from under it.
const ATTEMPTS_MAX: usize = 5;

/// The system identifier of the server, which its standbys have too.
///
/// # Errors
/// What the server says: the role may not be allowed to ask.
pub async fn system_identifier(client: &Client) -> Result<u64, Error> {
    let sql = "SELECT system_identifier FROM pg_catalog.pg_control_system()";
    let row = client.query_one(sql, &[]).await?;
    Ok(row.try_get::<_, i64>(0)?.cast_unsigned())
}

/// Reads the catalog of the database `client` is connected to, PostgreSQL 13 to 18.
///
/// # Errors
///
/// As [`load_rows`].
pub async fn load(client: &Client) -> Result<Catalog, Error> {
    Ok(Catalog::new(load_rows(client).await?.0))
}

/// Reads what a snapshot of the catalog is made of, but for what the configuration says of functions, and what tells
/// whether the catalog is still like that.
///
/// The connection must be idle, and is idle again afterwards.
///
/// # Errors
///
/// Fails when the connection does, or when views are dropped again and again while their definitions are printed. A load
/// that fails with the connection, or is cancelled, may leave its transaction open: drop the connection.
pub async fn load_rows(client: &Client) -> Result<(Rows, Digest), Error> {
    let mut attempt = 1;
    loop {
        client.batch_execute(BEGIN).await?;
        let rows = rows_and_digest(client).await;
        client
            .batch_execute(if rows.is_ok() { "COMMIT" } else { "ROLLBACK" })
            .await?;
        match rows {
            Ok(rows) => return Ok(rows),
            Err(error) if attempt < ATTEMPTS_MAX && has_vanished(&error) => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Does the error say that others hold locks on what is to be read? Then the load is to be tried again later.
#[must_use]
pub fn is_locked(error: &Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// Definitions are printed from the catalog of the moment: one that is dropped then is an internal error. The queries
/// are sent together, so the error of another one, that the transaction has failed, may be seen first.
fn has_vanished(error: &Error) -> bool {
    error.code().is_some_and(|code| {
        [
            SqlState::IN_FAILED_SQL_TRANSACTION,
            SqlState::INTERNAL_ERROR,
            SqlState::UNDEFINED_OBJECT,
            SqlState::UNDEFINED_TABLE,
        ]
        .contains(code)
    })
}

/// The digest comes first, of the same snapshot: what is printed of the moment can only be newer, and is then seen to
/// have changed.
async fn rows_and_digest(client: &Client) -> Result<(Rows, Digest), Error> {
    let digest = digest::take(client).await?;
    // Many queries at once make a large future.
    Ok((Box::pin(rows(client)).await?, digest))
}

/// The queries are sent together, so that they cost a round trip or two.
async fn rows(client: &Client) -> Result<Rows, Error> {
    let plain = plain_types();
    let plain: [&(dyn ToSql + Sync); 1] = [&plain];
    let (
        relations,
        system_relations,
        inheritance,
        foreign_keys,
        triggers,
        rules,
        expressions,
        column_types,
        date_columns,
        built_in_functions,
        functions,
        built_in_operators,
        operators,
        types,
        implicit_functions,
        column_expressions,
        times_of_day,
        event_triggers,
    ) = tokio::try_join!(
        select(client, queries::RELATIONS, &[], relation),
        select(client, queries::SYSTEM_RELATIONS, &[], name),
        select(client, queries::INHERITANCE, &[], inheritance),
        select(client, queries::FOREIGN_KEYS, &[], foreign_key),
        select(client, queries::TRIGGERS, &[], trigger),
        select(client, queries::RULES, &[], rule),
        select(client, queries::EXPRESSIONS, &[], relation_function),
        select(client, queries::COLUMN_TYPES, &plain, column_type),
        select(client, queries::DATE_COLUMNS, &[], name),
        select(client, queries::BUILT_IN_FUNCTIONS, &[], built_in_function),
        select(client, queries::FUNCTIONS, &[], function),
        select(client, queries::BUILT_IN_OPERATORS, &[], name),
        select(client, queries::OPERATORS, &[], operator),
        select(client, queries::TYPES, &[], type_row),
        select(client, queries::IMPLICIT_FUNCTIONS, &plain, |row| oid(
            row, 0
        )),
        select(client, queries::COLUMN_EXPRESSIONS, &[], expression),
        select(client, queries::TIMES_OF_DAY, &[], |row| oid(row, 0)),
        select(client, queries::EVENT_TRIGGERS, &[], |row| oid(row, 0)),
    )?;
    Ok(Rows {
        relations,
        system_relations,
        inheritance,
        foreign_keys,
        triggers,
        rules,
        expressions,
        column_types,
        date_columns,
        built_in_functions,
        functions,
        vouched: Vec::new(),
        built_in_operators,
        operators,
        types,
        implicit_functions,
        column_expressions,
        times_of_day,
        event_triggers,
    })
}

async fn select<T>(
    client: &Client,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    client
        .query(sql, parameters)
        .await?
        .iter()
        .map(read)
        .collect()
}

fn name(row: &Row) -> Result<String, Error> {
    row.try_get(0)
}

fn inheritance(row: &Row) -> Result<InheritanceRow, Error> {
    Ok(InheritanceRow {
        parent: oid(row, 0)?,
        child: oid(row, 1)?,
    })
}

fn column_type(row: &Row) -> Result<ColumnTypeRow, Error> {
    Ok(ColumnTypeRow {
        relation: oid(row, 0)?,
        column_type: oid(row, 1)?,
    })
}

fn relation(row: &Row) -> Result<RelationRow, Error> {
    let security = row
        .try_get::<_, bool>(5)?
        .then_some(RelationMark::RowSecurity);
    Ok(RelationRow {
        oid: oid(row, 0)?,
        schema: row.try_get(1)?,
        name: row.try_get(2)?,
        kind: match row.try_get(3)? {
            "f" => RelationKind::Foreign,
            "m" => RelationKind::MaterializedView,
            "p" => RelationKind::Partitioned,
            "r" => RelationKind::Table,
            "v" => RelationKind::View,
            _ => RelationKind::Other,
        },
        persistence: match row.try_get(4)? {
            "p" => Persistence::Permanent,
            _ => Persistence::Unlogged,
        },
        marks: security.into_iter().collect(),
        definition: row.try_get(6)?,
    })
}

fn foreign_key(row: &Row) -> Result<ForeignKeyRow, Error> {
    let action = |column| {
        Ok::<_, Error>(match row.try_get(column)? {
            "a" | "r" => ReferentialAction::Refuse,
            "n" | "d" => ReferentialAction::Set,
            _ => ReferentialAction::Cascade,
        })
    };
    Ok(ForeignKeyRow {
        referencing: oid(row, 0)?,
        referenced: oid(row, 1)?,
        on_update: action(2)?,
        on_delete: action(3)?,
    })
}

/// `pg_trigger.tgtype`, as `pg_trigger.h` lays it out.
fn trigger(row: &Row) -> Result<TriggerRow, Error> {
    const EVENTS: [(i32, TriggerEvent); 4] = [
        (1 << 2, TriggerEvent::Insert),
        (1 << 3, TriggerEvent::Delete),
        (1 << 4, TriggerEvent::Update),
        (1 << 5, TriggerEvent::Truncate),
    ];
    const INSTEAD: i32 = 1 << 6;
    let bits: i32 = row.try_get(2)?;
    let fires = EVENTS.iter().filter(|(bit, _)| bits & bit != 0);
    Ok(TriggerRow {
        relation: oid(row, 0)?,
        function: oid(row, 1)?,
        events: fires.map(|(_, event)| *event).collect(),
        timing: if bits & INSTEAD == 0 {
            TriggerTiming::Beside
        } else {
            TriggerTiming::Instead
        },
        transition_tables: row.try_get(3)?,
    })
}

fn rule(row: &Row) -> Result<RuleRow, Error> {
    Ok(RuleRow {
        relation: oid(row, 0)?,
        event: match row.try_get(1)? {
            "2" => TriggerEvent::Update,
            "3" => TriggerEvent::Insert,
            _ => TriggerEvent::Delete,
        },
        definition: row.try_get(2)?,
    })
}

fn relation_function(row: &Row) -> Result<RelationFunctionRow, Error> {
    Ok(RelationFunctionRow {
        relation: oid(row, 0)?,
        function: oid(row, 1)?,
    })
}

fn expression(row: &Row) -> Result<ExpressionRow, Error> {
    Ok(ExpressionRow {
        relation: oid(row, 0)?,
        expression: row.try_get(1)?,
    })
}

fn built_in_function(row: &Row) -> Result<BuiltInFunctionRow, Error> {
    Ok(BuiltInFunctionRow {
        name: row.try_get(0)?,
        volatility: volatility(row, 1)?,
        arguments_min: count(row, 2)?,
        arguments_max: row
            .try_get::<_, Option<i32>>(3)?
            .and_then(|most| usize::try_from(most).ok()),
    })
}

fn function(row: &Row) -> Result<FunctionRow, Error> {
    let variadic = row.try_get::<_, bool>(7)?.then_some(FunctionMark::Variadic);
    let takes_row = row.try_get::<_, bool>(8)?.then_some(FunctionMark::TakesRow);
    Ok(FunctionRow {
        oid: oid(row, 0)?,
        schema: row.try_get(1)?,
        name: row.try_get(2)?,
        volatility: volatility(row, 3)?,
        language: match row.try_get(4)? {
            "aggregate" => Language::Aggregate,
            "c" => Language::C,
            "internal" => Language::Internal,
            "sql" => Language::Sql,
            _ => Language::Other,
        },
        arguments: count(row, 5)?,
        defaults: count(row, 6)?,
        marks: variadic.into_iter().chain(takes_row).collect(),
        signature: oids(row, 9)?,
        parts: oids(row, 10)?,
        definition: row.try_get(11)?,
    })
}

fn operator(row: &Row) -> Result<OperatorRow, Error> {
    Ok(OperatorRow {
        name: row.try_get(0)?,
        function: oid(row, 1)?,
        operands: match row.try_get(2)? {
            true => OperatorOperands::Text,
            false => OperatorOperands::Any,
        },
    })
}

fn type_row(row: &Row) -> Result<TypeRow, Error> {
    Ok(TypeRow {
        oid: oid(row, 0)?,
        schema: row.try_get(1)?,
        name: row.try_get(2)?,
        kind: match row.try_get(3)? {
            "a" => TypeKind::Array,
            "b" => TypeKind::Base,
            "c" => TypeKind::Composite,
            "d" => TypeKind::Domain,
            "e" => TypeKind::Enum,
            "m" | "r" => TypeKind::Range,
            _ => TypeKind::Pseudo,
        },
        parts: oids(row, 4)?,
        functions: oids(row, 5)?,
    })
}

fn volatility(row: &Row, column: usize) -> Result<Volatility, Error> {
    Ok(match row.try_get(column)? {
        Some("i") => Volatility::Immutable,
        Some("s") => Volatility::Stable,
        Some(_) | None => Volatility::Volatile,
    })
}

/// A count that PostgreSQL keeps as a number which is never negative.
fn count(row: &Row, column: usize) -> Result<usize, Error> {
    Ok(usize::try_from(row.try_get::<_, i32>(column)?).unwrap_or(0))
}

fn oid(row: &Row, column: usize) -> Result<Oid, Error> {
    row.try_get(column).map(Oid)
}

fn oids(row: &Row, column: usize) -> Result<Vec<Oid>, Error> {
    Ok(row
        .try_get::<_, Vec<u32>>(column)?
        .into_iter()
        .map(Oid)
        .collect())
}
