//! pgkeel: a transparent caching proxy for PostgreSQL.
//!
//! The modules in the order in which a request meets them; `ARCHITECTURE.md` tells the journey.

pub mod cli;
pub mod config;

pub mod app;

pub mod edge;

pub mod clients;

pub mod session;

pub mod services;

pub mod protocol;

pub mod auth;

pub mod analysis;
pub mod catalog;
pub mod database;

pub mod cache;
pub mod freshness;
pub mod shared;

pub mod transport;
pub mod upstream;

pub mod admin;
pub mod observe;
pub mod reason;
pub mod sync;

pub mod migrate;
pub mod seed;
