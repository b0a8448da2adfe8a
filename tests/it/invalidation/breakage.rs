//! Connections that break while a write is under way: the server finishes what it was sent, or does not, and
//! the next read is right in either case.
//!
//! The writes are held up by a lock of the test's own, so that the break comes in their middle.

use super::stage;
use crate::raw::{Raw, Reply, Script};
use crate::scene::{Answered, SOON, Scene};
use crate::support::eventually;

/// `t` waits for a row lock in UPDATE, `u` for an advisory lock in COMMIT.
const TABLES: &str = "CREATE TABLE t (v int); INSERT INTO t VALUES (0); CREATE TABLE u (v int); INSERT INTO u VALUES (0); \
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END'; \
    CREATE CONSTRAINT TRIGGER hold AFTER UPDATE ON u INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold()";

const HELD_UP: &str = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type = 'client backend'";

/// A write that a lock holds up.
struct HeldUp {
    name: &'static str,
    lock: &'static str,
    /// What is sent and answered before.
    before: &'static [&'static str],
    /// What is sent and held up.
    last: Script,
    read: &'static str,
}

fn writes() -> Vec<HeldUp> {
    let (update_t, update_u) = ("UPDATE t SET v = v + 1", "UPDATE u SET v = v + 1");
    let (row, commit) = (
        "BEGIN; SELECT v FROM t FOR UPDATE",
        "BEGIN; SELECT pg_advisory_xact_lock(1)",
    );
    let held = |name, lock, before, last, read| HeldUp {
        name,
        lock,
        before,
        last,
        read,
    };
    vec![
        held(
            "UPDATE",
            row,
            &[],
            Script::new().query(update_t),
            "SELECT v FROM t",
        ),
        held(
            "an extended UPDATE",
            row,
            &[],
            Script::new().statement(update_t, &[]).sync(),
            "SELECT v FROM t",
        ),
        held(
            "a lone UPDATE that is held up as it commits",
            commit,
            &[],
            Script::new().query(update_u),
            "SELECT v FROM u",
        ),
        held(
            "COMMIT",
            commit,
            &["BEGIN", "UPDATE u SET v = v + 1"],
            Script::new().query("COMMIT"),
            "SELECT v FROM u",
        ),
        held(
            "an extended COMMIT",
            commit,
            &["BEGIN", "UPDATE u SET v = v + 1"],
            Script::new().statement("COMMIT", &[]).sync(),
            "SELECT v FROM u",
        ),
    ]
}

/// The write, on its way, and the lock that holds it up.
struct Held {
    writer: Raw,
    locker: Raw,
    pid: String,
    before: Reply,
    read: Script,
    reader: Raw,
}

impl HeldUp {
    async fn send(&self, scene: &Scene) -> Held {
        let (mut reader, read) = (scene.client().await, Script::new().query(self.read));
        let before = scene.warm(&mut reader, &read).await;
        let mut locker = scene.direct().await;
        locker.run(self.lock).await;
        let mut writer = scene.client().await;
        for sql in self.before {
            writer.run(sql).await;
        }
        writer.send(self.last.bytes()).await;
        let mut direct = scene.direct().await;
        let mut pid = None;
        eventually(SOON, async || {
            pid = direct.run(HELD_UP).await.rows().pop();
            pid.is_some()
        })
        .await;
        let pid = pid.expect("somebody waits");
        // The old value still is the right one, but nobody may keep it.
        for _ in 0..2 {
            let (reply, answered) = scene.ask(&mut reader, &read).await;
            assert_eq!(reply, before, "{}", self.name);
            assert_ne!(
                answered,
                Answered::Hit,
                "{}: while it is under way",
                self.name
            );
        }
        Held {
            writer,
            locker,
            pid,
            before,
            read,
            reader,
        }
    }
}

#[tokio::test]
async fn a_client_that_vanishes_has_written_all_the_same() {
    let scene = stage().await;
    scene.client().await.run(TABLES).await;
    for write in writes() {
        let mut held = write.send(&scene).await;
        drop(held.writer);
        assert_eq!(
            held.reader.ask(&held.read).await,
            held.before,
            "{}",
            write.name
        );
        held.locker.run("COMMIT").await;
        let mut direct = scene.direct().await;
        eventually(SOON, async || direct.ask(&held.read).await != held.before).await;
        // Whoever has seen it at PostgreSQL itself sees it through the proxy, too.
        let after = held.reader.ask(&held.read).await;
        assert_ne!(after, held.before, "{}", write.name);
        assert_eq!(
            scene.warm(&mut held.reader, &held.read).await,
            after,
            "{}",
            write.name
        );
        assert_eq!(scene.stage.stat("freshness.windows_open").await, 0);
    }
}

