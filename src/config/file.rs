//! `proxy.toml` as it is written: every value with its key and its place, and no key that does not exist.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    functions::{FUNCTION_KEYS, FUNCTIONS},
    key::{KEYS, TABLE_KEYS, TABLES, join},
    place::{DATABASE_KEYS, DATABASES},
    value::Raw,
};

/// The values of the file, in the order they stand there.
pub(super) type RawConfig = Vec<RawEntry>;

/// One value of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawEntry {
    /// What it sets.
    pub(super) target: Target,
    /// The value.
    pub(super) raw: Raw,
    /// Where the value stands.
    pub(super) place: Place,
}

/// What a value sets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Target {
    /// A key, by its position in [`KEYS`].
    Key(usize),
    /// A key of a table's rule: the table, and the position in [`TABLE_KEYS`].
    Table(String, usize),
    /// A key of a function's rule: the function, and the position in [`FUNCTION_KEYS`].
    Function(String, usize),
    /// A key of a database's rule: the database, and the position in [`DATABASE_KEYS`].
    Database(String, usize),
}

/// A place in a text, both counted from 1; columns are characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Text that is not a configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Malformed {
    pub(super) place: Place,
    pub(super) message: String,
}

/// Reads the text of a file.
///
/// # Errors
///
/// The first thing that is not TOML, or the first key that is not known.
pub(super) fn read(text: &str) -> Result<RawConfig, Malformed> {
    let table = DeTable::parse(text).map_err(|error| not_toml(text, &error))?;
    let mut reader = Reader {
        text,
        entries: Vec::new(),
    };
    reader.section("", table.get_ref())?;
    reader.entries.sort_by_key(|entry| entry.place);
    Ok(reader.entries)
}

fn not_toml(text: &str, error: &toml::de::Error) -> Malformed {
    let place = place(text, error.span().map_or(0, |span| span.start));
    let message = error.message().replace('\n', ", ");
    let hint = if message.contains("duplicate") {
        "every key and section stands once"
    } else {
        // The usual slip is a value such as 5m or 127.0.0.1:6432 without its quotes.
        "text, addresses, durations and sizes stand in \"quotes\""
    };
    Malformed {
        place,
        message: format!("not TOML: {message}; {hint}"),
    }
}

/// Rules for objects of the database, by their names.
struct RuleKind {
    section: &'static str,
    noun: &'static str,
    keys: Vec<&'static str>,
    target: fn(String, usize) -> Target,
}

impl RuleKind {
    fn function() -> Self {
        Self {
            section: FUNCTIONS,
            noun: "function",
            keys: FUNCTION_KEYS.iter().map(|key| key.name).collect(),
            target: Target::Function,
        }
    }

