//! The server connections of one (database, user, start-up parameters).
//!
//! Every connection holds a [`Place`], and there are `max` of them. Who finds neither a free connection nor
//! a free place waits in one queue, first come first served. A client that logs in needs a place too: its
//! own login opens the connection, since the proxy may know no password ([`Pool::admit`]).
//!
//! Connections differ by their [`Baseline`]: a session only gets one that started with the settings the
//! session itself started with.

mod drawn;
mod opening;
mod upkeep;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Error;
use super::connection::{Baseline, Connection, Health};
use super::kind::Kind;
use super::lease::{Lease, Place};
use super::login::{self, Credentials, Opened};
use super::patience::Patience;
use super::server::Route;
use crate::freshness::window::Freshness;
use crate::observe::{Counter, Metrics};
use crate::protocol::startup::Startup;
use opening::Opening;

/// The server connections of one kind of session.
pub struct Pool {
    startup: Startup,
    route: Arc<Route>,
    pub(super) metrics: Arc<Metrics>,
    freshness: Arc<Freshness>,
    state: Mutex<State>,
    opening: tokio::sync::Mutex<Option<Arc<Opening>>>,
    clients: AtomicU32,
    pinned_sessions: AtomicU32,
}

#[derive(Default)]
struct State {
    #[expect(
        clippy::vec_box,
        reason = "a connection moves between leases, the queue and this list, and is large"
    )]
    idle: Vec<Box<Connection>>,
    places_taken: u32,
    waiting: VecDeque<Waiting>,
    credentials: Option<Credentials>,
    /// How many there were before these.
    credentials_before: u64,
    pinned: BTreeMap<&'static str, u32>,
    /// The baselines of its connections and sessions, each of them once.
    baselines: Vec<Weak<Baseline>>,
}

impl State {
    /// The idle connection that a session of this kind gets: best one that needs no other settings, and of these the
    /// one that its client was told of.
    fn choose(&self, kind: &Kind) -> Option<usize> {
        let can_connect = self.credentials.is_some();
        let idle = self.idle.iter().enumerate();
        idle.filter(|(_, connection)| kind.admits(connection, can_connect))
            .max_by_key(|(_, connection)| (kind.matches(connection), kind.is_home(connection)))
            .map(|(at, _)| at)
    }
}

struct Waiting {
    wants: Wants,
    grant: oneshot::Sender<Grant>,
}

enum Wants {
    Connection(Kind),
    Place,
}

enum Grant {
    Connection(Box<Connection>),
    Place(Place),
}

