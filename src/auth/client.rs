//! The client's side of logins: the proxy proves to the server that a role may come in, without its password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::scram::{Key, Keys};

/// What a client says that knows nothing of channel binding and asks for no other identity.
const UNBOUND: &str = "n,,";

/// What it says when it binds its proof to the server's certificate.
const BOUND: &str = "p=tls-server-end-point,,";

/// A SCRAM-SHA-256 login under way.
#[derive(Debug)]
pub struct Exchange {
    keys: Keys,
    header: &'static str,
    /// The header, and behind it what the proof is bound to, in base64.
    binding: String,
    first_bare: String,
    nonce: String,
    signature: Option<Key>,
}

impl Exchange {
    /// A login with recovered keys. `nonce` is our half of it: fresh, random and printable. `end_point` is the hash of the
    /// server's certificate, if the proof is to be bound to it.
    #[must_use]
    pub fn new(keys: Keys, nonce: String, end_point: Option<&[u8]>) -> Self {
        let header = if end_point.is_some() { BOUND } else { UNBOUND };
        let binding = [header.as_bytes(), end_point.unwrap_or_default()].concat();
        Self {
            header,
            binding: STANDARD.encode(binding),
            first_bare: format!("n=,r={nonce}"),
            keys,
            nonce,
            signature: None,
        }
    }

    /// Our first message.
    #[must_use]
    pub fn first(&self) -> String {
        format!("{}{}", self.header, self.first_bare)
    }

    /// Our proof, for the server's first message. `None`: the keys are not those of the password that the server
    /// keeps now, or it does not speak SCRAM.
    #[must_use]
    pub fn answer(&mut self, server_first: &[u8]) -> Option<String> {
        let server_first = std::str::from_utf8(server_first).ok()?;
        let mut attributes = server_first.split(',');
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let salt = attributes.next()?.strip_prefix("s=")?;
        let iterations: u32 = attributes.next()?.strip_prefix("i=")?.parse().ok()?;
        let verifier = &self.keys.verifier;
        let is_ours = nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce);
        if !is_ours || salt != verifier.salt || iterations != verifier.iterations {
            return None;
        }
        let without_proof = format!("c={},r={nonce}", self.binding);
        let auth_message = format!("{},{server_first},{without_proof}", self.first_bare);
        let auth_message = auth_message.as_bytes();
        let proof = self
            .keys
            .client_key
            .xor(&verifier.stored_key.sign(auth_message));
        self.signature = Some(verifier.server_key.sign(auth_message));
        Some(format!("{without_proof},p={}", proof.base64()))
    }

    /// Does the server's last message prove that it keeps the verifier?
    #[must_use]
    pub fn is_from_server(&self, server_final: &[u8]) -> bool {
        let given = std::str::from_utf8(server_final)
            .ok()
            .and_then(|text| text.strip_prefix("v="))
            .and_then(Key::of_base64);
        match (&self.signature, given) {
            (Some(expected), Some(given)) => expected.is(&given),
            _ => false,
        }
    }
}
