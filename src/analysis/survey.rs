//! What the names in a text stand for, in one snapshot of the catalog.
//!
//! Invariant: every name is looked up, and each look-up that fails makes the text neither cacheable nor harmless.

use std::collections::BTreeSet;

use super::Oid;
use super::catalog::rows::RelationKind;
use super::catalog::{
    Behaviour, Cast, Catalog, Functions, Implicit, Origin, Relation, RelationCode, Types,
};
use super::facts::{Arguments, Call, Facts, Name, Reach};
use super::session::{SessionEffect, SessionEffects};
use crate::reason::Reason;

/// More relations than this are too many for one cached result.
const RELATIONS_MAX: usize = 64;

/// What reading does: the part of a verdict that does not come from targets.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    pub(super) tables: BTreeSet<Oid>,
    /// The first reason why the result is not cacheable.
    pub(super) refusal: Option<Reason>,
    pub(super) reach: Reach,
    pub(super) session: SessionEffects,
    /// Something runs whose doings do not end with the statement, or are not known.
    pub(super) is_volatile: bool,
}

/// Looks up the names of a text; `query` tells what the query of a view does.
pub(super) fn survey(
    facts: &Facts,
    catalog: &Catalog,
    query: &mut dyn FnMut(Oid) -> Survey,
) -> Survey {
    let mut survey = Survey {
        tables: BTreeSet::new(),
        refusal: facts.refusal,
        reach: facts.reach,
        session: facts.session,
        is_volatile: false,
    };
    for name in &facts.relations {
        survey.relation(name, facts, catalog, query);
    }
    survey.code(facts, catalog.functions(), catalog.types());
    if facts
        .dated_columns
        .iter()
        .any(|column| !catalog.holds_dates(column))
    {
        survey.refuse(Reason::TextReadAsDate);
    }
    if catalog.implicit_code() == Implicit::Code && facts.mentions_anything() {
        survey.refuse(Reason::UserCast);
        survey.unknown_code();
    }
    if catalog.definition_code() == Implicit::Code
        && (facts.temporary_definitions > 0 || facts.reach == Reach::Catalog)
    {
        survey.unknown_code();
    }
    if converts_time_of_day(facts, catalog) {
        survey.refuse(Reason::StableFunction);
    }
    if survey.tables.len() > RELATIONS_MAX {
        survey.refuse(Reason::TooManyRelations);
    }
    survey
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
        && (facts.shows_time_of_day() || facts.relations.iter().any(holds_times))
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
        survey.behaviour(functions.call(&call).unwrap_or(Behaviour::Pure));
    }
    (survey.reach, survey.session)
}

/// Whether the body of a function gives the same result forever, and does nothing else.
pub(super) fn is_pure_body(facts: &Facts, functions: &Functions, types: &Types) -> bool {
    let mut survey = Survey {
        tables: BTreeSet::new(),
        refusal: facts.refusal,
        reach: facts.reach,
        session: facts.session,
        is_volatile: false,
    };
    survey.code(facts, functions, types);
    !(facts.calls_function("timezone") && facts.shows_time_of_day())
        && facts.relations.is_empty()
        && facts.targets.is_empty()
        && survey.refusal.is_none()
        && survey.reach == Reach::Nothing
        && survey.session.is_empty()
}

impl Survey {
    /// A query nobody understands.
    pub(super) fn unknown(reason: Reason) -> Self {
        let mut survey = Self::default();
        survey.refuse(reason);
        survey.unknown_code();
        survey
    }

    fn refuse(&mut self, reason: Reason) {
        self.refusal.get_or_insert(reason);
    }

    fn unknown_code(&mut self) {
        self.is_volatile = true;
        self.reach = Reach::Catalog;
        self.session.insert(SessionEffect::UnknownCode);
    }

    /// Everything that runs without reading a relation.
    fn code(&mut self, facts: &Facts, functions: &Functions, types: &Types) {
        for call in &facts.calls {
            self.call(call, functions, types);
        }
        for name in &facts.attributes {
            if functions.called_as_column(name) {
                self.behaviour(Behaviour::User);
            }
        }
        for operator in &facts.operators {
            match functions.operator(operator) {
                Behaviour::Unknown => {
                    self.refuse(Reason::UnknownOperator);
                    self.unknown_code();
                }
                behaviour => self.behaviour(behaviour),
            }
        }
        for name in &facts.types {
            let cast = types.cast(name, functions);
            self.cast(cast.unwrap_or(Cast::RunsCode(Reason::UnknownType)));
        }
    }

