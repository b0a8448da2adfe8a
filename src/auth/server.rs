//! The server's side of a SCRAM-SHA-256 login: a client proves itself to the proxy.
//! <https://www.postgresql.org/docs/current/sasl-authentication.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Refusal;
use super::scram::{Key, Keys, Verifier};

/// Without channel binding.
const PLAIN: &str = "SCRAM-SHA-256";
/// With it.
const BINDING: &str = "SCRAM-SHA-256-PLUS";
/// The only kind of channel binding that PostgreSQL knows.
const BINDING_TYPE: &str = "tls-server-end-point";

/// A login under way.
#[derive(Debug)]
pub struct Exchange {
    verifier: Verifier,
    /// There is no such password: whatever the client proves, it is wrong.
    doomed: bool,
    /// The hash of the proxy's certificate, on a connection with TLS.
    end_point: Option<Vec<u8>>,
    nonce: String,
    /// The client has chosen to bind its proof to the certificate.
    is_bound: bool,
    said: Option<Said>,
}

/// What the first two messages have said.
#[derive(Debug)]
struct Said {
    /// The client's, from its `gs2-header` on.
    header: String,
    client_first_bare: String,
    server_first: String,
}

impl Exchange {
    /// A login against a role's verifier. `nonce` is our half of it: fresh, random and printable.
    #[must_use]
    pub const fn new(verifier: Verifier, nonce: String, end_point: Option<Vec<u8>>) -> Self {
        Self {
            verifier,
            doomed: false,
            end_point,
            nonce,
            is_bound: false,
            said: None,
        }
    }

    /// Lets nobody in, but looks the same.
    #[must_use]
    pub const fn doomed(mut self) -> Self {
        self.doomed = true;
        self
    }

    /// The list of mechanisms, as AuthenticationSASL carries it.
    #[must_use]
    pub fn mechanisms(&self) -> Vec<u8> {
        let mut list = Vec::new();
        let offered = [self.end_point.as_ref().map(|_| BINDING), Some(PLAIN)];
        for name in offered.into_iter().flatten() {
            list.extend_from_slice(name.as_bytes());
            list.push(0);
        }
        list.push(0);
        list
    }

    /// The client has chosen a mechanism.
    ///
    /// # Errors
    /// [`Refusal::Protocol`]: it was not offered.
    pub fn choose(&mut self, mechanism: &[u8]) -> Result<(), Refusal> {
        self.is_bound = match mechanism {
            name if name == PLAIN.as_bytes() => false,
            name if name == BINDING.as_bytes() && self.end_point.is_some() => true,
            _ => {
                return Err(Refusal::protocol(
                    "08P01",
                    "client selected an invalid SASL authentication mechanism",
                ));
            }
        };
        Ok(())
    }

