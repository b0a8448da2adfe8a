//! Why a statement was not answered from the cache.
//!
//! One list for the log, the metrics, the admin page and the documentation: every "no" has a name.

/// Declares the enum together with its list and names, so that the three cannot drift apart.
macro_rules! reasons {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
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
        }
    };
}

reasons! {
    /// The cache is switched off in the configuration.
    CacheDisabled = "cache_disabled",
    /// No current catalog snapshot of the database: not loaded yet, or being reloaded after DDL.
    CatalogNotReady = "catalog_not_ready",
    /// Something it depends on is being changed at this moment.
    ChangeUnderWay = "change_under_way",
    /// `CURRENT_DATE`, `CURRENT_USER` and their like: the value depends on the moment or the session.
    CurrentValue = "current_value",
    /// A foreign table: its rows change where nobody can see it.
    ForeignTable = "foreign_table",
    /// `FOR UPDATE` and the other row locks.
    LockingRead = "locking_read",
    /// A name is too long: PostgreSQL cuts it, and says so each time it reads the text.
    LongName = "long_name",
    /// A literal that means another date tomorrow: `'now'`, `'today'`, `'tomorrow'`, `'yesterday'`.
    MovingDate = "moving_date",
    /// Several statements in one text.
    MultiStatement = "multi_statement",
    /// In a fleet: this instance may not serve from its cache until the others are sure to tell it of changes.
    NoLease = "no_lease",
    /// Not a read: it writes, changes the session, or is a utility statement.
    NotARead = "not_a_read",
    /// A sequence or another relation whose state is not that of a table.
    NotATable = "not_a_table",
    /// The text could not be parsed, or is longer than the limit.
    NotUnderstood = "not_understood",
    /// A pipeline is half sent: what is before its Sync belongs together.
    OpenPipeline = "open_pipeline",
    /// A form of the extended protocol that is not looked for: several units at once, named portals, row limits.
    Pipeline = "pipeline",
    /// Row-level security: the rows depend on who asks.
    RowSecurity = "row_security",
    /// The session has settings, temporary objects or other state of its own.
    SessionChanged = "session_changed",
    /// A built-in function whose value depends on more than its arguments and the settings.
    StableFunction = "stable_function",
    /// A system catalog or a view of `information_schema`.
    SystemCatalog = "system_catalog",
    /// `ctid`, `xmin` and the other system columns.
    SystemColumn = "system_column",
    /// A table is excluded from the cache in the configuration.
    TableExcluded = "table_excluded",
    /// `TABLESAMPLE`.
    TableSample = "table_sample",
    /// Text that is not a literal is read as a date, and could say `now`.
    TextReadAsDate = "text_read_as_date",
    /// More relations than one cached result may depend on.
    TooManyRelations = "too_many_relations",
    /// In a transaction that is not READ COMMITTED, has settings of its own, or has failed.
    TransactionIsolation = "transaction_isolation",
    /// In a transaction that has written: it sees what nobody else may see.
    TransactionWrote = "transaction_wrote",
    /// A construct of SQL the analysis does not know.
    UnknownConstruct = "unknown_construct",
    /// A function the catalog snapshot does not know.
    UnknownFunction = "unknown_function",
    /// An operator the catalog snapshot does not know.
    UnknownOperator = "unknown_operator",
    /// A relation the catalog snapshot does not know: temporary, new, or missing.
    UnknownRelation = "unknown_relation",
    /// A type the catalog snapshot does not know.
    UnknownType = "unknown_type",
    /// A type whose values are not read or written in the same way every time: `regclass`, a domain.
    UnsafeType = "unsafe_type",
    /// The database has a cast or an operator class that runs a function which is not IMMUTABLE.
    UserCast = "user_cast",
    /// A user-defined function, or an operator made of one, that is not IMMUTABLE.
    UserFunction = "user_function",
    /// A built-in VOLATILE function.
    VolatileFunction = "volatile_function",
    /// A SELECT that also writes: a data-modifying WITH, or SELECT INTO.
    Writes = "writes",
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn reasons_are_in_alphabetical_order() {
        let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert!(names.is_sorted(), "{names:?}");
    }
}
