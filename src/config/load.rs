//! The sources of the configuration, laid over each other, and where each value came from.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use super::{
    Config,
    file::{self, Target},
    functions::{FUNCTION_KEYS, FUNCTIONS},
    key::{KEYS, Key, TABLE_KEYS, TABLES},
    place::{self, DATABASE_KEYS, DATABASES},
    tls,
    value::{BadValue, Raw},
};

/// Everything the configuration is made from. Nothing else is consulted, so a load can be repeated in a test.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The environment. Names that are not ours are ignored; an empty value counts as not set.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags that were given, by name: `--listen`.
    pub flags: Vec<(&'static str, String)>,
}

/// A configuration, and where each of its values came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    origins: BTreeMap<String, Origin>,
}

/// Where a value came from, the weakest source first.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// Nothing set it.
    Default,
    /// A file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
    },
    /// An environment variable.
    Environment(&'static str),
    /// A flag.
    Flag(&'static str),
}

/// Why there is no configuration, as one line for the user.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("{path}: cannot be read ({error}); --config expects a TOML file such as proxy.toml", path = path.display())]
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is not TOML, or has a key that does not exist.
    #[error("{origin}: {message}")]
    Malformed {
        /// The place in the file.
        origin: Origin,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A value does not fit its key.
    #[error("{origin}: {key} {bad}")]
    Value {
        /// The source of the value.
        origin: Origin,
        /// Its dotted key.
        key: String,
        /// What is wrong, and what would be right.
        bad: BadValue,
    },
    /// Nothing names the server.
    #[error(
        "no upstream server is configured; give --upstream postgres://user:password@host:5432/database, \
         DATABASE_URL, or \"upstream\" in the --config file"
    )]
    NoUpstream,
}

impl Loaded {
    /// Where the value of a dotted key came from.
    #[must_use]
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }

    fn set_key(&mut self, key: &Key, raw: &Raw, origin: Origin) -> Result<(), Problem> {
        let path = key.path();
        let set = (key.set)(&mut self.config, raw);
        self.note(path, set, origin)
    }

    fn set_rule(
        &mut self,
        table: &str,
        index: usize,
        raw: &Raw,
        origin: Origin,
    ) -> Result<(), Problem> {
        let key = &TABLE_KEYS[index];
        let path = format!("{TABLES}.{table}.{}", key.name);
        let rule = self
            .config
            .cache
            .tables
            .entry(table.to_owned())
            .or_default();
        let set = (key.set)(rule, raw);
        self.note(path, set, origin)
    }

    fn set_function(
        &mut self,
        name: &str,
        index: usize,
        raw: &Raw,
        origin: Origin,
    ) -> Result<(), Problem> {
        let key = &FUNCTION_KEYS[index];
        let path = format!("{FUNCTIONS}.{name}.{}", key.name);
        let functions = &mut self.config.cache.functions;
        let set = (key.set)(functions.entry(name.to_owned()).or_default(), raw);
        self.note(path, set, origin)
    }

    fn set_database(
        &mut self,
        name: &str,
        index: usize,
        raw: &Raw,
        origin: Origin,
    ) -> Result<(), Problem> {
        let key = &DATABASE_KEYS[index];
        let path = format!("{DATABASES}.{name}.{}", key.name);
        let rule = self.config.databases.entry(name.to_owned()).or_default();
        let set = (key.set)(rule, raw);
        self.note(path, set, origin)
    }

    /// Remembers where a value came from, or says what is wrong with it.
    fn note(
        &mut self,
        key: String,
        set: Result<(), BadValue>,
        origin: Origin,
    ) -> Result<(), Problem> {
        match set {
            Ok(()) => {
                self.origins.insert(key, origin);
                Ok(())
            }
            Err(bad) => Err(Problem::Value { origin, key, bad }),
        }
    }
}

impl fmt::Display for Origin {
    /// As an error starts: `proxy.toml:12:1`, `DB_POOL_MAX`, `--listen`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { path, line, column } => {
                write!(formatter, "{}:{line}:{column}", path.display())
            }
            Self::Environment(name) | Self::Flag(name) => formatter.write_str(name),
        }
    }
}

