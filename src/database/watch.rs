//! Notices definitions that were changed elsewhere: by somebody who does not come through the proxy.
//!
//! While a database has clients, a connection of the proxy's own asks once in a while whether the catalog is still as
//! the snapshot has it ([`catalog::digest`](crate::catalog::digest)). An answer vouches for the snapshot, and for every
//! result found by it, for a limited time. When nothing vouches any more, nothing is served until something does.
//!
//! The connection is closed with the last client, so that it never keeps anybody from dropping the database who would
//! not be kept from it by clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::AbortHandle;
use tokio_postgres::{Client, Statement};

use super::Database;
use crate::analysis::Oid;
use crate::catalog::digest::{self, Digest, Found};
use crate::freshness::window::Outcome;
use crate::freshness::words::Slot;
use crate::observe::Counter;
use crate::upstream::control::{self, ControlError};

/// How long one question may take, connecting included.
const LIMIT: Duration = Duration::from_secs(10);

/// The connection pauses for at least so many times as long as a question took, but for no more intervals than that.
const PAUSE_FACTOR: u32 = 10;

/// An answer vouches for so many intervals...
const INTERVALS: u32 = 5;

/// ... or pauses, if those are longer.
const PAUSES: u32 = 3;

/// The question must neither wait for others nor be in anybody's way.
const BEGIN: &str = "SET search_path = pg_catalog;
SET statement_timeout = '10s';
SET lock_timeout = '50ms';
SET jit = off;
SET max_parallel_workers_per_gather = 0;
SET default_transaction_read_only = on";

/// Why the catalog was loaded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// It was not known.
    Start,
    /// A statement came through that may have changed it, or the server has restarted.
    Statement,
    /// It was seen to have changed elsewhere.
    Elsewhere,
}

/// How often the catalog was loaded, by cause.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Loads {
    /// It was not known.
    pub start: u64,
    /// A statement came through that may have changed it, or the server has restarted.
    pub statement: u64,
    /// It was seen to have changed elsewhere.
    pub elsewhere: u64,
}

/// What is known of changes made elsewhere.
pub(super) struct Watch {
    /// Zero: nobody looks.
    interval: Duration,
    birth: Instant,
    /// Until when the last answer vouches, in nanoseconds since `birth`.
    answered_until: AtomicU64,
    /// The same, or longer while a question is under way.
    vouched_until: AtomicU64,
    sessions: Mutex<Sessions>,
    /// One newcomer asks for all.
    asking: tokio::sync::Mutex<()>,
    history: Mutex<History>,
}

#[derive(Default)]
struct Sessions {
    count: u64,
    task: Option<AbortHandle>,
}

#[derive(Default)]
struct History {
    loads: Loads,
    next: Option<Cause>,
    /// Whether the log has said that nothing is served.
    is_silent: bool,
}

/// A session is in the database.
pub struct Attendance(Arc<Database>);

/// A question is under way. When it is over, however it ends, only answers vouch.
struct Extension<'a>(&'a Watch);

/// The connection, with its question prepared.
struct Control {
    client: Client,
    question: Statement,
}

impl Watch {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            birth: Instant::now(),
            answered_until: AtomicU64::new(0),
            vouched_until: AtomicU64::new(0),
            sessions: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            history: Mutex::default(),
        }
    }

    fn is_off(&self) -> bool {
        self.interval.is_zero()
    }

    /// Is the snapshot known to be true, or not to be doubted?
    pub(super) fn vouches(&self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.birth).as_nanos();
        self.is_off() || elapsed < u128::from(self.vouched_until.load(Ordering::SeqCst))
    }

    /// At `at` an answer came, that the catalog is true. How long it took is not held against it: a server that is busy
    /// is what the cache is for.
    pub(super) fn vouch(&self, at: Instant, pause: Duration) {
        let length = (self.interval * INTERVALS).max(pause * PAUSES);
        let until = self.nanoseconds(at + length);
        self.answered_until.fetch_max(until, Ordering::SeqCst);
        self.vouched_until.fetch_max(until, Ordering::SeqCst);
    }

    /// A question begins at `at`. If the last answer still vouches, it does so until there is another, or the question
    /// has failed.
    fn extend(&self, at: Instant) -> Extension<'_> {
        if self.vouches(at) {
            let until = self.nanoseconds(at + LIMIT + self.interval);
            self.vouched_until.fetch_max(until, Ordering::SeqCst);
        }
        Extension(self)
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.birth);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    fn pause_after(&self, took: Duration) -> Duration {
        (took * PAUSE_FACTOR).clamp(self.interval, self.interval * PAUSE_FACTOR)
    }

    /// Is anybody in the database? If not, nobody looks until somebody comes.
    pub(super) fn is_attended(&self) -> bool {
        self.sessions.lock().count > 0
    }

    /// A snapshot was loaded.
    pub(super) fn note_load(&self) {
        let mut history = self.history.lock();
        match history.next.take().unwrap_or(Cause::Start) {
            Cause::Start => history.loads.start += 1,
            Cause::Statement => history.loads.statement += 1,
            Cause::Elsewhere => history.loads.elsewhere += 1,
        }
        history.next = Some(Cause::Statement);
    }

    pub(super) fn loads(&self) -> Loads {
        self.history.lock().loads
    }
}

