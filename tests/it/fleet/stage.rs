//! One PostgreSQL, one Redis, and several proxies.

use pgkeel_bench::sandbox::{Auth, Postgres, Proxy, ProxyOptions, Redis};

use crate::raw::{Raw, Reply, Script};
use crate::scene::SOON;
use crate::support::{BINARY, eventually};

/// Instances that share a Redis. Clients need no password.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) redis: Redis,
    pub(crate) postgres: Postgres,
}

/// A busy machine is no slow Redis.
const PATIENT: &str = "read_timeout = \"2s\"\n";

impl Fleet {
    /// So many instances with a configuration, and a scene made through the first of them.
    pub(crate) async fn start(count: usize, config: &str, setup: &str) -> Self {
        let redis = Redis::start().await.expect("Redis starts");
        Self::over(redis, count, config, setup).await
    }

    /// The same, over a Redis that runs.
    pub(crate) async fn over(redis: Redis, count: usize, config: &str, setup: &str) -> Self {
        let postgres = Postgres::builder()
            .auth(Auth::Trust)
            .setting("max_prepared_transactions", "20")
            .start();
        let mut fleet = Self {
            proxies: Vec::new(),
            redis,
            postgres: postgres.await.expect("PostgreSQL starts"),
        };
        for _ in 0..count {
            fleet.add(config).await;
        }
        for at in 0..count {
            fleet.ready(at).await;
        }
        if let Some(mut client) = match count {
            0 => None,
            _ => Some(fleet.client(0).await),
        } {
            client.run(setup).await;
        }
        fleet
    }

    /// One more instance.
    pub(crate) async fn add(&mut self, config: &str) {
        let options = self.options(&self.redis.url(), config);
        let proxy = Proxy::start(&options).await.expect("the proxy starts");
        self.proxies.push(proxy);
    }

    /// How to run an instance. `config` may begin with keys of `[redis]`, after that header.
    pub(crate) fn options(&self, redis_url: &str, config: &str) -> ProxyOptions {
        let rest = config.strip_prefix("[redis]\n").unwrap_or_default();
        let patient = if rest.contains("read_timeout") {
            ""
        } else {
            PATIENT
        };
        ProxyOptions {
            upstream_url: self.postgres.url(),
            binary: BINARY.into(),
            config_toml: Some(format!("[redis]\n{patient}{rest}")),
            env: vec![("REDIS_URL".into(), redis_url.into())],
            ..ProxyOptions::default()
        }
    }

    /// Waits until an instance uses the shared tier.
    pub(crate) async fn ready(&self, at: usize) {
        eventually(SOON, async || {
            let stats = self.proxies[at]
                .stats()
                .await
                .expect("the admin port answers");
            let shared = &stats["shared"];
            shared["serving"] == true && shared["breaker_open"] == false
        })
        .await;
    }

    /// A client of an instance, which knows the catalog by now: without it, it cannot say what a text means.
    pub(crate) async fn client(&self, at: usize) -> Raw {
        let startup = [("user", "keel"), ("database", "app")];
        let client = Raw::connect(self.proxies[at].port(), &startup).await;
        eventually(SOON, async || {
            self.stat(at, "counters.catalog_loads").await > 0
        })
        .await;
        client
    }

    /// A number of an instance's `/stats` by its path.
    pub(crate) async fn stat(&self, at: usize, path: &str) -> u64 {
        let stats = self.proxies[at]
            .stats()
            .await
            .expect("the admin port answers");
        path.split('.')
            .try_fold(&stats, |value, key| value.get(key))
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_else(|| panic!("no number {path} in {stats:#}"))
    }

    /// Asks an instance until its own cache answers.
    pub(crate) async fn warm(&self, at: usize, client: &mut Raw, script: &Script) -> Reply {
        let mut last = None;
        eventually(SOON, async || {
            let before = self.stat(at, "cache.hits").await;
            let reply = client.ask(script).await;
            assert_eq!(reply.error(), None, "a read that fails is never cached");
            last = Some(reply);
            self.stat(at, "cache.hits").await > before
        })
        .await;
        last.expect("it was asked")
    }
}
