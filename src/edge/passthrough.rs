//! Connections that are not shared: replication.
//!
//! The client gets a server connection of its own, and every byte goes through as it is, the server's cancel
//! key included. A replication connection to a database also takes SQL, so while the server runs anything
//! but a replication command, everything counts as being changed.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Newcomer;
use super::login::{self, Failure, LastMessages};
use super::proof;
use crate::clients::Admission;
use crate::config::AuthMode;
use crate::freshness::window::{Backend, Freshness, Outcome, Window};
use crate::freshness::words::Slot;
use crate::protocol::backend::READY_FOR_QUERY;
use crate::protocol::frame::{self, HEADER};
use crate::protocol::frontend;
use crate::protocol::startup::{CancelKey, Startup};
use crate::services::Services;
use crate::upstream::cancel::CancelTarget;
use crate::upstream::login::{Greeter, authenticate};
use crate::upstream::server::Route;
use crate::upstream::socket::Socket;

/// The commands of the streaming replication protocol, by their first words. None of them changes a table.
/// <https://www.postgresql.org/docs/current/protocol-replication.html>
const REPLICATION_COMMANDS: [&str; 10] = [
    "ALTER_REPLICATION_SLOT",
    "BASE_BACKUP",
    "CREATE_REPLICATION_SLOT",
    "DROP_REPLICATION_SLOT",
    "IDENTIFY_SYSTEM",
    "READ_REPLICATION_SLOT",
    "SHOW",
    "START_REPLICATION",
    "TIMELINE_HISTORY",
    "UPLOAD_MANIFEST",
];

/// Serves a connection from its start-up message to its end.
pub(super) async fn run(
    mut newcomer: Newcomer,
    startup: Startup,
    route: &Route,
    services: &Services,
    admission: Admission,
) -> io::Result<()> {
    let (greeter, key, welcome) = match open(&mut newcomer, &startup, route, services).await {
        Ok(Some(opened)) => opened,
        Ok(None) => return Ok(()),
        Err(Failure::Client(error)) => return Err(error),
        Err(Failure::Server(error)) => {
            return login::refuse(&mut newcomer, &error, &route.server).await;
        }
    };
    let target = CancelTarget::new(key.clone(), Arc::clone(&route.upstream));
    let _membership = admission.pass_through(target);
    newcomer.socket.write_all(&welcome.finish(&key)).await?;
    let (server, ahead) = greeter.into_parts();
    newcomer.socket.write_all(&ahead).await?;
    let backend = Backend {
        server: route.server.number,
        pid: i32::from_ne_bytes(key.pid.to_ne_bytes()),
        postmaster_start: 0,
        start: 0,
    };
    let tunnel = Tunnel {
        client: newcomer.socket,
        requests: newcomer.inbox,
        server,
        replies: Replies::default(),
        freshness: Arc::clone(&services.freshness),
        backend,
        window: None,
    };
    tunnel.run().await
}

async fn open(
    newcomer: &mut Newcomer,
    startup: &Startup,
    route: &Route,
    services: &Services,
) -> Result<Option<(Greeter, CancelKey, LastMessages)>, Failure> {
    let limit = services.config.pool.connect_timeout;
    let mut greeter = if services.config.auth.mode == AuthMode::Scram {
        let proven = proof::prove(newcomer, startup, route, services).await;
        let Some(proven) = proven.map_err(Failure::Client)? else {
            return Ok(None);
        };
        let startup = startup.clone().plain();
        let mut greeter = Greeter::start(&route.upstream, &startup, limit).await?;
        let binding = route.upstream.tls.channel_binding;
        authenticate(&mut greeter, &startup, &proven.credentials, binding).await?;
        greeter
    } else {
        let mut greeter = Greeter::start(&route.upstream, startup, limit).await?;
        login::relay_challenges(newcomer, &mut greeter).await?;
        greeter
    };
    let mut aside = Vec::new();
    let greeting = greeter
        .greeting(|message| aside.extend_from_slice(message))
        .await?;
    let welcome = LastMessages::new(&greeting.parameters, &aside);
    Ok(Some((greeter, greeting.key, welcome)))
}

