//! A client that speaks the protocol by hand: what it sends and what comes back are bytes.
//!
//! It logs in without a password, so its stage needs [`pgkeel_bench::sandbox::Auth::Trust`].

use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const HEADER: usize = 5;

/// A connection by hand.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: TcpStream,
    inbox: BytesMut,
}

/// The messages up to and with a ReadyForQuery, as they came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reply(Vec<Vec<u8>>);

/// Messages for the server, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(BytesMut);

/// The formats of a result (PostgreSQL, 55.7 "Message Formats", Bind).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Text = 0,
    Binary = 1,
}

impl Raw {
    /// Logs in with these start-up parameters.
    pub(crate) async fn connect(port: u16, startup: &[(&str, &str)]) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("somebody listens");
        stream
            .set_nodelay(true)
            .expect("a TCP socket has the option");
        let mut raw = Self {
            stream,
            inbox: BytesMut::new(),
        };
        let mut message = BytesMut::new();
        frontend::startup_message(startup.iter().copied(), &mut message)
            .expect("no parameter holds a NUL");
        raw.send(&message).await;
        let reply = raw.until_ready().await;
        assert_eq!(reply.error(), None, "the login works");
        raw
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .await
            .expect("the connection stands");
    }

    /// Sends messages that end with a Query or a Sync, and returns the reply.
    pub(crate) async fn ask(&mut self, script: &Script) -> Reply {
        self.send(&script.0).await;
        self.until_ready().await
    }

    /// Runs a simple query.
    pub(crate) async fn query(&mut self, sql: &str) -> Reply {
        self.ask(&Script::new().query(sql)).await
    }

    /// Runs a simple query that has to succeed.
    #[track_caller]
    pub(crate) fn run(&mut self, sql: &str) -> impl Future<Output = Reply> {
        let caller = std::panic::Location::caller();
        async move {
            let reply = self.query(sql).await;
            assert_eq!(reply.error(), None, "{sql}: {caller}");
            reply
        }
    }

    /// Reads up to the next ReadyForQuery.
    pub(crate) async fn until_ready(&mut self) -> Reply {
        let mut messages = Vec::new();
        loop {
            let message = self.message().await.expect("the connection stands");
            let ready = message[0] == b'Z';
            messages.push(message);
            if ready {
                return Reply(messages);
            }
        }
    }

    /// Reads up to the first message with this tag.
    pub(crate) async fn until(&mut self, tag: u8) {
        while self.message().await.expect("the connection stands")[0] != tag {}
    }

    /// The next message, or `None` at the end of the connection.
    pub(crate) async fn message(&mut self) -> Option<Vec<u8>> {
        loop {
            if self.inbox.len() >= HEADER {
                let length = &self.inbox[1..HEADER];
                let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
                let end = 1 + usize::try_from(length).expect("a length is positive");
                if self.inbox.len() >= end {
                    return Some(self.inbox.split_to(end).to_vec());
                }
            }
            match self.stream.read_buf(&mut self.inbox).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn query(mut self, sql: &str) -> Self {
        frontend::query(sql, &mut self.0).expect("no NUL");
        self
    }

    pub(crate) fn parse(mut self, name: &str, sql: &str) -> Self {
        frontend::parse(name, sql, [], &mut self.0).expect("no NUL");
        self
    }

    /// Binds the unnamed portal, with parameters in text.
    pub(crate) fn bind(mut self, statement: &str, values: &[&str], results: Format) -> Self {
        let bound = frontend::bind(
            "",
            statement,
            [],
            values,
            |value, out| {
                out.extend_from_slice(value.as_bytes());
                Ok(IsNull::No)
            },
            [results as i16],
            &mut self.0,
        );
        assert!(bound.is_ok(), "the parameters can be written");
        self
    }

    pub(crate) fn describe(mut self) -> Self {
        frontend::describe(b'P', "", &mut self.0).expect("no NUL");
        self
    }

    pub(crate) fn execute(mut self) -> Self {
        frontend::execute("", 0, &mut self.0).expect("no NUL");
        self
    }

    pub(crate) fn copy_data(mut self, data: &[u8]) -> Self {
        frontend::CopyData::new(data)
            .expect("it is short")
            .write(&mut self.0);
        self
    }

    pub(crate) fn copy_done(mut self) -> Self {
        frontend::copy_done(&mut self.0);
        self
    }

    pub(crate) fn flush(mut self) -> Self {
        frontend::flush(&mut self.0);
        self
    }

    pub(crate) fn sync(mut self) -> Self {
        frontend::sync(&mut self.0);
        self
    }

    /// Parse, Bind, Describe and Execute of the unnamed statement, without a Sync.
    pub(crate) fn statement(self, sql: &str, values: &[&str]) -> Self {
        self.parse("", sql)
            .bind("", values, Format::Text)
            .describe()
            .execute()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Reply {
    /// The SQLSTATE of the first error.
    pub(crate) fn error(&self) -> Option<String> {
        let error = self.0.iter().find(|message| message[0] == b'E')?;
        let mut fields = error[HEADER..].split(|&byte| byte == 0);
        let code = fields.find(|field| field.first() == Some(&b'C'))?;
        Some(String::from_utf8_lossy(&code[1..]).into_owned())
    }

    /// The rows, a line each: the values with a bar between them, NULL for none.
    pub(crate) fn rows(&self) -> Vec<String> {
        let rows = self.0.iter().filter(|message| message[0] == b'D');
        rows.map(|row| line(&row[HEADER..])).collect()
    }

    /// The transaction status: `I`, `T` or `E`.
    pub(crate) fn status(&self) -> char {
        let ready = self.0.last().expect("a reply ends with ReadyForQuery");
        char::from(ready[HEADER])
    }

    /// Everything that came, as bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }
}

/// The values of a DataRow's body.
fn line(mut body: &[u8]) -> String {
    let mut take = |count: usize| {
        let (head, tail) = body.split_at(count);
        body = tail;
        head
    };
    let count = i16::from_be_bytes(take(2).try_into().expect("two bytes"));
    let mut values = Vec::new();
    for _ in 0..count {
        let length = i32::from_be_bytes(take(4).try_into().expect("four bytes"));
        values.push(match usize::try_from(length) {
            Ok(length) => String::from_utf8_lossy(take(length)).into_owned(),
            Err(_) => "NULL".to_owned(),
        });
    }
    values.join("|")
}
