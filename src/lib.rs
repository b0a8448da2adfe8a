//! pgkeel: a transparent caching proxy for PostgreSQL.

pub mod analysis;
pub mod catalog;
pub mod reason;
