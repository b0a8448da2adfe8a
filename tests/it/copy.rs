//! COPY in both directions, both protocols, and everything that can go wrong in the middle of it.

use std::time::Duration;

use crate::support::eventually;
use crate::twins::{Twins, step, unfinished};
use crate::wire::*;

const SCHEMA: &str = "
CREATE TABLE items (id int PRIMARY KEY, value text);
CREATE TABLE source (id int, value text);
INSERT INTO source SELECT n, repeat('v', n % 50) FROM generate_series(1, 1000) AS n;
";
const SOON: Duration = Duration::from_secs(20);
const COPY_IN: &str = "COPY items FROM STDIN";

fn run(sql: &str) -> [Vec<u8>; 3] {
    [parse("", sql), bind("", "", &[]), execute("", 0)]
}

#[tokio::test]
async fn data_comes_out_alike() {
    let twins = Twins::new(SCHEMA).await;
    for sql in [
        "COPY source TO STDOUT",
        "COPY (SELECT * FROM source WHERE id < 5) TO STDOUT (FORMAT csv, HEADER)",
        "COPY source TO STDOUT (FORMAT binary)",
        "COPY (SELECT 1 WHERE false) TO STDOUT",
        "COPY (SELECT 10 / (3 - id) FROM source ORDER BY id) TO STDOUT",
        "COPY nowhere TO STDOUT",
        "COPY (SELECT repeat('x', 3000000) FROM generate_series(1, 3)) TO STDOUT",
        "COPY source TO STDOUT; SELECT 1",
    ] {
        twins.agree(sql, &[step(&[query(sql)])]).await;
        let messages = [&run(sql)[..], &[sync()]].concat();
        twins.agree(sql, &[step(&messages)]).await;
    }
}

/// Replies to the end of a COPY and to a query with one row behind it.
const BOTH: usize = 6;

#[tokio::test]
async fn data_goes_in_alike() {
    let twins = Twins::new(SCHEMA).await;
    let binary_rows =
        b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x04\0\0\0\x07\0\0\0\x02hi\xff\xff";
    let script = [
        step(&[query("TRUNCATE items")]),
        unfinished(&[query(COPY_IN)], 1),
        unfinished(
            &[
                copy_data(b"1\tone\n2\t"),
                copy_data(b"\\N\n"),
                copy_data(b""),
                copy_done(),
                query("SELECT 1"),
            ],
            BOTH,
        ),
        step(&[query("SELECT * FROM items ORDER BY id")]),
        // A simple COPY ends by itself; what is asked behind it, is answered behind it.
        unfinished(&[query("COPY items FROM STDIN (FORMAT binary)")], 1),
        unfinished(
            &[
                copy_data(binary_rows),
                copy_done(),
                query("SELECT count(*) FROM items"),
            ],
            BOTH,
        ),
        unfinished(&[query(COPY_IN)], 1),
        unfinished(
            &[
                copy_data(b"3\tthree\n"),
                copy_fail("changed my mind"),
                query("SELECT count(*) FROM items"),
            ],
            BOTH,
        ),
        unfinished(&[query(COPY_IN)], 1),
        unfinished(
            &[
                copy_data(b"1\tagain\n"),
                copy_done(),
                query("SELECT count(*) FROM items"),
            ],
            BOTH,
        ),
        unfinished(&[query(COPY_IN)], 1),
        unfinished(
            &[
                copy_data(b"not a number\n"),
                copy_data(b"8\tx\n"),
                copy_done(),
                query("SELECT 2"),
            ],
            BOTH,
        ),
        // Flush and Sync mean nothing while data goes in.
        unfinished(&[query(COPY_IN)], 1),
        unfinished(&[copy_data(b"9\tnine\n"), flush(), sync(), copy_done()], 2),
        step(&[query("SELECT * FROM items ORDER BY id")]),
        unfinished(
            &[query(
                "COPY items FROM STDIN; SELECT count(*) FROM items; COPY items FROM STDIN",
            )],
            1,
        ),
        unfinished(&[copy_data(b"10\tten\n"), copy_done()], 5),
        unfinished(&[copy_data(b"11\televen\n"), copy_done()], 2),
        step(&[query("SELECT count(*) FROM items")]),
    ];
    twins.agree("simple COPY", &script).await;
}

