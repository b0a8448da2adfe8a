//! Integration tests against a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod catalog;
mod demo;
mod migrate;
mod sandbox;
mod seed;
mod support;
