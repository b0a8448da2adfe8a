//! Sends recorded traffic again, when it was due, and measures the answers.
//!
//! Latency counts from when a request was due, so a server that falls behind shows it. Each session keeps its order:
//! its next request waits for the answer to the last.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::format::{Recorded, What};
use super::login::{log_in, sqlstate};
use crate::frames::Wire;
use crate::harness::Outcome;
use crate::report::Latency;

/// What came of a replay.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// How long it took.
    pub elapsed: Duration,
    /// Requests that were answered.
    pub requests: u64,
    /// Requests that were answered with an error, by SQLSTATE.
    pub errors: BTreeMap<String, u64>,
    /// Of all requests, in microseconds.
    pub latency: Latency,
}

/// Replays a file against the server at `url`, `speed` times as fast as it was recorded; 0: as fast as it goes.
///
/// # Errors
/// When the file is no trace, or a connection fails.
pub async fn replay_file(path: &Path, url: &str, speed: f64) -> anyhow::Result<Replayed> {
    let recorded = Arc::new(Recorded::read(path)?);
    let outcome = replay(&recorded, url, speed).await?;
    Ok(Replayed {
        elapsed: outcome.elapsed,
        requests: outcome.actions,
        errors: outcome.errors,
        latency: Latency::of(&outcome.latency),
    })
}

pub(crate) async fn replay(
    recorded: &Arc<Recorded>,
    url: &str,
    speed: f64,
) -> anyhow::Result<Outcome> {
    let mut sessions: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, event) in recorded.events.iter().enumerate() {
        sessions.entry(event.session).or_default().push(index);
    }
    let start = Instant::now();
    let due = Due { start, speed };
    let length = due
        .of(recorded.duration())
        .map_or(Duration::ZERO, |end| end - start);
    let mut running = JoinSet::new();
    let mut gates = BTreeMap::new();
    for (session, events) in sessions {
        let gate = Arc::new(Semaphore::new(0));
        gates.insert(session, Arc::clone(&gate));
        let player = Player {
            recorded: Arc::clone(recorded),
            url: url.to_owned(),
            due,
            gate,
            outcome: Outcome::new(start, length),
        };
        running.spawn(player.play(events));
    }
    open_gates(recorded, due, gates);
    let mut total = Outcome::new(start, length);
    while let Some(ended) = running.join_next().await {
        total.add(&ended.context("a session panicked")??);
    }
    total.elapsed = start.elapsed();
    Ok(total)
}

/// When events are due.
#[derive(Clone, Copy)]
struct Due {
    start: Instant,
    speed: f64,
}

impl Due {
    /// Nothing if events follow each other as fast as they can.
    fn of(self, at: Duration) -> Option<Instant> {
        (self.speed > 0.0).then(|| self.start + at.div_f64(self.speed))
    }
}

/// From a thread of its own: the runtime's timers count in milliseconds.
fn open_gates(recorded: &Arc<Recorded>, due: Due, gates: BTreeMap<u32, Arc<Semaphore>>) {
    let recorded = Arc::clone(recorded);
    std::thread::spawn(move || {
        for event in &recorded.events {
            if let Some(due) = due.of(event.at) {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            if let Some(gate) = gates.get(&event.session) {
                gate.add_permits(1);
            }
        }
    });
}

/// One recorded session.
struct Player {
    recorded: Arc<Recorded>,
    url: String,
    due: Due,
    gate: Arc<Semaphore>,
    outcome: Outcome,
}

impl Player {
    async fn play(mut self, events: Vec<usize>) -> anyhow::Result<Outcome> {
        let recorded = Arc::clone(&self.recorded);
        let mut wire = None;
        for index in events {
            let event = &recorded.events[index];
            self.gate
                .acquire()
                .await
                .context("the gate is never closed")?
                .forget();
            match &event.what {
                What::Opened => wire = Some(log_in(&self.url).await?),
                What::Closed => wire = None,
                What::Request(bytes) => {
                    let wire = wire.as_mut().context("a request comes before its login")?;
                    let since = self.due.of(event.at).unwrap_or_else(Instant::now);
                    self.ask(wire, bytes, since).await?;
                }
            }
        }
        Ok(self.outcome)
    }

    async fn ask(&mut self, wire: &mut Wire, bytes: &[u8], since: Instant) -> anyhow::Result<()> {
        wire.out.write_all(bytes).await?;
        let mut error = None;
        loop {
            let frame = wire.frames.next().await?.context("the server left")?;
            match frame.first() {
                Some(b'E') => error = Some(sqlstate(&frame)),
                // ReadyForQuery, or a server that waits for the data of a COPY, which come next.
                Some(b'Z' | b'G') => break,
                _ => {}
            }
        }
        self.outcome.answered(since.elapsed(), 1, false);
        if let Some(code) = error {
            *self.outcome.errors.entry(code).or_default() += 1;
        }
        Ok(())
    }
}
