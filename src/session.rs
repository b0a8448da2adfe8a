//! One client's session: its requests, one after the other, answered from the cache or by a server.
//!
//! The loop in [`Session::run`] takes a request off the client's inbox, [`simple`] or [`extended`] decide
//! what becomes of it, [`lookup`] asks the cache, [`attach`] sends what is left to a server with its commit
//! window open, and [`relay`] carries the replies. A server connection is held for a transaction, or for as
//! long as the session has something that a shared connection cannot carry (a *pin*). Whatever way a session
//! ends, [`ending`] sees its server connection through to ReadyForQuery, so that its window closes.

mod attach;
mod begin;
mod client;
mod ending;
mod errors;
mod extended;
mod forward;
mod lookup;
mod names;
mod outgoing;
mod recall;
mod record;
mod relay;
mod retry;
mod revise;
mod sequences;
mod settings;
mod shared;
mod simple;
mod transaction;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use std::time::{Duration, Instant};

use bytes::BytesMut;
use client::{Client, Request};
use names::{Portals, Renaming, Statements};
use relay::Broken;
use transaction::{Effects, Transaction};

use crate::analysis::{Dialect, SessionEffect, SessionEffects, Settings};
use crate::cache::key::ContextId;
use crate::clients::{Admission, Membership};
use crate::database::Database;
use crate::database::statement::Statement;
use crate::database::watch::Attendance;
use crate::observe::{Counter, Route};
use crate::protocol::backend::TransactionStatus;
use crate::protocol::frontend::Malformed;
use crate::services::Services;
use crate::upstream::Error;
use crate::upstream::cancel::CancelSlot;
use crate::upstream::connection::{Baseline, Farewell, Parameters};
use crate::upstream::settings::unchanged;
use crate::upstream::socket::Socket;
use crate::upstream::{kind::Kind, lease::Lease, pool::Pool};

/// Why a session ends, or a request of it.
#[derive(Debug, thiserror::Error)]
enum End {
    /// The client said goodbye.
    #[error("terminated by the client")]
    Terminated,
    /// The proxy is shutting down.
    #[error("shutting down")]
    ShuttingDown,
    /// One of the two connections broke.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The server ended the session, and the client has been told why.
    #[error("ended by the server")]
    Fatal(Farewell),
    /// No server connection could be had.
    #[error(transparent)]
    Refused(Error),
    /// The client cancelled while it waited. Only the request ends.
    #[error("cancelled")]
    Cancelled,
    /// The client sent what cannot be a message.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A logged-in client.
pub struct Session {
    services: Arc<Services>,
    client: Client,
    pool: Arc<Pool>,
    database: Arc<Database>,
    _attendance: Attendance,
    /// The settings it began with, and what it has changed of them.
    kind: Kind,
    context: ContextId,
    dialect: Dialect,
    told_settings: Arc<Parameters>,
    cancel: Arc<CancelSlot>,
    membership: Membership,
    _admission: Admission,

    transaction: Transaction,
    statements: Statements,
    portals: Portals,
    /// What the pipeline so far did to the names of statements and portals.
    renamings: Vec<Renaming>,
    /// Statements that the request at hand closes by DEALLOCATE.
    deallocated: Vec<Box<[u8]>>,
    /// Tells the session from every other.
    number: u64,
    /// It may have drawn from a sequence.
    has_drawn: bool,
    server: Option<Lease>,
    pins: SessionEffects,
    /// The session's state differs from its baseline in a way that is not part of the cache key.
    untracked: bool,
    /// Settings that may have changed since the server was last asked for their values.
    touched: Settings,
    /// Code that is not understood has run, and nobody has looked yet whether it left temporary objects.
    temporary_unsure: bool,
    /// Statements that were sent while the catalog was not known, and what may be left of their effects on the
    /// session.
    unjudged: Vec<(Arc<Statement>, SessionEffects)>,
    /// A pipeline has been sent in part; its Sync is still to come.
    pipeline_open: bool,
    /// The request at hand is a pipeline whose Sync has not come yet.
    awaits_sync: bool,
    /// What its parts so far may do.
    unfinished: Effects,
    /// After an error in the extended protocol everything is ignored up to the Sync, simple queries included.
    skip_to_sync: bool,
    leaving: bool,

    /// What its answers depend on beside the statement, for other instances: of this context and server.
    fingerprint: Option<(ContextId, u64, [u8; 32])>,

