//! `pgkeel explain` and `/explain`: what is said of a statement is what happens to it.

use std::process::{Command, Output};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::raw::Script;
use crate::scene::{Answered, SOON, Scene};
use crate::support::{BINARY, Stage, eventually};

const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10); \
    CREATE TABLE hidden (v int); CREATE VIEW w AS SELECT v FROM t; \
    CREATE TABLE child (t int REFERENCES t ON DELETE CASCADE); \
    CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'";

const CONFIG: &str =
    "[cache.tables.hidden]\nenabled = false\n[cache.tables.\"public.t\"]\nttl = \"7s\"";

fn explain(scene: &Scene, arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .arg("explain")
        .args(["--upstream", &scene.stage.postgres.url()])
        .args(arguments)
        .output()
        .unwrap()
}

fn encoded(sql: &[u8]) -> String {
    sql.iter().map(|byte| format!("%{byte:02x}")).collect()
}

async fn json(scene: &Scene, sql: &str) -> Value {
    let path = format!("/explain?format=json&sql={}", encoded(sql.as_bytes()));
    let (status, body) = scene.stage.proxy.get(&path).await.unwrap();
    assert_eq!(status, 200, "{sql}: {body}");
    serde_json::from_str(&body).unwrap()
}

async fn scene() -> Scene {
    let scene = Scene::of(Stage::builder().config(CONFIG), TABLES).await;
    let mut client = scene.client().await;
    scene
        .warm(&mut client, &Script::new().query("SELECT v FROM t"))
        .await;
    scene
}

#[tokio::test]
async fn what_is_said_is_what_happens() {
    let scene = scene().await;
    let mut client = scene.client().await;
    for (sql, reason) in [
        ("SELECT v FROM t WHERE id = 1", None),
        ("SELECT * FROM w", None),
        ("SELECT 1 + 1", None),
        ("SELECT v FROM hidden", Some("table_excluded")),
        ("SELECT now()", Some("stable_function")),
        ("SELECT random()", Some("volatile_function")),
        ("SELECT CURRENT_DATE", Some("current_value")),
        (
            "SELECT relname FROM pg_class LIMIT 1",
            Some("system_catalog"),
        ),
        ("SELECT ctid FROM t", Some("system_column")),
        ("SHOW work_mem", Some("not_a_read")),
        ("SELECT 1; SELECT 2", Some("multi_statement")),
    ] {
        let said = json(&scene, sql).await;
        let script = Script::new().query(sql);
        assert_eq!(said["reason"].as_str(), reason, "{said:#}");
        assert_eq!(said["cacheable"], reason.is_none(), "{said:#}");
        assert_eq!(said["remedy"].is_string(), reason.is_some());
        if let Some(reason) = reason {
            let path = format!("bypass.{reason}");
            let before = scene.stage.stat(&path).await;
            let (_, answered) = scene.ask(&mut client, &script).await;
            assert_eq!(answered, Answered::Forwarded, "{sql}");
            assert_eq!(scene.stage.stat(&path).await, before + 1, "{sql}");
        } else {
            scene.warm(&mut client, &script).await;
        }
    }
}

#[tokio::test]
async fn tables_tags_and_effects_are_named() {
    let scene = scene().await;
    let said = json(&scene, "SELECT * FROM w").await;
    assert_eq!(said["class"], "read");
    assert_eq!(said["reads"], serde_json::json!(["public.t"]));
    assert_eq!(said["ttl"], "7s");
    assert!(
        said["exceptions"][0].as_str().unwrap().contains("public.t"),
        "{said:#}"
    );
    assert_eq!(said["tags"].as_array().unwrap().len(), 3, "{said:#}");

    let said = json(&scene, "DELETE FROM t").await;
    assert_eq!(said["class"], "write");
    assert_eq!(
        said["writes"],
        serde_json::json!(["public.t", "public.child"])
    );

    let said = json(&scene, "SET TimeZone = 'UTC'").await;
    assert_eq!(said["settings"], serde_json::json!(["timezone"]));
    assert_eq!(said["leaves"], serde_json::json!(["named_setting"]));

    let said = json(&scene, "ALTER TABLE t ADD x int").await;
    assert_eq!(
        (&said["class"], &said["changes_catalog"]),
        (&"DDL".into(), &true.into())
    );
    assert_eq!(said["writes_everything"], true);

    let said = json(&scene, "SELECT v FROM t; UPDATE t SET v = 1").await;
    assert_eq!(said["class"], "script");
    assert_eq!(said["statements"][0]["cacheable"], true);
    assert_eq!(said["statements"][1]["class"], "write");
}

