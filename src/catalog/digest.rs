//! Has the catalog changed since a snapshot of it was loaded? One cheap question.
//!
//! A row of a system catalog that has become visible since a moment was written by a transaction whose number is not
//! below that moment's *horizon*, the oldest transaction then in progress. So a digest counts the rows of the catalogs
//! and adds up a hash of those written since the horizon, in any order: it stays the same exactly as long as no row is
//! added, replaced or removed. VACUUM and ANALYZE change rows in place and are not seen (but for the first ANALYZE of a
//! table that has lost its children), nor are rows of temporary objects. Roles are read from `pg_roles`, since not
//! everybody may read `pg_authid`.
//!
//! If no transaction has ended since the last question, the answer is known without looking at the catalogs.
//!
//! What gives a table new files (TRUNCATE, REFRESH MATERIALIZED VIEW, CLUSTER, VACUUM FULL, REINDEX) replaces its row
//! in `pg_class`, and defines nothing. So when only rows of `pg_class` have been replaced, what they say is compared
//! too, in a second question. If that is as it was, and files are not, only those tables are in doubt: whatever was
//! done to them in between and undone again is seen by what reads them.
//!
//! <https://www.postgresql.org/docs/current/catalogs.html>

use std::fmt::Write as _;

use tokio_postgres::{Client, Error, Statement};

/// A horizon older than this, in transactions, is too old to be compared with: their numbers go round at 2^31.
const HORIZON_AGE_MAX: i32 = 1_000_000_000;

/// The catalogs whose rows are counted: alias, catalog, what identifies a row, and which rows count.
///
/// `pg_attribute` is not counted, only looked through: its rows go with those of `pg_class`, which has its own place.
const COUNTED: &[(&str, &str, &str)] = &[
    ("pg_aggregate", "aggfnoid::oid", ""),
    ("pg_amop", "oid", ""),
    ("pg_amproc", "oid", ""),
    (
        "pg_attrdef",
        "oid",
        "adrelid NOT IN (SELECT oid FROM temporary)",
    ),
    ("pg_auth_members", "roleid", ""),
    ("pg_cast", "oid", ""),
    (
        "pg_collation",
        "oid",
        "collnamespace NOT IN (SELECT oid FROM hidden)",
    ),
    (
        "pg_constraint",
        "oid",
        "connamespace NOT IN (SELECT oid FROM hidden)",
    ),
    (
        "pg_conversion",
        "oid",
        "connamespace NOT IN (SELECT oid FROM hidden)",
    ),
    (
        "pg_db_role_setting",
        "setrole",
        "setdatabase = 0 OR setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
    ),
    ("pg_enum", "oid", ""),
    ("pg_event_trigger", "oid", ""),
    (
        "pg_inherits",
        "inhrelid",
        "inhrelid NOT IN (SELECT oid FROM temporary)",
    ),
    ("pg_language", "oid", ""),
    ("pg_namespace", "oid", "oid NOT IN (SELECT oid FROM hidden)"),
    (
        "pg_opclass",
        "oid",
        "opcnamespace NOT IN (SELECT oid FROM hidden)",
    ),
    (
        "pg_operator",
        "oid",
        "oprnamespace NOT IN (SELECT oid FROM hidden)",
    ),
    (
        "pg_opfamily",
        "oid",
        "opfnamespace NOT IN (SELECT oid FROM hidden)",
    ),
    (
        "pg_policy",
        "oid",
        "polrelid NOT IN (SELECT oid FROM temporary)",
    ),
    (
        "pg_proc",
        "oid",
        "pronamespace NOT IN (SELECT oid FROM hidden)",
    ),
    ("pg_range", "rngtypid", ""),
    (
        "pg_rewrite",
        "oid",
        "ev_class NOT IN (SELECT oid FROM temporary)",
    ),
    (
        "pg_trigger",
        "oid",
        "tgrelid NOT IN (SELECT oid FROM temporary)",
    ),
    (
        "pg_ts_config",
        "oid",
        "cfgnamespace NOT IN (SELECT oid FROM hidden)",
    ),
    ("pg_ts_config_map", "mapcfg", ""),
    (
        "pg_ts_dict",
        "oid",
        "dictnamespace NOT IN (SELECT oid FROM hidden)",
    ),
    (
        "pg_type",
        "oid",
        "typnamespace NOT IN (SELECT oid FROM hidden)",
    ),
];

/// The catalogs that are looked through for rows written since the horizon.
const LOOKED_THROUGH: &[(&str, &str, &str)] = &[
    (
        "pg_attribute",
        "attrelid::int8 << 16 | attnum",
        "attrelid NOT IN (SELECT oid FROM temporary)",
    ),
    ("pg_database", "oid", "datname = current_database()"),
];

/// The rows of `pg_class` that count. Tables that hold what is too long for a row come and go with files.
const RELATIONS: &str = "relpersistence <> 't' AND relnamespace NOT IN (SELECT oid FROM hidden)";