    /// The cache key of the request at hand.
    key: Vec<u8>,
    /// What goes to the server next.
    to_server: Vec<u8>,
}

/// What a login has found out.
pub struct Arrival {
    /// The client's stream, and what it has sent already.
    pub socket: Socket,
    /// What was read ahead of the session.
    pub inbox: BytesMut,
    /// The pool that serves it; the session is counted among its clients.
    pub pool: Arc<Pool>,
    /// The settings it started with.
    pub baseline: Arc<Baseline>,
    /// Its place among the clients.
    pub membership: Membership,
    /// Its place among the connections.
    pub admission: Admission,
}

/// The numbers of sessions.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// How soon a session that waits for the catalog looks for it again.
const JUDGE_AGAIN: Duration = Duration::from_millis(20);

/// How long a part of a pipeline waits for its Sync or Flush. The server would act on it at once, and tell of an
/// error without being asked to; but mostly the rest is on its way, and a whole pipeline can be a hit.
const PART_PATIENCE: Duration = Duration::from_millis(10);

/// How much of a slow query's text is logged.
const SLOW_QUERY_LOG_BYTES: usize = 2000;

impl Session {
    /// A session for a client that has logged in.
    #[must_use]
    pub fn new(services: Arc<Services>, arrival: Arrival) -> Self {
        let Arrival {
            socket,
            inbox,
            pool,
            baseline,
            membership,
            admission,
        } = arrival;
        let kind = Kind {
            baseline,
            changes: unchanged(),
            told_pid: membership.key.pid,
        };
        let database = services.database(&kind.baseline.database, pool.route());
        let context = settings::context(&services, &database, &pool, &kind.baseline, &kind.changes);
        Self {
            client: Client::new(socket, inbox, membership.key.pid),
            _attendance: database.attend(),
            database,
            context,
            dialect: settings::dialect(&kind.baseline.parameters),
            told_settings: Arc::clone(&kind.baseline.parameters),
            cancel: Arc::clone(&membership.cancel),
            pool,
            kind,
            membership,
            _admission: admission,
            services,
            transaction: Transaction::default(),
            statements: Statements::new(),
            portals: Portals::new(),
            renamings: Vec::new(),
            deallocated: Vec::new(),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            has_drawn: false,
            server: None,
            pins: SessionEffects::default(),
            untracked: false,
            touched: Settings::default(),
            temporary_unsure: false,
            unjudged: Vec::new(),
            pipeline_open: false,
            awaits_sync: false,
            unfinished: Effects::default(),
            skip_to_sync: false,
            leaving: false,
            fingerprint: None,
            key: Vec::new(),
            to_server: Vec::new(),
        }
    }

    /// Serves the client until it leaves.
    pub async fn run(mut self) {
        let end = loop {
            match self.serve().await {
                End::Cancelled => self.report_cancelled(),
                end => break end,
            }
        };
        self.finish(end).await;
    }

    async fn serve(&mut self) -> End {
        loop {
            let served = match self.client.next_request() {
                Ok(Some(Request::Query(bytes, frame))) => self.query(bytes, frame).await,
                Ok(Some(Request::Segment(bytes, frames))) => self.segment(bytes, frames).await,
                Ok(Some(Request::Terminate)) => return End::Terminated,
                Ok(None) => self.wait().await,
                Err(malformed) => return malformed.into(),
            };
            if let Err(end) = served {
                return end;
            }
        }
    }

    /// Sends what is due and waits until the client, or an attached server, says something.
    async fn wait(&mut self) -> Result<(), End> {
        self.client.flush().await.map_err(Broken::Client)?;
        let may_leave = self.transaction.status == TransactionStatus::Idle && !self.pipeline_open;
        if self.leaving && may_leave {
            return Err(End::ShuttingDown);
        }
        let judging = !self.unjudged.is_empty();
        let has_part = self.client.has_part;
        let Some(server) = &mut self.server else {
            tokio::select! {
                biased;
                received = self.client.receive() => received.map_err(Broken::Client)?,
                _ = &mut self.membership.leave, if !self.leaving => self.leaving = true,
                () = tokio::time::sleep(PART_PATIENCE), if has_part => self.client.hands_on_part = true,
            }
            return Ok(());
        };
        tokio::select! {
            biased;
            received = self.client.receive() => received.map_err(Broken::Client)?,
            received = server.receive() => {
                received.map_err(Broken::Server)?;
                let farewell = relay::forward_unasked(&mut self.client, server)?;
                self.told_settings = server.parameters.clone();
                if let Some(farewell) = farewell {
                    return Err(End::Fatal(farewell));
                }
            }
            _ = &mut self.membership.leave, if !self.leaving => self.leaving = true,
            () = tokio::time::sleep(PART_PATIENCE), if has_part => self.client.hands_on_part = true,
            () = tokio::time::sleep(JUDGE_AGAIN), if judging => self.release_if_free(),
        }
        Ok(())
    }

    /// Ties the session to its server connection, if the request may leave something behind on it.
    fn pin(&mut self, effects: SessionEffects) {
        self.temporary_unsure |= effects.contains(SessionEffect::UnknownCode);
        for &effect in SessionEffect::ALL {
            if !effects.contains(effect) || !ties(effect) || self.pins.contains(effect) {
                continue;
            }
            if self.pins.is_empty() {
                self.pool.count_pinned_session(true);
            }
            self.pins.insert(effect);
            self.untracked |= makes_untracked(effect);
            self.pool.count_pin(effect.as_str(), true);
        }
    }

