//! Drives a server with the application's work and measures it.
//!
//! The load is closed: each connection asks its next question when it has the answer to the last.

use std::collections::HashSet;
use std::iter::Peekable;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::keys::{Keys, Question};
use super::queries::{
    CONVERSATION, INSERT_MESSAGE, LEAD_DETAILS, LEAD_STATUSES, QUERIES, UPDATE_LEAD,
};
use super::wire::Text;
use crate::sandbox::connect;

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections that ask at the same time.
    pub connections: usize,
    /// How long they ask.
    pub duration: Duration,
    /// Writes a second, of all connections together, at an even pace: people change things as often as they
    /// do, however fast they read. Each is followed by a read that must show it.
    pub writes_per_second: u32,
    /// The same seed asks the same questions.
    pub seed: u64,
}

impl Load {
    /// When the connection of this number writes, from the beginning on: the connections take turns.
    fn writes_of(&self, number: usize) -> Peekable<impl Iterator<Item = Duration>> {
        let (first, step) = (number as u64, self.connections.max(1) as u64);
        let pace = u64::from(self.writes_per_second);
        let turns = (first..).step_by(usize::try_from(step).expect("few connections"));
        let due =
            move |turn: u64| Some(Duration::from_micros((turn * 1_000_000).checked_div(pace)?));
        turns.map_while(due).peekable()
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// From the first question to the last answer.
    pub elapsed: Duration,
    /// Latency of the reads in microseconds.
    pub reads: Histogram<u64>,
    /// Latency of the writes in microseconds.
    pub writes: Histogram<u64>,
    /// Reads right after a write, on another connection, that did not show it.
    pub stale_reads: u64,
    /// Every query and parameter that was used.
    pub(super) asked: HashSet<Question>,
}

impl Outcome {
    fn new() -> anyhow::Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, 60_000_000, 3);
        Ok(Self {
            elapsed: Duration::ZERO,
            reads: histogram()?,
            writes: histogram()?,
            stale_reads: 0,
            asked: HashSet::new(),
        })
    }

    /// Statements of all kinds.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.reads.len() + self.writes.len()
    }

    /// Statements a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.statements() as f64 / self.elapsed.as_secs_f64()
    }

    fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.reads.add(&other.reads)?;
        self.writes.add(&other.writes)?;
        self.stale_reads += other.stale_reads;
        self.asked.extend(&other.asked);
        Ok(())
    }
}

/// Drives the server at `url`; `progress` counts statements while it goes on.
///
/// # Errors
/// When a connection or a statement fails: in a healthy demo none does.
pub async fn drive(
    url: &str,
    keys: &Arc<Keys>,
    load: Load,
    progress: &Arc<AtomicU64>,
) -> anyhow::Result<Outcome> {
    let witness = Arc::new(Session::open(url).await?);
    let mut workers = Vec::new();
    for number in 0..load.connections {
        workers.push(Worker {
            session: Session::open(url).await?,
            witness: Arc::clone(&witness),
            keys: Arc::clone(keys),
            random: ChaCha8Rng::seed_from_u64(load.seed.wrapping_add(number as u64)),
            place: (number, load.connections),
            progress: Arc::clone(progress),
            outcome: Outcome::new()?,
        });
    }
    let start = Instant::now();
    let mut running = JoinSet::new();
    for worker in workers {
        running.spawn(worker.run(start, load));
    }
    let mut total = Outcome::new()?;
    while let Some(worker) = running.join_next().await {
        total.add(&worker.context("a worker panicked")??)?;
    }
    total.elapsed = start.elapsed();
    Ok(total)
}

/// A connection with every statement prepared.
struct Session {
    client: Client,
    queries: Vec<Statement>,
    update_lead: Statement,
    insert_message: Statement,
}

impl Session {
    async fn open(url: &str) -> anyhow::Result<Self> {
        let client = connect(url)
            .await
            .with_context(|| format!("cannot connect to {url}"))?;
        let mut queries = Vec::new();
        for query in &QUERIES {
            queries.push(client.prepare(query.sql).await.context(query.name)?);
        }
        let update_lead = client.prepare(UPDATE_LEAD).await?;
        let insert_message = client.prepare(INSERT_MESSAGE).await?;
        Ok(Self {
            client,
            queries,
            update_lead,
            insert_message,
        })
    }

