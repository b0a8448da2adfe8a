//! The PostgreSQL server behind the proxy, read from a connection URL.
//!
//! The grammar is that of PostgreSQL's "Connection URIs" (libpq, section "Connection Strings"), less what this
//! version cannot do, such as several hosts. Such a URL is refused, never half obeyed.

use std::{fmt, path::PathBuf, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{secret::Secret, tls::UpstreamTls, value::BadValue};

/// The example every error about a URL ends with.
const EXAMPLE: &str = "postgres://user:password@host:5432/database";

/// What may stand in a URL unencoded (RFC 3986, "unreserved").
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where the server listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Host {
    /// A host name or an IP address, without brackets.
    Tcp(String),
    /// The directory of a Unix socket. The socket itself is `.s.PGSQL.<port>` in it.
    UnixSocket(PathBuf),
}

/// The server and the identity the proxy itself uses on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upstream {
    /// Where the server listens.
    pub host: Host,
    /// Its port; for a Unix socket the number in the socket's name.
    pub port: u16,
    /// The role of the proxy's own connections.
    pub user: String,
    /// Its password, if the URL gives one.
    pub password: Option<Secret>,
    /// The database of the proxy's own connections.
    pub database: String,
    /// Whether and how connections are encrypted.
    pub tls: UpstreamTls,
}

impl Upstream {
    /// The URL, with the password.
    #[must_use]
    pub fn url(&self) -> String {
        let password = self
            .password
            .as_ref()
            .map(|password| encode(password.expose()));
        self.assemble(password.as_deref())
    }

    /// The URL for logs and pages: the password reads `***`.
    #[must_use]
    pub fn masked(&self) -> String {
        self.assemble(self.password.as_ref().map(|_| "***"))
    }

    fn assemble(&self, password: Option<&str>) -> String {
        let user = encode(&self.user);
        let password = password
            .map(|password| format!(":{password}"))
            .unwrap_or_default();
        let mut url = format!(
            "postgres://{user}{password}@{}:{}/{}",
            self.host,
            self.port,
            encode(&self.database)
        );
        for (number, (name, value)) in self.tls.parameters().into_iter().enumerate() {
            url.push(if number == 0 { '?' } else { '&' });
            url.push_str(&format!("{name}={}", encode(&value)));
        }
        url
    }
}

impl fmt::Display for Host {
    /// The host as it stands in a URL.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(name) if name.contains(':') => write!(formatter, "[{name}]"),
            Self::Tcp(name) => formatter.write_str(&encode(name)),
            Self::UnixSocket(directory) => {
                formatter.write_str(&encode(&directory.to_string_lossy()))
            }
        }
    }
}

impl Default for Upstream {
    /// The superuser of a server on this machine. Only a starting point: a configuration must name its upstream.
    fn default() -> Self {
        Self {
            host: Host::Tcp("localhost".to_owned()),
            port: 5432,
            user: "postgres".to_owned(),
            password: None,
            database: "postgres".to_owned(),
            tls: UpstreamTls::default(),
        }
    }
}

impl FromStr for Upstream {
    type Err = BadValue;

    fn from_str(url: &str) -> Result<Self, BadValue> {
        let url = url.trim();
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or_else(|| BadValue::new("is not a PostgreSQL URL", EXAMPLE))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        let (host, port) = split_port(place)?;

        let mut parts = Parts {
            host: decode(host)?,
            port: port.to_owned(),
            user: decode(user)?,
            password: password.map(decode).transpose()?,
            database: decode(database)?,
            tls: UpstreamTls::default(),
            names_mode: false,
        };
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            parts.set(&decode(name)?, decode(value)?)?;
        }
        parts.finish()
    }
}

// === The parts of a URL ===

/// The decoded parts, before defaults are filled in. A query parameter replaces the part of the same meaning.
struct Parts {
    host: String,
    port: String,
    user: String,
    password: Option<String>,
    database: String,
    tls: UpstreamTls,
    names_mode: bool,
}

