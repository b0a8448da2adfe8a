//! A client that speaks the raw protocol: bytes out, messages in.
//!
//! It shares no code with the proxy, so a mistake of the proxy's cannot hide here. Every read has a deadline:
//! a reply that never comes fails the test instead of hanging it.
#![allow(dead_code, reason = "what one test leaves unused another needs")]

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Protocol 3.0.
const VERSION_3_0: u32 = 0x0003_0000;

/// One message of the server.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Message {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
}

/// A connection, and what has come on it.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// Everything the server said from the login to its first ReadyForQuery.
    pub(crate) greeting: Vec<Message>,
}

impl Wire {
    /// A connection on which nothing has been said.
    pub(crate) async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            inbox: Vec::new(),
            greeting: Vec::new(),
        }
    }

    /// The user `keel` in a database of a server that asks for no password.
    pub(crate) async fn login(port: u16, database: &str) -> Self {
        Self::login_with(port, &[("user", "keel"), ("database", database)]).await
    }

    /// A login with any start-up parameters, at a server that asks for no password.
    pub(crate) async fn login_with(port: u16, parameters: &[(&str, &str)]) -> Self {
        let mut wire = Self::open(port).await;
        wire.send(&startup(parameters)).await;
        wire.greeting = wire.until_ready().await;
        wire
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends what the other side may no longer want to hear.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Ends the connection without a goodbye, as a killed client does: the other side gets a reset.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Sends bytes and returns everything up to the next ReadyForQuery.
    pub(crate) async fn ask(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.send(bytes).await;
        self.until_ready().await
    }

    /// The next message; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.take() {
                return Some(message);
            }
            if !self.receive().await {
                assert!(self.inbox.is_empty(), "cut off: {:?}", self.inbox);
                return None;
            }
        }
    }

    /// The next `count` messages.
    pub(crate) async fn messages(&mut self, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let message = self.next().await;
            messages.push(message.unwrap_or_else(|| panic!("the end after {messages:?}")));
        }
        messages
    }

    pub(crate) async fn until_ready(&mut self) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::new();
        while messages.last().is_none_or(|message| message.tag != b'Z') {
            let message = self.next().await;
            messages.push(message.unwrap_or_else(|| panic!("the end after {messages:?}")));
        }
        messages
    }

    /// Everything up to the end of the stream.
    pub(crate) async fn until_end(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        messages
    }

    /// The next byte, outside any message: the answer to a request for encryption.
    pub(crate) async fn byte(&mut self) -> u8 {
        while self.inbox.is_empty() {
            assert!(self.receive().await, "the end instead of a byte");
        }
        self.inbox.remove(0)
    }

    /// What BackendKeyData told: a process id and a secret.
    pub(crate) fn key(&self) -> Vec<u8> {
        let key = self.greeting.iter().find(|message| message.tag == b'K');
        key.expect("the greeting holds a key").body.clone()
    }

    fn take(&mut self) -> Option<Message> {
        let header = self.inbox.first_chunk::<5>()?;
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let end = 1 + length as usize;
        if self.inbox.len() < end {
            return None;
        }
        let bytes: Vec<u8> = self.inbox.drain(..end).collect();
        Some(Message {
            tag: bytes[0],
            body: bytes[5..].to_vec(),
        })
    }

    /// Whether anything came; a reset is an end like any other.
    async fn receive(&mut self) -> bool {
        self.inbox.reserve(1 << 16);
        let reading = self.stream.read_buf(&mut self.inbox);
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(received) => received.is_ok_and(|count| count > 0),
            Err(_) => panic!("nothing came in time; so far: {:?}", self.inbox),
        }
    }
}

impl Message {
    /// A field of an ErrorResponse or NoticeResponse (`C` = SQLSTATE, `M` = message).
    pub(crate) fn field(&self, code: u8) -> Option<String> {
        let fields = self.body.split(|&byte| byte == 0);
        fields
            .filter_map(|field| field.split_first())
            .find(|(first, _)| **first == code)
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// The SQLSTATE of an ErrorResponse.
    pub(crate) fn sqlstate(&self) -> String {
        assert_eq!(self.tag, b'E', "{self:?}");
        self.field(b'C').expect("an error has a SQLSTATE")
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.body[..self.body.len().min(300)];
        write!(f, "{}\"{}\"", char::from(self.tag), shown.escape_ascii())
    }
}

/// The types of messages, one letter each, in order.
pub(crate) fn tags(messages: &[Message]) -> String {
    messages
        .iter()
        .map(|message| char::from(message.tag))
        .collect()
}

/// The first column of every row, as text.
pub(crate) fn values(messages: &[Message]) -> Vec<String> {
    let rows = messages.iter().filter(|message| message.tag == b'D');
    rows.map(|row| {
        let length = i32::from_be_bytes(row.body[2..6].try_into().unwrap());
        let length = usize::try_from(length).expect("not null");
        String::from_utf8_lossy(&row.body[6..6 + length]).into_owned()
    })
    .collect()
}

/// The SQLSTATEs of the errors among messages.
pub(crate) fn errors(messages: &[Message]) -> Vec<String> {
    let errors = messages.iter().filter(|message| message.tag == b'E');
    errors.map(Message::sqlstate).collect()
}

/// A message made of parts.
pub(crate) fn message(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag][..], &length, &body].concat()
}

