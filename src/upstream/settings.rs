//! Settings that a session has changed: reading them off one connection, and giving them to another.
//!
//! A session's settings follow it from connection to connection. What was changed is not worked out from the
//! text of a SET (whose value may be merged with the old one, rounded, or be undone by a rollback): the server is
//! asked for the value, and given the same value on the next connection.
//!
//! <https://www.postgresql.org/docs/current/sql-set.html>, <https://www.postgresql.org/docs/current/view-pg-settings.html>

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// Values by name, in lower case, of the settings that differ from what the session began with.
pub type Changes = BTreeMap<Box<str>, Box<[u8]>>;

/// No changes. Sessions and connections that have none share this one.
#[must_use]
pub fn unchanged() -> Arc<Changes> {
    static UNCHANGED: LazyLock<Arc<Changes>> = LazyLock::new(Arc::default);
    Arc::clone(&UNCHANGED)
}

/// Are they the same? Equal ones mostly are one.
#[must_use]
pub fn same(a: &Arc<Changes>, b: &Arc<Changes>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

/// Is it a setting of an application's own, which PostgreSQL keeps as an empty one even when it is reset?
#[must_use]
pub fn is_custom(name: &str) -> bool {
    name.contains('.')
}

/// Can a session with the settings `wanted` use a connection that has had `had`? Not if that knows an
/// application's setting that the session has never made: the session would see it as empty, not as missing.
#[must_use]
pub fn leaves_no_trace(had: &Changes, wanted: &Changes) -> bool {
    had.keys()
        .all(|name| !is_custom(name) || wanted.contains_key(name))
}

/// What is left of them by DISCARD ALL and by RESET ALL.
#[must_use]
pub fn discarded(changes: &Changes) -> Arc<Changes> {
    let custom = changes.keys().filter(|name| is_custom(name));
    let left: Changes = custom.map(|name| (name.clone(), [].into())).collect();
    if left.is_empty() {
        unchanged()
    } else {
        Arc::new(left)
    }
}

/// The query that asks for the values of some settings and for what set them.
///
/// For the simple query protocol, in any session: every name is qualified, and literals mean the same whatever
/// `standard_conforming_strings` is.
#[must_use]
pub fn question<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut sql = b"SELECT n, pg_catalog.current_setting(n, true), \
        (SELECT s.source FROM pg_catalog.pg_settings AS s \
         WHERE pg_catalog.lower(s.name) OPERATOR(pg_catalog.=) n) \
        FROM pg_catalog.unnest(ARRAY["
        .to_vec();
    for (at, name) in names.enumerate() {
        if at > 0 {
            sql.push(b',');
        }
        write_literal(&mut sql, name.as_bytes());
    }
    sql.extend_from_slice(b"]::pg_catalog.text[]) AS u(n)");
    sql
}

/// One row of the answer to [`question`].
#[derive(Debug, Eq, PartialEq)]
pub struct Answer<'a> {
    /// The setting.
    pub name: &'a str,
    /// Its value; `None` if there is no such setting.
    pub value: Option<&'a [u8]>,
    /// Where the value is from, of a setting that `pg_settings` shows.
    pub source: Option<&'a [u8]>,
}

impl<'a> Answer<'a> {
    /// Reads the body of a DataRow.
    #[must_use]
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (_, mut rest) = body.split_first_chunk::<2>()?;
        let mut column = || {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                rest = behind;
                return Some(None);
            };
            let (value, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(Some(value))
        };
        Some(Self {
            name: std::str::from_utf8(column()??).ok()?,
            value: column()?,
            source: column()?,
        })
    }

    /// Notes it among the changes, or strikes it out.
    pub fn note(&self, changes: &mut Changes) {
        let is_changed = match (self.name, self.value, self.source) {
            (_, None, _) => false,
            ("role", Some(value), _) => value != b"none",
            (_, Some(_), Some(source)) => source == b"session",
            (_, Some(_), None) => true,
        };
        match self.value.filter(|_| is_changed) {
            Some(value) => {
                changes.insert(self.name.into(), value.into());
            }
            None => {
                changes.remove(self.name);
            }
        }
    }
}

/// May the changes be given to another connection? Text that is not ASCII means something else in another
/// encoding, and a time-out of the idle session has to end the client's session, not a shared connection.
#[must_use]
pub fn can_travel(changes: &Changes) -> bool {
    changes
        .iter()
        .all(|(name, value)| name.is_ascii() && value.is_ascii())
        && changes
            .get("idle_session_timeout")
            .is_none_or(|limit| **limit == *b"0")
}

