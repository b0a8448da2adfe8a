//! What the proxy makes of a statement, told to people: what it reads and writes, and why it is (not) cached.
//!
//! Invariant: the answer is that of the data path. It is made of the same verdict and the same plan, by the same
//! snapshot; nothing is judged here.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::{CatalogStatus, Database, Snapshot, verdict};
use crate::analysis::{Class, Dialect, Oid, SessionEffect, WriteSet, anatomy};
use crate::config::Ttl;
use crate::freshness::words::Slot;
use crate::reason::Reason;

/// How a text is read if nothing else is known of a session: as most sessions read it.
const DIALECT: Dialect = Dialect {
    utf8: true,
    standard_conforming_strings: true,
};

/// How many statements of a script are explained one by one.
const STATEMENTS_MAX: usize = 100;

/// What a cached result is kept under, beside the database.
const KEY: &str = "database, session user, start-up parameters, the settings that the session starts with and those \
     that it has changed (but application_name), the text, the parameters' types, formats and values, the result formats";

/// What the proxy makes of a text.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The name of the database on its server.
    pub database: String,
    /// The text.
    pub statement: String,
    /// What kind of statement it is.
    pub class: &'static str,
    /// May its result be kept and served to others? That is, in a session that has no state of its own, outside a
    /// transaction that has written.
    pub cacheable: bool,
    /// If not, why.
    pub reason: Option<&'static str>,
    /// What could be done about it.
    pub remedy: Option<&'static str>,
    /// The tables it reads, views and partitions followed to their end.
    pub reads: Vec<String>,
    /// The tables it may write, rules, cascades and triggers followed.
    pub writes: Vec<String>,
    /// It may write any table.
    pub writes_everything: bool,
    /// It may change definitions, so that the catalog is loaded again.
    pub changes_catalog: bool,
    /// The version words that a result depends on.
    pub tags: Vec<String>,
    /// What it may leave behind in its session.
    pub leaves: Vec<&'static str>,
    /// The settings of the session that it may change by name.
    pub settings: Vec<String>,
    /// What a result is kept under.
    pub key: &'static str,
    /// How long a result may be served at most.
    pub ttl: Option<String>,
    /// The `[cache.tables]` that concern it.
    pub exceptions: Vec<String>,
    /// The state of the catalog that this was found out by.
    pub catalog: String,
    /// What is wrong with the text, if it could not run as it is.
    pub error: Option<String>,
    /// The statements of a script.
    pub statements: Vec<Self>,
}

impl Database {
    /// Explains a text, by the catalog as it is now. Without one, loading it is begun.
    #[must_use]
    pub fn explain(self: &Arc<Self>, sql: &str) -> Explanation {
        self.explain_text(sql, true)
    }

    fn explain_text(self: &Arc<Self>, sql: &str, takes_apart: bool) -> Explanation {
        let max_bytes = self.config.cache.statement_max_bytes;
        let taken_apart = anatomy(sql.as_bytes(), DIALECT, max_bytes);
        let tail = [sql.as_bytes(), &[0; 3]].concat();
        let statement = self.statement(&tail, DIALECT);
        let snapshot = self.snapshot();
        let snapshot = snapshot.as_deref();
        let verdict = verdict(&statement, snapshot);
        let plan = self.resolve(&verdict, statement.parsed().is_query(), snapshot);
        let relations = snapshot.map(|snapshot| statement.parsed().relations(&snapshot.catalog));
        let (tables, missing) = relations.unwrap_or_default();
        let names =
            |oids: &[Oid]| -> Vec<String> { oids.iter().map(|&oid| name(oid, snapshot)).collect() };
        let reason = plan.read.as_ref().err().copied().or(self.unavailable());
        let settings = statement.parsed().settings();
        let all = settings
            .changed_before
            .then(|| "all (RESET ALL)".to_owned());
        let (class, pieces, complaint) = match taken_apart {
            Ok(anatomy) => (anatomy.class, anatomy.statements, None),
            Err(complaint) => (Class::NotUnderstood, Vec::new(), Some(complaint)),
        };
        let absent = missing.first().map(|name| {
            let database = self.name();
            format!("there is no relation {name} in database {database:?}, unless a session has a temporary one")
        });
        Explanation {
            database: self.name().to_owned(),
            statement: sql.to_owned(),
            class: class.as_str(),
            cacheable: reason.is_none(),
            reason: reason.map(Reason::as_str),
            remedy: reason.map(Reason::remedy),
            tags: plan
                .read
                .as_ref()
                .map_or_else(|_| Vec::new(), |_| self.tags(&tables, snapshot)),
            reads: names(&tables),
            writes: match &verdict.write {
                WriteSet::Tables(tables) => names(tables),
                WriteSet::Everything | WriteSet::Nothing => Vec::new(),
            },
            writes_everything: verdict.write == WriteSet::Everything,
            changes_catalog: verdict.catalog,
            leaves: plan.session.iter().map(SessionEffect::as_str).collect(),
            settings: settings
                .names
                .iter()
                .map(ToString::to_string)
                .chain(all)
                .collect(),
            key: KEY,
            ttl: plan.read.as_ref().ok().map(|read| show_ttl(read.ttl)),
            exceptions: self.exceptions(&tables, snapshot),
            catalog: self.describe_catalog(snapshot),
            error: complaint.or(absent),
            statements: pieces
                .iter()
                .filter(|_| takes_apart)
                .take(STATEMENTS_MAX)
                .map(|piece| self.explain_text(piece, false))
                .collect(),
        }
    }