/// The numbers of a pool, for the admin side.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// Connections and logins under way.
    pub places_taken: u32,
    /// Connections nobody uses.
    pub idle: u32,
    /// Sessions that wait for one.
    pub waiting: u32,
    /// Sessions that keep one.
    pub pinned_sessions: u32,
    /// Why they do; a session may have several reasons.
    pub pinned: BTreeMap<&'static str, u32>,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(
        startup: Startup,
        route: Arc<Route>,
        metrics: Arc<Metrics>,
        freshness: Arc<Freshness>,
    ) -> Arc<Self> {
        let upstream = &route.upstream;
        let is_ours = startup.user().is_some_and(|user| user == upstream.user);
        let credentials = upstream
            .password
            .clone()
            .filter(|_| is_ours)
            .map(Credentials::Password);
        let state = Mutex::new(State {
            credentials,
            ..State::default()
        });
        Arc::new(Self {
            startup,
            route,
            metrics,
            freshness,
            state,
            opening: tokio::sync::Mutex::new(None),
            clients: AtomicU32::new(0),
            pinned_sessions: AtomicU32::new(0),
        })
    }

    /// The start-up message of its sessions.
    #[must_use]
    pub fn startup(&self) -> &Startup {
        &self.startup
    }

    /// Where its connections lead.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// A client of this pool came.
    pub fn client_came(&self) {
        self.clients.fetch_add(1, Ordering::SeqCst);
    }

    /// A client of this pool left.
    pub fn client_left(&self) {
        self.clients.fetch_sub(1, Ordering::SeqCst);
    }

    /// Is it of no use to anybody?
    #[must_use]
    pub fn is_deserted(&self) -> bool {
        self.clients.load(Ordering::SeqCst) == 0 && self.state.lock().places_taken == 0
    }

    /// The numbers now.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let state = self.state.lock();
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        // Those who gave up stay in the queue until it is their turn.
        let waiting = state.waiting.iter().filter(|next| !next.grant.is_closed());
        Numbers {
            places_taken: state.places_taken,
            idle: count(state.idle.len()),
            waiting: count(waiting.count()),
            pinned_sessions: self.pinned_sessions.load(Ordering::Relaxed),
            pinned: state.pinned.clone(),
        }
    }

    /// Counts a session that keeps its connection, or no longer does.
    pub fn count_pinned_session(&self, pinned: bool) {
        if pinned {
            self.pinned_sessions.fetch_add(1, Ordering::Relaxed);
        } else {
            self.pinned_sessions.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Counts a reason for which a session keeps its connection, or no longer does.
    pub fn count_pin(&self, reason: &'static str, pinned: bool) {
        let mut state = self.state.lock();
        let count = state.pinned.entry(reason).or_default();
        *count = if pinned {
            *count + 1
        } else {
            count.saturating_sub(1)
        };
        state.pinned.retain(|_, count| *count > 0);
    }

    /// The one of all equal baselines that stands for them, so that comparing two mostly takes no look at them.
    #[must_use]
    pub fn intern(&self, baseline: Baseline) -> Arc<Baseline> {
        let mut state = self.state.lock();
        state.baselines.retain(|known| known.strong_count() > 0);
        let mut known = state.baselines.iter().filter_map(Weak::upgrade);
        if let Some(known) = known.find(|known| **known == baseline) {
            return known;
        }
        let baseline = Arc::new(baseline);
        state.baselines.push(Arc::downgrade(&baseline));
        baseline
    }

    /// A login showed how this user can be logged in again.
    pub fn learn(&self, credentials: Credentials) {
        let mut state = self.state.lock();
        state.credentials = Some(credentials);
        state.credentials_before += 1;
    }

    /// A client has proven to the proxy who it is. A password that is known answers more than the proof does.
    pub fn learn_proven(&self, credentials: Credentials) {
        let knows_password = matches!(
            self.state.lock().credentials,
            Some(Credentials::Password(_))
        );
        if !knows_password || matches!(credentials, Credentials::Password(_)) {
            self.learn(credentials);
        }
    }

    /// A place for a login. An idle connection makes room if it must.
    ///
    /// # Errors
    /// [`Error::WaitTimeout`].
    pub async fn admit(self: &Arc<Self>) -> Result<Place, Error> {
        let waiting = {
            let mut state = self.state.lock();
            if let Some(place) = self.take_place(&mut state) {
                return Ok(place);
            }
            if let Some(oldest) = (!state.idle.is_empty()).then(|| state.idle.remove(0)) {
                drop(state);
                return Ok(oldest.close());
            }
            Self::wait(&mut state, Wants::Place)
        };
        match self.granted(waiting).await? {
            Grant::Place(place) => Ok(place),
            Grant::Connection(connection) => Ok(connection.close()),
        }
    }

    /// A connection that a session of this kind can use. Its settings are still those of its last session.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn acquire(self: &Arc<Self>, kind: &Kind) -> Result<Lease, Error> {
        let place = match self.try_acquire(kind)? {
            Attempt::Lease(lease) => return Ok(lease),
            Attempt::Connect(place) => place,
            Attempt::Wait(waiting) => match self.granted(waiting).await? {
                Grant::Connection(connection) => return Ok(Lease::new(connection)),
                Grant::Place(place) => place,
            },
        };
        let connection = self.connect(place, |_| ()).await?;
        if !kind.has_baseline_of(&connection) {
            // The role's or database's settings changed since the client logged in.
            self.release(Box::new(connection));
            return Err(Error::LoginRequired);
        }
        Ok(Lease::new(Box::new(connection)))
    }

    fn try_acquire(self: &Arc<Self>, kind: &Kind) -> Result<Attempt, Error> {
        let mut state = self.state.lock();
        let can_connect = state.credentials.is_some();
        while state.waiting.is_empty()
            && let Some(at) = state.choose(kind)
        {
            let mut connection = state.idle.remove(at);
            if self.is_usable(&mut connection) {
                return Ok(Attempt::Lease(Lease::new(connection)));
            }
            parking_lot::MutexGuard::unlocked(&mut state, || drop(connection.close()));
        }
        if can_connect && state.waiting.is_empty() {
            if let Some(place) = self.take_place(&mut state) {
                return Ok(Attempt::Connect(place));
            }
            if let Some(other) = (!state.idle.is_empty()).then(|| state.idle.remove(0)) {
                drop(state);
                return Ok(Attempt::Connect(other.close()));
            }
        }
        if !can_connect && state.places_taken == 0 {
            return Err(Error::LoginRequired);
        }
        Ok(Attempt::Wait(Self::wait(
            &mut state,
            Wants::Connection(kind.clone()),
        )))
    }

    /// Gives a connection back; one that is not clean, too old, or of no more use is closed.
    pub(super) fn release(self: &Arc<Self>, mut connection: Box<Connection>) {
        if connection.cancel.is_under_way() {
            let pool = Arc::clone(self);
            tokio::spawn(async move {
                connection.cancel.settled().await;
                pool.release(connection);
            });
            return;
        }
        if !connection.is_clean() {
            drop(connection.close());
            return;
        }
        connection.idle_since = Instant::now();
        let mut state = self.state.lock();
        if state.credentials.is_some() && connection.opened.elapsed() > self.route.limits.lifetime {
            drop(state);
            drop(connection.close());
            return;
        }
        let can_connect = state.credentials.is_some();
        while let Some(next) = state.waiting.pop_front() {
            let grant = match &next.wants {
                Wants::Connection(kind) if kind.admits(&connection, can_connect) => {
                    Grant::Connection(connection)
                }
                Wants::Connection(_) | Wants::Place => {
                    Grant::Place(parking_lot::MutexGuard::unlocked(&mut state, || {
                        connection.close()
                    }))
                }
            };
            match next.grant.send(grant) {
                Ok(()) => return,
                Err(Grant::Connection(back)) => connection = back,
                Err(Grant::Place(place)) => {
                    drop(state);
                    drop(place);
                    return;
                }
            }
        }
        state.idle.push(connection);
    }

    /// Opens a connection, in several tries if need be; what the server says beside its settings goes to `aside`.
    async fn connect(
        &self,
        place: Place,
        mut aside: impl FnMut(&[u8]),
    ) -> Result<Connection, Error> {
        let mut patience = Patience::new(&self.route, &self.metrics);
        loop {
            match self.connect_once(&mut aside).await {
                Ok(opened) => {
                    patience.succeeded();
                    return Ok(self.hold(opened, place).await);
                }
                Err(error) => patience.failed(error).await?,
            }
        }
    }

    async fn connect_once(&self, aside: impl FnMut(&[u8])) -> Result<Opened, Error> {
        let (credentials, before) = {
            let state = self.state.lock();
            let credentials = state.credentials.clone().ok_or(Error::LoginRequired)?;
            (credentials, state.credentials_before)
        };
        let limit = self.route.limits.connect_timeout;
        let (upstream, startup) = (&self.route.upstream, &self.startup);
        let connected = login::connect(upstream, startup, &credentials, limit, aside).await;
        if let Err(error) = &connected {
            self.doubt(&credentials, before, error);
        }
        let counter = match &connected {
            Ok(_) => Counter::ServerConnectsOk,
            Err(_) => Counter::ServerConnectsFailed,
        };
        self.metrics.add(counter, 1);
        connected
    }

    /// Takes a connection over. If its server is not the one that was known, nobody serves what that had shown by the
    /// time this returns.
    async fn hold(&self, opened: Opened, place: Place) -> Connection {
        let connection = opened.hold(place);
        let start = connection.backend.postmaster_start;
        self.freshness
            .note_postmaster(&self.route.server.identity, start);
        self.freshness.peers().bumps_known().await;
        connection
    }

    /// What a proof gave away is of no more use once the server refuses it: the password has changed. The next
    /// client that proves itself brings the new one.
    fn doubt(&self, credentials: &Credentials, before: u64, error: &Error) {
        let is_proven = matches!(credentials, Credentials::Scram(_) | Credentials::Md5(_));
        if !is_proven || !error.is_about_credentials() {
            return;
        }
        let mut state = self.state.lock();
        if state.credentials_before == before {
            state.credentials = None;
        }
    }

    fn is_usable(&self, connection: &mut Connection) -> bool {
        match connection.check() {
            Health::Alive => true,
            Health::Dead(farewell) => {
                if farewell.may_lose_history() {
                    self.freshness.bump_everything();
                }
                false
            }
            Health::SettingsChanged => {
                // The server's configuration was reloaded: what was read before may look different now.
                self.freshness.bump_everything();
                false
            }
        }
    }

    fn take_place(self: &Arc<Self>, state: &mut State) -> Option<Place> {
        (state.places_taken < self.route.limits.max && state.waiting.is_empty()).then(|| {
            state.places_taken += 1;
            Place::new(Arc::clone(self))
        })
    }

    fn wait(state: &mut State, wants: Wants) -> oneshot::Receiver<Grant> {
        let (grant, waiting) = oneshot::channel();
        state.waiting.push_back(Waiting { wants, grant });
        waiting
    }

    async fn granted(&self, waiting: oneshot::Receiver<Grant>) -> Result<Grant, Error> {
        let limit = self.route.limits.wait_timeout;
        match tokio::time::timeout(limit, waiting).await {
            Ok(Ok(grant)) => Ok(grant),
            Ok(Err(_)) => Err(Error::LoginRequired),
            Err(_) => {
                self.metrics.add(Counter::PoolWaitTimeouts, 1);
                Err(Error::WaitTimeout(limit))
            }
        }
    }

    /// A place became free: the next in the queue that can use it gets it.
    pub(super) fn place_freed(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.places_taken -= 1;
        state.waiting.retain(|waiting| !waiting.grant.is_closed());
        // Without credentials a place is of use only to a login.
        let can_connect = state.credentials.is_some();
        let next = state
            .waiting
            .iter()
            .position(|waiting| can_connect || matches!(waiting.wants, Wants::Place));
        if let Some(next) = next.and_then(|at| state.waiting.remove(at)) {
            state.places_taken += 1;
            drop(state);
            // If it is gone by now, dropping the place brings us here again.
            let _ = next.grant.send(Grant::Place(Place::new(Arc::clone(self))));
            return;
        }
        if state.places_taken == 0 {
            // Nobody is left who could bring a connection: those who wait for one learn it now.
            state.waiting.clear();
        }
    }
}

enum Attempt {
    Lease(Lease),
    Connect(Place),
    Wait(oneshot::Receiver<Grant>),
}

/// How often [`Pool::maintain`] is to be called.
pub const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(1);
