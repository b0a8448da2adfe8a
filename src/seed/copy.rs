//! Rows in the text format of COPY, and the few types that go into them.
//!
//! Invariant: a field is escaped here and nowhere else.
//! <https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2>

use std::fmt::{self, Display, Write as _};

/// Rows being written: fields in order, then [`Rows::end`].
#[derive(Debug, Default)]
pub(super) struct Rows {
    text: String,
    within: Within,
}

/// Where in a row the next field would stand.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Within {
    #[default]
    Start,
    Middle,
}

impl Rows {
    /// Adds a field to the row.
    pub(super) fn put(&mut self, field: impl Field) -> &mut Self {
        if self.within == Within::Middle {
            self.text.push('\t');
        }
        self.within = Within::Middle;
        field.write(&mut self.text);
        self
    }

    /// Ends the row.
    pub(super) fn end(&mut self) {
        self.text.push('\n');
        self.within = Within::Start;
    }

    /// The size of the rows so far, in bytes.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Takes the rows out.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

/// Something that can stand in a field.
pub(super) trait Field {
    /// Appends itself, escaped.
    fn write(&self, text: &mut String);
}

impl Field for &str {
    fn write(&self, text: &mut String) {
        for character in self.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '\t' => text.push_str("\\t"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                other => text.push(other),
            }
        }
    }
}

impl Field for String {
    fn write(&self, text: &mut String) {
        self.as_str().write(text);
    }
}

impl<T: Field> Field for Option<T> {
    fn write(&self, text: &mut String) {
        match self {
            Some(field) => field.write(text),
            None => text.push_str("\\N"),
        }
    }
}

impl Field for serde_json::Value {
    fn write(&self, text: &mut String) {
        self.to_string().write(text);
    }
}

/// Types whose text never needs an escape.
macro_rules! plain_fields {
    ($($kind:ty),*) => {
        $(impl Field for $kind {
            fn write(&self, text: &mut String) {
                write!(text, "{self}").expect("a String can always be written to");
            }
        })*
    };
}

plain_fields!(bool, u64, Cents, Date, Moment, Uuid);

/// An amount of money in hundredths, shown as a decimal number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Cents(pub(super) u64);

impl Display for Cents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// A UUID.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Uuid([u8; 16]);

impl Uuid {
    /// A version 4 UUID from random bytes (RFC 9562, section 5.4).
    pub(super) fn random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }
}

impl Display for Uuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u128::from_be_bytes(self.0);
        let part = |shift: u32, digits: u32| (number >> shift) & ((1 << (4 * digits)) - 1);
        write!(
            formatter,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(96, 8),
            part(80, 4),
            part(64, 4),
            part(48, 4),
            part(0, 12)
        )
    }
}

/// A point in time, in microseconds since 1970 began in UTC, which is never negative.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Moment(u64);

impl Moment {
    /// From seconds since 1970 began in UTC.
    pub(super) const fn from_seconds(seconds: u64) -> Self {
        Self(seconds * 1_000_000)
    }

    /// This much later.
    #[must_use]
    pub(super) const fn after_micros(self, micros: u64) -> Self {
        Self(self.0 + micros)
    }

    /// This much later.
    #[must_use]
    pub(super) const fn after_seconds(self, seconds: u64) -> Self {
        self.after_micros(seconds * 1_000_000)
    }

    /// This much earlier, which is not before 1970.
    #[must_use]
    pub(super) const fn before_seconds(self, seconds: u64) -> Self {
        Self(self.0 - seconds * 1_000_000)
    }

    /// The microseconds from here to `end`, 0 if it has passed.
    pub(super) const fn micros_until(self, end: Self) -> u64 {
        end.0.saturating_sub(self.0)
    }

    /// The day it falls on, in UTC.
    pub(super) const fn date(self) -> Date {
        Date(self.0 / 86_400_000_000)
    }
}

/// As PostgreSQL shows it with the time zone UTC: `2026-01-05 09:00:00.000000+00`.
impl Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(
            formatter,
            "{} {hour:02}:{minute:02}:{second:02}.{micros:06}+00",
            self.date()
        )
    }
}

/// A day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Date(u64);

impl Display for Date {
    /// Days to year, month and day in the Gregorian calendar, counted from a year that begins in March.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0 + 719_468; // from 0000-03-01
        let era = days / 146_097; // of 400 years
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        write!(formatter, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_separated_and_escaped() {
        let mut rows = Rows::default();
        rows.put("a\tb\\c\nd")
            .put(None::<&str>)
            .put(true)
            .put(Cents(1205))
            .put("");
        rows.end();
        rows.put(7_u64).end();
        assert_eq!(rows.take(), "a\\tb\\\\c\\nd\t\\N\ttrue\t12.05\t\n7\n");
    }

    #[test]
    fn moments_are_calendar_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00.000000+00"),
            (951_782_399, "2000-02-28 23:59:59.000000+00"),
            (951_782_400, "2000-02-29 00:00:00.000000+00"),
            (1_704_067_199, "2023-12-31 23:59:59.000000+00"),
            (1_767_603_600, "2026-01-05 09:00:00.000000+00"),
        ] {
            assert_eq!(Moment::from_seconds(seconds).to_string(), expected);
        }
    }

    #[test]
    fn a_uuid_is_of_version_4() {
        let uuid = Uuid::random([0xff; 16]);
        assert_eq!(uuid.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
