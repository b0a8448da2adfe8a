//! `[redis]`: the shared second tier, and what the instances that share it promise each other.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use toml::Value;

use super::entry::{Elsewhere, Key};
use super::form::{length, put, show_choice, show_count, show_duration, show_size, show_ttl, ttl};
use super::value::{BadValue, BareUnit, Raw, choice, duration, size, text, whole};
use super::{Config, Secret, Ttl, place};

/// `[redis]`: the shared second tier.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Redis {
    /// Its URL, which may hold a password; several, separated by commas, of a cluster or of sentinels. `None`: there
    /// is no shared tier.
    pub url: Option<Secret>,
    /// What the URLs lead to.
    pub mode: RedisMode,
    /// The name by which sentinels know the primary.
    pub sentinel_master: String,
    /// What instances promise each other.
    pub coherence: Coherence,
    /// For how long an instance may serve after it was last heard of.
    pub lease: Duration,
    /// How long a read may wait for Redis before it goes to PostgreSQL.
    pub read_timeout: Duration,
    /// The longest a result is kept in Redis.
    pub ttl_max: Ttl,
    /// A larger result is not kept in Redis, in bytes.
    pub value_max_bytes: usize,
    /// A larger result is compressed, in bytes.
    pub compress_min_bytes: usize,
    /// How many results may wait to be sent to Redis.
    pub fill_queue_max: usize,
    /// One or two keys of 32 bytes in base64: the first encrypts, both decrypt.
    pub encryption_keys: Option<Secret>,
    /// A file that holds them, one a line.
    pub encryption_key_file: Option<PathBuf>,
    /// What this instance is called in the log of the others.
    pub instance: String,
}

/// What the URLs of Redis lead to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RedisMode {
    /// The nodes of a Redis Cluster.
    Cluster,
    /// The sentinels that know the primary.
    Sentinel,
    /// One server.
    Single,
}

/// What instances that share a Redis promise each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Coherence {
    /// No other instance uses this Redis under this prefix: nobody is waited for.
    Alone,
    /// Others hear of a write soon.
    Eventual,
    /// No other instance serves anything older than a write that was acknowledged.
    Strict,
}

impl RedisMode {
    const NAMES: &[(&str, Self)] = &[
        ("single", Self::Single),
        ("cluster", Self::Cluster),
        ("sentinel", Self::Sentinel),
    ];
}

impl Coherence {
    const NAMES: &[(&str, Self)] = &[
        ("strict", Self::Strict),
        ("eventual", Self::Eventual),
        ("alone", Self::Alone),
    ];
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: None,
            mode: RedisMode::Single,
            sentinel_master: "mymaster".to_owned(),
            coherence: Coherence::Strict,
            lease: Duration::from_secs(1),
            read_timeout: Duration::from_millis(5),
            ttl_max: Ttl::After(Duration::from_secs(3_600)),
            value_max_bytes: 1 << 20,
            compress_min_bytes: 4 << 10,
            fill_queue_max: 1_024,
            encryption_keys: None,
            encryption_key_file: None,
            instance: String::new(),
        }
    }
}

