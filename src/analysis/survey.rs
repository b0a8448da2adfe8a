//! What the names in a text stand for, in one snapshot of the catalog.
//!
//! Invariant: every name is looked up, and each look-up that fails makes the text neither cacheable nor harmless. What a
//! name leads to (the body of a function, the query of a view, the triggers of a table) is told as a [`Node`], which the
//! catalog follows.

use std::collections::BTreeSet;

use super::Oid;
use super::catalog::rows::RelationKind;
use super::catalog::{Behaviour, Callees, Cast, Catalog, Functions, Origin, Relation};
use super::facts::{Arguments, Call, Change, Facts, Name, Reach};
use super::session::{SessionEffect, SessionEffects};
use crate::reason::Reason;

/// What a text, or a part of the catalog, does by itself or in all.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    /// What a result depends on.
    pub(super) tables: BTreeSet<Oid>,
    pub(super) written: BTreeSet<Oid>,
    /// The first reason why the result is not cacheable.
    pub(super) refusal: Option<Reason>,
    pub(super) reach: Reach,
    pub(super) session: SessionEffects,
    /// Something runs whose doings do not end with the statement, or are not known.
    pub(super) is_volatile: bool,
}

/// What is done here, and where it goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    pub(super) own: Survey,
    pub(super) nodes: Vec<Node>,
}

/// A part of the catalog that does something.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Node {
    /// A change of a relation, and all that it sets off.
    Change(Oid, Change),
    /// The body of a function.
    Function(Oid),
    /// The query of a view or materialized view.
    Query(Oid),
    /// Making a value of a type. Whether the result is cacheable has been said by whoever names the type.
    Type(Oid),
}

/// Looks up the names of a text.
pub(super) fn survey(facts: &Facts, catalog: &Catalog) -> Findings {
    let mut findings = Findings {
        own: Survey {
            refusal: facts.refusal,
            reach: facts.reach,
            session: facts.session,
            ..Survey::default()
        },
        nodes: Vec::new(),
    };
    for name in &facts.relations {
        findings.relation(name, facts, catalog);
    }
    findings.code(facts, catalog);
    let is_text = |column: &str| !catalog.holds_dates(column);
    if facts.dated_columns.iter().any(|column| is_text(column)) {
        findings.own.refuse(Reason::TextReadAsDate);
    }
    if facts.temporary_definitions > 0 || facts.reach == Reach::Catalog {
        let functions = catalog.event_triggers().iter();
        findings
            .nodes
            .extend(functions.map(|function| Node::Function(*function)));
    }
    if converts_time_of_day(facts, catalog) {
        findings.own.refuse(Reason::StableFunction);
    }
    for target in &facts.targets {
        findings.target(&target.name, target.change, catalog);
    }
    findings
}

/// Whether the text may tell a time of day in another time zone: summer time makes that depend on today's date.
///
/// `AT TIME ZONE` is mostly used with a date, so it counts only where a time of day is in sight.
fn converts_time_of_day(facts: &Facts, catalog: &Catalog) -> bool {
    let holds_times = |name: &Name| {
        let relations = catalog.named(name).relations;
        relations.iter().any(|(oid, _)| catalog.holds_times(*oid))
    };
    facts.calls_function("timezone")
        && (facts.shows_time_of_day()
            || facts
                .relations
                .iter()
                .chain(&facts.row_types)
                .any(holds_times))
}

/// What the server's own functions do in an expression that `pg_get_expr` printed: there a name that is not qualified is
/// one of theirs. Users' functions are known from the dependencies of the expression.
pub(super) fn expression(facts: &Facts, functions: &Functions) -> (Reach, SessionEffects) {
    let mut survey = Survey {
        reach: facts.reach,
        session: facts.session,
        ..Survey::default()
    };
    for call in facts.calls.iter().filter(|call| call.name.schema.is_none()) {
        let mut call = call.clone();
        call.name.schema = Some("pg_catalog".into());
        if let Some(callees) = functions.call(&call) {
            survey.behaviour(callees.built_in);
        }
    }
    (survey.reach, survey.session)
}

