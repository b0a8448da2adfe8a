//! The tokens of a text of SQL or PL/pgSQL.
//!
//! Owns what PostgreSQL's scanner (`scan.l`) calls quoting, comments and operators; it does not know any keyword.
//! Invariant: every byte that is neither space nor comment belongs to a token, in order. What two servers could read in
//! different ways is no text at all: a backslash in a literal without `E`.
//!
//! <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>

/// A token and where it is, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Token<'text> {
    pub(super) kind: Kind,
    pub(super) text: &'text str,
    pub(super) start: usize,
}

/// What kind of token it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A literal that says what it is: in plain quotes or dollar quotes.
    Literal,
    /// Any other literal: `E''`, `U&''`, `B''`.
    Other,
    /// A number, or a parameter.
    Number,
    /// An identifier in quotes.
    Quoted,
    /// An operator or a sign.
    Sign,
    /// A keyword or an identifier.
    Word,
}

impl Token<'_> {
    /// Where it ends.
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Is it this word, in whatever case?
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Is it this sign?
    pub(super) fn is_sign(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    /// The name it stands for, if it is an identifier.
    pub(super) fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_ascii_lowercase()),
            Kind::Quoted => Some(self.text[1..self.text.len() - 1].replace("\"\"", "\"")),
            Kind::Literal | Kind::Number | Kind::Other | Kind::Sign => None,
        }
    }

    /// What a literal says.
    pub(super) fn literal(&self) -> Option<String> {
        let text = self.text;
        match self.kind {
            Kind::Literal if text.starts_with('\'') => {
                Some(text[1..text.len() - 1].replace("''", "'"))
            }
            Kind::Literal => {
                let quote = text[1..].find('$')? + 2;
                Some(text[quote..text.len() - quote].to_owned())
            }
            Kind::Number | Kind::Other | Kind::Quoted | Kind::Sign | Kind::Word => None,
        }
    }
}

/// The tokens of a text. `None`: a literal or a comment has no end, or may be read in two ways.
pub(super) fn scan(text: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&first) = text.as_bytes().get(at) {
        let rest = &text[at..];
        if let Some(length) = blank(rest)? {
            at += length;
            continue;
        }
        let (kind, length) = match first {
            b'\'' => (Kind::Literal, literal(rest)?),
            b'"' => (Kind::Quoted, quoted(rest, '"')?),
            b'$' => dollar(rest)?,
            b'0'..=b'9' => (Kind::Number, number(rest)),
            b'.' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => {
                (Kind::Number, 1 + number(&rest[1..]))
            }
            _ if begins_name(first) => word(rest)?,
            _ => (Kind::Sign, sign(rest)),
        };
        let token = rest.get(..length)?;
        tokens.push(Token {
            kind,
            text: token,
            start: at,
        });
        at += length;
    }
    Some(tokens)
}

