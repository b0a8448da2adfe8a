//! Where clients come in and where they are taken: the Unix socket, and `[databases]`.

use std::path::{Path, PathBuf};

use toml::Value;

use super::{
    Config, Upstream,
    value::{BadValue, Raw, text, whole},
};

/// A path, or `"off"` for none.
pub(super) fn path(raw: &Raw) -> Result<Option<PathBuf>, BadValue> {
    let expected = "an absolute path, or \"off\"";
    match text(raw, expected)? {
        "off" => Ok(None),
        path if path.starts_with('/') => Ok(Some(path.into())),
        _ => Err(BadValue::is(raw, expected)),
    }
}

pub(super) fn show_path(path: Option<&Path>) -> Value {
    Value::String(path.map_or_else(|| "off".to_owned(), |path| path.display().to_string()))
}

/// The mode of a file, as `chmod` takes it.
pub(super) fn mode(raw: &Raw) -> Result<u32, BadValue> {
    let expected = "three octal digits in quotes, such as \"0777\"";
    let digits = text(raw, expected)?;
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| BadValue::is(raw, expected))
}

// === Databases ===

/// The section that holds a table for each name that clients may ask for.
pub(super) const DATABASES: &str = "databases";

/// The name that stands for all others.
pub const OTHER_DATABASES: &str = "*";

/// `[databases.<name>]`: where clients that ask for a database are taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatabaseRule {
    /// The server, the database there, and the role of the proxy's own connections. `None`: as without a rule.
    pub upstream: Option<Upstream>,
    /// In place of `pool.max`.
    pub pool_max: Option<u32>,
    /// In place of `pool.min`.
    pub pool_min: Option<u32>,
}

/// One key of `[databases.<name>]`.
pub(super) struct DatabaseKey {
    /// Its name.
    pub(super) name: &'static str,
    /// Reads a value into the rule of a database.
    pub(super) set: fn(&mut DatabaseRule, &Raw) -> Result<(), BadValue>,
    /// The value as the file would write it. `None`: not set.
    pub(super) show: fn(&DatabaseRule) -> Option<Value>,
}

/// The keys of one `[databases.<name>]`.
pub(super) const DATABASE_KEYS: &[DatabaseKey] = &[
    DatabaseKey {
        name: "url",
        set: |rule, raw| {
            let url = text(raw, "a PostgreSQL URL in quotes")?;
            rule.upstream = Some(url.parse()?);
            Ok(())
        },
        show: |rule| {
            let upstream = rule.upstream.as_ref()?;
            Some(Value::String(upstream.masked()))
        },
    },
    DatabaseKey {
        name: "pool_max",
        set: |rule, raw| {
            rule.pool_max = Some(connections(raw, 1)?);
            Ok(())
        },
        show: |rule| rule.pool_max.map(|most| Value::Integer(most.into())),
    },
    DatabaseKey {
        name: "pool_min",
        set: |rule, raw| {
            rule.pool_min = Some(connections(raw, 0)?);
            Ok(())
        },
        show: |rule| rule.pool_min.map(|least| Value::Integer(least.into())),
    },
];

fn connections(raw: &Raw, least: u64) -> Result<u32, BadValue> {
    let number = whole(raw, least..=10_000)?;
    Ok(u32::try_from(number).expect("the range ends within 32 bits"))
}

/// The key and the fault of the first database rule that does not fit the rest.
pub(super) fn check(config: &Config) -> Result<(), (String, BadValue)> {
    for (name, rule) in &config.databases {
        let most = rule.pool_max.unwrap_or(config.pool.max);
        if let Some(least) = rule.pool_min.filter(|least| *least > most) {
            let key = format!("{DATABASES}.{name}.pool_min");
            let bad = BadValue::new(
                format!("is {least}"),
                format!("at most the pool's most connections, which are {most}"),
            );
            return Err((key, bad));
        }
    }
    Ok(())
}
