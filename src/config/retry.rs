//! `[retry]`: what is tried again before a client hears of it, and the isolation level that sessions begin with.

use std::time::Duration;

use super::value::{BadValue, BareUnit, Raw, duration};

/// However often something has failed, the next try is not put off for longer.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// `[retry]`: what is tried again before a client hears of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Retry {
    /// How often something is tried in all; with 0 or 1 nothing is tried again.
    pub attempts: u32,
    /// How long the second try waits. Each further one waits twice as long.
    pub delay: Duration,
    /// Try writes again, too, whose error proves that they were rolled back.
    pub writes: bool,
    /// The isolation level of sessions that do not ask for one. `None`: the server's own default.
    pub isolation: Option<Isolation>,
}

/// An isolation level, in PostgreSQL's words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Isolation {
    /// `read committed`
    ReadCommitted,
    /// `repeatable read`
    RepeatableRead,
    /// `serializable`
    Serializable,
}

impl Isolation {
    /// The level as the value of `default_transaction_isolation`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }

    pub(super) const NAMES: &[(&str, Option<Self>)] = &[
        ("server", None),
        (Self::ReadCommitted.as_str(), Some(Self::ReadCommitted)),
        (Self::RepeatableRead.as_str(), Some(Self::RepeatableRead)),
        (Self::Serializable.as_str(), Some(Self::Serializable)),
    ];
}

impl Retry {
    /// Is anything tried again?
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.attempts > 1
    }

    /// How long to wait after so many tries that failed. `None`: it is not tried again. `chance`, from 0 to 1, keeps
    /// those apart that failed together: they wait between half of the time and all of it.
    #[must_use]
    pub fn pause_after(&self, failures: u32, chance: f64) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        let doublings = failures.saturating_sub(1).min(16);
        let whole = self.delay.saturating_mul(1 << doublings).min(PAUSE_MAX);
        Some(whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            delay: Duration::from_secs(1),
            writes: false,
            isolation: None,
        }
    }
}

/// A delay: at most as long as it could become by doubling.
pub(super) fn delay(raw: &Raw) -> Result<Duration, BadValue> {
    let delay = duration(raw, BareUnit::Milliseconds, Duration::ZERO)?;
    if delay > PAUSE_MAX {
        return Err(BadValue::is(raw, "a duration of at most 30s"));
    }
    Ok(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_bounded() {
        let retry = Retry {
            attempts: 40,
            ..Retry::default()
        };
        let pause = |failures, chance| retry.pause_after(failures, chance);
        assert_eq!(pause(1, 1.0), Some(Duration::from_secs(1)));
        assert_eq!(pause(1, 0.0), Some(Duration::from_millis(500)));
        assert_eq!(pause(3, 1.0), Some(Duration::from_secs(4)));
        assert_eq!(pause(39, 1.0), Some(PAUSE_MAX));
        assert_eq!(pause(40, 1.0), None);
    }

    #[test]
    fn with_one_attempt_nothing_is_tried_again() {
        for attempts in [0, 1] {
            let retry = Retry {
                attempts,
                ..Retry::default()
            };
            assert!(!retry.is_on());
            assert_eq!(retry.pause_after(1, 0.5), None);
        }
    }
}