/// What a row of `pg_class` says, but for files, statistics, and what other catalogs say. In PostgreSQL 13 to 18.
const MEANING: &str = "r.oid, relname, relnamespace, reltype, reloftype, relowner, relisshared, relpersistence, relkind, \
    relnatts, relchecks, relrowsecurity, relforcerowsecurity, relispopulated, relispartition, relacl, reloptions, \
    relpartbound";

/// The state of the catalog at one moment, to be compared with another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Digest {
    /// The oldest transaction in progress at the moment it was first taken.
    horizon: String,
    /// The transactions that were over when it was last found to be true.
    seen: String,
    rows: String,
    settings: String,
    relations: String,
    details: Details,
}

/// More of `pg_class`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Details {
    meaning: String,
    files: String,
    /// The rows written since the horizon, each as "table relation transaction"; the table is 0 if it has no files.
    recent: Vec<String>,
}

/// What a look at the catalog has found.
#[derive(Debug)]
pub enum Found {
    /// Something is not as it was.
    Changed,
    /// All is as it was. The digest to compare with from here on.
    Unchanged(Digest),
    /// All is as it was, except that tables were given new files.
    Rewritten {
        /// Their oids, each once.
        tables: Vec<u32>,
        /// The digest to compare with from here on.
        digest: Digest,
    },
}

/// The digest of the transaction that `client` is in, which sees one snapshot of PostgreSQL.
///
/// # Errors
/// What the server says.
pub(super) async fn take(client: &Client) -> Result<Digest, Error> {
    let statement = prepare(client).await?;
    let answer = ask(client, &statement, None).await?;
    Ok(answer.digest)
}

/// Prepares the question, once for a connection, with `search_path = pg_catalog`.
///
/// # Errors
/// What the server says.
pub async fn prepare(client: &Client) -> Result<Statement, Error> {
    client.prepare(&query()).await
}

/// Compares the catalog of this moment with a digest.
///
/// # Errors
/// What the server says.
pub async fn compare(
    client: &Client,
    statement: &Statement,
    before: &Digest,
) -> Result<Found, Error> {
    let now = ask(client, statement, Some((before, Detail::None))).await?;
    if now.contradicts(before) {
        return Ok(Found::Changed);
    }
    if now.digest.relations == before.relations {
        return Ok(Found::Unchanged(now.digest));
    }
    // All that is compared from here on is of one snapshot again.
    let now = ask(client, statement, Some((before, Detail::Full))).await?;
    if now.contradicts(before) {
        return Ok(Found::Changed);
    }
    let tables = rewritten(&before.details, &now.digest.details);
    Ok(tables.map_or(Found::Changed, |tables| Found::Rewritten {
        tables,
        digest: now.digest,
    }))
}

/// The tables that were given new files, if nothing else has happened to relations.
fn rewritten(before: &Details, now: &Details) -> Option<Vec<u32>> {
    if now.meaning != before.meaning || now.files == before.files {
        return None;
    }
    let replaced = now.recent.iter().filter(|row| !before.recent.contains(row));
    let mut tables: Vec<u32> = replaced
        .map(|row| row.split(' ').next()?.parse().ok().filter(|&oid| oid != 0))
        .collect::<Option<_>>()?;
    tables.sort_unstable();
    tables.dedup();
    Some(tables).filter(|tables| !tables.is_empty())
}

/// How much is asked of `pg_class`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Detail {
    None,
    Full,
}

struct Answer {
    digest: Digest,
    horizon_age: i32,
}

impl Answer {
    /// Is something different, relations apart?
    fn contradicts(&self, before: &Digest) -> bool {
        self.digest.rows != before.rows
            || self.digest.settings != before.settings
            || self.horizon_age >= HORIZON_AGE_MAX
    }
}

/// Everything is asked when there is nothing to compare with.
async fn ask(
    client: &Client,
    statement: &Statement,
    before: Option<(&Digest, Detail)>,
) -> Result<Answer, Error> {
    let (before, detail) = before.unzip();
    let (horizon, seen) = before
        .map(|before| (before.horizon.as_str(), before.seen.as_str()))
        .unzip();
    let is_full = detail != Some(Detail::None);
    let row = client
        .query_one(statement, &[&horizon, &seen, &is_full])
        .await?;
    // Without rows, nothing that could have changed them is over.
    let rows: Option<String> = row.try_get(3)?;
    let relations: Option<String> = row.try_get(5)?;
    let details: Option<Vec<Option<String>>> = row.try_get(6)?;
    Ok(Answer {
        digest: Digest {
            horizon: row.try_get(0)?,
            seen: row.try_get(1)?,
            rows: rows
                .or_else(|| before.map(|before| before.rows.clone()))
                .unwrap_or_default(),
            settings: row.try_get(4)?,
            relations: relations
                .or_else(|| before.map(|before| before.relations.clone()))
                .unwrap_or_default(),
            details: details
                .map(Details::from)
                .or_else(|| before.map(|before| before.details.clone()))
                .unwrap_or_default(),
        },
        horizon_age: row.try_get(2)?,
    })
}

