//! Targets: what stands between the load and PostgreSQL.
//!
//! Each has a database of its own, a copy of the same, so that what one writes neither helps nor hurts another, and
//! PostgreSQL's own statistics tell them apart.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::sandbox::{Floor, Pooler, Postgres, Proxy, ProxyOptions};

/// The kinds that the harness starts itself, in the order of reports.
pub const STANDARD: [&str; 7] = [DIRECT, COLD, WARM, OFF, "pgbouncer", "pgpool", FLOOR];

/// PostgreSQL itself.
pub const DIRECT: &str = "direct";
/// pgkeel, started anew for each slice.
pub const COLD: &str = "pgkeel-cold";
/// pgkeel, as it is after a while.
pub const WARM: &str = "pgkeel-warm";
/// pgkeel with the cache off.
pub const OFF: &str = "pgkeel-off";
/// The physical limit.
pub const FLOOR: &str = "floor";

/// Programs that targets are made of.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) pgkeel: PathBuf,
    /// `pgkeel-bench`, for a floor in a process of its own.
    pub(super) floor: Option<PathBuf>,
}

/// A running target.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) about: String,
    /// Its database on the private PostgreSQL; none for an endpoint from elsewhere.
    pub(super) database: Option<String>,
    server: Server,
}

#[derive(Debug)]
enum Server {
    /// Somebody else's, or PostgreSQL itself: its connection string.
    Endpoint(String),
    Floor(Floor),
    Pgkeel(Box<Pgkeel>),
    Pooler(Pooler),
}

#[derive(Debug)]
struct Pgkeel {
    proxy: Proxy,
    options: ProxyOptions,
}

/// The cache's own count of reads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CacheCounts {
    /// Answered without a question to PostgreSQL of their own.
    pub(super) served: u64,
    /// Cacheable, and asked of PostgreSQL.
    pub(super) misses: u64,
    /// Not cacheable.
    pub(super) bypasses: u64,
}

impl Target {
    /// Starts one of the [`STANDARD`] targets; the reason if it has to be left out.
    pub(super) async fn start(
        name: &str,
        postgres: &Postgres,
        programs: &Programs,
    ) -> anyhow::Result<Result<Self, String>> {
        let database = database_name(name);
        let url = postgres.url_for("keel", "keel", &database);
        let (about, server) = match name {
            DIRECT => (
                format!("PostgreSQL {}, nothing between", postgres.version()),
                Server::Endpoint(url),
            ),
            COLD => (
                "pgkeel, started anew with an empty cache for every slice of time".to_owned(),
                pgkeel(url, programs, None).await?,
            ),
            WARM => (
                "pgkeel with its default configuration, after a warm-up".to_owned(),
                pgkeel(url, programs, None).await?,
            ),
            OFF => (
                "pgkeel with the cache off: what it costs to pass statements on".to_owned(),
                pgkeel(url, programs, Some("[cache]\nenabled = false\n")).await?,
            ),
            "pgbouncer" => match Pooler::pgbouncer(postgres.port()).await? {
                Some(pooler) => (pooler.about().to_owned(), Server::Pooler(pooler)),
                None => return Ok(Err(not_installed(name))),
            },
            "pgpool" => match Pooler::pgpool(postgres.port()).await? {
                Some(pooler) => (pooler.about().to_owned(), Server::Pooler(pooler)),
                None => return Ok(Err(not_installed(name))),
            },
            FLOOR => (
                "the least that a program can do: ready-made bytes for bytes it has seen before"
                    .to_owned(),
                Server::Floor(Floor::start(programs.floor.as_deref(), postgres.port()).await?),
            ),
            _ => bail!(
                "there is no target {name:?}; there are {}",
                STANDARD.join(", ")
            ),
        };
        Ok(Ok(Self {
            name: name.to_owned(),
            about,
            database: Some(database),
            server,
        }))
    }

    /// A server from elsewhere that holds the sample application's data.
    pub(super) fn endpoint(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            about: "an endpoint given on the command line".to_owned(),
            database: None,
            server: Server::Endpoint(url.to_owned()),
        }
    }

    /// Where clients connect.
    pub(super) fn url(&self) -> String {
        let at = |port: u16| {
            let database = self.database.as_deref().unwrap_or_default();
            format!("postgres://keel:keel@127.0.0.1:{port}/{database}")
        };
        match &self.server {
            Server::Endpoint(url) => url.clone(),
            Server::Floor(floor) => at(floor.port()),
            Server::Pgkeel(pgkeel) => pgkeel.proxy.url(),
            Server::Pooler(pooler) => at(pooler.port()),
        }
    }

    /// Is it to know nothing at the beginning of a slice?
    pub(super) fn is_cold(&self) -> bool {
        self.name == COLD
    }

    /// Does it answer reads only?
    pub(super) fn is_for_reads_only(&self) -> bool {
        matches!(self.server, Server::Floor(_))
    }

    /// Starts a cold target anew: its connections end.
    pub(super) async fn renew(&mut self) -> anyhow::Result<()> {
        if let Server::Pgkeel(pgkeel) = &mut self.server {
            pgkeel.proxy = Proxy::start(&pgkeel.options).await?;
        }
        Ok(())
    }

    /// CPU time of what stands between so far, in microseconds.
    pub(super) fn cpu_micros(&self) -> anyhow::Result<Option<u64>> {
        match &self.server {
            Server::Endpoint(_) => Ok(None),
            Server::Floor(floor) => floor.cpu_micros(),
            Server::Pgkeel(pgkeel) => pgkeel.proxy.cpu_micros().map(Some),
            Server::Pooler(pooler) => pooler.cpu_micros().map(Some),
        }
    }

    /// What the cache counted so far, if it is ours.
    pub(super) async fn cache_counts(&self) -> anyhow::Result<Option<CacheCounts>> {
        let Server::Pgkeel(pgkeel) = &self.server else {
            return Ok(None);
        };
        let stats = pgkeel.proxy.stats().await?;
        let count = |name: &str| {
            let value = stats.get("cache").and_then(|cache| cache.get(name));
            value
                .and_then(serde_json::Value::as_u64)
                .with_context(|| format!("/stats has no cache.{name}"))
        };
        Ok(Some(CacheCounts {
            served: count("hits")? + count("coalesced")?,
            misses: count("misses")?,
            bypasses: count("bypasses")?,
        }))
    }
}

/// The database of a standard target.
pub(super) fn database_name(target: &str) -> String {
    format!("app_{}", target.replace('-', "_"))
}

async fn pgkeel(url: String, programs: &Programs, config: Option<&str>) -> anyhow::Result<Server> {
    let options = ProxyOptions {
        upstream_url: url,
        binary: programs.pgkeel.clone(),
        config_toml: config.map(str::to_owned),
        ..ProxyOptions::default()
    };
    let proxy = Proxy::start(&options).await?;
    Ok(Server::Pgkeel(Box::new(Pgkeel { proxy, options })))
}

fn not_installed(name: &str) -> String {
    format!("{name} is not installed (scripts/setup bench)")
}

/// `pgkeel-bench`, if that is the program we are.
pub(super) fn own_program() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let is_ours = |program: &Path| {
        program
            .file_stem()
            .is_some_and(|stem| stem == "pgkeel-bench")
    };
    is_ours(&program).then_some(program)
}
