//! What a role's password is stored as.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;

use super::scram;
use crate::config::Secret;

/// A role's password, in one of the forms it is stored in.
#[derive(Clone, Debug)]
pub enum Verifier {
    /// As SCRAM-SHA-256 needs it.
    Scram(scram::Verifier),
    /// The MD5 hash of the password and the role's name, which is as good as the password.
    Md5(Md5Hash),
    /// The password itself.
    Plain(Secret),
}

/// `md5` and 32 hexadecimal digits.
#[derive(Clone, Debug)]
pub struct Md5Hash(Secret);

impl Verifier {
    /// Reads what the server or a user file holds (`get_password_type` in PostgreSQL's `crypt.c`). Nothing is no
    /// password.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.is_empty() {
            return None;
        }
        if let Some(verifier) = scram::Verifier::parse(text) {
            return Some(Self::Scram(verifier));
        }
        let digits = text.strip_prefix("md5").map(str::as_bytes);
        if digits.is_some_and(|digits| digits.len() == 32 && digits.iter().copied().all(is_digit)) {
            return Some(Self::Md5(Md5Hash(Secret::new(text))));
        }
        Some(Self::Plain(Secret::new(text)))
    }
}

impl Md5Hash {
    /// The answer to a challenge: proves the password to the server.
    #[must_use]
    pub fn answer(&self, salt: [u8; 4]) -> String {
        let digits = self.0.expose().strip_prefix("md5").unwrap_or_default();
        let mut hash = Md5::new();
        hash.update(digits);
        hash.update(salt);
        let mut answer = "md5".to_owned();
        for byte in hash.finalize() {
            write!(answer, "{byte:02x}").expect("writing to a string cannot fail");
        }
        answer
    }

    /// Is this the answer to our challenge? Takes the same time whatever it is.
    #[must_use]
    pub fn is_proven_by(&self, answer: &[u8], salt: [u8; 4]) -> bool {
        self.answer(salt).as_bytes().ct_eq(answer).into()
    }
}

#[cfg(test)]
mod tests {
    use postgres_protocol::authentication::md5_hash;

    use super::*;

    #[test]
    fn every_form_is_told_from_the_others() {
        let kind = |text| match Verifier::read(text) {
            Some(Verifier::Scram(_)) => "scram",
            Some(Verifier::Md5(_)) => "md5",
            Some(Verifier::Plain(_)) => "plain",
            None => "none",
        };
        assert_eq!(kind("md53175bce1d3201d16594cebf9d7eb3f9d"), "md5");
        assert_eq!(kind("md53175bce1d3201d16594cebf9d7eb3f9"), "plain");
        assert_eq!(kind("hunter2"), "plain");
        assert_eq!(kind(""), "none");
        let scram = "SCRAM-SHA-256$4096:VLK4RMaQLCvNtQ==$6YtlR4t69SguDiwFvbVgVZtuz6gpJQQqUMZ7IQJK5yI=:\
            ps75jrHeYU4lXCcXI4O8oIdJ3eO8o2jirjruw9phBTo=";
        assert_eq!(kind(scram), "scram");
        assert!(!format!("{:?}", Verifier::read("hunter2")).contains("hunter2"));
    }

    #[test]
    fn a_hash_answers_as_the_password_does() {
        // md5('postgres' || 'ann'), computed by others below.
        let salt = [1, 2, 3, 4];
        let answer = md5_hash(b"ann", b"postgres", salt);
        let mut stored = Md5::new();
        stored.update(b"postgresann");
        let digits: String = stored
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let Some(Verifier::Md5(hash)) = Verifier::read(&format!("md5{digits}")) else {
            panic!("not a hash: {digits}");
        };
        assert_eq!(hash.answer(salt), answer);
        assert!(hash.is_proven_by(answer.as_bytes(), salt));
        assert!(!hash.is_proven_by(answer.as_bytes(), [0; 4]));
        assert!(!hash.is_proven_by(b"", salt));
    }
}