    /// Why nothing is served at all.
    fn unavailable(&self) -> Option<Reason> {
        if !self.config.cache.enabled {
            Some(Reason::CacheDisabled)
        } else if self.watch.is_attended() && !self.is_vouched(Instant::now()) {
            Some(Reason::CatalogUnchecked)
        } else {
            None
        }
    }

    fn tags(&self, tables: &[Oid], snapshot: Option<&Snapshot>) -> Vec<String> {
        let fixed = [("everything", Slot::EVERYTHING), ("catalog", Slot::CATALOG)];
        let fixed = fixed.map(|(name, slot)| format!("{name} (word {})", slot.number()));
        let tables = tables.iter().flat_map(|&oid| {
            let name = name(oid, snapshot);
            let slots = self.table_slots(oid, snapshot).into_iter();
            slots.map(move |slot| format!("table {name} (word {})", slot.number()))
        });
        fixed.into_iter().chain(tables).collect()
    }

    fn exceptions(&self, tables: &[Oid], snapshot: Option<&Snapshot>) -> Vec<String> {
        let rules = &self.config.cache.tables;
        let names = tables
            .iter()
            .filter_map(|&oid| snapshot?.catalog.relation_names(oid));
        let mut exceptions = Vec::new();
        for (schema, table) in names {
            for key in [table.to_owned(), format!("{schema}.{table}")] {
                if let Some(rule) = rules.get(&key) {
                    let ttl = rule.ttl.map_or("as for others".to_owned(), show_ttl);
                    exceptions.push(format!(
                        "[cache.tables.{key}] enabled = {}, ttl {ttl}",
                        rule.enabled
                    ));
                }
            }
        }
        exceptions.sort();
        exceptions.dedup();
        exceptions
    }

    fn describe_catalog(&self, snapshot: Option<&Snapshot>) -> String {
        match (snapshot, self.catalog_status()) {
            (Some(snapshot), _) => {
                let (version, age) = (snapshot.version, snapshot.loaded.elapsed().as_secs());
                format!("version {version}, loaded {age} s ago")
            }
            (None, CatalogStatus::Failed(error)) => format!("cannot be loaded: {error}"),
            (None, CatalogStatus::Current | CatalogStatus::Loading) => {
                "not loaded yet, so nothing is known of tables; ask again in a moment".to_owned()
            }
        }
    }
}

fn name(oid: Oid, snapshot: Option<&Snapshot>) -> String {
    let names = snapshot.and_then(|snapshot| snapshot.catalog.relation_names(oid));
    names.map_or_else(
        || oid.0.to_string(),
        |(schema, name)| format!("{schema}.{name}"),
    )
}

fn show_ttl(ttl: Ttl) -> String {
    ttl.duration()
        .map_or_else(|| "no limit".to_owned(), |ttl| format!("{ttl:?}"))
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String], none: &str| match names {
            [] => none.to_owned(),
            names => names.join(", "),
        };
        let writes = if self.writes_everything {
            "everything".to_owned()
        } else {
            list(&self.writes, "nothing")
        };
        let leaves = if self.leaves.is_empty() {
            "nothing".to_owned()
        } else {
            self.leaves.join(", ")
        };
        writeln!(f, "database   {}", self.database)?;
        writeln!(f, "class      {}", self.class)?;
        match (self.reason, self.remedy) {
            (Some(reason), Some(remedy)) => {
                writeln!(f, "cacheable  no: {reason}\nremedy     {remedy}")?;
            }
            _ => writeln!(f, "cacheable  yes")?,
        }
        writeln!(f, "reads      {}", list(&self.reads, "no table"))?;
        writeln!(f, "writes     {writes}")?;
        if self.changes_catalog {
            writeln!(f, "           and may change definitions")?;
        }
        writeln!(f, "leaves     {leaves}")?;
        if !self.settings.is_empty() {
            writeln!(f, "settings   {}", self.settings.join(", "))?;
        }
        if self.reason.is_none() {
            writeln!(f, "tags       {}", list(&self.tags, "none"))?;
            writeln!(f, "key        {}", self.key)?;
        }
        if let Some(ttl) = &self.ttl {
            writeln!(f, "ttl        {ttl}")?;
        }
        for exception in &self.exceptions {
            writeln!(f, "exception  {exception}")?;
        }
        writeln!(f, "catalog    {}", self.catalog)?;
        for statement in &self.statements {
            let text = statement.statement.split_whitespace().collect::<Vec<_>>();
            let why = statement.reason.unwrap_or("cacheable alone");
            writeln!(
                f,
                "statement  {} [{}; reads {}; {why}]",
                text.join(" "),
                statement.class,
                list(&statement.reads, "no table"),
            )?;
        }
        Ok(())
    }
}
