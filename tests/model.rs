//! The protocol of `docs/fleet.md`, in small, with every order of events tried.
//!
//! One table, one write, one writer and two readers, who may lose their leases and join anew, and results that reach
//! Redis as late as they like. No reader may serve what was before the write once PostgreSQL shows it. Each remedy is
//! left out once, and the search must then find the order of events that makes a read stale.

use std::collections::{HashSet, VecDeque};

/// A remedy that is left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flaw {
    None,
    /// The change is sent without waiting for the members.
    NoAcknowledgement,
    /// A result is stored under the last number in Redis instead of the last one its reader has applied: as if the
    /// shared version were raised before the acknowledgements.
    NumberFromRedis,
    /// Whoever joins does not learn what is open.
    JoinsBlindly,
    /// Whoever joins does not void what it has.
    JoinsWithOldResults,
    /// What was opened when is not learned by whoever joins.
    JoinsWithoutNumbers,
    /// Serves after its lease has run out.
    NoLease,
    /// The stamp is taken after PostgreSQL was asked.
    LateStamp,
}

const READERS: usize = 2;

/// How far the writer is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Write {
    Idle,
    /// The window stands in Redis, under number 1.
    Opened,
    /// PostgreSQL has been told; others may see it at any moment.
    Sent,
    /// PostgreSQL shows it.
    Visible,
    /// The window is closed, under number 2.
    Closed,
}

/// A read that fills: what it was asked under, and what came back.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Fill {
    number: u8,
    stamp: u8,
    value: Option<u8>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Reader {
    has_lease: bool,
    /// Lapses left, so that there is an end.
    lapses: u8,
    applied: u8,
    is_open: bool,
    opened_at: u8,
    version: u8,
    fill: Option<Fill>,
    /// What it holds in memory: the value and its stamp.
    memory: Option<(u8, u8)>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct World {
    write: Write,
    readers: [Reader; READERS],
    /// On its way to Redis, from a reader that may be cut off.
    late: Option<(u8, u8)>,
    /// In Redis: the value, and the number it was read under.
    stored: Option<(u8, u8)>,
}

impl World {
    fn new() -> Self {
        let reader = Reader {
            has_lease: true,
            lapses: 1,
            applied: 0,
            is_open: false,
            opened_at: 0,
            version: 0,
            fill: None,
            memory: None,
        };
        Self {
            write: Write::Idle,
            readers: [reader; READERS],
            late: None,
            stored: None,
        }
    }

    /// The last number given in Redis.
    fn number(&self) -> u8 {
        match self.write {
            Write::Idle => 0,
            Write::Opened | Write::Sent | Write::Visible => 1,
            Write::Closed => 2,
        }
    }

    fn shown(&self) -> u8 {
        u8::from(self.write >= Write::Visible)
    }

    /// Every world that may be next.
    fn next(&self, flaw: Flaw) -> Vec<Self> {
        let mut next = Vec::new();
        self.write_on(flaw, &mut next);
        for at in 0..READERS {
            self.read_on(at, flaw, &mut next);
        }
        if let Some(late) = self.late {
            next.push(Self {
                stored: Some(late),
                late: None,
                ..*self
            });
        }
        next
    }

    fn write_on(&self, flaw: Flaw, next: &mut Vec<Self>) {
        let all_know = self
            .readers
            .iter()
            .all(|reader| !reader.has_lease || reader.applied >= 1);
        let write = match self.write {
            Write::Idle => Write::Opened,
            Write::Opened if all_know || flaw == Flaw::NoAcknowledgement => Write::Sent,
            Write::Sent => Write::Visible,
            Write::Visible => Write::Closed,
            Write::Opened | Write::Closed => return,
        };
        next.push(Self { write, ..*self });
    }

    fn read_on(&self, at: usize, flaw: Flaw, next: &mut Vec<Self>) {
        let reader = self.readers[at];
        let mut with = |change: &dyn Fn(&mut Self, &mut Reader)| {
            let (mut world, mut changed) = (*self, reader);
            change(&mut world, &mut changed);
            world.readers[at] = changed;
            next.push(world);
        };
        // A member hears what is next.
        if reader.has_lease && reader.applied < self.number() {
            with(&|_, reader| {
                reader.applied += 1;
                reader.is_open = reader.applied == 1;
                reader.version += u8::from(reader.applied == 2);
                reader.opened_at = 1;
            });
        }
        if reader.has_lease && reader.lapses > 0 {
            with(&|_, reader| {
                reader.has_lease = false;
                reader.lapses -= 1;
            });
        }
        if !reader.has_lease {
            with(&|world, reader| {
                reader.has_lease = true;
                reader.applied = world.number();
                reader.is_open = world.number() == 1 && flaw != Flaw::JoinsBlindly;
                if flaw != Flaw::JoinsWithoutNumbers {
                    reader.opened_at = world.number().min(1);
                }
                if flaw != Flaw::JoinsWithOldResults {
                    // As if every stamp before were another's.
                    reader.version += 10;
                }
            });
        }
        match reader.fill {
            None if !reader.is_open => with(&|world, reader| {
                let number = match flaw {
                    Flaw::NumberFromRedis => world.number(),
                    _ => reader.applied,
                };
                reader.fill = Some(Fill {
                    number,
                    stamp: reader.version,
                    value: None,
                });
            }),
            None => {}
            Some(fill) if fill.value.is_none() => {
                with(&|world, reader| {
                    let value = Some(world.shown());
                    reader.fill = Some(Fill { value, ..fill });
                });
            }
            Some(fill) => with(&|world, reader| {
                let value = fill.value.expect("it has come back");
                let stamp = match flaw {
                    Flaw::LateStamp => reader.version,
                    _ => fill.stamp,
                };
                if !reader.is_open && stamp == reader.version {
                    reader.memory = Some((value, stamp));
                    world.late = Some((value, fill.number));
                }
                reader.fill = None;
            }),
        }
    }

    /// Would a reader serve what is no longer so?
    fn is_stale(&self, flaw: Flaw) -> bool {
        self.readers.iter().any(|reader| {
            if !reader.has_lease && flaw != Flaw::NoLease || reader.is_open {
                return false;
            }
            let memory = reader.memory.filter(|(_, stamp)| *stamp == reader.version);
            let stored = self
                .stored
                .filter(|(_, number)| reader.opened_at <= *number);
            [memory, stored]
                .into_iter()
                .flatten()
                .any(|(value, _)| value < self.shown())
        })
    }
}

/// The number of worlds, or the first that is stale.
fn search(flaw: Flaw) -> Result<usize, World> {
    let (mut seen, mut queue) = (HashSet::new(), VecDeque::from([World::new()]));
    while let Some(world) = queue.pop_front() {
        if world.is_stale(flaw) {
            return Err(world);
        }
        for next in world.next(flaw) {
            if seen.insert(next) {
                queue.push_back(next);
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn no_order_of_events_makes_a_read_stale() {
    let worlds = search(Flaw::None).unwrap_or_else(|world| panic!("{world:#?}"));
    println!("{worlds} worlds");
    assert!(worlds > 1_000, "only {worlds} worlds");
}

#[test]
fn every_remedy_is_needed() {
    for flaw in [
        Flaw::NoAcknowledgement,
        Flaw::NumberFromRedis,
        Flaw::JoinsBlindly,
        Flaw::JoinsWithOldResults,
        Flaw::JoinsWithoutNumbers,
        Flaw::NoLease,
        Flaw::LateStamp,
    ] {
        assert!(search(flaw).is_err(), "{flaw:?} does no harm");
    }
}