#[tokio::test]
async fn a_server_connection_that_is_killed_leaves_no_window_open() {
    let scene = stage().await;
    scene.client().await.run(TABLES).await;
    for write in writes() {
        let mut held = write.send(&scene).await;
        scene
            .direct()
            .await
            .run(&format!("SELECT pg_terminate_backend({})", held.pid))
            .await;
        while held.writer.message().await.is_some() {}
        held.locker.run("COMMIT").await;
        assert_eq!(
            held.reader.ask(&held.read).await,
            held.before,
            "{}",
            write.name
        );
        eventually(SOON, async || {
            scene.stage.stat("freshness.windows_open").await == 0
        })
        .await;
        assert_eq!(
            scene.warm(&mut held.reader, &held.read).await,
            held.before,
            "{}",
            write.name
        );
        // And it goes on.
        scene
            .client()
            .await
            .run("UPDATE t SET v = v + 1; UPDATE u SET v = v + 1")
            .await;
        assert_ne!(
            held.reader.ask(&held.read).await,
            held.before,
            "{}",
            write.name
        );
    }
}

/// Its socket is closed at the very moment the request is on its way: again and again, since there is a race.
#[tokio::test]
async fn a_client_that_closes_behind_its_request() {
    let scene = stage().await;
    let mut keeper = scene.client().await;
    keeper
        .run("CREATE TABLE t (v int); INSERT INTO t VALUES (0)")
        .await;
    let read = Script::new().query("SELECT v FROM t");
    let (mut reader, mut direct) = (scene.client().await, scene.direct().await);
    for round in 0..100 {
        let mut writer = scene.client().await;
        let update = "UPDATE t SET v = v + 1";
        let last = match round % 4 {
            0 => Script::new().query(update),
            1 => Script::new().statement(update, &[]).sync(),
            2 => Script::new().query(&format!("BEGIN; {update}; COMMIT")),
            _ => {
                writer.run("BEGIN").await;
                writer.run(update).await;
                Script::new().query("COMMIT")
            }
        };
        reader.ask(&read).await;
        writer.send(last.bytes()).await;
        drop(writer);
        for _ in 0..20 {
            let known = direct.ask(&read).await.rows();
            let seen = reader.ask(&read).await.rows();
            let number = |rows: &[String]| rows[0].parse::<u32>().expect("a number");
            assert!(
                number(&seen) >= number(&known),
                "round {round}: {seen:?} after {known:?}"
            );
        }
    }
    eventually(SOON, async || {
        scene.stage.stat("freshness.windows_open").await == 0
    })
    .await;
    assert_eq!(
        scene.warm(&mut reader, &read).await,
        direct.ask(&read).await
    );
    assert_eq!(scene.stage.stat("clients.pinned").await, 0);
    keeper.run("SELECT 1").await;
}

/// Whatever happened while the server was away, nothing from before is served.
#[tokio::test]
async fn a_server_that_was_away_has_no_past() {
    let mut scene = stage().await;
    let read = Script::new().query("SELECT v FROM t");
    let mut reader = scene.client().await;
    reader
        .run("CREATE TABLE t (v int); INSERT INTO t VALUES (0)")
        .await;
    scene.warm(&mut reader, &read).await;
    let url = scene.stage.postgres.url();
    for crash in [false, true] {
        if crash {
            scene.stage.postgres.kill().expect("it can be killed");
        } else {
            scene.stage.postgres.stop().await.expect("it stops");
        }
        scene.stage.postgres.start_again().await.expect("it starts");
        let direct = crate::support::client(&url).await;
        direct
            .batch_execute("UPDATE t SET v = v + 1")
            .await
            .expect("it writes");
        let mut reader = scene.client().await;
        let expected = direct
            .query_one("SELECT v FROM t", &[])
            .await
            .expect("a row");
        let expected: i32 = expected.get(0);
        assert_eq!(reader.ask(&read).await.rows(), [expected.to_string()]);
        scene.warm(&mut reader, &read).await;
    }
}