/// A packet without a type, as connections open with it.
pub(crate) fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap().to_be_bytes();
    [&length[..], &code.to_be_bytes(), body].concat()
}

pub(crate) fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    startup_of_version(VERSION_3_0, parameters)
}

pub(crate) fn startup_of_version(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parameters {
        body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    body.push(0);
    packet(version, &body)
}

/// A CancelRequest; `key` as [`Wire::key`] gives it.
pub(crate) fn cancel_request(key: &[u8]) -> Vec<u8> {
    packet(80_877_102, key)
}

pub(crate) fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &[sql.as_bytes(), b"\0"])
}

pub(crate) fn parse(name: &str, sql: &str) -> Vec<u8> {
    parse_typed(name, sql, &[])
}

/// A Parse with types (OIDs) for its first parameters.
pub(crate) fn parse_typed(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let count = u16::try_from(types.len()).unwrap().to_be_bytes();
    let types: Vec<u8> = types.iter().flat_map(|oid| oid.to_be_bytes()).collect();
    let texts = format!("{name}\0{sql}\0");
    message(b'P', &[texts.as_bytes(), &count, &types])
}

/// Parse, Bind and Execute of the unnamed statement and portal.
pub(crate) fn run(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", "", &[]), execute("", 0)].concat()
}

/// A Bind with everything in text format.
pub(crate) fn bind(portal: &str, statement: &str, values: &[Option<&[u8]>]) -> Vec<u8> {
    bind_formats(portal, statement, &[], values, &[])
}

/// A Bind with formats (0 text, 1 binary) for parameters and results.
pub(crate) fn bind_formats(
    portal: &str,
    statement: &str,
    formats: &[u16],
    values: &[Option<&[u8]>],
    results: &[u16],
) -> Vec<u8> {
    let mut body = format!("{portal}\0{statement}\0").into_bytes();
    body.extend(counted(formats));
    body.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        match value {
            Some(bytes) => {
                body.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
                body.extend_from_slice(bytes);
            }
            None => body.extend([0xff; 4]),
        }
    }
    body.extend(counted(results));
    message(b'B', &[&body])
}

fn counted(formats: &[u16]) -> Vec<u8> {
    let count = u16::try_from(formats.len()).unwrap();
    std::iter::once(&count)
        .chain(formats)
        .flat_map(|word| word.to_be_bytes())
        .collect()
}

pub(crate) fn describe_statement(name: &str) -> Vec<u8> {
    message(b'D', &[b"S", name.as_bytes(), b"\0"])
}

pub(crate) fn describe_portal(name: &str) -> Vec<u8> {
    message(b'D', &[b"P", name.as_bytes(), b"\0"])
}

pub(crate) fn close_statement(name: &str) -> Vec<u8> {
    message(b'C', &[b"S", name.as_bytes(), b"\0"])
}

pub(crate) fn close_portal(name: &str) -> Vec<u8> {
    message(b'C', &[b"P", name.as_bytes(), b"\0"])
}

/// An Execute; a row limit of 0 is none.
pub(crate) fn execute(portal: &str, row_limit: u32) -> Vec<u8> {
    let limit = row_limit.to_be_bytes();
    message(b'E', &[portal.as_bytes(), b"\0", &limit])
}

pub(crate) fn sync() -> Vec<u8> {
    message(b'S', &[])
}

pub(crate) fn flush() -> Vec<u8> {
    message(b'H', &[])
}

pub(crate) fn copy_data(bytes: &[u8]) -> Vec<u8> {
    message(b'd', &[bytes])
}

pub(crate) fn copy_done() -> Vec<u8> {
    message(b'c', &[])
}

pub(crate) fn copy_fail(why: &str) -> Vec<u8> {
    message(b'f', &[why.as_bytes(), b"\0"])
}