    fn table() -> Self {
        Self {
            section: TABLES,
            noun: "table",
            keys: TABLE_KEYS.iter().map(|key| key.name).collect(),
            target: Target::Table,
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    entries: RawConfig,
}

impl Reader<'_> {
    /// One table of the file: the keys of a section, and the sections within it.
    fn section(&mut self, section: &str, table: &DeTable<'_>) -> Result<(), Malformed> {
        for (name, value) in in_order(table) {
            let path = join(section, name.get_ref());
            if let Some(index) = KEYS
                .iter()
                .position(|key| key.section == section && key.name == name.get_ref())
            {
                self.push(Target::Key(index), value);
            } else if !is_section(section, name.get_ref()) {
                return Err(self.unknown_key(section, name, sibling_names(section)));
            } else if let Some(table) = value.get_ref().as_table() {
                match path.as_str() {
                    FUNCTIONS => self.rules(&RuleKind::function(), table)?,
                    TABLES => self.rules(&RuleKind::table(), table)?,
                    DATABASES => self.databases(table)?,
                    path => self.section(path, table)?,
                }
            } else {
                return Err(self.malformed(
                    value.span(),
                    format!("{path} is a section; write [{path}] and its keys below"),
                ));
            }
        }
        Ok(())
    }

    /// `[cache.tables]` and the like: `name`, `schema.name`, or `"schema.name"`.
    fn rules(&mut self, kind: &RuleKind, rules: &DeTable<'_>) -> Result<(), Malformed> {
        for (name, value) in in_order(rules) {
            let named = name.get_ref().as_ref();
            let parts: Vec<_> = named.split('.').collect();
            if parts.len() > 2 || parts.contains(&"") {
                let message = format!(
                    "{named:?} is not a {}; expected \"name\" or \"schema.name\"",
                    kind.noun
                );
                return Err(self.malformed(name.span(), message));
            }
            self.rule(kind, named, name.span(), value)?;
        }
        Ok(())
    }

    /// The keys of one rule. Without quotes `[cache.tables.schema.name]` is a table in a table, so a table in here is
    /// a rule of its own.
    fn rule(
        &mut self,
        kind: &RuleKind,
        named: &str,
        span: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), Malformed> {
        let section = kind.section;
        let Some(keys) = value.get_ref().as_table() else {
            let message = format!(
                "{section}.{named} is a section; write [{section}.{named}] and its keys below"
            );
            return Err(self.malformed(span, message));
        };
        for (name, value) in in_order(keys) {
            if value.get_ref().is_table() && !named.contains('.') {
                let inside = format!("{named}.{}", name.get_ref());
                self.rule(kind, &inside, name.span(), value)?;
            } else if let Some(index) = kind.keys.iter().position(|key| *key == name.get_ref()) {
                self.push((kind.target)(named.to_owned(), index), value);
            } else {
                let known = kind.keys.iter().map(|key| (*key).to_owned()).collect();
                return Err(self.unknown_key(&join(section, named), name, known));
            }
        }
        Ok(())
    }

    /// `[databases]`: any name, or `"*"`.
    fn databases(&mut self, databases: &DeTable<'_>) -> Result<(), Malformed> {
        for (name, value) in in_order(databases) {
            let path = join(DATABASES, name.get_ref());
            let Some(keys) = value.get_ref().as_table() else {
                let message = format!("{path} is a section; write [{path}] and its keys below");
                return Err(self.malformed(name.span(), message));
            };
            for (key, value) in in_order(keys) {
                let known = DATABASE_KEYS
                    .iter()
                    .position(|known| known.name == key.get_ref());
                let Some(index) = known else {
                    let known = DATABASE_KEYS
                        .iter()
                        .map(|key| key.name.to_owned())
                        .collect();
                    return Err(self.unknown_key(&path, key, known));
                };
                self.push(Target::Database(name.get_ref().to_string(), index), value);
            }
        }
        Ok(())
    }

    fn push(&mut self, target: Target, value: &Spanned<DeValue<'_>>) {
        self.entries.push(RawEntry {
            target,
            raw: raw(value.get_ref()),
            place: place(self.text, value.span().start),
        });
    }

    fn unknown_key<T: AsRef<str>>(
        &self,
        section: &str,
        name: &Spanned<T>,
        known: Vec<String>,
    ) -> Malformed {
        let unknown = name.get_ref().as_ref();
        let elsewhere = KEYS
            .iter()
            .find(|key| key.name == unknown)
            .map(super::key::Key::path);
        let hint = match nearest(unknown, &known).or(elsewhere) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("known here: {}", known.join(", ")),
        };
        self.malformed(
            name.span(),
            format!("unknown key {:?}; {hint}", join(section, unknown)),
        )
    }

    fn malformed(&self, span: Range<usize>, message: String) -> Malformed {
        Malformed {
            place: place(self.text, span.start),
            message,
        }
    }
}

/// The entries of a table in the order of the file, so that the first mistake is the one reported.
fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(
    &'t Spanned<toml::de::DeString<'i>>,
    &'t Spanned<DeValue<'i>>,
)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// Is there a section of this name in this section?
fn is_section(section: &str, name: &str) -> bool {
    sections(section).iter().any(|known| known == name)
}

/// The sections directly within a section.
fn sections(section: &str) -> Vec<String> {
    let all = KEYS
        .iter()
        .map(|key| key.section)
        .chain([TABLES, FUNCTIONS, DATABASES]);
    let mut names: Vec<_> = all
        .filter_map(|path| match section {
            "" => Some(path),
            section => path.strip_prefix(section)?.strip_prefix('.'),
        })
        .filter(|path| !path.is_empty() && !path.contains('.'))
        .map(str::to_owned)
        .collect();
    names.dedup();
    names
}

/// Everything that may stand in a section.
fn sibling_names(section: &str) -> Vec<String> {
    let keys = KEYS
        .iter()
        .filter(|key| key.section == section)
        .map(|key| key.name.to_owned());
    keys.chain(sections(section)).collect()
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("a number beyond 64 bits"), Raw::Integer),
        DeValue::Float(_) => Raw::Other("a fraction"),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(values) => {
            let texts = values.iter().map(|value| value.get_ref().as_str());
            let texts: Option<Vec<_>> = texts.map(|text| text.map(str::to_owned)).collect();
            texts.map_or(Raw::Other("a list"), Raw::List)
        }
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

