//! The rows of PostgreSQL's system catalogs that the analysis needs, as a loader or a test hands them over.
//!
//! Plain data: what the rows mean is decided by [`Catalog::new`](super::Catalog::new). "Built-in" is whatever `initdb`
//! put into `pg_catalog`; everything else belongs to a user, extensions included.

use crate::analysis::Oid;

/// Everything a snapshot is made of.
#[derive(Debug, Default)]
pub struct Rows {
    /// Relations outside the system schemas, without the temporary ones.
    pub relations: Vec<RelationRow>,
    /// Names of the relations of `pg_catalog` and `information_schema`.
    pub system_relations: Vec<String>,
    /// `pg_inherits`: children and partitions.
    pub inheritance: Vec<InheritanceRow>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKeyRow>,
    /// Triggers that are not disabled and whose function is not built in.
    pub triggers: Vec<TriggerRow>,
    /// Rewrite rules that are not disabled, but for those of views.
    pub rules: Vec<RuleRow>,
    /// Functions in the defaults, generated columns, checks, indexes, partition keys and policies of a relation.
    pub expressions: Vec<RelationFunctionRow>,
    /// Types of a relation's columns: those of users, and the built-in ones that are not plain. Arrays as their elements.
    pub column_types: Vec<ColumnTypeRow>,
    /// Names that are borne by date and time columns only.
    pub date_columns: Vec<String>,
    /// Functions of `pg_catalog`.
    pub built_in_functions: Vec<BuiltInFunctionRow>,
    /// Functions, procedures and aggregates of users.
    pub functions: Vec<FunctionRow>,
    /// What the configuration says of functions.
    pub vouched: Vec<VouchedRow>,
    /// Names of the operators of `pg_catalog`.
    pub built_in_operators: Vec<String>,
    /// Operators of users.
    pub operators: Vec<OperatorRow>,
    /// Types: all but the row types of tables.
    pub types: Vec<TypeRow>,
    /// Users' functions that run unnamed: those of casts, and of operator classes that sort or hash.
    pub implicit_functions: Vec<Oid>,
    /// Defaults, generated columns and checks that call a function.
    pub column_expressions: Vec<ExpressionRow>,
    /// Relations with columns that are times of day, or may hold one.
    pub times_of_day: Vec<Oid>,
    /// The functions of event triggers that are enabled.
    pub event_triggers: Vec<Oid>,
}

/// A row of `pg_class`.
#[derive(Debug)]
pub struct RelationRow {
    /// Its identity.
    pub oid: Oid,
    /// The schema it is in.
    pub schema: String,
    /// Its name in that schema.
    pub name: String,
    /// What kind of relation it is.
    pub kind: RelationKind,
    /// How durable its rows are.
    pub persistence: Persistence,
    /// What else is special about it.
    pub marks: Vec<RelationMark>,
    /// The query of a view or materialized view, printed with `search_path = pg_catalog`; `None` if it is gone.
    pub definition: Option<String>,
}

/// `pg_class.relkind`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RelationKind {
    /// A foreign table.
    Foreign,
    /// A materialized view.
    MaterializedView,
    /// Anything else, sequences among them.
    Other,
    /// A partitioned table.
    Partitioned,
    /// An ordinary table, a partition too.
    Table,
    /// A view.
    View,
}

/// `pg_class.relpersistence`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Persistence {
    /// Written to the log.
    Permanent,
    /// Not written to the log, so no change stream shows its changes.
    Unlogged,
}

/// What a relation has that most have not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RelationMark {
    /// Row-level security is enabled.
    RowSecurity,
}

/// A child and one of its parents.
#[derive(Clone, Copy, Debug)]
pub struct InheritanceRow {
    /// The parent or partitioned table.
    pub parent: Oid,
    /// The child or partition.
    pub child: Oid,
}

/// A foreign key.
#[derive(Clone, Copy, Debug)]
pub struct ForeignKeyRow {
    /// The table whose rows the actions change.
    pub referencing: Oid,
    /// The table whose changes start the actions.
    pub referenced: Oid,
    /// `ON UPDATE`.
    pub on_update: ReferentialAction,
    /// `ON DELETE`.
    pub on_delete: ReferentialAction,
}

/// What a foreign key does to the referencing rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReferentialAction {
    /// `CASCADE`.
    Cascade,
    /// `NO ACTION` or `RESTRICT`.
    Refuse,
    /// `SET NULL` or `SET DEFAULT`.
    Set,
}

/// A trigger.
#[derive(Debug)]
pub struct TriggerRow {
    /// The relation.
    pub relation: Oid,
    /// The function.
    pub function: Oid,
    /// What it is fired by.
    pub events: Vec<TriggerEvent>,
    /// When it is fired.
    pub timing: TriggerTiming,
    /// The names that its function has for the tables of old and of new rows.
    pub transition_tables: Vec<String>,
}

/// What fires a trigger, or a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TriggerEvent {
    /// `DELETE`.
    Delete,
    /// `INSERT`.
    Insert,
    /// `TRUNCATE`.
    Truncate,
    /// `UPDATE`.
    Update,
}

