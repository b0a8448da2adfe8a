//! The line that shows how far a run is; on a terminal only.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WIDTH: usize = 28;
const INTERVAL: Duration = Duration::from_millis(200);

/// Counts slices, and shows a bar.
pub(super) struct Progress {
    start: Instant,
    done: usize,
    total: usize,
    /// Actions of the slice under way.
    pub(super) actions: Arc<AtomicU64>,
}

impl Progress {
    pub(super) fn new(total: usize) -> Self {
        Self {
            start: Instant::now(),
            done: 0,
            total,
            actions: Arc::default(),
        }
    }

    /// Shows the bar while `work` goes on, which is one slice.
    pub(super) async fn during<T>(&mut self, what: &str, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let start = Instant::now();
        let before = self.actions.load(Ordering::Relaxed);
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                result = &mut work => {
                    self.done += 1;
                    return result;
                }
                _ = ticks.tick() => {
                    let actions = self.actions.load(Ordering::Relaxed) - before;
                    self.show(what, actions, start.elapsed());
                }
            }
        }
    }

    /// Slices that will not come.
    pub(super) fn skip(&mut self, slices: usize) {
        self.done += slices;
    }

    /// Takes the bar away.
    pub(super) fn clear() {
        if std::io::stdout().is_terminal() {
            print!("\r\x1b[K");
            std::io::stdout().flush().ok();
        }
    }

    fn show(&self, what: &str, actions: u64, elapsed: Duration) {
        if !std::io::stdout().is_terminal() {
            return;
        }
        let text = bar(self.done, self.total, self.start.elapsed());
        let rate = actions as f64 / elapsed.as_secs_f64().max(0.001);
        print!("\r\x1b[K{text}  {what}  {rate:.0}/s");
        std::io::stdout().flush().ok();
    }
}

/// The bar, how much is done, and how long the rest will take if it goes on like this.
fn bar(done: usize, total: usize, elapsed: Duration) -> String {
    let share = done as f64 / total.max(1) as f64;
    let filled = ((share * WIDTH as f64) as usize).min(WIDTH);
    let rest = if done == 0 {
        "  -:--".to_owned()
    } else {
        let seconds = (elapsed.as_secs_f64() / share * (1.0 - share).max(0.0)) as u64;
        format!("{:>3}:{:02}", seconds / 60, seconds % 60)
    };
    let (full, empty) = ("#".repeat(filled), ".".repeat(WIDTH - filled));
    format!("[{full}{empty}] {:>3.0} %  {rest} left", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_and_the_rest_is_estimated() {
        let empty = bar(0, 10, Duration::from_secs(1));
        assert!(empty.contains("0 %") && empty.contains("-:--"), "{empty}");
        let half = bar(5, 10, Duration::from_secs(60));
        assert!(
            half.contains("50 %") && half.contains("1:00 left"),
            "{half}"
        );
        let over = bar(11, 10, Duration::from_secs(60));
        assert!(over.contains("0:00 left"), "{over}");
    }
}
