//! Just enough of Rust's lexical grammar to count lines, find functions and see what is imported.
//!
//! A source is first *stripped*: comments vanish and literals are emptied, line by line, so that no
//! brace, word or path inside them can be mistaken for code.

/// A file and its text; what follows the first `#[cfg(test)]` of a module is set apart.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// The code without its unit tests, stripped.
    pub(crate) code: String,
}

/// A function and its length in lines of code, signature and braces included.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) lines: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let mut code = strip(text);
        if let Some(start) = code.find("\n#[cfg(test)]\nmod ") {
            code.truncate(start + 1);
        }
        // A file of unit tests only.
        let is_test = |part: &str| part == "tests" || part == "tests.rs";
        if path.starts_with("src/") && path.split('/').any(is_test) {
            code.clear();
        }
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
        }
    }

    /// Lines that hold code.
    pub(crate) fn lines(&self) -> usize {
        count_lines(&self.code)
    }

    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for start in words(&self.code, "fn") {
            let rest = &self.code[start..];
            let name: String = rest[2..]
                .trim_start()
                .chars()
                .take_while(|c| is_word(*c))
                .collect();
            // A function pointer type has no name; a method of a trait may have no body.
            if let (false, Some(length)) = (name.is_empty(), body_end(rest)) {
                functions.push(Function {
                    name,
                    lines: count_lines(&rest[..length]),
                });
            }
        }
        functions
    }

    /// The names that follow `prefix` in paths: for `crate::`, both of `use crate::{a::B, c}`.
    pub(crate) fn names_after(&self, prefix: &str) -> Vec<String> {
        let mut names = Vec::new();
        for (start, _) in self.code.match_indices(prefix) {
            if self.code[..start].ends_with(|c: char| is_word(c) || c == ':') {
                continue;
            }
            let rest = &self.code[start + prefix.len()..];
            let group = rest.strip_prefix('{').map(group_members);
            let members = group.unwrap_or_else(|| vec![rest]);
            for member in members {
                let name: String = member.trim().chars().take_while(|c| is_word(*c)).collect();
                if !name.is_empty() {
                    names.push(name);
                }
            }
        }
        names
    }

    /// Does this word, or path, stand in the code?
    pub(crate) fn mentions(&self, word: &str) -> bool {
        words(&self.code, word).next().is_some()
    }
}

fn count_lines(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands alone.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .map(|(start, _)| start)
        .filter(move |start| {
            let (before, after) = (&code[..*start], &code[start + word.len()..]);
            !before.ends_with(is_word) && !after.starts_with(is_word)
        })
}

/// The members of `{a::B, c::{d, e}}` at its first level; `rest` begins after the opening brace.
fn group_members(rest: &str) -> Vec<&str> {
    let (mut depth, mut start, mut members) = (0_usize, 0, Vec::new());
    for (index, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(&rest[start..index]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&rest[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    members
}

/// The length of a function's text from `fn` to its closing brace, if it has a body.
fn body_end(function: &str) -> Option<usize> {
    let (mut nesting, mut braces) = (0_usize, 0_usize);
    for (index, c) in function.char_indices() {
        match c {
            '(' | '[' => nesting += 1,
            ')' | ']' => nesting = nesting.checked_sub(1)?,
            ';' if nesting == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 {
                    return Some(index + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Removes comments and the insides of literals; line breaks stay.
pub(crate) fn strip(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| !code.ends_with(is_word)) {
            length
        } else if c == '"' {
            quoted(rest, '"')
        } else if c == '\'' && is_char_literal(rest) {
            quoted(rest, '\'')
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        let (gone, remaining) = rest.split_at(skipped);
        let is_comment = gone.starts_with('/');
        code.push_str(if is_comment { "" } else { "\"\"" });
        code.extend(gone.chars().filter(|c| *c == '\n'));
        rest = remaining;
    }
    code
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut index) = (0_usize, 0);
    while index < text.len() {
        let rest = &text.as_bytes()[index..];
        if rest.starts_with(b"/*") {
            depth += 1;
            index += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            index += 2;
            if depth == 0 {
                break;
            }
        } else {
            index += 1;
        }
    }
    index
}

/// The length of `r"..."`, `br#"..."#` and the like, if one begins here.
fn raw_string(text: &str) -> Option<usize> {
    let opening = text.trim_start_matches(['b', 'c']);
    let hashes_and_rest = opening.strip_prefix('r')?;
    let body = hashes_and_rest.trim_start_matches('#');
    let hashes = hashes_and_rest.len() - body.len();
    let body = body.strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&closing)? + closing.len();
    Some(text.len() - body.len() + end)
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// `'a'` and `'\n'` are literals; `'a` alone is a lifetime.
fn is_char_literal(text: &str) -> bool {
    let mut after = text.chars().skip(1);
    after.next() == Some('\\') || after.next() == Some('\'')
}
