//! TLS to servers, as libpq speaks it.
//! <https://www.postgresql.org/docs/current/libpq-ssl.html>

use std::io;

use bytes::BytesMut;
use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode};
use openssl::x509::X509VerifyResult;
use parking_lot::Mutex;
use postgres_openssl::MakeTlsConnector;
use tokio_postgres::config::{SslMode as ClientMode, SslNegotiation};

use super::Plain;
use super::stream::{Stream, prepare};
use super::version::Version;
use super::{ALPN, certificate};
use crate::config::{Host, Root, SslMode, Upstream, UpstreamTls};

/// Shakes hands with a server that has agreed to it.
///
/// # Errors
/// One line that says why not, or what the operating system says.
pub async fn handshake(upstream: &Upstream, socket: Plain) -> io::Result<Stream> {
    let mut configuration = connector(&upstream.tls)?.configure()?;
    let name = match &upstream.host {
        Host::Tcp(name) => name.as_str(),
        Host::UnixSocket(_) => "localhost",
    };
    configuration.set_use_server_name_indication(upstream.tls.sni);
    configuration.set_verify_hostname(upstream.tls.mode == SslMode::VerifyFull);
    let ssl = configuration.into_ssl(name)?;
    let mut stream = Stream::new(ssl, socket, BytesMut::new())?;
    let shaken = stream.shake_hands(SslStream::connect).await;
    shaken.map_err(|error| explain(&stream, name, error))?;
    let has_protocol = stream.ssl().selected_alpn_protocol().is_some();
    if upstream.tls.negotiation == SslNegotiation::Direct && !has_protocol {
        return Err(io::Error::other(
            "the server took TLS at once, but does not say that it speaks PostgreSQL's protocol (ALPN)",
        ));
    }
    Ok(stream)
}

/// A failed verification says what is wrong with the certificate.
fn explain(stream: &Stream, name: &str, error: io::Error) -> io::Error {
    let verified = stream.ssl().verify_result();
    if verified == X509VerifyResult::OK {
        return io::Error::new(error.kind(), format!("TLS with the server failed: {error}"));
    }
    io::Error::other(format!(
        "the certificate of the server {name} is not accepted: {}",
        verified.error_string()
    ))
}

/// Connectors made so far, with what they were made from: reading the authorities of a system takes longer than a
/// handshake.
static CONNECTORS: Mutex<Vec<(UpstreamTls, Vec<Version>, SslConnector)>> = Mutex::new(Vec::new());

/// The connector for a server. Files that have changed are read again.
fn connector(tls: &UpstreamTls) -> io::Result<SslConnector> {
    let root = match &tls.root {
        Root::File(path) => Some(path),
        Root::None | Root::System => None,
    };
    let files = root.into_iter().chain(&tls.cert).chain(&tls.key);
    let versions: Vec<_> = files.map(|path| Version::of(path)).collect();
    let mut known = CONNECTORS.lock();
    let same = known.iter().position(|(of, _, _)| of == tls);
    if let Some((_, from, connector)) = same.map(|at| &known[at])
        && *from == versions
    {
        return Ok(connector.clone());
    }
    let connector = make(tls)?;
    if let Some(at) = same {
        known.swap_remove(at);
    }
    known.push((tls.clone(), versions, connector.clone()));
    Ok(connector)
}

fn make(tls: &UpstreamTls) -> io::Result<SslConnector> {
    let mut connector = SslConnector::builder(SslMethod::tls_client())?;
    prepare(&mut connector);
    connector.set_min_proto_version(Some(tls.min_version.openssl()))?;
    if tls.negotiation == SslNegotiation::Direct {
        connector.set_alpn_protos(ALPN)?;
    }
    let mut verified = SslVerifyMode::PEER;
    match &tls.root {
        // The store of the system is set already.
        Root::System => {}
        Root::File(path) => {
            let failed = |error| {
                io::Error::other(format!("{}: {}", path.display(), certificate::says(&error)))
            };
            // No other authority is trusted than those in the file.
            let empty = openssl::x509::store::X509StoreBuilder::new()?.build();
            connector.set_cert_store(empty);
            connector.set_ca_file(path).map_err(failed)?;
        }
        Root::None => verified = SslVerifyMode::NONE,
    }
    connector.set_verify(verified);
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        certificate::load(&mut connector, cert, key)?;
    }
    Ok(connector.build())
}

/// The same for the proxy's own client of PostgreSQL.
///
/// # Errors
/// One line that says why not.
pub fn control(
    upstream: &Upstream,
    config: &mut tokio_postgres::Config,
) -> io::Result<MakeTlsConnector> {
    let tls = &upstream.tls;
    let uses_socket = matches!(upstream.host, Host::UnixSocket(_));
    config.ssl_mode(match tls.mode {
        _ if uses_socket => ClientMode::Disable,
        SslMode::Disable => ClientMode::Disable,
        SslMode::Allow | SslMode::Prefer => ClientMode::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => ClientMode::Require,
    });
    config.ssl_negotiation(tls.negotiation);
    let mut connector = MakeTlsConnector::new(connector(tls)?);
    let (sni, full) = (tls.sni, tls.mode == SslMode::VerifyFull);
    connector.set_callback(move |configuration, _| {
        configuration.set_use_server_name_indication(sni);
        configuration.set_verify_hostname(full);
        Ok(())
    });
    Ok(connector)
}
