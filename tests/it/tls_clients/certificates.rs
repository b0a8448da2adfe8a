//! The proxy's certificate, which can be replaced, and those of clients.

use std::process::Command;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use pgkeel_bench::sandbox::Auth;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{SOON, SSL_REQUEST, Secured, said};
use crate::certificates::Authority;
use crate::support::{Stage, eventually};

/// The certificate that the proxy shows now, in PEM.
async fn shown(port: u16) -> Vec<u8> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    stream.write_all(&SSL_REQUEST).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'S');
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    let shake_hands = || {
        let mut builder = SslConnector::builder(SslMethod::tls()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        let stream = builder.build().connect("localhost", stream).unwrap();
        let certificate = stream.ssl().peer_certificate().unwrap();
        certificate.to_pem().unwrap()
    };
    tokio::task::spawn_blocking(shake_hands).await.unwrap()
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart_and_a_bad_one_is_not() {
    let secured = Secured::new(Stage::builder(), "", "").await;
    let port = secured.stage.proxy.port();
    let early = secured.client(|_| {}).await;
    let first = shown(port).await;
    // A certificate without its key is not used, and the log says so once.
    let next = secured.authority.issue("localhost");
    secured.files.put("proxy.crt", &next.cert);
    eventually(SOON, async || {
        assert_eq!(shown(port).await, first);
        secured
            .stage
            .proxy
            .log()
            .unwrap()
            .contains("the old one stays in use")
    })
    .await;
    secured.files.put("proxy.key", &next.key);
    eventually(SOON, async || shown(port).await == next.cert).await;
    assert_eq!(
        early
            .query_one("SELECT 5", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        5
    );
    assert_eq!(said(&secured.psql("sslmode=verify-full", "SELECT 6")), "6");
    // With SIGHUP nobody has to wait for a client.
    let last = secured.authority.issue("localhost");
    secured.files.put("proxy.key", &last.key);
    secured.files.put("proxy.crt", &last.cert);
    let read = || {
        secured
            .stage
            .proxy
            .log()
            .unwrap()
            .matches("was read again")
            .count()
    };
    let before = read();
    let pid = secured.stage.proxy.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
    eventually(SOON, async || read() > before).await;
    assert_eq!(shown(port).await, last.cert);
}

#[tokio::test]
async fn clients_are_asked_for_certificates() {
    for (mode, cases) in [
        (
            "optional",
            [
                ("", true),
                ("keel", true),
                ("ann", true),
                ("stranger", false),
            ],
        ),
        (
            "verify-ca",
            [
                ("", false),
                ("keel", true),
                ("ann", true),
                ("stranger", false),
            ],
        ),
        (
            "verify-full",
            [
                ("", false),
                ("keel", true),
                ("ann", false),
                ("stranger", false),
            ],
        ),
    ] {
        let tls = format!("client_ca_file = \"ROOT\"\nclient_certificate = \"{mode}\"");
        let secured = Secured::new(Stage::builder().auth(Auth::Trust), &tls, "").await;
        for (name, comes_in) in cases {
            let identity = match name {
                "" => None,
                // Made out to the right user, by somebody else.
                "stranger" => Some(Authority::new("authority").issue("keel")),
                name => Some(secured.authority.issue_old(name)),
            };
            let parameters = identity.map_or_else(
                || "sslcert=/nowhere".to_owned(),
                |identity| {
                    let cert = secured.files.put("client.crt", &identity.cert);
                    let key = secured.files.put("client.key", &identity.key);
                    format!("sslcert={} sslkey={}", cert.display(), key.display())
                },
            );
            let output = secured.psql(&format!("sslmode=require {parameters}"), "SELECT 1");
            assert_eq!(
                output.status.success(),
                comes_in,
                "{mode} {name:?}: {output:?}"
            );
        }
        let plain = secured.psql("sslmode=disable", "SELECT 1");
        assert_eq!(
            plain.status.success(),
            mode == "optional",
            "{mode}: {plain:?}"
        );
    }
}