/// The known name closest to a mistyped one, if any is close.
fn nearest(unknown: &str, known: &[String]) -> Option<String> {
    let tolerance = 1 + unknown.chars().count() / 4;
    known
        .iter()
        .map(|name| (distance(unknown, name), name))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name.clone())
}

/// Levenshtein's distance: single characters inserted, left out or replaced.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (removed, typed) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = removed + 1;
        for (column, meant) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(typed != *meant);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

fn place(text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let malformed = read(text).unwrap_err();
        format!(
            "{}:{}: {}",
            malformed.place.line, malformed.place.column, malformed.message
        )
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        assert_eq!(
            error("[cache]\nmax_byte = 1"),
            "2:1: unknown key \"cache.max_byte\"; did you mean \"max_bytes\"?"
        );
        assert_eq!(
            error("[chache]\nttl = 1"),
            "1:2: unknown key \"chache\"; did you mean \"cache\"?"
        );
        assert_eq!(
            error("[chache]"),
            "1:2: unknown key \"chache\"; did you mean \"cache\"?"
        );
        assert_eq!(
            error("max_bytes = 1"),
            "1:1: unknown key \"max_bytes\"; did you mean \"cache.max_bytes\"?"
        );
        assert_eq!(
            error("\"pool.max\" = 1"),
            "1:1: unknown key \"pool.max\"; known here: upstream, listen, listen_unix, listen_unix_mode, admin, \
            drain_timeout, limits, tls, auth, pool, retry, cache, redis, log, workers, databases"
        );
        assert_eq!(
            error("[cache.tables.users]\ntll = 1"),
            "2:1: unknown key \"cache.tables.users.tll\"; did you mean \"ttl\"?"
        );
        assert_eq!(
            error("[cache.tables.a.b.c]\nttl = 1"),
            "1:19: unknown key \"cache.tables.a.b.c\"; known here: enabled, ttl"
        );
    }

    #[test]
    fn the_first_mistake_is_the_one_reported() {
        assert!(error("[workers]\nx = 1\n[cache]\ny = 1").starts_with("2:1"));
    }

    #[test]
    fn a_section_is_not_a_value() {
        assert_eq!(
            error("pool = 5"),
            "1:8: pool is a section; write [pool] and its keys below"
        );
        assert!(error("[cache]\ntables.users = 5").contains("cache.tables.users is a section"));
        assert!(error("[cache.tables.\"a.b.c\"]").contains("expected \"name\" or \"schema.name\""));
    }

    #[test]
    fn what_is_not_toml_says_where_and_how_to_mend_it() {
        for (text, start, hint) in [
            ("listen = 127.0.0.1:6432", "1:", "\"quotes\""),
            ("[cache]\nttl = 5m", "2:", "\"quotes\""),
            ("admin = \"off\"\nadmin = \"off\"", "2:1", "stands once"),
        ] {
            let error = error(text);
            assert!(error.starts_with(start), "{error}");
            assert!(
                error.contains("not TOML") && error.ends_with(hint),
                "{error}"
            );
            assert!(!error.contains('\n'));
        }
    }

    #[test]
    fn tables_are_named_with_and_without_a_schema() {
        let text = "[cache.tables.users]\nttl = 1\n[cache.tables.\"audit.log\"]\nttl = 2\n\
            [cache.tables.crm]\nttl = 3\n[cache.tables.crm.enabled]\nttl = 4";
        let entries: Vec<_> = read(text)
            .unwrap()
            .into_iter()
            .map(|entry| (entry.target, entry.raw))
            .collect();
        let expected = ["users", "audit.log", "crm", "crm.enabled"]
            .into_iter()
            .zip(1..);
        assert_eq!(
            entries,
            expected
                .map(|(name, n)| (Target::Table(name.into(), 1), Raw::Integer(n)))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn values_keep_their_kind_and_place() {
        let entries = read("# é\nlisten = \"é\"\n[pool]\n  max = 0x1_0\nmin = 1.5").unwrap();
        let kinds: Vec<_> = entries
            .iter()
            .map(|entry| (entry.raw.clone(), entry.place.line, entry.place.column))
            .collect();
        assert_eq!(
            kinds,
            [
                (Raw::Text("é".into()), 2, 10),
                (Raw::Integer(16), 4, 9),
                (Raw::Other("a fraction"), 5, 7)
            ]
        );
    }

    #[test]
    fn distance_counts_edits() {
        for (from, to, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("kitten", "sitting", 3),
            ("max", "max", 0),
        ] {
            assert_eq!(distance(from, to), edits);
        }
    }
}
