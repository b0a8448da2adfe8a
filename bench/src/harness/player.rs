//! A target in a scenario: what it is asked, and what came of it so far.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;

use super::counters::Reading;
use super::drive::{Crew, Slice};
use super::outcome::{Outcome, TIMELINE_STEP, histogram};
use super::session::Plan;
use super::values::Pools;
use crate::report::{Latency, Round, TargetResult};
use crate::trace::{Recorded, replay};

/// A slice that has not ended this long after its time never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a scenario asks of each target.
pub(super) struct Work {
    pub(super) plan: Arc<Plan>,
    pub(super) pools: Arc<Pools>,
    pub(super) trace: Option<(Arc<Recorded>, f64)>,
}

impl Work {
    /// The connections, unless a trace brings its own.
    pub(super) async fn crew(
        &self,
        url: &str,
        actions: &Arc<AtomicU64>,
    ) -> anyhow::Result<Option<Crew>> {
        if self.trace.is_some() {
            return Ok(None);
        }
        Crew::open(url, &self.plan, &self.pools, actions)
            .await
            .map(Some)
    }

    pub(super) async fn drive(
        &self,
        crew: Option<&Crew>,
        url: &str,
        slice: Slice,
    ) -> anyhow::Result<Outcome> {
        let driving = async {
            match (&self.trace, crew) {
                (Some((trace, speed)), _) => replay(trace, url, *speed).await,
                (None, Some(crew)) => crew.drive(slice).await,
                (None, None) => anyhow::bail!("there is nothing to do"),
            }
        };
        tokio::time::timeout(slice.duration + PATIENCE, driving)
            .await
            .context("it did not end")?
    }
}

/// A target in a scenario, while it runs.
pub(super) struct Player {
    pub(super) crew: Option<Crew>,
    latency: Histogram<u64>,
    write_latency: Histogram<u64>,
    pub(super) result: TargetResult,
}

impl Player {
    pub(super) fn new(target: &str) -> Self {
        Self {
            crew: None,
            latency: histogram(),
            write_latency: histogram(),
            result: TargetResult {
                target: target.to_owned(),
                failed: None,
                rounds: Vec::new(),
                latency: Latency::default(),
                write_latency: None,
                timeline: Vec::new(),
            },
        }
    }

    /// One that does not take part.
    pub(super) fn left_out(target: &str, reason: &anyhow::Error) -> Self {
        let mut player = Self::new(target);
        player.result.failed = Some(format!("left out: {reason:#}"));
        player
    }

    pub(super) fn fail(&mut self, error: &anyhow::Error) {
        self.result.failed = Some(format!("failed: {error:#}"));
        self.crew = None;
    }

    pub(super) fn add(&mut self, outcome: &Outcome, cost: &Reading) {
        let same = "all histograms have the same bounds";
        self.latency.add(&outcome.latency).expect(same);
        self.write_latency.add(&outcome.write_latency).expect(same);
        let per_second = TIMELINE_STEP.as_secs_f64().recip();
        let timeline = outcome
            .timeline
            .iter()
            .map(|count| *count as f64 * per_second);
        self.result.timeline.extend(timeline);
        self.result.rounds.push(Round {
            seconds: outcome.elapsed.as_secs_f64(),
            actions: outcome.actions,
            statements: outcome.statements,
            abandoned: outcome.abandoned,
            errors: outcome.errors.clone(),
            mean: outcome.latency.mean(),
            p50: outcome.latency.value_at_quantile(0.5),
            p99: outcome.latency.value_at_quantile(0.99),
            target_cpu: cost.target_cpu,
            postgres_cpu: cost.postgres_cpu,
            calls: cost.statements.map(|statements| statements.calls),
            execution: cost.statements.map(|statements| statements.micros),
            served: cost.cache.map(|cache| cache.served),
            misses: cost.cache.map(|cache| cache.misses),
            bypasses: cost.cache.map(|cache| cache.bypasses),
        });
    }

    pub(super) fn finish(mut self) -> TargetResult {
        self.result.latency = Latency::of(&self.latency);
        if !self.write_latency.is_empty() {
            self.result.write_latency = Some(Latency::of(&self.write_latency));
        }
        self.result
    }
}
