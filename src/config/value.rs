//! One value of the configuration: how text becomes a number, a duration, a size.
//!
//! Every reader either returns a value within its range or says what would be right.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, time::Duration};

/// A value as it was written, before its key gives it a type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    /// `true` or `false` in the file.
    Boolean(bool),
    /// An integer in the file.
    Integer(i64),
    /// A quoted string in the file.
    Text(String),
    /// Text of the environment or a flag: it has no quotes, so it may be of any type.
    Bare(String),
    /// A list of quoted strings in the file.
    List(Vec<String>),
    /// A kind of TOML value that no key takes, such as `a date`.
    Other(&'static str),
}

impl fmt::Display for Raw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(formatter, "{value}"),
            Self::Integer(value) => write!(formatter, "{value}"),
            // Escaped, so that an error stays on one line.
            Self::Text(text) | Self::Bare(text) => write!(formatter, "{text:?}"),
            Self::List(_) => formatter.write_str("a list"),
            Self::Other(kind) => formatter.write_str(kind),
        }
    }
}

/// A value that does not fit its key. Never carries a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{found}; expected {expected}")]
pub struct BadValue {
    /// What is wrong, as the end of a sentence that starts with the key: `is 0`.
    pub found: String,
    /// What would be right: `a whole number from 1 to 10000`.
    pub expected: String,
}

impl BadValue {
    /// A value that is something else than what its key takes.
    pub(super) fn is(raw: &Raw, expected: impl Into<String>) -> Self {
        Self::new(format!("is {raw}"), expected)
    }

    /// A value that is wrong for a reason of its own.
    pub(super) fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// The same, where something else would be right too.
    pub(super) fn or(mut self, alternative: &str) -> Self {
        self.expected.push_str(", or ");
        self.expected.push_str(alternative);
        self
    }
}

/// What a number without a unit means in the environment. In the file it is always seconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum BareUnit {
    Milliseconds,
    Seconds,
}

/// One unit of a scale: its name and how many of the smallest unit it holds.
type Unit = (&'static str, u64);

/// Durations, in milliseconds. The largest unit comes last.
const DURATIONS: &[Unit] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Sizes, in bytes, as they are written back. The largest unit comes last.
const BINARY_SIZES: &[Unit] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Sizes that are understood too.
const DECIMAL_SIZES: &[Unit] = &[("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];

/// No duration may be longer than a year: a deadline that far away must not overflow a clock.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) fn whole(raw: &Raw, range: RangeInclusive<u64>) -> Result<u64, BadValue> {
    let number = match raw {
        Raw::Integer(number) => u64::try_from(*number).ok(),
        Raw::Bare(text) => text.trim().parse().ok(),
        Raw::Boolean(_) | Raw::Text(_) | Raw::List(_) | Raw::Other(_) => None,
    };
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            BadValue::is(
                raw,
                format!("a whole number from {} to {}", range.start(), range.end()),
            )
        })
}

pub(super) fn boolean(raw: &Raw) -> Result<bool, BadValue> {
    match raw {
        Raw::Boolean(value) => Some(*value),
        Raw::Bare(text) => text.trim().parse().ok(),
        Raw::Integer(_) | Raw::Text(_) | Raw::List(_) | Raw::Other(_) => None,
    }
    .ok_or_else(|| BadValue::is(raw, "true or false"))
}

/// Names of relations, each perhaps with its schema.
pub(super) fn names(raw: &Raw) -> Result<Vec<String>, BadValue> {
    let expected = "a list of \"name\" or \"schema.name\"";
    let Raw::List(names) = raw else {
        return Err(BadValue::is(raw, expected));
    };
    for name in names {
        if name.split('.').count() > 2 || name.split('.').any(str::is_empty) {
            return Err(BadValue::new(format!("holds {name:?}"), expected));
        }
    }
    Ok(names.clone())
}

