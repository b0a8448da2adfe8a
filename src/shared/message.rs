//! What instances tell each other, as text, and the records of open windows.
//!
//! Whatever cannot be read, or is of another format, is no message: the reader then resynchronises.

use serde::{Deserialize, Serialize};

use crate::freshness::window::Backend;

/// The format of messages, records and the state in Redis. Instances of different formats do not form a fleet.
pub(super) const FORMAT: &str = "1";

/// What one instance has done, in one step.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Message {
    /// Who.
    pub(super) from: String,
    /// In which life of the fleet.
    pub(super) epoch: String,
    /// What, in order.
    pub(super) acts: Vec<Act>,
}

/// One thing that an instance does.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Act {
    /// Everything is void.
    Bump,
    /// A window has closed.
    Close {
        window: String,
        committed: bool,
        /// Words it covered that were not told of when it opened.
        late: Vec<u32>,
        /// It has changed the catalogs.
        catalog: bool,
    },
    /// An instance was not heard of for longer than its lease. Everything is void.
    Expel { id: String },
    /// It has joined, and serves nothing before all others have said that they know.
    Join,
    /// It has left, and has nothing open.
    Leave,
    /// A window has opened, or covers more than before.
    Open { window: String, record: Record },
}

/// An open window, as it stands in Redis.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Record {
    /// The numbers of its words.
    pub(super) slots: Vec<u32>,
    /// The server process that carries the change out.
    pub(super) backend: Option<Process>,
}

/// A server process, by what is the same for every instance.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Process {
    /// When its postmaster started: this tells servers apart.
    postmaster_start: i64,
    pid: i32,
    start: i64,
}

impl Process {
    pub(super) const fn of(backend: Backend) -> Self {
        Self {
            postmaster_start: backend.postmaster_start,
            pid: backend.pid,
            start: backend.start,
        }
    }

    /// The same process, as one of the server at an address of ours; of none if that is not known.
    pub(super) fn backend(self, address_of: impl FnOnce(i64) -> Option<u32>) -> Backend {
        Backend {
            server: address_of(self.postmaster_start).unwrap_or(u32::MAX),
            pid: self.pid,
            postmaster_start: self.postmaster_start,
            start: self.start,
        }
    }
}

impl Message {
    pub(super) fn write(&self) -> String {
        serde_json::to_string(self).expect("it holds nothing that JSON cannot")
    }

    /// A published message: its place in the order of all, and what it says.
    pub(super) fn read(bytes: &[u8]) -> Option<(u64, Self)> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (seq, message) = text.split_once(' ')?;
        Some((seq.parse().ok()?, serde_json::from_str(message).ok()?))
    }
}

impl Record {
    pub(super) fn write(&self) -> String {
        serde_json::to_string(self).expect("it holds nothing that JSON cannot")
    }

    /// A record as it stands in Redis: when the window opened, and what it covers.
    pub(super) fn read(text: &str) -> Option<(u64, Self)> {
        let (seq, record) = text.split_once(' ')?;
        Some((seq.parse().ok()?, serde_json::from_str(record).ok()?))
    }
}

/// The name of a window in the whole fleet.
pub(super) fn window_name(id: &str, number: u64) -> String {
    format!("{id}:{number}")
}

/// Who has opened it, and its number there.
pub(super) fn owner(window: &str) -> Option<(&str, u64)> {
    let (id, number) = window.split_once(':')?;
    Some((id, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let record = Record {
            slots: vec![0, 7],
            backend: Some(Process {
                postmaster_start: 3,
                pid: 4,
                start: 5,
            }),
        };
        let message = Message {
            from: "a".into(),
            epoch: "e".into(),
            acts: vec![
                Act::Open {
                    window: window_name("a", 9),
                    record: record.clone(),
                },
                Act::Bump,
            ],
        };
        let published = format!("12 {}", message.write());
        assert_eq!(Message::read(published.as_bytes()), Some((12, message)));
        let stored = format!("11 {}", record.write());
        assert_eq!(Record::read(&stored), Some((11, record)));
        assert_eq!(owner("a:9"), Some(("a", 9)));
    }

    #[test]
    fn anything_else_is_no_message() {
        for bytes in [&b""[..], b"12", b"x {}", b"12 {}", b"\xff 1"] {
            assert_eq!(Message::read(bytes), None);
        }
        assert_eq!(owner("a"), None);
        assert_eq!(owner("a:x"), None);
    }
}
