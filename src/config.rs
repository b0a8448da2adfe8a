//! The configuration: defaults, `proxy.toml`, the environment and the flags become one typed [`Config`].
//!
//! A value is parsed once, here, and nothing inside doubts it again. Later sources win: default, file, environment,
//! flag. A bad value stops the program with one line that names its source and says what would be right.

mod auth;
mod entry;
mod file;
mod form;
mod functions;
mod key;
mod load;
mod place;
mod redis;
mod retry;
mod secret;
mod show;
mod tls;
mod upstream;
mod value;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use auth::{Auth, AuthMode};
pub use functions::FunctionRule;
pub use load::{Inputs, Loaded, Origin, Problem};
pub use place::{DatabaseRule, OTHER_DATABASES};
pub use redis::{Coherence, Redis, RedisMode, read_encryption_keys};
pub use retry::{Isolation, Retry};
pub use secret::Secret;
pub use tls::{ChannelBinding, ClientCertificate, Root, SslMode, Tls, TlsVersion, UpstreamTls};
pub use upstream::{Host, Upstream};
pub use value::BadValue;

/// Everything that can be configured. `proxy.toml` documents every field.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The PostgreSQL server behind the proxy.
    pub upstream: Upstream,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The directory of the Unix socket where they may connect as well. `None`: there is none.
    pub listen_unix: Option<PathBuf>,
    /// The mode of that socket.
    pub listen_unix_mode: u32,
    /// Where the admin port listens. `None`: there is none.
    pub admin: Option<SocketAddr>,
    /// How long running work may take to end after a request to stop.
    pub drain_timeout: Duration,
    /// Bounds on what clients may take.
    pub limits: Limits,
    /// Encryption of what goes to and from clients.
    pub tls: Tls,
    /// Who decides that a client is who it says.
    pub auth: Auth,
    /// Where clients are taken that ask for a database, by its name; `*` stands for all others.
    pub databases: BTreeMap<String, DatabaseRule>,
    /// Connections to the server.
    pub pool: Pool,
    /// What is tried again before a client hears of it.
    pub retry: Retry,
    /// The result cache.
    pub cache: Cache,
    /// The shared second tier.
    pub redis: Redis,
    /// What is logged, and how.
    pub log: Log,
    /// The threads that serve connections.
    pub workers: Workers,
}

/// `[limits]`: bounds on what clients may take.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Client connections at one time. The next one is refused with SQLSTATE 53300.
    pub client_connections_max: u32,
}

/// `[pool]`: connections to the server, for each database and user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pool {
    /// Connections open at one time, from 1 to 10000.
    pub max: u32,
    /// Connections kept open when nothing uses them. Never above `max`.
    pub min: u32,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// A connection unused for this long is closed, down to `min`.
    pub idle_timeout: Duration,
    /// A connection older than this is replaced when it is next idle.
    pub lifetime: Duration,
    /// How long a client waits for a connection before SQLSTATE 53300.
    pub wait_timeout: Duration,
    /// Prepared statements kept on one server connection.
    pub prepared_statements_max: usize,
}

/// `[cache]`: the result cache.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cache {
    /// Off: everything is forwarded.
    pub enabled: bool,
    /// Memory for results, in bytes.
    pub max_bytes: u64,
    /// A larger result is not kept, in bytes. Never above `max_bytes`.
    pub result_max_bytes: usize,
    /// How long a result may be served at most.
    pub ttl: Ttl,
    /// Words in the version array: a power of two from 2^10 to 2^26.
    pub version_slots: usize,
    /// Longer SQL is forwarded without being analysed, in bytes.
    pub statement_max_bytes: usize,
    /// How often the server is asked whether definitions have changed elsewhere. Zero: never.
    pub catalog_check: Duration,
    /// What every key in Redis starts with.
    pub key_prefix: String,
    /// Exceptions for tables, by `name` (in any schema) or `schema.name`, as PostgreSQL stores the names.
    pub tables: BTreeMap<String, TableRule>,
    /// What functions do that cannot be looked into, by names of the same kind.
    pub functions: BTreeMap<String, FunctionRule>,
}

/// `[cache.tables.<name>]`: an exception for the results that read one table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableRule {
    /// Off: a result that reads the table is never kept.
    pub enabled: bool,
    /// How long such a result may be served at most. `None`: as long as any other.
    pub ttl: Option<Ttl>,
}

/// How long a result may be served at most. Invalidation ends it earlier.
///
/// The order is that of the lengths, so the rule for several tables is the minimum.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Ttl {
    /// This long, and never zero.
    After(Duration),
    /// Until it is invalidated or displaced.
    Never,
}

/// `[log]`: what is logged to standard error, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Log {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// The form of a line.
    pub format: LogFormat,
    /// A statement that takes longer is logged. `None`: none is.
    pub slow_query: Option<Duration>,
}

/// How severe an event must be to be logged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogLevel {
    /// A human must look.
    Error,
    /// Something is not as configured, but service goes on.
    Warn,
    /// Starts, stops and state changes.
    Info,
    /// Connections and decisions.
    Debug,
    /// Messages.
    Trace,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// `[workers]`: the threads that serve connections.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Workers {
    /// How many. 0: one for each core.
    pub threads: usize,
}

