//! What instances share: results in Redis, and the words they are valid under.
//!
//! `docs/fleet.md` tells this to operators and proves it. In short:
//!
//! - **One order.** Every window that opens or closes, and everything that voids all results, is a *message*. A program
//!   that Redis runs ([`script`]) gives it the next number, records it and publishes it in one atomic step. Members
//!   apply messages in that order; a gap, or a connection lost, means joining anew.
//! - **Open everywhere, then commit.** A change is sent to PostgreSQL only when every member has applied the message
//!   that opened its window, or its lease has surely run out. A member serves from its memory only within its lease,
//!   which it counts from before the step that renewed it was sent, by its own monotonic clock.
//! - **Results carry the number they were read under.** A result in Redis holds the last message that the instance
//!   had applied *before* it took its stamps and asked PostgreSQL. It may be served where no word that it depends on
//!   was opened by a later message, and none is open now. So a result that was stored late, or by an instance that
//!   was cut off meanwhile, is harmless, and reading one takes one round trip: what was opened when, every member
//!   knows by itself ([`versions`]).
//! - **Nothing outlives the memory of Redis.** The state carries a random epoch, and the run id of the server process.
//!   Where it is lost, in part or as a whole, or the process is another one, a new epoch begins, older results are void,
//!   and nobody serves or commits before a lease of an earlier epoch would have run out.
//! - **Windows of the dead.** What an instance has left open, all others hold open until the server process that
//!   carries it out is gone, as each does with its own. Its silence voids everything, once.

mod drive;
mod envelope;
mod fleet;
mod link;
mod message;
mod numbers;
mod script;
mod store;
mod tier;
mod versions;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cache::entry::Entry;
use crate::config::{self, Coherence, Config};
use crate::freshness::window::Freshness;
use crate::freshness::words::Slot;
use drive::{Driver, random_name};
use fleet::{Fleet, Terms};
use link::{Names, Place};
use numbers::Numbers;
pub use numbers::Report;
pub use tier::{Destination, Hit};
use tier::{Fills, Tier};
use versions::Versions;

/// The tier that is shared, and the fleet that shares it.
pub struct Shared {
    tier: Arc<Tier>,
    coherence: Coherence,
    place: Arc<Place>,
    parts: Mutex<Option<(Driver, Fills)>>,
    driving: Mutex<Option<JoinHandle<()>>>,
    stop: CancellationToken,
}

/// What a result that is about to be asked for may be stored under. To be had before its stamps are taken.
pub struct Ticket(versions::Ticket<envelope::Keys>);

/// What was asked, by whom.
pub struct Question<'a> {
    /// Everything about the session that makes a difference, hashed.
    pub context: &'a [u8; 32],
    /// The text and its parameter types; of a simple query the text alone.
    pub statement: &'a [u8],
    /// Parameters and formats; `None` for a simple query.
    pub bind: Option<&'a [u8]>,
}

impl Shared {
    /// The tier of a configuration; `None` if it has none. Nothing is connected to yet, but from here on nothing is
    /// served that a peer would have to know of.
    ///
    /// # Errors
    /// What is wrong with the configuration, in one line.
    pub fn new(
        config: &Config,
        freshness: &Arc<Freshness>,
        has_one_server: bool,
    ) -> Result<Option<Arc<Self>>, String> {
        if !config.is_shared() {
            return Ok(None);
        }
        let redis = &config.redis;
        let place = Arc::new(Place::new(redis)?);
        let encryption = config::read_encryption_keys(redis)?;
        let words = freshness.words().len();
        let (versions, numbers) = (Arc::new(Versions::new(words)), Arc::new(Numbers::new()));
        let needs_lease = redis.coherence == Coherence::Strict;
        let events = freshness.peers().attach(needs_lease);
        let events = events.ok_or("the words have peers already")?;
        let terms = Terms {
            coherence: redis.coherence,
            lease: redis.lease,
            has_one_server,
            encryption,
        };
        let names = Names::new(&config.cache.key_prefix);
        let limits = (
            redis.clone(),
            names.entries.clone(),
            config.cache.result_max_bytes,
        );
        let (tier, fills) = Tier::new(
            limits,
            Arc::clone(freshness),
            Arc::clone(&versions),
            Arc::clone(&numbers),
        );
        let id = name_of(&redis.instance);
        let stop = CancellationToken::new();
        let driver = Driver {
            fleet: Fleet::new(
                Arc::clone(freshness),
                versions,
                Arc::clone(&numbers),
                terms,
                id,
            ),
            events,
            place: Arc::clone(&place),
            names,
            numbers,
            words,
            lease: redis.lease,
            stop: stop.clone(),
            is_loss_told: false,
            url: config.redis.masked(),
        };
        Ok(Some(Arc::new(Self {
            tier,
            coherence: redis.coherence,
            place,
            parts: Mutex::new(Some((driver, fills))),
            driving: Mutex::new(None),
            stop,
        })))
    }

    /// Joins the fleet, and keeps in it. The second time nothing happens.
    pub fn start(&self) {
        let Some((driver, fills)) = self.parts.lock().take() else {
            return;
        };
        let tier = Arc::clone(&self.tier);
        let mending = Arc::clone(&tier).mend(Arc::clone(&self.place), self.stop.clone());
        tokio::spawn(mending);
        tokio::spawn(fills.run(tier));
        *self.driving.lock() = Some(tokio::spawn(driver.run()));
    }

    /// Leaves the fleet: nobody waits for this instance any more. It must not change anything after this.
    pub async fn leave(&self) {
        self.stop.cancel();
        let driving = self.driving.lock().take();
        if let Some(driving) = driving {
            let _ = driving.await;
        }
    }

    /// What a result may be stored under that is about to be asked for; `None` while this instance is in no fleet.
    #[must_use]
    pub fn ticket(&self) -> Option<Ticket> {
        self.tier.ticket().map(Ticket)
    }

    /// Where the answer to a question is.
    #[must_use]
    pub fn destination(&self, ticket: Ticket, question: &Question<'_>) -> Destination {
        let question = envelope::Question {
            context: question.context,
            statement: question.statement,
            bind: question.bind,
        };
        self.tier.destination(ticket.0, &question)
    }

    /// Looks for a result that depends on no other words than `slots`, for no longer than configured. The caller has
    /// taken stamps of them since it has its ticket, and looks at the stamps again before it uses what is found.
    pub async fn find(&self, destination: &Destination, slots: &[Slot]) -> Option<Hit> {
        self.tier.find(destination, slots).await
    }

    /// Stores a result that was kept, in the background.
    pub fn keep(
        &self,
        destination: Destination,
        entry: &Arc<Entry>,
        rows_at: usize,
        ends: Option<Instant>,
    ) {
        self.tier.keep(destination, entry, rows_at, ends);
    }

    /// The numbers so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let coherence = match self.coherence {
            Coherence::Alone => "alone",
            Coherence::Eventual => "eventual",
            Coherence::Strict => "strict",
        };
        self.tier.numbers.report(coherence, self.tier.is_broken())
    }
}

/// The name of an instance: another one each time it is started.
fn name_of(instance: &str) -> String {
    if instance.is_empty() {
        return random_name();
    }
    // A colon ends it in the names of windows, and a space in acknowledgements.
    format!("{}.{}", instance.replace([':', ' '], "_"), random_name())
}
