//! A stream of the operating system: TCP or a Unix socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite as _;
use tokio::net::{TcpStream, UnixStream};

use crate::config::{Host, Upstream};

/// A stream of the operating system.
#[derive(Debug)]
pub enum Plain {
    /// Over TCP, with Nagle's algorithm off.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Plain {
    /// An accepted TCP stream. If it cannot be prepared the client is gone already, and reading will tell.
    #[must_use]
    pub fn accepted(stream: TcpStream) -> Self {
        let _ = prepare(&stream);
        Self::Tcp(stream)
    }

    /// Connects to a server.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn connect(upstream: &Upstream) -> io::Result<Self> {
        match &upstream.host {
            Host::Tcp(host) => {
                let stream = TcpStream::connect((host.as_str(), upstream.port)).await?;
                prepare(&stream)?;
                Ok(Self::Tcp(stream))
            }
            Host::UnixSocket(directory) => {
                let path = directory.join(format!(".s.PGSQL.{}", upstream.port));
                Ok(Self::Unix(UnixStream::connect(path).await?))
            }
        }
    }

    /// Reads what is there without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; `Ok(0)` is the end of the stream.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
        }
    }

    /// Writes what the socket takes without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Can it be read from?
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Does it take bytes?
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Ends our half of the stream.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // A peer that vanished without a word is noticed in minutes, not hours.
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(6);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