impl Config {
    /// Reads every source, the weakest first.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, as one line: an unreadable file, an unknown key, a bad value, no upstream.
    pub fn load(inputs: &Inputs) -> Result<Loaded, Problem> {
        load::load(inputs)
    }

    /// What is accepted but will surprise: one line each, for the log.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.redis.url.is_some() && self.redis.coherence == Coherence::Eventual {
            warnings.push(
                "redis.coherence is \"eventual\": other instances may serve what was read before a write for a moment \
                 after it"
                    .to_owned(),
            );
        }
        if let Some(admin) = self.admin.filter(|admin| !admin.ip().is_loopback()) {
            warnings.push(format!(
                "the admin port {admin} has no password and can be reached from other machines"
            ));
        }
        warnings
    }
}

impl Cache {
    /// How long a result that reads this table may be served. `None`: it must not be kept.
    ///
    /// A rule for `schema.name` replaces one for `name`.
    #[must_use]
    pub fn ttl_of(&self, schema: &str, name: &str) -> Option<Ttl> {
        let rule = self
            .tables
            .get(&format!("{schema}.{name}"))
            .or_else(|| self.tables.get(name));
        match rule {
            Some(rule) if !rule.enabled => None,
            Some(rule) => Some(rule.ttl.unwrap_or(self.ttl)),
            None => Some(self.ttl),
        }
    }
}

impl Ttl {
    /// The limit, if there is one.
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::After(duration) => Some(duration),
            Self::Never => None,
        }
    }
}

impl From<Duration> for Ttl {
    /// Zero means never, as in the file.
    fn from(duration: Duration) -> Self {
        if duration.is_zero() {
            Self::Never
        } else {
            Self::After(duration)
        }
    }
}

// === Defaults ===

impl Default for Config {
    fn default() -> Self {
        Self {
            upstream: Upstream::default(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6432)),
            listen_unix: None,
            listen_unix_mode: 0o777,
            admin: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 6433))),
            drain_timeout: Duration::from_secs(30),
            limits: Limits::default(),
            tls: Tls::default(),
            auth: Auth::default(),
            databases: BTreeMap::new(),
            pool: Pool::default(),
            retry: Retry::default(),
            cache: Cache::default(),
            redis: Redis::default(),
            log: Log::default(),
            workers: Workers::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            client_connections_max: 10_000,
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            max: 20,
            min: 2,
            connect_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            lifetime: Duration::from_secs(3_600),
            wait_timeout: Duration::from_secs(30),
            prepared_statements_max: 200,
        }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            enabled: true,
            max_bytes: 256 << 20,
            result_max_bytes: 1 << 20,
            ttl: Ttl::After(Duration::from_secs(300)),
            version_slots: 1 << 20,
            statement_max_bytes: 32 << 10,
            catalog_check: Duration::from_secs(1),
            key_prefix: "pgkeel:".to_owned(),
            tables: BTreeMap::new(),
            functions: BTreeMap::new(),
        }
    }
}

impl Default for TableRule {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl: None,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Text,
            slow_query: Some(Duration::from_secs(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_table_rule_wins() {
        let minute = Ttl::After(Duration::from_secs(60));
        let mut cache = Cache::default();
        cache.tables.insert(
            "users".into(),
            TableRule {
                ttl: Some(minute),
                ..TableRule::default()
            },
        );
        cache.tables.insert(
            "audit.users".into(),
            TableRule {
                enabled: false,
                ..TableRule::default()
            },
        );
        cache.tables.insert("leads".into(), TableRule::default());
        assert_eq!(cache.ttl_of("public", "users"), Some(minute));
        assert_eq!(cache.ttl_of("audit", "users"), None);
        assert_eq!(cache.ttl_of("public", "leads"), Some(cache.ttl));
        assert_eq!(cache.ttl_of("public", "other"), Some(cache.ttl));
    }

    #[test]
    fn never_is_the_longest_time_to_live() {
        let second = Ttl::from(Duration::from_secs(1));
        assert_eq!(Ttl::from(Duration::ZERO), Ttl::Never);
        assert_eq!([Ttl::Never, second].into_iter().min(), Some(second));
        assert_eq!(second.duration(), Some(Duration::from_secs(1)));
        assert_eq!(Ttl::Never.duration(), None);
    }

    #[test]
    fn surprises_are_said() {
        assert_eq!(Config::default().warnings(), Vec::<String>::new());
        let config = Config {
            admin: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 6433))),
            redis: Redis {
                url: Some(Secret::new("redis://:s3cret@cache")),
                coherence: Coherence::Eventual,
                ..Redis::default()
            },
            ..Config::default()
        };
        let warnings = config.warnings();
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("for a moment"));
        assert!(warnings[1].contains("0.0.0.0:6433"));
        assert!(!format!("{config:?}{warnings:?}").contains("s3cret"));
    }
}
