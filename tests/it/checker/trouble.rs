//! Those who write and do not hear how it ended: clients that vanish, statements that are cancelled, backends that are
//! killed, connections to the server that are cut in the middle of a commit.
//!
//! A write of theirs may take effect at any time from then on, or never. So that it does not take a register back when it
//! comes late, it is written as the greatest of what is there and what it brings.

use std::sync::Arc;
use std::time::Duration;

use pgkeel_bench::sandbox::Postgres;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::court::{Court, Event};
use super::reader::any_place;
use super::shapes::{Place, Reach, which};
use crate::raw::{Raw, Script};

/// How it goes wrong.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    /// The client vanishes somewhere in the middle of what it sends, in the simple protocol.
    VanishesInQuery,
    /// The same, in the extended protocol.
    VanishesInPipeline,
    /// The client sends COMMIT and vanishes.
    VanishesAtCommit,
    /// A statement is cancelled, in time or not.
    Cancelled,
    /// The backend is killed between the write and the end of its COMMIT.
    Terminated,
    /// The server connection is cut, and the server has not got the COMMIT.
    CutBefore,
    /// The server has just got it.
    CutBehind,
    /// The server's answer is on its way.
    CutLate,
    /// A statement that commits by itself, just got.
    CutStatement,
}

/// Those after which the proxy goes on as before.
const SMALL_MISHAPS: &[Mishap] = &[
    Mishap::VanishesInQuery,
    Mishap::VanishesInPipeline,
    Mishap::VanishesAtCommit,
    Mishap::Cancelled,
];

/// Those after which every result is void, since a server that is gone may have lost what it had shown.
const LARGE_MISHAPS: &[Mishap] = &[
    Mishap::Terminated,
    Mishap::CutBefore,
    Mishap::CutBehind,
    Mishap::CutLate,
    Mishap::CutStatement,
];

/// Comments by which the [`Relay`] knows what to cut.
const BEFORE: &str = "/* cut before */";
const BEHIND: &str = "/* cut behind */";
const LATE: &str = "/* cut late */";

/// The shapes that can be written so that a late write does no harm, and does not make everything void.
pub(super) fn shapes_for_trouble() -> Vec<usize> {
    which(|shape| {
        shape.reach == Reach::Tables && shape.writes.iter().any(|write| write.monotone().is_some())
    })
}

/// Has one mishap after the other.
pub(super) struct Vandal {
    /// The proxy's port.
    port: u16,
    /// A client of PostgreSQL itself.
    direct: Raw,
    court: Arc<Court>,
    random: StdRng,
    shapes: Vec<usize>,
}

impl Vandal {
    pub(super) fn new(port: u16, direct: Raw, court: &Arc<Court>, seed: u64) -> Self {
        Self {
            port,
            direct,
            court: Arc::clone(court),
            random: StdRng::seed_from_u64(seed),
            shapes: shapes_for_trouble(),
        }
    }

    /// Goes on until the court is closed.
    pub(super) async fn run(mut self) {
        while self.court.is_open() {
            let place = any_place(&mut self.random, &self.shapes);
            // Something has to be in the cache meanwhile.
            let mishaps = match self.random.random_ratio(1, 12) {
                true => LARGE_MISHAPS,
                false => SMALL_MISHAPS,
            };
            let mishap = mishaps[self.random.random_range(0..mishaps.len())];
            self.suffer(place, mishap).await;
            let pause = Duration::from_micros(self.random.random_range(0..400_000));
            tokio::time::sleep(pause).await;
        }
    }