    fn relation(
        &mut self,
        name: &Name,
        facts: &Facts,
        catalog: &Catalog,
        query: &mut dyn FnMut(Oid) -> Self,
    ) {
        let named = catalog.named(name);
        let bound = name.schema.is_none() && facts.common_tables.binary_search(&name.name).is_ok();
        match named.origin {
            Origin::Nowhere if bound => {}
            Origin::Nowhere => {
                // It may be a temporary view, and what that runs is not known.
                self.refuse(Reason::UnknownRelation);
                self.reach = self.reach.max(Reach::Everything);
            }
            Origin::System => self.refuse(Reason::SystemCatalog),
            Origin::Users => {}
        }
        for (oid, relation) in named.relations {
            self.reads(oid, relation, catalog, query);
        }
    }

    fn reads(
        &mut self,
        oid: Oid,
        relation: &Relation,
        catalog: &Catalog,
        query: &mut dyn FnMut(Oid) -> Self,
    ) {
        if let Some(reason) = relation.refusal {
            self.refuse(reason);
        }
        if relation.code == RelationCode::OnRead {
            self.unknown_code();
        }
        match relation.kind {
            RelationKind::Table | RelationKind::Partitioned => {
                for descendant in catalog.with_descendants(oid) {
                    self.tables.insert(descendant);
                    match catalog.relation(descendant).map(|found| found.kind) {
                        Some(RelationKind::Table | RelationKind::Partitioned) => {}
                        Some(RelationKind::Foreign) => self.foreign(),
                        Some(
                            RelationKind::MaterializedView
                            | RelationKind::Other
                            | RelationKind::View,
                        )
                        | None => {
                            self.refuse(Reason::UnknownRelation);
                        }
                    }
                }
            }
            RelationKind::MaterializedView => {
                self.tables.insert(oid);
            }
            RelationKind::View => self.merge(query(oid)),
            RelationKind::Foreign => self.foreign(),
            RelationKind::Other => self.refuse(Reason::NotATable),
        }
    }

    /// Reading it runs something elsewhere.
    fn foreign(&mut self) {
        self.refuse(Reason::ForeignTable);
        self.is_volatile = true;
    }

    fn merge(&mut self, view: Self) {
        if let Some(reason) = view.refusal {
            self.refuse(reason);
        }
        self.tables.extend(view.tables);
        self.reach = self.reach.max(view.reach);
        self.session = self.session.union(view.session);
        self.is_volatile |= view.is_volatile;
    }

    fn call(&mut self, call: &Call, functions: &Functions, types: &Types) {
        let behaviour = functions.call(call);
        // A type's name, called with one argument, is a cast.
        let cast = match call.arguments {
            Arguments::Attribute | Arguments::Count(1) => types.cast(&call.name, functions),
            Arguments::Any | Arguments::Count(_) | Arguments::Syntax => None,
        };
        if let Some(cast) = cast {
            self.cast(cast);
        }
        match behaviour {
            Some(behaviour) => self.behaviour(behaviour),
            None if cast.is_some()
                || matches!(call.arguments, Arguments::Attribute | Arguments::Syntax) => {}
            None => self.behaviour(Behaviour::Unknown),
        }
    }

    fn behaviour(&mut self, behaviour: Behaviour) {
        if let Some(reason) = behaviour.refusal() {
            self.refuse(reason);
        }
        if behaviour.is_code() {
            self.unknown_code();
        }
        self.is_volatile |= behaviour >= Behaviour::Volatile;
        if behaviour == Behaviour::LargeObject {
            self.reach = self.reach.max(Reach::Everything);
        }
    }

    fn cast(&mut self, cast: Cast) {
        match cast {
            Cast::Plain => {}
            Cast::Refused(reason) => self.refuse(reason),
            Cast::RunsCode(reason) => {
                self.refuse(reason);
                self.unknown_code();
            }
        }
    }
}