#[tokio::test]
async fn data_goes_in_alike_by_the_extended_protocol() {
    let twins = Twins::new(SCHEMA).await;
    let copy = [&run(COPY_IN)[..], &[flush()]].concat();
    // The Sync behind the Execute is read as part of the COPY, and ignored.
    let copy_and_sync = [&run(COPY_IN)[..], &[sync()]].concat();
    let script = [
        step(&[query("TRUNCATE items")]),
        unfinished(&copy, 3),
        step(&[copy_data(b"1\tone\n"), copy_done(), sync()]),
        step(&[query("SELECT * FROM items ORDER BY id")]),
        unfinished(&copy_and_sync, 3),
        step(&[copy_data(b"2\ttwo\n"), copy_done(), sync()]),
        step(&[query("SELECT * FROM items ORDER BY id")]),
        unfinished(&copy_and_sync, 3),
        step(&[copy_data(b"3\tthree\n"), copy_fail("no"), sync()]),
        unfinished(&copy, 3),
        step(&[copy_data(b"x\n"), copy_done(), sync()]),
        unfinished(&copy, 3),
        step(&[copy_data(b"1\tagain\n"), copy_done(), sync()]),
        step(&[query("SELECT * FROM items ORDER BY id")]),
        // The rest of a pipeline comes behind the data.
        unfinished(&copy, 3),
        step(
            &[
                &[copy_data(b"4\tfour\n"), copy_done()][..],
                &run("SELECT count(*) FROM items"),
                &[sync()],
            ]
            .concat(),
        ),
        step(&[query("BEGIN")]),
        unfinished(&copy, 3),
        step(&[copy_data(b"5\tfive\n"), copy_done(), sync()]),
        step(&[query("ROLLBACK")]),
        step(&[query("SELECT * FROM items ORDER BY id")]),
    ];
    twins.agree("extended COPY", &script).await;
}

#[tokio::test]
async fn nothing_goes_into_a_table_that_is_not_there() {
    let twins = Twins::new(SCHEMA).await;
    let script = [step(&[query("COPY nowhere FROM STDIN")])];
    twins.agree("no table", &script).await;
}

#[tokio::test]
async fn much_data_goes_in() {
    let twins = Twins::new(SCHEMA).await;
    let row = |number: u32| format!("{number}\t{}\n", "long ".repeat(200));
    let data: String = (0..20_000).map(row).collect();
    let mut script = vec![
        step(&[query("TRUNCATE items")]),
        unfinished(&[query(COPY_IN)], 1),
    ];
    let chunks: Vec<_> = data.as_bytes().chunks(3_000_000).map(copy_data).collect();
    script.push(unfinished(&[&chunks[..], &[copy_done()]].concat(), 2));
    script.push(step(&[query(
        "SELECT count(*), sum(length(value)) FROM items",
    )]));
    twins.agree_on_one_connection("20 MB", &script, 1).await;
}

/// PostgreSQL reports the error while the client still sends; the rest is read and thrown away.
#[tokio::test]
async fn an_error_while_much_is_still_to_come_is_told_once() {
    let twins = Twins::new(SCHEMA).await;
    let mut messages = vec![copy_data(b"not a number\n")];
    messages.extend((0..200).map(|_| copy_data(&[b'x'; 50_000])));
    messages.extend([copy_done(), query("SELECT 1")]);
    let script = [unfinished(&[query(COPY_IN)], 1), unfinished(&messages, 6)];
    twins
        .agree_on_one_connection("much to come", &script, 1)
        .await;
}

#[tokio::test]
async fn what_is_copied_in_is_seen_at_once() {
    let twins = Twins::new(SCHEMA).await;
    let (mut writer, mut reader) = (twins.proxied().await, twins.proxied().await);
    let count = query("SELECT count(*) FROM items");
    for round in 0..20 {
        let expected = round.to_string();
        assert_eq!(values(&reader.ask(&count).await), [expected.as_str()]);
        assert_eq!(values(&reader.ask(&count).await), [expected.as_str()]);
        writer.send(&query(COPY_IN)).await;
        assert_eq!(writer.next().await.unwrap().tag, b'G');
        writer
            .ask(&[copy_data(format!("{round}\tx\n").as_bytes()), copy_done()].concat())
            .await;
    }
}

#[tokio::test]
async fn a_client_that_vanishes_in_the_middle_copies_nothing() {
    let twins = Twins::new(SCHEMA).await;
    let mut reader = twins.proxied().await;
    for copy in [
        vec![query(COPY_IN)],
        [&run(COPY_IN)[..], &[sync()]].concat(),
    ] {
        let mut writer = twins.proxied().await;
        writer.send(&copy.concat()).await;
        while writer.next().await.unwrap().tag != b'G' {}
        writer.send(&copy_data(b"1\tone\n")).await;
        drop(writer);
        let busy =
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'COPY%'";
        eventually(SOON, async || {
            values(&reader.ask(&query(busy)).await) == ["0"]
        })
        .await;
        let rows = reader.ask(&query("SELECT count(*) FROM items")).await;
        assert_eq!(values(&rows), ["0"]);
    }
}

/// Both end the COPY with an error that names the message.
#[tokio::test]
async fn a_query_in_the_middle_of_the_data_is_an_error() {
    let twins = Twins::new(SCHEMA).await;
    for port in [twins.stage.postgres.port(), twins.stage.proxy.port()] {
        let mut wire = Wire::login(port, "app").await;
        wire.send(&query(COPY_IN)).await;
        wire.next().await;
        wire.try_send(&query("SELECT 1")).await;
        let answer = wire.next().await.unwrap();
        assert_eq!(answer.sqlstate(), "08P01");
    }
    twins.proxied().await.ask(&query("SELECT 1")).await;
}