    async fn suffer(&mut self, place: Place, mishap: Mishap) {
        let text = place
            .shape()
            .writes
            .iter()
            .find_map(|write| write.monotone());
        let text = text.expect("the shape has such a write");
        let mut client = Raw::connect(self.port, &[("user", "keel"), ("database", "app")]).await;
        let court = Arc::clone(&self.court);
        let _pen = court.pen(place).lock().await;
        let version = court.register(place).begin();
        let write = place.literally(&text, version);
        let is_known = match mishap {
            Mishap::VanishesInQuery => {
                let script = Script::new().query(&write);
                self.vanish(client, &script).await
            }
            Mishap::VanishesInPipeline => {
                let (sql, values) = place.with_parameters(&text, version);
                let values = [values[0].as_str(), values[1].as_str()];
                let script = Script::new().statement(&sql, &values).sync();
                self.vanish(client, &script).await
            }
            Mishap::VanishesAtCommit => {
                client.run("BEGIN").await;
                client.run(&write).await;
                client.send(Script::new().query("COMMIT").bytes()).await;
                false
            }
            Mishap::Cancelled => self.cancel(client, &write).await,
            Mishap::Terminated => self.terminate(client, &write).await,
            Mishap::CutBefore | Mishap::CutBehind | Mishap::CutLate => {
                let cut = match mishap {
                    Mishap::CutBefore => BEFORE,
                    Mishap::CutBehind => BEHIND,
                    _ => LATE,
                };
                client.run("BEGIN").await;
                client.run(&write).await;
                let commit = Script::new().query(&format!("COMMIT {cut}"));
                is_done(client.try_ask(&commit).await.as_ref())
            }
            Mishap::CutStatement => {
                let script = Script::new().query(&format!("{write} {BEHIND}"));
                is_done(client.try_ask(&script).await.as_ref())
            }
        };
        if is_known {
            court.register(place).acknowledge(version);
            court.count(place, Event::Write);
        } else {
            court.count(place, Event::InVain);
        }
    }

    async fn vanish(&mut self, mut client: Raw, script: &Script) -> bool {
        let bytes = script.bytes();
        // As often as not it is all of it.
        let most = self
            .random
            .random_range(0..2 * bytes.len())
            .min(bytes.len());
        client.send(&bytes[..most]).await;
        false
    }

    async fn cancel(&mut self, mut client: Raw, write: &str) -> bool {
        let write = format!("{write} AND pg_sleep(0.004) IS NOT NULL");
        let pause = Duration::from_micros(self.random.random_range(0..12_000));
        let script = Script::new().query(&write);
        client.send(script.bytes()).await;
        tokio::time::sleep(pause).await;
        client.cancel(self.port).await;
        is_done(client.try_until_ready().await.as_ref())
    }

    async fn terminate(&mut self, mut client: Raw, write: &str) -> bool {
        client.run("BEGIN").await;
        let pid = client.run("SELECT pg_backend_pid()").await.rows().pop();
        client.run(write).await;
        let commit = Script::new().query("COMMIT");
        let end = format!("SELECT pg_terminate_backend({})", pid.expect("a row"));
        let end = Script::new().query(&end);
        let (reply, _) = tokio::join!(client.try_ask(&commit), self.direct.ask(&end));
        is_done(reply.as_ref())
    }
}

/// Has the server said that it is done?
fn is_done(reply: Option<&crate::raw::Reply>) -> bool {
    reply.is_some_and(|reply| reply.error().is_none())
}

/// Stands between the proxy and PostgreSQL, and cuts where the bytes say so.
pub(super) struct Relay;

impl Relay {
    /// Starts one in front of a server. Returns the URL that leads through it.
    pub(super) fn start(postgres: &Postgres) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        listener
            .set_nonblocking(true)
            .expect("a socket has the option");
        let listener = TcpListener::from_std(listener).expect("it is a listener");
        let server = postgres.port();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _ = carry(client, server).await;
                });
            }
        });
        format!("postgres://keel:keel@127.0.0.1:{port}/app")
    }
}

async fn carry(mut client: TcpStream, server: u16) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut question, mut answer) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut is_doomed = false;
    loop {
        tokio::select! {
            read = client.read(&mut question) => {
                let bytes = &question[..read?];
                let holds = |mark: &str| bytes.windows(mark.len()).any(|part| part == mark.as_bytes());
                if bytes.is_empty() || holds(BEFORE) {
                    return Ok(());
                }
                is_doomed = holds(LATE);
                let is_last = holds(BEHIND);
                server.write_all(bytes).await?;
                if is_last {
                    return Ok(());
                }
            }
            read = server.read(&mut answer) => {
                let bytes = &answer[..read?];
                if bytes.is_empty() || is_doomed {
                    return Ok(());
                }
                client.write_all(bytes).await?;
            }
        }
    }
}
