//! Where one message ends and the next begins.
//!
//! A frame is one byte of tag, four bytes of length (which counts itself but not the tag) and a body.
//! Every length is checked before it is believed: nothing from the network can make a reader pass the end
//! of its buffer.

/// Bytes before the body: the tag and the length word.
pub const HEADER: usize = 5;

/// The longest message PostgreSQL accepts from a client (`PQ_LARGE_MESSAGE_LIMIT`, 1 GiB less one).
pub const LENGTH_MAX: usize = 0x3fff_ffff;

/// A length word that no valid message has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("invalid message length")]
pub struct InvalidLength;

/// One message inside a buffer: `bytes[start..end]` is the whole frame, header included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame {
    /// The message type.
    pub tag: u8,
    /// Offset of the tag.
    pub start: usize,
    /// Offset behind the last byte of the body.
    pub end: usize,
}

impl Frame {
    /// The whole message, as it came.
    #[must_use]
    pub fn bytes(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start..self.end]
    }

    /// Is there anything behind the header?
    #[must_use]
    pub const fn has_body(self) -> bool {
        self.end - self.start > HEADER
    }

    /// The message without its header.
    #[must_use]
    pub fn body(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start + HEADER..self.end]
    }
}

/// Reads the header at `start`: the frame it announces, which may end beyond the buffer, or `None` while
/// the header itself is incomplete.
///
/// # Errors
/// [`InvalidLength`] when the length word is below 4 or above [`LENGTH_MAX`].
pub fn header(buffer: &[u8], start: usize) -> Result<Option<Frame>, InvalidLength> {
    let Some(&[tag, a, b, c, d]) = buffer
        .get(start..)
        .and_then(|rest| rest.first_chunk::<HEADER>())
    else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if !(4..=LENGTH_MAX).contains(&length) {
        return Err(InvalidLength);
    }
    Ok(Some(Frame {
        tag,
        start,
        end: start + 1 + length,
    }))
}

/// The complete frame at `start`, or `None` while bytes are missing.
///
/// # Errors
/// As [`header`].
pub fn complete(buffer: &[u8], start: usize) -> Result<Option<Frame>, InvalidLength> {
    Ok(header(buffer, start)?.filter(|frame| frame.end <= buffer.len()))
}

/// Starts a message in `out` and returns the place of its length word, for [`finish`].
pub fn begin(out: &mut Vec<u8>, tag: u8) -> usize {
    out.push(tag);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    at
}

/// Writes the length of the message begun at `at`.
pub fn finish(out: &mut [u8], at: usize) {
    let length = u32::try_from(out.len() - at).expect("a message we write is far below 4 GiB");
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_complete_only_with_its_last_byte() {
        let sync = [b'S', 0, 0, 0, 4];
        assert_eq!(complete(&sync[..4], 0), Ok(None));
        assert_eq!(
            complete(&sync, 0),
            Ok(Some(Frame {
                tag: b'S',
                start: 0,
                end: 5
            }))
        );
        let query = [b'Q', 0, 0, 0, 6, b'x', 0];
        assert_eq!(complete(&query[..6], 0), Ok(None));
        assert_eq!(
            complete(&query, 0).map(|f| f.map(|f| f.body(&query).to_vec())),
            Ok(Some(vec![b'x', 0]))
        );
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for length in [0_u32, 3, 0x4000_0000, u32::MAX] {
            let mut bytes = vec![b'Q'];
            bytes.extend_from_slice(&length.to_be_bytes());
            assert_eq!(header(&bytes, 0), Err(InvalidLength));
        }
        assert_eq!(header(&[b'Q', 0, 0], 9), Ok(None));
    }

    #[test]
    fn begin_and_finish_write_what_header_reads() {
        let mut out = vec![0xff];
        let at = begin(&mut out, b'C');
        out.extend_from_slice(b"SELECT 1\0");
        finish(&mut out, at);
        let frame = complete(&out, 1).expect("valid").expect("complete");
        assert_eq!((frame.tag, frame.body(&out)), (b'C', &b"SELECT 1\0"[..]));
        assert_eq!(frame.end, out.len());
    }
}
