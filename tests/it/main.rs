//! Integration tests against a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod checker;
mod demo;
mod drivers;
mod hits;
mod invalidation;
mod migrate;
mod raw;
mod sandbox;
mod scene;
mod seed;
mod support;
