//! Logging in to the server with credentials the proxy knows, and what follows every login.
//!
//! A client's own login is relayed by [`crate::edge`]; it meets this module at AuthenticationOk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{SCRAM_SHA_256, SCRAM_SHA_256_PLUS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Error;
use super::cancel::CancelTarget;
use super::connection::{Baseline, Connection, DatabaseId, Parameters, Prepared};
use super::lease::Place;
use super::scram::{Scram, end_point, unbound};
use super::settings::unchanged;
use super::socket::Socket;
use crate::auth::scram::Keys;
use crate::auth::verifier::Md5Hash;
use crate::config::{self, Host, Secret, SslMode, Upstream};
use crate::freshness::window::Backend;
use crate::protocol::backend::{self, TransactionStatus};
use crate::protocol::expect::Expectations;
use crate::protocol::frame;
use crate::protocol::frontend;
use crate::protocol::startup::{CancelKey, Startup};

/// How the proxy can log a user in again.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// The server asks for nothing.
    Trusted,
    /// The user's password, from the configuration or from a clear-text login.
    Password(Secret),
    /// What a client's SCRAM proof gave away.
    Scram(Keys),
    /// The MD5 hash that the server keeps.
    Md5(Md5Hash),
}

/// What the server said between AuthenticationOk and its first ReadyForQuery.
#[derive(Debug)]
pub struct Greeting {
    /// The settings it reported.
    pub parameters: Parameters,
    /// The process that serves the connection, and its secret.
    pub key: CancelKey,
}

/// A socket on which a login is under way.
#[derive(Debug)]
pub struct Greeter {
    socket: Socket,
    inbox: BytesMut,
}

impl Greeter {
    /// Connects and sends the start-up message.
    ///
    /// As libpq does, a server that turns the connection away at once, because it is encrypted or because it is not, is
    /// tried the other way where `sslmode` leaves that open.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn start(
        upstream: &Upstream,
        startup: &Startup,
        limit: Duration,
    ) -> Result<Self, Error> {
        let socket = Socket::connect(upstream, limit).await?;
        let is_encrypted = socket.is_encrypted();
        let mut greeter = Self::start_on(socket, startup).await?;
        let other_way = match upstream.tls.mode {
            SslMode::Allow => matches!(upstream.host, Host::Tcp(_)),
            SslMode::Prefer => is_encrypted,
            SslMode::Disable | SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => false,
        };
        if other_way && greeter.peek().await? == backend::ERROR_RESPONSE {
            let encrypt = !is_encrypted;
            let socket = Socket::connect_as(upstream, encrypt, limit).await?;
            if socket.is_encrypted() == encrypt {
                greeter = Self::start_on(socket, startup).await?;
            }
        }
        Ok(greeter)
    }

    async fn start_on(mut socket: Socket, startup: &Startup) -> Result<Self, Error> {
        socket.write_all(&startup.encode()).await?;
        Ok(Self {
            socket,
            inbox: BytesMut::with_capacity(4096),
        })
    }

    /// The type of the next message.
    async fn peek(&mut self) -> Result<u8, Error> {
        while self.inbox.is_empty() {
            self.receive().await?;
        }
        Ok(self.inbox[0])
    }

    async fn receive(&mut self) -> Result<(), Error> {
        match self.socket.read_buf(&mut self.inbox).await? {
            0 => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
            _ => Ok(()),
        }
    }

    /// What a SCRAM proof to this server is bound to: its certificate, if the connection is encrypted.
    #[must_use]
    pub fn end_point(&self) -> Option<Vec<u8>> {
        self.socket.server_end_point()
    }

    /// Is the connection to the server encrypted?
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.socket.is_encrypted()
    }

    /// The next message, whole.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the server closes the connection, [`Error::Protocol`] for nonsense.
    pub async fn next(&mut self) -> Result<(u8, BytesMut), Error> {
        loop {
            let complete = frame::complete(&self.inbox, 0)
                .map_err(|error| Error::Protocol(error.to_string()))?;
            if let Some(frame) = complete {
                return Ok((frame.tag, self.inbox.split_to(frame.end)));
            }
            self.receive().await?;
        }
    }

    /// Sends bytes to the server.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.socket.write_all(bytes).await?)
    }

    /// Gives up the socket and what was read ahead, for a connection that is passed through as it is.
    #[must_use]
    pub fn into_parts(self) -> (Socket, BytesMut) {
        (self.socket, self.inbox)
    }

    /// Waits for the server's first word. Nobody has answered it yet, so a server that turns the connection away can be
    /// tried once more.
    ///
    /// # Errors
    /// [`Error::Refused`] with the server's own words, or as [`Greeter::next`].
    pub async fn first_word(&mut self) -> Result<(), Error> {
        if self.peek().await? != backend::ERROR_RESPONSE {
            return Ok(());
        }
        let (_, message) = self.next().await?;
        Err(Error::Refused(message.as_ref().into()))
    }

    /// Reads the settings and the key; other messages (notices) go to `aside`.
    ///
    /// # Errors
    /// [`Error::Refused`] with the server's own words, or as [`Greeter::next`].
    pub async fn greeting(&mut self, mut aside: impl FnMut(&[u8])) -> Result<Greeting, Error> {
        let mut parameters = Parameters::new();
        let mut key = None;
        loop {
            let (tag, message) = self.next().await?;
            let body = &message[frame::HEADER..];
            match tag {
                backend::PARAMETER_STATUS => {
                    let (name, value) = backend::parameter_status(body)
                        .ok_or_else(|| Error::Protocol("malformed ParameterStatus".into()))?;
                    parameters.insert(name.into(), value.into());
                }
                backend::BACKEND_KEY_DATA => {
                    let (pid, secret) = body
                        .split_first_chunk::<4>()
                        .ok_or_else(|| Error::Protocol("malformed BackendKeyData".into()))?;
                    key = Some(CancelKey {
                        pid: u32::from_be_bytes(*pid),
                        secret: secret.into(),
                    });
                }
                backend::READY_FOR_QUERY => {
                    let key = key.ok_or_else(|| Error::Protocol("no BackendKeyData".into()))?;
                    return Ok(Greeting { parameters, key });
                }
                backend::ERROR_RESPONSE => return Err(Error::Refused(message.as_ref().into())),
                _ => aside(&message),
            }
        }
    }

    /// Asks for what the server does not report, and makes the connection ready for use.
    ///
    /// # Errors
    /// As [`Greeter::next`].
    pub async fn finish(mut self, greeting: Greeting) -> Result<Opened, Error> {
        let mut message = Vec::new();
        frontend::write_query(&mut message, BASELINE_QUERY.as_bytes());
        self.send(&message).await?;
        let mut rows = Vec::new();
        loop {
            let (tag, message) = self.next().await?;
            match tag {
                backend::DATA_ROW => rows.push(message),
                backend::READY_FOR_QUERY => break,
                _ => {}
            }
        }
        // A server that does not answer this is not one that can be spoken to at all.
        let answer = read_baseline(&rows).ok_or_else(|| {
            Error::Protocol("the server does not say what its sessions start with".into())
        })?;
        Ok(Opened {
            greeter: self,
            greeting,
            answer,
        })
    }
}

