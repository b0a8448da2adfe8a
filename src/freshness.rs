//! Never a stale read: version words, commit windows, stamps and single flight.
//!
//! A *tag* names something a result may depend on. Tags hash into a fixed array of [`words`]; a change holds
//! its tags' words open as a [`window`] while it may become visible, and bumps them when it has. A result is
//! kept with the [`words::Stamp`]s it was read under and is served only while every word still equals its
//! stamp. [`flight`] lets identical misses wait for one query. This module decides nothing about SQL and
//! does no IO.

pub mod flight;
pub mod peers;
pub mod server;
pub mod window;
pub mod words;

/// What a result may depend on and a change may touch.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Tag {
    /// Every object of every database of every server: touched by what is not understood, and by DDL.
    Everything,
    /// The catalogs: a snapshot of any database is current only while this word stands.
    Catalog,
    /// One table.
    Table {
        /// A number of its server ([`server::Server::numbers`]).
        server: u32,
        /// The database's oid.
        database: u32,
        /// The table's oid.
        oid: u32,
    },
    /// One table, by a name that every instance of a fleet gives it.
    SharedTable {
        /// The system identifier of its server, which its standbys have too.
        system: u64,
        /// The database's oid.
        database: u32,
        /// The table's oid.
        oid: u32,
    },
}
