//! Trying again to connect, where the server may only be restarting or full for a moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Error;
use super::server::Route;
use crate::observe::{Counter, Metrics};

/// How often the log says that something has failed for good.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The tries to open one connection.
pub struct Patience {
    route: Arc<Route>,
    metrics: Arc<Metrics>,
    begun: Instant,
    failures: u32,
}

impl Patience {
    /// Nothing has been tried yet.
    #[must_use]
    pub fn new(route: &Arc<Route>, metrics: &Arc<Metrics>) -> Self {
        Self {
            route: Arc::clone(route),
            metrics: Arc::clone(metrics),
            begun: Instant::now(),
            failures: 0,
        }
    }

    /// A try has failed. Returns when the next one is due.
    ///
    /// # Errors
    /// The same error, when there is no use in another try, or no time for one.
    pub async fn failed(&mut self, error: Error) -> Result<(), Error> {
        if !error.is_transient() {
            return Err(error);
        }
        if matches!(error, Error::Unreachable(_)) {
            self.route.server.note_reachable(false);
        }
        self.failures += 1;
        let left = self.route.limits.wait_timeout;
        let left = left.saturating_sub(self.begun.elapsed());
        let pause = self.route.retry.pause_after(self.failures, rand::random());
        let Some(pause) = pause.filter(|pause| *pause < left) else {
            if self.route.retry.is_on() {
                self.metrics.add(Counter::RetriesExhausted, 1);
                note_exhausted("connecting", self.failures, &error.to_string());
            }
            return Err(error);
        };
        self.metrics.add(Counter::RetriesConnect, 1);
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// The connection is open.
    pub fn succeeded(&self) {
        if self.failures > 0 {
            self.metrics.add(Counter::RetriesSucceeded, 1);
        }
    }
}

/// Says that something was tried as often as it may be, but not more often than it can be read.
pub fn note_exhausted(what: &str, attempts: u32, error: &str) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let is_due = {
        let mut last = LAST.lock();
        let is_due = last.is_none_or(|last| last.elapsed() >= LOG_INTERVAL);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    };
    if is_due {
        tracing::warn!(
            attempts,
            "{what} failed as often as it may be tried: {error}; the client gets the error. If that is too early, raise \
             retry.attempts or retry.delay"
        );
    }
}
