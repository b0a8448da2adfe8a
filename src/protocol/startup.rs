//! The untyped packets that open a connection: StartupMessage and the three requests that share its form.
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use std::borrow::Cow;

/// The longest start-up packet PostgreSQL accepts (`MAX_STARTUP_PACKET_LENGTH`).
pub const LENGTH_MAX: usize = 10_000;

/// An SSLRequest as it goes over the wire.
pub const SSL_REQUEST_PACKET: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;

/// Protocol 3.0, the version every server speaks.
pub const VERSION_3_0: u32 = 0x0003_0000;

/// Protocol 3.2, which PostgreSQL 18 speaks: the secrets of cancel keys are longer.
pub const VERSION_3_2: u32 = 0x0003_0002;

/// A packet that is not a start-up packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// The length word or the layout is wrong.
    #[error("invalid length of startup packet")]
    Length,
    /// The parameters do not end with a NUL.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
    /// A protocol of another major version.
    #[error("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2")]
    Version {
        /// The major version asked for.
        major: u16,
        /// The minor version asked for.
        minor: u16,
    },
}

impl Malformed {
    /// An SSLRequest that was answered already: PostgreSQL takes another for a version.
    pub const SSL_REQUEST: Self = Self::Version {
        major: 1234,
        minor: 5679,
    };

    /// A GSSENCRequest, likewise.
    pub const GSSENC_REQUEST: Self = Self::Version {
        major: 1234,
        minor: 5680,
    };

    /// The SQLSTATE that PostgreSQL gives.
    #[must_use]
    pub const fn sqlstate(&self) -> &'static str {
        match self {
            Self::Length | Self::Layout => "08P01",
            Self::Version { .. } => "0A000",
        }
    }
}

/// The first packet of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet {
    /// A client that wants TLS.
    SslRequest,
    /// A client that wants GSSAPI encryption.
    GssEncRequest,
    /// A request to cancel what another connection runs.
    Cancel(CancelKey),
    /// A session.
    Startup(Startup),
}

/// What a client was given in BackendKeyData and shows again to cancel. The secret is opaque: 4 bytes in
/// protocol 3.0, up to 256 in 3.2.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CancelKey {
    /// Process id of a backend.
    pub pid: u32,
    /// The secret.
    pub secret: Box<[u8]>,
}

/// Names and values of a StartupMessage.
pub type Parameters = Vec<(Box<[u8]>, Box<[u8]>)>;

/// A StartupMessage: the version asked for and its parameters in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Startup {
    /// `major << 16 | minor`.
    pub version: u32,
    /// Names and values as they came; names may repeat, the last one counts.
    pub parameters: Parameters,
}

impl Startup {
    /// The value of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        self.parameters
            .iter()
            .rev()
            .find(|(key, _)| **key == *name.as_bytes())
            .map(|(_, value)| &**value)
    }

    /// The user, if one was given that is not empty.
    #[must_use]
    pub fn user(&self) -> Option<Cow<'_, str>> {
        self.parameter("user")
            .filter(|user| !user.is_empty())
            .map(String::from_utf8_lossy)
    }

    /// The database: the parameter, or the user's name.
    #[must_use]
    pub fn database(&self) -> Option<Cow<'_, str>> {
        match self.parameter("database") {
            Some(name) if !name.is_empty() => Some(String::from_utf8_lossy(name)),
            _ => self.user(),
        }
    }

    /// The same message, for another database.
    #[must_use]
    pub fn with_database(mut self, database: &str) -> Self {
        self.parameters.retain(|(name, _)| **name != *b"database");
        self.parameters
            .push((b"database".as_slice().into(), database.as_bytes().into()));
        self
    }

    /// The same message with a value for a setting that it gives none for, neither by name nor in `options`. It stays as
    /// it is where it would become too long.
    #[must_use]
    pub fn with_default(mut self, setting: &str, value: &str) -> Self {
        let is_named = self
            .parameters
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(setting.as_bytes()));
        // `-c name=value` and `--name=value`, where a dash stands for an underscore and a backslash for nothing.
        let options = self.parameter("options").unwrap_or_default();
        let options: Vec<u8> = options
            .iter()
            .filter(|byte| **byte != b'\\')
            .map(|byte| match byte {
                b'-' => b'_',
                byte => byte.to_ascii_lowercase(),
            })
            .collect();
        let is_optional = options
            .windows(setting.len())
            .any(|option| option == setting.as_bytes());
        let length = self.encode().len() + setting.len() + value.len() + 2;
        if !is_named && !is_optional && length <= LENGTH_MAX {
            self.parameters
                .push((setting.as_bytes().into(), value.as_bytes().into()));
        }
        self
    }

    /// The same message in protocol 3.0, without its extensions: every server understands it.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.version = VERSION_3_0;
        self.parameters
            .retain(|(name, _)| !name.starts_with(b"_pq_."));
        self
    }

    /// Does it ask for a replication connection?
    #[must_use]
    pub fn replication(&self) -> bool {
        // PostgreSQL reads a boolean or the word "database" (backend_startup.c).
        let off: [&[u8]; 6] = [b"false", b"off", b"no", b"0", b"f", b"n"];
        self.parameter("replication")
            .is_some_and(|value| !off.contains(&value.to_ascii_lowercase().as_slice()))
    }

    /// The packet as it goes over the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        out.extend_from_slice(&self.version.to_be_bytes());
        for (name, value) in &self.parameters {
            for part in [&**name, b"\0", &**value, b"\0"] {
                out.extend_from_slice(part);
            }
        }
        out.push(0);
        let length = u32::try_from(out.len()).expect("a start-up packet is below 10,000 bytes");
        out[..4].copy_from_slice(&length.to_be_bytes());
        out
    }
}

