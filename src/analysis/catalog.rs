//! A snapshot of the upstream database's catalog, as far as the analysis needs it.
//!
//! Pure data and look-ups: it is built from [`Rows`] and never changes. Invariant: names are resolved without a
//! `search_path`. An unqualified name means every relation, function and type of that name, in whatever schema, so no
//! setting of a session can hide a dependency.

mod closure;
mod functions;
pub mod rows;
mod types;
mod views;

use std::collections::{HashMap, HashSet};

use super::Oid;
use super::facts::Name;
pub(super) use closure::Touched;
pub(super) use functions::{Behaviour, Functions};
use rows::{
    ForeignKeyRow, Persistence, RelationFunctionRow, RelationKind, RelationMark, RelationRow, Rows,
};
pub(super) use types::{Cast, Types};

use super::survey::Survey;
use crate::reason::Reason;

/// The catalog of one database at one moment.
#[derive(Debug)]
pub struct Catalog {
    relations: HashMap<Oid, Relation>,
    relations_by_name: HashMap<Box<str>, Vec<Oid>>,
    system_relations: HashSet<Box<str>>,
    children: HashMap<Oid, Vec<Oid>>,
    parents: HashMap<Oid, Vec<Oid>>,
    /// By the table they refer to.
    foreign_keys: HashMap<Oid, Vec<ForeignKeyRow>>,
    date_columns: HashSet<Box<str>>,
    functions: Functions,
    types: Types,
    implicit_code: Implicit,
    definition_code: Implicit,
    /// What the queries of views and materialized views do.
    queries: HashMap<Oid, Survey>,
}

/// A relation of the snapshot.
#[derive(Debug)]
pub(super) struct Relation {
    schema: Box<str>,
    name: Box<str>,
    pub(super) kind: RelationKind,
    persistence: Persistence,
    /// Why reading its rows is not cacheable, beyond its kind.
    pub(super) refusal: Option<Reason>,
    pub(super) code: RelationCode,
}

/// When a relation runs code that is not understood.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum RelationCode {
    Never,
    /// Triggers, rules, defaults and checks.
    OnWrite,
    /// Policies too.
    OnRead,
}

/// Whether the database runs users' code where no statement names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Implicit {
    Code,
    Nothing,
}

