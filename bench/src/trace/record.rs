//! Records what clients send on its way to a server.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use bytes::BytesMut;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::format::{Event, What, Writer};
use crate::frames::{Frames, Pair, relay_login};

/// Relays clients of `listener` to the server at `upstream` (such as `127.0.0.1:6432`), and writes what they send,
/// until `stop` ends.
///
/// # Errors
/// When the listener fails, or the trace cannot be written.
pub async fn record<W: Write + Send + 'static>(
    listener: TcpListener,
    upstream: String,
    writer: Writer<W>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<W> {
    let tape = Arc::new(Tape {
        start: Instant::now(),
        writer: Mutex::new(State {
            writer,
            sessions: 0,
            failed: None,
        }),
    });
    let mut sessions = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => {
                let (client, _) = accepted.context("cannot accept clients")?;
                let (tape, upstream) = (Arc::clone(&tape), upstream.clone());
                // A connection that breaks is its client's to notice.
                sessions.spawn(async move { session(client, &upstream, &tape).await.ok() });
            }
            // So that those who have left are forgotten.
            Some(_) = sessions.join_next() => {}
        }
    }
    sessions.shutdown().await;
    let tape = Arc::into_inner(tape).context("a session still records")?;
    let state = tape
        .writer
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = state.failed {
        return Err(error).context("cannot write the trace");
    }
    state.writer.finish().context("cannot write the trace")
}

/// What is written to by all sessions.
struct Tape<W: Write> {
    start: Instant,
    writer: Mutex<State<W>>,
}

struct State<W: Write> {
    writer: Writer<W>,
    sessions: u32,
    failed: Option<std::io::Error>,
}

impl<W: Write> Tape<W> {
    fn open(&self) -> u32 {
        let mut state = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let session = state.sessions;
        state.sessions += 1;
        drop(state);
        self.write(session, What::Opened);
        session
    }

    /// The time is taken under the lock, so that events come in its order.
    fn write(&self, session: u32, what: What) {
        let mut state = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Event {
            at: self.start.elapsed(),
            session,
            what,
        };
        if let Err(error) = state.writer.write(&event) {
            state.failed.get_or_insert(error);
        }
    }
}

async fn session<W: Write>(
    client: TcpStream,
    upstream: &str,
    tape: &Tape<W>,
) -> std::io::Result<()> {
    let Some(Pair { client, server }) = relay_login(client, upstream).await? else {
        return Ok(());
    };
    let number = tape.open();
    let (mut from_client, mut to_client) = (client.frames, client.out);
    let (mut from_server, mut to_server) = (server.frames, server.out);
    let forward = async {
        let (mut request, mut last_end) = (BytesMut::new(), None);
        while let Some(frame) = from_client.next().await? {
            if matches!(frame.first(), Some(b'X')) {
                to_server.write_all(&frame).await?;
                break;
            }
            request.extend_from_slice(&frame);
            // The data of a COPY ends with CopyDone after a simple query, else with the Sync behind it.
            let is_end = match frame.first() {
                Some(b'Q' | b'S' | b'F') => true,
                Some(b'c' | b'f') => last_end == Some(b'Q'),
                _ => false,
            };
            if is_end {
                tape.write(number, What::Request(request.to_vec()));
                request.clear();
                last_end = frame.first().copied();
            }
            to_server.write_all(&frame).await?;
        }
        to_server.shutdown().await
    };
    let backward = relay(&mut from_server, &mut to_client);
    // Whoever ends first ends the session.
    let ended = tokio::select! {
        ended = forward => ended,
        ended = backward => ended,
    };
    tape.write(number, What::Closed);
    ended
}

async fn relay(
    from: &mut Frames<tokio::net::tcp::OwnedReadHalf>,
    to: &mut tokio::net::tcp::OwnedWriteHalf,
) -> std::io::Result<()> {
    while let Some(frame) = from.next().await? {
        to.write_all(&frame).await?;
    }
    to.shutdown().await
}
