//! A script that runs outside a transaction, cut into its statements by PostgreSQL's own grammar.
//!
//! Pure. It exists because the server runs statements that are sent together in one transaction, which
//! CREATE INDEX CONCURRENTLY does not bear.
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT>

use pg_raw_parse::Node;

/// One statement of a script.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Statement<'script> {
    /// Its text, without the semicolon.
    pub(super) text: &'script str,
    /// The index it builds, if it is CREATE INDEX CONCURRENTLY.
    pub(super) builds: Option<Index>,
}

/// An index that a statement builds.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Index {
    pub(super) name: String,
    /// The table, quoted, with its schema if the statement names one.
    pub(super) table: String,
}

/// The statements of `script`, in order.
///
/// # Errors
/// What the grammar does not understand.
pub(super) fn statements(script: &str) -> Result<Vec<Statement<'_>>, String> {
    let tree = pg_raw_parse::parse(script).map_err(|error| error.to_string())?;
    tree.iter()
        .map(|raw| {
            let start = usize::try_from(raw.stmt_location).unwrap_or(0);
            // A length of 0 is that of the rest.
            let end = match usize::try_from(raw.stmt_len) {
                Ok(length) if length > 0 => start + length,
                _ => script.len(),
            };
            let text = script
                .get(start..end)
                .ok_or("a statement ends within a character")?;
            Ok(Statement {
                text: text.trim(),
                builds: built_index(raw.stmt()),
            })
        })
        .collect()
}

/// An index without a name gets one from the server, which is then known to nobody: it cannot be repaired.
fn built_index(statement: Node<'_>) -> Option<Index> {
    let Node::IndexStmt(statement) = statement else {
        return None;
    };
    let table = statement.relation()?;
    let parts = [table.schemaname(), table.relname()];
    statement.concurrent.then_some(Index {
        name: statement.idxname()?.to_owned(),
        table: parts
            .into_iter()
            .flatten()
            .map(quoted)
            .collect::<Vec<_>>()
            .join("."),
    })
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_cut_where_the_grammar_says() {
        let script = "-- no-transaction\n-- é; not the end\nCREATE INDEX CONCURRENTLY i ON t (n);\n\n\
                      SELECT ';' /* ; */;\nCREATE INDEX CONCURRENTLY \"I\" ON s.\"T\"\"\" (n);\n\
                      CREATE INDEX j ON t (n)";
        let statements = statements(script).unwrap();
        let texts: Vec<_> = statements
            .iter()
            .map(|one| one.text.lines().last().unwrap_or_default())
            .collect();
        assert_eq!(
            texts,
            [
                "CREATE INDEX CONCURRENTLY i ON t (n)",
                "SELECT ';' /* ; */",
                "CREATE INDEX CONCURRENTLY \"I\" ON s.\"T\"\"\" (n)",
                "CREATE INDEX j ON t (n)"
            ]
        );
        let index = |name: &str, table: &str| {
            Some(Index {
                name: name.to_owned(),
                table: table.to_owned(),
            })
        };
        let builds: Vec<_> = statements.into_iter().map(|one| one.builds).collect();
        assert_eq!(
            builds,
            [
                index("i", "\"t\""),
                None,
                index("I", "\"s\".\"T\"\"\""),
                None
            ]
        );
    }

    #[test]
    fn what_is_no_statement_is_told() {
        assert_eq!(statements("-- nothing\n").unwrap(), []);
        let error = statements("CREATE INDEKS").unwrap_err();
        assert!(error.contains("INDEKS"), "{error}");
    }
}
