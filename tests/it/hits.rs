//! What is answered from the cache, to whom, and what is not.
//!
//! A hit is told by the proxy's own count and by PostgreSQL's, and has to be the very bytes that PostgreSQL
//! itself would have sent.

mod code;
mod limits;
mod transactions;

use std::time::Duration;

use crate::raw::{Format, Raw, Reply, Script};
use crate::scene::{Answered, Scene};
use crate::support::Stage;

const ITEMS: &str = "CREATE EXTENSION pg_stat_statements; \
    CREATE TABLE items (id int PRIMARY KEY, name text, price numeric, made timestamptz, raw bytea); \
    INSERT INTO items SELECT n, 'item ' || n, n / 4.0, '2024-02-03 04:05:06.789+00', decode('00ff', 'hex') \
    FROM generate_series(1, 20) AS n; \
    INSERT INTO items VALUES (21, NULL, NULL, NULL, NULL)";

const ALL: &str = "SELECT * FROM items ORDER BY id";
const ONE: &str = "SELECT id, name FROM items WHERE id = $1";

/// One read in every way a driver may send it.
fn every_form() -> Vec<(&'static str, Script)> {
    let unnamed = |format| Script::new().parse("", ONE).bind("", &["7"], format);
    vec![
        ("simple", Script::new().query(ALL)),
        (
            "extended, text",
            unnamed(Format::Text).describe().execute().sync(),
        ),
        (
            "extended, binary",
            unnamed(Format::Binary).describe().execute().sync(),
        ),
        (
            "extended, undescribed",
            unnamed(Format::Text).execute().sync(),
        ),
        (
            "named",
            Script::new()
                .bind("seven", &["7"], Format::Text)
                .describe()
                .execute()
                .sync(),
        ),
    ]
}

/// How often PostgreSQL has run statements that name the table.
async fn runs(direct: &mut Raw, table: &str) -> String {
    let sql = format!(
        "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE '%FROM {table} %'"
    );
    direct.run(&sql).await.rows().remove(0)
}

async fn prepare(client: &mut Raw) {
    let prepared = client.ask(&Script::new().parse("seven", ONE).sync()).await;
    assert_eq!(prepared.error(), None);
}

#[tokio::test]
async fn the_second_identical_read_does_not_reach_postgresql() {
    let scene = Scene::new(ITEMS).await;
    let (mut client, mut direct) = (scene.client().await, scene.direct().await);
    prepare(&mut client).await;
    for (form, script) in every_form() {
        scene.warm(&mut client, &script).await;
        let before = runs(&mut direct, "items").await;
        for _ in 0..5 {
            let (_, answered) = scene.ask(&mut client, &script).await;
            assert_eq!(answered, Answered::Hit, "{form}");
        }
        assert_eq!(runs(&mut direct, "items").await, before, "{form}");
    }
}

#[tokio::test]
async fn a_hit_is_what_postgresql_sends_byte_for_byte() {
    let scene = Scene::new(ITEMS).await;
    let (mut client, mut direct) = (scene.client().await, scene.direct().await);
    prepare(&mut client).await;
    prepare(&mut direct).await;
    for (form, script) in every_form() {
        let expected = direct.ask(&script).await;
        let filled = client.ask(&script).await;
        assert_eq!(filled.bytes(), expected.bytes(), "{form}, forwarded");
        let hit = scene.warm(&mut client, &script).await;
        assert_eq!(hit.bytes(), expected.bytes(), "{form}, from the cache");
    }
}

#[tokio::test]
async fn sessions_share_results_and_statements_of_other_names() {
    let scene = Scene::new(ITEMS).await;
    let (mut one, mut other) = (scene.client().await, scene.client().await);
    prepare(&mut one).await;
    let named = |name| {
        Script::new()
            .bind(name, &["7"], Format::Text)
            .describe()
            .execute()
            .sync()
    };
    let expected = scene.warm(&mut one, &named("seven")).await;
    // The same text and types under another name, parsed in the same breath, and the unnamed one.
    let first = Script::new()
        .parse("siebte", ONE)
        .bind("siebte", &["7"], Format::Text);
    let (reply, answered) = scene
        .ask(&mut other, &first.describe().execute().sync())
        .await;
    assert_eq!((reply.rows(), answered), (expected.rows(), Answered::Hit));
    let unnamed = Script::new().statement(ONE, &["7"]).sync();
    assert_eq!(scene.ask(&mut other, &unnamed).await.1, Answered::Hit);
}

#[tokio::test]
async fn whatever_may_make_a_difference_makes_another_entry() {
    let scene = Scene::new(ITEMS).await;
    let mut client = scene.client().await;
    let setup =
        "CREATE ROLE reader LOGIN; GRANT SELECT ON items TO reader; CREATE ROLE nobody LOGIN";
    client.run(setup).await;
    let seven = Script::new().statement(ONE, &["7"]).sync();
    scene.warm(&mut client, &seven).await;

    let eight = Script::new().statement(ONE, &["8"]).sync();
    let (reply, answered) = scene.ask(&mut client, &eight).await;
    assert_eq!(
        (reply.rows(), answered),
        (vec!["8|item 8".to_owned()], Answered::Miss)
    );
    let binary = Script::new()
        .parse("", ONE)
        .bind("", &["7"], Format::Binary);
    let (_, answered) = scene
        .ask(&mut client, &binary.describe().execute().sync())
        .await;
    assert_eq!(answered, Answered::Miss);
    let other_text = Script::new().statement(&format!("{ONE} "), &["7"]).sync();
    assert_eq!(scene.ask(&mut client, &other_text).await.1, Answered::Miss);

    let mut reader = scene.client_with(&[("user", "reader")]).await;
    assert_eq!(scene.ask(&mut reader, &seven).await.1, Answered::Miss);
    let mut nobody = scene.client_with(&[("user", "nobody")]).await;
    let refused = nobody.ask(&seven).await;
    assert_eq!(refused.error().as_deref(), Some("42501"));
}

