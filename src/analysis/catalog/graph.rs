//! What the parts of the catalog lead to: bodies of functions, queries of views, rules, types.
//!
//! Each part is looked into once, when the snapshot is built, and knows only the parts it leads to itself. A statement is
//! judged by following them all, so recursion needs no care, and building a snapshot costs no more than reading it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use super::rows::{Rows, RuleRow};
use super::{Catalog, views};
use crate::analysis::Oid;
use crate::analysis::body::body_facts;
use crate::analysis::facts::Facts;
use crate::analysis::survey::{Findings, Node, Survey, survey};
use crate::reason::Reason;

/// The facts of the bodies that are known.
pub(super) fn bodies(rows: &mut Rows) -> HashMap<Oid, Facts> {
    let mut transition_tables: HashMap<Oid, Vec<Box<str>>> = HashMap::new();
    for trigger in &mut rows.triggers {
        let names = trigger.transition_tables.drain(..).map(Into::into);
        transition_tables
            .entry(trigger.function)
            .or_default()
            .extend(names);
    }
    let bodies = rows.functions.iter().filter_map(|row| {
        // Compiled code is taken at its word; what is not compiled is looked into, however it is declared.
        let definition = row.definition.as_deref()?;
        let mut facts = body_facts(definition);
        let names = transition_tables.remove(&row.oid).unwrap_or_default();
        facts.common_tables.extend(names);
        facts.compact();
        Some((row.oid, facts))
    });
    bodies.collect()
}

impl Catalog {
    /// All that is done here, and wherever it leads to.
    pub(in crate::analysis) fn gather(&self, findings: Findings) -> Survey {
        let mut all = findings.own;
        let mut queue: VecDeque<_> = findings
            .nodes
            .into_iter()
            .map(|node| (node, Counts::Fully))
            .collect();
        let mut seen = HashSet::new();
        while let Some((node, counts)) = queue.pop_front() {
            if !seen.insert((node, counts)) {
                continue;
            }
            let found = self.look_into(node);
            let counts = match (node, counts) {
                (Node::Type(_), _) | (_, Counts::Effects) => Counts::Effects,
                (Node::Change(..) | Node::Function(_) | Node::Query(_), Counts::Fully) => {
                    Counts::Fully
                }
            };
            match counts {
                Counts::Fully => all.merge(&found.own),
                Counts::Effects => all.merge_effects(&found.own),
            }
            queue.extend(found.nodes.iter().map(|node| (*node, counts)));
        }
        all
    }