// === impl Survey ===

impl Survey {
    /// Something nobody understands.
    pub(super) fn unknown(reason: Reason) -> Self {
        let mut survey = Self::default();
        survey.refuse(reason);
        survey.unknown_code();
        survey
    }

    pub(super) fn refuse(&mut self, reason: Reason) {
        self.refusal.get_or_insert(reason);
    }

    pub(super) fn unknown_code(&mut self) {
        self.is_volatile = true;
        self.reach = Reach::Catalog;
        self.session.insert(SessionEffect::UnknownCode);
    }

    pub(super) fn reaches(&mut self, reach: Reach) {
        self.reach = self.reach.max(reach);
    }

    /// Adds what another does, but for the reason why its result is not cacheable.
    pub(super) fn merge_effects(&mut self, other: &Self) {
        self.tables.extend(&other.tables);
        self.written.extend(&other.written);
        self.reaches(other.reach);
        self.session = self.session.union(other.session);
        self.is_volatile |= other.is_volatile;
    }

    /// Adds what another does.
    pub(super) fn merge(&mut self, other: &Self) {
        if let Some(reason) = other.refusal {
            self.refuse(reason);
        }
        self.merge_effects(other);
    }

    /// Reading it runs something elsewhere.
    fn foreign(&mut self) {
        self.refuse(Reason::ForeignTable);
        self.is_volatile = true;
    }

    /// Does it give the same result forever, and nothing else?
    pub(super) fn is_pure(&self) -> bool {
        self.tables.is_empty()
            && self.written.is_empty()
            && self.refusal.is_none()
            && self.reach == Reach::Nothing
            && self.session.is_empty()
    }

    pub(super) fn behaviour(&mut self, behaviour: Behaviour) {
        if let Some(reason) = behaviour.refusal() {
            self.refuse(reason);
        }
        self.is_volatile |= behaviour >= Behaviour::Volatile;
        if behaviour.is_code() {
            self.unknown_code();
        } else if behaviour == Behaviour::LargeObject {
            self.reaches(Reach::Everything);
        }
    }
}

// === impl Findings ===

impl Findings {
    /// Something nobody understands.
    pub(super) fn unknown(reason: Reason) -> Self {
        Self {
            own: Survey::unknown(reason),
            nodes: Vec::new(),
        }
    }

    pub(super) fn functions(&mut self, functions: impl IntoIterator<Item = Oid>) {
        self.nodes.extend(functions.into_iter().map(Node::Function));
    }

    /// Everything that runs without reading a relation.
    fn code(&mut self, facts: &Facts, catalog: &Catalog) {
        let (functions, types) = (catalog.functions(), catalog.types());
        for call in &facts.calls {
            self.call(call, catalog);
        }
        for name in &facts.attributes {
            self.functions(functions.called_as_column(name));
        }
        for operator in &facts.operators {
            let callees = functions.operator(operator);
            if callees.built_in == Behaviour::Unknown {
                self.own.refuse(Reason::UnknownOperator);
                self.own.unknown_code();
            } else {
                self.callees(callees);
            }
        }
        for name in &facts.types {
            if !self.cast(name, catalog) {
                self.own.refuse(Reason::UnknownType);
                self.own.unknown_code();
            }
        }
        for name in &facts.variables {
            let made: Vec<_> = types.named(name).collect();
            if made.is_empty() {
                self.row_type(name, catalog);
            } else if made.iter().any(|type_oid| types.is_domain(*type_oid)) {
                self.own.refuse(Reason::StableFunction);
            }
            self.nodes.extend(made.into_iter().map(Node::Type));
        }
        for name in &facts.row_types {
            self.row_type(name, catalog);
        }
    }

