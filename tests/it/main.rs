//! Integration tests against a real PostgreSQL.

mod sandbox;
mod support;