/// What a name of a relation may mean.
pub(super) enum Named<'catalog> {
    /// A relation of a system schema, perhaps among others.
    System,
    /// These, or nothing.
    Relations(Vec<(Oid, &'catalog Relation)>),
}

impl Catalog {
    /// Builds a snapshot.
    #[must_use]
    pub fn new(rows: Rows) -> Self {
        let mut functions = Functions::new(rows.built_in_functions, rows.functions);
        let types = Types::new(rows.types);
        functions.judge_signatures(&types);
        functions.add_operators(rows.built_in_operators, rows.operators);

        let expression_code = owners(&rows.expressions, |function| functions.runs_code(function));
        let trigger_code = owners(&rows.triggers, |function| {
            !functions.changes_its_row(function)
        });
        let mut type_code = HashSet::new();
        let mut odd_output = HashSet::new();
        for row in &rows.column_types {
            if types.runs_code(row.column_type, &functions) {
                type_code.insert(row.relation);
            }
            if !types.shows_plainly(row.column_type, &functions) {
                odd_output.insert(row.relation);
            }
        }

        let mut definitions = Vec::new();
        let mut relations = HashMap::new();
        let mut relations_by_name: HashMap<Box<str>, Vec<Oid>> = HashMap::new();
        for row in rows.relations {
            let secured = row.marks.contains(&RelationMark::RowSecurity);
            let writes_run_code = row.marks.contains(&RelationMark::Rule)
                || [&expression_code, &trigger_code, &type_code]
                    .iter()
                    .any(|owners| owners.contains(&row.oid));
            let code = match writes_run_code {
                true if secured && expression_code.contains(&row.oid) => RelationCode::OnRead,
                true => RelationCode::OnWrite,
                false => RelationCode::Never,
            };
            let refusal = if secured {
                Some(Reason::RowSecurity)
            } else {
                odd_output.contains(&row.oid).then_some(Reason::UnsafeType)
            };
            let oid = row.oid;
            let (relation, definition) = Relation::new(row, refusal, code);
            definitions.extend(definition.map(|definition| (oid, definition)));
            relations_by_name
                .entry(relation.name.clone())
                .or_default()
                .push(oid);
            relations.insert(oid, relation);
        }

        let mut catalog = Self {
            relations,
            relations_by_name,
            system_relations: rows.system_relations.into_iter().map(Into::into).collect(),
            children: edges(&rows.inheritance, |row| (row.parent, row.child)),
            parents: edges(&rows.inheritance, |row| (row.child, row.parent)),
            foreign_keys: edges(&rows.foreign_keys, |row| (row.referenced, *row)),
            date_columns: rows.date_columns.into_iter().map(Into::into).collect(),
            implicit_code: Implicit::of(
                rows.implicit_functions
                    .iter()
                    .any(|oid| !functions.is_pure(*oid)),
            ),
            definition_code: Implicit::of(rows.event_triggers > 0),
            functions,
            types,
            queries: HashMap::new(),
        };
        catalog.queries = views::resolve(&catalog, &definitions);
        catalog
    }

    /// The schema and name of a relation.
    #[must_use]
    pub fn relation_names(&self, oid: Oid) -> Option<(&str, &str)> {
        self.relations
            .get(&oid)
            .map(|relation| (&*relation.schema, &*relation.name))
    }

    /// Whether changes of this relation's rows are written to the log, where a change stream can see them: not those of
    /// unlogged tables, nor of materialized views.
    #[must_use]
    pub fn is_streamed(&self, oid: Oid) -> bool {
        self.relations.get(&oid).is_some_and(|relation| {
            relation.persistence == Persistence::Permanent
                && matches!(
                    relation.kind,
                    RelationKind::Table | RelationKind::Partitioned
                )
        })
    }

    /// Whether a parameter declared with this type means the same every time. Zero and `unknown` leave the type to the
    /// server, which the text of the statement then answers for.
    #[must_use]
    pub fn is_plain_parameter(&self, type_oid: Oid) -> bool {
        /// `pg_type.dat`: the type of a literal not yet resolved.
        const UNKNOWN: Oid = Oid(705);
        type_oid == Oid(0) || type_oid == UNKNOWN || self.types.is_plain(type_oid, &self.functions)
    }

    pub(super) fn relation(&self, oid: Oid) -> Option<&Relation> {
        self.relations.get(&oid)
    }

    pub(super) fn named(&self, name: &Name) -> Named<'_> {
        let system = match name.schema.as_deref() {
            Some(schema) => matches!(schema, "information_schema" | "pg_catalog" | "pg_toast"),
            None => self.system_relations.contains(&name.name),
        };
        if system {
            return Named::System;
        }
        let candidates = self
            .relations_by_name
            .get(&name.name)
            .map_or(&[][..], Vec::as_slice);
        let relations = candidates
            .iter()
            .filter_map(|oid| Some((*oid, self.relations.get(oid)?)));
        Named::Relations(
            relations
                .filter(|(_, relation)| name.admits(&relation.schema))
                .collect(),
        )
    }

    /// What the query of a view or materialized view does.
    pub(super) fn query(&self, oid: Oid) -> Option<&Survey> {
        self.queries.get(&oid)
    }

    pub(super) fn functions(&self) -> &Functions {
        &self.functions
    }

    pub(super) fn types(&self) -> &Types {
        &self.types
    }

    /// Whether every column of this name holds dates or times.
    pub(super) fn holds_dates(&self, column: &str) -> bool {
        self.date_columns.contains(column)
    }

    /// Casts and operator classes that run users' code.
    pub(super) fn implicit_code(&self) -> Implicit {
        self.implicit_code
    }

    /// Event triggers, which run when an object is defined.
    pub(super) fn definition_code(&self) -> Implicit {
        self.definition_code
    }

    /// The relation and everything that inherits from it.
    pub(super) fn with_descendants(&self, oid: Oid) -> Vec<Oid> {
        reachable(oid, &self.children)
    }

    fn with_ancestors(&self, oid: Oid) -> Vec<Oid> {
        reachable(oid, &self.parents)
    }
}

impl Relation {
    fn new(
        row: RelationRow,
        refusal: Option<Reason>,
        code: RelationCode,
    ) -> (Self, Option<String>) {
        let relation = Self {
            schema: row.schema.into(),
            name: row.name.into(),
            kind: row.kind,
            persistence: row.persistence,
            refusal,
            code,
        };
        (relation, row.definition)
    }
}

impl Implicit {
    fn of(code: bool) -> Self {
        if code { Self::Code } else { Self::Nothing }
    }
}

fn owners(rows: &[RelationFunctionRow], counts: impl Fn(Oid) -> bool) -> HashSet<Oid> {
    rows.iter()
        .filter(|row| counts(row.function))
        .map(|row| row.relation)
        .collect()
}

fn edges<R, T>(rows: &[R], edge: impl Fn(&R) -> (Oid, T)) -> HashMap<Oid, Vec<T>> {
    let mut edges: HashMap<Oid, Vec<T>> = HashMap::new();
    for row in rows {
        let (from, to) = edge(row);
        edges.entry(from).or_default().push(to);
    }
    edges
}

fn reachable(start: Oid, edges: &HashMap<Oid, Vec<Oid>>) -> Vec<Oid> {
    let mut found = vec![start];
    let mut next = 0;
    while let Some(oid) = found.get(next) {
        next += 1;
        for to in edges.get(oid).map_or(&[][..], Vec::as_slice) {
            if !found.contains(to) {
                found.push(*to);
            }
        }
    }
    found
}
