//! Carrying a server's replies to the client until everything that was asked is answered.
//!
//! Frames are forwarded as they came, and long rows piece by piece. What answers the proxy's own messages is
//! left out; what answers messages that were kept back is put in ([`crate::protocol::expect`]).

use std::io;

use super::client::Client;
use super::errors;
use super::record::Recording;
use crate::protocol::backend::{self, TransactionStatus};
use crate::protocol::expect::{Expected, Fate, Origin, Unexpected};
use crate::protocol::frame::{self, Frame, HEADER, InvalidLength};
use crate::protocol::frontend;
use crate::protocol::shape::Description;
use crate::upstream::connection::{Connection, Farewell, Parsing};

/// Why replies can no longer be carried.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The client is gone; the server may still be at work.
    #[error("client connection lost: {0}")]
    Client(io::Error),
    /// The server connection is gone.
    #[error("server connection lost: {0}")]
    Server(io::Error),
    /// Server and proxy no longer agree on what was asked.
    #[error("{0}")]
    Unexpected(#[from] Unexpected),
    /// The client sent what cannot be a message.
    #[error("{0}")]
    Malformed(#[from] frontend::Malformed),
    /// The server sent an impossible length.
    #[error("{0}")]
    Length(#[from] InvalidLength),
}

/// What the replies told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// An ErrorResponse was among them.
    pub(super) failed: bool,
    /// The error says that PostgreSQL has rolled the request back because of others.
    pub(super) undone: Option<Undone>,
    /// The error says that the text of the request is not SQL.
    pub(super) is_not_sql: bool,
    /// The session was ended by the server, with these last words.
    pub(super) farewell: Option<Farewell>,
    /// The server has forgotten all named statements.
    pub(super) forgot_statements: bool,
    /// The last command tag.
    pub(super) tag: Vec<u8>,
    /// The status of the last ReadyForQuery.
    pub(super) ready: Option<TransactionStatus>,
    /// After an error, the server ignores everything up to a Sync that has not been sent yet.
    pub(super) skips_to_sync: bool,
    /// What failed, and behind it what the server has skipped.
    pub(super) void: Vec<Expected<Parsing>>,
    /// The server reported another value of a setting.
    pub(super) settings_changed: bool,
}

/// Why PostgreSQL rolled back what it would have done at another moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Undone {
    /// 40P01, deadlock_detected.
    Deadlock,
    /// 40001, serialization_failure.
    Serialization,
}

/// The two ends, while replies are carried.
pub(super) struct Relay<'a> {
    client: &'a mut Client,
    server: &'a mut Connection,
    /// What is still to be sent.
    request: &'a [u8],
    recording: Option<&'a mut Recording>,
    /// The parameters of the statement that is being described.
    parameters: Box<[u8]>,
    /// A notice was among the replies.
    noticed: bool,
    /// What takes the place of the frame at hand.
    substitute: Option<Vec<u8>>,
    told: Told,
}

/// A row of which more than this is missing is forwarded in pieces.
const PIECE_BYTES: usize = 64 * 1024;

impl<'a> Relay<'a> {
    pub(super) fn new(
        client: &'a mut Client,
        server: &'a mut Connection,
        request: &'a [u8],
        recording: Option<&'a mut Recording>,
    ) -> Self {
        Self {
            client,
            server,
            request,
            recording,
            parameters: Box::default(),
            noticed: false,
            substitute: None,
            told: Told::default(),
        }
    }

    /// Sends the request and carries replies until the server owes nothing more, or waits for the client.
    pub(super) async fn run(mut self) -> Result<Told, (Broken, Told)> {
        match self.carry().await {
            Ok(()) => Ok(self.told),
            Err(broken) => {
                // Half a message, or half a pipeline, is on its way.
                self.server.sync_owed |= !self.request.is_empty();
                Err((broken, self.told))
            }
        }
    }