pub(super) fn load(inputs: &Inputs) -> Result<Loaded, Problem> {
    let mut loaded = Loaded {
        config: Config::default(),
        origins: BTreeMap::new(),
    };
    if let Some(path) = &inputs.file {
        let text = fs::read_to_string(path).map_err(|error| Problem::File {
            path: path.clone(),
            error,
        })?;
        lay_file(&mut loaded, path, &text)?;
    }
    lay_environment(&mut loaded, &inputs.environment)?;
    lay_flags(&mut loaded, &inputs.flags)?;
    if *loaded.origin("upstream") == Origin::Default {
        return Err(Problem::NoUpstream);
    }
    reconcile(&mut loaded)?;
    Ok(loaded)
}

fn lay_file(loaded: &mut Loaded, path: &Path, text: &str) -> Result<(), Problem> {
    let at = |place: file::Place| Origin::File {
        path: path.to_owned(),
        line: place.line,
        column: place.column,
    };
    let entries = file::read(text).map_err(|malformed| Problem::Malformed {
        origin: at(malformed.place),
        message: malformed.message,
    })?;
    for entry in entries {
        match &entry.target {
            Target::Key(index) => loaded.set_key(&KEYS[*index], &entry.raw, at(entry.place))?,
            Target::Table(table, index) => {
                loaded.set_rule(table, *index, &entry.raw, at(entry.place))?
            }
            Target::Function(name, index) => {
                loaded.set_function(name, *index, &entry.raw, at(entry.place))?
            }
            Target::Database(name, index) => {
                loaded.set_database(name, *index, &entry.raw, at(entry.place))?
            }
        }
    }
    Ok(())
}

fn lay_environment(
    loaded: &mut Loaded,
    environment: &[(OsString, OsString)],
) -> Result<(), Problem> {
    for (key, variable) in KEYS.iter().filter_map(|key| Some((key, key.variable()?))) {
        let Some((_, value)) = environment
            .iter()
            .find(|(name, value)| name == variable && !value.is_empty())
        else {
            continue;
        };
        let raw = value
            .to_str()
            .map_or(Raw::Other("not UTF-8"), |text| Raw::Bare(text.to_owned()));
        loaded.set_key(key, &raw, Origin::Environment(variable))?;
    }
    Ok(())
}

