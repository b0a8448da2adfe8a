//! Proving who a client is, to the proxy and then to the server, without a password.
//!
//! Owns the arithmetic of SCRAM-SHA-256 and of MD5 logins, what a role's password is stored as, and the format of
//! user files. It is pure: the messages travel through [`edge`](crate::edge) and [`upstream`](crate::upstream).
//! Secrets print as `***`, and are compared in constant time.

pub mod client;
pub mod scram;
pub mod server;
pub mod user_file;
pub mod verifier;

/// A login that cannot go on, in PostgreSQL's words.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The client does not know the password; why else is nobody's business.
    #[error("password authentication failed")]
    Password,
    /// The client does not keep to the protocol.
    #[error("{message}")]
    Protocol {
        /// What PostgreSQL gives for it.
        sqlstate: &'static str,
        /// Its text.
        message: String,
    },
}

impl Refusal {
    fn protocol(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self::Protocol {
            sqlstate,
            message: message.into(),
        }
    }

    /// A message that is not what SCRAM expects.
    fn malformed() -> Self {
        Self::protocol("08P01", "malformed SCRAM message")
    }
}