impl Drop for Extension<'_> {
    fn drop(&mut self) {
        let until = self.0.answered_until.load(Ordering::SeqCst);
        self.0.vouched_until.store(until, Ordering::SeqCst);
    }
}

impl Database {
    /// A session comes into the database: from here on changes made elsewhere are looked for.
    #[must_use]
    pub fn attend(self: &Arc<Self>) -> Attendance {
        let mut sessions = self.watch.sessions.lock();
        sessions.count += 1;
        let watches = self.config.cache.enabled && !self.watch.is_off();
        if watches && sessions.task.is_none() {
            let task = tokio::spawn(watch(Arc::clone(self)));
            sessions.task = Some(task.abort_handle());
        }
        Attendance(Arc::clone(self))
    }

    /// Is it known that the definitions have not been changed elsewhere, or does nobody ask? Without, no result may be
    /// served.
    #[must_use]
    pub fn is_vouched(&self, now: Instant) -> bool {
        self.watch.vouches(now)
    }

    /// Looks now, if nobody has looked for so long that results are not served.
    pub(super) async fn look_again(&self) {
        let _asking = self.watch.asking.lock().await;
        if !self.is_vouched(Instant::now()) {
            self.look(&mut None).await;
        }
    }

    /// Looks once. Returns how long to leave it.
    async fn look(&self, control: &mut Option<Control>) -> Duration {
        let started = Instant::now();
        let Some((stamp, before)) = self.current_digest() else {
            // What was kept by it is void already; the next load takes another digest.
            return self.watch.interval;
        };
        let extension = self.watch.extend(started);
        let found = tokio::time::timeout(LIMIT, self.compare(control, &before)).await;
        drop(extension);
        let found = found.unwrap_or_else(|late| Err(late.to_string()));
        let pause = self.watch.pause_after(started.elapsed());
        if !self.freshness.words().is_current(stamp) {
            // It was changed through the proxy meanwhile, and is known to be.
            return self.watch.interval;
        }
        match found {
            Ok(Found::Unchanged(digest)) => {
                self.renew_digest(stamp, digest);
                self.watch.vouch(Instant::now(), pause);
                self.tell_vouched();
            }
            Ok(Found::Rewritten { tables, digest }) => {
                self.note_rewritten(&tables);
                self.renew_digest(stamp, digest);
                self.watch.vouch(Instant::now(), pause);
                self.tell_vouched();
            }
            Ok(Found::Changed) => {
                // What this connection started with may be what has changed.
                *control = None;
                self.note_change_elsewhere();
            }
            Err(error) => {
                *control = None;
                self.tell_unanswered(&error);
                return self.watch.interval;
            }
        }
        pause
    }

    async fn compare(
        &self,
        control: &mut Option<Control>,
        before: &Digest,
    ) -> Result<Found, String> {
        if control
            .as_ref()
            .is_none_or(|control| control.client.is_closed())
        {
            let opened = self.open_control().await;
            *control = Some(opened.map_err(|error| error.to_string())?);
        }
        let Some(Control { client, question }) = control else {
            return Err("there is no connection".to_owned());
        };
        let found = digest::compare(client, question, before).await;
        found.map_err(|error| ControlError::from(error).to_string())
    }

    async fn open_control(&self) -> Result<Control, ControlError> {
        let (client, _driver) = control::connect(&self.origin.upstream, self.name()).await?;
        client.batch_execute(BEGIN).await?;
        let question = digest::prepare(&client).await?;
        Ok(Control { client, question })
    }

    /// Every result is void, and everything that was judged by the snapshot counts as not understood.
    fn note_change_elsewhere(&self) {
        self.watch.history.lock().next = Some(Cause::Elsewhere);
        self.metrics.add(Counter::CatalogChangesElsewhere, 1);
        self.freshness
            .open([Slot::CATALOG], None)
            .close(Outcome::Committed);
        tracing::info!(
            database = self.name(),
            "definitions, privileges or roles were changed elsewhere: results are void, and the catalog is loaded anew"
        );
    }