    async fn ask(&self, keys: &Keys, question: Question) -> anyhow::Result<Vec<Row>> {
        let (query, argument) = keys.resolve(question);
        let argument = argument.map(|text| text as &(dyn ToSql + Sync));
        let rows = self
            .client
            .query(&self.queries[question.query], argument.as_slice())
            .await;
        rows.with_context(|| query.name)
    }
}

/// One connection's share of the work.
struct Worker {
    session: Session,
    /// The connection that reads what others wrote.
    witness: Arc<Session>,
    keys: Arc<Keys>,
    random: ChaCha8Rng,
    /// This worker's number, and how many there are.
    place: (usize, usize),
    progress: Arc<AtomicU64>,
    outcome: Outcome,
}

impl Worker {
    async fn run(mut self, start: Instant, load: Load) -> anyhow::Result<Outcome> {
        let end = start + load.duration;
        let mut writes = load.writes_of(self.place.0);
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(self.outcome);
            }
            if writes.next_if(|&due| start + due <= now).is_some() {
                if self.random.random() {
                    self.update_lead().await?;
                } else {
                    self.insert_message().await?;
                }
            } else {
                let question = self.keys.draw(&mut self.random);
                let start = Instant::now();
                self.session.ask(&self.keys, question).await?;
                self.answered(question, start);
            }
        }
    }

    /// Nobody else writes this lead, so the next read must show exactly what we wrote.
    async fn update_lead(&mut self) -> anyhow::Result<()> {
        let Some(question) = self.draw_owned(LEAD_DETAILS) else {
            return Ok(());
        };
        let status = LEAD_STATUSES[self.random.random_range(0..LEAD_STATUSES.len())];
        let score: i16 = self.random.random_range(0..=100);
        let lead = self.key(question)?;

        let start = Instant::now();
        let parameters: [&(dyn ToSql + Sync); 3] = [&lead, &status, &score];
        let changed = self
            .session
            .client
            .execute(&self.session.update_lead, &parameters)
            .await?;
        self.written(start);
        ensure!(changed == 1, "the update of a lead changed {changed} rows");

        let rows = self.read_back(question).await?;
        let row = rows.first().context("a lead is gone")?;
        let shown = (
            row.try_get::<_, &str>("status")?,
            row.try_get::<_, i16>("score")?,
        );
        self.outcome.stale_reads += u64::from(shown != (status, score));
        Ok(())
    }

    /// Nobody else writes to this conversation, so the newest message must be ours.
    async fn insert_message(&mut self) -> anyhow::Result<()> {
        let Some(question) = self.draw_owned(CONVERSATION) else {
            return Ok(());
        };
        let conversation = self.key(question)?;
        let body = format!("Could we talk on day {}?", self.random.random_range(1..=28));

        let start = Instant::now();
        let parameters: [&(dyn ToSql + Sync); 2] = [&conversation, &body];
        let row = self
            .session
            .client
            .query_one(&self.session.insert_message, &parameters)
            .await?;
        self.written(start);
        let id: i64 = row.try_get(0)?;

        let rows = self.read_back(question).await?;
        let newest = rows
            .first()
            .map(|row| row.try_get::<_, i64>("message_id"))
            .transpose()?;
        self.outcome.stale_reads += u64::from(newest != Some(id));
        Ok(())
    }

    fn draw_owned(&mut self, query: usize) -> Option<Question> {
        self.keys.draw_owned(query, self.place, &mut self.random)
    }

    fn key(&self, question: Question) -> anyhow::Result<Text> {
        self.keys
            .resolve(question)
            .1
            .cloned()
            .context("a write has a key")
    }

    /// On another connection: that the writer itself sees its writes is the easy part.
    async fn read_back(&mut self, question: Question) -> anyhow::Result<Vec<Row>> {
        let start = Instant::now();
        let rows = self.witness.ask(&self.keys, question).await?;
        self.answered(question, start);
        Ok(rows)
    }

    fn answered(&mut self, question: Question, start: Instant) {
        self.outcome.reads.saturating_record(micros_since(start));
        self.outcome.asked.insert(question);
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    fn written(&mut self, start: Instant) {
        self.outcome.writes.saturating_record(micros_since(start));
        self.progress.fetch_add(1, Ordering::Relaxed);
    }
}

fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros())
        .unwrap_or(u64::MAX)
        .max(1)
}
