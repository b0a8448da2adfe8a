//! What is known of roles before they log in, when the proxy itself asks for passwords.
//!
//! Every login asks anew, so that a new password, a dropped role or one whose time is over counts from the next login
//! on, whoever changed it. The two questions travel together on a connection that stays open for them.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngCore as _;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Row, Statement};

use crate::auth::scram;
use crate::auth::user_file;
use crate::auth::verifier::{Md5Hash, Verifier};
use crate::config::{self, Secret};
use crate::protocol::backend::{Severity, write_error};
use crate::upstream::Error;
use crate::upstream::control::{self, ControlError};
use crate::upstream::server::Server;

/// How long the server may take to tell what it knows of a role.
const LIMIT: Duration = Duration::from_secs(10);

/// The longest name that PostgreSQL keeps (`NAMEDATALEN` less one).
const NAME_MAX_BYTES: usize = 63;

/// What a new session of a role in a database would start with, without starting one: whatever changes it changes
/// this text. The first columns are the server's version and clock.
const STATE_QUERY: &str = "SELECT \
     pg_catalog.current_setting('server_version_num')::pg_catalog.int4, \
     pg_catalog.clock_timestamp(), \
     pg_catalog.concat_ws(E'\\x1f', \
         pg_catalog.encode(pg_catalog.timestamptz_send(pg_catalog.pg_postmaster_start_time()), 'hex'), \
         pg_catalog.encode(pg_catalog.timestamptz_send(pg_catalog.pg_conf_load_time()), 'hex'), \
         r.oid, r.rolcanlogin, r.rolsuper, r.rolreplication, \
         'in', d.oid, d.datallowconn, \
         pg_catalog.has_database_privilege(r.oid, d.oid, 'CONNECT'), \
         (SELECT pg_catalog.string_agg(s.setconfig::pg_catalog.text, E'\\x1e' ORDER BY s.setdatabase, s.setrole) \
          FROM pg_catalog.pg_db_role_setting AS s \
          WHERE s.setdatabase OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid, d.oid]) \
          AND s.setrole OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid, r.oid]))) \
     FROM (SELECT $1::pg_catalog.text::pg_catalog.name AS role, \
                  $2::pg_catalog.text::pg_catalog.name AS database) AS asked \
     LEFT JOIN pg_catalog.pg_roles AS r ON r.rolname OPERATOR(pg_catalog.=) asked.role \
     LEFT JOIN pg_catalog.pg_database AS d ON d.datname OPERATOR(pg_catalog.=) asked.database";

/// Where roles are looked up.
pub struct Users {
    auth: config::Auth,
    /// By the server's number.
    controls: Box<[Control]>,
    file: Mutex<Option<File>>,
    /// Makes up salts for roles that have no password.
    secret: [u8; 32],
}

/// What a login needs to know.
#[derive(Debug)]
pub struct Account {
    /// What the role proves itself against.
    pub proof: Proof,
    /// May it log in at all?
    pub can_login: bool,
    /// Changes when what its sessions start with does.
    pub fingerprint: Box<str>,
    /// The server's version, such as 150004.
    pub server_version: i32,
}

/// What a role proves itself against.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A SCRAM verifier. With the password itself, where a user file holds it.
    Scram(scram::Verifier, Option<Secret>),
    /// An MD5 hash.
    Md5(Md5Hash),
    /// Nothing proves this role, for a reason that only the log tells. It is given a challenge all the same.
    Nothing(scram::Verifier, &'static str),
}

/// The connection to one server that roles are looked up on.
#[derive(Default)]
struct Control(tokio::sync::Mutex<Option<Arc<Ready>>>);

struct Ready {
    client: Client,
    state: Statement,
    /// `None`: verifiers come from a file.
    verifier: Option<Statement>,
}

/// A user file, as it was read last.
struct File {
    version: (u64, u64, i64, i64),
    users: Arc<HashMap<String, Listed>>,
}

struct Listed {
    verifier: Option<Verifier>,
    /// Of a password that the file holds as it is.
    scram: OnceLock<scram::Verifier>,
}

/// A role's password, and whether it counts.
struct Found {
    verifier: Option<Verifier>,
    valid_until: Option<i64>,
    can_login: bool,
}

impl Users {
    /// Nothing has been looked up yet on any of `servers` servers.
    #[must_use]
    pub fn new(auth: config::Auth, servers: usize) -> Self {
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        Self {
            auth,
            controls: (0..servers).map(|_| Control::default()).collect(),
            file: Mutex::new(None),
            secret,
        }
    }

