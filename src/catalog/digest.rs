//! Has the catalog changed since a snapshot of it was loaded? One cheap question.
//!
//! A row of a system catalog that has become visible since a moment was written by a transaction whose number is not
//! below that moment's *horizon*, the oldest transaction then in progress. So a digest counts the rows of the catalogs
//! and adds up a hash of those written since the horizon, in any order: it stays the same exactly as long as no row is
//! added, replaced or removed. VACUUM and ANALYZE change rows in place and are not seen, nor are rows of temporary
//! objects. Roles are read from `pg_roles`, since not everybody may read `pg_authid`.
//!
//! If no transaction has ended since the last question, the answer is known without looking at the catalogs.
//!
//! <https://www.postgresql.org/docs/current/catalogs.html>

use std::fmt::Write as _;

use tokio_postgres::{Client, Error, Statement};

/// A horizon older than this, in transactions, is too old to be compared with: their numbers go round at 2^31.
const HORIZON_AGE_MAX: i32 = 1_000_000_000;

/// The catalogs whose rows are counted: alias, catalog, what identifies a row, and which rows count.
///
/// `pg_attribute` is not counted, only looked through: its rows go with those of `pg_class`.
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
    ("pg_class", "oid", "relpersistence <> 't'"),
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

/// The state of the catalog at one moment, to be compared with another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Digest {
    /// The oldest transaction in progress at the moment it was first taken.
    horizon: String,
    /// The transactions that were over when it was last found to be true.
    seen: String,
    rows: String,
    settings: String,
}

/// What a look at the catalog has found.
#[derive(Debug)]
pub enum Found {
    /// Something is not as it was.
    Changed,
    /// All is as it was. The digest to compare with from here on.
    Unchanged(Digest),
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
    let now = ask(client, statement, Some(before)).await?;
    let is_same = now.digest.rows == before.rows && now.digest.settings == before.settings;
    Ok(if is_same && now.horizon_age < HORIZON_AGE_MAX {
        Found::Unchanged(now.digest)
    } else {
        Found::Changed
    })
}

struct Answer {
    digest: Digest,
    horizon_age: i32,
}

async fn ask(
    client: &Client,
    statement: &Statement,
    before: Option<&Digest>,
) -> Result<Answer, Error> {
    let (horizon, seen) = before
        .map(|before| (before.horizon.as_str(), before.seen.as_str()))
        .unzip();
    let row = client.query_one(statement, &[&horizon, &seen]).await?;
    let rows: Option<String> = row.try_get(3)?;
    Ok(Answer {
        digest: Digest {
            horizon: row.try_get(0)?,
            seen: row.try_get(1)?,
            // Nothing that could have changed them is over.
            rows: rows
                .or_else(|| before.map(|before| before.rows.clone()))
                .unwrap_or_default(),
            settings: row.try_get(4)?,
        },
        horizon_age: row.try_get(2)?,
    })
}

/// $1 is the horizon and $2 what was seen last, both null at first.
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
  SELECT oid FROM pg_class WHERE relpersistence = 't'
), hidden AS MATERIALIZED (
  SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast_)?temp_'
), parts (part) AS (
{parts} SELECT concat_ws(' ', 'pg_roles', count(*), sum(hashtextextended(r::text, 0))) FROM pg_roles r
)
SELECT now.xmin, now.seen, horizon.age,
  CASE WHEN now.seen IS DISTINCT FROM $2::text OR pg_is_in_recovery()
       THEN (SELECT string_agg(part, ', ' ORDER BY part) FROM parts) END,
  (SELECT sum(hashtextextended(concat_ws(' ', s.name, s.reset_val), 0))::text FROM pg_settings s
   WHERE s.context IN ('superuser', 'user'))
FROM now, horizon"
    )
}
