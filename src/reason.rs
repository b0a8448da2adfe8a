//! Why a statement was not answered from the cache.
//!
//! One list for the log, the metrics, the admin page and the documentation: every "no" has a name.

/// Declares the enum together with its list, names and remedies, so that they cannot drift apart.
macro_rules! reasons {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal => $remedy:literal,)+) => {
        /// The reason a read was forwarded instead of cached, or a result was not kept.
        ///
        /// Variants are ordered alphabetically; [`Reason::as_str`] is the metric label and the admin text.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[$doc])+ $variant,)+
        }

        impl Reason {
            /// Every reason, in the order of the enum.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in metrics, logs and the admin port.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What could be done about it, in one sentence.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$variant => $remedy,)+
                }
            }
        }
    };
}

reasons! {
    /// The cache is switched off in the configuration.
    CacheDisabled = "cache_disabled" => "Set cache.enabled = true.",
    /// No current catalog snapshot of the database: not loaded yet, or being reloaded after DDL.
    CatalogNotReady = "catalog_not_ready"
        => "Wait until the catalog is loaded; if it stays so, let the role of the upstream's URL log in to this database.",
    /// Nobody knows whether the definitions have changed: the server has not answered that for too long.
    CatalogUnchecked = "catalog_unchecked"
        => "See why the server does not answer (the log tells), or set cache.catalog_check = 0 to do without the check.",
    /// Something it depends on is being changed at this moment.
    ChangeUnderWay = "change_under_way" => "Nothing: the next read after the change can be cached.",
    /// `CURRENT_DATE`, `CURRENT_USER` and their like: the value depends on the moment or the session.
    CurrentValue = "current_value" => "Pass the value as a parameter, computed by the application.",
    /// A foreign table: its rows change where nobody can see it.
    ForeignTable = "foreign_table"
        => "Copy the rows into a table or a materialized view, and read that.",
    /// `FOR UPDATE` and the other row locks.
    LockingRead = "locking_read"
        => "Leave out FOR UPDATE or FOR SHARE where the row need not be locked.",
    /// A name is too long: PostgreSQL cuts it, and says so each time it reads the text.
    LongName = "long_name" => "Write names of at most 63 bytes.",
    /// A literal that means another date tomorrow: `'now'`, `'today'`, `'tomorrow'`, `'yesterday'`.
    MovingDate = "moving_date" => "Write the date itself, or pass it as a parameter.",
    /// Several statements in one text.
    MultiStatement = "multi_statement" => "Send each statement by itself.",
    /// In a fleet: this instance may not serve from its cache until the others are sure to tell it of changes.
    NoLease = "no_lease"
        => "See why Redis or another instance does not answer (the log tells); it ends by itself when they do.",
    /// Not a read: it writes, changes the session, or is a utility statement.
    NotARead = "not_a_read" => "Nothing: only SELECT, VALUES and TABLE have results to keep.",
    /// A sequence or another relation whose state is not that of a table.
    NotATable = "not_a_table"
        => "Read tables and views only; the state of a sequence cannot be kept.",
    /// The text could not be parsed, or is longer than the limit.
    NotUnderstood = "not_understood"
        => "Correct the text, shorten it, or raise cache.statement_max_bytes.",
    /// A pipeline is half sent: what is before its Sync belongs together.
    OpenPipeline = "open_pipeline" => "End the pipeline with Sync before the next read.",
    /// A form of the extended protocol that is not looked for: several units at once, named portals, row limits.
    Pipeline = "pipeline"
        => "Send each read with its own Sync, through the unnamed portal and without a row limit.",
    /// Row-level security: the rows depend on who asks.
    RowSecurity = "row_security" => "Nothing, as long as the table has row-level security.",
    /// The session has settings, temporary objects or other state of its own.
    SessionChanged = "session_changed"
        => "Let the session do without temporary objects and other state of its own, or read in another session.",
    /// A built-in function whose value depends on more than its arguments and the settings.
    StableFunction = "stable_function"
        => "Compute the value in the application and pass it as a parameter.",
    /// A system catalog or a view of `information_schema`.
    SystemCatalog = "system_catalog"
        => "Nothing: system catalogs change in ways that no statement tells.",
    /// `ctid`, `xmin` and the other system columns.
    SystemColumn = "system_column" => "Name ordinary columns only.",
    /// A table is excluded from the cache in the configuration.
    TableExcluded = "table_excluded" => "Remove enabled = false of the table from [cache.tables].",
    /// `TABLESAMPLE`.
    TableSample = "table_sample" => "Choose the rows by a condition instead of TABLESAMPLE.",
    /// Text that is not a literal is read as a date, and could say `now`.
    TextReadAsDate = "text_read_as_date"
        => "Write the date as a literal, or pass it as a parameter of a date type.",
    /// More relations than one cached result may depend on.
    TooManyRelations = "too_many_relations"
        => "Read fewer tables at once: name the partitions, or split the query.",
    /// In a transaction that is not READ COMMITTED, has settings of its own, or has failed.
    TransactionIsolation = "transaction_isolation"
        => "Read outside the transaction, or in one that is READ COMMITTED.",
    /// In a transaction that has written: it sees what nobody else may see.
    TransactionWrote = "transaction_wrote" => "Read before the first write, or after the commit.",
    /// A construct of SQL the analysis does not know.
    UnknownConstruct = "unknown_construct"
        => "Write it in another way; this construct of SQL is not known.",
    /// A function the catalog snapshot does not know.
    UnknownFunction = "unknown_function"
        => "Check the name and the number of arguments; if the function is new, ask again in a moment.",
    /// An operator the catalog snapshot does not know.
    UnknownOperator = "unknown_operator"
        => "Check the operator; if it is new, ask again in a moment.",
    /// A relation the catalog snapshot does not know: temporary, new, or missing.
    UnknownRelation = "unknown_relation"
        => "Check the name; reads of temporary tables are not cached.",
    /// A type the catalog snapshot does not know.
    UnknownType = "unknown_type"
        => "Check the name of the type; if it is new, ask again in a moment.",
    /// A type whose values are not read or written in the same way every time: `regclass`, a domain.
    UnsafeType = "unsafe_type"
        => "Cast to a plain type such as text or integer, or read other columns.",
    /// The database has a cast or an operator class that runs a function which is not IMMUTABLE.
    UserCast = "user_cast"
        => "Make the functions of casts and operator classes IMMUTABLE, if that is what they are.",
    /// A user-defined function, or an operator made of one, that is not IMMUTABLE.
    UserFunction = "user_function"
        => "Declare the function IMMUTABLE, if that is what it is, or write its query in the statement.",
    /// A built-in VOLATILE function.
    VolatileFunction = "volatile_function"
        => "Leave the function out, or compute its value in the application.",
    /// A SELECT that also writes: a data-modifying WITH, or SELECT INTO.
    Writes = "writes" => "Write in a statement of its own, and read in another.",
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn reasons_are_in_alphabetical_order() {
        let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn every_remedy_is_a_sentence() {
        for reason in Reason::ALL {
            let remedy = reason.remedy();
            assert!(remedy.ends_with('.') && remedy.len() > 10, "{remedy}");
            assert!(remedy.starts_with(char::is_uppercase), "{remedy}");
        }
    }
}
