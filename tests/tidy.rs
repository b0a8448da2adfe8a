//! The house rules that a compiler does not check: the shape of files, the direction of imports,
//! and the purity of what decides.

#[path = "tidy/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::path::Path;

use source::Source;

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// What is longer than the limits allow, and how long: `path` or `path::function`.
/// The list may only shrink: an entry that is no longer exact fails the test.
const EXCEPTIONS: &[(&str, usize)] = &[];

/// Names that say nothing of what a file holds.
const VAGUE_NAMES: [&str; 6] = ["common", "helper", "helpers", "misc", "util", "utils"];

/// The modules of `src/` in the order of a query's journey. One may import only from the lines
/// below its own.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["app"],
    &["admin"],
    &["edge"],
    &["session"],
    &["services"],
    &["clients"],
    &["database"],
    &["upstream"],
    &["shared"],
    &["cache", "catalog"],
    &["freshness", "observe"],
    &["analysis", "auth", "protocol", "transport"],
    &["config"],
    &["error", "reason", "sync"],
];

/// Modules beside the journey, and all that they may import.
const ASIDE: &[(&str, &[&str])] = &[("migrate", &["config"]), ("seed", &["config"])];

/// Modules that decide and never act.
const PURE: [&str; 3] = ["analysis", "auth", "protocol"];

/// What acts, or looks at the world. `std` modules are listed apart, for they come in groups.
const IMPURE: [&str; 6] = [
    "async",
    "await",
    "Instant::now",
    "SystemTime",
    "tokio",
    "tokio_postgres",
];
const IMPURE_STD: [&str; 4] = ["env", "fs", "net", "process"];

#[test]
fn the_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for directory in ["src", "bench/src", "model/tests", "tests"] {
        read(root, Path::new(directory), &mut sources);
    }
    assert!(sources.len() > 10, "only {} files found", sources.len());
    let problems: Vec<String> = sources
        .iter()
        .flat_map(check)
        .chain(check_lengths(&sources, EXCEPTIONS))
        .collect();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn read(root: &Path, directory: &Path, sources: &mut Vec<Source>) {
    let mut entries: Vec<_> = std::fs::read_dir(root.join(directory))
        .expect("the directory can be read")
        .map(|entry| directory.join(entry.expect("the directory can be read").file_name()))
        .collect();
    entries.sort();
    for path in entries {
        if root.join(&path).is_dir() {
            read(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(root.join(&path)).expect("a source is UTF-8");
            sources.push(Source::new(&path.to_string_lossy(), &text));
        }
    }
}

/// Every rule that looks at one file alone, but for lengths.
fn check(source: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    if !source.text.starts_with("//! ") {
        problems.push("does not open with `//!`: what it owns, and its invariant".to_owned());
    }
    for part in source.path.trim_end_matches(".rs").split('/') {
        if part == "mod" {
            problems.push("write foo.rs and foo/, not foo/mod.rs".to_owned());
        } else if VAGUE_NAMES.contains(&part) {
            problems.push(format!(
                "the name {part:?} says nothing; name what it holds"
            ));
        }
    }
    for marker in [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("#[ign", "ore"),
    ] {
        if source.text.contains(marker) {
            problems.push(format!("{marker} is left over"));
        }
    }
    if let Some(module) = module(&source.path) {
        problems.extend(check_arrows(module, source));
        if PURE.contains(&module) {
            problems.extend(check_purity(source));
        }
    }
    problems
        .into_iter()
        .map(|problem| format!("{}: {problem}", source.path))
        .collect()
}

/// The module of `src/` that a file belongs to; `lib.rs` only lists them.
fn module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let module = inside.split('/').next()?.trim_end_matches(".rs");
    (module != "lib").then_some(module)
}

fn check_arrows(module: &str, source: &Source) -> Vec<String> {
    let Some(allowed) = allowed(module) else {
        return vec![format!(
            "module {module:?} has no place in tests/tidy.rs; give it one"
        )];
    };
    let mut names = source.names_after("crate::");
    if module == "main" {
        names.extend(source.names_after("pgkeel::"));
    }
    // src/foo.rs reaches a neighbour by `super::`, src/foo/bar.rs by `super::super::`.
    let depth = source.path.matches('/').count();
    names.extend(source.names_after(&"super::".repeat(depth)));
    let imported: BTreeSet<String> = names.into_iter().collect();
    imported
        .iter()
        .filter(|name| name.as_str() != module && name.as_str() != "super" && is_module(name))
        .filter(|name| !allowed.contains(&name.as_str()))
        .map(|name| format!("{module} must not import {name}: arrows point one way"))
        .collect()
}

