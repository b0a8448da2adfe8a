//! Two equal databases of one server: one is asked directly, the other through the proxy, and the answers are
//! compared byte for byte.
//!
//! The second database is copied from the first, so the OIDs of their tables are equal, too. A script is run
//! on three fresh connections and three times on one more: what is cached the first time is a hit later.

use pgkeel_bench::sandbox::{Auth, Postgres, Proxy, ProxyOptions, connect};

use crate::support::{BINARY, Stage};
use crate::wire::{Message, Wire, tags};

/// How often a script is run in each way.
const ROUNDS: usize = 3;

/// The databases `app`, behind the proxy, and `twin`, its copy.
#[derive(Debug)]
pub(crate) struct Twins {
    pub(crate) stage: Stage,
}

/// What is sent, and what to wait for.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    bytes: Vec<u8>,
    replies: Replies,
}

#[derive(Clone, Copy, Debug)]
enum Replies {
    /// So many messages, whatever they are.
    Messages(usize),
    /// Everything up to the last of so many ReadyForQuery.
    Ready(usize),
}

/// A step that ends with one ReadyForQuery for each Query, FunctionCall and Sync in it.
pub(crate) fn step(messages: &[Vec<u8>]) -> Step {
    let ready = messages
        .iter()
        .filter(|message| b"QFS".contains(&message[0]));
    Step {
        replies: Replies::Ready(ready.count()),
        bytes: messages.concat(),
    }
}

/// A step after which the server is not ready, but has sent `count` messages.
pub(crate) fn unfinished(messages: &[Vec<u8>], count: usize) -> Step {
    Step {
        bytes: messages.concat(),
        replies: Replies::Messages(count),
    }
}

impl Step {
    /// What is sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Twins {
    /// Both databases with this schema.
    pub(crate) async fn new(schema: &str) -> Self {
        let postgres = Postgres::builder().auth(Auth::Trust).start().await.unwrap();
        let client = postgres.connect().await.unwrap();
        client.batch_execute(schema).await.unwrap();
        drop(client);
        let administrator = postgres.url_for("keel", "keel", "postgres");
        let administrator = connect(&administrator).await.unwrap();
        let sql = "CREATE DATABASE twin TEMPLATE app";
        administrator.batch_execute(sql).await.unwrap();
        let options = ProxyOptions {
            binary: BINARY.into(),
            upstream_url: postgres.url(),
            ..ProxyOptions::default()
        };
        let proxy = Proxy::start(&options).await.unwrap();
        Self {
            stage: Stage { proxy, postgres },
        }
    }

    /// A connection to `twin` that does not go through the proxy.
    pub(crate) async fn direct(&self) -> Wire {
        Wire::login(self.stage.postgres.port(), "twin").await
    }

    /// A connection to `app` through the proxy.
    pub(crate) async fn proxied(&self) -> Wire {
        Wire::login(self.stage.proxy.port(), "app").await
    }

    /// Runs a script in every way and compares all that comes back. Returns the hits.
    ///
    /// # Panics
    /// When the proxy answers anything but what PostgreSQL answers.
    pub(crate) async fn agree(&self, name: &str, script: &[Step]) -> u64 {
        let hits = self.stage.hits().await;
        for round in 0..ROUNDS {
            let (mut direct, mut proxied) = (self.direct().await, self.proxied().await);
            let place = format!("{name}, connection {round}");
            compare(&place, script, &mut direct, &mut proxied).await;
        }
        self.agree_on_one_connection(name, script, ROUNDS).await;
        self.stage.hits().await - hits
    }

    /// As [`Twins::agree`], on one connection only: for what takes long.
    pub(crate) async fn agree_on_one_connection(&self, name: &str, script: &[Step], rounds: usize) {
        let (mut direct, mut proxied) = (self.direct().await, self.proxied().await);
        for round in 0..rounds {
            let place = format!("{name}, round {round} on one connection");
            compare(&place, script, &mut direct, &mut proxied).await;
        }
    }
}

/// Runs a script on both connections, step by step.
pub(crate) async fn compare(place: &str, script: &[Step], direct: &mut Wire, proxied: &mut Wire) {
    for (number, step) in script.iter().enumerate() {
        let expected = run(step, direct).await;
        let found = run(step, proxied).await;
        assert!(
            agree(&expected, &found),
            "{place}, step {number}: {:?}\n direct {}: {expected:?}\nproxied {}: {found:?}",
            step.bytes.escape_ascii().to_string(),
            tags(&expected),
            tags(&found),
        );
    }
}

/// The same bytes, but for two differences.
///
/// A statement that was answered from the cache is unknown to the server, and in a failed transaction it cannot
/// be made known: what asks for it is refused (25P02) sooner than it would be directly.
fn agree(direct: &[Message], proxied: &[Message]) -> bool {
    let mut pairs = std::iter::zip(direct, proxied);
    let Some(place) = pairs.position(|(one, other)| !is_same(one, other)) else {
        return direct.len() == proxied.len();
    };
    let refusal = direct[place..].iter().position(|one| one.tag == b'E');
    proxied[place].tag == b'E'
        && proxied[place].sqlstate() == "25P02"
        && refusal.is_some_and(|after| direct[place + after + 1..] == proxied[place + 1..])
}

/// Which line of PostgreSQL's source finds that a result would change is known once the server has said it.
fn is_same(one: &Message, other: &Message) -> bool {
    let changed = |message: &Message| {
        let routine = message.field(b'R').filter(|_| message.tag == b'E')?;
        let fields = b"SVCMDHPpqWstcdnFR".map(|code| message.field(code));
        (routine == "RevalidateCachedQuery").then_some(fields)
    };
    one == other || changed(one).is_some_and(|fields| Some(fields) == changed(other))
}

async fn run(step: &Step, wire: &mut Wire) -> Vec<Message> {
    wire.send(&step.bytes).await;
    match step.replies {
        Replies::Messages(count) => wire.messages(count).await,
        Replies::Ready(count) => {
            let mut messages = Vec::new();
            for _ in 0..count {
                messages.extend(wire.until_ready().await);
            }
            messages
        }
    }
}