impl Parts {
    fn set(&mut self, name: &str, value: String) -> Result<(), BadValue> {
        match name {
            "dbname" => self.database = value,
            "host" => self.host = value,
            "password" => self.password = Some(value),
            "port" => self.port = value,
            "user" => self.user = value,
            name => {
                self.names_mode |= name == "sslmode";
                return self.tls.set(name, &value).unwrap_or_else(|| {
                    Err(BadValue::new(
                        format!("has the parameter {name:?}, which pgkeel does not support"),
                        "only dbname, host, password, port, user and those of TLS after the \"?\"",
                    ))
                });
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Upstream, BadValue> {
        let defaults = Upstream::default();
        if self.host.contains(',') {
            return Err(BadValue::new("names several hosts", "one host"));
        }
        let port = match self.port.as_str() {
            "" => defaults.port,
            port => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                BadValue::new(format!("has the port {port:?}"), "a port from 1 to 65535")
            })?,
        };
        let host = match self.host {
            host if host.starts_with('/') => Host::UnixSocket(host.into()),
            host if host.is_empty() => defaults.host,
            host => Host::Tcp(host),
        };
        let user = if self.user.is_empty() {
            defaults.user
        } else {
            self.user
        };
        let database = if self.database.is_empty() {
            user.clone()
        } else {
            self.database
        };
        let password = self
            .password
            .filter(|password| !password.is_empty())
            .map(Secret::new);
        Ok(Upstream {
            host,
            port,
            user,
            password,
            database,
            tls: self.tls.finish(self.names_mode)?,
        })
    }
}

/// Splits `host:port` or `[address]:port`. The port may be missing.
fn split_port(place: &str) -> Result<(&str, &str), BadValue> {
    let Some(bracketed) = place.strip_prefix('[') else {
        return Ok(match place.rsplit_once(':') {
            // Several hosts have their own error; their last port is of no interest.
            Some((host, port)) if !host.contains(',') => (host, port),
            Some(_) | None => (place, ""),
        });
    };
    let unclosed = || {
        BadValue::new(
            "has an IPv6 address that does not end",
            "an address like [::1]:5432",
        )
    };
    let (host, port) = bracketed.split_once(']').ok_or_else(unclosed)?;
    match port.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if port.is_empty() => Ok((host, "")),
        None => Err(unclosed()),
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Decodes percent escapes. A zero byte would end a field of the startup message early, so it is refused.
fn decode(text: &str) -> Result<String, BadValue> {
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .ok()
        .filter(|decoded| !decoded.contains('\0'));
    decoded.map(Into::into).ok_or_else(|| {
        BadValue::new(
            "has a percent escape that is not text",
            format!("UTF-8 without zero bytes, as in {EXAMPLE}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::tls::{Root, SslMode};
    use super::*;

    fn parse(url: &str) -> Upstream {
        url.parse().unwrap()
    }

    fn refusal(url: &str) -> String {
        url.parse::<Upstream>().unwrap_err().to_string()
    }

    fn tcp(host: &str) -> Host {
        Host::Tcp(host.to_owned())
    }

    #[test]
    fn a_full_url_is_taken_apart() {
        let upstream =
            parse("postgres://app%40corp:p%2Fw%3A%25@db.example.com:6000/my%20db?sslmode=prefer");
        assert_eq!(
            upstream,
            Upstream {
                host: tcp("db.example.com"),
                port: 6000,
                user: "app@corp".to_owned(),
                password: Some(Secret::new("p/w:%")),
                database: "my db".to_owned(),
                tls: UpstreamTls::default(),
            }
        );
    }

    #[test]
    fn what_a_url_leaves_out_has_a_default() {
        assert_eq!(parse("postgresql://"), Upstream::default());
        assert_eq!(parse("postgres://localhost"), Upstream::default());
        let named = parse("postgres://alice@db/");
        assert_eq!((named.port, named.database.as_str()), (5432, "alice"));
        assert_eq!(parse("postgres://alice:@db").password, None);
    }

    #[test]
    fn hosts_of_every_kind() {
        let socket = Host::UnixSocket("/var/run/postgresql".into());
        assert_eq!(
            parse("postgres:///app?host=/var/run/postgresql").host,
            socket
        );
        assert_eq!(
            parse("postgres://%2Fvar%2Frun%2Fpostgresql:6000/app").host,
            socket
        );
        assert_eq!(
            parse("postgres://%2Fvar%2Frun%2Fpostgresql:6000/app").port,
            6000
        );
        assert_eq!(parse("postgres://u@[::1]:6000/d").host, tcp("::1"));
        assert_eq!(parse("postgres://u@[::1]/d").port, 5432);
        let replaced = parse("postgres://u@a:1/d?host=b&port=2&user=v&dbname=e&password=w");
        assert_eq!(replaced.masked(), "postgres://v:***@b:2/e");
    }

    #[test]
    fn a_refusal_says_what_would_be_right_and_keeps_the_password() {
        for (url, part) in [
            (
                "mysql://u:s3cret@h/d",
                "is not a PostgreSQL URL; expected postgres://",
            ),
            (
                "postgresql+asyncpg://u:s3cret@h/d",
                "is not a PostgreSQL URL",
            ),
            (
                "postgres://u:s3cret@h:x/d",
                "has the port \"x\"; expected a port from 1 to 65535",
            ),
            ("postgres://u:s3cret@h:0/d", "has the port \"0\""),
            (
                "postgres://u:s3cret@a:1,b:2/d",
                "names several hosts; expected one host",
            ),
            (
                "postgres://u:s3cret@[::1/d",
                "IPv6 address that does not end",
            ),
            (
                "postgres://u:s3cret@h/d?sslmode=verify-full",
                "without saying whose to trust; expected sslrootcert=",
            ),
            (
                "postgres://u:s3cret@h/d?sslmode=require&sslrootcert=system",
                "expected sslmode=verify-full with sslrootcert=system",
            ),
            (
                "postgres://u:s3cret@h/d?sslmode=on",
                "unknown sslmode \"on\"; expected sslmode=disable, allow, prefer, require, verify-ca or verify-full",
            ),
            (
                "postgres://u:s3cret@h/d?sslnegotiation=direct",
                "sslnegotiation=direct with a weak sslmode",
            ),
            (
                "postgres://u:s3cret@h/d?sslcert=/a",
                "names only one of sslcert and sslkey",
            ),
            (
                "postgres://u:s3cret@h/d?schema=x",
                "has the parameter \"schema\"",
            ),
            (
                "postgres://u:s3cret%ff@h/d",
                "has a percent escape that is not text",
            ),
            (
                "postgres://u:s3cret@h/d%00",
                "has a percent escape that is not text",
            ),
        ] {
            let refusal = refusal(url);
            assert!(refusal.contains(part), "{url}: {refusal}");
            assert!(!refusal.contains("s3cret"), "{url}: {refusal}");
        }
    }

    #[test]
    fn what_it_says_of_tls_is_what_libpq_would_read() {
        let tls = |query: &str| parse(&format!("postgres://u@h/d?{query}")).tls;
        assert_eq!(tls("").mode, SslMode::Prefer);
        assert_eq!(tls("sslmode=require").root, Root::None);
        let known = tls("sslmode=require&sslrootcert=/ca");
        assert_eq!(known.mode, SslMode::VerifyCa);
        assert_eq!(known.root, Root::File("/ca".into()));
        assert_eq!(tls("sslrootcert=system").mode, SslMode::VerifyFull);
        assert_eq!(tls("sslrootcert=/ca").root, Root::None);
        let url = "postgres://u@h:1/d?sslmode=verify-full&sslnegotiation=direct&sslrootcert=%2Fca%20s&sslcert=%2Fc\
            &sslkey=%2Fk&sslsni=0&ssl_min_protocol_version=TLSv1.3&channel_binding=require";
        assert_eq!(parse(url).url(), url);
    }

    #[test]
    fn the_url_reads_back_here_and_in_both_client_libraries() {
        for url in [
            "postgres://app%40corp:p%2Fw%3A%25%23@db.example.com:6000/my%20db",
            "postgres://u@[::1]:6000/d",
            "postgres://u:p@%2Fvar%2Frun%2Fpostgresql:6000/d",
            "postgres://u@localhost/d",
        ] {
            let upstream = parse(url);
            assert_eq!(parse(&upstream.url()), upstream, "{url}");

            let client: tokio_postgres::Config = upstream.url().parse().unwrap();
            assert_eq!(client.get_user(), Some(upstream.user.as_str()));
            assert_eq!(client.get_dbname(), Some(upstream.database.as_str()));
            assert_eq!(client.get_ports(), [upstream.port]);
            let password = upstream
                .password
                .as_ref()
                .map(|password| password.expose().as_bytes());
            assert_eq!(client.get_password(), password);
            let host = match &upstream.host {
                Host::Tcp(name) => tokio_postgres::config::Host::Tcp(name.clone()),
                Host::UnixSocket(path) => tokio_postgres::config::Host::Unix(path.clone()),
            };
            assert_eq!(client.get_hosts(), [host]);

            let options: sqlx::postgres::PgConnectOptions = upstream.url().parse().unwrap();
            assert_eq!(options.get_port(), upstream.port);
            assert_eq!(options.get_database(), Some(upstream.database.as_str()));
        }
    }

    #[test]
    fn the_password_shows_nowhere_but_in_the_url() {
        let upstream = parse("postgres://u:s3cret@h/d");
        assert_eq!(upstream.masked(), "postgres://u:***@h:5432/d");
        assert!(!format!("{upstream:?}").contains("s3cret"));
        assert!(upstream.url().contains("s3cret"));
    }
}