    async fn carry(&mut self) -> Result<(), Broken> {
        self.send_request().await?;
        loop {
            self.forward_what_is_there().await?;
            if self.server.copying {
                self.client.flush().await.map_err(Broken::Client)?;
                if self.copy_in().await? {
                    return Ok(());
                }
                continue;
            }
            if self.server.owed.is_empty() && self.server.partial == 0 {
                return Ok(());
            }
            self.server.receive().await.map_err(Broken::Server)?;
        }
    }

    /// Sends the request, and carries what is answered to its beginning while the rest is on its way.
    async fn send_request(&mut self) -> Result<(), Broken> {
        while !self.request.is_empty() {
            match self.server.send_or_receive(self.request).await {
                Ok(sent) => self.request = &self.request[sent..],
                // What the server has said before it went is still to be read.
                Err(_) => self.request = &[],
            }
            if !self.server.inbox.is_empty() {
                self.forward_what_is_there().await?;
            }
        }
        Ok(())
    }

    /// Forwards every frame in the server's inbox, and of a long row what is there of it.
    async fn forward_what_is_there(&mut self) -> Result<(), Broken> {
        let inbox = std::mem::take(&mut self.server.inbox);
        let mut at = 0;
        let mut run_start = 0;
        if self.server.partial > 0 {
            at = self.server.partial.min(inbox.len());
            self.server.partial -= at;
        }
        while self.server.partial == 0 && !self.server.copying {
            self.write_local_replies(&inbox, &mut run_start, at);
            if self.server.owed.is_empty() {
                break;
            }
            let Some(frame) = frame::header(&inbox, at)? else {
                break;
            };
            if frame.end > inbox.len() {
                let missing = frame.end - inbox.len();
                if self.may_forward_in_pieces(frame, missing)? {
                    self.server.partial = missing;
                    at = inbox.len();
                }
                break;
            }
            if self.take(frame, &inbox)? == Fate::Swallow {
                self.client.outbox.extend_from_slice(&inbox[run_start..at]);
                let substitute = self.substitute.take().unwrap_or_default();
                self.client.outbox.extend_from_slice(&substitute);
                run_start = frame.end;
            }
            at = frame.end;
        }
        let run = &inbox[run_start..at];
        let sent = if run.is_empty() {
            Ok(())
        } else {
            self.client.send(run).await
        };
        // Whatever becomes of the client, the server's replies have to be read to their end.
        self.server.inbox = inbox;
        let _ = self.server.inbox.split_to(at);
        sent.map_err(Broken::Client)
    }

    fn write_local_replies(&mut self, inbox: &[u8], run_start: &mut usize, at: usize) {
        while let Some(message) = self.server.owed.pop_local() {
            self.client.outbox.extend_from_slice(&inbox[*run_start..at]);
            *run_start = at;
            self.client.outbox.extend_from_slice(&message);
        }
    }

    fn may_forward_in_pieces(&mut self, frame: Frame, missing: usize) -> Result<bool, Broken> {
        if missing < PIECE_BYTES || !matches!(frame.tag, backend::DATA_ROW | backend::COPY_DATA) {
            return Ok(false);
        }
        if let Some(recording) = &mut self.recording {
            recording.announce(frame.end - frame.start);
            if !recording.is_void() {
                return Ok(false);
            }
        }
        Ok(self.server.owed.on_reply(frame.tag)? == Fate::Forward)
    }

    /// Learns what there is to learn from a frame.
    fn take(&mut self, frame: Frame, inbox: &[u8]) -> Result<Fate, Broken> {
        let body = frame.body(inbox);
        let fate = self.learn(frame, body, inbox)?;
        if let Some(recording) = self.recording.as_mut().filter(|_| fate == Fate::Forward) {
            recording.note(frame.tag, frame.bytes(inbox));
        }
        Ok(fate)
    }

