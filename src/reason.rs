//! Why a statement was not answered from the cache.
//!
//! One list for the log, the metrics, the admin page and the documentation: every "no" has a name.

/// The reason a read was forwarded instead of cached, or a result was not kept.
///
/// Variants are ordered alphabetically; [`Reason::as_str`] is the metric label and the admin text.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Reason {
    /// No current catalog snapshot of the database: not loaded yet, or being reloaded after DDL.
    CatalogNotReady,
    /// Not a read: it writes, changes the session, or is a utility statement.
    NotARead,
}

impl Reason {
    /// Every reason, in the order of the enum.
    pub const ALL: &'static [Self] = &[Self::CatalogNotReady, Self::NotARead];

    /// The name used in metrics, logs and the admin port.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CatalogNotReady => "catalog_not_ready",
            Self::NotARead => "not_a_read",
        }
    }
}
