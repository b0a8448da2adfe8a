//! Cache keys: everything that may make a difference to the bytes of a result.
//!
//! A key is flat bytes, built in a buffer that a session keeps, so that a look-up allocates nothing:
//!
//! ```text
//!     simple protocol      context (8 bytes)  0  text
//!     extended protocol    context (8 bytes)  1  statement (8 bytes)  Bind tail
//! ```
//!
//! The context number stands for database, user, start-up options and reported settings; the statement
//! number for a text and its parameter types; the Bind tail holds the parameters' formats and values and the
//! result formats. Numbers are given once and never again, so equal keys mean equal requests. Keys are
//! compared whole.

/// What a session's answers depend on beside the statement. Equal numbers mean equal in every respect.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ContextId(pub u64);

/// A statement text with its parameter types. Never used again for another.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct StatementId(pub u64);

/// Writes the key of a simple query into `key`.
pub fn simple(key: &mut Vec<u8>, context: ContextId, text: &[u8]) {
    key.clear();
    key.extend_from_slice(&context.0.to_le_bytes());
    key.push(0);
    key.extend_from_slice(text);
}

/// Writes the key of a bound statement into `key`.
pub fn extended(key: &mut Vec<u8>, context: ContextId, statement: StatementId, bind_tail: &[u8]) {
    key.clear();
    key.extend_from_slice(&context.0.to_le_bytes());
    key.push(1);
    key.extend_from_slice(&statement.0.to_le_bytes());
    key.extend_from_slice(bind_tail);
}
