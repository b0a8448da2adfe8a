//! What a hostile reading of the core came up with, one test each.
//!
//! Every one of these sequences once served a stale row, committed what its client had given up, left
//! something of one client to the next, or made a client wait for ever.

mod abandoned;
mod catalog;
mod names;
mod side_doors;
mod skipped;
mod transactions;
mod waiting;

use crate::scene::{SOON, Scene};
use crate::support::{Stage, eventually};
use crate::wire::{Wire, errors, query, values};

/// All clients share one server connection, so whatever is left on it is found by the next.
const ONE_CONNECTION: &str = "[pool]\nmax = 1\n";

/// A read that always goes to the server.
const UNCACHED: &str = "SELECT random() > 2";

const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10), (2, 20); \
    CREATE TABLE u (v int); INSERT INTO u VALUES (1)";

const READ: &str = "SELECT v FROM t WHERE id = 1";
const UPDATE: &str = "UPDATE t SET v = v + 1 WHERE id = 1";

/// Reads one value through the proxy, again and again, and compares it with what PostgreSQL says.
#[derive(Debug)]
struct Witness {
    proxied: Wire,
    direct: Wire,
    read: Vec<u8>,
}

impl Witness {
    /// A witness whose read is in the cache.
    async fn new(scene: &Scene, sql: &str) -> Self {
        let mut witness = Self {
            proxied: client(&scene.stage).await,
            direct: direct(&scene.stage).await,
            read: query(sql),
        };
        witness.is_served(scene).await;
        witness
    }

    /// Waits until its read is in the cache: the proxy knows the catalog as it is now.
    async fn is_served(&mut self, scene: &Scene) -> String {
        let mut seen = String::new();
        eventually(SOON, async || {
            let hits = scene.stage.hits().await;
            seen = self.sees().await;
            scene.stage.hits().await > hits
        })
        .await;
        seen
    }

    /// What the read returns. It is made twice, since the first may put a result into the cache.
    ///
    /// # Panics
    /// When proxy and server disagree.
    #[track_caller]
    fn sees(&mut self) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        async move {
            let expected = self.direct.ask(&self.read).await;
            for _ in 0..2 {
                let found = self.proxied.ask(&self.read).await;
                assert_eq!(found, expected, "the server's answer: {caller}");
            }
            values(&expected).remove(0)
        }
    }
}

/// A client of the proxy.
async fn client(stage: &Stage) -> Wire {
    Wire::login(stage.proxy.port(), "app").await
}

/// A client of PostgreSQL itself.
async fn direct(stage: &Stage) -> Wire {
    Wire::login(stage.postgres.port(), "app").await
}

/// Runs a simple query that has to succeed, and returns the first column of its rows.
#[track_caller]
fn run(wire: &mut Wire, sql: &str) -> impl Future<Output = Vec<String>> {
    let caller = std::panic::Location::caller();
    async move {
        let reply = wire.ask(&query(sql)).await;
        assert!(errors(&reply).is_empty(), "{sql}: {reply:?}, {caller}");
        values(&reply)
    }
}

/// Waits until somebody waits for a lock.
async fn until_blocked(direct: &mut Wire) {
    eventually(SOON, async || {
        run(direct, "SELECT count(*) FROM pg_locks WHERE NOT granted").await == ["1"]
    })
    .await;
}
