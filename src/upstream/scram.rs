//! Our side of a SCRAM login.
//! <https://www.postgresql.org/docs/current/sasl-authentication.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256_PLUS, ScramSha256};

use super::Error;
use super::login::{Credentials, Greeter};
use crate::auth::client;
use crate::config;

/// Our side of a SCRAM login, with a password or with the keys that a client's proof gave away.
pub(super) enum Scram {
    Password(ScramSha256),
    Keys(client::Exchange),
}

impl Scram {
    pub(super) fn new(
        credentials: &Credentials,
        end_point: Option<Vec<u8>>,
    ) -> Result<Self, Error> {
        match credentials {
            Credentials::Scram(keys) => {
                let nonce: [u8; 18] = rand::random();
                let nonce = STANDARD.encode(nonce);
                let exchange = client::Exchange::new(keys.clone(), nonce, end_point.as_deref());
                Ok(Self::Keys(exchange))
            }
            // A role with an MD5 hash has no keys: the hash was the old password's.
            Credentials::Md5(_) => Err(Error::LoginRequired),
            Credentials::Trusted | Credentials::Password(_) => {
                let password = credentials.cleartext()?.as_bytes();
                let binding = end_point.map_or_else(
                    ChannelBinding::unsupported,
                    ChannelBinding::tls_server_end_point,
                );
                Ok(Self::Password(ScramSha256::new(password, binding)))
            }
        }
    }

    pub(super) fn first(&self) -> Vec<u8> {
        match self {
            Self::Password(machine) => machine.message().to_vec(),
            Self::Keys(exchange) => exchange.first().into_bytes(),
        }
    }

    pub(super) fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Error> {
        match self {
            Self::Password(machine) => {
                machine.update(challenge)?;
                Ok(machine.message().to_vec())
            }
            Self::Keys(exchange) => exchange
                .answer(challenge)
                .map(String::into_bytes)
                .ok_or(Error::LoginRequired),
        }
    }

    pub(super) fn finish(&mut self, proof: &[u8]) -> Result<(), Error> {
        match self {
            Self::Password(machine) => Ok(machine.finish(proof)?),
            Self::Keys(exchange) if exchange.is_from_server(proof) => Ok(()),
            Self::Keys(_) => Err(Error::Protocol("the server does not prove itself".into())),
        }
    }
}

/// What the proof is to be bound to, of a server that offers `mechanisms`.
pub(super) fn end_point(
    greeter: &Greeter,
    binding: config::ChannelBinding,
    mechanisms: &[u8],
) -> Option<Vec<u8>> {
    let is_offered = mechanisms
        .split(|byte| *byte == 0)
        .any(|name| name == SCRAM_SHA_256_PLUS.as_bytes());
    let is_wanted = is_offered && binding != config::ChannelBinding::Disable;
    is_wanted.then(|| greeter.end_point()).flatten()
}

pub(super) fn unbound() -> Error {
    Error::Protocol(
        "channel_binding=require: the server offers no SCRAM login that is bound to its certificate".into(),
    )
}
