//! The relayed login: the client answers the server's own challenge, on the connection being opened.
//!
//! Every account works as it does directly, with nothing configured, and the connection that the login
//! opened goes into the pool. Where a login shows how the proxy can open more of the kind by itself (the
//! server asks for nothing, or for the clear password), the pool learns it.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::authentication::sasl::SCRAM_SHA_256_PLUS;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Newcomer;
use crate::config::Secret;
use crate::observe::Counter;
use crate::protocol::backend::{self, Severity, write_backend_key_data, write_parameter_status};
use crate::protocol::frame;
use crate::protocol::frontend::{self, split_cstring};
use crate::protocol::startup::{CancelKey, Startup};
use crate::services::Services;
use crate::upstream::Error;
use crate::upstream::connection::{Baseline, Parameters};
use crate::upstream::login::{Challenge, Credentials, Greeter};
use crate::upstream::patience::Patience;
use crate::upstream::server::{Route, Server};
use crate::upstream::{lease::Lease, pool::Pool};

/// A client's place in its pool, given up when the login fails.
pub(super) struct PoolMember(Option<Arc<Pool>>);

impl PoolMember {
    /// The client has been counted by the caller.
    pub(super) const fn new(pool: Arc<Pool>) -> Self {
        Self(Some(pool))
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        self.0
            .as_ref()
            .expect("the pool is there until the member stays")
    }

    /// The session counts as the client from here on.
    pub(super) fn stay(mut self) -> Arc<Pool> {
        self.0.take().expect("a member stays once")
    }
}

impl Drop for PoolMember {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.client_left();
        }
    }
}

/// A login that the server accepted.
pub(super) struct Welcome {
    /// The settings that the session starts with.
    pub(super) baseline: Arc<Baseline>,
    /// The connection that the login opened, if it needed one.
    pub(super) connection: Option<Lease>,
    /// The process id that the client is told.
    pub(super) pid: u32,
    /// The length of the secret that it is told.
    pub(super) secret_bytes: usize,
    /// What the client is still to be told.
    pub(super) messages: LastMessages,
}

/// The end of the start-up dialogue, which waits for the client's cancel key.
pub(super) struct LastMessages {
    bytes: Vec<u8>,
}

impl LastMessages {
    pub(super) fn new(parameters: &Parameters, aside: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(512);
        frontend::write(&mut bytes, backend::AUTHENTICATION, &[&[0; 4]]);
        for (name, value) in parameters {
            write_parameter_status(&mut bytes, name, value);
        }
        bytes.extend_from_slice(aside);
        Self { bytes }
    }

    /// Everything from AuthenticationOk to ReadyForQuery.
    pub(super) fn finish(mut self, key: &CancelKey) -> Vec<u8> {
        write_backend_key_data(&mut self.bytes, key.pid, &key.secret);
        self.bytes
            .extend_from_slice(&backend::TransactionStatus::Idle.ready_for_query());
        self.bytes
    }
}

/// Relays a login. `None` when it failed and the client has been told why.
pub(super) async fn relay(
    newcomer: &mut Newcomer,
    pool: &Arc<Pool>,
    startup: &Startup,
    services: &Services,
) -> io::Result<Option<Welcome>> {
    match try_relay(newcomer, pool, startup, services).await {
        Ok(welcome) => {
            pool.route().server.note_reachable(true);
            services.metrics.add(Counter::ServerConnectsOk, 1);
            Ok(Some(welcome))
        }
        Err(Failure::Client(error)) => Err(error),
        Err(Failure::Server(error)) => {
            services.metrics.add(Counter::ServerConnectsFailed, 1);
            refuse(newcomer, &error, &pool.route().server).await?;
            Ok(None)
        }
    }
}

/// Tells the client why it cannot come in, in the server's words where it has spoken.
pub(super) async fn refuse(
    newcomer: &mut Newcomer,
    error: &Error,
    server: &Server,
) -> io::Result<()> {
    match error {
        Error::Refused(message) => newcomer.socket.write_all(message).await,
        Error::Unreachable(_) => {
            server.note_reachable(false);
            newcomer.refuse(error.sqlstate(), &error.to_string()).await
        }
        Error::LoginRequired
        | Error::SettingsRefused
        | Error::WaitTimeout(_)
        | Error::Protocol(_) => newcomer.refuse(error.sqlstate(), &error.to_string()).await,
    }
}

