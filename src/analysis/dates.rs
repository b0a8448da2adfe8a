//! Words that mean another date tomorrow.
//!
//! Invariant: whatever PostgreSQL would read as `now`, `today`, `tomorrow` or `yesterday` is found. What merely
//! contains such a word ("how now") is found too, which costs a miss.
//!
//! The words: <https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-DATETIME-SPECIAL-VALUES>

const MOVING_WORDS: [&[u8]; 4] = [b"now", b"today", b"tomorrow", b"yesterday"];

/// Types that read the words above, and the ranges over them.
const DATE_TYPES: [&str; 11] = [
    "date",
    "datemultirange",
    "daterange",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "tsmultirange",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
];

/// Whether this literal or text parameter may be read as a moving date.
///
/// PostgreSQL splits such text into fields, and a field of letters ends where the letters end, so a maximal run of ASCII
/// letters is compared, in any case.
#[must_use]
pub fn mentions_moving_date(value: &[u8]) -> bool {
    value.split(|byte| !byte.is_ascii_alphabetic()).any(|run| {
        MOVING_WORDS
            .iter()
            .any(|word| run.eq_ignore_ascii_case(word))
    })
}

/// Whether the input function of this type, or of its elements, reads moving dates.
pub(super) fn is_date_type(name: &str) -> bool {
    // An array type's name is that of its elements behind an underscore.
    DATE_TYPES.contains(&name.trim_start_matches('_'))
}

#[cfg(test)]
mod tests {
    use super::mentions_moving_date;

    #[test]
    fn moving_words_are_found_in_any_dress() {
        for text in [
            "now",
            "NOW",
            " Today ",
            "tomorrow 12:00",
            "[yesterday,)",
            "{\"d\":\"now\"}",
            "now5",
            "é today",
        ] {
            assert!(mentions_moving_date(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "nowhere",
            "snow",
            "yesterdays",
            "2024-01-01",
            "epoch",
            "infinity",
            "tod",
            "no w",
        ] {
            assert!(!mentions_moving_date(text.as_bytes()), "{text}");
        }
    }
}
