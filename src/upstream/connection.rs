//! One connection to the server, and everything that is true of it alone.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::cancel::CancelTarget;
use super::lease::Place;
use super::settings::{self, Answer, Changes};
use super::socket::Socket;
use crate::cache::key::StatementId;
use crate::freshness::window::{Backend, Window};
use crate::protocol::backend::{self, TransactionStatus};
use crate::protocol::expect::Expectations;
use crate::protocol::frame::{self, HEADER};
use crate::protocol::frontend;
use crate::protocol::shape::Shape;

/// How much is read from a server at once.
const READ_BYTES: usize = 32 * 1024;

/// ParameterStatus values by name.
pub type Parameters = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// The settings a session starts with. Sessions with equal baselines, of one user in one database, get equal
/// answers to equal requests, until one of them changes a setting.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Baseline {
    /// What the server reported at start-up.
    pub parameters: Arc<Parameters>,
    /// The database it is connected to.
    pub database: DatabaseId,
    /// Settings it does not report and that make a difference, as [`super::login`] asked for them.
    pub settings: Box<[u8]>,
}

/// A database of a server. Clients may know it by another name: PostgreSQL cuts names at 63 bytes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct DatabaseId {
    /// The server's number ([`super::server::Server`]): results are kept by address.
    pub server: u32,
    /// Its oid: another one if it was dropped and created anew.
    pub oid: u32,
    /// Its name.
    pub name: String,
}

impl Baseline {
    /// Is READ COMMITTED what a transaction gets that asks for nothing?
    #[must_use]
    pub fn is_read_committed(&self) -> bool {
        self.settings.starts_with(b"read committed\x1f")
    }
}

/// What a Parse makes the server know, to be forgotten when the Parse turns out void.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parsing {
    /// A statement under the name that it has on every connection.
    Named(StatementId),
    /// Nothing that lasts.
    Other,
    /// The unnamed statement.
    Unnamed,
}

/// The statements prepared on one connection.
#[derive(Debug, Default)]
pub struct Prepared {
    named: HashMap<StatementId, Named>,
    uses: u64,
    /// What the server's unnamed statement is.
    pub unnamed: Unnamed,
}

/// What is known of a server's unnamed statement.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Unnamed {
    /// There is none.
    #[default]
    Absent,
    /// It is this one, in this shape.
    Known(StatementId, Arc<Shape>),
    /// A message that would have changed it may have been skipped.
    Unsure,
}

#[derive(Debug)]
struct Named {
    last_use: u64,
    shape: Arc<Shape>,
}

impl Prepared {
    /// The shape in which the statement is prepared, if it is. This counts as a use of it.
    pub fn touch(&mut self, statement: StatementId) -> Option<&Arc<Shape>> {
        self.uses += 1;
        let named = self.named.get_mut(&statement)?;
        named.last_use = self.uses;
        Some(&named.shape)
    }

    /// Notes a Parse that is being sent, and returns the statement that has to go to make room for it.
    pub fn insert(
        &mut self,
        statement: StatementId,
        shape: Arc<Shape>,
        most: usize,
    ) -> Option<StatementId> {
        self.uses += 1;
        self.named.insert(
            statement,
            Named {
                last_use: self.uses,
                shape,
            },
        );
        if self.named.len() <= most.max(1) {
            return None;
        }
        let oldest = self
            .named
            .iter()
            .min_by_key(|(_, named)| named.last_use)
            .map(|(&id, _)| id)?;
        self.named.remove(&oldest);
        Some(oldest)
    }

    /// Forgets a statement.
    pub fn remove(&mut self, statement: StatementId) -> bool {
        self.named.remove(&statement).is_some()
    }

    /// Forgets all that have names: the server has, too.
    pub fn clear(&mut self) {
        self.named.clear();
    }
}

