//! Keeping a copy of a result while the client receives it.

use crate::freshness::flight::Leader;
use crate::protocol::backend::*;

/// A copy of the messages of one result, as long as it is one that may be kept.
#[derive(Debug)]
pub(super) struct Recording {
    bytes: Vec<u8>,
    rows_at: usize,
    limit: usize,
    state: State,
    /// Others wait for the result, for as long as there may be one.
    leader: Option<Leader>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Open,
    Complete,
    TooLarge,
    Unfit,
}

/// A complete result: its bytes, and where its rows begin.
#[derive(Debug)]
pub(super) struct Recorded {
    /// Those who wait look when this is dropped: after the result is kept.
    _leader: Option<Leader>,
    pub(super) bytes: Box<[u8]>,
    pub(super) rows_at: usize,
}

/// Why there is no result to keep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unrecorded {
    /// It is above the limit.
    TooLarge,
    /// It came with an error, a notice, or anything else that a replay would not repeat.
    Unfit,
}

impl Recording {
    /// An empty recording of at most `limit` bytes.
    pub(super) const fn new(limit: usize, leader: Option<Leader>) -> Self {
        Self {
            bytes: Vec::new(),
            rows_at: 0,
            limit,
            state: State::Open,
            leader,
        }
    }

    /// Is there any use in going on?
    pub(super) fn is_void(&self) -> bool {
        matches!(self.state, State::TooLarge | State::Unfit)
    }

    /// A frame is coming that is `length` bytes long.
    pub(super) fn announce(&mut self, length: usize) {
        if self.state == State::Open && self.bytes.len() + length > self.limit {
            self.give_up(State::TooLarge);
        }
    }

    /// Notes a message from the server.
    pub(super) fn note(&mut self, tag: u8, message: &[u8]) {
        if self.is_void() {
            return;
        }
        self.announce(message.len());
        match (self.state, tag) {
            (_, PARSE_COMPLETE | BIND_COMPLETE | CLOSE_COMPLETE | READY_FOR_QUERY) => {}
            (State::Open, ROW_DESCRIPTION) if self.bytes.is_empty() => {
                self.bytes.extend_from_slice(message);
                self.rows_at = message.len();
            }
            (State::Open, DATA_ROW) => self.bytes.extend_from_slice(message),
            (State::Open, COMMAND_COMPLETE) => {
                self.bytes.extend_from_slice(message);
                self.state = State::Complete;
            }
            (State::TooLarge, _) => {}
            (State::Open | State::Complete | State::Unfit, _) => self.give_up(State::Unfit),
        }
    }

    fn give_up(&mut self, state: State) {
        self.state = state;
        self.bytes = Vec::new();
        self.leader = None;
    }

    /// The result, if it is complete.
    pub(super) fn finish(self) -> Result<Recorded, Unrecorded> {
        match self.state {
            State::Complete => Ok(Recorded {
                _leader: self.leader,
                bytes: self.bytes.into(),
                rows_at: self.rows_at,
            }),
            State::TooLarge => Err(Unrecorded::TooLarge),
            State::Open | State::Unfit => Err(Unrecorded::Unfit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(limit: usize, frames: &[(u8, &[u8])]) -> Result<(Box<[u8]>, usize), Unrecorded> {
        let mut recording = Recording::new(limit, None);
        for &(tag, message) in frames {
            recording.note(tag, message);
        }
        recording
            .finish()
            .map(|recorded| (recorded.bytes, recorded.rows_at))
    }

    #[test]
    fn a_result_is_its_description_its_rows_and_its_tag() {
        let frames: [(u8, &[u8]); 6] = [
            (b'1', b"1"),
            (b'T', b"TT"),
            (b'D', b"D1"),
            (b'D', b"D2"),
            (b'C', b"C"),
            (b'Z', b"Z"),
        ];
        assert_eq!(record(100, &frames), Ok((Box::from(*b"TTD1D2C"), 2)));
    }

    #[test]
    fn an_undescribed_result_begins_with_its_rows() {
        assert_eq!(
            record(9, &[(b'D', b"D"), (b'C', b"C")]),
            Ok((Box::from(*b"DC"), 0))
        );
    }

    #[test]
    fn what_a_replay_would_not_repeat_is_not_kept() {
        for tag in [b'N', b'S', b'A', b'E', b's', b'I', b'G', b'H', b'n'] {
            assert_eq!(
                record(100, &[(b'D', b"D"), (tag, b"?"), (b'C', b"C")]),
                Err(Unrecorded::Unfit)
            );
        }
        assert_eq!(
            record(100, &[(b'C', b"C"), (b'C', b"C")]),
            Err(Unrecorded::Unfit)
        );
        assert_eq!(record(100, &[(b'D', b"D")]), Err(Unrecorded::Unfit));
        assert_eq!(
            record(3, &[(b'D', b"DD"), (b'D', b"DD"), (b'C', b"C")]),
            Err(Unrecorded::TooLarge)
        );
    }
}
