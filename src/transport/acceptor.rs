//! TLS for clients: the proxy's certificate, and what is asked of theirs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use openssl::ssl::{
    AlpnError, Ssl, SslAcceptor, SslContext, SslContextBuilder, SslMethod, SslStream,
    SslVerifyMode, select_next_proto,
};
use openssl::x509::X509;
use parking_lot::Mutex;

use super::stream::{Stream, prepare};
use super::version::Version;
use super::{ALPN, Plain, certificate};
use crate::config::{ClientCertificate, Tls};

/// How often the files are looked at, at most.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Whoever speaks TLS with clients. A certificate that is replaced on disk is used from the next client on.
pub struct Acceptor {
    config: Tls,
    /// Certificate and key; without them there is no TLS.
    files: Option<(PathBuf, PathBuf)>,
    state: Mutex<State>,
}

struct State {
    current: Option<Arc<Identity>>,
    /// The files as they were last read, well or not.
    versions: Vec<Version>,
    looked: Instant,
}

/// What clients are shown.
struct Identity {
    context: SslContext,
    end_point: Option<Vec<u8>>,
}

/// What a handshake has found out.
#[derive(Debug, Default)]
pub struct Handshake {
    /// What a SCRAM proof over this connection is bound to.
    pub end_point: Option<Vec<u8>>,
    /// The name in the client's certificate.
    pub client_name: Option<String>,
    /// Has the client shown a certificate? One that its authority does not vouch for ends the handshake.
    pub has_certificate: bool,
    /// Did the client name PostgreSQL's protocol?
    pub has_protocol: bool,
}

impl Acceptor {
    /// Reads the certificate, if one is configured.
    ///
    /// # Errors
    /// One line that says what is wrong with which file.
    pub fn new(config: &Tls) -> io::Result<Self> {
        let files = config.cert_file.clone().zip(config.key_file.clone());
        let current = match &files {
            Some((cert, key)) => Some(Arc::new(Identity::read(config, cert, key).map_err(
                |error| io::Error::other(format!("TLS for clients cannot be had: {error}")),
            )?)),
            None => None,
        };
        let acceptor = Self {
            state: Mutex::new(State {
                current,
                versions: Vec::new(),
                looked: Instant::now(),
            }),
            config: config.clone(),
            files,
        };
        acceptor.state.lock().versions = acceptor.versions();
        Ok(acceptor)
    }

    /// Is TLS spoken here?
    #[must_use]
    pub const fn is_offered(&self) -> bool {
        self.files.is_some()
    }

    /// Shakes hands with a client of which `ahead` has been read already.
    ///
    /// # Errors
    /// Why it came to nothing; the client has been told as far as TLS does.
    pub async fn accept(&self, socket: Plain, ahead: BytesMut) -> io::Result<(Stream, Handshake)> {
        let identity = self.identity().ok_or(io::ErrorKind::Unsupported)?;
        let ssl = Ssl::new(&identity.context)?;
        let mut stream = Stream::new(ssl, socket, ahead)?;
        stream.shake_hands(SslStream::accept).await?;
        let certificate = stream.ssl().peer_certificate();
        let handshake = Handshake {
            end_point: identity.end_point.clone(),
            client_name: certificate.as_deref().and_then(certificate::common_name),
            has_certificate: certificate.is_some(),
            has_protocol: stream.ssl().selected_alpn_protocol().is_some(),
        };
        Ok((stream, handshake))
    }

    fn identity(&self) -> Option<Arc<Identity>> {
        let mut state = self.state.lock();
        if state.looked.elapsed() >= LOOK_AGAIN {
            self.look_again(&mut state);
        }
        state.current.clone()
    }

    /// Looks at the files now, and uses what is new in them.
    pub fn reload(&self) {
        self.look_again(&mut self.state.lock());
    }

    fn look_again(&self, state: &mut State) {
        let Some((cert, key)) = &self.files else {
            return;
        };
        state.looked = Instant::now();
        let versions = self.versions();
        if versions == state.versions {
            return;
        }
        state.versions = versions;
        match Identity::read(&self.config, cert, key) {
            Ok(identity) => {
                state.current = Some(Arc::new(identity));
                tracing::info!("the certificate {} was read again", cert.display());
            }
            Err(error) => tracing::error!(
                "the new certificate for clients cannot be used, so the old one stays in use: {error}"
            ),
        }
    }

    fn versions(&self) -> Vec<Version> {
        let files = self.files.iter().flat_map(|(cert, key)| [cert, key]);
        let all = files.chain(&self.config.client_ca_file);
        all.map(|path| Version::of(path)).collect()
    }
}

impl Identity {
    fn read(config: &Tls, cert: &Path, key: &Path) -> io::Result<Self> {
        let mut context = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        prepare(&mut context);
        context.set_min_proto_version(Some(config.min_version.openssl()))?;
        certificate::load(&mut context, cert, key)?;
        context.set_alpn_select_callback(|_, offered| {
            select_next_proto(ALPN, offered).ok_or(AlpnError::ALERT_FATAL)
        });
        match &config.client_ca_file {
            Some(path) => ask_for_certificates(&mut context, path, config.client_certificate)?,
            None => context.set_verify(SslVerifyMode::NONE),
        }
        let context = context.build().into_context();
        let end_point = context.certificate().and_then(certificate::end_point);
        Ok(Self { context, end_point })
    }
}

/// As PostgreSQL does with `ssl_ca_file`: whoever shows a certificate has to have it from there.
fn ask_for_certificates(
    context: &mut SslContextBuilder,
    authorities: &Path,
    required: ClientCertificate,
) -> io::Result<()> {
    let unreadable = |error: &dyn std::fmt::Display| {
        io::Error::other(format!("{}: {error}", authorities.display()))
    };
    let text = fs::read(authorities).map_err(|error| unreadable(&error))?;
    let list =
        X509::stack_from_pem(&text).map_err(|error| unreadable(&certificate::says(&error)))?;
    if list.is_empty() {
        return Err(unreadable(&"holds no certificate in PEM"));
    }
    let mut names = openssl::stack::Stack::new()?;
    for authority in list {
        names.push(authority.subject_name().to_owned()?)?;
        context.cert_store_mut().add_cert(authority)?;
    }
    context.set_client_ca_list(names);
    let must = match required {
        ClientCertificate::Optional => SslVerifyMode::NONE,
        ClientCertificate::VerifyCa | ClientCertificate::VerifyFull => {
            SslVerifyMode::FAIL_IF_NO_PEER_CERT
        }
    };
    context.set_verify(SslVerifyMode::PEER | must);
    Ok(())
}
