//! Instances that share a Redis: what one has read another serves, and what one writes no other misses.

mod coherence;
mod groups;
mod stage;
mod trouble;
mod values;

use stage::Fleet;

use crate::raw::Script;
use crate::scene::SOON;
use crate::support::eventually;

const TABLE: &str =
    "CREATE TABLE t (k int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10), (2, 20)";
const READ: &str = "SELECT v FROM t WHERE k = 1";

/// A second instance started cold serves its first read of a warm result without touching PostgreSQL.
#[tokio::test]
async fn a_cold_instance_serves_what_another_has_read() {
    let mut fleet = Fleet::start(1, "", TABLE).await;
    let mut first = fleet.client(0).await;
    let extended = Script::new()
        .statement("SELECT v FROM t WHERE k = $1", &["2"])
        .sync();
    fleet.warm(0, &mut first, &Script::new().query(READ)).await;
    fleet.warm(0, &mut first, &extended).await;
    eventually(SOON, async || fleet.stat(0, "shared.fills").await >= 2).await;

    fleet.add("").await;
    fleet.ready(1).await;
    let mut second = fleet.client(1).await;
    let before = fleet.stat(1, "counters.upstream_queries").await;
    let simple = second.ask(&Script::new().query(READ)).await;
    assert_eq!(simple.rows(), ["10"]);
    assert_eq!(second.ask(&extended).await.rows(), ["20"]);
    assert_eq!(fleet.stat(1, "cache.shared_hits").await, 2);
    assert_eq!(fleet.stat(1, "counters.upstream_queries").await, before);
    // From here on it has them itself.
    assert_eq!(
        second.ask(&Script::new().query(READ)).await.bytes(),
        simple.bytes()
    );
    assert_eq!(fleet.stat(1, "cache.hits").await, 1);
}

#[tokio::test]
async fn a_write_on_one_instance_is_seen_by_the_next_read_on_another() {
    let fleet = Fleet::start(2, "", TABLE).await;
    let (mut writer, mut reader) = (fleet.client(0).await, fleet.client(1).await);
    let read = Script::new().query(READ);
    for value in 100..400 {
        let write = match value % 3 {
            0 => format!("UPDATE t SET v = {value} WHERE k = 1"),
            1 => format!("BEGIN; UPDATE t SET v = {value} WHERE k = 1; COMMIT"),
            _ => format!(
                "WITH c AS (UPDATE t SET v = {value} WHERE k = 1 RETURNING v) SELECT v FROM c"
            ),
        };
        writer.run(&write).await;
        for _ in 0..2 {
            assert_eq!(reader.ask(&read).await.rows(), [value.to_string()]);
        }
    }
    assert!(fleet.stat(1, "cache.hits").await > 100);
    assert_eq!(fleet.stat(0, "shared.members").await, 2);
}

/// What is rolled back voids nothing in the first tier, and is never seen.
#[tokio::test]
async fn a_rollback_on_one_instance_leaves_the_other_its_results() {
    let fleet = Fleet::start(2, "", TABLE).await;
    let (mut writer, mut reader) = (fleet.client(0).await, fleet.client(1).await);
    let read = Script::new().query(READ);
    fleet.warm(1, &mut reader, &read).await;
    writer.run("BEGIN").await;
    writer.run("UPDATE t SET v = 11 WHERE k = 1").await;
    assert_eq!(reader.ask(&read).await.rows(), ["10"]);
    writer.run("ROLLBACK").await;
    let hits = fleet.stat(1, "cache.hits").await;
    assert_eq!(reader.ask(&read).await.rows(), ["10"]);
    assert_eq!(fleet.stat(1, "cache.hits").await, hits + 1);
}

/// A change of the catalogs on one instance changes what the other's statements mean.
#[tokio::test]
async fn ddl_on_one_instance_is_obeyed_by_the_other() {
    let fleet = Fleet::start(2, "", TABLE).await;
    let (mut one, mut other) = (fleet.client(0).await, fleet.client(1).await);
    one.run("CREATE TABLE log (v int); INSERT INTO log VALUES (0)")
        .await;
    let read = Script::new().query("SELECT max(v) FROM log");
    fleet.warm(0, &mut one, &read).await;
    fleet.warm(1, &mut other, &read).await;
    // From here on a write of t is a write of log.
    one.run(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO log VALUES (NEW.v); RETURN NULL; END $$; \
         CREATE TRIGGER note AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()",
    )
    .await;
    for value in 1..20 {
        other
            .run(&format!("UPDATE t SET v = {value} WHERE k = 1"))
            .await;
        assert_eq!(one.ask(&read).await.rows(), [value.to_string()]);
    }
}

#[tokio::test]
async fn an_instance_that_leaves_is_not_waited_for() {
    let mut fleet = Fleet::start(2, "", TABLE).await;
    let mut client = fleet.client(0).await;
    let read = Script::new().query(READ);
    fleet.warm(0, &mut client, &read).await;
    fleet.proxies[1].terminate().expect("it can be told");
    fleet.proxies[1].wait().await.expect("it ends");
    eventually(SOON, async || fleet.stat(0, "shared.members").await == 1).await;
    // A member that was taken for dead would have voided everything.
    let hits = fleet.stat(0, "cache.hits").await;
    assert_eq!(client.ask(&read).await.rows(), ["10"]);
    assert_eq!(fleet.stat(0, "cache.hits").await, hits + 1);
    client.run("UPDATE t SET v = 11 WHERE k = 1").await;
    assert_eq!(client.ask(&read).await.rows(), ["11"]);
}
