//! What the configuration says of functions: they are taken to read and write exactly that.

use super::Catalog;
use super::rows::VouchedRow;
use crate::analysis::facts::{Change, Facts, Name};
use crate::analysis::survey::{Node, survey};
use crate::reason::Reason;

impl Catalog {
    /// Puts what is vouched for in the place of what was found.
    pub(super) fn vouch(&mut self, vouched: &[VouchedRow]) {
        for row in vouched {
            let problem = match self.vouch_for(row) {
                Ok(()) => continue,
                Err(problem) => problem,
            };
            self.problems.push(format!(
                "[cache.functions.{:?}] {problem}, so nothing is known of the function",
                row.function
            ));
        }
    }

    fn vouch_for(&mut self, row: &VouchedRow) -> Result<(), String> {
        let function = name(&row.function);
        let functions = self
            .functions
            .named(function.schema.as_deref(), &function.name);
        if functions.is_empty() {
            return Err("names no function of this database".to_owned());
        }
        let mut facts = Facts::default();
        for read in &row.reads {
            facts.relations.push(self.relation_of("reads", read)?);
        }
        for write in &row.writes {
            let name = self.relation_of("writes", write)?;
            facts.refuse(Reason::Writes);
            for change in [
                Change::Delete,
                Change::Insert,
                Change::Truncate,
                Change::Update,
            ] {
                facts.writes(name.clone(), change);
            }
        }
        let findings = survey(&facts, self);
        for oid in functions {
            self.findings.insert(Node::Function(oid), findings.clone());
        }
        Ok(())
    }

    fn relation_of(&self, key: &str, written: &str) -> Result<Name, String> {
        let name = name(written);
        if self.named(&name).relations.is_empty() {
            return Err(format!(
                "{key} {written:?}, which is no relation of this database"
            ));
        }
        Ok(name)
    }
}

/// `name`, or `schema.name`.
fn name(written: &str) -> Name {
    match written.split_once('.') {
        Some((schema, name)) => Name {
            schema: Some(schema.into()),
            name: name.into(),
        },
        None => Name::anywhere(written),
    }
}
