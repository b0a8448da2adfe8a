//! Certificates and their keys, in PEM files.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::SslContextBuilder;
use openssl::x509::X509Ref;

/// Sets a certificate, with those that lead to its authority behind it in the file, and its key.
///
/// # Errors
/// One line that says what is wrong with which file.
pub(super) fn load(context: &mut SslContextBuilder, cert: &Path, key: &Path) -> io::Result<()> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        io::Error::other(format!("{}: {error}", path.display()))
    };
    context
        .set_certificate_chain_file(cert)
        .map_err(|error| failed(cert, &says(&error)))?;
    let private = private_key(key).map_err(|error| failed(key, &error))?;
    context
        .set_private_key(&private)
        .and_then(|()| context.check_private_key())
        .map_err(|_| failed(key, &format!("is not the key of {}", cert.display())))
}

/// As libpq and PostgreSQL do, refuses a key that others may read.
fn private_key(path: &Path) -> io::Result<PKey<Private>> {
    let metadata = fs::metadata(path)?;
    let mode = metadata.permissions().mode();
    let others = if metadata.uid() == 0 { 0o027 } else { 0o077 };
    if mode & others != 0 {
        let least = if metadata.uid() == 0 { "0640" } else { "0600" };
        return Err(io::Error::other(format!(
            "has mode {:04o}, so others may read or change the private key; chmod {least}",
            mode & 0o7777
        )));
    }
    let text = fs::read(path)?;
    let mut is_encrypted = false;
    // Without the callback OpenSSL would ask at the terminal.
    let key = PKey::private_key_from_pem_callback(&text, |_| {
        is_encrypted = true;
        Err(openssl::error::ErrorStack::get())
    });
    key.map_err(|error| {
        io::Error::other(if is_encrypted {
            "is encrypted; a key without a passphrase is needed".to_owned()
        } else {
            format!("holds no private key in PEM ({})", says(&error))
        })
    })
}

/// What OpenSSL says, on one line and without where in its source.
pub(super) fn says(stack: &openssl::error::ErrorStack) -> String {
    let reasons: Vec<_> = stack
        .errors()
        .iter()
        .filter_map(|error| {
            let data = error.data().filter(|data| !data.is_empty());
            match (error.reason(), data) {
                (Some(reason), Some(data)) => Some(format!("{reason}: {data}")),
                (Some(reason), None) => Some(reason.to_owned()),
                (None, _) => None,
            }
        })
        .collect();
    match reasons.first() {
        Some(first) => first.clone(),
        None => "OpenSSL does not say why".to_owned(),
    }
}

/// What a SCRAM proof is bound to (`tls-server-end-point`, RFC 5929 section 4.1): the certificate's hash, by the
/// algorithm it is signed with, but never by one weaker than SHA-256. `None` for an algorithm that has none.
pub(super) fn end_point(certificate: &X509Ref) -> Option<Vec<u8>> {
    let signature = certificate.signature_algorithm().object().nid();
    let digest = match signature.signature_algorithms()?.digest {
        Nid::MD5 | Nid::SHA1 => MessageDigest::sha256(),
        Nid::UNDEF => return None,
        digest => MessageDigest::from_nid(digest)?,
    };
    Some(certificate.digest(digest).ok()?.to_vec())
}

/// The name that a client's certificate is made out to: its only common name.
pub(super) fn common_name(certificate: &X509Ref) -> Option<String> {
    let mut names = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let name = names.next()?.data().to_string().ok()?;
    // One with a zero byte in it may be made to look like another.
    (names.next().is_none() && !name.contains('\0')).then_some(name)
}
