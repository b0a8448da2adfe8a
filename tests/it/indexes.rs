//! The indexes of the sample application: how many there are of which kind, that none stands in for another,
//! and that PostgreSQL uses each of them for the query it was made for.

mod queries;

use std::collections::BTreeMap;

use pgkeel::migrate::{self, Action};
use pgkeel::seed::{self, Existing, Options, Table};
use pgkeel_bench::sandbox::Postgres;
use tokio_postgres::{Client, SimpleQueryMessage};

use queries::{Query, queries};

const MIGRATION: &str = include_str!("../../migrations/0008_indexes.up.sql");

/// The version before the one that adds the indexes.
const BEFORE: i64 = 7;

/// What the generator makes, which takes long in a debug build, and how often it is copied: scale 1 in all.
const SEEDED: Options = Options {
    seed: 42,
    scale: 0.1,
    existing: Existing::Refuse,
};
const COPIES: u32 = 9;

/// An index as the catalog has it.
#[derive(Clone, Debug)]
struct Index {
    table: String,
    method: String,
    /// Columns and expressions, in order.
    keys: Vec<String>,
    /// The operator class of the first key.
    class: String,
    predicate: Option<String>,
}

impl Index {
    /// Whether whatever this index can do, `other` can: the same keys in front, for at least the same rows.
    fn is_covered_by(&self, other: &Self) -> bool {
        self.table == other.table
            && self.method == other.method
            && self.class == other.class
            && (other.predicate.is_none() || other.predicate == self.predicate)
            && match self.method.as_str() {
                "btree" => other.keys.starts_with(&self.keys),
                _ => other.keys == self.keys,
            }
    }
}

/// Every index of the application's tables.
async fn indexes(client: &Client) -> BTreeMap<String, Index> {
    let sql = "SELECT c.relname::text, i.indrelid::regclass::text, a.amname::text, o.opcname::text, \
                      ARRAY(SELECT pg_get_indexdef(i.indexrelid, key, false) \
                            FROM generate_series(1, i.indnkeyatts::int) AS key ORDER BY key), \
                      pg_get_expr(i.indpred, i.indrelid) \
               FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam \
                    JOIN pg_opclass o ON o.oid = i.indclass[0] \
               WHERE c.relnamespace = 'public'::regnamespace AND i.indisvalid";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| {
            let index = Index {
                table: row.get(1),
                method: row.get(2),
                class: row.get(3),
                keys: row.get(4),
                predicate: row.get(5),
            };
            (row.get(0), index)
        })
        .collect()
}

async fn migrate(postgres: &Postgres, action: Action) {
    migrate::run(&postgres.url(), action, &mut std::io::sink())
        .await
        .unwrap();
}

#[tokio::test]
async fn there_are_as_many_of_each_kind_as_the_team_described() {
    let postgres = Postgres::start().await.unwrap();
    let client = postgres.connect().await.unwrap();
    let up_to_before = Action::Up { to: Some(BEFORE) };
    migrate(&postgres, up_to_before).await;
    let before = indexes(&client).await;
    migrate(&postgres, Action::Up { to: None }).await;
    let all = indexes(&client).await;
    let added: BTreeMap<_, _> = all
        .iter()
        .filter(|(name, _)| !before.contains_key(*name))
        .collect();

    let count = |is: &dyn Fn(&Index) -> bool| added.values().filter(|index| is(index)).count();
    let mentions = |words: &'static [&str]| {
        move |index: &Index| {
            let mut pairs = index
                .keys
                .iter()
                .flat_map(|key| words.iter().map(move |word| (key, word)));
            pairs.any(|(key, word)| key.to_lowercase().contains(word))
        }
    };
    assert_eq!(added.len(), 58);
    assert_eq!(count(&|index| index.keys.len() > 1), 45, "composite");
    assert_eq!(count(&|index| index.predicate.is_some()), 12, "partial");
    let is_gin = |index: &Index| index.method == "gin";
    let jsonb = count(&|index| is_gin(index) && index.class.starts_with("jsonb_"));
    assert_eq!(jsonb, 8, "GIN on JSONB");
    let full_text = count(&|index| is_gin(index) && index.class == "tsvector_ops");
    assert_eq!(full_text, 3, "full-text");
    let date_parts = count(&mentions(&["date_trunc(", "extract(", "date_part("]));
    assert_eq!(date_parts, 7, "date parts");
    assert_eq!(count(&mentions(&["lower("])), 4, "lower-cased text");

    for (&name, &index) in &added {
        let covers =
            |(other, covering): &(&String, &Index)| *other != name && index.is_covered_by(covering);
        let covering = all.iter().find(covers);
        assert!(covering.is_none(), "{name} adds nothing to {covering:?}");
    }
    migrate(&postgres, Action::Down { to: Some(BEFORE) }).await;
    assert_eq!(indexes(&client).await.len(), before.len());
}

