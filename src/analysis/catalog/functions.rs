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
use super::types::Types;
use crate::analysis::Oid;
use crate::analysis::body::body_facts;
use crate::analysis::builtin;
use crate::analysis::facts::{Arguments, Call, Facts, Operand, Operator};
use crate::analysis::survey::is_pure_body;
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
    /// Bodies in SQL that are not known to be pure.
    bodies: HashMap<Oid, Facts>,
    operators: HashMap<Box<str>, OperatorBehaviour>,
    /// Names of functions that can be called as if they were columns, and are not pure.
    row_functions: HashSet<Box<str>>,
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
struct Function {
    schema: Box<str>,
    name: Box<str>,
    /// What its body does.
    own: Behaviour,
    /// What a call of it does.
    behaviour: Behaviour,
    volatility: Volatility,
    language: Language,
    arguments: usize,
    defaults: usize,
    marks: Box<[FunctionMark]>,
    signature: Box<[Oid]>,
    parts: Box<[Oid]>,
}

#[derive(Clone, Copy, Debug)]
struct OperatorBehaviour {
    /// Of every operator of the name.
    any: Behaviour,
    /// Of those that can take a number.
    number: Behaviour,
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
            (Volatility::Stable, Language::Internal) => Self::Stable,
            (Volatility::Stable, Language::C) if builtin::makes_a_value(&row.name) => Self::Stable,
            (Volatility::Volatile, Language::C) if builtin::makes_a_value(&row.name) => {
                Self::Volatile
            }
            (Volatility::Immutable, Language::Other | Language::Sql)
            | (
                Volatility::Stable,
                Language::Aggregate | Language::C | Language::Other | Language::Sql,
            )
            | (Volatility::Volatile, _) => Self::User,
        }
    }
}

// === impl Functions ===