#[tokio::test]
async fn a_start_up_option_makes_another_entry_with_its_own_bytes() {
    let scene = Scene::new(ITEMS).await;
    let script = Script::new().query("SELECT made FROM items WHERE id = 1");
    let mut seen = Vec::new();
    // From here on the catalog is known.
    scene
        .warm(&mut scene.client().await, &Script::new().query(ALL))
        .await;
    let startups: [&[(&str, &str)]; 5] = [
        &[],
        &[("DateStyle", "German, DMY")],
        &[("TimeZone", "Asia/Tokyo")],
        &[("options", "-c datestyle=SQL,DMY")],
        &[
            ("options", "-c timezone=America/New_York"),
            ("DateStyle", "Postgres, MDY"),
        ],
    ];
    for startup in startups {
        let (mut client, mut direct) = (
            scene.client_with(startup).await,
            scene.direct_with(startup).await,
        );
        let first = scene.ask(&mut client, &script).await.1;
        assert_eq!(first, Answered::Miss, "{startup:?}");
        let hit = scene.warm(&mut client, &script).await;
        assert_eq!(hit, direct.ask(&script).await, "{startup:?}");
        seen.push(hit.rows());
    }
    seen.dedup();
    assert_eq!(
        seen.len(),
        startups.len(),
        "the answers do differ: {seen:?}"
    );

    // A name for the log makes no difference to any result.
    let mut named = scene.client_with(&[("application_name", "report")]).await;
    assert_eq!(scene.ask(&mut named, &script).await.1, Answered::Hit);
}

#[tokio::test]
async fn databases_do_not_share() {
    let scene = Scene::new(ITEMS).await;
    scene.client().await.run("CREATE DATABASE other").await;
    let mut other = scene.client_with(&[("database", "other")]).await;
    other
        .run("CREATE TABLE items (id int, name text); INSERT INTO items VALUES (7, 'of the other')")
        .await;
    let read = Script::new().query("SELECT name FROM items WHERE id = 7");
    let mut client = scene.client().await;
    // Twice, since until its catalog is known, whatever is asked of a database may be a write.
    for _ in 0..2 {
        assert_eq!(scene.warm(&mut client, &read).await.rows(), ["item 7"]);
        assert_eq!(scene.warm(&mut other, &read).await.rows(), ["of the other"]);
    }
    other.run("UPDATE items SET name = 'changed'").await;
    assert_eq!(other.ask(&read).await.rows(), ["changed"]);
    let (reply, answered) = scene.ask(&mut client, &read).await;
    assert_eq!(
        (reply.rows(), answered),
        (vec!["item 7".to_owned()], Answered::Hit)
    );
}

/// A herd of clients asks for what takes a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_identical_misses_are_one_query() {
    const HERD: usize = 50;
    let builder = Stage::builder().config("[pool]\nmax = 60\n");
    let scene = Scene::of(builder, ITEMS).await;
    // Slow without a volatile function: the sum of many rows.
    let sql = "SELECT count(*) FROM items AS a, items AS b, items AS c, items AS d \
               WHERE (a.id + b.id + c.id + d.id) % 7 = 0";
    let script = Script::new().query(sql);
    let mut clients = Vec::new();
    for _ in 0..HERD {
        clients.push(scene.client().await);
    }
    // So that the catalog is known, and every client at work.
    scene.warm(&mut clients[0], &Script::new().query(ALL)).await;
    let mut direct = scene.direct().await;
    let before = runs(&mut direct, "items AS a,").await;
    let asked = clients.into_iter().map(|mut client| {
        let script = script.clone();
        tokio::spawn(async move { client.ask(&script).await })
    });
    let asked: Vec<_> = asked.collect();
    let mut replies: Vec<Reply> = Vec::new();
    for asked in asked {
        replies.push(asked.await.expect("no client panics"));
    }
    assert!(
        replies
            .iter()
            .all(|reply| reply == &replies[0] && reply.error().is_none())
    );
    assert_eq!(before, "0");
    assert_eq!(runs(&mut direct, "items AS a,").await, "1");
    let waited = scene.stage.stat("cache.coalesced").await;
    let late = scene.stage.stat("cache.hits").await;
    assert!(
        waited > 0 && waited + late >= HERD as u64 - 1,
        "{waited} waited"
    );
}

/// Nobody waits for a leader that a write has overtaken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miss_does_not_wait_for_one_from_before_a_write() {
    let scene = Scene::new(
        "CREATE TABLE slow (v int); INSERT INTO slow VALUES (1); \
        CREATE FUNCTION drowsy(int) RETURNS int IMMUTABLE LANGUAGE sql \
        AS 'SELECT $1 FROM (SELECT count(*) FROM generate_series(1, 2000000)) AS nap'",
    )
    .await;
    let (mut leader, mut writer, mut follower) = (
        scene.client().await,
        scene.client().await,
        scene.client().await,
    );
    scene
        .warm(&mut leader, &Script::new().query("SELECT v FROM slow"))
        .await;
    let read = Script::new().query("SELECT drowsy(v) FROM slow");
    leader.send(read.bytes()).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    writer.run("UPDATE slow SET v = 2").await;
    assert_eq!(follower.ask(&read).await.rows(), ["2"]);
    let early = leader.until_ready().await.rows();
    assert!(early == ["1"] || early == ["2"], "{early:?}");
    assert_eq!(scene.warm(&mut leader, &read).await.rows(), ["2"]);
}