/// A connection that nobody holds yet.
pub struct Opened {
    greeter: Greeter,
    greeting: Greeting,
    answer: Answer,
}

impl Opened {
    /// Takes its place in a pool.
    #[must_use]
    pub fn hold(self, place: Place) -> Connection {
        let Self {
            greeter,
            greeting,
            answer,
        } = self;
        let route = place.pool().route();
        let backend = Backend {
            server: route.server.number,
            pid: i32::from_ne_bytes(greeting.key.pid.to_ne_bytes()),
            postmaster_start: answer.postmaster_start,
            start: answer.start,
        };
        let baseline = place.pool().intern(Baseline {
            parameters: Arc::new(greeting.parameters),
            database: DatabaseId {
                server: route.server.number,
                oid: answer.oid,
                name: answer.name,
            },
            settings: answer.settings,
        });
        Connection {
            socket: greeter.socket,
            inbox: greeter.inbox,
            owed: Expectations::default(),
            status: TransactionStatus::Idle,
            prepared: Prepared::default(),
            leftovers: Vec::new(),
            drawn_by: None,
            partial: 0,
            copying: false,
            sync_owed: false,
            window: None,
            parameters: Arc::clone(&baseline.parameters),
            baseline,
            changes: unchanged(),
            backend,
            cancel: CancelTarget::new(greeting.key, Arc::clone(&route.upstream)),
            opened: Instant::now(),
            idle_since: Instant::now(),
            place,
        }
    }
}

