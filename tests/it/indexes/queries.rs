//! The application's queries: the files of `migrations/queries/`.
//!
//! A file opens with three lines: what the application shows with it, `index:` the one it needs, and
//! `arguments:` a query whose rows are sample values of `$1`, `$2` ..., or `none`. Then comes the query.

use std::path::Path;

/// A query of the application.
#[derive(Debug)]
pub(super) struct Query {
    /// The name of the file.
    pub(super) name: String,
    /// The index it was given.
    pub(super) index: String,
    /// A query for sample values of its parameters, if it has any.
    pub(super) arguments: Option<String>,
    pub(super) sql: String,
}

/// All of them, by name.
pub(super) fn queries() -> Vec<Query> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/queries");
    let mut queries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| read(&entry.unwrap().path()))
        .collect();
    queries.sort_by(|one, other| one.name.cmp(&other.name));
    queries
}

fn read(path: &Path) -> Query {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let parts: Vec<_> = text.splitn(4, '\n').collect();
    let [purpose, index, arguments, sql] = parts[..] else {
        panic!("{name} does not open with three lines")
    };
    assert!(
        purpose.starts_with("-- "),
        "{name} does not say what it is for"
    );
    let field = |line: &str, prefix: &str| {
        let value = line.strip_prefix(prefix);
        value
            .unwrap_or_else(|| panic!("{name}: no {prefix:?} in {line:?}"))
            .to_owned()
    };
    let query = Query {
        index: field(index, "-- index: "),
        arguments: Some(field(arguments, "-- arguments: ")).filter(|arguments| arguments != "none"),
        sql: sql.trim_end().trim_end_matches(';').to_owned(),
        name,
    };
    let takes = query.sql.contains("$1");
    assert_eq!(
        takes,
        query.arguments.is_some(),
        "{}: parameters and samples",
        query.name
    );
    query
}
