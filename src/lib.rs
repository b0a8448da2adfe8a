//! pgkeel: a transparent caching proxy for PostgreSQL.

pub mod config;
pub mod reason;
