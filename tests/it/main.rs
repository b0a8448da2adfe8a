//! Integration tests against a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cancel;
mod catalog;
mod checker;
mod copy;
mod demo;
mod drivers;
mod extended_query;
mod hits;
mod hostile;
mod invalidation;
mod login;
mod malformed;
mod migrate;
mod pipelines;
mod pool;
mod random_pipelines;
mod raw;
mod replication;
mod sandbox;
mod scene;
mod scram;
mod seed;
mod sequences;
mod settings;
mod shutdown;
mod simple_query;
mod support;
mod twins;
mod upstream_loss;
mod virtual_begin;
mod wire;
mod wire_limits;
