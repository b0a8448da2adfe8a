//! The widest rows, the longest values, every kind of COPY, and goodbyes in the middle.

use super::{ITEMS, SCHEMA};
use crate::twins::{Twins, compare, step, unfinished};
use crate::wire::*;

#[tokio::test]
async fn the_widest_and_longest_rows_go_both_ways() {
    let columns: Vec<String> = (0..1600).map(|number| format!("c{number} int2")).collect();
    let tables = format!(
        "{SCHEMA}; CREATE TABLE wide ({}); CREATE TABLE long (t text, b bytea)",
        columns.join(", ")
    );
    let twins = Twins::new(&tables).await;
    let values = vec![Some(&b"7"[..]); 1600];
    let places: Vec<String> = (1..=1600).map(|number| format!("${number}")).collect();
    let insert = format!("INSERT INTO wide VALUES ({})", places.join(", "));
    let long = vec![b'w'; 20 * 1024 * 1024];
    let script = [
        step(&[query("TRUNCATE wide, long")]),
        step(&[
            parse("", &insert),
            describe_statement(""),
            bind("", "", &values),
            execute("", 0),
            sync(),
        ]),
        step(&[query("SELECT * FROM wide")]),
        step(&[
            parse("", "SELECT * FROM wide"),
            describe_statement(""),
            bind_formats("", "", &[], &[], &[1]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]),
        step(&[
            parse("", "INSERT INTO long VALUES ($1, $2)"),
            bind_formats("", "", &[0, 1], &[Some(&long), Some(&long)], &[]),
            execute("", 0),
            sync(),
        ]),
        step(&[
            parse("", "SELECT t, b FROM long"),
            bind_formats("", "", &[], &[], &[0, 1]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]),
        step(&[query("SELECT t FROM long")]),
        unfinished(&[query("COPY long FROM STDIN")], 1),
        unfinished(
            &[copy_data(&long), copy_data(b"\t\\\\x00\n"), copy_done()],
            2,
        ),
        step(&[query(
            "SELECT count(*), sum(length(t)), sum(length(b)) FROM long",
        )]),
    ];
    twins.agree_on_one_connection("limits", &script, 2).await;
}

#[tokio::test]
async fn copies_are_alike_in_every_format() {
    let twins = Twins::new(SCHEMA).await;
    let copy =
        |options: &str| format!("COPY app.items (id, amount, name, size) FROM STDIN {options}");
    let flushed = |sql: &str| unfinished(&[run(sql), flush()], 3);
    let count = || {
        step(&[
            query("SELECT * FROM app.items ORDER BY id"),
            query("DELETE FROM app.items WHERE id > 3"),
        ])
    };
    let mut script = Vec::new();
    for (options, data) in [
        ("", &b"60\t1\tsixty\t60\n"[..]),
        (
            "(FORMAT csv, HEADER)",
            b"id,amount,name,size\n60,1,\"six, ty\",60\n",
        ),
        (
            "(FORMAT csv, NULL 'nil', QUOTE '''')",
            b"60,1,'it''s',nil\n",
        ),
        ("(FORMAT csv, FORCE_NOT_NULL (name))", b"60,1,,60\n"),
        (
            "(DELIMITER '|', ENCODING 'latin1')",
            b"60|1|gr\xf6\xdfe|60\n",
        ),
        ("", b"60\t0\tviolates\t60\n"),
        ("", b"60\t1\tno size\n"),
        ("", b"60\t1\tutf \xff\t60\n"),
        ("(FORMAT binary)", b"not binary"),
    ] {
        script.push(unfinished(&[query(&copy(options))], 1));
        script.push(unfinished(&[copy_data(data), copy_done()], 2));
        script.push(count());
        script.push(flushed(&copy(options)));
        script.push(step(&[copy_data(data), copy_done(), sync()]));
        script.push(count());
        script.push(flushed(&copy(options)));
        script.push(step(&[copy_data(data), copy_fail("no: \u{fc}"), sync()]));
        script.push(step(&[query("BEGIN")]));
        script.push(unfinished(&[query(&copy(options))], 1));
        script.push(unfinished(&[copy_data(data), copy_fail("")], 2));
        script.push(step(&[query("ROLLBACK")]));
    }
    for sql in [
        "COPY app.items TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)",
        "COPY app.items TO STDOUT (FORMAT binary)",
        "COPY app.items (name) TO STDOUT (DELIMITER '|', NULL 'none')",
    ] {
        script.push(step(&[run(ITEMS), run(sql), run(ITEMS), sync()]));
        script.push(step(&[query(&format!("SELECT 1; {sql}; SELECT 2"))]));
    }
    twins.agree_on_one_connection("copies", &script, 2).await;
}

#[tokio::test]
async fn a_goodbye_in_the_middle_ends_the_conversation_alike() {
    let twins = Twins::new(SCHEMA).await;
    let goodbye = message(b'X', &[]);
    for (name, messages) in [
        ("at once", vec![]),
        ("behind a query", vec![query(ITEMS)]),
        ("behind a flush", vec![run(ITEMS), flush()]),
        ("behind an error", vec![run("SELECT 1 / 0"), run(ITEMS)]),
        (
            "in a transaction",
            vec![query("BEGIN"), query("DELETE FROM app.parts")],
        ),
        (
            "in a COPY",
            vec![query("COPY app.parts FROM STDIN"), copy_data(b"1\n")],
        ),
    ] {
        let bytes = [messages.concat(), goodbye.clone()].concat();
        let mut answers = Vec::new();
        for mut wire in [twins.direct().await, twins.proxied().await] {
            wire.send(&bytes).await;
            answers.push(wire.until_end().await);
        }
        assert_eq!(answers[0], answers[1], "{name}");
    }
    let script = [step(&[query("SELECT count(*) FROM app.parts")])];
    let (mut direct, mut proxied) = (twins.direct().await, twins.proxied().await);
    compare("afterwards", &script, &mut direct, &mut proxied).await;
}