#[test]
fn each_index_is_named_beside_its_query() {
    let mut beside = BTreeMap::new();
    let mut lines = MIGRATION.lines().peekable();
    while let Some(line) = lines.next() {
        let next = lines
            .peek()
            .and_then(|next| next.strip_prefix("CREATE INDEX CONCURRENTLY "));
        if let (Some(query), Some(definition)) = (line.strip_prefix("-- "), next) {
            let index = definition.split(' ').next().unwrap_or_default();
            beside.insert(query.to_owned(), index.to_owned());
        }
    }
    let named: BTreeMap<_, _> = queries()
        .into_iter()
        .map(|query| (query.name, query.index))
        .collect();
    assert_eq!(named.len(), 58);
    assert_eq!(named, beside);
}

#[tokio::test]
async fn postgres_uses_each_index_for_its_query() {
    let postgres = Postgres::start().await.unwrap();
    let client = postgres.connect().await.unwrap();
    migrate(&postgres, Action::Up { to: Some(BEFORE) }).await;
    seed::run(&postgres.url(), &SEEDED, &mut std::io::sink())
        .await
        .unwrap();
    multiply(&client).await;
    migrate(&postgres, Action::Up { to: None }).await;
    client.batch_execute("VACUUM (ANALYZE)").await.unwrap();

    let mut problems = Vec::new();
    // Drivers send a value with each statement at first; later the server plans without looking at it.
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let set = format!("SET plan_cache_mode = {mode}");
        client.batch_execute(&set).await.unwrap();
        for query in queries() {
            problems.extend(check_plans(&client, &query).await);
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// The plans of `query` that do without its index, for the first few of its sample values.
async fn check_plans(client: &Client, query: &Query) -> Vec<String> {
    let samples = match &query.arguments {
        Some(arguments) => rows(client, arguments).await,
        None => vec![Vec::new()],
    };
    assert!(!samples.is_empty(), "{} has no sample values", query.name);
    let prepare = format!("PREPARE q AS {}", query.sql);
    client.batch_execute(&prepare).await.unwrap();
    let mut problems = Vec::new();
    for sample in samples.iter().take(4) {
        let values: Vec<_> = sample
            .iter()
            .map(|value| format!("'{}'", value.replace('\'', "''")))
            .collect();
        let arguments = match values.join(", ") {
            none if none.is_empty() => none,
            some => format!("({some})"),
        };
        let plan = rows(client, &format!("EXPLAIN EXECUTE q{arguments}"))
            .await
            .concat();
        let uses = |line: &String| line.split_whitespace().any(|word| word == query.index);
        if !plan.iter().any(uses) {
            problems.push(format!("{}{arguments}:\n{}", query.name, plan.join("\n")));
        }
    }
    client.batch_execute("DEALLOCATE q").await.unwrap();
    problems
}

/// What a query returns, as text.
async fn rows(client: &Client, sql: &str) -> Vec<Vec<String>> {
    let messages = client.simple_query(sql).await.unwrap();
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let value = |column| row.get(column).expect("no sample is null").to_owned();
            Some((0..row.len()).map(value).collect())
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

/// Copies every row of the tables that grow, [`COPIES`] times. Keys and what refers to them change alike, so
/// each copy is a world of its own.
async fn multiply(client: &Client) {
    let keeps = [Table::AgentConfigurations, Table::FeatureFlags];
    // What refers to a row is right by construction.
    let mut script = "BEGIN; SET LOCAL session_replication_role = replica;\n".to_owned();
    for table in Table::ALL.iter().filter(|table| !keeps.contains(table)) {
        let (name, columns) = (table.name(), table.columns());
        let types = "SELECT attname::text, atttypid::regtype::text FROM pg_attribute \
                     WHERE attrelid = to_regclass($1) AND attnum > 0";
        let types: BTreeMap<String, String> = client
            .query(types, &[&name])
            .await
            .unwrap()
            .iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect();
        let values: Vec<_> = columns
            .iter()
            .map(|&column| match (column, types[column].as_str()) {
                (_, "uuid") => format!("md5({column}::text || copy)::uuid"),
                ("id" | "step_id", "bigint") => format!("{column} + copy * 1000000"),
                ("email" | "external_id" | "name", "text") => format!("copy || '.' || {column}"),
                _ => column.to_owned(),
            })
            .collect();
        let (columns, values) = (columns.join(", "), values.join(", "));
        script += &format!(
            "INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE \
             SELECT {values} FROM {name}, generate_series(1, {COPIES}) AS copy ORDER BY {name}.ctid, copy;\n"
        );
    }
    script += "COMMIT";
    client.batch_execute(&script).await.unwrap();
}
