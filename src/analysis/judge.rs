//! From the facts of a text and a snapshot of the catalog to the verdict.

use std::collections::BTreeSet;

use super::catalog::{Catalog, Origin};
use super::facts::{Facts, Name, Reach};
use super::session::SessionEffect;
use super::survey::{Survey, survey};
use super::{Oid, ReadSet, Verdict, WriteSet};
use crate::reason::Reason;

/// More relations than this are too many for one cached result.
const RELATIONS_MAX: usize = 64;

/// The verdict in a snapshot of the catalog.
pub(super) fn judge(facts: &Facts, catalog: &Catalog) -> Verdict {
    let mut all = catalog.gather(survey(facts, catalog));
    if let Some(implicit) = catalog.implicit().filter(|_| facts.mentions_anything()) {
        all.refuse(Reason::UserCast);
        all.merge(implicit);
    }
    if all.tables.len() > RELATIONS_MAX {
        all.refuse(Reason::TooManyRelations);
    }
    if all.reach != Reach::Nothing || !all.written.is_empty() {
        all.refuse(Reason::UserFunction);
    }
    // A procedure that fails may have committed what it did to the session.
    if facts.may_commit && all.session.contains(SessionEffect::NamedSetting) {
        all.session.insert(SessionEffect::Setting);
    }
    let Survey {
        tables,
        written,
        refusal,
        reach,
        session,
        is_volatile,
    } = all;
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
        may_commit: facts.may_commit,
        computes_only: !is_volatile,
    }
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
    let all = catalog.gather(survey(facts, catalog));
    (all.tables.into_iter().collect(), missing)
}

/// Adds what a part of the catalog does to a verdict.
pub(super) fn add(verdict: &mut Verdict, survey: &Survey) {
    let read = std::mem::replace(&mut verdict.read, Err(Reason::UserFunction));
    verdict.read = match (read, survey.refusal) {
        (Ok(read), None) if survey.reach == Reach::Nothing && survey.written.is_empty() => {
            let tables: BTreeSet<_> = read.tables.iter().chain(&survey.tables).copied().collect();
            Ok(ReadSet {
                tables: tables.into_iter().collect(),
            })
        }
        (Ok(_), reason) => Err(reason.unwrap_or(Reason::UserFunction)),
        (Err(reason), _) => Err(reason),
    };
    let written = match &verdict.write {
        WriteSet::Everything => return add_session(verdict, survey),
        WriteSet::Nothing => survey.written.clone(),
        WriteSet::Tables(tables) => tables.iter().chain(&survey.written).copied().collect(),
    };
    verdict.write = write_set(survey.reach, written);
    add_session(verdict, survey);
}

fn add_session(verdict: &mut Verdict, survey: &Survey) {
    verdict.computes_only &= !survey.is_volatile;
    verdict.session = verdict.session.union(survey.session);
    verdict.catalog |= survey.reach == Reach::Catalog;
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
        may_commit: facts.may_commit,
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
