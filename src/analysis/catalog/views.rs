//! What the queries behind views do, to all levels.
//!
//! Every view is parsed once, when the snapshot is built, and judged after the views it reads.

use std::collections::HashMap;

use super::Catalog;
use crate::analysis::facts::Facts;
use crate::analysis::survey::{Survey, survey};
use crate::analysis::{Dialect, Oid, read_facts};
use crate::reason::Reason;

/// A definition longer than this is not read, in bytes.
const DEFINITION_MAX: usize = 256 << 10;

/// How the loader has definitions printed.
const DIALECT: Dialect = Dialect {
    utf8: true,
    standard_conforming_strings: true,
};

/// The surveys of the queries of all views and materialized views.
pub(super) fn resolve(catalog: &Catalog, definitions: &[(Oid, String)]) -> HashMap<Oid, Survey> {
    let facts = definitions
        .iter()
        .map(|(oid, definition)| {
            (
                *oid,
                read_facts(definition.as_bytes(), DIALECT, DEFINITION_MAX),
            )
        })
        .collect();
    let mut resolver = Resolver {
        catalog,
        facts,
        done: HashMap::new(),
    };
    for (oid, _) in definitions {
        resolver.query(*oid);
    }
    resolver
        .done
        .into_iter()
        .filter_map(|(oid, progress)| Some((oid, progress?)))
        .collect()
}

/// The facts of an expression as `pg_get_expr` prints it.
pub(super) fn expression_facts(expression: Option<&str>) -> Facts {
    let query = format!("SELECT {}", expression.unwrap_or_default());
    read_facts(query.as_bytes(), DIALECT, DEFINITION_MAX)
}

struct Resolver<'catalog> {
    catalog: &'catalog Catalog,
    facts: HashMap<Oid, Facts>,
    /// `None` while a view is being judged: meeting it again is a cycle.
    done: HashMap<Oid, Option<Survey>>,
}

impl Resolver<'_> {
    fn query(&mut self, oid: Oid) -> Survey {
        match self.done.get(&oid) {
            Some(Some(survey)) => return survey.clone(),
            Some(None) => return Survey::unknown(Reason::UnknownConstruct),
            None => {}
        }
        // A view whose definition is gone was dropped while the snapshot was taken.
        let Some(facts) = self.facts.remove(&oid) else {
            return Survey::unknown(Reason::UnknownRelation);
        };
        self.done.insert(oid, None);
        let catalog = self.catalog;
        // Views may be stacked as deep as their owner likes.
        let found = stacker::maybe_grow(64 << 10, 1 << 20, || {
            survey(&facts, catalog, &mut |view| self.query(view))
        });
        self.done.insert(oid, Some(found.clone()));
        found
    }
}