    fn learn(&mut self, frame: Frame, body: &[u8], inbox: &[u8]) -> Result<Fate, Broken> {
        match frame.tag {
            backend::NOTICE_RESPONSE => {
                self.noticed = true;
                // PostgreSQL does not keep it back, and would send it again.
                self.client.let_go();
                // The client has seen it when it prepared the statement itself.
                return Ok(match self.server.owed.next() {
                    Some(Expected::ParseComplete(Origin::Proxy, _)) => Fate::Swallow,
                    _ => Fate::Forward,
                });
            }
            backend::NOTIFICATION_RESPONSE => {
                self.client.let_go();
                self.substitute = from_told_pid(self.client, self.server, frame.bytes(inbox));
                return Ok(match self.substitute {
                    Some(_) => Fate::Swallow,
                    None => Fate::Forward,
                });
            }
            backend::PARAMETER_STATUS => {
                self.client.let_go();
                self.told.settings_changed |= self.server.note_parameter(body);
                return Ok(Fate::Forward);
            }
            backend::ERROR_RESPONSE => {
                self.substitute = self.reworded(body);
                let fate = match self.substitute {
                    Some(_) => Fate::Swallow,
                    None => Fate::Forward,
                };
                self.note_error(body);
                if let Some(recording) = &mut self.recording {
                    recording.note(frame.tag, frame.bytes(inbox));
                }
                return Ok(fate);
            }
            backend::PARAMETER_DESCRIPTION => self.parameters = frame.bytes(inbox).into(),
            backend::ROW_DESCRIPTION | backend::NO_DATA => self.note_shape(frame.bytes(inbox)),
            backend::COMMAND_COMPLETE => {
                self.told.tag.clear();
                self.told.tag.extend_from_slice(backend::command_tag(body));
                self.told.forgot_statements |=
                    matches!(&*self.told.tag, b"DEALLOCATE ALL" | b"DISCARD ALL");
            }
            backend::READY_FOR_QUERY => {
                let status = TransactionStatus::read(body).ok_or(Unexpected(frame.tag))?;
                self.server.status = status;
                self.server.sync_owed = false;
                self.told.ready = Some(status);
            }
            backend::COPY_IN_RESPONSE => self.server.copying = true,
            _ => {}
        }
        Ok(self.server.owed.on_reply(frame.tag)?)
    }

    /// The last part of a statement's description has come.
    fn note_shape(&mut self, rows: &[u8]) {
        if let Some(Expected::StatementRows(_, Some(shape))) = self.server.owed.next() {
            shape.set(Description {
                parameters: std::mem::take(&mut self.parameters),
                rows: rows.into(),
                is_noisy: self.noticed,
            });
        }
    }

    /// The error as the client has to read it, if the server's words are about what the proxy has made of the
    /// client's message.
    fn reworded(&self, body: &[u8]) -> Option<Vec<u8>> {
        let version = self.server.parameters.get(b"server_version".as_slice());
        let version = version.map_or(&b""[..], |version| version);
        errors::note_changed_result(body, version);
        match self.server.owed.next()? {
            Expected::Refusal(_) => errors::changed_result(body, version),
            Expected::BindComplete(Some(name)) => errors::with_clients_name(body, name),
            _ => None,
        }
    }

    fn note_error(&mut self, body: &[u8]) {
        self.told.failed = true;
        self.told.is_not_sql = errors::is_of_parser(body);
        self.told.undone = match backend::error_field(body, b'C') {
            Some(b"40P01") => Some(Undone::Deadlock),
            Some(b"40001") => Some(Undone::Serialization),
            _ => None,
        };
        if matches!(backend::error_field(body, b'V'), Some(b"FATAL" | b"PANIC")) {
            self.told.farewell = Some(Farewell::read(body));
        }
        let void = &mut self.told.void;
        self.told.skips_to_sync = !self.server.owed.on_error(|expected| void.push(expected));
    }