    fn look_into(&self, node: Node) -> Cow<'_, Findings> {
        match node {
            Node::Change(oid, change) => Cow::Owned(self.change(oid, change)),
            Node::Function(_) => self.known(node, Reason::UnknownFunction),
            Node::Query(_) => self.known(node, Reason::UnknownRelation),
            Node::Type(oid) => Cow::Owned(self.type_findings(oid)),
        }
    }

    fn known(&self, node: Node, otherwise: Reason) -> Cow<'_, Findings> {
        self.findings
            .get(&node)
            .map_or_else(|| Cow::Owned(Findings::unknown(otherwise)), Cow::Borrowed)
    }

    fn type_findings(&self, oid: Oid) -> Findings {
        let Some((functions, parts)) = self.types.made_of(oid) else {
            return Findings::unknown(Reason::UnknownType);
        };
        let mut findings = Findings::default();
        findings.functions(functions.iter().copied());
        findings
            .nodes
            .extend(parts.iter().map(|part| Node::Type(*part)));
        findings
    }

    // === Building ===

    pub(super) fn look_into_views(&mut self, definitions: &[(Oid, String)]) {
        let found: Vec<_> = definitions
            .iter()
            .map(|(oid, definition)| {
                let facts = views::query_facts(definition);
                (*oid, survey(&facts, self), views::base(definition))
            })
            .collect();
        for (oid, findings, base) in found {
            self.findings.insert(Node::Query(oid), findings);
            self.bases.extend(base.map(|name| (oid, name)));
        }
        // No view reads itself, but what is printed while views change may say so.
        let rings: Vec<_> = definitions
            .iter()
            .map(|(oid, _)| Node::Query(*oid))
            .filter(|view| self.reads_itself(*view))
            .collect();
        for view in rings {
            let unknown = Findings::unknown(Reason::UnknownConstruct);
            self.findings.insert(view, unknown);
        }
    }

    fn reads_itself(&self, view: Node) -> bool {
        let mut seen = HashSet::new();
        let mut stack = vec![view];
        while let Some(node) = stack.pop() {
            let found = self.findings.get(&node).into_iter();
            let views = found.flat_map(|found| &found.nodes);
            for next in views.filter(|next| matches!(next, Node::Query(_))) {
                if *next == view {
                    return true;
                }
                if seen.insert(*next) {
                    stack.push(*next);
                }
            }
        }
        false
    }

    pub(super) fn look_into_functions(&mut self, bodies: &HashMap<Oid, Facts>) {
        let found: Vec<_> = self
            .functions
            .iter()
            .map(|(oid, function)| {
                let mut findings = match bodies.get(&oid) {
                    Some(facts) => body_findings(facts, self),
                    None => Findings::default(),
                };
                if !bodies.contains_key(&oid) {
                    findings.own.behaviour(function.own);
                }
                // Passing a value to a domain runs the domain's checks.
                let signature = function.signature.iter();
                if signature.clone().any(|part| self.types.is_domain(*part)) {
                    findings.own.refuse(Reason::StableFunction);
                }
                findings
                    .nodes
                    .extend(signature.map(|part| Node::Type(*part)));
                findings.functions(function.parts.iter().copied());
                (Node::Function(oid), findings)
            })
            .collect();
        self.findings.extend(found);
    }

    /// Takes every body for code that is not understood, but for those in SQL that do nothing but compute.
    pub(super) fn distrust_bodies(&mut self, bodies: &HashMap<Oid, Facts>, in_sql: &HashSet<Oid>) {
        let unknown = || Findings::unknown(Reason::UserFunction);
        // These first: one in SQL that calls one of them is not trusted either.
        let (in_sql, others): (Vec<_>, Vec<_>) =
            bodies.keys().copied().partition(|oid| in_sql.contains(oid));
        for oid in others {
            self.findings.insert(Node::Function(oid), unknown());
        }
        let is_pure = |oid: &Oid| {
            let findings = self.findings.get(&Node::Function(*oid)).cloned();
            findings.is_some_and(|findings| self.gather(findings).is_pure())
        };
        let distrusted: Vec<_> = in_sql.into_iter().filter(|oid| !is_pure(oid)).collect();
        for oid in distrusted {
            self.findings.insert(Node::Function(oid), unknown());
        }
    }

    pub(super) fn look_into_rules(&mut self, rules: &[RuleRow]) {
        for row in rules {
            let facts = views::rule_facts(row.definition.as_deref());
            let findings = survey(&facts, self);
            let rules = self.rules.entry(row.relation).or_default();
            rules.push((row.event, findings));
        }
    }

    pub(super) fn look_into_implicit(&mut self, functions: &[Oid]) {
        let mut findings = Findings::default();
        findings.functions(functions.iter().copied());
        self.implicit = Some(self.gather(findings)).filter(|survey| !survey.is_pure());
    }
}

/// How much of a part counts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Counts {
    /// Whatever it does, but for the reason why its result is not cacheable: that was decided where it is used.
    Effects,
    /// Everything.
    Fully,
}

/// What a body does. It is no read that is refused for being none.
fn body_findings(facts: &Facts, catalog: &Catalog) -> Findings {
    let mut findings = survey(facts, catalog);
    if findings.own.refusal == Some(Reason::NotARead) {
        findings.own.refusal = Some(if facts.targets.is_empty() {
            Reason::UserFunction
        } else {
            Reason::Writes
        });
    }
    findings
}
