//! pgkeel: a transparent caching proxy for PostgreSQL.

pub mod reason;
