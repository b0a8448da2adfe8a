//! TLS: `[tls]` for clients, and what an upstream's URL says of the way to the server.

use std::path::PathBuf;

use openssl::ssl::SslVersion;
use tokio_postgres::config::SslNegotiation;

use super::{Config, value::BadValue};

/// `[tls]`: encryption of what goes to and from clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tls {
    /// The proxy's certificate, and those that lead to its authority. `None`: TLS is not offered.
    pub cert_file: Option<PathBuf>,
    /// Its private key.
    pub key_file: Option<PathBuf>,
    /// Are clients turned away that come over TCP without TLS?
    pub required: bool,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// The authorities of clients' certificates. `None`: clients are not asked for one.
    pub client_ca_file: Option<PathBuf>,
    /// What is asked of clients' certificates.
    pub client_certificate: ClientCertificate,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

impl TlsVersion {
    pub(super) const NAMES: &[(&str, Self)] = &[("1.2", Self::V1_2), ("1.3", Self::V1_3)];

    /// As OpenSSL names it.
    #[must_use]
    pub const fn openssl(self) -> SslVersion {
        match self {
            Self::V1_2 => SslVersion::TLS1_2,
            Self::V1_3 => SslVersion::TLS1_3,
        }
    }
}

/// What is asked of clients' certificates, beside what logs them in; as `clientcert` in `pg_hba.conf`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientCertificate {
    /// One that is shown must be from a known authority.
    Optional,
    /// One must be shown.
    VerifyCa,
    /// One must be shown, and be made out to the user.
    VerifyFull,
}

impl ClientCertificate {
    pub(super) const NAMES: &[(&str, Self)] = &[
        ("optional", Self::Optional),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert_file: None,
            key_file: None,
            required: false,
            min_version: TlsVersion::V1_2,
            client_ca_file: None,
            client_certificate: ClientCertificate::Optional,
        }
    }
}

/// The key and the fault of the first setting of `[tls]` that does not fit the rest.
pub(super) fn check(config: &Config) -> Result<(), (String, BadValue)> {
    let tls = &config.tls;
    let wrong = |key: &str, problem: &str, expected: &str| {
        Err((format!("tls.{key}"), BadValue::new(problem, expected)))
    };
    let has_cert = tls.cert_file.is_some();
    if has_cert && tls.key_file.is_none() {
        return wrong("cert_file", "is set without key_file", "both or neither");
    }
    if !has_cert && tls.key_file.is_some() {
        return wrong("key_file", "is set without cert_file", "both or neither");
    }
    if tls.required && !has_cert {
        return wrong(
            "required",
            "is true without cert_file",
            "a certificate to show",
        );
    }
    let asks = tls.client_certificate != ClientCertificate::Optional;
    if asks && tls.client_ca_file.is_none() {
        let expected = "client_ca_file, with the authorities to trust";
        return wrong("client_certificate", "asks for certificates", expected);
    }
    if tls.client_ca_file.is_some() && !has_cert {
        return wrong(
            "client_ca_file",
            "is set without cert_file",
            "a certificate to show",
        );
    }
    Ok(())
}

// === The way to the server ===

/// What an upstream's URL says of TLS, in libpq's words.
/// <https://www.postgresql.org/docs/current/libpq-connect.html>
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamTls {
    /// `sslmode`.
    pub mode: SslMode,
    /// `sslnegotiation`.
    pub negotiation: SslNegotiation,
    /// `sslrootcert`.
    pub root: Root,
    /// `sslcert`: the proxy's certificate towards the server.
    pub cert: Option<PathBuf>,
    /// `sslkey`: its key.
    pub key: Option<PathBuf>,
    /// `sslsni`.
    pub sni: bool,
    /// `ssl_min_protocol_version`.
    pub min_version: TlsVersion,
    /// `channel_binding`.
    pub channel_binding: ChannelBinding,
}

/// `sslmode`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS where the server takes nothing else.
    Allow,
    /// TLS where the server speaks it.
    Prefer,
    /// TLS, with whoever answers.
    Require,
    /// TLS, with a certificate from a known authority.
    VerifyCa,
    /// The same, made out to the host's name.
    VerifyFull,
}

impl SslMode {
    /// Their names.
    pub(super) const NAMES: &[(&str, Self)] = &[
        ("disable", Self::Disable),
        ("allow", Self::Allow),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];

    /// Is a connection without TLS none at all?
    #[must_use]
    pub const fn demands_tls(self) -> bool {
        matches!(self, Self::Require | Self::VerifyCa | Self::VerifyFull)
    }

    /// Is TLS tried before anything else?
    #[must_use]
    pub const fn tries_tls_first(self) -> bool {
        !matches!(self, Self::Disable | Self::Allow)
    }
}

/// `sslnegotiation`.
const NEGOTIATIONS: &[(&str, SslNegotiation)] = &[
    ("postgres", SslNegotiation::Postgres),
    ("direct", SslNegotiation::Direct),
];

/// Whose certificates are accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Root {
    /// Anybody's.
    None,
    /// Those of the authorities that the operating system trusts.
    System,
    /// Those of the authorities in a file.
    File(PathBuf),
}

/// `channel_binding`: is the proxy's own SCRAM proof bound to the server's certificate?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChannelBinding {
    /// No.
    Disable,
    /// Where it can be.
    Prefer,
    /// Always; a login without it is none.
    Require,
}

