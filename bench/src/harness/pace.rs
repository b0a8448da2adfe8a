//! The open loop: actions begin when they are due, whether or not the server keeps up.
//!
//! A closed loop asks a stalled server nothing, so one stall costs it one slow answer, however many users would have
//! come meanwhile ("coordinated omission"). Here latency counts from the moment an action was due, and what a stalled
//! server never got to is counted as having waited until we gave up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::outcome::Outcome;

/// When each of a number of actions is due, and who takes the next.
#[derive(Debug)]
pub(super) struct Schedule {
    start: Instant,
    rate: f64,
    total: u64,
    workers: usize,
    released: AtomicU64,
    taken: AtomicU64,
    due: Semaphore,
}

impl Schedule {
    /// `rate` actions a second for `duration`, for so many workers.
    pub(super) fn new(start: Instant, rate: f64, duration: Duration, workers: usize) -> Self {
        Self {
            start,
            rate,
            total: (rate * duration.as_secs_f64()).round() as u64,
            workers,
            released: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            due: Semaphore::new(0),
        }
    }

    fn due(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// Hands out all that is due by now, and returns when the next one is. One caller at a time.
    pub(super) fn release(&self, now: Instant) -> Option<Instant> {
        let first = self.released.load(Ordering::Relaxed);
        let mut next = first;
        while next < self.total && self.due(next) <= now {
            next += 1;
        }
        self.released.store(next, Ordering::Relaxed);
        let ended = next >= self.total;
        // At the end each worker gets one more, to find out that there is nothing left.
        let farewells = if ended { self.workers } else { 0 };
        self.due
            .add_permits(usize::try_from(next - first).unwrap_or(0) + farewells);
        (!ended).then(|| self.due(next))
    }

    /// Waits for an action to be due; returns when it was, or nothing when there are no more. What comes up after
    /// `give_up` is not begun any more, and counted as having waited.
    pub(super) async fn next(&self, outcome: &mut Outcome, give_up: Instant) -> Option<Instant> {
        loop {
            self.due.acquire().await.ok()?.forget();
            let number = self.taken.fetch_add(1, Ordering::Relaxed);
            if number >= self.total {
                return None;
            }
            let (due, now) = (self.due(number), Instant::now());
            if now < give_up {
                return Some(due);
            }
            outcome.abandon(now - due);
        }
    }

    /// Releases from a thread of its own: the runtime's timers count in milliseconds.
    pub(super) fn release_from_thread(self: &std::sync::Arc<Self>) {
        let schedule = std::sync::Arc::clone(self);
        std::thread::spawn(move || {
            while let Some(next) = schedule.release(Instant::now()) {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MILLISECOND: Duration = Duration::from_millis(1);

    /// One worker at 100 a second, before a server that needs `first` for the first answer and then a millisecond.
    async fn drive(first: Duration, give_up: Duration) -> Outcome {
        let start = Instant::now();
        let schedule = Schedule::new(start, 100.0, SECOND, 1);
        let mut outcome = Outcome::new(start, SECOND);
        let work = async {
            let mut answer = first;
            while let Some(due) = schedule.next(&mut outcome, start + give_up).await {
                tokio::time::sleep(std::mem::replace(&mut answer, MILLISECOND)).await;
                outcome.answered(due.elapsed(), 1, false);
            }
        };
        let release = async {
            while let Some(next) = schedule.release(Instant::now()) {
                tokio::time::sleep_until(next).await;
            }
        };
        tokio::join!(work, release);
        outcome
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_shows_in_the_latency_of_all_who_would_have_come_meanwhile() {
        let outcome = drive(SECOND / 2, 10 * SECOND).await;
        assert_eq!((outcome.actions, outcome.abandoned), (100, 0));
        // One in a hundred was slow to the server; half of the users waited.
        let many = outcome.latency.value_at_quantile(0.6);
        assert!(many > 50_000, "{many}");
        let max = outcome.latency.max();
        assert!((499_000..=502_000).contains(&max), "{max}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_keeps_up_has_the_latency_of_its_answers() {
        let outcome = drive(MILLISECOND, 10 * SECOND).await;
        assert_eq!((outcome.actions, outcome.abandoned), (100, 0));
        assert!(outcome.latency.max() <= 3_000, "{}", outcome.latency.max());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_never_begun_is_counted_as_having_waited() {
        let outcome = drive(SECOND / 2, Duration::from_millis(400)).await;
        assert_eq!((outcome.actions, outcome.abandoned), (1, 99));
        assert_eq!(outcome.latency.len(), 100);
        let many = outcome.latency.value_at_quantile(0.7);
        assert!(many > 50_000, "{many}");
    }
}