#[tokio::test]
async fn the_command_explains_and_its_errors_are_one_line() {
    let scene = scene().await;
    let output = explain(&scene, &["SELECT v FROM w WHERE v > 1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for line in [
        "cacheable  yes",
        "reads      public.t",
        "class      read",
        "writes     nothing",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let output = explain(&scene, &["--json", "--database", "app", "SELECT f()"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["reason"], "user_function");
    assert_eq!(said["writes_everything"], true);

    let nowhere = ["--upstream", "postgres://keel@127.0.0.1:1/app", "SELECT 1"];
    let down = Command::new(BINARY)
        .arg("explain")
        .args(nowhere)
        .output()
        .unwrap();
    for (output, part) in [
        (explain(&scene, &["SELECT * FROM nowhere"]), "nowhere"),
        (explain(&scene, &["SELEC 1"]), "SELEC"),
        (
            explain(&scene, &["--database", "absent", "SELECT 1"]),
            "absent",
        ),
        (down, "127.0.0.1:1"),
    ] {
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        assert!(error.contains(part), "{error}");
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn databases_are_those_that_clients_know() {
    let scene = Scene::new("CREATE DATABASE other").await;
    let (status, body) = scene
        .stage
        .proxy
        .get("/explain?database=other&sql=SELECT+1")
        .await
        .unwrap();
    assert_eq!(status, 404, "{body}");
    assert!(body.contains("\"other\""), "{body}");
    let mut client = scene.client_with(&[("database", "other")]).await;
    client.run("CREATE TABLE here (v int)").await;
    eventually(SOON, async || {
        let path = "/explain?database=other&sql=SELECT+*+FROM+here";
        let (_, body) = scene.stage.proxy.get(path).await.unwrap();
        body.contains("reads      public.here")
    })
    .await;
}

/// Whatever is sent to the admin port, it answers, and goes on answering.
#[tokio::test]
async fn nothing_that_is_sent_breaks_it() {
    let scene = scene().await;
    let pieces: [&[u8]; 12] = [
        b"SELECT ",
        b"(",
        b"'",
        b"\"",
        b"$$",
        b"\0",
        b"\xff",
        b"/*",
        b";",
        b" FROM t ",
        b"1",
        b"WITH x AS ",
    ];
    let mut state = 42_u64;
    let mut next = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let mut texts: Vec<Vec<u8>> = (0..300)
        .map(|_| {
            let length = next(12);
            (0..length)
                .flat_map(|_| pieces[usize::try_from(next(12)).unwrap()].to_vec())
                .collect()
        })
        .collect();
    texts.push([b"SELECT ".as_slice(), &b"(".repeat(20_000)].concat());
    texts.push(b"SELECT ".repeat(100_000));
    for text in &texts {
        let path = "/explain?format=json";
        let status = post(&scene.stage.proxy.admin_url(), path, text).await;
        assert!(
            [200, 400, 413, 422].contains(&status),
            "{status}: {:?}",
            String::from_utf8_lossy(text)
        );
        if text.len() < 100 {
            let path = format!("/explain?sql={}", encoded(text));
            let (status, _) = scene.stage.proxy.get(&path).await.unwrap();
            assert!([200, 400, 422].contains(&status), "{status}: {path}");
        }
    }
    let (status, _) = scene.stage.proxy.get("/health").await.unwrap();
    assert_eq!(status, 200);
}

async fn post(url: &str, path: &str, body: &[u8]) -> u16 {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: admin\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // It may have answered before it has read everything.
    let _ = stream.write_all(body).await;
    let mut answer = vec![0; 64];
    let count = stream.read(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer[..count]).into_owned();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}