pub(super) fn text<'a>(raw: &'a Raw, expected: &str) -> Result<&'a str, BadValue> {
    match raw {
        Raw::Text(text) | Raw::Bare(text) => Ok(text),
        Raw::Boolean(_) | Raw::Integer(_) | Raw::List(_) | Raw::Other(_) => {
            Err(BadValue::is(raw, expected))
        }
    }
}

pub(super) fn choice<T: Copy>(raw: &Raw, choices: &[(&str, T)]) -> Result<T, BadValue> {
    let names: Vec<_> = choices
        .iter()
        .map(|(name, _)| format!("{name:?}"))
        .collect();
    let expected = format!("one of {}", names.join(", "));
    let text = text(raw, &expected)?;
    choices
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, choice)| *choice)
        .ok_or_else(|| BadValue::is(raw, expected))
}

pub(super) fn address(raw: &Raw) -> Result<SocketAddr, BadValue> {
    let expected = "an IP address and a port, such as \"127.0.0.1:6432\"";
    text(raw, expected)?
        .parse()
        .map_err(|_| BadValue::is(raw, expected))
}

/// A duration of at least `min` and at most a year.
pub(super) fn duration(raw: &Raw, bare: BareUnit, min: Duration) -> Result<Duration, BadValue> {
    let milliseconds = match raw {
        Raw::Integer(seconds) => u64::try_from(*seconds)
            .ok()
            .and_then(|n| n.checked_mul(1_000)),
        // Nothing is nothing in any unit.
        Raw::Text(text) if text.trim() == "0" => Some(0),
        Raw::Text(text) => scaled(text, DURATIONS, None),
        Raw::Bare(text) => scaled(
            text,
            DURATIONS,
            Some(match bare {
                BareUnit::Milliseconds => 1,
                BareUnit::Seconds => 1_000,
            }),
        ),
        Raw::Boolean(_) | Raw::List(_) | Raw::Other(_) => None,
    };
    milliseconds
        .map(Duration::from_millis)
        .filter(|duration| (min..=DURATION_MAX).contains(duration))
        .ok_or_else(|| {
            let least = duration_text(min);
            BadValue::is(
                raw,
                format!("a duration from {least} to 8760h with its unit (ms, s, m or h), such as \"30s\""),
            )
        })
}

/// A size in bytes.
pub(super) fn size(raw: &Raw, range: RangeInclusive<u64>) -> Result<u64, BadValue> {
    let amount = match raw {
        Raw::Integer(bytes) => u64::try_from(*bytes).ok(),
        Raw::Text(text) => bytes(text, None),
        Raw::Bare(text) => bytes(text, Some(1)),
        Raw::Boolean(_) | Raw::List(_) | Raw::Other(_) => None,
    };
    amount.filter(|bytes| range.contains(bytes)).ok_or_else(|| {
        let (least, most) = (size_text(*range.start()), size_text(*range.end()));
        BadValue::is(
            raw,
            format!("a size from {least} to {most}, such as \"64MiB\" or a number of bytes"),
        )
    })
}

/// A duration the way the file writes it, in the largest unit that divides it.
pub(super) fn duration_text(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if milliseconds == 0 {
        "0s".to_owned()
    } else {
        largest_unit(milliseconds, DURATIONS)
    }
}

/// A size the way the file writes it, in the largest binary unit that divides it.
pub(super) fn size_text(bytes: u64) -> String {
    if bytes == 0 {
        "0B".to_owned()
    } else {
        largest_unit(bytes, BINARY_SIZES)
    }
}

fn largest_unit(amount: u64, units: &[Unit]) -> String {
    let (name, scale) = units
        .iter()
        .rev()
        .find(|(_, scale)| amount.is_multiple_of(*scale))
        .expect("the smallest unit is 1 and divides everything");
    format!("{}{name}", amount / scale)
}

/// `64MiB` or `1MB`.
fn bytes(text: &str, bare: Option<u64>) -> Option<u64> {
    scaled(text, BINARY_SIZES, bare).or_else(|| scaled(text, DECIMAL_SIZES, bare))
}