/// Whose fault it is that a login failed.
pub(super) enum Failure {
    /// The client went away.
    Client(io::Error),
    /// The server, or the way to it.
    Server(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

async fn try_relay(
    newcomer: &mut Newcomer,
    pool: &Arc<Pool>,
    startup: &Startup,
    services: &Services,
) -> Result<Welcome, Failure> {
    let place = pool.admit().await?;
    let mut greeter = reach(pool.route(), startup, services).await?;
    if let Some(credentials) = relay_challenges(newcomer, &mut greeter).await? {
        pool.learn(credentials);
    }
    let mut aside = Vec::new();
    let greeting = greeter
        .greeting(|message| aside.extend_from_slice(message))
        .await?;
    let (pid, secret_bytes) = (greeting.key.pid, greeting.key.secret.len());
    let messages = LastMessages::new(&greeting.parameters, &aside);
    let connection = greeter.finish(greeting).await?.hold(place);
    let identity = &pool.route().server.identity;
    services
        .freshness
        .note_postmaster(identity, connection.backend.postmaster_start);
    services.freshness.peers().bumps_known().await;
    Ok(Welcome {
        baseline: Arc::clone(&connection.baseline),
        connection: Some(Lease::new(Box::new(connection))),
        pid,
        secret_bytes,
        messages,
    })
}

/// Connects to the server, in several tries if need be: the client has not been asked for anything yet.
async fn reach(
    route: &Arc<Route>,
    startup: &Startup,
    services: &Services,
) -> Result<Greeter, Error> {
    let limit = services.config.pool.connect_timeout;
    let mut patience = Patience::new(route, &services.metrics);
    loop {
        let reaching = async {
            let mut greeter = Greeter::start(&route.upstream, startup, limit).await?;
            greeter.first_word().await?;
            Ok(greeter)
        };
        match reaching.await {
            Ok(greeter) => {
                patience.succeeded();
                return Ok(greeter);
            }
            Err(error) => patience.failed(error).await?,
        }
    }
}

/// Carries challenges and answers until AuthenticationOk, which is kept back. Returns what was learned.
pub(super) async fn relay_challenges(
    newcomer: &mut Newcomer,
    greeter: &mut Greeter,
) -> Result<Option<Credentials>, Failure> {
    let mut learned = Some(Credentials::Trusted);
    let binding = Binding {
        with_client: newcomer.handshake.end_point.clone(),
        with_server: greeter.end_point(),
    };
    loop {
        let (tag, message) = greeter.next().await?;
        if tag == backend::ERROR_RESPONSE {
            return Err(Error::Refused(message.as_ref().into()).into());
        }
        let code = (tag == backend::AUTHENTICATION)
            .then(|| message[frame::HEADER..].first_chunk::<4>())
            .flatten();
        let challenge = code.and_then(|code| Challenge::read(u32::from_be_bytes(*code)));
        if challenge == Some(Challenge::Ok) {
            return Ok(learned);
        }
        let binds = challenge == Some(Challenge::Sasl) && binding.cannot_be_relayed();
        let message = if binds {
            without_binding(message)
        } else {
            message
        };
        newcomer
            .socket
            .write_all(&message)
            .await
            .map_err(Failure::Client)?;
        if tag != backend::AUTHENTICATION || challenge == Some(Challenge::SaslFinal) {
            continue;
        }
        let answer = tokio::select! {
            answer = next_answer(newcomer) => answer.map_err(Failure::Client)?,
            spoken = greeter.next() => return Err(out_of_patience(spoken)),
        };
        if binds && believes_in_none(&answer) {
            return Err(binding_refused());
        }
        learned = match (challenge, split_cstring(&answer[frame::HEADER..])) {
            (Some(Challenge::Cleartext), Some((password, _))) => std::str::from_utf8(password)
                .ok()
                .map(|text| Credentials::Password(Secret::new(text))),
            _ => None,
        };
        greeter.send(&answer).await?;
    }
}

/// What a SCRAM proof is bound to on either side of the proxy.
struct Binding {
    with_client: Option<Vec<u8>>,
    with_server: Option<Vec<u8>>,
}

impl Binding {
    /// A proof over one connection is no proof over another, unless both show the same certificate.
    fn cannot_be_relayed(&self) -> bool {
        self.with_server.is_some() && self.with_client != self.with_server
    }
}

/// The server's list of mechanisms, without the one that binds the proof to its certificate.
fn without_binding(message: BytesMut) -> BytesMut {
    let names = &message[frame::HEADER + 4..];
    let mut list = SASL.to_be_bytes().to_vec();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        if name != SCRAM_SHA_256_PLUS.as_bytes() {
            list.extend_from_slice(name);
            list.push(0);
        }
    }
    list.push(0);
    let mut out = Vec::with_capacity(message.len());
    frontend::write(&mut out, backend::AUTHENTICATION, &[&list]);
    BytesMut::from(&out[..])
}

/// Does the client say that it could bind its proof, but that the server cannot? The server can, and takes that for
/// an attack.
fn believes_in_none(answer: &[u8]) -> bool {
    let said = split_cstring(&answer[frame::HEADER..]).and_then(|(_, rest)| rest.get(4..));
    said.is_some_and(|first| first.starts_with(b"y,"))
}

fn binding_refused() -> Failure {
    let text = "SCRAM channel binding cannot be relayed: the proxy and the server show different certificates; connect \
                with channel_binding=disable, or configure the proxy with auth.mode = \"scram\"";
    tracing::warn!("a login was refused: {text}");
    let mut message = Vec::new();
    backend::write_error(&mut message, Severity::Fatal, "28000", text);
    Failure::Server(Error::Refused(message.into()))
}

/// The code of AuthenticationSASL.
const SASL: u32 = 10;

/// The server did not wait for the client's answer (`authentication_timeout`). It need not say why, and neither
/// do we; that is no sign of trouble with the server.
fn out_of_patience(spoken: Result<(u8, BytesMut), Error>) -> Failure {
    match spoken {
        Ok((backend::ERROR_RESPONSE, message)) => Error::Refused(message.as_ref().into()).into(),
        Ok(_) | Err(_) => Failure::Client(io::ErrorKind::TimedOut.into()),
    }
}

/// The client's next message, whole.
pub(super) async fn next_answer(newcomer: &mut Newcomer) -> io::Result<Vec<u8>> {
    loop {
        let complete = frame::complete(&newcomer.inbox, 0)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let Some(frame) = complete {
            return Ok(newcomer.inbox.split_to(frame.end).to_vec());
        }
        let announced = frame::header(&newcomer.inbox, 0)
            .ok()
            .flatten()
            .map_or(0, |frame| frame.end);
        if announced > ANSWER_MAX_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if newcomer.socket.read_buf(&mut newcomer.inbox).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The longest answer that PostgreSQL accepts before a login (`PG_MAX_AUTH_TOKEN_LENGTH`).
const ANSWER_MAX_BYTES: usize = 65_540;
