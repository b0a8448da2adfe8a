//! Logins that the proxy decides on: the client proves itself to the proxy, which then has what logs it in to the
//! server. No login needs a server connection of its own, and no password is kept.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::{Rng as _, RngCore as _};
use tokio::io::AsyncWriteExt as _;

use super::Newcomer;
use super::login::{self, LastMessages, PoolMember, Welcome};
use crate::auth::Refusal;
use crate::auth::server::Exchange;
use crate::auth::verifier::Md5Hash;
use crate::protocol::backend::{self, AUTHENTICATION};
use crate::protocol::frame::HEADER;
use crate::protocol::frontend::{self, PASSWORD, split_cstring};
use crate::protocol::startup::{Startup, VERSION_3_0, VERSION_3_2};
use crate::services::Services;
use crate::services::users::{Account, Proof};
use crate::upstream::Error;
use crate::upstream::login::Credentials;
use crate::upstream::server::Route;

/// The first version that speaks protocol 3.2.
const SPEAKS_3_2: i32 = 180_000;

/// Random bytes in our half of a nonce (`SCRAM_RAW_NONCE_LEN`).
const NONCE_BYTES: usize = 18;

/// The highest process id that Linux gives. The one that a client is told is of no process: it may get another
/// server connection with each transaction.
const PID_MAX: u32 = 1 << 22;

/// A client that has proven who it is.
pub(super) struct Proven {
    /// What logs it in to the server.
    pub(super) credentials: Credentials,
    account: Account,
    /// The length of the secret it is to cancel with.
    secret_bytes: usize,
}

