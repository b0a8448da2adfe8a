//! A snapshot of the upstream database's catalog, as far as the analysis needs it.
//!
//! Pure data and look-ups: it is built from [`Rows`] and never changes. Invariant: names are resolved without a
//! `search_path`. An unqualified name means every relation, function and type of that name, in whatever schema, so no
//! setting of a session can hide a dependency.

mod closure;
mod explain;
mod functions;
mod graph;
mod relations;
pub mod rows;
mod types;
mod views;
mod vouched;

use std::collections::{HashMap, HashSet};
use std::mem::take;

pub(super) use functions::{Behaviour, Callees, Functions};
use relations::Relations;
pub(super) use relations::{Named, Origin, Relation};
use rows::{
    ExpressionRow, ForeignKeyRow, Persistence, RelationKind, Rows, TriggerEvent, TriggerRow,
};
pub(super) use types::{Cast, Types};

use super::Oid;
use super::facts::{Name, Reach};
use super::session::SessionEffects;
use super::survey::{Findings, Node, Survey, expression};
use crate::reason::Reason;

/// The catalog of one database at one moment.
#[derive(Debug)]
pub struct Catalog {
    relations: Relations,
    children: HashMap<Oid, Vec<Oid>>,
    parents: HashMap<Oid, Vec<Oid>>,
    /// By the table they refer to.
    foreign_keys: HashMap<Oid, Vec<ForeignKeyRow>>,
    triggers: HashMap<Oid, Vec<TriggerRow>>,
    rules: HashMap<Oid, Vec<(TriggerEvent, Findings)>>,
    /// Of each view that may be changed: the relation that then changes.
    bases: HashMap<Oid, Name>,
    /// Users' functions in the defaults, checks, indexes and policies of a relation.
    expression_functions: HashMap<Oid, Vec<Oid>>,
    /// Unusual types of a relation's columns.
    column_types: HashMap<Oid, Vec<Oid>>,
    date_columns: HashSet<Box<str>>,
    functions: Functions,
    types: Types,
    /// What runs where no statement names it, if that is of any consequence.
    implicit: Option<Survey>,
    /// The functions of event triggers, which run when an object is defined.
    event_triggers: Vec<Oid>,
    /// Relations that hold times of day.
    times_of_day: HashSet<Oid>,
    /// What the defaults and checks of relations do with the server's own functions, but for those that do nothing.
    expressions: HashMap<Oid, (Reach, SessionEffects)>,
    /// What bodies of functions and queries of views do and lead to.
    findings: HashMap<Node, Findings>,
    problems: Vec<String>,
}

impl Catalog {
    /// Builds a snapshot.
    ///
    /// The bodies of all functions are parsed: with thousands of them this takes hundreds of milliseconds.
    #[must_use]
    pub fn new(mut rows: Rows) -> Self {
        let bodies = graph::bodies(&mut rows);
        let functions = Functions::new(
            take(&mut rows.built_in_functions),
            take(&mut rows.functions),
            take(&mut rows.built_in_operators),
            take(&mut rows.operators),
        );
        let types = Types::new(take(&mut rows.types));
        let odd: HashSet<_> = rows
            .column_types
            .iter()
            .filter(|row| !types.shows_plainly(row.column_type, &functions))
            .map(|row| row.relation)
            .collect();
        let (relations, definitions) =
            Relations::new(rows.relations, rows.system_relations, |oid| {
                odd.contains(&oid)
            });
        let mut catalog = Self {
            relations,
            children: edges(&rows.inheritance, |row| (row.parent, row.child)),
            parents: edges(&rows.inheritance, |row| (row.child, row.parent)),
            foreign_keys: edges(&rows.foreign_keys, |row| (row.referenced, *row)),
            triggers: by_relation(rows.triggers, |row| row.relation),
            rules: HashMap::new(),
            bases: HashMap::new(),
            expression_functions: edges(&rows.expressions, |row| (row.relation, row.function)),
            column_types: edges(&rows.column_types, |row| (row.relation, row.column_type)),
            date_columns: rows.date_columns.into_iter().map(Into::into).collect(),
            expressions: effects(&rows.column_expressions, &functions),
            functions,
            types,
            implicit: None,
            event_triggers: rows.event_triggers,
            times_of_day: rows.times_of_day.into_iter().collect(),
            findings: HashMap::new(),
            problems: Vec::new(),
        };
        catalog.look_into_views(&definitions);
        catalog.look_into_functions(&bodies);
        catalog.look_into_rules(&rows.rules);
        catalog.vouch(&rows.vouched);
        catalog.look_into_implicit(&rows.implicit_functions);
        catalog
    }

    /// What is wrong with what the configuration says of this database, for the log.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
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

    /// What reading the value of a parameter of this type may do; `None`: nothing.
    pub(super) fn parameter(&self, type_oid: Oid) -> Option<Survey> {
        /// `pg_type.dat`: the type of a literal not yet resolved.
        const UNKNOWN: Oid = Oid(705);
        /// `pg_type.dat`: a time of day, which another time zone tells by today's date.
        const TIMES: [Oid; 2] = [Oid(1083), Oid(1183)];
        if type_oid == Oid(0) || type_oid == UNKNOWN {
            return None;
        }
        let mut findings = Findings::default();
        if TIMES.contains(&type_oid) {
            findings.own.refuse(Reason::UnsafeType);
        } else {
            if let Cast::Refused(reason) = self.types.cast_to(type_oid, &self.functions) {
                findings.own.refuse(reason);
            }
            findings.nodes.push(Node::Type(type_oid));
        }
        Some(self.gather(findings)).filter(|survey| !survey.is_pure())
    }

    pub(super) fn relation(&self, oid: Oid) -> Option<&Relation> {
        self.relations.get(oid)
    }

    /// What a name of a relation may mean.
    pub(super) fn named(&self, name: &Name) -> Named<'_> {
        self.relations.named(name)
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

    /// Users' functions in the defaults, checks, indexes and policies of a relation.
    pub(super) fn expression_functions(&self, oid: Oid) -> &[Oid] {
        self.expression_functions
            .get(&oid)
            .map_or(&[], Vec::as_slice)
    }

    /// Unusual types of a relation's columns.
    pub(super) fn column_types(&self, oid: Oid) -> &[Oid] {
        self.column_types.get(&oid).map_or(&[], Vec::as_slice)
    }

    /// Casts and operator classes that run users' code; `None`: there are none of consequence.
    pub(super) fn implicit(&self) -> Option<&Survey> {
        self.implicit.as_ref()
    }

    /// The functions of event triggers, which run when an object is defined.
    pub(super) fn event_triggers(&self) -> &[Oid] {
        &self.event_triggers
    }

    /// The relation and everything that inherits from it.
    pub(super) fn with_descendants(&self, oid: Oid) -> Vec<Oid> {
        reachable(oid, &self.children)
    }

    fn with_ancestors(&self, oid: Oid) -> Vec<Oid> {
        reachable(oid, &self.parents)
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

fn by_relation<R>(rows: Vec<R>, relation: impl Fn(&R) -> Oid) -> HashMap<Oid, Vec<R>> {
    let mut by_relation: HashMap<Oid, Vec<R>> = HashMap::new();
    for row in rows {
        by_relation.entry(relation(&row)).or_default().push(row);
    }
    by_relation
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
