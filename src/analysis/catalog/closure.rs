//! From the relations a statement names as targets to all that change with them.
//!
//! Follows inheritance downwards and foreign keys that cascade, to the end.
//!
//! <https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK>

use std::collections::{BTreeSet, HashSet};

use super::rows::{ReferentialAction, RelationKind};
use super::{Catalog, Origin, RelationCode};
use crate::analysis::Oid;
use crate::analysis::facts::{Change, Reach, Target};

/// What a change of a target touches.
#[derive(Debug, Eq, PartialEq)]
pub(in crate::analysis) enum Touched {
    /// These relations and no others.
    Relations(BTreeSet<Oid>),
    /// Relations that are not known, because the target is not: no code of this database runs.
    Anything,
    /// Code that is not understood runs.
    Code,
}

impl Catalog {
    /// Everything a change of this target may change.
    pub(in crate::analysis) fn touched(&self, target: &Target) -> Touched {
        let named = self.named(&target.name);
        match named.origin {
            Origin::Nowhere => return Touched::Anything,
            Origin::System => return Touched::Code,
            Origin::Users => {}
        }
        let mut seen = HashSet::new();
        let mut queue: Vec<_> = named
            .relations
            .into_iter()
            .map(|(oid, _)| (oid, target.change))
            .collect();
        while let Some((oid, change)) = queue.pop() {
            if !seen.insert((oid, change)) {
                continue;
            }
            if !self.changes_quietly(oid, change) {
                return Touched::Code;
            }
            queue.extend(
                self.with_descendants(oid)
                    .into_iter()
                    .map(|child| (child, change)),
            );
            self.cascade(oid, change, &mut queue);
        }
        Touched::Relations(seen.into_iter().map(|(oid, _)| oid).collect())
    }

    /// Whether the change runs no code that is not understood.
    fn changes_quietly(&self, oid: Oid, change: Change) -> bool {
        let Some(relation) = self.relation(oid) else {
            return false;
        };
        match (relation.kind, change) {
            (RelationKind::Table | RelationKind::Partitioned, _) => {
                relation.code == RelationCode::Never
            }
            (RelationKind::MaterializedView, Change::Refresh) => self
                .query(oid)
                .is_some_and(|query| query.reach == Reach::Nothing),
            (
                RelationKind::Foreign
                | RelationKind::MaterializedView
                | RelationKind::Other
                | RelationKind::View,
                _,
            ) => false,
        }
    }

    /// What the foreign keys that refer to a changed table do.
    fn cascade(&self, oid: Oid, change: Change, queue: &mut Vec<(Oid, Change)>) {
        let partition = self.with_ancestors(oid).len() > 1
            || self
                .relation(oid)
                .is_some_and(|relation| relation.kind == RelationKind::Partitioned);
        // A row that moves to another partition is deleted and inserted.
        if partition && change == Change::Update {
            queue.push((oid, Change::Delete));
        }
        // The key may be declared to the parent of a partition.
        for ancestor in self.with_ancestors(oid) {
            for key in self
                .foreign_keys
                .get(&ancestor)
                .map_or(&[][..], Vec::as_slice)
            {
                let action = match change {
                    Change::Insert | Change::Refresh | Change::Truncate => continue,
                    Change::TruncateCascade => {
                        queue.push((key.referencing, Change::TruncateCascade));
                        continue;
                    }
                    Change::Delete => key.on_delete,
                    Change::Update => key.on_update,
                };
                match action {
                    ReferentialAction::Cascade => queue.push((key.referencing, change)),
                    ReferentialAction::Refuse => {}
                    ReferentialAction::Set => queue.push((key.referencing, Change::Update)),
                }
            }
        }
    }
}
