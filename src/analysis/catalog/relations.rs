//! Relations: what each is, what runs behind it, and what a name of one may mean.

use std::collections::{HashMap, HashSet};

use super::rows::{Persistence, RelationKind, RelationMark, RelationRow};
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

impl Relations {
    /// Returns the definitions of views beside the relations.
    pub(super) fn new(
        rows: Vec<RelationRow>,
        system: Vec<String>,
        is_odd: impl Fn(Oid) -> bool,
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
            relations
                .by_oid
                .insert(oid, Relation::new(row, is_odd(oid)));
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
    /// An odd one has columns whose values are not shown in the same way every time.
    fn new(row: RelationRow, is_odd: bool) -> Self {
        let refusal = if row.marks.contains(&RelationMark::RowSecurity) {
            Some(Reason::RowSecurity)
        } else {
            is_odd.then_some(Reason::UnsafeType)
        };
        Self {
            schema: row.schema.into(),
            name: row.name.into(),
            kind: row.kind,
            persistence: row.persistence,
            refusal,
        }
    }
}