/// When a trigger is fired.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TriggerTiming {
    /// `BEFORE` or `AFTER`, deferred or not.
    Beside,
    /// `INSTEAD OF`.
    Instead,
}

/// A rewrite rule.
#[derive(Debug)]
pub struct RuleRow {
    /// The relation.
    pub relation: Oid,
    /// What it rewrites.
    pub event: TriggerEvent,
    /// The rule as `pg_get_ruledef` prints it; `None` if it is gone.
    pub definition: Option<String>,
}

/// What the configuration says of a function, whatever its body is.
#[derive(Debug)]
pub struct VouchedRow {
    /// Its name, perhaps with its schema: `app.tax_rate`.
    pub function: String,
    /// The relations it reads, named in the same way.
    pub reads: Vec<String>,
    /// The relations it changes.
    pub writes: Vec<String>,
}

/// A function that a relation runs.
#[derive(Clone, Copy, Debug)]
pub struct RelationFunctionRow {
    /// The relation.
    pub relation: Oid,
    /// The function.
    pub function: Oid,
}

/// An expression that writes to a relation evaluate.
#[derive(Debug)]
pub struct ExpressionRow {
    /// The relation.
    pub relation: Oid,
    /// The expression as `pg_get_expr` prints it with `search_path = pg_catalog`; `None` if it is gone.
    pub expression: Option<String>,
}

/// A column type worth a look.
#[derive(Clone, Copy, Debug)]
pub struct ColumnTypeRow {
    /// The relation.
    pub relation: Oid,
    /// The type of the column, or of its elements.
    pub column_type: Oid,
}

/// Overloads of a built-in function that share these properties.
#[derive(Debug)]
pub struct BuiltInFunctionRow {
    /// Its name in `pg_catalog`.
    pub name: String,
    /// What `pg_proc` says of it.
    pub volatility: Volatility,
    /// The smallest number of arguments it takes.
    pub arguments_min: usize,
    /// The largest number of arguments it takes; `None` is any.
    pub arguments_max: Option<usize>,
}

/// A user's function or aggregate.
#[derive(Debug)]
pub struct FunctionRow {
    /// Its identity.
    pub oid: Oid,
    /// The schema it is in.
    pub schema: String,
    /// Its name in that schema.
    pub name: String,
    /// What `pg_proc` says of it; of an aggregate, the worst of the server's own functions that it is made of.
    pub volatility: Volatility,
    /// What it is written in.
    pub language: Language,
    /// How many arguments it declares.
    pub arguments: usize,
    /// How many of them have a default.
    pub defaults: usize,
    /// How its last and its first argument are special.
    pub marks: Vec<FunctionMark>,
    /// Users' types among its arguments and its result.
    pub signature: Vec<Oid>,
    /// Users' functions that an aggregate is made of.
    pub parts: Vec<Oid>,
    /// How `pg_get_functiondef` prints a function or procedure in SQL or PL/pgSQL.
    pub definition: Option<String>,
}

/// `pg_proc.provolatile`, in the order of trust.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Volatility {
    /// The same arguments give the same result forever.
    Immutable,
    /// The same within a statement; changes nothing.
    Stable,
    /// Anything.
    Volatile,
}

/// What a function is written in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Language {
    /// None: an aggregate, which is made of other functions.
    Aggregate,
    /// Compiled code of an extension.
    C,
    /// A function of the server itself, under another name.
    Internal,
    /// Any other, PL/pgSQL among them.
    Other,
    /// SQL.
    Sql,
}

/// What a function has that most have not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FunctionMark {
    /// It takes one row (or anything), so it can be called as if it were a column.
    TakesRow,
    /// `VARIADIC`.
    Variadic,
}

/// A user's operator.
#[derive(Debug)]
pub struct OperatorRow {
    /// Its name, in whatever schema.
    pub name: String,
    /// The function behind it.
    pub function: Oid,
    /// What it takes.
    pub operands: OperatorOperands,
}

/// What an operator takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OperatorOperands {
    /// Anything else.
    Any,
    /// Text on every side.
    Text,
}

/// A type.
#[derive(Debug)]
pub struct TypeRow {
    /// Its identity.
    pub oid: Oid,
    /// The schema it is in.
    pub schema: String,
    /// Its name in that schema.
    pub name: String,
    /// What kind of type it is.
    pub kind: TypeKind,
    /// The types it is made of: elements, attributes, the base of a domain, the bounds of a range.
    pub parts: Vec<Oid>,
    /// Users' functions it depends on: input and output, or the checks of a domain.
    pub functions: Vec<Oid>,
}

/// `pg_type.typtype`, with arrays apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TypeKind {
    /// An array.
    Array,
    /// A base type, built in or of an extension.
    Base,
    /// A row type of its own.
    Composite,
    /// A domain.
    Domain,
    /// An enum.
    Enum,
    /// A pseudo-type.
    Pseudo,
    /// A range or multirange.
    Range,
}
