//! Relations: what each is, what runs behind it, and what a name of one may mean.

use std::collections::{HashMap, HashSet};

use super::functions::Functions;
use super::rows::{
    Persistence, RelationFunctionRow, RelationKind, RelationMark, RelationRow, Rows,
};
use super::types::Types;
use crate::analysis::Oid;
use crate::analysis::facts::Name;
use crate::reason::Reason;

/// The relations of a snapshot.
#[derive(Debug, Default)]
pub(super) struct Relations {
    by_oid: HashMap<Oid, Relation>,
    by_name: HashMap<Box<str>, Vec<Oid>>,
    system: HashSet<Box<str>>,
}

/// A relation of the snapshot.
#[derive(Debug)]
pub(in crate::analysis) struct Relation {
    pub(super) schema: Box<str>,
    pub(super) name: Box<str>,
    pub(in crate::analysis) kind: RelationKind,
    pub(super) persistence: Persistence,
    /// Why reading its rows is not cacheable, beyond its kind.
    pub(in crate::analysis) refusal: Option<Reason>,
    pub(in crate::analysis) code: RelationCode,
}

/// When a relation runs code that is not understood.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::analysis) enum RelationCode {
    Never,
    /// Triggers, rules, defaults and checks.
    OnWrite,
    /// Policies too.
    OnRead,
}

/// What a name of a relation may mean.
pub(in crate::analysis) struct Named<'catalog> {
    pub(in crate::analysis) origin: Origin,
    /// The relations of users.
    pub(in crate::analysis) relations: Vec<(Oid, &'catalog Relation)>,
}

/// Where the relations of a name are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::analysis) enum Origin {
    Nowhere,
    /// In a system schema, and perhaps in others.
    System,
    Users,
}

/// Relations with something unusual behind them.
pub(super) struct Hazards {
    /// Code that is not understood in expressions: defaults, checks, policies.
    expressions: HashSet<Oid>,
    triggers: HashSet<Oid>,
    /// Columns whose values are made by code that is not understood.
    input: HashSet<Oid>,
    /// Columns whose values are not shown in the same way every time.
    output: HashSet<Oid>,
}

impl Relations {
    /// Returns the definitions of views beside the relations.
    pub(super) fn new(
        rows: Vec<RelationRow>,
        system: Vec<String>,
        hazards: &Hazards,
    ) -> (Self, Vec<(Oid, String)>) {
        let system = system.into_iter().map(Into::into).collect();
        let mut relations = Self {
            system,
            ..Self::default()
        };
        let mut definitions = Vec::new();
        for mut row in rows {
            let oid = row.oid;
            definitions.extend(row.definition.take().map(|definition| (oid, definition)));
            relations
                .by_name
                .entry(row.name.as_str().into())
                .or_default()
                .push(oid);
            relations.by_oid.insert(oid, Relation::new(row, hazards));
        }
        (relations, definitions)
    }

    pub(super) fn get(&self, oid: Oid) -> Option<&Relation> {
        self.by_oid.get(&oid)
    }

    pub(super) fn named(&self, name: &Name) -> Named<'_> {
        let candidates = self.by_name.get(&name.name).map_or(&[][..], Vec::as_slice);
        let relations: Vec<_> = candidates
            .iter()
            .filter_map(|oid| Some((*oid, self.get(*oid)?)))
            .filter(|(_, relation)| name.admits(&relation.schema))
            .collect();
        let system = match name.schema.as_deref() {
            Some(schema) => matches!(schema, "information_schema" | "pg_catalog" | "pg_toast"),
            None => self.system.contains(&name.name),
        };
        let origin = match relations.is_empty() {
            _ if system => Origin::System,
            true => Origin::Nowhere,
            false => Origin::Users,
        };
        Named { origin, relations }
    }
}

impl Relation {
    fn new(row: RelationRow, hazards: &Hazards) -> Self {
        let secured = row.marks.contains(&RelationMark::RowSecurity);
        let ruled = row.marks.contains(&RelationMark::Rule);
        let code = if secured && hazards.expressions.contains(&row.oid) {
            RelationCode::OnRead
        } else if ruled || hazards.on_write(row.oid) {
            RelationCode::OnWrite
        } else {
            RelationCode::Never
        };
        let refusal = if secured {
            Some(Reason::RowSecurity)
        } else {
            hazards
                .output
                .contains(&row.oid)
                .then_some(Reason::UnsafeType)
        };
        Self {
            schema: row.schema.into(),
            name: row.name.into(),
            kind: row.kind,
            persistence: row.persistence,
            refusal,
            code,
        }
    }
}

impl Hazards {
    pub(super) fn new(rows: &Rows, functions: &Functions, types: &Types) -> Self {
        let with_columns = |counts: &dyn Fn(Oid) -> bool| {
            let unusual = rows
                .column_types
                .iter()
                .filter(|row| counts(row.column_type));
            unusual.map(|row| row.relation).collect()
        };
        Self {
            expressions: owners(&rows.expressions, |function| functions.runs_code(function)),
            triggers: owners(&rows.triggers, |function| {
                !functions.changes_its_row(function)
            }),
            input: with_columns(&|column| types.runs_code(column, functions)),
            output: with_columns(&|column| !types.shows_plainly(column, functions)),
        }
    }

    fn on_write(&self, relation: Oid) -> bool {
        [&self.expressions, &self.triggers, &self.input]
            .iter()
            .any(|owners| owners.contains(&relation))
    }
}

fn owners(rows: &[RelationFunctionRow], counts: impl Fn(Oid) -> bool) -> HashSet<Oid> {
    rows.iter()
        .filter(|row| counts(row.function))
        .map(|row| row.relation)
        .collect()
}
