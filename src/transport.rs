//! Streams of the operating system, and what encrypts them: towards clients with the proxy's certificate, towards
//! servers as a connection URL asks for it.
//!
//! OpenSSL, as libpq and PostgreSQL use it: whatever certificate works directly works here.

mod acceptor;
mod certificate;
mod connector;
mod plain;
mod stream;
mod version;

pub use acceptor::{Acceptor, Handshake};
pub use connector::{control, handshake};
pub use plain::Plain;
pub use stream::Stream;

/// The protocol that both sides name in the handshake (ALPN), with its length before it.
/// <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>
const ALPN: &[u8] = b"\x0apostgresql";