/// One connection to the server, logged in.
#[derive(Debug)]
pub struct Connection {
    /// The stream.
    pub socket: Socket,
    /// What came from the server and is not yet dealt with.
    pub inbox: BytesMut,
    /// The replies the server owes.
    pub owed: Expectations<Parsing>,
    /// The transaction status of the last ReadyForQuery.
    pub status: TransactionStatus,
    /// The statements prepared on it.
    pub prepared: Prepared,
    /// Statements left on the server under a client's own name, to be closed with the next request.
    pub leftovers: Vec<Box<[u8]>>,
    /// The session that may have been the last to draw from a sequence on it.
    pub drawn_by: Option<u64>,
    /// Bytes still to come of a message whose beginning has been dealt with.
    pub partial: usize,
    /// A COPY into the server waits for data.
    pub copying: bool,
    /// Something was sent that only a Sync can end, and it has not been sent yet.
    pub sync_owed: bool,
    /// The commit window of what was sent to it.
    pub window: Option<Window>,
    /// The settings its session started with.
    pub baseline: Arc<Baseline>,
    /// The settings last reported.
    pub parameters: Arc<Parameters>,
    /// What its last session has changed of its settings, as far as they are followed.
    pub changes: Arc<Changes>,
    /// The server process.
    pub backend: Backend,
    /// How to cancel what it runs.
    pub cancel: Arc<CancelTarget>,
    /// When it was opened.
    pub opened: Instant,
    /// When it was last given back.
    pub idle_since: Instant,
    pub(super) place: Place,
}

/// How a server ended a connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Farewell {
    /// Without a word, or with words that tell of a crash.
    #[default]
    Abrupt,
    /// On purpose: a time-out of the session, an administrator's command, a shutdown in good order.
    Orderly,
}

impl Farewell {
    /// Reads the body of the ErrorResponse that ends a session.
    #[must_use]
    pub fn read(error: &[u8]) -> Self {
        match backend::error_field(error, b'C') {
            // admin_shutdown, database_dropped, idle_session_timeout, idle_in_transaction_session_timeout,
            // transaction_timeout
            Some(b"57P01" | b"57P04" | b"57P05" | b"25P03" | b"25P04") => Self::Orderly,
            _ => Self::Abrupt,
        }
    }

    /// May the server have lost commits that were already visible (asynchronous commits, failover)?
    #[must_use]
    pub const fn may_lose_history(self) -> bool {
        matches!(self, Self::Abrupt)
    }
}

/// What a look at an idle connection found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Health {
    /// It can be used.
    Alive,
    /// It cannot.
    Dead(Farewell),
    /// It can be used, but the server's configuration has changed under it.
    SettingsChanged,
}

