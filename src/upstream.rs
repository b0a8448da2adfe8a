//! The way to PostgreSQL: sockets, logins, connections and the pools that hold them.
//!
//! A [`server::Servers`] says where to. A [`lease::Lease`] is the only way to use a [`connection::Connection`]: given back it returns to its pool
//! if it is clean, dropped in any other way it is closed. What is in the messages is the session's affair.

pub mod cancel;
pub mod connection;
pub mod control;
pub mod kind;
pub mod lease;
pub mod login;
pub mod patience;
pub mod pool;
pub mod pools;
mod scram;
pub mod server;
pub mod settings;
pub mod socket;

use std::io;

use crate::protocol::backend::error_field;
use crate::protocol::frame::HEADER;

/// Why no server connection can be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached, or broke the connection off.
    #[error("could not connect to the server: {0}")]
    Unreachable(#[from] io::Error),
    /// The server refused, with the ErrorResponse it sent.
    #[error("the server refused the connection")]
    Refused(Box<[u8]>),
    /// Nobody can log in for this client but the client itself, and its connections are gone.
    #[error("the server connection is lost, and only a new login can open another")]
    LoginRequired,
    /// All connections of the pool stayed busy for the whole of `pool.wait_timeout`.
    #[error("no server connection became free within {0:?}")]
    WaitTimeout(std::time::Duration),
    /// The settings that a session has made on one connection are refused on every other.
    #[error("the session's settings cannot be restored on another server connection")]
    SettingsRefused,
    /// The server asked for something we do not know, or sent what the protocol does not allow.
    #[error("{0}")]
    Protocol(String),
}

impl Error {
    /// Is it that the server does not accept what proved the role?
    #[must_use]
    pub fn is_about_credentials(&self) -> bool {
        match self {
            Self::LoginRequired => true,
            Self::Refused(message) => message
                .get(HEADER..)
                .and_then(|body| error_field(body, b'C'))
                .is_some_and(|sqlstate| sqlstate == b"28P01"),
            Self::Unreachable(_)
            | Self::SettingsRefused
            | Self::WaitTimeout(_)
            | Self::Protocol(_) => false,
        }
    }

    /// May the same attempt succeed in a moment? Not where the server has said no.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        use io::ErrorKind::*;

        match self {
            Self::Unreachable(error) => matches!(
                error.kind(),
                BrokenPipe
                    | ConnectionAborted
                    | ConnectionRefused
                    | ConnectionReset
                    | HostUnreachable
                    | NetworkUnreachable
                    // The server's Unix socket is not there while it restarts.
                    | NotFound
                    | TimedOut
                    | UnexpectedEof
            ),
            // cannot_connect_now, too_many_connections
            Self::Refused(message) => message
                .get(HEADER..)
                .and_then(|body| error_field(body, b'C'))
                .is_some_and(|sqlstate| matches!(sqlstate, b"57P03" | b"53300")),
            Self::LoginRequired
            | Self::SettingsRefused
            | Self::WaitTimeout(_)
            | Self::Protocol(_) => false,
        }
    }

    /// The SQLSTATE a client gets for it, where the server gave none.
    #[must_use]
    pub const fn sqlstate(&self) -> &'static str {
        match self {
            Self::Unreachable(_) | Self::Refused(_) => "08006",
            Self::LoginRequired | Self::SettingsRefused => "57P01",
            Self::WaitTimeout(_) => "53300",
            Self::Protocol(_) => "08P01",
        }
    }
}
