//! A position in the tokens of a body, and the facts of the pieces of SQL that were passed.
//!
//! Invariant: a piece of SQL is only passed if PostgreSQL's grammar takes it. `None`: the body is not understood.

use std::collections::HashSet;

use pg_raw_parse::Node;

use super::scan::{Kind, Token, scan};
use crate::analysis::facts::Facts;
use crate::analysis::statement::note;
use crate::reason::Reason;

/// A body, read up to some token.
pub(super) struct Reader<'text, 'facts> {
    text: &'text str,
    tokens: Vec<Token<'text>>,
    next: usize,
    pub(super) facts: &'facts mut Facts,
    /// Variables whose assignment may read text as a date.
    pub(super) dated: HashSet<String>,
    /// How many blocks and loops there are around the next token.
    pub(super) depth: usize,
}

/// A run of tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Span {
    pub(super) fn is_empty(self) -> bool {
        self.from >= self.to
    }
}

impl<'text, 'facts> Reader<'text, 'facts> {
    pub(super) fn new(
        text: &'text str,
        dated: HashSet<String>,
        facts: &'facts mut Facts,
    ) -> Option<Self> {
        Some(Self {
            text,
            tokens: scan(text)?,
            next: 0,
            facts,
            dated,
            depth: 0,
        })
    }

    // === Tokens ===

    pub(super) fn peek(&self) -> Option<Token<'text>> {
        self.tokens.get(self.next).copied()
    }

    /// The token behind the next one.
    pub(super) fn second(&self) -> Option<Token<'text>> {
        self.tokens.get(self.next + 1).copied()
    }

    pub(super) fn advance(&mut self) -> Option<Token<'text>> {
        let token = self.peek()?;
        self.next += 1;
        Some(token)
    }

    pub(super) fn at_word(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is_word(word))
    }

    pub(super) fn at_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.at_word(word))
    }

    pub(super) fn at_sign(&self, sign: &str) -> bool {
        self.peek().is_some_and(|token| token.is_sign(sign))
    }

    /// Passes this word, if it is next.
    pub(super) fn accept(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        self.next += usize::from(found);
        found
    }

    /// Passes this sign, if it is next.
    pub(super) fn accept_sign(&mut self, sign: &str) -> bool {
        let found = self.at_sign(sign);
        self.next += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, word: &str) -> Option<()> {
        self.accept(word).then_some(())
    }

    pub(super) fn expect_sign(&mut self, sign: &str) -> Option<()> {
        self.accept_sign(sign).then_some(())
    }

    /// Passes an identifier.
    pub(super) fn name(&mut self) -> Option<String> {
        let name = self.peek()?.name()?;
        self.next += 1;
        Some(name)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.next >= self.tokens.len()
    }

    pub(super) fn token(&self, at: usize) -> Option<Token<'text>> {
        self.tokens.get(at).copied()
    }

    // === Runs of tokens ===

    /// Passes everything before the first token outside parentheses that `ends` tells, which has to be there before the
    /// semicolon.
    pub(super) fn until(&mut self, ends: impl Fn(&Token<'_>) -> bool) -> Option<Span> {
        let from = self.next;
        let to = self.find(from, ends)?;
        self.next = to;
        Some(Span { from, to })
    }

    /// Passes everything before one of these words.
    pub(super) fn until_word(&mut self, words: &[&str]) -> Option<Span> {
        self.until(|token| words.iter().any(|word| token.is_word(word)))
    }

    /// Passes everything up to the semicolon, and it too.
    pub(super) fn rest(&mut self) -> Option<Span> {
        let span = self.until(|token| token.is_sign(";"))?;
        self.next += 1;
        Some(span)
    }

    fn find(&self, from: usize, ends: impl Fn(&Token<'_>) -> bool) -> Option<usize> {
        let mut depth = 0_usize;
        for (offset, token) in self.tokens.get(from..)?.iter().enumerate() {
            if depth == 0 && ends(token) {
                return Some(from + offset);
            }
            match token.text {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.checked_sub(1)?,
                ";" if token.kind == Kind::Sign => return None,
                _ => {}
            }
        }
        None
    }

    /// Where in a run such a token is, outside parentheses.
    pub(super) fn position(&self, span: Span, is: impl Fn(&Token<'_>) -> bool) -> Option<usize> {
        self.find(span.from, |token| is(token) || self.is_behind(span, token))
            .filter(|at| *at < span.to)
    }

    fn is_behind(&self, span: Span, token: &Token<'_>) -> bool {
        self.tokens
            .get(span.to)
            .is_some_and(|end| token.start >= end.start)
    }

    /// The parts of a run between the commas outside parentheses.
    pub(super) fn parts(&self, mut span: Span) -> Vec<Span> {
        let mut parts = Vec::new();
        while let Some(comma) = self.position(span, |token| token.is_sign(",")) {
            parts.push(Span {
                from: span.from,
                to: comma,
            });
            span.from = comma + 1;
        }
        parts.push(span);
        parts
    }

    /// The text of a run.
    pub(super) fn text_of(&self, span: Span) -> &'text str {
        let first = self.tokens.get(span.from).filter(|_| !span.is_empty());
        let last = span.to.checked_sub(1).and_then(|at| self.tokens.get(at));
        match (first, last) {
            (Some(first), Some(last)) => &self.text[first.start..last.end()],
            _ => "",
        }
    }

    // === SQL ===

    /// Notes an expression, or a list of them, or what PL/pgSQL takes for one: all that may follow SELECT.
    pub(super) fn expression(&mut self, span: Span) -> Option<()> {
        if span.is_empty() {
            return None;
        }
        let query = format!("SELECT {}", self.text_of(span));
        self.query(&query)
    }

    /// Notes one statement of SQL.
    pub(super) fn query(&mut self, text: &str) -> Option<()> {
        let tree = pg_raw_parse::parse(text).ok()?;
        let mut statements = tree.stmts();
        match (statements.next(), statements.next()) {
            (Some(Node::TransactionStmt(_)), _) => None,
            (Some(statement), None) => {
                note(statement, self.facts);
                Some(())
            }
            _ => None,
        }
    }

    /// Notes text that is executed: any statements, if the text is known.
    pub(super) fn dynamic(&mut self, span: Span) -> Option<()> {
        self.expression(span)?;
        let constant = match self.token(span.from) {
            Some(token) if span.to == span.from + 1 => token.literal(),
            _ => None,
        };
        let Some(text) = constant.filter(|text| scan(text).is_some()) else {
            self.facts.refuse(Reason::UserFunction);
            self.facts.unknown_code();
            return Some(());
        };
        let tree = pg_raw_parse::parse(&text).ok()?;
        for statement in tree.stmts() {
            note(statement, self.facts);
        }
        Some(())
    }

    /// Notes that a value goes into variables: into a date, it may be text that means another date tomorrow.
    pub(super) fn assigned(&mut self, target: &str, is_field: bool) {
        if is_field || self.dated.contains(target) {
            self.facts.refuse(Reason::TextReadAsDate);
        }
    }
}