/// Two rows. First the database, and the settings that change what a query returns and are not reported by every server;
/// the default isolation level comes first ([`Baseline::is_read_committed`]). Then when the postmaster and this backend
/// started: that is told to the role that logged in, and not to one that the session starts with (`role`).
const BASELINE_QUERY: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0; \
     SELECT d.oid, d.datname, \
     pg_catalog.concat_ws(E'\\x1f', \
         pg_catalog.current_setting('default_transaction_isolation'), \
         pg_catalog.current_setting('search_path'), current_user, session_user, \
         (SELECT r.oid FROM pg_catalog.pg_roles AS r \
          WHERE r.rolname OPERATOR(pg_catalog.=) session_user), \
         pg_catalog.current_setting('row_security'), \
         pg_catalog.current_setting('bytea_output'), \
         pg_catalog.current_setting('extra_float_digits'), \
         pg_catalog.current_setting('lc_messages'), pg_catalog.current_setting('lc_monetary'), \
         pg_catalog.current_setting('lc_numeric'), pg_catalog.current_setting('lc_time'), \
         pg_catalog.current_setting('xmlbinary'), pg_catalog.current_setting('xmloption'), \
         pg_catalog.current_setting('array_nulls'), \
         pg_catalog.current_setting('default_text_search_config'), \
         pg_catalog.current_setting('timezone_abbreviations'), \
         pg_catalog.current_setting('transform_null_equals'), \
         pg_catalog.current_setting('backslash_quote'), \
         pg_catalog.current_setting('gin_fuzzy_search_limit'), \
         pg_catalog.current_setting('session_replication_role'), \
         (SELECT pg_catalog.string_agg(s.setconfig::pg_catalog.text, E'\\x1e' ORDER BY s.setdatabase, s.setrole) \
          FROM pg_catalog.pg_db_role_setting AS s \
          WHERE s.setdatabase OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid, d.oid]) \
          AND s.setrole OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid, \
              (SELECT r.oid FROM pg_catalog.pg_roles AS r \
               WHERE r.rolname OPERATOR(pg_catalog.=) session_user)]))) \
     FROM pg_catalog.pg_database AS d \
     WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database(); \
     SET LOCAL ROLE NONE; \
     SELECT pg_catalog.encode(pg_catalog.timestamptz_send(pg_catalog.pg_postmaster_start_time()), 'hex'), \
         pg_catalog.encode(pg_catalog.timestamptz_send((SELECT a.backend_start \
             FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a)), 'hex'); \
     ROLLBACK";

/// The answer to the baseline query.
struct Answer {
    oid: u32,
    name: String,
    settings: Box<[u8]>,
    postmaster_start: i64,
    start: i64,
}

/// The two rows of the answer to the baseline query.
fn read_baseline(rows: &[BytesMut]) -> Option<Answer> {
    let [baseline, starts] = rows else {
        return None;
    };
    let (mut baseline, mut starts) = (columns(baseline), columns(starts));
    let micros = |hex: &[u8]| {
        let micros = u64::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?;
        Some(i64::from_ne_bytes(micros.to_ne_bytes()))
    };
    Some(Answer {
        oid: std::str::from_utf8(baseline.next()?).ok()?.parse().ok()?,
        name: String::from_utf8(baseline.next()?.to_vec()).ok()?,
        settings: baseline.next()?.into(),
        postmaster_start: micros(starts.next()?)?,
        start: micros(starts.next()?)?,
    })
}

/// The columns of a DataRow, up to the first that is null.
fn columns(row: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = row.get(frame::HEADER + 2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        let (value, behind) = behind.split_at_checked(length)?;
        rest = behind;
        Some(value)
    })
}

