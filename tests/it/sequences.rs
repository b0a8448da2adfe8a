//! What a session has drawn from sequences: its own values, or PostgreSQL's own error, and never another's.

use crate::scene::{SOON, Scene};
use crate::support::{Stage, eventually};
use crate::wire::{Wire, bind, execute, parse, query, sync};

const TABLES: &str = "
CREATE TABLE a (id serial PRIMARY KEY, v int);
CREATE TABLE b (id int GENERATED ALWAYS AS IDENTITY (START 1000), v int);
CREATE TABLE c (id int PRIMARY KEY, v int);
CREATE SEQUENCE s START 5000;
CREATE FUNCTION draw() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.v := nextval(''s''); RETURN NEW; END';
CREATE TABLE d (id int, v int);
CREATE TRIGGER draws BEFORE INSERT ON d FOR EACH ROW EXECUTE FUNCTION draw();
";

/// One connection for everybody.
const SHARED: &str = "[pool]\nmax = 1\n";

async fn client(scene: &Scene) -> Wire {
    Wire::login(scene.stage.proxy.port(), "app").await
}

/// The first value that comes back, or the error.
async fn ask(wire: &mut Wire, sql: &str) -> String {
    let answer = wire.ask(&query(sql)).await;
    if let Some(error) = answer.iter().find(|message| message.tag == b'E') {
        return error.sqlstate();
    }
    let row = answer.iter().find(|message| message.tag == b'D');
    row.map_or_else(String::new, |row| {
        String::from_utf8_lossy(&row.body[6..]).into_owned()
    })
}

const DRAWS: [&str; 6] = [
    "INSERT INTO a (v) VALUES (1)",
    "INSERT INTO b (v) VALUES (1)",
    "INSERT INTO a SELECT nextval('s')",
    "UPDATE a SET id = DEFAULT WHERE id = (SELECT max(id) FROM a)",
    "INSERT INTO d VALUES (1)",
    "DO 'BEGIN PERFORM nextval(''s''); END'",
];

#[tokio::test]
async fn a_session_never_sees_what_another_has_drawn() {
    for draw in DRAWS {
        let scene = Scene::of(Stage::builder().config(SHARED), TABLES).await;
        scene.stage.arrange("INSERT INTO a (v) VALUES (0)").await;
        // Both are there before anything is drawn: a login brings a connection of its own.
        let mut innocent = client(&scene).await;
        let mut other = client(&scene).await;
        ask(&mut other, draw).await;
        drop(other);
        assert_eq!(
            ask(&mut innocent, "SELECT lastval()").await,
            "55000",
            "{draw}"
        );
        for sequence in ["a_id_seq", "b_id_seq", "s"] {
            let sql = format!("SELECT currval('{sequence}')");
            assert_eq!(ask(&mut innocent, &sql).await, "55000", "{draw}");
        }
    }
}

#[tokio::test]
async fn a_session_sees_what_it_has_drawn_itself() {
    let scene = Scene::of(Stage::builder(), TABLES).await;
    let mut one = client(&scene).await;
    let mut two = client(&scene).await;
    let mut busy = client(&scene).await;
    for (draw, current) in [
        (
            "INSERT INTO a (v) VALUES (1) RETURNING id",
            "currval('a_id_seq')",
        ),
        ("INSERT INTO b (v) VALUES (1) RETURNING id", "lastval()"),
        ("SELECT nextval('s')", "currval('s')"),
    ] {
        for _ in 0..3 {
            let mine = ask(&mut one, draw).await;
            // Somebody else takes the connection, and another one is what is left.
            ask(&mut busy, "BEGIN; SELECT 1 FROM c").await;
            let current = format!("SELECT {current}");
            let found = ask(&mut one, &current).await;
            assert!(
                found == mine || found == "55000",
                "{draw}: {found}, not {mine}"
            );
            ask(&mut busy, "ROLLBACK").await;
            // From here on it always works: the database is known to be asked.
            let mine = ask(&mut one, draw).await;
            let theirs = ask(&mut two, draw).await;
            assert_ne!(mine, theirs);
            ask(&mut busy, "BEGIN; SELECT 1 FROM c").await;
            assert_eq!(ask(&mut one, &current).await, mine, "{draw}");
            assert_eq!(ask(&mut two, &current).await, theirs, "{draw}");
            ask(&mut busy, "ROLLBACK").await;
        }
    }
}

#[tokio::test]
async fn the_first_who_asks_is_answered_if_nobody_came_between() {
    let scene = Scene::of(Stage::builder(), TABLES).await;
    let mut wire = client(&scene).await;
    let mine = ask(&mut wire, "INSERT INTO a (v) VALUES (1) RETURNING id").await;
    assert_eq!(ask(&mut wire, "SELECT lastval()").await, mine);
    let script = [
        parse("", "INSERT INTO b (v) VALUES (2)"),
        bind("", "", &[]),
        execute("", 0),
        parse("", "SELECT lastval() = currval('b_id_seq')"),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    let answer = wire.ask(&script.concat()).await;
    assert_eq!(crate::wire::tags(&answer), "12C12DCZ", "{answer:?}");
    assert_eq!(answer[5].body, b"\0\x01\0\0\0\x01t");
}

#[tokio::test]
async fn drawing_alone_keeps_no_connection() {
    let scene = Scene::of(Stage::builder(), TABLES).await;
    let mut wire = client(&scene).await;
    for draw in &DRAWS[..4] {
        ask(&mut wire, draw).await;
        assert_eq!(scene.stage.stat("clients.pinned").await, 0, "{draw}");
    }
    ask(&mut wire, "SELECT lastval()").await;
    assert_eq!(scene.stage.stat("clients.pinned").await, 1);
}

/// Once somebody asks, those who may have drawn keep their connections, and nobody else does.
#[tokio::test]
async fn what_draws_nothing_keeps_no_connection() {
    let scene = Scene::of(Stage::builder(), TABLES).await;
    let mut asks = client(&scene).await;
    ask(&mut asks, "INSERT INTO a (v) VALUES (1)").await;
    ask(&mut asks, "SELECT lastval()").await;
    assert_eq!(scene.stage.stat("clients.pinned").await, 1);
    let mut other = client(&scene).await;
    ask(&mut other, "this is no SQL").await;
    assert_eq!(scene.stage.stat("clients.pinned").await, 1);
    for number in 0..5 {
        ask(&mut other, &format!("CREATE TABLE new_{number} (id int)")).await;
        // The catalog is being loaded again.
        ask(&mut other, "SELECT count(*) FROM c").await;
    }
    let pinned = async |count| {
        eventually(SOON, async || {
            scene.stage.stat("clients.pinned").await == count
        })
        .await;
    };
    pinned(1).await;
    ask(&mut other, "INSERT INTO a (v) VALUES (1)").await;
    pinned(2).await;
}
