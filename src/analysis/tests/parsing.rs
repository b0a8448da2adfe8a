//! What is understood, and that nothing breaks on the rest.

use proptest::prelude::*;

use super::world::world;
use super::{DIALECT, TEXT_MAX, parse};
use crate::analysis::{Control, Dialect, SessionEffect, WriteSet};
use crate::reason::Reason;

fn understood(sql: &[u8], dialect: Dialect, max_bytes: usize) -> bool {
    let parsed = parse(sql, dialect, max_bytes);
    if *parsed.control() != Control::NotUnderstood {
        return true;
    }
    let verdict = parsed.judge(Some(&world()));
    assert_eq!(verdict.read, Err(Reason::NotUnderstood));
    assert_eq!(verdict.write, WriteSet::Everything);
    assert!(verdict.catalog && verdict.session.contains(SessionEffect::UnknownCode));
    false
}

#[test]
fn only_what_the_server_reads_alike_is_understood() {
    let ascii = Dialect {
        utf8: false,
        ..DIALECT
    };
    let backslashes = Dialect {
        standard_conforming_strings: false,
        ..DIALECT
    };
    assert!(understood("SELECT 'é'".as_bytes(), DIALECT, TEXT_MAX));
    assert!(!understood("SELECT 'é'".as_bytes(), ascii, TEXT_MAX));
    assert!(!understood(b"SELECT '\xe9'", DIALECT, TEXT_MAX));
    assert!(understood(b"SELECT 'a'", ascii, TEXT_MAX));
    assert!(understood(b"SELECT '\\'", DIALECT, TEXT_MAX));
    assert!(!understood(b"SELECT '\\'", backslashes, TEXT_MAX));
    assert!(understood(b"SELECT 'a'", backslashes, TEXT_MAX));
    assert!(!understood(b"SELECT 1\0", DIALECT, TEXT_MAX));
    assert!(understood(b"SELECT 1", DIALECT, 8));
    assert!(!understood(b"SELECT 1 ", DIALECT, 8));
    assert!(!understood(b"SELECT 'a", DIALECT, TEXT_MAX));
    assert!(!understood(b"FROM users", DIALECT, TEXT_MAX));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_a_verdict(sql in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&sql, DIALECT, TEXT_MAX).judge(Some(&world()));
    }

    #[test]
    fn any_words_get_a_verdict(words in prop::collection::vec(prop::sample::select(WORDS), 0..30)) {
        let _ = parse(words.join(" ").as_bytes(), DIALECT, TEXT_MAX).judge(Some(&world()));
    }

    /// More tables in a text never make the set of dependencies smaller.
    #[test]
    fn every_table_named_is_a_dependency(tables in prop::collection::vec(0usize..TABLES.len(), 1..6)) {
        let names: Vec<_> = tables.iter().map(|table| TABLES[*table].0).collect();
        let sql = format!("SELECT 1 FROM {}", names.join(" CROSS JOIN "));
        let read = parse(sql.as_bytes(), DIALECT, TEXT_MAX).judge(Some(&world())).read.expect("tables are cacheable");
        for table in tables {
            prop_assert!(read.tables.contains(&crate::analysis::Oid(TABLES[table].1)));
        }
    }
}

const TABLES: &[(&str, u32)] = &[
    ("users", 1),
    ("leads", 2),
    ("public.notes", 3),
    ("active_users", 1),
    ("events", 31),
];

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "users",
    "WHERE",
    "(",
    ")",
    ",",
    "*",
    "1",
    "'now'",
    "$1",
    "=",
    "AND",
    "NOT",
    "INSERT INTO",
    "VALUES",
    "UPDATE",
    "SET",
    "DELETE",
    "WITH",
    "a",
    "AS",
    "MERGE",
    "USING",
    "ON",
    "WHEN MATCHED THEN",
    "CREATE",
    "TABLE",
    "VIEW",
    "ALTER",
    "ADD",
    "COLUMN",
    "int",
    "DEFAULT",
    "DROP",
    "TRUNCATE",
    "COPY",
    "TO",
    "STDOUT",
    "EXPLAIN",
    "ANALYZE",
    ";",
    "::",
    "date",
    "JOIN",
    "UNION",
    "ORDER BY",
    "LIMIT",
    "CASE",
    "END",
    "THEN",
    "ELSE",
    "EXISTS",
    "ARRAY[",
    "]",
    "IN",
    "BETWEEN",
    "vol()",
    ".",
    "JSON_TABLE(",
    "GROUP BY",
    "OVER",
    "FILTER",
    "PREPARE",
    "EXECUTE",
    "DECLARE c CURSOR FOR",
    "FOR UPDATE",
    "REFRESH MATERIALIZED VIEW",
    "BEGIN",
    "COMMIT",
    "LISTEN",
    "TYPE",
    "FUNCTION",
    "RETURNING",
    "DOMAIN",
    "CHECK",
];
