//! What the demo prints when it has measured: both sides, then the checks.

use std::fmt;
use std::time::Duration;

use super::Verdict;
use crate::workload::{Comparison, Outcome};

/// How many differing answers are named.
const DIFFERENCES_SHOWN: usize = 10;

/// One side.
#[derive(Debug)]
pub(super) struct Measurement {
    pub(super) outcome: Outcome,
    /// Statements (or transactions) that PostgreSQL itself counted.
    pub(super) reached: u64,
}

/// The cache's own count of cacheable reads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CacheCounts {
    /// Answered without a question to PostgreSQL of their own: hits, and those that waited for
    /// somebody else's.
    pub(super) served: u64,
    pub(super) misses: u64,
}

/// Both sides and what was checked.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) direct: Measurement,
    pub(super) proxied: Measurement,
    pub(super) cache: CacheCounts,
    pub(super) comparison: Comparison,
    /// What [`Measurement::reached`] counts.
    pub(super) unit: &'static str,
}

impl CacheCounts {
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            served: self.served.saturating_sub(before.served),
            misses: self.misses.saturating_sub(before.misses),
        }
    }

    fn hit_rate(&self) -> f64 {
        let all = self.served + self.misses;
        if all == 0 {
            0.0
        } else {
            self.served as f64 / all as f64
        }
    }
}

impl Report {
    /// Kept only if every answer was equal, no read was stale, and the cache really took part.
    pub(super) fn verdict(&self) -> Verdict {
        let checks = self.checks();
        if checks.iter().all(|(kept, _)| *kept) {
            Verdict::Kept
        } else {
            Verdict::Broken
        }
    }

    fn checks(&self) -> [(bool, String); 3] {
        let Comparison {
            questions,
            answers,
            differences,
        } = &self.comparison;
        let (stale, writes) = (
            self.proxied.outcome.stale_reads,
            self.proxied.outcome.writes.len(),
        );
        [
            (
                differences.is_empty() && *answers > 0,
                format!(
                    "{} answers to {} different queries compared with PostgreSQL's, byte for byte: {} differ",
                    grouped(*answers),
                    grouped(*questions),
                    grouped(differences.len() as u64),
                ),
            ),
            (
                stale == 0 && writes > 0,
                format!(
                    "{} writes, each followed by a read on another connection: {} of them stale",
                    grouped(writes),
                    grouped(stale),
                ),
            ),
            (
                self.cache.served > 0,
                format!("{} answers from the cache", grouped(self.cache.served)),
            ),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (direct, proxied) = (&self.direct.outcome, &self.proxied.outcome);
        let line =
            |f: &mut fmt::Formatter<'_>, name: &str, one: String, other: String, note: String| {
                writeln!(
                    f,
                    "{}",
                    format!("  {name:<29}{one:>18}{other:>18}  {note}").trim_end()
                )
            };
        writeln!(f)?;
        line(
            f,
            "",
            "PostgreSQL alone".into(),
            "through pgkeel".into(),
            String::new(),
        )?;
        let ratio = format!("{:.1} times", proxied.rate() / direct.rate().max(1.0));
        line(f, "queries a second", rate(direct), rate(proxied), ratio)?;
        for (name, quantile) in [("read latency, p50", 0.5), ("read latency, p99", 0.99)] {
            let latency =
                |outcome: &Outcome| milliseconds(outcome.reads.value_at_quantile(quantile));
            line(f, name, latency(direct), latency(proxied), String::new())?;
        }
        let latency = |outcome: &Outcome| milliseconds(outcome.writes.value_at_quantile(0.5));
        line(
            f,
            "write latency, p50",
            latency(direct),
            latency(proxied),
            String::new(),
        )?;
        let hit_rate = format!("{:.1} %", self.cache.hit_rate() * 100.0);
        line(
            f,
            "hit rate, from a cold start",
            "-".into(),
            hit_rate,
            String::new(),
        )?;
        line(
            f,
            "queries asked",
            count(direct),
            count(proxied),
            String::new(),
        )?;
        let reached = format!("{} PostgreSQL counted", self.unit);
        let (one, other) = (grouped(self.direct.reached), grouped(self.proxied.reached));
        let share = self.proxied.reached as f64 / proxied.statements().max(1) as f64;
        line(
            f,
            &reached,
            one,
            other,
            format!("{:.1} % of those asked", share * 100.0),
        )?;
        writeln!(f)?;
        for (kept, text) in self.checks() {
            writeln!(f, "  {:<6} {text}", if kept { "ok" } else { "FAILED" })?;
        }
        for difference in self.comparison.differences.iter().take(DIFFERENCES_SHOWN) {
            writeln!(f, "         differs: {difference}")?;
        }
        Ok(())
    }
}

/// What to do with the two servers now that they are up.
pub(super) fn invitation(direct: &str, proxied: &str, admin: &str) -> String {
    format!(
        "
Both stay up until you press Ctrl-C.

  through pgkeel   {proxied}
  PostgreSQL       {direct}
  admin            {admin}

Try it:

  psql {proxied} -c '\\timing' -c 'SELECT status, count(*), avg(score) FROM leads GROUP BY 1' \\
      -c 'SELECT status, count(*), avg(score) FROM leads GROUP BY 1'
  psql {proxied} -c \"UPDATE leads SET status = 'won' WHERE status = 'proposal'\" \\
      -c 'SELECT status, count(*), avg(score) FROM leads GROUP BY 1'
  curl -s {admin}/stats
  curl -s {admin}/metrics
"
    )
}

/// A number with a comma before every three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn count(outcome: &Outcome) -> String {
    grouped(outcome.statements())
}

fn rate(outcome: &Outcome) -> String {
    grouped(outcome.rate() as u64)
}

fn milliseconds(micros: u64) -> String {
    format!(
        "{:.2} ms",
        Duration::from_micros(micros).as_secs_f64() * 1000.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ];
        for (number, expected) in cases {
            assert_eq!(grouped(number), expected);
        }
    }

    #[test]
    fn a_cache_that_was_never_asked_has_a_hit_rate_of_zero() {
        assert!(CacheCounts::default().hit_rate() < f64::EPSILON);
        assert!(
            (CacheCounts {
                served: 3,
                misses: 1
            }
            .hit_rate()
                - 0.75)
                .abs()
                < 1e-9
        );
    }
}
