//! Tables of statements and the verdicts they get in a small made-up database.
//!
//! A verdict is written in one line: the relations of a cacheable read (or `constant`), or `!` and the reason; then `->` and
//! the relations written (`*` for every one, `**` for the catalog too); then the session effects in brackets.

mod code;
mod parsing;
mod reached;
mod reads;
mod sessions;
mod stacks;
mod values;
mod world;
mod writes;

use super::{Catalog, Dialect, Verdict, WriteSet, parse};

const DIALECT: Dialect = Dialect {
    utf8: true,
    standard_conforming_strings: true,
};
const TEXT_MAX: usize = 32 << 10;

fn check(table: &[(&str, &str)]) {
    check_in(&world::world(), table);
}

fn check_in(catalog: &Catalog, table: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (sql, expected) in table {
        let actual = describe(
            &parse(sql.as_bytes(), DIALECT, TEXT_MAX).judge(Some(catalog)),
            catalog,
        );
        if actual != *expected {
            wrong.push(format!(
                "{sql}\n    expected {expected}\n    actual   {actual}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} are wrong:\n{}",
        wrong.len(),
        table.len(),
        wrong.join("\n")
    );
}

fn describe(verdict: &Verdict, catalog: &Catalog) -> String {
    let names = |tables: &[super::Oid]| {
        let mut names: Vec<_> = tables
            .iter()
            .map(|oid| {
                catalog
                    .relation_names(*oid)
                    .expect("a verdict names relations of its catalog")
            })
            .map(|(schema, name)| {
                if schema == "public" {
                    name.to_owned()
                } else {
                    format!("{schema}.{name}")
                }
            })
            .collect();
        names.sort();
        names.join(" ")
    };
    let mut line = match &verdict.read {
        Ok(read) if read.tables.is_empty() => "constant".to_owned(),
        Ok(read) => names(&read.tables),
        Err(reason) => format!("!{}", reason.as_str()),
    };
    match &verdict.write {
        WriteSet::Everything if verdict.catalog => line += " -> **",
        WriteSet::Everything => line += " -> *",
        WriteSet::Nothing => assert!(
            !verdict.catalog,
            "a change of the catalog is a change of everything"
        ),
        WriteSet::Tables(tables) => line = format!("{line} -> {}", names(tables)),
    }
    if !verdict.session.is_empty() {
        let effects: Vec<_> = verdict
            .session
            .iter()
            .map(super::SessionEffect::as_str)
            .collect();
        line = format!("{line} [{}]", effects.join(" "));
    }
    line
}
