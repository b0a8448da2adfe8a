//! A snapshot of a real catalog: the queries run, and what they bring is understood.

use pgkeel::analysis::{Catalog, Dialect, Oid, SessionEffect, Verdict, WriteSet, parse};
use pgkeel::catalog::load;
use pgkeel::reason::Reason;
use pgkeel_bench::sandbox::Postgres;
use tokio_postgres::Client;

const DIALECT: Dialect = Dialect {
    utf8: true,
    standard_conforming_strings: true,
};

const SCHEMA: &str = r"
CREATE FUNCTION vol() RETURNS int LANGUAGE plpgsql AS $$BEGIN EXECUTE 'SEL' || 'ECT 1'; RETURN 1; END$$;
CREATE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
CREATE FUNCTION is_mail(text) RETURNS bool LANGUAGE plpgsql AS $$BEGIN PERFORM vol(); RETURN true; END$$;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM vol(); RETURN NEW; END$$;
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN mail AS text CHECK (is_mail(VALUE));
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE users (id int PRIMARY KEY, name text, created_at timestamptz, feelings mood[], halves pair);
CREATE TABLE leads (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE, amount positive);
CREATE TABLE notes (id int PRIMARY KEY, lead_id int REFERENCES leads ON DELETE SET NULL ON UPDATE CASCADE);
CREATE UNLOGGED TABLE scratch (id int);
CREATE TABLE events (id int, at date) PARTITION BY RANGE (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10);
CREATE TABLE parent (id int);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE logged (id int);
CREATE TRIGGER t AFTER INSERT ON logged FOR EACH STATEMENT EXECUTE FUNCTION touch();
CREATE TRIGGER t BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TABLE quiet (id int);
CREATE TRIGGER t BEFORE UPDATE ON quiet FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE TABLE ruled (id int);
CREATE RULE r AS ON INSERT TO ruled DO ALSO (INSERT INTO notes VALUES (NEW.id); NOTIFY ruled);
CREATE TABLE secret (id int);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON secret USING (vol() = 1);
CREATE TABLE defaulted (id int DEFAULT vol());
CREATE TABLE checked (id int CHECK (vol() = id));
CREATE TABLE indexed (id int);
CREATE INDEX ON indexed (twice(id));
CREATE TABLE mails (address mail);
CREATE TABLE odd (class regclass);
CREATE VIEW glad AS SELECT id FROM users WHERE 'glad' = ANY (feelings);
CREATE VIEW over_glad AS SELECT g.id, E'a\\b' AS path FROM glad g JOIN leads USING (id);
CREATE VIEW clock AS SELECT now() AS at;
CREATE VIEW trap AS SELECT vol() AS v;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM leads;
CREATE AGGREGATE product (int) (sfunc = int4mul, stype = int);
CREATE AGGREGATE strange (int) (sfunc = vol2, stype = int);
CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq);
CREATE OPERATOR !!! (rightarg = int, function = volatile_of);
CREATE SCHEMA other;
CREATE TABLE other.users (id int);
CREATE FUNCTION thrice(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT twice(n) + n';
CREATE FUNCTION looks_up(int) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT count(*) FROM leads';
CREATE FUNCTION says_so(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION add_up(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + $2';
CREATE FUNCTION add_oddly(int, int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE TABLE shifts (id int, starts time);
CREATE VIEW early AS SELECT id, starts FROM shifts;
CREATE TABLE configured (id int, a text DEFAULT set_config('a.b', 'c', false));
CREATE TABLE numbered (id serial, a text DEFAULT lower('A'), at timestamptz DEFAULT now(), CHECK (length(a) > 0));
CREATE CAST (varchar AS mood) WITH INOUT AS IMPLICIT;
CREATE AGGREGATE sum_of (int) (sfunc = add_up, stype = int);
CREATE FUNCTION described(n int, lang text DEFAULT lower('EN')) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT upper($2); END;
CREATE FUNCTION amount_of(which int) RETURNS int LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
  AS $$DECLARE found_amount users.id%TYPE; n bigint; BEGIN SELECT count(*) INTO n FROM leads WHERE id = which; RETURN n; END$$;
CREATE FUNCTION best() RETURNS SETOF leads LANGUAGE plpgsql AS $$BEGIN RETURN QUERY SELECT * FROM leads LIMIT 1; END$$;
CREATE TABLE stamped (id int, updated_at timestamptz);
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.updated_at := now(); RETURN NEW; END$$;
CREATE TRIGGER stamp BEFORE UPDATE ON stamped FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE FUNCTION copy_rows() RETURNS trigger LANGUAGE plpgsql
  AS $$BEGIN INSERT INTO quiet SELECT id FROM added; RETURN NULL; END$$;
CREATE TRIGGER copy_rows AFTER INSERT ON stamped REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION copy_rows();
CREATE VIEW stamps AS SELECT id FROM stamped;
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN UPDATE quiet SET id = NEW.id; RETURN NEW; END$$;
CREATE TRIGGER instead INSTEAD OF UPDATE ON stamps FOR EACH ROW EXECUTE FUNCTION instead();
CREATE PROCEDURE clear() LANGUAGE plpgsql AS $$BEGIN DELETE FROM quiet; COMMIT; TRUNCATE scratch; END$$;
CREATE AGGREGATE sum_oddly (int) (sfunc = add_oddly, stype = int);
";

/// What reads depend on.
const READS: &[(&str, &[&str])] = &[
    ("SELECT * FROM glad", &["public.users"]),
    ("SELECT * FROM over_glad", &["public.leads", "public.users"]),
    ("SELECT * FROM users", &["other.users", "public.users"]),
    (
        "SELECT * FROM events",
        &["public.events", "public.events_1"],
    ),
    ("SELECT * FROM parent", &["public.child", "public.parent"]),
    ("SELECT * FROM totals", &["public.totals"]),
    ("SELECT * FROM mails", &["public.mails"]),
    (
        "SELECT twice(1), thrice(1), sum_of(1), product(1), 1 === 1, 'sad'::mood, lower('A'), 2 % 3",
        &[],
    ),
    (
        "SELECT strange(1), says_so(1), sum_oddly(1), !!! 1, described(2)",
        &[],
    ),
    ("SELECT looks_up(1)", &["public.leads"]),
    ("SELECT amount_of(1), best()", &["public.leads"]),
    ("SELECT (name).says_so FROM public.users", &["public.users"]),
    (
        "SELECT to_char(created_at, 'YYYY'), created_at::date, count(*) OVER () FROM public.users",
        &["public.users"],
    ),
    (
        "SELECT json_agg(n), concat(1, 2), string_agg('a', 'b') FROM notes n",
        &["public.notes"],
    ),
    (
        "SELECT extract(year FROM created_at), 'a' ~~ 'b', ARRAY[1] || 2 FROM public.users",
        &["public.users"],
    ),
];

/// Reads that are not cached.
const REFUSED: &[(&str, Reason)] = &[
    ("SELECT * FROM clock", Reason::StableFunction),
    ("SELECT * FROM trap", Reason::UserFunction),
    ("SELECT * FROM secret", Reason::RowSecurity),
    ("SELECT * FROM odd", Reason::UnsafeType),
    ("SELECT 'a'::mail", Reason::UnsafeType),
    ("SELECT 1::positive", Reason::UnsafeType),
    ("SELECT 'users'::regclass", Reason::UnsafeType),
    ("SELECT now()", Reason::StableFunction),
    ("SELECT random()", Reason::VolatileFunction),
    ("SELECT age(now())", Reason::StableFunction),
    ("SELECT name::date FROM users", Reason::TextReadAsDate),
    ("SELECT * FROM pg_class", Reason::SystemCatalog),
    (
        "SELECT * FROM information_schema.tables",
        Reason::SystemCatalog,
    ),
    ("SELECT * FROM nowhere", Reason::UnknownRelation),
];

/// What changes touch.
const WRITES: &[(&str, &[&str])] = &[
    ("INSERT INTO notes VALUES (1)", &["public.notes"]),
    (
        "DELETE FROM public.users",
        &["public.leads", "public.notes", "public.users"],
    ),
    ("UPDATE leads SET id = 1", &["public.leads", "public.notes"]),
    ("INSERT INTO numbered VALUES (1)", &["public.numbered"]),
    ("INSERT INTO configured VALUES (1)", &["public.configured"]),
    ("UPDATE quiet SET id = 1", &["public.quiet"]),
    ("INSERT INTO indexed VALUES (1)", &["public.indexed"]),
    (
        "INSERT INTO ruled VALUES (1)",
        &["public.notes", "public.ruled"],
    ),
    ("INSERT INTO glad VALUES (1)", &["public.users"]),
    ("UPDATE stamped SET id = 1", &["public.stamped"]),
    (
        "INSERT INTO stamped VALUES (1)",
        &["public.quiet", "public.stamped"],
    ),
    ("UPDATE stamps SET id = 1", &["public.quiet"]),
    ("CALL clear()", &["public.quiet", "public.scratch"]),
    ("DO $$BEGIN DELETE FROM quiet; END$$", &["public.quiet"]),
    (
        "UPDATE parent SET id = 1",
        &["public.child", "public.parent"],
    ),
    ("REFRESH MATERIALIZED VIEW totals", &["public.totals"]),
    (
        "TRUNCATE public.users CASCADE",
        &["public.leads", "public.notes", "public.users"],
    ),
];

/// Changes that may touch anything.
const EVERYTHING: &[&str] = &[
    "INSERT INTO logged VALUES (1)",
    "INSERT INTO events VALUES (1)",
    "INSERT INTO events_1 VALUES (1)",
    "INSERT INTO defaulted VALUES (1)",
    "INSERT INTO checked VALUES (1)",
    "INSERT INTO mails VALUES ('a')",
    "INSERT INTO secret VALUES (1)",
    "SELECT * FROM trap",
    "SELECT * FROM secret",
];

#[tokio::test]
async fn a_snapshot_knows_the_database() -> Result<(), Box<dyn std::error::Error>> {
    let postgres = Postgres::start().await?;
    let client = postgres.connect().await?;
    client
        .batch_execute(
            "CREATE FUNCTION vol2(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
             CREATE FUNCTION volatile_of(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';",
        )
        .await?;
    client.batch_execute(SCHEMA).await?;
    let catalog = load(&client).await?;

    for &(sql, tables) in READS {
        assert_eq!(
            reads(&catalog, sql),
            Ok(tables.iter().map(|name| (*name).to_owned()).collect()),
            "{sql}"
        );
    }
    for &(sql, reason) in REFUSED {
        assert_eq!(reads(&catalog, sql), Err(reason), "{sql}");
    }
    // PostgreSQL 13 has it that a time of day in another zone is volatile.
    let version: i32 = client
        .query_one("SELECT current_setting('server_version_num')::int", &[])
        .await?
        .get(0);
    assert_eq!(
        reads(&catalog, "SELECT starts AT TIME ZONE 'CET' FROM early"),
        Err(if version < 140_000 {
            Reason::VolatileFunction
        } else {
            Reason::StableFunction
        })
    );
    for &(sql, tables) in WRITES {
        assert_eq!(
            writes(&catalog, sql),
            Some(tables.iter().map(|name| (*name).to_owned()).collect()),
            "{sql}"
        );
    }
    for &sql in EVERYTHING {
        let verdict = judge(&catalog, sql);
        assert_eq!(verdict.write, WriteSet::Everything, "{sql}");
        assert!(
            verdict.catalog && verdict.session.contains(SessionEffect::UnknownCode),
            "{sql}"
        );
    }
    let effects = judge(&catalog, "INSERT INTO configured VALUES (1)").session;
    assert!(effects.contains(SessionEffect::Setting), "{effects:?}");

    client
        .batch_execute("CREATE CAST (text AS date) WITH INOUT AS ASSIGNMENT")
        .await?;
    assert_eq!(
        reads(&load(&client).await?, "SELECT * FROM users"),
        Err(Reason::UserCast)
    );
    Ok(())
}

#[tokio::test]
async fn loading_leaves_the_connection_as_it_was() -> Result<(), Box<dyn std::error::Error>> {
    let postgres = Postgres::start().await?;
    let client = postgres.connect().await?;
    load(&client).await?;
    let row = client
        .query_one(
            "SELECT current_setting('search_path'), current_setting('transaction_isolation')",
            &[],
        )
        .await?;
    assert_eq!(row.get::<_, &str>(0), "\"$user\", public");
    assert_eq!(
        row.get::<_, &str>(1),
        "read committed",
        "no transaction is open"
    );
    Ok(())
}

#[tokio::test]
async fn tables_without_a_stream_are_told() -> Result<(), Box<dyn std::error::Error>> {
    let postgres = Postgres::start().await?;
    let client = postgres.connect().await?;
    client
        .batch_execute("CREATE TABLE logged (id int); CREATE UNLOGGED TABLE unlogged (id int)")
        .await?;
    let catalog = load(&client).await?;
    for (name, streamed) in [("logged", true), ("unlogged", false)] {
        assert_eq!(
            catalog.is_streamed(oid(&client, name).await?),
            streamed,
            "{name}"
        );
    }
    Ok(())
}

/// Views come and go while their definitions are printed.
#[tokio::test]
async fn a_snapshot_survives_concurrent_definitions() -> Result<(), Box<dyn std::error::Error>> {
    let postgres = Postgres::start().await?;
    let client = postgres.connect().await?;
    let other = postgres.connect().await?;
    let churn = async {
        for round in 0..20 {
            let sql =
                format!("CREATE VIEW v{round} AS SELECT 1 AS a; CREATE TABLE t{round} (a int)");
            other.batch_execute(&sql).await?;
            other
                .batch_execute(&format!("DROP VIEW v{round}; DROP TABLE t{round}"))
                .await?;
        }
        Ok(())
    };
    let loads = async {
        for _ in 0..10 {
            load(&client).await?;
        }
        Ok::<_, tokio_postgres::Error>(())
    };
    tokio::try_join!(churn, loads)?;
    Ok(())
}

fn judge(catalog: &Catalog, sql: &str) -> Verdict {
    parse(sql.as_bytes(), DIALECT, 32 << 10).judge(Some(catalog))
}

fn reads(catalog: &Catalog, sql: &str) -> Result<Vec<String>, Reason> {
    judge(catalog, sql)
        .read
        .map(|read| names(catalog, &read.tables))
}

fn writes(catalog: &Catalog, sql: &str) -> Option<Vec<String>> {
    match judge(catalog, sql).write {
        WriteSet::Everything => None,
        WriteSet::Nothing => Some(Vec::new()),
        WriteSet::Tables(tables) => Some(names(catalog, &tables)),
    }
}

fn names(catalog: &Catalog, tables: &[Oid]) -> Vec<String> {
    let mut names: Vec<_> = tables
        .iter()
        .map(|oid| {
            catalog
                .relation_names(*oid)
                .expect("a verdict names relations of its catalog")
        })
        .map(|(schema, name)| format!("{schema}.{name}"))
        .collect();
    names.sort();
    names
}

async fn oid(client: &Client, name: &str) -> Result<Oid, tokio_postgres::Error> {
    Ok(Oid(client
        .query_one("SELECT $1::text::regclass::oid", &[&name])
        .await?
        .get(0)))
}

/// Printing a view locks its tables. An application that holds a lock on one of them, and now wants the other, must
/// not be told of a deadlock.
#[tokio::test]
async fn reading_the_catalog_never_makes_a_deadlock_for_others() {
    let postgres = Postgres::builder().start().await.unwrap();
    let application = postgres.connect().await.unwrap();
    let views = "CREATE TABLE a (v int); CREATE TABLE b (v int);
        CREATE VIEW first AS SELECT b.v FROM b; CREATE VIEW second AS SELECT a.v FROM a;
        CREATE VIEW third AS SELECT b.v FROM b";
    application.batch_execute(views).await.unwrap();
    for (held, wanted) in [("a", "b"), ("b", "a")] {
        let hold = format!("BEGIN; LOCK TABLE {held} IN ACCESS EXCLUSIVE MODE");
        application.batch_execute(&hold).await.unwrap();
        let reader = postgres.connect().await.unwrap();
        let loading = tokio::spawn(async move { load(&reader).await.map(drop) });
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        let witness = postgres.connect().await.unwrap();
        while !loading.is_finished() {
            let waiting: i64 = witness.query_one(waits, &[]).await.unwrap().get(0);
            if waiting > 0 {
                break;
            }
        }
        let want = format!("DROP TABLE {wanted} CASCADE; ROLLBACK");
        application.batch_execute(&want).await.unwrap();
        if let Err(error) = loading.await.unwrap() {
            assert!(pgkeel::catalog::is_locked(&error), "{error:?}");
        }
    }
}
