//! From the facts of a text and a snapshot of the catalog to the verdict.

use std::collections::BTreeSet;

use super::catalog::{Catalog, Touched};
use super::facts::{Change, Facts, Reach};
use super::session::{SessionEffect, SessionEffects};
use super::survey::{Survey, survey};
use super::{Oid, ReadSet, Verdict, WriteSet};
use crate::reason::Reason;

/// The verdict in a snapshot of the catalog.
pub(super) fn judge(facts: &Facts, catalog: &Catalog) -> Verdict {
    let mut query = |view| {
        catalog
            .query(view)
            .cloned()
            .unwrap_or_else(|| Survey::unknown(Reason::UnknownRelation))
    };
    let Survey {
        tables,
        refusal,
        mut reach,
        mut session,
        is_volatile,
    } = survey(facts, catalog, &mut query);
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
