//! The statements of PL/pgSQL, as `pl_gram.y` knows them, down to the pieces of SQL they are made of.
//!
//! PL/pgSQL has no grammar of expressions: it cuts a body at its own keywords and hands the pieces to the parser of SQL.
//! So does this. Invariant: what is not recognised makes the body unknown, and so does a piece that is not SQL. What a
//! body does is the union of what its statements do, whichever of them run.
//!
//! <https://www.postgresql.org/docs/current/plpgsql.html>

mod declare;
mod reader;
mod scan;
mod sql;

use std::collections::HashSet;

pub(super) use declare::may_hold_date;
use reader::{Reader, Span};
use scan::Kind;

use super::facts::{Facts, Operand, Operator};
use super::session::SessionEffect;
use super::statement::mentions;
use crate::reason::Reason;

/// Blocks and loops within each other, at most.
const DEPTH_MAX: usize = 100;

/// Words that are never the name of a variable (`pl_reserved_kwlist.h`).
const RESERVED: [&str; 24] = [
    "all", "begin", "by", "case", "declare", "else", "end", "execute", "for", "foreach", "from",
    "if", "in", "into", "loop", "not", "null", "or", "strict", "then", "to", "using", "when",
    "while",
];

/// What of a function's header its body depends on.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// Parameters into which a date may be read.
    pub(super) dated: HashSet<String>,
    /// May the value that it returns be read as a date?
    pub(super) returns_date: bool,
}

/// Are all the literals of a text such that every session reads the same in them?
pub(super) fn is_read_the_same(text: &str) -> bool {
    scan::scan(text).is_some()
}

/// Notes what a body does. `None`: it is not understood.
pub(super) fn note_body(body: &str, header: Header, facts: &mut Facts) -> Option<()> {
    let returns_date = header.returns_date;
    if mentions(body, "pg_temp") {
        facts.session.insert(SessionEffect::Temporary);
    }
    let mut reader = Reader::new(body, header.dated, facts)?;
    while reader.accept_sign("#") {
        // Options of the compiler: two words.
        reader.name()?;
        reader.name()?;
    }
    let mut body = Body {
        reader,
        returns_date,
    };
    body.label()?;
    body.block()?;
    body.reader.accept_sign(";");
    body.reader.is_at_end().then_some(())
}

struct Body<'text, 'facts> {
    reader: Reader<'text, 'facts>,
    returns_date: bool,
}

impl Body<'_, '_> {
    // === Blocks ===

    fn label(&mut self) -> Option<()> {
        if self.reader.accept_sign("<<") {
            self.reader.name()?;
            self.reader.expect_sign(">>")?;
        }
        Some(())
    }

    /// From DECLARE or BEGIN to the label behind END.
    fn block(&mut self) -> Option<()> {
        if self.reader.at_word("declare") {
            self.reader.declarations()?;
        }
        self.reader.expect("begin")?;
        self.statements(&["end", "exception"])?;
        if self.reader.accept("exception") {
            // What is caught may have failed for want of a lock, or of memory.
            self.reader.facts.refuse(Reason::UserFunction);
            while self.reader.accept("when") {
                self.reader.until_word(&["then"])?;
                self.reader.expect("then")?;
                self.statements(&["end", "when"])?;
            }
        }
        self.reader.expect("end")?;
        self.end_label()
    }

    fn end_label(&mut self) -> Option<()> {
        if !self.reader.is_at_end() && !self.reader.at_sign(";") {
            self.reader.name()?;
        }
        Some(())
    }

    /// Statements up to one of these words.
    fn statements(&mut self, ends: &[&str]) -> Option<()> {
        if self.reader.depth >= DEPTH_MAX {
            return None;
        }
        self.reader.depth += 1;
        while self.is_assignment() || !self.reader.at_any(ends) {
            self.label()?;
            self.statement()?;
        }
        self.reader.depth -= 1;
        Some(())
    }

