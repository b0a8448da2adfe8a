//! PostgreSQL's frontend/backend protocol, version 3, as plain data.
//!
//! What is forwarded is never decoded and encoded again: a [`frame`] is a tag, a length and bytes, and the
//! views in [`frontend`] and [`backend`] look into the few messages that have to be understood. Nothing here
//! knows sockets, time or policy. Reference: <https://www.postgresql.org/docs/current/protocol.html>.

pub mod backend;
pub mod expect;
pub mod frame;
pub mod frontend;
pub mod shape;
pub mod startup;
