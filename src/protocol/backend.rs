//! Views of the messages a server sends, and the ones the proxy writes in a server's place.

use super::frame::{begin, finish};
use super::frontend::split_cstring;

/// Authentication*, every kind.
pub const AUTHENTICATION: u8 = b'R';
/// BackendKeyData.
pub const BACKEND_KEY_DATA: u8 = b'K';
/// BindComplete.
pub const BIND_COMPLETE: u8 = b'2';
/// CloseComplete.
pub const CLOSE_COMPLETE: u8 = b'3';
/// CommandComplete.
pub const COMMAND_COMPLETE: u8 = b'C';
/// CopyBothResponse.
pub const COPY_BOTH_RESPONSE: u8 = b'W';
/// CopyInResponse.
pub const COPY_IN_RESPONSE: u8 = b'G';
/// CopyOutResponse.
pub const COPY_OUT_RESPONSE: u8 = b'H';
/// CopyData, from the server.
pub const COPY_DATA: u8 = b'd';
/// CopyDone, from the server.
pub const COPY_DONE: u8 = b'c';
/// DataRow.
pub const DATA_ROW: u8 = b'D';
/// EmptyQueryResponse.
pub const EMPTY_QUERY_RESPONSE: u8 = b'I';
/// ErrorResponse.
pub const ERROR_RESPONSE: u8 = b'E';
/// FunctionCallResponse.
pub const FUNCTION_CALL_RESPONSE: u8 = b'V';
/// NegotiateProtocolVersion.
pub const NEGOTIATE_PROTOCOL_VERSION: u8 = b'v';
/// NoData.
pub const NO_DATA: u8 = b'n';
/// NoticeResponse.
pub const NOTICE_RESPONSE: u8 = b'N';
/// NotificationResponse.
pub const NOTIFICATION_RESPONSE: u8 = b'A';
/// ParameterDescription.
pub const PARAMETER_DESCRIPTION: u8 = b't';
/// ParameterStatus.
pub const PARAMETER_STATUS: u8 = b'S';
/// ParseComplete.
pub const PARSE_COMPLETE: u8 = b'1';
/// PortalSuspended.
pub const PORTAL_SUSPENDED: u8 = b's';
/// ReadyForQuery.
pub const READY_FOR_QUERY: u8 = b'Z';
/// RowDescription.
pub const ROW_DESCRIPTION: u8 = b'T';

/// A whole ParseComplete message.
pub const PARSE_COMPLETE_MESSAGE: [u8; 5] = [PARSE_COMPLETE, 0, 0, 0, 4];
/// A whole BindComplete message.
pub const BIND_COMPLETE_MESSAGE: [u8; 5] = [BIND_COMPLETE, 0, 0, 0, 4];
/// A whole CloseComplete message.
pub const CLOSE_COMPLETE_MESSAGE: [u8; 5] = [CLOSE_COMPLETE, 0, 0, 0, 4];
/// A whole NoData message.
pub const NO_DATA_MESSAGE: [u8; 5] = [NO_DATA, 0, 0, 0, 4];

/// The transaction status that ReadyForQuery carries.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TransactionStatus {
    /// Not in a transaction block.
    #[default]
    Idle,
    /// In a transaction block.
    Open,
    /// In a failed transaction block: everything but its end is refused (25P02).
    Failed,
}

impl TransactionStatus {
    /// Reads the body of ReadyForQuery.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        match body {
            b"I" => Some(Self::Idle),
            b"T" => Some(Self::Open),
            b"E" => Some(Self::Failed),
            _ => None,
        }
    }

    /// A whole ReadyForQuery message.
    #[must_use]
    pub const fn ready_for_query(self) -> [u8; 6] {
        let status = match self {
            Self::Idle => b'I',
            Self::Open => b'T',
            Self::Failed => b'E',
        };
        [READY_FOR_QUERY, 0, 0, 0, 5, status]
    }
}

/// The command tag of CommandComplete, without its NUL.
#[must_use]
pub fn command_tag(body: &[u8]) -> &[u8] {
    split_cstring(body).map_or(body, |(tag, _)| tag)
}

