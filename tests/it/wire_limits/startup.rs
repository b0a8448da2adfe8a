//! The first packet: versions of the protocol, and options that begin with `_pq_`.

use super::SCHEMA;
use crate::twins::Twins;
use crate::wire::*;

fn first_packet(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        for text in [name, value] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes()[..], &body].concat()
}

/// What the server says of the version, and how the login ends.
async fn greeting(port: u16, packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut wire = Wire::open(port).await;
    wire.send(packet).await;
    let mut heard = Vec::new();
    while let Some(message) = wire.next().await {
        // Which settings there are, and the key, is another matter.
        match message.tag {
            b'S' | b'K' => continue,
            _ => heard.push((message.tag, message.body)),
        }
        if heard.last().is_some_and(|(tag, _)| *tag == b'Z') {
            break;
        }
    }
    heard
}

#[tokio::test]
async fn versions_and_options_are_negotiated_as_the_server_does() {
    let twins = Twins::new(SCHEMA).await;
    for version in [
        0x0003_0000,
        0x0003_0001,
        0x0003_0002,
        0x0003_00ff,
        0x0003_270f,
    ] {
        for options in [
            &[][..],
            &[("_pq_.one", "1")],
            &[
                ("_pq_.one", "1"),
                ("_pq_.two", ""),
                ("application_name", "x"),
            ],
        ] {
            let of = |database| {
                let mut parameters = vec![("user", "keel"), ("database", database)];
                parameters.extend_from_slice(options);
                first_packet(version, &parameters)
            };
            let direct = greeting(twins.stage.postgres.port(), &of("twin")).await;
            let proxied = greeting(twins.stage.proxy.port(), &of("app")).await;
            assert_eq!(direct, proxied, "version {version:#x} with {options:?}");
        }
    }
}

/// What versions there are instead differs from server to server; the rest of the refusal does not.
#[tokio::test]
async fn a_version_that_does_not_exist_is_refused_as_by_the_server() {
    let twins = Twins::new(SCHEMA).await;
    let packet = first_packet(0x0004_0000, &[("user", "keel")]);
    let mut refusals = Vec::new();
    for port in [twins.stage.postgres.port(), twins.stage.proxy.port()] {
        let mut wire = Wire::open(port).await;
        wire.send(&packet).await;
        let error = wire.next().await.unwrap();
        refusals.push((error.tag, error.field(b'S'), error.field(b'C')));
        assert!(wire.next().await.is_none());
    }
    assert_eq!(refusals[0], refusals[1]);
}
