//! Which servers there are behind the addresses, as far as freshness is concerned.
//!
//! A table's tag names its server by a number. Two addresses may lead to one server, and a write through one must
//! void what was read through the other: so addresses whose servers started at the same microsecond have their
//! numbers in common, from the first connection on, and for good. If they are two servers after all (the address
//! was moved, or chance has it), that costs needless misses. Nothing here lets a result pass from one address to
//! another: results are kept by address.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

/// The server behind one address.
#[derive(Debug)]
pub struct Server {
    address: u32,
    numbers: ArcSwap<Vec<u32>>,
    postmaster_start: AtomicI64,
}

impl Server {
    /// A server that nobody has connected to yet. No two addresses have the same number.
    #[must_use]
    pub fn new(address: u32) -> Arc<Self> {
        Arc::new(Self {
            address,
            numbers: ArcSwap::default(),
            postmaster_start: AtomicI64::new(0),
        })
    }

    /// The numbers under which its tables are known: none before the first connection, more than one after two
    /// servers have turned out to be the same.
    #[must_use]
    pub fn numbers(&self) -> Arc<Vec<u32>> {
        self.numbers.load_full()
    }
}

/// Who is who.
#[derive(Debug, Default)]
pub(super) struct Identities(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    groups: Vec<Group>,
    by_address: HashMap<u32, usize>,
    /// Every start of a postmaster ever reported: connections to an earlier one may still be open.
    by_start: HashMap<i64, usize>,
}

#[derive(Debug, Default)]
struct Group {
    numbers: Vec<u32>,
    members: Vec<Arc<Server>>,
}

impl Identities {
    /// A connection to `server` says when its postmaster started. Returns whether results may be void now: the
    /// server has restarted, or is another, or its tables have got other numbers.
    pub(super) fn note(&self, server: &Arc<Server>, start: i64) -> bool {
        let mut state = self.0.lock();
        let before = server.postmaster_start.swap(start, Ordering::SeqCst);
        let has_restarted = before != 0 && before != start;
        let own = state.by_address.get(&server.address).copied();
        let known = state.by_start.get(&start).copied();
        let merged = match (own, known) {
            (Some(own), Some(known)) if own == known => return has_restarted,
            (Some(own), Some(known)) => {
                state.merge(known, own);
                true
            }
            (Some(own), None) => {
                state.by_start.insert(start, own);
                false
            }
            (None, Some(known)) => {
                state.join(known, server);
                false
            }
            (None, None) => {
                let group = state.groups.len();
                let number = u32::try_from(group).expect("servers are few");
                state.groups.push(Group {
                    numbers: vec![number],
                    members: Vec::new(),
                });
                state.by_start.insert(start, group);
                state.join(group, server);
                false
            }
        };
        has_restarted || merged
    }

    /// The address of a server whose postmaster, at some time, started then.
    pub(super) fn address_of(&self, start: i64) -> Option<u32> {
        let state = self.0.lock();
        let group = state.by_start.get(&start)?;
        let members = &state.groups.get(*group)?.members;
        members.first().map(|server| server.address)
    }
}

impl State {
    fn join(&mut self, group: usize, server: &Arc<Server>) {
        self.by_address.insert(server.address, group);
        let group = &mut self.groups[group];
        group.members.push(Arc::clone(server));
        server.numbers.store(Arc::new(group.numbers.clone()));
    }

    /// Both sets of numbers stand for all members from here on: a transaction may still hold old ones.
    fn merge(&mut self, into: usize, from: usize) {
        let from_group = std::mem::take(&mut self.groups[from]);
        let group = &mut self.groups[into];
        group.numbers.extend(from_group.numbers);
        group.members.extend(from_group.members);
        let numbers = Arc::new(group.numbers.clone());
        for member in &group.members {
            member.numbers.store(Arc::clone(&numbers));
        }
        let indices = self
            .by_address
            .values_mut()
            .chain(self.by_start.values_mut());
        for index in indices.filter(|index| **index == from) {
            *index = into;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_server_have_their_numbers_in_common() {
        let identities = Identities::default();
        let (a, b, c) = (Server::new(0), Server::new(1), Server::new(2));
        assert!(!identities.note(&a, 10));
        assert!(!identities.note(&b, 10), "b is a by another name");
        assert!(!identities.note(&c, 11));
        assert_eq!(a.numbers(), b.numbers());
        assert_ne!(a.numbers(), c.numbers());
        assert!(identities.note(&a, 12), "it has restarted");
        assert!(identities.note(&b, 12));
        assert_eq!(a.numbers(), b.numbers());
        assert_eq!(a.numbers().len(), 1);
    }

    #[test]
    fn an_address_that_moves_to_a_known_server_keeps_both_numbers() {
        let identities = Identities::default();
        let (a, b, old) = (Server::new(0), Server::new(1), Server::new(2));
        identities.note(&a, 10);
        identities.note(&old, 10);
        identities.note(&b, 20);
        let before = a.numbers();
        assert!(identities.note(&a, 20), "results may be void");
        assert_eq!(a.numbers(), b.numbers());
        assert_eq!(
            a.numbers(),
            old.numbers(),
            "old connections of a may still write there"
        );
        assert!(before.iter().all(|number| b.numbers().contains(number)));
        assert!(!identities.note(&b, 20));
        let late = Server::new(3);
        identities.note(&late, 10);
        assert_eq!(late.numbers(), a.numbers(), "a start is never forgotten");
    }
}
