//! Views of the messages a client sends, and the few that the proxy sends to a server itself.
//!
//! A view borrows the frame's body and gives `None` when the body is not what the message format says;
//! such a message is forwarded untouched, and PostgreSQL answers it in its own words.

use super::frame::{self, Frame, InvalidLength, begin, finish};

/// Bind.
pub const BIND: u8 = b'B';
/// Close.
pub const CLOSE: u8 = b'C';
/// CopyData (both directions).
pub const COPY_DATA: u8 = b'd';
/// CopyDone (both directions).
pub const COPY_DONE: u8 = b'c';
/// CopyFail.
pub const COPY_FAIL: u8 = b'f';
/// Describe.
pub const DESCRIBE: u8 = b'D';
/// Execute.
pub const EXECUTE: u8 = b'E';
/// Flush.
pub const FLUSH: u8 = b'H';
/// FunctionCall.
pub const FUNCTION_CALL: u8 = b'F';
/// Parse.
pub const PARSE: u8 = b'P';
/// GSSResponse, PasswordMessage, SASLInitialResponse and SASLResponse.
pub const PASSWORD: u8 = b'p';
/// Query.
pub const QUERY: u8 = b'Q';
/// Sync.
pub const SYNC: u8 = b'S';
/// Terminate.
pub const TERMINATE: u8 = b'X';

/// A whole Sync message.
pub const SYNC_MESSAGE: [u8; 5] = [SYNC, 0, 0, 0, 4];
/// A whole Flush message.
pub const FLUSH_MESSAGE: [u8; 5] = [FLUSH, 0, 0, 0, 4];
/// A whole Terminate message.
pub const TERMINATE_MESSAGE: [u8; 5] = [TERMINATE, 0, 0, 0, 4];

/// The longest message of the types that are always short (`PQ_SMALL_MESSAGE_LIMIT`).
const SHORT_MAX: usize = 10_000;

/// The message at `start`, which may end beyond the buffer, or `None` while its header is incomplete.
///
/// # Errors
/// What PostgreSQL ends a connection for, without waiting for the rest of the message.
pub fn header(buffer: &[u8], start: usize) -> Result<Option<Frame>, Malformed> {
    let Some(&tag) = buffer.get(start) else {
        return Ok(None);
    };
    let length_max = match tag {
        CLOSE | COPY_DONE | COPY_FAIL | DESCRIBE | EXECUTE | FLUSH | SYNC | TERMINATE => SHORT_MAX,
        BIND | COPY_DATA | FUNCTION_CALL | PARSE | QUERY => frame::LENGTH_MAX,
        _ => return Err(Malformed::Type(tag)),
    };
    match frame::header(buffer, start)? {
        Some(frame) if frame.end - frame.start > 1 + length_max => Err(InvalidLength.into()),
        header => Ok(header),
    }
}

/// A message that cannot be one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// A length that no message of its type has.
    #[error(transparent)]
    Length(#[from] InvalidLength),
    /// A message type that does not exist.
    #[error("invalid frontend message type {0}")]
    Type(u8),
}

/// Splits a NUL-terminated string off the front of `body`.
pub fn split_cstring(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = body.iter().position(|&byte| byte == 0)?;
    Some((&body[..end], &body[end + 1..]))
}

/// The text of a Query message.
#[must_use]
pub fn query(body: &[u8]) -> Option<&[u8]> {
    split_cstring(body)
        .filter(|(_, rest)| rest.is_empty())
        .map(|(text, _)| text)
}

/// Parse: a statement's name, and behind it the text and the parameter types the client chose to give.
#[derive(Clone, Copy, Debug)]
pub struct Parse<'a> {
    /// The name, empty for the unnamed statement.
    pub name: &'a [u8],
    /// The text without its NUL.
    pub text: &'a [u8],
    /// Everything behind the name: the text, its NUL, the number of types, the types.
    pub tail: &'a [u8],
}

impl<'a> Parse<'a> {
    /// Reads the body of a Parse message.
    #[must_use]
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (name, tail) = split_cstring(body)?;
        let (text, types) = split_cstring(tail)?;
        let (count, types) = types.split_first_chunk::<2>()?;
        let whole = types.len() == usize::from(u16::from_be_bytes(*count)) * 4;
        whole.then_some(Self { name, text, tail })
    }
}

/// Bind: a portal made of a statement and its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Bind<'a> {
    /// The portal's name, empty for the unnamed portal.
    pub portal: &'a [u8],
    /// The statement's name.
    pub statement: &'a [u8],
    /// Everything behind the names: parameter formats, parameter values, result formats.
    pub tail: &'a [u8],
}

impl<'a> Bind<'a> {
    /// Reads the names of a Bind message; the tail is checked by [`Bind::parameters`].
    #[must_use]
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (portal, rest) = split_cstring(body)?;
        let (statement, tail) = split_cstring(rest)?;
        Some(Self {
            portal,
            statement,
            tail,
        })
    }

    /// Does it bind no parameter, in a form that every server accepts?
    #[must_use]
    pub fn has_no_parameters(&self) -> bool {
        let has_few_formats = matches!(self.tail, [0, 0 | 1, ..]);
        has_few_formats && self.parameters().is_some_and(|values| values.is_empty())
    }

    /// The parameter values (`None` for NULL), or `None` when the tail is malformed.
    #[must_use]
    pub fn parameters(&self) -> Option<Vec<Option<&'a [u8]>>> {
        let (_, rest) = split_counted(self.tail, 2)?;
        let (count, mut rest) = rest.split_first_chunk::<2>()?;
        let mut values = Vec::new();
        for _ in 0..u16::from_be_bytes(*count) {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                values.push(None);
                rest = behind;
                continue;
            };
            let (value, behind) = behind.split_at_checked(length)?;
            values.push(Some(value));
            rest = behind;
        }
        let (_, rest) = split_counted(rest, 2)?;
        rest.is_empty().then_some(values)
    }
}