    /// A value is made that is a row of a relation, or a column of it.
    fn row_type(&mut self, name: &Name, catalog: &Catalog) {
        let relations = catalog.named(name).relations;
        if relations.is_empty() {
            self.own.refuse(Reason::UnknownType);
            // The rows of a system catalog are of the server's own types.
            if catalog.named(name).origin != Origin::System {
                self.own.unknown_code();
            }
        }
        for (oid, _) in relations {
            for column_type in catalog.column_types(oid) {
                if catalog.types().is_domain(*column_type) {
                    self.own.refuse(Reason::StableFunction);
                }
                self.nodes.push(Node::Type(*column_type));
            }
        }
    }

    fn relation(&mut self, name: &Name, facts: &Facts, catalog: &Catalog) {
        let named = catalog.named(name);
        let bound = name.schema.is_none() && facts.common_tables.binary_search(&name.name).is_ok();
        match named.origin {
            Origin::Nowhere if bound => {}
            Origin::Nowhere => {
                // It may be a temporary view, and what that runs is not known.
                self.own.refuse(Reason::UnknownRelation);
                self.own.reaches(Reach::Everything);
            }
            Origin::System => self.own.refuse(Reason::SystemCatalog),
            Origin::Users => {}
        }
        for (oid, relation) in named.relations {
            self.reads(oid, relation, catalog);
        }
    }

    fn reads(&mut self, oid: Oid, relation: &Relation, catalog: &Catalog) {
        if let Some(reason) = relation.refusal {
            self.own.refuse(reason);
        }
        if relation.refusal == Some(Reason::RowSecurity) {
            self.functions(catalog.expression_functions(oid).iter().copied());
        }
        match relation.kind {
            RelationKind::Table | RelationKind::Partitioned => {
                for descendant in catalog.with_descendants(oid) {
                    self.own.tables.insert(descendant);
                    match catalog.relation(descendant).map(|found| found.kind) {
                        Some(RelationKind::Table | RelationKind::Partitioned) => {}
                        Some(RelationKind::Foreign) => self.own.foreign(),
                        Some(
                            RelationKind::MaterializedView
                            | RelationKind::Other
                            | RelationKind::View,
                        )
                        | None => self.own.refuse(Reason::UnknownRelation),
                    }
                }
            }
            RelationKind::MaterializedView => {
                self.own.tables.insert(oid);
            }
            RelationKind::View => self.nodes.push(Node::Query(oid)),
            RelationKind::Foreign => self.own.foreign(),
            RelationKind::Other => self.own.refuse(Reason::NotATable),
        }
    }

    /// A change of whatever has this name.
    pub(super) fn target(&mut self, name: &Name, change: Change, catalog: &Catalog) {
        let named = catalog.named(name);
        match named.origin {
            // No code of this database runs: it is no relation of this database that is known.
            Origin::Nowhere => self.own.reaches(Reach::Everything),
            Origin::System => self.own.unknown_code(),
            Origin::Users => {
                let changes = named.relations.iter();
                self.nodes
                    .extend(changes.map(|(oid, _)| Node::Change(*oid, change)));
            }
        }
    }

    fn call(&mut self, call: &Call, catalog: &Catalog) {
        let callees = catalog.functions().call(call);
        // A type's name, called with one argument, is a cast.
        let is_cast = match call.arguments {
            Arguments::Attribute | Arguments::Count(1) => self.cast(&call.name, catalog),
            Arguments::Any | Arguments::Count(_) | Arguments::Syntax => false,
        };
        match callees {
            Some(callees) => self.callees(callees),
            None if is_cast
                || matches!(call.arguments, Arguments::Attribute | Arguments::Syntax) => {}
            None => self.own.behaviour(Behaviour::Unknown),
        }
    }

    fn callees(&mut self, callees: Callees) {
        self.own.behaviour(callees.built_in);
        self.functions(callees.users);
    }

    /// A cast to a type of this name, if there is one.
    fn cast(&mut self, name: &Name, catalog: &Catalog) -> bool {
        let types: Vec<_> = catalog.types().named(name).collect();
        for type_oid in &types {
            if let Cast::Refused(reason) = catalog.types().cast_to(*type_oid, catalog.functions()) {
                self.own.refuse(reason);
            }
            self.nodes.push(Node::Type(*type_oid));
        }
        !types.is_empty()
    }
}
