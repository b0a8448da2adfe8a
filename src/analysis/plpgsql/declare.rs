//! The variables of a block, and the types of variables.

use pg_raw_parse::Node;

use super::reader::{Reader, Span};
use super::scan::Token;
use crate::analysis::builtin;
use crate::analysis::collect::collect;
use crate::analysis::dates::is_date_type;
use crate::analysis::facts::{Facts, Name};
use crate::reason::Reason;

/// Types that hold whatever they are given, without reading it.
const AS_THEY_COME: [&str; 3] = ["record", "trigger", "void"];

/// May a value of this type be, or have in it, a date? What is not known may.
pub(in crate::analysis) fn may_hold_date(type_name: &str) -> bool {
    let name = type_name.trim_start_matches('_');
    let is_plain = builtin::plain_types().binary_search(&name).is_ok();
    is_date_type(name) || !(is_plain || AS_THEY_COME.contains(&name))
}

impl Reader<'_, '_> {
    /// From DECLARE to BEGIN.
    pub(super) fn declarations(&mut self) -> Option<()> {
        while !self.at_word("begin") {
            if self.accept("declare") {
                continue;
            }
            if self.accept_sign("<<") {
                self.name()?;
                self.expect_sign(">>")?;
                continue;
            }
            self.declaration()?;
        }
        Some(())
    }

    fn declaration(&mut self) -> Option<()> {
        let name = self.name()?;
        if self.accept("alias") {
            // Of what it is another name does not matter: it counts as a date.
            self.dated.insert(name);
            return self.rest().map(drop);
        }
        if self.at_any(&["cursor", "no", "scroll"]) {
            return self.cursor_declaration();
        }
        self.accept("constant");
        let ends = |token: &Token<'_>| {
            [":=", "=", ";"].iter().any(|sign| token.is_sign(sign))
                || ["collate", "default", "not"]
                    .iter()
                    .any(|word| token.is_word(word))
        };
        let type_name = self.until(ends)?;
        let may_be_date = self.variable_type(type_name)?;
        if may_be_date {
            self.dated.insert(name.clone());
        }
        if self.accept("collate") {
            self.until(ends)?;
        }
        if self.accept("not") {
            self.expect("null")?;
        }
        if self.accept_sign(";") {
            return Some(());
        }
        if !(self.accept("default") || self.accept_sign(":=")) {
            self.expect_sign("=")?;
        }
        self.assigned(&name, false);
        let value = self.rest()?;
        self.expression(value)
    }

    fn cursor_declaration(&mut self) -> Option<()> {
        self.accept("no");
        self.accept("scroll");
        self.expect("cursor")?;
        let parameters = self.until(|token| token.is_word("for") || token.is_word("is"))?;
        if !parameters.is_empty() {
            let inside = Span {
                from: parameters.from + 1,
                to: parameters.to.checked_sub(1)?,
            };
            for part in self.parts(inside) {
                let name = self.token(part.from)?.name()?;
                let type_name = Span {
                    from: part.from + 1,
                    ..part
                };
                if self.variable_type(type_name)? {
                    self.facts.refuse(Reason::TextReadAsDate);
                    self.dated.insert(name);
                }
            }
        }
        self.advance()?;
        let query = self.rest()?;
        self.query(self.text_of(query))
    }

    /// Notes the type of a variable: a value that is put there is made to be of it. Tells whether it may be a date.
    fn variable_type(&mut self, span: Span) -> Option<bool> {
        let percent = self.position(span, |token| token.is_sign("%"));
        if let Some(percent) = percent {
            let kind = self.token(percent + 1)?;
            if !(kind.is_word("type") || kind.is_word("rowtype")) {
                return None;
            }
            let names = Span {
                to: percent,
                ..span
            };
            return self.type_of(names, kind.is_word("type"));
        }
        let first = self.token(span.from)?;
        if span.to == span.from + 1 && first.is_word("refcursor") {
            // A name that the server makes up.
            self.facts.refuse(Reason::UserFunction);
            return Some(false);
        }
        let mut found = type_names(self.text_of(span))?;
        let may_be_date = found.iter().any(|name| may_hold_date(&name.name));
        found.retain(|name| !AS_THEY_COME.contains(&&*name.name));
        self.facts.variables.append(&mut found);
        Some(may_be_date)
    }

    /// `relation.column%TYPE`, `variable%TYPE` or `relation%ROWTYPE`.
    fn type_of(&mut self, names: Span, is_column: bool) -> Option<bool> {
        let mut parts = Vec::new();
        for at in names.from..names.to {
            match self.token(at)? {
                token if token.is_sign(".") => {}
                token => parts.push(token.name()?),
            }
        }
        if is_column {
            parts.pop();
        }
        // Without a relation it is the type of another variable, which has been noted.
        if let Some(relation) = parts.pop() {
            self.facts.row_types.push(Name {
                schema: parts.pop().map(Into::into),
                name: relation.into(),
            });
        }
        Some(true)
    }
}

/// The names of a type as it is written.
fn type_names(written: &str) -> Option<Vec<Name>> {
    let query = format!("SELECT NULL::{written}");
    let tree = pg_raw_parse::parse(&query).ok()?;
    let mut statements = tree.stmts();
    let (Some(statement @ Node::SelectStmt(_)), None) = (statements.next(), statements.next())
    else {
        return None;
    };
    let mut facts = Facts::default();
    collect(statement, &mut facts);
    (!facts.types.is_empty()).then_some(facts.types)
}