impl From<Vec<Option<String>>> for Details {
    fn from(parts: Vec<Option<String>>) -> Self {
        let mut parts = parts.into_iter().map(Option::unwrap_or_default);
        Self {
            meaning: parts.next().unwrap_or_default(),
            files: parts.next().unwrap_or_default(),
            recent: parts.collect(),
        }
    }
}

/// $1 is the horizon and $2 what was seen last, both null at first; $3 asks for the details of `pg_class`.
///
/// A standby does not tell all transactions that it has seen, so there the catalogs are looked at each time. What
/// sessions start with, as the server's files and the role have it, is changed by no transaction.
fn query() -> String {
    let mut parts = String::new();
    for (catalog, identity, condition) in COUNTED {
        let condition = if condition.is_empty() {
            "true"
        } else {
            condition
        };
        let _ = write!(
            parts,
            "SELECT concat_ws(' ', '{catalog}', count(*), sum(hashint8extended(r.xmin::text::int8, ({identity})::int8)) \
             FILTER (WHERE age(r.xmin) <= h.age)) FROM {catalog} r, horizon h WHERE {condition}\n UNION ALL\n"
        );
    }
    for (catalog, identity, condition) in LOOKED_THROUGH {
        let _ = write!(
            parts,
            "SELECT concat_ws(' ', '{catalog}', sum(hashint8extended(r.xmin::text::int8, ({identity})::int8))) \
             FROM {catalog} r, horizon h WHERE age(r.xmin) <= h.age AND ({condition})\n UNION ALL\n"
        );
    }
    format!(
        "WITH now AS MATERIALIZED (
  SELECT pg_current_snapshot()::text AS seen,
         coalesce($1::text, pg_snapshot_xmin(pg_current_snapshot())::text) AS xmin
), horizon AS MATERIALIZED (
  SELECT age(xmin::xid8::xid) AS age FROM now
), temporary AS MATERIALIZED (
  SELECT oid FROM pg_class WHERE relpersistence = 't' OR relnamespace = 'pg_toast'::regnamespace
), hidden AS MATERIALIZED (
  SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast$|(toast_)?temp_)'
), parts (part) AS (
{parts} SELECT concat_ws(' ', 'pg_roles', count(*), sum(hashtextextended(r::text, 0))) FROM pg_roles r
)
SELECT now.xmin, now.seen, horizon.age,
  CASE WHEN now.seen IS DISTINCT FROM $2::text OR pg_is_in_recovery()
       THEN (SELECT string_agg(part, ', ' ORDER BY part) FROM parts) END,
  (SELECT sum(hashtextextended(concat_ws(' ', s.name, s.reset_val), 0))::text FROM pg_settings s
   WHERE s.context IN ('superuser', 'user')),
  CASE WHEN now.seen IS DISTINCT FROM $2::text OR pg_is_in_recovery()
       THEN (SELECT concat_ws(' ', count(*), sum(hashint8extended(r.xmin::text::int8, r.oid::int8))
                                             FILTER (WHERE age(r.xmin) <= h.age))
             FROM pg_class r, horizon h WHERE {RELATIONS}) END,
  CASE WHEN $3::bool
       THEN (SELECT ARRAY[sum(hashtextextended(ROW({MEANING})::text, 0))::text,
                          sum(hashint8extended(r.oid::int8, r.relfilenode::int8))::text]
                    || array_agg(concat_ws(' ', CASE WHEN r.relkind IN ('m', 'r') THEN r.oid
                                                     ELSE coalesce(i.indrelid, 0) END, r.oid, r.xmin))
                       FILTER (WHERE age(r.xmin) <= h.age)
             FROM pg_class r CROSS JOIN horizon h LEFT JOIN pg_index i ON i.indexrelid = r.oid
             WHERE {RELATIONS}) END
FROM now, horizon"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(meaning: &str, files: &str, recent: &[&str]) -> Details {
        Details {
            meaning: meaning.to_owned(),
            files: files.to_owned(),
            recent: recent.iter().map(|&row| row.to_owned()).collect(),
        }
    }

    #[test]
    fn a_table_and_its_index_with_new_files_are_one_table() {
        let before = details("a", "1", &["5 5 100", "7 7 100"]);
        let now = details("a", "2", &["5 5 101", "5 6 101", "7 7 100"]);
        assert_eq!(rewritten(&before, &now), Some(vec![5]));
    }

    #[test]
    fn more_than_new_files_is_a_change() {
        let before = details("a", "1", &[]);
        for now in [
            details("b", "2", &["5 5 101"]),
            details("a", "1", &["5 5 101"]),
            details("a", "2", &["5 5 101", "0 8 101"]),
            details("a", "2", &[]),
        ] {
            assert_eq!(rewritten(&before, &now), None, "{now:?}");
        }
    }
}