    /// The client's first message. Returns ours.
    ///
    /// # Errors
    /// [`Refusal::Protocol`].
    pub fn first(&mut self, message: &[u8]) -> Result<String, Refusal> {
        let message = text(message)?;
        let (flag, rest) = message.split_once(',').ok_or_else(Refusal::malformed)?;
        let (identity, bare) = rest.split_once(',').ok_or_else(Refusal::malformed)?;
        self.check_flag(flag)?;
        if !identity.is_empty() {
            return Err(Refusal::protocol(
                "0A000",
                "client uses authorization identity, but it is not supported",
            ));
        }
        if bare.starts_with("m=") {
            return Err(Refusal::protocol(
                "0A000",
                "client requires an unsupported SCRAM extension",
            ));
        }
        // The name is that of the start-up packet, whatever stands here.
        let mut attributes = bare.split(',');
        attributes
            .next()
            .and_then(|name| name.strip_prefix("n="))
            .ok_or_else(Refusal::malformed)?;
        let client_nonce = attributes
            .next()
            .and_then(|nonce| nonce.strip_prefix("r="))
            .ok_or_else(Refusal::malformed)?;
        if !client_nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Refusal::protocol(
                "08P01",
                "non-printable characters in SCRAM nonce",
            ));
        }
        let server_first = format!(
            "r={client_nonce}{},s={},i={}",
            self.nonce, self.verifier.salt, self.verifier.iterations
        );
        self.said = Some(Said {
            header: format!("{flag},,"),
            client_first_bare: bare.to_owned(),
            server_first: server_first.clone(),
        });
        Ok(server_first)
    }

    fn check_flag(&self, flag: &str) -> Result<(), Refusal> {
        match flag {
            "n" | "y" if self.is_bound => Err(Refusal::malformed()),
            "n" => Ok(()),
            // It could, and believes that we cannot: somebody stands between.
            "y" if self.end_point.is_some() => Err(Refusal::protocol(
                "28000",
                "SCRAM channel binding negotiation error",
            )),
            "y" => Ok(()),
            flag => match flag.strip_prefix("p=") {
                Some(_) if !self.is_bound => Err(Refusal::malformed()),
                Some(BINDING_TYPE) => Ok(()),
                Some(other) => Err(Refusal::protocol(
                    "08P01",
                    format!("unsupported SCRAM channel-binding type \"{other}\""),
                )),
                None => Err(Refusal::malformed()),
            },
        }
    }

    /// The client's proof. Returns our last message, and the keys that log the role in elsewhere.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn last(self, message: &[u8]) -> Result<(String, Keys), Refusal> {
        let said = self.said.as_ref().ok_or_else(Refusal::malformed)?;
        let message = text(message)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or_else(Refusal::malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes
            .next()
            .and_then(|binding| binding.strip_prefix("c="))
            .ok_or_else(Refusal::malformed)?;
        let nonce = attributes
            .next()
            .and_then(|nonce| nonce.strip_prefix("r="))
            .ok_or_else(Refusal::malformed)?;
        self.check_binding(said, binding)?;
        let proof = Key::of_base64(proof).ok_or_else(Refusal::malformed)?;
        let expected = said
            .server_first
            .strip_prefix("r=")
            .and_then(|rest| rest.split(',').next());
        if expected != Some(nonce) {
            return Err(Refusal::protocol("08P01", "invalid SCRAM response"));
        }
        let auth_message = format!(
            "{},{},{without_proof}",
            said.client_first_bare, said.server_first
        );
        let client_key = self.verifier.client_key(&proof, auth_message.as_bytes());
        let client_key = client_key
            .filter(|_| !self.doomed)
            .ok_or(Refusal::Password)?;
        let signature = self.verifier.server_key.sign(auth_message.as_bytes());
        let keys = Keys {
            client_key,
            verifier: self.verifier,
        };
        Ok((format!("v={}", signature.base64()), keys))
    }

    fn check_binding(&self, said: &Said, binding: &str) -> Result<(), Refusal> {
        let mut expected = said.header.clone().into_bytes();
        if self.is_bound {
            expected.extend_from_slice(self.end_point.as_deref().unwrap_or_default());
        }
        if binding == STANDARD.encode(expected) {
            return Ok(());
        }
        Err(if self.is_bound {
            Refusal::protocol("28000", "SCRAM channel binding check failed")
        } else {
            Refusal::protocol(
                "08P01",
                "unexpected SCRAM channel-binding attribute in client-final-message",
            )
        })
    }
}

fn text(message: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(message)
        .ok()
        .filter(|text| !text.is_empty() && !text.contains('\0'))
        .ok_or_else(Refusal::malformed)
}

#[cfg(test)]
mod tests {
    use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
    use proptest::prelude::*;

    use super::super::client;
    use super::*;

    fn verifier() -> Verifier {
        Verifier::of_password("pencil", b"0123456789abcdef", 16)
    }

    fn exchange(end_point: Option<&[u8]>) -> Exchange {
        Exchange::new(verifier(), "server".to_owned(), end_point.map(Into::into))
    }

    /// A client that others wrote.
    fn login(
        mut exchange: Exchange,
        password: &str,
        binding: ChannelBinding,
        mechanism: &str,
    ) -> Result<Keys, Refusal> {
        let mut machine = ScramSha256::new(password.as_bytes(), binding);
        let first = {
            exchange.choose(mechanism.as_bytes())?;
            exchange.first(machine.message())?
        };
        machine.update(first.as_bytes()).unwrap();
        let (last, keys) = exchange.last(machine.message())?;
        machine.finish(last.as_bytes()).unwrap();
        Ok(keys)
    }

