//! The stage that integration tests play on: a private PostgreSQL with pgkeel before it.
//!
//! Its methods panic instead of returning errors, so that a test reads as a script. They wait for
//! a condition, with a deadline, and never just sleep.
#![allow(dead_code, reason = "what one test leaves unused another needs")]

use std::ffi::OsStr;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use pgkeel_bench::sandbox::{Auth, Postgres, PostgresBuilder, Proxy, ProxyOptions, connect};
use tokio_postgres::Client;

/// The proxy under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_pgkeel");

/// The proxy under test, or another one that `PGKEEL_BINARY` names: one with a planted bug.
fn binary() -> std::path::PathBuf {
    std::env::var_os("PGKEEL_BINARY").map_or_else(|| BINARY.into(), Into::into)
}

/// A PostgreSQL and a proxy before it, both stopped when dropped (the proxy first).
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) proxy: Proxy,
    pub(crate) postgres: Postgres,
}

/// What a [`Stage`] shall be like.
#[derive(Debug)]
pub(crate) struct StageBuilder {
    postgres: PostgresBuilder,
    proxy: ProxyOptions,
}

impl Stage {
    /// A stage with the defaults of both.
    pub(crate) async fn new() -> Self {
        Self::builder().start().await
    }

    pub(crate) fn builder() -> StageBuilder {
        let proxy = ProxyOptions {
            binary: binary(),
            ..ProxyOptions::default()
        };
        StageBuilder {
            postgres: Postgres::builder(),
            proxy,
        }
    }

    /// A client of PostgreSQL itself.
    pub(crate) async fn direct(&self) -> Client {
        client(&self.postgres.url()).await
    }

    /// A client of the proxy.
    pub(crate) async fn proxied(&self) -> Client {
        client(&self.proxy.url()).await
    }

    /// Runs statements on PostgreSQL itself, to set the scene.
    pub(crate) async fn arrange(&self, sql: &str) {
        self.direct()
            .await
            .batch_execute(sql)
            .await
            .expect("the scene can be set");
    }

    /// Answers from the cache so far.
    pub(crate) async fn hits(&self) -> u64 {
        self.stat("cache.hits").await
    }

    /// A number of `/stats` by its path, such as `cache.hits`.
    pub(crate) async fn stat(&self, path: &str) -> u64 {
        let stats = self.proxy.stats().await.expect("the admin port answers");
        path.split('.')
            .try_fold(&stats, |value, key| value.get(key))
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_else(|| panic!("no number {path} in {stats:#}"))
    }

    /// Runs psql against the proxy: no start-up file, bare output.
    pub(crate) fn psql<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        Command::new(self.postgres.program("psql"))
            .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"])
            .arg(self.proxy.url())
            .args(args)
            .output()
            .expect("psql is installed with the server")
    }
}

impl StageBuilder {
    pub(crate) fn auth(mut self, auth: Auth) -> Self {
        self.postgres = self.postgres.auth(auth);
        self
    }

    /// A line of `postgresql.conf`.
    pub(crate) fn setting(mut self, name: &str, value: &str) -> Self {
        self.postgres = self.postgres.setting(name, value);
        self
    }

    /// The text of the proxy's configuration file.
    pub(crate) fn config(mut self, toml: &str) -> Self {
        self.proxy.config_toml = Some(toml.to_owned());
        self
    }

    /// A file in the server's data directory.
    pub(crate) fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.postgres = self.postgres.file(name, content);
        self
    }

    /// What stands behind the `?` of the URL by which the proxy knows the server.
    pub(crate) fn upstream_parameters(mut self, parameters: &str) -> Self {
        self.proxy.upstream_parameters = format!("?{parameters}");
        self
    }

    /// One more argument for the proxy.
    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.proxy.args.push(argument.to_owned());
        self
    }

    /// One more variable of the proxy's environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.proxy.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) async fn start(self) -> Stage {
        self.start_behind(|postgres| postgres.url()).await
    }

    /// Starts with something between the proxy and the server, which is given the server and says by what URL the proxy
    /// reaches it.
    pub(crate) async fn start_behind(mut self, url: impl FnOnce(&Postgres) -> String) -> Stage {
        let postgres = self.postgres.start().await.expect("PostgreSQL starts");
        self.proxy.upstream_url = url(&postgres);
        let proxy = Proxy::start(&self.proxy).await.expect("the proxy starts");
        Stage { proxy, postgres }
    }
}

/// A client by its connection string; its connection ends when it is dropped.
pub(crate) async fn client(url: &str) -> Client {
    connect(url)
        .await
        .unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"))
}

/// Asks again and again until `condition` holds.
///
/// # Panics
/// When it does not hold before the deadline.
#[track_caller]
pub(crate) fn eventually(
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    let start = Instant::now();
    async move {
        while !condition().await {
            assert!(
                start.elapsed() < deadline,
                "still not so after {deadline:?}: {caller}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
