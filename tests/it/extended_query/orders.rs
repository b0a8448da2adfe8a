//! Messages in every order, sensible or not.

use super::{ALL, BY_ID, ONE, SCHEMA, TWO};
use crate::twins::{Twins, compare, step};
use crate::wire::*;

/// One letter for each message that concerns the unnamed statement and the unnamed portal.
const LETTERS: &[u8] = b"PBTDELCX";

/// The longest pipelines that are tried.
const LENGTH_MAX: u32 = 4;

#[tokio::test]
async fn all_short_pipelines_are_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    let (mut direct, mut proxied) = (twins.direct().await, twins.proxied().await);
    for length in 0..=LENGTH_MAX {
        for number in 0..LETTERS.len().pow(length) {
            let letters = pipeline(number, length);
            let mut messages: Vec<_> = letters.bytes().map(message_of).collect();
            messages.push(sync());
            compare(&letters, &[step(&messages)], &mut direct, &mut proxied).await;
        }
    }
    assert!(twins.stage.hits().await > 3);
    assert_eq!(twins.stage.stat("clients.pinned").await, 0);
}

/// The pipeline of a number: its digits, in the base of as many letters as there are.
fn pipeline(mut number: usize, length: u32) -> String {
    let mut letters = String::new();
    for _ in 0..length {
        letters.push(char::from(LETTERS[number % LETTERS.len()]));
        number /= LETTERS.len();
    }
    letters
}

fn message_of(letter: u8) -> Vec<u8> {
    match letter {
        b'P' => parse("", ALL),
        b'B' => bind("", "", &[]),
        b'T' => describe_statement(""),
        b'D' => describe_portal(""),
        b'E' => execute("", 0),
        b'L' => execute("", 2),
        b'C' => close_portal(""),
        _ => close_statement(""),
    }
}

#[tokio::test]
async fn errors_in_any_place_are_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    let run = || [parse("", ALL), bind("", "", &[]), execute("", 0)].concat();
    for (name, messages) in troubles() {
        for messages in [
            vec![messages.clone(), sync()],
            vec![run(), messages.clone(), run(), sync()],
            vec![messages, run(), describe_portal(""), sync(), run(), sync()],
        ] {
            twins.agree(name, &[step(&messages)]).await;
        }
    }
}

/// Messages that fail, or nearly so.
fn troubles() -> [(&'static str, Vec<u8>); 16] {
    let text = |sql| [parse("", sql), bind("", "", &[]), execute("", 0)].concat();
    let bound = |bind: Vec<u8>| [parse("", BY_ID), bind, execute("", 0)].concat();
    let noisy = [
        parse("", "SELECT noisy($1)"),
        bind("", "", ONE),
        execute("", 0),
    ];
    let divide = parse("", "SELECT 1 / $1::int");
    let zero = bind("", "", &[Some(b"0")]);
    [
        ("empty text", text("")),
        ("not SQL", text("SELEC")),
        ("two statements", text("SELECT 1; SELECT 2")),
        ("no table", text("SELECT * FROM nowhere")),
        (
            "no statement",
            [bind("", "nothing", &[]), execute("", 0)].concat(),
        ),
        ("no portal", execute("nothing", 0)),
        ("describe no portal", describe_portal("nothing")),
        ("describe no statement", describe_statement("nothing")),
        (
            "close nothing",
            [close_statement("nothing"), close_portal("nothing")].concat(),
        ),
        ("too few parameters", bound(bind("", "", &[]))),
        ("bad value", bound(bind("", "", &[Some(b"x")]))),
        ("bad format", bound(bind_formats("", "", &[7], ONE, &[]))),
        (
            "bad binary value",
            bound(bind_formats("", "", &[1], ONE, &[])),
        ),
        (
            "too many result formats",
            bound(bind_formats("", "", &[], ONE, &[0, 1])),
        ),
        (
            "error while running",
            [divide, zero, describe_portal(""), execute("", 0)].concat(),
        ),
        ("notice", noisy.concat()),
    ]
}

#[tokio::test]
async fn named_portals_are_answered_alike() {
    let twins = Twins::new(SCHEMA).await;
    let end = [sync(), close_statement("s"), sync()];
    for (name, messages) in [
        (
            "two at once",
            &[
                parse("", BY_ID),
                bind("a", "", ONE),
                bind("b", "", TWO),
                execute("b", 0),
                execute("a", 0),
                describe_portal("b"),
                close_portal("a"),
                execute("a", 0),
            ][..],
        ),
        (
            "the same twice",
            &[parse("", ALL), bind("a", "", &[]), bind("a", "", &[])],
        ),
        (
            "one after the other",
            &[
                parse("", ALL),
                bind("a", "", &[]),
                execute("a", 1),
                close_portal("a"),
                bind("a", "", &[]),
                execute("a", 0),
                execute("a", 0),
            ],
        ),
        (
            "their statement is gone",
            &[
                parse("s", ALL),
                bind("a", "s", &[]),
                close_statement("s"),
                execute("a", 0),
                bind("a", "s", &[]),
            ],
        ),
    ] {
        twins.agree(name, &[step(&[messages, &end].concat())]).await;
    }
}