    /// Carries the client's data into the server until the client ends it or the server refuses it. Returns
    /// whether the server now waits for the client's Sync.
    async fn copy_in(&mut self) -> Result<bool, Broken> {
        let is_query = self.server.owed.is_query();
        if !is_query {
            // The server reads the Sync that came behind the Execute as part of the COPY, and ignores it.
            self.server.owed.forget_sync();
        }
        loop {
            let mut ended = false;
            while !ended && let Some(frame) = frontend::header(&self.client.inbox, 0)? {
                let here = frame.end.min(self.client.inbox.len());
                match frame.tag {
                    frontend::COPY_DATA => {}
                    frontend::SYNC | frontend::FLUSH if here == frame.end => {
                        let _ = self.client.inbox.split_to(here);
                        continue;
                    }
                    // CopyDone and CopyFail end it; for anything else the server ends it with an error.
                    _ if here == frame.end => ended = true,
                    _ => break,
                }
                let bytes = self.client.inbox.split_to(here);
                self.push(&bytes).await?;
                self.pass_rest(frame.end - here).await?;
            }
            if ended {
                self.server.copying = false;
                return Ok(!is_query);
            }
            if frame::complete(&self.server.inbox, 0)?.is_some() {
                self.server.copying = false;
                let forwarded = self.forward_what_is_there().await;
                self.server.copying = forwarded.is_err();
                forwarded?;
                if self.told.failed {
                    return Ok(false);
                }
                self.server.copying = true;
                self.client.flush().await.map_err(Broken::Client)?;
            }
            tokio::select! {
                received = self.client.receive() => received.map_err(Broken::Client)?,
                received = self.server.receive() => received.map_err(Broken::Server)?,
            }
        }
    }

    /// Sends data of a COPY. What the server says meanwhile is kept for later.
    async fn push(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            let sent = self.server.send_or_receive(bytes).await;
            bytes = &bytes[sent.map_err(Broken::Server)?..];
        }
        Ok(())
    }

    /// Passes on the rest of a message of the client's.
    async fn pass_rest(&mut self, mut missing: usize) -> Result<(), Broken> {
        while missing > 0 {
            if self.client.inbox.is_empty() {
                self.client.receive().await.map_err(Broken::Client)?;
            }
            let here = missing.min(self.client.inbox.len());
            let bytes = self.client.inbox.split_to(here);
            self.push(&bytes).await?;
            missing -= here;
        }
        Ok(())
    }
}

/// Forwards what a server says while nothing is asked of it: notices, notifications, settings, its goodbye.
/// Returns the server's last words, if it ends the session.
pub(super) fn forward_unasked(
    client: &mut Client,
    server: &mut Connection,
) -> Result<Option<Farewell>, Broken> {
    let mut farewell = None;
    while let Some(frame) = frame::complete(&server.inbox, 0)? {
        let message = server.inbox.split_to(frame.end);
        match frame.tag {
            backend::PARAMETER_STATUS => {
                server.note_parameter(&message[HEADER..]);
            }
            backend::NOTIFICATION_RESPONSE => {
                if let Some(renamed) = from_told_pid(client, server, &message) {
                    client.outbox.extend_from_slice(&renamed);
                    continue;
                }
            }
            backend::NOTICE_RESPONSE => {}
            backend::ERROR_RESPONSE => farewell = Some(Farewell::read(&message[HEADER..])),
            tag => return Err(Unexpected(tag).into()),
        }
        client.outbox.extend_from_slice(&message);
    }
    Ok(farewell)
}

/// A notification that the session has sent itself, with the process id that its client knows; `None` if it may pass as
/// it is. Who listens keeps the connection, so nobody else sends from there.
fn from_told_pid(client: &Client, server: &Connection, message: &[u8]) -> Option<Vec<u8>> {
    let sender = HEADER..HEADER + 4;
    let own = server.backend.pid.to_be_bytes();
    if message.get(sender.clone()) != Some(&own) || client.told_pid.to_be_bytes() == own {
        return None;
    }
    let mut renamed = message.to_vec();
    renamed[sender].copy_from_slice(&client.told_pid.to_be_bytes());
    Some(renamed)
}
