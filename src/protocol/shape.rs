//! What a server says a prepared statement is: its parameters' types and its result's columns.
//!
//! PostgreSQL keeps both for as long as a statement is prepared. When the catalogs have changed it reads the text
//! anew with the same parameter types, and refuses to go on if the columns are others ("cached plan must not change
//! result type"). Two preparations of one text are therefore as good as each other if, and only if, their shapes
//! are the same.

use std::sync::{Arc, OnceLock};

use super::backend::NO_DATA;
use super::frame::HEADER;
use super::frontend::split_cstring;

/// What a statement was when it was prepared, once the server has told.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Shape(OnceLock<Description>);

/// The reply to the Describe of a statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Description {
    /// The whole ParameterDescription.
    pub parameters: Box<[u8]>,
    /// The whole RowDescription, or NoData.
    pub rows: Box<[u8]>,
    /// Notices came with it: who asks again has to see them again.
    pub is_noisy: bool,
}

/// How two shapes compare.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Comparison {
    /// The same parameters and columns.
    Same,
    /// The same parameters, other columns.
    OtherColumns,
    /// Other parameters.
    OtherParameters,
    /// One of them is not known.
    Unknown,
}

impl Shape {
    /// What the server has told.
    #[must_use]
    pub fn get(&self) -> Option<&Description> {
        self.0.get()
    }

    /// The server has told. What it told before stands.
    pub fn set(&self, description: Description) {
        let _ = self.0.set(description);
    }

    /// How this shape and another of the same text compare.
    #[must_use]
    pub fn compare(self: &Arc<Self>, other: &Arc<Self>) -> Comparison {
        if Arc::ptr_eq(self, other) {
            return Comparison::Same;
        }
        let (Some(one), Some(other)) = (self.get(), other.get()) else {
            return Comparison::Unknown;
        };
        if one.parameters != other.parameters {
            Comparison::OtherParameters
        } else if same_columns(&one.rows, &other.rows) {
            Comparison::Same
        } else {
            Comparison::OtherColumns
        }
    }
}

impl Description {
    /// The parameters' types as a Parse message gives them: a count, and the oids.
    #[must_use]
    pub fn parameter_types(&self) -> &[u8] {
        self.parameters.get(HEADER..).unwrap_or_default()
    }

    /// How many parameters there are.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        let count = self.parameter_types().first_chunk::<2>();
        count.map_or(0, |count| usize::from(u16::from_be_bytes(*count)))
    }
}

/// Do two results have columns of the same names and types? Where a column comes from makes no difference: a table
/// may be dropped and made anew.
fn same_columns(one: &[u8], other: &[u8]) -> bool {
    if one.first() == Some(&NO_DATA) || other.first() == Some(&NO_DATA) {
        return one == other;
    }
    let (Some(mut one), Some(mut other)) = (one.get(HEADER + 2..), other.get(HEADER + 2..)) else {
        return false;
    };
    loop {
        match (column(one), column(other)) {
            (Some((a, rest)), Some((b, rest_of_other))) if a == b => {
                (one, other) = (rest, rest_of_other);
            }
            (None, None) => return one.is_empty() && other.is_empty(),
            _ => return false,
        }
    }
}

/// The name and the type (oid, length, modifier) of a column.
type Column<'a> = (&'a [u8], &'a [u8]);

/// The first column, and what is behind it.
fn column(fields: &[u8]) -> Option<(Column<'_>, &[u8])> {
    /// The oid of the table and the number of the column in it.
    const ORIGIN: usize = 6;
    const TYPE: usize = 10;
    const FORMAT: usize = 2;
    let (name, rest) = split_cstring(fields)?;
    let kind = rest.get(ORIGIN..ORIGIN + TYPE)?;
    Some(((name, kind), rest.get(ORIGIN + TYPE + FORMAT..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::backend::ROW_DESCRIPTION;
    use crate::protocol::frontend::write;

    fn shape(parameters: &[u8], columns: &[(&[u8], u8, u8)]) -> Arc<Shape> {
        let mut rows = Vec::new();
        let mut body = vec![0, u8::try_from(columns.len()).expect("few")];
        for (name, table, kind) in columns {
            body.extend_from_slice(name);
            body.extend_from_slice(&[0, 0, 0, 0, *table, 0, 1]);
            body.extend_from_slice(&[0, 0, 0, *kind, 0, 4, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        }
        write(&mut rows, ROW_DESCRIPTION, &[&body]);
        let shape = Shape::default();
        shape.set(Description {
            parameters: parameters.into(),
            rows: rows.into(),
            is_noisy: false,
        });
        Arc::new(shape)
    }

    #[test]
    fn names_and_types_make_a_shape_and_tables_do_not() {
        let one = shape(b"t", &[(b"a", 1, 23), (b"b", 1, 25)]);
        let moved = shape(b"t", &[(b"a", 2, 23), (b"b", 2, 25)]);
        assert_eq!(one.compare(&moved), Comparison::Same);
        for columns in [
            &[(&b"a"[..], 1, 23)][..],
            &[(b"a", 1, 23), (b"c", 1, 25)],
            &[(b"a", 1, 23), (b"b", 1, 23)],
            &[(b"a", 1, 23), (b"b", 1, 25), (b"c", 1, 25)],
        ] {
            let other = shape(b"t", columns);
            assert_eq!(one.compare(&other), Comparison::OtherColumns, "{columns:?}");
        }
        let other = shape(b"u", &[(b"a", 1, 23), (b"b", 1, 25)]);
        assert_eq!(one.compare(&other), Comparison::OtherParameters);
        let untold = Arc::new(Shape::default());
        assert_eq!(one.compare(&untold), Comparison::Unknown);
        assert_eq!(untold.compare(&untold), Comparison::Same);
    }

    #[test]
    fn no_columns_are_unlike_any() {
        let nothing = b"n\0\0\0\x04";
        assert!(same_columns(nothing, nothing));
        assert!(!same_columns(nothing, b"T\0\0\0\x06\0\0"));
        assert!(same_columns(b"T\0\0\0\x06\0\0", b"T\0\0\0\x06\0\0"));
    }
}