    /// The body of a loop, up to its label.
    fn looped(&mut self) -> Option<()> {
        self.reader.expect("loop")?;
        self.statements(&["end"])?;
        self.reader.expect("end")?;
        self.reader.expect("loop")?;
        self.end_label()?;
        self.reader.expect_sign(";")
    }

    // === Statements ===

    fn statement(&mut self) -> Option<()> {
        if self.is_assignment() {
            return self.assignment();
        }
        let first = self.reader.peek()?;
        if first.kind != Kind::Word {
            return None;
        }
        let word = first.text.to_ascii_lowercase();
        if matches!(&*word, "declare" | "begin") {
            self.block()?;
            return self.reader.expect_sign(";");
        }
        if matches!(&*word, "loop") {
            return self.looped();
        }
        let start = self.reader.advance()?;
        match &*word {
            "assert" => self.expression(),
            "case" => self.case(),
            "close" | "fetch" | "move" => self.cursor(),
            "commit" | "rollback" => self.end_of_transaction(),
            "continue" | "exit" => self.leave(),
            "execute" => self.execute(),
            "for" => self.for_each(),
            "foreach" => self.for_each_element(),
            "get" => self.reader.rest().map(drop),
            "if" => self.condition(),
            "null" => self.reader.expect_sign(";"),
            "open" => self.open(),
            "perform" => self.expression(),
            "raise" => self.raise(),
            "return" => self.answer(),
            "while" => {
                let condition = self.reader.until_word(&["loop"])?;
                self.reader.expression(condition)?;
                self.looped()
            }
            _ if RESERVED.contains(&&*word) => None,
            _ => self.sql(start),
        }
    }

    fn is_assignment(&self) -> bool {
        let (Some(first), Some(second)) = (self.reader.peek(), self.reader.second()) else {
            return false;
        };
        let is_variable = match first.kind {
            Kind::Word => !RESERVED.iter().any(|word| first.is_word(word)),
            Kind::Number | Kind::Quoted => true,
            Kind::Literal | Kind::Other | Kind::Sign => false,
        };
        let assigns = [":=", "=", ".", "["]
            .iter()
            .any(|sign| second.is_sign(sign));
        is_variable && assigns
    }

    fn assignment(&mut self) -> Option<()> {
        let first = self.reader.peek()?;
        let target = self
            .reader
            .until(|token| token.is_sign(":=") || token.is_sign("="))?;
        self.reader.advance()?;
        if self.reader.text_of(target).contains('[') {
            self.reader.expression(target)?;
        }
        let name = first.name().unwrap_or_else(|| first.text.to_owned());
        let dot = self.reader.position(target, |token| token.is_sign("."));
        let is_field = dot.is_some();
        self.reader.assigned(&name, is_field);
        self.expression()
    }

    /// An expression, or several, up to the semicolon.
    fn expression(&mut self) -> Option<()> {
        let span = self.reader.rest()?;
        self.reader.expression(span)
    }

    fn condition(&mut self) -> Option<()> {
        loop {
            let condition = self.reader.until_word(&["then"])?;
            self.reader.expression(condition)?;
            self.reader.expect("then")?;
            self.statements(&["else", "elseif", "elsif", "end"])?;
            if !(self.reader.accept("elsif") || self.reader.accept("elseif")) {
                break;
            }
        }
        if self.reader.accept("else") {
            self.statements(&["end"])?;
        }
        self.reader.expect("end")?;
        self.reader.expect("if")?;
        self.reader.expect_sign(";")
    }

    fn case(&mut self) -> Option<()> {
        if !self.reader.at_word("when") {
            let value = self.reader.until_word(&["when"])?;
            self.reader.expression(value)?;
            self.reader.facts.operators.push(Operator {
                name: "=".into(),
                operand: Operand::Unknown,
            });
        }
        while self.reader.accept("when") {
            let condition = self.reader.until_word(&["then"])?;
            self.reader.expression(condition)?;
            self.reader.expect("then")?;
            self.statements(&["else", "end", "when"])?;
        }
        if self.reader.accept("else") {
            self.statements(&["end"])?;
        }
        self.reader.expect("end")?;
        self.reader.expect("case")?;
        self.reader.expect_sign(";")
    }