/// The name and value of a ParameterStatus message.
#[must_use]
pub fn parameter_status(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = split_cstring(body)?;
    let (value, rest) = split_cstring(rest)?;
    rest.is_empty().then_some((name, value))
}

/// A field of ErrorResponse or NoticeResponse by its code (`C` = SQLSTATE, `M` = message, `V` = severity).
#[must_use]
pub fn error_field(body: &[u8], code: u8) -> Option<&[u8]> {
    error_fields(body).find_map(|(field, value)| (field == code).then_some(value))
}

/// The fields of ErrorResponse or NoticeResponse, by their codes.
pub fn error_fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (&field, behind) = rest.split_first()?;
        let (value, behind) = split_cstring(behind)?;
        rest = behind;
        Some((field, value))
    })
}

/// A whole ErrorResponse with these fields.
#[must_use]
pub fn error_of(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let at = begin(&mut out, ERROR_RESPONSE);
    for (code, value) in fields {
        out.push(*code);
        out.extend_from_slice(value);
        out.push(0);
    }
    out.push(0);
    finish(&mut out, at);
    out
}

/// How serious an error is that the proxy itself reports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session is over.
    Fatal,
}

/// Appends an ErrorResponse. `sqlstate` is a code of PostgreSQL's appendix A.
pub fn write_error(out: &mut Vec<u8>, severity: Severity, sqlstate: &str, message: &str) {
    let severity = match severity {
        Severity::Error => "ERROR",
        Severity::Fatal => "FATAL",
    };
    let at = begin(out, ERROR_RESPONSE);
    for (field, value) in [
        (b'S', severity),
        (b'V', severity),
        (b'C', sqlstate),
        (b'M', message),
    ] {
        out.push(field);
        out.extend_from_slice(value.as_bytes());
        out.push(0);
    }
    out.push(0);
    finish(out, at);
}

/// Appends a FATAL error in the layout of the protocol before 3.0, which knew no lengths and no fields.
pub fn write_error_before_3(out: &mut Vec<u8>, message: &str) {
    out.push(ERROR_RESPONSE);
    out.extend_from_slice(b"FATAL:  ");
    out.extend_from_slice(message.as_bytes());
    out.extend_from_slice(b"\n\0");
}

/// Appends a CommandComplete with the given tag.
pub fn write_command_complete(out: &mut Vec<u8>, tag: &str) {
    let at = begin(out, COMMAND_COMPLETE);
    out.extend_from_slice(tag.as_bytes());
    out.push(0);
    finish(out, at);
}

/// Appends a ParameterStatus.
pub fn write_parameter_status(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let at = begin(out, PARAMETER_STATUS);
    for part in [name, b"\0", value, b"\0"] {
        out.extend_from_slice(part);
    }
    finish(out, at);
}

/// Appends a BackendKeyData.
pub fn write_backend_key_data(out: &mut Vec<u8>, pid: u32, key: &[u8]) {
    let at = begin(out, BACKEND_KEY_DATA);
    out.extend_from_slice(&pid.to_be_bytes());
    out.extend_from_slice(key);
    finish(out, at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::complete;

    #[test]
    fn an_error_reads_back_by_field() {
        let mut out = Vec::new();
        write_error(
            &mut out,
            Severity::Fatal,
            "53300",
            "sorry, too many clients already",
        );
        let frame = complete(&out, 0).expect("valid").expect("complete");
        let body = frame.body(&out);
        assert_eq!(error_field(body, b'C'), Some(&b"53300"[..]));
        assert_eq!(error_field(body, b'V'), Some(&b"FATAL"[..]));
        assert_eq!(
            error_field(body, b'M'),
            Some(&b"sorry, too many clients already"[..])
        );
        assert_eq!(error_field(body, b'H'), None);
    }

    #[test]
    fn status_bytes_round_trip() {
        for status in [
            TransactionStatus::Idle,
            TransactionStatus::Open,
            TransactionStatus::Failed,
        ] {
            assert_eq!(
                TransactionStatus::read(&status.ready_for_query()[5..]),
                Some(status)
            );
        }
        assert_eq!(TransactionStatus::read(b"X"), None);
    }
}
