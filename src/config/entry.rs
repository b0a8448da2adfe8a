//! What a key of the configuration is: its name, its other sources, how it is read and how it is shown.

use toml::Value;

use super::{
    Config, TableRule,
    value::{BadValue, Raw},
};

/// One key.
#[derive(Clone, Copy)]
pub(super) struct Key {
    /// Its table in the file; empty at the top.
    pub(super) section: &'static str,
    /// Its name within the table.
    pub(super) name: &'static str,
    /// Where it can be set besides the file.
    pub(super) elsewhere: Elsewhere,
    /// Reads a value into the configuration.
    pub(super) set: fn(&mut Config, &Raw) -> Result<(), BadValue>,
    /// The value as the file would write it, without secrets. `None`: not set.
    pub(super) show: fn(&Config) -> Option<Value>,
}

/// Where a key can be set besides the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Elsewhere {
    Nowhere,
    Flag(&'static str),
    Variable(&'static str),
    VariableAndFlag(&'static str, &'static str),
}

impl Key {
    /// The dotted path: `pool.max`.
    pub(super) fn path(&self) -> String {
        join(self.section, self.name)
    }

    /// The flag that sets it.
    pub(super) fn flag(&self) -> Option<&'static str> {
        match self.elsewhere {
            Elsewhere::Flag(flag) | Elsewhere::VariableAndFlag(_, flag) => Some(flag),
            Elsewhere::Nowhere | Elsewhere::Variable(_) => None,
        }
    }

    /// The environment variable that sets it.
    pub(super) fn variable(&self) -> Option<&'static str> {
        match self.elsewhere {
            Elsewhere::Variable(variable) | Elsewhere::VariableAndFlag(variable, _) => {
                Some(variable)
            }
            Elsewhere::Nowhere | Elsewhere::Flag(_) => None,
        }
    }
}

/// One key of `[cache.tables.<name>]`.
pub(super) struct TableKey {
    /// Its name.
    pub(super) name: &'static str,
    /// Reads a value into the rule.
    pub(super) set: fn(&mut TableRule, &Raw) -> Result<(), BadValue>,
    /// The value as the file would write it. `None`: not set.
    pub(super) show: fn(&TableRule) -> Option<Value>,
}

/// The dotted path of a name in a section.
pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}
