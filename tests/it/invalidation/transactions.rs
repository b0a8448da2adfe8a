//! When a transaction's writes become visible, and when they never do.

use super::{Readers, stage};
use crate::raw::{Raw, Script};
use crate::scene::Scene;

const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0), (2, 0); \
    CREATE TABLE u (v int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO u VALUES (1); \
    GRANT SELECT ON t, u TO reader";
const READ: &str = "SELECT id, v FROM t ORDER BY id";
const UPDATE: &str = "UPDATE t SET v = v + 1";

async fn begin() -> (Scene, Raw) {
    let scene = stage().await;
    let mut writer = scene.client().await;
    writer.run(TABLES).await;
    (scene, writer)
}

#[tokio::test]
async fn several_statements_in_one_string() {
    let (scene, mut writer) = begin().await;
    let mut readers = Readers::new(&scene, READ).await;
    for (sql, error) in [
        ("SELECT 1; UPDATE t SET v = v + 1", None),
        ("BEGIN; UPDATE t SET v = v + 1; COMMIT", None),
        (
            "UPDATE t SET v = v + 1; COMMIT; SELECT 1 / 0",
            Some("22012"),
        ),
        (
            "BEGIN; UPDATE t SET v = v + 1; COMMIT; UPDATE t SET v = 77; SELECT 1 / 0",
            Some("22012"),
        ),
        (
            "BEGIN; UPDATE t SET v = v + 1; COMMIT AND CHAIN; SELECT 1; ROLLBACK",
            None,
        ),
        (
            "BEGIN; SAVEPOINT s; UPDATE t SET v = v + 1; RELEASE s; END; BEGIN; ROLLBACK",
            None,
        ),
    ] {
        readers.warm().await;
        let reply = writer.query(sql).await;
        assert_eq!(reply.error().as_deref(), error, "{sql}");
        readers.assert_changed(sql).await;
    }
}

#[tokio::test]
async fn a_string_may_leave_a_transaction_open_or_end_one() {
    let (scene, mut writer) = begin().await;
    let mut readers = Readers::new(&scene, READ).await;
    readers.warm().await;
    writer.run("BEGIN; UPDATE t SET v = v + 1").await;
    for (reader, script) in &mut readers.readers {
        assert_eq!(
            reader.ask(script).await.rows(),
            readers.before,
            "not committed yet"
        );
    }
    readers.warm().await;
    writer.run("COMMIT; SELECT 1").await;
    readers.assert_changed("committed by a string").await;

    readers.warm().await;
    writer.run("BEGIN").await;
    writer.run(UPDATE).await;
    writer.run("COMMIT; BEGIN; UPDATE u SET v = v + 1").await;
    readers
        .assert_changed("committed in front of the next")
        .await;
    writer.run("ROLLBACK").await;
}

#[tokio::test]
async fn what_is_rolled_back_leaves_the_cache_as_it_was() {
    let (scene, mut writer) = begin().await;
    let mut readers = Readers::new(&scene, READ).await;
    readers.warm().await;
    let endings: [&[&str]; 4] = [
        &["BEGIN", UPDATE, "ROLLBACK"],
        &["BEGIN", "SAVEPOINT s", UPDATE, "ROLLBACK TO s", "ABORT"],
        // COMMIT of a failed transaction says ROLLBACK.
        &["BEGIN", UPDATE, "SELECT 1 / 0", "COMMIT"],
        &[
            "BEGIN",
            "DELETE FROM t",
            "TRUNCATE t",
            "ROLLBACK AND CHAIN",
            "ROLLBACK",
        ],
    ];
    for statements in endings {
        for sql in statements {
            writer.query(sql).await;
        }
        readers.assert_unchanged(&format!("{statements:?}")).await;
    }
}

#[tokio::test]
async fn a_lone_statement_that_fails_leaves_the_cache_as_it_was() {
    let (scene, mut writer) = begin().await;
    let mut readers = Readers::new(&scene, READ).await;
    readers.warm().await;
    let sql = "UPDATE t SET v = 1 / (v - v)";
    assert_eq!(writer.query(sql).await.error().as_deref(), Some("22012"));
    readers.assert_unchanged("simple").await;
    let reply = writer.ask(&Script::new().statement(sql, &[]).sync()).await;
    assert_eq!(reply.error().as_deref(), Some("22012"));
    readers.assert_unchanged("extended").await;
    let duplicate = "INSERT INTO t VALUES (1, 1)";
    assert_eq!(
        writer.query(duplicate).await.error().as_deref(),
        Some("23505")
    );
    readers.assert_unchanged("a duplicate").await;
    assert_eq!(scene.stage.stat("freshness.windows_rolled_back").await, 3);
}

#[tokio::test]
async fn savepoints_and_chains() {
    let (scene, mut writer) = begin().await;
    let mut readers = Readers::new(&scene, READ).await;
    readers.warm().await;
    for sql in [
        "BEGIN",
        "SAVEPOINT a",
        UPDATE,
        "SAVEPOINT b",
        "UPDATE u SET v = v + 1",
        "ROLLBACK TO b",
    ] {
        writer.run(sql).await;
    }
    readers.assert_unchanged("before COMMIT").await;
    writer.run("COMMIT").await;
    readers.assert_changed("released by COMMIT").await;

    readers.warm().await;
    for sql in ["BEGIN", UPDATE, "COMMIT AND CHAIN"] {
        writer.run(sql).await;
    }
    readers.assert_changed("COMMIT AND CHAIN").await;
    readers.warm().await;
    writer.run(UPDATE).await;
    readers.assert_unchanged("the next link").await;
    writer.run("COMMIT").await;
    readers.assert_changed("the next link committed").await;

    // An error behind a savepoint is no end of the transaction.
    readers.warm().await;
    for sql in ["BEGIN", UPDATE, "SAVEPOINT a"] {
        writer.run(sql).await;
    }
    writer.query("SELECT 1 / 0").await;
    writer.run("ROLLBACK TO a").await;
    writer.run("END").await;
    readers
        .assert_changed("committed in spite of an error")
        .await;
}

/// The reader that holds its own transaction sees the commit with its next statement.
#[tokio::test]
async fn a_read_committed_transaction_sees_what_is_committed_meanwhile() {
    let (scene, mut writer) = begin().await;
    let mut reader = scene.client().await;
    let read = Script::new().query(READ);
    scene.warm(&mut reader, &read).await;
    reader.run("BEGIN").await;
    for expected in 1..5 {
        scene.warm(&mut reader, &read).await;
        writer.run(UPDATE).await;
        let rows = reader.ask(&read).await.rows();
        assert_eq!(rows, [format!("1|{expected}"), format!("2|{expected}")]);
    }
    reader.run("COMMIT").await;
}

#[tokio::test]
async fn a_transaction_committed_in_two_phases_by_another_session() {
    let (scene, mut writer) = begin().await;
    let mut other = scene.client().await;
    let mut readers = Readers::new(&scene, READ).await;
    let prepare = async |writer: &mut Raw| {
        for sql in ["BEGIN", UPDATE, "PREPARE TRANSACTION 'two'"] {
            writer.run(sql).await;
        }
    };
    for sql in [
        "COMMIT PREPARED 'two'",
        "/* by another */ COMMIT PREPARED 'two'",
    ] {
        readers.warm().await;
        prepare(&mut writer).await;
        readers.assert_unchanged("prepared").await;
        other.run(sql).await;
        readers.assert_changed(sql).await;
    }
    readers.warm().await;
    prepare(&mut writer).await;
    other.run("ROLLBACK PREPARED 'two'").await;
    readers.assert_unchanged("rolled back").await;

    // Prepared in a string, or around the proxy: nobody knows what it holds.
    readers.warm().await;
    writer
        .run(&format!("BEGIN; {UPDATE}; PREPARE TRANSACTION 'two'"))
        .await;
    readers.warm().await;
    other.run("COMMIT PREPARED 'two'").await;
    readers.assert_changed("prepared in a string").await;
    readers.warm().await;
    prepare(&mut scene.direct().await).await;
    let pipeline = Script::new()
        .statement("COMMIT PREPARED 'two'", &[])
        .statement("SELECT 1", &[]);
    assert_eq!(other.ask(&pipeline.sync()).await.error(), None);
    readers.assert_changed("prepared around the proxy").await;

    // A name may be used again, for something else, by those who do not show what.
    readers.warm().await;
    for sql in [
        "BEGIN",
        "UPDATE u SET v = v + 1",
        "PREPARE TRANSACTION 'two'",
    ] {
        writer.run(sql).await;
    }
    let pipeline = Script::new()
        .statement("COMMIT PREPARED 'two'", &[])
        .statement("SELECT 1", &[]);
    assert_eq!(other.ask(&pipeline.sync()).await.error(), None);
    readers.warm().await;
    writer
        .run(&format!("BEGIN; {UPDATE}; PREPARE TRANSACTION 'two'"))
        .await;
    readers.warm().await;
    other.run("COMMIT PREPARED 'two'").await;
    readers.assert_changed("a name that is used again").await;

    // A failed second phase proves nothing, and costs nothing.
    readers.warm().await;
    prepare(&mut writer).await;
    assert_eq!(
        other
            .query("COMMIT PREPARED 'three'")
            .await
            .error()
            .as_deref(),
        Some("42704")
    );
    readers.warm().await;
    other.run("COMMIT PREPARED 'two'").await;
    readers.assert_changed("after a wrong name").await;
}

#[tokio::test]
async fn a_constraint_that_fails_at_commit() {
    let (scene, mut writer) = begin().await;
    let mut readers = Readers::new(&scene, READ).await;
    readers.warm().await;
    for sql in ["BEGIN", UPDATE, "INSERT INTO u VALUES (1)"] {
        writer.run(sql).await;
    }
    let before = readers.before.clone();
    assert_eq!(
        writer.query("COMMIT").await.error().as_deref(),
        Some("23505")
    );
    readers.warm().await;
    assert_eq!(readers.before, before);
    // In the extended protocol the error comes behind CommandComplete, with the Sync.
    let insert = Script::new()
        .statement("INSERT INTO u VALUES (1)", &[])
        .sync();
    let reply = writer.ask(&insert).await;
    assert_eq!(reply.error().as_deref(), Some("23505"));
    let read = Script::new().query("SELECT v FROM u");
    assert_eq!(scene.warm(&mut writer, &read).await.rows(), ["1"]);
}

#[tokio::test]
async fn a_cursor_and_a_copy() {
    let (scene, mut writer) = begin().await;
    let mut readers = Readers::new(&scene, READ).await;
    readers.warm().await;
    for sql in [
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE",
        "FETCH c",
    ] {
        writer.run(sql).await;
    }
    writer
        .run("UPDATE t SET v = v + 1 WHERE CURRENT OF c")
        .await;
    readers.assert_unchanged("WHERE CURRENT OF").await;
    writer.run("COMMIT").await;
    readers.assert_changed("WHERE CURRENT OF").await;

    let copy = async |writer: &mut Raw, rows: &str| {
        writer
            .send(Script::new().query("COPY t FROM STDIN").bytes())
            .await;
        writer.until(b'G').await;
        writer
            .ask(&Script::new().copy_data(rows.as_bytes()).copy_done())
            .await
    };
    readers.warm().await;
    assert_eq!(copy(&mut writer, "7\t7\n8\t8\n").await.error(), None);
    readers.assert_changed("COPY").await;
    readers.warm().await;
    writer.run("BEGIN").await;
    assert_eq!(copy(&mut writer, "9\t9\n").await.error(), None);
    readers.assert_unchanged("COPY in a transaction").await;
    writer.run("COMMIT").await;
    readers.assert_changed("COPY in a transaction").await;
    readers.warm().await;
    assert_eq!(
        copy(&mut writer, "9\t9\n").await.error().as_deref(),
        Some("23505")
    );
    readers.assert_unchanged("COPY that fails").await;
}

/// The writer itself, too, reads what it has committed, and others read on from the cache meanwhile.
#[tokio::test]
async fn the_writer_reads_its_own_writes() {
    let (scene, mut writer) = begin().await;
    let read = Script::new().query(READ);
    for round in 1..50 {
        scene.warm(&mut writer, &read).await;
        let sql = if round % 2 == 0 {
            UPDATE.to_owned()
        } else {
            format!("BEGIN; {UPDATE}; COMMIT")
        };
        writer.run(&sql).await;
        assert_eq!(writer.ask(&read).await.rows()[0], format!("1|{round}"));
    }
}
