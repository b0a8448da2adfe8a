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
    /// The body of the login's BackendKeyData.
    key: Vec<u8>,
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
            key: Vec::new(),
        };
        let mut message = BytesMut::new();
        frontend::startup_message(startup.iter().copied(), &mut message)
            .expect("no parameter holds a NUL");
        raw.send(&message).await;
        let reply = raw.until_ready().await;
        assert_eq!(reply.error(), None, "the login works");
        let key = reply.0.iter().find(|message| message[0] == b'K');
        raw.key = key.expect("a server tells its key")[HEADER..].to_vec();
        raw
    }

    /// Asks whoever listens on this port to cancel what the session is doing (PostgreSQL, 55.2.8 "Canceling Requests in
    /// Progress"), and waits until that has been heard.
    pub(crate) async fn cancel(&self, port: u16) {
        let mut stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("somebody listens");
        let mut message = 16_i32.to_be_bytes().to_vec();
        message.extend_from_slice(&80_877_102_i32.to_be_bytes());
        message.extend_from_slice(&self.key);
        stream
            .write_all(&message)
            .await
            .expect("the connection stands");
        let _ = stream.read(&mut [0]).await;
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

    /// As [`Raw::ask`]; `None` if the connection ends before the reply does.
    pub(crate) async fn try_ask(&mut self, script: &Script) -> Option<Reply> {
        self.stream.write_all(&script.0).await.ok()?;
        self.try_until_ready().await
    }

    /// Reads up to the next ReadyForQuery; `None` if the connection ends before.
    pub(crate) async fn try_until_ready(&mut self) -> Option<Reply> {
        let mut messages = Vec::new();
        loop {
            let message = self.message().await?;
            let ready = message[0] == b'Z';
            messages.push(message);
            if ready {
                return Some(Reply(messages));
            }
        }
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
        let reply = self.try_until_ready().await;
        reply.expect("the connection stands")
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

    pub(crate) fn describe_statement(mut self, name: &str) -> Self {
        frontend::describe(b'S', name, &mut self.0).expect("no NUL");
        self
    }

    pub(crate) fn execute(self) -> Self {
        self.execute_rows(0)
    }

    /// Executes the unnamed portal for at most so many rows; 0 for all.
    pub(crate) fn execute_rows(mut self, rows_max: i32) -> Self {
        frontend::execute("", rows_max, &mut self.0).expect("no NUL");
        self
    }

    /// Calls a function with arguments in text (PostgreSQL, 55.7 "Message Formats", FunctionCall).
    pub(crate) fn function_call(mut self, function: u32, arguments: &[&str]) -> Self {
        let mut body = function.to_be_bytes().to_vec();
        body.extend_from_slice(&0_i16.to_be_bytes());
        let count = i16::try_from(arguments.len()).expect("they are few");
        body.extend_from_slice(&count.to_be_bytes());
        for argument in arguments {
            let length = i32::try_from(argument.len()).expect("it is short");
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(argument.as_bytes());
        }
        body.extend_from_slice(&0_i16.to_be_bytes());
        let length = i32::try_from(body.len() + 4).expect("it is short");
        self.0.extend_from_slice(b"F");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(&body);
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

    /// The first value of each row, as it came.
    pub(crate) fn values(&self) -> Vec<Option<Vec<u8>>> {
        let rows = self.0.iter().filter(|message| message[0] == b'D');
        rows.map(|row| {
            let length = &row[HEADER + 2..HEADER + 6];
            let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
            let length = usize::try_from(length).ok()?;
            Some(row[HEADER + 6..HEADER + 6 + length].to_vec())
        })
        .collect()
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