impl Connection {
    /// Waits for bytes from the server and puts them into the inbox.
    ///
    /// # Errors
    /// What the operating system says; the end of the stream is `UnexpectedEof`.
    pub async fn receive(&mut self) -> io::Result<()> {
        make_room(&mut self.inbox, READ_BYTES);
        match self.socket.read_buf(&mut self.inbox).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Sends what the server takes of `bytes`, and receives what it has sent: a server that waits for its
    /// replies to be read takes nothing more. Returns how much was sent.
    ///
    /// # Errors
    /// What the operating system says; the end of the stream is `UnexpectedEof`.
    pub async fn send_or_receive(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.readable_or_writable().await?;
        let sent = or_nothing(self.socket.try_write(bytes))?;
        if sent == Some(0) || sent.is_none() {
            make_room(&mut self.inbox, READ_BYTES);
            if or_nothing(self.socket.try_read_buf(&mut self.inbox))? == Some(0) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(sent.unwrap_or(0))
    }

    /// Sends bytes to the server.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// Can it go to the next client as it is?
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.owed.is_empty()
            && self.inbox.is_empty()
            && self.window.is_none()
            && self.partial == 0
            && !self.copying
            && !self.sync_owed
            && self.status == TransactionStatus::Idle
    }

    /// Looks, without waiting, at what an idle connection has received: nothing, if all is well.
    pub fn check(&mut self) -> Health {
        let mut buffer = [0; 1024];
        let mut health = Health::Alive;
        loop {
            match self.socket.try_read(&mut buffer) {
                Ok(count) if count > 0 => self.inbox.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return health,
                Ok(_) | Err(_) => return Health::Dead(Farewell::Abrupt),
            }
            while let Ok(Some(frame)) = frame::complete(&self.inbox, 0) {
                match frame.tag {
                    backend::PARAMETER_STATUS => {
                        self.note_parameter(frame.body(&self.inbox).to_vec().as_slice());
                        health = Health::SettingsChanged;
                    }
                    backend::NOTICE_RESPONSE | backend::NOTIFICATION_RESPONSE => {}
                    backend::ERROR_RESPONSE => {
                        return Health::Dead(Farewell::read(frame.body(&self.inbox)));
                    }
                    _ => return Health::Dead(Farewell::Abrupt),
                }
                let _ = self.inbox.split_to(frame.end);
            }
        }
    }

    /// Notes a ParameterStatus. Returns whether the value is new.
    pub fn note_parameter(&mut self, body: &[u8]) -> bool {
        let Some((name, value)) = backend::parameter_status(body) else {
            return false;
        };
        if self
            .parameters
            .get(name)
            .is_some_and(|known| **known == *value)
        {
            return false;
        }
        Arc::make_mut(&mut self.parameters).insert(name.into(), value.into());
        true
    }

    /// Runs a query of the proxy's own to its end, throwing away what it returns.
    ///
    /// # Errors
    /// When the connection breaks or loses step, or the query fails.
    pub async fn run(&mut self, sql: &[u8]) -> io::Result<()> {
        let mut failed = false;
        self.ask(sql, |tag, _| failed |= tag == backend::ERROR_RESPONSE)
            .await?;
        if failed {
            Err(io::ErrorKind::InvalidData.into())
        } else {
            Ok(())
        }
    }

    /// Asks a question of the proxy's own whose answer is one boolean; anything else is no.
    ///
    /// # Errors
    /// When the connection breaks or loses step.
    pub async fn asks_true(&mut self, sql: &[u8]) -> io::Result<bool> {
        let mut is_true = false;
        // One column, one byte long: `t`.
        let yes = [0, 1, 0, 0, 0, 1, b't'];
        self.ask(sql, |tag, body| {
            is_true |= tag == backend::DATA_ROW && body == yes;
        })
        .await?;
        Ok(is_true)
    }

    /// Gives it the settings of another session.
    ///
    /// # Errors
    /// When the connection breaks or loses step, or the server refuses; then its settings are not known.
    pub async fn change_settings(&mut self, to: &Arc<Changes>) -> io::Result<()> {
        if Arc::ptr_eq(&self.changes, to) {
            return Ok(());
        }
        let mut sql = settings::transition(&self.changes, to);
        if !sql.is_empty() {
            // What was prepared was understood by the old settings (`search_path`).
            sql.extend_from_slice(b"DEALLOCATE ALL");
            self.run(&sql).await?;
            self.prepared.clear();
            self.leftovers.clear();
        }
        self.changes = Arc::clone(to);
        Ok(())
    }

    /// Asks what some settings are now, and returns its session's changes.
    ///
    /// # Errors
    /// When the connection breaks or loses step. `InvalidData` when the server does not answer.
    pub async fn learn_settings<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str>,
    ) -> io::Result<Changes> {
        let mut changes = Changes::clone(&self.changes);
        let mut failed = false;
        self.ask(&settings::question(names), |tag, body| match tag {
            backend::DATA_ROW => match Answer::read(body) {
                Some(answer) => answer.note(&mut changes),
                None => failed = true,
            },
            backend::ERROR_RESPONSE => failed = true,
            _ => {}
        })
        .await?;
        if failed {
            Err(io::ErrorKind::InvalidData.into())
        } else {
            Ok(changes)
        }
    }

    /// Prepares a statement under a client's own name. Returns whether the server did.
    ///
    /// # Errors
    /// When the connection breaks or loses step.
    pub async fn prepare(&mut self, name: &[u8], tail: &[u8]) -> io::Result<bool> {
        let mut message = Vec::with_capacity(tail.len() + name.len() + 32);
        frontend::write_close_statement(&mut message, name);
        frontend::write_parse(&mut message, name, tail);
        message.extend_from_slice(&frontend::SYNC_MESSAGE);
        self.leftovers.retain(|leftover| **leftover != *name);
        self.send(&message).await?;
        let mut failed = false;
        self.until_ready(|tag, _| failed |= tag == backend::ERROR_RESPONSE)
            .await?;
        Ok(!failed)
    }

