//! The first bytes of a connection: is it to be encrypted, and what does the client want?
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::config::{ClientCertificate, Tls};
use crate::protocol::backend::{Severity, write_error, write_error_before_3};
use crate::protocol::startup::{self, Malformed, Packet, Startup};
use crate::transport::Plain;
use crate::transport::{Acceptor, Handshake};
use crate::upstream::socket::Socket;

/// How a TLS handshake begins, where nobody was asked for it first.
const TLS_HANDSHAKE: u8 = 22;

/// A client that has not logged in yet.
pub(super) struct Newcomer {
    pub(super) socket: Socket,
    pub(super) inbox: BytesMut,
    /// What the TLS handshake has shown, if there was one.
    pub(super) handshake: Handshake,
    is_local: bool,
}

impl Newcomer {
    pub(super) fn new(socket: Plain) -> Self {
        Self {
            is_local: matches!(socket, Plain::Unix(_)),
            socket: Socket::Plain(socket),
            inbox: BytesMut::with_capacity(1024),
            handshake: Handshake::default(),
        }
    }

    /// The first packet that is not about encryption, and before it the handshake that the client asks for. `None` when
    /// it is gone, or has been turned away.
    pub(super) async fn first_packet(
        mut self,
        acceptor: &Acceptor,
    ) -> io::Result<Option<(Self, Packet)>> {
        if !self.receive_one().await? {
            return Ok(None);
        }
        let offers_tls = acceptor.is_offered() && !self.is_local;
        if offers_tls && self.inbox[0] == TLS_HANDSHAKE {
            self = self.encrypt(acceptor).await?;
            if !self.handshake.has_protocol {
                let text = "a client began with TLS and did not name PostgreSQL's protocol (ALPN)";
                return Err(io::Error::other(text));
            }
        }
        let (mut ssl_asked, mut gss_asked) = (self.socket.is_encrypted(), false);
        loop {
            let (packet, length) = match startup::read(&self.inbox) {
                Ok(Some(read)) => read,
                Ok(None) if self.receive().await? => continue,
                Ok(None) => return Ok(None),
                Err(malformed) => return self.refuse_packet(malformed).await,
            };
            let _ = self.inbox.split_to(length);
            match packet {
                Packet::SslRequest if ssl_asked => {
                    return self.refuse_packet(Malformed::SSL_REQUEST).await;
                }
                Packet::GssEncRequest if gss_asked => {
                    return self.refuse_packet(Malformed::GSSENC_REQUEST).await;
                }
                Packet::SslRequest if offers_tls => {
                    if !self.inbox.is_empty() {
                        // Whoever stands between could have put it there, to be taken for the client's.
                        let text = "received unencrypted data after SSL request";
                        self.refuse("08P01", text).await?;
                        return Ok(None);
                    }
                    self.socket.write_all(b"S").await?;
                    self = self.encrypt(acceptor).await?;
                    (ssl_asked, gss_asked) = (true, true);
                }
                Packet::SslRequest => {
                    self.socket.write_all(b"N").await?;
                    ssl_asked = true;
                }
                Packet::GssEncRequest => {
                    self.socket.write_all(b"N").await?;
                    gss_asked = true;
                }
                packet @ (Packet::Cancel(_) | Packet::Startup(_)) => {
                    return Ok(Some((self, packet)));
                }
            }
        }
    }

    async fn encrypt(self, acceptor: &Acceptor) -> io::Result<Self> {
        let Socket::Plain(socket) = self.socket else {
            return Ok(self);
        };
        let accepted = acceptor.accept(socket, self.inbox).await;
        let (stream, handshake) = accepted.map_err(|error| {
            let text = format!("the TLS handshake with a client failed: {error}");
            tracing::info!("{text}");
            io::Error::new(error.kind(), text)
        })?;
        Ok(Self {
            socket: Socket::Tls(Box::new(stream)),
            inbox: BytesMut::with_capacity(1024),
            handshake,
            is_local: self.is_local,
        })
    }

    async fn receive_one(&mut self) -> io::Result<bool> {
        Ok(!self.inbox.is_empty() || self.receive().await?)
    }

    async fn receive(&mut self) -> io::Result<bool> {
        Ok(self.socket.read_buf(&mut self.inbox).await? > 0)
    }

    /// What cannot be the length of a packet is not answered at all, as by PostgreSQL: it may be no client.
    async fn refuse_packet<T>(&mut self, malformed: Malformed) -> io::Result<Option<T>> {
        if malformed == Malformed::Length {
            tracing::debug!("{malformed}");
            return Ok(None);
        }
        if let Malformed::Version { major: 1..3, .. } = malformed {
            let mut bytes = Vec::new();
            write_error_before_3(&mut bytes, &malformed.to_string());
            self.socket.write_all(&bytes).await?;
            return Ok(None);
        }
        self.refuse(malformed.sqlstate(), &malformed.to_string())
            .await?;
        Ok(None)
    }

    /// Why the way it comes in is not enough to ask for its password. `None`: it is.
    pub(super) fn objection(&self, tls: &Tls, startup: &Startup) -> Option<String> {
        let user = startup.user().unwrap_or_default();
        if self.is_local {
            return None;
        }
        let wants_certificate = tls.client_certificate != ClientCertificate::Optional;
        if !self.socket.is_encrypted() && (tls.required || wants_certificate) {
            return Some("connection requires encryption: connect with sslmode=require".to_owned());
        }
        if wants_certificate && !self.handshake.has_certificate {
            return Some("connection requires a valid client certificate".to_owned());
        }
        let name = self.handshake.client_name.as_deref();
        if tls.client_certificate == ClientCertificate::VerifyFull && name != Some(&*user) {
            tracing::warn!("the certificate of {name:?} was shown for the user {user:?}");
            return Some(format!(
                "certificate authentication failed for user \"{user}\""
            ));
        }
        None
    }

    /// Turns the client away with a FATAL error.
    pub(super) async fn refuse(&mut self, sqlstate: &str, message: &str) -> io::Result<()> {
        let mut bytes = Vec::new();
        write_error(&mut bytes, Severity::Fatal, sqlstate, message);
        self.socket.write_all(&bytes).await
    }
}
