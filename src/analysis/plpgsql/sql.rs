//! The statements of PL/pgSQL that are statements of SQL, with variables that take what they return; and cursors.

use super::Body;
use super::reader::Span;
use super::scan::Token;
use crate::reason::Reason;

impl Body<'_, '_> {
    /// The arguments of a cursor, in parentheses: each may be named.
    pub(super) fn arguments(&mut self, span: Span) -> Option<()> {
        if span.is_empty() {
            return Some(());
        }
        let last = self.reader.token(span.to - 1)?;
        if !self.reader.token(span.from)?.is_sign("(") || !last.is_sign(")") {
            return None;
        }
        let inside = Span {
            from: span.from + 1,
            to: span.to - 1,
        };
        for mut part in self.reader.parts(inside) {
            let names = self
                .reader
                .token(part.from + 1)
                .is_some_and(|token| token.is_sign(":=") || token.is_sign("=>"));
            part.from += if names { 2 } else { 0 };
            self.reader.expression(part)?;
        }
        Some(())
    }

    pub(super) fn execute(&mut self) -> Option<()> {
        let source = self.reader.rest()?;
        self.executed(source)
    }

    /// What stands behind EXECUTE: a text, and INTO and USING in any order.
    pub(super) fn executed(&mut self, source: Span) -> Option<()> {
        let is_clause = |token: &Token<'_>| token.is_word("into") || token.is_word("using");
        let clause = self.reader.position(source, is_clause);
        let mut at = clause.unwrap_or(source.to);
        self.reader.dynamic(Span { to: at, ..source })?;
        while at < source.to {
            let is_into = self.reader.token(at)?.is_word("into");
            let rest = Span {
                from: at + 1,
                to: source.to,
            };
            let to = self.reader.position(rest, is_clause).unwrap_or(source.to);
            let clause = Span { to, ..rest };
            if is_into {
                self.into(clause)?;
            } else {
                self.reader.expression(clause)?;
            }
            at = to;
        }
        Some(())
    }

    /// The variables that values go into.
    pub(super) fn into(&mut self, span: Span) -> Option<()> {
        for mut part in self.reader.parts(span) {
            let strict = self.reader.token(part.from)?.is_word("strict");
            part.from += usize::from(strict);
            let first = self.reader.token(part.from)?;
            let name = first.name().unwrap_or_else(|| first.text.to_owned());
            self.reader.assigned(&name, part.to > part.from + 1);
        }
        Some(())
    }

    /// A statement of SQL, which may put its result into variables.
    pub(super) fn sql(&mut self, first: Token<'_>) -> Option<()> {
        let mut statement = self.reader.rest()?;
        statement.from -= 1;
        if first.is_word("import") {
            return None;
        }
        let Some((into, behind)) = self.target_of(statement)? else {
            return self.reader.query(self.reader.text_of(statement));
        };
        let before = self.reader.text_of(Span {
            to: into,
            ..statement
        });
        let after = self.reader.text_of(Span {
            from: behind,
            ..statement
        });
        self.into(Span {
            from: into + 1,
            to: behind,
        })?;
        self.reader.query(&format!("{before} {after}"))
    }

    /// From where to where the INTO of a statement is, variables and all, unless it names a table.
    fn target_of(&self, statement: Span) -> Option<Option<(usize, usize)>> {
        let mut found = None;
        for at in statement.from + 1..statement.to {
            let before = self.reader.token(at - 1)?;
            let names_table = before.is_word("insert") || before.is_word("merge");
            if !self.reader.token(at)?.is_word("into") || names_table {
                continue;
            }
            if found.is_some() {
                return None;
            }
            found = Some((at, self.behind_targets(at + 1)?));
        }
        Some(found)
    }

    fn behind_targets(&self, mut at: usize) -> Option<usize> {
        let token = |at: usize| self.reader.token(at);
        at += usize::from(token(at)?.is_word("strict"));
        loop {
            // A parameter may go by its number.
            let is_variable = token(at)?.name().is_some() || token(at)?.text.starts_with('$');
            if !is_variable {
                return None;
            }
            at += 1;
            while token(at)?.is_sign(".") {
                token(at + 1)?.name()?;
                at += 2;
            }
            if !token(at)?.is_sign(",") {
                return Some(at);
            }
            at += 1;
        }
    }

    /// OPEN.
    pub(super) fn open(&mut self) -> Option<()> {
        self.reader.facts.refuse(Reason::UserFunction);
        self.reader.name()?;
        if self.reader.at_sign("(") {
            let arguments = self.reader.rest()?;
            return self.arguments(arguments);
        }
        if self.reader.accept_sign(";") {
            return Some(());
        }
        self.reader.accept("no");
        self.reader.accept("scroll");
        self.reader.expect("for")?;
        let is_dynamic = self.reader.accept("execute");
        let source = self.reader.rest()?;
        if is_dynamic {
            return self.executed(source);
        }
        self.reader.query(self.reader.text_of(source))
    }

    /// FETCH, MOVE or CLOSE: the query of the cursor was noted where it was opened.
    pub(super) fn cursor(&mut self) -> Option<()> {
        self.reader.facts.refuse(Reason::UserFunction);
        let span = self.reader.rest()?;
        // How far to go is an expression: only a number is taken.
        let is_plain = !self.reader.text_of(span).contains('(');
        is_plain.then_some(())
    }

    /// COMMIT or ROLLBACK.
    pub(super) fn end_of_transaction(&mut self) -> Option<()> {
        self.reader.facts.refuse(Reason::UserFunction);
        self.reader.facts.may_commit = true;
        for word in ["and", "no", "chain"] {
            self.reader.accept(word);
        }
        self.reader.expect_sign(";")
    }
}