/// Its keys.
pub(super) const KEYS: &[Key] = &[
    Key {
        section: "redis",
        name: "url",
        elsewhere: Elsewhere::Variable("REDIS_URL"),
        set: |config, raw| put(&mut config.redis.url, url(raw).map(Some)),
        show: |config| {
            let is_set = config.redis.url.is_some();
            is_set.then(|| Value::String(config.redis.masked()))
        },
    },
    Key {
        section: "redis",
        name: "mode",
        elsewhere: Elsewhere::Nowhere,
        set: |config, raw| put(&mut config.redis.mode, choice(raw, RedisMode::NAMES)),
        show: |config| show_choice(config.redis.mode, RedisMode::NAMES),
    },
    Key {
        section: "redis",
        name: "sentinel_master",
        elsewhere: Elsewhere::Nowhere,
        set: |config, raw| put(&mut config.redis.sentinel_master, word(raw)),
        show: |config| Some(Value::String(config.redis.sentinel_master.clone())),
    },
    Key {
        section: "redis",
        name: "coherence",
        elsewhere: Elsewhere::Nowhere,
        set: |config, raw| put(&mut config.redis.coherence, choice(raw, Coherence::NAMES)),
        show: |config| show_choice(config.redis.coherence, Coherence::NAMES),
    },
    Key {
        section: "redis",
        name: "lease",
        elsewhere: Elsewhere::Nowhere,
        set: |config, raw| {
            let least = Duration::from_millis(100);
            put(
                &mut config.redis.lease,
                duration(raw, BareUnit::Seconds, least),
            )
        },
        show: |config| Some(show_duration(config.redis.lease)),
    },
    Key {
        section: "redis",
        name: "read_timeout",
        elsewhere: Elsewhere::Nowhere,
        set: |config, raw| {
            let least = Duration::from_millis(1);
            put(
                &mut config.redis.read_timeout,
                duration(raw, BareUnit::Milliseconds, least),
            )
        },
        show: |config| Some(show_duration(config.redis.read_timeout)),
    },
    Key {
        section: "redis",
        name: "ttl_max",
        elsewhere: Elsewhere::Nowhere,
        set: |config, raw| put(&mut config.redis.ttl_max, ttl(raw)),
        show: |config| Some(show_ttl(config.redis.ttl_max)),
    },
    Key {
        section: "redis",
        name: "value_max_bytes",
        elsewhere: Elsewhere::Nowhere,
        set: |config, raw| {
            put(
                &mut config.redis.value_max_bytes,
                length(size(raw, 1..=256 << 20)),
            )
        },
        show: |config| Some(show_size(config.redis.value_max_bytes as u64)),
    },
    Key {
        section: "redis",
        name: "compress_min_bytes",
        elsewhere: Elsewhere::Nowhere,
        set: |config, raw| {
            put(
                &mut config.redis.compress_min_bytes,
                length(size(raw, 1..=1 << 30)),
            )
        },
        show: |config| Some(show_size(config.redis.compress_min_bytes as u64)),
    },
    Key {
        section: "redis",
        name: "fill_queue_max",
        elsewhere: Elsewhere::Nowhere,
        set: |config, raw| {
            put(
                &mut config.redis.fill_queue_max,
                length(whole(raw, 1..=1_000_000)),
            )
        },
        show: |config| Some(show_count(config.redis.fill_queue_max)),
    },
    Key {
        section: "redis",
        name: "encryption_keys",
        elsewhere: Elsewhere::Variable("REDIS_ENCRYPTION_KEYS"),
        set: |config, raw| {
            put(
                &mut config.redis.encryption_keys,
                encryption_keys(raw).map(Some),
            )
        },
        show: |config| {
            let keys = config.redis.encryption_keys.as_ref();
            keys.map(|_| Value::String("***".to_owned()))
        },
    },
    Key {
        section: "redis",
        name: "encryption_key_file",
        elsewhere: Elsewhere::Nowhere,
        set: |config, raw| put(&mut config.redis.encryption_key_file, place::path(raw)),
        show: |config| {
            Some(place::show_path(
                config.redis.encryption_key_file.as_deref(),
            ))
        },
    },
    Key {
        section: "redis",
        name: "instance",
        elsewhere: Elsewhere::Nowhere,
        set: |config, raw| put(&mut config.redis.instance, word(raw)),
        show: |config| Some(Value::String(config.redis.instance.clone())),
    },
];

impl Redis {
    /// The URLs without credentials.
    #[must_use]
    pub fn masked(&self) -> String {
        let urls = self.url.as_ref().map_or("", Secret::expose).split(',');
        urls.map(mask_credentials).collect::<Vec<_>>().join(",")
    }
}

