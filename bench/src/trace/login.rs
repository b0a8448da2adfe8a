//! A connection by hand, for requests that are bytes already.

use anyhow::{Context as _, bail};
use bytes::{Buf as _, Bytes, BytesMut};
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt as _;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::frames::Wire;

/// Logs in (PostgreSQL, 55.2.1 "Start-up"): trust, a password, or SCRAM-SHA-256.
pub(super) async fn log_in(url: &str) -> anyhow::Result<Wire> {
    let config: Config = url.parse()?;
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let Some(Host::Tcp(host)) = config.get_hosts().first() else {
        bail!("{url} names no host");
    };
    let user = config
        .get_user()
        .context("the connection string names no user")?;
    let database = config.get_dbname().unwrap_or(user);
    let password = config.get_password().unwrap_or_default();
    let mut wire = Wire::connect(&format!("{host}:{port}")).await?;
    let mut out = BytesMut::new();
    let parameters = [
        ("user", user),
        ("database", database),
        ("client_encoding", "UTF8"),
    ];
    frontend::startup_message(parameters, &mut out)?;
    wire.out.write_all(&out).await?;

    let mut scram = None;
    loop {
        let frame = wire
            .frames
            .next()
            .await?
            .context("the server left during the login")?;
        let mut body = frame.slice(5..);
        match frame.first() {
            Some(b'Z') => return Ok(wire),
            Some(b'E') => bail!("the login was refused: {}", describe(&frame)),
            Some(b'R') => {
                let mut out = BytesMut::new();
                answer(&mut scram, &mut body, password, &mut out)?;
                wire.out.write_all(&out).await?;
            }
            // ParameterStatus, BackendKeyData, NoticeResponse.
            _ => {}
        }
    }
}

/// Answers one message of the authentication, if it wants an answer.
fn answer(
    scram: &mut Option<ScramSha256>,
    body: &mut Bytes,
    password: &[u8],
    out: &mut BytesMut,
) -> anyhow::Result<()> {
    const OK: u32 = 0;
    const CLEARTEXT: u32 = 3;
    const SASL: u32 = 10;
    const SASL_CONTINUE: u32 = 11;
    const SASL_FINAL: u32 = 12;
    let kind = body
        .try_get_u32()
        .context("a message of the authentication is cut off")?;
    match (kind, scram) {
        (OK, _) => {}
        (CLEARTEXT, _) => frontend::password_message(password, out)?,
        (SASL, scram) => {
            let exchange = ScramSha256::new(password, ChannelBinding::unsupported());
            frontend::sasl_initial_response(SCRAM_SHA_256, exchange.message(), out)?;
            *scram = Some(exchange);
        }
        (SASL_CONTINUE, Some(scram)) => {
            scram.update(body)?;
            frontend::sasl_response(scram.message(), out)?;
        }
        (SASL_FINAL, Some(scram)) => scram.finish(body)?,
        (other, _) => {
            bail!("the server asks for a kind of login (number {other}) that is not supported")
        }
    }
    Ok(())
}

/// The SQLSTATE of an ErrorResponse (PostgreSQL, 55.8 "Error and Notice Message Fields").
pub(super) fn sqlstate(frame: &[u8]) -> String {
    field(frame, b'C').unwrap_or_else(|| "connection".to_owned())
}

fn describe(frame: &[u8]) -> String {
    field(frame, b'M').unwrap_or_else(|| "no reason given".to_owned())
}

fn field(frame: &[u8], wanted: u8) -> Option<String> {
    let fields = frame.get(5..)?.split(|byte| *byte == 0);
    let mut texts = fields.filter_map(<[u8]>::split_first);
    let (_, text) = texts.find(|(kind, _)| **kind == wanted)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_state_is_found_among_its_fields() {
        let frame = b"E\0\0\0\x1bSERROR\0C40P01\0Mdeadlock\0\0";
        assert_eq!(sqlstate(frame), "40P01");
        assert_eq!(describe(frame), "deadlock");
        assert_eq!(sqlstate(b"E\0\0\0\x05\0"), "connection");
    }
}
