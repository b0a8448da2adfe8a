//! Values as they travel: parameters in text format, results as the bytes that arrived.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Row, SimpleQueryMessage};

/// A parameter of whatever type the server wants, written as text.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Text(pub(crate) String);

impl ToSql for Text {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// A value of a result, not decoded.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Everything a client can see of an answer, in a form that can be compared.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Answer {
    /// Name and type of each column.
    columns: Vec<String>,
    rows: Vec<Vec<Option<Vec<u8>>>>,
    /// How many rows the server says there are, where it says so.
    tag: Option<u64>,
}

impl Answer {
    /// The answer to a prepared statement.
    pub(super) fn of_rows(rows: &[Row]) -> anyhow::Result<Self> {
        let columns = rows.first().map(Row::columns).unwrap_or_default();
        let columns = columns
            .iter()
            .map(|column| format!("{} {}", column.name(), column.type_()));
        let mut values = Vec::with_capacity(rows.len());
        for row in rows {
            let mut line = Vec::with_capacity(row.len());
            for index in 0..row.len() {
                line.push(
                    row.try_get::<_, Option<Raw<'_>>>(index)?
                        .map(|raw| raw.0.to_vec()),
                );
            }
            values.push(line);
        }
        Ok(Self {
            columns: columns.collect(),
            rows: values,
            tag: None,
        })
    }

    /// The answer to a query of the simple protocol.
    pub(super) fn of_messages(messages: &[SimpleQueryMessage]) -> Self {
        let mut answer = Self {
            columns: Vec::new(),
            rows: Vec::new(),
            tag: None,
        };
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    answer.columns = columns
                        .iter()
                        .map(|column| column.name().to_owned())
                        .collect();
                }
                SimpleQueryMessage::Row(row) => {
                    let value = |index| row.get(index).map(|text| text.as_bytes().to_vec());
                    answer.rows.push((0..row.len()).map(value).collect());
                }
                SimpleQueryMessage::CommandComplete(rows) => answer.tag = Some(*rows),
                // The library's enum may grow; what it adds, it adds for both servers.
                _ => {}
            }
        }
        answer
    }
}

/// The statement with its parameters written into it, as the simple protocol needs it. A `$` always stands for a
/// parameter here: no statement of ours has one in a text.
pub(crate) fn inline(sql: &str, arguments: &[&str]) -> String {
    let mut text = String::with_capacity(sql.len() + 16);
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = after[..digits].parse().unwrap_or(0);
        match number.checked_sub(1).and_then(|index| arguments.get(index)) {
            Some(argument) => {
                text.push('\'');
                text.push_str(&argument.replace('\'', "''"));
                text.push('\'');
            }
            None => {
                text.push('$');
                text.push_str(&after[..digits]);
            }
        }
        rest = &after[digits..];
    }
    text.push_str(rest);
    text
}

/// How many parameters a statement takes: the highest number behind a `$`.
pub(crate) fn placeholders(sql: &str) -> usize {
    let numbers = sql.split('$').skip(1).filter_map(|after| {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        after[..digits].parse().ok()
    });
    numbers.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_written_into_the_statement() {
        assert_eq!(inline("SELECT 1", &[]), "SELECT 1");
        assert_eq!(
            inline("SELECT $1 || $1", &["o'k"]),
            "SELECT 'o''k' || 'o''k'"
        );
        let many: Vec<String> = (1..=10).map(|number| format!("${number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(inline("SELECT $10, $1", &many), "SELECT '$10', '$1'");
        assert_eq!(placeholders("SELECT $2, $10, $1"), 10);
        assert_eq!(placeholders("SELECT 1"), 0);
    }
}
