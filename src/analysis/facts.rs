//! What a text of SQL mentions, before any catalog is asked.
//!
//! Invariant: a superset. Every relation, function, operator and type that the text names is here, with no regard to
//! the scope of names: a dependency too many costs a miss, a dependency too few would serve a stale row.

use super::session::{SessionEffect, SessionEffects};
use crate::reason::Reason;

/// The names a text mentions and what its syntax alone tells.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Relations in any place where a relation can be named.
    pub(super) relations: Vec<Name>,
    /// Names bound by WITH, in any scope.
    pub(super) common_tables: Vec<Box<str>>,
    pub(super) calls: Vec<Call>,
    pub(super) operators: Vec<Operator>,
    /// Types of casts and of column definitions.
    pub(super) types: Vec<Name>,
    /// Names behind the dot of a row: columns, or functions that take the row.
    pub(super) attributes: Vec<Box<str>>,
    /// Columns read as dates: safe only where no column of that name holds text.
    pub(super) dated_columns: Vec<Box<str>>,
    /// How many parameters are read as dates.
    pub(super) dated_parameters: usize,
    pub(super) targets: Vec<Target>,
    /// The first syntactic reason why this is not a cacheable read.
    pub(super) refusal: Option<Reason>,
    pub(super) session: SessionEffects,
    /// The settings it may change by name, for the rest of the session.
    pub(super) settings: Settings,
    pub(super) reach: Reach,
    /// How many commands define a temporary object: event triggers fire for them too.
    pub(super) temporary_definitions: usize,
    /// Types of variables: a value that is put there is made to be of the type.
    pub(super) variables: Vec<Name>,
    /// Relations to the types of whose columns values are made.
    pub(super) row_types: Vec<Name>,
    /// May it commit before it ends? Then its error does not prove that nothing has changed.
    pub(super) may_commit: bool,
}

/// Settings of the session that a text may change, in lower case.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// These, sorted and distinct.
    pub names: Vec<Box<str>>,
    /// `RESET ALL`: whichever were changed before.
    pub changed_before: bool,
}

impl Settings {
    /// Does it change none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.changed_before
    }

    /// Adds others.
    pub fn merge(&mut self, others: &Self) {
        self.changed_before |= others.changed_before;
        if !others.names.is_empty() {
            self.names.extend_from_slice(&others.names);
            sort(&mut self.names);
        }
    }
}

/// A name as written: an absent schema means any.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Name {
    pub(super) schema: Option<Box<str>>,
    pub(super) name: Box<str>,
}

/// A function call.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Call {
    pub(super) name: Name,
    pub(super) arguments: Arguments,
}

/// How many arguments a call passes, as far as its syntax tells.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Arguments {
    /// Exactly so many.
    Count(usize),
    /// Any number: the call is of a form that is not counted.
    Any,
    /// One, in attribute notation: the name may be that of a column.
    Attribute,
    /// Any number, of syntax that older servers read as a call of a user's function.
    Syntax,
}

/// A use of an operator.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Operator {
    pub(super) name: Box<str>,
    pub(super) operand: Operand,
}

/// What is known of an operator's operands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Operand {
    /// One of them is a number as written, so no operator over text alone is meant.
    Number,
    Unknown,
}

/// A relation that the text writes.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Target {
    pub(super) name: Name,
    pub(super) change: Change,
}

/// What happens to rows of a relation.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Change {
    Delete,
    Insert,
    /// REFRESH MATERIALIZED VIEW.
    Refresh,
    Truncate,
    TruncateCascade,
    Update,
}

/// How far a statement may reach, beyond the relations it names as targets.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Reach {
    #[default]
    Nothing,
    /// Any table.
    Everything,
    /// Any table, and the catalog.
    Catalog,
}

impl Facts {
    /// The facts of a text nobody understands: it may do anything.
    pub(super) fn not_understood() -> Self {
        let mut facts = Self::default();
        facts.refuse(Reason::NotUnderstood);
        facts.unknown_code();
        facts
    }

    /// Notes why this is not a cacheable read; the first reason stands.
    pub(super) fn refuse(&mut self, reason: Reason) {
        self.refusal.get_or_insert(reason);
    }

    pub(super) fn reaches(&mut self, reach: Reach) {
        self.reach = self.reach.max(reach);
    }

    /// Code that nobody understands may run: any table, the catalog, anything in the session.
    pub(super) fn unknown_code(&mut self) {
        self.reaches(Reach::Catalog);
        self.session.insert(SessionEffect::UnknownCode);
    }

    /// These are the facts of a body, whose statements no session sees: what a session has to see to follow it counts as
    /// code that is not understood.
    pub(super) fn distrust_unseen(&mut self) {
        const UNSEEN: SessionEffects = SessionEffects::of(&[
            SessionEffect::Deallocate,
            SessionEffect::Discard,
            SessionEffect::DiscardAll,
            SessionEffect::Load,
            SessionEffect::PreparedStatement,
        ]);
        if self.reach == Reach::Catalog || self.session.intersects(UNSEEN) {
            self.unknown_code();
        }
    }

    /// A setting of the session may change.
    pub(super) fn changes_setting(&mut self, name: &str) {
        self.settings.names.push(name.into());
        self.session.insert(SessionEffect::NamedSetting);
    }

    /// These are the facts of a body that other texts reach: who reaches it does not know the names.
    pub(super) fn without_names_of_settings(mut self) -> Self {
        if self.session.contains(SessionEffect::NamedSetting) {
            self.session.insert(SessionEffect::Setting);
        }
        self.settings = Settings::default();
        self
    }

    pub(super) fn writes(&mut self, name: Name, change: Change) {
        self.targets.push(Target { name, change });
    }

    /// Whether a function of this name is called.
    pub(super) fn calls_function(&self, name: &str) -> bool {
        self.calls.iter().any(|call| *call.name.name == *name)
    }

    /// Whether a time of day is made, as far as the text tells.
    pub(super) fn shows_time_of_day(&self) -> bool {
        let is_time =
            |name: &str| matches!(name, "_time" | "_timetz" | "make_time" | "time" | "timetz");
        let mut types = self.types.iter().chain(&self.variables);
        types.any(|name| is_time(&name.name))
            || self.calls.iter().any(|call| is_time(&call.name.name))
    }

    /// Whether there is a name to look up.
    pub(super) fn mentions_anything(&self) -> bool {
        let Self {
            relations,
            calls,
            operators,
            types,
            attributes,
            targets,
            variables,
            row_types,
            ..
        } = self;
        !(relations.is_empty()
            && calls.is_empty()
            && operators.is_empty()
            && types.is_empty()
            && attributes.is_empty()
            && targets.is_empty()
            && variables.is_empty()
            && row_types.is_empty())
    }

    /// Sorts the lists and drops what is mentioned twice.
    pub(super) fn compact(&mut self) {
        sort(&mut self.relations);
        sort(&mut self.common_tables);
        sort(&mut self.calls);
        sort(&mut self.operators);
        sort(&mut self.types);
        sort(&mut self.attributes);
        sort(&mut self.dated_columns);
        sort(&mut self.targets);
        sort(&mut self.variables);
        sort(&mut self.row_types);
        sort(&mut self.settings.names);
    }
}

impl Name {
    /// A name that may be found in any schema.
    pub(super) fn anywhere(name: &str) -> Self {
        Self {
            schema: None,
            name: name.into(),
        }
    }

    /// Whether something of this name in `schema` may be meant.
    pub(super) fn admits(&self, schema: &str) -> bool {
        self.schema
            .as_deref()
            .is_none_or(|written| written == schema)
    }
}

fn sort<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
    list.shrink_to_fit();
}