/// The length of the white space or the comment that the text begins with; the outer `None` is a comment without an end.
fn blank(text: &str) -> Option<Option<usize>> {
    if text.starts_with("--") {
        return Some(Some(text.find('\n').unwrap_or(text.len())));
    }
    if text.starts_with("/*") {
        return comment(text).map(Some);
    }
    let space = text.starts_with([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    Some(space.then_some(1))
}

/// Comments nest.
fn comment(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    None
}

/// A literal in plain quotes.
fn literal(text: &str) -> Option<usize> {
    quoted(text, '\'').filter(|length| !text[..*length].contains('\\'))
}

/// The length of what begins with a quote and ends with the next single one.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text[at..].find(quote)? + 1;
        if !text[at..].starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// A literal in which a backslash escapes.
fn escaped(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// `$1`, or a literal in dollar quotes.
fn dollar(text: &str) -> Option<(Kind, usize)> {
    let inside = &text[1..];
    if inside.starts_with(|next: char| next.is_ascii_digit()) {
        return Some((Kind::Number, 1 + number(inside)));
    }
    let tag = inside
        .bytes()
        .take_while(|byte| begins_name(*byte) || byte.is_ascii_digit())
        .count();
    if !inside[tag..].starts_with('$') {
        return None;
    }
    let quote = &text[..tag + 2];
    let end = text[quote.len()..].find(quote)?;
    Some((Kind::Literal, end + 2 * quote.len()))
}

/// Two dots behind a number belong to a range.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let fraction = byte == b'.' && bytes.get(at + 1) != Some(&b'.');
        if !(byte.is_ascii_alphanumeric() || byte == b'_' || fraction) {
            break;
        }
        at += 1;
    }
    at
}

/// A word, or the literal whose kind the word tells.
fn word(text: &str) -> Option<(Kind, usize)> {
    let length = text
        .bytes()
        .take_while(|byte| begins_name(*byte) || byte.is_ascii_digit() || *byte == b'$')
        .count();
    let (name, rest) = text.split_at(length);
    let is_quote = rest.starts_with('\'');
    let literal = match name {
        "e" | "E" if is_quote => escaped(rest)?,
        "b" | "B" | "n" | "N" | "x" | "X" if is_quote => literal(rest)?,
        "u" | "U" if rest.starts_with("&'") => 1 + quoted(&rest[1..], '\'')?,
        // An identifier that is spelled in numbers.
        "u" | "U" if rest.starts_with("&\"") => return None,
        _ => return Some((Kind::Word, length)),
    };
    Some((Kind::Other, length + literal))
}

/// An operator, by the rules of PostgreSQL, or a sign that is none.
fn sign(text: &str) -> usize {
    const OPERATORS: &str = "+-*/<>=~!@#%^&|`?";
    const FREE: &str = "~!@#%^&|`?";
    for several in [":=", "::", ".."] {
        if text.starts_with(several) {
            return 2;
        }
    }
    let mut length = text
        .find(|next| !OPERATORS.contains(next))
        .unwrap_or(text.len());
    for comment in ["--", "/*"] {
        if let Some(at) = text[..length].find(comment) {
            length = at;
        }
    }
    while length > 1
        && text[..length].ends_with(['+', '-'])
        && !text[..length].contains(|sign| FREE.contains(sign))
    {
        length -= 1;
    }
    if length > 0 {
        return length;
    }
    text.chars().next().map_or(0, char::len_utf8)
}

fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Option<Vec<&str>> {
        Some(scan(text)?.iter().map(|token| token.text).collect())
    }

    #[test]
    fn tokens_are_those_of_postgres() {
        for (text, expected) in [
            ("a:=-1;", &["a", ":=", "-", "1", ";"][..]),
            ("x=-1", &["x", "=", "-", "1"]),
            ("x@-1", &["x", "@-", "1"]),
            ("1..10", &["1", "..", "10"]),
            ("1.5..$2", &["1.5", "..", "$2"]),
            ("a[.5]", &["a", "[", ".5", "]"]),
            ("<<l>>LOOP", &["<<", "l", ">>", "LOOP"]),
            ("'it''s' 'b'", &["'it''s'", "'b'"]),
            ("E'it\\'s' e'\\\\' x", &["E'it\\'s'", "e'\\\\'", "x"]),
            ("U&'d\\0061t' b'01'", &["U&'d\\0061t'", "b'01'"]),
            ("$$a'b$$ $t$ $$ $t$", &["$$a'b$$", "$t$ $$ $t$"]),
            ("a$b$c $1", &["a$b$c", "$1"]),
            ("\"a\"\"b\".c", &["\"a\"\"b\"", ".", "c"]),
            ("a -- 'x\n+/* /* ; */ ' */b", &["a", "+", "b"]),
            ("a*--x\nb", &["a", "*", "b"]),
            ("naïve→", &["naïve→"]),
            ("x::int", &["x", "::", "int"]),
        ] {
            assert_eq!(texts(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_end_or_two_meanings_is_no_text() {
        for text in [
            "'a", "\"a", "/* a", "/* /* */", "$$a", "$a", "'a\\'", "E'a\\'", "U&\"a\"",
        ] {
            assert_eq!(texts(text), None, "{text}");
        }
    }

    #[test]
    fn literals_and_names_are_read() {
        let tokens = scan("'it''s' $x$a$b$x$ E'a' \"A\"\"b\" Ab").expect("tokens");
        let literals: Vec<_> = tokens.iter().filter_map(Token::literal).collect();
        assert_eq!(literals, ["it's", "a$b"]);
        let names: Vec<_> = tokens.iter().filter_map(Token::name).collect();
        assert_eq!(names, ["A\"b", "ab"]);
    }
}