    #[test]
    fn who_knows_the_password_gives_its_key_away() {
        let unsupported = ChannelBinding::unsupported();
        let keys = login(exchange(None), "pencil", unsupported, PLAIN).unwrap();
        // With the key alone the proxy logs in to a server that keeps the same verifier.
        for (end_point, mechanism) in [(None, PLAIN), (Some(&b"hash"[..]), BINDING)] {
            let mut machine = client::Exchange::new(keys.clone(), "client".to_owned(), end_point);
            let mut server = exchange(end_point);
            server.choose(mechanism.as_bytes()).unwrap();
            let first = server.first(machine.first().as_bytes()).unwrap();
            let answer = machine.answer(first.as_bytes()).unwrap();
            let (last, _) = server.last(answer.as_bytes()).unwrap();
            assert!(machine.is_from_server(last.as_bytes()));
            assert!(!machine.is_from_server(b"v=AAAA"));
        }
    }

    #[test]
    fn who_does_not_is_refused_as_is_everybody_where_there_is_no_password() {
        let unsupported = ChannelBinding::unsupported;
        let wrong = login(exchange(None), "pen", unsupported(), PLAIN);
        assert_eq!(wrong.err(), Some(Refusal::Password));
        let doomed = login(exchange(None).doomed(), "pencil", unsupported(), PLAIN);
        assert_eq!(doomed.err(), Some(Refusal::Password));
    }

    #[test]
    fn a_channel_is_bound_to_the_certificate() {
        let bound = |hash: &[u8]| ChannelBinding::tls_server_end_point(hash.to_vec());
        let login = |ours, theirs, mechanism| login(exchange(ours), "pencil", theirs, mechanism);
        assert!(login(Some(b"hash"), bound(b"hash"), BINDING).is_ok());
        assert!(login(Some(b"hash"), ChannelBinding::unsupported(), PLAIN).is_ok());
        for (ours, theirs, mechanism, sqlstate) in [
            (Some(&b"hash"[..]), bound(b"other"), BINDING, "28000"),
            (Some(b"hash"), ChannelBinding::unrequested(), PLAIN, "28000"),
            (None, bound(b"hash"), BINDING, "08P01"),
            (None, bound(b"hash"), PLAIN, "08P01"),
            (
                Some(b"hash"),
                ChannelBinding::unsupported(),
                BINDING,
                "08P01",
            ),
        ] {
            let refusal = login(ours, theirs, mechanism).err().unwrap();
            assert!(
                matches!(&refusal, Refusal::Protocol { sqlstate: given, .. } if *given == sqlstate),
                "{refusal:?}"
            );
        }
        assert_eq!(
            exchange(Some(b"hash")).mechanisms(),
            b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"
        );
        assert_eq!(exchange(None).mechanisms(), b"SCRAM-SHA-256\0\0");
    }

    #[test]
    fn a_proof_is_of_one_login_only() {
        let mut first = exchange(None);
        let mut machine = ScramSha256::new(b"pencil", ChannelBinding::unsupported());
        let answer = first.first(machine.message()).unwrap();
        let opening = machine.message().to_vec();
        machine.update(answer.as_bytes()).unwrap();
        let proof = machine.message().to_vec();
        // Played again to a server with another nonce.
        let mut second = Exchange::new(verifier(), "fresh".to_owned(), None);
        second.first(&opening).unwrap();
        assert!(second.last(&proof).is_err());
        assert!(first.last(&proof).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_let_anybody_in(
            first in proptest::collection::vec(any::<u8>(), 0..64),
            last in "(c=biws,)?(r=[a-z]{0,8},)?(p=)?[a-zA-Z0-9=,]{0,48}",
        ) {
            let mut exchange = exchange(None);
            let _ = exchange.first(&first);
            let _ = exchange.first(b"n,,n=,r=a");
            prop_assert!(exchange.last(last.as_bytes()).is_err());
        }
    }
}
