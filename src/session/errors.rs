//! Errors of the server's, as a session reads and rewords them.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::protocol::backend;

/// Is it an error of PostgreSQL's grammar, in the text of the request itself and not in one that it has run?
pub(super) fn is_of_parser(error: &[u8]) -> bool {
    let field = |code| backend::error_field(error, code);
    let (internal_query, context) = (field(b'q'), field(b'W'));
    field(b'C') == Some(b"42601")
        && field(b'R') == Some(b"scanner_yyerror")
        && internal_query.is_none()
        && context.is_none()
}

/// Where the source of each server's version raises it, as far as it was seen: the releases differ.
static LINES: Mutex<Lines> = Mutex::new(Lines::new());

/// Numbers of lines by versions.
type Lines = BTreeMap<Box<[u8]>, Box<[u8]>>;

const CHANGED: &[u8] = b"cached plan must not change result type";
const ROUTINE: &[u8] = b"RevalidateCachedQuery";

/// The error of a statement whose columns have changed, in the place of the one that refused [`super::revise`]'s
/// message. `None`: it is another error, and the client's.
pub(super) fn changed_result(error: &[u8], server_version: &[u8]) -> Option<Vec<u8>> {
    if backend::error_field(error, b'C') != Some(b"26000") {
        return None;
    }
    let lines = LINES.lock();
    let line = lines.get(server_version).map(|line| (b'L', &**line));
    let severity = backend::error_field(error, b'S').unwrap_or(b"ERROR");
    let mut fields = vec![
        (b'S', severity),
        (b'V', b"ERROR"),
        (b'C', b"0A000"),
        (b'M', CHANGED),
        (b'F', b"plancache.c"),
    ];
    fields.extend(line);
    fields.push((b'R', ROUTINE));
    Some(backend::error_of(&fields))
}

/// An error of the server's own, from which to learn the line.
pub(super) fn note_changed_result(error: &[u8], server_version: &[u8]) {
    let field = |code| backend::error_field(error, code);
    if field(b'C') == Some(b"0A000")
        && field(b'R') == Some(ROUTINE)
        && let Some(line) = field(b'L')
    {
        LINES.lock().insert(server_version.into(), line.into());
    }
}

/// An error about a statement that the server knows by another name than the client.
pub(super) fn with_clients_name(error: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    if backend::error_field(error, b'C') != Some(b"08P01") {
        return None;
    }
    let fields: Vec<_> = backend::error_fields(error).collect();
    let &(_, message) = fields.iter().find(|(code, _)| *code == b'M')?;
    let at = message
        .windows(SERVER_NAME.len())
        .position(|window| window == SERVER_NAME)?;
    let behind = &message[at + SERVER_NAME.len()..];
    let digits = behind
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let message = [&message[..at], name, &behind[digits..]].concat();
    let reworded = fields.iter().map(|&(code, value)| match code {
        b'M' => (code, &*message),
        _ => (code, value),
    });
    Some(backend::error_of(&reworded.collect::<Vec<_>>()))
}

/// How the names begin that statements have on the server.
const SERVER_NAME: &[u8] = b"pgkeel_";