/// The statements that take a connection from the settings `from` to the settings `to`.
///
/// `role` goes first on the way back and last on the way there: what was set with the rights of one role cannot
/// always be set with those of another.
#[must_use]
pub fn transition(from: &Changes, to: &Changes) -> Vec<u8> {
    let mut sql = Vec::new();
    let role_changes = from.get("role") != to.get("role");
    if role_changes && from.contains_key("role") {
        sql.extend_from_slice(b"RESET role;");
    }
    for name in from.keys().filter(|name| !to.contains_key(*name)) {
        if &**name != "role" {
            sql.extend_from_slice(b"RESET ");
            write_name(&mut sql, name);
            sql.push(b';');
        }
    }
    for (name, value) in to {
        if from.get(name) != Some(value) && &**name != "role" {
            write_set_config(&mut sql, name, value);
        }
    }
    if let Some(role) = to.get("role").filter(|_| role_changes) {
        write_set_config(&mut sql, "role", role);
    }
    sql
}

fn write_set_config(sql: &mut Vec<u8>, name: &str, value: &[u8]) {
    sql.extend_from_slice(b"SELECT pg_catalog.set_config(");
    write_literal(sql, name.as_bytes());
    sql.push(b',');
    write_literal(sql, value);
    sql.extend_from_slice(b",false);");
}

/// `a.b` as the identifiers `"a"."b"`.
fn write_name(sql: &mut Vec<u8>, name: &str) {
    for (at, part) in name.split('.').enumerate() {
        if at > 0 {
            sql.push(b'.');
        }
        sql.push(b'"');
        sql.extend_from_slice(part.replace('"', "\"\"").as_bytes());
        sql.push(b'"');
    }
}

/// Text as a literal that reads the same by any settings.
fn write_literal(sql: &mut Vec<u8>, text: &[u8]) {
    sql.extend_from_slice(b"E'");
    for &byte in text {
        if matches!(byte, b'\'' | b'\\') {
            sql.push(byte);
        }
        sql.push(byte);
    }
    sql.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(pairs: &[(&str, &str)]) -> Changes {
        let pair = |(name, value): &(&str, &str)| ((*name).into(), value.as_bytes().into());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_transition_resets_and_sets() {
        let from = changes(&[("app.user", "7"), ("role", "a"), ("work_mem", "5MB")]);
        let to = changes(&[
            ("role", "b"),
            ("search_path", r#""it's", \x"#),
            ("work_mem", "5MB"),
        ]);
        let expected = concat!(
            r#"RESET role;RESET "app"."user";"#,
            r#"SELECT pg_catalog.set_config(E'search_path',E'"it''s", \\x',false);"#,
            r#"SELECT pg_catalog.set_config(E'role',E'b',false);"#
        );
        let sql = transition(&from, &to);
        assert_eq!(String::from_utf8_lossy(&sql), expected);
        assert!(transition(&to, &to).is_empty());
    }

    #[test]
    fn an_answer_is_noted_by_its_source() {
        let mut noted = changes(&[("a", "1"), ("role", "x")]);
        let answer = |name, value, source| Answer {
            name,
            value,
            source,
        };
        answer("a", Some(&b"0"[..]), Some(&b"default"[..])).note(&mut noted);
        answer("b", Some(&b"2"[..]), Some(&b"session"[..])).note(&mut noted);
        answer("x.y", Some(&b""[..]), None).note(&mut noted);
        answer("role", Some(&b"none"[..]), None).note(&mut noted);
        answer("gone", None, None).note(&mut noted);
        assert_eq!(noted, changes(&[("b", "2"), ("x.y", "")]));
    }

    #[test]
    fn only_custom_settings_leave_a_trace() {
        let had = changes(&[("app.user", "7"), ("work_mem", "5MB")]);
        assert!(!leaves_no_trace(&had, &changes(&[])));
        assert!(leaves_no_trace(&had, &changes(&[("app.user", "8")])));
        assert_eq!(*discarded(&had), changes(&[("app.user", "")]));
        assert!(Arc::ptr_eq(&discarded(&changes(&[])), &unchanged()));
    }

    #[test]
    fn a_row_is_read() {
        let row = b"\0\x03\0\0\0\x01n\0\0\0\x01v\xff\xff\xff\xff";
        let (value, source) = (Some(&b"v"[..]), None);
        let expected = Answer {
            name: "n",
            value,
            source,
        };
        assert_eq!(Answer::read(row), Some(expected));
        assert_eq!(Answer::read(b"\0\x03\0\0\0\x09n"), None);
    }
}