impl ChannelBinding {
    pub(super) const NAMES: &[(&str, Self)] = &[
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
    ];
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self {
            mode: SslMode::Prefer,
            negotiation: SslNegotiation::Postgres,
            root: Root::None,
            cert: None,
            key: None,
            sni: true,
            min_version: TlsVersion::V1_2,
            channel_binding: ChannelBinding::Prefer,
        }
    }
}

impl UpstreamTls {
    /// Sets what a parameter of a URL says. `None`: it is about something else.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Option<Result<(), BadValue>> {
        let set = match name {
            "sslmode" => put(&mut self.mode, value, SslMode::NAMES, name),
            "channel_binding" => put(
                &mut self.channel_binding,
                value,
                ChannelBinding::NAMES,
                name,
            ),
            "ssl_min_protocol_version" => {
                let version = value.strip_prefix("TLSv").unwrap_or(value);
                put(&mut self.min_version, version, TlsVersion::NAMES, name)
            }
            "sslnegotiation" => put(&mut self.negotiation, value, NEGOTIATIONS, name),
            "sslsni" => put(&mut self.sni, value, &[("0", false), ("1", true)], name),
            "sslrootcert" => {
                self.root = match value {
                    "" => Root::None,
                    "system" => Root::System,
                    path => Root::File(path.into()),
                };
                Ok(())
            }
            "sslcert" => {
                self.cert = path(value);
                Ok(())
            }
            "sslkey" => {
                self.key = path(value);
                Ok(())
            }
            _ => return None,
        };
        Some(set)
    }

    /// Fills in what follows from the rest, as libpq does. `names_mode`: the URL says what `sslmode` is.
    pub(super) fn finish(mut self, names_mode: bool) -> Result<Self, BadValue> {
        let demands = self.mode.demands_tls();
        let verifies = matches!(self.mode, SslMode::VerifyCa | SslMode::VerifyFull);
        match &self.root {
            Root::None if verifies => {
                return Err(BadValue::new(
                    "asks for the server's certificate to be verified without saying whose to trust",
                    "sslrootcert=/path/to/root.crt, or sslrootcert=system",
                ));
            }
            Root::System if names_mode && self.mode != SslMode::VerifyFull => {
                return Err(BadValue::new(
                    "trusts every authority of the system with a weak sslmode",
                    "sslmode=verify-full with sslrootcert=system",
                ));
            }
            Root::System => self.mode = SslMode::VerifyFull,
            // As libpq: whoever names an authority wants it to be heard.
            Root::File(_) if self.mode == SslMode::Require => self.mode = SslMode::VerifyCa,
            Root::File(_) if !demands => self.root = Root::None,
            Root::File(_) | Root::None => {}
        }
        if self.negotiation == SslNegotiation::Direct && !self.mode.demands_tls() {
            return Err(BadValue::new(
                "has sslnegotiation=direct with a weak sslmode",
                "sslmode=require, verify-ca or verify-full",
            ));
        }
        if self.cert.is_some() != self.key.is_some() {
            return Err(BadValue::new(
                "names only one of sslcert and sslkey",
                "both or neither",
            ));
        }
        Ok(self)
    }

    /// The parameters of a URL that say the same, in order.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let standard = Self::default();
        let mut all = Vec::new();
        if self.mode != standard.mode {
            all.push(("sslmode", name_of(self.mode, SslMode::NAMES)));
        }
        if self.negotiation == SslNegotiation::Direct {
            all.push(("sslnegotiation", "direct".to_owned()));
        }
        match &self.root {
            Root::None => {}
            Root::System => all.push(("sslrootcert", "system".to_owned())),
            Root::File(path) => all.push(("sslrootcert", path.display().to_string())),
        }
        for (name, path) in [("sslcert", &self.cert), ("sslkey", &self.key)] {
            if let Some(path) = path {
                all.push((name, path.display().to_string()));
            }
        }
        if !self.sni {
            all.push(("sslsni", "0".to_owned()));
        }
        if self.min_version != standard.min_version {
            let version = name_of(self.min_version, TlsVersion::NAMES);
            all.push(("ssl_min_protocol_version", format!("TLSv{version}")));
        }
        if self.channel_binding != standard.channel_binding {
            let name = name_of(self.channel_binding, ChannelBinding::NAMES);
            all.push(("channel_binding", name));
        }
        all
    }
}

fn path(value: &str) -> Option<PathBuf> {
    (!value.is_empty()).then(|| value.into())
}

fn put<T: Copy>(into: &mut T, value: &str, names: &[(&str, T)], key: &str) -> Result<(), BadValue> {
    match names.iter().find(|(name, _)| *name == value) {
        Some((_, meaning)) => {
            *into = *meaning;
            Ok(())
        }
        None => {
            let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
            let (last, others) = names.split_last().expect("there is something to choose");
            Err(BadValue::new(
                format!("has the unknown {key} {value:?}"),
                format!("{key}={} or {last}", others.join(", ")),
            ))
        }
    }
}

fn name_of<T: PartialEq>(value: T, names: &[(&str, T)]) -> String {
    let found = names.iter().find(|(_, meaning)| *meaning == value);
    found
        .map(|(name, _)| (*name).to_owned())
        .unwrap_or_default()
}