    /// Reads the user file, if there is one, to find mistakes in it before anybody logs in.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn check(&self) -> io::Result<()> {
        let file = self.auth.user_file.as_ref();
        file.map_or(Ok(()), |path| self.listed(path).map(|_| ()))
    }

    /// What is known of a role of a server.
    ///
    /// # Errors
    /// [`Error`]: the server cannot be asked.
    pub async fn look_up(
        &self,
        server: &Server,
        user: &[u8],
        database: &str,
    ) -> Result<Account, Error> {
        // A name that is not UTF-8 is of no role that a query could find.
        let name = std::str::from_utf8(user).ok().map(cut);
        let asked = (name.unwrap_or_default(), database);
        let late = || Error::Unreachable(io::ErrorKind::TimedOut.into());
        let (state, found) = tokio::time::timeout(LIMIT, self.ask(server, asked))
            .await
            .unwrap_or_else(|_| Err(late()))?;
        let unreadable = |error: tokio_postgres::Error| self.unreadable(server, &error);
        let now: Micros = state.try_get(1).map_err(unreadable)?;
        let proof = match found {
            Some(found) if found.valid_until.is_some_and(|until| until < now.0) => {
                (Err("its password is no longer valid"), found.can_login)
            }
            Some(found) => (self.proof(user, found.verifier), found.can_login),
            None => (Err("the role does not exist, or is not listed"), true),
        };
        let (proof, can_login) = proof;
        Ok(Account {
            proof: proof.unwrap_or_else(|why| {
                Proof::Nothing(scram::Verifier::mock(user, &self.secret), why)
            }),
            can_login,
            fingerprint: state.try_get::<_, &str>(2).map_err(unreadable)?.into(),
            server_version: state.try_get(0).map_err(unreadable)?,
        })
    }

    fn proof(&self, user: &[u8], verifier: Option<Verifier>) -> Result<Proof, &'static str> {
        match verifier {
            Some(Verifier::Scram(verifier)) => Ok(Proof::Scram(verifier, None)),
            Some(Verifier::Md5(hash)) => Ok(Proof::Md5(hash)),
            Some(Verifier::Plain(password)) => {
                let known = self.computed(user, &password);
                Ok(Proof::Scram(known, Some(password)))
            }
            None => Err(
                "it has no password; give it one, or let the server itself ask, with auth.mode = \"relay\"",
            ),
        }
    }

    /// The SCRAM verifier of a plain password. Hashing it takes its time, so a file's is kept.
    fn computed(&self, user: &[u8], password: &Secret) -> scram::Verifier {
        let mut salt = [0; scram::SALT_BYTES];
        rand::rng().fill_bytes(&mut salt);
        let compute = || scram::Verifier::of_password(password.expose(), &salt, scram::ITERATIONS);
        let users = self
            .file
            .lock()
            .as_ref()
            .map(|file| Arc::clone(&file.users));
        let listed = users.as_ref().zip(std::str::from_utf8(user).ok());
        match listed.and_then(|(users, name)| users.get(cut(name))) {
            Some(listed) => listed.scram.get_or_init(compute).clone(),
            None => compute(),
        }
    }

    /// The two answers. A connection that has broken since it was last used is replaced once.
    async fn ask(
        &self,
        server: &Server,
        asked: (&str, &str),
    ) -> Result<(Row, Option<Found>), Error> {
        let listed = match &self.auth.user_file {
            Some(path) => {
                let users = self.listed(path).map_err(|error| {
                    tracing::error!("{error}");
                    unavailable()
                })?;
                Some(users.get(asked.0).map(|listed| Found {
                    verifier: listed.verifier.clone(),
                    valid_until: None,
                    can_login: true,
                }))
            }
            None => None,
        };
        let control = &self.controls[server.number as usize];
        let mut again = true;
        loop {
            let ready = control.ready(server, &self.auth).await?;
            match ready.ask(asked).await {
                Ok((state, row)) => {
                    server.note_reachable(true);
                    let found = match listed {
                        Some(listed) => listed,
                        None => row
                            .as_ref()
                            .map(read)
                            .transpose()
                            .map_err(|error| self.unreadable(server, &error))?,
                    };
                    return Ok((state, found));
                }
                Err(_) if again && ready.client.is_closed() => {
                    again = false;
                    control.forget(&ready).await;
                }
                Err(error) => {
                    control.forget(&ready).await;
                    return Err(self.unreadable(server, &error));
                }
            }
        }
    }

    /// The users of the file, which is read again when it has changed.
    fn listed(&self, path: &Path) -> io::Result<Arc<HashMap<String, Listed>>> {
        let failed = |error: &dyn std::fmt::Display| {
            let text = format!("the user file {} cannot be read: {error}", path.display());
            io::Error::other(text)
        };
        let metadata = fs::metadata(path).map_err(|error| failed(&error))?;
        let version = (
            metadata.ino(),
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        );
        let mut file = self.file.lock();
        if let Some(known) = file.as_ref().filter(|file| file.version == version) {
            return Ok(Arc::clone(&known.users));
        }
        let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
        let users = user_file::read(&text).map_err(|line| {
            failed(&format!(
                "line {line} is not a \"user\" with a \"password\", each in quotes"
            ))
        })?;
        let users = users.into_iter().map(|(user, verifier)| {
            let scram = OnceLock::new();
            (user, Listed { verifier, scram })
        });
        let users = Arc::new(users.collect());
        *file = Some(File {
            version,
            users: Arc::clone(&users),
        });
        Ok(users)
    }

    /// The server was asked and has not told what a login needs: that is for the operator to mend.
    fn unreadable(&self, server: &Server, error: &tokio_postgres::Error) -> Error {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        let source = match &self.auth.user_file {
            Some(_) => PathBuf::from("the query for roles"),
            None => PathBuf::from("auth_query"),
        };
        tracing::error!(
            server = server.address(),
            "{} failed, so nobody can log in: {error}{}; it is run as the role of the upstream URL, and must return \
             the role's name and its verifier as text",
            source.display(),
            cause.map(|cause| format!(" ({cause})")).unwrap_or_default(),
        );
        unavailable()
    }
}

