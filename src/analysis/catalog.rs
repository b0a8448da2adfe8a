//! A snapshot of the upstream database's catalog, as far as the analysis needs it.
//!
//! Pure data and look-ups: it is built from [`Rows`] and never changes. Invariant: names are resolved without a
//! `search_path`. An unqualified name means every relation, function and type of that name, in whatever schema, so no
//! setting of a session can hide a dependency.

mod closure;
mod explain;
mod functions;
mod relations;
pub mod rows;
mod types;
mod views;

use std::collections::{HashMap, HashSet};
use std::mem::take;

pub(super) use closure::Touched;
pub(super) use functions::{Behaviour, Functions};
use relations::{Hazards, Relations};
pub(super) use relations::{Named, Origin, Relation, RelationCode};
use rows::{ExpressionRow, ForeignKeyRow, Persistence, RelationKind, Rows};
pub(super) use types::{Cast, Types};

use super::Oid;
use super::facts::{Name, Reach};
use super::session::SessionEffects;
use super::survey::{Survey, expression};
use crate::reason::Reason;

/// The catalog of one database at one moment.
#[derive(Debug)]
pub struct Catalog {
    relations: Relations,
    children: HashMap<Oid, Vec<Oid>>,
    parents: HashMap<Oid, Vec<Oid>>,
    /// By the table they refer to.
    foreign_keys: HashMap<Oid, Vec<ForeignKeyRow>>,
    date_columns: HashSet<Box<str>>,
    functions: Functions,
    types: Types,
    implicit_code: Implicit,
    definition_code: Implicit,
    /// Relations that hold times of day.
    times_of_day: HashSet<Oid>,
    /// What the defaults and checks of relations do with the server's own functions, but for those that do nothing.
    expressions: HashMap<Oid, (Reach, SessionEffects)>,
    /// What the queries of views and materialized views do.
    queries: HashMap<Oid, Survey>,
}

/// Whether the database runs users' code where no statement names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Implicit {
    Code,
    Nothing,
}

impl Catalog {
    /// Builds a snapshot.
    #[must_use]
    pub fn new(mut rows: Rows) -> Self {
        let mut functions = Functions::new(
            take(&mut rows.built_in_functions),
            take(&mut rows.functions),
        );
        let types = Types::new(take(&mut rows.types));
        functions.settle(&types, &rows.built_in_operators, &rows.operators);
        let expressions = effects(&rows.column_expressions, &functions);
        let hazards = Hazards::new(&rows, &functions, &types);
        let (relations, definitions) =
            Relations::new(rows.relations, rows.system_relations, &hazards);
        let implicit_code = rows
            .implicit_functions
            .iter()
            .any(|oid| !functions.is_pure(*oid));

        let mut catalog = Self {
            relations,
            children: edges(&rows.inheritance, |row| (row.parent, row.child)),
            parents: edges(&rows.inheritance, |row| (row.child, row.parent)),
            foreign_keys: edges(&rows.foreign_keys, |row| (row.referenced, *row)),
            date_columns: rows.date_columns.into_iter().map(Into::into).collect(),
            functions,
            types,
            implicit_code: Implicit::of(implicit_code),
            definition_code: Implicit::of(!rows.event_triggers.is_empty()),
            times_of_day: rows.times_of_day.into_iter().collect(),
            expressions,
            queries: HashMap::new(),
        };
        catalog.queries = views::resolve(&catalog, &definitions);
        catalog
    }

    /// The schema and name of a relation.
    #[must_use]
    pub fn relation_names(&self, oid: Oid) -> Option<(&str, &str)> {
        self.relations
            .get(oid)
            .map(|relation| (&*relation.schema, &*relation.name))
    }

    /// Whether changes of this relation's rows are written to the log, where a change stream can see them: not those of
    /// unlogged tables, nor of materialized views.
    #[must_use]
    pub fn is_streamed(&self, oid: Oid) -> bool {
        self.relations.get(oid).is_some_and(|relation| {
            relation.persistence == Persistence::Permanent
                && matches!(
                    relation.kind,
                    RelationKind::Table | RelationKind::Partitioned
                )
        })
    }

    /// What reading the value of a parameter of this type may do.
    pub(super) fn parameter(&self, type_oid: Oid) -> Cast {
        /// `pg_type.dat`: the type of a literal not yet resolved.
        const UNKNOWN: Oid = Oid(705);
        /// `pg_type.dat`: a time of day, which another time zone tells by today's date.
        const TIMES: [Oid; 2] = [Oid(1083), Oid(1183)];
        if type_oid == Oid(0) || type_oid == UNKNOWN {
            Cast::Plain
        } else if TIMES.contains(&type_oid) {
            Cast::Refused(Reason::UnsafeType)
        } else {
            self.types.cast_to(type_oid, &self.functions)
        }
    }

    pub(super) fn relation(&self, oid: Oid) -> Option<&Relation> {
        self.relations.get(oid)
    }

    /// What a name of a relation may mean.
    pub(super) fn named(&self, name: &Name) -> Named<'_> {
        self.relations.named(name)
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

    /// Whether a column of the relation may be a time of day.
    pub(super) fn holds_times(&self, oid: Oid) -> bool {
        self.times_of_day.contains(&oid)
    }

    /// What the defaults and checks of a relation do when its rows change.
    pub(super) fn expressions(&self, oid: Oid) -> Option<(Reach, SessionEffects)> {
        self.expressions.get(&oid).copied()
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

impl Implicit {
    fn of(code: bool) -> Self {
        if code { Self::Code } else { Self::Nothing }
    }
}

/// What expressions do, by their relations.
fn effects(rows: &[ExpressionRow], functions: &Functions) -> HashMap<Oid, (Reach, SessionEffects)> {
    let mut effects = HashMap::new();
    for row in rows {
        let facts = views::expression_facts(row.expression.as_deref());
        let (reach, session) = expression(&facts, functions);
        if reach != Reach::Nothing || !session.is_empty() {
            let all: &mut (Reach, SessionEffects) = effects.entry(row.relation).or_default();
            *all = (all.0.max(reach), all.1.union(session));
        }
    }
    effects
}

fn edges<R, T>(rows: &[R], edge: impl Fn(&R) -> (Oid, T)) -> HashMap<Oid, Vec<T>> {
    let mut edges: HashMap<Oid, Vec<T>> = HashMap::new();
    for row in rows {
        let (from, to) = edge(row);
        edges.entry(from).or_default().push(to);
    }
    edges
}

/// The start and everything that can be reached from it.
fn reachable(start: Oid, edges: &HashMap<Oid, Vec<Oid>>) -> Vec<Oid> {
    let mut found = vec![start];
    let mut seen = HashSet::from([start]);
    let mut next = 0;
    while let Some(oid) = found.get(next) {
        next += 1;
        if let Some(reached) = edges.get(oid) {
            found.extend(reached.iter().filter(|to| seen.insert(**to)));
        }
    }
    found
}
