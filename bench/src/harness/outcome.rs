//! What came of driving a target for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// The length of a step of the timeline.
pub(crate) const TIMELINE_STEP: Duration = Duration::from_millis(100);

/// One minute in microseconds: what takes longer is recorded as that.
const LATENCY_MICROS_MAX: u64 = 60_000_000;

/// Counts and latencies.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    start: Instant,
    pub(crate) elapsed: Duration,
    /// Actions that ended well.
    pub(crate) actions: u64,
    /// The statements of those.
    pub(crate) statements: u64,
    /// Actions that were due and never begun, in the open loop.
    pub(crate) abandoned: u64,
    /// Actions that failed, by SQLSTATE (or `connection`).
    pub(crate) errors: BTreeMap<String, u64>,
    /// Latency of actions in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// Of those that write.
    pub(crate) write_latency: Histogram<u64>,
    /// Actions that ended in each step of time.
    pub(crate) timeline: Vec<u64>,
}

/// An empty histogram of microseconds, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3).expect("the bounds are sound")
}

impl Outcome {
    /// Of work from `start` on, for about `duration`.
    pub(crate) fn new(start: Instant, duration: Duration) -> Self {
        let steps = duration.as_millis().div_ceil(TIMELINE_STEP.as_millis());
        Self {
            start,
            elapsed: Duration::ZERO,
            actions: 0,
            statements: 0,
            abandoned: 0,
            errors: BTreeMap::new(),
            latency: histogram(),
            write_latency: histogram(),
            timeline: vec![0; usize::try_from(steps).unwrap_or(0)],
        }
    }

    /// An action ended well.
    pub(crate) fn answered(&mut self, latency: Duration, statements: u64, writes: bool) {
        let micros = u64::try_from(latency.as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        self.actions += 1;
        self.statements += statements;
        self.latency.saturating_record(micros);
        if writes {
            self.write_latency.saturating_record(micros);
        }
        let step = self.start.elapsed().as_millis() / TIMELINE_STEP.as_millis();
        if let Some(count) = usize::try_from(step)
            .ok()
            .and_then(|step| self.timeline.get_mut(step))
        {
            *count += 1;
        }
    }

    /// An action was due so long ago and was never begun.
    pub(crate) fn abandon(&mut self, waited: Duration) {
        self.abandoned += 1;
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX).max(1);
        self.latency.saturating_record(micros);
    }

    /// An action failed.
    pub(crate) fn failed(&mut self, error: &anyhow::Error) {
        let code = error
            .downcast_ref::<tokio_postgres::Error>()
            .and_then(|error| error.code())
            .map_or("connection", |code| code.code());
        *self.errors.entry(code.to_owned()).or_default() += 1;
    }

    /// Adds what another connection did in the same time.
    pub(crate) fn add(&mut self, other: &Self) {
        self.actions += other.actions;
        self.statements += other.statements;
        self.abandoned += other.abandoned;
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
        let same = "all histograms have the same bounds";
        self.latency.add(&other.latency).expect(same);
        self.write_latency.add(&other.write_latency).expect(same);
        for (sum, count) in self.timeline.iter_mut().zip(&other.timeline) {
            *sum += count;
        }
    }
}
