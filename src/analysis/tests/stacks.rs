//! Deep nesting does not overflow a small stack.

use std::thread;

use super::world::world;
use super::{DIALECT, TEXT_MAX, parse};

/// As small as the stacks of the threads that serve clients.
const STACK: usize = 2 << 20;

fn survives(sql: String) {
    assert!(sql.len() <= TEXT_MAX, "{} bytes", sql.len());
    let worker = thread::Builder::new().stack_size(STACK).spawn(move || {
        let _ = parse(sql.as_bytes(), DIALECT, TEXT_MAX).judge(Some(&world()));
    });
    worker.expect("a thread").join().expect("no overflow");
}

#[test]
fn deep_texts_do_not_overflow() {
    let around = |open: &str, middle: &str, close: &str| {
        let depth = (TEXT_MAX - 64 - middle.len()) / (open.len() + close.len());
        format!(
            "SELECT {}{middle}{}",
            open.repeat(depth),
            close.repeat(depth)
        )
    };
    survives(format!("SELECT 1{}", "+1".repeat(16_000)));
    survives(format!("SELECT 1{}", "::int".repeat(6_000)));
    survives(format!("SELECT a{}", ".a".repeat(16_000)));
    survives(format!("SELECT a{}", "[1]".repeat(10_000)));
    survives(format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1_700)));
    survives(format!("TABLE a{}", " UNION TABLE a".repeat(2_300)));
    survives(format!("SELECT {}1", "- ".repeat(16_000)));
    survives(format!("SELECT {}true", "NOT ".repeat(8_000)));
    survives(format!("SELECT 1{}", "||a".repeat(10_000)));
    survives(format!("SELECT {}1", "@".repeat(30_000)));
    survives(around("(", "1", ")"));
    survives(around("f(", "1", ")"));
    survives(around("ARRAY[", "1", "]"));
    survives(around("CASE WHEN ", "true", " THEN 1 END"));
    survives(around("(SELECT ", "1", ")"));
    survives(around("a IN (SELECT ", "1", ")"));
    survives(format!(
        "SELECT * FROM {}a{}",
        "(".repeat(16_000),
        ")".repeat(16_000)
    ));
    survives(format!("SELECT * FROM a{}", " JOIN a ON 1=1".repeat(2_300)));
    survives(format!(
        "SELECT * FROM {}a{}",
        "(SELECT * FROM ".repeat(1_900),
        ")".repeat(1_900)
    ));
    survives(format!("{}SELECT 1", "EXPLAIN ".repeat(4_000)));
}
