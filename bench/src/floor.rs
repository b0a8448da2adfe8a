//! The floor: the least that a program can do to answer a query over a socket.
//!
//! It passes a query on the first time and remembers the bytes that came back. From then on it answers the same
//! bytes with the same bytes: one read, one look-up, one write. It never asks whether they are still true, keeps no
//! sessions apart and forgets nothing, so it is of no use but as a limit: no cache that answers over the same
//! socket can be much faster.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::frames::{Pair, Wire, relay_login};

/// Serves clients on `listener` until dropped; `upstream` is the server's address, such as `127.0.0.1:5432`.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(listener: TcpListener, upstream: String) -> io::Result<()> {
    let (memory, upstream) = (Arc::new(Memory::default()), Arc::new(upstream));
    loop {
        let (client, _) = listener.accept().await?;
        let (memory, upstream) = (Arc::clone(&memory), Arc::clone(&upstream));
        // A connection that breaks is its client's to notice.
        tokio::spawn(async move { serve_client(client, &upstream, &memory).await.ok() });
    }
}

/// What was answered so far, for all clients.
#[derive(Debug, Default)]
struct Memory {
    answers: RwLock<HashMap<Box<[u8]>, Arc<Answer>>>,
    /// Numbers for prepared statements: clients give the same statement different names.
    statements: Mutex<HashMap<Bytes, u64>>,
}

/// The bytes of an answer, by the state of the transaction that its last message tells.
#[derive(Debug)]
struct Answer {
    idle: Bytes,
    in_transaction: Bytes,
}

impl Answer {
    fn new(bytes: &[u8]) -> Self {
        let ending = |status: u8| {
            let mut copy = bytes.to_vec();
            if let Some(last) = copy.last_mut() {
                *last = status;
            }
            Bytes::from(copy)
        };
        Self {
            idle: ending(b'I'),
            in_transaction: ending(b'T'),
        }
    }

    fn ending(&self, in_transaction: bool) -> &[u8] {
        if in_transaction {
            &self.in_transaction
        } else {
            &self.idle
        }
    }
}

impl Memory {
    fn answer(&self, key: &[u8]) -> Option<Arc<Answer>> {
        let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        answers.get(key).cloned()
    }

    fn remember(&self, key: &[u8], bytes: &[u8]) {
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        answers.insert(key.into(), Arc::new(Answer::new(bytes)));
    }

    fn number(&self, statement: Bytes) -> u64 {
        let mut statements = self
            .statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let next = statements.len() as u64;
        *statements.entry(statement).or_insert(next)
    }
}

async fn serve_client(stream: TcpStream, upstream: &str, memory: &Memory) -> io::Result<()> {
    let Some(Pair { client, server }) = relay_login(stream, upstream).await? else {
        return Ok(());
    };
    let mut session = Session {
        client,
        server,
        names: HashMap::new(),
        in_transaction: false,
        key: Vec::new(),
    };
    while let Some(request) = session.request().await? {
        session.answer(&request, memory).await?;
    }
    Ok(())
}

struct Session {
    client: Wire,
    server: Wire,
    /// The numbers of the statements that this client has prepared.
    names: HashMap<Bytes, u64>,
    in_transaction: bool,
    key: Vec<u8>,
}

impl Session {
    /// What the client sends up to a Query or a Sync; nothing when it leaves.
    async fn request(&mut self) -> io::Result<Option<Vec<Bytes>>> {
        let mut request = Vec::with_capacity(4);
        while let Some(frame) = self.client.frames.next().await? {
            let last = match frame.first() {
                Some(b'X') => return Ok(None),
                Some(b'Q' | b'S') => true,
                Some(b'B' | b'C' | b'D' | b'E' | b'P') => false,
                _ => {
                    let text = "the floor knows queries only: no COPY, no Flush, no FunctionCall";
                    return Err(io::Error::new(io::ErrorKind::Unsupported, text));
                }
            };
            request.push(frame);
            if last {
                return Ok(Some(request));
            }
        }
        Ok(None)
    }

