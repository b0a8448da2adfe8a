//! What a call of a function, or a use of an operator, may do.
//!
//! Invariant: of several functions that a call may mean, the worst counts; a function that is not known counts as the
//! worst of all.
//!
//! Volatility: <https://www.postgresql.org/docs/current/xfunc-volatility.html>. Which overload a call means:
//! <https://www.postgresql.org/docs/current/typeconv-func.html>.

use std::collections::{HashMap, HashSet};

use super::rows::{
    BuiltInFunctionRow, FunctionMark, FunctionRow, Language, OperatorOperands, OperatorRow,
    Volatility,
};
use crate::analysis::Oid;
use crate::analysis::builtin;
use crate::analysis::facts::{Arguments, Call, Operand, Operator};
use crate::reason::Reason;

/// What a function does, from harmless to unknown.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::analysis) enum Behaviour {
    /// The same result forever.
    Pure,
    /// Depends on more than its arguments; changes nothing.
    Stable,
    /// A new result every time; changes no table.
    Volatile,
    /// Reads or writes large objects.
    LargeObject,
    /// Runs SQL that it is given as text.
    RunsText,
    /// A user's code.
    User,
    /// No such function in the snapshot.
    Unknown,
}

/// The functions and operators of a snapshot.
#[derive(Debug)]
pub(in crate::analysis) struct Functions {
    by_name: HashMap<Box<str>, Named>,
    by_oid: HashMap<Oid, Function>,
    built_in_operators: HashSet<Box<str>>,
    operators: HashMap<Box<str>, Vec<UsersOperator>>,
}

/// What a call or an operator may mean.
#[derive(Debug)]
pub(in crate::analysis) struct Callees {
    /// The worst of what the server's own functions do.
    pub(in crate::analysis) built_in: Behaviour,
    /// Functions of users.
    pub(in crate::analysis) users: Vec<Oid>,
}

#[derive(Debug, Default)]
struct Named {
    built_in: Vec<BuiltIn>,
    users: Vec<Oid>,
}

