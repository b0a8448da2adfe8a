//! psql: its own catalog queries, `\copy`, `\watch` and scripts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use super::told;
use crate::scene::SOON;
use crate::support::{Stage, eventually};

const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL DEFAULT 'x'); \
    CREATE INDEX ON t (name); CREATE VIEW w AS SELECT * FROM t; \
    CREATE TABLE child (id int REFERENCES t ON DELETE CASCADE); \
    INSERT INTO t SELECT n, 'name ' || n FROM generate_series(1, 20) AS n";

fn psql(stage: &Stage, url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(stage.postgres.program("psql"));
    command.arg("--no-psqlrc").arg(url).args(arguments);
    command
}

/// Runs a script from standard input.
fn script(stage: &Stage, url: &str, text: &str, arguments: &[&str]) -> Output {
    let mut child = psql(stage, url, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql is installed with the server");
    let mut input = child.stdin.take().expect("it was asked for");
    input.write_all(text.as_bytes()).expect("psql reads");
    drop(input);
    child.wait_with_output().expect("psql ends")
}

#[tokio::test]
async fn everything_psql_prints_is_the_same() {
    let stage = Stage::new().await;
    stage
        .proxied()
        .await
        .batch_execute(TABLES)
        .await
        .expect("the tables are made");
    let text = r"
        \set VERBOSITY verbose
        \d
        \d+ t
        \d w
        \dt+
        \dn
        \df public.*
        \dT+
        \du
        \l app
        SELECT * FROM t ORDER BY id;
        SELECT * FROM t ORDER BY id;
        \x
        SELECT * FROM t WHERE id = 3;
        \x
        SELECT count(*) AS many FROM t \gset
        \echo :many
        SELECT format('SELECT %s AS n', id) FROM t WHERE id < 4 ORDER BY id \gexec
        SELECT * FROM nowhere;
        \errverbose
        SELECT 1 / 0;
        SELECT id, name FROM t ORDER BY id LIMIT 2 \gdesc
        \crosstabview
        SELECT 'a' AS a, id, name FROM t WHERE id < 3 \crosstabview id name
        BEGIN; SELECT 1 / 0; SELECT 1; ROLLBACK;
        \copy (SELECT * FROM t ORDER BY id LIMIT 3) TO STDOUT WITH (FORMAT csv, HEADER)
        \conninfo_is_no_command
        \timing off
        SHOW server_version;
        EXPLAIN (COSTS off) SELECT * FROM t WHERE id = 1;
    ";
    let direct = script(&stage, &stage.postgres.url(), text, &[]);
    // Until some of it comes from the cache.
    eventually(SOON, async || {
        let proxied = script(&stage, &stage.proxy.url(), text, &[]);
        assert_eq!(told(&proxied), told(&direct));
        stage.hits().await > 0
    })
    .await;
}

#[tokio::test]
async fn a_script_stops_at_its_first_error() {
    let stage = Stage::new().await;
    stage
        .proxied()
        .await
        .batch_execute(TABLES)
        .await
        .expect("the tables are made");
    let text = "INSERT INTO t VALUES (100);\nSELECT 1 / 0;\nINSERT INTO t VALUES (101);\n";
    let url = stage.proxy.url();
    let count = async |client: &tokio_postgres::Client| {
        let row = client
            .query_one("SELECT count(*) FROM t", &[])
            .await
            .expect("a row");
        row.get::<_, i64>(0)
    };
    let client = stage.proxied().await;
    assert_eq!(count(&client).await, 20);
    let stopped = script(
        &stage,
        &url,
        text,
        &["--set=ON_ERROR_STOP=1", "--single-transaction"],
    );
    assert_eq!(stopped.status.code(), Some(3), "{}", told(&stopped));
    assert_eq!(count(&client).await, 20, "rolled back as a whole");
    let stopped = script(&stage, &url, text, &["--set=ON_ERROR_STOP=1"]);
    assert_eq!(stopped.status.code(), Some(3), "{}", told(&stopped));
    assert_eq!(count(&client).await, 21);
    let goes_on = script(&stage, &url, text, &[]);
    assert_eq!(goes_on.status.code(), Some(0), "{}", told(&goes_on));
    assert_eq!(count(&client).await, 22);
}

#[tokio::test]
async fn copy_from_a_file_is_seen_at_once() {
    let stage = Stage::new().await;
    stage
        .proxied()
        .await
        .batch_execute(TABLES)
        .await
        .expect("the tables are made");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let rows: String = (200..700).map(|n| format!("{n}\tcopied\n")).collect();
    std::fs::write(file.path(), rows).expect("it can be written");
    let client = stage.proxied().await;
    let count = async || {
        let row = client
            .query_one("SELECT count(*) FROM t", &[])
            .await
            .expect("a row");
        row.get::<_, i64>(0)
    };
    assert_eq!(count().await, 20);
    let copy = format!("\\copy t FROM '{}'", file.path().display());
    let output = stage.psql(["--command", &copy]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(count().await, 520);
}

#[tokio::test]
async fn watch_sees_every_change() {
    let stage = Stage::new().await;
    let client = stage.proxied().await;
    client
        .batch_execute("CREATE TABLE v (v int); INSERT INTO v VALUES (0)")
        .await
        .expect("made");
    let mut child = psql(&stage, &stage.proxy.url(), &["--tuples-only", "--no-align"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("psql is installed with the server");
    let output = BufReader::new(child.stdout.take().expect("it was asked for"));
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        output
            .lines()
            .map_while(Result::ok)
            .all(|line| sender.send(line).is_ok())
    });
    let mut input = child.stdin.take().expect("it was asked for");
    writeln!(input, "SELECT v FROM v \\watch 0.05").expect("psql reads");
    for version in 0..10 {
        let wanted = version.to_string();
        // More than once: the second time it may come from the cache.
        for _ in 0..3 {
            while lines.recv_timeout(SOON).expect("psql goes on") != wanted {}
        }
        client
            .execute("UPDATE v SET v = v + 1", &[])
            .await
            .expect("it is written");
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(stage.hits().await > 0);
}
