//! From a change of a relation to all that it sets off.
//!
//! Follows inheritance downwards, foreign keys that cascade, triggers, rules and views; each leads to other changes, or
//! to functions.
//!
//! <https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK>

use super::Catalog;
use super::rows::{ReferentialAction, RelationKind, TriggerEvent, TriggerTiming};
use crate::analysis::Oid;
use crate::analysis::facts::Change;
use crate::analysis::session::SessionEffect;
use crate::analysis::survey::{Findings, Node};
use crate::reason::Reason;

impl Catalog {
    /// What a change of a relation does, and what it leads to.
    pub(super) fn change(&self, oid: Oid, change: Change) -> Findings {
        let Some(relation) = self.relation(oid) else {
            return Findings::unknown(Reason::UnknownRelation);
        };
        let mut findings = Findings::default();
        match (relation.kind, change) {
            (RelationKind::MaterializedView, Change::Refresh) => {
                findings.own.written.insert(oid);
                findings.nodes.push(Node::Query(oid));
            }
            (RelationKind::Table | RelationKind::Partitioned, _) => {
                findings.own.written.insert(oid);
                self.inherit(oid, change, &mut findings);
                self.cascade(oid, change, &mut findings);
                self.set_off(oid, change, &mut findings);
            }
            (RelationKind::View, _) => {
                findings.nodes.push(Node::Query(oid));
                let replaced = self.set_off(oid, change, &mut findings);
                if let Some(base) = self.bases.get(&oid).filter(|_| !replaced) {
                    findings.target(base, change, self);
                }
            }
            (RelationKind::Foreign | RelationKind::MaterializedView | RelationKind::Other, _) => {
                return Findings::unknown(Reason::ForeignTable);
            }
        }
        findings
    }

    /// Children change with their parents.
    fn inherit(&self, oid: Oid, change: Change, findings: &mut Findings) {
        let children = self.children.get(&oid).map_or(&[][..], Vec::as_slice);
        let changes = children.iter().map(|child| Node::Change(*child, change));
        findings.nodes.extend(changes);
        let is_partition = self.parents.contains_key(&oid)
            || self
                .relation(oid)
                .is_some_and(|relation| relation.kind == RelationKind::Partitioned);
        // A row that moves to another partition is deleted and inserted.
        if is_partition && change == Change::Update {
            findings.nodes.push(Node::Change(oid, Change::Delete));
            findings.nodes.push(Node::Change(oid, Change::Insert));
        }
    }

    /// What the foreign keys that refer to a changed table do. The key may be declared to the parent of a partition.
    fn cascade(&self, oid: Oid, change: Change, findings: &mut Findings) {
        let ancestors = self.with_ancestors(oid);
        let keys = ancestors
            .iter()
            .filter_map(|ancestor| self.foreign_keys.get(ancestor));
        for key in keys.flatten() {
            let action = match change {
                Change::Insert | Change::Refresh | Change::Truncate => continue,
                Change::TruncateCascade => {
                    let truncates = Node::Change(key.referencing, Change::TruncateCascade);
                    findings.nodes.push(truncates);
                    continue;
                }
                Change::Delete => key.on_delete,
                Change::Update => key.on_update,
            };
            let changed = match action {
                ReferentialAction::Cascade => change,
                ReferentialAction::Refuse => continue,
                ReferentialAction::Set => Change::Update,
            };
            findings.nodes.push(Node::Change(key.referencing, changed));
        }
    }

    /// What a relation runs when it is changed. Tells whether a trigger takes the place of the change.
    fn set_off(&self, oid: Oid, change: Change, findings: &mut Findings) -> bool {
        let event = event(change);
        let fires = |events: &[TriggerEvent]| event.is_some_and(|event| events.contains(&event));
        let mut replaced = false;
        let triggers = self.triggers.get(&oid).map_or(&[][..], Vec::as_slice);
        for trigger in triggers.iter().filter(|trigger| fires(&trigger.events)) {
            replaced |= trigger.timing == TriggerTiming::Instead;
            if !self.functions.changes_its_row(trigger.function) {
                findings.nodes.push(Node::Function(trigger.function));
            }
        }
        let rules = self.rules.get(&oid).map_or(&[][..], Vec::as_slice);
        for (_, rule) in rules.iter().filter(|(event, _)| fires(&[*event])) {
            findings.own.merge(&rule.own);
            findings.nodes.extend(&rule.nodes);
        }
        findings.functions(self.expression_functions(oid).iter().copied());
        let types = self.column_types(oid).iter();
        findings
            .nodes
            .extend(types.map(|column_type| Node::Type(*column_type)));
        if let Some((reach, mut effects)) = self.expressions.get(&oid).copied() {
            // A default draws from its sequence when a row is inserted. An UPDATE that sets a DEFAULT says so itself.
            if change != Change::Insert {
                effects.remove(SessionEffect::SequenceDraw);
            }
            findings.own.reaches(reach);
            findings.own.session = findings.own.session.union(effects);
        }
        replaced
    }
}

fn event(change: Change) -> Option<TriggerEvent> {
    match change {
        Change::Delete => Some(TriggerEvent::Delete),
        Change::Insert => Some(TriggerEvent::Insert),
        Change::Refresh => None,
        Change::Truncate | Change::TruncateCascade => Some(TriggerEvent::Truncate),
        Change::Update => Some(TriggerEvent::Update),
    }
}