#[derive(Debug)]
struct BuiltIn {
    behaviour: Behaviour,
    arguments_min: usize,
    arguments_max: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Function {
    schema: Box<str>,
    name: Box<str>,
    /// What its body does, as far as is known without looking into it.
    pub(super) own: Behaviour,
    volatility: Volatility,
    language: Language,
    /// Is its body, with the defaults of its arguments, looked into?
    body: Body,
    arguments: usize,
    defaults: usize,
    marks: Box<[FunctionMark]>,
    /// Users' types among its arguments and its result.
    pub(super) signature: Box<[Oid]>,
    /// Users' functions that an aggregate is made of.
    pub(super) parts: Box<[Oid]>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Body {
    Hidden,
    Known,
}

#[derive(Debug)]
struct UsersOperator {
    function: Oid,
    operands: OperatorOperands,
}

// === impl Behaviour ===

impl Behaviour {
    /// Whether code runs that is not understood.
    pub(in crate::analysis) fn is_code(self) -> bool {
        match self {
            Self::Pure | Self::Stable | Self::Volatile | Self::LargeObject => false,
            Self::RunsText | Self::User | Self::Unknown => true,
        }
    }

    /// Why a result of such a function is not cached.
    pub(in crate::analysis) fn refusal(self) -> Option<Reason> {
        match self {
            Self::Pure => None,
            Self::Stable => Some(Reason::StableFunction),
            Self::Volatile | Self::LargeObject | Self::RunsText => Some(Reason::VolatileFunction),
            Self::User => Some(Reason::UserFunction),
            Self::Unknown => Some(Reason::UnknownFunction),
        }
    }

    fn of_built_in(name: &str, volatility: Volatility) -> Self {
        match volatility {
            Volatility::Immutable => Self::Pure,
            _ if builtin::runs_text(name) => Self::RunsText,
            Volatility::Stable if builtin::depends_on_settings_only(name) => Self::Pure,
            Volatility::Stable => Self::Stable,
            Volatility::Volatile if builtin::writes_nothing(name) => Self::Volatile,
            Volatility::Volatile if builtin::handles_large_objects(name) => Self::LargeObject,
            Volatility::Volatile => Self::RunsText,
        }
    }

    fn of_user(row: &FunctionRow) -> Self {
        match (row.volatility, row.language) {
            (Volatility::Immutable, _) if builtin::keeps_state(&row.name) => Self::User,
            // Compiled code is taken at its word. Code of a user's is looked into, in SQL, or counts as code: that it
            // is IMMUTABLE is often said only to have an index on it.
            (Volatility::Immutable, Language::Aggregate | Language::C | Language::Internal) => {
                Self::Pure
            }
            (Volatility::Stable, Language::Aggregate | Language::Internal) => Self::Stable,
            (Volatility::Stable, Language::C) if builtin::makes_a_value(&row.name) => Self::Stable,
            (Volatility::Volatile, Language::C) if builtin::makes_a_value(&row.name) => {
                Self::Volatile
            }
            (Volatility::Immutable, Language::Other | Language::Sql)
            | (Volatility::Stable, Language::C | Language::Other | Language::Sql)
            | (Volatility::Volatile, _) => Self::User,
        }
    }
}

// === impl Callees ===

impl Callees {
    fn unknown() -> Self {
        Self {
            built_in: Behaviour::Unknown,
            users: Vec::new(),
        }
    }
}

// === impl Functions ===

impl Functions {
    pub(super) fn new(
        built_in: Vec<BuiltInFunctionRow>,
        users: Vec<FunctionRow>,
        built_in_operators: Vec<String>,
        operators: Vec<OperatorRow>,
    ) -> Self {
        let mut functions = Self {
            by_name: HashMap::new(),
            by_oid: HashMap::new(),
            built_in_operators: built_in_operators.into_iter().map(Into::into).collect(),
            operators: HashMap::new(),
        };
        for row in built_in {
            let behaviour = Behaviour::of_built_in(&row.name, row.volatility);
            let overload = BuiltIn {
                behaviour,
                arguments_min: row.arguments_min,
                arguments_max: row.arguments_max,
            };
            functions
                .by_name
                .entry(row.name.into())
                .or_default()
                .built_in
                .push(overload);
        }
        for row in users {
            functions
                .by_name
                .entry(row.name.as_str().into())
                .or_default()
                .users
                .push(row.oid);
            functions.by_oid.insert(row.oid, Function::new(row));
        }
        for row in operators {
            functions
                .operators
                .entry(row.name.into())
                .or_default()
                .push(UsersOperator {
                    function: row.function,
                    operands: row.operands,
                });
        }
        functions
    }

    /// The functions that a name may mean, with its schema or without.
    pub(super) fn named(&self, schema: Option<&str>, name: &str) -> Vec<Oid> {
        let users = self.by_name.get(name).map_or(&[][..], |named| &named.users);
        let is_meant = |oid: &&Oid| {
            let function = self.by_oid.get(oid);
            function.is_some_and(|found| schema.is_none_or(|schema| *found.schema == *schema))
        };
        users.iter().filter(is_meant).copied().collect()
    }

    /// What a call may mean, or `None` if no function has the name.
    pub(in crate::analysis) fn call(&self, call: &Call) -> Option<Callees> {
        let named = match self.by_name.get(&call.name.name) {
            Some(named) => named,
            // The grammar of PostgreSQL 14 and later calls by this name what PostgreSQL 13 calls date_part.
            None if &*call.name.name == "extract" => self.by_name.get("date_part")?,
            None => return None,
        };
        let built_in = named
            .built_in
            .iter()
            .filter(|_| call.name.admits("pg_catalog"));
        let users: Vec<_> = named
            .users
            .iter()
            .filter_map(|oid| Some((*oid, self.by_oid.get(oid)?)))
            .filter(|(_, function)| call.name.admits(&function.schema))
            .collect();
        let is_known = built_in.clone().next().is_some();
        let behaviour = built_in
            .filter(|overload| overload.takes(call.arguments))
            .map(|overload| overload.behaviour)
            .max();
        let (mut meant, mut hidden) = (Vec::new(), Behaviour::Pure);
        for (oid, function) in &users {
            if function.takes(call.arguments) {
                meant.push(*oid);
                if function.uses_hidden_defaults(call.arguments) {
                    hidden = Behaviour::User;
                }
            }
        }
        match (behaviour, meant.is_empty()) {
            (Some(behaviour), _) => Some(Callees {
                built_in: behaviour.max(hidden),
                users: meant,
            }),
            (None, false) => Some(Callees {
                built_in: hidden,
                users: meant,
            }),
            // None takes one argument, so it is a column.
            (None, true) if call.arguments == Arguments::Attribute => None,
            (None, true) if users.is_empty() && !is_known => None,
            // None takes so many arguments. A built-in function then fails; of a user's, any may be meant.
            (None, true) => Some(Callees {
                built_in: Behaviour::Pure,
                users: users.into_iter().map(|(oid, _)| oid).collect(),
            }),
        }
    }

    /// What a use of an operator may mean.
    pub(in crate::analysis) fn operator(&self, operator: &Operator) -> Callees {
        let users = self.operators.get(&operator.name);
        if users.is_none() && !self.built_in_operators.contains(&operator.name) {
            return Callees::unknown();
        }
        let mut callees = Callees {
            built_in: Behaviour::Pure,
            users: Vec::new(),
        };
        let is_meant = |users: &&UsersOperator| {
            operator.operand == Operand::Unknown || users.operands == OperatorOperands::Any
        };
        for found in users.into_iter().flatten().filter(is_meant) {
            match self.by_oid.get(&found.function) {
                // An operator gets no text of SQL, so the word of compiled code that it changes nothing is taken.
                Some(function) if function.is_stable_code() => {
                    callees.built_in = callees.built_in.max(Behaviour::Stable);
                }
                Some(_) => callees.users.push(found.function),
                None => return Callees::unknown(),
            }
        }
        callees
    }

    /// The users' functions that `t.name` may call.
    pub(in crate::analysis) fn called_as_column(&self, name: &str) -> Vec<Oid> {
        let users = self.by_name.get(name).map_or(&[][..], |named| &named.users);
        let takes_row = |oid: &&Oid| {
            let function = self.by_oid.get(oid);
            function.is_some_and(|found| found.marks.contains(&FunctionMark::TakesRow))
        };
        users.iter().filter(takes_row).copied().collect()
    }

    /// Every function of users.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Oid, &Function)> {
        self.by_oid.iter().map(|(oid, function)| (*oid, function))
    }

    /// Whether a trigger function changes at most the row it is fired for.
    pub(super) fn changes_its_row(&self, oid: Oid) -> bool {
        self.by_oid.get(&oid).is_some_and(|function| {
            function.language == Language::C && builtin::changes_its_row(&function.name)
        })
    }

    /// Whether an input or output function gives the same every time, under the same settings.
    pub(super) fn shows_plainly(&self, oid: Oid) -> bool {
        self.by_oid.get(&oid).is_some_and(|function| {
            matches!(
                (function.volatility, function.language),
                (Volatility::Immutable, Language::C | Language::Internal)
                    // citext sends and receives with the server's own functions for text.
                    | (Volatility::Stable, Language::Internal)
            )
        })
    }
}

impl BuiltIn {
    fn takes(&self, arguments: Arguments) -> bool {
        match arguments {
            Arguments::Any => true,
            Arguments::Attribute => self.takes(Arguments::Count(1)),
            Arguments::Count(count) => {
                count >= self.arguments_min && self.arguments_max.is_none_or(|most| count <= most)
            }
            // Where the grammar has syntax, the built-in function is not meant.
            Arguments::Syntax => false,
        }
    }
}

impl Function {
    fn new(row: FunctionRow) -> Self {
        Self {
            own: Behaviour::of_user(&row),
            body: match row.definition {
                Some(_) => Body::Known,
                None => Body::Hidden,
            },
            schema: row.schema.into(),
            name: row.name.into(),
            volatility: row.volatility,
            language: row.language,
            arguments: row.arguments,
            defaults: row.defaults,
            marks: row.marks.into(),
            signature: row.signature.into(),
            parts: row.parts.into(),
        }
    }

    fn takes(&self, arguments: Arguments) -> bool {
        match arguments {
            Arguments::Any | Arguments::Syntax => true,
            Arguments::Attribute => self.takes(Arguments::Count(1)),
            Arguments::Count(count) if self.marks.contains(&FunctionMark::Variadic) => {
                count + self.defaults + 1 >= self.arguments
            }
            Arguments::Count(count) => {
                count + self.defaults >= self.arguments && count <= self.arguments
            }
        }
    }

    /// Does compiled code say that it changes nothing?
    fn is_stable_code(&self) -> bool {
        (self.language, self.volatility) == (Language::C, Volatility::Stable)
    }

    /// A default is an expression of its own, which is looked into with the body.
    fn uses_hidden_defaults(&self, arguments: Arguments) -> bool {
        let uses = match arguments {
            Arguments::Attribute => self.arguments > 1,
            Arguments::Count(count) => count < self.arguments,
            Arguments::Any | Arguments::Syntax => true,
        };
        self.body == Body::Hidden && self.defaults > 0 && uses
    }
}