/// The two ends of a connection that is passed through.
struct Tunnel {
    client: Socket,
    requests: BytesMut,
    server: Socket,
    replies: Replies,
    freshness: Arc<Freshness>,
    backend: Backend,
    window: Option<Window>,
}

impl Tunnel {
    async fn run(mut self) -> io::Result<()> {
        let mut replies = vec![0; 32 * 1024];
        loop {
            self.pass_requests().await?;
            tokio::select! {
                received = self.client.read_buf(&mut self.requests) => {
                    if received? == 0 {
                        return self.server.shutdown().await;
                    }
                }
                received = self.server.read(&mut replies) => {
                    let bytes = &replies[..received?];
                    if bytes.is_empty() {
                        return self.client.shutdown().await;
                    }
                    if self.replies.end_a_query(bytes)
                        && let Some(window) = self.window.take()
                    {
                        window.close(Outcome::Committed);
                    }
                    self.client.write_all(bytes).await?;
                }
            }
        }
    }

    async fn pass_requests(&mut self) -> io::Result<()> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        while let Some(request) = frame::complete(&self.requests, 0).map_err(invalid)? {
            let message = self.requests.split_to(request.end);
            let is_sql =
                request.tag == frontend::QUERY && !is_replication_command(&message[HEADER..]);
            if is_sql && self.window.is_none() {
                let slots = [Slot::EVERYTHING, Slot::CATALOG];
                self.window = Some(self.freshness.open(slots, Some(self.backend)));
            }
            if let Some(window) = &mut self.window {
                window.announced().await;
            }
            self.server.write_all(&message).await?;
        }
        Ok(())
    }
}

fn is_replication_command(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let is_part = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let word = &text[..text.iter().take_while(|byte| is_part(byte)).count()];
    let is_alone = !text.contains(&b';');
    is_alone
        && REPLICATION_COMMANDS
            .iter()
            .any(|command| command.as_bytes().eq_ignore_ascii_case(word))
}

/// Finds the ends of queries in a stream of replies, wherever it is cut.
#[derive(Default)]
struct Replies {
    header: Vec<u8>,
    body_left: usize,
}

impl Replies {
    /// Does a ReadyForQuery begin in these bytes?
    fn end_a_query(&mut self, mut bytes: &[u8]) -> bool {
        let mut ended = false;
        while !bytes.is_empty() {
            let here = self.body_left.min(bytes.len());
            self.body_left -= here;
            bytes = &bytes[here..];
            let missing = (HEADER - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if let Ok(Some(reply)) = frame::header(&self.header, 0) {
                ended |= reply.tag == READY_FOR_QUERY;
                self.body_left = reply.end - HEADER;
                self.header.clear();
            } else if self.header.len() == HEADER {
                self.header.clear();
            }
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_replication_commands_change_nothing() {
        assert!(is_replication_command(b"IDENTIFY_SYSTEM\0"));
        assert!(is_replication_command(
            b"  start_replication SLOT s LOGICAL 0/0\0"
        ));
        assert!(!is_replication_command(b"UPDATE t SET v = 1\0"));
        assert!(!is_replication_command(b"SHOW x; UPDATE t SET v = 1\0"));
        assert!(!is_replication_command(b""));
    }

    #[test]
    fn the_end_of_a_query_is_found_wherever_the_stream_is_cut() {
        let stream = b"C\0\0\0\x0dUPDATE 1\0Z\0\0\0\x05I";
        for cut in 0..stream.len() {
            let mut replies = Replies::default();
            let first = replies.end_a_query(&stream[..cut]);
            let second = replies.end_a_query(&stream[cut..]);
            assert!(first != second, "cut at {cut}");
        }
        assert!(!Replies::default().end_a_query(b"d\0\0\0\x0bZ\0\0\0\x05IX"));
    }
}