fn is_module(name: &str) -> bool {
    allowed(name).is_some()
}

/// What a module may import, or nothing when it has no place.
fn allowed(module: &str) -> Option<Vec<&'static str>> {
    if let Some((_, imports)) = ASIDE.iter().find(|(name, _)| *name == module) {
        return Some(imports.to_vec());
    }
    let layer = LAYERS.iter().position(|layer| layer.contains(&module))?;
    let mut allowed: Vec<&str> = LAYERS[layer + 1..].concat();
    if ["main", "cli", "app"].contains(&module) {
        allowed.extend(ASIDE.iter().map(|(name, _)| *name));
    }
    Some(allowed)
}

fn check_purity(source: &Source) -> Vec<String> {
    let words = IMPURE
        .into_iter()
        .filter(|word| source.mentions(word))
        .map(str::to_owned);
    let std = source.names_after("std::").into_iter();
    let std = std
        .filter(|name| IMPURE_STD.contains(&name.as_str()))
        .map(|name| format!("std::{name}"));
    let found: BTreeSet<String> = words.chain(std).collect();
    found
        .into_iter()
        .map(|name| format!("{name} in a module that only decides"))
        .collect()
}

/// Files and functions that are too long, and exceptions that are not exact.
fn check_lengths(sources: &[Source], exceptions: &[(&str, usize)]) -> Vec<String> {
    let mut too_long: Vec<(String, usize, usize)> = Vec::new();
    for source in sources {
        too_long.push((source.path.clone(), source.lines(), FILE_LINES_MAX));
        for function in source.functions() {
            let name = format!("{}::{}", source.path, function.name);
            too_long.push((name, function.lines, FUNCTION_LINES_MAX));
        }
    }
    too_long.retain(|(_, lines, max)| lines > max);
    let is_excepted = |name: &str, lines: usize| exceptions.contains(&(name, lines));
    let long = too_long
        .iter()
        .filter(|(name, lines, _)| !is_excepted(name, *lines))
        .map(|(name, lines, max)| format!("{name}: {lines} lines of code; at most {max}"));
    let outdated = exceptions
        .iter()
        .filter(|(name, lines)| !too_long.iter().any(|(n, l, _)| n == name && l == lines))
        .map(|(name, lines)| format!("{name}: no longer {lines} lines; shrink the exceptions"));
    long.chain(outdated).collect()
}

/// What [`check`] says about a text, without the path.
fn problems(path: &str, text: &str) -> Vec<String> {
    let prefix = format!("{path}: ");
    let problems = check(&Source::new(path, text));
    problems
        .iter()
        .map(|problem| problem.replacen(&prefix, "", 1))
        .collect()
}

#[track_caller]
fn assert_tidy(path: &str, text: &str) {
    assert_eq!(problems(path, text), Vec::<String>::new());
}

#[track_caller]
fn assert_untidy(path: &str, text: &str, expected: &str) {
    let problems = problems(path, text);
    assert!(
        problems.iter().any(|problem| problem.contains(expected)),
        "{problems:?}"
    );
}

#[test]
fn a_file_opens_with_what_it_is() {
    assert_tidy("src/app.rs", "//! The app.\n");
    assert_untidy("src/app.rs", "// The app.\n", "does not open");
    assert_untidy("src/app.rs", "", "does not open");
}

#[test]
fn names_say_something() {
    assert_untidy("src/cache/mod.rs", "//! x\n", "not foo/mod.rs");
    assert_untidy("src/utils.rs", "//! x\n", "says nothing");
    assert_untidy("bench/src/common/port.rs", "//! x\n", "says nothing");
    assert_tidy("bench/src/model.rs", "//! x\n");
}

#[test]
fn nothing_is_left_over() {
    assert_untidy(
        "src/app.rs",
        concat!("//! x\n// TO", "DO: y\n"),
        "left over",
    );
    assert_untidy(
        "tests/it/a.rs",
        concat!("//! x\n#[ign", "ore]\n"),
        "left over",
    );
}

