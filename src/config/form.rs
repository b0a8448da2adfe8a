//! How the values of several keys are read, and how they are shown.

use std::{ops::RangeInclusive, time::Duration};

use toml::Value;

use super::{
    LogFormat, LogLevel, Ttl, Upstream,
    value::{BadValue, BareUnit, Raw, duration, duration_text, size_text, text, whole},
};

// === Choices ===

impl LogLevel {
    pub(super) const NAMES: &[(&str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

impl LogFormat {
    pub(super) const NAMES: &[(&str, Self)] = &[("json", Self::Json), ("text", Self::Text)];
}

// === Reading ===

pub(super) fn put<T>(field: &mut T, value: Result<T, BadValue>) -> Result<(), BadValue> {
    value.map(|value| *field = value)
}

pub(super) fn count(raw: &Raw, range: RangeInclusive<u64>) -> Result<u32, BadValue> {
    whole(raw, range)
        .map(|number| u32::try_from(number).expect("every range of a count ends within 32 bits"))
}

pub(super) fn length(number: Result<u64, BadValue>) -> Result<usize, BadValue> {
    number
        .map(|number| usize::try_from(number).expect("every range of a length ends within 32 bits"))
}

pub(super) fn timeout(raw: &Raw) -> Result<Duration, BadValue> {
    duration(raw, BareUnit::Seconds, Duration::from_millis(1))
}

pub(super) fn ttl(raw: &Raw) -> Result<Ttl, BadValue> {
    duration(raw, BareUnit::Seconds, Duration::ZERO).map(Ttl::from)
}

/// A connection URL. The error never repeats it, for it may hold a password.
pub(super) fn upstream(raw: &Raw) -> Result<Upstream, BadValue> {
    text(raw, "a PostgreSQL URL in quotes")?.parse()
}

pub(super) fn version_slots(raw: &Raw) -> Result<usize, BadValue> {
    let slots = whole(raw, 1 << 10..=1 << 26)
        .ok()
        .filter(|slots| slots.is_power_of_two());
    length(slots.ok_or_else(|| BadValue::is(raw, "a power of two from 1024 to 67108864")))
}

pub(super) fn key_prefix(raw: &Raw) -> Result<String, BadValue> {
    let expected = "at most 64 characters without spaces, such as \"pgkeel:\"";
    let prefix = text(raw, expected)?;
    let fits = prefix.len() <= 64 && prefix.chars().all(|c| c.is_ascii_graphic());
    if fits {
        Ok(prefix.to_owned())
    } else {
        Err(BadValue::is(raw, expected))
    }
}

// === Showing ===

pub(super) fn show_duration(duration: Duration) -> Value {
    Value::String(duration_text(duration))
}

pub(super) fn show_ttl(ttl: Ttl) -> Value {
    show_duration(ttl.duration().unwrap_or_default())
}

pub(super) fn show_size(bytes: u64) -> Value {
    Value::String(size_text(bytes))
}

pub(super) fn show_count(count: usize) -> Value {
    Value::Integer(i64::try_from(count).expect("every count was read from a 64-bit integer"))
}

pub(super) fn show_choice<T: PartialEq>(choice: T, names: &[(&str, T)]) -> Option<Value> {
    names
        .iter()
        .find(|(_, named)| *named == choice)
        .map(|(name, _)| Value::String((*name).to_owned()))
}
