//! A connected stream: TCP or a Unix socket, encrypted or not.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest, ReadBuf};
use tokio_postgres::config::SslNegotiation;

use crate::config::{Host, Upstream};
use crate::protocol::startup::SSL_REQUEST_PACKET;
use crate::transport::{self, Plain};

/// A connected stream.
#[derive(Debug)]
pub enum Socket {
    /// As it comes from the operating system.
    Plain(Plain),
    /// Encrypted.
    Tls(Box<transport::Stream>),
}

impl Socket {
    /// Connects to the upstream server, encrypted or not as its URL says.
    ///
    /// # Errors
    /// What the operating system says, what is wrong with TLS, or `TimedOut` after `limit`.
    pub async fn connect(upstream: &Upstream, limit: Duration) -> io::Result<Self> {
        let encrypt = upstream.tls.mode.tries_tls_first();
        Self::connect_as(upstream, encrypt, limit).await
    }

    /// Connects to the upstream server, and tries to encrypt the connection or does not.
    ///
    /// # Errors
    /// As [`Socket::connect`].
    pub async fn connect_as(
        upstream: &Upstream,
        encrypt: bool,
        limit: Duration,
    ) -> io::Result<Self> {
        tokio::time::timeout(limit, connect(upstream, encrypt))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Is it encrypted?
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// What a SCRAM proof over this connection to a server is bound to.
    #[must_use]
    pub fn server_end_point(&self) -> Option<Vec<u8>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.server_end_point(),
        }
    }

    /// Reads what is there without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; `Ok(0)` is the end of the stream.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_read(buffer),
            Self::Tls(stream) => stream.try_read(buffer),
        }
    }

    /// Waits until the socket can be read from, or takes bytes.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn readable_or_writable(&self) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.socket(),
        };
        match socket {
            Plain::Tcp(stream) => stream.ready(interest).await?,
            Plain::Unix(stream) => stream.ready(interest).await?,
        };
        Ok(())
    }

    /// Reads what is there into `buffer`, which has room, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; `Ok(0)` is the end of the stream.
    pub fn try_read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Plain(Plain::Tcp(stream)) => stream.try_read_buf(buffer),
            Self::Plain(Plain::Unix(stream)) => stream.try_read_buf(buffer),
            Self::Tls(stream) => {
                let here = buffer.len();
                buffer.resize(buffer.capacity(), 0);
                let read = stream.try_read(&mut buffer[here..]);
                buffer.truncate(here + read.as_ref().copied().unwrap_or(0));
                read
            }
        }
    }

    /// Writes what the socket takes without waiting. When it takes nothing, the next write is of the same bytes.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_write(bytes),
            Self::Tls(stream) => stream.try_write(bytes),
        }
    }
}

/// As libpq does: the server is asked whether it speaks TLS, or finds out by the first byte.
/// <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>
async fn connect(upstream: &Upstream, encrypt: bool) -> io::Result<Socket> {
    let mut socket = Socket::Plain(Plain::connect(upstream).await?);
    if !encrypt || matches!(upstream.host, Host::UnixSocket(_)) {
        return Ok(socket);
    }
    if upstream.tls.negotiation == SslNegotiation::Postgres {
        socket.write_all(&SSL_REQUEST_PACKET).await?;
        match socket.read_u8().await? {
            b'S' => {}
            b'N' if !upstream.tls.mode.demands_tls() => return Ok(socket),
            b'N' => {
                let text = "the server does not speak TLS, which sslmode demands";
                return Err(io::Error::other(text));
            }
            // An error, of a server that cannot serve anybody now: it says more to who does not ask for TLS.
            _ if !upstream.tls.mode.demands_tls() => {
                return Ok(Socket::Plain(Plain::connect(upstream).await?));
            }
            _ => return Err(io::Error::other("the server refused to speak TLS")),
        }
    }
    let Socket::Plain(plain) = socket else {
        return Ok(socket);
    };
    match transport::handshake(upstream, plain).await {
        Ok(stream) => Ok(Socket::Tls(Box::new(stream))),
        Err(error) if !upstream.tls.mode.demands_tls() => {
            tracing::warn!(
                server = upstream.masked(),
                "sslmode=prefer: going on without TLS, since {error}"
            );
            Ok(Socket::Plain(Plain::connect(upstream).await?))
        }
        Err(error) => Err(error),
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(Plain::Tcp(stream)) => Pin::new(stream).poll_read(cx, buffer),
            Self::Plain(Plain::Unix(stream)) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => stream.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(Plain::Tcp(stream)) => Pin::new(stream).poll_write(cx, bytes),
            Self::Plain(Plain::Unix(stream)) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => stream.poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => socket.poll_shutdown(cx),
            Self::Tls(stream) => stream.poll_shutdown(cx),
        }
    }
}