    fn for_each(&mut self) -> Option<()> {
        let targets = self.reader.until_word(&["in"])?;
        self.into(targets)?;
        self.reader.expect("in")?;
        let source = self.reader.until_word(&["loop"])?;
        self.source_of_loop(source)?;
        self.looped()
    }

    fn source_of_loop(&mut self, mut source: Span) -> Option<()> {
        let first = self.reader.token(source.from)?;
        if first.is_word("execute") {
            source.from += 1;
            return self.executed(source);
        }
        if let Some(dots) = self.reader.position(source, |token| token.is_sign("..")) {
            let from = source.from + usize::from(first.is_word("reverse"));
            self.reader.expression(Span { from, to: dots })?;
            let above = Span {
                from: dots + 1,
                to: source.to,
            };
            let Some(by) = self.reader.position(above, |token| token.is_word("by")) else {
                return self.reader.expression(above);
            };
            self.reader.expression(Span { to: by, ..above })?;
            return self.reader.expression(Span {
                from: by + 1,
                ..above
            });
        }
        let query = self.reader.text_of(source);
        if self.reader.query(query).is_some() {
            return Some(());
        }
        // A cursor: its query was noted where it was declared, or where it was opened.
        first.name()?;
        self.reader.facts.refuse(Reason::UserFunction);
        self.arguments(Span {
            from: source.from + 1,
            ..source
        })
    }

    fn for_each_element(&mut self) -> Option<()> {
        let targets = self.reader.until_word(&["in", "slice"])?;
        self.into(targets)?;
        if self.reader.accept("slice") {
            self.reader.advance()?;
        }
        self.reader.expect("in")?;
        self.reader.expect("array")?;
        let array = self.reader.until_word(&["loop"])?;
        self.reader.expression(array)?;
        self.looped()
    }

    /// EXIT or CONTINUE.
    fn leave(&mut self) -> Option<()> {
        if !self.reader.at_sign(";") && !self.reader.at_word("when") {
            self.reader.name()?;
        }
        if self.reader.accept("when") {
            return self.expression();
        }
        self.reader.expect_sign(";")
    }

    /// RETURN in all its forms.
    fn answer(&mut self) -> Option<()> {
        if self.reader.accept_sign(";") {
            return Some(());
        }
        if self.reader.accept("query") {
            if self.reader.accept("execute") {
                let source = self.reader.rest()?;
                return self.executed(source);
            }
            let query = self.reader.rest()?;
            return self.reader.query(self.reader.text_of(query));
        }
        let is_next = self.reader.accept("next");
        if is_next && self.reader.accept_sign(";") {
            return Some(());
        }
        if self.returns_date {
            self.reader.facts.refuse(Reason::TextReadAsDate);
        }
        self.expression()
    }

    fn raise(&mut self) -> Option<()> {
        const LEVELS: [&str; 5] = ["debug", "info", "log", "notice", "warning"];
        if self.reader.at_any(&LEVELS) {
            // A cached result would say nothing, to the client or to the log.
            self.reader.facts.refuse(Reason::UserFunction);
            self.reader.advance()?;
        } else {
            self.reader.accept("exception");
        }
        let said = self
            .reader
            .until(|token| token.is_word("using") || token.is_sign(";"))?;
        let mut parts = self.reader.parts(said);
        // The format, or the name or the number of a condition.
        parts.remove(0);
        for part in parts {
            self.reader.expression(part)?;
        }
        if self.reader.accept("using") {
            let options = self.reader.rest()?;
            for part in self.reader.parts(options) {
                let sign = self.reader.token(part.from + 1)?;
                if !(sign.is_sign("=") || sign.is_sign(":=")) {
                    return None;
                }
                let from = part.from + 2;
                self.reader.expression(Span { from, ..part })?;
            }
            return Some(());
        }
        self.reader.expect_sign(";")
    }
}
