//! What a statement may leave behind in its session.
//!
//! Invariant: the set of a statement is a superset of what PostgreSQL will do.

use std::fmt;

/// One kind of state a session keeps after a statement.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum SessionEffect {
    /// A session-level advisory lock is taken, tried or released.
    AdvisoryLock,
    /// `DEALLOCATE`: see [`Parsed::deallocates`](super::Parsed::deallocates).
    Deallocate,
    /// `DISCARD PLANS`, `SEQUENCES` or `TEMPORARY`.
    Discard,
    /// `DISCARD ALL`.
    DiscardAll,
    /// A cursor declared `WITH HOLD`.
    HoldCursor,
    /// `LISTEN`.
    Listen,
    /// `LOAD` of a library.
    Load,
    /// A setting of the current transaction: `SET LOCAL`, `SET TRANSACTION`, `SET CONSTRAINTS`.
    LocalSetting,
    /// A setting of the session whose name the text gives: see [`Parsed::settings`](super::Parsed::settings).
    NamedSetting,
    /// A prepared statement made or run in SQL.
    PreparedStatement,
    /// The seed of `random()`, which nothing undoes: `setseed`.
    RandomSeed,
    /// The session's memory of sequences is asked: `currval`, `lastval`.
    Sequence,
    /// The session's memory of sequences changes: `nextval`, `setval`, also as the default of a column.
    SequenceDraw,
    /// A value that tells sessions apart, which the client may compare later: its pid, a transaction id.
    SessionIdentity,
    /// A setting of the session that is not known by name, or that cannot be given to another connection.
    Setting,
    /// A temporary object.
    Temporary,
    /// Code whose body is not understood may have done any of these.
    UnknownCode,
}

impl SessionEffect {
    /// Every effect, in the order of the enum.
    pub const ALL: &'static [Self] = &[
        Self::AdvisoryLock,
        Self::Deallocate,
        Self::Discard,
        Self::DiscardAll,
        Self::HoldCursor,
        Self::Listen,
        Self::Load,
        Self::LocalSetting,
        Self::NamedSetting,
        Self::PreparedStatement,
        Self::RandomSeed,
        Self::Sequence,
        Self::SequenceDraw,
        Self::SessionIdentity,
        Self::Setting,
        Self::Temporary,
        Self::UnknownCode,
    ];

    /// The name used in metrics, logs and the admin port.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdvisoryLock => "advisory_lock",
            Self::Deallocate => "deallocate",
            Self::Discard => "discard",
            Self::DiscardAll => "discard_all",
            Self::HoldCursor => "hold_cursor",
            Self::Listen => "listen",
            Self::Load => "load",
            Self::LocalSetting => "local_setting",
            Self::NamedSetting => "named_setting",
            Self::PreparedStatement => "prepared_statement",
            Self::RandomSeed => "random_seed",
            Self::Sequence => "sequence",
            Self::SequenceDraw => "sequence_draw",
            Self::SessionIdentity => "session_identity",
            Self::Setting => "setting",
            Self::Temporary => "temporary",
            Self::UnknownCode => "unknown_code",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// A set of [`SessionEffect`]s.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct SessionEffects(u32);

impl SessionEffects {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Whether the set holds `effect`.
    #[must_use]
    pub const fn contains(self, effect: SessionEffect) -> bool {
        self.0 & effect.bit() != 0
    }

    /// What both sets hold.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Adds `effect`.
    pub const fn insert(&mut self, effect: SessionEffect) {
        self.0 |= effect.bit();
    }

    /// Takes `effect` away.
    pub const fn remove(&mut self, effect: SessionEffect) {
        self.0 &= !effect.bit();
    }

    /// Whether the two have an effect in common.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The set of these.
    #[must_use]
    pub const fn of(effects: &[SessionEffect]) -> Self {
        let mut set = Self::NONE;
        let mut at = 0;
        while at < effects.len() {
            set.insert(effects[at]);
            at += 1;
        }
        set
    }

    /// Everything that is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether nothing is left behind.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The effects in the set, in the order of the enum.
    pub fn iter(self) -> impl Iterator<Item = SessionEffect> {
        SessionEffect::ALL
            .iter()
            .copied()
            .filter(move |effect| self.contains(*effect))
    }
}

impl FromIterator<SessionEffect> for SessionEffects {
    fn from_iter<I: IntoIterator<Item = SessionEffect>>(effects: I) -> Self {
        effects.into_iter().fold(Self::NONE, |mut set, effect| {
            set.insert(effect);
            set
        })
    }
}

impl fmt::Debug for SessionEffects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_set()
            .entries(self.iter().map(SessionEffect::as_str))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{SessionEffect, SessionEffects};

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = SessionEffects::NONE;
        assert!(set.is_empty());
        set.insert(SessionEffect::Listen);
        let both = set.union([SessionEffect::UnknownCode].into_iter().collect());
        assert_eq!(
            both.iter().map(SessionEffect::as_str).collect::<Vec<_>>(),
            ["listen", "unknown_code"]
        );
        assert!(!set.contains(SessionEffect::UnknownCode));
    }

    #[test]
    fn every_effect_has_its_own_bit() {
        let all: SessionEffects = SessionEffect::ALL.iter().copied().collect();
        assert_eq!(all.iter().count(), SessionEffect::ALL.len());
    }
}