    /// Makes the server forget what was drawn from sequences. The unnamed statement and portal stay.
    ///
    /// # Errors
    /// When the connection breaks or loses step, or the server refuses twice: a cancel request may have met the first.
    pub async fn discard_sequences(&mut self) -> io::Result<()> {
        const NAME: &[u8] = b"pgkeel: sequences";
        let mut message = Vec::with_capacity(160);
        frontend::write_close_statement(&mut message, NAME);
        frontend::write_parse(&mut message, NAME, b"DISCARD SEQUENCES\0\0\0");
        frontend::write_bind(&mut message, NAME, NAME, &[0; 6]);
        frontend::write_execute(&mut message, NAME);
        frontend::write_close_portal(&mut message, NAME);
        frontend::write_close_statement(&mut message, NAME);
        message.extend_from_slice(&frontend::SYNC_MESSAGE);
        for _ in 0..2 {
            self.send(&message).await?;
            let mut failed = false;
            self.until_ready(|tag, _| failed |= tag == backend::ERROR_RESPONSE)
                .await?;
            if !failed {
                return Ok(());
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    /// Sends a simple query, which does away with the unnamed statement, and reads its replies to the end.
    async fn ask(&mut self, sql: &[u8], look: impl FnMut(u8, &[u8])) -> io::Result<()> {
        let mut message = Vec::with_capacity(sql.len() + HEADER + 1);
        frontend::write_query(&mut message, sql);
        self.prepared.unnamed = Unnamed::Absent;
        self.send(&message).await?;
        self.until_ready(look).await
    }

    /// Reads up to the next ReadyForQuery, showing every frame to `look`.
    ///
    /// # Errors
    /// When the connection breaks or a length is impossible.
    pub async fn until_ready(&mut self, mut look: impl FnMut(u8, &[u8])) -> io::Result<()> {
        loop {
            let rest = self.partial.min(self.inbox.len());
            let _ = self.inbox.split_to(rest);
            self.partial -= rest;
            while self.partial == 0
                && let Some(frame) = frame::complete(&self.inbox, 0)
                    .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?
            {
                let bytes = self.inbox.split_to(frame.end);
                let body = frame.body(&bytes);
                look(frame.tag, body);
                match frame.tag {
                    backend::PARAMETER_STATUS => {
                        self.note_parameter(body);
                    }
                    backend::READY_FOR_QUERY => {
                        self.sync_owed = false;
                        self.status = TransactionStatus::read(body)
                            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
                        return Ok(());
                    }
                    _ => {}
                }
            }
            self.receive().await?;
        }
    }

    /// Says goodbye, without waiting.
    pub(super) fn terminate(&mut self) {
        let _ = self.socket.try_write(&frontend::TERMINATE_MESSAGE);
    }
}

/// Makes room for a read, and lets go of what a large message has needed.
pub fn make_room(buffer: &mut BytesMut, bytes: usize) {
    if buffer.is_empty() && buffer.capacity() > KEPT_BYTES_MAX {
        *buffer = BytesMut::new();
    }
    buffer.reserve(bytes);
}

/// An idle connection keeps no larger buffer than this.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// `None` where the socket would have to be waited for.
fn or_nothing(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_statement_makes_room() {
        let mut prepared = Prepared::default();
        let [a, b, c] = [1, 2, 3].map(StatementId);
        let shape = Arc::<Shape>::default();
        assert_eq!(prepared.insert(a, Arc::clone(&shape), 2), None);
        assert_eq!(prepared.insert(b, Arc::default(), 2), None);
        assert!(
            prepared
                .touch(a)
                .is_some_and(|its| Arc::ptr_eq(its, &shape))
        );
        assert_eq!(prepared.insert(c, Arc::default(), 2), Some(b));
        assert!(prepared.touch(b).is_none());
    }
}
