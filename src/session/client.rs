//! The client's side of a session: what it has sent, and what it will be sent.

use std::io;

use bytes::BytesMut;
use smallvec::SmallVec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::protocol::frame::Frame;
use crate::protocol::frontend::*;
use crate::upstream::connection::make_room;
use crate::upstream::socket::Socket;

/// How much is read from a client at once.
const READ_BYTES: usize = 8 * 1024;

/// A pipeline is handed on in parts once this much of it has come without a Sync.
const SEGMENT_MAX_BYTES: usize = 256 * 1024;

/// How much is held back of a reply that may not be the last. PostgreSQL itself holds back up to 8 KiB until it is ready
/// for the next request, so nobody waits for this longer than without the proxy.
const HELD_MAX_BYTES: usize = 4 * 1024;

/// The messages of one request, in order; offsets are into the request's bytes.
pub(super) type Frames = SmallVec<[Frame; 8]>;

/// What a client wants next.
#[derive(Debug)]
pub(super) enum Request {
    /// A simple query or a function call, with nothing behind it.
    Query(BytesMut, Frame),
    /// Messages of the extended protocol up to a Sync, a Flush, or the end of what belongs together.
    Segment(BytesMut, Frames),
    /// Goodbye.
    Terminate,
}

/// A connected client.
#[derive(Debug)]
pub(super) struct Client {
    /// The stream.
    pub(super) socket: Socket,
    /// The process id that it was told at its login.
    pub(super) told_pid: u32,
    /// What came and is not yet dealt with.
    pub(super) inbox: BytesMut,
    /// What goes out with the next flush.
    pub(super) outbox: Vec<u8>,
    /// From here on the outbox is held back, and can be taken back.
    held_from: Option<usize>,
    /// Whole messages of a pipeline have come, and neither a Sync nor a Flush behind them.
    pub(super) has_part: bool,
    /// Do not wait for what is behind them any longer.
    pub(super) hands_on_part: bool,
}

impl Client {
    pub(super) fn new(socket: Socket, inbox: BytesMut, told_pid: u32) -> Self {
        Self {
            socket,
            told_pid,
            inbox,
            outbox: Vec::with_capacity(1024),
            held_from: None,
            has_part: false,
            hands_on_part: false,
        }
    }

    /// Waits for more bytes.
    pub(super) async fn receive(&mut self) -> io::Result<()> {
        make_room(&mut self.inbox, READ_BYTES);
        match self.socket.read_buf(&mut self.inbox).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Sends the outbox, whatever was held back of it.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.held_from = None;
        if !self.outbox.is_empty() {
            self.socket.write_all(&self.outbox).await?;
            self.outbox.clear();
            // A large reply must not keep its memory for as long as the client stays.
            self.outbox.shrink_to(64 * 1024);
        }
        Ok(())
    }

    /// Sends bytes behind the outbox without copying them, unless they are held back.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(from) = self.held_from
            && self.outbox.len() - from + bytes.len() <= HELD_MAX_BYTES
        {
            self.outbox.extend_from_slice(bytes);
            return Ok(());
        }
        self.flush().await?;
        self.socket.write_all(bytes).await
    }

    /// Holds back what is sent from here on, until it is too much or somebody flushes.
    pub(super) const fn hold(&mut self) {
        self.held_from = Some(self.outbox.len());
    }

    /// What was held back can no longer be taken back.
    pub(super) const fn let_go(&mut self) {
        self.held_from = None;
    }

    /// Takes back what was held back. `None`: something of it may have been sent.
    pub(super) fn take_back(&mut self) -> Option<Vec<u8>> {
        let from = self.held_from.take()?;
        Some(self.outbox.split_off(from))
    }

    /// Takes the next request off the inbox, or `None` while bytes are missing.
    pub(super) fn next_request(&mut self) -> Result<Option<Request>, Malformed> {
        let mut frames = Frames::new();
        let mut at = 0;
        loop {
            let frame = match header(&self.inbox, at) {
                Ok(Some(frame)) if frame.end <= self.inbox.len() => frame,
                Ok(_) => break,
                // What came before it is answered first.
                Err(_) if !frames.is_empty() => return Ok(Some(self.segment(frames))),
                Err(malformed) => return Err(malformed),
            };
            match frame.tag {
                PARSE | BIND | DESCRIBE | EXECUTE | CLOSE => {
                    frames.push(frame);
                    at = frame.end;
                }
                SYNC | FLUSH => {
                    frames.push(frame);
                    return Ok(Some(self.segment(frames)));
                }
                _ if !frames.is_empty() => return Ok(Some(self.segment(frames))),
                // What is left of a COPY that has ended: the server ignores it, too.
                COPY_DATA | COPY_DONE | COPY_FAIL => drop(self.inbox.split_to(frame.end)),
                QUERY | FUNCTION_CALL => {
                    return Ok(Some(Request::Query(self.inbox.split_to(frame.end), frame)));
                }
                _ => return Ok(Some(Request::Terminate)),
            }
        }
        let is_due = at > SEGMENT_MAX_BYTES || (at > 0 && self.hands_on_part);
        self.has_part = at > 0 && !is_due;
        self.hands_on_part = false;
        Ok(is_due.then(|| self.segment(frames)))
    }

    fn segment(&mut self, frames: Frames) -> Request {
        let end = frames.last().map_or(0, |frame| frame.end);
        Request::Segment(self.inbox.split_to(end), frames)
    }
}
