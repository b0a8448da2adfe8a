//! From the facts of a text and a snapshot of the catalog to the verdict.

use std::collections::BTreeSet;

use super::catalog::{Catalog, Origin, Touched};
use super::facts::{Change, Facts, Name, Reach};
use super::session::{SessionEffect, SessionEffects};
use super::survey::{Survey, survey};
use super::{Oid, ReadSet, Verdict, WriteSet};
use crate::reason::Reason;

/// The verdict in a snapshot of the catalog.
pub(super) fn judge(facts: &Facts, catalog: &Catalog) -> Verdict {
    let Survey {
        tables,
        refusal,
        mut reach,
        mut session,
        is_volatile,
    } = look_up(facts, catalog);
    let mut written = BTreeSet::new();
    for target in &facts.targets {
        match catalog.touched(target) {
            Touched::Relations(relations) => {
                for (further, effects) in
                    relations.iter().filter_map(|oid| catalog.expressions(*oid))
                {
                    reach = reach.max(further);
                    session = session.union(drawn(effects, target.change));
                }
                written.extend(relations);
            }
            Touched::Anything => reach = reach.max(Reach::Everything),
            Touched::Code => {
                reach = Reach::Catalog;
                session.insert(SessionEffect::UnknownCode);
            }
        }
    }
    Verdict {
        read: match refusal {
            None => Ok(ReadSet {
                tables: tables.into_iter().collect(),
            }),
            Some(reason) => Err(reason),
        },
        write: write_set(reach, written),
        session,
        catalog: reach == Reach::Catalog,
        computes_only: !is_volatile,
    }
}

fn look_up(facts: &Facts, catalog: &Catalog) -> Survey {
    let mut query = |view| {
        catalog
            .query(view)
            .cloned()
            .unwrap_or_else(|| Survey::unknown(Reason::UnknownRelation))
    };
    survey(facts, catalog, &mut query)
}

/// The relations that a text reads, and the names that stand for none.
pub(super) fn relations(facts: &Facts, catalog: &Catalog) -> (Vec<Oid>, Vec<String>) {
    let is_bound = |name: &Name| name.schema.is_none() && facts.common_tables.contains(&name.name);
    let targets = facts.targets.iter().map(|target| &target.name);
    let named = facts.relations.iter().chain(targets);
    let missing = named
        .filter(|name| !is_bound(name) && matches!(catalog.named(name).origin, Origin::Nowhere));
    let missing = missing.map(|name| match &name.schema {
        Some(schema) => format!("{schema}.{}", name.name),
        None => name.name.to_string(),
    });
    let mut missing: Vec<_> = missing.collect();
    missing.dedup();
    (
        look_up(facts, catalog).tables.into_iter().collect(),
        missing,
    )
}

/// What the defaults and checks of a table leave behind after this change: a default draws from its sequence when a
/// row is inserted. An UPDATE that sets a DEFAULT says so itself.
fn drawn(mut effects: SessionEffects, change: Change) -> SessionEffects {
    if change != Change::Insert {
        effects.remove(SessionEffect::SequenceDraw);
    }
    effects
}

/// The verdict without a snapshot.
pub(super) fn judge_blindly(facts: &Facts) -> Verdict {
    let reach = if facts.mentions_anything() {
        facts.reach.max(Reach::Everything)
    } else {
        facts.reach
    };
    Verdict {
        read: Err(facts.refusal.unwrap_or(Reason::CatalogNotReady)),
        write: write_set(reach, BTreeSet::new()),
        session: facts.session,
        catalog: reach == Reach::Catalog,
        computes_only: false,
    }
}

fn write_set(reach: Reach, written: BTreeSet<Oid>) -> WriteSet {
    match reach {
        Reach::Catalog | Reach::Everything => WriteSet::Everything,
        Reach::Nothing if written.is_empty() => WriteSet::Nothing,
        Reach::Nothing => WriteSet::Tables(written.into_iter().collect()),
    }
}
