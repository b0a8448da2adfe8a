//! PostgreSQL's messages as whole frames, for programs that pass them on without looking inside.
//!
//! A frame is a type byte, a length that counts itself, and a body; the first packet of a connection has no type
//! byte (PostgreSQL, 55.7 "Message Formats").

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Longer frames are taken for nonsense.
const FRAME_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The requests for encryption, which are answered with "no" here.
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// Asks for the cancellation of what another connection does.
const CANCEL_REQUEST: u32 = 80_877_102;

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Frames<R> {
    stream: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: BytesMut::with_capacity(16 * 1024),
        }
    }

    /// The next frame with its header, or nothing when the other side has gone.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.take(1).await
    }

    /// A connection's first packet, which has no type byte.
    async fn first(&mut self) -> io::Result<Option<Bytes>> {
        self.take(0).await
    }

    async fn take(&mut self, type_bytes: usize) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(length) = length(&self.buffer, type_bytes)? {
                return Ok(Some(self.buffer.split_to(length).freeze()));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// How long the frame at the beginning is, once it is all there.
fn length(buffer: &[u8], type_bytes: usize) -> io::Result<Option<usize>> {
    let Some(field) = buffer
        .get(type_bytes..)
        .and_then(|rest| rest.first_chunk::<4>())
    else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*field) as usize;
    if !(4..=FRAME_BYTES_MAX).contains(&length) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a message has no possible length",
        ));
    }
    let total = length + type_bytes;
    Ok((buffer.len() >= total).then_some(total))
}

/// Both directions of a connection to one side.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) frames: Frames<OwnedReadHalf>,
    pub(crate) out: OwnedWriteHalf,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (read, out) = stream.into_split();
        Ok(Self {
            frames: Frames::new(read),
            out,
        })
    }

    pub(crate) async fn connect(address: &str) -> io::Result<Self> {
        Self::new(TcpStream::connect(address).await?)
    }
}

/// A client that is logged in at the server behind us, and that connection.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) client: Wire,
    pub(crate) server: Wire,
}

/// Passes a login on until the server is ready for queries. Nothing for a client that only came to
/// cancel, or left.
pub(crate) async fn relay_login(stream: TcpStream, address: &str) -> io::Result<Option<Pair>> {
    let mut client = Wire::new(stream)?;
    let startup = loop {
        let Some(packet) = client.frames.first().await? else {
            return Ok(None);
        };
        match packet
            .get(4..8)
            .and_then(|code| code.try_into().ok())
            .map(u32::from_be_bytes)
        {
            Some(SSL_REQUEST | GSS_REQUEST) => client.out.write_all(b"N").await?,
            Some(CANCEL_REQUEST) => {
                let mut server = Wire::connect(address).await?;
                server.out.write_all(&packet).await?;
                return Ok(None);
            }
            _ => break packet,
        }
    };
    let mut server = Wire::connect(address).await?;
    server.out.write_all(&startup).await?;
    loop {
        tokio::select! {
            frame = server.frames.next() => {
                let Some(frame) = frame? else { return Ok(None) };
                client.out.write_all(&frame).await?;
                if frame.first() == Some(&b'Z') {
                    return Ok(Some(Pair { client, server }));
                }
            }
            frame = client.frames.next() => {
                let Some(frame) = frame? else { return Ok(None) };
                server.out.write_all(&frame).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_whole_however_they_are_cut() {
        let (mut writer, reader) = tokio::io::duplex(3);
        let sender = tokio::spawn(async move {
            writer
                .write_all(b"Q\0\0\0\x06a\0S\0\0\0\x04")
                .await
                .unwrap();
        });
        let mut frames = Frames::new(reader);
        assert_eq!(
            frames.next().await.unwrap().unwrap(),
            &b"Q\0\0\0\x06a\0"[..]
        );
        assert_eq!(frames.next().await.unwrap().unwrap(), &b"S\0\0\0\x04"[..]);
        assert!(frames.next().await.unwrap().is_none());
        sender.await.unwrap();
    }

    #[test]
    fn an_impossible_length_is_refused() {
        assert!(length(b"Q\0\0\0\x03", 1).is_err());
        assert!(length(b"Q\xff\xff\xff\xff", 1).is_err());
        assert_eq!(length(b"Q\0\0", 1).unwrap(), None);
    }
}
