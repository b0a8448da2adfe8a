//! An encrypted stream over a socket that never blocks.

use std::fmt;
use std::io::{self, Read, Write};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use openssl::ssl::{
    ErrorCode, Ssl, SslContextBuilder, SslMode, SslOptions, SslRef, SslSessionCacheMode, SslStream,
};
use tokio::io::ReadBuf;

use super::Plain;

/// An encrypted stream.
pub struct Stream {
    tls: SslStream<Wire>,
    /// What a write was about that the socket did not take: OpenSSL wants to see it again.
    unsent: Vec<u8>,
}

/// What is below: the socket, and what was read from it before it was known that TLS would be spoken.
pub(super) struct Wire {
    socket: Plain,
    ahead: BytesMut,
}

/// Why OpenSSL does not go on.
enum Stop {
    /// Until the socket can be read from.
    Read,
    /// Until it takes bytes.
    Write,
    /// The stream is at its end.
    End,
    /// It is broken.
    Broken(io::Error),
}

impl From<openssl::ssl::Error> for Stop {
    fn from(error: openssl::ssl::Error) -> Self {
        match error.code() {
            ErrorCode::WANT_READ => Self::Read,
            ErrorCode::WANT_WRITE => Self::Write,
            _ if is_end(&error) => Self::End,
            _ => Self::Broken(error.into_io_error().unwrap_or_else(io::Error::other)),
        }
    }
}

impl From<Stop> for io::Error {
    /// For who cannot wait.
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Read | Stop::Write => io::ErrorKind::WouldBlock.into(),
            Stop::End => io::ErrorKind::UnexpectedEof.into(),
            Stop::Broken(error) => error,
        }
    }
}

impl Stream {
    /// A stream whose handshake is still to come. `ahead` was read from the socket already.
    ///
    /// # Errors
    /// OpenSSL is out of memory.
    pub(super) fn new(ssl: Ssl, socket: Plain, ahead: BytesMut) -> io::Result<Self> {
        let wire = Wire { socket, ahead };
        Ok(Self {
            tls: SslStream::new(ssl, wire)?,
            unsent: Vec::new(),
        })
    }

    /// Shakes hands, as the side that `step` stands for.
    pub(super) async fn shake_hands(
        &mut self,
        step: fn(&mut SslStream<Wire>) -> Result<(), openssl::ssl::Error>,
    ) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            while let Err(error) = step(&mut self.tls) {
                ready!(self.poll_wanted(cx, error.into()))?;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// What the handshake has agreed on.
    #[must_use]
    pub fn ssl(&self) -> &SslRef {
        self.tls.ssl()
    }

    /// What a SCRAM proof to the server at the other end is bound to.
    #[must_use]
    pub fn server_end_point(&self) -> Option<Vec<u8>> {
        let certificate = self.ssl().peer_certificate()?;
        super::certificate::end_point(&certificate)
    }

    /// The socket below.
    #[must_use]
    pub fn socket(&self) -> &Plain {
        &self.tls.get_ref().socket
    }

    /// Reads what is there without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; `Ok(0)` is the end of the stream.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.tls.ssl_read(buffer).map_err(Stop::from) {
            Err(Stop::End) => Ok(0),
            read => Ok(read?),
        }
    }

    /// Writes what the socket takes without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.write(bytes)?)
    }

    /// OpenSSL has encrypted already what it could not send, so the next write has to begin with the same bytes: one
    /// that did not would send the old ones and believe that they were the new.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        if !bytes.starts_with(&self.unsent) {
            let text = "a write that had to wait was not made again as it was";
            return Err(Stop::Broken(io::Error::other(text)));
        }
        let written = self.tls.ssl_write(bytes).map_err(Stop::from);
        match &written {
            Ok(_) => self.unsent.clear(),
            Err(_) if self.unsent.is_empty() => {
                let record = &bytes[..bytes.len().min(RECORD_MAX_BYTES)];
                self.unsent.extend_from_slice(record);
            }
            Err(_) => {}
        }
        written
    }

    /// As [`tokio::io::AsyncRead`].
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self
                .tls
                .ssl_read(buffer.initialize_unfilled())
                .map_err(Stop::from)
            {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(Stop::End) => return Poll::Ready(Ok(())),
                Err(stop) => ready!(self.poll_wanted(cx, stop))?,
            }
        }
    }

    /// As [`tokio::io::AsyncWrite`].
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.write(bytes) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(stop) => ready!(self.poll_wanted(cx, stop))?,
            }
        }
    }

    /// Says goodbye, if the socket takes it, and ends our half of the stream.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.tls.shutdown();
        self.tls.get_mut().socket.poll_shutdown(cx)
    }

    fn poll_wanted(&self, cx: &mut Context<'_>, stop: Stop) -> Poll<io::Result<()>> {
        match stop {
            Stop::Read => self.socket().poll_read_ready(cx),
            Stop::Write => self.socket().poll_write_ready(cx),
            stop @ (Stop::End | Stop::Broken(_)) => Poll::Ready(Err(stop.into())),
        }
    }
}

/// What every stream of ours needs.
pub(super) fn prepare(context: &mut SslContextBuilder) {
    // A write that waits may come from elsewhere in memory when it is made again, and reports each record.
    context.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::RELEASE_BUFFERS,
    );
    // One read from the socket brings all that is there, not a header and then a body.
    context.set_read_ahead(true);
    // As PostgreSQL: no resumption, no renegotiation, no compression.
    context.set_options(
        SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION | SslOptions::NO_COMPRESSION,
    );
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
}

/// The most that one record of TLS holds.
const RECORD_MAX_BYTES: usize = 16 * 1024;

/// Did the other side end the stream, politely or not? Messages of PostgreSQL's protocol have lengths of their own, so a
/// stream that was cut off is noticed all the same.
fn is_end(error: &openssl::ssl::Error) -> bool {
    match error.code() {
        ErrorCode::ZERO_RETURN => true,
        ErrorCode::SYSCALL => error.io_error().is_none(),
        ErrorCode::SSL => error.ssl_error().is_some_and(|stack| {
            stack
                .errors()
                .iter()
                .any(|error| error.reason() == Some("unexpected eof while reading"))
        }),
        _ => false,
    }
}

impl Drop for Stream {
    /// The other side is told that this is the end, as PostgreSQL does, if the socket takes it.
    fn drop(&mut self) {
        if self.unsent.is_empty() {
            let _ = self.tls.shutdown();
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.ssl().version_str();
        formatter
            .debug_tuple("transport::Stream")
            .field(&version)
            .finish()
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            return self.socket.try_read(buffer);
        }
        let count = self.ahead.len().min(buffer.len());
        self.ahead.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