/// Opens a connection of the proxy's own accord, for a user it can log in.
///
/// # Errors
/// [`Error`], with the server's own words where it refuses.
pub async fn connect(
    upstream: &Upstream,
    startup: &Startup,
    credentials: &Credentials,
    limit: Duration,
    aside: impl FnMut(&[u8]),
) -> Result<Opened, Error> {
    let connecting = async {
        let startup = startup.clone().plain();
        let mut greeter = Greeter::start(upstream, &startup, limit).await?;
        let binding = upstream.tls.channel_binding;
        authenticate(&mut greeter, &startup, credentials, binding).await?;
        let greeting = greeter.greeting(aside).await?;
        greeter.finish(greeting).await
    };
    let timed_out = || Error::Unreachable(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(limit, connecting)
        .await
        .unwrap_or_else(|_| Err(timed_out()))
}

/// Answers the server's challenges until it is satisfied. A SCRAM proof is bound to the server's certificate, where it
/// can be and `binding` says so.
///
/// # Errors
/// [`Error::LoginRequired`] when the credentials are no longer those of the role, or as [`Greeter::next`].
pub async fn authenticate(
    greeter: &mut Greeter,
    startup: &Startup,
    credentials: &Credentials,
    binding: config::ChannelBinding,
) -> Result<(), Error> {
    let user = startup.parameter("user").unwrap_or_default();
    let out_of_turn = || Error::Protocol("SASL out of turn".into());
    let must_bind = binding == config::ChannelBinding::Require;
    let (mut scram, mut is_bound) = (None, false);
    loop {
        let (tag, message) = greeter.next().await?;
        let body = &message[frame::HEADER..];
        match tag {
            backend::ERROR_RESPONSE => return Err(Error::Refused(message.as_ref().into())),
            backend::AUTHENTICATION => {}
            _ => continue,
        }
        let (kind, data) = body
            .split_first_chunk::<4>()
            .ok_or_else(|| Error::Protocol("malformed authentication".into()))?;
        let mut reply = Vec::new();
        match Challenge::read(u32::from_be_bytes(*kind)) {
            Some(Challenge::Ok) if must_bind && !is_bound => return Err(unbound()),
            Some(Challenge::Ok) => return Ok(()),
            Some(Challenge::Cleartext | Challenge::Md5) if must_bind => return Err(unbound()),
            Some(Challenge::Cleartext) => {
                let password = credentials.cleartext()?.as_bytes();
                frontend::write(&mut reply, frontend::PASSWORD, &[password, b"\0"])
            }
            Some(Challenge::Md5) => {
                let hash = credentials.md5(user, data)?;
                frontend::write(&mut reply, frontend::PASSWORD, &[hash.as_bytes(), b"\0"]);
            }
            Some(Challenge::Sasl) => {
                let end_point = end_point(greeter, binding, data);
                is_bound = end_point.is_some();
                if must_bind && !is_bound {
                    return Err(unbound());
                }
                let mechanism = if is_bound {
                    SCRAM_SHA_256_PLUS
                } else {
                    SCRAM_SHA_256
                };
                let machine = Scram::new(credentials, end_point)?;
                let first = machine.first();
                let length = u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes();
                let parts = [mechanism.as_bytes(), b"\0", &length, &first];
                frontend::write(&mut reply, frontend::PASSWORD, &parts);
                scram = Some(machine);
            }
            Some(Challenge::SaslContinue) => {
                let proof = scram.as_mut().ok_or_else(out_of_turn)?.answer(data)?;
                frontend::write(&mut reply, frontend::PASSWORD, &[&proof]);
            }
            Some(Challenge::SaslFinal) => {
                scram.as_mut().ok_or_else(out_of_turn)?.finish(data)?;
                continue;
            }
            Some(Challenge::Other) | None => {
                return Err(Error::Protocol(
                    "the server asks for an authentication that needs the client".into(),
                ));
            }
        }
        greeter.send(&reply).await?;
    }
}

impl Credentials {
    /// The password, for a server that asks for nothing less.
    pub(super) fn cleartext(&self) -> Result<&str, Error> {
        match self {
            Self::Trusted => Ok(""),
            Self::Password(password) => Ok(password.expose()),
            Self::Scram(_) | Self::Md5(_) => Err(needs("password")),
        }
    }

    fn md5(&self, user: &[u8], data: &[u8]) -> Result<String, Error> {
        let salt = data.first_chunk::<4>().copied();
        let salt = salt.ok_or_else(|| Error::Protocol("malformed salt".into()))?;
        match self {
            Self::Md5(hash) => Ok(hash.answer(salt)),
            Self::Scram(_) => Err(needs("md5")),
            Self::Trusted | Self::Password(_) => {
                Ok(md5_hash(user, self.cleartext()?.as_bytes(), salt))
            }
        }
    }
}

/// A proof cannot be turned into what the server asks for.
fn needs(method: &str) -> Error {
    Error::Protocol(format!(
        "the server asks for the method \"{method}\" in pg_hba.conf, which a proof given to the proxy does not \
         answer; use scram-sha-256 there, or auth.mode = \"relay\""
    ))
}

/// The kinds of Authentication message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Challenge {
    /// Done.
    Ok,
    /// The password itself.
    Cleartext,
    /// Its MD5 hash with a salt.
    Md5,
    /// SASL: the mechanisms.
    Sasl,
    /// SASL: the server's challenge.
    SaslContinue,
    /// SASL: the server's proof; no answer.
    SaslFinal,
    /// GSSAPI or SSPI.
    Other,
}

impl Challenge {
    /// Reads the code of an Authentication message.
    #[must_use]
    pub const fn read(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::Ok),
            3 => Some(Self::Cleartext),
            5 => Some(Self::Md5),
            7..=9 => Some(Self::Other),
            10 => Some(Self::Sasl),
            11 => Some(Self::SaslContinue),
            12 => Some(Self::SaslFinal),
            _ => None,
        }
    }
}