/// `10m`: a number and a unit. A number alone takes `bare`, if there is one.
fn scaled(text: &str, units: &[Unit], bare: Option<u64>) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    let unit = unit.trim_start();
    let scale = if unit.is_empty() {
        bare?
    } else {
        units
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|(_, scale)| *scale)?
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(raw: Raw, bare: BareUnit) -> Option<u128> {
        duration(&raw, bare, Duration::ZERO)
            .ok()
            .map(|duration| duration.as_millis())
    }

    #[test]
    fn durations_take_a_unit_or_its_default() {
        let text = |text: &str| milliseconds(Raw::Text(text.into()), BareUnit::Seconds);
        assert_eq!(text("250ms"), Some(250));
        assert_eq!(text("30s"), Some(30_000));
        assert_eq!(text(" 10 m "), Some(600_000));
        assert_eq!(text("1h"), Some(3_600_000));
        assert_eq!(text("0"), Some(0));
        for wrong in [
            "30",
            "s",
            "",
            "-1s",
            "1.5s",
            "1d",
            "9000h",
            "99999999999999999999s",
            "1s1s",
        ] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
        let bare = |text: &str, unit| milliseconds(Raw::Bare(text.into()), unit);
        assert_eq!(bare("30", BareUnit::Seconds), Some(30_000));
        assert_eq!(bare("30", BareUnit::Milliseconds), Some(30));
        assert_eq!(bare("2s", BareUnit::Milliseconds), Some(2_000));
        assert_eq!(
            milliseconds(Raw::Integer(5), BareUnit::Milliseconds),
            Some(5_000)
        );
        assert_eq!(milliseconds(Raw::Integer(-5), BareUnit::Seconds), None);
        assert_eq!(
            milliseconds(Raw::Integer(i64::MAX), BareUnit::Seconds),
            None
        );
    }

    #[test]
    fn sizes_take_binary_and_decimal_units() {
        let bytes = |text: &str| size(&Raw::Text(text.into()), 0..=u64::MAX).ok();
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("1MB"), Some(1_000_000));
        assert_eq!(bytes("32 kib"), Some(32 << 10));
        assert_eq!(bytes("7B"), Some(7));
        assert_eq!(bytes("64"), None, "quoted text needs a unit");
        assert_eq!(bytes("99999999999999GiB"), None);
        assert_eq!(size(&Raw::Integer(64), 0..=100), Ok(64));
        assert_eq!(size(&Raw::Bare("64".into()), 0..=100), Ok(64));
    }

    #[test]
    fn what_is_written_reads_back() {
        for amount in [
            0, 1, 999, 1_000, 59_000, 60_000, 90_000, 3_600_000, 7_200_000,
        ] {
            let duration = Duration::from_millis(amount);
            assert_eq!(
                scaled(&duration_text(duration), DURATIONS, None),
                Some(amount)
            );
        }
        for amount in [0, 1, 1_000, 1 << 10, 3 << 20, 1 << 30, (1 << 30) + 1] {
            assert_eq!(super::bytes(&size_text(amount), None), Some(amount));
        }
        assert_eq!(duration_text(Duration::from_secs(300)), "5m");
        assert_eq!(size_text(256 << 20), "256MiB");
    }

    #[test]
    fn a_bad_value_says_what_would_be_right() {
        assert_eq!(
            whole(&Raw::Integer(0), 1..=9).unwrap_err().to_string(),
            "is 0; expected a whole number from 1 to 9"
        );
        assert_eq!(
            choice(&Raw::Text("xml".into()), &[("json", 1), ("text", 2)])
                .unwrap_err()
                .to_string(),
            "is \"xml\"; expected one of \"json\", \"text\""
        );
        assert_eq!(
            boolean(&Raw::Integer(1)).unwrap_err().to_string(),
            "is 1; expected true or false"
        );
        let two_lines = address(&Raw::Text("a\nb".into())).unwrap_err().to_string();
        assert!(!two_lines.contains('\n'), "{two_lines}");
    }
}
