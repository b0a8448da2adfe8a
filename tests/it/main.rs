//! Integration tests against a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod demo;
mod extended_query;
mod malformed;
mod migrate;
mod pipelines;
mod random_pipelines;
mod sandbox;
mod seed;
mod simple_query;
mod support;
mod twins;
mod wire;
