//! What a text of SQL is made of, told to people: the class of each statement, and the parser's complaint.
//!
//! Nothing is decided by this: what is cached is decided by the verdict alone.

use pg_raw_parse::Node;

use super::facts::{Facts, Reach};
use super::session::SessionEffect;
use super::statement::note;
use super::{Dialect, parse_guarded, readable};

/// What kind of statement a text is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// It changes definitions, privileges or roles.
    Ddl,
    /// No statement at all.
    Empty,
    /// The text could not be parsed, or might mean something else to the server.
    NotUnderstood,
    /// SELECT, VALUES or TABLE.
    Read,
    /// Several statements.
    Script,
    /// BEGIN, COMMIT, ROLLBACK, savepoints and two-phase commit.
    TransactionControl,
    /// Everything else: SET, SHOW, EXPLAIN, CALL, VACUUM.
    Utility,
    /// INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY FROM, REFRESH.
    Write,
}

/// A text, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Anatomy {
    /// Its class.
    pub class: Class,
    /// The texts of its statements, if it is a script.
    pub statements: Vec<String>,
}

impl Class {
    /// The name for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ddl => "DDL",
            Self::Empty => "empty",
            Self::NotUnderstood => "not understood",
            Self::Read => "read",
            Self::Script => "script",
            Self::TransactionControl => "transaction control",
            Self::Utility => "utility",
            Self::Write => "write",
        }
    }
}

/// Takes a text apart, as [`parse`](super::parse) would read it.
///
/// # Errors
/// Why it is not understood, in one line.
pub fn anatomy(sql: &[u8], dialect: Dialect, max_bytes: usize) -> Result<Anatomy, String> {
    if sql.len() > max_bytes {
        return Err(format!(
            "the text is longer than cache.statement_max_bytes ({max_bytes} bytes), so it is not analysed"
        ));
    }
    if readable(sql, dialect, max_bytes).is_none() {
        return Err("the text is not UTF-8, or has a NUL in it".to_owned());
    }
    let read = parse_guarded(sql, dialect, max_bytes, |text| Some(take_apart(text)));
    read.unwrap_or_else(|| Err("the text cannot be parsed".to_owned()))
}

fn take_apart(text: &str) -> Result<Anatomy, String> {
    let tree =
        pg_raw_parse::parse(text).map_err(|error| error.to_string().replace(['\n', '\r'], " "))?;
    let mut statements = Vec::new();
    let mut classes = Vec::new();
    for raw in tree.iter() {
        classes.push(class(raw.stmt()));
        statements.push(piece(text, raw.stmt_location, raw.stmt_len));
    }
    Ok(match classes[..] {
        [] => Anatomy {
            class: Class::Empty,
            statements: Vec::new(),
        },
        [class] => Anatomy {
            class,
            statements: Vec::new(),
        },
        _ => Anatomy {
            class: Class::Script,
            statements,
        },
    })
}

/// The text of one statement; a length of zero stands for the rest.
fn piece(text: &str, location: i32, length: i32) -> String {
    let start = usize::try_from(location).unwrap_or_default();
    let rest = text.get(start..).unwrap_or_default();
    let length = usize::try_from(length).unwrap_or_default();
    let piece = match length {
        0 => rest,
        length => rest.get(..length).unwrap_or(rest),
    };
    piece.trim().to_owned()
}

fn class(statement: Node<'_>) -> Class {
    match statement {
        Node::SelectStmt(_) => Class::Read,
        Node::TransactionStmt(_) => Class::TransactionControl,
        Node::CopyStmt(copy) if copy.is_from => Class::Write,
        Node::InsertStmt(_)
        | Node::UpdateStmt(_)
        | Node::DeleteStmt(_)
        | Node::MergeStmt(_)
        | Node::TruncateStmt(_)
        | Node::RefreshMatViewStmt(_) => Class::Write,
        _ => {
            let mut facts = Facts::default();
            note(statement, &mut facts);
            let is_code = facts.session.contains(SessionEffect::UnknownCode);
            if facts.reach == Reach::Catalog && !is_code {
                Class::Ddl
            } else {
                Class::Utility
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECT: Dialect = Dialect {
        utf8: true,
        standard_conforming_strings: true,
    };

    fn of(sql: &str) -> Result<Anatomy, String> {
        anatomy(sql.as_bytes(), DIALECT, 1 << 10)
    }

    #[test]
    fn statements_have_classes() {
        for (sql, class) in [
            ("SELECT 1", Class::Read),
            ("WITH x AS (SELECT 1) TABLE x", Class::Read),
            ("INSERT INTO t VALUES (1)", Class::Write),
            ("COPY t FROM STDIN", Class::Write),
            ("COPY t TO STDOUT", Class::Utility),
            ("TRUNCATE t", Class::Write),
            ("CREATE TABLE t (a int)", Class::Ddl),
            ("GRANT SELECT ON t TO PUBLIC", Class::Ddl),
            ("ALTER ROLE r SET work_mem = 1", Class::Ddl),
            ("SET search_path = x", Class::Utility),
            ("CALL p()", Class::Utility),
            ("BEGIN", Class::TransactionControl),
            ("PREPARE TRANSACTION 'x'", Class::TransactionControl),
            ("-- nothing", Class::Empty),
            ("SELECT 1; SELECT 2", Class::Script),
        ] {
            assert_eq!(of(sql).unwrap().class, class, "{sql}");
        }
    }

    #[test]
    fn a_script_is_taken_apart() {
        let anatomy = of("SELECT 'ä;b' ;\n -- two\nSELECT 2").unwrap();
        assert_eq!(anatomy.statements.len(), 2);
        assert_eq!(anatomy.statements[0], "SELECT 'ä;b'");
        assert!(anatomy.statements[1].ends_with("SELECT 2"));
    }

    #[test]
    fn complaints_are_one_line() {
        for sql in ["SELEC 1", "SELECT '", "SELECT \0", &"x".repeat(2000)] {
            let complaint = of(sql).unwrap_err();
            assert!(
                !complaint.is_empty() && !complaint.contains('\n'),
                "{complaint}"
            );
        }
    }
}
