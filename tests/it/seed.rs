//! `pgkeel seed` on a real server: every constraint of the schema accepts the data, all of it or none.

use pgkeel::migrate::{self, Action};
use pgkeel::seed::{self, Error, Existing, Options, Table, World};
use pgkeel_bench::sandbox::Postgres;
use tokio_postgres::Client;

const SMALL: Options = Options {
    seed: 42,
    scale: 0.02,
    existing: Existing::Refuse,
};

/// A server with the empty schema.
async fn migrated() -> Postgres {
    let postgres = Postgres::start().await.unwrap();
    migrate::run(
        &postgres.url(),
        Action::Up { to: None },
        &mut std::io::sink(),
    )
    .await
    .unwrap();
    postgres
}

async fn load(postgres: &Postgres, options: &Options) -> Result<String, Error> {
    let mut out = Vec::new();
    seed::run(&postgres.url(), options, &mut out).await?;
    Ok(String::from_utf8(out).expect("it writes UTF-8"))
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// A digest of every row of the tables.
async fn digest(client: &Client) -> Vec<String> {
    let mut digests = Vec::new();
    for table in Table::ALL {
        let sql = format!(
            "SELECT coalesce(md5(string_agg(t::text, '' ORDER BY t::text)), '') FROM {} t",
            table.name()
        );
        digests.push(client.query_one(&sql, &[]).await.unwrap().get(0));
    }
    digests
}

#[tokio::test]
async fn the_tables_hold_what_the_generator_promises() {
    let postgres = migrated().await;
    let said = load(&postgres, &SMALL).await.unwrap();
    assert_eq!(said.lines().count(), Table::ALL.len() + 1, "{said}");
    let (client, world) = (
        postgres.connect().await.unwrap(),
        World::new(SMALL.seed, SMALL.scale),
    );
    for &table in Table::ALL {
        let rows = number(&client, &format!("SELECT count(*) FROM {}", table.name())).await;
        assert_eq!(
            u64::try_from(rows).unwrap(),
            world.rows(table),
            "{}",
            table.name()
        );
    }
    let late = "SELECT count(*) FROM conversations c WHERE last_message_at <> \
                (SELECT max(created_at) FROM messages m WHERE m.conversation_id = c.id)";
    assert_eq!(number(&client, late).await, 0);
}

#[tokio::test]
async fn new_rows_get_the_ids_after_the_data() {
    let postgres = migrated().await;
    load(&postgres, &SMALL).await.unwrap();
    let client = postgres.connect().await.unwrap();
    for &table in Table::ALL.iter().filter(|table| table.identity().is_some()) {
        let name = table.name();
        let next =
            format!("SELECT nextval(pg_get_serial_sequence('{name}', 'id')) - max(id) FROM {name}");
        assert_eq!(number(&client, &next).await, 1, "{name}");
    }
}

#[tokio::test]
async fn data_that_is_there_is_only_replaced_on_request() {
    let postgres = migrated().await;
    let client = postgres.connect().await.unwrap();
    load(&postgres, &SMALL).await.unwrap();
    let first = digest(&client).await;

    let other = Options { seed: 43, ..SMALL };
    assert!(matches!(
        load(&postgres, &other).await,
        Err(Error::NotEmpty("users"))
    ));
    assert_eq!(digest(&client).await, first);
    load(
        &postgres,
        &Options {
            existing: Existing::Replace,
            ..other
        },
    )
    .await
    .unwrap();
    assert_ne!(digest(&client).await, first);
    load(
        &postgres,
        &Options {
            existing: Existing::Replace,
            ..SMALL
        },
    )
    .await
    .unwrap();
    assert_eq!(
        digest(&client).await,
        first,
        "the same seed gives the same rows"
    );
}

#[tokio::test]
async fn of_two_at_once_one_loads_and_one_is_refused() {
    let postgres = migrated().await;
    let (one, two) = tokio::join!(load(&postgres, &SMALL), load(&postgres, &SMALL));
    let refused = [one, two]
        .into_iter()
        .filter_map(Result::err)
        .collect::<Vec<_>>();
    assert!(matches!(refused[..], [Error::NotEmpty(_)]), "{refused:?}");
}

#[tokio::test]
async fn without_the_schema_it_says_what_to_do() {
    let postgres = Postgres::start().await.unwrap();
    let error = load(&postgres, &SMALL).await.unwrap_err().to_string();
    assert!(error.ends_with("run `pgkeel migrate up` first"), "{error}");
}
