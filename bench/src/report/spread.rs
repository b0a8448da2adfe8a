//! A figure with its spread: no number stands alone.

use std::fmt;

/// The median of what several rounds gave, and the least and the most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one; the mean of the two middle ones if they are even in number.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of at least one number; those that are not finite are left out.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { median, min, max })
    }

    /// Of one round's ratio after the other: what disturbs the machine disturbs both sides of a round.
    #[must_use]
    pub fn of_ratios(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        Self::of(pairs.into_iter().map(|(one, other)| one / other))
    }

    /// With all three turned by the same function.
    #[must_use]
    pub fn map(self, turn: impl Fn(f64) -> f64) -> Self {
        let (one, other) = (turn(self.min), turn(self.max));
        Self {
            median: turn(self.median),
            min: one.min(other),
            max: one.max(other),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: f64| number(value);
        let (median, min, max) = (show(self.median), show(self.min), show(self.max));
        if min == max {
            f.write_str(&median)
        } else {
            write!(f, "{median} ({min} to {max})")
        }
    }
}

/// To three digits or so, and with a comma before every three of a large number.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => grouped(value.round() as i64),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.995 => format!("{value:.2}"),
        size if size > 0.0 => format!("{value:.3}"),
        _ => "0".to_owned(),
    }
}

fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_ends_are_kept() {
        let odd = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        let even = Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((even.median, even.min, even.max), (2.5, 1.0, 4.0));
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN, f64::INFINITY]), None);
    }

    #[test]
    fn a_disturbance_of_both_sides_of_a_round_cancels() {
        // The second round was ten times slower for both.
        let ratios = Spread::of_ratios([(50.0, 10.0), (5.0, 1.0), (40.0, 10.0)]).unwrap();
        assert_eq!((ratios.median, ratios.min, ratios.max), (5.0, 4.0, 5.0));
    }

    #[test]
    fn a_falling_function_swaps_the_ends() {
        let spread = Spread::of([0.1, 0.2, 0.4])
            .unwrap()
            .map(|value| 1.0 - value);
        assert_eq!((spread.median, spread.min, spread.max), (0.8, 0.6, 0.9));
    }

    #[test]
    fn numbers_are_as_exact_as_they_deserve() {
        let cases = [
            (0.0, "0"),
            (0.0123, "0.012"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (12_345.6, "12,346"),
            (-1_234.0, "-1,234"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }
}
