//! What the tables of a database are called among the words, and how long results of them last.

use super::{Database, Snapshot};
use crate::analysis::catalog::Catalog;
use crate::analysis::{Oid, ReadSet};
use crate::config::Ttl;
use crate::freshness::Tag;
use crate::freshness::words::Slot;
use crate::reason::Reason;

impl Database {
    /// The words of a table. To be asked for after the snapshot was found to be current: when the numbers of the server
    /// change, the catalog's word does.
    pub(super) fn table_slots(&self, oid: Oid, snapshot: Option<&Snapshot>) -> Vec<Slot> {
        let (words, database, Oid(oid)) = (self.freshness.words(), self.origin.oid, oid);
        if let Some(system) = snapshot.and_then(|snapshot| snapshot.system) {
            return vec![words.slot(Tag::SharedTable {
                system,
                database,
                oid,
            })];
        }
        let servers = self.origin.server.numbers();
        let tags = servers.iter().map(|&server| Tag::Table {
            server,
            database,
            oid,
        });
        tags.map(|tag| words.slot(tag)).collect()
    }

    /// The shortest time to live of the tables read, by the configuration's rules for them.
    pub(super) fn time_to_live(&self, reads: &ReadSet, catalog: &Catalog) -> Result<Ttl, Reason> {
        let cache = &self.config.cache;
        let names = reads
            .tables
            .iter()
            .filter_map(|&oid| catalog.relation_names(oid));
        let mut shortest = None;
        for (schema, name) in names {
            let ttl = cache.ttl_of(schema, name).ok_or(Reason::TableExcluded)?;
            shortest = shortest.min(Some(ttl)).or(Some(ttl));
        }
        Ok(shortest.unwrap_or(cache.ttl))
    }

    /// The system identifier of its server, if that matters and is known.
    #[must_use]
    pub fn system(&self) -> Option<u64> {
        self.current_snapshot()?.system
    }
}