/// Splits a 16-bit count and `count * width` bytes off the front.
fn split_counted(bytes: &[u8], width: usize) -> Option<(&[u8], &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*count)) * width)
}

/// What a Describe or Close names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target<'a> {
    /// A prepared statement.
    Statement(&'a [u8]),
    /// A portal.
    Portal(&'a [u8]),
}

impl<'a> Target<'a> {
    /// Reads the body of a Describe or Close message.
    #[must_use]
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (&kind, rest) = body.split_first()?;
        let (name, rest) = split_cstring(rest)?;
        match kind {
            b'S' if rest.is_empty() => Some(Self::Statement(name)),
            b'P' if rest.is_empty() => Some(Self::Portal(name)),
            _ => None,
        }
    }
}

/// Execute: run a portal.
#[derive(Clone, Copy, Debug)]
pub struct Execute<'a> {
    /// The portal's name.
    pub portal: &'a [u8],
    /// The most rows to return; 0 means all.
    pub row_limit: i32,
}

impl<'a> Execute<'a> {
    /// Reads the body of an Execute message.
    #[must_use]
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (portal, rest) = split_cstring(body)?;
        let limit = <[u8; 4]>::try_from(rest).ok()?;
        Some(Self {
            portal,
            row_limit: i32::from_be_bytes(limit),
        })
    }
}

/// Appends a Query message.
pub fn write_query(out: &mut Vec<u8>, text: &[u8]) {
    write(out, QUERY, &[text, b"\0"]);
}

/// Appends a Parse message with another name than the client's; `tail` as in [`Parse::tail`].
pub fn write_parse(out: &mut Vec<u8>, name: &[u8], tail: &[u8]) {
    write(out, PARSE, &[name, b"\0", tail]);
}

/// Appends a Bind message for another statement name; `tail` as in [`Bind::tail`].
pub fn write_bind(out: &mut Vec<u8>, portal: &[u8], statement: &[u8], tail: &[u8]) {
    write(out, BIND, &[portal, b"\0", statement, b"\0", tail]);
}

/// Appends a Describe message for a statement.
pub fn write_describe_statement(out: &mut Vec<u8>, name: &[u8]) {
    write(out, DESCRIBE, &[b"S", name, b"\0"]);
}

/// Appends a Close message for a statement.
pub fn write_close_statement(out: &mut Vec<u8>, name: &[u8]) {
    write(out, CLOSE, &[b"S", name, b"\0"]);
}

/// Appends a Close message for a portal.
pub fn write_close_portal(out: &mut Vec<u8>, name: &[u8]) {
    write(out, CLOSE, &[b"P", name, b"\0"]);
}

/// Appends an Execute message for all rows.
pub fn write_execute(out: &mut Vec<u8>, portal: &[u8]) {
    write(out, EXECUTE, &[portal, b"\0\0\0\0\0"]);
}

/// Appends a message made of parts.
pub fn write(out: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    let at = begin(out, tag);
    for part in parts {
        out.extend_from_slice(part);
    }
    finish(out, at);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_no_client_may_send_is_refused_by_its_header() {
        let message = |tag, length: u32| [&[tag][..], &length.to_be_bytes()].concat();
        for (tag, length) in [(SYNC, 10_001), (FLUSH, 3), (EXECUTE, 10_001), (QUERY, 3)] {
            let refused = header(&message(tag, length), 0);
            assert_eq!(refused, Err(Malformed::Length(InvalidLength)));
        }
        for (tag, length) in [(SYNC, 4), (EXECUTE, 10_000), (QUERY, 1 << 29)] {
            assert!(matches!(header(&message(tag, length), 0), Ok(Some(_))));
        }
        assert_eq!(header(b"!", 0), Err(Malformed::Type(b'!')));
        assert_eq!(header(b"Q", 0), Ok(None));
    }

    #[test]
    fn a_query_ends_with_its_only_nul() {
        assert_eq!(query(b"SELECT 1\0"), Some(&b"SELECT 1"[..]));
        assert_eq!(query(b"SELECT 1"), None);
        assert_eq!(query(b"SELECT\0 1\0"), None);
    }

    #[test]
    fn bind_gives_values_and_nulls() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02hi\xff\xff\xff\xff\0\0";
        let bind = Bind::read(body).expect("well formed");
        assert_eq!((bind.portal, bind.statement), (&b"p"[..], &b"s"[..]));
        assert_eq!(bind.parameters(), Some(vec![Some(&b"hi"[..]), None]));
    }

    #[test]
    fn a_short_bind_is_refused() {
        assert!(Bind::read(b"p\0s").is_none());
        let bind = Bind::read(b"\0\0\0\0\0\x01\0\0\0\x09short\0\0").expect("names are there");
        assert_eq!(bind.parameters(), None);
    }

    #[test]
    fn parse_counts_its_types() {
        let parse = Parse::read(b"n\0SELECT $1\0\0\x01\0\0\0\x17").expect("well formed");
        assert_eq!((parse.name, parse.text), (&b"n"[..], &b"SELECT $1"[..]));
        assert!(Parse::read(b"n\0SELECT $1\0\0\x02\0\0\0\x17").is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_view_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = query(&body);
            let _ = Parse::read(&body);
            let _ = Bind::read(&body).and_then(|bind| bind.parameters().map(|values| values.len()));
            let _ = Target::read(&body);
            let _ = Execute::read(&body);
        }
    }
}
