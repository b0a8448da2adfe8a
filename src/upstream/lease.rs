//! Holding a connection, and the right to hold one.
//!
//! Both are guards: whatever way a session ends, its connection is given back or closed, and the place it
//! took is free again.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::connection::Connection;
use super::pool::Pool;
use crate::observe::Counter;

/// The right to hold one connection of a pool.
pub struct Place(Arc<Pool>);

impl Place {
    /// A place that the pool has counted as taken.
    pub(super) const fn new(pool: Arc<Pool>) -> Self {
        Self(pool)
    }

    /// The pool it is of.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.place_freed();
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place")
    }
}

impl Connection {
    /// Ends the connection and gives its place to the caller.
    pub(super) fn close(mut self: Box<Self>) -> Place {
        self.terminate();
        let place = self.place;
        place.0.metrics.add(Counter::ServerClosed, 1);
        place
    }
}

/// A connection held by one session. Dropping the lease closes the connection, whatever state it is in.
#[derive(Debug)]
pub struct Lease(Option<Box<Connection>>);

impl Lease {
    /// A connection that was just opened.
    #[must_use]
    pub fn new(connection: Box<Connection>) -> Self {
        Self(Some(connection))
    }

    /// Gives the connection back to its pool.
    pub fn release(mut self) {
        if let Some(connection) = self.0.take() {
            let pool = Arc::clone(&connection.place.0);
            pool.release(connection);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.close());
        }
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
            .as_deref()
            .expect("a lease holds its connection until it is given back")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        self.0
            .as_deref_mut()
            .expect("a lease holds its connection until it is given back")
    }
}
