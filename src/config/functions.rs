//! `[cache.functions.<name>]`: what the operator knows of a function that the proxy cannot look into.

use toml::Value;

use super::{
    form::put,
    value::{BadValue, Raw, names},
};

/// The section that holds a table for each function.
pub(super) const FUNCTIONS: &str = "cache.functions";

/// `[cache.functions.<name>]`: the relations that a function reads and writes. It is taken at this word.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FunctionRule {
    /// The relations it reads, by `name` (in any schema) or `schema.name`.
    pub reads: Vec<String>,
    /// The relations it changes.
    pub writes: Vec<String>,
}

/// One key of `[cache.functions.<name>]`.
pub(super) struct FunctionKey {
    /// Its name.
    pub(super) name: &'static str,
    /// Reads a value into the rule.
    pub(super) set: fn(&mut FunctionRule, &Raw) -> Result<(), BadValue>,
    /// The value as the file would write it. `None`: not set.
    pub(super) show: fn(&FunctionRule) -> Option<Value>,
}

/// The keys of one `[cache.functions.<name>]`.
pub(super) const FUNCTION_KEYS: &[FunctionKey] = &[
    FunctionKey {
        name: "reads",
        set: |rule, raw| put(&mut rule.reads, names(raw)),
        show: |rule| Some(show_names(&rule.reads)),
    },
    FunctionKey {
        name: "writes",
        set: |rule, raw| put(&mut rule.writes, names(raw)),
        show: |rule| Some(show_names(&rule.writes)),
    },
];

fn show_names(names: &[String]) -> Value {
    Value::Array(names.iter().cloned().map(Value::String).collect())
}