/// Why a client is turned away.
enum Fault {
    /// It went away.
    Gone(io::Error),
    /// It is not let in.
    Refused(Refusal),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Lets a client in that proves itself. `None` when it has been told why it cannot.
pub(super) async fn log_in(
    newcomer: &mut Newcomer,
    startup: &Startup,
    route: &std::sync::Arc<Route>,
    services: &Services,
) -> io::Result<Option<(Welcome, PoolMember)>> {
    let Some(proven) = prove(newcomer, startup, route, services).await? else {
        return Ok(None);
    };
    let startup = startup.clone().plain();
    let member = PoolMember::new(services.pools.join(route, &startup));
    let pool = member.pool();
    pool.learn_proven(proven.credentials);
    let opening = match pool.opening(&proven.account.fingerprint).await {
        Ok(opening) => opening,
        Err(Error::LoginRequired) => {
            let user = startup.user().unwrap_or_default();
            tracing::warn!(
                server = route.server.address(),
                "the server does not accept what proves {user:?} here; is the user file, or what auth_query reads, that \
                 of this server?"
            );
            wrong_password(newcomer, &user).await?;
            return Ok(None);
        }
        Err(error) => {
            login::refuse(newcomer, &error, &route.server).await?;
            return Ok(None);
        }
    };
    route.server.note_reachable(true);
    let welcome = Welcome {
        messages: LastMessages::new(&opening.baseline.parameters, &opening.aside),
        baseline: std::sync::Arc::clone(&opening.baseline),
        connection: None,
        pid: rand::rng().random_range(1..PID_MAX),
        secret_bytes: proven.secret_bytes,
    };
    Ok(Some((welcome, member)))
}

/// Asks a client for its proof. `None` when it has been told that it is not let in.
pub(super) async fn prove(
    newcomer: &mut Newcomer,
    startup: &Startup,
    route: &Route,
    services: &Services,
) -> io::Result<Option<Proven>> {
    let user = startup.parameter("user").unwrap_or_default();
    let database = startup.database().unwrap_or_default();
    let account = services.users.look_up(&route.server, user, &database).await;
    let account = match account {
        Ok(account) => account,
        Err(error) => {
            login::refuse(newcomer, &error, &route.server).await?;
            return Ok(None);
        }
    };
    let user = String::from_utf8_lossy(user);
    let secret_bytes = negotiate(newcomer, startup, account.server_version).await?;
    match challenge(newcomer, &account.proof).await {
        Ok(_) if !account.can_login => {
            let message = format!("role \"{user}\" is not permitted to log in");
            newcomer.refuse("28000", &message).await?;
            Ok(None)
        }
        Ok(credentials) => Ok(Some(Proven {
            credentials,
            account,
            secret_bytes,
        })),
        Err(Fault::Gone(error)) => Err(error),
        Err(Fault::Refused(Refusal::Password)) => {
            if let Proof::Nothing(_, why) = account.proof {
                tracing::warn!("login of {user:?} refused: {why}");
            } else {
                tracing::info!("login of {user:?} refused: the password is wrong");
            }
            wrong_password(newcomer, &user).await?;
            Ok(None)
        }
        Err(Fault::Refused(Refusal::Protocol { sqlstate, message })) => {
            newcomer.refuse(sqlstate, &message).await?;
            Ok(None)
        }
    }
}

async fn wrong_password(newcomer: &mut Newcomer, user: &str) -> io::Result<()> {
    let message = format!("password authentication failed for user \"{user}\"");
    newcomer.refuse("28P01", &message).await
}

/// Says which protocol is spoken, if it is not the one asked for, as the server of that version would. Returns the
/// length of a secret in it.
async fn negotiate(
    newcomer: &mut Newcomer,
    startup: &Startup,
    server_version: i32,
) -> io::Result<usize> {
    let newest = if server_version >= SPEAKS_3_2 {
        VERSION_3_2
    } else {
        VERSION_3_0
    };
    let unknown: Vec<&[u8]> = startup
        .parameters
        .iter()
        .map(|(name, _)| &**name)
        .filter(|name| name.starts_with(b"_pq_."))
        .collect();
    if startup.version > newest || !unknown.is_empty() {
        let count = u32::try_from(unknown.len()).unwrap_or(u32::MAX);
        let mut body = Vec::new();
        // The version that counts from here on: no newer than what the client asks for.
        body.extend_from_slice(&newest.min(startup.version).to_be_bytes());
        body.extend_from_slice(&count.to_be_bytes());
        for name in unknown {
            body.extend_from_slice(name);
            body.push(0);
        }
        let mut message = Vec::new();
        frontend::write(&mut message, backend::NEGOTIATE_PROTOCOL_VERSION, &[&body]);
        newcomer.socket.write_all(&message).await?;
    }
    Ok(if newest.min(startup.version) >= VERSION_3_2 {
        32
    } else {
        4
    })
}

async fn challenge(newcomer: &mut Newcomer, proof: &Proof) -> Result<Credentials, Fault> {
    let end_point = newcomer.handshake.end_point.clone();
    match proof {
        Proof::Scram(verifier, password) => {
            let exchange = Exchange::new(verifier.clone(), nonce(), end_point);
            let proven = scram(newcomer, exchange).await?;
            Ok(password.clone().map_or(proven, Credentials::Password))
        }
        Proof::Md5(hash) => md5(newcomer, hash).await,
        Proof::Nothing(verifier, _) => {
            let exchange = Exchange::new(verifier.clone(), nonce(), end_point);
            scram(newcomer, exchange.doomed()).await
        }
    }
}

fn nonce() -> String {
    let mut bytes = [0; NONCE_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    STANDARD.encode(bytes)
}

async fn scram(newcomer: &mut Newcomer, mut exchange: Exchange) -> Result<Credentials, Fault> {
    const SASL: u32 = 10;
    const SASL_CONTINUE: u32 = 11;
    const SASL_FINAL: u32 = 12;
    ask(newcomer, SASL, &exchange.mechanisms()).await?;
    let answer = answer(newcomer, "SASL").await?;
    let (mechanism, rest) =
        split_cstring(&answer).ok_or_else(|| malformed("invalid string in message"))?;
    exchange.choose(mechanism)?;
    let (length, first) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| malformed("insufficient data left in message"))?;
    if usize::try_from(i32::from_be_bytes(*length)).ok() != Some(first.len()) {
        return Err(malformed("insufficient data left in message").into());
    }
    let server_first = exchange.first(first)?;
    ask(newcomer, SASL_CONTINUE, server_first.as_bytes()).await?;
    let last = self::answer(newcomer, "SASL").await?;
    let (server_final, keys) = exchange.last(&last)?;
    ask(newcomer, SASL_FINAL, server_final.as_bytes()).await?;
    Ok(Credentials::Scram(keys))
}

async fn md5(newcomer: &mut Newcomer, hash: &Md5Hash) -> Result<Credentials, Fault> {
    const MD5: u32 = 5;
    let salt: [u8; 4] = rand::rng().random();
    ask(newcomer, MD5, &salt).await?;
    let answer = answer(newcomer, "password").await?;
    let (answer, _) =
        split_cstring(&answer).ok_or_else(|| malformed("invalid string in message"))?;
    if hash.is_proven_by(answer, salt) {
        Ok(Credentials::Md5(hash.clone()))
    } else {
        Err(Refusal::Password.into())
    }
}

async fn ask(newcomer: &mut Newcomer, code: u32, data: &[u8]) -> io::Result<()> {
    let mut message = Vec::new();
    frontend::write(&mut message, AUTHENTICATION, &[&code.to_be_bytes(), data]);
    newcomer.socket.write_all(&message).await
}

/// The body of the client's answer.
async fn answer(newcomer: &mut Newcomer, kind: &str) -> Result<Vec<u8>, Fault> {
    let mut message = login::next_answer(newcomer).await?;
    match message.first() {
        Some(&PASSWORD) => Ok(message.split_off(HEADER)),
        other => Err(Fault::Refused(Refusal::Protocol {
            sqlstate: "08P01",
            message: format!(
                "expected {kind} response, got message type {}",
                other.copied().unwrap_or_default()
            ),
        })),
    }
}

fn malformed(message: &str) -> Refusal {
    Refusal::Protocol {
        sqlstate: "08P01",
        message: message.to_owned(),
    }
}
