//! Random conversations: pipelines nobody would write, compared with PostgreSQL byte for byte.
//!
//! A failure names its seed; the conversation of a seed is always the same.

use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::twins::{Step, Twins, compare, step};
use crate::wire::*;

const SCHEMA: &str = "
CREATE TABLE readings (id int PRIMARY KEY, name text);
INSERT INTO readings SELECT n, 'reading ' || n FROM generate_series(1, 4) AS n;
CREATE TABLE written (id serial, value int);
";

const CONVERSATIONS: u64 = 100;

/// Texts with the number of their parameters.
const STATEMENTS: [(&str, usize); 16] = [
    ("SELECT * FROM readings ORDER BY id", 0),
    ("SELECT name FROM readings WHERE id = $1", 1),
    ("SELECT count(*), max(value) FROM written", 0),
    (
        "SELECT value FROM written WHERE value < $1::int + 3 ORDER BY value LIMIT 3",
        1,
    ),
    ("SELECT $1::int + 1, $2::text", 2),
    ("INSERT INTO written (value) VALUES ($1) RETURNING value", 1),
    ("UPDATE written SET value = value + 1 WHERE value < 3", 0),
    ("DELETE FROM written WHERE value > 2", 0),
    ("SELECT 1 / $1::int", 1),
    ("", 0),
    ("BEGIN", 0),
    ("COMMIT", 0),
    ("ROLLBACK", 0),
    ("SAVEPOINT s", 0),
    ("ROLLBACK TO s", 0),
    ("SELEC", 0),
];
/// The first of them can be cached.
const READS: usize = 5;
/// The last of them is not SQL.
const SQL: usize = STATEMENTS.len() - 1;
const NAMES: [&str; 4] = ["", "", "a", "b"];
const PORTALS: [&str; 5] = ["", "", "", "", "p"];
const VALUES: [Option<&[u8]>; 5] = [Some(b"0"), Some(b"1"), Some(b"2"), Some(b"3"), None];

/// What the conversation believes about the names.
struct Known {
    statements: [(&'static str, usize); NAMES.len()],
    /// The unnamed portal was made in this step. One that is older may have been answered from the cache, and
    /// is then not on the server; no driver asks for it again.
    portal: bool,
    /// Only statements in the order that drivers use: most stay what the proxy can follow, and many are hits.
    is_orderly: bool,
}

fn message_of(random: &mut ChaCha8Rng, known: &mut Known) -> Vec<u8> {
    let place = random.random_range(0..NAMES.len());
    let portal = PORTALS.choose(random).unwrap();
    let made = if known.portal { portal } else { &"p" };
    match random.random_range(0..20) {
        0..5 => {
            known.statements[place] = *STATEMENTS.choose(random).unwrap();
            parse(NAMES[place], known.statements[place].0)
        }
        5..10 => {
            known.portal |= portal.is_empty();
            bind(
                portal,
                NAMES[place],
                &values_for(random, known.statements[place].1),
            )
        }
        10..12 => describe_portal(made),
        12 => describe_statement(NAMES[place]),
        13..17 => execute(made, random.random_range(0..8) / 6),
        17 => close_statement(NAMES[place]),
        18 => close_portal(made),
        _ => flush(),
    }
}

fn values_for(random: &mut ChaCha8Rng, count: usize) -> Vec<Option<&'static [u8]>> {
    (0..count)
        .map(|_| *VALUES.choose(random).unwrap())
        .collect()
}

/// Parse, Bind, Describe, Execute in the order that drivers use.
fn whole_statement(random: &mut ChaCha8Rng, known: &Known) -> Vec<u8> {
    let choice = if random.random_ratio(3, 4) {
        &STATEMENTS[..READS]
    } else if known.is_orderly {
        &STATEMENTS[..SQL]
    } else {
        &STATEMENTS
    };
    let (sql, parameters) = *choice.choose(random).unwrap();
    let mut messages = vec![
        parse("", sql),
        bind("", "", &values_for(random, parameters)),
    ];
    if random.random() {
        messages.push(describe_portal(""));
    }
    messages.push(execute("", 0));
    messages.concat()
}

/// A step of its own end: a simple query, or a pipeline up to its Sync.
fn random_step(random: &mut ChaCha8Rng, known: &mut Known) -> Step {
    if random.random_ratio(1, 4) {
        let texts = if known.is_orderly {
            SQL
        } else {
            STATEMENTS.len()
        };
        let plain = STATEMENTS[..texts]
            .iter()
            .filter(|(_, parameters)| *parameters == 0);
        let plain: Vec<_> = plain.map(|(sql, _)| *sql).collect();
        return step(&[query(plain.choose(random).unwrap())]);
    }
    let mut messages = Vec::new();
    known.portal = false;
    let most = if known.is_orderly { 3 } else { 8 };
    for _ in 0..random.random_range(1..most) {
        messages.push(if known.is_orderly || random.random_ratio(1, 3) {
            known.portal = true;
            whole_statement(random, known)
        } else {
            message_of(random, known)
        });
    }
    step(&[messages.concat(), sync()])
}

async fn converse(twins: &Twins, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut known = Known {
        statements: [("", 0); NAMES.len()],
        portal: false,
        // The wild ones void the catalog with almost every step, so they come last.
        is_orderly: seed < CONVERSATIONS / 2,
    };
    let script: Vec<Step> = (0..30)
        .map(|_| random_step(&mut random, &mut known))
        .collect();
    let (mut direct, mut proxied) = (twins.direct().await, twins.proxied().await);
    let place = format!("conversation {seed}");
    compare(&place, &script, &mut direct, &mut proxied).await;
}

#[tokio::test]
async fn random_conversations_agree() {
    let twins = Twins::new(SCHEMA).await;
    for seed in 0..CONVERSATIONS {
        converse(&twins, seed).await;
    }
    let hits = twins.stage.hits().await;
    assert!(hits > CONVERSATIONS, "{hits}");
}