/// A CancelRequest as it goes over the wire.
#[must_use]
pub fn encode_cancel(key: &CancelKey) -> Vec<u8> {
    let length = u32::try_from(12 + key.secret.len()).expect("a secret is at most 256 bytes");
    let mut out = Vec::with_capacity(length as usize);
    for word in [length, CANCEL_REQUEST, key.pid] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(&key.secret);
    out
}

/// Reads the packet at the front of `buffer`: it and its length, or `None` while bytes are missing.
///
/// # Errors
/// [`Malformed`] says what PostgreSQL would say.
pub fn read(buffer: &[u8]) -> Result<Option<(Packet, usize)>, Malformed> {
    let Some(length) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length) as usize;
    if !(8..=LENGTH_MAX).contains(&length) {
        return Err(Malformed::Length);
    }
    let Some(packet) = buffer.get(4..length) else {
        return Ok(None);
    };
    let (code, body) = packet.split_first_chunk::<4>().ok_or(Malformed::Length)?;
    let packet = match (u32::from_be_bytes(*code), body.len()) {
        (SSL_REQUEST, 0) => Packet::SslRequest,
        (GSSENC_REQUEST, 0) => Packet::GssEncRequest,
        (CANCEL_REQUEST, 5..=260) => {
            let (pid, secret) = body.split_first_chunk::<4>().ok_or(Malformed::Length)?;
            Packet::Cancel(CancelKey {
                pid: u32::from_be_bytes(*pid),
                secret: secret.into(),
            })
        }
        (version, _) if version >> 16 == 3 => Packet::Startup(Startup {
            version,
            parameters: parameters(body)?,
        }),
        (version, _) => {
            let [a, b, c, d] = version.to_be_bytes();
            return Err(Malformed::Version {
                major: u16::from_be_bytes([a, b]),
                minor: u16::from_be_bytes([c, d]),
            });
        }
    };
    Ok(Some((packet, length)))
}

/// As PostgreSQL reads them (`ProcessStartupPacket`): the packet is taken to end with one NUL more than it has, a name
/// without a value ends the list, and only then is the end looked at.
fn parameters(body: &[u8]) -> Result<Parameters, Malformed> {
    let until_nul = |at: usize| {
        let rest = &body[at..];
        let length = rest.iter().position(|byte| *byte == 0);
        &rest[..length.unwrap_or(rest.len())]
    };
    let (mut parameters, mut at) = (Vec::new(), 0);
    while at < body.len() {
        let name = until_nul(at);
        let value_at = at + name.len() + 1;
        if name.is_empty() || value_at >= body.len() {
            break;
        }
        let value = until_nul(value_at);
        parameters.push((name.into(), value.into()));
        at = value_at + value.len() + 1;
    }
    if at + 1 == body.len() {
        Ok(parameters)
    } else {
        Err(Malformed::Layout)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn startup(pairs: &[(&str, &str)]) -> Startup {
        let parameters = pairs
            .iter()
            .map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into()))
            .collect();
        Startup {
            version: VERSION_3_0,
            parameters,
        }
    }

    #[test]
    fn a_startup_message_round_trips() {
        let message = startup(&[("user", "ann"), ("application_name", "psql")]);
        let bytes = message.encode();
        assert_eq!(
            read(&bytes),
            Ok(Some((Packet::Startup(message.clone()), bytes.len())))
        );
        assert_eq!(read(&bytes[..bytes.len() - 1]), Ok(None));
        assert_eq!(message.database().as_deref(), Some("ann"));
        assert!(!message.replication());
        assert!(startup(&[("replication", "database")]).replication());
        assert!(!startup(&[("replication", "off")]).replication());
    }

    #[test]
    fn a_cancel_request_round_trips_with_any_secret() {
        for length in [4, 32, 256] {
            let key = CancelKey {
                pid: 77,
                secret: vec![7; length].into(),
            };
            let bytes = encode_cancel(&key);
            assert_eq!(read(&bytes), Ok(Some((Packet::Cancel(key), bytes.len()))));
        }
    }

    #[test]
    fn hostile_packets_are_refused() {
        assert_eq!(read(&[0, 0, 0, 7, 0, 3, 0]), Err(Malformed::Length));
        assert_eq!(read(&[0xff, 0, 0, 9]), Err(Malformed::Length));
        assert_eq!(
            read(&[0, 0, 0, 10, 0, 3, 0, 0, b'x', b'y']),
            Err(Malformed::Layout)
        );
        assert_eq!(
            read(&[0, 0, 0, 11, 0, 3, 0, 0, 0, b'x', 0]),
            Err(Malformed::Layout)
        );
        assert_eq!(
            read(&[0, 0, 0, 8, 0, 2, 0, 0]),
            Err(Malformed::Version { major: 2, minor: 0 })
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&bytes);
        }
    }
}
