//! A verdict in words, for the log and the admin port.

use std::fmt::Write;

use super::Catalog;
use crate::analysis::{Oid, SessionEffect, Verdict, WriteSet};

impl Catalog {
    /// The verdict in one line: `reads public.users; writes nothing`.
    #[must_use]
    pub fn explain(&self, verdict: &Verdict) -> String {
        let mut line = match &verdict.read {
            Ok(read) if read.tables.is_empty() => "reads no table".to_owned(),
            Ok(read) => format!("reads {}", self.list(&read.tables)),
            Err(reason) => format!("not cached: {}", reason.as_str()),
        };
        let write = match &verdict.write {
            WriteSet::Everything => "everything".to_owned(),
            WriteSet::Nothing => "nothing".to_owned(),
            WriteSet::Tables(tables) => self.list(tables),
        };
        line = format!("{line}; writes {write}");
        if verdict.catalog {
            line += "; may change the catalog";
        }
        for (position, effect) in verdict
            .session
            .iter()
            .map(SessionEffect::as_str)
            .enumerate()
        {
            let separator = if position == 0 { "; leaves" } else { "," };
            write!(line, "{separator} {effect}").expect("a string takes whatever is written");
        }
        line
    }

    fn list(&self, tables: &[Oid]) -> String {
        let names: Vec<_> = tables
            .iter()
            .map(|oid| match self.relation_names(*oid) {
                Some((schema, name)) => format!("{schema}.{name}"),
                None => oid.0.to_string(),
            })
            .collect();
        names.join(", ")
    }
}
