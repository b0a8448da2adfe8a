//! Drives one target with one scenario for a while, and records what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::outcome::Outcome;
use super::pace::Schedule;
use super::scenario::{Pace, Scenario};
use super::session::{Plan, Session};
use super::values::Pools;

/// How long an open loop may go on with what was due in its time.
const GRACE: Duration = Duration::from_secs(2);

/// One slice of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    pub(super) duration: Duration,
    /// The same seed draws the same.
    pub(super) seed: u64,
    pub(super) pace: Pace,
}

/// A scenario that is worked on at a pace that changes from hour to hour.
pub(crate) struct HourOfWork {
    scenario: Scenario,
    pools: Arc<Pools>,
}

impl HourOfWork {
    /// Reads the values of the scenario.
    pub(crate) async fn new(scenario: Scenario, client: &Client) -> anyhow::Result<Self> {
        let pools = Arc::new(Pools::load(&scenario, client).await?);
        Ok(Self { scenario, pools })
    }

    /// So many clients do so many actions a second.
    pub(crate) async fn work(
        &self,
        url: &str,
        clients: usize,
        rate: f64,
        duration: Duration,
        seed: u64,
    ) -> anyhow::Result<()> {
        let mut scenario = self.scenario.clone();
        scenario.clients = clients;
        let plan = Arc::new(Plan::new(scenario));
        let crew = Crew::open(url, &plan, &self.pools, &Arc::default()).await?;
        let slice = Slice {
            duration,
            seed,
            pace: Pace::Open(rate),
        };
        crew.drive(slice).await?;
        Ok(())
    }
}

/// The connections of a scenario to one target.
pub(super) struct Crew {
    shared: Arc<Shared>,
    /// None if each action opens its own.
    sessions: Vec<Option<Arc<Session>>>,
}

struct Shared {
    url: String,
    plan: Arc<Plan>,
    pools: Arc<Pools>,
    /// Actions that are done by weight, with the sum of the weights so far.
    weighted: Vec<(usize, u32)>,
    /// Actions that are done so many times a second.
    paced: Vec<(usize, u32)>,
    /// Counts actions while they go on.
    progress: Arc<AtomicU64>,
}

impl Crew {
    /// Opens the connections.
    pub(super) async fn open(
        url: &str,
        plan: &Arc<Plan>,
        pools: &Arc<Pools>,
        progress: &Arc<AtomicU64>,
    ) -> anyhow::Result<Self> {
        let scenario = &plan.scenario;
        let mut sessions = Vec::new();
        for _ in 0..scenario.clients {
            sessions.push(if scenario.reconnect {
                None
            } else {
                Some(Arc::new(Session::open(url, plan).await?))
            });
        }
        let (mut weighted, mut paced, mut sum) = (Vec::new(), Vec::new(), 0);
        for (number, action) in scenario.actions.iter().enumerate() {
            match action.per_second {
                Some(rate) => paced.push((number, rate)),
                None if action.name == "spoil" => {}
                None => {
                    sum += action.weight;
                    weighted.push((number, sum));
                }
            }
        }
        let shared = Shared {
            url: url.to_owned(),
            plan: Arc::clone(plan),
            pools: Arc::clone(pools),
            weighted,
            paced,
            progress: Arc::clone(progress),
        };
        Ok(Self {
            shared: Arc::new(shared),
            sessions,
        })
    }

    /// Works for one slice.
    ///
    /// # Errors
    /// When a connection is lost or cannot be made. A statement that fails is counted, and no error.
    pub(super) async fn drive(&self, slice: Slice) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        let mut total = Outcome::new(start, slice.duration);
        if slice.pace == Pace::Herd {
            self.drive_herd(start, slice, &mut total).await?;
        } else {
            let schedule = self.schedule(start, slice);
            let turns = Arc::new(Turns::new(&self.shared.paced, start));
            let mut running = JoinSet::new();
            for (number, session) in self.sessions.iter().enumerate() {
                let worker = Worker::new(&self.shared, session.clone(), slice.seed, number);
                let outcome = Outcome::new(start, slice.duration);
                running.spawn(worker.run(
                    outcome,
                    start + slice.duration,
                    schedule.clone(),
                    Arc::clone(&turns),
                ));
            }
            while let Some(outcome) = running.join_next().await {
                total.add(&outcome.context("a worker panicked")??);
            }
        }
        total.elapsed = start.elapsed();
        Ok(total)
    }

    fn schedule(&self, start: Instant, slice: Slice) -> Option<Arc<Schedule>> {
        let Pace::Open(rate) = slice.pace else {
            return None;
        };
        let schedule = Schedule::new(start, rate, slice.duration, self.sessions.len());
        let schedule = Arc::new(schedule);
        schedule.release_from_thread();
        Some(schedule)
    }

    /// Wave after wave: what spoils the cache, then everybody at once.
    async fn drive_herd(
        &self,
        start: Instant,
        slice: Slice,
        total: &mut Outcome,
    ) -> anyhow::Result<()> {
        let actions = &self.shared.plan.scenario.actions;
        let spoil = actions.iter().position(|action| action.name == "spoil");
        let spoil = spoil.context("a herd has an action that spoils")?;
        let mut workers: Vec<Worker> = Vec::new();
        for (number, session) in self.sessions.iter().enumerate() {
            workers.push(Worker::new(
                &self.shared,
                session.clone(),
                slice.seed,
                number,
            ));
        }
        while start.elapsed() < slice.duration {
            let mut alone = Outcome::new(start, slice.duration);
            let leader = workers.first_mut().context("a herd has members")?;
            leader.act(&mut alone, spoil, Instant::now()).await?;
            for (code, count) in alone.errors {
                *total.errors.entry(code).or_default() += count;
            }
            let mut running = JoinSet::new();
            for mut worker in workers.drain(..) {
                running.spawn(async move {
                    let mut outcome = Outcome::new(start, slice.duration);
                    let action = worker.choose();
                    worker.act(&mut outcome, action, Instant::now()).await?;
                    anyhow::Ok((worker, outcome))
                });
            }
            while let Some(ended) = running.join_next().await {
                let (worker, outcome) = ended.context("a worker panicked")??;
                total.add(&outcome);
                workers.push(worker);
            }
        }
        Ok(())
    }
}

