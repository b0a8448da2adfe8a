//! Files of users and their passwords, in the format of PgBouncer's `userlist.txt`.
//!
//! A line is `"user" "password"`; a quote within quotes is written twice, what follows is ignored, and a line that
//! begins with `;` is a comment.

use std::collections::HashMap;

use super::verifier::Verifier;

/// Reads the text of a file.
///
/// # Errors
/// The number of the first line that is not a user with a password.
pub fn read(text: &str) -> Result<HashMap<String, Option<Verifier>>, usize> {
    let mut users = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(';') {
            continue;
        }
        let entry = quoted(line).and_then(|(user, rest)| {
            let (password, _) = quoted(rest.trim_start())?;
            Some((user, Verifier::read(&password)))
        });
        let (user, verifier) = entry.ok_or(number + 1)?;
        users.insert(user, verifier);
    }
    Ok(users)
}

/// A quoted word, and what stands behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut word = String::new();
    loop {
        let (part, behind) = rest.split_once('"')?;
        word.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                word.push('"');
                rest = more;
            }
            None => return Some((word, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_passwords_are_quoted() {
        let text = "; comment\n\n\"ann\" \"secret\"\n  \"o\"\"neil\"\t\"a b\" \"ignored\"\n\"none\" \"\"\n";
        let users = read(text).unwrap();
        let password = |user: &str| match users.get(user) {
            Some(Some(Verifier::Plain(password))) => Some(password.expose().to_owned()),
            _ => None,
        };
        assert_eq!(password("ann").as_deref(), Some("secret"));
        assert_eq!(password("o\"neil").as_deref(), Some("a b"));
        assert!(users["none"].is_none());
        assert_eq!(users.len(), 3);
    }

    #[test]
    fn a_mistake_is_found_in_its_line() {
        for (text, line) in [("\"a\" \"b\"\nc d", 2), ("\"a\"", 1), ("\"a\" \"b", 1)] {
            assert_eq!(read(text).err(), Some(line), "{text}");
        }
    }
}
