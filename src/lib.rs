//! pgkeel: a transparent caching proxy for PostgreSQL.

pub mod admin;
pub mod cli;
pub mod config;
pub mod observe;
pub mod reason;