impl Functions {
    pub(super) fn new(built_in: Vec<BuiltInFunctionRow>, users: Vec<FunctionRow>) -> Self {
        let mut functions = Self {
            by_name: HashMap::new(),
            by_oid: HashMap::new(),
            bodies: HashMap::new(),
            operators: HashMap::new(),
            row_functions: HashSet::new(),
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
        for mut row in users {
            let body = row.definition.take().map(|text| body_facts(&text));
            functions.bodies.extend(body.map(|facts| (row.oid, facts)));
            functions
                .by_name
                .entry(row.name.as_str().into())
                .or_default()
                .users
                .push(row.oid);
            functions.by_oid.insert(row.oid, Function::new(row));
        }
        functions
    }

    /// Settles what every function and operator does.
    ///
    /// A function in SQL counts as code until its body is found to be pure, which may show that another body is.
    pub(super) fn settle(
        &mut self,
        types: &Types,
        built_in_operators: &[String],
        operators: &[OperatorRow],
    ) {
        loop {
            self.judge_calls(types);
            self.add_operators(built_in_operators, operators);
            let pure: Vec<_> = self
                .bodies
                .iter()
                .filter(|(_, body)| is_pure_body(body, self, types))
                .map(|(oid, _)| *oid)
                .collect();
            if pure.is_empty() {
                return;
            }
            for oid in pure {
                self.bodies.remove(&oid);
                if let Some(function) = self.by_oid.get_mut(&oid) {
                    function.own = Behaviour::Pure;
                }
            }
        }
    }

    /// Lets an aggregate answer for its parts, and every function for the types of its signature: passing a value to a
    /// domain runs the domain's checks.
    fn judge_calls(&mut self, types: &Types) {
        self.row_functions.clear();
        for function in self.by_oid.values_mut() {
            function.behaviour = function.own;
        }
        let worse = |function: &Function| {
            let signature = &function.signature;
            if signature.iter().any(|part| types.runs_code(*part, self)) {
                Behaviour::User
            } else if signature.iter().any(|part| types.is_domain(*part)) {
                Behaviour::Stable
            } else {
                Behaviour::Pure
            }
        };
        let worst: Vec<_> = self
            .by_oid
            .iter()
            .map(|(oid, function)| (*oid, function.own.max(worse(function))))
            .collect();
        self.assign(worst);
        let of_parts: Vec<_> = self
            .by_oid
            .iter()
            .map(|(oid, function)| {
                let parts = function.parts.iter().map(|part| self.behaviour_of(*part));
                (*oid, parts.fold(function.behaviour, Behaviour::max))
            })
            .collect();
        self.assign(of_parts);
    }

    fn assign(&mut self, behaviours: Vec<(Oid, Behaviour)>) {
        for (oid, behaviour) in behaviours {
            let Some(function) = self.by_oid.get_mut(&oid) else {
                continue;
            };
            function.behaviour = behaviour;
            if behaviour != Behaviour::Pure && function.marks.contains(&FunctionMark::TakesRow) {
                self.row_functions.insert(function.name.clone());
            }
        }
    }

    fn add_operators(&mut self, built_in: &[String], users: &[OperatorRow]) {
        const PURE: OperatorBehaviour = OperatorBehaviour {
            any: Behaviour::Pure,
            number: Behaviour::Pure,
        };
        self.operators.clear();
        for name in built_in {
            self.operators.insert(name.as_str().into(), PURE);
        }
        for row in users {
            let behaviour = match self.by_oid.get(&row.function) {
                // An operator gets no text of SQL, so the word of compiled code that it changes nothing is taken.
                Some(Function {
                    language: Language::C,
                    volatility: Volatility::Stable,
                    ..
                }) => Behaviour::Stable,
                Some(function) => function.behaviour,
                None => Behaviour::Unknown,
            };
            let operator = self
                .operators
                .entry(row.name.as_str().into())
                .or_insert(PURE);
            operator.any = operator.any.max(behaviour);
            if row.operands == OperatorOperands::Any {
                operator.number = operator.number.max(behaviour);
            }
        }
    }

    /// What a call may do, or `None` if no function has the name.
    pub(in crate::analysis) fn call(&self, call: &Call) -> Option<Behaviour> {
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
            .filter_map(|oid| self.by_oid.get(oid))
            .filter(|function| call.name.admits(&function.schema))
            .collect();
        let known = built_in.clone().next().is_some();
        let matching = built_in
            .filter(|overload| overload.takes(call.arguments))
            .map(|overload| overload.behaviour)
            .chain(
                users
                    .iter()
                    .filter(|function| function.takes(call.arguments))
                    .map(|function| {
                        if function.uses_defaults(call.arguments) {
                            Behaviour::User
                        } else {
                            function.behaviour
                        }
                    }),
            )
            .max();
        match matching {
            Some(behaviour) => Some(behaviour),
            // None takes one argument, so it is a column.
            None if call.arguments == Arguments::Attribute => None,
            // None takes so many arguments. A built-in function then fails; of a user's, the worst is assumed.
            None if known && users.is_empty() => Some(Behaviour::Pure),
            None => users.iter().map(|function| function.behaviour).max(),
        }
    }

    /// What a use of an operator may do.
    pub(in crate::analysis) fn operator(&self, operator: &Operator) -> Behaviour {
        self.operators
            .get(&operator.name)
            .map_or(Behaviour::Unknown, |behaviour| match operator.operand {
                Operand::Number => behaviour.number,
                Operand::Unknown => behaviour.any,
            })
    }

    /// Whether `t.name` may call a user's function that is not pure.
    pub(in crate::analysis) fn called_as_column(&self, name: &str) -> bool {
        self.row_functions.contains(name)
    }

    /// Whether a user's function runs code that is not understood.
    pub(super) fn runs_code(&self, oid: Oid) -> bool {
        self.behaviour_of(oid).is_code()
    }

    /// Whether a user's function is safe to run unnamed.
    pub(super) fn is_pure(&self, oid: Oid) -> bool {
        self.behaviour_of(oid) == Behaviour::Pure
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

    pub(super) fn signature(&self, oid: Oid) -> &[Oid] {
        self.by_oid
            .get(&oid)
            .map_or(&[], |function| &function.signature)
    }

    fn behaviour_of(&self, oid: Oid) -> Behaviour {
        self.by_oid
            .get(&oid)
            .map_or(Behaviour::Unknown, |function| function.behaviour)
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
            behaviour: Behaviour::User,
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

    /// A default is an expression of its own, which is not looked into.
    fn uses_defaults(&self, arguments: Arguments) -> bool {
        match arguments {
            Arguments::Attribute => self.uses_defaults(Arguments::Count(1)),
            Arguments::Count(count) => self.defaults > 0 && count < self.arguments,
            Arguments::Any | Arguments::Syntax => self.defaults > 0,
        }
    }
}