    async fn answer(&mut self, request: &[Bytes], memory: &Memory) -> io::Result<()> {
        if let Some(control) = control(request) {
            self.in_transaction = control == Control::Begin;
            return self.client.out.write_all(control.answer()).await;
        }
        let may_remember = self.write_key(request);
        if may_remember && let Some(answer) = memory.answer(&self.key) {
            let bytes = answer.ending(self.in_transaction);
            return self.client.out.write_all(bytes).await;
        }
        self.learn_names(request, memory);
        // The server never learns of a transaction: each statement stands alone there, and reads need no more.
        self.server.out.write_all(&request.concat()).await?;
        let bytes = self.server_reply().await?;
        if may_remember && !holds_error(&bytes) {
            memory.remember(&self.key, &bytes);
        }
        let answer = Answer::new(&bytes);
        let bytes = answer.ending(self.in_transaction);
        self.client.out.write_all(bytes).await
    }

    async fn server_reply(&mut self) -> io::Result<BytesMut> {
        let mut bytes = BytesMut::new();
        while let Some(frame) = self.server.frames.next().await? {
            bytes.extend_from_slice(&frame);
            if frame.first() == Some(&b'Z') {
                return Ok(bytes);
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Makes the key of a request out of all that its answer depends on. False if that is not all in it.
    fn write_key(&mut self, request: &[Bytes]) -> bool {
        self.key.clear();
        let mut has_unnamed = false;
        for frame in request {
            let body = frame.get(5..).unwrap_or_default();
            match frame.first() {
                Some(b'Q') if is_read(body) => self.key.extend_from_slice(frame),
                Some(b'P') => match body.split_first() {
                    Some((0, rest)) if is_read(rest) => {
                        has_unnamed = true;
                        self.key.extend_from_slice(frame);
                    }
                    _ => return false,
                },
                Some(b'B') => {
                    let Some((portal, rest)) = text(body) else {
                        return false;
                    };
                    let Some((name, rest)) = text(rest) else {
                        return false;
                    };
                    match (name.is_empty(), self.names.get(name)) {
                        (true, _) if has_unnamed => self.key.extend_from_slice(frame),
                        (false, Some(number)) if portal.is_empty() => {
                            self.key.push(b'b');
                            self.key.extend_from_slice(&number.to_be_bytes());
                            self.key.extend_from_slice(rest);
                        }
                        _ => return false,
                    }
                }
                // A Describe of a named statement is part of preparing it.
                Some(b'D') if body.get(1) == Some(&0) => self.key.extend_from_slice(frame),
                Some(b'E' | b'S') => self.key.extend_from_slice(frame),
                _ => return false,
            }
        }
        true
    }

    /// Notes the statements that a request prepares and that are reads.
    fn learn_names(&mut self, request: &[Bytes], memory: &Memory) {
        for frame in request.iter().filter(|frame| frame.first() == Some(&b'P')) {
            let body = frame.slice(5..);
            let Some((name, statement)) = text(&body) else {
                continue;
            };
            let name = Bytes::copy_from_slice(name);
            if is_read(statement) {
                let number = memory.number(Bytes::copy_from_slice(statement));
                self.names.insert(name, number);
            } else {
                self.names.remove(&name);
            }
        }
    }
}

/// Transaction control that the floor understands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Control {
    Begin,
    Commit,
    Rollback,
}

impl Control {
    /// CommandComplete and ReadyForQuery.
    const fn answer(self) -> &'static [u8] {
        match self {
            Self::Begin => b"C\0\0\0\x0aBEGIN\0Z\0\0\0\x05T",
            Self::Commit => b"C\0\0\0\x0bCOMMIT\0Z\0\0\0\x05I",
            Self::Rollback => b"C\0\0\0\x0dROLLBACK\0Z\0\0\0\x05I",
        }
    }
}

fn control(request: &[Bytes]) -> Option<Control> {
    let [frame] = request else { return None };
    let sql = frame.get(5..)?;
    match sql.to_ascii_uppercase().as_slice() {
        b"BEGIN\0" => Some(Control::Begin),
        b"COMMIT\0" => Some(Control::Commit),
        b"ROLLBACK\0" => Some(Control::Rollback),
        _ => None,
    }
}

fn is_read(sql: &[u8]) -> bool {
    let sql = sql.trim_ascii_start();
    let starts = |word: &[u8]| {
        sql.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    starts(b"SELECT") || starts(b"WITH")
}

/// A text that ends in a zero byte, and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Is there an ErrorResponse among the messages?
fn holds_error(mut bytes: &[u8]) -> bool {
    while let [kind, a, b, c, d, ..] = bytes {
        if *kind == b'E' {
            return true;
        }
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize + 1;
        bytes = bytes.get(length..).unwrap_or_default();
    }
    false
}