impl Config {
    /// Is there a shared tier, and so perhaps a fleet?
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.redis.url.is_some() && self.cache.enabled
    }
}

/// The keys for results in Redis, the one to encrypt with first: none, one or two.
///
/// # Errors
/// What is wrong with the file.
pub fn read_encryption_keys(redis: &Redis) -> Result<Vec<[u8; 32]>, String> {
    if let Some(keys) = &redis.encryption_keys {
        return parse_keys(keys.expose());
    }
    let Some(path) = &redis.encryption_key_file else {
        return Ok(Vec::new());
    };
    let at = |error: &dyn std::fmt::Display| {
        format!("redis.encryption_key_file {}: {error}", path.display())
    };
    let text = std::fs::read_to_string(path).map_err(|error| at(&error))?;
    parse_keys(&text).map_err(|error| at(&error))
}

fn parse_keys(text: &str) -> Result<Vec<[u8; 32]>, String> {
    let words = text.split([',', '\n']).map(str::trim);
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let keys: Option<Vec<[u8; 32]>> = words
        .iter()
        .map(|word| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(word);
            bytes.ok()?.try_into().ok()
        })
        .collect();
    keys.filter(|keys| matches!(keys.len(), 1 | 2))
        .ok_or_else(|| format!("is not {KEYS_EXPECTED}"))
}

const KEYS_EXPECTED: &str = "one or two keys of 32 bytes in base64, as by openssl rand -base64 32";

/// The error never repeats the keys.
fn encryption_keys(raw: &Raw) -> Result<Secret, BadValue> {
    let keys = text(raw, KEYS_EXPECTED)?;
    parse_keys(keys).map_err(|_| BadValue::new("holds no keys", KEYS_EXPECTED))?;
    Ok(Secret::new(keys))
}

fn word(raw: &Raw) -> Result<String, BadValue> {
    let expected = "at most 64 characters without spaces";
    let word = text(raw, expected)?;
    let fits = word.len() <= 64 && word.chars().all(|c| c.is_ascii_graphic());
    if fits {
        Ok(word.to_owned())
    } else {
        Err(BadValue::is(raw, expected))
    }
}

/// Redis URLs. The error never repeats them, for they may hold a password.
fn url(raw: &Raw) -> Result<Secret, BadValue> {
    let expected = "redis://:password@host:6379 (or rediss://, unix://)";
    let urls = text(raw, expected)?;
    let schemes = ["redis://", "rediss://", "unix://"];
    let is_url = |url: &str| schemes.iter().any(|scheme| url.starts_with(scheme));
    if urls.split(',').all(is_url) {
        Ok(Secret::new(urls))
    } else {
        Err(BadValue::new("is not a Redis URL", expected))
    }
}

/// A URL with its credentials and its parameters, where a password may stand too, replaced.
fn mask_credentials(url: &str) -> String {
    let (url, query) = url.split_once('?').unwrap_or((url, ""));
    let query = if query.is_empty() { "" } else { "?***" };
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    match rest.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}://***@{place}{query}"),
        None => format!("{scheme}://{rest}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_url_shows_its_place_and_no_credentials() {
        assert_eq!(
            mask_credentials("redis://user:a@b@cache:6379/0"),
            "redis://***@cache:6379/0"
        );
        assert_eq!(mask_credentials("redis://cache:6379"), "redis://cache:6379");
        assert_eq!(
            mask_credentials("unix:///run/redis.sock?pass=s3cret"),
            "unix:///run/redis.sock?***"
        );
    }

    #[test]
    fn keys_are_one_or_two_of_32_bytes() {
        let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(parse_keys(key), Ok(vec![[0; 32]]));
        assert_eq!(
            parse_keys(&format!("{key}\n{key}\n")).map(|keys| keys.len()),
            Ok(2)
        );
        for bad in ["", "AAAA", "not base64", &[key, key, key].join(",")] {
            assert!(parse_keys(bad).is_err(), "{bad}");
        }
    }
}
