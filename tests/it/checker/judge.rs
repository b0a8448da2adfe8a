//! What a read may see.
//!
//! A register holds one version after the other. Versions are begun in order, one at a time; each is later
//! acknowledged by the server, or never: then it may take effect late, or not at all, but once it was seen it
//! stays. A version that is rolled back is not a version: it is written as a number below zero, which nobody may
//! ever see.
//!
//! A read costs the same however long the history is: what matters of it are three numbers.

use std::sync::atomic::{AtomicI64, Ordering};

/// What is known of one register, by the clock of this process.
#[derive(Debug, Default)]
pub(super) struct Register {
    begun: AtomicI64,
    acknowledged: AtomicI64,
    seen: AtomicI64,
}

/// The oldest version that a read may see, which begins now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Floor {
    acknowledged: i64,
    seen: i64,
}

/// A read that PostgreSQL itself would never have answered like this.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Violation {
    /// Older than a write acknowledged before the read began.
    MissesWrite { acknowledged: i64, value: i64 },
    /// Older than what an earlier read had seen before this one began.
    GoesBack { seen: i64, value: i64 },
    /// Newer than anything that was begun before the read ended.
    OutOfNowhere { begun: i64, value: i64 },
    /// Rolled back, or never written.
    NeverCommitted { value: i64 },
    /// Not an answer for this session, or none at all.
    NotItsOwn,
    /// In one snapshot, two values.
    Unrepeatable { before: i64, value: i64 },
    /// A transaction does not see what it has written itself.
    MissesItsOwn { written: i64, value: i64 },
}

impl Register {
    /// Begins the next version. The caller holds the register against other writers.
    pub(super) fn begin(&self) -> i64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The server has said that the version is committed.
    pub(super) fn acknowledge(&self, version: i64) {
        self.acknowledged.fetch_max(version, Ordering::SeqCst);
    }

    /// The last version that was acknowledged.
    pub(super) fn acknowledged(&self) -> i64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// To be called before a read is sent.
    pub(super) fn floor(&self) -> Floor {
        Floor {
            acknowledged: self.acknowledged(),
            seen: self.seen.load(Ordering::SeqCst),
        }
    }

    /// Judges a read that has ended.
    pub(super) fn judge(&self, floor: Floor, value: i64) -> Result<(), Violation> {
        let begun = self.begun.load(Ordering::SeqCst);
        if value < 0 {
            return Err(Violation::NeverCommitted { value });
        }
        if value > begun {
            return Err(Violation::OutOfNowhere { begun, value });
        }
        self.seen.fetch_max(value, Ordering::SeqCst);
        if value < floor.acknowledged {
            let acknowledged = floor.acknowledged;
            return Err(Violation::MissesWrite {
                acknowledged,
                value,
            });
        }
        if value < floor.seen {
            return Err(Violation::GoesBack {
                seen: floor.seen,
                value,
            });
        }
        Ok(())
    }

    /// Judges the second of two reads in one snapshot.
    pub(super) fn repeats(before: i64, value: i64) -> Result<(), Violation> {
        if before == value {
            Ok(())
        } else {
            Err(Violation::Unrepeatable { before, value })
        }
    }

    /// Judges a read in the transaction that has written the register last.
    pub(super) fn sees_its_own(written: i64, value: i64) -> Result<(), Violation> {
        if written == value {
            Ok(())
        } else {
            Err(Violation::MissesItsOwn { written, value })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(register: &Register) -> i64 {
        let version = register.begin();
        register.acknowledge(version);
        version
    }

    #[test]
    fn a_read_may_see_what_is_under_way_or_not() {
        let register = Register::default();
        assert_eq!(written(&register), 1);
        let floor = register.floor();
        let version = register.begin();
        assert_eq!(register.judge(floor, 1), Ok(()));
        assert_eq!(register.judge(floor, version), Ok(()));
        // The two reads overlapped: the slower one may have been served first.
        assert_eq!(register.judge(floor, 1), Ok(()));
    }

    /// What a fill without its check, or a dependency left out, does.
    #[test]
    fn an_acknowledged_write_is_missed() {
        let register = Register::default();
        written(&register);
        let floor = register.floor();
        assert_eq!(
            register.judge(floor, 0),
            Err(Violation::MissesWrite {
                acknowledged: 1,
                value: 0
            })
        );
    }

    /// What a window that is closed too early does: the writer has not been told yet, but others have seen it.
    #[test]
    fn time_goes_back() {
        let register = Register::default();
        register.begin();
        assert_eq!(register.judge(register.floor(), 1), Ok(()));
        assert_eq!(
            register.judge(register.floor(), 0),
            Err(Violation::GoesBack { seen: 1, value: 0 })
        );
    }

    #[test]
    fn a_write_without_an_outcome_may_come_late_and_then_stays() {
        let register = Register::default();
        let (lost, next) = (register.begin(), register.begin());
        assert_eq!(register.judge(register.floor(), 0), Ok(()));
        assert_eq!(register.judge(register.floor(), lost), Ok(()));
        assert_eq!(
            register.judge(register.floor(), 0),
            Err(Violation::GoesBack {
                seen: lost,
                value: 0
            })
        );
        register.acknowledge(next);
        assert_eq!(
            register.judge(register.floor(), lost),
            Err(Violation::MissesWrite {
                acknowledged: next,
                value: lost
            })
        );
    }

    #[test]
    fn a_snapshot_has_one_value_for_each_register() {
        let register = Register::default();
        written(&register);
        assert_eq!(Register::repeats(1, 1), Ok(()));
        assert_eq!(
            Register::repeats(1, 2),
            Err(Violation::Unrepeatable {
                before: 1,
                value: 2
            })
        );
    }

    #[test]
    fn a_transaction_sees_what_it_has_written() {
        assert_eq!(Register::sees_its_own(2, 2), Ok(()));
        assert_eq!(
            Register::sees_its_own(2, 1),
            Err(Violation::MissesItsOwn {
                written: 2,
                value: 1
            })
        );
    }

    #[test]
    fn what_was_never_committed_is_seen() {
        let register = Register::default();
        assert_eq!(
            register.judge(register.floor(), 1),
            Err(Violation::OutOfNowhere { begun: 0, value: 1 })
        );
        let value = -register.begin();
        assert_eq!(
            register.judge(register.floor(), value),
            Err(Violation::NeverCommitted { value })
        );
    }
}