fn lay_flags(loaded: &mut Loaded, flags: &[(&'static str, String)]) -> Result<(), Problem> {
    for (flag, value) in flags {
        let key = KEYS
            .iter()
            .find(|key| key.flag() == Some(flag))
            .expect("the command line has no flag without a key");
        loaded.set_key(key, &Raw::Bare(value.clone()), Origin::Flag(flag))?;
    }
    Ok(())
}

// === Values that depend on each other ===

fn reconcile(loaded: &mut Loaded) -> Result<(), Problem> {
    let pool = &loaded.config.pool;
    let connections = within(
        loaded,
        ("pool.min", pool.min.into()),
        ("pool.max", pool.max.into()),
    )?;
    let cache = &loaded.config.cache;
    let bytes = within(
        loaded,
        ("cache.result_max_bytes", cache.result_max_bytes as u64),
        ("cache.max_bytes", cache.max_bytes),
    )?;
    if loaded.config.admin == Some(loaded.config.listen) && loaded.config.listen.port() != 0 {
        return Err(Problem::Value {
            origin: loaded.origin("admin").max(loaded.origin("listen")).clone(),
            key: "admin".to_owned(),
            bad: BadValue::new(
                "is the address clients connect to (listen)",
                "another port, or \"off\"",
            ),
        });
    }
    let checked = place::check(&loaded.config).and_then(|()| tls::check(&loaded.config));
    checked.map_err(|(key, bad)| Problem::Value {
        origin: loaded.origin(&key).clone(),
        key,
        bad,
    })?;
    loaded.config.pool.min = u32::try_from(connections).expect("it only became smaller");
    loaded.config.cache.result_max_bytes = usize::try_from(bytes).expect("it only became smaller");
    Ok(())
}

/// The smaller of two values that must be in order. Only a default gives way; the stronger source is to blame.
fn within(loaded: &Loaded, smaller: (&str, u64), larger: (&str, u64)) -> Result<u64, Problem> {
    let (small, large) = (loaded.origin(smaller.0), loaded.origin(larger.0));
    if smaller.1 <= larger.1 || *small == Origin::Default {
        return Ok(smaller.1.min(larger.1));
    }
    let (origin, blamed, other, relation) = if small >= large {
        (small, smaller, (large, larger), "at most")
    } else {
        (large, larger, (small, smaller), "at least")
    };
    let (other_origin, (other_key, other_value)) = other;
    Err(Problem::Value {
        origin: origin.clone(),
        key: blamed.0.to_owned(),
        bad: BadValue::new(
            format!("is {}", blamed.1),
            format!("{relation} {other_key}, which is {other_value} ({other_origin})"),
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::{io::Write, time::Duration};

    use super::*;
    use crate::config::{FunctionRule, LogFormat, Secret, TableRule, Ttl};

    /// A file, an environment, flags, and a part of the error they lead to.
    type Case = (
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static [(&'static str, &'static str)],
        &'static str,
    );

    const UPSTREAM: &str = "postgres://u@h/d";

    fn inputs(environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Inputs {
        Inputs {
            file: None,
            environment: environment
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            flags: flags
                .iter()
                .map(|(flag, value)| (*flag, (*value).to_owned()))
                .collect(),
        }
    }

    /// Loads a file with an environment and flags. The file reads `proxy.toml` in errors.
    fn load_all(
        text: &str,
        environment: &[(&str, &str)],
        flags: &[(&'static str, &str)],
    ) -> Result<Loaded, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let inputs = Inputs {
            file: Some(file.path().to_owned()),
            ..inputs(environment, flags)
        };
        let name = file.path().display().to_string();
        Config::load(&inputs).map_err(|problem| problem.to_string().replace(&name, "proxy.toml"))
    }

    fn error(text: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> String {
        let error = load_all(text, environment, flags).unwrap_err();
        assert!(!error.contains('\n'), "{error}");
        error
    }

    #[test]
    fn an_upstream_is_enough() {
        let loaded = Config::load(&inputs(&[], &[("--upstream", UPSTREAM)])).unwrap();
        let expected = Config {
            upstream: UPSTREAM.parse().unwrap(),
            ..Config::default()
        };
        assert_eq!(loaded.config, expected);
        let problem = Config::load(&Inputs::default()).unwrap_err().to_string();
        assert!(
            problem.contains("--upstream") && problem.contains("DATABASE_URL"),
            "{problem}"
        );
    }

    #[test]
    fn later_sources_win() {
        let text = "upstream = \"postgres://file@h/d\"\n[pool]\nmax = 5\nmin = 3";
        let environment = [
            ("DATABASE_URL", "postgres://env@h/d"),
            ("DB_POOL_MAX", "7"),
            ("DB_POOL_MIN", ""),
        ];
        let loaded = load_all(text, &environment, &[]).unwrap();
        assert_eq!(loaded.config.upstream.user, "env");
        assert_eq!((loaded.config.pool.max, loaded.config.pool.min), (7, 3));
        assert_eq!(
            *loaded.origin("pool.max"),
            Origin::Environment("DB_POOL_MAX")
        );
        assert!(matches!(
            loaded.origin("pool.min"),
            Origin::File {
                line: 4,
                column: 7,
                ..
            }
        ));
        assert_eq!(*loaded.origin("pool.lifetime"), Origin::Default);

        let loaded =
            load_all(text, &environment, &[("--upstream", "postgres://flag@h/d")]).unwrap();
        assert_eq!(loaded.config.upstream.user, "flag");
        assert_eq!(*loaded.origin("upstream"), Origin::Flag("--upstream"));
    }

    #[test]
    fn every_variable_is_read() {
        let environment = [
            ("DATABASE_URL", UPSTREAM),
            ("DB_POOL_MAX", "9"),
            ("DB_POOL_MIN", "4"),
            ("DB_CONNECT_TIMEOUT", "5"),
            ("DB_IDLE_TIMEOUT", "250ms"),
            ("REDIS_URL", "redis://:pw@cache:6379"),
            ("CACHE_KEY_PREFIX", "app:"),
            ("SLOW_QUERY_THRESHOLD", "200"),
            ("UNRELATED", "x"),
        ];
        let config = Config::load(&inputs(&environment, &[])).unwrap().config;
        assert_eq!((config.pool.max, config.pool.min), (9, 4));
        assert_eq!(config.pool.connect_timeout, Duration::from_secs(5));
        assert_eq!(config.pool.idle_timeout, Duration::from_millis(250));
        assert_eq!(
            config.redis.url,
            Some(Secret::new("redis://:pw@cache:6379"))
        );
        assert_eq!(config.cache.key_prefix, "app:");
        assert_eq!(config.log.slow_query, Some(Duration::from_millis(200)));

        let off = [("DATABASE_URL", UPSTREAM), ("SLOW_QUERY_THRESHOLD", "0")];
        assert_eq!(
            Config::load(&inputs(&off, &[]))
                .unwrap()
                .config
                .log
                .slow_query,
            None
        );
    }

    #[test]
    fn a_file_sets_everything() {
        let text = "upstream = \"postgres://u@h/d\"\nlisten = \"0.0.0.0:1\"\nadmin = \"off\"\n\
            [cache]\nttl = 0\nmax_bytes = \"64MiB\"\nversion_slots = 4096\n\
            [cache.tables.users]\nttl = \"10m\"\n[cache.tables.audit.log]\nenabled = false\n\
            [cache.functions.pricing]\nreads = [\"tax_rates\", \"app.prices\"]\n\
            [cache.functions.\"app.touch\"]\nwrites = [\"log\"]\n\
            [log]\nformat = \"json\"\nslow_query = 2";
        let config = load_all(text, &[], &[]).unwrap().config;
        assert_eq!((config.admin, config.listen.port()), (None, 1));
        assert_eq!(
            (
                config.cache.ttl,
                config.cache.max_bytes,
                config.cache.version_slots
            ),
            (Ttl::Never, 64 << 20, 4096)
        );
        assert_eq!(
            (config.log.format, config.log.slow_query),
            (LogFormat::Json, Some(Duration::from_secs(2)))
        );
        let functions = [
            (
                "pricing",
                FunctionRule {
                    reads: vec!["tax_rates".into(), "app.prices".into()],
                    writes: Vec::new(),
                },
            ),
            (
                "app.touch",
                FunctionRule {
                    reads: Vec::new(),
                    writes: vec!["log".into()],
                },
            ),
        ];
        let functions = functions.map(|(name, rule)| (name.to_owned(), rule));
        assert_eq!(config.cache.functions, BTreeMap::from(functions));
        let tables = [
            (
                "audit.log".to_owned(),
                TableRule {
                    enabled: false,
                    ttl: None,
                },
            ),
            (
                "users".to_owned(),
                TableRule {
                    enabled: true,
                    ttl: Some(Ttl::After(Duration::from_secs(600))),
                },
            ),
        ];
        assert_eq!(config.cache.tables, BTreeMap::from(tables));
    }

    const BAD: &[Case] = &[
        (
            "[pool]\nmax = 0",
            &[],
            &[],
            "proxy.toml:2:7: pool.max is 0; expected a whole number from 1 to 10000",
        ),
        (
            "[pool]\nmax = \"9\"",
            &[],
            &[],
            "proxy.toml:2:7: pool.max is \"9\"; expected a whole number",
        ),
        (
            "[cache]\nmax_byte = 1",
            &[],
            &[],
            "proxy.toml:2:1: unknown key \"cache.max_byte\"; did you mean \"max_bytes\"?",
        ),
        (
            "[cache]\nenabled = 1",
            &[],
            &[],
            "proxy.toml:2:11: cache.enabled is 1; expected true or false",
        ),
        (
            "[cache]\nversion_slots = 5000",
            &[],
            &[],
            "expected a power of two from 1024 to 67108864",
        ),
        (
            "[cache]\nttl = \"soon\"",
            &[],
            &[],
            "proxy.toml:2:7: cache.ttl is \"soon\"; expected a duration from 0s",
        ),
        (
            "[cache.functions.f]\nreads = \"a\"",
            &[],
            &[],
            "proxy.toml:2:9: cache.functions.f.reads is \"a\"; expected a list of",
        ),
        (
            "[cache.functions.f]\nreads = [\"a.b.c\"]",
            &[],
            &[],
            "proxy.toml:2:9: cache.functions.f.reads holds \"a.b.c\"; expected a list of",
        ),
        (
            "[cache.functions.f]\nwrites = [1]",
            &[],
            &[],
            "proxy.toml:2:10: cache.functions.f.writes is a list; expected a list of",
        ),
        (
            "[cache.tables.users]\nttl = true",
            &[],
            &[],
            "proxy.toml:2:7: cache.tables.users.ttl is true; expected a duration",
        ),
        (
            "[cache]\nkey_prefix = \"a b\"",
            &[],
            &[],
            "cache.key_prefix is \"a b\"; expected at most 64",
        ),
        (
            "[log]\nlevel = \"loud\"",
            &[],
            &[],
            "log.level is \"loud\"; expected one of \"error\", \"warn\", \"info\"",
        ),
        (
            "listen = 6432",
            &[],
            &[],
            "proxy.toml:1:10: listen is 6432; expected an IP address and a port",
        ),
        (
            "upstream = \"mysql://u:s3cret@h\"",
            &[],
            &[],
            "proxy.toml:1:12: upstream is not a PostgreSQL URL; expected postgres://",
        ),
        (
            "",
            &[("DB_POOL_MAX", "many")],
            &[],
            "DB_POOL_MAX: pool.max is \"many\"; expected a whole number",
        ),
        (
            "",
            &[("DB_IDLE_TIMEOUT", "0")],
            &[],
            "DB_IDLE_TIMEOUT: pool.idle_timeout is \"0\"; expected a duration from 1ms",
        ),
        (
            "",
            &[("REDIS_URL", "http://:s3cret@h")],
            &[],
            "REDIS_URL: redis.url is not a Redis URL; expected redis://",
        ),
        (
            "",
            &[],
            &[("--listen", "here")],
            "--listen: listen is \"here\"; expected an IP address and a port, such as \"127.0.0.1:6432\"",
        ),
        (
            "",
            &[],
            &[("--admin", "on")],
            "--admin: admin is \"on\"; expected an IP address and a port, such as \"127.0.0.1:6432\", or \"off\"",
        ),
        (
            "",
            &[],
            &[("--upstream", "postgres://h?sslmode=verify-ca")],
            "--upstream: upstream asks for the server's certificate to be verified",
        ),
        (
            "",
            &[],
            &[
                ("--upstream", UPSTREAM),
                ("--listen", "[::1]:6433"),
                ("--admin", "[::1]:6433"),
            ],
            "--listen: admin is the address",
        ),
    ];

    #[test]
    fn an_error_names_its_source_and_what_would_be_right() {
        for (text, environment, flags, part) in BAD {
            let error = error(text, environment, flags);
            assert!(error.contains(part), "expected {part}\n     got {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let inputs = Inputs {
            file: Some("/nowhere/proxy.toml".into()),
            ..Inputs::default()
        };
        let problem = Config::load(&inputs).unwrap_err().to_string();
        assert!(
            problem.starts_with("/nowhere/proxy.toml: cannot be read"),
            "{problem}"
        );
    }

    #[test]
    fn a_default_gives_way_to_a_smaller_maximum() {
        let environment = [("DATABASE_URL", UPSTREAM), ("DB_POOL_MAX", "1")];
        assert_eq!(
            Config::load(&inputs(&environment, &[]))
                .unwrap()
                .config
                .pool
                .min,
            1
        );
    }

    #[test]
    fn a_minimum_above_the_maximum_blames_the_stronger_source() {
        let text = "upstream = \"postgres://u@h/d\"\n[pool]\nmin = 5";
        assert_eq!(
            error(text, &[("DB_POOL_MAX", "3")], &[]),
            "DB_POOL_MAX: pool.max is 3; expected at least pool.min, which is 5 (proxy.toml:3:7)"
        );
        assert_eq!(
            error(&text.replace('5', "50"), &[], &[]),
            "proxy.toml:3:7: pool.min is 50; expected at most pool.max, which is 20 (default)"
        );
    }
}