/// Whose turn it is with the actions that are done so many times a second.
struct Turns {
    start: Instant,
    /// Action, how often a second, and how often so far.
    actions: Vec<(usize, u32, AtomicU64)>,
}

impl Turns {
    fn new(paced: &[(usize, u32)], start: Instant) -> Self {
        let actions = paced
            .iter()
            .map(|&(action, rate)| (action, rate, AtomicU64::new(0)));
        Self {
            start,
            actions: actions.collect(),
        }
    }

    /// An action that is due and that nobody else has taken.
    fn take(&self) -> Option<usize> {
        let elapsed = self.start.elapsed().as_secs_f64();
        let due = self.actions.iter().find(|(_, rate, done)| {
            let allowed = (elapsed * f64::from(*rate)) as u64 + 1;
            let take = |done: u64| (done < allowed).then_some(done + 1);
            done.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
        });
        due.map(|(action, ..)| *action)
    }
}

/// One of the scenario's users.
struct Worker {
    shared: Arc<Shared>,
    session: Option<Arc<Session>>,
    random: ChaCha8Rng,
}

impl Worker {
    fn new(shared: &Arc<Shared>, session: Option<Arc<Session>>, seed: u64, number: usize) -> Self {
        Self {
            shared: Arc::clone(shared),
            session,
            random: ChaCha8Rng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number as u64)),
        }
    }

    async fn run(
        mut self,
        mut outcome: Outcome,
        end: Instant,
        schedule: Option<Arc<Schedule>>,
        turns: Arc<Turns>,
    ) -> anyhow::Result<Outcome> {
        if let Some(schedule) = schedule {
            while let Some(due) = schedule.next(&mut outcome, end + GRACE).await {
                let action = self.choose();
                self.act(&mut outcome, action, due).await?;
            }
            return Ok(outcome);
        }
        let think = Duration::from_millis(self.shared.plan.scenario.think_ms);
        while Instant::now() < end {
            let action = turns.take().unwrap_or_else(|| self.choose());
            self.act(&mut outcome, action, Instant::now()).await?;
            if !think.is_zero() {
                tokio::time::sleep(think).await;
            }
        }
        Ok(outcome)
    }

    fn choose(&mut self) -> usize {
        let weighted = &self.shared.weighted;
        let total = weighted.last().map_or(1, |(_, sum)| *sum);
        let point = self.random.random_range(0..total);
        let chosen = weighted.iter().find(|(_, sum)| point < *sum);
        chosen.map_or(0, |(action, _)| *action)
    }

    /// Does an action; its latency counts from `since` on.
    async fn act(
        &mut self,
        outcome: &mut Outcome,
        action: usize,
        since: Instant,
    ) -> anyhow::Result<()> {
        let values = self.shared.pools.draw(&mut self.random);
        let ran = match &self.session {
            Some(session) => session.run(action, &values).await,
            None => match Session::open(&self.shared.url, &self.shared.plan).await {
                Ok(session) => session.run(action, &values).await,
                Err(error) => Err(error),
            },
        };
        match ran {
            Ok(statements) => {
                let writes = self.shared.plan.scenario.actions[action].writes;
                outcome.answered(since.elapsed(), statements, writes);
                self.shared.progress.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                outcome.failed(&error);
                let lost = self
                    .session
                    .as_ref()
                    .is_some_and(|session| session.is_closed());
                ensure!(!lost, "the connection was lost: {error:#}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paced_actions_come_as_often_as_they_should_and_no_more() {
        let turns = Turns::new(&[(3, 10)], Instant::now());
        let mut taken = 0;
        for _ in 0..1_000 {
            taken += u32::from(turns.take() == Some(3));
            tokio::time::advance(Duration::from_millis(2)).await;
        }
        // Two seconds at ten a second.
        assert_eq!(taken, 20);
    }
}