#[test]
fn arrows_point_one_way() {
    assert_tidy(
        "src/session.rs",
        "//! x\nuse crate::{cache::Cache, session::relay};\n",
    );
    assert_tidy("src/main.rs", "//! x\nuse pgkeel::app;\n");
    assert_untidy(
        "src/cache.rs",
        "//! x\nuse crate::session::Session;\n",
        "must not import session",
    );
    assert_untidy(
        "src/cache/local.rs",
        "//! x\nfn f() { crate::upstream::f() }\n",
        "import upstream",
    );
    assert_untidy(
        "src/config.rs",
        "//! x\nuse crate::{\n    reason::Reason,\n    app::{run, A},\n};\n",
        "import app",
    );
    assert_untidy(
        "src/cache.rs",
        "//! x\nuse super::session;\n",
        "import session",
    );
    assert_untidy(
        "src/cache/local.rs",
        "//! x\nuse super::super::session;\n",
        "import session",
    );
    assert_untidy(
        "src/protocol.rs",
        "//! x\nuse crate::analysis;\n",
        "import analysis",
    );
    assert_untidy(
        "src/seed/text.rs",
        "//! x\nuse crate::migrate;\n",
        "import migrate",
    );
    assert_untidy("src/novelty.rs", "//! x\n", "has no place");
}

#[test]
fn arrows_are_of_code_and_not_of_words_or_unit_tests() {
    assert_tidy(
        "src/cache.rs",
        "//! x\n// use crate::session;\n/* crate::app */\n",
    );
    assert_tidy(
        "src/cache.rs",
        "//! x\nconst S: &str = \"crate::session\";\n",
    );
    let test = "//! x\n#[cfg(test)]\nmod tests {\n    use crate::session;\n}\n";
    assert_tidy("src/cache.rs", test);
}

#[test]
fn what_decides_does_not_act() {
    assert_tidy(
        "src/protocol/frame.rs",
        "//! No tokio here.\nuse std::time::Instant;\n",
    );
    for line in [
        "use tokio::net::TcpStream;",
        "fn f() { let now = std::time::Instant::now(); }",
        "use std::time::SystemTime;",
        "use std::{fmt, net::TcpStream};",
        "use std::fs;",
        "async fn f() {}",
    ] {
        let text = format!("//! x\n{line}\n");
        assert_untidy("src/analysis/parse.rs", &text, "only decides");
        assert_tidy("src/edge.rs", &text);
    }
}

#[test]
fn files_have_a_limit() {
    let text = |lines: usize| {
        format!(
            "//! x\n\n// a comment\n{}",
            "const A: u8 = 1;\n".repeat(lines)
        )
    };
    let lengths = |lines| check_lengths(&[Source::new("src/app.rs", &text(lines))], &[]);
    assert!(lengths(FILE_LINES_MAX).is_empty());
    assert_eq!(
        lengths(FILE_LINES_MAX + 1),
        ["src/app.rs: 401 lines of code; at most 400"]
    );
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", text(10), text(500));
    assert!(check_lengths(&[Source::new("src/app.rs", &tested)], &[]).is_empty());
}

#[test]
fn functions_have_a_limit() {
    let body = |lines: usize| "        let _ = \"}\"; // }\n\n".repeat(lines);
    let text = |lines: usize| {
        format!(
            "//! x\nimpl A {{\n    const fn f(a: [u8; 2]) -> char {{\n{}        '}}'\n    }}\n}}\n",
            body(lines)
        )
    };
    let lengths = |lines| check_lengths(&[Source::new("src/app.rs", &text(lines))], &[]);
    // Signature, last expression and closing brace come to three.
    assert!(lengths(FUNCTION_LINES_MAX - 3).is_empty());
    assert_eq!(
        lengths(FUNCTION_LINES_MAX - 2),
        ["src/app.rs::f: 71 lines of code; at most 70"]
    );
}

#[test]
fn exceptions_may_only_shrink() {
    let text = format!("//! x\n{}", "const A: u8 = 1;\n".repeat(450));
    let sources = [Source::new("src/app.rs", &text)];
    assert!(check_lengths(&sources, &[("src/app.rs", 450)]).is_empty());
    assert_eq!(check_lengths(&sources, &[("src/app.rs", 449)]).len(), 2);
    assert_eq!(check_lengths(&sources, &[("src/app.rs", 451)]).len(), 2);
    assert_eq!(check_lengths(&[], &[("src/app.rs", 450)]).len(), 1);
}

#[test]
fn literals_and_comments_hide_nothing() {
    let cases = [
        ("a // {\nb", "a \nb"),
        ("a /* { /* } */ \n */ b", "a \n b"),
        ("\"a\\\"{\" b", "\"\" b"),
        ("r#\"a\"{\"# b", "\"\" b"),
        ("br\"{\" b", "\"\" b"),
        ("'{' b", "\"\" b"),
        ("'\\'' b", "\"\" b"),
        ("&'a str", "&'a str"),
        ("for<'a, 'b> x", "for<'a, 'b> x"),
        ("var\"x\"", "var\"\""),
    ];
    for (text, expected) in cases {
        assert_eq!(source::strip(text), expected, "{text}");
    }
}