impl Control {
    async fn ready(&self, server: &Server, auth: &config::Auth) -> Result<Arc<Ready>, Error> {
        let mut ready = self.0.lock().await;
        if let Some(ready) = ready.as_ref().filter(|ready| !ready.client.is_closed()) {
            return Ok(Arc::clone(ready));
        }
        let upstream = &server.upstream;
        let (client, _) = control::connect(upstream, &upstream.database)
            .await
            .map_err(|error| not_connected(server, error))?;
        let prepared = async {
            let types = [Type::TEXT, Type::TEXT];
            let state = client.prepare_typed(STATE_QUERY, &types).await?;
            let verifier = match auth.user_file {
                Some(_) => None,
                None => Some(client.prepare(&auth.query).await?),
            };
            Ok((state, verifier))
        };
        let (state, verifier) = prepared.await.map_err(|error: tokio_postgres::Error| {
            tracing::error!(
                server = server.address(),
                "auth_query cannot be prepared, so nobody can log in: {}",
                error
                    .as_db_error()
                    .map_or_else(|| error.to_string(), ToString::to_string)
            );
            unavailable()
        })?;
        let opened = Arc::new(Ready {
            client,
            state,
            verifier,
        });
        *ready = Some(Arc::clone(&opened));
        Ok(opened)
    }

    async fn forget(&self, ready: &Arc<Ready>) {
        let mut known = self.0.lock().await;
        known.take_if(|known| Arc::ptr_eq(known, ready));
    }
}

impl Ready {
    async fn ask(
        &self,
        (user, database): (&str, &str),
    ) -> Result<(Row, Option<Row>), tokio_postgres::Error> {
        let verifier = async {
            match &self.verifier {
                Some(statement) => {
                    let mut rows = self.client.query(statement, &[&user]).await?;
                    Ok((!rows.is_empty()).then(|| rows.swap_remove(0)))
                }
                None => Ok(None),
            }
        };
        let state = async {
            self.client
                .query_one(&self.state, &[&user, &database])
                .await
        };
        tokio::try_join!(state, verifier)
    }
}

/// The row of `auth_query`: the name, the verifier, and what else it has by name.
fn read(row: &Row) -> Result<Found, tokio_postgres::Error> {
    let column = |names: &[&str]| {
        row.columns()
            .iter()
            .position(|column| names.contains(&column.name()))
    };
    let valid_until = match column(&["rolvaliduntil", "valuntil"]) {
        Some(at) => row.try_get::<_, Option<Micros>>(at)?,
        None => None,
    };
    let can_login = match column(&["rolcanlogin"]) {
        Some(at) => row.try_get::<_, Option<bool>>(at)?,
        None => None,
    };
    let verifier = row.try_get::<_, Option<&str>>(1)?;
    Ok(Found {
        verifier: verifier.and_then(Verifier::read),
        valid_until: valid_until.map(|until| until.0),
        can_login: can_login.unwrap_or(true),
    })
}

/// A timestamp with time zone, in microseconds since 2000; the ends of the range stand for the infinities.
struct Micros(i64);

impl<'a> FromSql<'a> for Micros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    tokio_postgres::types::accepts!(TIMESTAMPTZ);
}

/// A name as PostgreSQL keeps it.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME_MAX_BYTES)]
}

/// The control connection cannot be had. What concerns everybody is told to the client as the server says it.
fn not_connected(server: &Server, error: ControlError) -> Error {
    let told = match &error {
        ControlError::Tls(_) => None,
        ControlError::Postgres(error) => error.as_db_error(),
    };
    let Some(told) = told else {
        server.note_reachable(false);
        return Error::Unreachable(io::Error::other(error));
    };
    let concerns_all = ["53", "57"]
        .iter()
        .any(|class| told.code().code().starts_with(class));
    if concerns_all {
        return refused(told.code().code(), told.message());
    }
    tracing::error!(
        server = server.address(),
        "the role of the upstream URL cannot log in, so nobody can: {}",
        told.message()
    );
    unavailable()
}

/// What a client is told when the fault is not its own. The log says more.
fn unavailable() -> Error {
    refused("58000", "passwords cannot be checked now")
}

fn refused(sqlstate: &str, message: &str) -> Error {
    let mut bytes = Vec::new();
    write_error(&mut bytes, Severity::Fatal, sqlstate, message);
    Error::Refused(bytes.into())
}