    /// What reads these tables is void. If they were written to through the proxy, it was before, and this is once more.
    fn note_rewritten(&self, tables: &[u32]) {
        let slots = tables
            .iter()
            .flat_map(|&oid| self.table_slots(Oid(oid), self.snapshot.load().as_deref()));
        self.freshness.open(slots, None).close(Outcome::Committed);
        tracing::debug!(
            database = self.name(),
            ?tables,
            "tables have new files: what reads them is void"
        );
    }

    fn tell_vouched(&self) {
        if std::mem::take(&mut self.watch.history.lock().is_silent) {
            tracing::info!(
                database = self.name(),
                "the catalog can be checked again, and results are served again"
            );
        }
    }

    fn tell_unanswered(&self, error: &str) {
        let is_vouched = self.is_vouched(Instant::now());
        let was_silent = std::mem::replace(&mut self.watch.history.lock().is_silent, !is_vouched);
        if !is_vouched && !was_silent {
            tracing::warn!(
                database = self.name(),
                "whether definitions have changed elsewhere cannot be found out, so nothing of the database is served \
                 from the cache until it can (cache.catalog_check = 0 does without): {error}"
            );
        }
    }
}

/// Looks for as long as the database has clients.
async fn watch(database: Arc<Database>) {
    let mut control = None;
    if database.is_vouched(Instant::now()) {
        tokio::time::sleep(database.watch.interval).await;
    }
    loop {
        let pause = database.look(&mut control).await;
        tokio::time::sleep(pause).await;
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let mut sessions = self.0.watch.sessions.lock();
        sessions.count -= 1;
        if sessions.count == 0
            && let Some(task) = sessions.task.take()
        {
            // The connection ends with its task.
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_vouches_for_five_intervals_or_three_pauses() {
        let watch = Watch::new(Duration::from_secs(1));
        let now = Instant::now();
        assert!(!watch.vouches(now), "nobody has looked yet");
        watch.vouch(now, Duration::from_secs(1));
        assert!(watch.vouches(now + Duration::from_millis(4_900)));
        assert!(!watch.vouches(now + Duration::from_millis(5_100)));
        watch.vouch(now, Duration::from_secs(4));
        assert!(watch.vouches(now + Duration::from_millis(11_900)));
        watch.vouch(now, Duration::from_secs(1));
        assert!(watch.vouches(now + Duration::from_millis(11_900)));
    }

    #[test]
    fn a_question_under_way_extends_an_answer_but_does_not_replace_one() {
        let watch = Watch::new(Duration::from_secs(1));
        let now = Instant::now();
        drop(watch.extend(now));
        assert!(!watch.vouches(now), "nobody has answered yet");
        watch.vouch(now, Duration::from_secs(1));
        let later = now + Duration::from_secs(4);
        let extension = watch.extend(later);
        assert!(watch.vouches(later + LIMIT));
        drop(extension);
        assert!(watch.vouches(later));
        assert!(
            !watch.vouches(later + Duration::from_secs(2)),
            "it has failed"
        );
        let extension = watch.extend(later);
        watch.vouch(later + Duration::from_secs(8), Duration::from_secs(1));
        drop(extension);
        assert!(watch.vouches(later + Duration::from_secs(12)));
        assert!(!watch.vouches(later + Duration::from_secs(14)));
    }

    #[test]
    fn nobody_doubts_what_nobody_looks_at() {
        assert!(Watch::new(Duration::ZERO).vouches(Instant::now()));
    }

    #[test]
    fn long_questions_are_asked_less_often() {
        let watch = Watch::new(Duration::from_secs(1));
        assert_eq!(
            watch.pause_after(Duration::from_millis(20)),
            Duration::from_secs(1)
        );
        assert_eq!(
            watch.pause_after(Duration::from_millis(300)),
            Duration::from_secs(3)
        );
        assert_eq!(
            watch.pause_after(Duration::from_secs(5)),
            Duration::from_secs(10)
        );
    }

    #[test]
    fn loads_are_counted_by_cause() {
        let watch = Watch::new(Duration::from_secs(1));
        watch.note_load();
        watch.note_load();
        watch.history.lock().next = Some(Cause::Elsewhere);
        watch.note_load();
        watch.note_load();
        let loads = Loads {
            start: 1,
            statement: 2,
            elsewhere: 1,
        };
        assert_eq!(watch.loads(), loads);
    }
}
