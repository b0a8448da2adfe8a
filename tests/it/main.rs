//! Integration tests against a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod catalog;
mod checker;
mod demo;
mod drivers;
mod extended_query;
mod hits;
mod invalidation;
mod malformed;
mod migrate;
mod pipelines;
mod random_pipelines;
mod raw;
mod sandbox;
mod scene;
mod seed;
mod simple_query;
mod support;
mod twins;
mod wire;