    /// May a name in the request stand for a temporary object, which no catalog snapshot shows, and so for any
    /// code?
    ///
    /// What was sent without a catalog counts for as long as it is not judged, but not for requests that have
    /// seen no catalog either: those are taken to do anything, and must not keep the catalog from being known.
    fn may_run_hidden_code(&self, part: &Effects) -> bool {
        let may_have_any = self.pins.contains(SessionEffect::Temporary)
            || self.temporary_unsure
            || !self.unjudged.is_empty() && part.catalog.is_some();
        may_have_any && part.runs_something()
    }

    /// Finds out what statements may have done to the session that were sent before the catalog was known.
    /// Until then the session keeps its connection and stays away from the cache.
    fn judge_late(&mut self) {
        while let Some((statement, remaining)) = self.unjudged.pop() {
            let plan = self.database.plan(&statement);
            if plan.is_blind && !self.database.is_catalog_out_of_reach() {
                self.unjudged.push((statement, remaining));
                return;
            }
            let effects = plan.session.intersection(remaining);
            self.pin(effects);
            self.stay_if_watched(effects);
        }
    }

    /// Unties the session from its connection, but for the effects in `lasting`.
    fn unpin(&mut self, lasting: SessionEffects) {
        let kept: SessionEffects = self
            .pins
            .iter()
            .filter(|&pin| lasting.contains(pin))
            .collect();
        for gone in self.pins.iter().filter(|&pin| !kept.contains(pin)) {
            self.pool.count_pin(gone.as_str(), false);
        }
        if kept.is_empty() && !self.pins.is_empty() {
            self.pool.count_pinned_session(false);
        }
        self.pins = kept;
        self.untracked = false;
    }

    /// Counts a request that a server has answered, and logs it if it was slow.
    fn note_served(&self, route: Route, started: Instant, sql: &[u8]) {
        let elapsed = started.elapsed();
        self.services.metrics.record(route, elapsed);
        if self
            .services
            .config
            .log
            .slow_query
            .is_some_and(|limit| elapsed >= limit)
        {
            self.services.metrics.add(Counter::SlowQueries, 1);
            let sql = String::from_utf8_lossy(&sql[..sql.len().min(SLOW_QUERY_LOG_BYTES)]);
            tracing::warn!(
                ms = elapsed.as_millis(),
                route = route.as_str(),
                "slow query: {sql}"
            );
        }
    }

    /// The statement of a text with parameter types.
    fn statement(&self, tail: &[u8]) -> Arc<Statement> {
        self.database.statement(tail, self.dialect())
    }

    /// How the server reads this session's texts, as far as is known.
    fn dialect(&self) -> Dialect {
        let is_known = !self.untracked
            && self.touched.is_empty()
            && self.unjudged.is_empty()
            && !self.transaction.has_settings();
        if is_known {
            self.dialect
        } else {
            Dialect::UNKNOWN
        }
    }
}

/// What DISCARD ALL does not undo: loaded libraries, the seed of `random()`, and whatever code keeps for itself
/// (connections to other servers, global variables of procedural languages).
const BEYOND_DISCARD: SessionEffects = SessionEffects::of(&[
    SessionEffect::Load,
    SessionEffect::RandomSeed,
    SessionEffect::UnknownCode,
]);

/// Must the session keep its connection after this?
const fn ties(effect: SessionEffect) -> bool {
    match effect {
        SessionEffect::AdvisoryLock
        | SessionEffect::HoldCursor
        | SessionEffect::Listen
        | SessionEffect::Load
        | SessionEffect::PreparedStatement
        | SessionEffect::RandomSeed
        | SessionEffect::Sequence
        | SessionEffect::SessionIdentity
        | SessionEffect::Setting
        | SessionEffect::Temporary
        | SessionEffect::UnknownCode => true,
        SessionEffect::Deallocate
        | SessionEffect::Discard
        | SessionEffect::DiscardAll
        | SessionEffect::SequenceDraw
        | SessionEffect::LocalSetting
        | SessionEffect::NamedSetting => false,
    }
}

/// May it change what other statements of the session return, in a way that no cache key shows?
const fn makes_untracked(effect: SessionEffect) -> bool {
    match effect {
        SessionEffect::Load
        | SessionEffect::Setting
        | SessionEffect::Temporary
        | SessionEffect::UnknownCode => true,
        SessionEffect::AdvisoryLock
        | SessionEffect::Deallocate
        | SessionEffect::Discard
        | SessionEffect::DiscardAll
        | SessionEffect::HoldCursor
        | SessionEffect::Listen
        | SessionEffect::LocalSetting
        | SessionEffect::NamedSetting
        | SessionEffect::PreparedStatement
        | SessionEffect::RandomSeed
        | SessionEffect::Sequence
        | SessionEffect::SequenceDraw
        | SessionEffect::SessionIdentity => false,
    }
}
